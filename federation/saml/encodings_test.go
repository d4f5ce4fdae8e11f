package saml_test

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestX07_BombsAreRefusedBeforeTheyAreRead(t *testing.T) {
	for name, doc := range map[string]string{
		"blanks":     request("", "") + strings.Repeat(" ", 20<<20),
		"depth":      strings.Replace(request("", ""), "</saml:Issuer>", "</saml:Issuer>"+strings.Repeat("<a>", 100000), 1),
		"attributes": strings.Replace(request("", ""), "<saml:Issuer>", "<saml:Issuer "+strings.Repeat(`a="1" `, 10000)+">", 1),
	} {
		g := newRig(t)
		query := redirect(doc)
		start := time.Now()
		if err := g.get(query); err == nil {
			t.Errorf("%s accepted", name)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("%s took %v", name, d)
		}
		g.nothing(t)
	}
}

func TestX08_DeflateTricks(t *testing.T) {
	raw, _ := base64.StdEncoding.DecodeString(deflated(request("", "")))
	for name, b := range map[string][]byte{
		"trailing byte": append(append([]byte{}, raw...), 0), "zlib header": append([]byte{0x78, 0x9c}, raw...), "gzip header": append([]byte{0x1f, 0x8b, 8, 0}, raw...),
		"cut": raw[:len(raw)-3], "empty": {},
	} {
		g := newRig(t)
		if err := g.get("SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString(b))); err == nil {
			t.Errorf("%s accepted", name)
		}
		g.nothing(t)
	}
}

func TestX09_Base64IsStrict(t *testing.T) {
	good := deflated(request("", ""))
	for name, v := range map[string]string{
		"blank": good[:8] + " " + good[8:], "URL-safe": strings.NewReplacer("+", "-", "/", "_").Replace(good) + "-", "no padding": strings.TrimRight(good, "=") + "A", "line break": good[:8] + "\n" + good[8:],
	} {
		g := newRig(t)
		if err := g.get("SAMLRequest=" + url.QueryEscape(v)); err == nil {
			t.Errorf("%s accepted by Redirect", name)
		}
	}
	folded := base64.StdEncoding.EncodeToString([]byte(request("", "")))
	g := newRig(t)
	if err := g.post(url.Values{"SAMLRequest": {folded[:76] + "\r\n" + folded[76:]}}); err != nil {
		t.Errorf("line breaks by POST: %v", err)
	}
}
