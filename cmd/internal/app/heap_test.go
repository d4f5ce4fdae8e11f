package app_test

import (
	"runtime/debug"
	"testing"

	"sallyport/cmd/internal/app"
)

func TestTheOperatorsWordOnMemoryStays(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	for name, c := range map[string]struct {
		gogc, limit string
		want        int
	}{"nothing said": {"", "", 400}, "GOGC": {"75", "", 100}, "GOMEMLIMIT": {"", "64MiB", 100}} {
		debug.SetGCPercent(100)
		t.Setenv("GOGC", c.gogc)
		t.Setenv("GOMEMLIMIT", c.limit)
		app.UseMemory()
		if got := debug.SetGCPercent(100); got != c.want {
			t.Errorf("%s: %d percent, want %d", name, got, c.want)
		}
	}
}
