package wsfed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn/audit"
	"sallyport/federation"
	"sallyport/federation/web"
)

// Flow is the sign-in flow behind the dispatcher. Its methods answer the request,
// or return an error before they wrote anything.
type Flow interface {
	// Begin signs a person in for a checked request.
	Begin(w http.ResponseWriter, r *http.Request, req *federation.SignInRequest) error
	// Continue takes the service's own form.
	Continue(w http.ResponseWriter, r *http.Request) error
	// SignOut ends the browser's session.
	SignOut(w http.ResponseWriter, r *http.Request, out *federation.SignOut) error
	// Start answers a visit without any message.
	Start(w http.ResponseWriter, r *http.Request) error
}

// Config is what a [Handler] needs.
type Config struct {
	// Parties returns the registry in force; called for every request, so it may
	// follow reloads. Required.
	Parties func() *Registry
	// Flow is the sign-in flow. Required.
	Flow Flow
	// OwnForm reports whether a POST is the flow's own form and leaves its body to
	// be read again. Nil: it is one when it has a field t.
	OwnForm func(r *http.Request) (bool, error)
	// SAML takes SAML 2.0 messages, which share the path. Nil: they are refused.
	SAML web.Handler
	// Audit gets an event for each refused request. Nil: none.
	Audit audit.Recorder
	// Registerer gets the metrics. Nil: none.
	Registerer prometheus.Registerer
	// Now is the clock. Nil: [time.Now].
	Now func() time.Time
}

// Handler is the dispatcher of /adfs/ls/.
type Handler struct {
	cfg      Config
	messages *prometheus.CounterVec
}

// New returns a handler.
func New(cfg Config) (*Handler, error) {
	if cfg.Parties == nil || cfg.Flow == nil {
		return nil, errors.New("wsfed: a registry and a flow are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	h := &Handler{cfg: cfg, messages: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_passive_messages_total",
		Help: "Messages on /adfs/ls/, by kind and result (passed, or the problem of the refusal).",
	}, []string{"kind", "result"})}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(h.messages); err != nil {
			return nil, fmt.Errorf("wsfed: metrics: %w", err)
		}
	}
	return h, nil
}

// Routes implements [web.Mount].
func (h *Handler) Routes(r *web.Router) {
	r.Handle(web.Route{Name: "ls", Path: "/adfs/ls", Methods: []string{http.MethodGet, http.MethodPost},
		Negotiate: true, Handler: h.serve})
}

// serve decides by content what a request is ([MS-MWBF] 4.3.5; AD FS serves SAML
// 2.0 on the same path). Query and form are never both the message.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) error {
	query, err := web.ParseParams(r.URL.RawQuery)
	if err != nil {
		return h.refused(r, "query", federation.Refuse(federation.ProblemBadRequest, nil, err))
	}
	if r.Method != http.MethodPost {
		return h.dispatch(w, r, query, r.URL.RawQuery)
	}
	for _, name := range protocolParameters {
		if query.Has(name) {
			return h.refused(r, "form", federation.Refuse(federation.ProblemBadRequest, nil,
				fmt.Errorf("%w: %s stands in the query of a posted form", errMessage, name)))
		}
	}
	if h.cfg.OwnForm != nil {
		own, err := h.cfg.OwnForm(r)
		if err != nil {
			return err
		}
		if own {
			return h.count("own", h.cfg.Flow.Continue(w, r))
		}
	}
	form, err := web.Form(r)
	if err != nil {
		return h.refused(r, "form", err)
	}
	if form.Has("t") && h.cfg.OwnForm == nil {
		return h.count("own", h.cfg.Flow.Continue(w, r))
	}
	if !form.Has("wa") && !isSAML(form) {
		return h.refused(r, "form", federation.Refuse(federation.ProblemBadRequest, nil,
			fmt.Errorf("%w: the form is none that is known", errMessage)))
	}
	raw := form.Encode()
	if crossSite(r) && !isSAML(form) && !form.Has("wresult") && len(raw) <= maxRepeat {
		return h.repeat(w, r, raw)
	}
	return h.dispatch(w, r, form, raw)
}

// maxRepeat bounds a posted message that is repeated as a GET: browsers and
// proxies take targets of that size.
const maxRepeat = 14 << 10

// crossSite reports whether the browser says that another site made the post. It
// then sends no SameSite=Lax cookies.
func crossSite(r *http.Request) bool { return r.Header.Get("Sec-Fetch-Site") == "cross-site" }

// repeat has the browser send a posted message again, as a GET, with its cookies
// (threats R04). Without them a sign-in would not find its session and would bind
// the browser anew, which makes its open sign-in pages stale, and a sign-out would
// take the cookie away and leave the session. The target is our own path; the
// parameters are judged when they come back.
func (h *Handler) repeat(w http.ResponseWriter, r *http.Request, raw string) error {
	w.Header().Set("Location", "/adfs/ls/?"+raw)
	w.WriteHeader(http.StatusSeeOther)
	return h.count("repeated", nil)
}

func isSAML(p web.Params) bool {
	return p.Has("SAMLRequest") || p.Has("SAMLResponse") || p.Has("SAMLart")
}

