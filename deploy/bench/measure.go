//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"time"

	"sallyport/authn/directory/directorytest"
)

// user names one of the accounts.
func (g *gateway) user(i int) string { return fmt.Sprintf("user%03d@contoso.test", i%g.users) }

// round is one turn of every kind: CPU nanoseconds for one operation.
type round struct{ rsa, floor, session, null, saml, page, post, active, bind float64 }

// speed measures lines 1, 2, 3, 4 and 6.
func speed(ctx context.Context, g *gateway, ad *directorytest.Directory, p plan, t *table) (err error) {
	proc, err := g.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proc.stop()) }()
	b := &driver{plan: p, g: g, proc: proc}
	if err := b.connect(ctx); err != nil {
		return err
	}
	defer b.close()
	var rounds []round
	var dials, binds int
	for i := range p.rounds + 1 {
		if i == 1 { // round 0 warms pools, caches and the branch predictor
			ad.ResetRecords()
		}
		say("round %d of %d", i, p.rounds)
		r, err := b.round(ctx)
		if err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
		if i > 0 {
			rounds = append(rounds, r)
		}
	}
	dials, binds = ad.DCs[0].Dials(), int(ad.BindCount())
	collect := func(f func(round) float64) []float64 {
		var out []float64
		for _, r := range rounds {
			out = append(out, f(r))
		}
		return out
	}
	t.add("1", "WS-Fed token with a session: raw RSA / server CPU", "%.2f", least(0.88), least(0.75), collect(func(r round) float64 { return r.rsa / r.session })...)
	t.add("2", "SAML 2.0 redirect with a session: raw RSA / server CPU", "%.2f", least(0.84), least(0.72), collect(func(r round) float64 { return r.rsa / r.saml })...)
	t.add("3", "WS-Fed token with the null signer / net/http floor", "%.1f", most(2.5), most(4), collect(func(r round) float64 { return r.null / r.floor })...)
	t.add("4", "password sign-in (page and form): server CPU / raw RSA", "%.2f", most(1.35), most(1.6), collect(func(r round) float64 { return (r.page + r.post) / r.rsa })...)
	t.add("4", "WS-Trust usernamemixed: server CPU / raw RSA", "%.2f", most(1.35), most(1.6), collect(func(r round) float64 { return r.active / r.rsa })...)
	t.add("6", "LDAP dials for one bind", "%.4f", most(0.001), most(0.005), float64(dials)/float64(max(binds, 1)))
	t.add("6", "client CPU of one bind, µs", "%.1f", most(25), most(40), collect(func(r round) float64 { return r.bind / 1e3 })...)
	micro := func(f func(round) float64) []float64 { return collect(func(r round) float64 { return f(r) / 1e3 }) }
	t.note("raw RSA-2048 signature, µs", "%.0f", micro(func(r round) float64 { return r.rsa })...)
	t.note("net/http, 10 KB over TLS, µs", "%.1f", micro(func(r round) float64 { return r.floor })...)
	t.note("WS-Fed token with a session, µs", "%.0f", micro(func(r round) float64 { return r.session })...)
	t.note("the same with the null signer, µs", "%.0f", micro(func(r round) float64 { return r.null })...)
	t.note("SAML 2.0 response with a session, µs", "%.0f", micro(func(r round) float64 { return r.saml })...)
	t.note("sign-in page, µs", "%.0f", micro(func(r round) float64 { return r.page })...)
	t.note("its form: bind, session, token, µs", "%.0f", micro(func(r round) float64 { return r.post })...)
	t.note("WS-Trust: bind and token, µs", "%.0f", micro(func(r round) float64 { return r.active })...)
	t.note("binds behind these figures", "%.0f", float64(binds))
	return nil
}

// profiles writes CPU profiles instead of figures.
func profiles(ctx context.Context, g *gateway, p plan) (err error) {
	proc, err := g.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proc.stop()) }()
	b := &driver{plan: p, g: g, proc: proc}
	if err := b.connect(ctx); err != nil {
		return err
	}
	defer b.close()
	for _, kind := range []struct {
		name string
		step func(context.Context, *round) error
	}{{"session", b.sessionStep}, {"null", b.nullStep}, {"saml", b.samlStep}, {"password", b.passwordStep}, {"wstrust", b.activeStep}} {
		name, step := kind.name, kind.step
		file, err := filepath.Abs(p.profile + "." + name)
		if err != nil {
			return err
		}
		if _, err := proc.ask(map[string]any{"do": "profile", "file": file}); err != nil {
			return err
		}
		var r round
		for range p.rounds {
			if err := step(ctx, &r); err != nil {
				return err
			}
		}
		if _, err := proc.ask(map[string]any{"do": "profile"}); err != nil {
			return err
		}
		say("%s", file)
	}
	return nil
}

// driver is the clients and what they carry from round to round.
type driver struct {
	plan
	g        *gateway
	proc     *process
	floor    load // at the floor's server
	sessions load // signed in
	people   load // sign in with a password each time
}

