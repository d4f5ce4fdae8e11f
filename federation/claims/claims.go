package claims

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"sallyport/authn"
	"sallyport/federation"
	"sallyport/federation/token"
)

// expiryNotice is how long before its end the expiry of a password is announced:
// AD FS issues the claims within 14 days.
const expiryNotice = 14 * 24 * time.Hour

// backdate is how far NotBefore lies before IssueInstant.
const backdate = 30 * time.Second

// Anchors finds objects that share a source anchor. It is safe for concurrent use.
type Anchors interface {
	// Sharing returns the DNs of the other enabled objects with these anchor bytes,
	// in any of the configured domains, none when acc is the only one. An error
	// means that nobody knows.
	Sharing(ctx context.Context, acc *authn.Account, anchor []byte) ([]string, error)
}

// Config is what an [Engine] needs.
type Config struct {
	// Issuer is the service's own issuer, for parties other than Microsoft 365.
	// Required.
	Issuer string
	// Domains are the federated domains of Microsoft 365. Empty: nobody gets a token
	// for it.
	Domains []Domain
	// PasswordChangeURL goes into the password expiry claims; empty leaves that
	// claim out.
	PasswordChangeURL string
	// Rules are the rules of parties other than Microsoft 365 by their key. A party
	// that is not there gets the fixed set.
	Rules map[string]Rules
	// Groups knows the groups that rules name. Nil: rules may only name SIDs.
	Groups *GroupIndex
	// Anchors guards against two objects with one ImmutableID. Nil: Entra's own
	// check is relied upon.
	Anchors Anchors
	// Logger is told of claims that were left out. Nil: nobody is.
	Logger *slog.Logger
	// Now is the clock. Nil: [time.Now].
	Now func() time.Time
}

// Engine makes assertions. It is read-only after [New] and safe for concurrent
// use.
type Engine struct {
	cfg      Config
	issuers  issuers
	programs map[string]*program
}

