//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/ptaagent"
	"sallyport/ptaagent/ptatest"
)

// ptaBench drives the agent inside a gateway: the stand-in of the cloud, with its
// relay and front end, runs in this process, and so does the directory.
type ptaBench struct {
	plan
	g     *gateway
	cloud *ptatest.Cloud
}

// ptaRound is one turn: CPU nanoseconds for one operation.
type ptaRound struct{ oaep, kept, null, reliable, fetched, fresh float64 }

// pta measures line 5.
func pta(ctx context.Context, g *gateway, p plan, t *table) (err error) {
	cloud, err := ptatest.Start(ptatest.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cloud.Close()) }()
	s, err := ptaSettings(ctx, g.settings, cloud)
	if err != nil {
		return err
	}
	b := &ptaBench{plan: p, g: &gateway{program: g.program, settings: s, password: g.password, users: g.users}, cloud: cloud}
	if p.profile != "" {
		return b.profile(ctx)
	}
	if err := errors.Join(b.cpu(ctx, t), b.latency(ctx, t)); err != nil {
		return err
	}
	if p.requests > 0 {
		if err := b.memory(ctx, t); err != nil {
			return err
		}
	}
	if r := cloud.Refusals(); len(r) > 0 {
		return fmt.Errorf("the cloud refuses: %s", r[0])
	}
	return nil
}

// ptaSettings registers an agent and adds it to the gateway's settings.
func ptaSettings(ctx context.Context, s *settings, cloud *ptatest.Cloud) (*settings, error) {
	dir := filepath.Dir(s.file)
	state := filepath.Join(dir, "pta")
	_, err := ptaagent.Register(ctx, ptaagent.Registration{
		Tenant: cloud.Tenant, Token: cloud.AdminToken(), Dir: state, Keys: keyFiles(dir), Network: ptaagent.Network{Dial: cloud.DialContext, Roots: cloud.Roots()},
	})
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(s.file)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "pta.yaml")
	text = fmt.Appendf(text, "pta: {enabled: true, state_dir: %s, proxy_url: %q, ca_file: cloud.pem}\n", state, cloud.ProxyURL())
	return &settings{file: file, roots: s.roots}, errors.Join(
		os.WriteFile(filepath.Join(dir, "cloud.pem"), cloud.RootsPEM(), 0o600), os.WriteFile(file, text, 0o600))
}

// keyFiles keeps the agent's key where the server finds it (see benchserver).
type keyFiles string

// Generate implements [ptaagent.KeyStore].
func (dir keyFiles) Generate(_ context.Context, ref string) (ptaagent.Key, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, os.WriteFile(filepath.Join(string(dir), ref), der, 0o600)
}

// Open implements [ptaagent.KeyStore].
func (keyFiles) Open(context.Context, string) (ptaagent.Key, error) {
	return nil, errors.New("only the server opens the agent's key")
}

// Destroy implements [ptaagent.KeyStore].
func (keyFiles) Destroy(context.Context, string) error { return nil }

