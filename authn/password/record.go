package password

import (
	"context"
	"fmt"
	"strings"

	"sallyport/authn"
	"sallyport/authn/audit"
)

const maxTyped = 256

// record writes the audit event of an attempt. When an acceptance cannot be
// recorded it becomes a failure: nobody gets in unrecorded.
func (p *Pipeline) record(ctx context.Context, at authn.Attempt, typed string, r *authn.Result) {
	e := event(at, typed, r)
	err := p.cfg.Audit.Record(context.WithoutCancel(ctx), e)
	if err == nil {
		return
	}
	p.cfg.Logger.Error("audit event refused", "ref", at.Reference, "code", string(e.Code), "error", err)
	if r.Reason == authn.Accepted {
		r.Reason = authn.Unavailable
		r.Cause = fmt.Errorf("audit event refused: %w", err)
	}
}

func event(at authn.Attempt, typed string, r *authn.Result) *audit.Event {
	e := &audit.Event{
		Time: r.At, Code: codeOf(r.Reason), Reference: at.Reference, CorrelationID: at.CorrelationID,
		Protocol: at.Protocol, Party: at.Party, Inside: at.Inside, Method: authn.MethodPassword.String(),
		Reason: r.Reason.String(),
	}
	if at.Client.IsValid() {
		e.Client = at.Client.String()
	}
	if r.Cause != nil {
		e.Detail = r.Cause.Error()
	}
	if r.Account == nil {
		e.Typed = clip(typed)
		return e
	}
	e.Account, e.AccountName, e.UPN = r.Account.ID.String(), r.Account.Name(), r.Account.UPN
	if r.Account.CrossedWith != "" {
		e.Detail = strings.TrimPrefix(e.Detail+"; name also means "+r.Account.CrossedWith, "; ")
	}
	return e
}

func codeOf(r authn.Reason) audit.Code {
	switch {
	case r == authn.Accepted:
		return audit.SignInAccepted
	case r.Undecided():
		return audit.SignInFailed
	default:
		return audit.SignInRefused
	}
}

// clip makes a name of any kind fit for a record.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxTyped)], "\ufffd") }
