package ptatest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/coder/websocket"

	"sallyport/ptaagent/ptatest/internal/binxml"
)

// errClosing: the agent answered a signal with ConnectorIsClosingFault.
var errClosing = errors.New("the agent is closing")

// answer is the reply to a signal.
type answer struct {
	agent string
	err   error
}

// relayed is one relayed connection, of which the cloud is the initiator (8.2).
// The read loop owns in and reader; mu guards the rest.
type relayed struct {
	cloud    *Cloud
	ws       *websocket.Conn
	ctx      context.Context
	stop     context.CancelFunc
	in       *bufio.Reader
	reader   binxml.Reader
	endpoint Endpoint
	meeting  *meeting
	host     *link
	faults   Faults
	over     chan struct{}

	mu      sync.Mutex
	session binxml.Session
	calls   map[string]chan answer // by message id
	late    map[string]bool        // calls that were given up
	rm      rmState
	ending  bool // we sent End
	done    bool
}

func (r *relayed) refuse(format string, args ...any) error {
	return r.cloud.diary.refuse("session", format, args...)
}

func (r *relayed) ended() bool {
	select {
	case <-r.over:
		return true
	case <-r.ctx.Done():
		return true
	default:
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.ending
	}
}

// finish wakes all who wait.
func (r *relayed) finish(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return
	}
	r.done = true
	close(r.over)
	if b := (*broken)(nil); err == nil || !errors.As(err, &b) {
		err = errors.Join(errGone, err) // nobody broke a rule: another link is tried
	}
	for id, ch := range r.calls {
		ch <- answer{err: fmt.Errorf("relayed connection: %w", err)}
		delete(r.calls, id)
	}
	select {
	case r.meeting.failed <- err:
	default:
	}
}

func (r *relayed) put(b []byte) error {
	f := r.cloud.fault()
	if r.faults.Piece > 0 || r.faults.RelayDelay > 0 {
		f = r.faults
	}
	return putPieces(r.ctx, r.ws, b, f)
}

// via is the relay address without trailing slash (8.2).
func (r *relayed) via() string { return "sb://" + r.endpoint.Host() + "/" + r.endpoint.Path }

// serve makes the preamble and the session, then reads until the end.
func (r *relayed) serve() error {
	if err := r.preamble(); err != nil {
		return err
	}
	ack, err := r.in.ReadByte()
	if err != nil {
		return err
	}
	if r.faults.Frame != "" {
		if ack == 0x0b {
			return r.refuse("a preamble disturbed by %q was acknowledged (8.2)", r.faults.Frame)
		}
		return errGone
	}
	if ack != 0x0b {
		return r.refuse("%#02x instead of the preamble ack (8.2)", ack)
	}
	if r.endpoint.Reliable {
		if err := r.createSequence(); err != nil {
			return err
		}
	} else {
		r.up()
	}
	stop := make(chan struct{})
	defer close(stop)
	go r.pings(stop)
	for {
		more, err := r.record()
		if err != nil || !more {
			return err
		}
	}
}

// up tells that signals may be sent.
func (r *relayed) up() {
	r.cloud.diary.add(Record{Kind: Established, Endpoint: r.endpoint.Name()})
	r.meeting.ready <- r
}

// preamble sends version, mode, via, encoding and end (8.2), or a disturbed one.
func (r *relayed) preamble() error {
	via := r.via()
	b := []byte{0, 1, 0, 1, 2, 2}
	b = append(binxml.AppendInt(b, len(via)), via...)
	b = append(b, 3, 8, 0x0c)
	switch r.faults.Frame {
	case FrameFault:
		const fault = "http://schemas.microsoft.com/ws/2006/05/framing/faults/EndpointUnavailable"
		b = append(binxml.AppendInt([]byte{8}, len(fault)), fault...)
	case FrameUpgrade:
		const upgrade = "application/ssl-tls"
		b = append(binxml.AppendInt(append(b[:len(b)-1], 9), len(upgrade)), upgrade...)
	case FrameVersion:
		b[1] = 9
	case FrameSingleton:
		b[4] = 1
	case FrameTruncated:
		_ = r.put(b[:len(b)/2])
		return errors.New("the preamble was cut off")
	}
	return r.put(b)
}

// pings sends Ping messages (8.4); from the second on they use the session table.
func (r *relayed) pings(stop chan struct{}) {
	t := time.NewTicker(r.cloud.policy.PingEvery)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			r.mu.Lock()
			_ = r.envelope(func(w *binxml.Writer) {
				begin(w)
				header(w, "Action", "Ping", true)
				header(w, "To", r.via(), true)
				w.End()
				w.Start("s", "Body")
				w.Content()
				w.Start("", "Ping")
				w.Declare("", nsConnect)
				w.End()
				w.End()
				w.End()
			})
			r.mu.Unlock()
		}
	}
}

// envelope writes one sized envelope; the caller holds mu, so that session
// strings and messages leave in one order.
func (r *relayed) envelope(fill func(w *binxml.Writer)) error {
	if r.ending {
		return errGone
	}
	w := binxml.NewWriter(&r.session)
	fill(w)
	return r.sized(w.Envelope())
}

// sized writes a payload as one record (8.2).
func (r *relayed) sized(payload []byte) error {
	return r.put(append(binxml.AppendInt([]byte{6}, len(payload)), payload...))
}

