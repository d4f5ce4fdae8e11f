package app

import (
	"slices"
	"strings"
	"time"

	"sallyport/cmd/internal/config"
	"sallyport/federation/claims"
)

// groupInterval is how often the groups that claim rules name are looked up
// again.
const groupInterval = 10 * time.Minute

// needs is what the rules of all parties read of an account.
type needs struct {
	attributes []string // as Active Directory spells them, in order
	groups     bool
}

// needsOf collects the needs of the settings.
func needsOf(cfg *config.Config) needs {
	var n needs
	for _, rp := range cfg.Parties() {
		rules := cfg.Rules(rp)
		attributes, groups := rules.Needs()
		n.attributes = append(n.attributes, attributes...)
		if rp.Protocol == "saml" {
			n.attributes = append(n.attributes, "mail") // a request may ask for it as the name identifier
		}
		n.groups = n.groups || groups
	}
	slices.Sort(n.attributes)
	n.attributes = slices.Compact(n.attributes)
	return n
}

// within reports whether the directory, which was started to read others, reads
// all that n needs.
func (n needs) within(others needs) bool {
	for _, a := range n.attributes {
		if !slices.Contains(others.attributes, a) {
			return false
		}
	}
	return others.groups || !n.groups
}

// holdParties leaves the relying parties as they are when their new rules read
// more of an account than the running directory does: a rule whose attribute is
// never read would be a claim that is silently absent. It names what waits.
func (a *App) holdParties(cfg *config.Config) []string {
	if needsOf(cfg).within(needsOf(a.cfg)) {
		return nil
	}
	l := a.live.Load()
	cfg.RelyingParties, cfg.MetadataQuery = l.relying, l.settings.MetadataQuery
	return []string{"relying_parties and metadata_query (their rules read attributes or groups that were not read before)"}
}

// partyRules are the rules of all further parties by key.
func partyRules(cfg *config.Config) map[string]claims.Rules {
	rules := make(map[string]claims.Rules, len(cfg.RelyingParties))
	for _, rp := range cfg.Parties() {
		rules[rp.Key] = cfg.Rules(rp)
	}
	return rules
}

// NamedGroups are the groups that the settings name by name, each once, with one
// of the places.
func NamedGroups(cfg *config.Config) []claims.NamedGroup {
	seen := map[string]bool{}
	var list []claims.NamedGroup
	for _, rp := range cfg.Parties() {
		rules := cfg.WrittenRules(rp) // presets name no groups
		for _, g := range rules.NamedGroups() {
			if k := strings.ToLower(g.Value); !seen[k] {
				seen[k] = true
				list = append(list, claims.NamedGroup{Field: "party " + rp.Key + ", " + g.Field, Value: g.Value})
			}
		}
	}
	return list
}

// watchedGroups are the names alone.
func watchedGroups(cfg *config.Config) []string {
	var names []string
	for _, g := range NamedGroups(cfg) {
		names = append(names, g.Value)
	}
	return names
}
