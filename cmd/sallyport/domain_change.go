package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"sallyport/federation/domain"
)

// federate makes managed domains federated.
func (d *domainRun) federate(ctx context.Context) int {
	if d.dryRun {
		list, err := d.wanted(ctx, d.names)
		if err != nil {
			return d.fail(err)
		}
		return d.each(ctx, list, "shown", d.printRequest)
	}
	client, list, err := d.prepare(ctx)
	if err != nil {
		return d.fail(err)
	}
	defer client.Close()
	for _, w := range list {
		if _, err := w.Settings(); err != nil {
			return d.fail(err)
		}
	}
	return d.each(ctx, list, "federated", func(w *domain.Wanted) error { return d.federateOne(ctx, client, w) })
}

// printRequest is the dry run: the very request, and nobody is asked.
func (d *domainRun) printRequest(w *domain.Wanted) error {
	s, err := w.Settings()
	if err != nil {
		return err
	}
	body, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	fmt.Fprintf(d.stdout, "POST /v1.0/domains/%s/federationConfiguration\nContent-Type: application/json\n\n%s\n", w.Domain, body)
	return nil
}

func (d *domainRun) federateOne(ctx context.Context, client *domain.Client, w *domain.Wanted) error {
	if err := client.MayFederate(ctx, w.Domain); err != nil {
		return err
	}
	if err := d.remainingAdmins(ctx, client, w.Domain); err != nil {
		return err
	}
	fmt.Fprintf(d.stdout, "%s: everybody of this domain and of its sub-domains will sign in at %s from then on;\ntheir passwords at Microsoft count no longer. Try first with: sallyport signin USER@%s\n", w.Domain, w.PassiveSignInURI, w.Domain)
	if !d.confirm("Federate?", w.Domain) {
		return errors.New("not federated")
	}
	f, err := client.Federate(ctx, w)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.stdout, "%s: federated; read back: it holds %s\n", w.Domain, slots(f))
	return nil
}

// remainingAdmins refuses a domain without which no admin could sign in: when this
// service is down, nobody could take the federation back.
func (d *domainRun) remainingAdmins(ctx context.Context, client *domain.Client, name string) error {
	upns, err := client.Admins(ctx)
	switch {
	case errors.Is(err, domain.ErrPermission):
		fmt.Fprintf(d.stderr, "warning: the application may not read who is a Global Administrator (RoleManagement.Read.Directory): see yourself that one of them is outside %s, best at *.onmicrosoft.com\n", name)
		return nil
	case err != nil:
		return fmt.Errorf("reading who is a Global Administrator: %w", err)
	}
	switch left := len(domain.Outside(upns, name)); {
	case left > 0:
		return nil
	case d.force:
		fmt.Fprintf(d.stderr, "warning: no Global Administrator is outside %s\n", name)
		return nil
	}
	return fmt.Errorf("all %d Global Administrators are in this domain: when this service is down, nobody could take the federation back. Make an admin at *.onmicrosoft.com first (or write --force)", len(upns))
}

// update puts the current and the next certificate into both places.
func (d *domainRun) update(ctx context.Context) int {
	client, list, err := d.prepare(ctx)
	if err != nil {
		return d.fail(err)
	}
	defer client.Close()
	status := d.each(ctx, list, "in step", func(w *domain.Wanted) error { return d.updateOne(ctx, client, w) })
	d.noteStaged()
	return status
}

func (d *domainRun) updateOne(ctx context.Context, client *domain.Client, w *domain.Wanted) error {
	if _, err := w.Settings(); err != nil {
		return err
	}
	dom, f, err := client.Read(ctx, w.Domain)
	switch {
	case err != nil:
		return err
	case f == nil && !dom.Federated:
		return errors.New("the domain is not federated: sallyport domain federate does that")
	case f == nil:
		return errors.New("federated without settings that can be read: sallyport domain unfederate makes it managed")
	}
	ch := w.Changes(f, d.all)
	if len(ch.Members) == 0 {
		fmt.Fprintf(d.stdout, "%s: nothing to do; it holds %s\n", w.Domain, slots(f))
		return nil
	}
	view := domain.Compare(w, dom, f)
	for _, r := range view.Rows {
		if _, changes := ch.Members[r.Property]; !changes {
			continue
		}
		fmt.Fprintf(d.stdout, "%s: %s\n    from %s\n    to   %s\n", w.Domain, r.Property, orDash(r.Microsoft), orDash(newValue(ch, r)))
		if r.Severity >= domain.Broken {
			fmt.Fprintf(d.stdout, "    %s: %s\n", r.Severity, r.Reason)
		}
	}
	if d.dryRun {
		body, err := json.MarshalIndent(ch.Members, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(d.stdout, "\nPATCH /v1.0/domains/%s/federationConfiguration/%s\nContent-Type: application/json\n\n%s\n", w.Domain, f.ID, body)
		return nil
	}
	if !d.confirm("Change this?", w.Domain) {
		return errors.New("not changed")
	}
	f, err = client.Update(ctx, ch)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.stdout, "%s: changed (%s); read back: it holds %s\n", w.Domain, listed(ch.Members), slots(f))
	return nil
}

// newValue is what a change makes of a row, in words: certificates by thumbprint.
func newValue(ch domain.Change, r domain.Row) string {
	switch r.Property {
	case "signingCertificate":
		return r.Sallyport
	case "nextSigningCertificate":
		return ch.Beside()
	}
	text, _ := ch.Members[r.Property].(string)
	return text
}

func listed(m map[string]any) string {
	names := slices.Sorted(maps.Keys(m))
	out := ""
	for i, n := range names {
		if i > 0 {
			out += ", "
		}
		out += n
	}
	return out
}

// slots names what both places hold.
func slots(f *domain.Federation) string {
	text := "no signing certificate"
	if c := f.Signing.Certificate; c != nil {
		text = "signing certificate " + domain.Thumbprint(c)
	}
	if c := f.Next.Certificate; c != nil {
		return text + ", next " + domain.Thumbprint(c)
	}
	return text + ", no next one"
}

// unfederate makes domains managed. It works also for a domain that the settings do
// not name any more.
func (d *domainRun) unfederate(ctx context.Context) int {
	client, err := graphClient(d)
	if err != nil {
		return d.fail(err)
	}
	defer client.Close()
	var list []*domain.Wanted
	for _, n := range d.names {
		list = append(list, &domain.Wanted{Domain: n})
	}
	return d.each(ctx, list, "managed", func(w *domain.Wanted) error {
		dom, f, err := client.Read(ctx, w.Domain)
		if err != nil && dom.Name == "" {
			return err
		}
		if !dom.Federated {
			return errors.New("managed already")
		}
		held := "settings that cannot be read"
		if f != nil {
			held = "issuer " + printable(f.IssuerURI) + ", " + slots(f)
		}
		fmt.Fprintf(d.stdout, "%s: now %s.\nEverybody of this domain will sign in at Microsoft from then on, with the password that Microsoft holds\n(password hash synchronisation or pass-through authentication must be in place), or not at all.\n", w.Domain, held)
		if !d.confirm("Unfederate?", w.Domain) {
			return errors.New("still federated")
		}
		if err := client.Unfederate(ctx, w.Domain); err != nil {
			return err
		}
		fmt.Fprintf(d.stdout, "%s: managed\n", w.Domain)
		return nil
	})
}
