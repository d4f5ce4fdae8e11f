package ptaagent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"sallyport/ptaagent/internal/enroll"
)

// renewLead is how long before its end a certificate is renewed at least.
const renewLead = 30 * 24 * time.Hour

// renewals renews the certificate when it is due, until ctx ends.
func (a *Agent) renewals(ctx context.Context) {
	wait := time.Second
	for {
		sleep(ctx, wait)
		if ctx.Err() != nil {
			return
		}
		plan := a.plan.Load()
		if plan.RenewEndpoint == "" { // no bootstrap yet
			wait = time.Second
			continue
		}
		wait = plan.RenewCheck*9/10 + rand.N(plan.RenewCheck/10+1)
		if err := a.cfg.Identity.tidy(a.cfg.Now()); err != nil {
			a.cfg.Logger.Warn("pta: what is left of old certificates was not removed", "error", err)
		}
		if !a.due(plan) {
			continue
		}
		if err := a.renew(ctx, plan); err != nil {
			wait = min(wait, 15*time.Minute+rand.N(15*time.Minute))
			a.note(func(s *Status) { s.RenewError = err.Error() })
			a.cfg.Logger.Error("pta: the certificate was not renewed; the one in force stays", "not_after", a.cfg.Identity.NotAfter(), "error", err)
			continue
		}
		a.note(func(s *Status) { s.RenewError = "" })
		a.cfg.Logger.Info("pta: certificate renewed", "thumbprint", a.cfg.Identity.Thumbprint(), "not_after", a.cfg.Identity.NotAfter())
	}
}

// due reports whether the lead time has begun. A certificate that lives shorter than
// twice the lead is renewed in the last third of its life.
func (a *Agent) due(plan *enroll.Plan) bool {
	cert := a.cfg.Identity.inForce().cert
	lead := max(plan.RenewLead, renewLead)
	if life := cert.NotAfter.Sub(cert.NotBefore); lead > life/2 {
		lead = life / 3
	}
	return !a.cfg.Now().Before(cert.NotAfter.Add(-lead))
}

// pendingTime is how long a certificate that was issued, and is not accepted yet, is
// tried before another one is asked for.
const pendingTime = 24 * time.Hour

// renew puts a certificate for a new key into force, in steps that each are on disk
// before the next begins: (1) the cloud issues it, (2) it is stored with its key and
// decrypts from then on, (3) a bootstrap that presents it works, (4) it is in force.
// Whoever dies between two steps goes on with the stored certificate, or asks again
// with the one in force, which decrypts and is accepted until it expires.
func (a *Agent) renew(ctx context.Context, plan *enroll.Plan) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	id := a.cfg.Identity
	next := id.pending()
	if next == nil || a.cfg.Now().Sub(next.cert.NotBefore) > pendingTime {
		var err error
		if next, err = a.issue(ctx, plan); err != nil {
			return err
		}
		if err := id.add(next); err != nil {
			return err
		}
	}
	client := a.cfg.Network.client(func() *credential { return next })
	defer client.CloseIdleConnections()
	if _, _, err := a.bootstrap(ctx, client, enroll.State{}); err != nil {
		return fmt.Errorf("the new certificate does not work yet: %w", err)
	}
	if err := id.promote(next); err != nil {
		return err
	}
	a.mutual.CloseIdleConnections()
	return nil
}

// issue gets a certificate for a new key.
func (a *Agent) issue(ctx context.Context, plan *enroll.Plan) (c *credential, err error) {
	if err := a.cfg.Cloud.renewal(plan.RenewEndpoint); err != nil {
		return nil, err
	}
	id := a.cfg.Identity
	key, ref, err := newKey(ctx, id.keys)
	if err != nil {
		return nil, err
	}
	defer func() { err = dropKey(ctx, id.keys, ref, err) }()
	cert, err := enroll.Renew(ctx, a.mutual, plan.RenewEndpoint, a.cfg.Machine, key)
	if err != nil {
		host, _, _ := strings.Cut(strings.TrimPrefix(plan.RenewEndpoint, "https://"), "/")
		return nil, fmt.Errorf("renewal: %w", explainRefusal(host, id.NotAfter(), a.cfg.Now(), err))
	}
	agent, err := check(key, cert, id.Tenant(), a.cfg.Now())
	if err != nil {
		return nil, fmt.Errorf("renewal: %w", err)
	}
	if agent != id.Agent() {
		return nil, fmt.Errorf("renewal: %w: it is for agent %s", enroll.ErrCertificate, agent)
	}
	return newCredential(key, ref, cert), nil
}
