package password_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/authn/lockout"
	"sallyport/authn/password"
)

// user is one object of the fake directory.
type user struct {
	id       byte
	wide     int // more of the id, for many users
	password string
	// reason is what a bind says after the right password; Accepted if zero.
	reason authn.Reason
	// locked is said whatever the password.
	locked bool
}

func (u *user) guid() authn.GUID { return authn.GUID{u.id, byte(u.wide >> 8), byte(u.wide)} }

// directory is a fake that resolves many spellings of a name to one object.
type directory struct {
	mu       sync.Mutex
	users    map[string]*user // by lower-case sAMAccountName
	binds    int
	byUser   map[string]int
	delays   int
	seen     []string // passwords as they arrived
	bindFor  time.Duration
	bindTime func() time.Duration     // instead of bindFor
	resolve  func(typed string) error // fault, may return nil
	bind     func() error             // fault instead of a verdict
	blocking chan struct{}            // when set, a bind waits for it
	crossed  string                   // Account.CrossedWith
	quiet    bool                     // keeps no records
}

func newDirectory(users map[string]*user) *directory {
	return &directory{users: users, byUser: map[string]int{}, bindFor: 8 * time.Millisecond}
}

func (d *directory) Resolve(ctx context.Context, typed string) (*authn.Account, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.resolve != nil {
		if err := d.resolve(typed); err != nil {
			return nil, err
		}
	}
	sam := lockout.NormalName(typed)
	u, ok := d.users[sam]
	if !ok {
		return nil, &authn.Error{Reason: authn.UnknownUser, Cause: errors.New("no object")}
	}
	return &authn.Account{
		Domain: "corp.contoso.test", NetBIOS: "CONTOSO", ID: u.guid(), DN: "CN=" + sam + ",DC=corp,DC=contoso,DC=test",
		UPN: sam + "@contoso.test", SAMAccountName: sam, CrossedWith: d.crossed,
	}, nil
}

func (d *directory) Bind(ctx context.Context, acc *authn.Account, pw *authn.Password) error {
	d.mu.Lock()
	d.binds++
	d.byUser[acc.SAMAccountName]++
	if !d.quiet {
		d.seen = append(d.seen, string(pw.Bytes()))
	}
	u, fault, block := d.users[acc.SAMAccountName], d.bind, d.blocking
	right := u.password == string(pw.Bytes())
	d.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	time.Sleep(d.duration())
	switch {
	case fault != nil:
		return fault()
	case u.locked:
		return &authn.Error{Reason: authn.LockedOut, Cause: errors.New("data 775")}
	case !right:
		return &authn.Error{Reason: authn.WrongPassword, Cause: errors.New("data 52e")}
	case u.reason != authn.NoVerdict:
		return &authn.Error{Reason: u.reason, Cause: errors.New("data of " + u.reason.String())}
	}
	return nil
}

func (d *directory) RefusalDelay(ctx context.Context) error {
	d.mu.Lock()
	d.delays++
	d.mu.Unlock()
	t := time.NewTimer(d.duration())
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (d *directory) duration() time.Duration {
	if d.bindTime != nil {
		return d.bindTime()
	}
	return d.bindFor
}

func (d *directory) bindCount() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.binds
}

// trail records audit events, or refuses them.
type trail struct {
	mu     sync.Mutex
	events []audit.Event
	fail   error
	quiet  bool
}

func (r *trail) Record(_ context.Context, e *audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.quiet {
		r.events = append(r.events, *e)
	}
	return r.fail
}

func (r *trail) last() audit.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) == 0 {
		return audit.Event{}
	}
	return r.events[len(r.events)-1]
}

// house is a pipeline with all its neighbours.
type house struct {
	t     testing.TB
	dir   *directory
	gate  *lockout.Memory
	trail *trail
	reg   *prometheus.Registry
	log   *strings.Builder
	p     *password.Pipeline

	holding *holding
}

const rightPassword = "Passw0rd!x1"

func people() map[string]*user {
	return map[string]*user{
		"alice": {id: 1, password: rightPassword},
		"bob":   {id: 2, password: "correct horse"},
	}
}

func newHouse(t testing.TB, users map[string]*user, change ...func(*password.Config)) *house {
	t.Helper()
	h := &house{t: t, dir: newDirectory(users), trail: &trail{}, reg: prometheus.NewRegistry(), log: &strings.Builder{}}
	h.gate = lockout.NewMemory(lockout.Config{Registerer: h.reg})
	h.gate.SetPolicy("corp.contoso.test", &lockout.Policy{Threshold: 10, Window: 30 * time.Minute})
	cfg := password.Config{
		Directory: h.dir, Gate: h.gate, Audit: h.trail, Registerer: h.reg,
		Logger: slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&cfg)
	}
	h.holding, _ = cfg.Gate.(*holding)
	var err error
	if h.p, err = password.New(cfg); err != nil {
		t.Fatal(err)
	}
	return h
}

// holding is a gate that also holds chosen accounts back.
type holding struct {
	password.Gate
	mu   sync.Mutex
	held map[authn.GUID]bool
}

func (g *holding) Begin(ctx context.Context, a lockout.Attempt) (lockout.Ticket, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held[a.Account] {
		return lockout.Ticket{}, &lockout.Refused{Scope: lockout.ScopeAccount, RetryAfter: time.Minute}
	}
	return g.Gate.Begin(ctx, a)
}

func withHolding(c *password.Config) {
	c.Gate = &holding{Gate: c.Gate, held: map[authn.GUID]bool{}}
}

// hold makes the gate of a house made withHolding refuse a user.
func (h *house) hold(name string) {
	h.holding.mu.Lock()
	defer h.holding.mu.Unlock()
	h.holding.held[h.dir.users[name].guid()] = true
}

func contextWithCancel(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

func sleepMilliseconds(n int) { time.Sleep(time.Duration(n) * time.Millisecond) }

func (h *house) try0(name string, pw []byte) authn.Result {
	return h.p.Verify(h.t.Context(), attempt, authn.Credentials{Name: name, Password: authn.NewPassword(pw)})
}

func (h *house) try(name, pw string) authn.Result {
	return h.p.Verify(h.t.Context(), attempt, authn.Credentials{Name: name, Password: authn.NewPassword([]byte(pw))})
}

var attempt = authn.Attempt{Protocol: "wsfed", Party: "urn:federation:MicrosoftOnline", Reference: "K7QF-3M9D"}
