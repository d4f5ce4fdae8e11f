package ptaagent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sallyport/authn"
	"sallyport/ptaagent/internal/enroll"
)

// Registration is a new agent to register.
type Registration struct {
	// Tenant is the tenant's GUID.
	Tenant string
	// Token is an administrator's access token for the registration service.
	Token string
	// Dir is where key and certificate are stored; it must hold no agent yet.
	Dir string
	// Keys makes and keeps the key instead. Nil: it is in Dir.
	Keys    KeyStore
	Cloud   Cloud // zero: [Global]
	Network Network
	Machine Machine
	Now     func() time.Time
}

// complete fills in what has a default.
func (r *Registration) complete() {
	if r.Cloud == (Cloud{}) {
		r.Cloud = Global()
	}
	if r.Machine == (Machine{}) {
		r.Machine = enroll.ThisMachine()
	}
	if r.Now == nil {
		r.Now = time.Now
	}
	r.Tenant = strings.ToLower(r.Tenant)
}

// checkTenant refuses what is no GUID: the names of hosts are made of it.
func checkTenant(tenant string) error {
	if _, err := authn.ParseGUID(tenant); err != nil || len(tenant) != 36 {
		return fmt.Errorf("tenant %.80q is no GUID: the portal shows it as tenant id", tenant)
	}
	return nil
}

// Check says whether the registration can be tried, before there is a token: the
// tenant is a GUID, and the directory can be written and holds no agent.
func (r Registration) Check() error {
	r.complete()
	if err := checkTenant(r.Tenant); err != nil {
		return err
	}
	if _, err := LoadIdentity(r.Dir, r.Keys, r.Now()); err == nil {
		return fmt.Errorf("%s holds an agent already: stop it and empty the directory (Microsoft drops an agent ten days after it was last heard of), or name another directory", r.Dir)
	} else if !errors.Is(err, ErrNoIdentity) {
		return err
	}
	if err := ownedByAnother(r.Dir); err != nil {
		return err
	}
	return writePrivate(r.Dir, "README", []byte("Key and certificate of a pass-through authentication agent.\n"))
}

// Register makes a key, registers an agent and stores it. An agent that is already
// in the directory is never replaced.
func Register(ctx context.Context, r Registration) (id *Identity, err error) {
	r.complete()
	if err := r.Check(); err != nil {
		return nil, err
	}
	if err := checkToken(r.Token, r.Tenant, r.Now()); err != nil {
		return nil, err
	}
	key, ref, err := newKey(ctx, r.Keys)
	if err != nil {
		return nil, err
	}
	defer func() { err = dropKey(ctx, r.Keys, ref, err) }()
	url := r.Cloud.registration(r.Tenant)
	cert, err := enroll.Register(ctx, r.Network.client(nil), enroll.Registration{URL: url, Tenant: r.Tenant, Token: r.Token, Machine: r.Machine}, key)
	if err != nil {
		return nil, fmt.Errorf("registration: %w", Explain(strings.TrimPrefix(url, "https://"), err))
	}
	agent, err := check(key, cert, r.Tenant, r.Now())
	if err != nil {
		return nil, fmt.Errorf("registration: %w", err)
	}
	id, err = newIdentity(r.Dir, r.Keys, r.Tenant, agent, newCredential(key, ref, cert))
	if err != nil {
		return nil, fmt.Errorf("agent %s was registered, but its key cannot be stored, so it is lost: mend the cause and register again (Microsoft drops the lost one after ten days): %w", agent, err)
	}
	return id, nil
}
