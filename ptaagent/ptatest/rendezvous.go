package ptatest

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/coder/websocket"

	"sallyport/ptaagent/ptatest/internal/binxml"
)

// Names of the relay's messages (7.4, 8.1, 8.4).
const (
	nsSOAP       = "http://www.w3.org/2003/05/soap-envelope"
	nsWSA        = "http://www.w3.org/2005/08/addressing"
	anonymous    = "http://www.w3.org/2005/08/addressing/anonymous"
	relayAnyone  = "http://schemas.microsoft.com/2005/12/ServiceModel/Addressing/Anonymous"
	nsConnect    = "http://schemas.microsoft.com/netservices/2009/05/servicebus/connect"
	nsRelayed    = "http://schemas.microsoft.com/netservices/2009/05/servicebus/relayedconnect"
	nsSerialized = "http://schemas.microsoft.com/2003/10/Serialization/"
)

// meeting is a rendezvous that the cloud waits for.
type meeting struct {
	id     string
	link   *link
	faults Faults
	ready  chan *relayed // gets the connection when its session is up
	failed chan error
}

// notification builds the payload of a transfer (7.4): an envelope that wraps
// another one as bytes.
func (l *link) notification(m *meeting) []byte {
	e := l.endpoint
	address := "sb://" + e.Host() + "/" + e.Path
	instance := instanceHost
	if m.faults.InstanceHost != "" {
		instance = m.faults.InstanceHost
	}
	in := binxml.NewWriter(nil)
	begin(in)
	header(in, "Action", nsRelayed+"/RelayedConnect", true)
	header(in, "To", address+"/", true)
	in.End()
	in.Start("s", "Body")
	in.Content()
	in.Start("", "RelayedConnect")
	in.Declare("", nsRelayed)
	in.Declare("i", nsInstance)
	for _, v := range []struct {
		name string
		text string
		n    int64
	}{
		{name: "Id", text: m.id}, {name: "IpAddress", n: 127 | 1<<24}, {name: "IpPort", n: 9352}, {name: "HttpAddress", n: 127 | 1<<24}, {name: "HttpPort", n: 80},
		{name: "HttpsAddress", n: 127 | 1<<24}, {name: "HttpsPort", n: 443}, {name: "InstanceDnsAddress", text: instance},
	} {
		in.Start("", v.name)
		if v.text != "" {
			in.Text(v.text)
		} else {
			in.Int(v.n)
		}
		in.End()
	}
	in.End()
	in.End()
	in.End()

	w := binxml.NewWriter(nil)
	begin(w)
	header(w, "Action", "OnewaySend", true)
	w.Start("", "RelayVia")
	w.Declare("", nsConnect)
	w.Text(address)
	w.End()
	w.Start("a", "MessageID")
	w.Text(newGUID() + "_G3")
	w.End()
	header(w, "To", address, true)
	w.End()
	w.Start("s", "Body")
	w.Binary(in.Bytes())
	w.End()
	w.End()
	return w.Bytes()
}

// begin opens an envelope up to the content of its header.
func begin(w *binxml.Writer) {
	w.Start("s", "Envelope")
	w.Declare("s", nsSOAP)
	w.Declare("a", nsWSA)
	w.Start("s", "Header")
}

// header writes an addressing header with text.
func header(w *binxml.Writer, name, value string, must bool) {
	w.Start("a", name)
	if must {
		w.Attr("s", "mustUnderstand", "1")
	}
	w.Known(value)
	w.End()
}

