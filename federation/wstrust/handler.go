package wstrust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/federation"
	"sallyport/federation/internal/repeat"
	"sallyport/federation/token"
	"sallyport/federation/web"
)

// Passwords checks credentials and wipes the password.
type Passwords interface {
	Verify(ctx context.Context, at authn.Attempt, c authn.Credentials) authn.Result
}

// Claims decides what a party is told about a person. Errors are
// [*federation.Error].
type Claims interface {
	For(ctx context.Context, req *federation.SignInRequest, sub *federation.Subject) (*token.Assertion, error)
}

// Notes are short notes that all instances share; the session stores keep them.
type Notes = repeat.Notes

// Config is what a [Handler] needs. What is a function is called for every
// request, so that it may follow reloads.
type Config struct {
	// PublicURL is the service's address: MEX lists it, messages are addressed to
	// it. Required.
	PublicURL string
	// Access says who may use the endpoints. Nil: nobody.
	Access func() web.Access
	// TellExpired reports whether clients inside the corporate networks are told
	// that their password, which is right, has expired. Nil: nobody is told.
	TellExpired func() bool
	// Passwords is the one password pipeline. Required.
	Passwords Passwords
	// Party returns the party with exactly this identifier, nil when there is none.
	// Required.
	Party func(identifier string) *federation.RelyingParty
	// Claims returns the engine in force. Required.
	Claims func() Claims
	// Signer returns the signer in force. Required.
	Signer func() *token.Signer
	// Audit gets the events; no token leaves without its own. Required.
	Audit audit.Recorder
	// Notes shares verdicts with the other instances. Nil: each remembers its own.
	Notes Notes
	// Key names verdicts; the same on every instance. Required: 32 bytes.
	Key []byte
	// Logger gets what goes wrong beside requests. Nil: nobody does.
	Logger *slog.Logger
	// Registerer gets the metrics. Nil: they are not exported.
	Registerer prometheus.Registerer
	// Now is the clock. Nil: [time.Now].
	Now func() time.Time
}

// Handler serves the active endpoints. It is safe for concurrent use.
type Handler struct {
	cfg     Config
	public  *url.URL
	mex     *mexDocument
	repeats *repeat.Verdicts
	results *prometheus.CounterVec
}

// New returns a handler.
func New(cfg Config) (*Handler, error) {
	if cfg.Passwords == nil || cfg.Party == nil || cfg.Claims == nil || cfg.Signer == nil || cfg.Audit == nil {
		return nil, errors.New("wstrust: passwords, parties, claims, a signer and an audit trail are needed")
	}
	repeats, err := repeat.New(repeat.Config{Notes: cfg.Notes, Key: cfg.Key, Logger: cfg.Logger, Now: cfg.Now})
	if err != nil {
		return nil, fmt.Errorf("wstrust: %w", err)
	}
	public, err := url.Parse(cfg.PublicURL)
	if err != nil || public.Scheme != "https" || public.Host == "" || public.Path != "" {
		return nil, fmt.Errorf("wstrust: %q is no https address without a path", cfg.PublicURL)
	}
	mex, err := newMexDocument(cfg.PublicURL)
	if err != nil {
		return nil, fmt.Errorf("wstrust: MEX: %w", err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{cfg: cfg, public: public, mex: mex, repeats: repeats, results: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_active_requests_total",
		Help: "Requests of active clients (WS-Trust), by endpoint and result.",
	}, []string{"endpoint", "result"})}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(h.results); err != nil {
			return nil, fmt.Errorf("wstrust: metrics: %w", err)
		}
	}
	return h, nil
}

// Routes implements [web.Mount]. The routes are there whatever the settings say,
// since the settings may change; what is off answers before a body is read.
func (h *Handler) Routes(r *web.Router) {
	r.Handle(web.Route{Name: routeMex, Path: MexPath, Methods: []string{http.MethodGet}, Handler: h.serveMex})
	for _, v := range Versions() {
		r.Handle(web.Route{Name: v.route(), Path: v.Path(), Methods: []string{http.MethodPost}, Body: MaxBody, Faults: true, OnBehalf: true,
			Handler: func(w http.ResponseWriter, r *http.Request) error { return h.serveIssue(w, r, v) }})
	}
}

// errOff says that an endpoint is not there for this client.
var errOff = errors.New("wstrust: the endpoint is off for this client")

// open refuses clients for whom the endpoints are off.
func (h *Handler) open(r *http.Request) error {
	if h.cfg.Access == nil || !h.cfg.Access().Admits(r) {
		return &federation.Error{Problem: federation.ProblemNotFound, Status: http.StatusServiceUnavailable, Cause: errOff}
	}
	return nil
}

