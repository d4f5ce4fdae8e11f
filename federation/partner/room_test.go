package partner_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/federation/partner"
)

// outsider names parties that the service knows, each from a network of its own, and
// lets a window pass whenever one is full.
func (d *desk) outsider(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		a := netip.AddrFrom4([4]byte{203, byte(i >> 8), byte(i), 1})
		err := d.query.Find(context.Background(), a, fmt.Sprintf("https://junk%d.fabrikam.test/", i))
		if errors.Is(err, partner.ErrTooMany) {
			time.Sleep(10*time.Minute + time.Second)
			err = d.query.Find(context.Background(), a, fmt.Sprintf("https://junk%d.fabrikam.test/", i))
		}
		if err != nil {
			t.Fatalf("junk %d: %v", i, err)
		}
	}
}

// use is somebody's token for a party.
func (d *desk) use(id string) {
	d.query.Used(partner.QueryKey(id))
	synctest.Wait() // the copy is written
	time.Sleep(time.Second)
}

func copies(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Whoever names parties that the service knows pushes out what others have named, and
// neither what somebody uses nor what is found next.
func TestS12_NobodyCanFillTheListOfFoundParties(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := newDesk(t, dir, func(c *partner.QueryConfig) { c.Most = 3 })
		if err := d.find(wiki); err != nil {
			t.Fatal(err)
		}
		d.use(wiki)
		d.outsider(t, 200)
		if !d.has(wiki) {
			t.Error("the party that is used gave way to parties that nobody uses")
		}
		if err := d.find("https://new.fabrikam.test/"); err != nil {
			t.Errorf("a new party: %v", err)
		}
		d.use("https://new.fabrikam.test/")
		if n := len(d.query.Entities()); n != 4 { // two in use, two of the three that wait
			t.Errorf("%d parties are kept", n)
		}
		d.outsider(t, 10)
		synctest.Wait()
		if !d.has(wiki) || !d.has("https://new.fabrikam.test/") || d.has("https://junk0.fabrikam.test/") || !d.has("https://junk9.fabrikam.test/") {
			t.Error("the wrong ones gave way")
		}
		if names := copies(t, dir); len(names) != 5 {
			t.Errorf("on disk: %q", names)
		}
		d.stop()

		// A restart has those that are used, without asking anybody.
		d = newDesk(t, dir, func(c *partner.QueryConfig) { c.Most = 3 })
		d.server.answer(0, "", nil, errors.New("down"))
		if !d.has(wiki) || !d.has("https://new.fabrikam.test/") || len(d.query.Entities()) != 2 || len(copies(t, dir)) != 2 {
			t.Errorf("after a restart: %d parties, %q", len(d.query.Entities()), copies(t, dir))
		}
		d.stop()
	})
}

// Of more parties in use than may be kept that one goes which was used longest ago,
// so that it can be found again, not the others.
func TestQueryKeepsWhatWasUsedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := newDesk(t, dir, func(c *partner.QueryConfig) { c.Most = 2 })
		a, b, c := "https://a.fabrikam.test/", "https://b.fabrikam.test/", "https://c.fabrikam.test/"
		for _, id := range []string{a, b} {
			if err := d.find(id); err != nil {
				t.Fatal(err)
			}
			d.use(id)
		}
		time.Sleep(25 * time.Hour)
		d.use(a)
		d.stop()
		d = newDesk(t, dir, func(c *partner.QueryConfig) { c.Most = 2 }) // the copies know when
		if err := d.find(c); err != nil {
			t.Fatal(err)
		}
		d.use(c)
		if !d.has(a) || d.has(b) || !d.has(c) || len(copies(t, dir)) != 2 {
			t.Errorf("kept: %v %v %v", d.has(a), d.has(b), d.has(c))
		}
		if err := d.find(b); err != nil || !d.has(b) {
			t.Errorf("found again: %v", err)
		}
		d.query.Used("wiki") // a party of the settings is none of the query's
		d.stop()
	})
}

// A copy of a party of the settings is not taken for one that was found.
func TestCopiesOfRegisteredPartiesStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		name := dir + "/mdq-own.metadata"
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		k := partner.NewKeeper(partner.KeeperConfig{Directory: dir, Sources: []partner.Source{{Key: "mdq-own", URL: "https://x.test/"}}})
		partner.NewQuery(partner.QueryConfig{Keeper: k}).Restore()
		if got := copies(t, dir); len(got) != 1 {
			t.Errorf("left: %q", got)
		}
	})
}

// What one instance found is lost on no other: a person whose sign-in goes on there
// is not in the way of strangers' questions, nor they in his.
func TestS12_OtherInstancesFindWhatIsUsedBesideStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := newDesk(t, t.TempDir(), func(c *partner.QueryConfig) { c.Most = 3 })
		two := newDesk(t, t.TempDir(), func(c *partner.QueryConfig) { c.Most = 3 })
		if err := one.find(wiki); err != nil {
			t.Fatal(err)
		}
		one.use(wiki)
		for i := range 300 {
			a := netip.AddrFrom4([4]byte{203, byte(i >> 8), byte(i), 1})
			_ = two.query.Find(context.Background(), a, fmt.Sprintf("https://junk%d.fabrikam.test/", i))
		}
		if n := len(two.server.requests()); n != 60 {
			t.Fatalf("%d requests for strangers", n)
		}
		if err := two.query.Find(context.Background(), netip.Addr{}, wiki); err != nil || !two.has(wiki) {
			t.Errorf("the sign-in goes on at the other instance: %v", err)
		}
		one.stop()
		two.stop()
	})
}

// One customer's network has few questions, however many addresses it holds.
func TestS12_QueriesOfOneSiteAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, t.TempDir(), nil)
		for i := range 40 {
			a := netip.MustParseAddr(fmt.Sprintf("2001:db8:7:%x::1", i))
			_ = d.query.Find(context.Background(), a, fmt.Sprintf("https://v6.test/%d", i))
		}
		if n := len(d.server.requests()); n != 15 {
			t.Errorf("%d requests of one site", n)
		}
		d.stop()
	})
}

// Metrics have one name for all that was found, and count it.
func TestFoundPartiesShareTheirMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewPedanticRegistry()
		m, err := partner.NewMetrics(reg)
		if err != nil {
			t.Fatal(err)
		}
		d := newDesk(t, t.TempDir(), func(c *partner.QueryConfig) {
			c.Most = 3
			c.Keeper = partner.NewKeeper(partner.KeeperConfig{Directory: t.TempDir(), Metrics: m})
		})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		k := d.query.Keeper()
		go func() { defer close(done); k.Run(ctx) }()
		synctest.Wait()
		d.outsider(t, 50)
		d.query.Used(partner.QueryKey("https://junk49.fabrikam.test/"))
		_ = d.find("https://nobody.test/")
		want := map[string]float64{
			`sallyport_metadata_found_parties used`: 1, `sallyport_metadata_found_parties waiting`: 2,
			`sallyport_metadata_queries_total found`: 50, `sallyport_metadata_queries_total unknown`: 1,
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, s := range f.Metric {
				name := f.GetName()
				for _, l := range s.Label {
					name += " " + l.GetValue()
				}
				if strings.Contains(name, "fabrikam") {
					t.Errorf("a label of %s is a stranger's", name)
				}
				if v, ok := want[name]; ok && v != s.GetGauge().GetValue()+s.GetCounter().GetValue() {
					t.Errorf("%s is %v", name, s)
				}
				delete(want, name)
			}
		}
		if len(want) > 0 {
			t.Errorf("missing: %v", want)
		}
		cancel()
		<-done
		d.stop()
	})
}
