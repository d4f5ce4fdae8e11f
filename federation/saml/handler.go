package saml

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"
	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn/audit"
	"sallyport/federation"
	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/web"
)

// Flow is the sign-in flow. Its methods answer the request, or return an error
// before they wrote anything.
type Flow interface {
	// Begin signs a person in for a checked request, or returns
	// [federation.ErrPassive] for a passive one that would need the person.
	Begin(w http.ResponseWriter, r *http.Request, req *federation.SignInRequest) error
	// Hand posts an answer without a token.
	Hand(w http.ResponseWriter, r *http.Request, rp *federation.RelyingParty, ans *federation.Answer) error
	// SignedOn returns the person of the browser's session, nil when there is none.
	SignedOn(w http.ResponseWriter, r *http.Request) (*federation.Subject, error)
	// End ends the session and returns the parties that know it, as PROTOCOL:KEY.
	End(w http.ResponseWriter, r *http.Request, out *federation.SignOut) []string
	// Farewell is the page after a sign-out, which tells these parties of it in frames
	// and leads on to out.ReplyTo or with out.Onward.
	Farewell(w http.ResponseWriter, r *http.Request, out *federation.SignOut, parties []string) error
}

// Config is what a [Handler] needs.
type Config struct {
	// URL is this service's own address for messages, as parties know it, for
	// example https://sts.contoso.test/adfs/ls/. Required.
	URL string
	// Issuers returns the entity ids by which parties may know this service; called
	// for requests that list identity providers. Required.
	Issuers func() []string
	// Responder makes the answers; its registry is the handler's. Required.
	Responder *Responder
	// Flow is the sign-in flow. Required.
	Flow Flow
	// Window is how far a request's instant may lie from now. Zero fields: the
	// defaults.
	Window Window
	// Seal has the key of sign-outs on their way. Required.
	Seal Sealer
	// Party finds a party of whichever protocol by its key, nil when there is none.
	// Required.
	Party func(key string) *federation.RelyingParty
	// Discover looks for a party that nobody has registered, by its entity id; a nil
	// error says that the registry has it now. Nil: nobody is looked for.
	Discover func(ctx context.Context, client netip.Addr, entity string) error
	// Back signs people out server to server. Its zero value does not.
	Back BackChannel
	// SessionCookie is the cookie without which a cross-site POST is sent round once.
	// Required.
	SessionCookie string
	// Audit gets an event for each refused request. Nil: none.
	Audit audit.Recorder
	// Logger is told of signatures by expired certificates. Nil: nobody is.
	Logger *slog.Logger
	// Registerer gets the metrics. Nil: none.
	Registerer prometheus.Registerer
	// Now is the clock. Nil: [time.Now].
	Now func() time.Time
}

// Handler serves SAML 2.0 messages.
type Handler struct {
	cfg     Config
	origin  string
	answers *prometheus.CounterVec
	expired *prometheus.CounterVec
}

// New returns a handler.
func New(cfg Config) (*Handler, error) {
	own, err := url.Parse(cfg.URL)
	if err != nil || own.Scheme != "https" || own.Host == "" || cfg.Responder == nil || cfg.Flow == nil || cfg.Issuers == nil || cfg.SessionCookie == "" || cfg.Seal == nil || cfg.Party == nil {
		return nil, errors.New("saml: an https address, a responder, a flow, issuers, parties, a seal and the cookie's name are needed")
	}
	if cfg.Window.Before <= 0 {
		cfg.Window.Before = 5 * time.Minute
	}
	if cfg.Window.After <= 0 {
		cfg.Window.After = 3 * time.Minute
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	h := &Handler{cfg: cfg, origin: own.Scheme + "://" + own.Host,
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_saml_refusals_total",
			Help: "AuthnRequests that a party was told a Status about, by party and second-level status.",
		}, []string{"party", "status"}),
		expired: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_saml_expired_certificate_total",
			Help: "Requests verified by a certificate that has expired, by party.",
		}, []string{"party"}),
	}
	if cfg.Registerer != nil {
		if err := errors.Join(cfg.Registerer.Register(h.answers), cfg.Registerer.Register(h.expired)); err != nil {
			return nil, fmt.Errorf("saml: metrics: %w", err)
		}
	}
	return h, nil
}

// Serve answers one message. The form of a POST has been parsed by the dispatcher.
// It has the type of [web.Handler].
func (h *Handler) Serve(w http.ResponseWriter, r *http.Request) error {
	e, err := open(r)
	if err != nil {
		return h.refused(r, nil, federation.Refuse(federation.ProblemBadRequest, nil, err))
	}
	root := e.document.Unverified()
	switch {
	case e.response && xmlsec.Is(root, nsProtocol, "LogoutResponse"):
		return h.answered(w, r, e)
	case e.response:
		return h.refused(r, nil, bad(nil, "a response is not expected here"))
	case xmlsec.Is(root, nsProtocol, "AuthnRequest"):
		return h.authenticate(w, r, e)
	case xmlsec.Is(root, nsProtocol, "LogoutRequest"):
		return h.logout(w, r, e)
	default:
		return h.refused(r, nil, bad(nil, "message {%.80s}%.60s is not served", root.NamespaceURI(), root.Tag))
	}
}

