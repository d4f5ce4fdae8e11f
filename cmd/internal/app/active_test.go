package app_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"sallyport/cmd/internal/demo"
	"sallyport/cmd/internal/trip"
)

// setActive writes the setting and reloads.
func (h *house) setActive(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(h.Settings())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		t.Fatalf("the settings do not hold %q", from)
	}
	if err := os.WriteFile(h.Settings(), []byte(strings.Replace(string(text), from, to, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.Gateway.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestT01_ActiveClientsAreOffUntilNamed walks through the settings by reloads: a
// sign-in without a browser works only while it is on, and the published metadata
// names the endpoints only then.
func TestT01_ActiveClientsAreOffUntilNamed(t *testing.T) {
	h := open(t, demo.Options{Settings: func(text string) string { return strings.Replace(text, "wstrust: everywhere\n", "", 1) }})
	b := &http.Client{Transport: &http.Transport{TLSClientConfig: trip.TLS(h.Roots())}}
	defer b.CloseIdleConnections()
	base := strings.TrimSuffix(h.SignInURL(), "/adfs/ls/")
	active := trip.NewActive(h.Roots())
	defer active.Close()
	u := h.User("alice")
	check := func(state string, on bool) {
		t.Helper()
		name, err := active.SignIn(t.Context(), strings.TrimSuffix(h.Cloud.URL(), "/"), "13", u.UPN, u.Password)
		if on != (err == nil && name == u.UPN) {
			t.Errorf("%s: signed in as %q, %v", state, name, err)
		}
		for _, path := range []string{"mex", "2005/usernamemixed", "13/usernamemixed"} {
			status, body := get(t, b, base+"/adfs/services/trust/"+path)
			switch {
			case !on && path == "mex" && (status != http.StatusServiceUnavailable || body != ""):
				t.Errorf("%s: %s answers %d %q", state, path, status, body)
			case path != "mex" && status != http.StatusMethodNotAllowed:
				t.Errorf("%s: GET %s answers %d", state, path, status)
			}
		}
		_, doc := get(t, b, base+"/FederationMetadata/2007-06/FederationMetadata.xml")
		if strings.Contains(doc, "usernamemixed") != on || strings.Contains(doc, "/adfs/services/trust/mex") != on {
			t.Errorf("%s: the metadata does not say so", state)
		}
	}
	check("without the setting", false)
	h.setActive(t, "audit:", "wstrust: everywhere\naudit:")
	check("everywhere", true)
	h.setActive(t, "wstrust: everywhere", "wstrust: inside")
	check("inside, and this client is", true)
	h.setActive(t, "wstrust: inside", `wstrust: "off"`)
	check("off", false)
	if _, err := active.SignIn(t.Context(), strings.TrimSuffix(h.Cloud.URL(), "/"), "2005", u.UPN, u.Password); errors.Is(err, trip.ErrRefused) {
		t.Errorf("off, and answered in SOAP: %v", err)
	}
}