// count notes how a request ended.
func (h *Handler) count(endpoint, result string, err error) error {
	h.results.WithLabelValues(endpoint, result).Inc()
	return err
}

// serveIssue answers a RequestSecurityToken.
func (h *Handler) serveIssue(w http.ResponseWriter, r *http.Request, v Version) error {
	if err := h.open(r); err != nil {
		return h.count(v.route(), "off", err)
	}
	body, err := read(r)
	if err != nil {
		return h.count(v.route(), "unreadable", err)
	}
	req, err := Parse(body, Target{Version: v, Public: h.public, Now: h.cfg.Now()})
	var id repeat.ID
	if err == nil {
		id = h.id(req, body)
	}
	clear(body)
	if err != nil {
		return h.refused(r, v, nil, err)
	}
	defer req.Password.Wipe()
	rp, err := h.party(req)
	if err != nil {
		return h.refused(r, v, rp, err)
	}
	res, first := h.repeats.Verify(r.Context(), id, func() authn.Result {
		req.begun = time.Now()
		return h.cfg.Passwords.Verify(r.Context(), attempt(r, req), authn.Credentials{Name: req.Name, Password: req.Password})
	})
	if !first {
		return h.repeated(r, v, req, res)
	}
	return h.issue(w, r, req, rp, res)
}

// A verdict is remembered so long; without a message id, where two honest messages
// may be equal, shorter.
const (
	remember     = 60 * time.Second
	rememberNoID = 10 * time.Second
)

// id names a message by what makes it the same one: endpoint, message id, name and
// password. A message without an id is named by its bytes.
func (h *Handler) id(req *Request, body []byte) repeat.ID {
	path := []byte(req.Version.Path())
	if req.MessageID == "" {
		return h.repeats.ID(rememberNoID, path, nil, body)
	}
	return h.repeats.ID(remember, path, []byte(req.MessageID), []byte(req.Name), req.Password.Bytes())
}

// read takes the body of a SOAP 1.2 message (SOAP part 2 §7; RFC 3902). Other
// kinds of content are not looked at.
func read(r *http.Request) ([]byte, error) {
	refuse := func(what string) error {
		return &federation.Error{Problem: federation.ProblemBadRequest, Status: http.StatusUnsupportedMediaType,
			Cause: fmt.Errorf("wstrust: %s", what)}
	}
	if len(r.Header.Values("Content-Type")) != 1 {
		return nil, refuse("no content type, or several")
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || kind != "application/soap+xml" {
		return nil, refuse("the content type is not application/soap+xml")
	}
	if charset, there := params["charset"]; there && !strings.EqualFold(charset, "utf-8") {
		return nil, refuse("the charset is not UTF-8")
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, refuse("the body is compressed")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("wstrust: reading the message: %w", err)
	}
	return body, nil
}

// The further identifiers of Microsoft 365 on the active endpoints.
const (
	microsoftSTS     = "https://login.microsoftonline.com/extSTS.srf"
	microsoftWindows = "https://login.windows.net/"
)

// party finds the party that the token is for and settles the token's type.
func (h *Handler) party(req *Request) (*federation.RelyingParty, error) {
	rp := h.cfg.Party(req.AppliesTo)
	if rp == nil && (req.AppliesTo == microsoftSTS || req.AppliesTo == microsoftWindows) {
		if rp = h.cfg.Party(federation.MicrosoftOnline); rp != nil && !rp.Microsoft365 {
			rp = nil
		}
	}
	switch {
	case rp == nil:
		return nil, refusal(&fault{kind: faultScope, relatesTo: req.MessageID, cause: fmt.Errorf("AppliesTo is %.300q", req.AppliesTo)}, nil)
	case req.TokenType == 0 || req.TokenType == rp.TokenType:
		return rp, nil
	case rp.Microsoft365:
		asked := *rp
		asked.TokenType = req.TokenType
		return &asked, nil
	default:
		return rp, refusal(&fault{kind: faultTokenType, relatesTo: req.MessageID, cause: errors.New("the party does not take this token type")}, rp)
	}
}

func attempt(r *http.Request, req *Request) authn.Attempt {
	info := web.From(r.Context())
	return authn.Attempt{
		Protocol: protocol, Party: req.AppliesTo, Client: info.Client, Inside: info.Inside,
		Reference: info.Reference, CorrelationID: info.CorrelationID,
	}
}

// protocol is this door's name in audit records and metrics.
const protocol = "wstrust"
