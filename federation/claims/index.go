package claims

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"sallyport/authn"
)

// Scanner reads a whole domain and returns the source anchors that several
// enabled accounts have, with the DNs of those accounts. It is slow: Active
// Directory keeps no index of mS-DS-ConsistencyGuid.
type Scanner interface {
	SharedAnchors(ctx context.Context, domain string) (map[string][]string, error)
}

// AnchorIndex implements [Anchors] from scans in the background: a sign-in asks
// memory. Until the first scan of a domain is done, and between scans, it does
// not know of a new double; a scan that fails keeps the findings of the one
// before. Safe for concurrent use.
type AnchorIndex struct {
	scanner Scanner
	domains []string
	log     *slog.Logger

	mu     sync.RWMutex
	shared map[string]map[string][]string // by domain, then by anchor bytes
}

// NewAnchorIndex returns an empty index over these domains. A nil logger says
// nothing.
func NewAnchorIndex(scanner Scanner, domains []string, log *slog.Logger) *AnchorIndex {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &AnchorIndex{scanner: scanner, domains: domains, log: log, shared: make(map[string]map[string][]string)}
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

// Refresh scans all domains once.
func (x *AnchorIndex) Refresh(ctx context.Context) error {
	var errs []error
	for _, domain := range x.domains {
		found, err := x.scanner.SharedAnchors(ctx, domain)
		if err != nil {
			errs = append(errs, fmt.Errorf("claims: %s: %w", domain, err))
			continue
		}
		for _, dns := range found {
			x.log.LogAttrs(ctx, slog.LevelError, "accounts share a source anchor; none of them gets a token for Microsoft 365",
				slog.String("domain", domain), slog.Any("accounts", dns))
		}
		x.mu.Lock()
		x.shared[domain] = found
		x.mu.Unlock()
	}
	return errors.Join(errs...)
}

// Sharing implements [Anchors].
func (x *AnchorIndex) Sharing(_ context.Context, acc *authn.Account, anchor []byte) ([]string, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var others []string
	for _, found := range x.shared {
		for _, dn := range found[string(anchor)] {
			if !strings.EqualFold(dn, acc.DN) {
				others = append(others, dn)
			}
		}
	}
	return others, nil
}
