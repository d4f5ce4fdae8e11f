package certs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Promote makes a key the one that signs: the next one for an empty id, or an
// earlier one that is still retired. It is [ErrRefused] while something stands in
// the way. Force overrides the time and what is not known of relying parties, never
// an instance that lacks the key or a certificate out of its validity. The loop waits
// for the time of [View.Plan] besides, which does not bind an admin.
func (h *Hand) Promote(ctx context.Context, id string, force bool) (*Entry, error) {
	var done *Entry
	_, err := change(ctx, h.Store, func(l *Ledger) error {
		e, err := h.Promotable(l, id, force)
		if err != nil {
			return err
		}
		now := h.now()
		detail := "in the place of " + l.Of(Signing).ID
		if force {
			detail += ", forced"
			e.Hurried = h.mayPromote(l, e, false) != nil
		}
		l.promote(e, now, now.Add(switchDelay), h.By, detail)
		done = e
		return nil
	})
	return done, err
}

// Promotable returns the key that [Hand.Promote] would promote, or why it would not.
func (h *Hand) Promotable(l *Ledger, id string, force bool) (*Entry, error) {
	e, err := h.candidate(l, id)
	if err != nil {
		return nil, err
	}
	return e, h.mayPromote(l, e, force)
}

func (h *Hand) candidate(l *Ledger, id string) (*Entry, error) {
	e := l.Next()
	if id != "" {
		var err error
		if e, err = l.Find(id); err != nil {
			return nil, err
		}
	}
	switch {
	case e == nil:
		return nil, fmt.Errorf("%w: there is no next key: sallyport certs stage makes one", ErrRefused)
	case e.State == Signing:
		return nil, fmt.Errorf("%w: %s signs already", ErrRefused, short(e.ID))
	case e.State == Gone:
		return nil, fmt.Errorf("%w: %s is gone, its private key destroyed", ErrRefused, short(e.ID))
	default:
		return e, nil
	}
}

func (h *Hand) mayPromote(l *Ledger, e *Entry, force bool) error {
	v := h.View(l)
	cert, err := e.X509()
	if err != nil {
		return err
	}
	var hard []string
	switch {
	case e.Stolen:
		hard = append(hard, "an emergency rotation gave it up for stolen")
	case v.Now.After(cert.NotAfter):
		hard = append(hard, "its certificate expired on "+date(cert.NotAfter))
	case v.Now.Before(cert.NotBefore):
		hard = append(hard, "its certificate is valid only from "+date(cert.NotBefore)+": check the clocks")
	}
	if missing := lacking(v.Running, e.ID); len(missing) > 0 {
		hard = append(hard, "instances that have not loaded it: "+strings.Join(missing, ", "))
	}
	if len(hard) > 0 {
		return fmt.Errorf("%w: %s cannot sign: %s", ErrRefused, short(e.ID), strings.Join(hard, "; "))
	}
	if force || e.State == Retired { // whoever knew an earlier key knows it still
		return nil
	}
	due, waits := v.promotable(e)
	if v.Now.Before(due) {
		waits = append(waits, fmt.Sprintf("its time comes on %s", due.UTC().Format("2006-01-02 15:04 MST")))
		waits = append(waits, v.unseen(e)...)
	}
	if len(waits) > 0 {
		return &NotReadyError{ID: e.ID, Waits: waits}
	}
	return nil
}

// NotReadyError is an [ErrRefused]: a key is not promoted because not every relying
// party is known to hold its certificate.
type NotReadyError struct {
	// ID is the key's thumbprint.
	ID string
	// Waits says what it waits for, each a sentence for an admin.
	Waits []string
}

// Error implements error.
func (e *NotReadyError) Error() string {
	return fmt.Sprintf("%v: %s is not ready to sign: %s", ErrRefused, short(e.ID), strings.Join(e.Waits, "; "))
}

// Unwrap returns [ErrRefused].
func (e *NotReadyError) Unwrap() error { return ErrRefused }

