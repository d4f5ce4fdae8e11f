package ptatest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"sallyport/ptaagent/ptatest/internal/amqp"
)

// The sub-protocols of the relay (7.1).
const (
	protoSignal     = "wsrelayedamqp"
	protoRendezvous = "wsrelayedconnection"
)

// stage is how far an AMQP conversation has come (7.2).
type stage int

const (
	wantSASL stage = iota
	wantInit
	wantAMQP
	wantOpen
	wantBegin
	running
	closing
)

// side is one of the two links of a pair.
type side struct {
	name     string
	handle   uint32
	tracking string
	attached bool
}

// link is one signalling connection: two AMQP links, of which one takes
// notifications. The read loop owns stage and the sides; mu guards the rest.
type link struct {
	cloud *Cloud
	ws    *websocket.Conn
	host  string
	ctx   context.Context
	stop  context.CancelFunc

	stage    stage
	out, in  side
	timer    *time.Timer // SAS expiry
	frozen   atomic.Bool
	sendLock sync.Mutex

	mu         sync.Mutex
	endpoint   Endpoint
	known      bool // endpoint is set
	ready      bool
	listened   bool // was ready once
	credit     uint32
	count      uint32 // deliveries so far
	nextOut    uint32 // next transfer id
	window     uint32 // how many transfers the agent takes
	inHandle   uint32
	deliveries map[uint32]chan error
	relayed    *relayed
	opening    chan struct{} // closed when the opening of relayed is over
}

// relay plays the relay's WebSocket endpoint; the sub-protocol picks the part.
func (c *Cloud) relay(w http.ResponseWriter, r *http.Request, host string) {
	f := c.fault()
	if f.LinkStatus != 0 {
		w.WriteHeader(f.LinkStatus)
		return
	}
	offered := r.Header.Values("Sec-WebSocket-Protocol")
	if len(offered) != 1 || offered[0] != protoSignal && offered[0] != protoRendezvous {
		http.Error(w, c.diary.refuse("relay", "sub-protocol %q (7.1, 8.1)", offered).Error(), http.StatusBadRequest)
		return
	}
	if r.Header.Get("Authorization") != "" || r.Header.Get("ServiceBusAuthorization") != "" || r.URL.RawQuery != "" {
		http.Error(w, c.diary.refuse("relay", "credentials or a query in the upgrade (7.1)").Error(), http.StatusBadRequest)
		return
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: offered, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		_ = c.diary.refuse("relay", "upgrade: %v (7.1)", err)
		return
	}
	defer func() { _ = ws.CloseNow() }()
	ws.SetReadLimit(128 << 10)
	if !c.enter() {
		return
	}
	defer c.work.Done()
	if offered[0] == protoRendezvous {
		c.rendezvous(ws, host)
		return
	}
	l := &link{cloud: c, ws: ws, host: host, deliveries: map[uint32]chan error{}, nextOut: 1}
	l.ctx, l.stop = context.WithCancel(c.ctx)
	defer l.stop()
	c.mu.Lock()
	c.links[l] = true
	c.mu.Unlock()
	l.serve()
}

// serve reads until the conversation is over.
func (l *link) serve() {
	err := l.loop()
	l.stop()
	if l.timer != nil {
		l.timer.Stop()
	}
	l.cloud.mu.Lock()
	delete(l.cloud.links, l)
	l.cloud.mu.Unlock()
	l.mu.Lock()
	was, name := l.listened, l.endpoint.Name()
	l.ready = false
	for id, ch := range l.deliveries {
		ch <- errGone
		delete(l.deliveries, id)
	}
	l.mu.Unlock()
	if was {
		l.cloud.diary.add(Record{Kind: Gone, Endpoint: name, Detail: fmt.Sprint(err)})
	}
}

// errGone: the link ended.
var errGone = errors.New("the link ended")

