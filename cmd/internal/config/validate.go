package config

import (
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// validate checks what the types cannot say. Each message tells what to write.
func (c *Config) validate(p *problems) {
	c.validateDirectory(p)
	c.validateLockout(p)
	c.validatePTA(p)
	c.validateAudit(p)
	c.validateOps(p)
	if c.AgentAlone() {
		return
	}
	c.validateFront(p)
	c.validateMicrosoft365(p)
	c.validateGraph(p)
	c.validateSessions(p)
	c.validateSigning(p)
	c.validateParties(p)
	c.validateQuery(p)
	c.validateActive(p)
	c.validatePage(p)
	if len(c.Microsoft365.Domains) == 0 && len(c.RelyingParties) == 0 && c.MetadataQuery.URL == "" {
		p.add("microsoft365.domains", "there is nobody to sign in for: name a federated domain here or a party under relying_parties")
	}
}

func (c *Config) validateFront(p *problems) {
	if msg := origin(c.PublicURL); c.PublicURL == "" && c.PTA.Enabled {
		p.add("public_url", "is missing: write the address that browsers use, for example https://sts.contoso.test; or keep only directory, lockout, pta, audit and ops, for an agent alone")
	} else if c.PublicURL == "" {
		p.add("public_url", "is missing: write the address that browsers use, for example https://sts.contoso.test")
	} else if msg != "" {
		p.add("public_url", "%s", msg)
	}
	if msg := identifier(c.Issuer); c.Issuer != "" && msg != "" {
		p.add("issuer", "%s", msg)
	}
	if msg := listenAddress(c.Listen); msg != "" {
		p.add("listen", "%s", msg)
	}
	c.validateTLS(p)
}

func (c *Config) validateTLS(p *problems) {
	t := c.TLS
	files := t.CertificateFile != "" || t.KeyFile != ""
	switch ways := count(files, t.ACME.On(), t.Generate, t.PlainHTTP); {
	case ways == 0:
		p.add("tls", "is missing: name certificate_file and key_file, or acme, or write generate: true, or plain_http: true behind a proxy on this machine")
	case ways > 1:
		p.add("tls", "choose one: certificate_file with key_file, or acme, or generate, or plain_http")
	case files && t.KeyFile == "":
		p.add("tls.key_file", "is missing beside certificate_file: name the certificate's private key")
	case files && t.CertificateFile == "":
		p.add("tls.certificate_file", "is missing beside key_file: name the certificate and its chain")
	}
	c.validateACME(p)
	choice(p, "proxy.header", c.Proxy.Header, []string{"x-forwarded-for", "forwarded"})
	if c.Proxy.ProxyProtocol && len(c.Proxy.Trusted) == 0 {
		p.add("proxy.proxy_protocol", "needs the proxies that send it: name them in proxy.trusted")
	}
	if !t.PlainHTTP {
		return
	}
	if !loopback(c.Listen) {
		p.add("tls.plain_http", "passwords would cross the network in the clear: listen on a loopback address (listen: 127.0.0.1:8080), or use TLS")
	}
	if len(c.Proxy.Trusted) == 0 {
		p.add("tls.plain_http", "needs the proxy that ends TLS: name it in proxy.trusted, for example 127.0.0.1/32")
	}
}

var clouds = []string{"global", "usgov", "china"}

func (c *Config) validateMicrosoft365(p *problems) {
	m := c.Microsoft365
	choice(p, "microsoft365.cloud", m.Cloud, clouds)
	lifetime(p, "microsoft365.token_lifetime", m.TokenLifetime)
	for i, u := range m.ReplyURLs {
		if msg := replyURL(u); msg != "" {
			p.add(at("microsoft365.reply_urls", i), "%s", msg)
		}
	}
	frameOrigins(p, "microsoft365.frame_origins", m.FrameOrigins)
	names, issuers := map[string]int{}, map[string]int{}
	for i, d := range m.Domains {
		key := at("microsoft365.domains", i)
		if msg := dnsName(d.Name); msg != "" {
			p.add(key+".name", "%s", msg)
		} else if first, ok := names[d.Name]; ok {
			p.add(key+".name", "%s is listed twice (first as number %d): keep one", d.Name, first+1)
		} else {
			names[d.Name] = i
		}
		if msg := identifier(d.Issuer); d.Issuer != "" && msg != "" {
			p.add(key+".issuer", "%s", msg)
		} else if first, ok := issuers[d.Issuer]; ok && d.Issuer != "" {
			p.add(key+".issuer", "Microsoft Entra ID wants another issuer for each domain, and number %d has the same: write the issuerUri of this domain", first+1)
		} else {
			issuers[d.Issuer] = i
		}
		choice(p, key+".anchor", d.Anchor, []string{"consistency-guid", "object-guid"})
		protocol(p, key+".protocol", d.Protocol)
	}
	m.SAML.validate(p, slices.ContainsFunc(m.Domains, func(d FederatedDomain) bool { return d.Protocol == "saml" }))
}

// frameOrigins checks origins that may frame an answer: as browsers write them, so
// that they mean in a policy what they say here.
func frameOrigins(p *problems, key string, list []string) {
	for i, o := range list {
		k := at(key, i)
		switch msg := origin(o); {
		case msg != "":
			p.add(k, "%s", msg)
		case strings.HasSuffix(o, ":443"):
			p.add(k, "%s names the port that https has anyway: write %s", quote(o), strings.TrimSuffix(o, ":443"))
		case slices.Contains(list[:i], o):
			p.add(k, "%s is listed twice: keep one", quote(o))
		}
	}
}

func protocol(p *problems, key, value string) {
	choice(p, key, value, []string{"wsfed", "saml"})
}

func lifetime(p *problems, key string, d time.Duration) {
	if d < 5*time.Minute || d > time.Hour {
		p.add(key, "%s is outside 5m to 60m", d)
	}
}

func (c *Config) validateSessions(p *problems) {
	s := c.Sessions
	switch s.Store {
	case "":
		p.add("sessions.store", "is missing and has no default: write redis, or memory if there is one instance only")
	case "redis":
		c.validateRedis(p)
		if s.SecretFile == "" && s.SecretEnv == "" {
			p.add("sessions.secret_file", "is missing: all instances share 32 random bytes; openssl rand -hex 32 makes them")
		}
	case "memory":
		if s.Redis != Default().Sessions.Redis {
			p.add("sessions.redis", "stands beside store: memory: take it out, or write store: redis")
		}
	default:
		choice(p, "sessions.store", s.Store, []string{"redis", "memory"})
	}
	oneRef(p, "sessions.secret", s.SecretFile, s.SecretEnv)
	if s.PreviousSecretFile != "" && s.SecretFile == "" && s.SecretEnv == "" {
		p.add("sessions.previous_secret_file", "stands without secret_file: name the current secret as well")
	}
	if s.Idle < time.Minute {
		p.add("sessions.idle", "%s is shorter than a minute: people would sign in again and again", s.Idle)
	}
	if s.Absolute < s.Idle {
		p.add("sessions.absolute", "%s is shorter than sessions.idle (%s): write at least that", s.Absolute, s.Idle)
	}
	if s.KeepSignedIn < s.Absolute {
		p.add("sessions.keep_signed_in", "%s is shorter than sessions.absolute (%s): write at least that", s.KeepSignedIn, s.Absolute)
	}
	if most := 90 * 24 * time.Hour; s.KeepSignedIn > most {
		p.add("sessions.keep_signed_in", "%s is longer than 90 days (2160h)", s.KeepSignedIn)
	}
}

func (c *Config) validateRedis(p *problems) {
	r := c.Sessions.Redis
	if r.URL == "" {
		p.add("sessions.redis.url", "is missing: write rediss://HOST:PORT")
	} else if msg := redisURL(r.URL); msg != "" {
		p.add("sessions.redis.url", "%s", msg)
	}
	oneRef(p, "sessions.redis.password", r.PasswordFile, r.PasswordEnv)
	if r.User == "" {
		p.add("sessions.redis.user", "is missing: make an ACL user of the service's own (see deploy/docs/redis.md); the default user may do everything")
	}
	if r.PasswordFile == "" && r.PasswordEnv == "" {
		p.add("sessions.redis.password_file", "is missing: name the file with the user's password")
	}
	if r.ServerName != "" {
		if _, err := netip.ParseAddr(r.ServerName); err != nil {
			if msg := dnsName(r.ServerName); msg != "" {
				p.add("sessions.redis.server_name", "%s", msg)
			}
		}
	}
	if strings.ContainsAny(r.KeyPrefix, "{}*?[]\\ ") {
		p.add("sessions.redis.key_prefix", "%s holds one of { } * ? [ ] \\ or a space, which mean something to Redis: write a plain word and a colon", quote(r.KeyPrefix))
	}
}

// oneRef refuses two references to one secret and a bad variable name.
func oneRef(p *problems, key, file, env string) {
	if file != "" && env != "" {
		p.add(key+"_env", "stands beside %s_file: keep one of the two", key[strings.LastIndexByte(key, '.')+1:])
	}
	if env != "" && !envName.MatchString(env) {
		// The value may be the secret itself: it is not repeated.
		p.add(key+"_env", "is not the name of an environment variable: write a name such as REDIS_PASSWORD, never the secret itself")
	}
}

var envName = regexp.MustCompile(`^[A-Z_][A-Z0-9_]{0,127}$`)

func (c *Config) validateLockout(p *problems) {
	l := c.Lockout
	if l.Threshold > 100 {
		p.add("lockout.threshold", "%d wrong passwords are no protection: write at most 100", l.Threshold)
	}
	if l.Window != 0 && (l.Window < time.Minute || l.Window > 7*24*time.Hour) {
		p.add("lockout.window", "%s is outside 1m to 168h", l.Window)
	}
	if l.Instances > 100 {
		p.add("lockout.instances", "%d is above 100: write how many run", l.Instances)
	}
	if l.Instances > 1 && c.Sessions.Store == "memory" {
		p.add("lockout.instances", "%d instances cannot share sessions in memory: write sessions.store: redis, or take the line out", l.Instances)
	}
	if l.LowestADThreshold > 999 {
		p.add("lockout.lowest_ad_threshold", "%d is above 999, the directory's own limit", l.LowestADThreshold)
	}
	if l.Threshold > 0 && l.LowestADThreshold > 0 && l.Threshold >= l.LowestADThreshold && !l.Unsafe {
		p.add("lockout.threshold", "%d is not below the directory's %d, so strangers could lock accounts from outside: write at most %d, or unsafe: true to accept that",
			l.Threshold, l.LowestADThreshold, max(1, l.LowestADThreshold-2))
	}
}

var partyKey = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

func (c *Config) validateParties(p *problems) {
	keys := map[string]bool{"microsoft365": true, FoundKey: true} // FoundKey has rules of its own
	seen := map[string]string{"urn:federation:MicrosoftOnline": "the built-in party microsoft365"}
	for i, rp := range c.RelyingParties {
		key := at("relying_parties", i)
		switch {
		case rp.Key == "":
			p.add(key+".key", "is missing: write a short name for metrics and logs, for example intranet")
		case !partyKey.MatchString(rp.Key):
			p.add(key+".key", "%s: write at most 40 of a-z, 0-9 and -", quote(rp.Key))
		case keys[rp.Key]:
			p.add(key+".key", "%s is taken: each party has its own", rp.Key)
		}
		keys[rp.Key] = true
		c.validateParty(p, key, rp)
		c.validateRules(p, key, &rp)
		for j, id := range rp.Identifiers {
			k := at(key+".identifiers", j)
			if msg := partyIdentifier(rp.Protocol, id); msg != "" {
				p.add(k, "%s", msg)
			}
			if rp.Protocol == "saml" && c.ownIssuer(id) {
				p.add(k, "%s is this service's own name: write the party's", quote(id))
			}
			if owner, ok := seen[id]; ok {
				p.add(k, "%s already names %s: an identifier leads to one party", quote(id), owner)
			}
			seen[id] = "the party " + rp.Key
		}
	}
}

func (c *Config) validateParty(p *problems, key string, rp RelyingParty) {
	least := 1
	if rp.UsesMetadata() {
		least = 0
	}
	plainText(p, key+".name", rp.Name, least, maxOrganisation)
	protocol(p, key+".protocol", rp.Protocol)
	choice(p, key+".token_type", rp.TokenType, []string{"saml11", "saml20"})
	lifetime(p, key+".token_lifetime", rp.TokenLifetime)
	if len(rp.Identifiers) == 0 {
		p.add(key+".identifiers", "is missing: list the exact wtrealm values, or the entityID")
	}
	switch none := reflect.DeepEqual(rp.SAML, SAMLParty{}); {
	case rp.Protocol == "saml":
		c.validateSAMLParty(p, key, rp)
	case !none:
		p.add(key+".saml", "stands beside protocol: wsfed: write protocol: saml, or take it out")
	}
	c.validateMetadata(p, key, &rp)
	if len(rp.ReplyURLs) == 0 && rp.Protocol != "saml" {
		p.add(key+".reply_urls", "is missing: list the addresses that a token may be posted to")
	}
	for j, u := range rp.ReplyURLs {
		if msg := replyURL(u); msg != "" {
			p.add(at(key+".reply_urls", j), "%s", msg)
		}
	}
	if msg := httpsURL(rp.StartURL); rp.StartURL != "" && msg != "" {
		p.add(key+".start_url", "%s", msg)
	}
	for j, o := range rp.FormActions {
		if msg := origin(o); msg != "" {
			p.add(at(key+".form_actions", j), "%s", msg)
		}
	}
	frameOrigins(p, key+".frame_origins", rp.FrameOrigins)
}
