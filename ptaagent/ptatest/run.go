package ptatest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// SignIn makes one sign-in over an agent.
// Errors: [ErrNoAgent], [ErrNoAnswer], [ErrBadAnswer], [ErrTooLong], or the context's.
func (c *Cloud) SignIn(ctx context.Context, s SignIn) (Verdict, error) {
	f := c.fault()
	if s.Faults != nil {
		f = *s.Faults
	}
	budget := s.Budget
	if budget == 0 {
		budget = c.Settings().AnswerBudget
	}
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	t, err := c.prepare(s, f)
	if err != nil {
		return Verdict{}, err
	}
	defer func() {
		close(t.socket)
		c.mu.Lock()
		delete(c.pending, t.signal.transaction)
		c.mu.Unlock()
	}()
	ack, err := c.transmit(limited, s, t)
	if err != nil {
		return Verdict{}, explain(ctx, err)
	}
	select {
	case o := <-t.result:
		if o.err != nil {
			return Verdict{}, fmt.Errorf("%w: %w", ErrBadAnswer, o.err)
		}
		o.verdict.Took, o.verdict.Ack = time.Since(began), ack
		return o.verdict, nil
	case <-limited.Done():
		return Verdict{}, explain(ctx, limited.Err())
	case <-c.ctx.Done():
		return Verdict{}, ErrOver
	}
}

// explain turns a cause into one of the errors of the interface.
func explain(ctx context.Context, err error) error {
	switch b := (*broken)(nil); {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrNoAgent):
		return err
	case errors.As(err, &b):
		return fmt.Errorf("%w: %w", ErrBadAnswer, err)
	}
	return fmt.Errorf("%w: %w", ErrNoAnswer, err)
}

// prepare encrypts the password and opens the transaction.
func (c *Cloud) prepare(s SignIn, f Faults) (*waiting, error) {
	entries, err := c.encrypt(s.Password, f)
	if err != nil {
		return nil, err
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.Tenant))
	sig := &signal{
		request: newGUID(), transaction: newGUID(), connection: newGUID(), tenant: c.Tenant, domain: c.cfg.NetBIOS, upn: s.UPN, host: frontHost,
		hash: int64(int32(h.Sum64())), mode: s.Mode, entries: entries, faults: f,
	}
	if f.Tenant != "" {
		sig.tenant = f.Tenant
	}
	if f.ReturnHost != "" {
		sig.host = f.ReturnHost
	}
	t := &waiting{signal: sig, faults: f, acked: make(chan struct{}), result: make(chan outcome, 1), socket: make(chan struct{})}
	c.mu.Lock()
	c.pending[sig.transaction] = t
	c.mu.Unlock()
	return t, nil
}

// transmit finds a listener, opens or reuses a relayed connection and sends the
// signal; it gives the time to the acknowledgement. A link that went away, or an
// agent that says that it closes, is replaced by another one.
func (c *Cloud) transmit(ctx context.Context, s SignIn, t *waiting) (time.Duration, error) {
	tried := map[*link]bool{}
	for {
		l := c.pick(s, tried)
		if l == nil && c.policy.Patient {
			if err := c.Wait(ctx, func(Stats) bool { l = c.pick(s, tried); return l != nil }); err != nil {
				return 0, err
			}
		}
		if l == nil && len(tried) > 0 && ctx.Err() == nil {
			return 0, errGone
		}
		if l == nil {
			return 0, ErrNoAgent
		}
		tried[l] = true
		took, err := c.over(ctx, l, s, t)
		if errors.Is(err, errGone) || errors.Is(err, errClosing) {
			continue
		}
		return took, err
	}
}

// pick chooses a listener at random among those that fit and were not tried.
func (c *Cloud) pick(s SignIn, tried map[*link]bool) *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	var fit []*link
	for l := range c.links {
		l.mu.Lock()
		e := l.endpoint
		ok := l.ready && !l.frozen.Load() && !tried[l] && (s.Endpoint == "" || s.Endpoint == e.Name()) &&
			(s.Session == "" || e.Reliable == (s.Session == Reliable))
		l.mu.Unlock()
		if ok {
			fit = append(fit, l)
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return fit[rand.IntN(len(fit))]
}

// over sends the signal over one link.
func (c *Cloud) over(ctx context.Context, l *link, s SignIn, t *waiting) (time.Duration, error) {
	fresh := s.Fresh || c.policy.Fresh || t.faults.disturbsSession()
	r, err := l.connect(ctx, fresh, t.faults, t.signal.transaction)
	if err != nil {
		return 0, err
	}
	if fresh {
		defer func() { c.work.Go(r.hangUp) }()
	}
	if t.signal.mode = s.Mode; t.signal.mode == "" {
		if t.signal.mode = Direct; l.endpoint.Reliable {
			t.signal.mode = Connect
		}
	}
	began := time.Now()
	name := l.endpoint.Name()
	c.diary.add(Record{Kind: Signalled, Endpoint: name, Transaction: t.signal.transaction, Detail: string(t.signal.mode)})
	t.sent.Add(1)
	id, err := r.call(ctx, t.signal, t.faults)
	if err != nil {
		return 0, err
	}
	took := time.Since(began)
	if err := c.acknowledgedBy(id, t); err != nil {
		return 0, err
	}
	c.diary.add(Record{Kind: Acknowledged, Agent: id, Endpoint: name, Transaction: t.signal.transaction})
	if t.signal.mode == Direct {
		again := t.signal
		for range t.faults.Repeats {
			if t.faults.Respelled {
				again = again.respelled()
			}
			if _, err := r.call(ctx, again, Faults{}); err != nil {
				return 0, err
			}
		}
	}
	return took, nil
}

// acknowledgedBy notes which agent took the request; it must be the tenant's.
func (c *Cloud) acknowledgedBy(id string, t *waiting) error {
	c.mu.Lock()
	a := c.agents[id]
	known := a != nil && !a.revoked
	if known {
		t.agent = id
	}
	c.mu.Unlock()
	if !known {
		return c.diary.refuse("session", "acknowledged by agent %s, which is not the tenant's (9)", id)
	}
	close(t.acked)
	return nil
}

// disturbsSession says that a connection of its own is needed.
func (f *Faults) disturbsSession() bool {
	return f.spoilsRendezvous() || f.TwiceNotified || f.Envelope != nil || f.OutOfOrder || f.Twice || f.UnknownSequence || f.NoAcknowledgement ||
		f.Piece > 0 || f.RelayDelay > 0
}

// Stats are the counters now.
func (c *Cloud) Stats() Stats {
	s := Stats{Counts: map[Kind]int{}}
	c.diary.mu.Lock()
	for k, n := range c.diary.counts {
		s.Counts[k] = n
	}
	c.diary.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := range c.links {
		l.mu.Lock()
		if l.ready && !l.frozen.Load() {
			s.Links++
		}
		l.mu.Unlock()
	}
	s.Relayed, s.Sockets = len(c.open), c.sockets
	return s
}
