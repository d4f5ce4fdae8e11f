package directory

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"sallyport/authn"
)

// MaxCacheAge is the longest that a reading of an account may be used: a
// disabled account must not live on in a session for longer.
const MaxCacheAge = 15 * time.Minute

// cacheSize is the default bound on accounts.
const cacheSize = 10000

// Reader reads an account anew. [Directory] is one. It is safe for concurrent
// use; its errors are [authn.Error] values, UnknownUser when there is no object.
type Reader interface {
	ByID(ctx context.Context, domain string, id authn.GUID) (*authn.Account, error)
}

// Cache keeps accounts for sessions. It is bounded in number and age; of
// concurrent questions for one account one asks the directory. Errors are not
// kept. It is safe for concurrent use.
type Cache struct {
	reader Reader
	maxAge time.Duration
	size   int

	mu      sync.Mutex
	entries map[authn.GUID]*list.Element // of *cached
	recent  *list.List                   // front was used last
	flights map[authn.GUID]*flight
}

type cached struct {
	acc *authn.Account
	at  time.Time // monotonic
}

// flight is one reading under way.
type flight struct {
	done    chan struct{}
	acc     *authn.Account
	err     error
	dropped bool // the account was dropped or put meanwhile: do not keep the result
}

// NewCache returns a cache over r. maxAge is cut to [MaxCacheAge], which is also
// the default; size 0 means 10,000 accounts.
func NewCache(r Reader, maxAge time.Duration, size int) *Cache {
	if maxAge <= 0 || maxAge > MaxCacheAge {
		maxAge = MaxCacheAge
	}
	if size <= 0 {
		size = cacheSize
	}
	return &Cache{reader: r, maxAge: maxAge, size: size,
		entries: map[authn.GUID]*list.Element{}, recent: list.New(), flights: map[authn.GUID]*flight{}}
}

// Account returns the account, at most maxAge old.
func (c *Cache) Account(ctx context.Context, domain string, id authn.GUID) (*authn.Account, error) {
	c.mu.Lock()
	if acc := c.freshLocked(domain, id); acc != nil {
		c.mu.Unlock()
		return acc, nil
	}
	f := c.flights[id]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		c.flights[id] = f
		go c.read(context.WithoutCancel(ctx), domain, id, f)
	}
	c.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, &authn.Error{Reason: authn.Unavailable, Cause: context.Cause(ctx)}
	}
	if f.err == nil && f.acc.Domain != canonicalDNS(domain) {
		return nil, &authn.Error{Reason: authn.UnknownUser, Cause: errNoObject}
	}
	return f.acc, f.err
}

// read runs one flight. It does not end with the first asker, because others may
// have joined; the directory bounds it.
func (c *Cache) read(ctx context.Context, domain string, id authn.GUID, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	f.acc, f.err = c.reader.ByID(ctx, domain, id)
	if f.err == nil && f.acc == nil {
		f.err = &authn.Error{Reason: authn.Unavailable, Cause: errors.New("directory: reader returned no account")}
	}
	c.mu.Lock()
	if c.flights[id] == f {
		delete(c.flights, id)
	}
	switch {
	case f.dropped:
	case f.err == nil:
		c.storeLocked(f.acc)
	case authn.ReasonOf(f.err) == authn.UnknownUser:
		c.removeLocked(id)
	}
	c.mu.Unlock()
	close(f.done)
}

func (c *Cache) freshLocked(domain string, id authn.GUID) *authn.Account {
	el := c.entries[id]
	if el == nil {
		return nil
	}
	e := el.Value.(*cached)
	if time.Since(e.at) >= c.maxAge {
		c.removeLocked(id)
		return nil
	}
	if e.acc.Domain != canonicalDNS(domain) {
		return nil
	}
	c.recent.MoveToFront(el)
	return e.acc
}

// Put keeps an account that was read just now, as Resolve returns it.
func (c *Cache) Put(acc *authn.Account) {
	if acc == nil || acc.ID.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.detachLocked(acc.ID)
	c.storeLocked(acc)
}

// Drop forgets an account, also the result of a reading under way.
func (c *Cache) Drop(id authn.GUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.detachLocked(id)
	c.removeLocked(id)
}

func (c *Cache) detachLocked(id authn.GUID) {
	if f := c.flights[id]; f != nil {
		f.dropped = true
		delete(c.flights, id)
	}
}

func (c *Cache) storeLocked(acc *authn.Account) {
	c.removeLocked(acc.ID)
	c.entries[acc.ID] = c.recent.PushFront(&cached{acc: acc, at: time.Now()})
	for len(c.entries) > c.size {
		c.removeLocked(c.recent.Back().Value.(*cached).acc.ID)
	}
}

func (c *Cache) removeLocked(id authn.GUID) {
	if el := c.entries[id]; el != nil {
		c.recent.Remove(el)
		delete(c.entries, id)
	}
}
