package redisstore

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// DocumentCommands are needed besides [Commands] by Document and SwapDocument.
const DocumentCommands = "+watch +unwatch"

// documentTime is how long a document outlives its last change. What it holds is
// written again far more often; one that nobody writes any more shall not stay.
const documentTime = 400 * 24 * time.Hour

func (s *Store) documentName(name string) string { return s.cfg.Prefix + "d:" + name }

// Document returns a value that all instances share, nil when there is none. What
// needs to be secret or genuine must have been sealed by the caller: Redis is
// trusted with neither.
func (s *Store) Document(ctx context.Context, name string) ([]byte, error) {
	var value []byte
	err := s.do(ctx, "document", func(ctx context.Context) error {
		var err error
		value, err = s.client.Get(ctx, s.documentName(name)).Bytes()
		if errors.Is(err, redis.Nil) {
			value, err = nil, nil
		}
		return err
	})
	return value, err
}

// errOther ends a transaction because the value is not the expected one.
var errOther = errors.New("redisstore: another value")

// SwapDocument replaces old by next and reports whether it did: false when the value
// is not old, also when somebody changed it in the same moment. A nil old means that
// there is none; a nil next removes the document.
func (s *Store) SwapDocument(ctx context.Context, name string, old, next []byte) (bool, error) {
	key := s.documentName(name)
	swapped := false
	err := s.do(ctx, "swap document", func(ctx context.Context) error {
		err := s.client.Watch(ctx, func(tx *redis.Tx) error {
			value, err := tx.Get(ctx, key).Bytes()
			if err != nil && !errors.Is(err, redis.Nil) {
				return err
			}
			if (old == nil) != (err != nil) || !bytes.Equal(value, old) {
				return errOther
			}
			_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
				if next == nil {
					p.Del(ctx, key)
				} else {
					p.Set(ctx, key, next, documentTime)
				}
				return nil
			})
			return err
		}, key)
		switch {
		case errors.Is(err, errOther), errors.Is(err, redis.TxFailedErr):
			return nil
		case err == nil:
			swapped = true
		}
		return err
	})
	return swapped, err
}
