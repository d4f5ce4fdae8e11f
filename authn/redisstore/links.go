package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"sallyport/authn/session"
)

var _ session.Links = (*Store)(nil)

// Link implements [session.Links]. The list under the name holds, sealed, the name
// under which the session's record lies, from which nobody gets to the browser's
// secret. Whether the session lives shows when the link is followed.
func (s *Store) Link(ctx context.Context, id session.ID, name, label string) error {
	if err := session.CheckLink(id, name, label); err != nil {
		return err
	}
	record, _ := s.names.session(id)
	list := s.names.linkNames(name)[0]
	entry := s.names.sealLink(list, record, label)
	return s.do(ctx, "link", func(ctx context.Context) error {
		// A transaction, so that no list can be left without a time to live.
		_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.LRem(ctx, list, 0, entry)
			p.RPush(ctx, list, entry)
			p.LTrim(ctx, list, -session.MaxLinks, -1)
			p.PExpire(ctx, list, s.cfg.Lifetimes.Longest())
			return nil
		})
		return err
	})
}

// EndLinked implements [session.Links]. It takes one round trip to read the links
// and one for each session.
func (s *Store) EndLinked(ctx context.Context, name string, labels []string) ([]session.Ended, error) {
	var all []session.Ended
	for _, list := range s.names.linkNames(name) {
		var entries *redis.StringSliceCmd
		err := s.do(ctx, "linked", func(ctx context.Context) error {
			entries = s.client.LRange(ctx, list, 0, session.MaxLinks-1)
			return firstFault([]redis.Cmder{entries}, entries.Err())
		})
		if err != nil {
			return all, err
		}
		for _, entry := range entries.Val() {
			record, label, ok := s.names.openLink(list, entry)
			if !ok || len(labels) > 0 && !slices.Contains(labels, label) {
				continue
			}
			ended, err := s.endRecord(ctx, record)
			switch {
			case errors.Is(err, session.ErrNone):
				continue
			case err != nil:
				return all, err
			}
			ended.Label = label
			all = append(all, *ended)
		}
	}
	return all, nil
}

// endRecord ends the session whose record lies under key.
func (s *Store) endRecord(ctx context.Context, key string) (*session.Ended, error) {
	if s.health.ended(key) {
		return nil, session.ErrNone
	}
	list := s.names.partiesOf(key)
	sess, entries, err := s.end(ctx, key, list, s.cfg.Lifetimes.Longest())
	if err != nil {
		return nil, err
	}
	return &session.Ended{Session: sess, Parties: s.parties(list, entries)}, nil
}

// linkNames returns the name of a list of links under each master.
func (n *names) linkNames(name string) []string { return n.hashed("l:", "link", name) }

// partiesOf returns the name of the list that belongs to a record.
func (n *names) partiesOf(record string) string {
	return n.prefix + "p:" + strings.TrimPrefix(record, n.prefix+"s:")
}

// sealLink returns the value that stands for a link in the list under this key,
// the same each time. The record's name comes without the prefix and has a fixed
// length.
func (n *names) sealLink(list, record, label string) []byte {
	plain := strings.TrimPrefix(record, n.prefix+"s:")
	if len(plain) != handleSize {
		panic(fmt.Sprintf("redisstore: the name of a record has %d bytes", len(plain))) // made by names.session only
	}
	return n.links.SealSame(nil, []byte(plain+label), []byte(list))
}

// handleSize is the length of what names.session makes, braces included.
const handleSize = 24

// openLink returns the record's name and the label, or false for values that were
// not sealed for this list.
func (n *names) openLink(list, sealed string) (record, label string, ok bool) {
	plain, err := n.links.OpenSame(nil, []byte(sealed), []byte(list))
	if err != nil || len(plain) < handleSize {
		return "", "", false
	}
	return n.prefix + "s:" + string(plain[:handleSize]), string(plain[handleSize:]), true
}
