package directory

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// drainTime bounds the goodbye on a connection that is closed in order.
const drainTime = 100 * time.Millisecond

// purpose is what a connection is for. The two never mix.
type purpose uint8

const (
	forBinds purpose = iota
	forSearches
)

func (p purpose) String() string {
	if p == forBinds {
		return "bind"
	}
	return "service"
}

// conn is one kept connection. While it is lent, the borrower owns it; while it
// is idle, its pool does.
type conn struct {
	frame      *frameConn
	guard      *time.Timer // closes the socket when a request takes too long
	ldap       *ldap.Conn
	id         uint32 // of the last request that was sent without go-ldap
	generation uint64
	dies       time.Time // age limit
	used       time.Time // when it last came back
	root       *rootDSE
}

// dialConfig is what one dial needs; it holds no state.
type dialConfig struct {
	endpoint
	roots  *x509.CertPool
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	limits Limits
	kind   purpose
}

// open dials, secures and greets: TCP, TLS with a verified certificate, then one
// anonymous read of the rootDSE, so that the DC's limit for the first request
// (120 s) is met and no password is ever offered to a server that is not a DC of
// the right domain. ctx bounds it all.
func open(ctx context.Context, dc dialConfig) (*conn, error) {
	socket, err := dc.dial(ctx, "tcp", dc.address)
	if err != nil {
		return nil, &failure{class: classDial, dc: dc.name, err: err}
	}
	raw := &countConn{Conn: socket}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	if dc.startTLS {
		if err := startTLS(raw); err != nil {
			_ = raw.Close()
			return nil, &failure{class: classDial, dc: dc.name, err: fmt.Errorf("StartTLS: %w", errors.Join(err, ctx.Err()))}
		}
	}
	secured := tls.Client(raw, &tls.Config{ServerName: dc.name, RootCAs: dc.roots, MinVersion: tls.VersionTLS12})
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, &failure{class: dialClass(err), dc: dc.name, err: fmt.Errorf("TLS: %w", err)}
	}
	limit, answer := maxServiceMessage, dc.limits.Search
	if dc.kind == forBinds {
		limit, answer = maxBindMessage, dc.limits.Bind
	}
	c := &conn{frame: newFrameConn(secured, raw, limit)}
	c.guard = time.AfterFunc(time.Hour, func() { c.frame.fail(errTimeout) })
	c.guard.Stop()
	c.ldap = ldap.NewConn(c.frame, true)
	// A backstop only: the request's own deadline is always earlier and closes
	// the socket, but without any timeout go-ldap can block for ever.
	c.ldap.SetTimeout(answer + time.Second)
	c.ldap.Start()
	if c.root, err = c.readRoot(ctx, dc.limits.Dial); err != nil {
		c.drop(err)
		return nil, err
	}
	if dc.kind == forBinds {
		c.frame.restrict()
	}
	return c, nil
}

// startTLS asks for TLS on a fresh connection (RFC 4511 section 4.14) and reads
// exactly the answer: bytes that somebody slipped in behind it go to the TLS
// handshake, which refuses them.
func startTLS(c net.Conn) error {
	request := append([]byte{0x30, 0x1d, 0x02, 0x01, 0x01, 0x77, 0x18, 0x80, 0x16}, "1.3.6.1.4.1.1466.20037"...)
	if _, err := c.Write(request); err != nil {
		return err
	}
	buf := make([]byte, 2, 256)
	if _, err := io.ReadFull(c, buf); err != nil {
		return err
	}
	for {
		_, size, err := element(buf)
		want := size
		if errors.Is(err, errShort) {
			want = len(buf) + 1
		} else if err != nil || size > 4096 {
			return errFrame
		}
		if want == len(buf) {
			break
		}
		at := len(buf)
		buf = append(buf, make([]byte, want-at)...)
		if _, err := io.ReadFull(c, buf[at:]); err != nil {
			return err
		}
	}
	m, err := parseMessage(buf)
	if err != nil || m.id != 1 || m.op != opExtendedAnswer {
		return errFrame
	}
	code, text, err := parseResult(m.body)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("refused with code %d: %s", code, trimDiagnostic(string(text)))
	}
	return nil
}

