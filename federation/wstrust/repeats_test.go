package wstrust_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/authn/session"
	"sallyport/federation/wstrust"
)

// shareOnePeople makes all instances ask the same directory.
func shareOnePeople(t *testing.T, n int, notes wstrust.Notes) ([]*rig, *people) {
	t.Helper()
	shared := &people{verdict: map[string]authn.Result{}}
	var rigs []*rig
	for range n {
		g := newRig(t, func(c *wstrust.Config) { c.Notes, c.Passwords = notes, shared })
		g.people = shared
		rigs = append(rigs, g)
	}
	return rigs, shared
}

func memory(clock *time.Time) *session.Memory {
	return session.NewMemory(session.Config{Now: func() time.Time { return *clock }})
}

func TestT03_ARepeatedRefusalGetsItsFirstVerdict(t *testing.T) {
	for _, v := range wstrust.Versions() {
		clock := now
		rigs, p := shareOnePeople(t, 2, memory(&clock))
		body := message{version: v, id: "urn:uuid:1", password: "wrong"}.String()
		for i := range 6 {
			if got := subcode(t, rigs[i%2].send(body, v, outsider)); got != "Sender FailedAuthentication" {
				t.Errorf("copy %d: %s", i, got)
			}
		}
		if p.calls() != 1 {
			t.Errorf("%d binds for one message on two instances", p.calls())
		}
		if e := rigs[1].trail.last(); e.Code != audit.RequestRefused || e.Reason != "repeated" || e.Detail != "copy of a message that was refused: wrong_password" {
			t.Errorf("audit %+v", e)
		}
		// What makes it another message: id, password, name, endpoint.
		for _, other := range []message{
			{version: v, id: "urn:uuid:2", password: "wrong"}, {version: v, id: "urn:uuid:1", password: "wronG"}, {version: v, id: "urn:uuid:1", password: "wrong", name: "bob@contoso.test"},
		} {
			before := p.calls()
			rigs[1].send(other.String(), v, outsider)
			if p.calls() != before+1 {
				t.Errorf("%+v was taken for a copy", other)
			}
		}
		clock = now.Add(61 * time.Second)
		for _, g := range rigs {
			g.clock = clock
		}
		before := p.calls()
		rigs[1].send(body, v, outsider)
		if p.calls() != before+1 {
			t.Error("the verdict holds for longer than a minute")
		}
	}
}

func TestT03_ARightPasswordIsNeverRemembered(t *testing.T) {
	clock := now
	rigs, p := shareOnePeople(t, 2, memory(&clock))
	body := message{id: "urn:uuid:1"}.String()
	for i := range 4 {
		if w := rigs[i%2].send(body, 0, outsider); w.Code != 200 {
			t.Errorf("copy %d: %d", i, w.Code)
		}
	}
	if p.calls() != 4 {
		t.Errorf("%d binds for 4 copies", p.calls())
	}
}

func TestT03_WithoutAMessageIDTheBytesCountForTenSeconds(t *testing.T) {
	clock := now
	rigs, p := shareOnePeople(t, 1, memory(&clock))
	body := message{password: "wrong"}.String()
	rigs[0].send(body, 0, outsider)
	rigs[0].send(body, 0, outsider)
	if p.calls() != 1 {
		t.Errorf("%d binds for one message", p.calls())
	}
	rigs[0].send(body+" ", 0, outsider)
	if p.calls() != 2 {
		t.Errorf("%d binds: other bytes are another message", p.calls())
	}
	clock = now.Add(11 * time.Second)
	rigs[0].clock = clock
	rigs[0].send(body, 0, outsider)
	if p.calls() != 3 {
		t.Errorf("%d binds: the verdict holds for longer than 10 seconds", p.calls())
	}
}

func TestT03_OneHundredParallelCopiesAreOneBind(t *testing.T) {
	clock := now
	for name, c := range map[string]struct {
		instances int
		notes     wstrust.Notes
	}{"two instances, one store": {2, memory(&clock)}, "one instance, no store": {1, nil}, "one instance, the store is down": {1, down{}}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { parallelCopies(t, c.instances, c.notes) })
		})
	}
}

