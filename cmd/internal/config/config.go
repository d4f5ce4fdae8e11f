package config

import (
	"net/netip"
	"time"
)

// Config is the settings file. The zero value is not usable; start from
// [Default], or read a file with [Load].
type Config struct {
	// Issuer is the service's own name in tokens and metadata (entityID), any
	// absolute URI. Default: http://HOST/adfs/services/trust with the host of
	// public_url, which is what AD FS uses. A farm that is replaced keeps its
	// value.
	Issuer string `yaml:"issuer"`
	// PublicURL is the address that browsers use, https and without a path, for
	// example https://sts.contoso.test. Every link, redirect and cookie is made
	// from it and never from a request. Required.
	PublicURL string `yaml:"public_url"`
	// Listen is the address of the public listener. Default ":8443".
	Listen string `yaml:"listen"`
	// TLS is the listener's own certificate, which is not the one that signs.
	TLS TLS `yaml:"tls"`
	// Proxy names the reverse proxies whose forwarding headers are believed.
	Proxy Proxy `yaml:"proxy"`
	// Networks names the organisation's own networks.
	Networks Networks `yaml:"networks"`
	// Microsoft365 is the built-in relying party.
	Microsoft365 Microsoft365 `yaml:"microsoft365"`
	// Directory is Active Directory, which decides about every password. Required.
	Directory Directory `yaml:"directory"`
	// Sessions says where sign-on sessions are kept. Required.
	Sessions Sessions `yaml:"sessions"`
	// Signing is the keys that sign tokens. Required.
	Signing Signing `yaml:"signing"`
	// Lockout keeps guessing below the directory's own lockout.
	Lockout Lockout `yaml:"lockout"`
	// RelyingParties are further parties, registered by hand.
	RelyingParties []RelyingParty `yaml:"relying_parties"`
	// WSTrust serves active clients, which have a user name and a password and no
	// browser: MEX and the two usernamemixed endpoints. It is off, inside (for clients
	// in networks.inside) or everywhere. Such a sign-in knows no second factor and no
	// page; MSAL by user name and password, older Office and scripts need it, and so
	// do Windows devices of federated domains. Default off.
	WSTrust string `yaml:"wstrust"`
	// WSTrustTellExpired tells active clients in networks.inside that their password,
	// which is right, has expired or must be changed. Everybody else always gets the
	// one text for all refusals. Default false.
	WSTrustTellExpired bool `yaml:"wstrust_tell_expired"`
	// SAML is what the SAML 2.0 parties among them share.
	SAML SAML `yaml:"saml"`
	// MetadataQuery finds further SAML 2.0 parties when they are needed. Default: off.
	MetadataQuery MetadataQuery `yaml:"metadata_query"`
	// PTA is the pass-through authentication agent, for managed domains.
	PTA PTA `yaml:"pta"`
	// SigninPage is the look and the words of the pages.
	SigninPage SigninPage `yaml:"signin_page"`
	// Audit says where the audit trail goes.
	Audit Audit `yaml:"audit"`
	// Ops is what operators see.
	Ops Ops `yaml:"ops"`

	// Path is the absolute path of the file, empty for settings made in code.
	Path string `yaml:"-"`

	dir string
	at  map[string]position
}

// TLS is the public listener's certificate. Exactly one of the three ways must
// be chosen.
type TLS struct {
	// CertificateFile is PEM: the certificate and its chain. It is read again
	// when it changes. Default: none.
	CertificateFile string `yaml:"certificate_file"`
	// KeyFile is its private key (PEM), not readable by others. Default: none.
	KeyFile string `yaml:"key_file"`
	// ACME gets the certificate from an authority such as Let's Encrypt, and renews it.
	ACME ACME `yaml:"acme"`
	// Generate makes an ECDSA P-256 certificate at each start, signed by nobody:
	// for a reverse proxy that does not verify, or for a first try. Default false.
	Generate bool `yaml:"generate"`
	// PlainHTTP switches TLS off: only on a loopback address, with a reverse
	// proxy on the same machine named in proxy.trusted. Default false.
	PlainHTTP bool `yaml:"plain_http"`
}

