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

// noteExpired reports a signature by a certificate that has expired (CASES C03).
func (h *Handler) noteExpired(ctx context.Context, e *envelope, p *Party, key int) {
	c := p.Certificates[key]
	if h.cfg.Now().Before(c.NotAfter) {
		return
	}
	e.note = "signed by certificate " + thumbprint(c) + ", which expired on " + c.NotAfter.UTC().Format(time.DateOnly)
	h.expired.WithLabelValues(p.Key).Inc()
	h.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "a party signs with an expired certificate", slog.String("party", p.Key),
		slog.String("thumbprint", thumbprint(c)), slog.Time("not_after", c.NotAfter), slog.String("ref", web.From(ctx).Reference))
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
