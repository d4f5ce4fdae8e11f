package saml

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"sallyport/authn/audit"
	"sallyport/federation"
	"sallyport/federation/web"
)

// dated judges a good signature by the dates of its certificate: one that has expired
// is reported (CASES C03), and refused where the party wants valid ones.
func (h *Handler) dated(ctx context.Context, e *envelope, p *Party, key int) error {
	c, now := p.Certificates[key], h.cfg.Now()
	expired := !now.Before(c.NotAfter)
	if p.ValidOnly && (expired || now.Before(c.NotBefore)) {
		return fmt.Errorf("saml: signed by certificate %s, which is valid from %s to %s, and the settings of %s accept valid ones only",
			thumbprint(c), c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly), p.Key)
	}
	if !expired {
		return nil
	}
	e.note = "signed by certificate " + thumbprint(c) + ", which expired on " + c.NotAfter.UTC().Format(time.DateOnly)
	h.expired.WithLabelValues(p.Label()).Inc()
	h.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "a party signs with an expired certificate", slog.String("party", p.Key),
		slog.String("thumbprint", thumbprint(c)), slog.Time("not_after", c.NotAfter), slog.String("ref", web.From(ctx).Reference))
	return nil
}

// refused records the refusal of a message that ends in a page of ours.
func (h *Handler) refused(r *http.Request, p *Party, err error) error {
	var fe *federation.Error
	if !errors.As(err, &fe) {
		return err
	}
	if aerr := h.audited(r, p, string(fe.Problem), fe.Cause); aerr != nil {
		with := *fe
		with.Cause = errors.Join(fe.Cause, aerr)
		return &with
	}
	return err
}

// audited writes the audit event of a refusal. No token leaves here, so that a
// trail that cannot be written changes nothing else.
func (h *Handler) audited(r *http.Request, p *Party, reason string, cause error) error {
	if h.cfg.Audit == nil {
		return nil
	}
	info := web.From(r.Context())
	e := &audit.Event{
		Time: h.cfg.Now(), Code: audit.RequestRefused, Reference: info.Reference, CorrelationID: info.CorrelationID,
		Protocol: "saml", Client: info.Client.String(), Inside: info.Inside, Reason: reason,
	}
	if p != nil {
		e.Party = p.entity()
	}
	if cause != nil {
		e.Detail = cause.Error()
	}
	if err := h.cfg.Audit.Record(context.WithoutCancel(r.Context()), e); err != nil {
		return fmt.Errorf("saml: audit: %w", err)
	}
	return nil
}
