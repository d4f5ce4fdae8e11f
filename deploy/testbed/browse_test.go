package testbed_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"sallyport/deploy/testbed/lab"
)

// browserClient is an HTTP client that finds the lab's names and trusts its CA.
func browserClient(t *testing.T, l *lab.Lab) *http.Client {
	t.Helper()
	names := map[string]string{
		"sts.contoso.test:443":   l.ProxyAddr,
		"party.contoso.test:443": l.PartyAddr,
	}
	for name, addr := range l.SAMLAddrs {
		names[name+".contoso.test:443"] = addr
	}
	var d net.Dialer
	tr := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: l.Roots(t), MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			real, ok := names[addr]
			if !ok {
				return nil, fmt.Errorf("%s is not in the lab", addr)
			}
			return d.DialContext(ctx, network, real)
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Jar: newJar(t), Timeout: 30 * time.Second}
}

func newJar(t *testing.T) http.CookieJar {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return jar
}

// person is somebody with a browser without script.
type person struct {
	t      *testing.T
	client *http.Client
}

func newPerson(t *testing.T, l *lab.Lab) *person {
	return &person{t: t, client: browserClient(t, l)}
}

// page is one answer after all redirects.
type page struct {
	url    *url.URL
	status int
	header http.Header
	body   string
	form   *form
}

// form is the first form of a page.
type form struct {
	action string
	fields url.Values
}

func (p *person) do(req *http.Request) *page {
	p.t.Helper()
	resp, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		p.t.Fatal(err)
	}
	pg := &page{url: resp.Request.URL, status: resp.StatusCode, header: resp.Header, body: string(raw)}
	pg.form = firstForm(p.t, pg)
	return pg
}

func (p *person) open(address string) *page {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.do(req)
}

// submit posts the page's form with the values on top of its own.
func (p *person) submit(pg *page, values url.Values) *page {
	p.t.Helper()
	if pg.form == nil {
		p.t.Fatalf("%s has no form to fill in: status %d\n%s", pg.url, pg.status, pg.body)
	}
	fields := url.Values{}
	for k, v := range pg.form.fields {
		fields[k] = v
	}
	for k, v := range values {
		fields[k] = v
	}
	target, err := pg.url.Parse(pg.form.action)
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, target.String(), strings.NewReader(fields.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", pg.url.Scheme+"://"+pg.url.Host)
	return p.do(req)
}

// signIn fills in the sign-in page.
func (p *person) signIn(pg *page, name, password string) *page {
	p.t.Helper()
	return p.submit(pg, url.Values{"username": {name}, "password": {password}})
}

// signInAt asks for a sign-in at the party and goes up to the hand-over page.
func (p *person) signInAt(query url.Values, name, password string) *page {
	p.t.Helper()
	return p.signIn(p.open("https://sts.contoso.test/adfs/ls/?"+query.Encode()), name, password)
}

// token returns the wresult of a hand-over page.
func (pg *page) token(t *testing.T) string {
	t.Helper()
	if pg.form == nil || pg.form.fields.Get("wresult") == "" {
		t.Fatalf("no token handed over by %s: status %d\n%s", pg.url, pg.status, pg.body)
	}
	return pg.form.fields.Get("wresult")
}

func (pg *page) hasToken() bool { return pg.form != nil && pg.form.fields.Get("wresult") != "" }

func firstForm(t *testing.T, pg *page) *form {
	t.Helper()
	root, err := html.Parse(strings.NewReader(pg.body))
	if err != nil {
		t.Fatal(err)
	}
	var f *form
	var walk func(*html.Node, bool)
	walk = func(n *html.Node, inside bool) {
		if n.Type == html.ElementNode {
			switch {
			case n.Data == "form" && f == nil:
				f = &form{action: attribute(n, "action"), fields: url.Values{}}
				inside = true
			case n.Data == "input" && inside && attribute(n, "name") != "":
				if kind := attribute(n, "type"); kind != "checkbox" && kind != "submit" {
					f.fields.Set(attribute(n, "name"), attribute(n, "value"))
				}
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c, inside)
		}
	}
	walk(root, false)
	return f
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
