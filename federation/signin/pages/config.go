package pages

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Keep says how "keep me signed in" is offered.
type Keep uint8

// The choices for [Config.Keep].
const (
	KeepOff    Keep = iota // offered, not ticked
	KeepOn                 // offered, ticked
	KeepHidden             // not offered
)

// Links are the addresses outside of Sallyport that pages lead to. Each is
// https:, mailto: or tel:, or empty when there is none.
type Links struct {
	Help    string // foot of each page, and "contact the service desk"
	Privacy string // foot of each page
	Forgot  string // beside the sign-in button
	Change  string // where a password can be changed, for people who have to
}

// Config is the organisation's part of the pages. The zero value of each field
// is a working default, but for Host and Org.
type Config struct {
	// Org is the organisation's name: 1 to 60 characters of plain text.
	Org string
	// Host is our own public host name, for the page that asks to allow cookies.
	Host string
	// Action is the path that our own forms post to; default /adfs/ls/.
	Action string
	// Language is used unless the person chose another one; empty means that
	// Accept-Language decides, with English as the last resort.
	Language string
	// Logo and LogoDark are PNG, WebP or SVG files of at most 16 KB, shown 36 px
	// high. Empty means the built-in archway, and Logo in both schemes.
	Logo, LogoDark []byte
	// Accent and AccentDark are colours such as #0d5b6d for the light and the
	// dark scheme. Text on it needs a contrast of 4.5, the colour on the card 3.
	Accent, AccentDark string
	// Help is a line under the sign-in form by language ("en"), at most 200
	// characters each; English stands in for a missing language.
	Help  map[string]string
	Links Links
	Keep  Keep
	// Banner is a line above all pages, at most 120 characters.
	Banner string
	// Demo puts the word demo above every page, in place of Banner.
	Demo bool
	// ExampleUPN and ExampleDown are the two forms of a user name that the hint
	// shows, for example name@contoso.test and CONTOSO\name. No hint unless both
	// are set.
	ExampleUPN, ExampleDown string
}

const (
	maxOrg    = 60
	maxHelp   = 200
	maxBanner = 120
	maxLogo   = 16 << 10
)

// validate reports every problem at once.
func (c *Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("pages: "+format, args...)) }
	if err := plain(c.Org, maxOrg); err != nil {
		bad("organisation name: %w", err)
	} else if strings.TrimSpace(c.Org) == "" {
		bad("organisation name: is empty")
	}
	if c.Host == "" {
		bad("host: is empty")
	}
	if c.Language != "" && !known(c.Language) {
		bad("language %q: not one of %s", c.Language, strings.Join(codes(), " "))
	}
	for code, text := range c.Help {
		if !known(code) {
			bad("help text: language %q is not one of %s", code, strings.Join(codes(), " "))
		}
		if err := plain(text, maxHelp); err != nil {
			bad("help text (%s): %w", code, err)
		}
	}
	if err := plain(c.Banner, maxBanner); err != nil {
		bad("banner: %w", err)
	}
	if err := errors.Join(plain(c.ExampleUPN, 64), plain(c.ExampleDown, 64)); err != nil {
		bad("example names: %w", err)
	}
	for name, link := range map[string]string{
		"help": c.Links.Help, "privacy": c.Links.Privacy, "forgot": c.Links.Forgot, "change": c.Links.Change,
	} {
		if err := checkLink(link); err != nil {
			bad("link %s: %w", name, err)
		}
	}
	for name, logo := range map[string][]byte{"logo": c.Logo, "dark logo": c.LogoDark} {
		if _, err := imageType(logo); len(logo) > 0 && err != nil {
			bad("%s: %w", name, err)
		}
	}
	if c.Keep > KeepHidden {
		bad("keep me signed in: unknown choice %d", c.Keep)
	}
	return errors.Join(errs...)
}

// plain accepts text of at most limit characters without control characters and
// without characters that reorder what stands around them.
func plain(s string, limit int) error {
	if !utf8.ValidString(s) {
		return errors.New("is not UTF-8")
	}
	if n := utf8.RuneCountInString(s); n > limit {
		return fmt.Errorf("has %d characters, at most %d are shown", n, limit)
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r) {
			return fmt.Errorf("contains the control character %U", r)
		}
	}
	return nil
}

func checkLink(link string) error {
	if link == "" {
		return nil
	}
	u, err := url.Parse(link)
	if err != nil {
		return err
	}
	switch {
	case u.Scheme == "https" && u.Host != "" && u.User == nil:
	case (u.Scheme == "mailto" || u.Scheme == "tel") && u.Opaque != "":
	default:
		return fmt.Errorf("%q: only https:, mailto: and tel: addresses are shown", link)
	}
	return plain(link, 2000)
}

// imageType tells what a logo is by its content. What an SVG may hold does not
// matter: it is shown by <img> and served with a policy that runs nothing.
func imageType(b []byte) (string, error) {
	if len(b) > maxLogo {
		return "", fmt.Errorf("has %d bytes, at most %d are served", len(b), maxLogo)
	}
	switch {
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png", nil
	case len(b) > 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return "image/webp", nil
	case utf8.Valid(b) && bytes.Contains(b[:min(len(b), 1024)], []byte("<svg")):
		return "image/svg+xml", nil
	}
	return "", errors.New("is not a PNG, WebP or SVG picture")
}
