package directory

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Protocol operation tags of RFC 4511 that may appear on our connections.
const (
	opBindRequest    = 0x60
	opBindResponse   = 0x61
	opUnbindRequest  = 0x42
	opSearchRequest  = 0x63
	opSearchEntry    = 0x64
	opSearchDone     = 0x65
	opSearchRef      = 0x73
	opExtendedAnswer = 0x78
)

// Caps on what a DC may send in answer to one request.
const (
	maxBindMessage    = 64 << 10
	maxServiceMessage = 4 << 20
	maxReferences     = 64
	noCode            = -1
)

var (
	errOutstanding = errors.New("directory: a request is outstanding on this connection")
	errPurpose     = errors.New("directory: this connection carries binds only")
	errDead        = errors.New("directory: connection is closed")
)

// noticeError is a notice of disconnection (RFC 4511 section 4.4.1).
type noticeError struct{ code int }

func (e *noticeError) Error() string {
	return fmt.Sprintf("directory: notice of disconnection, code %d", e.code)
}

// frameConn sits between us, go-ldap and TLS. It hands over only whole messages
// that it has parsed itself and found to answer the one outstanding request;
// anything else kills the connection. The result code it saw is one half of
// every bind verdict.
//
// Read is called by go-ldap's reader goroutine only and owns the buffer; the
// fields under mu are shared with Write, the requester and the pool.
type frameConn struct {
	net.Conn // the TLS connection
	raw      *countConn
	cap      int // bytes one answer may have, all its messages together

	buf              []byte
	start, seen, end int // buf[start:seen] is verified, buf[seen:end] is not

	mu       sync.Mutex
	bindOnly bool
	orderly  bool
	await    int64 // messageID of the outstanding request, 0 for none
	awaitOp  byte
	code     int      // result code seen for the last request, noCode until then
	entries  int      // entries it may still send
	refs     int      // references it may still send
	left     int      // bytes it may still send
	direct   bool     // the outstanding request was sent by exchange
	got      [][]byte // its messages until the last one
	dead     error
	onDead   func()

	answers chan [][]byte // to exchange; has room for the one answer
	gone    chan struct{} // closed when dead is set
}

func newFrameConn(secured net.Conn, raw *countConn, limit int) *frameConn {
	return &frameConn{Conn: secured, raw: raw, cap: limit, code: noCode, left: limit, answers: make(chan [][]byte, 1), gone: make(chan struct{})}
}

// fail marks the connection dead for cause, closes the socket and tells the
// pool. The first cause stays.
func (f *frameConn) fail(cause error) {
	f.mu.Lock()
	first := f.dead == nil
	var told func()
	if first {
		f.dead = cause
		close(f.gone)
		told = f.onDead
	}
	f.mu.Unlock()
	if first {
		_ = f.raw.Close()
		if told != nil {
			told()
		}
	}
}

// cause returns why the connection is dead, nil while it lives.
func (f *frameConn) cause() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

// clean reports that the connection may carry another request.
func (f *frameConn) clean() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead == nil && f.await == 0
}

// answer returns the result code seen for the last request, noCode for none.
func (f *frameConn) answer() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.code
}

// arm forgets the last answer and sets how many entries the next request may be
// answered with.
func (f *frameConn) arm(entries int) {
	f.mu.Lock()
	f.code, f.entries, f.refs, f.left = noCode, entries, maxReferences, f.cap
	f.mu.Unlock()
}

// restrict makes this a bind connection for good.
func (f *frameConn) restrict() {
	f.mu.Lock()
	f.bindOnly = true
	f.mu.Unlock()
}

// Write sends one whole request, as go-ldap hands it over. A second request
// while one is outstanding is refused without a byte on the wire. The
// requester's watch over the connection bounds the write: it closes the socket.
func (f *frameConn) Write(p []byte) (int, error) {
	m, err := parseMessage(p)
	if err != nil {
		f.fail(err)
		return 0, err
	}
	if err := f.admit(m, false); err != nil {
		return 0, err
	}
	n, err := f.Conn.Write(p)
	if err != nil {
		f.fail(fmt.Errorf("directory: write: %w", err))
	}
	return n, err
}

