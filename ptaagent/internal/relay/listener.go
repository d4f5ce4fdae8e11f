package relay

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

// Config configures a [Listener].
type Config struct {
	// Dial opens a WebSocket to a host below the endpoint's domain, port 443, and
	// returns it as a stream of bytes, one binary message for each write. ctx bounds
	// the handshake only. Required.
	Dial func(ctx context.Context, host, path, protocol string) (net.Conn, error)
	// Handler answers the sessions' requests. Required.
	Handler Handler
	// TokenLife is how long a new SAS token holds; asked for each link. Default 1h.
	TokenLife func() time.Duration
	// Stale is told that bootstrap's answer seems to be out of date. Default: nobody.
	Stale func()
	// Timing are the waits.
	Timing Timing
	// Connections bounds the relayed connections of all listeners that share the
	// semaphore. Required.
	Connections Semaphore
	// Metrics counts. Required; see [NewMetrics].
	Metrics *Metrics
	// Logger is required.
	Logger *slog.Logger
	// Now is the wall clock. Default time.Now.
	Now func() time.Time
}

// Timing are the waits of links and sessions. A zero field takes the default.
type Timing struct {
	// Setup bounds a link's way from the dial to the credit. Default 30 s.
	Setup time.Duration
	// Silence is how long a link may be silent before it is replaced. Default 2m.
	Silence time.Duration
	// KeepAlive is the silence of our own after which an empty frame goes out. Default 30 s.
	KeepAlive time.Duration
	// Drain is how long a retired link waits for the answer to its drain. Default 2 s.
	Drain time.Duration
	// Pauses are waited between attempts, the last one again and again, each
	// jittered. Default 200 ms, then 1, 2, 5, 10 and 20 s.
	Pauses []time.Duration
	// Steady is how long a link must have stood for its loss to be no failed
	// attempt. Default 10 s.
	Steady time.Duration
	// Rendezvous bounds the joining of a relayed connection: a request is worthless
	// after that. Default 15 s.
	Rendezvous time.Duration
	// Idle ends a relayed connection on which nothing arrives; the sender pings every
	// 30 s. Default 10 min.
	Idle time.Duration
	// Resend is how long a reply waits for its acknowledgement before it is sent
	// again; doubled each time. Default 2 s.
	Resend time.Duration
}

func (t Timing) complete() Timing {
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Setup, 30 * time.Second}, {&t.Silence, 2 * time.Minute}, {&t.KeepAlive, 30 * time.Second}, {&t.Drain, 2 * time.Second},
		{&t.Steady, 10 * time.Second}, {&t.Rendezvous, 15 * time.Second}, {&t.Idle, 10 * time.Minute}, {&t.Resend, 2 * time.Second},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	if len(t.Pauses) == 0 {
		t.Pauses = []time.Duration{200 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second}
	}
	return t
}

// pause is the wait after so many failed attempts.
func (t Timing) pause(attempt int) time.Duration { return t.Pauses[min(attempt, len(t.Pauses)-1)] }

// Semaphore bounds what runs at once: its capacity is the bound.
type Semaphore chan struct{}

// Try takes a place, if there is one.
func (s Semaphore) Try() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

// Free gives a place back.
func (s Semaphore) Free() { <-s }

// Status is how a listener is.
type Status struct {
	Endpoint string // name
	Host     string
	Reliable bool
	// Listening is true while a link is attached; Since is when that last changed.
	Listening bool
	Since     time.Time
	// Opened counts links; LastError is why the last attempt or link ended, empty
	// once a link is attached again.
	Opened    uint64
	LastError string
	// LastNotice is when the last notification came; zero when none has.
	LastNotice time.Time
	Notices    uint64
}

// Listener keeps one endpoint connected.
type Listener struct {
	cfg     Config
	refresh chan struct{}

	sessions context.Context // of relayed connections; set by Run
	serving  sync.WaitGroup  // links that retire, and relayed connections

	mu       sync.Mutex
	endpoint Endpoint
	status   Status
	live     map[string]bool // rendezvous ids with a live connection
}

// New returns a listener; [Listener.Run] starts it.
func New(e Endpoint, cfg Config) *Listener {
	if cfg.TokenLife == nil {
		cfg.TokenLife = func() time.Duration { return time.Hour }
	}
	cfg.Timing = cfg.Timing.complete()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Stale == nil {
		cfg.Stale = func() {}
	}
	return &Listener{
		cfg: cfg, endpoint: e, refresh: make(chan struct{}, 1), live: map[string]bool{},
		status: Status{Endpoint: e.Name, Host: e.Host(), Reliable: e.Reliable, Since: cfg.Now()},
	}
}

// Status returns how the listener is.
func (l *Listener) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

// Refresh replaces the link by a new one soon, without a gap.
func (l *Listener) Refresh() {
	select {
	case l.refresh <- struct{}{}:
	default:
	}
}

// SetEndpoint takes changed keys of the same endpoint and refreshes the link.
func (l *Listener) SetEndpoint(e Endpoint) {
	l.mu.Lock()
	changed := l.endpoint != e
	l.endpoint = e
	l.mu.Unlock()
	if changed {
		l.Refresh()
	}
}

