package saml

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/federation"
	"sallyport/federation/internal/repeat"
	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/web"
)

// ECPPath is where enhanced clients sign in.
const ECPPath = "/adfs/services/saml/ecp"

const (
	routeECP    = "saml_ecp"
	protocolECP = "saml-ecp"
	nsECP       = "urn:oasis:names:tc:SAML:2.0:profiles:SSO:ecp"
)

// Passwords checks credentials and wipes the password.
type Passwords interface {
	Verify(ctx context.Context, at authn.Attempt, c authn.Credentials) authn.Result
}

// Notes are short notes that all instances share; the session stores keep them.
type Notes = repeat.Notes

// ECPConfig is what [NewECP] needs.
type ECPConfig struct {
	// Messages reads requests and knows the parties. Required.
	Messages *Handler
	// URL is the endpoint's own address, for example
	// https://sts.contoso.test/adfs/services/saml/ecp. Required.
	URL string
	// Access says who may use the endpoint; called for every request. Nil: nobody.
	Access func() web.Access
	// Passwords is the one password pipeline. Required.
	Passwords Passwords
	// Audit gets the events; no token leaves without its own. Required.
	Audit audit.Recorder
	// Notes shares verdicts with the other instances. Nil: each remembers its own.
	Notes Notes
	// Key names verdicts; the same on every instance. Required: 32 bytes.
	Key []byte
	// Logger hears that a verdict could not be shared. Nil: nobody does.
	Logger *slog.Logger
	// Registerer gets the metrics. Nil: none.
	Registerer prometheus.Registerer
	// Now is the clock. Nil: [time.Now].
	Now func() time.Time
}

// ECP serves enhanced clients (SAML Profiles 2.0 §4.2): programs that carry an
// AuthnRequest of a party here themselves, in SOAP and with a password in the
// Authorization header, and carry the Response back. Exchange Online is one of them,
// without the headers of the profile.
//
// It is a door without a browser and without a second factor, and so off until it
// is switched on. Whatever is wrong with name or password is one answer, 401. A
// refused request that comes again within a minute is not judged and not counted
// again; one that was answered may come again, as who holds it holds the password. It
// is safe for concurrent use.
type ECP struct {
	cfg     ECPConfig
	repeats *repeat.Verdicts
	results *prometheus.CounterVec
}

// NewECP returns the endpoint.
func NewECP(cfg ECPConfig) (*ECP, error) {
	if cfg.Messages == nil || cfg.URL == "" || cfg.Passwords == nil || cfg.Audit == nil {
		return nil, errors.New("saml: enhanced clients need a handler of messages, an address, passwords and an audit trail")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	repeats, err := repeat.New(repeat.Config{Notes: cfg.Notes, Key: cfg.Key, Logger: cfg.Logger, Now: cfg.Now})
	if err != nil {
		return nil, fmt.Errorf("saml: enhanced clients: %w", err)
	}
	h := &ECP{cfg: cfg, repeats: repeats, results: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_ecp_requests_total",
		Help: "Requests of enhanced clients (SAML 2.0 ECP), by result.",
	}, []string{"result"})}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(h.results); err != nil {
			return nil, fmt.Errorf("saml: metrics: %w", err)
		}
	}
	return h, nil
}

// Routes implements [web.Mount]. The route is there whatever the settings say, since
// they may change; what is off answers as if it were not.
func (h *ECP) Routes(r *web.Router) {
	r.Handle(web.Route{Name: routeECP, Path: ECPPath, Methods: []string{http.MethodPost}, Body: MaxSOAP, Faults: true, OnBehalf: true, Handler: h.serve})
}

// open refuses those for whom the endpoint is not there: when it is off for them,
// and browsers, which would send a password that they have kept.
func (h *ECP) open(r *http.Request) error {
	if h.cfg.Access == nil || !h.cfg.Access().Admits(r) {
		return &federation.Error{Problem: federation.ProblemNotFound, Status: http.StatusNotFound, Cause: errors.New("saml: the endpoint is off for this client")}
	}
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Mode") != "" {
		return &federation.Error{Problem: federation.ProblemBadRequest, Status: http.StatusForbidden, Cause: errors.New("saml: a browser at the endpoint of enhanced clients")}
	}
	return nil
}

func (h *ECP) count(result string, err error) error {
	h.results.WithLabelValues(result).Inc()
	return err
}

// unauthorized is the answer to every refused credential.
func unauthorized(p *Party, cause error) error {
	e := &federation.Error{Problem: federation.ProblemNotAllowed, Status: http.StatusUnauthorized, Cause: cause}
	if p != nil {
		e.Party = &p.RelyingParty
	}
	return e
}

func (h *ECP) serve(w http.ResponseWriter, r *http.Request) error {
	if err := h.open(r); err != nil {
		return h.count("off", err)
	}
	name, password, ok := basic(r)
	if !ok {
		return h.count("no_credentials", unauthorized(nil, errors.New("saml: no name and password by the Basic scheme")))
	}
	defer password.Wipe()
	body, err := readBody(r)
	if err != nil {
		return h.count("unreadable", err)
	}
	q, told, err := h.read(r, body)
	if err != nil {
		return h.count("invalid_request", h.cfg.Messages.refused(r, q.party, err))
	}
	if told != nil {
		return h.count("refused_request", h.tell(w, r, q, told))
	}
	res, first := h.repeats.Verify(r.Context(), h.name(q, name, password), func() authn.Result {
		q.begun = time.Now()
		return h.cfg.Passwords.Verify(r.Context(), h.attempt(r, q), authn.Credentials{Name: name, Password: password})
	})
	switch {
	case !first:
		return h.repeated(r, q, res.Reason)
	case res.Reason == authn.Accepted && res.Account != nil:
		return h.issue(w, r, q, &res)
	case res.Reason.Undecided() || res.Reason == authn.Accepted:
		e := &federation.Error{Problem: federation.ProblemDirectory, Status: http.StatusServiceUnavailable, Party: &q.party.RelyingParty,
			RetryAfter: 30 * time.Second, Cause: fmt.Errorf("saml: nobody could judge the password: %s", res.Reason)}
		return h.count("failed", e)
	default: // the pipeline has written the audit event
		return h.count("refused", unauthorized(q.party, errors.New("saml: "+res.Reason.String())))
	}
}

