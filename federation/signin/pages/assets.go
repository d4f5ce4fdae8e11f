package pages

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"sallyport/federation"
)

// AssetPath is where assets live. It lies under /adfs/, which reverse proxies in
// front of AD FS pass already. Names are lower-case, as paths are when routed.
const AssetPath = "/adfs/portal/assets/"

//go:embed files/style.css
var styleCSS []byte

//go:embed files/sallyport.js
var script []byte

//go:embed files/icon.svg
var icon []byte

// hashSize is how many bytes of the content's SHA-256 stand in a name.
const hashSize = 8

// asset is one file with its headers; the map key has the hash.
type asset struct {
	content []byte
	typ     string
}

// add stores an asset and returns its address.
func (s *Set) add(name, ext, typ string, content []byte) string {
	sum := sha256.Sum256(content)
	file := name + "." + hex.EncodeToString(sum[:hashSize]) + "." + ext
	s.assets[file] = asset{content, typ}
	s.latest[name+"."+ext] = file
	return AssetPath + file
}

func (s *Set) addImage(name string, content []byte) (string, error) {
	typ, err := imageType(content)
	if err != nil {
		return "", fmt.Errorf("pages: %s: %w", name, err)
	}
	ext := map[string]string{"image/png": "png", "image/webp": "webp", "image/svg+xml": "svg"}[typ]
	return s.add(name, ext, typ, content), nil
}

// addBrand writes the style sheet of the organisation's colours, empty address
// when it has none. More contrast, where a person asks for it, wins over colours.
func (s *Set) addBrand() (string, error) {
	var css strings.Builder
	var errs []error
	for _, x := range []struct {
		in        string
		scheme    scheme
		condition string
	}{{s.cfg.Accent, light, ""}, {s.cfg.AccentDark, dark, " and (prefers-color-scheme:dark)"}} {
		if x.in == "" {
			continue
		}
		c, err := x.scheme.accent(x.in)
		if err != nil {
			errs = append(errs, fmt.Errorf("pages: %s accent: %w", x.scheme.name, err))
			continue
		}
		rules := x.scheme.rules(c)
		if x.condition == "" { // the dark scheme keeps its own colours
			x.condition = " and (prefers-color-scheme:light)"
		}
		fmt.Fprintf(&css, "@media (prefers-contrast:no-preference)%s{%s}\n", x.condition, rules)
	}
	if err := errors.Join(errs...); err != nil || css.Len() == 0 {
		return "", err
	}
	return s.add("brand", "css", "text/css; charset=utf-8", []byte(css.String())), nil
}

// ServeAsset answers GET and HEAD below [AssetPath]. The name has a hash, so the
// answer never changes. A name with another hash is that of an instance with other
// settings or of another version; it gets what stands here, uncached, so that a
// roll-out shows no bare page. The policy makes an SVG opened by itself inert.
func (s *Set) ServeAsset(w http.ResponseWriter, r *http.Request) error {
	file, cache := strings.TrimPrefix(strings.ToLower(r.URL.Path), AssetPath), "public, max-age=31536000, immutable"
	a, ok := s.assets[file]
	if !ok {
		cache = "no-store"
		if a, ok = s.assets[s.latest[withoutHash(file)]]; !ok {
			return &federation.Error{Problem: federation.ProblemNotFound, Cause: errors.New("no such asset")}
		}
	}
	h := w.Header()
	h.Set("Content-Type", a.typ)
	h.Set("Cache-Control", cache)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
	h.Set("Content-Length", fmt.Sprint(len(a.content)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.content) // the client has gone, nobody to tell
	}
	return nil
}

// withoutHash turns name.HASH.ext into name.ext; anything else names no asset.
func withoutHash(file string) string {
	parts := strings.Split(file, ".")
	if len(parts) != 3 || len(parts[1]) != 2*hashSize {
		return ""
	}
	return parts[0] + "." + parts[2]
}
