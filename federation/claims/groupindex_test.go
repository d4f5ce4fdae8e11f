package claims_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/federation"
	"sallyport/federation/claims"
)

func TestGroupIndexAsksOnceAndNoticesWhatChanges(t *testing.T) {
	clock := now
	ad := contosoGroups()
	var log bytes.Buffer
	x := claims.NewGroupIndex(ad, slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return clock })
	sid := func(name string) string {
		t.Helper()
		s, err := x.SID(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for range 3 {
		if sid(`CONTOSO\Staff`) != sidStaff || sid(`contoso\staff`) != sidStaff || sid(`CONTOSO\New`) != "" {
			t.Error("wrong SIDs")
		}
	}
	if ad.asked.Load() != 2 {
		t.Errorf("asked %d times for two groups", ad.asked.Load())
	}
	// A group that is made is found within a minute.
	ad.sids[`CONTOSO\New`] = "S-1-5-21-1-2-3-9"
	clock = clock.Add(time.Minute)
	if sid(`CONTOSO\New`) != "S-1-5-21-1-2-3-9" {
		t.Error("the new group is not found")
	}
	// What is known outlives an outage; what is not is an error, never "no such group".
	ad.err = errDown
	clock = clock.Add(time.Hour)
	if sid(`CONTOSO\Staff`) != sidStaff {
		t.Error("the outage took a known group away")
	}
	if _, err := x.SID(t.Context(), `CONTOSO\Guests`); !errors.Is(err, errDown) {
		t.Errorf("outage: %v", err)
	}
	ad.err = nil
	// A group that was made anew under its name has another SID.
	ad.sids[`CONTOSO\Staff`] = sidOwners
	x.Want([]string{`CONTOSO\Staff`, `CONTOSO\Gone`})
	if err := x.Refresh(t.Context()); err != nil || sid(`CONTOSO\Staff`) != sidOwners {
		t.Errorf("refresh: %v %s", err, sid(`CONTOSO\Staff`))
	}
	if !strings.Contains(log.String(), `CONTOSO\Gone`) {
		t.Errorf("the log does not name the missing group: %s", log.String())
	}
}

func TestGroupIndexRefreshesUntilItIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ad := contosoGroups()
		x := claims.NewGroupIndex(ad, nil, nil)
		x.Want([]string{`CONTOSO\Staff`})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { x.Run(ctx, 10*time.Minute); close(ended) }()
		synctest.Wait()
		if ad.asked.Load() != 1 {
			t.Errorf("asked %d times at the start", ad.asked.Load())
		}
		time.Sleep(31 * time.Minute)
		if ad.asked.Load() != 4 {
			t.Errorf("asked %d times in half an hour", ad.asked.Load())
		}
		cancel()
		<-ended
	})
}

// BenchmarkForWithRules is the price of a party's rules for a person in as many
// groups as the name says.
func BenchmarkForWithRules(b *testing.B) {
	sids, ad := numbered(300)
	few := append([]string{sidStaff, sidOwners}, sids[:3]...)
	for _, c := range []struct {
		name  string
		rules claims.Rules
		sub   *federation.Subject
	}{
		{"sharepoint, 5 groups", claims.Rules{Claims: claims.Preset("sharepoint")}, member(few...)},
		{"sharepoint, 300 groups", claims.Rules{Claims: claims.Preset("sharepoint"), MaxGroups: 300}, member(sids...)},
		{"access lists, 300 groups", claims.Rules{Claims: claims.Preset("exchange"), AllowGroups: []string{`CONTOSO\Team 299`}, DenyGroups: []string{`CONTOSO\Guests`, sidEscape}}, member(sids...)},
		{"match, 300 groups", claims.Rules{Claims: []claims.Rule{{Type: "role", AllGroups: "name", Match: []string{"Team 00*"}}}}, member(sids...)},
	} {
		// Names come from a map, as they come from the directory's memory.
		names := map[string]string{}
		for n, sid := range ad.sids {
			names[sid] = n
		}
		e := engine(b, func(cfg *claims.Config) {
			cfg.Rules, cfg.Groups = map[string]claims.Rules{"intranet": c.rules}, claims.NewGroupIndex(remembered{ad, names}, nil, nil)
		})
		req := intranet()
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.For(b.Context(), req, c.sub); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// remembered knows all names by heart.
type remembered struct {
	*groupsAD
	names map[string]string
}

func (r remembered) GroupNames(context.Context, string, []string) (map[string]string, error) {
	return r.names, nil
}