// Retire gives a key up: the next key before it ever signed, or an earlier one
// before its last token has expired. The key that signs can only be replaced.
func (h *Hand) Retire(ctx context.Context, id string) (*Entry, error) {
	var done *Entry
	_, err := change(ctx, h.Store, func(l *Ledger) error {
		e, err := l.Find(id)
		switch {
		case err != nil:
			return err
		case e.State == Signing:
			return fmt.Errorf("%w: %s signs: promote another key first", ErrRefused, short(e.ID))
		case e.State == Gone:
			return fmt.Errorf("%w: %s is gone already", ErrRefused, short(e.ID))
		}
		was := e.State
		e.enter(Gone, h.now())
		l.note(Event{At: h.now(), By: h.By, Action: ActionDiscarded, ID: e.ID, Detail: "was " + string(was)})
		done = e
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done, h.Keys.Destroy(ctx, done.Ref)
}

// Told records that an admin says that a party holds a certificate.
func (h *Hand) Told(ctx context.Context, id, party string) error {
	_, err := change(ctx, h.Store, func(l *Ledger) error {
		e, err := l.Find(id)
		if err != nil {
			return err
		}
		if e.State != Staged && e.State != Published && !(e.State == Signing && e.Hurried) {
			return fmt.Errorf("%w: %s is %s; only of a next key it matters who holds it", ErrRefused, short(e.ID), e.State)
		}
		// What is sent to such a party leaves out a key that is staged only, so it holds
		// another one than the admin believes.
		if e.State == Staged && slices.ContainsFunc(h.Parties, func(p Party) bool { return p.Key == party && p.ByHand }) {
			return fmt.Errorf("%w: %s is staged only, and what is sent to %s leaves it out until it is published: sallyport certs list", ErrRefused, short(e.ID), party)
		}
		if !e.know(party, Told, h.now()) {
			return errUnchanged
		}
		l.note(Event{At: h.now(), By: h.By, Action: ActionTold, ID: e.ID, Detail: party})
		return nil
	})
	return err
}

// Emergency replaces every key at once because the one that signs, or the machine
// that holds it, can no longer be trusted. Two new keys are made, since Microsoft
// keeps two certificates and the stolen one must be in neither place: the first
// signs at once, the second stands by. What was there is taken out of the metadata
// and destroyed.
func (h *Hand) Emergency(ctx context.Context, reason string) (signs, standby *Entry, err error) {
	p := h.Policy.WithDefaults()
	refs := []string{newRef(h.now()), newRef(h.now())}
	if err := h.lease(ctx, refs, true); err != nil {
		return nil, nil, err
	}
	if signs, err = h.generate(ctx, refs[0], p.Validity); err != nil {
		return nil, nil, err
	}
	// The one that stands by still has a whole validity when the other has ended.
	if standby, err = h.generate(ctx, refs[1], 2*p.Validity); err != nil {
		return nil, nil, err
	}
	var old []string
	err = h.redeem(ctx, refs, func(l *Ledger) error {
		now := h.now()
		old = nil
		l.note(Event{At: now, By: h.By, Action: ActionEmergency, ID: signs.ID, Detail: reason})
		for i := range l.Entries {
			if e := &l.Entries[i]; e.State.Listed() {
				l.note(Event{At: now, By: h.By, Action: ActionDiscarded, ID: e.ID, Detail: "given up for stolen, was " + string(e.State)})
				e.enter(Gone, now)
				e.Stolen = true
				old = append(old, e.Ref)
			}
		}
		signs.SignsFrom, signs.Hurried = now.Add(time.Nanosecond), true
		l.add(signs, Signing, now)
		l.add(standby, Published, now)
		l.note(Event{At: now, By: h.By, Action: ActionStaged, ID: standby.ID, Detail: "stands by"})
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for _, ref := range old {
		if err := h.Keys.Destroy(ctx, ref); err != nil {
			return signs, standby, fmt.Errorf("the new keys are in force, but an old key could not be destroyed: %w", err)
		}
	}
	return signs, standby, nil
}

// Wanted returns what a pushed-to party is to hold: what signs, and beside it what
// comes next, else what signed before while its tokens live.
func (l *Ledger) Wanted() (Slots, error) {
	var s Slots
	var err error
	if s.Current, err = l.Of(Signing).X509(); err != nil {
		return s, err
	}
	beside := l.Of(Published)
	if beside == nil {
		beside = l.Of(Retired)
	}
	if beside != nil {
		s.Next, err = beside.X509()
	}
	return s, err
}
