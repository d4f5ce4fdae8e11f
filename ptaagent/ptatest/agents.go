package ptatest

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// agent is one registered agent.
type agent struct {
	id      string
	machine string
	certs   []*credential // newest last
	beat    time.Time     // last bootstrap
	beats   int
	addr    string
	revoked bool
}

// credential is one certificate that may be used.
type credential struct {
	cert  *x509.Certificate
	print string
	key   *rsa.PublicKey
	until time.Time // end of the grace period, or zero
}

// Agent is one agent as the inventory shows it.
type Agent struct {
	ID, Machine string
	// Active says that its heartbeat is not late.
	Active bool
	// Heartbeats counts its bootstraps; Last is the time of the last one.
	Heartbeats int
	Last       time.Time
	// Address is where the last one came from.
	Address string
	// Thumbprints are those of its usable certificates.
	Thumbprints []string
}

// Agents is the inventory, ordered by id.
func (c *Cloud) Agents() []Agent {
	c.mu.Lock()
	defer c.mu.Unlock()
	late := c.policy.InactiveAfter
	if late == 0 {
		late = c.settings.Heartbeat * 5 / 2
	}
	var list []Agent
	for _, a := range c.agents {
		if a.revoked {
			continue
		}
		v := Agent{ID: a.id, Machine: a.machine, Heartbeats: a.beats, Last: a.beat, Address: a.addr, Active: a.beats > 0 && c.now().Sub(a.beat) < late}
		for _, cr := range c.usable(a) {
			v.Thumbprints = append(v.Thumbprints, cr.print)
		}
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b Agent) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// usable are the certificates that are valid now; the caller holds mu.
func (c *Cloud) usable(a *agent) []*credential {
	var list []*credential
	for _, cr := range a.certs {
		if c.now().Before(cr.cert.NotAfter) && (cr.until.IsZero() || c.now().Before(cr.until)) {
			list = append(list, cr)
		}
	}
	return list
}

// Revoke strikes an agent off: its certificates are worth nothing from now on.
// It reports whether the agent was there.
func (c *Cloud) Revoke(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.agents[id]
	if a == nil {
		return false
	}
	a.revoked = true
	return true
}

// AddStranger puts an agent into the inventory that nobody here started, as a
// thief of an administrator's session would, and gives its id.
func (c *Cloud) AddStranger(machine string) (string, error) {
	key, err := connectorKey() // nobody ever uses it as a stranger
	if err != nil {
		return "", err
	}
	cr, err := c.enrol(newGUID(), machine, &key.PublicKey, "")
	if err != nil {
		return "", err
	}
	_, id, err := c.pki.verify(cr.cert)
	return id, err
}

// enrol issues a certificate and keeps it, for a new agent or a known one.
func (c *Cloud) enrol(id, machine string, key *rsa.PublicKey, flaw Issue) (*credential, error) {
	cert, err := c.pki.issue(subject{tenant: c.Tenant, agent: id, key: key, notAfter: c.now().Add(c.policy.Lifetime), flaw: flaw})
	if err != nil {
		return nil, err
	}
	cr := &credential{cert: cert, print: thumbprint(cert), key: key}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.agents[id]
	if a == nil {
		a = &agent{id: id, machine: machine}
		c.agents[id] = a
	}
	for _, old := range a.certs {
		if old.until.IsZero() {
			old.until = c.now().Add(c.policy.Grace)
		}
	}
	a.certs = append(c.usable(a), cr)
	return cr, nil
}

// client judges a client certificate: it must be a usable one of an agent that
// is not struck off.
func (c *Cloud) client(part string, certs []*x509.Certificate) (id string, err error) {
	if len(certs) == 0 {
		return "", c.diary.refuse(part, "no client certificate")
	}
	tenant, id, err := c.pki.verify(certs[0])
	if err != nil {
		return "", c.diary.refuse(part, "client certificate: %v", err)
	}
	if tenant != c.Tenant {
		return "", c.diary.refuse(part, "client certificate of tenant %s", tenant)
	}
	c.mu.Lock()
	a := c.agents[id]
	ok := a != nil && !a.revoked && slices.ContainsFunc(c.usable(a), func(cr *credential) bool { return cr.cert.Equal(certs[0]) })
	c.mu.Unlock()
	if !ok {
		return "", c.diary.refuse(part, "client certificate of agent %s is unknown, replaced or revoked", id)
	}
	return id, nil
}

// Records are what happened, oldest first; at least the last 8192.
func (c *Cloud) Records() []Record {
	c.diary.mu.Lock()
	defer c.diary.mu.Unlock()
	return slices.Clone(c.diary.records)
}

// Refusals are the broken rules, oldest first, at most 8192. A test of an agent
// that behaves ends by asserting that there are none.
func (c *Cloud) Refusals() []Refusal {
	c.diary.mu.Lock()
	defer c.diary.mu.Unlock()
	return slices.Clone(c.diary.refusals)
}

// Strays are the addresses outside the cloud that somebody tried to reach
// through [Cloud.DialContext] or the proxy.
func (c *Cloud) Strays() []string {
	c.diary.mu.Lock()
	defer c.diary.mu.Unlock()
	return slices.Clone(c.diary.strays)
}

// Wait returns when ok says so; ok is asked at every change. Errors: the
// context's, with the counters in the text.
func (c *Cloud) Wait(ctx context.Context, ok func(Stats) bool) error {
	for {
		c.diary.mu.Lock()
		changed := c.diary.changed
		c.diary.mu.Unlock()
		s := c.Stats()
		if ok(s) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: %+v", ctx.Err(), s)
		case <-c.ctx.Done():
			return ErrOver
		}
	}
}

// WaitListening returns when at least n links wait for notifications.
func (c *Cloud) WaitListening(ctx context.Context, n int) error {
	return c.Wait(ctx, func(s Stats) bool { return s.Links >= n })
}