// authenticate serves an AuthnRequest, in the order in which trust grows.
func (h *Handler) authenticate(w http.ResponseWriter, r *http.Request, e *envelope) error {
	head, p, root, err := h.sender(r.Context(), e, false)
	if err != nil {
		return h.refused(r, p, err)
	}
	req, told, err := h.request(e, head, p, root)
	switch {
	case err != nil:
		return h.refused(r, p, err)
	case told != nil:
		return h.tell(w, r, p, told, head, e)
	}
	if !req.ForceLogin && h.roundTrip(r, e) {
		return h.cfg.Flow.Hand(w, r, h.self(p), h.again(e))
	}
	switch err = h.cfg.Flow.Begin(w, r, req); {
	case errors.Is(err, federation.ErrPassive):
		told = refuse(responder, noPassive, "the person would have to be asked")
	case err != nil && req.Passive && answerable(err) && (!web.From(r.Context()).Framed || len(p.FrameOrigins) > 0):
		told = refuse(responder, "", "%w", err) // nobody looks at a page of ours
	default:
		return err
	}
	told.to = &Endpoint{URL: req.ReplyTo}
	return h.tell(w, r, p, told, head, e)
}

// answerable reports whether a party may hear of an error at a passive request: what
// went wrong here, and not that the request itself is no good.
func answerable(err error) bool {
	switch federation.ProblemOf(err) {
	case federation.ProblemBadRequest, federation.ProblemStale, federation.ProblemUnknownParty, federation.ProblemLoop:
		return false
	}
	return !errors.Is(err, federation.ErrUsed)
}

// sender finds out who sent a message and proves it as far as the party's settings
// ask, and everything else that a page of ours answers. The root that it returns
// is the only thing to read from. With sign it must be signed whatever they say.
func (h *Handler) sender(ctx context.Context, e *envelope, sign bool) (*head, *Party, *etree.Element, error) {
	root := e.document.Unverified()
	claimed, err := readHead(root)
	if err != nil {
		return nil, nil, nil, federation.Refuse(federation.ProblemBadRequest, nil, err)
	}
	p := h.cfg.Responder.Parties().ByEntity(claimed.issuer)
	if p == nil && h.cfg.Discover != nil {
		if err = h.cfg.Discover(ctx, web.From(ctx).Client, claimed.issuer); err == nil {
			p = h.cfg.Responder.Parties().ByEntity(claimed.issuer)
		}
	}
	if err != nil {
		return nil, nil, nil, federation.Refuse(federation.ProblemUnknownParty, nil, fmt.Errorf("saml: issuer %.300q is not registered and was not found: %w", claimed.issuer, err))
	}
	if p == nil {
		return nil, nil, nil, federation.Refuse(federation.ProblemUnknownParty, nil, fmt.Errorf("saml: issuer %.300q is not registered", claimed.issuer))
	}
	signed := e.signature != nil || e.document.Signed()
	if !signed && (p.WantSigned || sign && !p.unsignedLogout(e)) {
		return nil, p, nil, bad(p, "a signature is wanted and there is none")
	}
	// Nothing is lost with a signature that nobody can verify where none is asked for.
	if ignored := sign && p.unsignedLogout(e) && len(p.Certificates) == 0; !ignored {
		if root, err = h.verify(ctx, e, p, root); err != nil {
			return nil, p, nil, bad(p, "%w", err)
		}
	}
	proved, err := readHead(root)
	if err != nil || proved.issuer != claimed.issuer {
		return nil, p, nil, bad(p, "what is signed has another head than the message")
	}
	switch {
	case proved.destination != "" && !h.destined(e, proved.destination):
		return nil, p, nil, bad(p, "Destination %.300q is not %s", proved.destination, cmp.Or(e.at, h.cfg.URL))
	case proved.destination == "" && signed && e.at == "": // SAML Bindings 2.0 §3.4.5.2, §3.5.5.2
		return nil, p, nil, bad(p, "a signed message needs a Destination")
	case !h.cfg.Window.holds(proved.instant, h.cfg.Now()):
		return nil, p, nil, federation.Refuse(federation.ProblemStale, &p.RelyingParty,
			fmt.Errorf("saml: IssueInstant is %v from now", proved.instant.Sub(h.cfg.Now()).Round(time.Second)))
	}
	return proved, p, root, nil
}

// destined reports whether a message is for the place that it came to. The addresses for
// sign-ins that begin here are written with a query that names the party.
func (h *Handler) destined(e *envelope, value string) bool {
	if e.at != "" {
		return destination(value, e.at)
	}
	path, _, _ := strings.Cut(value, "?")
	return destination(value, h.cfg.URL) || destination(path, h.origin+initiatedPath) || destination(path, h.origin+initiatedPathOld)
}

