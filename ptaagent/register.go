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
	Dir     string
	Cloud   Cloud // zero: [Global]
	Network Network
	Machine Machine
	Now     func() time.Time
}

// Register makes a key, registers an agent and stores it. An agent that is already
// in the directory is never replaced.
func Register(ctx context.Context, r Registration) (*Identity, error) {
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
	if _, err := authn.ParseGUID(r.Tenant); err != nil || len(r.Tenant) != 36 {
		return nil, fmt.Errorf("tenant %.80q is no GUID: the portal shows it as tenant id", r.Tenant)
	}
	if _, err := LoadIdentity(r.Dir, r.Now()); err == nil {
		return nil, fmt.Errorf("%s holds an agent already: remove it in the portal and here, or name another directory", r.Dir)
	} else if !errors.Is(err, ErrNoIdentity) {
		return nil, err
	}
	// The directory is tried before anything is created at Microsoft.
	if err := writePrivate(r.Dir, "README", []byte("Key and certificate of a pass-through authentication agent.\n")); err != nil {
		return nil, err
	}
	key, err := enroll.NewKey()
	if err != nil {
		return nil, err
	}
	url := r.Cloud.registration(r.Tenant)
	cert, err := enroll.Register(ctx, r.Network.client(nil), enroll.Registration{URL: url, Tenant: r.Tenant, Token: r.Token, Machine: r.Machine}, key)
	if err != nil {
		return nil, fmt.Errorf("registration: %w", Explain(strings.TrimPrefix(url, "https://"), err))
	}
	agent, err := check(key, cert, r.Tenant, r.Now())
	if err != nil {
		return nil, fmt.Errorf("registration: %w", err)
	}
	return newIdentity(r.Dir, r.Tenant, agent, newCredential(key, cert))
}
