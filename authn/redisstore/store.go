package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"sallyport/authn/seal"
	"sallyport/authn/session"
)

// Store is a [session.Store] in Redis. It is safe for concurrent use.
type Store struct {
	cfg     Config
	client  redis.UniversalClient
	names   *names
	health  *health
	metrics *metrics

	stop   context.CancelFunc
	done   chan struct{} // closed when the prober has ended
	closes sync.Once
}

var _ session.Store = (*Store)(nil)

// New returns a store. It does not wait for Redis: a server that is down at the
// start is an outage like any other.
func New(cfg Config) (*Store, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	names, err := newNames(cfg.Prefix, cfg.Masters)
	if err != nil {
		return nil, fmt.Errorf("redisstore: %w", err)
	}
	redis.SetLogger(libraryLog{cfg.Logger})
	ctx, stop := context.WithCancel(context.Background())
	s := &Store{
		cfg: cfg, client: redis.NewUniversalClient(cfg.options()), names: names,
		stop: stop, done: make(chan struct{}),
	}
	s.health = newHealth(cfg.Logger)
	s.metrics = newMetrics(cfg.Registerer, s)
	go s.watch(ctx)
	return s, nil
}

// Close implements [session.Store].
func (s *Store) Close() {
	s.closes.Do(func() {
		s.health.close()
		s.stop()
		<-s.done
		_ = s.client.Close() // nothing is buffered
	})
}

// Down returns why the store is not usable now, nil when it is.
func (s *Store) Down() error { return s.health.reason() }

// do runs one round trip, within the time and only while Redis is believed to
// answer. f returns a transport or server error; absence is not an error.
func (s *Store) do(ctx context.Context, op string, f func(ctx context.Context) error) error {
	if err := s.health.allow(); err != nil {
		s.metrics.shed.Inc()
		return fmt.Errorf("%w: %w", session.ErrUnavailable, err)
	}
	begun := time.Now()
	limit := begun.Add(2 * s.cfg.Timeout)
	limited, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	err := f(limited)
	s.metrics.took(op, begun, err)
	switch {
	case err == nil:
		s.health.good()
		return nil
	case impatient(ctx, limit):
		return fmt.Errorf("%w: %s: %w", session.ErrUnavailable, op, err)
	default:
		s.health.bad(err)
		return fmt.Errorf("%w: %s: %w", session.ErrUnavailable, op, err)
	}
}

// Create implements [session.Store].
func (s *Store) Create(ctx context.Context, sess *session.Session, parties ...string) (session.ID, error) {
	s.cfg.Lifetimes.Begin(sess, s.cfg.Now())
	var scratch [session.MaxRecord]byte
	record, err := session.AppendRecord(scratch[:0], sess)
	if err != nil {
		return session.ID{}, err
	}
	id := session.NewID(sess.Persistent)
	key, list := s.names.session(id)
	sealed := s.names.records.Seal(make([]byte, 0, len(record)+seal.Overhead), record, []byte(key))
	idle, _ := s.cfg.Lifetimes.Of(sess.Persistent)
	entries := make([]any, 0, len(parties)+1)
	for _, party := range parties[:min(len(parties), session.MaxParties)] {
		entries = append(entries, s.names.sealParty(list, party))
	}
	entries = append(entries, mark)
	err = s.do(ctx, "create", func(ctx context.Context) error {
		// A transaction, so that no list can be left without a time to live.
		_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Set(ctx, key, sealed, idle)
			p.RPush(ctx, list, entries...)
			p.PExpire(ctx, list, idle)
			return nil
		})
		return err
	})
	if err != nil {
		return session.ID{}, err
	}
	return id, nil
}

// Use implements [session.Store].
func (s *Store) Use(ctx context.Context, id session.ID, party string) (*session.Session, error) {
	key, list := s.names.session(id)
	if s.health.ended(key) {
		return nil, session.ErrNone
	}
	idle, absolute := s.cfg.Lifetimes.Of(id.Persistent())
	extend := idle < absolute // otherwise the expiry set by Create is the right one
	var get *redis.StringCmd
	err := s.do(ctx, "use", func(ctx context.Context) error {
		p := s.client.Pipeline()
		if extend {
			get = p.GetEx(ctx, key, idle)
			p.PExpire(ctx, list, idle)
		} else {
			get = p.Get(ctx, key)
		}
		if party != "" {
			entry := s.names.sealParty(list, party)
			p.LRem(ctx, list, 0, entry)
			p.LPushX(ctx, list, entry)
			p.LTrim(ctx, list, 0, session.MaxParties-1)
		}
		cmds, err := p.Exec(ctx)
		return firstFault(cmds, err)
	})
	if err != nil {
		return nil, err
	}
	return s.open(id, key, get)
}

// Peek implements [session.Store].
func (s *Store) Peek(ctx context.Context, id session.ID) (*session.Session, error) {
	key, _ := s.names.session(id)
	if s.health.ended(key) {
		return nil, session.ErrNone
	}
	var get *redis.StringCmd
	err := s.do(ctx, "peek", func(ctx context.Context) error {
		get = s.client.Get(ctx, key)
		return firstFault([]redis.Cmder{get}, get.Err())
	})
	if err != nil {
		return nil, err
	}
	return s.open(id, key, get)
}