// verify checks every signature that a message has.
func (h *Handler) verify(ctx context.Context, e *envelope, p *Party, root *etree.Element) (*etree.Element, error) {
	if e.signature != nil {
		i, err := xmlsec.VerifyOctets(e.algorithm, p.keys(), e.octets, e.signature, p.SHA1)
		if err != nil {
			return nil, fmt.Errorf("%w (tried %s)", err, thumbprints(p))
		}
		if err := h.dated(ctx, e, p, i); err != nil {
			return nil, err
		}
	}
	if !e.document.Signed() {
		return root, nil
	}
	v, err := e.document.Verify(p.keys(), xmlsec.Profile{SHA1: p.SHA1})
	if err != nil {
		return nil, fmt.Errorf("%w (tried %s)", err, thumbprints(p))
	}
	if err := h.dated(ctx, e, p, v.Key); err != nil {
		return nil, err
	}
	return v.Root, nil
}

// request turns a proved message into a request for the flow, or into a refusal
// that the party is told, or into one that it is not.
func (h *Handler) request(e *envelope, head *head, p *Party, root *etree.Element) (*federation.SignInRequest, *refusal, error) {
	standard, choose := p.defaultConsumer(), (*authnRequest).consumer
	if e.at != "" {
		standard, choose = p.enhancedConsumer(), (*authnRequest).enhancedConsumer
	}
	if second, ok := versionOf(head); !ok {
		told := refuse(versionMismatch, second, "Version is %.20q", head.version)
		told.to = standard
		return nil, told, nil
	}
	q, told := readAuthnRequest(head, root)
	if told != nil {
		told.to = standard
		return nil, told, nil
	}
	to, told, err := choose(q, p)
	if told != nil || err != nil {
		return nil, told, err
	}
	format, class, told := q.check(p, h.cfg.Issuers(), h.cfg.Now(), h.cfg.Window)
	if told != nil {
		told.to = to
		return nil, told, nil
	}
	x := extra{id: q.id, accepted: h.cfg.Now(), format: format, class: class, subject: q.subject, subjectFormat: q.subjectFormat, detail: q.detail(e.note)}
	return &federation.SignInRequest{
		Protocol: "saml", Party: &p.RelyingParty, Realm: q.issuer, ReplyTo: to.URL, State: e.state, HasState: e.hasState,
		ForceLogin: q.forceAuthn, Passive: q.isPassive, Passwords: class != "" && class != classUnspecified,
		LoginHint: hint(q.subject), Extra: x.encode(),
	}, nil, nil
}

// hint is a name to fill in, from the subject that the party asks for.
func hint(subject string) string {
	if addrSpec(subject) && !strings.ContainsFunc(subject, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return subject
	}
	return ""
}

// tell answers a party with a Status.
func (h *Handler) tell(w http.ResponseWriter, r *http.Request, p *Party, told *refusal, head *head, e *envelope) error {
	req := &federation.SignInRequest{State: e.state, HasState: e.hasState}
	ans, err := h.cfg.Responder.refuse(r.Context(), &p.RelyingParty, told, head.id, req)
	if err != nil {
		return err
	}
	second := told.second
	if second == "" {
		second = told.top
	}
	h.answers.WithLabelValues(p.Label(), strings.TrimPrefix(string(second), statusPrefix)).Inc()
	_ = h.audited(r, p, strings.TrimPrefix(string(second), statusPrefix), told)
	return h.cfg.Flow.Hand(w, r, &p.RelyingParty, ans)
}

// roundTrip reports whether a message came by a cross-site POST without our cookie,
// so that nobody can say whether there is a session: browsers withhold SameSite=Lax
// cookies from such a post (CASES C21). The form that this service answers with is
// posted from its own origin, so that this happens once.
func (h *Handler) roundTrip(r *http.Request, e *envelope) bool {
	return h.foreign(r, e, h.cfg.SessionCookie)
}

// foreign reports whether a post came from another site and without that cookie.
func (h *Handler) foreign(r *http.Request, e *envelope, cookie string) bool {
	if e.redirect || web.From(r.Context()).Framed {
		return false
	}
	if _, err := r.Cookie(cookie); err == nil {
		return false
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "cross-site":
		return true
	case "":
		origin := r.Header.Get("Origin")
		return origin != "" && !strings.EqualFold(origin, h.origin)
	default:
		return false
	}
}

// again is the same message, posted to this service by itself.
func (h *Handler) again(e *envelope) *federation.Answer {
	name := "SAMLRequest"
	if e.response {
		name = "SAMLResponse"
	}
	fields := []federation.Field{{Name: name, Value: strings.Map(printable, e.message)}}
	if e.hasState {
		fields = append(fields, federation.Field{Name: "RelayState", Value: e.state})
	}
	return &federation.Answer{Action: h.cfg.URL, Fields: fields}
}

// printable drops the line breaks that base64 may have.
func printable(r rune) rune {
	if r <= ' ' {
		return -1
	}
	return r
}

// self is the party for the page that leads back here: its name, and a policy that
// lets the form go nowhere else.
func (h *Handler) self(p *Party) *federation.RelyingParty {
	if p == nil {
		return &federation.RelyingParty{FormActions: []string{h.origin}}
	}
	return &federation.RelyingParty{Key: p.Key, Name: p.Name, Names: p.Names, FormActions: []string{h.origin}}
}
