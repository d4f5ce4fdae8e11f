package session

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Links lead to sessions without the browser: from a name that a relying party has
// for a person. They are made only for parties that end sessions by themselves,
// server to server. A link finds and ends a session; nobody can act as its browser
// by it. Both stores of sessions implement it.
type Links interface {
	// Link lets name lead to a session. With label the party tells sessions of one
	// name apart. A session that does not live is linked in vain. One round trip.
	Link(ctx context.Context, id ID, name, label string) error
	// EndLinked ends the live sessions that name leads to: those with one of the
	// labels, or all when there are no labels. None is no error. With an error some
	// may have ended, and those are returned.
	EndLinked(ctx context.Context, name string, labels []string) ([]Ended, error)
}

// Ended is a session that was ended through a link.
type Ended struct {
	Session *Session
	Label   string
	// Parties are those of [Store.End].
	Parties []string
}

// MaxLinks is how many sessions one name leads to. With more, the ones linked
// longest ago cannot be found by it any more.
const MaxLinks = 32

// MaxLabel is the longest label in bytes.
const MaxLabel = 64

// CheckLink refuses links that no store takes.
func CheckLink(id ID, name, label string) error {
	if id.IsZero() || name == "" || len(label) > MaxLabel {
		return fmt.Errorf("session: a link needs a session, a name and a label of at most %d bytes", MaxLabel)
	}
	return nil
}

// memoryLink is one link of a name.
type memoryLink struct {
	id    ID
	label string
}

var _ Links = (*Memory)(nil)

// Link implements [Links].
func (m *Memory) Link(_ context.Context, id ID, name, label string) error {
	if err := CheckLink(id, name, label); err != nil {
		return err
	}
	now := m.cfg.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("%w: closed", ErrUnavailable)
	}
	if _, err := m.find(id, now); err != nil {
		return nil
	}
	link := memoryLink{id, label}
	list := slices.DeleteFunc(m.links[name], func(l memoryLink) bool { return l == link })
	list = append(list, link)
	if len(list) > MaxLinks {
		list = slices.Delete(list, 0, len(list)-MaxLinks)
	}
	m.links[name] = list
	if !slices.Contains(m.linked[id], name) {
		m.linked[id] = append(m.linked[id], name)
	}
	return nil
}

// EndLinked implements [Links].
func (m *Memory) EndLinked(_ context.Context, name string, labels []string) ([]Ended, error) {
	now := m.cfg.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, fmt.Errorf("%w: closed", ErrUnavailable)
	}
	var all []Ended
	for _, l := range slices.Clone(m.links[name]) {
		if len(labels) > 0 && !slices.Contains(labels, l.label) {
			continue
		}
		if e, err := m.find(l.id, now); err == nil {
			all = append(all, Ended{m.session(e), l.label, e.parties})
			m.drop(e)
		}
	}
	return all, nil
}

// unlink forgets the links to a session that is gone. The caller holds mu.
func (m *Memory) unlink(id ID) {
	for _, name := range m.linked[id] {
		list := slices.DeleteFunc(m.links[name], func(l memoryLink) bool { return l.id == id })
		if m.links[name] = list; len(list) == 0 {
			delete(m.links, name)
		}
	}
	delete(m.linked, id)
}

// Longest is the longest time that a session of either kind lives.
func (l Lifetimes) Longest() time.Duration {
	full := l.WithDefaults()
	return max(full.Absolute, full.PersistentAbsolute)
}
