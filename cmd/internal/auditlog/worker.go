package auditlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"sallyport/authn/audit"
)

// batch is the events that share one write; done is closed after it.
type batch struct {
	done   chan struct{}
	err    error // set before done is closed
	events int   // how many; the worker's mu guards it until the batch is taken
}

// worker owns one sink and the events that wait for it.
type worker struct {
	log  *Log
	sink Sink
	kick chan struct{} // there is something to do
	quit chan struct{} // closed by close
	done chan struct{} // closed at the end of run

	mu      sync.Mutex
	queue   [][]byte // in order; the first ones may be on their way
	current *batch   // of the events that are queued now
	writing bool     // a write is on its way
	crowded bool     // events come together: a write waits for company
	broken  error    // of the last write; nil when it went well
	dropped int      // events lost since the sink broke
	closed  bool
	once    sync.Once
}

// add queues an event and returns the batch that it belongs to, nil when there is
// no room.
func (w *worker) add(event []byte) *batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.queue) >= w.log.cfg.Buffer {
		w.dropped++
		w.log.metrics.lost.WithLabelValues(w.sink.Name()).Inc()
		return nil
	}
	w.queue = append(w.queue, event)
	if w.broken != nil {
		// Nobody should wait for a sink that is known to be dead: the event is
		// queued, and the next try writes it.
		return &batch{done: finished(), err: w.broken}
	}
	if w.current == nil {
		w.current = &batch{done: make(chan struct{})}
	}
	w.current.events++
	if w.writing || w.current.events > 1 {
		w.crowded = true
	}
	select {
	case w.kick <- struct{}{}:
	default:
	}
	return w.current
}

func finished() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// run writes batches until close.
func (w *worker) run() {
	defer close(w.done)
	for {
		select {
		case <-w.kick:
		case <-w.retry():
		case <-w.quit:
			w.flush()
			return
		}
		w.flush()
	}
}

// retry returns a channel for the next try of a broken sink, nil when it works.
func (w *worker) retry() <-chan time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == nil {
		return nil
	}
	return time.After(w.log.cfg.Retry)
}

// gather lets more events join the next write while events come together: an
// fsync costs as much for one as for many. One person alone never waits, because
// nobody else's event came while theirs was written.
func (w *worker) gather() {
	w.mu.Lock()
	crowded := w.crowded && w.broken == nil && len(w.queue) > 0
	w.mu.Unlock()
	if !crowded || w.log.cfg.Gather <= 0 {
		return
	}
	t := time.NewTimer(w.log.cfg.Gather)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.quit:
	}
}

// flush writes all that is queued until nothing is left or the sink breaks.
func (w *worker) flush() {
	for {
		w.gather()
		w.mu.Lock()
		events, b, lost := w.queue, w.current, w.dropped
		w.current = nil
		if w.broken != nil {
			lost = 0 // told once the sink has taken what waits
		}
		if len(events) > 0 {
			w.writing, w.crowded = true, b != nil && b.events > 1
		}
		w.mu.Unlock()
		if len(events) == 0 && lost == 0 {
			return
		}
		began := time.Now()
		err := w.write(events, lost)
		w.log.metrics.seconds.WithLabelValues(w.sink.Name()).Observe(time.Since(began).Seconds())
		w.finish(len(events), lost, err)
		if b != nil {
			b.err = err
			close(b.done)
		}
		if err != nil {
			return
		}
	}
}

// write hands the events to the sink, with a record of what was lost before them
// where something was.
func (w *worker) write(events [][]byte, lost int) error {
	if lost > 0 {
		note, err := json.Marshal(&audit.Event{
			Time: w.log.cfg.Now().UTC(), Code: audit.EventsLost,
			Detail: fmt.Sprintf("%d events did not fit into memory while this sink did not accept any", lost),
		})
		if err != nil {
			return err
		}
		events = append(append(make([][]byte, 0, len(events)+1), events...), note)
	}
	return w.sink.Write(events)
}

// finish notes how a write ended.
func (w *worker) finish(n, lost int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.broken
	w.broken, w.writing = err, false
	if err == nil {
		clear(w.queue[:n])
		w.queue = w.queue[n:]
		if len(w.queue) == 0 {
			w.queue = nil
		}
		w.dropped -= lost
	}
	switch {
	case err != nil && was == nil:
		w.log.metrics.broken.WithLabelValues(w.sink.Name()).Set(1)
		w.log.cfg.Logger.Error("audit sink does not accept events", "sink", w.sink.Name(), "error", err, "required", w.log.cfg.Required)
	case err == nil && was != nil:
		w.log.metrics.broken.WithLabelValues(w.sink.Name()).Set(0)
		w.log.cfg.Logger.Warn("audit sink accepts events again", "sink", w.sink.Name(), "waiting", len(w.queue), "lost", w.dropped)
	}
}

func (w *worker) trouble() (waiting int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue), w.broken
}

// close writes what waits and closes the sink.
func (w *worker) close(ctx context.Context) error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.once.Do(func() { close(w.quit) })
	select {
	case <-w.done:
	case <-ctx.Done():
		return fmt.Errorf("audit sink %s: %w", w.sink.Name(), ctx.Err())
	}
	var err error
	if waiting, broken := w.trouble(); waiting > 0 {
		err = fmt.Errorf("audit sink %s: %d events are lost: %w", w.sink.Name(), waiting, broken)
	}
	return errors.Join(err, w.sink.Close())
}
