package directorytest

import (
	"strings"
	"time"
)

// On says which events a fault waits for.
type On uint8

// The events. OnRequest is every request besides unbind and abandon.
const (
	OnRequest On = iota
	OnAccept
	OnBind
	OnSearch
	OnExtended
	OnModify
)

// Effect is what a fault does.
type Effect uint8

// The effects. Those marked "judged" happen after the request was carried out,
// counters included; the others instead of it.
const (
	// Late answers as usual after Delay or Gate (judged).
	Late Effect = iota
	// Stall on accept never answers the handshake; on a request it never answers
	// (judged).
	Stall
	// Disconnected ends the connection by End before the request is judged, or
	// right after accept.
	Disconnected
	// Unanswered ends the connection by End instead of the answer (judged).
	Unanswered
	// Half sends half of the answer, then ends the connection by End (judged).
	Half
	// AnsweredThenEnd ends the connection by End after the answer (judged).
	AnsweredThenEnd
	// Result answers with Code and Diagnostic; nothing is judged.
	Result
	// WrongID answers with another messageID (judged), ZeroID with 0, RepeatedID with
	// that of the request before.
	WrongID
	ZeroID
	RepeatedID
	// Twice answers twice (judged).
	Twice
	// Raw answers with the bytes that Reply makes (not judged).
	Raw
	// HugeDiagnostic gives the answer a diagnostic of Size bytes, default 1 MB (judged).
	HugeDiagnostic
	// Diagnosed replaces the diagnostic by Diagnostic, which may be empty or not
	// UTF-8 (judged).
	Diagnosed
	// HugeAttribute answers a search with an entry whose description has Size bytes,
	// default 100 MB.
	HugeAttribute
	// Endless answers a search with entries until the client closes.
	Endless
	// References adds three references to ldap://Diagnostic/ to a search (judged).
	References
	// Referral answers with code 10 and a referral to ldap://Diagnostic/.
	Referral
	// Deaf on accept completes the handshake and then never reads.
	Deaf
	// Doubled sends the first entry of a search twice under two names (judged).
	Doubled
)

// Fault is one misbehaviour of one DC.
type Fault struct {
	On On
	// Name limits the fault to binds with this name, or to searches whose filter or
	// base contains it, without regard to case.
	Name string
	// Skip lets so many matching events pass; Times is how many are hit then, 0 for
	// all until [DC.Clear].
	Skip, Times int
	Effect      Effect
	// Delay and Gate hold the answer back: for a time, until the channel is closed.
	Delay time.Duration
	Gate  <-chan struct{}
	End   End
	// Code and Diagnostic belong to Result, Diagnosed, References and Referral.
	Code       int64
	Diagnostic string
	Size       int
	// Reply makes the bytes of Raw for a messageID.
	Reply func(id int64) []byte
	// Do runs when the fault strikes, before the request is carried out.
	Do func()
}

// armed is a fault with its counts.
type armed struct {
	Fault
	seen, hit int
}

// Inject adds a fault. Of several that match an event the one added first strikes.
func (dc *DC) Inject(f Fault) {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	dc.faults = append(dc.faults, &armed{Fault: f})
}

// Clear removes all faults of the DC. Settings stay.
func (dc *DC) Clear() {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	dc.faults = nil
}

// strike returns the fault that hits an event, nil for none.
func (dc *DC) strike(on On, names ...string) *Fault {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	for _, f := range dc.faults {
		if f.On != on && (f.On != OnRequest || on == OnAccept) || !f.concerns(names) {
			continue
		}
		f.seen++
		if f.seen <= f.Skip || f.Times > 0 && f.hit >= f.Times {
			continue
		}
		f.hit++
		return &f.Fault
	}
	return nil
}

func (f *armed) concerns(names []string) bool {
	if f.Name == "" {
		return true
	}
	for _, n := range names {
		if strings.EqualFold(n, f.Name) || f.On == OnSearch && strings.Contains(strings.ToLower(n), strings.ToLower(f.Name)) {
			return true
		}
	}
	return false
}

// unjudged reports whether the fault takes the place of judging the request.
func (f *Fault) unjudged() bool {
	if f == nil {
		return false
	}
	switch f.Effect {
	case Disconnected, Result, Referral, Raw, HugeAttribute, Endless:
		return true
	default:
		return false
	}
}

// FalseReply is an answer to a bind that must not sign anybody in.
type FalseReply struct {
	Name  string
	Reply func(id int64) []byte
}

// FalseSuccesses returns replies that look like success to a careless client: the
// wrong operation, the wrong type or length of the result code, an indefinite
// length, a code that a narrow integer turns into 0, and another messageID.
func FalseSuccesses() []FalseReply {
	tail := []byte{4, 0, 4, 0}
	op := func(tag byte, code ...byte) func(int64) []byte {
		return func(id int64) []byte {
			e := encoder{}
			m := e.open(tagSequence)
			e.integer(tagInteger, id)
			o := e.open(tag)
			e.b = append(append(e.b, code...), tail...)
			e.close(o)
			e.close(m)
			return e.b
		}
	}
	good := op(opBindResponse, 0x0a, 1, 0)
	return []FalseReply{
		{"SearchResultDone", op(opSearchDone, 0x0a, 1, 0)},
		{"ExtendedResponse", op(opExtendedReply, 0x0a, 1, 0)},
		{"empty code", op(opBindResponse, 0x0a, 0)},
		{"INTEGER code", op(opBindResponse, 0x02, 1, 0)},
		{"nine-byte code", op(opBindResponse, 0x0a, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0)},
		{"indefinite length", func(id int64) []byte {
			e := encoder{b: []byte{tagSequence, 0x80}}
			e.integer(tagInteger, id)
			o := e.open(opBindResponse)
			e.b = append(append(e.b, 0x0a, 1, 0), tail...)
			e.close(o)
			return append(e.b, 0, 0)
		}},
		{"code 65536", op(opBindResponse, 0x0a, 3, 1, 0, 0)},
		{"other messageID", func(id int64) []byte { return good(id + 1) }},
	}
}

// GoodReply is the shortest answer that does sign in: the control of a test with
// [FalseSuccesses].
func GoodReply(id int64) []byte {
	e := encoder{}
	m := e.open(tagSequence)
	e.integer(tagInteger, id)
	e.result(opBindResponse, codeSuccess, "", "")
	e.close(m)
	return e.b
}

// DeepReply makes a message of so many sequences inside each other.
func DeepReply(depth int) func(int64) []byte {
	return func(int64) []byte {
		var b []byte
		for range depth {
			b = append(appendLength([]byte{tagSequence}, len(b)), b...)
		}
		return b
	}
}

// LongReply announces a message of 2^31 bytes and sends only its head.
func LongReply(int64) []byte { return []byte{tagSequence, 0x84, 0x80, 0, 0, 0, tagInteger, 1, 1} }

// NoticeReply makes a notice of disconnection (RFC 4511 4.4.1).
func NoticeReply(code int64) func(int64) []byte {
	return func(int64) []byte {
		e := encoder{}
		e.notice(code)
		return e.b
	}
}
