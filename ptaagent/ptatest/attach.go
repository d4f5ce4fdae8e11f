package ptatest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sallyport/ptaagent/ptatest/internal/amqp"
)

// attach judges one of the two attaches (7.2 rows 10 and 11).
func (l *link) attach(f *amqp.Frame) error {
	name, _ := f.Field(0).(string)
	handle, isHandle := f.Field(1).(uint32)
	receiver, isRole := f.Field(2).(bool)
	if name == "" || !isHandle || !isRole {
		return l.refuse("attach without name, handle or role (7.2 row 10)")
	}
	mine, other, ending := &l.out, &l.in, ":out"
	if receiver {
		mine, other, ending = &l.in, &l.out, ":in"
	}
	base, ok := strings.CutSuffix(name, ending)
	switch {
	case !ok || base == "":
		return l.refuse("link name %q does not end in %s (7.2 rows 10, 11)", clip(name), ending)
	case mine.attached:
		return l.refuse("a second link %s (7.2 rows 10, 11)", ending)
	case other.attached && (strings.TrimSuffix(strings.TrimSuffix(other.name, ":in"), ":out") != base || other.handle == handle):
		return l.refuse("links %q and %q are no pair (7.2 row 11)", clip(other.name), clip(name))
	case !receiver && f.Field(9) == nil:
		return l.refuse("a sender without initial-delivery-count (AMQP 2.7.3)")
	}
	address, err := l.addresses(f, receiver)
	if err != nil {
		return err
	}
	e, err := l.find(address)
	if err != nil {
		return l.deny(f, handle, receiver, RelayNotFound, err)
	}
	expires, tracking, err := l.properties(f, e)
	if err != nil {
		return l.deny(f, handle, receiver, AuthFailed, err)
	}
	if other.attached && tracking != other.tracking {
		return l.refuse("the pair has two tracking ids (7.2 row 11: same properties)")
	}
	if cond := l.cloud.fault().LinkError; cond != "" {
		return l.deny(f, handle, receiver, cond, fmt.Errorf("the fault is switched on"))
	}
	*mine = side{name: name, handle: handle, tracking: tracking, attached: true}
	l.until(expires)
	l.mu.Lock()
	l.endpoint, l.known = e, true
	if receiver {
		l.inHandle = handle
	}
	l.mu.Unlock()
	reply := []any{name, handle, !receiver, f.Field(3), f.Field(4), f.Field(5), f.Field(6), nil, nil, nil, uint64(65536)}
	if receiver {
		reply[9] = uint32(0)
	}
	if err := l.send(amqp.Frame{Code: amqp.CodeAttach, Fields: reply}); err != nil || receiver {
		return err
	}
	l.mu.Lock()
	next := l.nextOut
	l.mu.Unlock()
	return l.send(amqp.Frame{Code: amqp.CodeFlow, Fields: []any{uint32(1), uint32(5000), next, uint32(5000), handle, uint32(0), uint32(1000)}})
}

// deny answers an attach as the relay does: attach without terminus, detach with
// the condition.
func (l *link) deny(f *amqp.Frame, handle uint32, receiver bool, cond Condition, why error) error {
	reply := []any{f.Field(0), handle, !receiver, f.Field(3), f.Field(4), nil, nil, nil, nil, nil}
	if receiver {
		reply[9] = uint32(0)
	}
	if err := l.send(amqp.Frame{Code: amqp.CodeAttach, Fields: reply}); err != nil {
		return err
	}
	return l.send(amqp.Frame{Code: amqp.CodeDetach, Fields: []any{handle, true, amqpError(cond, why.Error())}})
}

// addresses judges source and target; one has the relay address, the other none.
func (l *link) addresses(f *amqp.Frame, receiver bool) (string, error) {
	terminus := func(v any, code uint64) (string, bool) {
		d, ok := v.(amqp.Described)
		list, isList := d.Value.([]any)
		if !ok || !isList || d.Descriptor != code {
			return "", false
		}
		if len(list) == 0 || list[0] == nil {
			return "", true
		}
		s, ok := list[0].(string)
		return s, ok
	}
	source, okS := terminus(f.Field(5), amqp.CodeSource)
	target, okT := terminus(f.Field(6), amqp.CodeTarget)
	if !okS || !okT {
		return "", l.refuse("attach without source or target (7.2 rows 10, 11)")
	}
	address, empty := target, source
	if receiver {
		address, empty = source, target
	}
	if empty != "" {
		return "", l.refuse("both ends of a link have an address (7.2 rows 10, 11)")
	}
	return address, nil
}

