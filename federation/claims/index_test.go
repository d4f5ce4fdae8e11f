package claims_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/federation"
	"sallyport/federation/claims"
)

// scanner finds what it is told, domain by domain.
type scanner struct {
	mu    sync.Mutex
	found map[string]map[string][]string
	err   error
	scans int
}

func (s *scanner) set(found map[string]map[string][]string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found, s.err = found, err
}

func (s *scanner) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scans
}

func (s *scanner) SharedAnchors(_ context.Context, domain string) (map[string][]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scans++
	return s.found[domain], s.err
}

func TestC15_TwinsFoundByAScanGetNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shared = "0123456789abcdef"
		twins := []string{"CN=Alice,CN=Users,DC=corp,DC=contoso,DC=test", "CN=Bob,DC=corp"}
		s := &scanner{}
		var log bytes.Buffer
		x := claims.NewAnchorIndex(s, []string{"corp.contoso.test", "other.test"}, slog.New(slog.NewJSONHandler(&log, nil)))
		e := engine(t, func(c *claims.Config) { c.Anchors = x })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { x.Run(ctx, time.Hour); close(done) }()
		synctest.Wait()
		sub := alice(func(s *federation.Subject) { s.Account.ConsistencyGUID = []byte(shared) })
		ask := func() error {
			_, err := e.For(t.Context(), microsoft365(), sub)
			return err
		}
		if err := ask(); err != nil || s.count() != 2 {
			t.Fatalf("before: %v, %d scans", err, s.count())
		}
		s.set(map[string]map[string][]string{"corp.contoso.test": {shared: twins}}, nil)
		time.Sleep(time.Hour + time.Minute)
		synctest.Wait()
		refused(t, ask(), federation.ProblemNotReady, claims.ErrSharedAnchor)
		if !strings.Contains(log.String(), twins[1]) {
			t.Errorf("the log does not name them: %s", log.String())
		}
		// A failed scan keeps what is known.
		s.set(nil, errors.New("down"))
		time.Sleep(time.Hour)
		synctest.Wait()
		refused(t, ask(), federation.ProblemNotReady, claims.ErrSharedAnchor)
		s.set(nil, nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if err := ask(); err != nil {
			t.Errorf("repaired: %v", err)
		}
		cancel()
		<-done
	})
}
