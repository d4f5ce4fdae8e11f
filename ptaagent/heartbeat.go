package ptaagent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"sallyport/ptaagent/internal/enroll"
	"sallyport/ptaagent/internal/relay"
)

type connection = net.Conn

// listening is one endpoint's listener and its end.
type listening struct {
	*relay.Listener
	endpoint relay.Endpoint
	stop     context.CancelFunc
	done     chan struct{}
}

const bootstrapTime = 60 * time.Second

// heartbeat calls bootstrap until ctx ends, on time, and earlier when a link says
// that what it told is out of date. Links stand while it fails.
func (a *Agent) heartbeat(ctx context.Context) {
	client := a.cfg.Network.client(a.cfg.Identity.inForce)
	defer client.CloseIdleConnections()
	state := enroll.State{First: true}
	var extra time.Time // the last bootstrap out of turn
	for ctx.Err() == nil {
		plan, took, err := a.bootstrap(ctx, client, state)
		wait := a.plan.Load().Heartbeat
		if err != nil {
			state.Failures++
			wait = min(3*time.Second<<min(state.Failures-1, 10), max(wait, time.Minute))
			wait = wait*8/10 + rand.N(wait*4/10+1)
			a.bootstrapFailed(ctx, err, state.Failures)
		} else {
			state = enroll.State{LastLatency: took}
			wait = plan.Heartbeat
			a.reconcile(plan)
			a.plan.Store(plan)
			a.bootstrapped(plan)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-a.again:
			// Not more often than links can fail for the same reason.
			if rest := 10*time.Second - time.Since(extra); rest > 0 {
				sleep(ctx, rest)
			}
			extra = time.Now()
		}
		t.Stop()
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// bootstrap makes one call and judges the answer.
func (a *Agent) bootstrap(ctx context.Context, client *http.Client, s enroll.State) (*enroll.Plan, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, bootstrapTime)
	defer cancel()
	tenant := a.cfg.Identity.Tenant()
	s.URL, s.Tenant, s.Agent = a.cfg.Cloud.bootstrap(tenant), tenant, a.cfg.Identity.Agent()
	s.RequestID, s.Machine, s.Now = newGUID(), a.cfg.Machine, a.cfg.Now()
	begun := time.Now()
	plan, err := enroll.Bootstrap(ctx, client, s)
	if err != nil {
		return nil, 0, explainRefusal(s.URL[len("https://"):], a.cfg.Identity.NotAfter(), s.Now, err)
	}
	for _, e := range plan.Endpoints {
		if err := a.cfg.Cloud.relayDomain(e.Namespace, e.Domain); err != nil {
			return nil, 0, fmt.Errorf("bootstrap names %w", err)
		}
	}
	if plan.Signing {
		return nil, 0, errors.New("bootstrap asks for signed results, whose form is not public: this agent cannot serve the tenant any more")
	}
	return plan, time.Since(begun), nil
}

// Stale asks for a bootstrap out of turn.
func (a *Agent) stale() {
	select {
	case a.again <- struct{}{}:
	default:
	}
}

// reconcile starts, changes and stops listeners.
func (a *Agent) reconcile(plan *enroll.Plan) {
	a.mu.Lock()
	defer a.mu.Unlock()
	wanted := map[string]bool{}
	for _, e := range plan.Endpoints {
		wanted[e.Name] = true
		next := relay.Endpoint{Name: e.Name, Namespace: e.Namespace, Domain: e.Domain, Path: e.Path, KeyName: e.KeyName, Key: e.Key, Reliable: e.Reliable}
		switch l := a.listeners[e.Name]; {
		case l == nil:
			a.listeners[e.Name] = a.listen(next)
		case l.endpoint.Path != next.Path || l.endpoint.Reliable != next.Reliable || l.endpoint.Host() != next.Host():
			l.stop()
			a.listeners[e.Name] = a.listen(next)
		default:
			l.endpoint = next
			l.SetEndpoint(next)
		}
	}
	for name, l := range a.listeners {
		if !wanted[name] {
			l.stop()
			delete(a.listeners, name)
		}
	}
}

func (a *Agent) listen(e relay.Endpoint) *listening {
	ctx, stop := context.WithCancel(a.serve)
	l := &listening{endpoint: e, stop: stop, done: make(chan struct{}), Listener: relay.New(e, relay.Config{
		Dial: a.dial, Handler: a, TokenLife: func() time.Duration { return a.plan.Load().TokenLife }, Stale: a.stale,
		Timing: a.cfg.timing, Connections: a.relayed, Metrics: a.links, Logger: a.cfg.Logger, Now: a.cfg.Now,
	})}
	go func() { defer close(l.done); l.Run(ctx, a.run) }()
	return l
}

// waitListeners returns when all listeners have ended.
func (a *Agent) waitListeners() {
	a.mu.Lock()
	list := a.listeners
	a.listeners = map[string]*listening{}
	a.mu.Unlock()
	for _, l := range list {
		l.stop()
		<-l.done
	}
}

// watchClock replaces all links after the machine has slept, or its clock was set:
// what they know of time, and perhaps the connections, are worth nothing then.
func (a *Agent) watchClock(ctx context.Context) {
	const period = 5 * time.Second
	tick := time.NewTicker(period)
	defer tick.Stop()
	last := a.cfg.Now().Round(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := a.cfg.Now().Round(0)
		if d := now.Sub(last) - period; d.Abs() > 30*time.Second {
			a.cfg.Logger.Warn("pta: the clock has jumped, links are replaced", "by", d)
			a.mu.Lock()
			for _, l := range a.listeners {
				l.Refresh()
			}
			a.mu.Unlock()
			a.stale()
		}
		last = now
	}
}