// find finds the endpoint of a relay address, which ends in a slash.
func (l *link) find(address string) (Endpoint, error) {
	for _, e := range l.cloud.Settings().Endpoints {
		if strings.EqualFold(address, "sb://"+e.Host()+"/"+e.Path+"/") && strings.EqualFold(e.Host(), l.host) {
			l.mu.Lock()
			same := !l.known || l.endpoint.Name() == e.Name()
			l.mu.Unlock()
			if !same {
				return e, l.refuse("the pair has two addresses (7.2 row 11)")
			}
			return e, nil
		}
	}
	return Endpoint{}, l.refuse("no relay %q at %s (7.2: sb://host/path/ with trailing slash)", clip(address), l.host)
}

// properties judges the link properties (7.2, table) and the token in them.
func (l *link) properties(f *amqp.Frame, e Endpoint) (expires time.Time, tracking string, err error) {
	m, _ := f.Field(13).(amqp.Map)
	for _, p := range m {
		k, ok := p.Key.(amqp.Symbol)
		if !ok {
			return expires, "", l.refuse("a property's key is no symbol (7.2)")
		}
		switch k {
		case "com.microsoft:swt", "com.microsoft:client-agent", "com.microsoft:dynamic-relay", "com.microsoft:listener-type", "com.microsoft:tracking-id",
			"com.microsoft:transport-security-required", "com.microsoft:client-authentication-required",
			"com.microsoft:requires-public-registry", "com.microsoft:display-name":
		default:
			return expires, "", l.refuse("property %q is unknown (7.2)", clip(string(k)))
		}
	}
	str := func(key string) string {
		v, _ := m.Find(amqp.Symbol(key))
		s, _ := v.(string)
		return s
	}
	tracking = str("com.microsoft:tracking-id")
	dynamic, ok := m.Find(amqp.Symbol("com.microsoft:dynamic-relay"))
	switch {
	case !ok || dynamic != false:
		return expires, "", l.refuse("com.microsoft:dynamic-relay is not false (7.2)")
	case str("com.microsoft:listener-type") != "RelayedConnection":
		return expires, "", l.refuse("com.microsoft:listener-type %q (7.2)", clip(str("com.microsoft:listener-type")))
	case str("com.microsoft:client-agent") == "":
		return expires, "", l.refuse("no com.microsoft:client-agent (7.2)")
	case !guidForm.MatchString(tracking):
		return expires, "", l.refuse("com.microsoft:tracking-id %q (7.2)", clip(tracking))
	}
	if expires, err = judgeToken(str("com.microsoft:swt"), e, l.cloud.now(), l.cloud.Settings().TokenTTL); err != nil {
		return expires, "", l.refuse("%v (7.3)", err)
	}
	return expires, tracking, nil
}

