//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"sallyport/authn/directory/directorytest"
)

// plan is how much is measured.
type plan struct {
	rounds      int
	connections int
	browsers    int // connections of browsers while speed is measured
	sessions    int // tokens from a session in one round
	passwords   int // password sign-ins in one round
	signatures  int // raw RSA signatures in one round
	pages       int // requests to the floor in one round
	binds       int // binds through authn/directory in one round
	soak        int // tokens before the memory is read
	starts      int
	users       int           // a multiple of browsers
	fsync       bool          // the audit trail's file is synced before a token leaves
	speed       bool          // lines 1 to 4 and 6 alone
	pta         bool          // line 5 alone
	offered     time.Duration // how long pass-through requests are offered at a rate, in one round
	requests    int           // pass-through requests in whose course the memory is read
	profile     string        // file for CPU profiles, one for each kind
}

func main() {
	p := plan{rounds: 7, connections: 16, browsers: 80, sessions: 1500, passwords: 1000, signatures: 1000, pages: 10_000, binds: 10_000, soak: 100_000, starts: 7, users: 160, offered: 4 * time.Second}
	short := flag.Bool("short", false, "five smaller rounds and 10,000 tokens instead of 100,000")
	flag.IntVar(&p.rounds, "rounds", p.rounds, "interleaved rounds of each kind")
	flag.IntVar(&p.soak, "tokens", p.soak, "tokens before the memory is read")
	keep := flag.Bool("keep", false, "keep the scratch directory and print its name")
	flag.BoolVar(&p.fsync, "fsync", true, "sync the audit file before a token leaves, as the product does by default")
	flag.IntVar(&p.browsers, "browsers", p.browsers, "connections of browsers while speed is measured, a divisor of 160")
	flag.BoolVar(&p.speed, "speed", false, "lines 1 to 4 and 6 alone")
	flag.BoolVar(&p.pta, "pta", false, "line 5 alone: pass-through authentication")
	flag.IntVar(&p.requests, "requests", 20_000, "pass-through requests in whose course the memory is read, 0 for none")
	flag.StringVar(&p.profile, "profile", "", "write CPU profiles of the gateway, one for each kind of load (FILE.session, FILE.null, …), and measure nothing")
	flag.Parse()
	if *short {
		p.sessions, p.passwords, p.signatures = 800, 500, 500
		set := map[string]bool{}
		flag.Visit(func(f *flag.Flag) { set[f.Name] = true })
		if !set["rounds"] {
			p.rounds = 5
		}
		if !set["tokens"] {
			p.soak = 10_000
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	good, err := run(ctx, p, *keep)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if err != nil || !good {
		os.Exit(1)
	}
}

// run measures everything and reports whether each figure passed its gate.
func run(ctx context.Context, p plan, keep bool) (good bool, err error) {
	dir, err := os.MkdirTemp("", "sallyport-bench-")
	if err != nil {
		return false, err
	}
	if keep {
		fmt.Println("scratch directory:", dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	say("building the gateway")
	server := filepath.Join(dir, "benchserver")
	shipped := filepath.Join(dir, "sallyport")
	if err := errors.Join(build(ctx, server, "sallyport/cmd/internal/benchserver"), build(ctx, shipped, "sallyport/cmd/sallyport")); err != nil {
		return false, err
	}
	password := rand.Text()
	ad, err := directorytest.Start(directorytest.Config{Users: users(p.users, password), Records: 1000})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, ad.Close()) }()
	s, err := writeSettings(dir, ad, p.fsync)
	if err != nil {
		return false, err
	}
	var t table
	g := &gateway{program: server, settings: s, password: password, users: p.users}
	if p.profile != "" && !p.pta {
		if err := profiles(ctx, g, p); err != nil || p.speed {
			return err == nil, err
		}
	}
	if p.profile != "" {
		return true, pta(ctx, g, p, &t)
	}
	if !p.pta {
		if err := gatewayFigures(ctx, g, shipped, ad, p, &t); err != nil {
			return false, err
		}
	}
	if !p.speed {
		if err := pta(ctx, g, p, &t); err != nil {
			return false, err
		}
	}
	for _, v := range ad.Violations() {
		return false, fmt.Errorf("the directory complains: %s", v)
	}
	fmt.Printf("\n%d cores, %s, %s/%s, %d rounds, median (lowest to highest), %s\n\n",
		runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, p.rounds, load1())
	return t.print(os.Stdout), nil
}

// gatewayFigures measures all lines but the fifth.
func gatewayFigures(ctx context.Context, g *gateway, shipped string, ad *directorytest.Directory, p plan, t *table) error {
	if p.speed {
		return speed(ctx, g, ad, p, t)
	}
	if err := writer(t); err != nil {
		return err
	}
	if err := memory(ctx, g, shipped, p, t); err != nil {
		return err
	}
	return speed(ctx, g, ad, p, t)
}

// load1 tells how busy the machine was: what others do on the same cores makes
// caches cold, and everything besides the signature dearer.
func load1() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "load unknown"
	}
	load, _, _ := strings.Cut(string(b), " ")
	return "load " + load
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func users(n int, password string) []directorytest.User {
	out := make([]directorytest.User, n)
	for i := range out {
		out[i] = directorytest.User{
			SAM: fmt.Sprintf("user%03d", i), UPN: fmt.Sprintf("user%03d@contoso.test", i), Password: password,
			DisplayName: fmt.Sprintf("User %d", i),
		}
	}
	return out
}