// Proxy is the reverse proxies in front.
type Proxy struct {
	// Trusted are the addresses (CIDR) of the proxies. Only from them are
	// X-Forwarded-For, -Proto and -Host believed; from anybody else they are
	// removed. Default: nobody.
	Trusted []netip.Prefix `yaml:"trusted"`
	// Header is the one header in which they report the client: x-forwarded-for,
	// or forwarded (RFC 7239). The other one is never read. Default x-forwarded-for.
	Header string `yaml:"header"`
	// OnBehalf are services (CIDR) that sign people in in their name by WS-Trust,
	// which is Exchange Online: the person's address in their X-MS-Forwarded-Client-IP
	// counts for the lockout and the audit trail, which also has their
	// X-MS-Client-Application. It makes nobody inside. Default:
	// nobody, and their own address counts.
	OnBehalf []netip.Prefix `yaml:"on_behalf"`
	// ProxyProtocol expects a PROXY protocol v2 frame at the start of every
	// connection from a trusted proxy, before TLS. Default false.
	ProxyProtocol bool `yaml:"proxy_protocol"`
}

// Networks is the organisation's own networks.
type Networks struct {
	// Inside are the corporate networks (CIDR) as the gateway sees them. A person
	// there gets insidecorporatenetwork = true in the token, on which Conditional
	// Access may build. Default: nobody is inside.
	Inside []netip.Prefix `yaml:"inside"`
}

// Microsoft365 is the built-in party urn:federation:MicrosoftOnline.
type Microsoft365 struct {
	// Domains are the federated domains with settings of their own at Microsoft;
	// sub-domains that inherit are not listed. Empty: the party is off.
	Domains []FederatedDomain `yaml:"domains"`
	// Cloud is global, usgov or china. Default global.
	Cloud string `yaml:"cloud"`
	// ReplyURLs replaces the built-in list of Microsoft's addresses that a token
	// may be posted to. Default: what belongs to the cloud.
	ReplyURLs []string `yaml:"reply_urls"`
	// TokenLifetime is how long a token holds, 5m to 60m. Default 60m.
	TokenLifetime time.Duration `yaml:"token_lifetime"`
	// FrameOrigins are the origins whose pages may show the page that posts a token in
	// a frame, see the same key of relying_parties. Default: none.
	FrameOrigins []string `yaml:"frame_origins"`
	// Graph is how the domains' settings at Microsoft are read and written.
	Graph Graph `yaml:"graph"`
	// SAML is what Entra's messages are held to in domains with protocol: saml.
	// Default: signatures on them are not expected; a signed request for a sign-in is
	// refused, since nothing can verify it.
	SAML EntraSAML `yaml:"saml"`
}

// FederatedDomain is one domain that Microsoft Entra ID federates.
type FederatedDomain struct {
	// Name is the domain as Entra knows it. Required.
	Name string `yaml:"name"`
	// Issuer is the issuerUri that Entra has for it, compared as a string.
	// Default: with one domain the service's issuer, with several
	// http://NAME/adfs/services/trust/.
	Issuer string `yaml:"issuer"`
	// Anchor is what Entra Connect uses as the ImmutableID: consistency-guid
	// (mS-DS-ConsistencyGuid when set, else objectGUID) or object-guid. Default
	// consistency-guid.
	Anchor string `yaml:"anchor"`
	// Protocol is wsfed, or saml for a domain whose preferredAuthenticationProtocol
	// at Microsoft is saml; WS-Federation stays served beside it. Default wsfed.
	Protocol string `yaml:"protocol"`
}

