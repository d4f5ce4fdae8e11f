package trip

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// maxPage is the greatest page that the browser reads, in bytes.
const maxPage = 1 << 20

// Browser is one browser profile. Not safe for concurrent use.
type Browser struct {
	client *http.Client
	// Header is added to every request, for example Accept-Language.
	Header http.Header
}

// New returns a browser that trusts roots and nothing else.
func New(roots *x509.CertPool) *Browser { return At(roots, nil) }

// At is [New] for names that no name server knows: hosts has HOST:PORT by HOST:PORT.
func At(roots *x509.CertPool, hosts map[string]string) *Browser {
	jar, _ := cookiejar.New(nil)
	return &Browser{
		Header: http.Header{"Accept-Language": {"en"}},
		client: &http.Client{
			Jar:     jar,
			Timeout: 20 * time.Second,
			Transport: &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 4, ForceAttemptHTTP2: true,
				DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
					if there, ok := hosts[address]; ok {
						address = there
					}
					return new(net.Dialer).DialContext(ctx, network, address)
				},
			},
			CheckRedirect: func(_ *http.Request, via []*http.Request) error {
				if len(via) > 10 {
					return fmt.Errorf("more than ten redirects")
				}
				return nil
			},
		},
	}
}

// Close drops idle connections.
func (b *Browser) Close() { b.client.CloseIdleConnections() }

// Page is one page as it arrived after all redirects.
type Page struct {
	URL    *url.URL
	Status int
	Header http.Header
	Body   string
	root   *html.Node
}

// Open fetches a page.
func (b *Browser) Open(ctx context.Context, address string) (*Page, error) {
	return b.do(ctx, http.MethodGet, address, nil, "")
}

func (b *Browser) do(ctx context.Context, method, address string, body io.Reader, origin string) (*Page, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	for k, v := range b.Header {
		req.Header[k] = v
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", origin)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", resp.Request.URL.Host, err)
	}
	root, err := html.Parse(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("page of %s: %w", resp.Request.URL.Host, err)
	}
	return &Page{URL: resp.Request.URL, Status: resp.StatusCode, Header: resp.Header, Body: string(raw), root: root}, nil
}

// Form is a form of a page with its fields as they would be sent.
type Form struct {
	Method, Action string
	Fields         url.Values
	page           *Page
}

// Submit sends the form as a browser does.
func (b *Browser) Submit(ctx context.Context, f *Form) (*Page, error) {
	if strings.EqualFold(f.Method, http.MethodPost) {
		origin := f.page.URL.Scheme + "://" + f.page.URL.Host
		return b.do(ctx, http.MethodPost, f.Action, strings.NewReader(f.Fields.Encode()), origin)
	}
	u, err := url.Parse(f.Action)
	if err != nil {
		return nil, err
	}
	u.RawQuery = f.Fields.Encode()
	return b.do(ctx, http.MethodGet, u.String(), nil, "")
}

// Forms returns the page's forms in order.
func (p *Page) Forms() []*Form {
	var forms []*Form
	p.each(func(n *html.Node) {
		if n.Data != "form" {
			return
		}
		f := &Form{Method: "GET", Action: p.URL.String(), Fields: url.Values{}, page: p}
		if m := attr(n, "method"); m != "" {
			f.Method = strings.ToUpper(m)
		}
		if a := attr(n, "action"); a != "" {
			if u, err := p.URL.Parse(a); err == nil {
				f.Action = u.String()
			}
		}
		walk(n, func(c *html.Node) {
			name := attr(c, "name")
			if name == "" || c.Data != "input" && c.Data != "button" {
				return
			}
			switch attr(c, "type") {
			case "checkbox", "radio":
				if has(c, "checked") {
					f.Fields.Add(name, attr(c, "value"))
				}
			case "submit", "button":
			default:
				if c.Data == "input" {
					f.Fields.Add(name, attr(c, "value"))
				}
			}
		})
		forms = append(forms, f)
	})
	return forms
}

// Field returns the name of the field with the given label text.
func (p *Page) Field(label string) (string, bool) {
	id := ""
	p.each(func(n *html.Node) {
		if n.Data == "label" && strings.EqualFold(text(n), label) {
			id = attr(n, "for")
		}
	})
	name, found := "", false
	p.each(func(n *html.Node) {
		if id != "" && attr(n, "id") == id {
			name, found = attr(n, "name"), true
		}
	})
	return name, found
}

// FormWith returns the form that has a field of that name.
func (p *Page) FormWith(field string) (*Form, bool) {
	for _, f := range p.Forms() {
		if f.Fields.Has(field) {
			return f, true
		}
	}
	return nil, false
}

// Heading returns the text of the page's first h1.
func (p *Page) Heading() string { return p.firstText("h1") }

// Text returns all visible text, blanks folded.
func (p *Page) Text() string {
	var s string
	p.each(func(n *html.Node) {
		if n.Data == "body" {
			s = text(n)
		}
	})
	return s
}

// ID returns the text of the element with that id.
func (p *Page) ID(id string) string {
	s := ""
	p.each(func(n *html.Node) {
		if attr(n, "id") == id {
			s = text(n)
		}
	})
	return s
}

// Link returns the address of the first link with that text.
func (p *Page) Link(label string) (string, bool) {
	target, found := "", false
	p.each(func(n *html.Node) {
		if n.Data == "a" && !found && strings.EqualFold(text(n), label) {
			if u, err := p.URL.Parse(attr(n, "href")); err == nil {
				target, found = u.String(), true
			}
		}
	})
	return target, found
}

// Frames returns the addresses of the page's frames.
func (p *Page) Frames() []string {
	var list []string
	p.each(func(n *html.Node) {
		if n.Data == "iframe" {
			if u, err := p.URL.Parse(attr(n, "src")); err == nil {
				list = append(list, u.String())
			}
		}
	})
	return list
}

func (p *Page) firstText(tag string) string {
	s, found := "", false
	p.each(func(n *html.Node) {
		if n.Data == tag && !found {
			s, found = text(n), true
		}
	})
	return s
}

func (p *Page) each(f func(*html.Node)) { walk(p.root, f) }

func walk(n *html.Node, f func(*html.Node)) {
	if n.Type == html.ElementNode {
		f(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, f)
	}
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	for _, a := range n.Attr {
		if a.Key == key {
			return true
		}
	}
	return false
}

func text(n *html.Node) string {
	var b strings.Builder
	var collect func(*html.Node)
	collect = func(n *html.Node) {
		switch {
		case n.Type == html.TextNode:
			b.WriteString(n.Data)
			b.WriteByte(' ')
		case n.Type == html.ElementNode && (n.Data == "script" || n.Data == "style"):
			return
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			collect(c)
		}
	}
	collect(n)
	return strings.Join(strings.Fields(b.String()), " ")
}