// until ends the link when its token expires (U-15).
func (l *link) until(expires time.Time) {
	if l.cloud.policy.KeepExpired {
		return
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timer = time.AfterFunc(expires.Sub(l.cloud.now()), func() { l.end(AuthFailed, "the token expired") })
}

// end closes the conversation with an error condition, whatever the agent does.
func (l *link) end(cond Condition, text string) {
	l.retire()
	_ = l.send(amqp.Frame{Code: amqp.CodeClose, Fields: []any{amqpError(cond, text)}})
	time.AfterFunc(2*time.Second, l.stop)
}

// flow takes credit, windows and a renewed token (7.2 row 13, 7.3).
func (l *link) flow(f *amqp.Frame) error {
	nextIn, hasNext := f.Field(0).(uint32)
	window, ok := f.Field(1).(uint32)
	if !ok {
		return l.refuse("flow without incoming-window (7.2 row 13)")
	}
	l.mu.Lock()
	if hasNext {
		l.window = nextIn + window - l.nextOut
	} else {
		l.window = window
	}
	l.mu.Unlock()
	if f.Field(4) == nil {
		return nil
	}
	handle, _ := f.Field(4).(uint32)
	if m, ok := f.Field(10).(amqp.Map); ok {
		v, _ := m.Find(amqp.Symbol("com.microsoft:swt"))
		token, _ := v.(string)
		expires, err := judgeToken(token, l.endpoint, l.cloud.now(), l.cloud.Settings().TokenTTL)
		if err != nil {
			return l.refuse("%v (7.3, in a flow)", err)
		}
		l.until(expires)
	}
	switch {
	case l.in.attached && handle == l.in.handle:
	case l.out.attached && handle == l.out.handle:
		return nil
	default:
		return l.refuse("flow for handle %d, which is not attached", handle)
	}
	credit, ok := f.Field(6).(uint32)
	if !ok || credit > 5000 {
		return l.refuse("link-credit %v (7.2 row 13)", f.Field(6))
	}
	count, _ := f.Field(5).(uint32)
	l.mu.Lock()
	l.credit = count + credit - l.count
	was := l.ready
	drain := f.Field(8) == true && !l.cloud.policy.IgnoreDrain
	if drain { // all credit is used up at once (AMQP 2.6.7)
		l.count += l.credit
		l.credit = 0
	}
	l.ready = l.in.attached && l.out.attached && l.credit > 0
	l.listened = l.listened || l.ready
	ready, name, next, used := l.ready, l.endpoint.Name(), l.nextOut, l.count
	l.mu.Unlock()
	if ready && !was {
		l.cloud.diary.add(Record{Kind: Listening, Endpoint: name})
	}
	if !drain {
		return nil
	}
	l.cloud.diary.poke()
	return l.send(amqp.Frame{Code: amqp.CodeFlow, Fields: []any{uint32(1), uint32(5000), next, uint32(5000), handle, used, uint32(0), nil, true}})
}

// disposition takes the agent's acceptance (7.2 row 15).
func (l *link) disposition(f *amqp.Frame) error {
	first, ok := f.Field(1).(uint32)
	last, both := f.Field(2).(uint32)
	if !both {
		last = first
	}
	state, _ := f.Field(4).(amqp.Described)
	switch {
	case f.Field(0) != true || !ok || last < first || last-first > 5000:
		return l.refuse("disposition with role %v, first %v, last %v (7.2 row 15)", f.Field(0), f.Field(1), f.Field(2))
	case f.Field(3) != true:
		return l.refuse("disposition that does not settle (7.2 row 15)")
	case state.Descriptor != uint64(amqp.CodeAccepted):
		return l.refuse("disposition with state %v instead of accepted (7.2 row 15)", state.Descriptor)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := first; id <= last; id++ {
		ch := l.deliveries[id]
		if ch == nil {
			return l.refuse("disposition of delivery %d, which is not open (7.2 row 15)", id)
		}
		ch <- nil
		delete(l.deliveries, id)
	}
	return nil
}

func (l *link) detach(f *amqp.Frame) error {
	handle, _ := f.Field(0).(uint32)
	for _, s := range []*side{&l.in, &l.out} {
		if s.attached && s.handle == handle {
			s.attached = false
			l.retire()
			return l.send(amqp.Frame{Code: amqp.CodeDetach, Fields: []any{handle, true}})
		}
	}
	return nil // the answer to a detach of ours
}

// deliver sends one notification and waits for its acceptance.
func (l *link) deliver(ctx context.Context, payload []byte, f Faults) error {
	data := amqp.Data(payload)
	ch := make(chan error, 1)
	l.sendLock.Lock() // transfers leave in the order of their ids
	l.mu.Lock()
	if !l.ready || l.credit == 0 || l.window == 0 {
		ready, credit, window := l.ready, l.credit, l.window
		l.mu.Unlock()
		l.sendLock.Unlock()
		if ready {
			return l.refuse("link-credit %d, window %d: a listener must keep both up (7.2 row 13)", credit, window)
		}
		return errGone
	}
	id := l.nextOut
	l.nextOut++
	l.credit--
	l.count++
	l.window--
	handle := l.inHandle
	l.deliveries[id] = ch
	l.mu.Unlock()
	head := amqp.Append(nil, amqp.Frame{Code: amqp.CodeTransfer, Fields: []any{handle, id, []byte(fmt.Sprintf("%08x", id)), uint32(0), false, false}, Payload: data})
	var err error
	switch {
	case f.TransferFrame != nil:
		err = l.put(f.TransferFrame)
	case f.Coalesce || f.Piece > 0:
		err = l.put(head)
	default:
		cut := len(head) - len(data)
		if err = l.put(head[:cut]); err == nil {
			err = l.put(head[cut:])
		}
	}
	l.sendLock.Unlock()
	if err != nil {
		return errGone
	}
	wait := time.NewTimer(l.cloud.policy.AcceptWithin)
	defer wait.Stop()
	select {
	case err := <-ch:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		if l.frozen.Load() || f.TransferFrame != nil {
			return errGone
		}
		return l.refuse("a notification was not accepted within %s (7.2 row 15)", l.cloud.policy.AcceptWithin)
	}
}
