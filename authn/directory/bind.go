package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn"
)

// The longest password AD can hold ([MS-SAMR] 3.1.1.7.2), and our own bound in
// bytes.
const (
	maxPasswordUnits = 256
	maxPasswordBytes = 1024
)

// CheckPassword refuses what must never reach a DC: an empty password, which
// AD answers with success (RFC 4513 section 5.1.2), one with a NUL, where a DC
// may look only at what stands before it, invalid UTF-8, and over-long ones.
// Everything else is sent byte for byte.
func CheckPassword(p *authn.Password) error {
	b := p.Bytes()
	why := ""
	switch {
	case len(b) == 0:
		why = "empty password"
	case len(b) > maxPasswordBytes:
		why = "password is too long"
	case bytes.IndexByte(b, 0) >= 0:
		why = "password contains a NUL"
	case !utf8.Valid(b):
		why = "password is not UTF-8"
	case utf16Units(b) > maxPasswordUnits:
		why = "password is too long"
	default:
		return nil
	}
	return &authn.Error{Reason: authn.BadInput, Cause: errors.New("directory: " + why)}
}

func utf16Units(b []byte) (n int) {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		n += utf16.RuneLen(r)
		b = b[size:]
	}
	return n
}

// renameAge is how old a reading of the account may be before a refusal makes us
// look whether the object still has that DN.
const renameAge = time.Second

// Bind asks a DC whether pw is the account's password. It returns nil only when
// a DC said so in this call; every other end is an [authn.Error].
//
// At most one bind that a DC may have judged is sent: a second one follows only
// where the first certainly was not (no connection, 51, 52, 8, or a DN that no
// longer exists).
func (d *Directory) Bind(ctx context.Context, acc *authn.Account, pw *authn.Password) error {
	if err := CheckPassword(pw); err != nil {
		return err
	}
	if acc == nil || acc.DN == "" || acc.ID.IsZero() {
		return undecided(errors.New("directory: bind without an account"))
	}
	dm, err := d.domain(acc.Domain)
	if err != nil {
		return err
	}
	b := d.budget(ctx)
	v, err := dm.bind(b, acc.DN, pw)
	if err != nil {
		return undecided(err)
	}
	if v.mayBeRenamed(d.cfg.Now().Sub(acc.ReadAt)) {
		if fresh, ferr := dm.byID(b, acc.ID); ferr == nil && fresh.DN != acc.DN {
			if v, err = dm.bind(b, fresh.DN, pw); err != nil {
				return undecided(err)
			}
		}
	}
	if v.reason == authn.Accepted {
		return nil
	}
	return &authn.Error{Reason: v.reason, Cause: v.cause}
}

// verdict is a DC's judgement.
type verdict struct {
	reason authn.Reason
	code   uint32 // AD's sub-code
	cause  error
}

func (v verdict) mayBeRenamed(age time.Duration) bool {
	switch v.reason {
	case authn.UnknownUser:
		return true
	case authn.WrongPassword:
		return age > renameAge
	default:
		return false
	}
}

// bind finds a DC that judges the password. An error means that none did.
func (dm *domain) bind(b budget, dn string, pw *authn.Password) (verdict, error) {
	var tried []*server
	var last error
	stale, again := false, false
	for {
		s := dm.choose(tried)
		if s == nil {
			dm.hurry()
			if last == nil {
				last = errors.New("every DC's breaker is open, or none is known")
			}
			return verdict{}, &failure{class: classNoDC, err: last}
		}
	same:
		v, err := dm.bindAt(b, s, dn, pw, tried)
		var f *failure
		if err == nil || !errors.As(err, &f) {
			return v, err
		}
		last = err
		if b.over() {
			return verdict{}, err
		}
		switch f.class {
		case classDial, classTLSName, classWrong: // nothing of the bind was sent
			tried = append(tried, s)
		case classStale: // nothing was sent: a fresh connection, same DC, once
			if stale {
				return verdict{}, err
			}
			stale = true
			goto same
		case classBusy, classRefused: // refused unjudged: the next DC, once
			if again {
				return verdict{}, err
			}
			again = true
			tried = append(tried, s)
		default: // something was sent and may have been judged
			return verdict{}, err
		}
	}
}

// bindAt sends the bind to one DC, once.
func (dm *domain) bindAt(b budget, s *server, dn string, pw *authn.Password, tried []*server) (verdict, error) {
	lim := dm.d.cfg.Limits
	patience := lim.Dial
	if dm.spare(tried, s) {
		patience = lim.Dial / 3
	}
	c, err := s.take(b, forBinds, patience)
	if err != nil {
		return verdict{}, err
	}
	idleSince, start := c.used, time.Now()
	s.meter.begin(start)
	a := c.bind(b.ctx, min(lim.Bind, b.left()), dn, pw.Bytes())
	now := time.Now()
	took := now.Sub(start)
	s.meter.end(now, took, a.err == nil)
	if a.err == nil {
		s.m.seconds[opBind].Observe(took.Seconds())
	}
	switch {
	case a.err == nil && a.code == 0:
		s.binds.put(c)
		s.m.reasons[authn.Accepted].Inc()
		return verdict{reason: authn.Accepted}, nil
	case a.err == nil && a.code == ldap.LDAPResultInvalidCredentials:
		s.binds.put(c)
		dm.d.refusal.add(took)
		return dm.refused(s, a)
	case a.err == nil && (a.code == ldap.LDAPResultNoSuchObject || a.code == ldap.LDAPResultInvalidDNSyntax):
		s.binds.put(c)
		s.m.reasons[authn.UnknownUser].Inc()
		return verdict{reason: authn.UnknownUser, cause: fmt.Errorf("bind at %s: code %d: %s", s.name, a.code, a.text)}, nil
	}
	return verdict{}, dm.noVerdict(s, c, a, idleSince)
}

// refused reads the reason of a bind answered with 49. Some of AD's sub-codes
// say that the DC could not judge; those are failures, not verdicts.
func (dm *domain) refused(s *server, a answer) (verdict, error) {
	code, ok := dm.d.diag.subCode(a.text)
	reason := reasonOf(code, ok)
	cause := fmt.Errorf("bind at %s: code 49, data %x: %s", s.name, code, a.text)
	s.m.reasons[reason].Inc()
	switch reason {
	case authn.Unavailable, authn.Misconfigured:
		s.m.errors[classFault].Inc()
		s.log().Error("domain controller could not judge a password", "alarm", true, "data", fmt.Sprintf("%x", code), "text", a.text)
	case authn.Rejected:
		s.log().Warn("bind refused with an unknown sub-code", "data", fmt.Sprintf("%x", code), "text", a.text)
	}
	return verdict{reason: reason, code: code, cause: cause}, nil
}

// noVerdict handles every other answer to a bind: the connection is closed.
func (dm *domain) noVerdict(s *server, c *conn, a answer, idleSince time.Time) error {
	f := bindFailure(a)
	f.dc = s.name
	s.binds.discard(c, f)
	switch f.class {
	case classStale, classUnclear, classTimeout:
		s.binds.flush(idleSince)
		s.searches.flush(idleSince)
	}
	switch a.code {
	case ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultUnwillingToPerform:
		s.pause(f)
	case ldap.LDAPResultProtocolError, ldap.LDAPResultAuthMethodNotSupported, ldap.LDAPResultSaslBindInProgress, ldap.LDAPResultNoSuchAttribute:
		s.log().Error("a bind was answered as no bind of ours can be", "alarm", true, "code", a.code, "text", a.text)
		s.failed(f)
	default:
		s.failed(f)
	}
	return f
}
