package partner_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/federation/partner"
)

// desk is a query under test with the service that it asks, in a bubble of its own
// time.
type desk struct {
	server  *server
	keeper  *partner.Keeper
	query   *partner.Query
	changes atomic.Int32
	stop    func()
}

var client = netip.MustParseAddr("198.51.100.7")

// answers signs for every entity of fabrikam.test, and knows no other.
func answers(r *http.Request) (int, string, http.Header, error) {
	escaped, ok := strings.CutPrefix(r.URL.EscapedPath(), "/v1/entities/")
	id, err := url.PathUnescape(escaped)
	if !ok || err != nil {
		return 400, "", nil, nil
	}
	if !strings.Contains(id, "fabrikam.test") {
		return 404, "", nil, nil
	}
	doc := describe(id, `ID="_d" validUntil="`+time.Now().Add(100*time.Hour).UTC().Format(time.RFC3339)+`"`, "", "")
	return 200, publisher().sign(nopFatal{}, doc), nil, nil
}

// nopFatal lets sign be called outside a test's goroutine.
type nopFatal struct{ testing.TB }

func (nopFatal) Helper()           {}
func (nopFatal) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func newDesk(t *testing.T, dir string, change func(*partner.QueryConfig)) *desk {
	d := &desk{server: &server{respond: answers}}
	d.keeper = partner.NewKeeper(partner.KeeperConfig{Directory: dir, Changed: func() { d.changes.Add(1) }})
	cfg := partner.QueryConfig{
		URL: "https://mdq.test/v1/", Certificates: []*x509.Certificate{publisher().cert}, Client: &partner.Client{Transport: d.server},
		Keeper: d.keeper, Never: []string{"https://sts.fabrikam.test/own"},
	}
	if change != nil {
		change(&cfg)
	}
	d.query = partner.NewQuery(cfg)
	d.query.Restore()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); d.keeper.Run(ctx) }()
	d.stop = func() { cancel(); <-done }
	synctest.Wait()
	return d
}

func (d *desk) find(id string) error { return d.query.Find(context.Background(), client, id) }

func (d *desk) has(id string) bool { return d.keeper.Entity(partner.QueryKey(id)) != nil }

func TestQueryFindsOnceAndKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := newDesk(t, dir, nil)
		if err := d.find(wiki); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if err := d.find(wiki); err != nil {
				t.Fatal(err)
			}
		}
		asked := d.server.requests()
		if len(asked) != 1 || !d.has(wiki) || len(d.query.Entities()) != 1 {
			t.Fatalf("%d requests", len(asked))
		}
		if got := asked[0].URL.EscapedPath(); got != "/v1/entities/https%3A%2F%2Fwiki.fabrikam.test%2Fsp" {
			t.Errorf("asked for %s", got)
		}
		if id, ok := partner.QueriedEntity(partner.QueryKey(wiki)); !ok || id != wiki {
			t.Error("the key does not lead back")
		}
		d.use(wiki)
		d.stop()
		// A restart without network works from the copy of what was used.
		d = newDesk(t, dir, nil)
		d.server.answer(0, "", nil, errors.New("down"))
		if err := d.find(wiki); err != nil || !d.has(wiki) {
			t.Errorf("after a restart: %v", err)
		}
		// What has ended goes, and can be found again.
		time.Sleep(110 * time.Hour)
		synctest.Wait()
		if d.has(wiki) || d.changes.Load() != 1 {
			t.Errorf("after its end: %d changes", d.changes.Load())
		}
		d.server.mu.Lock()
		d.server.respond = answers
		d.server.mu.Unlock()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if err := d.find(wiki); err != nil || !d.has(wiki) {
			t.Errorf("found again: %v", err)
		}
		d.stop()
	})
}

func TestQueryByHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, t.TempDir(), func(c *partner.QueryConfig) { c.Hashed = true })
		d.server.answer(404, "", nil, nil)
		_ = d.find("http://example.org/service")
		// The example of MDQ for SAML §2.1.
		if got := d.server.requests()[0].URL.Path; got != "/v1/entities/{sha1}11d72e8cf351eb6c75c721e838f469677ab41bdb" {
			t.Error(got)
		}
		d.stop()
	})
}

