package domain

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// WatchConfig says what is watched.
type WatchConfig struct {
	// Client reads Microsoft's view. Required.
	Client *Client
	// Wanted returns what this service owns at that moment, for every federated
	// domain. Required.
	Wanted func() ([]*Wanted, error)
	// Changed hears of each domain whose view is another than before, the first time
	// included, from the watch's own goroutine. Default: nobody.
	Changed func(View)
	// Interval is the time between two rounds, ±10 %. Default 1 hour.
	Interval time.Duration
	// Confirm is how long after a difference that could be an older copy it is
	// looked at again. Default 30 seconds.
	Confirm time.Duration
	// Logger gets alarms. Default: none.
	Logger *slog.Logger
	// Registerer gets the metrics. Default: none.
	Registerer prometheus.Registerer
	// Now is the clock. Default [time.Now].
	Now func() time.Time
}

// Watch compares Microsoft's view with ours again and again: the tamper alarm. It
// is safe for concurrent use.
type Watch struct {
	cfg     WatchConfig
	metrics *watchMetrics
	wake    chan struct{}

	mu     sync.Mutex
	views  map[string]View
	failed map[string]error // by domain; "" for all of them
	policy *Row
	last   time.Time
}

// NewWatch returns a watch that has not looked yet.
func NewWatch(cfg WatchConfig) (*Watch, error) {
	if cfg.Client == nil || cfg.Wanted == nil {
		return nil, errors.New("domain: a watch needs a client and what is wanted")
	}
	if cfg.Interval <= 0 {
		cfg.Interval = time.Hour
	}
	if cfg.Confirm <= 0 {
		cfg.Confirm = 30 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	w := &Watch{cfg: cfg, wake: make(chan struct{}, 1), views: map[string]View{}, failed: map[string]error{}}
	var err error
	w.metrics, err = newWatchMetrics(cfg.Registerer)
	return w, err
}

// Run looks at once and then at every interval until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	for {
		w.Round(ctx)
		timer := time.NewTimer(w.cfg.Interval - w.cfg.Interval/10 + rand.N(w.cfg.Interval/5+1))
		select {
		case <-timer.C:
		case <-w.wake:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// Wake makes Run look soon, for when something has just been changed.
func (w *Watch) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Round looks once at every domain. A domain that cannot be read keeps the view
// that was last seen, and is reported; the others are looked at all the same.
func (w *Watch) Round(ctx context.Context) {
	list, err := w.cfg.Wanted()
	if err != nil {
		w.fail("", err)
		return
	}
	w.fail("", nil)
	var names []string
	for _, want := range list {
		names = append(names, want.Domain)
		view, err := w.look(ctx, want.Domain)
		if ctx.Err() != nil {
			return
		}
		if w.fail(want.Domain, err); err == nil {
			w.see(view)
		}
	}
	w.forget(names)
	w.lookAtPolicy(ctx, names)
	w.mu.Lock()
	w.last = w.cfg.Now()
	w.mu.Unlock()
}

// look reads a domain. What differs may be an older copy of the settings, so it is
// read again before it counts. What is foreign is compared once more with what this
// service owns then: a key that was made and put there while this was going on, perhaps
// by another instance, is no stranger's.
func (w *Watch) look(ctx context.Context, name string) (View, error) {
	for try := 1; ; try++ {
		d, f, err := w.cfg.Client.Read(ctx, name)
		if err != nil {
			return View{}, err
		}
		want, err := w.wanted(name)
		if err != nil {
			return View{}, err
		}
		view := Compare(want, d, f)
		if worst := view.Worst(); worst < Behind || worst == Foreign && try == 2 || try == 3 {
			return view, nil
		}
		if err := w.cfg.Client.sleep(ctx, w.cfg.Confirm); err != nil {
			return View{}, err
		}
	}
}

// wanted returns what this service owns at this moment for one domain.
func (w *Watch) wanted(name string) (*Wanted, error) {
	list, err := w.cfg.Wanted()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(o *Wanted) bool { return o.Domain == name })
	if i < 0 {
		return nil, errors.New("the settings do not name it any more")
	}
	return list[i], nil
}

// lookAtPolicy reads the tenant's token validation policy, which is allowed to
// fail: it needs a permission of its own.
func (w *Watch) lookAtPolicy(ctx context.Context, names []string) {
	p, err := w.cfg.Client.Policy(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.policy = nil
	if err == nil {
		r := p.Judge(names)
		w.policy = &r
	}
}

// fail notes that a domain cannot be read, or can again.
func (w *Watch) fail(name string, err error) {
	w.mu.Lock()
	before := w.failed[name]
	w.failed[name] = err
	if err == nil {
		delete(w.failed, name)
	}
	w.mu.Unlock()
	w.metrics.read(name, err == nil)
	switch {
	case err != nil && before == nil:
		w.cfg.Logger.Warn("Microsoft's view of a domain cannot be read", "domain", name, "error", err)
	case err == nil && before != nil:
		w.cfg.Logger.Info("Microsoft's view of a domain can be read again", "domain", name)
	}
}

// see keeps a view and tells others when it is a new one.
func (w *Watch) see(v View) {
	w.mu.Lock()
	before, known := w.views[v.Domain]
	w.views[v.Domain] = v
	w.mu.Unlock()
	w.metrics.see(v)
	if known && slices.Equal(before.Rows, v.Rows) {
		return
	}
	switch worst := v.Worst(); {
	case worst == Foreign:
		w.cfg.Logger.Error("ALARM: a federated domain trusts what is not this service's", "domain", v.Domain, "reasons", v.Reasons(Behind))
	case worst >= Behind:
		w.cfg.Logger.Warn("Microsoft's view of a domain differs", "domain", v.Domain, "severity", worst.String(), "reasons", v.Reasons(Behind))
	case known && before.Worst() >= Behind:
		w.cfg.Logger.Info("Microsoft's view of a domain agrees again", "domain", v.Domain)
	}
	if w.cfg.Changed != nil {
		w.cfg.Changed(v)
	}
}

// forget drops domains that are no longer federated with this service.
func (w *Watch) forget(names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.views {
		if !slices.Contains(names, name) {
			delete(w.views, name)
			w.metrics.forget(name)
		}
	}
	for name := range w.failed {
		if name != "" && !slices.Contains(names, name) {
			delete(w.failed, name)
			w.metrics.forget(name)
		}
	}
}

// Trouble says in one line what an admin must look at, empty when there is
// nothing: what is foreign or broken, what cannot be read, and what has been
// behind since the last round.
func (w *Watch) Trouble() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []string
	for _, least := range []Severity{Foreign, Broken, Behind} {
		for _, name := range sortedKeys(w.views) {
			if v := w.views[name]; v.Worst() == least {
				lines = append(lines, v.Reasons(least)...)
			}
		}
	}
	for _, name := range sortedKeys(w.failed) {
		text := w.failed[name].Error()
		if name != "" {
			text = name + ": " + text
		}
		lines = append(lines, text)
	}
	return strings.Join(lines, "; ")
}

// Views returns what was last seen, in the order of the names.
func (w *Watch) Views() []View {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []View
	for _, name := range sortedKeys(w.views) {
		out = append(out, w.views[name])
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