func (l *link) loop() error {
	keep := time.NewTicker(l.cloud.policy.KeepAlive)
	defer keep.Stop()
	stop := context.AfterFunc(l.ctx, func() { _ = l.ws.CloseNow() })
	defer stop()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-keep.C:
				_ = l.write(amqp.Append(nil, amqp.Frame{}))
			case <-done:
				return
			}
		}
	}()
	for l.stage != closing {
		ctx, cancel := context.WithTimeout(l.ctx, l.cloud.policy.MaxSilence)
		kind, message, err := l.ws.Read(ctx)
		silent := ctx.Err() == context.DeadlineExceeded
		cancel()
		if l.frozen.Load() {
			<-l.ctx.Done()
			return errGone
		}
		switch {
		case silent:
			return l.refuse("nothing was sent for %s, not even an empty frame (7.2 row 16)", l.cloud.policy.MaxSilence)
		case err != nil:
			return err
		case kind != websocket.MessageBinary:
			return l.refuse("a text message (7.1)")
		}
		if err := l.message(message); err != nil {
			l.farewell(err)
			return err
		}
	}
	_ = l.ws.Close(websocket.StatusNormalClosure, "")
	return nil
}

func (l *link) refuse(format string, args ...any) error {
	return l.cloud.diary.refuse("link", format, args...)
}

// farewell tells the reason in a close frame, where the conversation has one.
func (l *link) farewell(err error) {
	if l.stage >= wantBegin {
		_ = l.send(amqp.Frame{Code: amqp.CodeClose, Fields: []any{amqpError("amqp:not-allowed", err.Error())}})
	}
	_ = l.ws.Close(websocket.StatusPolicyViolation, "see the records")
}

func amqpError(condition Condition, text string) amqp.Described {
	return amqp.Described{Descriptor: uint64(amqp.CodeError), Value: []any{amqp.Symbol(condition), text}}
}

// message takes one WebSocket message: a protocol header or exactly one frame (7.1).
func (l *link) message(b []byte) error {
	switch l.stage {
	case wantSASL:
		if string(b) != amqp.HeaderSASL {
			return l.refuse("%x instead of the SASL header (7.2 row 1)", b[:min(len(b), 16)])
		}
		l.stage = wantInit
		mechanisms := amqp.Array{amqp.Symbol("MSSBCBS"), amqp.Symbol("PLAIN"), amqp.Symbol("ANONYMOUS"), amqp.Symbol("EXTERNAL")}
		return errors.Join(l.write([]byte(amqp.HeaderSASL)), l.send(amqp.Frame{Type: amqp.TypeSASL, Code: amqp.CodeMechanisms, Fields: []any{mechanisms}}))
	case wantAMQP:
		if string(b) != amqp.HeaderAMQP {
			return l.refuse("%x instead of the AMQP header (7.2 row 6)", b[:min(len(b), 16)])
		}
		l.stage = wantOpen
		return l.write([]byte(amqp.HeaderAMQP))
	}
	f, err := amqp.ReadFrame(b)
	if err != nil {
		return l.refuse("%v (7.1: one complete frame in one message)", err)
	}
	if l.stage == wantInit {
		return l.saslInit(f)
	}
	if f.Type != amqp.TypeAMQP {
		return l.refuse("a SASL frame after the AMQP header")
	}
	if f.Code == 0 {
		if l.stage == wantOpen {
			return l.refuse("an empty frame before open (18.2)")
		}
		return nil
	}
	if len(f.Payload) != 0 {
		return l.refuse("a payload behind frame %#x", f.Code)
	}
	switch {
	case f.Code == amqp.CodeOpen && l.stage == wantOpen:
		return l.open(f)
	case f.Code == amqp.CodeBegin && l.stage == wantBegin:
		return l.begin(f)
	case f.Code == amqp.CodeClose && l.stage > wantOpen:
		l.stage = closing
		return l.send(amqp.Frame{Code: amqp.CodeClose})
	case l.stage != running:
		return l.refuse("frame %#x at the wrong time (7.2)", f.Code)
	}
	switch f.Code {
	case amqp.CodeAttach:
		return l.attach(f)
	case amqp.CodeFlow:
		return l.flow(f)
	case amqp.CodeDisposition:
		return l.disposition(f)
	case amqp.CodeDetach:
		return l.detach(f)
	case amqp.CodeEnd:
		l.retire()
		return l.send(amqp.Frame{Code: amqp.CodeEnd})
	}
	return l.refuse("frame %#x, which a listener does not send (7.2)", f.Code)
}

