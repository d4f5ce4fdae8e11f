package auditlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn/audit"
)

// Sink stores events. Only one goroutine calls it.
type Sink interface {
	// Name is a short name for metrics and logs, from a closed set.
	Name() string
	// Write stores all events, JSON objects without a line feed, or none. Nil
	// means that they are as durable as the sink can make them.
	Write(events [][]byte) error
	// Close stores nothing more.
	Close() error
}

// Config says where events go and what happens when they cannot.
type Config struct {
	// Sinks get each event. At least one.
	Sinks []Sink
	// Required makes Record return an error unless a sink has accepted the event.
	Required bool
	// Buffer is how many events wait for each sink. Default 10000.
	Buffer int
	// Wait bounds how long Record waits for a sink when the trail is not required.
	// Default 2s. A required one is waited for five times as long, and then the
	// event counts as not recorded: a disk that hangs must not collect requests.
	Wait time.Duration
	// Retry is how long a dead sink is left alone. Default 1s.
	Retry time.Duration
	// Gather is how long a write waits for more events while events come together,
	// so that they share an fsync; an event that comes alone is written at once.
	// Default 8ms, negative: never.
	Gather     time.Duration
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Now is the clock. Default [time.Now].
	Now func() time.Time
}

// Log hands events to its sinks. It implements audit.Recorder.
type Log struct {
	cfg     Config
	workers []*worker
	metrics *metrics
}

// ErrNotRecorded says that no sink has accepted the event.
var ErrNotRecorded = errors.New("the audit trail did not accept the event")

// New returns a log and starts a goroutine for each sink, which [Log.Close] ends.
func New(cfg Config) (*Log, error) {
	if len(cfg.Sinks) == 0 {
		return nil, errors.New("auditlog: no sink")
	}
	if cfg.Buffer == 0 {
		cfg.Buffer = 10000
	}
	if cfg.Wait == 0 {
		cfg.Wait = 2 * time.Second
	}
	if cfg.Retry == 0 {
		cfg.Retry = time.Second
	}
	if cfg.Gather == 0 {
		cfg.Gather = 8 * time.Millisecond
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := &Log{cfg: cfg, metrics: newMetrics()}
	if cfg.Registerer != nil {
		if err := l.metrics.register(cfg.Registerer, l); err != nil {
			return nil, fmt.Errorf("auditlog: %w", err)
		}
	}
	for _, s := range cfg.Sinks {
		w := &worker{log: l, sink: s, kick: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
		l.workers = append(l.workers, w)
		go w.run()
	}
	return l, nil
}

// Record implements audit.Recorder.
func (l *Log) Record(ctx context.Context, e *audit.Event) error {
	payload, err := encode(e, l.cfg.Now)
	if err != nil {
		l.metrics.lost.WithLabelValues("encoding").Inc()
		return fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	l.metrics.events.WithLabelValues(string(e.Code)).Inc()
	waits := make([]*batch, len(l.workers))
	for i, w := range l.workers {
		waits[i] = w.add(payload)
	}
	if !l.cfg.Required {
		l.settle(ctx, waits)
		return nil
	}
	return l.demand(ctx, waits)
}

// settle waits a while for the sinks that work; events stay queued anyway.
func (l *Log) settle(ctx context.Context, waits []*batch) {
	var limit <-chan time.Time
	for _, b := range waits {
		if b == nil {
			continue
		}
		select {
		case <-b.done:
			continue
		default:
		}
		if limit == nil {
			t := time.NewTimer(l.cfg.Wait)
			defer t.Stop()
			limit = t.C
		}
		select {
		case <-b.done:
		case <-limit:
			return
		case <-ctx.Done():
			return
		}
	}
}

// demand waits until one sink has accepted the event.
func (l *Log) demand(ctx context.Context, waits []*batch) error {
	ctx, cancel := context.WithTimeout(ctx, 5*l.cfg.Wait)
	defer cancel()
	var errs []error
	for i, b := range waits {
		if b == nil {
			errs = append(errs, fmt.Errorf("%s: too many events wait", l.workers[i].sink.Name()))
			continue
		}
		select {
		case <-b.done:
			if b.err == nil {
				return nil
			}
			errs = append(errs, fmt.Errorf("%s: %w", l.workers[i].sink.Name(), b.err))
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("%s: %w", l.workers[i].sink.Name(), ctx.Err()))
		}
	}
	return fmt.Errorf("%w: %w", ErrNotRecorded, errors.Join(errs...))
}

// Trouble returns what is wrong with the sinks, nil when nothing is: for
// readiness, which it degrades.
func (l *Log) Trouble() error {
	var errs []error
	for _, w := range l.workers {
		if waiting, err := w.trouble(); err != nil {
			errs = append(errs, fmt.Errorf("audit sink %s: %w (%d events wait)", w.sink.Name(), err, waiting))
		}
	}
	return errors.Join(errs...)
}

// Close writes what waits, within ctx, and closes the sinks.
func (l *Log) Close(ctx context.Context) error {
	var errs []error
	for _, w := range l.workers {
		errs = append(errs, w.close(ctx))
	}
	return errors.Join(errs...)
}
