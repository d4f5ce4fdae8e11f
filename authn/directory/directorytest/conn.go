package directorytest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxMessage        = 10_485_760 // MaxReceiveBuffer
	maxAnonymousSamba = 256_000
	handshakeTime     = 120 * time.Second // InitRecvTimeout
	writeTime         = 20 * time.Second
)

// conn is one client connection. Its run goroutine owns every field that is not
// said to be shared.
type conn struct {
	dc     *DC
	number uint64
	raw    net.Conn
	plain  bool // not yet inside TLS

	nc  net.Conn
	br  *bufio.Reader
	buf []byte
	enc encoder

	identity *object // nil when anonymous
	fast     bool    // fast bind mode
	lastID   int64

	wmu     sync.Mutex // one writer at a time on nc
	pending atomic.Int64
	silent  atomic.Bool // shared: the path forgot the connection
	ended   atomic.Bool // shared
	once    sync.Once
	gone    chan struct{} // closed with ended
	done    chan struct{} // closed when run returns
}

func newConn(dc *DC, raw net.Conn, plain bool) *conn {
	return &conn{dc: dc, raw: raw, plain: plain, nc: raw, gone: make(chan struct{}), done: make(chan struct{}), enc: encoder{long: !dc.d.cfg.Samba}}
}

// end ends the connection from any goroutine.
func (c *conn) end(how End) {
	switch how {
	case EndSilent:
		c.silent.Store(true)
		return
	case EndNotice:
		e := encoder{long: c.enc.long}
		e.notice(52) // unavailable
		_ = c.write(e.b)
	case EndReset:
		if t, ok := c.raw.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
	}
	if how != EndReset && !c.plain {
		c.wmu.Lock()
		_ = c.nc.SetWriteDeadline(time.Now().Add(time.Second))
		_ = c.nc.Close() // close_notify first
		c.wmu.Unlock()
	}
	c.ended.Store(true)
	c.once.Do(func() { close(c.gone) })
	_ = c.raw.Close()
}

func (c *conn) write(b []byte) error {
	if c.silent.Load() {
		return nil
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if err := c.nc.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	_, err := c.nc.Write(b)
	return err
}

func (c *conn) violate(format string, args ...any) {
	c.dc.d.rec.violation(fmt.Sprintf("%s connection %d: ", c.dc.Name, c.number) + fmt.Sprintf(format, args...))
}

func (c *conn) run() {
	defer close(c.done)
	defer c.raw.Close()
	f := c.dc.strike(OnAccept)
	if f != nil && !c.accepted(f) {
		return
	}
	if !c.plain && !c.handshake() {
		return
	}
	if f != nil && f.Effect == Deaf {
		<-c.gone
		return
	}
	c.br = bufio.NewReaderSize(c.nc, 4096)
	for c.next() {
	}
}

// accepted applies a fault to a new connection and reports whether it goes on.
func (c *conn) accepted(f *Fault) bool {
	if f.Do != nil {
		f.Do()
	}
	switch f.Effect {
	case Stall:
		_, _ = io.Copy(io.Discard, c.raw)
		return false
	case Disconnected:
		how := f.End
		if how == EndNotice {
			how = EndClose // there is no TLS yet to say anything in
		}
		c.end(how)
		return false
	default:
		return c.hold(f)
	}
}

// hold waits for a fault's delay and gate, and reports false when the server
// closed the connection meanwhile.
func (c *conn) hold(f *Fault) bool {
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.done:
			return false
		case <-c.gone:
			return false
		}
	}
	if f.Gate != nil {
		select {
		case <-f.Gate:
		case <-c.done:
			return false
		case <-c.gone:
			return false
		}
	}
	return !c.ended.Load()
}

func (c *conn) handshake() bool {
	cfg, err := c.dc.tlsConfig()
	if err != nil {
		return false
	}
	t := tls.Server(c.raw, cfg)
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return false
	}
	c.dc.handshakes.Add(1)
	c.wmu.Lock()
	c.nc, c.plain = t, false
	c.wmu.Unlock()
	return true
}

// next serves one request and reports whether to go on.
func (c *conn) next() bool {
	s := c.dc.settings()
	var deadline time.Time
	if s.IdleTimeout > 0 {
		deadline = time.Now().Add(s.IdleTimeout)
	}
	_ = c.nc.SetReadDeadline(deadline)
	early := c.br.Buffered() > 0
	frame, err := readFrame(c.br, c.buf, c.limit())
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.end(s.IdleEnd)
		if s.IdleEnd == EndSilent {
			_ = c.nc.SetReadDeadline(time.Time{})
			_, _ = io.Copy(io.Discard, c.br)
		}
		return false
	case errors.Is(err, errBER):
		return c.malformed(err)
	case err != nil:
		return false
	}
	c.buf = frame
	if c.silent.Load() {
		return true
	}
	req, err := parseMessage(frame)
	if err != nil {
		return c.malformed(err)
	}
	switch req.op {
	case opUnbindRequest:
		return false
	case opAbandonRequest:
		return true
	}
	waiting := c.pending.Add(1)
	if early && waiting == 1 {
		waiting = 2 // it was sent before the answer to the one before
	}
	raise(&c.dc.outstanding, waiting)
	if waiting > 1 && (!c.fast || req.op != opBindRequest) {
		c.violate("request %d sent before the answer to %d", req.id, c.lastID)
		return false
	}
	return c.serve(req)
}

// limit is the size above which a DC drops the connection.
func (c *conn) limit() int {
	if c.dc.d.cfg.Samba && c.identity == nil {
		return maxAnonymousSamba
	}
	return maxMessage
}

func (c *conn) malformed(err error) bool {
	c.violate("%v", err)
	c.enc.b = c.enc.b[:0]
	c.enc.notice(codeProtocolError)
	_ = c.write(c.enc.b)
	return false
}
