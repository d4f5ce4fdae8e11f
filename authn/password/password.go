package password

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/authn/lockout"
)

// Directory finds accounts and proves passwords. Errors carry a reason
// ([authn.ReasonOf]); an error without one is an outage.
type Directory interface {
	// Resolve returns the one account that the typed name means.
	Resolve(ctx context.Context, typed string) (*authn.Account, error)
	// Bind returns nil only when a domain controller accepted the password of
	// this account. It sends at most one bind that any controller may judge.
	Bind(ctx context.Context, acc *authn.Account, pw *authn.Password) error
	// RefusalDelay waits as long as a recent refused bind took.
	RefusalDelay(ctx context.Context) error
}

// Gate counts attempts before they are made; see package lockout for the
// contract. An error of Begin that is not a *[lockout.Refused] means that nobody
// can count, and nothing is tried.
type Gate interface {
	Begin(ctx context.Context, a lockout.Attempt) (lockout.Ticket, error)
	Settle(ctx context.Context, t lockout.Ticket, o lockout.Outcome) error
}

// Config configures a [Pipeline].
type Config struct {
	Directory Directory      // required
	Gate      Gate           // required
	Audit     audit.Recorder // required
	// Schedule is when refusals are answered.
	Schedule Schedule
	// Budget is the longest that resolve and bind together may take. Default 5 s.
	Budget time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Logger takes faults; never names or passwords. Default: none.
	Logger *slog.Logger
	// Registerer takes the metrics. Default: none.
	Registerer prometheus.Registerer
}

// Pipeline checks passwords. It is safe for concurrent use.
type Pipeline struct {
	cfg     Config
	metrics *metrics
}

// New returns a pipeline.
func New(cfg Config) (*Pipeline, error) {
	if cfg.Directory == nil || cfg.Gate == nil || cfg.Audit == nil {
		return nil, errors.New("password: directory, gate and audit are required")
	}
	if cfg.Budget <= 0 {
		cfg.Budget = 5 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Pipeline{cfg: cfg, metrics: newMetrics(cfg.Registerer)}, nil
}

// Verify checks credentials and returns how it ended. It wipes the password
// before it returns, and waits before it returns a refusal. When ctx ends, the
// attempt is still carried through, counted and recorded; only the waiting stops.
func (p *Pipeline) Verify(ctx context.Context, at authn.Attempt, c authn.Credentials) authn.Result {
	start := time.Now() // monotonic: the schedule must not follow a clock that is set
	defer c.Password.Wipe()
	v := p.judge(ctx, at, c)
	c.Password.Wipe() // not kept through the waiting
	r := v.Result
	if r.At.IsZero() {
		r.At = p.cfg.Now()
	}
	p.record(ctx, at, c.Name, &r)
	p.metrics.count(at.Protocol, r.Reason)
	if r.Reason == authn.Accepted || r.Reason.Undecided() {
		return r
	}
	p.wait(ctx, start, v.asked)
	if v.instead != nil && !r.Reason.ProvesPassword() {
		r.Reason, r.Cause, r.RetryAfter = authn.Throttled, v.instead, v.instead.RetryAfter
	}
	return r
}

// verdict is the end of an attempt before it is recorded.
type verdict struct {
	authn.Result
	asked   bool             // a domain controller was asked about the password
	instead *lockout.Refused // what a refusal looks like to the person
}

// judge goes through the steps up to the verdict.
func (p *Pipeline) judge(ctx context.Context, at authn.Attempt, c authn.Credentials) verdict {
	if cause := checkPassword(c.Password); cause != nil {
		return verdict{Result: authn.Result{Reason: authn.BadInput, Cause: cause}}
	}
	// From here the attempt no longer depends on the client's patience.
	work, cancel := p.detach(ctx)
	defer cancel()

	acc, err := p.resolve(work, c.Name)
	if reason := authn.ReasonOf(err); reason.Undecided() {
		return verdict{Result: authn.Result{Reason: reason, Cause: err}}
	}
	attempt := lockout.Attempt{Name: c.Name, Client: at.Client, Inside: at.Inside}
	if acc != nil {
		attempt.Domain, attempt.Account, attempt.Name = acc.Domain, acc.ID, ""
	}
	begun := time.Now()
	ticket, gateErr := p.cfg.Gate.Begin(work, attempt)
	p.metrics.took(stepGate, begun)
	if gateErr != nil {
		return verdict{Result: refusedByGate(acc, gateErr)}
	}
	// A panic on the way counts as a failure: the directory may have judged.
	outcome := lockout.Failed
	defer func() { p.settle(ctx, at, ticket, outcome) }()
	v := verdict{Result: authn.Result{Account: acc, Cause: err, Reason: authn.ReasonOf(err)}, instead: ticket.Instead()}
	if acc != nil {
		v.Reason, v.Cause = p.bind(work, acc, c.Password)
		v.At, v.asked = p.cfg.Now(), true
	}
	outcome = lockout.OutcomeOf(v.Reason)
	return v
}

// settle tells the gate how an attempt ended, also when its budget is spent.
func (p *Pipeline) settle(ctx context.Context, at authn.Attempt, t lockout.Ticket, o lockout.Outcome) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.Budget)
	defer cancel()
	if err := p.cfg.Gate.Settle(ctx, t, o); err != nil {
		// The attempt stays counted as a failure, which is safe.
		p.cfg.Logger.Error("lockout count not settled", "ref", at.Reference, "error", err)
	}
}

