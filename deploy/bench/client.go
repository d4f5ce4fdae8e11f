//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// signinPath is the request that Microsoft 365 makes.
const signinPath = "/adfs/ls/?wa=wsignin1.0&wtrealm=urn%3Afederation%3AMicrosoftOnline&wctx=estsredirect%3D2%26estsrequest%3DrQQIARAA" +
	"&wct=2026-11-25T10%3A30%3A00Z"

// loopCookie counts the tokens that one browser got in the last seconds. A client
// stands for many people, one after another, and so does not keep it.
const loopCookie = "__Host-sallyport-loop"

// client is one browser on one kept connection. It does as little as it can: the
// driver shares the machine with what it measures. Not safe for concurrent use.
type client struct {
	roots   *x509.CertPool
	address string
	from    string // as the reverse proxy would report it: budgets are per network
	conn    *tls.Conn
	r       *bufio.Reader
	cookies map[string]string
}

// dial connects one client.
func (p *process) dial(ctx context.Context, address string) (*client, error) {
	c := &client{roots: p.g.settings.roots, address: address, from: "10.255.0.1", cookies: map[string]string{}}
	return c, c.connect(ctx)
}

// connect opens the connection anew; servers close those that rest too long.
func (c *client) connect(ctx context.Context) error {
	if c.conn != nil {
		c.close()
	}
	d := tls.Dialer{Config: &tls.Config{RootCAs: c.roots, ServerName: host, MinVersion: tls.VersionTLS13}}
	conn, err := d.DialContext(ctx, "tcp", c.address)
	if err != nil {
		return err
	}
	c.conn, c.r = conn.(*tls.Conn), bufio.NewReaderSize(conn, 32<<10) // a *tls.Conn is what [tls.Dialer] promises
	return nil
}

func (c *client) close() { _ = c.conn.Close() }

// do sends one request of a page or a form.
func (c *client) do(method, path string, form []byte) (int, []byte, error) {
	return c.send(method, path, "application/x-www-form-urlencoded", form)
}

// send sends one request and returns status and body. Cookies are kept as a
// browser keeps them.
func (c *client) send(method, path, kind string, content []byte) (int, []byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nAccept: text/html\r\nAccept-Language: en\r\nUser-Agent: bench\r\n"+
		"X-Forwarded-For: %s\r\nX-Forwarded-Proto: https\r\n", method, path, host, c.from)
	sep := "Cookie: "
	for name, value := range c.cookies {
		b.WriteString(sep + name + "=" + value)
		sep = "; "
	}
	if len(c.cookies) > 0 {
		b.WriteString("\r\n")
	}
	if content != nil {
		fmt.Fprintf(&b, "Origin: https://%s\r\nSec-Fetch-Site: same-origin\r\nContent-Type: %s\r\nContent-Length: %d\r\n",
			host, kind, len(content))
	}
	b.WriteString("\r\n")
	b.Write(content)
	if err := c.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, nil, err
	}
	if _, err := c.conn.Write(b.Bytes()); err != nil {
		return 0, nil, err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0, nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err
	}
	for _, k := range resp.Cookies() {
		switch {
		case k.Name == loopCookie:
		case k.MaxAge < 0:
			delete(c.cookies, k.Name)
		default:
			c.cookies[k.Name] = k.Value
		}
	}
	return resp.StatusCode, body, resp.Body.Close()
}

// errNoToken says that an answer was not the hand-over page with a token.
var errNoToken = errors.New("no token in the answer")

func checkToken(status int, body []byte) error {
	if status != http.StatusOK || !bytes.Contains(body, []byte(`name="wresult"`)) {
		return fmt.Errorf("%w: status %d, %d bytes: %.300s", errNoToken, status, len(body), visible(body))
	}
	return nil
}

// visible cuts a page down to its main part, for error texts.
func visible(body []byte) []byte {
	if _, rest, ok := bytes.Cut(body, []byte("<main")); ok {
		return rest
	}
	return body
}

// token asks for a token with the session that the client has.
func (c *client) token() error {
	status, body, err := c.do(http.MethodGet, signinPath, nil)
	if err != nil {
		return err
	}
	return checkToken(status, body)
}

// page fetches the sign-in page and returns the transaction of its form.
func (c *client) page() (string, error) {
	status, body, err := c.do(http.MethodGet, signinPath, nil)
	if err != nil {
		return "", err
	}
	_, rest, ok := strings.Cut(string(body), `name="t" value="`)
	if value, _, end := strings.Cut(rest, `"`); ok && end && status == http.StatusOK {
		return html.UnescapeString(value), nil
	}
	return "", fmt.Errorf("no sign-in page: status %d: %.300s", status, visible(body))
}

// post signs in with a transaction.
func (c *client) post(transaction, user, password string) error {
	form := url.Values{"t": {transaction}, "username": {user}, "password": {password}}.Encode()
	status, body, err := c.do(http.MethodPost, "/adfs/ls/", []byte(form))
	if err != nil {
		return err
	}
	return checkToken(status, body)
}

// signIn is a whole password sign-in.
func (c *client) signIn(user, password string) error {
	t, err := c.page()
	if err != nil {
		return err
	}
	return c.post(t, user, password)
}

// load is so many clients.
type load []*client

func (p *process) load(ctx context.Context, address string, n int) (load, error) {
	var l load
	for range n {
		c, err := p.dial(ctx, address)
		if err != nil {
			l.close()
			return nil, err
		}
		c.from = fmt.Sprintf("10.%d.0.1", len(l))
		l = append(l, c)
	}
	return l, nil
}

// warm connects each client anew and lets it make one request, so that what is
// weighed afterwards is kept connections only.
func (l load) warm(ctx context.Context, path string) error {
	return l.all(func(c *client, _ int) error {
		if err := c.connect(ctx); err != nil {
			return err
		}
		_, _, err := c.do(http.MethodGet, path, nil)
		return err
	})
}

func (l load) close() {
	for _, c := range l {
		c.close()
	}
}

// each runs f n times, shared among the clients.
func (l load) each(n int, f func(c *client, i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, len(l))
	for w, c := range l {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if errs[w] = f(c, i); errs[w] != nil {
					next.Store(int64(n)) // the others stop too
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// all runs f once on every client, at the same time.
func (l load) all(f func(c *client, i int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, len(l))
	for i, c := range l {
		wg.Go(func() { errs[i] = f(c, i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
