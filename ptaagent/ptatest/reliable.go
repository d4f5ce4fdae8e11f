package ptatest

import (
	"errors"
	"strconv"
	"time"

	"sallyport/ptaagent/ptatest/internal/binxml"
)

// WS-ReliableMessaging of February 2005 (8.6).
const (
	nsRM    = "http://schemas.xmlsoap.org/ws/2005/02/rm"
	nsNetRM = "http://schemas.microsoft.com/ws/2006/05/rm"
)

// rmState is the state of both sequences of a connection; relayed.mu guards it.
type rmState struct {
	create   string // message id of CreateSequence
	offered  string // the agent's sequence
	mine     string // our sequence, named by the agent
	sent     int    // messages that we sent
	acked    int    // of these, acknowledged from 1 on
	received int    // messages of the agent, from 1 on
	held     bool   // one acknowledgement was held back by the fault
	gap      int    // a message that has not been sent although a later one was
}

// createSequence asks for a sequence and reads the response (8.6 steps 1 and 2).
func (r *relayed) createSequence() error {
	r.mu.Lock()
	r.rm.create, r.rm.offered = newGUID(), newGUID()
	err := r.envelope(func(w *binxml.Writer) {
		begin(w)
		header(w, "Action", nsRM+"/CreateSequence", true)
		uniqueID(w, "a", "MessageID", r.rm.create)
		replyTo(w)
		header(w, "To", r.via(), true)
		w.End()
		w.Start("s", "Body")
		w.Start("", "CreateSequence")
		w.Declare("", nsRM)
		w.Start("", "AcksTo")
		w.Start("a", "Address")
		w.Known(anonymous)
		w.End()
		w.End()
		w.Start("", "Offer")
		uniqueID(w, "", "Identifier", r.rm.offered)
		w.End()
		w.End()
		w.End()
		w.End()
	})
	r.mu.Unlock()
	return err
}

// takeReliable judges the messages of the protocol itself; fresh says that e is
// an application message that was not seen before.
func (r *relayed) takeReliable(e *envelope) (fresh bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rm.mine == "" {
		return false, r.sequenceCreated(e)
	}
	if e.ack != nil {
		if err := r.acknowledged(e.ack); err != nil {
			return false, err
		}
	}
	if e.ackRequested != nil {
		if err := r.identifier(e.ackRequested, r.rm.offered); err != nil {
			return false, err
		}
	}
	switch e.action {
	case nsRM + "/SequenceAcknowledgement", nsRM + "/AckRequested":
		if e.body != nil || e.sequence != nil || e.to != anonymous || e.ack == nil && e.ackRequested == nil {
			return false, r.refuse("%s with a body, without its header, or to %q (8.6 step 4)", e.action, clip(e.to))
		}
		if e.ackRequested != nil {
			return false, r.acknowledge()
		}
		return false, nil
	case nsRM + "/TerminateSequence":
		return false, nil
	}
	if e.sequence == nil {
		return false, r.refuse("a message without r:Sequence (8.6 step 5)")
	}
	fresh, err = r.numbered(e)
	if e.action == nsRM+"/LastMessage" {
		fresh = false
	}
	return fresh, err
}

// sequenceCreated judges the CreateSequenceResponse.
func (r *relayed) sequenceCreated(e *envelope) error {
	if err := e.only("Action", "RelatesTo", "To"); err != nil {
		return r.refuse("%v (8.6 step 2)", err)
	}
	if e.action != nsRM+"/CreateSequenceResponse" || e.to != anonymous || e.relatesTo != "urn:uuid:"+r.rm.create {
		return r.refuse("action %q, to %q, relates to %q (8.6 step 2)", clip(e.action), clip(e.to), clip(e.relatesTo))
	}
	b := e.body
	if b == nil || b.Local != "CreateSequenceResponse" || b.Space != nsRM || len(b.Children) != 2 {
		return r.refuse("the body is no CreateSequenceResponse with two members (8.6 step 2)")
	}
	id, accept := b.Children[0], b.Children[1]
	name, ok := uuid(id.Text)
	if id.Local != "Identifier" || id.Space != nsRM || !ok || name == r.rm.offered {
		return r.refuse("Identifier %q (8.6 step 2: a fresh id)", clip(id.Text))
	}
	acksTo := accept.Child(nsRM, "AcksTo")
	if accept.Local != "Accept" || accept.Space != nsRM || acksTo == nil || acksTo.Child(nsWSA, "Address") == nil {
		return r.refuse("no Accept with AcksTo and Address (8.6 step 2)")
	}
	if got := acksTo.Child(nsWSA, "Address").Text; got != r.via() {
		return r.refuse("AcksTo %q instead of the request's To (8.6 step 2)", clip(got))
	}
	r.rm.mine = name
	if r.faults.UnknownSequence {
		return r.unknownSequence()
	}
	r.up()
	return nil
}

