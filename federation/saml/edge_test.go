package saml_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"sallyport/federation"
	"sallyport/federation/web"
)

// initiate begins a sign-in here, through the edge.
func (g *rig) initiate(query string) error {
	g.t.Helper()
	_, err := g.through(httptest.NewRequest(http.MethodGet, "https://sts.contoso.test/adfs/ls/IdpInitiatedSignOn.aspx", nil), query)
	return err
}

// begin is initiate by another address; nothing may go wrong.
func (g *rig) begin(path, query string) *httptest.ResponseRecorder {
	g.t.Helper()
	w, err := g.through(httptest.NewRequest(http.MethodGet, "https://sts.contoso.test"+path, nil), query)
	if err != nil {
		g.t.Error(err)
	}
	return w
}

// form posts a message to such an address.
func (g *rig) form(address string, form url.Values) {
	g.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "https://sts.contoso.test"+address, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if _, err := g.through(r, r.URL.RawQuery); err != nil {
		g.t.Error(err)
	}
}

func (g *rig) through(r *http.Request, query string) (*httptest.ResponseRecorder, error) {
	g.t.Helper()
	var got error
	edge, err := web.New(web.Config{Trust: web.Trust{Hosts: []string{"sts.contoso.test"}}, Pages: errorPage(func(e *federation.Error) { got = e })}, g.handler)
	if err != nil {
		g.t.Fatal(err)
	}
	r.URL.RawQuery = query
	w := httptest.NewRecorder()
	edge.ServeHTTP(w, r)
	return w, got
}
