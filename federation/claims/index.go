package claims

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/authn"
)

// Scanner reads accounts of a domain. It is safe for concurrent use.
type Scanner interface {
	// EachAnchor hands over the source anchor, objectGUID and DN of each enabled account.
	// It is slow: Active Directory keeps no index of mS-DS-ConsistencyGuid.
	EachAnchor(ctx context.Context, domain string, take func(anchor []byte, id authn.GUID, dn string)) error
	// ByID reads one account; the reason of the error is UnknownUser when there is none.
	ByID(ctx context.Context, domain string, id authn.GUID) (*authn.Account, error)
}

// AnchorIndex implements [Anchors] from scans in the background: a sign-in asks
// memory. Accounts of all domains are compared with each other: an account that
// was moved to another domain with its anchor, and is enabled in both, is two
// persons to the directory and one to Microsoft Entra ID.
//
// Scans are an hour apart, and who may write mS-DS-ConsistencyGuid could be somebody
// else until the next one. So an anchor that is not the account's own objectGUID is
// held against what belonged to another account at the last scan, and looked up as an
// objectGUID, at each sign-in. Of a domain whose scan fails, what was found before
// stays. Safe for concurrent use.
type AnchorIndex struct {
	scanner Scanner
	domains []string
	log     *slog.Logger

	mu     sync.RWMutex
	shared map[string][]owner  // by anchor bytes: two accounts or more
	given  map[string][]object // by anchor bytes that are not the account's objectGUID
}

// owner is an account that has an anchor.
type owner struct{ domain, dn string }

// object finds an account again.
type object struct {
	domain string
	id     authn.GUID
}

// NewAnchorIndex returns an empty index over these domains. A nil logger says
// nothing.
func NewAnchorIndex(scanner Scanner, domains []string, log *slog.Logger) *AnchorIndex {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &AnchorIndex{scanner: scanner, domains: domains, log: log, shared: make(map[string][]owner), given: make(map[string][]object)}
}

// Run scans at once and then at every interval, until ctx ends.
func (x *AnchorIndex) Run(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if err := x.Refresh(ctx); err != nil && ctx.Err() == nil {
			x.log.LogAttrs(ctx, slog.LevelWarn, "scan for shared source anchors", slog.String("error", err.Error()))
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// Refresh scans all domains once. A call while another runs is not expected.
func (x *AnchorIndex) Refresh(ctx context.Context) error {
	var errs []error
	failed := map[string]bool{}
	owners, given := map[string][]owner{}, map[string][]object{}
	for _, domain := range x.domains {
		err := x.scanner.EachAnchor(ctx, domain, func(anchor []byte, id authn.GUID, dn string) {
			owners[string(anchor)] = append(owners[string(anchor)], owner{domain, dn})
			if !bytes.Equal(anchor, id[:]) {
				given[string(anchor)] = append(given[string(anchor)], object{domain, id})
			}
		})
		if err != nil {
			failed[domain] = true
			errs = append(errs, fmt.Errorf("claims: %s: %w", domain, err))
		}
	}
	stay(owners, x.shared, func(o owner) bool { return failed[o.domain] }) // both written by this goroutine only
	stay(given, x.given, func(o object) bool { return failed[o.domain] })
	maps.DeleteFunc(owners, func(_ string, o []owner) bool { return len(o) < 2 })
	for _, o := range owners {
		x.log.LogAttrs(ctx, slog.LevelError, "accounts share a source anchor; none of them gets a token for Microsoft 365: disable the ones that are not in use, or give each its own mS-DS-ConsistencyGuid",
			slog.Any("accounts", names(o)))
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.shared, x.given = owners, given
	return errors.Join(errs...)
}

// stay adds what was there before and could not be read again.
func stay[T comparable](now, before map[string][]T, unread func(T) bool) {
	for anchor, list := range before {
		for _, o := range list {
			if unread(o) && !slices.Contains(now[anchor], o) {
				now[anchor] = append(now[anchor], o)
			}
		}
	}
}

// names lists the DNs of owners.
func names(owners []owner) []string {
	var dns []string
	for _, o := range owners {
		dns = append(dns, o.dn)
	}
	slices.Sort(dns)
	return dns
}

// Sharing implements [Anchors].
func (x *AnchorIndex) Sharing(ctx context.Context, acc *authn.Account, anchor []byte) ([]string, error) {
	x.mu.RLock()
	others := slices.DeleteFunc(names(x.shared[string(anchor)]), func(dn string) bool { return strings.EqualFold(dn, acc.DN) })
	given := x.given[string(anchor)]
	x.mu.RUnlock()
	if len(others) > 0 || bytes.Equal(anchor, acc.ID[:]) {
		return others, nil
	}
	for _, o := range given { // one at most, else it is shared
		if o.id != acc.ID {
			if other := x.enabled(ctx, o); other != nil && bytes.Equal(other.SourceAnchor(), anchor) {
				others = append(others, other.DN)
			}
		}
	}
	if len(anchor) != len(acc.ID) {
		return others, nil
	}
	// The account with this objectGUID: in a domain that takes objectGUID it is its
	// anchor whatever else the account says.
	for _, domain := range x.domains {
		if other := x.enabled(ctx, object{domain, authn.GUID(anchor)}); other != nil && !slices.Contains(others, other.DN) {
			others = append(others, other.DN)
		}
	}
	return others, nil
}

// enabled reads an account, nil when it is not there or disabled. A domain that does
// not answer is left to the scans.
func (x *AnchorIndex) enabled(ctx context.Context, o object) *authn.Account {
	acc, err := x.scanner.ByID(ctx, o.domain, o.id)
	switch {
	case err != nil && authn.ReasonOf(err) != authn.UnknownUser:
		x.log.LogAttrs(ctx, slog.LevelWarn, "looking for the owner of a source anchor", slog.String("domain", o.domain), slog.String("error", err.Error()))
		return nil
	case err != nil || acc.State&authn.StateDisabled != 0:
		return nil
	}
	return acc
}
