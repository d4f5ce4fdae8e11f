package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"sallyport/authn/session"
)

var _ session.Notes = (*Store)(nil)

// tokenSize is the length of what a call marks its own note with, so that the
// reply tells whose note is there.
const tokenSize = 16

// Claim implements [session.Notes].
func (s *Store) Claim(ctx context.Context, purpose, name, note string, ttl time.Duration) (string, bool, error) {
	if err := session.CheckClaim(note, ttl); err != nil {
		return "", false, err
	}
	token := session.NewID(false)
	mine := string(token[:tokenSize]) + note
	all := s.names.noteNames(purpose, name)
	got := make([]*redis.StringCmd, len(all))
	err := s.do(ctx, "claim", func(ctx context.Context) error {
		p := s.client.Pipeline()
		p.SetArgs(ctx, all[0], mine, redis.SetArgs{Mode: "NX", TTL: ttl})
		for i, n := range all {
			got[i] = p.Get(ctx, n)
		}
		cmds, err := p.Exec(ctx)
		return firstFault(cmds, err)
	})
	if err != nil {
		return "", false, err
	}
	for _, other := range got[1:] { // an instance that has another master in front
		if there, err := other.Result(); err == nil && len(there) > tokenSize {
			return there[tokenSize:], false, nil
		}
	}
	there, err := got[0].Result()
	switch {
	case err != nil || len(there) <= tokenSize: // gone already, or another kind of value
		return "", false, fmt.Errorf("%w: no note could be claimed", session.ErrUnavailable)
	case there == mine:
		return note, true, nil
	default:
		return there[tokenSize:], false, nil
	}
}

// Note implements [session.Notes].
func (s *Store) Note(ctx context.Context, purpose, name string) (string, error) {
	all := s.names.noteNames(purpose, name)
	got := make([]*redis.StringCmd, len(all))
	err := s.do(ctx, "note", func(ctx context.Context) error {
		p := s.client.Pipeline()
		for i, n := range all {
			got[i] = p.Get(ctx, n)
		}
		cmds, err := p.Exec(ctx)
		return firstFault(cmds, err)
	})
	if err != nil {
		return "", err
	}
	for _, g := range got {
		switch there, err := g.Result(); {
		case errors.Is(err, redis.Nil):
		case err != nil || len(there) <= tokenSize:
			return "", fmt.Errorf("%w: another kind of value stands in a note's place", session.ErrUnavailable)
		default:
			return there[tokenSize:], nil
		}
	}
	return "", nil
}

// Amend implements [session.Notes].
func (s *Store) Amend(ctx context.Context, purpose, name, note string, ttl time.Duration) error {
	if err := session.CheckNote(note, ttl); err != nil {
		return err
	}
	all := s.names.noteNames(purpose, name)
	return s.do(ctx, "amend", func(ctx context.Context) error {
		p := s.client.Pipeline()
		if note != "" {
			token := session.NewID(false)
			p.Set(ctx, all[0], string(token[:tokenSize])+note, ttl)
			all = all[1:]
		}
		for _, n := range all { // those of an instance that has another master in front, too
			p.Del(ctx, n)
		}
		cmds, err := p.Exec(ctx)
		return firstFault(cmds, err)
	})
}