func (b *driver) connect(ctx context.Context) error {
	var err error
	if b.floor, err = b.proc.load(ctx, b.proc.floor, b.browsers); err != nil {
		return err
	}
	if b.sessions, err = b.proc.load(ctx, b.proc.address, b.browsers); err != nil {
		return err
	}
	if b.people, err = b.proc.load(ctx, b.proc.address, b.browsers); err != nil {
		return err
	}
	return b.sessions.all(func(c *client, i int) error { return c.signIn(b.g.user(i), b.g.password) })
}

func (b *driver) close() {
	b.floor.close()
	b.sessions.close()
	b.people.close()
}

// round takes one turn of every kind.
func (b *driver) round(ctx context.Context) (round, error) {
	var r round
	for _, step := range []struct {
		name string
		do   func(context.Context, *round) error
	}{
		{"raw RSA", b.rsaStep}, {"token with a session", b.sessionStep}, {"null signer", b.nullStep}, {"SAML 2.0 with a session", b.samlStep}, {"net/http floor", b.floorStep},
		{"password sign-in", b.passwordStep}, {"WS-Trust", b.activeStep}, {"bind", b.bindStep},
	} {
		if err := step.do(ctx, &r); err != nil {
			return r, fmt.Errorf("%s: %w", step.name, err)
		}
		time.Sleep(50 * time.Millisecond) // what a step left behind (garbage, timers) ends in its own share
	}
	return r, nil
}

// per is the server's CPU for one of n operations.
func per(u usage, n int) float64 { return float64(u.CPU) / float64(n) }

func (b *driver) rsaStep(_ context.Context, r *round) error {
	u, err := b.proc.ask(map[string]any{"do": "rsa", "n": b.signatures, "workers": runtime.NumCPU()})
	if err != nil {
		return err
	}
	r.rsa = per(u, b.signatures)
	return nil
}

func (b *driver) bindStep(_ context.Context, r *round) error {
	u, err := b.proc.ask(map[string]any{"do": "bind", "n": b.binds, "workers": 8, "user": b.g.user(0), "password": b.g.password})
	r.bind = per(u, b.binds)
	return err
}

func (b *driver) sessionStep(ctx context.Context, r *round) error {
	n := b.plan.sessions
	u, err := b.tokens(ctx, n)
	if err == nil && u.Signs != int64(n) {
		err = fmt.Errorf("%d signatures for %d tokens", u.Signs, n)
	}
	r.session = per(u, n)
	return err
}

// nullStep is the same with a signer that costs nothing.
func (b *driver) nullStep(ctx context.Context, r *round) (err error) {
	if _, err := b.proc.ask(map[string]any{"do": "sign", "null": true}); err != nil {
		return err
	}
	defer func() {
		_, back := b.proc.ask(map[string]any{"do": "sign"})
		err = errors.Join(err, back)
	}()
	n := b.pages
	u, err := b.tokens(ctx, n)
	if err == nil && u.Signs != 0 {
		err = fmt.Errorf("%d signatures by the null signer", u.Signs)
	}
	r.null = per(u, n)
	return err
}

// tokens gets n tokens with the sessions that the clients have.
func (b *driver) tokens(ctx context.Context, n int) (usage, error) {
	if err := b.sessions.warm(ctx, signinPath); err != nil {
		return usage{}, err
	}
	return b.proc.weigh(func() error {
		return b.sessions.each(n, func(c *client, _ int) error { return c.token() })
	})
}

func (b *driver) floorStep(ctx context.Context, r *round) error {
	if err := b.floor.warm(ctx, "/"); err != nil {
		return err
	}
	u, err := b.proc.weigh(func() error {
		return b.floor.each(b.pages, func(c *client, _ int) error {
			status, body, err := c.do(http.MethodGet, "/", nil)
			if err == nil && (status != http.StatusOK || len(body) != 10240) {
				err = fmt.Errorf("status %d, %d bytes", status, len(body))
			}
			return err
		})
	})
	r.floor = per(u, b.pages)
	return err
}

// passwordStep fetches pages, then posts them: each half is weighed.
func (b *driver) passwordStep(ctx context.Context, r *round) error {
	n := b.passwords
	type form struct {
		c *client
		t string
	}
	forms := make([]form, n)
	for _, c := range b.people {
		clear(c.cookies) // nobody is signed in yet
	}
	if err := b.people.warm(ctx, signinPath); err != nil {
		return err
	}
	got, err := b.proc.weigh(func() error {
		return b.people.each(n, func(c *client, i int) error {
			t, err := c.page()
			forms[i] = form{c, t}
			return err
		})
	})
	if err != nil {
		return err
	}
	of := map[*client][]string{}
	for _, f := range forms {
		of[f.c] = append(of[f.c], f.t)
	}
	sent, err := b.proc.weigh(func() error {
		return b.people.all(func(c *client, who int) error {
			for i, t := range of[c] {
				delete(c.cookies, "__Host-sallyport") // a new person, whom nobody else is at the time
				if err := c.post(t, b.g.user(who+i*len(b.people)), b.g.password); err != nil {
					return err
				}
			}
			return nil
		})
	})
	r.page, r.post = per(got, n), per(sent, n)
	return err
}