// admit registers a request as outstanding; direct says that the answer goes to
// exchange and not to go-ldap.
func (f *frameConn) admit(m message, direct bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.dead != nil:
		return errDead
	case m.op == opUnbindRequest:
		return nil
	case f.await != 0:
		return errOutstanding
	case m.id == 0:
		return errPurpose
	case m.op == opBindRequest, m.op == opSearchRequest && !f.bindOnly:
		f.await, f.awaitOp, f.code, f.direct = m.id, m.op, noCode, direct
		return nil
	default:
		return errPurpose
	}
}

// Close implements [net.Conn]; go-ldap calls it when its reader ends.
func (f *frameConn) Close() error {
	f.mu.Lock()
	orderly := f.orderly && f.dead == nil
	f.mu.Unlock()
	if orderly {
		_ = f.raw.SetWriteDeadline(time.Now().Add(drainTime))
		_ = f.Conn.Close()
	}
	f.fail(errDead)
	return nil
}

// Read implements [net.Conn].
func (f *frameConn) Read(p []byte) (int, error) {
	for f.start == f.seen {
		if err := f.fill(); err != nil {
			f.fail(err)
			return 0, err
		}
	}
	n := copy(p, f.buf[f.start:f.seen])
	f.start += n
	return n, nil
}

// fill reads until one more whole message is in the buffer and checked; one that
// answers exchange is put aside. The
// buffer grows with what arrives, never with what a length field promises.
func (f *frameConn) fill() error {
	if f.start == f.end {
		f.start, f.seen, f.end = 0, 0, 0
		if cap(f.buf) > maxBindMessage {
			f.buf = nil
		}
	}
	if f.buf == nil {
		f.buf = make([]byte, 2048)
	}
	for {
		_, size, err := element(f.buf[f.seen:f.end])
		switch {
		case err == nil && size > f.allowed():
			return fmt.Errorf("directory: message of %d bytes is over the limit", size)
		case err == nil && f.end-f.seen >= size:
			if err := f.check(f.buf[f.seen : f.seen+size]); err != nil {
				return err
			}
			message := f.buf[f.seen : f.seen+size]
			f.seen += size
			if f.keep(message) {
				f.start = f.seen
			}
			return nil
		case err != nil && !errors.Is(err, errShort):
			return err
		}
		if err := f.more(); err != nil {
			return err
		}
	}
}

func (f *frameConn) more() error {
	if f.end == len(f.buf) {
		if f.start > 0 {
			copy(f.buf, f.buf[f.start:f.end])
			f.seen, f.end, f.start = f.seen-f.start, f.end-f.start, 0
		} else {
			grown := make([]byte, 2*len(f.buf))
			copy(grown, f.buf[:f.end])
			f.buf = grown
		}
	}
	n, err := f.Conn.Read(f.buf[f.end:])
	f.end += n
	if n == 0 && err != nil {
		return fmt.Errorf("directory: read: %w", err)
	}
	return nil
}

func (f *frameConn) allowed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.left
}

// check judges one whole message against the outstanding request.
func (f *frameConn) check(b []byte) error {
	m, err := parseMessage(b)
	if err != nil {
		return err
	}
	if m.id == 0 && m.op == opExtendedAnswer {
		code, _, err := parseResult(m.body)
		if err != nil {
			code = noCode
		}
		return &noticeError{code: code}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.await == 0 || m.id != f.await {
		return fmt.Errorf("directory: answer with messageID %d where %d is awaited", m.id, f.await)
	}
	f.left -= len(b)
	switch {
	case f.awaitOp == opBindRequest && m.op == opBindResponse, f.awaitOp == opSearchRequest && m.op == opSearchDone:
		code, _, err := parseResult(m.body)
		if err != nil {
			return err
		}
		f.code, f.await = code, 0
	case f.awaitOp == opSearchRequest && m.op == opSearchEntry:
		f.entries--
	case f.awaitOp == opSearchRequest && m.op == opSearchRef:
		f.refs--
	default:
		return fmt.Errorf("directory: answer with tag %#x to a request with tag %#x", m.op, f.awaitOp)
	}
	if f.entries < 0 {
		return errTooMany // Samba ignores the size limit
	}
	if f.refs < 0 {
		return errors.New("directory: more references than may be")
	}
	return nil
}

// countConn counts what reaches the socket, below TLS, so that "no byte was
// sent" is a fact and not a guess.
type countConn struct {
	net.Conn
	mu   sync.Mutex
	sent uint64
}

// Write implements [net.Conn].
func (c *countConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.mu.Lock()
	c.sent += uint64(n)
	c.mu.Unlock()
	return n, err
}

func (c *countConn) written() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent
}
