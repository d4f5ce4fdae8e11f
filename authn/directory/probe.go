package directory

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn"
)

// Step is one thing that [Directory.Probe] tries at a DC, in this order.
type Step string

// The steps.
const (
	StepFind    Step = "find"    // names of DCs from the settings or DNS
	StepDial    Step = "dial"    // TCP
	StepTLS     Step = "tls"     // TLS with the right name and a trusted authority
	StepServer  Step = "server"  // a DC of this domain that may be used
	StepClock   Step = "clock"   // clock difference
	StepLevel   Step = "level"   // functional level
	StepService Step = "service" // bind of the service account
	StepRead    Step = "read"    // what the service account may read
	StepPolicy  Step = "policy"  // lockout policy against the settings
)

// ProbeResult is what one step found.
type ProbeResult struct {
	Domain, Server string // Server is empty for a step about the whole domain
	Step           Step
	OK             bool
	// Warning marks a step that is OK but wants attention.
	Warning bool
	// Found says what was found; Remedy what to do about it, empty when OK.
	Found, Remedy string
}

// maxProbed bounds how many discovered DCs of a domain are probed.
const maxProbed = 50

// Probe tries every DC from scratch, on connections of its own, and reports each
// step with what to do about a failure. It is for `sallyport check`; it never
// binds as a user, and offers the service account's password at each DC only
// while the one before did not refuse it.
func (d *Directory) Probe(ctx context.Context) []ProbeResult {
	var out []ProbeResult
	for _, dm := range d.domains {
		p := &prober{dm: dm}
		p.domain(ctx)
		out = append(out, p.results...)
	}
	return out
}

// prober collects the results of one domain.
type prober struct {
	dm      *domain
	server  string
	results []ProbeResult
}

func (p *prober) add(step Step, ok, warning bool, found, remedy string) {
	p.results = append(p.results, ProbeResult{Domain: p.dm.name, Server: p.server, Step: step, OK: ok, Warning: warning, Found: found, Remedy: remedy})
}

func (p *prober) good(step Step, format string, args ...any) {
	p.add(step, true, false, fmt.Sprintf(format, args...), "")
}

func (p *prober) bad(step Step, err error, remedy string) {
	p.add(step, false, false, err.Error(), remedy)
}

func (p *prober) domain(ctx context.Context) {
	dm := p.dm
	if len(dm.cfg.Servers) == 0 && len(*dm.servers.Load()) == 0 {
		dm.discover(ctx)
	}
	set := *dm.servers.Load()
	if len(set) == 0 {
		p.bad(StepFind, fmt.Errorf("no domain controller of %s found", dm.name),
			fmt.Sprintf("list them under directory.domains.servers, or make _ldap._tcp.dc._msdcs.%s resolve here", dm.name))
		return
	}
	p.good(StepFind, "%d domain controllers", len(set))
	if len(set) > maxProbed {
		set = set[:maxProbed]
	}
	served := false
	for _, s := range set {
		p.server = s.name
		served = p.probe(ctx, s) || served
	}
	p.server = ""
	if served {
		p.policy(ctx)
	}
}

// probe runs the steps at one DC; it reports whether searches would work there.
func (p *prober) probe(ctx context.Context, s *server) bool {
	d := s.dm.d
	stepCtx, cancel := context.WithTimeout(ctx, d.cfg.Limits.Dial)
	defer cancel()
	socket, err := d.cfg.Dial(stepCtx, "tcp", s.address)
	if err != nil {
		p.bad(StepDial, err, dialRemedy(err, s))
		return false
	}
	_ = socket.Close()
	p.good(StepDial, "%s answers", s.address)
	cfg := dialConfig{endpoint: s.endpoint, roots: d.roots.Load(), dial: d.cfg.Dial, limits: d.cfg.Limits, kind: forSearches}
	c, err := open(stepCtx, cfg)
	if err != nil {
		p.bad(StepTLS, err, tlsRemedy(err, s))
		return false
	}
	defer c.bye()
	p.good(StepTLS, "certificate is good for %s", s.name)
	if err := c.root.judge(s.dm.nc, s.allowRODC); err != nil {
		p.bad(StepServer, err, serverRemedy(c.root, s))
		return false
	}
	p.good(StepServer, "domain controller of %s, site %q", s.dm.name, c.root.site)
	p.clock(c.root)
	p.level(c.root)
	bindCtx, cancelBind := context.WithTimeout(ctx, 2*d.cfg.Limits.Bind)
	defer cancelBind()
	if err := s.dm.service.bind(bindCtx, c); err != nil {
		p.bad(StepService, err, p.serviceRemedy(err))
		return false
	}
	p.good(StepService, "bound as %s", s.dm.service.name)
	return p.read(ctx, c)
}

