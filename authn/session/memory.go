package session

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"sallyport/authn"
)

// Config configures a [Memory] store.
type Config struct {
	Lifetimes Lifetimes
	// Max is how many sessions are kept; beyond it the one that was not used for
	// longest is dropped, which costs its owner one more password. Only people
	// who have signed in can make a store reach it. Default 100,000.
	Max int
	// MaxOnce is how many used-once keys are remembered, and how many notes; beyond
	// it Once fails rather than forgets one. Default 200,000.
	MaxOnce int
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Memory is a [Store] in this process: for the demo, tests, and deployments that
// declare a single instance. A restart ends all sessions.
type Memory struct {
	cfg Config

	mu       sync.Mutex
	sessions map[ID]*entry
	byUse    entry                // root of a ring: next is used last, prev not for longest
	once     map[string]time.Time // until when
	onceScan time.Time            // when once was last swept
	notes    map[string]memoryNote
	noteScan time.Time               // when notes was last swept
	links    map[string][]memoryLink // oldest first
	linked   map[ID][]string         // the names that lead to a session
	closed   bool
}

// entry is a session, small: instants are Unix milliseconds.
type entry struct {
	id               ID
	next, prev       *entry
	parties          []string // latest first
	domain           string
	account          authn.GUID
	authenticated    int64
	expires, idleEnd int64
	pwdLastSet       int64
	method           authn.Method
	persistent       bool
}

func (m *Memory) session(e *entry) *Session {
	_, absolute := m.cfg.Lifetimes.Of(e.persistent)
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	return &Session{
		Account: e.account, Domain: e.domain, Method: e.method, Persistent: e.persistent, PwdLastSet: e.pwdLastSet,
		AuthenticatedAt: at(e.authenticated), StartedAt: at(e.expires).Add(-absolute), Expires: at(e.expires),
	}
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory(cfg Config) *Memory {
	cfg.Lifetimes = cfg.Lifetimes.WithDefaults()
	if cfg.Max <= 0 {
		cfg.Max = 100_000
	}
	if cfg.MaxOnce <= 0 {
		cfg.MaxOnce = 200_000
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	m := &Memory{cfg: cfg, sessions: make(map[ID]*entry), once: make(map[string]time.Time), notes: make(map[string]memoryNote),
		links: make(map[string][]memoryLink), linked: make(map[ID][]string)}
	m.byUse.next, m.byUse.prev = &m.byUse, &m.byUse
	return m
}

// Create implements [Store].
func (m *Memory) Create(_ context.Context, s *Session, parties ...string) (ID, error) {
	m.cfg.Lifetimes.Begin(s, m.cfg.Now())
	var scratch [MaxRecord]byte
	if _, err := AppendRecord(scratch[:0], s); err != nil { // the same limits as any other store
		return ID{}, err
	}
	idle, _ := m.cfg.Lifetimes.Of(s.Persistent)
	e := &entry{
		id: NewID(s.Persistent), account: s.Account, domain: s.Domain, method: s.Method, persistent: s.Persistent,
		pwdLastSet: s.PwdLastSet, authenticated: s.AuthenticatedAt.UnixMilli(),
		expires: s.Expires.UnixMilli(), idleEnd: s.StartedAt.Add(idle).UnixMilli(),
		parties: slices.Clone(parties[:min(len(parties), MaxParties)]),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ID{}, fmt.Errorf("%w: closed", ErrUnavailable)
	}
	m.makeRoom(s.StartedAt)
	m.sessions[e.id] = e
	m.toFront(e)
	return e.id, nil
}

// makeRoom drops what has expired at the far end of the use order, then, when the
// store is full, the session not used for longest.
func (m *Memory) makeRoom(now time.Time) {
	for last := m.byUse.prev; last != &m.byUse; last = m.byUse.prev {
		if last.live(now) && len(m.sessions) < m.cfg.Max {
			return
		}
		m.drop(last)
	}
}

func (m *Memory) drop(e *entry) {
	delete(m.sessions, e.id)
	m.unlink(e.id)
	e.unlink()
}

func (e *entry) unlink() {
	if e.next != nil {
		e.prev.next, e.next.prev = e.next, e.prev
		e.next, e.prev = nil, nil
	}
}

func (m *Memory) toFront(e *entry) {
	e.unlink()
	root := &m.byUse
	e.prev, e.next = root, root.next
	root.next.prev, root.next = e, e
}

func (e *entry) live(now time.Time) bool { return now.UnixMilli() < min(e.expires, e.idleEnd) }

// find returns the live entry of id. The caller holds mu.
func (m *Memory) find(id ID, now time.Time) (*entry, error) {
	if m.closed {
		return nil, fmt.Errorf("%w: closed", ErrUnavailable)
	}
	e, ok := m.sessions[id]
	if !ok {
		return nil, ErrNone
	}
	if !e.live(now) {
		m.drop(e)
		return nil, ErrNone
	}
	return e, nil
}

// Use implements [Store].
func (m *Memory) Use(_ context.Context, id ID, party string) (*Session, error) {
	now := m.cfg.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.find(id, now)
	if err != nil {
		return nil, err
	}
	idle, _ := m.cfg.Lifetimes.Of(e.persistent)
	e.idleEnd = now.Add(idle).UnixMilli()
	m.toFront(e)
	if party != "" {
		e.remember(party)
	}
	return m.session(e), nil
}

func (e *entry) remember(party string) {
	if i := slices.Index(e.parties, party); i >= 0 {
		e.parties = slices.Delete(e.parties, i, i+1)
	}
	e.parties = slices.Insert(e.parties, 0, party)
	if len(e.parties) > MaxParties {
		e.parties = e.parties[:MaxParties]
	}
}

// Peek implements [Store].
func (m *Memory) Peek(_ context.Context, id ID) (*Session, error) {
	now := m.cfg.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.find(id, now)
	if err != nil {
		return nil, err
	}
	return m.session(e), nil
}

// End implements [Store]. Nothing needs to stand in the place of an ended session
// here: an ID that is not in the map cannot come back.
func (m *Memory) End(_ context.Context, id ID) ([]string, error) {
	now := m.cfg.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.find(id, now)
	if err != nil {
		return nil, err
	}
	m.drop(e)
	return e.parties, nil
}

// Once implements [Store].
func (m *Memory) Once(_ context.Context, purpose, key string, ttl time.Duration) (bool, error) {
	now := m.cfg.Now()
	name := purpose + "\x00" + key
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false, fmt.Errorf("%w: closed", ErrUnavailable)
	}
	if until, ok := m.once[name]; ok && now.Before(until) {
		return false, nil
	}
	if now.Sub(m.onceScan) >= time.Minute || (len(m.once) >= m.cfg.MaxOnce && now.Sub(m.onceScan) >= time.Second) {
		m.onceScan = now
		for k, until := range m.once {
			if !now.Before(until) {
				delete(m.once, k)
			}
		}
	}
	if len(m.once) >= m.cfg.MaxOnce {
		return false, fmt.Errorf("%w: too many used-once keys", ErrUnavailable)
	}
	m.once[name] = now.Add(ttl)
	return true, nil
}

// Seen implements [Store].
func (m *Memory) Seen(_ context.Context, purpose, key string) (bool, error) {
	now := m.cfg.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false, fmt.Errorf("%w: closed", ErrUnavailable)
	}
	until, ok := m.once[purpose+"\x00"+key]
	return ok && now.Before(until), nil
}

// Ping implements [Store].
func (m *Memory) Ping(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("%w: closed", ErrUnavailable)
	}
	return nil
}

// Len returns how many sessions are kept, expired ones included until they are
// swept.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sessions)
}

// Close implements [Store]; sessions are forgotten.
func (m *Memory) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	clear(m.sessions)
	clear(m.once)
	clear(m.notes)
	clear(m.links)
	clear(m.linked)
	m.byUse.next, m.byUse.prev = &m.byUse, &m.byUse
}
