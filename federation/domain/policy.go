package domain

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Policy is the tenant's federatedTokenValidationPolicy: for which domains a
// federated sign-in is refused when the account's root domain is not the issuer's.
type Policy struct {
	// RootDomains is none, all (Microsoft's default), allFederated, allManaged,
	// enumerated or allManagedAndEnumeratedFederated.
	RootDomains string
	// Names are the listed domains of the last two.
	Names []string
}

// Policy reads the tenant's policy. It is looked for in v1.0 and, where that has
// no such resource, in beta; [ErrPermission] when the application may not read it.
func (c *Client) Policy(ctx context.Context) (Policy, error) {
	o, err := c.call(ctx, http.MethodGet, "/v1.0/policies/federatedTokenValidationPolicy", nil)
	var e *Error
	if errors.As(err, &e) && (e.Status == http.StatusNotFound || e.Status == http.StatusBadRequest) {
		o, err = c.call(ctx, http.MethodGet, "/beta/policies/federatedTokenValidationPolicy", nil)
	}
	if err != nil {
		return Policy{}, err
	}
	top := reader{o: o}
	if value := top.list("value"); len(value) == 1 {
		// The documented examples wrap the object as a list of one.
		if inner, ok := value[0].(object); ok {
			top = reader{o: inner}
		}
	}
	r := reader{o: top.child("validatingDomains")}
	p := Policy{RootDomains: r.text("rootDomains"), Names: r.texts("domainNames")}
	if top.err == nil {
		top.err = r.err
	}
	if top.err != nil {
		return Policy{}, fmt.Errorf("federatedTokenValidationPolicy: %w", top.err)
	}
	return p, nil
}

// Judge compares the policy with the domains that this service issues for. Its
// tokens name the issuer of the account's own domain, so the strict policy costs
// nobody the sign-in; a loose one lets whoever holds the key of one domain into
// accounts of others.
func (p Policy) Judge(domains []string) Row {
	r := Row{Property: "federatedTokenValidationPolicy", Microsoft: printable(p.RootDomains, 60), Sallyport: "all"}
	loose := func(format string, args ...any) {
		r.Severity, r.Reason = Note, fmt.Sprintf(format, args...)+": set it to all, or take the risk knowingly"
	}
	switch p.RootDomains {
	case "all", "":
	case "none":
		loose("tokens of one domain's issuer sign in to accounts of any other domain")
	case "allFederated":
		loose("tokens of a federated domain's issuer sign in to accounts of managed domains, *.onmicrosoft.com among them")
	case "allManaged":
		loose("tokens of one federated domain's issuer sign in to accounts of another")
	case "enumerated", "allManagedAndEnumeratedFederated":
		r.Microsoft += " (" + printable(strings.Join(p.Names, ", "), 200) + ")"
		var missing []string
		for _, d := range domains {
			if !slices.ContainsFunc(p.Names, func(n string) bool { return strings.EqualFold(n, d) }) {
				missing = append(missing, d)
			}
		}
		if len(missing) > 0 {
			loose("%s not listed, so tokens of another domain's issuer sign in there", strings.Join(missing, ", "))
		}
	default:
		r.Severity, r.Reason = Note, "a value that this version does not know"
	}
	return r
}

// globalAdministrator is the template of the role that can always make a domain
// managed again.
const globalAdministrator = "62e90394-69f5-4237-9190-012177145e10"

// Admins returns the user principal names of the tenant's Global Administrators
// whose accounts are enabled. [ErrPermission] when the application may not read
// roles, which it needs for nothing else.
func (c *Client) Admins(ctx context.Context) ([]string, error) {
	var out []string
	path := "/v1.0/directoryRoles(roleTemplateId='" + globalAdministrator + "')/members?$select=userPrincipalName,accountEnabled"
	err := c.pages(ctx, path, func(o object) error {
		r := reader{o: o}
		upn, enabled := r.text("userPrincipalName"), o["accountEnabled"] == nil || r.flag("accountEnabled")
		if upn != "" && enabled {
			out = append(out, upn)
		}
		return r.err
	})
	return out, err
}

// Outside returns the names that do not depend on the domain: those of other
// domains that are no sub-domains of it.
func Outside(upns []string, name string) []string {
	var out []string
	for _, upn := range upns {
		suffix := strings.ToLower(upn[strings.LastIndexByte(upn, '@')+1:])
		if suffix != name && !strings.HasSuffix(suffix, "."+name) {
			out = append(out, upn)
		}
	}
	return out
}