// detach keeps the values and the deadline of ctx, within the budget, but not its
// cancellation.
func (p *Pipeline) detach(ctx context.Context) (context.Context, context.CancelFunc) {
	until := time.Now().Add(p.cfg.Budget)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	return context.WithDeadline(context.WithoutCancel(ctx), until)
}

// resolve returns the account, or an error with a reason; never neither.
func (p *Pipeline) resolve(ctx context.Context, name string) (*authn.Account, error) {
	if cause := checkName(name); cause != nil {
		return nil, &authn.Error{Reason: authn.UnknownUser, Cause: cause}
	}
	defer p.metrics.took(stepResolve, time.Now())
	acc, err := p.cfg.Directory.Resolve(ctx, name)
	if err != nil {
		reason := authn.ReasonOf(err)
		if reason != authn.UnknownUser && reason != authn.Ambiguous && !reason.Undecided() {
			// No other verdict can be known before a bind, whatever it says.
			return nil, &authn.Error{Reason: authn.Unavailable, Cause: fmt.Errorf("resolve: %w", err)}
		}
		return nil, err
	}
	if acc == nil || acc.ID.IsZero() || acc.DN == "" {
		return nil, &authn.Error{Reason: authn.Unavailable, Cause: errors.New("directory returned no usable account")}
	}
	return acc, nil
}

func (p *Pipeline) bind(ctx context.Context, acc *authn.Account, pw *authn.Password) (authn.Reason, error) {
	defer p.metrics.took(stepBind, time.Now())
	err := p.cfg.Directory.Bind(ctx, acc, pw)
	return authn.ReasonOf(err), err
}

func refusedByGate(acc *authn.Account, err error) authn.Result {
	var refused *lockout.Refused
	if errors.As(err, &refused) {
		return authn.Result{Reason: authn.Throttled, Account: acc, Cause: err, RetryAfter: refused.RetryAfter}
	}
	return authn.Result{Reason: authn.Unavailable, Account: acc, Cause: err}
}

// wait holds a refusal back until its instant on the schedule.
func (p *Pipeline) wait(ctx context.Context, start time.Time, asked bool) {
	if !asked {
		if err := p.cfg.Directory.RefusalDelay(ctx); err != nil {
			return // the client has gone
		}
	}
	p.cfg.Schedule.Wait(ctx, start)
}
