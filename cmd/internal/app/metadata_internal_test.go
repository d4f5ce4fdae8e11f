package app

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"sallyport/certs"
	"sallyport/federation/metadata"
	"sallyport/federation/web"
)

// reads lets somebody read the metadata of the first instance.
func (f *fleet) reads(method, query, from string, head http.Header) int {
	r := httptest.NewRequestWithContext(
		web.With(f.t.Context(), &web.Info{Client: netip.MustParseAddr(from)}), method, metadata.Path+query, nil)
	r.Header = head
	w := httptest.NewRecorder()
	f.all[0].serveMetadata(f.all[0].metadata, w, r)
	return w.Code
}

// Only a whole answer to the party's own address shows that it holds what was listed:
// who passes for a party would have keys promoted before it knows them.
func TestC04_APartyHasReadTheMetadataByItsOwnAddressAlone(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	one := f.all[0]
	step := func() {
		for range 3 {
			for _, i := range f.all {
				_ = i.manager.Step(t.Context())
			}
			f.clock.Pass(20 * time.Second)
		}
	}
	known := func() string {
		t.Helper()
		l, err := one.b.Store.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return l.Next().Knows["wiki"].How
	}
	step()
	// It was read before the next key was there.
	if got := f.reads(http.MethodGet, "?party=wiki", "192.0.2.80", http.Header{}); got != 200 {
		t.Fatal(got)
	}
	hand := &certs.Hand{Store: one.b.Store, Keys: one.b, Host: "sts.contoso.test", By: "alice@admin", Now: f.clock.Now}
	if _, err := hand.Stage(t.Context()); err != nil {
		t.Fatal(err)
	}
	step()
	if got := known(); got != "" {
		t.Errorf("a reading before the key was listed: %q", got)
	}
	for what, r := range map[string]struct {
		method, query, from string
		head                http.Header
	}{
		"from elsewhere":   {http.MethodGet, "?party=wiki", "198.51.100.7", http.Header{}},
		"without a name":   {http.MethodGet, "", "192.0.2.80", http.Header{}},
		"another name":     {http.MethodGet, "?party=WIKI", "192.0.2.80", http.Header{}},
		"the head":         {http.MethodHead, "?party=wiki", "192.0.2.80", http.Header{}},
		"a part":           {http.MethodGet, "?party=wiki", "192.0.2.80", http.Header{"Range": {"bytes=0-9"}}},
		"somebody unknown": {http.MethodGet, "?party=nobody", "192.0.2.80", http.Header{}},
	} {
		f.reads(r.method, r.query, r.from, r.head)
		step()
		if got := known(); got != "" {
			t.Fatalf("%s: %q", what, got)
		}
	}
	// Many at once, while the instance reports.
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 50 {
				f.reads(http.MethodGet, "?party=wiki", "192.0.2.80", http.Header{})
			}
		})
	}
	step()
	readers.Wait()
	step()
	if got := known(); got != certs.Fetched {
		t.Errorf("a whole answer: %q", got)
	}
}
