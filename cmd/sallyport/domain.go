package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"

	"sallyport/certs"
	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
	"sallyport/federation/domain"
)

const domainHelp = `What Microsoft Entra ID holds for the federated domains, and how to change it, by
Microsoft Graph.

  show [DOMAIN...]          Microsoft's view and this service's side by side
  check [DOMAIN...]         judge both, the tenant's policy and its other domains
  federate DOMAIN...        let people of a managed domain sign in here
  update [DOMAIN...]        put the current and the next certificate there
  unfederate DOMAIN...      let Microsoft check passwords again
  script ACTION DOMAIN...   print Graph PowerShell that does the same (federate,
                            update or unfederate), for those who may not call
                            Graph from here

The application that microsoft365.graph names needs these application permissions,
with an admin's consent:

  Domain.Read.All                                to read domains and their settings
  Domain-InternalFederation.ReadWrite.All and
  Domain.ReadWrite.All                           to change them
  Policy.Read.All                                for the token validation policy
  RoleManagement.Read.Directory                  to see that an admin remains who
                                                 does not depend on the domain

The last two are not needed for anything else, and show, check and the watch of the
service only read. Without DOMAIN all domains of the settings are meant. Whoever may
change these settings can sign in as anybody of the domain: keep the application's
key as safe as the one that signs tokens.`

func domainCommand() command {
	c := command{name: "domain", synopsis: "domain show|check|federate|update|unfederate|script", help: "read and change the domains' settings at Microsoft"}
	c.run = func(e env, args []string) int {
		d := &domainRun{env: e, flags: flags(e, c, domainHelp)}
		d.declare()
		rest, status, done := parse(e, d.flags, args, 1, 1000)
		if done {
			return status
		}
		run, ok := map[string]func(context.Context) int{
			"show": d.show, "check": d.check, "federate": d.federate, "update": d.update, "unfederate": d.unfederate, "script": d.script,
		}[rest[0]]
		if !ok {
			fmt.Fprintf(e.stderr, "sallyport domain: there is no %q: write show, check, federate, update, unfederate or script\n", rest[0])
			return exitUsage
		}
		d.action, d.names = rest[0], lowered(rest[1:])
		if status := d.usage(); status != exitGood {
			return status
		}
		var good bool
		if d.cfg, good = loadFederation(e, d.config); !good {
			return exitFailed
		}
		ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
		defer cancel()
		return run(ctx)
	}
	return c
}

// domainRun is one call of the command.
type domainRun struct {
	env
	flags  *flag.FlagSet
	action string
	names  []string
	cfg    *config.Config

	config            string
	json, dryRun, yes bool
	all, force        bool
	mfa, prompt       string
	current, next     string

	staged  *x509.Certificate // the next one, which is not for Microsoft yet
	answers *bufio.Reader     // of standard input, once somebody was asked
}

func (d *domainRun) declare() {
	f := d.flags
	f.StringVar(&d.config, "config", defaultConfig, "the settings `file`")
	f.BoolVar(&d.json, "json", false, "print JSON (show, check)")
	f.BoolVar(&d.dryRun, "dry-run", false, "print what would be sent (federate, update)")
	f.BoolVar(&d.yes, "yes", false, "do not ask (federate, update, unfederate)")
	f.BoolVar(&d.all, "all", false, "put issuer, addresses and behaviour right as well (update)")
	f.BoolVar(&d.force, "force", false, "federate although no admin would remain who does not depend on the domain")
	f.StringVar(&d.mfa, "mfa-behavior", "", "the `value` of federatedIdpMfaBehavior (federate, update --all; default rejectMfaByFederatedIdp)")
	f.StringVar(&d.prompt, "prompt-login-behavior", "", "the `value` of promptLoginBehavior (federate, update --all; default translateToFreshPasswordAuthentication)")
	f.StringVar(&d.current, "certificate", "", "a PEM `file` instead of the certificate that signs (federate, update, script)")
	f.StringVar(&d.next, "next-certificate", "", "a PEM `file` as the next certificate (federate, update, script)")
}

// usage refuses flags that the action does not have: one that is ignored would let
// an admin believe that it counts.
func (d *domainRun) usage() int {
	takes := map[string][]string{
		"show": {"json"}, "check": {"json"}, "unfederate": {"yes"},
		"federate": {"dry-run", "yes", "force", "mfa-behavior", "prompt-login-behavior", "certificate", "next-certificate"},
		"update":   {"dry-run", "yes", "all", "mfa-behavior", "prompt-login-behavior", "certificate", "next-certificate"},
		"script":   {"certificate", "next-certificate", "mfa-behavior", "prompt-login-behavior"},
	}[d.action]
	wrong := ""
	d.flags.Visit(func(f *flag.Flag) {
		if f.Name != "config" && !slices.Contains(takes, f.Name) {
			wrong = f.Name
		}
	})
	least := map[string]int{"federate": 1, "unfederate": 1, "script": 2}[d.action]
	switch {
	case wrong != "":
		fmt.Fprintf(d.stderr, "sallyport domain %s: has no --%s\n", d.action, wrong)
	case len(d.names) < least:
		fmt.Fprintf(d.stderr, "sallyport domain %s: name the domains: nothing is changed for all of them at once\n", d.action)
	default:
		return exitGood
	}
	return exitUsage
}