func parallelCopies(t *testing.T, instances int, notes wstrust.Notes) {
	rigs, p := shareOnePeople(t, instances, notes)
	p.hold = make(chan struct{})
	body := message{id: "urn:uuid:1", password: "wrong"}.String()
	var wg sync.WaitGroup
	codes := make([]string, 100)
	for i := range codes {
		wg.Go(func() { codes[i] = subcode(t, rigs[i%instances].send(body, 0, outsider)) })
	}
	synctest.Wait() // every copy waits: for the directory, or for the one that asks it
	close(p.hold)
	wg.Wait()
	for i, c := range codes {
		if c != "Sender FailedAuthentication" {
			t.Errorf("copy %d: %s", i, c)
		}
	}
	if p.calls() != 1 {
		t.Errorf("%d binds for 100 copies", p.calls())
	}
}

// down is a store that is down.
type down struct{}

func (down) Claim(context.Context, string, string, string, time.Duration) (string, bool, error) {
	return "", false, errors.New("connection refused")
}

func (down) Amend(context.Context, string, string, string, time.Duration) error {
	return errors.New("connection refused")
}

func TestT03_WithoutTheStoreEachInstanceRemembersItsOwn(t *testing.T) {
	for _, notes := range []wstrust.Notes{nil, down{}} {
		rigs, p := shareOnePeople(t, 1, notes)
		body := message{id: "urn:uuid:1", password: "wrong"}.String()
		rigs[0].send(body, 0, outsider)
		rigs[0].send(body, 0, outsider)
		if p.calls() != 1 {
			t.Errorf("%T: %d binds", notes, p.calls())
		}
		if w := rigs[0].send(message{id: "urn:uuid:2"}.String(), 0, outsider); w.Code != 200 {
			t.Errorf("%T: a right password: %d", notes, w.Code)
		}
	}
}

// forged is a store in which somebody has written.
type forged struct{ note string }

func (f forged) Claim(context.Context, string, string, string, time.Duration) (string, bool, error) {
	return f.note, false, nil
}

func (f forged) Amend(context.Context, string, string, string, time.Duration) error { return nil }

func TestAForgedNoteLetsNobodyIn(t *testing.T) {
	for _, note := range []string{"accepted", "", "unavailable", "no_verdict", "1", "wrong_password"} {
		rigs, p := shareOnePeople(t, 1, forged{note})
		if got := subcode(t, rigs[0].send(message{id: "1"}.String(), 0, outsider)); got != "Sender FailedAuthentication" || p.calls() != 0 {
			t.Errorf("%q: %s after %d binds", note, got, p.calls())
		}
	}
}

// slow is a store in which another instance holds the claim for the first calls.
type slow struct {
	mu    sync.Mutex
	calls int
	left  int // how often the claim is still another's
	after string
}

func (s *slow) Claim(_ context.Context, _, _, note string, _ time.Duration) (string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.left > 0 {
		s.left--
		return "?", false, nil
	}
	if s.after != "" {
		return s.after, false, nil
	}
	return note, true, nil
}

func (s *slow) Amend(context.Context, string, string, string, time.Duration) error { return nil }

func TestT03_ACopyWaitsForTheInstanceThatJudges(t *testing.T) {
	store := &slow{left: 3, after: "wrong_password"}
	rigs, p := shareOnePeople(t, 1, store)
	if got := subcode(t, rigs[0].send(message{id: "1", password: "wrong"}.String(), 0, outsider)); got != "Sender FailedAuthentication" || p.calls() != 0 || store.calls != 4 {
		t.Errorf("%s after %d binds and %d questions", got, p.calls(), store.calls)
	}
	// The other instance vanished, or its copy was accepted: this one judges.
	store = &slow{left: 3}
	rigs, p = shareOnePeople(t, 1, store)
	if w := rigs[0].send(message{id: "1"}.String(), 0, outsider); w.Code != 200 || p.calls() != 1 || store.calls != 4 {
		t.Errorf("%d after %d binds and %d questions", w.Code, p.calls(), store.calls)
	}
}
