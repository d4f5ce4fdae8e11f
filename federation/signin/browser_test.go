package signin_test

import (
	"crypto/tls"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"sallyport/federation/signin"
)

// browser is one browser with its cookies; it does not follow redirects.
type browser struct {
	l      *lab
	client *http.Client
	header http.Header
}

func (l *lab) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return &browser{l: l, header: http.Header{"Sec-Fetch-Site": {"same-origin"}, "Accept-Language": {"en"}}, client: &http.Client{
		Jar:           jar,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: l.server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// page is one answer.
type page struct {
	t      testing.TB
	status int
	header http.Header
	body   string
	cookie map[string]*http.Cookie
}

func (b *browser) do(r *http.Request) *page {
	b.l.t.Helper()
	for k, v := range b.header {
		if r.Header[k] == nil {
			r.Header[k] = v
		}
	}
	res, err := b.client.Do(r)
	if err != nil {
		b.l.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.l.t.Fatal(err)
	}
	p := &page{t: b.l.t, status: res.StatusCode, header: res.Header, body: string(body), cookie: map[string]*http.Cookie{}}
	for _, c := range res.Cookies() {
		p.cookie[c.Name] = c
	}
	return p
}

func (b *browser) get(query string) *page {
	b.l.t.Helper()
	r, err := http.NewRequest(http.MethodGet, b.l.server.URL+"/adfs/ls/"+query, nil)
	if err != nil {
		b.l.t.Fatal(err)
	}
	return b.do(r)
}

const signInQuery = "?wa=wsignin1.0&wtrealm=urn%3afederation%3aMicrosoftOnline&wctx=LoginOptions%3D3%26estsredirect%3d2"

// post sends our own form: pairs of name and value.
func (b *browser) post(pairs ...string) *page {
	b.l.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	r, err := http.NewRequest(http.MethodPost, b.l.server.URL+"/adfs/ls/", strings.NewReader(form.Encode()))
	if err != nil {
		b.l.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

// signIn goes the whole way with a password.
func (b *browser) signIn(name string) *page {
	b.l.t.Helper()
	return b.post("t", b.get(signInQuery).token(), "username", name, "password", rightPassword)
}

func (b *browser) sessionCookie() string {
	u, err := url.Parse(b.l.server.URL)
	if err != nil {
		b.l.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == signin.SessionCookie {
			return c.Value
		}
	}
	return ""
}

var fieldPattern = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// field returns a hidden field's value as a browser would post it.
func (p *page) field(name string) string {
	p.t.Helper()
	for _, m := range fieldPattern.FindAllStringSubmatch(p.body, -1) {
		if m[1] == name {
			return html.UnescapeString(m[2])
		}
	}
	p.t.Fatalf("no hidden field %s in a page of status %d:\n%s", name, p.status, p.body)
	return ""
}

func (p *page) token() string { p.t.Helper(); return p.field("t") }

var tagPattern = regexp.MustCompile(`<[^>]*>`)

// has reports whether the page's source or its text contains text.
func (p *page) has(text string) bool {
	return strings.Contains(html.UnescapeString(p.body), text) || strings.Contains(html.UnescapeString(tagPattern.ReplaceAllString(p.body, "")), text)
}

func (p *page) wants(status int, texts ...string) {
	p.t.Helper()
	if p.status != status {
		p.t.Errorf("status %d, want %d\n%.2000s", p.status, status, p.body)
	}
	for _, text := range texts {
		if !p.has(text) {
			p.t.Errorf("page (%d) lacks %q:\n%.2000s", p.status, text, p.body)
		}
	}
}

func (p *page) isHandOver() bool { return strings.Contains(p.body, "data-autopost") }
