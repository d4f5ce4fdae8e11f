package directory

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn"
)

// Pauses after the service account was refused.
const (
	serviceFirstPause = time.Minute
	serviceMaxPause   = 10 * time.Minute
)

// serviceAccount binds connections as the account that searches, and makes sure
// that our own retries cannot lock it: while no password is proven, one bind at
// a time; a refused password leads to one try of the other one per change of
// the set, then to a pause that doubles.
type serviceAccount struct {
	name      string
	limit     time.Duration // for one bind
	passwords func() [][]byte
	diag      *diagnostics
	log       *slog.Logger
	now       func() time.Time // monotonic

	turn chan struct{} // holds the state below; a channel, so that waiting ends with ctx
	salt [32]byte
	set  [32]byte // fingerprint of the passwords last seen
	// proven is the index of the password that worked last, or -1.
	proven int
	// spent says that the other password has been tried for this set.
	spent   bool
	pause   time.Duration
	until   time.Time
	refused error

	halted atomic.Pointer[halt] // until and refused, for readers that must not wait
}

// serviceRefused says that a DC refused the service account.
type serviceRefused struct {
	reason authn.Reason
	code   uint32
}

func (e *serviceRefused) Error() string {
	return fmt.Sprintf("service account refused: %s (data %x)", e.reason, e.code)
}

// halt is a pause after a refusal.
type halt struct {
	until time.Time
	err   error
}

func newServiceAccount(s Service, limit time.Duration, diag *diagnostics, log *slog.Logger) *serviceAccount {
	a := &serviceAccount{name: s.Name, limit: limit, passwords: s.Passwords, diag: diag, log: log, now: time.Now, turn: make(chan struct{}, 1), proven: -1}
	_, _ = rand.Read(a.salt[:]) // never fails (crypto/rand)
	return a
}

// bind makes c a connection of the service account.
func (a *serviceAccount) bind(ctx context.Context, c *conn) error {
	set, err := a.current()
	if err != nil {
		return err
	}
	if err := a.lock(ctx); err != nil {
		return err
	}
	a.noticeLocked(set)
	at := a.proven
	if at >= 0 && at < len(set) {
		a.unlock()
		ans := c.bind(ctx, a.limit, a.name, set[at])
		if ans.code != ldap.LDAPResultInvalidCredentials {
			return a.finish(ctx, c, ans)
		}
		if err := a.lock(ctx); err != nil {
			return err
		}
		defer a.unlock()
		return a.disprovedLocked(ctx, c, set, at, ans)
	}
	defer a.unlock()
	if err := a.pausedLocked(); err != nil {
		return err
	}
	ans := c.bind(ctx, a.limit, a.name, set[0])
	if ans.code == ldap.LDAPResultInvalidCredentials {
		return a.disprovedLocked(ctx, c, set, 0, ans)
	}
	if ans.err == nil && ans.code == 0 {
		a.acceptedLocked(0)
	}
	return a.finish(ctx, c, ans)
}

// admitted tells, before anything is dialled, whether bind would offer a
// password at all.
func (a *serviceAccount) admitted(ctx context.Context) error {
	set, err := a.current()
	if err != nil {
		return err
	}
	if err := a.lock(ctx); err != nil {
		return err
	}
	defer a.unlock()
	a.noticeLocked(set)
	return a.pausedLocked()
}

// current returns the passwords of this moment. An empty one is never offered: it
// would be an anonymous bind.
func (a *serviceAccount) current() ([][]byte, error) {
	var set [][]byte
	if a.passwords != nil {
		set = a.passwords()
	}
	if len(set) == 0 || len(set[0]) == 0 {
		return nil, &failure{class: classService, err: errors.New("the service account has no password")}
	}
	return set, nil
}

func (a *serviceAccount) pausedLocked() error {
	now := a.now()
	if !now.Before(a.until) {
		return nil
	}
	return &failure{class: classService, err: fmt.Errorf("not asked again for %s: %w", a.until.Sub(now).Round(time.Second), a.refused)}
}