func (p *prober) clock(r *rootDSE) {
	if r.clock.IsZero() {
		p.add(StepClock, true, true, "the DC does not tell its clock", "")
		return
	}
	off := r.clock.Sub(p.dm.d.cfg.Now()).Round(time.Second)
	const remedy = "let this host and the domain controllers follow the same time source (chrony or systemd-timesyncd here, the PDC emulator there)"
	switch {
	case off.Abs() > 5*time.Minute:
		p.bad(StepClock, fmt.Errorf("clock is %s off; tokens and Kerberos fail beyond 5m", off), remedy)
	case off.Abs() > time.Minute:
		p.add(StepClock, true, true, fmt.Sprintf("clock is %s off", off), remedy)
	default:
		p.good(StepClock, "clock is %s off", off)
	}
}

func (p *prober) level(r *rootDSE) {
	names := map[int]string{2: "2003", 3: "2008", 4: "2008 R2", 5: "2012", 6: "2012 R2", 7: "2016", 10: "2025"}
	name := names[r.level]
	if name == "" {
		name = fmt.Sprintf("level %d", r.level)
	}
	if r.level >= 0 && r.level < 3 {
		p.add(StepLevel, true, true, "functional level "+name, "AD before 2008 lacks attributes that account state is read from; raise the level")
		return
	}
	p.good(StepLevel, "functional level %s", name)
}

// read looks at what the service account may read, using its own object.
func (p *prober) read(ctx context.Context, c *conn) bool {
	lim := p.dm.d.cfg.Limits
	req := &ldap.SearchRequest{BaseDN: p.dm.baseDN, Scope: ldap.ScopeWholeSubtree, DerefAliases: ldap.NeverDerefAliases, SizeLimit: 1, TimeLimit: 3,
		Filter: string(userObjects()), Attributes: p.dm.attributes(), EnforceSizeLimit: true}
	if c.root.domainScope {
		req.Controls = append(req.Controls, ldap.NewControlString(oidDomainScope, true, ""))
	}
	res, a := c.search(ctx, lim.Search, req)
	entries := []*ldap.Entry(nil)
	if res != nil {
		entries = res.Entries
	}
	switch {
	case a.code == ldap.LDAPResultNoSuchObject || a.code == ldap.LDAPResultReferral:
		p.bad(StepRead, fmt.Errorf("search base %q: code %d: %s", p.dm.baseDN, a.code, a.text), "correct base_dn, or leave it out")
		return false
	case len(entries) == 0 && a.err != nil && !errors.Is(a.err, errTooMany):
		p.bad(StepRead, a.err, "look at the domain controller's event log, then run check again")
		return false
	case len(entries) == 0 && a.err == nil:
		p.bad(StepRead, fmt.Errorf("no user is readable under %q", p.dm.baseDN), "grant the service account Read on the users, or correct base_dn")
		return false
	case len(entries) == 0:
		p.good(StepRead, "users are readable")
		return true
	}
	if _, err := p.dm.accountOf(entries[0], p.dm.d.cfg.Now()); err != nil {
		p.bad(StepRead, err, "grant the service account Read on Account Restrictions, Logon Information, General and Public Information")
		return false
	}
	if !slices.ContainsFunc(entries[0].Attributes, func(at *ldap.EntryAttribute) bool {
		return strings.EqualFold(at.Name, "msDS-User-Account-Control-Computed")
	}) {
		p.add(StepRead, true, true, "msDS-User-Account-Control-Computed is not readable: locked and expired accounts keep their sessions",
			"grant the service account Read on Account Restrictions")
		return true
	}
	p.good(StepRead, "users and their state are readable")
	return true
}

