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
		if !r.force && errors.Is(err, certs.ErrRefused) {
			err = fmt.Errorf("%w (--force overrides what is not known of relying parties, never an instance that lacks the key)", err)
		}
		return r.fail(err)
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
		return r.fail(err)
	}
	fmt.Fprintf(r.stdout, "%s signs from %s on. The key before it stays published until its last tokens have\nexpired; until then sallyport certs promote brings it back.\n", e.ID, e.SignsFrom.UTC().Format("15:04:05 UTC"))
	return exitGood
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
	case err != nil:
		return r.fail(err)
	}
	if e.State == certs.Signing {
		fmt.Fprintf(r.stdout, "%s (%s) is the first key and signs from now on. Parties that know it notice no\nchange. Delete %s: whoever has it can sign in as anybody.\n", e.ID, printable(cert.Subject.String()), r.args[0])
		return exitGood
	}
	fmt.Fprintf(r.stdout, "%s (%s) is staged. Delete %s: whoever has it can sign in as anybody.\n", e.ID, printable(cert.Subject.String()), r.args[0])
	return exitGood
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
	if !r.confirm("People cannot sign in to a party until it has the new certificate.", "emergency") {
		return exitFailed
	}
	signs, standby, err := r.hand.Emergency(ctx, r.reason)
	if signs == nil && err != nil {
		return r.fail(err)
	}
	fmt.Fprintf(r.stdout, `
%s signs now, %s stands by.

Do next, in this order:
  1. sallyport domain update            both certificates at Microsoft, all domains
  2. sallyport domain check             until it says that Microsoft holds both
  3. revoke the sign-in sessions of all users at Microsoft (Revoke-MgUserSignInSession):
     what the stolen key let in stays in until then
  4. sallyport certs export             the notice for the other relying parties
  5. find out how the key got out, before the next one does
`, signs.ID, standby.ID)
	if err != nil {
		return r.fail(err)
	}
	return exitGood
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
	if e == nil {
		e = l.Of(certs.Signing)
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
