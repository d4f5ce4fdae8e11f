//go:build linux

package main

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestTheMedianDecidesAndAMissedGateFails(t *testing.T) {
	for _, tc := range []struct {
		goal, gate bound
		values     []float64
		verdict    string
		passed     bool
	}{
		{least(0.88), least(0.75), []float64{0.1, 0.9, 0.95}, "goal", true},
		{least(0.88), least(0.75), []float64{0.8, 0.1, 0.99}, "gate", true},
		{least(0.88), least(0.75), []float64{0.9, 0.1, 0.7}, "MISSED", false},
		{most(2.5), most(4), []float64{2.5}, "goal", true},
		{most(2.5), most(4), []float64{2, 4}, "gate", true},
		{most(2.5), most(4), []float64{4.1}, "MISSED", false},
	} {
		var tab table
		tab.note("beside it", "%.1f", 1)
		tab.add("1", "figure", "%.2f", tc.goal, tc.gate, tc.values...)
		var out strings.Builder
		if got := tab.print(&out); got != tc.passed || !strings.Contains(out.String(), tc.verdict) {
			t.Errorf("%v: passed %v\n%s", tc.values, got, out.String())
		}
	}
}

func TestEachRunsEveryOneOnceAndStopsAtAnError(t *testing.T) {
	l := load{new(client), new(client), new(client)}
	var ran [100]atomic.Int64
	if err := l.each(len(ran), func(_ *client, i int) error { ran[i].Add(1); return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range ran {
		if n := ran[i].Load(); n != 1 {
			t.Errorf("operation %d ran %d times", i, n)
		}
	}
	broken := errors.New("broken")
	if err := l.each(10, func(*client, int) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestThePageOfAnErrorIsNoToken(t *testing.T) {
	if err := checkToken(200, []byte(`<main><h1>Sign in</h1>`)); !errors.Is(err, errNoToken) {
		t.Errorf("sign-in page: %v", err)
	}
	if err := checkToken(503, []byte(`name="wresult"`)); !errors.Is(err, errNoToken) {
		t.Errorf("status 503: %v", err)
	}
	if err := checkToken(200, []byte(`<input type="hidden" name="wresult" value="">`)); err != nil {
		t.Error(err)
	}
}

// TestASmallRun builds the gateway and takes every figure once, small: the driver
// and the gateway still understand each other. Its figures mean nothing.
func TestASmallRun(t *testing.T) {
	if os.Getenv("SALLYPORT_LAB") != "1" && os.Getenv("CI") != "true" {
		t.Skip("builds and runs two programs, which takes a while; deploy/testbed/run does it")
	}
	p := plan{rounds: 1, connections: 2, browsers: 2, sessions: 5, passwords: 6, signatures: 2, pages: 10, binds: 10, soak: 10, starts: 2, users: 4, offered: 100 * time.Millisecond, fsync: true}
	if _, err := run(t.Context(), p, false); err != nil {
		t.Error(err)
	}
}