// disprovedLocked handles 49 for the password at index tried.
func (a *serviceAccount) disprovedLocked(ctx context.Context, c *conn, set [][]byte, tried int, ans answer) error {
	if a.proven == tried {
		a.proven = -1
	}
	code, ok := a.diag.subCode(ans.text)
	other := 1 - tried
	if reasonOf(code, ok).Counts() && !a.spent && tried < 2 && other < len(set) && len(set[other]) > 0 && !bytes.Equal(set[0], set[1]) {
		a.spent = true
		a.log.Warn("service account's password was refused; trying the other one", "which_failed", tried)
		second := c.bind(ctx, a.limit, a.name, set[other])
		if second.err == nil && second.code == 0 {
			a.acceptedLocked(other)
			return a.finish(ctx, c, second)
		}
		if second.code != ldap.LDAPResultInvalidCredentials {
			return a.finish(ctx, c, second)
		}
		ans = second
		code, ok = a.diag.subCode(ans.text)
	}
	a.pause = min(max(2*a.pause, serviceFirstPause), serviceMaxPause)
	a.until = a.now().Add(a.pause)
	a.refused = &serviceRefused{reason: reasonOf(code, ok), code: code}
	a.halted.Store(&halt{until: a.until, err: a.refused})
	a.log.Error("service account was refused; nobody can sign in until its password is right", "alarm", true,
		"account", a.name, "reason", reasonOf(code, ok).String(), "pause", a.pause)
	return &failure{class: classService, err: a.refused}
}

func (a *serviceAccount) acceptedLocked(index int) {
	a.proven, a.pause, a.until, a.refused = index, 0, time.Time{}, nil
	a.halted.Store(nil)
}

// finish turns a bind's answer that is not 49 into a result, and asks the DC
// who we are now: a bind that made nobody of us is worth nothing.
func (a *serviceAccount) finish(ctx context.Context, c *conn, ans answer) error {
	if ans.err != nil || ans.code != 0 {
		return bindFailure(ans)
	}
	res, who := c.search(ctx, a.limit, baseSearch("", present, "tokenGroups"))
	if who.err != nil {
		return &failure{class: classUnclear, err: who.err}
	}
	if res == nil || len(res.Entries) != 1 {
		return nil
	}
	values := res.Entries[0].GetEqualFoldRawAttributeValues("tokenGroups")
	if len(values) == 0 {
		return nil
	}
	if sid, err := SIDString(values[0]); err != nil || sid == sidAnonymous {
		return &failure{class: classService, err: errors.New("the DC says success, yet the connection is anonymous")}
	}
	return nil
}

// noticeLocked forgets what is known about the passwords when the set changed.
func (a *serviceAccount) noticeLocked(set [][]byte) {
	h := sha256.New()
	h.Write(a.salt[:])
	for _, p := range set {
		sum := sha256.Sum256(p)
		h.Write(sum[:])
	}
	var now [32]byte
	h.Sum(now[:0])
	if now != a.set {
		a.set, a.proven, a.spent, a.pause, a.until, a.refused = now, -1, false, 0, time.Time{}, nil
		a.halted.Store(nil)
	}
}

// stopped returns why the account is not tried at present, nil when it is.
func (a *serviceAccount) stopped() error {
	if h := a.halted.Load(); h != nil && a.now().Before(h.until) {
		return h.err
	}
	return nil
}

func (a *serviceAccount) lock(ctx context.Context) error {
	select {
	case a.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &failure{class: classService, err: fmt.Errorf("waiting for another bind of the service account: %w", ctx.Err())}
	}
}

func (a *serviceAccount) unlock() { <-a.turn }

// bindFailure classifies a bind's answer that is neither 0 nor 49.
func bindFailure(a answer) *failure {
	if a.err != nil {
		return &failure{class: localClass(a), err: a.err}
	}
	err := fmt.Errorf("bind answered with code %d: %s", a.code, a.text)
	switch a.code {
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable:
		return &failure{class: classBusy, err: err}
	case ldap.LDAPResultStrongAuthRequired:
		return &failure{class: classRefused, err: err}
	case ldap.LDAPResultReferral:
		return &failure{class: classReferral, err: err}
	default:
		return &failure{class: classFault, err: err}
	}
}

// localClass tells what an answer without a code means.
func localClass(a answer) class {
	switch {
	case !a.sent:
		return classStale
	case classOf(a.err) == classTimeout:
		return classTimeout
	default:
		return classUnclear
	}
}
