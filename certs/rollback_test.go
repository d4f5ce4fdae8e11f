package certs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/certs"
)

func TestC05_StolenKeyDoesNotComeBackWithAnOldLedger(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a")
	f.trust()
	_, err := f.hand().Stage(t.Context())
	must(t, err)
	f.round()
	before := f.ledger()
	stolen := before.Of(certs.Signing)
	backup := map[string][]byte{}
	files, err := filepath.Glob(filepath.Join(f.dir, "*"))
	must(t, err)
	for _, name := range files {
		backup[name], err = os.ReadFile(name)
		must(t, err)
	}

	_, _, err = f.hand().Emergency(t.Context(), "laptop lost")
	must(t, err)
	f.clock.Pass(5 * time.Second)
	must(t, f.nodes[0].Step(t.Context()))
	signs, seen := f.nodes[0].Keys().Current().ID, f.ledger()
	if signs == stolen.ID {
		t.Fatal("the stolen key still signs")
	}

	// Somebody puts the whole directory back, and other instances have gone on with it
	// until its version and its events are later than those that this one has seen.
	files, err = filepath.Glob(filepath.Join(f.dir, "*"))
	must(t, err)
	for _, name := range files {
		must(t, os.Remove(name))
	}
	for name, data := range backup {
		write(t, name, data, 0o600)
	}
	for _, c := range []struct {
		want  string
		until func(l *certs.Ledger) bool
	}{
		{"from version", func(*certs.Ledger) bool { return true }},
		{"from event", func(l *certs.Ledger) bool { return l.Version > seen.Version }},
		{"to when " + stolen.ID[:8] + ", which is gone, was signing", func(l *certs.Ledger) bool { return l.LastEvent > seen.LastEvent }},
	} {
		store := certs.NewDirStore(f.dir)
		for l := f.ledger(); !c.until(l); l = f.ledger() {
			l.Version++
			if l.Version > seen.Version {
				l.LastEvent++
			}
			must(t, store.Swap(t.Context(), l))
		}
		was := f.ledger().Version
		f.clock.Pass(policy.Live)
		err := f.nodes[0].Step(t.Context())
		if err == nil || !strings.Contains(err.Error(), "went back "+c.want) {
			t.Errorf("want %q: %v", c.want, err)
		}
		_ = f.nodes[0].Tell(t.Context())
		if now := f.nodes[0].Keys().Current().ID; now != signs {
			t.Errorf("%s signs, want %s", now, signs)
		}
		if now := f.ledger().Version; now != was {
			t.Errorf("version %d: the instance went on from the old ledger", now)
		}
		if s := f.nodes[0].Status(); !strings.Contains(fmt.Sprint(s.Troubles), "went back") {
			t.Errorf("nobody is told: %v", s.Troubles)
		}
	}
}
