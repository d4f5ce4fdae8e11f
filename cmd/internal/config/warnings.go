package config

import (
	"fmt"
	"strings"
	"time"
)

// Warnings returns what is allowed and yet often a mistake, for `check`.
func (c *Config) Warnings() []Problem {
	p := &problems{at: c.at}
	for i, rp := range c.RelyingParties {
		if rp.TokenLifetime <= 10*time.Minute {
			// SharePoint takes a token as expired when less than its
			// LogonTokenCacheExpirationWindow of 10 minutes is left (case C09).
			p.add(at("relying_parties", i)+".token_lifetime", "%s: SharePoint sends people round in a loop when a token holds 10 minutes or less", short(rp.TokenLifetime))
		}
	}
	for i, rp := range c.RelyingParties {
		if len(c.Directory.Domains) > 1 && perDomain(rp.NameID.Attribute) {
			p.add(at("relying_parties", i)+".name_id.attribute", "%s is one person's alone within one domain, and %d are configured: windowsAccountName or userPrincipalName tells their people apart", rp.NameID.Attribute, len(c.Directory.Domains))
		}
	}
	if c.Sessions.Store == "redis" && c.Lockout.Instances == 0 {
		p.add("lockout.instances", "is missing: each instance counts wrong passwords for itself, and two that count as if they were alone can lock accounts in the directory; write how many run")
	}
	for i := range c.RelyingParties {
		c.RelyingParties[i].warnings(p, at("relying_parties", i))
		c.RelyingParties[i].metadataWarnings(p, at("relying_parties", i))
	}
	if c.Lockout.Unsafe {
		p.add("lockout.unsafe", "strangers can lock accounts in the directory from outside")
	}
	if c.Audit.NoSync {
		p.add("audit.no_sync", "a power failure can lose records of tokens that were issued")
	}
	if c.Audit.File == "" && c.Audit.Required {
		p.add("audit.required", "standard output is the only sink, and it accepts what nobody may read")
	}
	if !loopback(c.Ops.Listen) {
		p.add("ops.listen", "%s can be reached from other machines: let a firewall keep all but the monitoring out", c.Ops.Listen)
	}
	if c.Sessions.KeepSignedIn > 7*24*time.Hour {
		p.add("sessions.keep_signed_in", "%s is long: a stolen browser profile stays signed in", short(c.Sessions.KeepSignedIn))
	}
	for i, n := range c.Networks.Inside {
		if n.Addr().Is4() && n.Bits() < 8 {
			p.add(at("networks.inside", i), "%s", fmt.Sprintf("%s is a large part of the internet; people there count as inside", n))
		}
	}
	return p.list
}

// perDomain reports whether accounts of two domains may well have the same value.
func perDomain(attribute string) bool {
	switch strings.ToLower(attribute) {
	case "samaccountname", "mailnickname", "uid", "uidnumber":
		return true
	}
	return false
}