func (r *relayed) unknownSequence() error {
	return r.envelope(func(w *binxml.Writer) {
		begin(w)
		header(w, "Action", nsRM+"/fault", true)
		header(w, "To", r.via(), true)
		w.End()
		w.Start("s", "Body")
		soapFault(w, "s:Sender", "r:UnknownSequence", "The value of wsrm:Identifier is not a known Sequence identifier.")
		w.End()
		w.End()
	})
}

func (r *relayed) identifier(n *binxml.Node, want string) error {
	id := n.Child(nsRM, "Identifier")
	if id == nil || id.Text != "urn:uuid:"+want {
		return r.refuse("%s does not name sequence %s (8.6)", n.Local, want)
	}
	return nil
}

// acknowledged judges an acknowledgement of our messages (8.6 step 4).
func (r *relayed) acknowledged(n *binxml.Node) error {
	if err := r.identifier(n, r.rm.mine); err != nil {
		return err
	}
	buffer := n.Child(nsNetRM, "BufferRemaining")
	if buffer == nil {
		return r.refuse("an acknowledgement without BufferRemaining (8.6 step 4)")
	}
	if v, err := strconv.Atoi(buffer.Text); err != nil || v < 0 || v > 4096 {
		return r.refuse("BufferRemaining %q (8.6 step 4)", clip(buffer.Text))
	}
	ranges := 0
	for _, c := range n.Children {
		switch {
		case c == buffer, c.Local == "Identifier" && c.Space == nsRM:
			continue
		case c.Local != "AcknowledgementRange" || c.Space != nsRM:
			return r.refuse("%s in an acknowledgement (8.6 step 4)", clip(c.Local))
		}
		ranges++
		lower, errL := attrNumber(c, "Lower")
		upper, errU := attrNumber(c, "Upper")
		if errL != nil || errU != nil || lower < 1 || upper < lower || upper > r.rm.sent || r.rm.gap >= lower && r.rm.gap <= upper {
			return r.refuse("acknowledged %d-%d of %d sent (8.6 step 4: ranges are inclusive)", lower, upper, r.rm.sent)
		}
		if lower == 1 {
			r.rm.acked = max(r.rm.acked, upper)
		}
	}
	if ranges == 0 {
		return r.refuse("an acknowledgement without a range (8.6 step 4)")
	}
	return nil
}

func attrNumber(n *binxml.Node, name string) (int, error) {
	v, ok := n.Attr("", name)
	if !ok {
		return 0, errors.New("no " + name)
	}
	return strconv.Atoi(v)
}

// numbered judges the number of an application message and acknowledges it.
func (r *relayed) numbered(e *envelope) (fresh bool, err error) {
	if err := r.identifier(e.sequence, r.rm.offered); err != nil {
		return false, err
	}
	number := e.sequence.Child(nsRM, "MessageNumber")
	if number == nil {
		return false, r.refuse("r:Sequence without MessageNumber (8.6 step 5)")
	}
	n, err := strconv.Atoi(number.Text)
	switch {
	case err != nil || n < 1 || n > r.rm.received+1:
		return false, r.refuse("message number %q after %d (8.6 step 5: from 1, plus one each)", clip(number.Text), r.rm.received)
	case n <= r.rm.received: // sent again, because the acknowledgement is not there yet
		if r.faults.NoAcknowledgement {
			r.cloud.diary.add(Record{Kind: Acknowledged, Endpoint: r.endpoint.Name(), Detail: "again"})
		}
		return false, r.acknowledge()
	}
	r.rm.received = n
	if r.faults.NoAcknowledgement && !r.rm.held {
		r.rm.held = true
		return true, nil
	}
	return true, r.acknowledge()
}

