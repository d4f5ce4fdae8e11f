package wsfed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/federation"
)

const (
	maxIdentifier    = 1024
	maxTokenLifetime = time.Hour
)

// Registry holds the relying parties. It is read-only after [NewRegistry] and
// safe for concurrent use.
type Registry struct {
	parties      []*federation.RelyingParty
	byKey        map[string]*federation.RelyingParty
	byIdentifier map[string]*federation.RelyingParty
	replies      map[*federation.RelyingParty]map[string]string // comparison key → registered spelling
	origins      []string
}

// NewRegistry checks the parties and indexes them. The error names every problem:
// a key or an identifier used twice, a reply address that is not https, a token
// lifetime beyond 60 minutes (zero means 60 minutes).
func NewRegistry(parties ...*federation.RelyingParty) (*Registry, error) {
	r := &Registry{
		byKey:        make(map[string]*federation.RelyingParty),
		byIdentifier: make(map[string]*federation.RelyingParty),
		replies:      make(map[*federation.RelyingParty]map[string]string),
	}
	var errs []error
	for _, p := range parties {
		rp := *p // the caller's value stays its own
		if rp.TokenLifetime == 0 {
			rp.TokenLifetime = maxTokenLifetime
		}
		if rp.TokenType == 0 {
			rp.TokenType = federation.SAML11
		}
		for _, err := range r.add(&rp) {
			errs = append(errs, fmt.Errorf("wsfed: relying party %q: %w", p.Key, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.Sort(r.origins)
	r.origins = slices.Compact(r.origins)
	return r, nil
}

func (r *Registry) add(rp *federation.RelyingParty) (errs []error) {
	if rp.Key == "" || strings.Trim(rp.Key, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		errs = append(errs, errors.New("the key must be of a-z, 0-9, - and _"))
	}
	if r.byKey[rp.Key] != nil {
		errs = append(errs, errors.New("the key is used twice"))
	}
	r.byKey[rp.Key] = rp
	if len(rp.Identifiers) == 0 {
		errs = append(errs, errors.New("no identifier"))
	}
	for _, id := range rp.Identifiers {
		switch other := r.byIdentifier[id]; {
		case id == "" || len(id) > maxIdentifier || strings.TrimSpace(id) != id:
			errs = append(errs, fmt.Errorf("identifier %.80q is empty, too long or padded with blanks", id))
		case other != nil:
			errs = append(errs, fmt.Errorf("identifier %q already belongs to %q", id, other.Key))
		default:
			r.byIdentifier[id] = rp
		}
	}
	if len(rp.ReplyURLs) == 0 {
		errs = append(errs, errors.New("no reply address"))
	}
	known := make(map[string]string, len(rp.ReplyURLs))
	for _, raw := range rp.ReplyURLs {
		key, err := replyKey(raw)
		if err != nil {
			errs = append(errs, fmt.Errorf("reply address %.200q: %w", raw, err))
			continue
		}
		known[key] = raw
		if o, err := origin(raw); err == nil {
			r.origins = append(r.origins, o)
		}
	}
	if rp.TokenType != federation.SAML11 && rp.TokenType != federation.SAML20 {
		errs = append(errs, fmt.Errorf("token type %d is not known", rp.TokenType))
	}
	if rp.TokenLifetime < time.Minute || rp.TokenLifetime > maxTokenLifetime {
		errs = append(errs, fmt.Errorf("token lifetime %v is not between 1m and 60m", rp.TokenLifetime))
	}
	r.replies[rp] = known
	r.parties = append(r.parties, rp)
	return errs
}

// All returns the parties in the order given.
func (r *Registry) All() []*federation.RelyingParty { return slices.Clone(r.parties) }

// ByKey returns the party with that key, nil when there is none.
func (r *Registry) ByKey(key string) *federation.RelyingParty { return r.byKey[key] }

// ByIdentifier returns the party that is named by exactly this string, nil when
// there is none. Case and a final slash count (CASES C10).
func (r *Registry) ByIdentifier(id string) *federation.RelyingParty { return r.byIdentifier[id] }

// Reply returns the registered spelling of an address of rp. An empty address is
// the party's default.
func (r *Registry) Reply(rp *federation.RelyingParty, wreply string) (string, bool) {
	if wreply == "" {
		return rp.ReplyURLs[0], true
	}
	key, err := replyKey(wreply)
	if err != nil {
		return "", false
	}
	raw, ok := r.replies[rp][key]
	return raw, ok
}

// AnyReply looks an address up among all parties' addresses, for a sign-out that
// names no party.
func (r *Registry) AnyReply(wreply string) (string, bool) {
	for _, rp := range r.parties {
		if wreply == "" {
			break
		}
		if raw, ok := r.Reply(rp, wreply); ok {
			return raw, true
		}
	}
	return "", false
}

// Origins are the origins of all registered addresses.
func (r *Registry) Origins() []string { return r.origins }

// Nearest returns the known identifier that an unknown one is most likely a
// misspelling of, empty when none is close. For the log only; anybody may ask, so
// that names which cannot be close cost nothing.
func (r *Registry) Nearest(id string) string {
	const longest = 256
	if len(id) > longest {
		return ""
	}
	id = strings.ToLower(id)
	best, bestCost := "", len(id)/3+2
	for _, rp := range r.parties {
		for _, known := range rp.Identifiers {
			if len(known) > longest {
				continue
			}
			if cost := distance(id, strings.ToLower(known), bestCost); cost < bestCost {
				best, bestCost = known, cost
			}
		}
	}
	return best
}

// distance is the Levenshtein distance in bytes, or limit when it is that or more.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal, least := row[0], i+1
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
			least = min(least, row[j+1])
		}
		if least >= limit { // it grows from row to row
			return limit
		}
	}
	return min(row[len(b)], limit)
}
