package app_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/authn/directory/directorytest"
	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/demo"
)

// rewrite replaces text in the settings file.
func (h *house) rewrite(t *testing.T, pairs ...string) {
	t.Helper()
	text, err := os.ReadFile(h.Settings())
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer(pairs...).Replace(string(text))
	if changed == string(text) {
		t.Fatalf("nothing to replace: %q", pairs)
	}
	if err := os.WriteFile(h.Settings(), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What a reload says must be so: refused means that nothing changed.
func TestO02_ARefusedReloadChangesNothing(t *testing.T) {
	breaks := map[string]func(t *testing.T, h *house){
		"another public address": func(t *testing.T, h *house) {
			h.rewrite(t, "public_url: https://", "public_url: https://another.")
		},
		"an audit file that cannot be opened": func(t *testing.T, h *house) {
			path := filepath.Join(filepath.Dir(h.Settings()), "audit.jsonl")
			if err := errors.Join(os.Rename(path, path+".1"), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, harm := range breaks {
		t.Run(name, func(t *testing.T) {
			h := open(t, demo.Options{})
			h.rewrite(t, "Contoso (demo)", "Rivermouth")
			harm(t, h)
			if err := h.Gateway.Reload(t.Context()); err == nil || errors.Is(err, app.ErrRestart) {
				t.Fatalf("reload: %v, want a refusal", err)
			}
			b := h.Browser()
			defer b.Close()
			if p := h.open(t, b, h.SignInURL()+signInQuery); p.Status != 200 || strings.Contains(p.Text(), "Rivermouth") {
				t.Errorf("%d: settings of a refused file are in force", p.Status)
			}
		})
	}
}

// A service that began without Microsoft 365 compares source anchors from the
// reload on that brings it.
func TestI06_AnchorsAreComparedAfterAReloadToo(t *testing.T) {
	anchor := []byte("sixteen bytes id")
	var cloud string
	h := open(t, demo.Options{
		Extra: []directorytest.User{
			{SAM: "twin1", UPN: "twin1@contoso.test", Password: "Quay-twin-one1", ConsistencyGUID: anchor},
			{SAM: "twin2", UPN: "twin2@contoso.test", Password: "Quay-twin-two2", ConsistencyGUID: anchor},
		},
		Settings: func(s string) string {
			cloud = regexp.MustCompile(`(?s)microsoft365:\n.*?\ndirectory:`).FindString(s)
			s = strings.Replace(s, "saml: {ecp: everywhere}\n", "", 1)
			return strings.Replace(s, cloud, "relying_parties: [{key: a, name: A, identifiers: [\"urn:a\"], reply_urls: [\"https://a.test/\"]}]\ndirectory:", 1)
		},
	})
	if cloud == "" {
		t.Fatal("the settings have no section to leave out")
	}
	h.rewrite(t, "\ndirectory:", "\n"+cloud)
	if err := h.Gateway.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "twin1 is refused", 10*time.Second, func() bool {
		b := h.Browser()
		defer b.Close()
		p := h.password(t, b, h.signInPage(t, b, h.User("twin1").UPN), h.User("twin1").Password)
		return p.Heading() == "Your account is not set up for Microsoft 365"
	})
}
