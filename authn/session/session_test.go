package session_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/authn"
	"sallyport/authn/session"
	"sallyport/authn/session/sessiontest"
)

var start = time.Date(2026, 11, 24, 10, 30, 0, 0, time.UTC)

// clock is a time that stands still until it is moved.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func TestMemoryConforms(t *testing.T) {
	c := &clock{now: start}
	sessiontest.Run(t, sessiontest.Harness{
		Open: func(t *testing.T, l session.Lifetimes) session.Store {
			return session.NewMemory(session.Config{Lifetimes: l, Now: c.Now})
		},
		Advance: func(_ *testing.T, d time.Duration) { c.now = c.now.Add(d) },
		Now:     c.Now,
	})
}

func TestMemoryDropsTheLeastUsedWhenFull(t *testing.T) {
	c := &clock{now: start}
	m := session.NewMemory(session.Config{Now: c.Now, Max: 3})
	var ids []session.ID
	create := func() {
		t.Helper()
		id, err := m.Create(t.Context(), sessiontest.Example(1, c.now))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	create()
	create()
	create()
	if _, err := m.Use(t.Context(), ids[0], ""); err != nil {
		t.Fatal(err)
	}
	create()
	_, err := m.Use(t.Context(), ids[1], "")
	if m.Len() != 3 || !errors.Is(err, session.ErrNone) {
		t.Errorf("kept %d, the least used one: %v", m.Len(), err)
	}
	if _, err := m.Use(t.Context(), ids[0], ""); err != nil {
		t.Errorf("the used one is gone: %v", err)
	}
}

func TestMemoryOnceFailsRatherThanForgets(t *testing.T) {
	c := &clock{now: start}
	m := session.NewMemory(session.Config{Now: c.Now, MaxOnce: 3})
	for n := range 3 {
		if first, err := m.Once(t.Context(), "p", fmt.Sprint(n), time.Minute); !first || err != nil {
			t.Fatal(first, err)
		}
	}
	if first, err := m.Once(t.Context(), "p", "one too many", time.Minute); first || !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("full: %v, %v", first, err)
	}
	if first, err := m.Once(t.Context(), "p", "0", time.Minute); first || err != nil {
		t.Errorf("forgotten: %v, %v", first, err)
	}
	c.now = c.now.Add(2 * time.Minute)
	if first, err := m.Once(t.Context(), "p", "after expiry", time.Minute); !first || err != nil {
		t.Errorf("after expiry: %v, %v", first, err)
	}
}

// TestL08_IDDoesNotPrint puts an ID through every way of printing.
func TestL08_IDDoesNotPrint(t *testing.T) {
	id := session.NewID(false)
	secret := id.Cookie()
	js, err := json.Marshal(map[string]any{"id": id, "in": struct{ I session.ID }{id}, "map": map[session.ID]int{id: 1}})
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "id", id, "p", &id, "s", struct{ I session.ID }{id})
	texts := []string{string(js), logged.String(), fmt.Sprint(id, &id), fmt.Sprintf("%v %+v %#v %s %q %x %X %d %b", id, id, id, id, id, id, id, id, id),
		fmt.Sprintf("%v %+v %#v", struct{ I session.ID }{id}, []session.ID{id}, map[string]session.ID{"a": id})}
	hex := fmt.Sprintf("%x", id[:8])
	dec := strings.Trim(fmt.Sprint([]byte(id[:4])), "[]")
	for _, text := range texts {
		for _, form := range []string{secret, secret[:20], hex, strings.ToUpper(hex), dec, strings.ReplaceAll(dec, " ", ",")} {
			if strings.Contains(text, form) {
				t.Errorf("%q tells the id", text)
			}
		}
	}
	_, err = session.ParseID(secret + "x")
	if err == nil || strings.Contains(err.Error(), secret[:8]) {
		t.Errorf("error tells the id: %v", err)
	}
}

