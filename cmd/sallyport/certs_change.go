package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"sallyport/certs"
	"sallyport/certs/keystore"
	"sallyport/cmd/internal/config"
)

func (r *certsRun) stage(ctx context.Context) int {
	_, err := r.hand.Store.Load(ctx)
	first := errors.Is(err, certs.ErrNoLedger)
	var e *certs.Entry
	switch {
	case first:
		e, err = r.hand.First(ctx)
	case err == nil:
		e, err = r.hand.Stage(ctx)
	}
	if err != nil {
		return r.fail(err)
	}
	if r.json {
		return printJSON(r.env, map[string]string{"thumbprint": e.ID, "state": string(e.State)})
	}
	if first {
		fmt.Fprintf(r.stdout, "%s is the first key and signs from now on. Make its certificate known to every relying\nparty before anybody signs in: sallyport certs export, sallyport domain federate.\n", e.ID)
		return exitGood
	}
	fmt.Fprintf(r.stdout, "%s is staged: the instances load and publish it within seconds. sallyport certs list\nshows when it signs; sallyport certs export tells parties that read no metadata.\n", e.ID)
	return exitGood
}

func (r *certsRun) promote(ctx context.Context) int {
	id := ""
	if len(r.args) > 0 {
		id = r.args[0]
	}
	l, err := r.hand.Store.Load(ctx)
	if err != nil {
		return r.fail(err)
	}
	// What would be refused is said before anybody is asked.
	e, err := r.hand.Promotable(l, id, r.force)
	if err != nil {
		return r.refusedPromotion(err)
	}
	question := fmt.Sprintf("From now on all instances sign with %s.", e.ID)
	for _, p := range r.hand.Parties {
		line := partyOf(r.hand.View(l), l.Next(), p)
		if e.State == certs.Published && line.Knows != "yes" || p.Single {
			question += fmt.Sprintf("\n  %s: %s", p.Key, line.Why)
		}
	}
	if !r.confirm(question+"\nWho does not know its certificate refuses every sign-in.", "promote") {
		return exitFailed
	}
	if e, err = r.hand.Promote(ctx, e.ID, r.force); err != nil {
		return r.refusedPromotion(err)
	}
	fmt.Fprintf(r.stdout, "%s signs from %s on. The key before it stays published until its last tokens have\nexpired; until then sallyport certs promote brings it back.\n", e.ID, e.SignsFrom.UTC().Format("15:04:05 UTC"))
	return exitGood
}

// refusedPromotion says what a promotion waits for, each on a line of its own.
func (r *certsRun) refusedPromotion(err error) int {
	var unready *certs.NotReadyError
	if !errors.As(err, &unready) {
		return r.fail(err)
	}
	fmt.Fprintf(r.stderr, "sallyport certs: refused: people could not sign in everywhere if %s signed now. It waits for:\n", brief(unready.ID))
	for _, wait := range unready.Waits {
		fmt.Fprintln(r.stderr, "  -", printable(wait))
	}
	fmt.Fprintln(r.stderr, "  -> see to it, or wait: sallyport certs list shows how far it is. promote --force overrides what is\n     not known of relying parties, never an instance that lacks the key")
	return exitFailed
}

func (r *certsRun) retire(ctx context.Context) int {
	l, err := r.hand.Store.Load(ctx)
	if err != nil {
		return r.fail(err)
	}
	e, err := l.Find(r.args[0])
	if err != nil {
		return r.fail(err)
	}
	what := "It never signed"
	if e.State == certs.Retired {
		what = "Tokens that it signed in the last hour are refused from then on"
	}
	if e.State != certs.Signing && e.State != certs.Gone &&
		!r.confirm(fmt.Sprintf("%s (%s) is taken out of the metadata and its private key destroyed. %s.", e.ID, e.State, what), "retire") {
		return exitFailed
	}
	if e, err = r.hand.Retire(ctx, e.ID); err != nil {
		return r.fail(err)
	}
	fmt.Fprintf(r.stdout, "%s is gone.\n", e.ID)
	return exitGood
}