// dispatch serves one message whose parameters are known. raw repeats it as a
// query.
func (h *Handler) dispatch(w http.ResponseWriter, r *http.Request, params web.Params, raw string) error {
	saml := isSAML(params)
	switch wa := params.Has("wa"); {
	case wa && saml:
		return h.refused(r, "mixed", federation.Refuse(federation.ProblemBadRequest, nil,
			fmt.Errorf("%w: WS-Federation and SAML in one message", errMessage)))
	case saml && h.cfg.SAML != nil:
		return h.count("saml", h.cfg.SAML(w, r))
	case saml:
		return h.refused(r, "saml", federation.Refuse(federation.ProblemBadRequest, nil,
			errors.New("wsfed: SAML 2.0 messages are not served here")))
	case !wa && (params.Has("wtrealm") || params.Has("wresult")):
		return h.refused(r, "signin", federation.Refuse(federation.ProblemBadRequest, nil, fmt.Errorf("%w: wa is missing", errMessage)))
	case !wa:
		return h.count("start", h.cfg.Flow.Start(w, r))
	}
	m, err := read(params)
	if err != nil {
		return h.refused(r, "signin", federation.Refuse(federation.ProblemBadRequest, nil, err))
	}
	switch m.wa.s {
	case signInAction:
		return h.signIn(w, r, m, raw)
	case signOutAction:
		return h.signOut(w, r, m)
	case cleanupAction:
		return h.cleanup(w, r, m)
	default:
		return h.refused(r, "unknown", federation.Refuse(federation.ProblemBadRequest, nil,
			fmt.Errorf("%w: wa is %q", errMessage, m.wa.s)))
	}
}

func (h *Handler) signIn(w http.ResponseWriter, r *http.Request, m *message, raw string) error {
	req, err := m.signIn(h.cfg.Parties())
	if err != nil {
		return h.refused(r, "signin", err)
	}
	req.Query = raw
	return h.count("signin", h.cfg.Flow.Begin(w, r, req))
}

// signOut serves wsignout1.0, which is not authenticated ([MS-MWBF] note 5). A
// wreply that is not registered is not followed; the session ends all the same.
func (h *Handler) signOut(w http.ResponseWriter, r *http.Request, m *message) error {
	out := &federation.SignOut{Protocol: "wsfed", CorrelationID: web.CorrelationID(m.correlation.s)}
	parties := h.cfg.Parties()
	var known bool
	if out.Party = parties.ByIdentifier(m.wtrealm.s); out.Party != nil && m.wreply.s != "" {
		out.ReplyTo, known = parties.Reply(out.Party, m.wreply.s)
	} else if m.wtrealm.s == "" {
		out.ReplyTo, known = parties.AnyReply(m.wreply.s)
	}
	if m.wreply.s != "" && !known {
		// For the record only: the answer is the signed-out page.
		_ = h.audited(r, "signout_reply", out.Party, federation.Refuse(federation.ProblemUnknownParty, out.Party,
			fmt.Errorf("wsfed: wreply %.300q of a sign-out is not registered and was not followed", m.wreply.s)))
	}
	return h.count("signout", h.cfg.Flow.SignOut(w, r, out))
}

// cleanup serves wsignoutcleanup1.0, which a party or an upstream loads in a
// hidden frame ([MS-MWBF] note 83): constant text without any control, the one
// answer that may be framed.
func (h *Handler) cleanup(w http.ResponseWriter, r *http.Request, m *message) error {
	out := &federation.SignOut{Protocol: "wsfed", CorrelationID: web.CorrelationID(m.correlation.s), Quiet: true}
	if err := h.count("cleanup", h.cfg.Flow.SignOut(w, r, out)); err != nil {
		return err
	}
	web.AllowFrames(w.Header(), h.cfg.Parties().Origins())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := w.Write([]byte("Signed out.\n"))
	return err
}

// refused counts and records the refusal of a message before any credentials.
func (h *Handler) refused(r *http.Request, kind string, err error) error {
	h.messages.WithLabelValues(kind, string(federation.ProblemOf(err))).Inc()
	var fe *federation.Error
	if !errors.As(err, &fe) {
		return err
	}
	return h.audited(r, string(fe.Problem), fe.Party, fe)
}

// audited writes the audit event of a refusal. No token leaves here, so that a
// trail that cannot be written is noted in the error and changes nothing else.
func (h *Handler) audited(r *http.Request, reason string, rp *federation.RelyingParty, err *federation.Error) error {
	if h.cfg.Audit == nil {
		return err
	}
	info := web.From(r.Context())
	e := &audit.Event{
		Time: h.cfg.Now(), Code: audit.RequestRefused, Reference: info.Reference, CorrelationID: info.CorrelationID,
		Protocol: "wsfed", Client: info.Client.String(), Inside: info.Inside, Reason: reason,
	}
	if rp != nil {
		e.Party = rp.Identifiers[0]
	}
	if err.Cause != nil {
		e.Detail = err.Cause.Error()
	}
	// The person may be gone already; the event is written all the same.
	if aerr := h.cfg.Audit.Record(context.WithoutCancel(r.Context()), e); aerr != nil {
		with := *err
		with.Cause = errors.Join(err.Cause, fmt.Errorf("wsfed: audit: %w", aerr))
		return &with
	}
	return err
}

// count notes how the flow ended a message.
func (h *Handler) count(kind string, err error) error {
	result := "passed"
	if err != nil {
		result = string(federation.ProblemOf(err))
	}
	h.messages.WithLabelValues(kind, result).Inc()
	return err
}