// open judges the record under key. Whatever is not a live record that was sealed
// for this very key is no session.
func (s *Store) open(id session.ID, key string, get *redis.StringCmd) (*session.Session, error) {
	sess, err := s.openRecord(key, get)
	if err == nil && sess.Persistent != id.Persistent() {
		return nil, session.ErrNone
	}
	return sess, err
}

// openRecord is open for a record whose session's id is not known.
func (s *Store) openRecord(key string, get *redis.StringCmd) (*session.Session, error) {
	sealed, err := get.Bytes()
	if err != nil {
		return nil, session.ErrNone // absent, or a value of another type
	}
	var scratch [session.MaxRecord]byte
	record, err := s.names.records.Open(scratch[:0], sealed, []byte(key))
	if err != nil {
		s.metrics.damaged.Inc()
		s.cfg.Logger.Warn("a session record in Redis does not open: changed by somebody, or sealed with another master secret")
		return nil, session.ErrNone
	}
	sess, err := session.ParseRecord(record)
	switch {
	case err != nil: // a tombstone, or a newer version
		return nil, session.ErrNone
	case !s.cfg.Now().Before(sess.Expires):
		return nil, session.ErrNone
	}
	return sess, nil
}

// End implements [session.Store].
func (s *Store) End(ctx context.Context, id session.ID) ([]string, error) {
	key, list := s.names.session(id)
	if s.health.ended(key) {
		return nil, session.ErrNone
	}
	_, absolute := s.cfg.Lifetimes.Of(id.Persistent())
	sess, entries, err := s.end(ctx, key, list, absolute)
	if errors.Is(err, session.ErrUnavailable) {
		s.health.remember(id, key, s.cfg.Now().Add(absolute))
	}
	if err != nil {
		return nil, err
	}
	if sess.Persistent != id.Persistent() {
		return nil, session.ErrNone
	}
	return s.parties(list, entries), nil
}

// parties opens the relying parties of the list under this key.
func (s *Store) parties(list string, entries []string) []string {
	var parties []string
	for _, entry := range entries {
		// With two masters in use one party may be there twice.
		if party, ok := s.names.openParty(list, entry); ok && !slices.Contains(parties, party) {
			parties = append(parties, party)
		}
	}
	return parties
}

// end puts a tombstone, for at most the time that is left of absolute, in the place
// of a live record and returns it with the sealed parties.
func (s *Store) end(ctx context.Context, key, list string, absolute time.Duration) (*session.Session, []string, error) {
	tombstone := s.names.records.Seal(nil, session.AppendTombstone(nil, s.cfg.Now().Add(absolute)), []byte(key))
	var old *redis.StatusCmd
	var entries *redis.StringSliceCmd
	err := s.do(ctx, "end", func(ctx context.Context) error {
		cmds, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			// XX: an id that nobody has must not make a key.
			old = p.SetArgs(ctx, key, tombstone, redis.SetArgs{Mode: "XX", Get: true, KeepTTL: true})
			entries = p.LRange(ctx, list, 0, session.MaxParties-1)
			p.Del(ctx, list)
			return nil
		})
		return firstFault(cmds, err)
	})
	if err != nil {
		return nil, nil, err
	}
	sess, err := s.openRecord(key, redis.NewStringResult(old.Result()))
	if err != nil {
		return nil, nil, err
	}
	return sess, entries.Val(), nil
}

// Once implements [session.Store]. The value under the name is a token of this
// call, read back in the same round trip: only a reply that belongs to this call
// can say "first".
func (s *Store) Once(ctx context.Context, purpose, key string, ttl time.Duration) (bool, error) {
	if ttl < time.Millisecond {
		return false, fmt.Errorf("redisstore: %v is no time to remember a key for", ttl)
	}
	token := session.NewID(false)
	all := s.names.onceNames(purpose, key)
	got := make([]*redis.StringCmd, len(all))
	err := s.do(ctx, "once", func(ctx context.Context) error {
		p := s.client.Pipeline()
		p.SetArgs(ctx, all[0], token[:16], redis.SetArgs{Mode: "NX", TTL: ttl})
		for i, name := range all {
			got[i] = p.Get(ctx, name)
		}
		cmds, err := p.Exec(ctx)
		return firstFault(cmds, err)
	})
	if err != nil {
		return false, err
	}
	for _, other := range got[1:] { // an instance that has another master in front
		if !errors.Is(other.Err(), redis.Nil) {
			return false, nil
		}
	}
	value, err := got[0].Result()
	return err == nil && value == string(token[:16]), nil
}

// Seen implements [session.Store].
func (s *Store) Seen(ctx context.Context, purpose, key string) (bool, error) {
	all := s.names.onceNames(purpose, key)
	got := make([]*redis.StringCmd, len(all))
	err := s.do(ctx, "seen", func(ctx context.Context) error {
		p := s.client.Pipeline()
		for i, name := range all {
			got[i] = p.Get(ctx, name)
		}
		cmds, err := p.Exec(ctx)
		return firstFault(cmds, err)
	})
	return err == nil && slices.ContainsFunc(got, func(g *redis.StringCmd) bool { return !errors.Is(g.Err(), redis.Nil) }), err
}

// Ping implements [session.Store].
func (s *Store) Ping(ctx context.Context) error {
	return s.do(ctx, "ping", func(ctx context.Context) error { return s.client.Ping(ctx).Err() })
}