func (r *certsRun) told(ctx context.Context) int {
	known := false
	var keys []string
	for _, p := range r.hand.Parties {
		known = known || p.Key == r.args[1]
		keys = append(keys, p.Key)
	}
	if !known {
		return r.fail(fmt.Errorf("no relying party is called %q: there are %s", r.args[1], strings.Join(keys, ", ")))
	}
	if err := r.hand.Told(ctx, r.args[0], r.args[1]); err != nil {
		return r.fail(err)
	}
	fmt.Fprintf(r.stdout, "noted: %s holds %s\n", r.args[1], strings.ToUpper(r.args[0]))
	return exitGood
}

func (r *certsRun) importKey(ctx context.Context) int {
	key, cert, err := r.readPair(r.args[0])
	if err != nil {
		return r.fail(err)
	}
	e, err := r.hand.Import(ctx, key, cert)
	switch {
	case errors.Is(err, certs.ErrKnown):
		fmt.Fprintf(r.stdout, "nothing to do: %v\n", err)
		return exitGood
	case errors.Is(err, certs.ErrRefused):
		return r.fail(err)
	case err != nil:
		return r.fail(fmt.Errorf("%s: %w", r.args[0], err))
	}
	if e.State == certs.Signing {
		fmt.Fprintf(r.stdout, "%s (%s) is the first key and signs from now on. Parties that know it notice no\nchange. Delete %s: whoever has it can sign in as anybody.\n", e.ID, printable(cert.Subject.String()), r.args[0])
		return exitGood
	}
	fmt.Fprintf(r.stdout, "%s (%s) is staged. Delete %s: whoever has it can sign in as anybody.\n", e.ID, printable(cert.Subject.String()), r.args[0])
	r.warnOfShortLife(ctx, cert)
	return exitGood
}

// warnOfShortLife says when a next key ends before the one that signs: by itself it
// would never be used.
func (r *certsRun) warnOfShortLife(ctx context.Context, next *x509.Certificate) {
	l, err := r.hand.Store.Load(ctx)
	if err != nil {
		return
	}
	now, err := l.Of(certs.Signing).X509()
	if err == nil && next.NotAfter.Before(now.NotAfter) {
		fmt.Fprintf(r.stderr, "warning: it ends on %s, before the key that signs now (%s): promote it by hand, or give it up with\nsallyport certs retire %s\n",
			dateOf(next.NotAfter), dateOf(now.NotAfter), brief(certs.Thumbprint(next)))
	}
}

// readPair reads the file, with the password from a file or the terminal where it
// needs one.
func (r *certsRun) readPair(path string) (key crypto.Signer, cert *x509.Certificate, err error) {
	if r.passwordFile != "" {
		pw, err := (config.Secret{File: r.passwordFile}).Read()
		if err != nil {
			return nil, nil, err
		}
		return keystore.ReadPair(path, pw)
	}
	key, cert, err = keystore.ReadPair(path, nil)
	if !errors.Is(err, keystore.ErrNoPassword) {
		return key, cert, err
	}
	fd := int(r.stdin.Fd())
	if !term.IsTerminal(fd) {
		return nil, nil, fmt.Errorf("%w: name its file with --password-file", err)
	}
	fmt.Fprintf(r.stderr, "Password of %s: ", path)
	pw, perr := term.ReadPassword(fd)
	fmt.Fprintln(r.stderr)
	if perr != nil {
		return nil, nil, fmt.Errorf("reading the password: %w", perr)
	}
	return keystore.ReadPair(path, pw)
}

