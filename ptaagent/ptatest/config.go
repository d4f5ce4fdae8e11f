package ptatest

import (
	"time"
)

// Config says how to start. The zero value is a tenant with two namespaces and
// the cloud's own periods.
type Config struct {
	// Tenant is the tenant's GUID, lower case. Empty: a random one.
	Tenant string
	// NetBIOS is what requests carry as Domain. Empty: CORP.
	NetBIOS string
	// Namespaces is the number of relay namespaces, 1 to 4; each has a plain and
	// a reliable endpoint. Zero: 2.
	Namespaces int
	// ProxyUser and ProxyPassword, when set, are asked by the CONNECT proxy (Basic).
	ProxyUser, ProxyPassword string
	// Settings may change what bootstrap tells from the start. Nil: no change.
	Settings func(*Settings)
	// Policy answers what nothing public settles. Zero fields have defaults.
	Policy Policy
	// Now is the clock for certificates, tokens and records. Nil: time.Now.
	Now func() time.Time
}

// Settings are what a bootstrap answer carries and may be changed while the
// cloud runs ([Cloud.Reconfigure]).
type Settings struct {
	// Heartbeat is the bootstrap period, default 10 min.
	Heartbeat time.Duration
	// TrustCheck is the period of renewal checks, default 6 h.
	TrustCheck time.Duration
	// TrustLead is how long before expiry to renew, default 0 as of 2025.
	TrustLead time.Duration
	// AnswerBudget is the time to answer one request, default 15 s.
	AnswerBudget time.Duration
	// TokenTTL is the life of SAS tokens, default 1 h.
	TokenTTL time.Duration
	// ResultAttempts and ResultPause are the retry plan of the result, default 5, 200 ms.
	ResultAttempts int
	ResultPause    time.Duration
	// ConnectorState is Ok, UpdateRequired, InfoServiceMessage or
	// ErrorServiceMessage; ServiceMessage is the text for the admin.
	ConnectorState, ServiceMessage string
	// EndpointOverride replaces the bootstrap address. Empty: nil on the wire.
	EndpointOverride string
	// TrustRenewEndpoint is the renewal address; default the cloud's own.
	TrustRenewEndpoint string
	// ResponseSigning announces signed responses, which no agent can make.
	ResponseSigning bool
	// RetryStrategy adds PeriodicBootstrapRetryStrategy in the delivered form.
	RetryStrategy bool
	// Endpoints are the listener endpoints.
	Endpoints []Endpoint
}

// Endpoint is one relay path on which agents listen.
type Endpoint struct {
	// Namespace and Domain make the host name, such as his-eur1-weur1 and
	// servicebus.windows.net.
	Namespace, Domain string
	// Path is {tenant}_{group}, with _reliable for reliable sessions.
	Path string
	// Reliable says that sessions use WS-ReliableMessaging.
	Reliable bool
	// Unavailable endpoints are listed with IsAvailable false.
	Unavailable bool
	// Key is the text of the shared access key, KeyName its name.
	Key, KeyName string
}

// Name is the endpoint's key in the bootstrap answer.
func (e Endpoint) Name() string { return e.Namespace + "/" + e.Path }

// Host is the namespace's host name.
func (e Endpoint) Host() string { return e.Namespace + "." + e.Domain }

// Policy holds the answers to what the description calls unknown (U-n), and the
// stand-in's own timers. Zero fields have the default told at each.
type Policy struct {
	// Lifetime of issued certificates, default 168 days.
	Lifetime time.Duration
	// Grace is how long the old certificate stays good after a renewal, default 24 h.
	Grace time.Duration
	// KeepExpired leaves links standing when their SAS token expires (U-15); by
	// default they are cut.
	KeepExpired bool
	// IgnoreDrain lets the relay not answer a drain of credit; nothing public says
	// whether the real one does.
	IgnoreDrain bool
	// MaxSilence is how long a link may send nothing at all, default 70 s: agents
	// send an empty frame about every 30 s (7.2 row 16).
	MaxSilence time.Duration
	// KeepAlive is the period of the relay's own empty frames, default 30 s.
	KeepAlive time.Duration
	// PingEvery is the period of Ping on relayed connections, default 30 s.
	PingEvery time.Duration
	// AcceptWithin is how long a notified agent may take to accept and to open the
	// rendezvous, default 10 s; AckWithin how long to acknowledge a signal, default 5 s.
	AcceptWithin, AckWithin time.Duration
	// Loopback lets the token stub redirect to http://localhost and
	// http://127.0.0.1 besides the documented address (U-1).
	Loopback bool
	// DeviceCode switches the device code grant of the token stub on (U-1).
	DeviceCode bool
	// Fresh makes every sign-in open a relayed connection of its own; by default
	// a connection is used again.
	Fresh bool
	// Patient lets a sign-in wait, within its budget, until an agent listens; by
	// default it fails at once when none does (U-23).
	Patient bool
	// InactiveAfter is when an agent without heartbeat is shown inactive (U-25),
	// default two and a half heartbeats.
	InactiveAfter time.Duration
}

func (p *Policy) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&p.Lifetime, 168*24*time.Hour)
	set(&p.Grace, 24*time.Hour)
	set(&p.MaxSilence, 70*time.Second)
	set(&p.KeepAlive, 30*time.Second)
	set(&p.PingEvery, 30*time.Second)
	set(&p.AcceptWithin, 10*time.Second)
	set(&p.AckWithin, 5*time.Second)
}
