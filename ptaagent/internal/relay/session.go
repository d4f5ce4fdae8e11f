package relay

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"sallyport/ptaagent/internal/binxml"
)

// Call is one request of a session.
type Call struct {
	// Action is its WS-Addressing action, Body its SOAP body.
	Action string
	Body   *binxml.Element
	// Endpoint is the name of the endpoint that it came over.
	Endpoint string
	// Received is when its last byte arrived.
	Received time.Time
}

// Reply is the answer to a [Call].
type Reply struct {
	Action string
	// Write writes the content of the body. It may be called again when the reply is
	// sent again, and must then write the same.
	Write func(w *binxml.Writer)
}

// Handler answers requests. It is called by several sessions at once and should
// return at once: a session's messages wait for it. An error that is a [*Fault]
// goes to the sender as a SOAP fault; any other ends the relayed connection without
// an answer.
type Handler interface {
	Signal(ctx context.Context, c Call) (Reply, error)
}

// Fault is a SOAP fault for the sender.
type Fault struct {
	Action string
	// Receiver says that the fault is ours and not the sender's.
	Receiver bool
	Reason   string
	// Detail writes the content of the detail, nil for none.
	Detail func(w *binxml.Writer)
}

// Error implements error.
func (f *Fault) Error() string { return "relay: " + f.Reason }

type sessionConfig struct {
	conn     net.Conn
	reader   *bufio.Reader
	handler  Handler
	reliable bool
	endpoint string
	metrics  *Metrics
	timing   Timing // complete
}

// session is one request/reply session over a relayed connection. Its reading side
// belongs to serve.
type session struct {
	sessionConfig
	in  binxml.Table
	seq *sequences // nil in a plain session

	mu  sync.Mutex // guards what follows and writes to conn
	out binxml.Table
	// Buffers of a message: its new strings, its document, the whole record.
	table, doc, buf []byte
}

func newSession(c sessionConfig) *session {
	s := &session{sessionConfig: c}
	if c.reliable {
		s.seq = newSequences()
	}
	return s
}

// serve answers requests until the other side ends the session (nil), ctx ends, or
// something arrives that is refused.
func (s *session) serve(ctx context.Context) error {
	defer func() { _ = s.conn.Close() }() // its error says nothing that err does not
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		_ = s.conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = s.conn.Write([]byte{recordEnd})
		s.mu.Unlock()
		_ = s.conn.Close()
	})
	defer stop()
	_ = s.conn.SetReadDeadline(time.Now().Add(s.timing.Rendezvous))
	if _, err := readPreamble(s.reader); err != nil {
		return err
	}
	if err := s.write([]byte{recordPreambleAck}); err != nil {
		return err
	}
	if s.seq != nil {
		done := make(chan struct{})
		var resending sync.WaitGroup
		resending.Go(func() { s.resend(done) })
		defer resending.Wait()
		defer close(done)
	}
	for {
		_ = s.conn.SetReadDeadline(time.Now().Add(s.timing.Idle))
		payload, err := readRecord(s.reader)
		switch {
		case errors.Is(err, io.EOF) && !errors.Is(err, ErrFraming):
			return s.write([]byte{recordEnd})
		case err != nil:
			return ended(err)
		}
		if err := s.message(ctx, payload, time.Now()); err != nil {
			return err
		}
	}
}

// ended tells a connection that simply closed, between two messages, from one that
// broke.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// message takes one envelope.
func (s *session) message(ctx context.Context, payload []byte, received time.Time) error {
	doc, err := s.in.Read(payload)
	if err != nil {
		return err
	}
	m, err := openEnvelope(doc, &s.in, binxml.Limits{})
	if err != nil {
		return err
	}
	if m.ping() && (s.seq == nil || m.header.Child(nsReliable, "Sequence") == nil) {
		return nil
	}
	if s.seq != nil {
		return s.reliableMessage(ctx, m, received)
	}
	return s.call(ctx, m, received)
}

// call hands a request to the handler and sends the reply.
func (s *session) call(ctx context.Context, m *envelope, received time.Time) error {
	if m.messageID == "" {
		return fmt.Errorf("%w: a request without a message id", ErrEnvelope)
	}
	reply, err := s.handler.Signal(ctx, Call{Action: m.action, Body: m.body, Endpoint: s.endpoint, Received: received})
	var fault *Fault
	switch {
	case errors.As(err, &fault):
		reply = fault.reply()
	case err != nil:
		return err
	}
	if s.seq != nil {
		return s.sendReliable(reply, m.messageID)
	}
	return s.send(func(w *binxml.Writer) {
		beginEnvelope(w, false)
		localAction(w, reply.Action)
		relatesTo(w, m.messageID)
		toAnonymous(w)
		reply.Write(w)
		endEnvelope(w)
	})
}

// send encodes a message and writes it as one record.
func (s *session) send(message func(w *binxml.Writer)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sendLocked(message)
}

func (s *session) sendLocked(message func(w *binxml.Writer)) error {
	w := binxml.NewWriter(s.doc[:0], &s.out)
	message(w)
	s.doc = w.Bytes()
	s.table = s.out.AppendFresh(s.table[:0])
	s.buf = appendRecord(s.buf[:0], s.table, s.doc)
	return s.writeLocked(s.buf)
}

func (s *session) write(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeLocked(b)
}

func (s *session) writeLocked(b []byte) error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := s.conn.Write(b)
	if err == nil {
		_ = s.conn.SetWriteDeadline(time.Time{})
	}
	return err
}

// reply is the fault as a message.
func (f *Fault) reply() Reply {
	code := "s:Sender"
	if f.Receiver {
		code = "s:Receiver"
	}
	return Reply{Action: f.Action, Write: func(w *binxml.Writer) { writeFault(w, code, "", f.Reason, f.Detail) }}
}

// writeFault writes a SOAP 1.2 fault (SOAP 1.2 Part 1 §5.4).
func writeFault(w *binxml.Writer, code, subcode, text string, detail func(*binxml.Writer)) {
	w.Start("s", "Fault")
	w.Start("s", "Code")
	w.Start("s", "Value")
	w.Text(code)
	w.End()
	if subcode != "" {
		w.Start("s", "Subcode")
		w.Start("s", "Value")
		w.Text(subcode)
		w.End()
		w.End()
	}
	w.End()
	w.Start("s", "Reason")
	w.Start("s", "Text")
	w.Language("en")
	w.Text(text)
	w.End()
	w.End()
	if detail != nil {
		w.Start("s", "Detail")
		detail(w)
		w.End()
	}
	w.End()
}

func newGUID() string {
	var g [16]byte
	_, _ = rand.Read(g[:]) // never fails
	g[7], g[8] = g[7]&0x0f|0x40, g[8]&0x3f|0x80
	return binxml.FormatGUID(g)
}