// acknowledge sends a stand-alone acknowledgement; the caller holds mu.
func (r *relayed) acknowledge() error {
	if r.rm.received == 0 {
		return nil
	}
	_ = r.envelope(func(w *binxml.Writer) {
		begin(w)
		r.ackHeader(w)
		header(w, "Action", nsRM+"/SequenceAcknowledgement", true)
		header(w, "To", r.via(), true)
		w.End()
		w.Start("s", "Body")
		w.End()
		w.End()
	})
	return nil
}

func (r *relayed) ackHeader(w *binxml.Writer) {
	w.Start("r", "SequenceAcknowledgement")
	w.Declare("r", nsRM)
	uniqueID(w, "r", "Identifier", r.rm.offered)
	w.Start("r", "AcknowledgementRange")
	w.Attr("", "Lower", "1")
	w.Attr("", "Upper", strconv.Itoa(r.rm.received))
	w.End()
	w.Start("netrm", "BufferRemaining")
	w.Declare("netrm", nsNetRM)
	w.Int(8)
	w.End()
	w.End()
}

// sequence writes the headers of a numbered message; ask adds r:AckRequested.
func (r *relayed) sequence(w *binxml.Writer, number int, ask bool) {
	if ask {
		w.Start("r", "AckRequested")
		w.Declare("r", nsRM)
		uniqueID(w, "r", "Identifier", r.rm.mine)
		w.End()
	}
	w.Start("r", "Sequence")
	w.Attr("s", "mustUnderstand", "1")
	w.Declare("r", nsRM)
	uniqueID(w, "r", "Identifier", r.rm.mine)
	w.Start("r", "MessageNumber")
	w.Int(int64(number))
	w.End()
	w.End()
}

// sendReliable sends a signal as the next message of the sequence; the caller
// holds mu.
func (r *relayed) sendReliable(id string, s *signal, f Faults) error {
	if f.OutOfOrder {
		r.rm.gap = r.rm.sent + 1
		r.rm.sent++
	}
	r.rm.sent++
	number := r.rm.sent
	write := func() error {
		return r.envelope(func(w *binxml.Writer) {
			r.signal(w, id, s, func(w *binxml.Writer) { r.sequence(w, number, number%2 == 1) })
		})
	}
	if err := write(); err != nil {
		return err
	}
	if f.Twice {
		if err := write(); err != nil {
			return err
		}
	}
	if f.OutOfOrder {
		time.AfterFunc(50*time.Millisecond, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.rm.gap = 0
			_ = r.envelope(func(w *binxml.Writer) { r.filler(w, number-1) })
		})
	}
	return r.askAcknowledgement(number)
}

// filler is a numbered message that asks for nothing.
func (r *relayed) filler(w *binxml.Writer, number int) {
	begin(w)
	r.sequence(w, number, true)
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
}

// askAcknowledgement sends a stand-alone AckRequested after every eighth message
// (8.6 step 6).
func (r *relayed) askAcknowledgement(number int) error {
	if number%8 != 1 {
		return nil
	}
	return r.envelope(func(w *binxml.Writer) {
		begin(w)
		w.Start("r", "AckRequested")
		w.Declare("r", nsRM)
		uniqueID(w, "r", "Identifier", r.rm.mine)
		w.End()
		header(w, "Action", nsRM+"/AckRequested", true)
		header(w, "To", r.via(), true)
		w.End()
		w.Start("s", "Body")
		w.End()
		w.End()
	})
}

// terminate ends our sequence; the caller holds mu.
func (r *relayed) terminate() {
	r.rm.sent++
	number := r.rm.sent
	_ = r.envelope(func(w *binxml.Writer) {
		begin(w)
		w.Start("r", "Sequence")
		w.Attr("s", "mustUnderstand", "1")
		w.Declare("r", nsRM)
		uniqueID(w, "r", "Identifier", r.rm.mine)
		w.Start("r", "MessageNumber")
		w.Int(int64(number))
		w.End()
		w.Start("r", "LastMessage")
		w.End()
		w.End()
		header(w, "Action", nsRM+"/LastMessage", true)
		header(w, "To", r.via(), true)
		w.End()
		w.Start("s", "Body")
		w.End()
		w.End()
	})
	_ = r.envelope(func(w *binxml.Writer) {
		begin(w)
		header(w, "Action", nsRM+"/TerminateSequence", true)
		header(w, "To", r.via(), true)
		w.End()
		w.Start("s", "Body")
		w.Start("", "TerminateSequence")
		w.Declare("", nsRM)
		uniqueID(w, "", "Identifier", r.rm.mine)
		w.End()
		w.End()
		w.End()
	})
}
