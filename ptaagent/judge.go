package ptaagent

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/authn/password"
)

var (
	errOverload = errors.New("more requests than can be judged")
	errForeign  = errors.New("a request of another tenant")
	errRepeated = errors.New("a request that was here before")
	errSuffix   = errors.New("a user whose suffix is not among pta.domains")
)

// margin of the budget is kept for the post of the result.
const margin = 2 * time.Second

// refuse counts and records a request that is not answered, or not judged.
func (a *Agent) refuse(ctx context.Context, reason, transaction string, cause error) {
	a.metrics.refused[reason].Inc()
	e := &audit.Event{
		Time: a.cfg.Now(), Code: audit.RequestRefused, Protocol: "pta", CorrelationID: transaction, Reason: reason, Detail: cause.Error(),
	}
	if err := a.cfg.Audit.Record(context.WithoutCancel(ctx), e); err != nil {
		a.cfg.Logger.Error("pta: refused request was not recorded", "correlation_id", transaction, "error", err)
	}
	a.cfg.Logger.Warn("pta: request refused", "correlation_id", transaction, "reason", reason, "error", cause.Error())
}

// belongs judges whether a request is for this tenant, and leads to the cloud.
func (a *Agent) belongs(ctx context.Context, r *request) bool {
	if !strings.EqualFold(r.tenant, a.cfg.Identity.Tenant()) {
		a.refuse(ctx, "pta_foreign_tenant", r.transaction, errForeign)
		return false
	}
	if err := a.cfg.Cloud.front(r.host, r.port); err != nil {
		a.refuse(ctx, "pta_foreign_host", r.transaction, err)
		return false
	}
	return true
}

// accept takes a request into the queue.
func (a *Agent) accept(ctx context.Context, r *request, received time.Time) {
	if !a.belongs(ctx, r) {
		return
	}
	if r.protocol != protocolPassword && r.protocol != protocolTrusted {
		a.refuse(ctx, "pta_protocol", r.transaction, errRequest)
		return
	}
	mine, c := a.cfg.Identity.ours(r.entries)
	if !a.seen.first("request "+r.transaction+" "+r.id, received) || (c != nil && !a.seen.first(mine.number(), received)) {
		a.refuse(ctx, "pta_repeated", r.transaction, errRepeated)
		return
	}
	turn := a.line.enter()
	a.work.Add(1)
	a.crew.do(a.run, func() {
		defer a.work.Done()
		a.answer(r, mine, c, received, turn)
	})
}

// answer judges one request and posts the verdict, within the budget or not at all.
//
// Whose turn does not come has no verdict, and its answer is the outage's number: the
// cloud asks the person to try again, at once and not at the end of the budget. Of
// these answers a bounded number is under way; beyond it requests are not answered.
func (a *Agent) answer(r *request, mine entry, c *credential, received time.Time, turn turn) {
	budget := a.plan.Load().Budget
	ctx, cancel := context.WithDeadline(a.run, received.Add(budget))
	defer cancel()
	step := Request{CorrelationID: r.transaction, User: r.upn, Received: received}
	result := authn.Result{Reason: authn.Busy, Cause: errOverload}
	judging, stop := context.WithDeadline(ctx, received.Add(max(budget-margin, budget/2)))
	defer stop()
	if a.line.wait(judging, turn) {
		defer a.line.leave()
		step.Waited = time.Since(received)
		begun := time.Now()
		result = a.judge(judging, r, mine, c, &step)
		step.Judged = time.Since(begun)
	} else {
		if !a.late.Try() {
			a.metrics.refused["pta_overload"].Inc()
			return
		}
		defer a.late.Free()
		a.refuse(ctx, "pta_overload", r.transaction, errOverload)
	}
	number := numberOf(result.Reason)
	begun := time.Now()
	err := a.post(ctx, r, number, received, step.Judged)
	step.Posted, step.Took = time.Since(begun), time.Since(received)
	step.Reason, step.Number = result.Reason.String(), number
	if err != nil {
		step.Error = err.Error()
	}
	a.finish(step, result.Reason, err)
}

// judge returns the verdict. What cannot be decrypted, and whose suffix is not ours,
// takes as long as a wrong password and looks like one.
func (a *Agent) judge(ctx context.Context, r *request, mine entry, c *credential, step *Request) authn.Result {
	start := time.Now()
	pw, err := decrypt(c, mine)
	step.Decrypted = time.Since(start)
	reason := "pta_undecryptable"
	if err == nil && !a.suffix(r.upn) {
		pw.Wipe()
		err, reason = errSuffix, "pta_foreign_user"
	}
	if errors.Is(err, ErrKeyAway) {
		a.refuse(ctx, "pta_key_away", r.transaction, err)
		return authn.Result{Reason: authn.Unavailable, Cause: err}
	}
	if err != nil {
		a.refuse(ctx, reason, r.transaction, err)
		a.refusalTime(ctx, time.Now())
		return authn.Result{Reason: authn.WrongPassword, Cause: err}
	}
	return a.cfg.Passwords.Verify(ctx, authn.Attempt{Protocol: "pta", Party: "urn:microsoft:pta:" + a.cfg.Identity.Tenant(), CorrelationID: r.transaction},
		authn.Credentials{Name: r.upn, Password: pw})
}

// refusalTime waits as the pipeline does before it refuses.
func (a *Agent) refusalTime(ctx context.Context, start time.Time) {
	if a.cfg.Delay != nil {
		_ = a.cfg.Delay(ctx) // ended: the wait below ends too
	}
	password.Schedule{Floor: a.cfg.Floor}.Wait(ctx, start)
}

// suffix reports whether a user's suffix is configured.
func (a *Agent) suffix(upn string) bool {
	i := strings.LastIndexByte(upn, '@')
	for _, s := range a.cfg.Suffixes {
		if i > 0 && strings.EqualFold(upn[i+1:], s) {
			return true
		}
	}
	return false
}

// finish counts, logs and remembers a request that was answered. A verdict that the
// cloud did not take is recorded besides: the person saw another end than the trail has.
func (a *Agent) finish(step Request, reason authn.Reason, err error) {
	a.metrics.finished(step, reason, err)
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
		e := &audit.Event{
			Time: a.cfg.Now(), Code: audit.VerdictLost, Protocol: "pta", CorrelationID: step.CorrelationID, UPN: step.User, Reason: step.Reason, Detail: err.Error(),
		}
		if err := a.cfg.Audit.Record(context.WithoutCancel(a.run), e); err != nil {
			a.cfg.Logger.Error("pta: a verdict that was not taken was not recorded", "correlation_id", step.CorrelationID, "error", err)
		}
	}
	attributes := [...]slog.Attr{
		slog.String("correlation_id", step.CorrelationID), slog.String("reason", step.Reason), slog.Int("result", step.Number),
		slog.Duration("waited", step.Waited), slog.Duration("decrypted", step.Decrypted), slog.Duration("judged", step.Judged),
		slog.Duration("posted", step.Posted), slog.Duration("took", step.Took), slog.String("error", step.Error),
	}
	some := attributes[:]
	if err == nil {
		some = some[:len(some)-1]
	}
	a.cfg.Logger.LogAttrs(a.run, level, "pta: request", some...)
	a.remember(step)
}