// Sessions is the sign-on sessions.
type Sessions struct {
	// Store is redis, or memory, which declares that there is one instance only.
	// Required, no default.
	Store string `yaml:"store"`
	// Redis is used with store: redis.
	Redis Redis `yaml:"redis"`
	// SecretFile holds 32 random bytes as hex or base64, the same on every
	// instance (openssl rand -hex 32). It seals sessions and sign-in pages.
	// Required with redis; with memory a new one is made at each start.
	SecretFile string `yaml:"secret_file"`
	// SecretEnv names an environment variable that holds it instead.
	SecretEnv string `yaml:"secret_env"`
	// PreviousSecretFile still opens what was sealed before a change. Default: none.
	PreviousSecretFile string `yaml:"previous_secret_file"`
	// Idle ends a session that was not used for so long. Default 8h.
	Idle time.Duration `yaml:"idle"`
	// Absolute ends a session of that age, used or not. Default 8h.
	Absolute time.Duration `yaml:"absolute"`
	// KeepSignedIn is how long a session lasts when the person chose to stay
	// signed in. Default 24h.
	KeepSignedIn time.Duration `yaml:"keep_signed_in"`
}

// Redis is the shared store.
type Redis struct {
	// URL is rediss://HOST:PORT[/DB]; redis:// without TLS only on loopback.
	// Required with store: redis. It holds no user and no password.
	URL string `yaml:"url"`
	// User is the ACL user of the service's own. Required with store: redis.
	User string `yaml:"user"`
	// PasswordFile holds its password. One of the two is required.
	PasswordFile string `yaml:"password_file"`
	// PasswordEnv names an environment variable that holds it instead.
	PasswordEnv string `yaml:"password_env"`
	// CAFile holds the roots (PEM) for its certificate. Default: the system's.
	CAFile string `yaml:"ca_file"`
	// ServerName is the name expected in its certificate. Default: HOST.
	ServerName string `yaml:"server_name"`
	// KeyPrefix begins every key; the ACL pattern must allow it. Default
	// "sallyport:".
	KeyPrefix string `yaml:"key_prefix"`
}

// Lockout refuses guessing before the directory would lock the account.
type Lockout struct {
	// Threshold is how many wrong passwords an account may have in Window.
	// Default 0: taken from the domain's policy, half of it and at least 2 below.
	Threshold int `yaml:"threshold"`
	// Window is how long a wrong password counts. Default 0: the domain's
	// observation window, 30m where there is none.
	Window time.Duration `yaml:"window"`
	// LowestADThreshold is the lowest lockout threshold of any password settings
	// object (PSO) in the forest, which the service account may not be able to
	// read. Default 0: there is none.
	LowestADThreshold int `yaml:"lowest_ad_threshold"`
	// Instances is how many instances of the service run. Each counts for itself
	// and takes its share of the threshold, so that together they stay below the
	// directory's. Default 0: one.
	Instances int `yaml:"instances"`
	// Unsafe accepts a threshold that is not below the directory's, so that
	// strangers can lock accounts from outside. Default false.
	Unsafe bool `yaml:"unsafe"`
}

// SigninPage is the look and the words of the pages. HTML, CSS, script and fonts
// of one's own are not offered.
type SigninPage struct {
	// Organisation is the name on the pages, 1 to 60 characters. Default: the host
	// of public_url.
	Organisation string `yaml:"organisation"`
	// Language is auto, or one of en, nl, de, fr and es for people who did not
	// choose another one on the page. With auto the browser decides. Default auto.
	Language string `yaml:"language"`
	// LogoFile is PNG, WebP or SVG, at most 16 KB. Default: none.
	LogoFile string `yaml:"logo_file"`
	// LogoDarkFile replaces it in dark mode. Default: LogoFile.
	LogoDarkFile string `yaml:"logo_dark_file"`
	// Accent is the colour of the button, #rrggbb. White or black text on it needs
	// a contrast of 4.5, it on the card 3. Default #0d5b6d.
	Accent string `yaml:"accent"`
	// AccentDark is the same in dark mode. Default #7ccbdb.
	AccentDark string `yaml:"accent_dark"`
	// HelpURL is a link to help: https:, mailto: or tel:, as the other links.
	// Default: none.
	HelpURL string `yaml:"help_url"`
	// PrivacyURL is the link to the privacy statement. Default: none.
	PrivacyURL string `yaml:"privacy_url"`
	// ForgotPasswordURL is where a password is reset. Default: none.
	ForgotPasswordURL string `yaml:"forgot_password_url"`
	// ChangePasswordURL is where a password is changed: shown to people whose
	// password has expired, and told to Microsoft 365 with the expiry claims.
	// Default: none.
	ChangePasswordURL string `yaml:"change_password_url"`
	// HelpText is plain text under the form for each language, at most 200
	// characters; English stands in for a language that is missing. Default: none.
	HelpText map[string]string `yaml:"help_text"`
	// Banner is plain text above all pages, at most 120 characters. Default: none.
	Banner string `yaml:"banner"`
	// KeepSignedIn is off (the box is empty), on (ticked) or hidden. Default off.
	KeepSignedIn string `yaml:"keep_signed_in"`
}

