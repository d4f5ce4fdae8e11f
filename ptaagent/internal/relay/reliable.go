package relay

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/ptaagent/internal/binxml"
)

// The bounds of a reliable session.
const (
	maxHeld    = 32  // messages that came before the one they follow
	maxUnacked = 128 // replies that nobody has acknowledged
	bufferFree = 8   // what we tell the sender that it may send ahead
	resendMost = 30 * time.Second
)

// ErrSequence says that a message breaks the rules of [WS-RM].
var ErrSequence = fmt.Errorf("%w: reliable session", ErrEnvelope)

// sequences is the state of both directions ([WS-RM] §3). The incoming half belongs
// to the session's reader, the outgoing half to the session's lock.
type sequences struct {
	in       uniqueID // chosen here for the sender's messages
	createID string   // message id of the request that made it
	acksTo   string
	highest  uint64 // all messages up to it have been taken
	held     map[uint64]*held
	ended    bool // the sender's last message has been taken

	out     uniqueID // chosen by the sender for our messages
	sent    uint64
	unacked []*outgoing
}

type held struct {
	m        *envelope
	received time.Time
	last     bool
}

// outgoing is a message of ours until it is acknowledged.
type outgoing struct {
	number uint64
	write  func(w *binxml.Writer)
	again  time.Time
	pause  time.Duration
}

func newSequences() *sequences {
	return &sequences{held: map[uint64]*held{}}
}

// reliableMessage takes one message of a reliable session.
func (s *session) reliableMessage(ctx context.Context, m *envelope, received time.Time) error {
	switch m.action {
	case nsReliable + "/CreateSequence":
		return s.createSequence(m)
	case nsReliable + "/TerminateSequence":
		return s.terminate(m)
	case nsReliable + "/fault", nsAddressing + "/fault", nsAddressing + "/soap/fault":
		return fmt.Errorf("%w: the sender reports %.200q", ErrSequence, m.body.Child(nsSOAP, "Fault").Child(nsSOAP, "Reason").Child(nsSOAP, "Text").Text())
	}
	if s.seq.in == "" {
		return fmt.Errorf("%w: %.80q before there is a sequence", ErrSequence, m.action)
	}
	if ack := m.header.Child(nsReliable, "SequenceAcknowledgement"); ack != nil {
		if err := s.acknowledged(ack); err != nil {
			return err
		}
	}
	asked := m.header.Child(nsReliable, "AckRequested")
	if asked != nil {
		if id := asked.Child(nsReliable, "Identifier").Text(); uniqueID(id) != s.seq.in {
			return s.unknownSequence(id)
		}
	}
	sequence := m.header.Child(nsReliable, "Sequence")
	if sequence == nil {
		if asked != nil {
			return s.acknowledge()
		}
		if m.header.Child(nsReliable, "SequenceAcknowledgement") == nil {
			return fmt.Errorf("%w: %.80q belongs to no sequence", ErrSequence, m.action)
		}
		return nil
	}
	return s.numbered(ctx, m, sequence, received)
}

// createSequence makes both sequences; a request that is sent again gets the same
// answer.
func (s *session) createSequence(m *envelope) error {
	q := s.seq
	body := m.body.Child(nsReliable, "CreateSequence")
	offered := body.Child(nsReliable, "Offer").Child(nsReliable, "Identifier").Text()
	switch {
	case m.messageID == "" || m.to == "" || offered == "" || len(offered) > 256:
		return fmt.Errorf("%w: a sequence is asked for without message id, address or offer", ErrSequence)
	case q.in != "" && (q.createID != m.messageID || string(q.out) != offered):
		return fmt.Errorf("%w: a second sequence is asked for", ErrSequence)
	case q.in == "":
		q.in, q.createID, q.acksTo = newUniqueID(), m.messageID, m.to
		s.mu.Lock()
		q.out = uniqueID(offered)
		s.mu.Unlock()
	}
	return s.send(func(w *binxml.Writer) { writeCreated(w, m.messageID, q.in, q.acksTo) })
}

func writeCreated(w *binxml.Writer, request string, id uniqueID, acksTo string) {
	beginEnvelope(w, false)
	staticAction(w, nsReliable+"/CreateSequenceResponse")
	relatesTo(w, request)
	toAnonymous(w)
	w.Start("", "CreateSequenceResponse")
	w.Space("", nsReliable)
	w.Start("", "Identifier")
	id.write(w)
	w.End()
	w.Start("", "Accept")
	w.Start("", "AcksTo")
	w.Start("a", "Address")
	w.Text(acksTo)
	w.End()
	w.End()
	w.End()
	w.End()
	endEnvelope(w)
}

