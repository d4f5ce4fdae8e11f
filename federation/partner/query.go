package partner

import (
	"context"
	"crypto/sha1" //nolint:gosec // a name in an address; the signature decides
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// QueryConfig is what a [Query] needs.
type QueryConfig struct {
	// URL is the service's base address, to which /entities/ and the entity id are
	// added (MDQ §3.1). Required, https.
	URL string
	// Hashed asks by {sha1} and the hash of the entity id (MDQ for SAML §2.1).
	Hashed bool
	// Certificates hold the keys of which one must have signed each answer. Required.
	Certificates []*x509.Certificate
	// Client fetches. Required.
	Client *Client
	// Keeper keeps what was found; its directory holds the copies. Required.
	Keeper *Keeper
	// Check reports whether a party can be set up from an entity. Nil: any can.
	Check func(*Entity) error
	// Never are entity ids that are not asked for: this service's own, and those of
	// parties that are registered otherwise.
	Never []string
	// Most is the greatest number of parties that are kept after somebody got a token
	// for them, and of those for which nobody has yet. Default 100.
	Most int
	// Now is the clock. Nil: [time.Now].
	Now func() time.Time
}

// What a query is refused for without being made.
var (
	// ErrUnknown: the service did not know the entity, a short while ago or now.
	ErrUnknown = errors.New("the metadata service does not know the entity")
	// ErrTooMany: this client, or all of them together, ask too often.
	ErrTooMany = errors.New("too many questions to the metadata service")
)

// Bounds of queries. Whoever sends a request here chooses the entity id, so that
// each unknown one may cost a fetch.
const (
	perClient    = 5  // within the window, for each address or IPv6 network of 64 bits
	perSite      = 15 // for each network of 24 bits, or of 48 of IPv6: what one customer gets
	perService   = 60 // for all, and as many for this service itself
	queryWindow  = 10 * time.Minute
	unknownFor   = 10 * time.Minute
	failedFor    = time.Minute
	queryTimeout = 10 * time.Second
	stdMost      = 100
	queryPrefix  = "mdq:"
)

// Query finds parties by asking a metadata query service for one entity at a time. It
// is safe for concurrent use.
type Query struct {
	cfg QueryConfig

	mu      sync.Mutex
	refused map[string]refusal // by entity id
	asked   map[netip.Prefix]count
	all     count                    // for requests of others
	own     count                    // for this service itself
	flying  map[string]chan struct{} // closed when the fetch of this entity has ended
}

type refusal struct {
	err   error
	until time.Time
}

// count is how often somebody asked in a window that began at a time.
type count struct {
	began time.Time
	n     int
}

// NewQuery returns a query.
func NewQuery(cfg QueryConfig) *Query {
	if cfg.Most == 0 {
		cfg.Most = stdMost
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Query{cfg: cfg, refused: make(map[string]refusal), asked: make(map[netip.Prefix]count), flying: make(map[string]chan struct{})}
}

// Restore gives the keeper, before it runs, the parties that somebody used before a
// restart, from its copies, and deletes the copies of those that nobody has used.
func (q *Query) Restore() { q.cfg.Keeper.reopen(q.source, q.cfg.Most) }

// QueryKey is the key of a party that was found by a query.
func QueryKey(id string) string { return queryPrefix + id }

// QueriedEntity returns the entity id behind a key of [QueryKey].
func QueriedEntity(key string) (id string, ok bool) { return strings.CutPrefix(key, queryPrefix) }

// Entities returns the parties that were found and are valid now.
func (q *Query) Entities() []*Entity { return q.cfg.Keeper.Found() }

// Used notes that somebody got a token for the party with a key. One that
// [QueryKey] did not make is none of the query's.
func (q *Query) Used(key string) { q.cfg.Keeper.use(key, q.cfg.Most) }

// Find asks for an entity that nobody has registered, for a request from client. The
// zero client is this service itself, which goes on with a sign-in for a party that
// was known and has its own bound. A nil error says that it is among Entities now.
func (q *Query) Find(ctx context.Context, client netip.Addr, id string) error {
	if !isEntityID(id) || slices.Contains(q.cfg.Never, id) {
		return ErrUnknown
	}
	if q.cfg.Keeper.Entity(QueryKey(id)) != nil {
		return nil
	}
	mine, done, err := q.enter(client, id)
	if err != nil {
		if errors.Is(err, ErrTooMany) {
			q.cfg.Keeper.cfg.Metrics.query(err)
		}
		return err
	}
	if !mine {
		select {
		case <-done:
			if q.cfg.Keeper.Entity(QueryKey(id)) != nil {
				return nil
			}
			return ErrUnknown
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	// The person may leave; what was begun is finished for the next one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	defer cancel()
	err = q.cfg.Keeper.adopt(ctx, q.source(id), q.cfg.Most)
	if errors.Is(err, ErrNotThere) {
		err = fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	q.cfg.Keeper.cfg.Metrics.query(err)
	q.leave(id, err)
	return err
}

// source says where an entity's metadata comes from and why it is believed.
func (q *Query) source(id string) Source {
	return Source{
		Key: QueryKey(id), Identifiers: []string{id}, URL: q.address(id), Certificates: q.cfg.Certificates,
		Client: q.cfg.Client, Check: q.cfg.Check, MustEnd: true,
	}
}

// address is where the service describes an entity.
func (q *Query) address(id string) string {
	name := id
	if q.cfg.Hashed {
		sum := sha1.Sum([]byte(id)) //nolint:gosec // see the import
		name = "{sha1}" + hex.EncodeToString(sum[:])
	}
	return strings.TrimSuffix(q.cfg.URL, "/") + "/entities/" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}

// enter decides whether a question may be asked, and by whom: by this call, or by
// another one whose end is told by the channel.
func (q *Query) enter(client netip.Addr, id string) (mine bool, done <-chan struct{}, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.cfg.Now()
	if r, ok := q.refused[id]; ok && now.Before(r.until) {
		return false, nil, r.err
	}
	if c, ok := q.flying[id]; ok {
		return false, c, nil
	}
	q.forget(now)
	if err := q.charge(client, now); err != nil {
		return false, nil, err
	}
	c := make(chan struct{})
	q.flying[id] = c
	return true, c, nil
}

// charge counts a question of a client, unless that would be one too many.
func (q *Query) charge(client netip.Addr, now time.Time) error {
	all := &q.own
	if client.IsValid() {
		all = &q.all
	}
	if !all.more(now, perService) {
		return fmt.Errorf("%w: more than %d in %v", ErrTooMany, perService, queryWindow)
	}
	if !client.IsValid() {
		all.n++
		return nil
	}
	who, site := networks(client)
	c, s := q.asked[who], q.asked[site]
	for _, b := range []struct {
		n    *count
		who  netip.Prefix
		most int
	}{{&c, who, perClient}, {&s, site, perSite}} {
		if !b.n.more(now, b.most) {
			return fmt.Errorf("%w: more than %d in %v from %v", ErrTooMany, b.most, queryWindow, b.who)
		}
	}
	c.n, s.n, all.n = c.n+1, s.n+1, all.n+1
	q.asked[who], q.asked[site] = c, s
	return nil
}

// more reports whether one more is allowed, and begins a new window when the old
// one is over.
func (c *count) more(now time.Time, most int) bool {
	if now.Sub(c.began) >= queryWindow || now.Before(c.began) {
		*c = count{began: now}
	}
	return c.n < most
}

// networks are whom a client's questions count for: it, and all around it.
func networks(a netip.Addr) (who, site netip.Prefix) {
	a = a.Unmap().WithZone("")
	own, all := 32, 24
	if a.Is6() {
		own, all = 64, 48
	}
	// Addresses are at least that long.
	who, _ = a.Prefix(own)
	site, _ = a.Prefix(all)
	return who, site
}

// forget drops what is over.
func (q *Query) forget(now time.Time) {
	for id, r := range q.refused {
		if !now.Before(r.until) {
			delete(q.refused, id)
		}
	}
	for who, c := range q.asked {
		if now.Sub(c.began) >= queryWindow {
			delete(q.asked, who)
		}
	}
}

// leave ends a question and remembers a refusal.
func (q *Query) leave(id string, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.flying[id])
	delete(q.flying, id)
	if err == nil || errors.Is(err, errStopped) { // while a reload replaces the keeper
		return
	}
	wait := failedFor
	if errors.Is(err, ErrUnknown) {
		wait = unknownFor
	}
	q.refused[id] = refusal{err, q.cfg.Now().Add(wait)}
}