// record reads one record; more is false after an orderly end.
func (r *relayed) record() (more bool, err error) {
	code, err := r.in.ReadByte()
	if err != nil {
		if err == io.EOF || websocket.CloseStatus(err) != -1 {
			r.mu.Lock()
			ending := r.ending
			r.mu.Unlock()
			if !ending {
				return false, r.refuse("the WebSocket was closed without an end record (8.2)")
			}
		}
		return false, err
	}
	switch code {
	case 0x07:
		r.mu.Lock()
		ending := r.ending
		r.ending = true
		if !ending {
			_ = r.put([]byte{7})
		}
		r.mu.Unlock()
		_ = r.ws.Close(websocket.StatusNormalClosure, "")
		return false, nil
	case 0x06:
		b, err := r.payload(65536)
		if err != nil {
			return false, err
		}
		doc, err := r.reader.Envelope(b)
		if err != nil {
			return false, r.refuse("envelope: %v (8.3)", err)
		}
		e, err := readEnvelope(doc)
		if err != nil {
			return false, r.refuse("envelope: %v (8.3)", err)
		}
		return true, r.take(e)
	case 0x08:
		b, err := r.payload(1024)
		if err != nil {
			return false, err
		}
		return false, r.refuse("framing fault %q (8.2)", clip(string(b)))
	}
	return false, r.refuse("record %#02x (8.2)", code)
}

// payload reads a length and so many bytes.
func (r *relayed) payload(limit int) ([]byte, error) {
	var size []byte
	for {
		b, err := r.in.ReadByte()
		if err != nil {
			return nil, err
		}
		if size = append(size, b); b < 0x80 {
			break
		}
		if len(size) == 5 {
			return nil, r.refuse("a length of more than five bytes (8.2)")
		}
	}
	n, _, err := binxml.ReadInt(size)
	if err != nil || n > limit {
		return nil, r.refuse("a record of %d bytes, %v (8.2)", n, err)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r.in, b)
	return b, err
}

// take judges a message of the agent.
func (r *relayed) take(e *envelope) error {
	if r.endpoint.Reliable {
		fresh, err := r.takeReliable(e)
		if err != nil || !fresh {
			return err
		}
	} else if e.sequence != nil || e.ack != nil || e.ackRequested != nil {
		return r.refuse("reliable messaging in a plain session (8.5)")
	}
	agent, err := e.signalReply()
	if err != nil && !errors.Is(err, errClosing) {
		return r.refuse("%v (9)", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ch := r.calls[e.relatesTo]
	if r.late[e.relatesTo] {
		delete(r.late, e.relatesTo)
		return nil
	}
	if ch == nil {
		return r.refuse("a reply to %q, which is no open call (8.5)", clip(e.relatesTo))
	}
	delete(r.calls, e.relatesTo)
	ch <- answer{agent, err}
	return nil
}

// call sends one signal and waits for its acknowledgement.
func (r *relayed) call(ctx context.Context, s *signal, f Faults) (string, error) {
	id := newGUID()
	ch := make(chan answer, 1)
	r.mu.Lock()
	if r.done || r.ending {
		r.mu.Unlock()
		return "", errGone
	}
	r.calls["urn:uuid:"+id] = ch
	var err error
	switch {
	case f.Envelope != nil:
		err = r.sized(f.Envelope)
	case r.endpoint.Reliable:
		err = r.sendReliable(id, s, f)
	default:
		err = r.envelope(func(w *binxml.Writer) { r.signal(w, id, s, nil) })
	}
	r.mu.Unlock()
	if err != nil {
		return "", errGone
	}
	defer func() {
		r.mu.Lock()
		delete(r.calls, "urn:uuid:"+id)
		r.mu.Unlock()
	}()
	wait := time.NewTimer(r.cloud.policy.AckWithin)
	defer wait.Stop()
	select {
	case a := <-ch:
		return a.agent, a.err
	case <-ctx.Done():
		r.mu.Lock()
		r.late["urn:uuid:"+id] = true
		r.mu.Unlock()
		return "", ctx.Err()
	case <-wait.C:
		if f.Envelope != nil || f.UnknownSequence || r.cloud.fault().RelayDelay > 0 {
			return "", errGone
		}
		return "", r.refuse("a signal was not acknowledged within %s (9)", r.cloud.policy.AckWithin)
	}
}

// signal writes a SignalConnector envelope; extra adds header blocks.
func (r *relayed) signal(w *binxml.Writer, id string, s *signal, extra func(w *binxml.Writer)) {
	begin(w)
	if extra != nil {
		extra(w)
	}
	w.Start("a", "Action")
	w.Attr("s", "mustUnderstand", "1")
	w.Session(actionSignal)
	w.End()
	uniqueID(w, "a", "MessageID", id)
	replyTo(w)
	header(w, "To", r.via(), true)
	w.End()
	w.Start("s", "Body")
	s.write(w)
	w.End()
	w.End()
}

func replyTo(w *binxml.Writer) {
	w.Start("a", "ReplyTo")
	w.Start("a", "Address")
	w.Known(anonymous)
	w.End()
	w.End()
}

// uniqueID writes an element whose text is urn:uuid:id.
func uniqueID(w *binxml.Writer, prefix, name, id string) {
	g, _ := parseGUID(id)
	w.Start(prefix, name)
	w.UniqueID(g)
	w.End()
}

// hangUp closes in the orderly way: end of the sequence, End record, and the
// agent's End within two seconds.
func (r *relayed) hangUp() {
	r.mu.Lock()
	if r.ending || r.done {
		r.mu.Unlock()
		return
	}
	if r.endpoint.Reliable {
		r.terminate()
	}
	r.ending = true
	_ = r.put([]byte{7})
	r.mu.Unlock()
	select {
	case <-r.over:
	case <-r.ctx.Done():
	case <-time.After(2 * time.Second):
		_ = r.refuse("the end record was not answered within two seconds (8.2)")
		r.stop()
	}
}