// drop closes the connection at once.
func (c *conn) drop(cause error) { c.frame.fail(cause) }

// bye closes an idle connection in order; it blocks for drainTime at most.
func (c *conn) bye() {
	c.frame.mu.Lock()
	c.frame.orderly, c.frame.onDead = true, nil
	c.frame.mu.Unlock()
	timer := time.AfterFunc(2*drainTime, func() { c.frame.fail(errDead) })
	defer timer.Stop()
	_ = c.ldap.Unbind()
	c.frame.fail(errDead)
}

// answer is what came of one request.
type answer struct {
	code int    // result code; noCode when none was seen
	text string // the DC's diagnostic message
	sent bool   // at least one byte reached the socket
	err  error  // why there is no code
}

// errTimeout ends a request that had no answer within its limit.
var errTimeout = fmt.Errorf("directory: no answer in time: %w", context.DeadlineExceeded)

// watch guards one request: when ctx or the limit ends, the socket is closed,
// because a request cannot be taken back and its late answer would change the
// connection's state. release ends the guard; when it came too late the
// connection is dead from then on, whatever the answer was.
func (c *conn) watch(ctx context.Context, limit time.Duration) (release func()) {
	c.guard.Reset(limit)
	stop := context.AfterFunc(ctx, func() { c.frame.fail(context.Cause(ctx)) })
	return func() {
		if !c.guard.Stop() {
			c.frame.fail(errTimeout)
		}
		if !stop() {
			c.frame.fail(context.Cause(ctx))
		}
	}
}

// bind sends one simple bind and returns the verdict. Code 0 is returned only
// when go-ldap and the framing connection agree. The caller has checked name and
// password.
func (c *conn) bind(ctx context.Context, limit time.Duration, name string, password []byte) answer {
	if name == "" || len(password) == 0 {
		return answer{code: noCode, err: errors.New("directory: empty name or password")}
	}
	before := c.frame.raw.written()
	c.frame.arm(0)
	release := c.watch(ctx, limit)
	err := c.sendBind(name, password)
	release()
	return c.settle(err, before)
}

// search sends one search and collects the entries. The result is nil unless
// the DC finished it with code 0 or 4.
func (c *conn) search(ctx context.Context, limit time.Duration, req *ldap.SearchRequest) (*ldap.SearchResult, answer) {
	return c.collect(ctx, limit, req.SizeLimit, func() (*ldap.SearchResult, error) { return c.sendSearch(req) })
}

// page is search for one page of a paged search, which go-ldap sends: it reads the
// control that comes back.
func (c *conn) page(ctx context.Context, limit time.Duration, req *ldap.SearchRequest, size int) (*ldap.SearchResult, answer) {
	return c.collect(ctx, limit, size, func() (*ldap.SearchResult, error) { return c.ldap.Search(req) })
}

func (c *conn) collect(ctx context.Context, limit time.Duration, entries int, send func() (*ldap.SearchResult, error)) (*ldap.SearchResult, answer) {
	before := c.frame.raw.written()
	c.frame.arm(entries)
	release := c.watch(ctx, limit)
	res, err := send()
	release()
	a := c.settle(err, before)
	if a.err != nil || (a.code != ldap.LDAPResultSuccess && a.code != ldap.LDAPResultSizeLimitExceeded) {
		return nil, a
	}
	return res, a
}

// settle joins what go-ldap says with what the framing connection saw.
func (c *conn) settle(err error, before uint64) answer {
	a := answer{code: noCode, sent: c.frame.raw.written() != before}
	seen := c.frame.answer()
	var e *ldap.Error
	switch {
	case err == nil && seen == 0:
		a.code = 0
		return a
	case errors.As(err, &e) && e.ResultCode < 200 && int(e.ResultCode) == seen && seen != 0:
		a.code, a.text = seen, trimDiagnostic(e.Err.Error())
		return a
	case err == nil:
		err = errors.New("directory: go-ldap reports success without a result code 0 on the wire")
	}
	if cause := c.frame.cause(); cause != nil {
		err = cause
	}
	a.err = err
	return a
}