// New returns an engine. The error names every problem.
func New(cfg Config) (*Engine, error) {
	var errs []error
	if cfg.Issuer == "" {
		errs = append(errs, errors.New("claims: no issuer"))
	}
	m, err := newIssuers(cfg.Domains)
	errs = append(errs, err)
	programs := make(map[string]*program, len(cfg.Rules))
	for key, r := range cfg.Rules {
		if programs[key], err = compile(&r); err != nil {
			errs = append(errs, fmt.Errorf("claims: rules of %s: %w", key, err))
		}
		if cfg.Groups == nil && len(r.NamedGroups()) > 0 {
			errs = append(errs, fmt.Errorf("claims: rules of %s name groups, and nothing knows their SIDs", key))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Engine{cfg: cfg, issuers: m, programs: programs}, nil
}

// For returns the assertion for a person and a request, without an id. Errors are
// [*federation.Error]; where the person is not set up for the party their cause
// is one of this package's errors.
func (e *Engine) For(ctx context.Context, req *federation.SignInRequest, sub *federation.Subject) (*token.Assertion, error) {
	return e.assertion(ctx, req, sub, nil)
}

// Explain is [Engine.For] that also tells what each rule of the party did, as far
// as they were asked.
func (e *Engine) Explain(ctx context.Context, req *federation.SignInRequest, sub *federation.Subject) (*token.Assertion, []Step, error) {
	trace := []Step{}
	a, err := e.assertion(ctx, req, sub, &trace)
	return a, trace, err
}

func (e *Engine) assertion(ctx context.Context, req *federation.SignInRequest, sub *federation.Subject, trace *[]Step) (*token.Assertion, error) {
	rp := req.Party
	method, err := methodOf(sub)
	if err != nil {
		return nil, federation.Refuse(federation.ProblemInternal, rp, err)
	}
	if problem, bad := stateProblem(sub.Account.State); bad {
		return nil, federation.Refuse(problem, rp, fmt.Errorf("claims: account state 0x%x", uint16(sub.Account.State)))
	}
	now := e.cfg.Now().UTC()
	lifetime := rp.TokenLifetime
	if lifetime <= 0 || lifetime > token.MaxLifetime {
		lifetime = token.MaxLifetime
	}
	a := &token.Assertion{
		Version: rp.TokenType, IssueInstant: now, NotBefore: now.Add(-backdate), NotOnOrAfter: now.Add(lifetime - backdate),
		Audience: req.Realm, NameIDFormat: FormatUnspecified, AuthnMethod: method, AuthnInstant: sub.AuthenticatedAt.UTC(),
	}
	if rp.Microsoft365 {
		err = e.microsoft365(ctx, a, sub)
	} else {
		err = e.other(ctx, a, rp, sub, trace)
	}
	var fe *federation.Error
	switch {
	case errors.As(err, &fe):
		fe.Party = rp
		return nil, err
	case err != nil:
		return nil, federation.Refuse(federation.ProblemNotReady, rp, err)
	}
	if a.Version == federation.SAML20 {
		attribute20(a.Attributes)
		a.Recipient, a.SessionIndex = req.ReplyTo, sub.SessionIndex
		a.SubjectNotOnOrAfter = now.Add(min(lifetime-backdate, token.MaxConfirmation))
	}
	return a, nil
}

// methodOf returns the true method; a subject without one or without an instant
// was never signed in.
func methodOf(sub *federation.Subject) (string, error) {
	switch {
	case sub.Account == nil || sub.Account.ID.IsZero():
		return "", errors.New("claims: subject without an account")
	case sub.AuthenticatedAt.IsZero():
		return "", errors.New("claims: subject without an instant of authentication")
	}
	switch sub.Method {
	case authn.MethodPassword:
		return MethodPassword, nil
	case authn.MethodKerberos:
		return MethodWindows, nil
	default:
		return "", errors.New("claims: subject without a method of authentication")
	}
}

// stateProblem is the last look at what the directory says. A locked account or
// an expired password is not judged here: the state may have been read just
// before the DC accepted the password, and for sessions package signin judges it.
func stateProblem(s authn.State) (federation.Problem, bool) {
	switch {
	case s&authn.StateDisabled != 0:
		return federation.ProblemDisabled, true
	case s&authn.StateAccountExpired != 0:
		return federation.ProblemAccountExpired, true
	default:
		return "", false
	}
}

// microsoft365 applies the rules of TRUST in their order.
func (e *Engine) microsoft365(ctx context.Context, a *token.Assertion, sub *federation.Subject) error {
	acc := sub.Account
	if err := upn(acc); err != nil {
		return err
	}
	domain, err := e.issuers.find(acc.UPN)
	if err != nil {
		return err
	}
	anchor := acc.SourceAnchor()
	if domain.ObjectGUID {
		anchor = acc.ID[:]
	}
	if len(anchor) == 0 {
		return ErrNoAnchor
	}
	if err := e.sole(ctx, acc, anchor); err != nil {
		return err
	}
	a.Issuer = domain.Issuer
	a.NameID = base64.StdEncoding.EncodeToString(anchor)
	a.Attributes = make([]token.Attribute, 0, 10)
	a.Attributes = append(a.Attributes, attribute(TypeUPN365, acc.UPN), attribute(TypeImmutableID, a.NameID))
	if acc.SID != "" {
		a.Attributes = append(a.Attributes, attribute(TypePrimarySID, acc.SID))
	}
	inside := attribute(TypeInside, strconv.FormatBool(sub.InsideNetwork))
	inside.OriginalIssuer, inside.Boolean = "CLIENT CONTEXT", true
	a.Attributes = append(a.Attributes, inside)
	if sub.Persistent {
		a.Attributes = append(a.Attributes, attribute(TypePersistent, "true"))
	}
	e.expiry(a, sub)
	a.Attributes = append(a.Attributes, attribute(TypeMethods, a.AuthnMethod))
	return nil
}

// sole refuses a person whose ImmutableID would also be somebody else's.
func (e *Engine) sole(ctx context.Context, acc *authn.Account, anchor []byte) error {
	if e.cfg.Anchors == nil {
		return nil
	}
	others, err := e.cfg.Anchors.Sharing(ctx, acc, anchor)
	switch {
	case err != nil:
		return &federation.Error{Problem: federation.ProblemDirectory, Cause: fmt.Errorf("claims: looking for shared source anchors: %w", err)}
	case len(others) > 0:
		return fmt.Errorf("%w: %q and %q", ErrSharedAnchor, acc.DN, others)
	default:
		return nil
	}
}

// expiry announces the end of the password that was used, within 14 days of it.
func (e *Engine) expiry(a *token.Assertion, sub *federation.Subject) {
	left := sub.Account.PasswordExpires.Sub(a.IssueInstant)
	if sub.Method != authn.MethodPassword || sub.Account.PasswordExpires.IsZero() || left <= 0 || left > expiryNotice {
		return
	}
	a.Attributes = append(a.Attributes,
		attribute(TypeExpiryTime, strconv.FormatInt(int64(left/time.Second), 10)),
		attribute(TypeExpiryDays, strconv.FormatInt(int64(left/(24*time.Hour)), 10)))
	if e.cfg.PasswordChangeURL != "" {
		a.Attributes = append(a.Attributes, attribute(TypeChangeURL, e.cfg.PasswordChangeURL))
	}
}

// other gives a party what its rules say, and one without rules the small fixed
// set.
func (e *Engine) other(ctx context.Context, a *token.Assertion, rp *federation.RelyingParty, sub *federation.Subject, trace *[]Step) error {
	acc := sub.Account
	rules := rp.Rules
	if rules == "" {
		rules = rp.Key
	}
	r := run{e: e, ctx: ctx, p: e.programs[rules], sub: sub, acc: acc, trace: trace}
	if r.p != nil {
		if err := r.access(); err != nil {
			return err
		}
	}
	a.Issuer = e.cfg.Issuer
	var err error
	if a.NameID, err = r.nameID(); err != nil {
		return err
	}
	if r.p != nil && len(r.p.steps) > 0 {
		err := r.run()
		a.Attributes = r.claims
		return err
	}
	a.Attributes = make([]token.Attribute, 0, 4)
	for _, c := range []token.Attribute{attribute(TypeUPN, acc.UPN), attribute(TypeName, acc.Name()), attribute(TypePrimarySID, acc.SID)} {
		if err := token.CheckValue(c.Name, c.Values[0]); err != nil {
			e.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "claim left out", slog.String("account", acc.ID.String()),
				slog.String("claim", c.Name), slog.String("error", err.Error()))
			continue
		}
		if c.Values[0] != "" {
			a.Attributes = append(a.Attributes, c)
		}
	}
	return nil
}

// groupSID asks the index for the SID of a group by name.
func (e *Engine) groupSID(ctx context.Context, name string) (string, error) {
	return e.cfg.Groups.SID(ctx, name)
}

func (e *Engine) groupNames(ctx context.Context, domain string, sids []string) (map[string]string, error) {
	if e.cfg.Groups == nil {
		return nil, errors.New("claims: nothing knows the names of groups")
	}
	return e.cfg.Groups.Names(ctx, domain, sids)
}

// upn refuses a name that cannot name anybody in a token.
func upn(acc *authn.Account) error {
	if acc.UPN == "" {
		return ErrNoUPN
	}
	if err := token.CheckValue("UPN", acc.UPN); err != nil {
		return fmt.Errorf("%w: %w", ErrUPN, err)
	}
	return nil
}