// numbered takes a message of the sender's sequence: each once, and in order.
func (s *session) numbered(ctx context.Context, m *envelope, sequence *binxml.Element, received time.Time) error {
	q := s.seq
	if id := sequence.Child(nsReliable, "Identifier").Text(); uniqueID(id) != q.in {
		return s.unknownSequence(id)
	}
	n, err := strconv.ParseUint(sequence.Child(nsReliable, "MessageNumber").Text(), 10, 63)
	if err != nil || n == 0 {
		return fmt.Errorf("%w: message number %.40q", ErrSequence, sequence.Child(nsReliable, "MessageNumber").Text())
	}
	switch {
	case n <= q.highest || q.held[n] != nil:
		s.metrics.count("message_repeated")
		return s.acknowledge()
	case q.ended:
		return fmt.Errorf("%w: message %d behind the last one", ErrSequence, n)
	case n-q.highest > maxHeld:
		// Not acknowledged, so it comes again.
		return nil
	}
	q.held[n] = &held{m, received, sequence.Child(nsReliable, "LastMessage") != nil}
	if err := s.acknowledge(); err != nil {
		return err
	}
	for next := q.held[q.highest+1]; next != nil; next = q.held[q.highest+1] {
		q.highest++
		delete(q.held, q.highest)
		if err := s.take(ctx, next); err != nil {
			return err
		}
	}
	return nil
}

// take processes a message whose turn it is.
func (s *session) take(ctx context.Context, h *held) error {
	if h.last {
		s.seq.ended = true
	}
	if h.m.ping() {
		return nil
	}
	if h.m.action == nsReliable+"/LastMessage" {
		return s.sendLast()
	}
	return s.call(ctx, h.m, h.received)
}

// ranges are the numbers that have arrived, as inclusive ranges in order.
func (q *sequences) ranges() (list [][2]uint64) {
	if q.highest > 0 || len(q.held) == 0 {
		list = append(list, [2]uint64{min(1, q.highest), q.highest})
	}
	numbers := make([]uint64, 0, len(q.held))
	for n := range q.held {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		if len(list) > 0 && n == list[len(list)-1][1]+1 {
			list[len(list)-1][1] = n
			continue
		}
		list = append(list, [2]uint64{n, n})
	}
	return list
}

// acknowledge tells what has arrived ([WS-RM] §3.2).
func (s *session) acknowledge() error {
	return s.send(func(w *binxml.Writer) { writeAck(w, s.seq.in, s.seq.ranges()) })
}

func writeAck(w *binxml.Writer, id uniqueID, ranges [][2]uint64) {
	beginEnvelope(w, true)
	w.Start("r", "SequenceAcknowledgement")
	w.Start("r", "Identifier")
	id.write(w)
	w.End()
	for _, r := range ranges {
		w.Start("r", "AcknowledgementRange")
		w.Number("Lower", r[0])
		w.Number("Upper", r[1])
		w.End()
	}
	w.Start("netrm", "BufferRemaining")
	w.Space("netrm", nsNetReach)
	w.Int(bufferFree)
	w.End()
	w.End()
	staticAction(w, nsReliable+"/SequenceAcknowledgement")
	toAnonymous(w)
	endEnvelope(w)
}

// sendReliable sends a reply under the next number and keeps it until it is
// acknowledged.
func (s *session) sendReliable(reply Reply, request string) error {
	return s.sendNumbered(func(w *binxml.Writer, n uint64) {
		writeNumbered(w, s.seq.out, n, false, func() { localAction(w, reply.Action) }, request, reply.Write)
	})
}

func (s *session) sendNumbered(write func(w *binxml.Writer, number uint64)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.seq
	if len(q.unacked) >= maxUnacked {
		return fmt.Errorf("%w: %d replies are not acknowledged", ErrSequence, len(q.unacked))
	}
	q.sent++
	n := q.sent
	o := &outgoing{number: n, write: func(w *binxml.Writer) { write(w, n) }, pause: s.timing.Resend, again: time.Now().Add(s.timing.Resend)}
	q.unacked = append(q.unacked, o)
	return s.sendLocked(o.write)
}