func lowered(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.ToLower(n)
	}
	return out
}

// noteStaged says of a next key that it is left out, and until when.
func (d *domainRun) noteStaged() {
	if d.staged != nil {
		fmt.Fprintf(d.stderr, "note: the next key, %s, is left out: it is for Microsoft when every instance lists it (published in sallyport\ncerts list); run this again then\n", brief(certs.Thumbprint(d.staged)))
	}
}

// fail prints an error and returns the status.
func (d *domainRun) fail(err error) int {
	fmt.Fprintf(d.stderr, "sallyport domain %s: %s\n", d.action, printable(err.Error()))
	return exitFailed
}

// wanted returns what this service wants for the named domains, all of the
// settings when none is named.
func (d *domainRun) wanted(ctx context.Context, names []string) ([]*domain.Wanted, error) {
	own, err := app.OwnCertificates(ctx, d.cfg)
	switch {
	case errors.Is(err, certs.ErrNoLedger):
		return nil, errors.New("there is no signing key yet, so nothing to compare or to send: sallyport certs import FILE brings in that of the service which is replaced, sallyport certs stage makes one")
	case err != nil:
		return nil, fmt.Errorf("token-signing certificate: %w", err)
	}
	if d.next == "" {
		d.staged = own.Staged
	}
	for _, f := range []struct {
		path string
		put  func(app.Own)
	}{{d.current, func(o app.Own) { own.Signing = o.Signing }}, {d.next, func(o app.Own) { own.Next = o.Signing }}} {
		if f.path == "" {
			continue
		}
		o, err := app.OwnOfFile(f.path)
		if err != nil {
			return nil, err
		}
		f.put(o)
	}
	all := app.DomainsWanted(d.cfg, own)
	if err := domain.CheckIssuers(all); err != nil {
		return nil, err
	}
	for _, w := range all {
		w.MFA, w.PromptLogin = d.mfa, d.prompt
	}
	if len(names) == 0 {
		if len(all) == 0 {
			return nil, fmt.Errorf("the settings name no domain: write it into microsoft365.domains")
		}
		return all, nil
	}
	var list []*domain.Wanted
	for _, n := range names {
		i := slices.IndexFunc(all, func(w *domain.Wanted) bool { return w.Domain == n })
		if i < 0 {
			return nil, fmt.Errorf("%s is not in microsoft365.domains of the settings: without it nobody of it would get a token; write it there first", n)
		}
		if !slices.Contains(list, all[i]) {
			list = append(list, all[i])
		}
	}
	return list, nil
}

// prepare returns the client and what is wanted.
func (d *domainRun) prepare(ctx context.Context) (*domain.Client, []*domain.Wanted, error) {
	list, err := d.wanted(ctx, d.names)
	if err != nil {
		return nil, nil, err
	}
	client, err := app.GraphClient(d.cfg)
	return client, list, err
}

// each calls f for every domain, also after one has failed, and tells the sum.
func (d *domainRun) each(ctx context.Context, list []*domain.Wanted, done string, f func(*domain.Wanted) error) int {
	var good, bad []string
	for _, w := range list {
		if err := f(w); err != nil {
			bad = append(bad, w.Domain)
			fmt.Fprintf(d.stderr, "%s: %s\n", w.Domain, printable(err.Error()))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		good = append(good, w.Domain)
	}
	if len(list) > 1 {
		fmt.Fprintf(d.stdout, "\n%s: %s; failed: %s\n", done, orNone(good), orNone(bad))
	}
	if len(bad) > 0 {
		return exitFailed
	}
	return exitGood
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// confirm asks until the answer is want; anything else is a no. Without a
// terminal nobody can be asked, and --yes has to be written.
func (d *domainRun) confirm(question, want string) bool {
	if d.yes {
		return true
	}
	fmt.Fprintf(d.stdout, "%s Type %s to go on: ", question, want)
	if d.answers == nil {
		d.answers = bufio.NewReader(io.LimitReader(d.stdin, 64<<10))
	}
	line, err := d.answers.ReadString('\n')
	if err != nil && line == "" {
		fmt.Fprintln(d.stdout)
		fmt.Fprintln(d.stderr, "nobody answers: add --yes where that is meant")
		return false
	}
	if strings.TrimSpace(line) != want {
		fmt.Fprintln(d.stdout, "nothing was changed")
		return false
	}
	return true
}
