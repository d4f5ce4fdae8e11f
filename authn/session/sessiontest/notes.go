package sessiontest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/authn/session"
)

func (x *suite) once() {
	ctx := x.t.Context()
	try := func(purpose, key string, want bool) {
		x.t.Helper()
		for range 2 { // looking changes nothing
			if got, err := x.s.Seen(ctx, purpose, key); err != nil || got == want {
				x.t.Errorf("Seen(%q, %q) = %v, %v; want %v", purpose, key, got, err, !want)
			}
		}
		if got, err := x.s.Once(ctx, purpose, key, time.Minute); err != nil || got != want {
			x.t.Errorf("Once(%q, %q) = %v, %v; want %v", purpose, key, got, err, want)
		}
	}
	try("a", "1", true)
	try("a", "1", false)
	try("a", "2", true)
	try("b", "1", true)
	try("a1", "", true) // purpose and key must not run into each other
	try("", "a1", true)
	x.Advance(x.t, 30*time.Second)
	try("a", "1", false)
	x.Advance(x.t, 31*time.Second)
	try("a", "1", true)
}

func (x *suite) onceRace() {
	for round := range 10 {
		var wg sync.WaitGroup
		var mu sync.Mutex
		firsts := 0
		for range 16 {
			wg.Go(func() {
				first, err := x.s.Once(x.t.Context(), "race", fmt.Sprint(round), time.Minute)
				if err != nil {
					x.t.Errorf("Once: %v", err)
				}
				if first {
					mu.Lock()
					firsts++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if firsts != 1 {
			x.t.Errorf("round %d: %d firsts", round, firsts)
		}
	}
}

// shared returns the store's notes, which every store of this module has.
func (x *suite) shared() session.Notes {
	n, ok := x.s.(session.Notes)
	if !ok {
		x.t.Fatalf("%T keeps no notes", x.s)
	}
	return n
}

func (x *suite) notes() {
	ctx, n := x.t.Context(), x.shared()
	claim := func(purpose, name, note, want string, mine bool) {
		x.t.Helper()
		if there, got, err := n.Claim(ctx, purpose, name, note, time.Minute); err != nil || there != want || got != mine {
			x.t.Errorf("Claim(%q, %q, %q) = %q, %v, %v; want %q, %v", purpose, name, note, there, got, err, want, mine)
		}
	}
	amend := func(name, note string) {
		x.t.Helper()
		if err := n.Amend(ctx, "a", name, note, time.Minute); err != nil {
			x.t.Errorf("Amend: %v", err)
		}
	}
	read := func(purpose, name, want string) {
		x.t.Helper()
		if there, err := n.Note(ctx, purpose, name); err != nil || there != want {
			x.t.Errorf("Note(%q, %q) = %q, %v; want %q", purpose, name, there, err, want)
		}
	}
	read("a", "1", "")
	claim("a", "1", "?", "?", true)
	claim("a", "1", "?", "?", false)
	read("a", "1", "?")
	read("a1", "", "")
	claim("a", "1", "other", "?", false)
	claim("b", "1", "?", "?", true)
	claim("a1", "", "?", "?", true) // purpose and name must not run into each other
	amend("1", "wrong_password")
	claim("a", "1", "?", "wrong_password", false)
	read("a", "1", "wrong_password")
	amend("1", "")
	read("a", "1", "")
	claim("a", "1", "again", "again", true)
	x.Advance(x.t, 30*time.Second)
	claim("a", "1", "?", "again", false)
	x.Advance(x.t, 31*time.Second)
	read("a", "1", "")
	claim("a", "1", "?", "?", true)
	amend("2", "first") // nobody had claimed it
	claim("a", "2", "?", "first", false)
	if _, _, err := n.Claim(ctx, "a", "3", strings.Repeat("x", session.MaxNote+1), time.Minute); err == nil {
		x.t.Error("a note beyond the limit is kept")
	}
	if _, _, err := n.Claim(ctx, "a", "3", "", time.Minute); err == nil {
		x.t.Error("a claim without a note is kept")
	}
	if first, err := x.s.Once(ctx, "a", "1", time.Minute); err != nil || !first {
		x.t.Errorf("a note is in the way of Once: %v, %v", first, err)
	}
}

func (x *suite) notesRace() {
	n := x.shared()
	for round := range 10 {
		var wg sync.WaitGroup
		var mine, other atomic.Int32
		for range 16 {
			wg.Go(func() {
				switch there, got, err := n.Claim(x.t.Context(), "race", fmt.Sprint(round), "?", time.Minute); {
				case err != nil || there != "?":
					x.t.Errorf("Claim: %q, %v", there, err)
				case got:
					mine.Add(1)
				default:
					other.Add(1)
				}
			})
		}
		wg.Wait()
		if mine.Load() != 1 || other.Load() != 15 {
			x.t.Errorf("round %d: %d claims, %d others", round, mine.Load(), other.Load())
		}
	}
}