func (r *certsRun) emergency(ctx context.Context) int {
	l, err := r.hand.Store.Load(ctx)
	if err != nil {
		return r.fail(err)
	}
	fmt.Fprintln(r.stdout, "EMERGENCY ROTATION: for a signing key that may be in the wrong hands. It will")
	for _, e := range l.Entries {
		if e.State.Listed() {
			fmt.Fprintf(r.stdout, "  - give %s (%s) up for good: out of the metadata, private key destroyed\n", e.ID, e.State)
		}
	}
	fmt.Fprintln(r.stdout, "  - make two new keys: one signs at once, the other stands by\n  - so that both certificates that Microsoft holds are replaced:")
	for _, p := range r.hand.Parties {
		fmt.Fprintf(r.stdout, "      %-24s %s\n", printable(p.Key), emergencyFor(r.cfg, p))
	}
	if !r.confirm("People cannot sign in to a party until it has the new certificate. At Microsoft that is\nminutes to an hour after it was told: it names no time.", "emergency") {
		return exitFailed
	}
	signs, standby, err := r.hand.Emergency(ctx, r.reason)
	if signs == nil && err != nil {
		return r.fail(err)
	}
	fmt.Fprintf(r.stdout, `
%s signs now, %s stands by.

Do next, in this order:
%s`, signs.ID, standby.ID, r.afterEmergency(l, signs))
	if err != nil {
		return r.fail(err)
	}
	return exitGood
}

// afterEmergency is what is left to people, in the order in which it is urgent.
func (r *certsRun) afterEmergency(l *certs.Ledger, signs *certs.Entry) string {
	var steps []string
	if len(r.hand.View(l).Running) == 0 {
		steps = append(steps, "start the service: no instance is running")
	}
	if list := r.cfg.Microsoft365.Domains; len(list) > 0 {
		look := "sallyport domain check             until it says that Microsoft holds both."
		switch g := r.cfg.Microsoft365.Graph; {
		case g.On() && g.KeepInStep:
			steps = append(steps, "nothing at Microsoft: the running service puts both certificates there, within minutes")
		case g.On():
			steps = append(steps, "sallyport domain update            both certificates at Microsoft, all domains")
		default:
			steps = append(steps, "sallyport domain script update DOMAIN...   prints what puts both certificates at Microsoft,\n     for all domains: run it there")
			look = "see that what it prints at the end shows both certificates."
		}
		steps = append(steps, look+` Microsoft
     names no time within which they count everywhere: reckon with minutes to an hour,
     in which some sign-ins are still refused, and the stolen key is still believed`,
			`revoke the sign-in sessions of all users at Microsoft (Revoke-MgUserSignInSession):
     what the stolen key let in stays in until then`)
	}
	if len(r.cfg.RelyingParties) > 0 {
		steps = append(steps, "sallyport certs export             the notice for the other relying parties; when one\n     answers that it is done: sallyport certs told "+brief(signs.ID)+" PARTY")
	}
	steps = append(steps, "sallyport certs list               until it names no party that does not know the key",
		"find out how the key got out, before the next one does")
	var text strings.Builder
	for i, s := range steps {
		fmt.Fprintf(&text, "  %d. %s\n", i+1, s)
	}
	return text.String()
}

// emergencyFor says how a party gets the new certificates.
func emergencyFor(cfg *config.Config, p certs.Party) string {
	switch {
	case p.Pushed && cfg.Microsoft365.Graph.KeepInStep:
		return "told by the running service, within minutes"
	case p.Pushed:
		return "tell it: sallyport domain update " + p.Key
	case p.ByHand:
		return "tell it: sallyport domain script update " + p.Key
	case p.Single:
		return "tell it: sallyport certs export"
	default:
		return "reads the metadata, or tell it: sallyport certs export"
	}
}

func (r *certsRun) export(ctx context.Context) int {
	l, err := r.hand.Store.Load(ctx)
	if err != nil {
		return r.fail(err)
	}
	e := l.Next()
	if v := r.hand.View(l); e == nil || len(v.Uninformed()) > 0 {
		e = l.Of(certs.Signing) // after an emergency it is what parties miss
	}
	if len(r.args) > 0 {
		if e, err = l.Find(r.args[0]); err != nil {
			return r.fail(err)
		}
	}
	certFile, noticeFile, err := writeNotice(r.out, r.cfg, r.hand.View(l), e)
	if err != nil {
		return r.fail(err)
	}
	notice, err := os.ReadFile(noticeFile)
	if err != nil {
		return r.fail(err)
	}
	fmt.Fprintf(r.stdout, "%s\n%s\n\n%s", certFile, noticeFile, notice)
	return exitGood
}
