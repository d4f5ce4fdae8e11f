package directorytest

import (
	"sync"
	"sync/atomic"
	"time"
)

// Bind is one bind request that reached a DC. It holds no password.
type Bind struct {
	// Seq counts binds and searches of all DCs together, in the order of judging.
	Seq uint64
	// DC is the name of the server, Conn its number of the connection.
	DC   string
	Conn uint64
	// Name is the name in the request, DN the object it led to.
	Name, DN string
	// Code is the verdict, Data the sub-code of a refusal. A fault may have sent
	// something else.
	Code int64
	Data uint32
	// Judged is false when a fault answered before the DC looked at the password;
	// Code is -1 then.
	Judged bool
	// Anonymous marks an empty name or password; Fast the fast bind mode; Faulty
	// that a fault struck.
	Anonymous, Fast, Faulty bool
	At                      time.Time
}

// Search is one search request.
type Search struct {
	Seq  uint64
	DC   string
	Conn uint64
	// Identity is the DN that the connection is bound as, empty when anonymous.
	Identity string
	Base     string
	Scope    int64
	// Filter is the filter as decoded, every special octet escaped.
	Filter               string
	Attributes           []string
	SizeLimit, TimeLimit int64
	Controls             []string
	Code                 int64
	Entries              int
	At                   time.Time
}

// recorder keeps the newest records of each kind.
type recorder struct {
	limit                  int
	seq                    atomic.Uint64
	bindCount, searchCount atomic.Uint64

	mu         sync.Mutex
	binds      ring[Bind]
	searches   ring[Search]
	violations []string
}

func newRecorder(limit int) recorder { return recorder{limit: limit} }

// ring keeps the last entries in order.
type ring[T any] struct {
	items []T
	next  int
}

func (r *ring[T]) add(v T, limit int) {
	if len(r.items) < limit {
		r.items = append(r.items, v)
		return
	}
	r.items[r.next] = v
	r.next = (r.next + 1) % limit
}

func (r *ring[T]) all() []T {
	return append(append([]T(nil), r.items[r.next:]...), r.items[:r.next]...)
}

func (r *recorder) bind(b Bind) {
	r.bindCount.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	b.Seq = r.seq.Add(1)
	r.binds.add(b, r.limit)
}

func (r *recorder) search(s Search) {
	r.searchCount.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Seq = r.seq.Add(1)
	r.searches.add(s, r.limit)
}

func (r *recorder) violation(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.violations) < r.limit {
		r.violations = append(r.violations, s)
	}
}

// Binds returns the kept bind records, oldest first.
func (d *Directory) Binds() []Bind {
	d.rec.mu.Lock()
	defer d.rec.mu.Unlock()
	return d.rec.binds.all()
}

// UserBinds returns the bind records besides those of the service account and
// anonymous ones.
func (d *Directory) UserBinds() []Bind {
	var out []Bind
	for _, b := range d.Binds() {
		if b.DN != d.ServiceDN && !b.Anonymous {
			out = append(out, b)
		}
	}
	return out
}

// Searches returns the kept search records, oldest first.
func (d *Directory) Searches() []Search {
	d.rec.mu.Lock()
	defer d.rec.mu.Unlock()
	return d.rec.searches.all()
}

// BindCount returns the number of binds since start or [Directory.ResetRecords].
func (d *Directory) BindCount() uint64 { return d.rec.bindCount.Load() }

// SearchCount returns the number of searches likewise.
func (d *Directory) SearchCount() uint64 { return d.rec.searchCount.Load() }

// Violations lists what clients did that this server refuses although a DC may
// not: pipelining, "*", unknown critical controls, malformed messages.
func (d *Directory) Violations() []string {
	d.rec.mu.Lock()
	defer d.rec.mu.Unlock()
	return append([]string(nil), d.rec.violations...)
}

// ResetRecords forgets binds, searches, violations and the counts of dials and
// most outstanding requests.
func (d *Directory) ResetRecords() {
	d.rec.mu.Lock()
	d.rec.binds, d.rec.searches, d.rec.violations = ring[Bind]{}, ring[Search]{}, nil
	d.rec.bindCount.Store(0)
	d.rec.searchCount.Store(0)
	d.rec.mu.Unlock()
	for _, dc := range d.DCs {
		dc.dials.Store(0)
		dc.handshakes.Store(0)
		dc.outstanding.Store(0)
		dc.mostOpen.Store(dc.open.Load())
	}
}

// BadPwdCount returns a user's badPwdCount at this DC.
func (dc *DC) BadPwdCount(sam string) int {
	d := dc.d
	d.mu.RLock()
	defer d.mu.RUnlock()
	if a := d.accounts[d.db.m.fold(sam)]; a != nil {
		return a.bad[dc.index].count
	}
	return 0
}

// Dials returns the number of TCP connections accepted.
func (dc *DC) Dials() int { return int(dc.dials.Load()) }

// Handshakes returns the number of TLS handshakes that ended well.
func (dc *DC) Handshakes() int { return int(dc.handshakes.Load()) }

// Open returns the number of connections open now, MostOpen the most at once.
func (dc *DC) Open() int { return int(dc.open.Load()) }

// MostOpen returns the greatest number of connections open at once.
func (dc *DC) MostOpen() int { return int(dc.mostOpen.Load()) }

// MostOutstanding returns the most requests that were unanswered on one
// connection at once.
func (dc *DC) MostOutstanding() int { return int(dc.outstanding.Load()) }

// raise lifts a maximum.
func raise(max *atomic.Int64, v int64) {
	for {
		old := max.Load()
		if v <= old || max.CompareAndSwap(old, v) {
			return
		}
	}
}