func TestParseIDTakesOneSpelling(t *testing.T) {
	id := session.NewID(true)
	good := id.Cookie()
	if got, err := session.ParseID(good); err != nil || got != id {
		t.Fatalf("ParseID = %v", err)
	}
	last := good[len(good)-1]
	for _, bad := range []string{
		"", good[:42], good + "A", good + "=", " " + good[1:], good[:42] + "\n", good[:20] + "\r" + good[21:], strings.Repeat("A", 43),
		good[:42] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", last)+1)%64]),
	} {
		if _, err := session.ParseID(bad); !errors.Is(err, session.ErrID) {
			t.Errorf("ParseID(%d bytes) = %v", len(bad), err)
		}
	}
}

func TestRecordFitsItsLimit(t *testing.T) {
	s := sessiontest.Example(1, start)
	s.Domain = strings.Repeat("d", 77)
	r, err := session.AppendRecord(nil, s)
	if err != nil || len(r) != session.MaxRecord {
		t.Errorf("%d bytes, %v", len(r), err)
	}
	s.Domain += "d"
	if _, err := session.AppendRecord(nil, s); err == nil {
		t.Error("too long a domain was accepted")
	}
	typical, err := session.AppendRecord(nil, sessiontest.Example(1, start))
	if err != nil || len(typical) != 68 {
		t.Errorf("typical record: %d bytes, %v", len(typical), err)
	}
}

func TestTombstoneIsNoSession(t *testing.T) {
	if s, err := session.ParseRecord(session.AppendTombstone(nil, start)); s != nil || !errors.Is(err, session.ErrNone) {
		t.Errorf("%v, %v", s, err)
	}
}

func TestLifetimesAreChecked(t *testing.T) {
	if err := (session.Lifetimes{}).Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	for _, l := range []session.Lifetimes{
		{Absolute: time.Second}, {Absolute: 31 * 24 * time.Hour}, {Idle: 9 * time.Hour}, {Absolute: -time.Hour}, {PersistentIdle: 25 * time.Hour},
	} {
		if err := l.Validate(); err == nil {
			t.Errorf("%+v accepted", l)
		}
	}
	want := session.Lifetimes{Absolute: 8 * time.Hour, Idle: 8 * time.Hour, PersistentAbsolute: 24 * time.Hour, PersistentIdle: 24 * time.Hour}
	if d := cmp.Diff(want, session.Lifetimes{}.WithDefaults()); d != "" {
		t.Error(d)
	}
}

func FuzzParseRecord(f *testing.F) {
	good, err := session.AppendRecord(nil, sessiontest.Example(1, start))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(session.AppendTombstone(nil, start))
	f.Add(good[:50])
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := session.ParseRecord(in)
		if err != nil {
			if s != nil {
				t.Error("session with an error")
			}
			return
		}
		if s.Account == (authn.GUID{}) || s.Method == authn.MethodNone {
			t.Errorf("accepted %+v", s)
		}
		again, err := session.AppendRecord(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := session.ParseRecord(again)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(s, back); d != "" {
			t.Errorf("changed on the way: %s", d)
		}
	})
}

func BenchmarkMemoryUse(b *testing.B) {
	m := session.NewMemory(session.Config{})
	id, err := m.Create(b.Context(), sessiontest.Example(1, time.Now()))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Use(b.Context(), id, "urn:federation:MicrosoftOnline"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	s := sessiontest.Example(1, time.Now())
	var scratch [session.MaxRecord]byte
	b.ReportAllocs()
	for b.Loop() {
		r, err := session.AppendRecord(scratch[:0], s)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := session.ParseRecord(r); err != nil {
			b.Fatal(err)
		}
	}
}

// TestMemorySessionFitsItsBudget holds line 9 of the performance budget: bytes in
// process for a session that was used for one party.
func TestMemorySessionFitsItsBudget(t *testing.T) {
	const n = 20_000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	m := session.NewMemory(session.Config{})
	s := sessiontest.Example(1, time.Now())
	for range n {
		id, err := m.Create(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Use(t.Context(), id, "urn:federation:MicrosoftOnline"); err != nil {
			t.Fatal(err)
		}
	}
	per := (heap() - before) / n
	t.Logf("%d bytes a session", per)
	if per > 400 {
		t.Errorf("%d bytes a session, the gate is 400", per)
	}
	runtime.KeepAlive(m)
}