func TestS12_QueryRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := func() string { return time.Now().Add(time.Hour).UTC().Format(time.RFC3339) }
		for name, answer := range map[string]func() string{
			"a stranger's signature": func() string { return stranger().sign(t, describe(wiki, `ID="_d" validUntil="`+until()+`"`, "", "")) },
			"no signature":           func() string { return describe(wiki, `ID="_d" validUntil="`+until()+`"`, "", "") },
			"another entity": func() string {
				return publisher().sign(t, describe("https://evil.fabrikam.test/", `ID="_d" validUntil="`+until()+`"`, "", ""))
			},
			"the id in another case": func() string {
				return publisher().sign(t, describe(strings.ToUpper(wiki), `ID="_d" validUntil="`+until()+`"`, "", ""))
			},
			"no end": func() string { return publisher().sign(t, describe(wiki, `ID="_d"`, "", "")) },
			"ended": func() string {
				return publisher().sign(t, describe(wiki, `ID="_d" validUntil="1999-01-01T00:00:00Z"`, "", ""))
			},
		} {
			d := newDesk(t, t.TempDir(), nil)
			d.server.answer(200, answer(), nil, nil)
			if err := d.find(wiki); err == nil || d.has(wiki) || len(d.query.Entities()) != 0 {
				t.Errorf("%s: %v", name, err)
			}
			d.stop()
		}
		d := newDesk(t, t.TempDir(), func(c *partner.QueryConfig) {
			c.Check = func(*partner.Entity) error { return errors.New("cannot be set up") }
		})
		for _, id := range []string{"", "a b", "a\x00", strings.Repeat("x", 1025), "https://sts.fabrikam.test/own", "\ufffd"} {
			if err := d.find(id); !errors.Is(err, partner.ErrUnknown) {
				t.Errorf("%q: %v", id, err)
			}
		}
		if n := len(d.server.requests()); n != 0 {
			t.Errorf("%d requests for what is no entity id, or this service", n)
		}
		if err := d.find(wiki); err == nil || d.has(wiki) {
			t.Errorf("a party that cannot be set up: %v", err)
		}
		d.stop()
	})
}

// Strangers cannot make this service ask as often as they like.
func TestS12_QueriesAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, t.TempDir(), nil)
		count := func() int { return len(d.server.requests()) }
		for range 50 {
			if err := d.find("https://nobody.test/"); !errors.Is(err, partner.ErrUnknown) {
				t.Fatal(err)
			}
		}
		if count() != 1 {
			t.Errorf("%d requests for one unknown entity", count())
		}
		for i := range 50 {
			_ = d.find(fmt.Sprintf("https://nobody.test/%d", i))
		}
		if count() != 5 {
			t.Errorf("%d requests for one client", count())
		}
		for i := range 50 { // one IPv6 network is one client
			_ = d.query.Find(context.Background(), netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)), fmt.Sprintf("https://v6.test/%d", i))
		}
		if count() != 10 {
			t.Errorf("%d requests with an IPv6 network", count()-5)
		}
		for i := range 2000 {
			a := netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})
			_ = d.query.Find(context.Background(), a, fmt.Sprintf("https://many.test/%d", i))
		}
		if count() != 60 {
			t.Errorf("%d requests for all clients", count())
		}
		if err := d.find(wiki); !errors.Is(err, partner.ErrTooMany) {
			t.Errorf("%v", err)
		}
		time.Sleep(10*time.Minute + time.Second)
		if err := d.find(wiki); err != nil {
			t.Errorf("after the window: %v", err)
		}
		d.stop()
	})
}

func TestManyAtOnceAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, t.TempDir(), nil)
		release := make(chan struct{})
		d.server.respond = func(r *http.Request) (int, string, http.Header, error) { <-release; return answers(r) }
		errs := make(chan error, 40)
		for range 40 {
			go func() { errs <- d.find(wiki) }()
		}
		synctest.Wait() // one of them asks; who comes now waits
		gone, cancel := context.WithCancel(context.Background())
		left := make(chan error, 1)
		go func() { left <- d.query.Find(gone, client, wiki) }()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who leaves: %v", err)
		}
		close(release)
		for range 40 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if n := len(d.server.requests()); n != 1 {
			t.Errorf("%d requests", n)
		}
		d.stop()
	})
}