func writeNumbered(w *binxml.Writer, id uniqueID, n uint64, last bool, action func(), request string, body func(*binxml.Writer)) {
	beginEnvelope(w, true)
	w.Start("r", "AckRequested")
	w.Start("r", "Identifier")
	id.write(w)
	w.End()
	w.End()
	w.Start("r", "Sequence")
	w.MustUnderstand()
	w.Start("r", "Identifier")
	id.write(w)
	w.End()
	w.Start("r", "MessageNumber")
	w.Int(n)
	w.End()
	if last {
		w.Start("r", "LastMessage")
		w.End()
	}
	w.End()
	action()
	relatesTo(w, request)
	toAnonymous(w)
	body(w)
	endEnvelope(w)
}

// sendLast ends our own sequence once the sender has ended its.
func (s *session) sendLast() error {
	return s.sendNumbered(func(w *binxml.Writer, n uint64) {
		writeNumbered(w, s.seq.out, n, true, func() { staticAction(w, nsReliable+"/LastMessage") }, "", func(*binxml.Writer) {})
	})
}

// terminate answers the end of the sender's sequence with the end of ours.
func (s *session) terminate(m *envelope) error {
	id := m.body.Child(nsReliable, "TerminateSequence").Child(nsReliable, "Identifier").Text()
	if s.seq.in == "" || uniqueID(id) != s.seq.in {
		return s.unknownSequence(id)
	}
	if ack := m.header.Child(nsReliable, "SequenceAcknowledgement"); ack != nil {
		if err := s.acknowledged(ack); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq.unacked = nil
	return s.sendLocked(func(w *binxml.Writer) {
		beginEnvelope(w, false)
		staticAction(w, nsReliable+"/TerminateSequence")
		toAnonymous(w)
		w.Start("", "TerminateSequence")
		w.Space("", nsReliable)
		w.Start("", "Identifier")
		s.seq.out.write(w)
		w.End()
		w.End()
		endEnvelope(w)
	})
}

// unknownSequence tells the sender that it speaks of a sequence that is not there,
// and ends the connection.
func (s *session) unknownSequence(id string) error {
	err := fmt.Errorf("%w: sequence %.80q is not known", ErrSequence, id)
	_ = s.send(func(w *binxml.Writer) {
		beginEnvelope(w, true)
		localAction(w, nsReliable+"/fault")
		toAnonymous(w)
		writeFault(w, "s:Sender", "r:UnknownSequence", "the sequence is not known here", nil)
		endEnvelope(w)
	})
	return err
}

// acknowledged forgets replies that have arrived.
func (s *session) acknowledged(ack *binxml.Element) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.seq
	if id := ack.Child(nsReliable, "Identifier").Text(); uniqueID(id) != q.out {
		return fmt.Errorf("%w: sequence %.80q is acknowledged, which is not ours", ErrSequence, id)
	}
	for _, r := range ack.Children {
		if r.Space != nsReliable || r.Name != "AcknowledgementRange" {
			continue
		}
		lower, err := strconv.ParseUint(strings.TrimSpace(r.Attr("", "Lower")), 10, 64)
		upper, uerr := strconv.ParseUint(strings.TrimSpace(r.Attr("", "Upper")), 10, 64)
		if err != nil || uerr != nil || lower > upper || upper > q.sent {
			return fmt.Errorf("%w: range %.20q to %.20q of %d", ErrSequence, r.Attr("", "Lower"), r.Attr("", "Upper"), q.sent)
		}
		q.unacked = slices.DeleteFunc(q.unacked, func(o *outgoing) bool { return o.number >= lower && o.number <= upper })
	}
	return nil
}

// resend sends replies again that nobody acknowledges, until done is closed.
func (s *session) resend(done <-chan struct{}) {
	tick := time.NewTicker(s.timing.Resend / 4)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		if s.resendDue(time.Now()) != nil {
			_ = s.conn.Close() // the reader then ends the session
			return
		}
	}
}

func (s *session) resendDue(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.seq.unacked {
		if now.Before(o.again) {
			continue
		}
		o.pause = min(2*o.pause, resendMost)
		o.again = now.Add(o.pause)
		s.metrics.count("message_resent")
		if err := s.sendLocked(o.write); err != nil {
			return err
		}
	}
	return nil
}
