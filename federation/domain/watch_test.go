package domain_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/federation/domain"
	"sallyport/federation/domain/graphtest"
)

// watched is a watch over contoso.test and fabrikam.test with what it told.
type watched struct {
	*domain.Watch
	log      bytes.Buffer
	changed  []domain.View
	registry *prometheus.Registry
	wanted   []*domain.Wanted
	problem  error
}

func newWatched(t *testing.T, w *world) *watched {
	t.Helper()
	x := &watched{registry: prometheus.NewRegistry(), wanted: []*domain.Wanted{wanted(t, "contoso.test"), wanted(t, "fabrikam.test")}}
	for _, want := range x.wanted {
		w.federated(t, want)
	}
	var err error
	x.Watch, err = domain.NewWatch(domain.WatchConfig{
		Client: w.client, Wanted: func() ([]*domain.Wanted, error) { return x.wanted, x.problem },
		Changed: func(v domain.View) { x.changed = append(x.changed, v) }, Logger: slog.New(slog.NewTextHandler(&x.log, nil)), Registerer: x.registry,
	})
	must(t, err)
	return x
}

func (x *watched) difference(t *testing.T, name string) float64 {
	t.Helper()
	return x.figure(t, "sallyport_domain_difference", name)
}

func (x *watched) figure(t *testing.T, metric, name string) float64 {
	t.Helper()
	all, err := x.registry.Gather()
	must(t, err)
	for _, family := range all {
		for _, m := range family.GetMetric() {
			if family.GetName() == metric && m.GetLabel()[0].GetValue() == name {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no figure for %s", name)
	return 0
}

// Somebody with rights at Microsoft adds a key of his own to one domain of two.
func TestWatchRaisesTheAlarmForAForeignKey(t *testing.T) {
	for _, slot := range []string{"signingCertificate", "nextSigningCertificate"} {
		t.Run(slot, func(t *testing.T) {
			w := newWorld(t, nil)
			x := newWatched(t, w)
			x.Round(t.Context())
			if x.Trouble() != "" || strings.Contains(x.log.String(), "ALARM") || len(x.changed) != 2 {
				t.Fatalf("before: %q, log %s", x.Trouble(), &x.log)
			}
			w.Set("fabrikam.test", slot, base64Of(certOf(t, "three")))
			x.Round(t.Context())
			if !strings.Contains(x.Trouble(), "fabrikam.test: "+slot) || strings.Contains(x.Trouble(), "contoso.test: ") {
				t.Errorf("trouble %q", x.Trouble())
			}
			if n := strings.Count(x.log.String(), "ALARM"); n != 1 || x.difference(t, "fabrikam.test") != 4 || x.difference(t, "contoso.test") != 0 {
				t.Errorf("%d alarms, figure %v", n, x.difference(t, "fabrikam.test"))
			}
			if len(x.changed) != 3 || x.changed[2].Worst() != domain.Foreign {
				t.Errorf("told %d changes", len(x.changed))
			}
			x.Round(t.Context())
			if n := strings.Count(x.log.String(), "ALARM"); n != 1 {
				t.Errorf("the same alarm %d times", n)
			}
			w.federated(t, x.wanted[1])
			x.Round(t.Context())
			if x.Trouble() != "" || !strings.Contains(x.log.String(), "agrees again") {
				t.Errorf("afterwards: %q", x.Trouble())
			}
		})
	}
}

func TestWatchRaisesTheAlarmForIssuerAndAddresses(t *testing.T) {
	for _, property := range []string{"issuerUri", "passiveSignInUri", "activeSignInUri", "metadataExchangeUri", "signOutUri"} {
		w := newWorld(t, nil)
		x := newWatched(t, w)
		w.Set("contoso.test", property, "https://sts.evil.test/adfs/ls/")
		x.Round(t.Context())
		if !strings.Contains(x.log.String(), "ALARM") || !strings.Contains(x.Trouble(), property) {
			t.Errorf("%s: trouble %q", property, x.Trouble())
		}
	}
}

// An older copy of the settings right after a change of ours is no alarm.
func TestWatchLooksAgainBeforeItComplains(t *testing.T) {
	w := newWorld(t, func(tc *graphtest.Config, _ *domain.Config) { tc.StaleReads = 1 })
	x := newWatched(t, w)
	x.wanted[0].Next = certOf(t, "two")
	_, f, err := w.client.Read(t.Context(), "contoso.test")
	must(t, err)
	must(t, w.client.Push(t.Context(), "contoso.test", x.wanted[0].Signing, x.wanted[0].Next, nil))
	_ = f
	x.Round(t.Context())
	if x.Trouble() != "" || w.pauses.total() == 0 {
		t.Errorf("trouble %q after waiting %s", x.Trouble(), w.pauses.total())
	}
}

// A key that another instance has made and put there meanwhile is no stranger's.
func TestWatchKnowsAKeyThatWasMadeWhileItLooked(t *testing.T) {
	w := newWorld(t, nil)
	x := newWatched(t, w)
	w.Set("contoso.test", "nextSigningCertificate", base64Of(certOf(t, "two")))
	w.pauses.during = func() {
		now := *x.wanted[0]
		now.Next = certOf(t, "two")
		x.wanted = []*domain.Wanted{&now, x.wanted[1]}
	}
	x.Round(t.Context())
	if x.Trouble() != "" || strings.Contains(x.log.String(), "ALARM") || x.difference(t, "contoso.test") != 0 {
		t.Errorf("trouble %q\n%s", x.Trouble(), &x.log)
	}
}

func TestWatchTellsWhatIsBehindOrCannotBeRead(t *testing.T) {
	w := newWorld(t, nil)
	x := newWatched(t, w)
	x.wanted[0].Next = certOf(t, "two")
	w.Fail(graphtest.Fault{Path: "fabrikam.test", Status: 503, Times: 5})
	x.Round(t.Context())
	if s := x.Trouble(); !strings.Contains(s, "contoso.test: nextSigningCertificate: Microsoft does not have") || !strings.Contains(s, "fabrikam.test: GET") {
		t.Errorf("trouble %q", s)
	}
	if x.figure(t, "sallyport_domain_readable", "contoso.test") != 1 || x.figure(t, "sallyport_domain_readable", "fabrikam.test") != 0 {
		t.Error("the figures do not say which domain cannot be read")
	}
	x.Round(t.Context())
	if s := x.Trouble(); strings.Contains(s, "fabrikam") || !strings.Contains(x.log.String(), "read again") {
		t.Errorf("trouble %q", s)
	}
	x.problem = errors.New("the ledger cannot be read")
	x.Round(t.Context())
	if !strings.Contains(x.Trouble(), "the ledger cannot be read") {
		t.Errorf("trouble %q", x.Trouble())
	}
	x.problem, x.wanted = nil, x.wanted[1:]
	x.Round(t.Context())
	if x.Trouble() != "" || len(x.Views()) != 1 {
		t.Errorf("a domain that is gone is still told: %q", x.Trouble())
	}
}

func TestWatchRunsUntilItIsEnded(t *testing.T) {
	w := newWorld(t, nil)
	x := newWatched(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	rounds := make(chan struct{}, 10)
	watch, err := domain.NewWatch(domain.WatchConfig{Client: w.client, Interval: time.Hour, Wanted: func() ([]*domain.Wanted, error) {
		rounds <- struct{}{}
		return x.wanted, nil
	}})
	must(t, err)
	done := make(chan struct{})
	go func() { defer close(done); watch.Run(ctx) }()
	<-rounds
	watch.Wake()
	<-rounds
	cancel()
	<-done
}

func TestPushNeverOverwritesAForeignKey(t *testing.T) {
	w := newWorld(t, nil)
	want := wanted(t, "contoso.test")
	w.federated(t, want)
	one, two, three := certOf(t, "one"), certOf(t, "two"), certOf(t, "three")
	must(t, w.client.Push(t.Context(), "contoso.test", one, two, nil))
	signing, next, err := w.client.Slots(t.Context(), "contoso.test")
	must(t, err)
	if !signing.Equal(one) || !next.Equal(two) {
		t.Error("the slots hold something else")
	}
	must(t, w.client.Push(t.Context(), "contoso.test", one, two, nil))
	if n := len(w.Writes()); n != 1 {
		t.Errorf("%d changes for one", n)
	}
	w.Set("contoso.test", "nextSigningCertificate", base64Of(three))
	if err := w.client.Push(t.Context(), "contoso.test", one, two, nil); !errors.Is(err, domain.ErrForeign) {
		t.Errorf("got %v", err)
	}
	w.Set("contoso.test", "nextSigningCertificate", "AAAA")
	if err := w.client.Push(t.Context(), "contoso.test", one, two, nil); !errors.Is(err, domain.ErrForeign) {
		t.Errorf("got %v", err)
	}
	if _, _, err := w.client.Slots(t.Context(), "contoso.test"); err == nil {
		t.Error("a slot that cannot be read was taken as empty")
	}
	if n := len(w.Writes()); n != 1 {
		t.Errorf("%d changes", n)
	}
	w.Set("contoso.test", "nextSigningCertificate", base64Of(three))
	must(t, w.client.Push(t.Context(), "contoso.test", two, nil, []*x509.Certificate{one, three}))
	if s := w.Settings("contoso.test"); s["signingCertificate"] != base64Of(two) || s["nextSigningCertificate"] != nil {
		t.Error("both slots were not replaced")
	}
}
