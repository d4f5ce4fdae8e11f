package session

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Notes are short notes that all instances share for a minute or so: what one
// instance found out and the others need not find out again. A note is no secret
// and proves nothing; whoever can write to the store can write notes. Both stores
// of sessions implement it.
type Notes interface {
	// Claim writes a note under the name unless there is one. It returns the note
	// that is there then, and whether this call wrote it. One round trip.
	Claim(ctx context.Context, purpose, name, note string, ttl time.Duration) (there string, mine bool, err error)
	// Note returns the note under the name, empty when there is none. One round trip.
	Note(ctx context.Context, purpose, name string) (string, error)
	// Amend replaces the note under the name, or removes it when note is empty.
	Amend(ctx context.Context, purpose, name, note string, ttl time.Duration) error
}

// MaxNote is the longest note in bytes.
const MaxNote = 64

// CheckNote refuses notes that no store takes.
func CheckNote(note string, ttl time.Duration) error {
	if len(note) > MaxNote {
		return fmt.Errorf("session: a note of %d bytes, at most %d are kept", len(note), MaxNote)
	}
	if note != "" && ttl < time.Millisecond {
		return fmt.Errorf("session: %v is no time to keep a note for", ttl)
	}
	return nil
}

// CheckClaim is [CheckNote] for a claim, which needs a note.
func CheckClaim(note string, ttl time.Duration) error {
	if note == "" {
		return errors.New("session: a claim without a note")
	}
	return CheckNote(note, ttl)
}

type memoryNote struct {
	text  string
	until time.Time
}

var _ Notes = (*Memory)(nil)

// Claim implements [Notes].
func (m *Memory) Claim(_ context.Context, purpose, name, note string, ttl time.Duration) (string, bool, error) {
	if err := CheckClaim(note, ttl); err != nil {
		return "", false, err
	}
	now, key := m.cfg.Now(), purpose+"\x00"+name
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return "", false, fmt.Errorf("%w: closed", ErrUnavailable)
	}
	if n, ok := m.notes[key]; ok && now.Before(n.until) {
		return n.text, false, nil
	}
	return note, true, m.note(key, note, now, ttl)
}

// Note implements [Notes].
func (m *Memory) Note(_ context.Context, purpose, name string) (string, error) {
	now := m.cfg.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return "", fmt.Errorf("%w: closed", ErrUnavailable)
	}
	if n, ok := m.notes[purpose+"\x00"+name]; ok && now.Before(n.until) {
		return n.text, nil
	}
	return "", nil
}

// Amend implements [Notes].
func (m *Memory) Amend(_ context.Context, purpose, name, note string, ttl time.Duration) error {
	if err := CheckNote(note, ttl); err != nil {
		return err
	}
	now, key := m.cfg.Now(), purpose+"\x00"+name
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("%w: closed", ErrUnavailable)
	}
	if note == "" {
		delete(m.notes, key)
		return nil
	}
	return m.note(key, note, now, ttl)
}

// note writes a note. The caller holds mu.
func (m *Memory) note(key, text string, now time.Time, ttl time.Duration) error {
	if now.Sub(m.noteScan) >= time.Minute || (len(m.notes) >= m.cfg.MaxOnce && now.Sub(m.noteScan) >= time.Second) {
		m.noteScan = now
		for k, n := range m.notes {
			if !now.Before(n.until) {
				delete(m.notes, k)
			}
		}
	}
	if _, known := m.notes[key]; !known && len(m.notes) >= m.cfg.MaxOnce {
		return fmt.Errorf("%w: too many notes", ErrUnavailable)
	}
	m.notes[key] = memoryNote{text, now.Add(ttl)}
	return nil
}
