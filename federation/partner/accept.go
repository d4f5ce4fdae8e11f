package partner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// ErrOlder says that a document is older than the one held.
var ErrOlder = errors.New("older than the document that is held")

// read reads the file of a source; ErrUnchanged when it is the one held.
func (s *source) read(now time.Time) (*held, error) {
	data, err := readFile(s.File, MaxSize)
	if err != nil {
		return nil, err
	}
	sum := digest(data)
	if s.held != nil && s.held.SHA256 == sum && !s.dead {
		return nil, ErrUnchanged
	}
	if s.SHA256 != "" && !strings.EqualFold(s.SHA256, sum) {
		return nil, fmt.Errorf("%w: the file's SHA-256 is %s, not the one that the settings pin", ErrUntrusted, sum)
	}
	return s.judge(data, now)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// judge holds a document against everything but its age.
func (s *source) judge(data []byte, now time.Time) (*held, error) {
	doc, err := Read(data, Trust{Certificates: s.Certificates, MustEnd: s.MustEnd, Now: now})
	if err != nil {
		return nil, err
	}
	for _, id := range s.Identifiers {
		e, err := doc.Entity(id)
		if err != nil {
			continue
		}
		if s.Check != nil {
			if err := s.Check(e); err != nil {
				return nil, err
			}
		}
		return &held{copied: copied{URL: s.URL, SHA256: digest(data), data: data}, entity: e, created: doc.Created}, nil
	}
	return nil, fmt.Errorf("%w: it describes %s, not %.200q", ErrAbsent, doc.names(), s.Identifiers)
}

// fetch asks the address of a source. A copy that has ended is asked for whole.
func (k *Keeper) fetch(ctx context.Context, s *source, now time.Time) (*held, error) {
	var have Tag
	if s.held != nil && !s.dead {
		have = s.held.Tag
	}
	data, tag, err := s.Client.Get(ctx, s.URL, have)
	if err != nil {
		return nil, err
	}
	h, err := s.judge(data, now)
	if err != nil {
		return nil, err
	}
	h.Tag, h.Fetched = tag, now
	if s.held != nil && h.SHA256 != s.held.SHA256 {
		if err := h.follows(s.held); err != nil {
			return nil, err
		}
	}
	k.keep(s, h)
	return h, nil
}

// follows refuses a document that is older than the one held: whoever stands
// between us and the server could play back one from before a key was withdrawn.
func (h *held) follows(was *held) error {
	switch {
	case !was.created.IsZero() && h.created.Before(was.created):
		return fmt.Errorf("%w: it was made at %s, the one held at %s", ErrOlder, stamp(h.created), stamp(was.created))
	case !was.entity.ValidUntil.IsZero() && h.entity.ValidUntil.IsZero():
		return fmt.Errorf("%w: the one held ends at %s and this one never does", ErrOlder, stamp(was.entity.ValidUntil))
	case !was.entity.ValidUntil.IsZero() && h.entity.ValidUntil.Before(was.entity.ValidUntil):
		return fmt.Errorf("%w: it ends at %s, the one held at %s", ErrOlder, stamp(h.entity.ValidUntil), stamp(was.entity.ValidUntil))
	}
	return nil
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "no known time"
	}
	return t.UTC().Format(time.RFC3339)
}

// keep writes the copy; a disk that does not take it only costs the next restart.
func (k *Keeper) keep(s *source, h *held) {
	c := h.copied
	if s.adopted {
		s.mu.Lock()
		c.Entity, c.Used = s.Identifiers[0], s.used
		s.mu.Unlock()
	}
	if err := c.store(k.path(s)); err != nil {
		k.cfg.Logger.Error("the copy of a party's metadata was not written; a restart without network would miss it", "party", s.Key, "error", err)
	}
}

func (k *Keeper) path(s *source) string {
	name := s.Key
	if s.adopted {
		name = foundFile + FileName(s.Identifiers[0])
	}
	return filepath.Join(k.cfg.Directory, name+copyFile)
}

// errNoCopy says that there has not been a copy yet.
var errNoCopy = errors.New("it has not been fetched yet")

// restore reads the last good copy. It is judged as if it had just come, but for
// its age.
func (k *Keeper) restore(s *source, now time.Time) (*held, error) {
	c, err := loadCopy(k.path(s), s.URL)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoCopy
	}
	if err != nil {
		return nil, err
	}
	h, err := s.judge(c.data, now)
	if err != nil {
		return nil, err
	}
	h.Tag, h.Used = c.Tag, c.Used
	if h.Used.After(now) {
		h.Used = now
	}
	if h.Fetched = c.Fetched; h.Fetched.After(now) {
		h.Fetched = now
	}
	return h, nil
}