// retire takes the link out of the listeners.
func (l *link) retire() {
	l.mu.Lock()
	l.ready = false
	l.mu.Unlock()
	l.cloud.diary.poke()
}

func (l *link) saslInit(f *amqp.Frame) error {
	response, _ := f.Field(1).([]byte)
	switch {
	case f.Type != amqp.TypeSASL || f.Code != amqp.CodeInit:
		return l.refuse("frame %#x instead of SASL init (7.2 row 4)", f.Code)
	case f.Field(0) != amqp.Symbol("EXTERNAL"):
		return l.refuse("SASL mechanism %v (7.2 row 4)", f.Field(0))
	case len(response) != 0 || f.Field(2) != nil:
		return l.refuse("SASL init with a response or host name (7.2 row 4)")
	}
	l.stage = wantAMQP
	return l.send(amqp.Frame{Type: amqp.TypeSASL, Code: amqp.CodeOutcome, Fields: []any{uint8(0)}})
}

func (l *link) open(f *amqp.Frame) error {
	container, _ := f.Field(0).(string)
	name, _ := f.Field(1).(string)
	size, _ := f.Field(2).(uint32)
	label, rest, _ := strings.Cut(l.host, ".")
	switch {
	case container == "":
		return l.refuse("open without container id (7.2 row 7)")
	case !strings.EqualFold(name, label+"-relay."+rest):
		return l.refuse("open with host name %q instead of %q (7.2 row 7)", clip(name), label+"-relay."+rest)
	case size < 512 || size > 65536:
		return l.refuse("open with max-frame-size %v (7.2 row 7)", f.Field(2))
	case f.Field(4) != nil:
		return l.refuse("open with idle-time-out %v (7.2 row 7)", f.Field(4))
	}
	l.stage = wantBegin
	return l.send(amqp.Frame{Code: amqp.CodeOpen, Fields: []any{"relay-" + newGUID(), nil, uint32(65536), uint16(8191)}})
}

func (l *link) begin(f *amqp.Frame) error {
	incoming, ok := f.Field(2).(uint32)
	if _, outgoing := f.Field(3).(uint32); f.Field(0) != nil || !ok || !outgoing || incoming == 0 {
		return l.refuse("begin with remote-channel %v, windows %v and %v (7.2 row 9)", f.Field(0), f.Field(2), f.Field(3))
	}
	l.mu.Lock()
	l.window = incoming
	l.mu.Unlock()
	l.stage = running
	return l.send(amqp.Frame{Code: amqp.CodeBegin, Fields: []any{f.Channel, uint32(1), uint32(5000), uint32(5000), uint32(262143)}})
}

// send writes one frame as one message, or cut by the fault.
func (l *link) send(f amqp.Frame) error { return l.write(amqp.Append(nil, f)) }

func (l *link) write(b []byte) error {
	l.sendLock.Lock()
	defer l.sendLock.Unlock()
	return l.put(b)
}

// put writes with the lock held.
func (l *link) put(b []byte) error {
	if l.frozen.Load() {
		return nil
	}
	return putPieces(l.ctx, l.ws, b, l.cloud.fault())
}

// putPieces writes bytes to a WebSocket, cut and delayed by the faults.
func putPieces(ctx context.Context, ws *websocket.Conn, b []byte, f Faults) error {
	size := f.Piece
	if size <= 0 {
		size = max(len(b), 1)
	}
	for len(b) > 0 {
		if f.RelayDelay > 0 {
			select {
			case <-time.After(f.RelayDelay):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		n := min(size, len(b))
		if err := ws.Write(ctx, websocket.MessageBinary, b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