// start starts the gateway and waits for its links.
func (b *ptaBench) start(ctx context.Context) (*process, error) {
	wait, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := b.cloud.Wait(wait, func(s ptatest.Stats) bool { return s.Links == 0 }); err != nil {
		return nil, fmt.Errorf("links of the process before this one: %w", err)
	}
	proc, err := b.g.start(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.cloud.WaitListening(wait, len(b.cloud.Settings().Endpoints)); err != nil {
		return nil, errors.Join(err, proc.stop())
	}
	return proc, nil
}

// signIns makes n sign-ins, so many at a time.
func (b *ptaBench) signIns(ctx context.Context, n, workers int, s ptatest.SignIn) error {
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		all.Go(func() {
			for i := int(next.Add(1)); i <= n && errs[w] == nil; i = int(next.Add(1)) {
				errs[w] = b.signIn(ctx, i, s)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (b *ptaBench) signIn(ctx context.Context, i int, s ptatest.SignIn) error {
	s.UPN, s.Password = b.g.user(i), b.g.password
	v, err := b.cloud.SignIn(ctx, s)
	if err == nil && !v.OK {
		err = fmt.Errorf("%s is told %s", s.UPN, v.Code)
	}
	return err
}

// cpu measures the server's CPU for one request.
func (b *ptaBench) cpu(ctx context.Context, t *table) (err error) {
	proc, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proc.stop()) }()
	var rounds []ptaRound
	for i := range b.rounds + 1 {
		say("pass-through round %d of %d", i, b.rounds)
		r, err := b.round(ctx, proc)
		if err != nil {
			return fmt.Errorf("pass-through round %d: %w", i, err)
		}
		if i > 0 { // round 0 warms
			rounds = append(rounds, r)
		}
	}
	micro := func(f func(ptaRound) float64) []float64 {
		var out []float64
		for _, r := range rounds {
			out = append(out, f(r)/1e3)
		}
		return out
	}
	t.add("5", "pass-through request over kept connections: CPU besides RSA, µs", "%.0f", most(150), most(250), micro(func(r ptaRound) float64 { return r.null })...)
	perCore := micro(func(r ptaRound) float64 { return 1e9 / (r.kept / 1e3) })
	t.add("5", "pass-through requests a second and core", "%.0f", least(650), least(550), perCore...)
	t.note("RSA-OAEP decryption alone on all cores, µs", "%.0f", micro(func(r ptaRound) float64 { return r.oaep })...)
	t.note("a request with it, µs", "%.0f", micro(func(r ptaRound) float64 { return r.kept })...)
	t.note("over a reliable session, besides RSA, µs", "%.0f", micro(func(r ptaRound) float64 { return r.reliable })...)
	t.note("fetched over a WebSocket of its own, besides RSA, µs", "%.0f", micro(func(r ptaRound) float64 { return r.fetched })...)
	t.note("with a relayed connection of its own, besides RSA, µs", "%.0f", micro(func(r ptaRound) float64 { return r.fresh })...)
	return nil
}

func (b *ptaBench) round(ctx context.Context, proc *process) (ptaRound, error) {
	var r ptaRound
	u, err := proc.ask(map[string]any{"do": "oaep", "n": b.signatures, "workers": runtime.NumCPU()})
	if err != nil {
		return r, err
	}
	r.oaep = per(u, b.signatures)
	for _, kind := range []struct {
		to   *float64
		n    int
		null bool // no RSA
		s    ptatest.SignIn
	}{
		{&r.kept, b.passwords, false, ptatest.SignIn{Mode: ptatest.Direct, Session: ptatest.Plain}},
		{&r.null, 2 * b.passwords, true, ptatest.SignIn{Mode: ptatest.Direct, Session: ptatest.Plain}},
		{&r.reliable, b.passwords, true, ptatest.SignIn{Mode: ptatest.Direct, Session: ptatest.Reliable}},
		{&r.fetched, b.passwords / 2, true, ptatest.SignIn{Mode: ptatest.Connect, Session: ptatest.Plain}},
		{&r.fresh, b.passwords / 4, true, ptatest.SignIn{Mode: ptatest.Direct, Session: ptatest.Plain, Fresh: true}},
	} {
		if err := b.signIns(ctx, 2*b.connections, b.connections, kind.s); err != nil {
			return r, err
		}
		if _, err := proc.ask(map[string]any{"do": "decrypt", "null": kind.null}); err != nil {
			return r, err
		}
		u, err := proc.weigh(func() error { return b.signIns(ctx, kind.n, b.connections, kind.s) })
		if err != nil {
			return r, err
		}
		*kind.to = per(u, kind.n)
	}
	_, err = proc.ask(map[string]any{"do": "decrypt"})
	return r, err
}

// latency offers 70 % of what one core can do, at random times, and compares the
// slowest hundredth with the middle. The gateway has a core of its own, the cloud and
// the directory have the others.
func (b *ptaBench) latency(ctx context.Context, t *table) (err error) {
	const most70, rounds = 0.7, 5
	kept := ptatest.SignIn{Mode: ptatest.Direct, Session: ptatest.Plain}
	proc, err := onOneCore(func() (*process, error) { return b.start(ctx) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proc.stop()) }()
	if err := b.signIns(ctx, 200, b.connections, kept); err != nil {
		return err
	}
	begun := time.Now()
	if err := b.signIns(ctx, b.passwords, b.connections, kept); err != nil {
		return err
	}
	most := float64(b.passwords) / time.Since(begun).Seconds()
	var ratios, middles, slowest []float64
	for range rounds {
		took, err := b.offer(ctx, most*most70, max(1, int(most*most70*b.offered.Seconds())), kept)
		if err != nil {
			return err
		}
		slices.Sort(took)
		p50, p99 := took[len(took)/2], took[len(took)*99/100]
		ratios, middles, slowest = append(ratios, float64(p99)/float64(p50)), append(middles, p50.Seconds()*1e3), append(slowest, p99.Seconds()*1e3)
	}
	t.add("5", "p99 / p50 of requests at 70 % of a core, best of five rounds", "%.1f", bound{value: 10}, bound{value: 10}, slices.Min(ratios))
	t.note("requests a second, gateway alone on a core, cloud and directory beside it", "%.0f", most)
	t.note("p50 at 70 % of that, ms", "%.1f", middles...)
	t.note("p99, ms", "%.1f", slowest...)
	return nil
}

// offer makes n sign-ins at random times, so many a second, whatever becomes of those
// before, and returns how long each took.
func (b *ptaBench) offer(ctx context.Context, rate float64, n int, s ptatest.SignIn) ([]time.Duration, error) {
	took, errs := make([]time.Duration, n), make([]error, n)
	var all sync.WaitGroup
	at := time.Now()
	for i := range n {
		at = at.Add(time.Duration(mathrand.ExpFloat64() / rate * float64(time.Second)))
		time.Sleep(time.Until(at))
		due := at
		all.Go(func() {
			errs[i] = b.signIn(ctx, i, s)
			took[i] = time.Since(due)
		})
	}
	all.Wait()
	return took, errors.Join(errs...)
}

// onOneCore starts a process that has one core, which this one then leaves to it.
func onOneCore(start func() (*process, error)) (*process, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, fmt.Errorf("affinity: %w", err)
	}
	first := 0
	for !all.IsSet(first) {
		first++
	}
	one.Set(first)
	rest := all
	if rest.Count() > 1 {
		rest.Clear(first)
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil { // the new process inherits it from this thread
		return nil, fmt.Errorf("affinity: %w", err)
	}
	p, err := start()
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		var id int
		if _, scan := fmt.Sscan(thread.Name(), &id); scan == nil {
			_ = unix.SchedSetaffinity(id, &rest) // a thread that has ended needs none
		}
	}
	return p, err
}

// memory reads the resident set in the course of many requests.
func (b *ptaBench) memory(ctx context.Context, t *table) (err error) {
	proc, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proc.stop()) }()
	kept := ptatest.SignIn{Mode: ptatest.Direct}
	var resident []float64
	const parts = 10
	for i := range parts {
		if err := b.signIns(ctx, b.requests/parts, 4*b.connections, kept); err != nil {
			return err
		}
		u, err := proc.usage()
		if err != nil {
			return err
		}
		resident = append(resident, float64(u.RSS)/(1<<20))
		say("%d of %d requests, %.0f MB", (i+1)*(b.requests/parts), b.requests, resident[i])
	}
	t.note(fmt.Sprintf("resident set in the course of %d requests, MB", b.requests), "%.0f", resident...)
	first, last := slices.Max(resident[1:parts/2]), slices.Max(resident[parts/2:])
	t.add("5", "resident set, second half of these requests / first half", "%.2f", most(1.1), most(1.25), last/first)
	return nil
}

// profile writes a CPU profile of everything besides RSA instead of figures.
func (b *ptaBench) profile(ctx context.Context) (err error) {
	proc, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proc.stop()) }()
	file, err := filepath.Abs(b.plan.profile + ".pta")
	if err != nil {
		return err
	}
	kept := ptatest.SignIn{Mode: ptatest.Direct, Session: ptatest.Plain}
	if err := b.signIns(ctx, 500, b.connections, kept); err != nil {
		return err
	}
	if _, err := proc.ask(map[string]any{"do": "decrypt", "null": true}); err != nil {
		return err
	}
	if _, err := proc.ask(map[string]any{"do": "profile", "file": file}); err != nil {
		return err
	}
	if err := b.signIns(ctx, 3*b.rounds*b.passwords, b.connections, kept); err != nil {
		return err
	}
	_, err = proc.ask(map[string]any{"do": "profile"})
	say("%s", strings.TrimSpace(file))
	return err
}