// jitter is a random part of d.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}

// Run listens until ctx ends. Relayed connections are served until sessions ends, which
// should be later: a call that is on its way when the links close can then still be
// answered. Run returns once all of them are closed.
func (l *Listener) Run(ctx, sessions context.Context) {
	l.sessions = sessions
	defer l.serving.Wait()
	var current *running
	silence := l.cfg.Timing.Silence
	for attempt := 0; ctx.Err() == nil; {
		l.mu.Lock()
		e := l.endpoint
		l.mu.Unlock()
		lk, err := l.open(ctx, e)
		if err != nil {
			current = l.failed(ctx, err, current)
			wait := l.cfg.Timing.pause(attempt)
			attempt++
			if !sleep(ctx, wait*3/4+jitter(wait/2)) {
				break
			}
			continue
		}
		next := l.start(ctx, lk)
		l.retire(current)
		current = next
		switch end := l.watch(ctx, current, silence); end {
		case endSilent:
			// A peer that never says anything is not replaced all the time.
			silence = min(2*silence, 10*time.Minute)
		case endLost:
			l.lost(current.err)
			// The relay was there a moment ago; only one that ends links at once is given time.
			if l.cfg.Now().Sub(current.opened) > l.cfg.Timing.Steady {
				attempt = 0
			}
			wait := l.cfg.Timing.pause(min(attempt, 2))
			attempt = min(attempt+1, 2)
			_ = current.conn.Close()
			current = nil
			sleep(ctx, jitter(2*wait))
		default:
			attempt = 0
		}
		if current != nil && current.wire.heard.Load() > current.opened.Add(time.Second).UnixNano() {
			silence = l.cfg.Timing.Silence
		}
	}
	if current != nil {
		// Nothing is drained: a notification that came now could not be followed, and one
		// that is not accepted here goes to another agent.
		current.end(current.stop)
	}
}

// running is a link that receives.
type running struct {
	*link
	stop context.CancelFunc
}

// start receives from a link.
func (l *Listener) start(ctx context.Context, lk *link) *running {
	own, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.serving.Go(func() { lk.receive(own, func(data [][]byte) { l.notified(l.sessions, data) }) })
	l.mu.Lock()
	if !l.status.Listening {
		l.status.Since = lk.opened
	}
	l.status.Listening, l.status.LastError = true, ""
	l.status.Opened++
	l.mu.Unlock()
	l.cfg.Metrics.count("link_opened")
	return &running{lk, stop}
}

// retire drains a link in the background.
func (l *Listener) retire(r *running) {
	if r == nil {
		return
	}
	l.serving.Go(func() { r.link.retire(r.stop, l.cfg.Timing.Drain) })
}

// ending is why a link is no longer watched.
type ending int

const (
	endStopped ending = iota
	endLost
	endRenew
	endSilent
)

// watch waits until the link is lost or should be replaced.
func (l *Listener) watch(ctx context.Context, r *running, silence time.Duration) ending {
	tick := time.NewTicker(min(5*time.Second, max(l.cfg.TokenLife()/20, 100*time.Millisecond)))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return endStopped
		case <-r.done:
			return endLost
		case <-l.refresh:
			return endRenew
		case <-tick.C:
			if !l.cfg.Now().Before(r.renew) {
				return endRenew
			}
			if time.Since(time.Unix(0, r.wire.heard.Load())) > silence {
				l.cfg.Metrics.count("link_silent")
				return endSilent
			}
		}
	}
}

// failed notes an attempt that came to nothing; the link before, if it still
// stands, goes on.
func (l *Listener) failed(ctx context.Context, err error, current *running) *running {
	if ctx.Err() != nil {
		return current
	}
	l.cfg.Metrics.count("link_failed")
	if current != nil {
		select {
		case <-current.done:
			_ = current.conn.Close()
			current = nil
		default:
		}
	}
	l.down(err, current == nil)
	return current
}

// lost notes the end of a link that nobody wanted.
func (l *Listener) lost(err error) {
	l.cfg.Metrics.count("link_lost")
	l.down(err, true)
}

func (l *Listener) down(err error, down bool) {
	c := condition(err)
	l.mu.Lock()
	if down && l.status.Listening {
		l.status.Listening, l.status.Since = false, l.cfg.Now()
	}
	l.status.LastError = reason(err, c)
	text := l.status.LastError
	l.mu.Unlock()
	l.cfg.Logger.Warn("pta: signalling link", "endpoint", l.Status().Endpoint, "host", l.Status().Host, "error", text)
	if stale(c) {
		l.cfg.Stale()
	}
}

// reason is an error in words, without its dump of a whole AMQP error.
func reason(err error, condition string) string {
	switch {
	case condition != "":
		return "the relay ended it: " + condition
	case err == nil:
		return "the relay ended it"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	text := err.Error()
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	return text[:min(len(text), 400)]
}

// sleep waits; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
