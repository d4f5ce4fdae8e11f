package wstrust_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/deploy/testbed/lab"
	"sallyport/federation/wstrust"
)

// Published attacks on SAML, as a message, in an envelope and inside of a good one:
// no panic, no password is tried, no token.
func TestX11_PublishedMessages(t *testing.T) {
	dir := lab.Vectors(t)
	raw, err := os.ReadFile(filepath.Join(dir, "manifest-saml.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []struct{ File string }
	if err := json.Unmarshal(raw, &list); err != nil || len(list) < 160 {
		t.Fatalf("%d files in the manifest, %v", len(list), err)
	}
	g := newRig(t, nil)
	for _, v := range list {
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(v.File)))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.TrimSpace(string(data))
		for _, body := range []string{
			text, `<s:Envelope ` + nsSOAP + `><s:Header/><s:Body>` + text + `</s:Body></s:Envelope>`,
			m13("</wsse:Security>", text+"</wsse:Security>"), m13("</wst:RequestSecurityToken>", text+"</wst:RequestSecurityToken>"),
		} {
			if w := g.send(body, wstrust.Trust13, outsider); w.Code < 400 {
				t.Errorf("%s: %d", v.File, w.Code)
			}
		}
	}
	if g.people.calls() != 0 {
		t.Errorf("%d passwords were tried", g.people.calls())
	}
	t.Logf("%d files, %d messages: 0 accepted, 0 panics", len(list), 4*len(list))
}