// remember is how long a refusal counts for copies of its request.
const remember = 60 * time.Second

// name names a request by what makes it the same one.
func (h *ECP) name(q *enhanced, user string, password *authn.Password) repeat.ID {
	return h.repeats.ID(remember, []byte(ECPPath), []byte(q.req.Realm), []byte(q.head.id), []byte(user), password.Bytes())
}

// repeated answers a request whose first copy was refused as that was.
func (h *ECP) repeated(r *http.Request, q *enhanced, reason authn.Reason) error {
	cause := errors.New("saml: copy of a request that was refused: " + reason.String())
	_ = h.cfg.Messages.audited(r, q.party, "repeated", cause) // changes nothing here
	return h.count("repeated", unauthorized(q.party, cause))
}

// basic reads the Basic scheme (RFC 7617); the password is byte for byte.
func basic(r *http.Request) (name string, password *authn.Password, ok bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", nil, false
	}
	scheme, encoded, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", nil, false
	}
	plain, err := base64.StdEncoding.DecodeString(strings.TrimLeft(encoded, " "))
	if err != nil {
		return "", nil, false
	}
	at := slices.Index(plain, ':')
	if at < 1 {
		clear(plain)
		return "", nil, false
	}
	name = string(plain[:at])
	password = authn.NewPassword(append([]byte(nil), plain[at+1:]...))
	clear(plain)
	return name, password, true
}

// enhanced is one request of an enhanced client.
type enhanced struct {
	party  *Party
	head   *head
	req    *federation.SignInRequest
	signed bool
	// begun is when the password began to be judged.
	begun time.Time
}

// read turns the body into a request, or into a refusal that the party is told.
func (h *ECP) read(r *http.Request, body []byte) (*enhanced, *refusal, error) {
	q := &enhanced{}
	doc, err := readSOAP(body)
	if err != nil {
		return q, nil, err
	}
	if root := doc.Unverified(); !xmlsec.Is(root, nsProtocol, "AuthnRequest") {
		return q, nil, soapFault(nil, "Client", "message {%.80s}%.60s is not served", root.NamespaceURI(), root.Tag)
	}
	e := &envelope{document: doc, at: h.cfg.URL}
	head, p, root, err := h.cfg.Messages.sender(r.Context(), e, false)
	q.party, q.head, q.signed = p, head, doc.Signed()
	if err != nil {
		return q, nil, asFault(p, err)
	}
	if p.enhancedConsumer() == nil {
		return q, nil, soapFault(p, "Client", "the party has no endpoint with the PAOS binding")
	}
	var told *refusal
	q.req, told, err = h.cfg.Messages.request(e, head, p, root)
	if err != nil {
		return q, nil, asFault(p, err)
	}
	return q, told, nil
}

// asFault makes a refusal that browsers see as a page into a fault.
func asFault(p *Party, err error) error {
	var fe *federation.Error
	if !errors.As(err, &fe) {
		return err
	}
	with := *fe
	with.Status, with.Cause = http.StatusInternalServerError, &fault{code: "Client", cause: fe.Cause}
	if with.Party == nil && p != nil {
		with.Party = &p.RelyingParty
	}
	return &with
}

func (h *ECP) attempt(r *http.Request, q *enhanced) authn.Attempt {
	info := web.From(r.Context())
	return authn.Attempt{
		Protocol: protocolECP, Party: q.req.Realm, Client: info.Client, Inside: info.Inside,
		Reference: info.Reference, CorrelationID: info.CorrelationID,
	}
}

// enhancedConsumer is the endpoint for enhanced clients whose request names none.
func (p *Party) enhancedConsumer() *Endpoint {
	var first *Endpoint
	for i := range p.Consumers {
		e := &p.Consumers[i]
		if e.Binding == BindingPAOS && (first == nil || e.Default) {
			first = e
		}
	}
	return first
}

// enhancedConsumer chooses where the answer of an enhanced client goes: an endpoint
// with the PAOS binding, by index or address when the request names one.
func (q *authnRequest) enhancedConsumer(p *Party) (*Endpoint, *refusal, error) {
	standard := p.enhancedConsumer()
	if q.acsBinding != "" && q.acsBinding != BindingPAOS {
		r := refuse(requester, unsupportedBinding, "ProtocolBinding %.100q", q.acsBinding)
		r.to = standard
		return nil, r, nil
	}
	if q.acsURL == "" && !q.hasIndex {
		return standard, nil, nil
	}
	for i := range p.Consumers {
		e := &p.Consumers[i]
		if e.Binding == BindingPAOS && (q.hasIndex && e.Index == q.acsIndex && q.acsURL == "" || !q.hasIndex && e.URL == q.acsURL) {
			return e, nil, nil
		}
	}
	return nil, nil, federation.Refuse(federation.ProblemUnknownParty, &p.RelyingParty,
		fmt.Errorf("saml: no endpoint with the PAOS binding is registered at %.300q, index %d", q.acsURL, q.acsIndex))
}
