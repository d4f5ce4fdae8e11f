package session

import (
	"container/list"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Config configures a [Memory] store.
type Config struct {
	Lifetimes Lifetimes
	// Max is how many sessions are kept; beyond it the one that was not used for
	// longest is dropped, which costs its owner one more password. Only people
	// who have signed in can make a store reach it. Default 100,000.
	Max int
	// MaxOnce is how many used-once keys are remembered; beyond it Once fails
	// rather than forgets one. Default 200,000.
	MaxOnce int
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Memory is a [Store] in this process: for the demo, tests, and deployments that
// declare a single instance. A restart ends all sessions.
type Memory struct {
	cfg Config

	mu       sync.Mutex
	sessions map[ID]*list.Element // of *entry
	byUse    *list.List           // front: used last
	once     map[string]time.Time // until when
	onceScan time.Time            // when once was last swept
	closed   bool
}

type entry struct {
	id      ID
	s       Session
	idleEnd time.Time
	parties []string // latest first
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
	return &Memory{
		cfg: cfg, sessions: make(map[ID]*list.Element), byUse: list.New(), once: make(map[string]time.Time),
	}
}

// Create implements [Store].
func (m *Memory) Create(_ context.Context, s *Session) (ID, error) {
	m.cfg.Lifetimes.Begin(s, m.cfg.Now())
	var scratch [MaxRecord]byte
	if _, err := AppendRecord(scratch[:0], s); err != nil { // the same limits as any other store
		return ID{}, err
	}
	idle, _ := m.cfg.Lifetimes.Of(s.Persistent)
	e := &entry{id: NewID(s.Persistent), s: *s, idleEnd: s.StartedAt.Add(idle)}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ID{}, fmt.Errorf("%w: closed", ErrUnavailable)
	}
	m.makeRoom(s.StartedAt)
	m.sessions[e.id] = m.byUse.PushFront(e)
	return e.id, nil
}

// makeRoom drops what has expired at the far end of the use order, then, when the
// store is full, the session not used for longest.
func (m *Memory) makeRoom(now time.Time) {
	for back := m.byUse.Back(); back != nil; back = m.byUse.Back() {
		if back.Value.(*entry).live(now) && len(m.sessions) < m.cfg.Max {
			return
		}
		m.drop(back)
	}
}

func (m *Memory) drop(el *list.Element) {
	delete(m.sessions, el.Value.(*entry).id)
	m.byUse.Remove(el)
}

func (e *entry) live(now time.Time) bool { return now.Before(e.s.Expires) && now.Before(e.idleEnd) }

// find returns the live entry of id. The caller holds mu.
func (m *Memory) find(id ID, now time.Time) (*list.Element, error) {
	if m.closed {
		return nil, fmt.Errorf("%w: closed", ErrUnavailable)
	}
	el, ok := m.sessions[id]
	if !ok {
		return nil, ErrNone
	}
	if !el.Value.(*entry).live(now) {
		m.drop(el)
		return nil, ErrNone
	}
	return el, nil
}

// Use implements [Store].
func (m *Memory) Use(_ context.Context, id ID, party string) (*Session, error) {
	now := m.cfg.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	el, err := m.find(id, now)
	if err != nil {
		return nil, err
	}
	e := el.Value.(*entry)
	idle, _ := m.cfg.Lifetimes.Of(e.s.Persistent)
	e.idleEnd = now.Add(idle)
	m.byUse.MoveToFront(el)
	if party != "" {
		e.remember(party)
	}
	s := e.s
	return &s, nil
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
	el, err := m.find(id, now)
	if err != nil {
		return nil, err
	}
	s := el.Value.(*entry).s
	return &s, nil
}

// End implements [Store]. Nothing needs to stand in the place of an ended session
// here: an ID that is not in the map cannot come back.
func (m *Memory) End(_ context.Context, id ID) ([]string, error) {
	now := m.cfg.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	el, err := m.find(id, now)
	if err != nil {
		return nil, err
	}
	m.drop(el)
	return el.Value.(*entry).parties, nil
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
	m.byUse.Init()
}
