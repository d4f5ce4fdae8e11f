package domain

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Domain is a domain as the tenant holds it (Graph: domain).
type Domain struct {
	// Name is the domain, in lower case.
	Name string
	// Federated tells authenticationType Federated from Managed.
	Federated bool
	// Default is the tenant's default domain, Initial its *.onmicrosoft.com one.
	Default, Initial bool
	// Verified domains are proved to be the tenant's; Root ones have settings of
	// their own, others inherit their parent's.
	Verified, Root bool
}

// UpdateStatus is what Microsoft's own roll-over from our metadata last did.
type UpdateStatus struct {
	Result  string
	LastRun time.Time
}

// Federation is a domain's trust in an identity provider (Graph:
// internalDomainFederation).
type Federation struct {
	// ID names the object, for changes.
	ID string
	// DisplayName is shown to admins.
	DisplayName string
	// IssuerURI is compared with a token's issuer, byte for byte.
	IssuerURI string
	// The addresses that people and clients are sent to.
	PassiveSignInURI, ActiveSignInURI, MetadataExchangeURI, SignOutURI, PasswordResetURI string
	// Signing and Next are the certificates whose tokens are accepted.
	Signing, Next Slot
	// Protocol is preferredAuthenticationProtocol: wsFed or saml.
	Protocol string
	// PromptLogin is promptLoginBehavior, MFA federatedIdpMfaBehavior; empty when
	// Microsoft holds no value.
	PromptLogin, MFA string
	// SignedRequests is isSignedAuthenticationRequestRequired.
	SignedRequests bool
	// Update is signingCertificateUpdateStatus.
	Update UpdateStatus
}

func readDomain(o object) (Domain, error) {
	r := reader{o: o}
	d := Domain{
		Name: strings.ToLower(r.text("id")), Default: r.flag("isDefault"), Initial: r.flag("isInitial"),
		Verified: r.flag("isVerified"), Root: r.flag("isRoot"),
	}
	switch kind := r.text("authenticationType"); kind {
	case "Federated":
		d.Federated = true
	case "Managed":
	default:
		r.wrong("authenticationType", "Managed or Federated")
	}
	if !domain.MatchString(d.Name) {
		r.wrong("id", "a domain's name")
	}
	if r.err != nil {
		return Domain{}, fmt.Errorf("domain of the answer: %w", r.err)
	}
	return d, nil
}

func readFederation(o object) (*Federation, error) {
	r := reader{o: o}
	f := &Federation{
		ID: r.text("id"), DisplayName: r.text("displayName"), IssuerURI: r.text("issuerUri"),
		PassiveSignInURI: r.text("passiveSignInUri"), ActiveSignInURI: r.text("activeSignInUri"),
		MetadataExchangeURI: r.text("metadataExchangeUri"), SignOutURI: r.text("signOutUri"), PasswordResetURI: r.text("passwordResetUri"),
		Signing: readSlot(r.text("signingCertificate")), Next: readSlot(r.text("nextSigningCertificate")),
		Protocol: r.text("preferredAuthenticationProtocol"), PromptLogin: r.text("promptLoginBehavior"), MFA: r.text("federatedIdpMfaBehavior"),
		SignedRequests: r.flag("isSignedAuthenticationRequestRequired"),
	}
	status := reader{o: r.child("signingCertificateUpdateStatus")}
	f.Update = UpdateStatus{status.text("certificateUpdateResult"), status.instant("lastRunDateTime")}
	if !guid.MatchString(f.ID) {
		r.wrong("id", "a GUID")
	}
	if r.err == nil {
		r.err = status.err
	}
	if r.err != nil {
		return nil, fmt.Errorf("federation settings of the answer: %w", r.err)
	}
	return f, nil
}

func domainPath(name string) string { return "/v1.0/domains/" + url.PathEscape(name) }

// Domains returns all domains of the tenant.
func (c *Client) Domains(ctx context.Context) ([]Domain, error) {
	var out []Domain
	err := c.pages(ctx, "/v1.0/domains", func(o object) error {
		d, err := readDomain(o)
		out = append(out, d)
		return err
	})
	return out, err
}

// pages calls f for each object of a list, following @odata.nextLink, which must
// stay with Graph: it is fetched with the token.
func (c *Client) pages(ctx context.Context, path string, f func(object) error) error {
	for range maxPages {
		o, err := c.call(ctx, http.MethodGet, path, nil)
		if err != nil {
			return err
		}
		r := reader{o: o}
		list, next := r.objects("value"), r.text("@odata.nextLink")
		if r.err != nil {
			return fmt.Errorf("GET %s: %w", path, r.err)
		}
		for _, item := range list {
			if err := f(item); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		rest, ok := strings.CutPrefix(next, c.cloud.Graph)
		if !ok || !strings.HasPrefix(rest, "/") {
			return fmt.Errorf("GET %s: the next page is said to be at another place", path)
		}
		path = rest
	}
	return fmt.Errorf("GET %s: more than %d pages", path, maxPages)
}

// Domain returns one domain of the tenant; [ErrNotFound] when it has no such.
func (c *Client) Domain(ctx context.Context, name string) (Domain, error) {
	o, err := c.call(ctx, http.MethodGet, domainPath(name), nil)
	if err != nil {
		return Domain{}, err
	}
	return readDomain(o)
}

// Federation returns a domain's federation settings; [ErrNotFound] when it has
// none of its own.
func (c *Client) Federation(ctx context.Context, name string) (*Federation, error) {
	path := domainPath(name) + "/federationConfiguration"
	o, err := c.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	r := reader{o: o}
	list := r.objects("value")
	switch {
	case r.err != nil:
		return nil, fmt.Errorf("GET %s: %w", path, r.err)
	case len(list) == 0:
		return nil, fmt.Errorf("%w: %s has no federation settings", ErrNotFound, name)
	case len(list) > 1:
		return nil, fmt.Errorf("GET %s: %d settings, where Graph documents one at most", path, len(list))
	}
	return readFederation(list[0])
}

// create sends federation settings for a managed domain. After an [uncertain]
// error the caller reads the domain back; it never repeats the request blindly.
func (c *Client) create(ctx context.Context, name string, s Settings) error {
	_, err := c.call(ctx, http.MethodPost, domainPath(name)+"/federationConfiguration", s)
	return err
}

// change sends the members of the settings that are to be another value.
func (c *Client) change(ctx context.Context, name, id string, members map[string]any) error {
	_, err := c.call(ctx, http.MethodPatch, domainPath(name)+"/federationConfiguration/"+url.PathEscape(id), members)
	return err
}

// remove deletes federation settings, after which the domain is managed.
func (c *Client) remove(ctx context.Context, name, id string) error {
	_, err := c.call(ctx, http.MethodDelete, domainPath(name)+"/federationConfiguration/"+url.PathEscape(id), nil)
	return err
}

// manage makes a domain managed whose settings cannot be deleted.
func (c *Client) manage(ctx context.Context, name string) error {
	_, err := c.call(ctx, http.MethodPatch, domainPath(name), map[string]any{"authenticationType": "Managed"})
	return err
}
