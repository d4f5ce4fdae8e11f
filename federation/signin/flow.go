package signin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/authn/session"
	"sallyport/federation"
	"sallyport/federation/signin/pages"
)

// Passwords is the one password pipeline. Verify is safe for concurrent use,
// wipes the password, and records the attempt's audit event itself.
type Passwords interface {
	Verify(ctx context.Context, a authn.Attempt, c authn.Credentials) authn.Result
}

// Accounts reads an account for a session, from the directory or a cache of at
// most 15 minutes. Errors carry a reason ([authn.ReasonOf]): UnknownUser when the
// object is gone.
type Accounts interface {
	// Account returns the account as it was at since or later: a reading from
	// before the sign-in would hold the password's old date and end the session.
	Account(ctx context.Context, domain string, id authn.GUID, since time.Time) (*authn.Account, error)
}

// Sealer seals what leaves the process and opens it again, on every instance.
// Open fails for whatever Seal did not make with the same additional data.
type Sealer interface {
	Seal(dst, plaintext, aad []byte) []byte
	Open(dst, sealed, aad []byte) ([]byte, error)
}

// Config holds what a Flow needs. All fields without a default are required.
type Config struct {
	Passwords Passwords
	Sessions  session.Store
	Accounts  Accounts
	// Responders make the answers, by protocol (wsfed, saml).
	Responders map[string]federation.Responder
	// Parties finds a relying party by its key, nil when it is not registered
	// (any more). Called for every request, so it may follow reloads.
	Parties func(key string) *federation.RelyingParty
	// CleanUp is the address that tells a party to end its session, empty for
	// none. Default: for wsfed the first reply address with wa=wsignoutcleanup1.0.
	CleanUp func(protocol string, rp *federation.RelyingParty) string
	// Tell visits the parties that have to be told of a sign-out one by one (SAML 2.0),
	// and ends in [Flow.Farewell]. Default: nobody has to.
	Tell func(w http.ResponseWriter, r *http.Request, out *federation.SignOut, parties []string, sub *federation.Subject) error
	// Resume goes on with visits that [Config.Tell] began and that a party has broken
	// off; false, with nothing written, when there are none. Default: there are none.
	Resume func(w http.ResponseWriter, r *http.Request) (bool, error)
	// Revoked reports whether a live session was ended with all others of its
	// account. Default: none is.
	Revoked func(ctx context.Context, s *session.Session) (bool, error)
	// Origin is the service's own public origin, scheme, host and port, for example
	// https://sts.contoso.test. A post from a browser must come from it.
	Origin string
	// Seal has the key of sign-in transactions (seal.PurposeTransaction).
	Seal  Sealer
	Audit audit.Recorder
	Pages *pages.Set
	// Home is the key of the party offered where no request names one. Default
	// microsoft365.
	Home string
	// PageLifetime is how long a sign-in page may be posted. Default 1 h.
	PageLifetime time.Duration
	// Logger takes what audit records do not. Default: discarded.
	Logger *slog.Logger
	// Registerer takes the metrics. Default: none.
	Registerer prometheus.Registerer
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Flow is the sign-in state machine. It is safe for concurrent use.
type Flow struct {
	cfg     Config
	pages   atomic.Pointer[pages.Set]
	origins *http.CrossOriginProtection
	metrics *metrics
}

// New returns a Flow.
func New(cfg Config) (*Flow, error) {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New("signin: "+what+" is missing"))
		}
	}
	need(cfg.Passwords != nil, "password pipeline")
	need(cfg.Sessions != nil, "session store")
	need(cfg.Accounts != nil, "account reader")
	need(cfg.Parties != nil, "registry of relying parties")
	need(cfg.Seal != nil, "transaction seal")
	need(cfg.Audit != nil, "audit recorder")
	need(cfg.Pages != nil, "page set")
	need(len(cfg.Responders) > 0, "responder")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.Home == "" {
		cfg.Home = "microsoft365"
	}
	if cfg.PageLifetime <= 0 {
		cfg.PageLifetime = time.Hour
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Revoked == nil {
		cfg.Revoked = func(context.Context, *session.Session) (bool, error) { return false, nil }
	}
	if cfg.CleanUp == nil {
		cfg.CleanUp = cleanUpAddress
	}
	origins := http.NewCrossOriginProtection()
	if cfg.Origin != "" {
		// Behind the edge the Host header has no port to compare with.
		if err := origins.AddTrustedOrigin(cfg.Origin); err != nil {
			return nil, fmt.Errorf("signin: origin: %w", err)
		}
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	f := &Flow{cfg: cfg, origins: origins, metrics: m}
	f.pages.Store(cfg.Pages)
	return f, nil
}

// SetPages replaces the pages, for settings that are read again.
func (f *Flow) SetPages(set *pages.Set) { f.pages.Store(set) }