// rendezvous plays the relay instance (8.1), then the sender of the session.
func (c *Cloud) rendezvous(ws *websocket.Conn, host string) {
	const part = "rendezvous"
	r := &relayed{cloud: c, ws: ws, calls: map[string]chan answer{}, late: map[string]bool{}, over: make(chan struct{})}
	r.ctx, r.stop = context.WithCancel(c.ctx)
	defer r.stop()
	r.in = bufio.NewReaderSize(&stream{r: r}, 16<<10)
	ctx, cancel := context.WithTimeout(r.ctx, c.policy.AcceptWithin)
	timer := context.AfterFunc(ctx, func() { _ = ws.CloseNow() })
	id, err := r.readAccept()
	timer()
	cancel()
	if err != nil {
		if b := (*broken)(nil); !errors.As(err, &b) {
			_ = c.diary.refuse(part, "accept: %v (8.1)", err)
		}
		return
	}
	c.mu.Lock()
	m := c.meetings[id]
	if m != nil && strings.EqualFold(host, instanceHost) {
		delete(c.meetings, id)
	}
	c.mu.Unlock()
	if m == nil {
		c.diary.add(Record{Kind: Rendezvous, Detail: "unknown id " + id})
		_ = r.put(acceptReply(true))
		_ = ws.Close(websocket.StatusNormalClosure, "")
		return
	}
	c.diary.add(Record{Kind: Rendezvous, Endpoint: m.link.endpoint.Name()})
	r.faults, r.endpoint, r.meeting, r.host = m.faults, m.link.endpoint, m, m.link
	if m.faults.AcceptError {
		_ = r.put(acceptReply(true))
		m.failed <- errors.New("the accept was answered with a fault")
		_ = ws.Close(websocket.StatusNormalClosure, "")
		return
	}
	if err := r.put(acceptReply(false)); err != nil {
		m.failed <- err
		return
	}
	c.mu.Lock()
	c.open[r] = true
	c.mu.Unlock()
	err = r.serve()
	c.mu.Lock()
	delete(c.open, r)
	c.mu.Unlock()
	c.diary.poke()
	r.finish(err)
}

