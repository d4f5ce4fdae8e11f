package claims_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/authn"
	"sallyport/federation"
	"sallyport/federation/claims"
)

// scanner finds what it is told, domain by domain.
type scanner struct {
	mu    sync.Mutex
	found map[string]map[string][]string
	errs  map[string]error
	scans int
	// accounts are those that ByID finds, by domain; asked counts its calls.
	accounts map[string]*authn.Account
	asked    int
}

func (s *scanner) ByID(_ context.Context, domain string, id authn.GUID) (*authn.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if err := s.errs[domain]; err != nil {
		return nil, err
	}
	if a := s.accounts[domain]; a != nil && a.ID == id {
		return a, nil
	}
	return nil, &authn.Error{Reason: authn.UnknownUser}
}

func (s *scanner) set(found map[string]map[string][]string, errs map[string]error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found, s.errs = found, errs
}

func (s *scanner) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scans
}

// idOf makes up the objectGUID of an account.
func idOf(dn string) authn.GUID {
	sum := sha256.Sum256([]byte(dn))
	return authn.GUID(sum[:16])
}

func (s *scanner) EachAnchor(_ context.Context, domain string, take func(anchor []byte, id authn.GUID, dn string)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scans++
	if err := s.errs[domain]; err != nil {
		return err
	}
	for anchor, dns := range s.found[domain] {
		for _, dn := range dns {
			take([]byte(anchor), idOf(dn), dn)
		}
	}
	return nil
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
		s.set(nil, map[string]error{"corp.contoso.test": errors.New("down")})
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

// An account that was moved to another domain with its anchor, and left enabled in
// the first, is one person to Microsoft Entra ID.
func TestC15_TwinsInTwoDomainsGetNoToken(t *testing.T) {
	const shared, other = "0123456789abcdef", "fedcba9876543210"
	const here, there = "CN=Alice,CN=Users,DC=corp,DC=contoso,DC=test", "CN=Alice,OU=Old,DC=old,DC=test"
	both := map[string]map[string][]string{"corp.contoso.test": {shared: {here}, other: {"CN=Bob"}}, "old.test": {shared: {there}}}
	s := &scanner{}
	s.set(both, nil)
	var log bytes.Buffer
	x := claims.NewAnchorIndex(s, []string{"corp.contoso.test", "old.test"}, slog.New(slog.NewJSONHandler(&log, nil)))
	alice := func(dn string) []string {
		others, err := x.Sharing(t.Context(), &authn.Account{DN: dn}, []byte(shared))
		if err != nil {
			t.Fatal(err)
		}
		return others
	}
	refresh := func(wantErr bool) {
		t.Helper()
		if err := x.Refresh(t.Context()); (err != nil) != wantErr {
			t.Fatal(err)
		}
	}
	refresh(false)
	if a, b := alice(here), alice(there); !slices.Equal(a, []string{there}) || !slices.Equal(b, []string{here}) {
		t.Errorf("others %q and %q", a, b)
	}
	if !strings.Contains(log.String(), here) || !strings.Contains(log.String(), there) || strings.Contains(log.String(), "Bob") {
		t.Errorf("the log does not name both and nobody else: %s", log.String())
	}
	down := map[string]error{"old.test": errors.New("down")}
	s.set(both, down) // what was found in a domain that cannot be read stays
	refresh(true)
	if a := alice(here); !slices.Equal(a, []string{there}) {
		t.Errorf("one domain is down: others %q", a)
	}
	s.set(map[string]map[string][]string{"corp.contoso.test": {other: {"CN=Bob"}}}, down)
	refresh(true)
	if a, b := alice(here), alice(there); len(b) != 0 || !slices.Equal(a, nil) {
		t.Errorf("repaired in the domain that can be read: others %q and %q", a, b)
	}
}

// TestI06_AnAnchorThatIsAnotherObjectIsLookedUp: what the scans do not know yet.
func TestI06_AnAnchorThatIsAnotherObjectIsLookedUp(t *testing.T) {
	victim := authn.GUID([]byte("0123456789abcdef"))
	for name, c := range map[string]struct {
		other  authn.Account
		anchor []byte
		err    error
		shared bool
		asked  int
	}{
		"the victim":             {authn.Account{ID: victim}, victim[:], nil, true, 2},
		"with the value as well": {authn.Account{ID: victim, ConsistencyGUID: victim[:]}, victim[:], nil, true, 2},
		"disabled":               {authn.Account{ID: victim, State: authn.StateDisabled}, victim[:], nil, false, 2},
		"has another anchor":     {authn.Account{ID: victim, ConsistencyGUID: []byte("fedcba9876543210")}, victim[:], nil, true, 2},
		"nobody":                 {authn.Account{ID: authn.GUID{9}}, victim[:], nil, false, 2},
		"its own GUID":           {authn.Account{ID: victim}, []byte("an attackers own"), nil, false, 0},
		"no GUID":                {authn.Account{ID: victim}, []byte("short"), nil, false, 0},
		"a domain that is down":  {authn.Account{ID: victim}, victim[:], errors.New("down"), true, 2},
	} {
		c.other.DN = "CN=Victim"
		s := &scanner{accounts: map[string]*authn.Account{"b.test": &c.other}, errs: map[string]error{"a.test": c.err}}
		x := claims.NewAnchorIndex(s, []string{"a.test", "b.test"}, nil)
		others, err := x.Sharing(t.Context(), &authn.Account{ID: authn.GUID([]byte("an attackers own")), DN: "CN=Attacker"}, c.anchor)
		if err != nil || (len(others) == 1 && others[0] == "CN=Victim") != c.shared || s.asked != c.asked {
			t.Errorf("%s: %q after %d questions, %v", name, others, s.asked, err)
		}
	}
}

// TestI06_AnAnchorOfTheLastScanStaysItsOwners: people who came from another forest have
// anchors that are nobody's objectGUID. Who takes over such a one is refused before the
// next scan; who was only renamed since, or takes over what was given up, is not.
func TestI06_AnAnchorOfTheLastScanStaysItsOwners(t *testing.T) {
	const anchor, dn = "from elsewhere!!", "CN=Victim"
	victim := authn.Account{ID: idOf(dn), DN: dn, ConsistencyGUID: []byte(anchor)}
	attacker := authn.Account{ID: authn.GUID{1}, DN: "CN=Attacker", ConsistencyGUID: []byte(anchor)}
	renamed, disabled, gave := victim, victim, victim
	renamed.DN = "CN=Married"
	disabled.State = authn.StateDisabled
	gave.ConsistencyGUID = nil
	for name, c := range map[string]struct {
		who  authn.Account
		now  *authn.Account // of the victim
		want []string
	}{
		"an attacker":            {attacker, &victim, []string{dn}},
		"the owner":              {victim, &victim, nil},
		"the owner, renamed":     {renamed, &renamed, nil},
		"after a rename":         {attacker, &renamed, []string{"CN=Married"}},
		"the owner is disabled":  {attacker, &disabled, nil},
		"the owner gave it up":   {attacker, &gave, nil},
		"the owner is not there": {attacker, &authn.Account{}, nil},
	} {
		s := &scanner{accounts: map[string]*authn.Account{"a.test": c.now}}
		s.set(map[string]map[string][]string{"a.test": {anchor: {dn}}}, nil)
		x := claims.NewAnchorIndex(s, []string{"a.test"}, nil)
		if err := x.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.set(nil, map[string]error{"b.test": errors.New("down")})
		if others, err := x.Sharing(t.Context(), &c.who, []byte(anchor)); err != nil || !slices.Equal(others, c.want) {
			t.Errorf("%s: %q, %v", name, others, err)
		}
	}
}