// Audit is the audit trail.
type Audit struct {
	// File is where records go, one JSON object a line with a hash chain.
	// Default: none.
	File string `yaml:"file"`
	// Stdout writes records to standard output as well. Default false; true when
	// there is no file.
	Stdout bool `yaml:"stdout"`
	// Required lets no token leave unless a sink has accepted its record: a full
	// disk then stops sign-in. Default false: records wait in bounded memory, and
	// an alarm says so.
	Required bool `yaml:"required"`
	// NoSync leaves out the fsync before a token leaves: a power failure may then
	// lose the last records. Default false.
	NoSync bool `yaml:"no_sync"`
	// RotateSize starts a new file at that size. Default 100MB.
	RotateSize Size `yaml:"rotate_size"`
	// RotateDaily starts a new file each day (UTC). Default true.
	RotateDaily bool `yaml:"rotate_daily"`
	// Buffer is how many records wait in memory while no sink takes them.
	// Default 10000.
	Buffer int `yaml:"buffer"`
	// ChainKeyFile holds 32 random bytes as hex or base64. With it the chain can
	// only be continued by who has the key. Default: a chain without key.
	ChainKeyFile string `yaml:"chain_key_file"`
}

// Ops is the operators' side.
type Ops struct {
	// Listen has /healthz, /readyz and /metrics and changes nothing. Default
	// 127.0.0.1:9464.
	Listen string `yaml:"listen"`
	// Control is the path of a unix socket (0600) for reload and profiles.
	// Default: none.
	Control string `yaml:"control"`
	// Pprof offers profiles on the control socket. Default false.
	Pprof bool `yaml:"pprof"`
	// LogLevel is debug, info, warn or error. Default info.
	LogLevel string `yaml:"log_level"`
	// DrainTime is how long the instance stays up as not ready before it stops
	// taking connections, so that a balancer can notice. Default 5s.
	DrainTime time.Duration `yaml:"drain_time"`
}

// Default returns the settings that hold where the file says nothing.
func Default() *Config {
	return &Config{
		Listen:       ":8443",
		WSTrust:      "off",
		SAML:         SAML{ECP: "off"},
		Proxy:        Proxy{Header: "x-forwarded-for"},
		Microsoft365: Microsoft365{Cloud: "global", TokenLifetime: time.Hour, Graph: Graph{Watch: true, WatchInterval: time.Hour}},
		Directory: Directory{Limits: Limits{
			BindMax: 16, BindMin: 2, ServiceMax: 4, Idle: 240 * time.Second, Age: time.Hour,
			Dial: 2 * time.Second, Bind: 3 * time.Second, Search: 3 * time.Second, Wait: time.Second, Attempt: 5 * time.Second,
		}},
		Sessions:   Sessions{Idle: 8 * time.Hour, Absolute: 8 * time.Hour, KeepSignedIn: 24 * time.Hour, Redis: Redis{KeyPrefix: "sallyport:"}},
		Signing:    defaultSigning(),
		SigninPage: SigninPage{Language: "auto", Accent: "#0d5b6d", AccentDark: "#7ccbdb", KeepSignedIn: "off"},
		Audit:      Audit{RotateSize: 100_000_000, RotateDaily: true, Buffer: 10000},
		Ops:        Ops{Listen: "127.0.0.1:9464", LogLevel: "info", DrainTime: 5 * time.Second},
	}
}