// readAccept reads the length and the RelayedAccept and gives the id.
func (r *relayed) readAccept() (string, error) {
	var size [4]byte
	if _, err := io.ReadFull(r.in, size[:]); err != nil {
		return "", err
	}
	n := binary.LittleEndian.Uint32(size[:])
	if n == 0 || n > 65536 {
		return "", r.cloud.diary.refuse("rendezvous", "accept of %d bytes (8.1)", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.in, b); err != nil {
		return "", err
	}
	doc, err := binxml.Document(b)
	if err != nil {
		return "", err
	}
	e, err := readEnvelope(doc)
	if err != nil {
		return "", err
	}
	if err := e.only("Action", "To"); err != nil {
		return "", err
	}
	if e.action != "RelayedAccept" || e.to != relayAnyone {
		return "", r.cloud.diary.refuse("rendezvous", "Action %q, To %q (8.1)", clip(e.action), clip(e.to))
	}
	id := ""
	if e.body != nil && e.body.Local == "RelayedAccept" && e.body.Space == nsConnect && len(e.body.Children) == 1 {
		if c := e.body.Child(nsConnect, "Id"); c != nil {
			id = c.Text
		}
	}
	if !guidForm.MatchString(id) {
		return "", r.cloud.diary.refuse("rendezvous", "body without RelayedAccept and Id (8.1)")
	}
	return id, nil
}

// acceptReply is the answer to an accept with its length, good or a fault (8.1).
func acceptReply(fault bool) []byte {
	w := binxml.NewWriter(nil)
	begin(w)
	if fault {
		header(w, "Action", nsWSA+"/fault", true)
		w.End()
		w.Start("s", "Body")
		soapFault(w, "s:Sender", "", "The relayed connection was not found.")
	} else {
		header(w, "Action", "RelayedAcceptReply", true)
		w.End()
		w.Start("s", "Body")
		w.Content()
		w.Start("z", "anyType")
		w.Declare("z", nsSerialized)
		w.Declare("i", nsInstance)
		w.End()
	}
	w.End()
	w.End()
	b := w.Bytes()
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// soapFault writes a SOAP 1.2 fault; sub is a subcode with the prefix r or empty.
func soapFault(w *binxml.Writer, code, sub, reason string) {
	w.Start("s", "Fault")
	w.Start("s", "Code")
	w.Start("s", "Value")
	w.Text(code)
	w.End()
	if sub != "" {
		w.Start("s", "Subcode")
		w.Start("s", "Value")
		w.Declare("r", nsRM)
		w.Text(sub)
		w.End()
		w.End()
	}
	w.End()
	w.Start("s", "Reason")
	w.Start("s", "Text")
	w.Attr("xml", "lang", "en-US")
	w.Text(reason)
	w.End()
	w.End()
	w.End()
}

// stream joins binary WebSocket messages to a stream of bytes (7.1).
type stream struct {
	r   *relayed
	cur io.Reader
}

func (s *stream) Read(p []byte) (int, error) {
	for {
		if s.cur == nil {
			kind, message, err := s.r.ws.Reader(s.r.ctx)
			if err != nil {
				return 0, err
			}
			if kind != websocket.MessageBinary {
				return 0, s.r.cloud.diary.refuse("rendezvous", "a text message (7.1)")
			}
			s.cur = message
		}
		n, err := s.cur.Read(p)
		if err == io.EOF {
			s.cur, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// connect gives a relayed connection of the link: a live one, or a new one by
// notification.
func (l *link) connect(ctx context.Context, fresh bool, f Faults, transaction string) (*relayed, error) {
	if fresh {
		return l.dial(ctx, f, transaction)
	}
	for {
		l.mu.Lock()
		r := l.relayed
		l.mu.Unlock()
		if r != nil && !r.ended() {
			return r, nil
		}
		l.mu.Lock()
		if l.relayed != r { // another has opened one meanwhile
			l.mu.Unlock()
			continue
		}
		if l.opening == nil {
			l.opening = make(chan struct{})
			l.mu.Unlock()
			r, err := l.dial(ctx, f, transaction)
			l.mu.Lock()
			l.relayed = r
			close(l.opening)
			l.opening = nil
			l.mu.Unlock()
			return r, err
		}
		wait := l.opening
		l.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// dial notifies the agent and waits until the session is up.
func (l *link) dial(ctx context.Context, f Faults, transaction string) (*relayed, error) {
	c := l.cloud
	m := &meeting{id: newGUID(), link: l, faults: f, ready: make(chan *relayed, 1), failed: make(chan error, 2)}
	if !f.DeadRendezvous {
		c.mu.Lock()
		c.meetings[m.id] = m
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			delete(c.meetings, m.id)
			c.mu.Unlock()
		}()
	}
	payload := f.Notification
	if payload == nil {
		payload = l.notification(m)
	}
	name := l.endpoint.Name()
	c.diary.add(Record{Kind: Notified, Endpoint: name, Transaction: transaction})
	if err := l.deliver(ctx, payload, f); err != nil {
		return nil, err
	}
	c.diary.add(Record{Kind: Taken, Endpoint: name, Transaction: transaction})
	if f.TwiceNotified {
		if err := l.deliver(ctx, payload, f); err != nil {
			return nil, err
		}
	}
	wait := time.NewTimer(c.policy.AcceptWithin)
	defer wait.Stop()
	select {
	case r := <-m.ready:
		return r, nil
	case err := <-m.failed:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.ctx.Done():
		return nil, errGone
	case <-wait.C:
		if f.spoilsRendezvous() {
			return nil, errGone
		}
		return nil, c.diary.refuse("rendezvous", "no connection within %s of the notification (8.1)", c.policy.AcceptWithin)
	}
}

// spoilsRendezvous says that no connection can be expected.
func (f *Faults) spoilsRendezvous() bool {
	return f.DeadRendezvous || f.Notification != nil || f.InstanceHost != "" || f.Frame != "" || f.AcceptError || f.TransferFrame != nil ||
		f.UnknownSequence
}