func (p *prober) policy(ctx context.Context) {
	pol, err := p.dm.d.LockoutPolicy(ctx, p.dm.name)
	if err != nil {
		p.add(StepPolicy, true, true, err.Error(), "state the lowest lockout threshold in the settings (lockout.lowest_ad_threshold)")
		return
	}
	switch {
	case pol.Threshold == 0:
		p.good(StepPolicy, "AD locks no account")
	case pol.Threshold <= 2:
		p.add(StepPolicy, true, true, fmt.Sprintf("AD locks after %d wrong passwords", pol.Threshold),
			"raise AD's lockout threshold to 10 or more: so low a value lets anybody lock accounts by typing")
	case pol.SettingsObjects == 0 && p.dm.cfg.MinLockoutThreshold == 0:
		p.add(StepPolicy, true, true, fmt.Sprintf("AD locks after %d wrong passwords; no password settings object is readable, which proves nothing", pol.Threshold),
			"if there are stricter password settings objects, state the lowest threshold in the settings (lockout.lowest_ad_threshold)")
	default:
		p.good(StepPolicy, "AD locks after %d wrong passwords", pol.Threshold)
	}
}

// advice is what the log says to do about a DC that is out of use.
func (s *server) advice(c class, err error) string {
	switch c {
	case classTLSName:
		return tlsRemedy(err, s)
	case classDial:
		return dialRemedy(err, s)
	default:
		return "sallyport check goes through it step by step and says what to do"
	}
}

func dialRemedy(err error, s *server) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("make %s resolve on this host (name server of the domain, or /etc/hosts)", s.name)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("nothing answers at %s in time: open the port in the firewall between here and there", s.address)
	default:
		return fmt.Sprintf("start the domain controller or open the way to %s", s.address)
	}
}

func tlsRemedy(err error, s *server) string {
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &host) && len(host.Certificate.DNSNames) == 0:
		return fmt.Sprintf("the certificate has no subject alternative name; issue one for %s from the template Kerberos Authentication", s.name)
	case errors.As(err, &host):
		return fmt.Sprintf("the certificate is for %s; use that name in the settings, or issue one for %s", strings.Join(host.Certificate.DNSNames, ", "), s.name)
	case errors.As(err, &authority):
		return "put the certificate of the authority that issued the DC's certificate into directory.ca_file"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("the certificate is valid from %s to %s: renew it, or set this host's clock",
			invalid.Cert.NotBefore.Format(time.DateOnly), invalid.Cert.NotAfter.Format(time.DateOnly))
	case s.startTLS:
		return "the server must offer StartTLS with TLS 1.2 or later; a DC without a certificate does not: enrol one"
	default:
		return "the DC must have a server certificate and speak TLS 1.2 or later on this port; a DC without one closes the connection: enrol one"
	}
}

func serverRemedy(r *rootDSE, s *server) string {
	switch {
	case !r.directory:
		return "name a domain controller; AD LDS and other LDAP servers cannot check Windows passwords"
	case !strings.EqualFold(r.defaultNC, s.dm.nc):
		return fmt.Sprintf("move %s to the domain whose controller it is, or correct dns_name", s.name)
	case r.readOnly:
		return "name a writable domain controller, or set allow_rodc"
	default:
		return "wait until the domain controller has replicated (repadmin /showrepl), or leave it out"
	}
}

func (p *prober) serviceRemedy(err error) string {
	var refused *serviceRefused
	name := p.dm.service.name
	switch {
	case !errors.As(err, &refused) && classOf(err) != classService:
		return "look at the domain controller's event log, then run check again"
	case refused == nil:
		return fmt.Sprintf("write the current password of %s to the password file", name)
	}
	switch refused.reason {
	case authn.LockedOut, authn.Disabled, authn.AccountExpired, authn.PasswordExpired, authn.MustChange:
		return fmt.Sprintf("unlock or enable %s and let its password never expire", name)
	default:
		return fmt.Sprintf("check the name %s and write its current password to the password file; it is not tried again until the file changes", name)
	}
}
