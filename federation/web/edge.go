package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"sallyport/federation"
)

// Config is what an [Edge] needs.
type Config struct {
	// Trust is whom the edge believes. Required: at least one host.
	Trust Trust
	// Pages turns errors into pages. Nil: constant text with the reference.
	Pages ErrorPage
	// Logger gets one record a request. Nil: nothing is logged.
	Logger *slog.Logger
	// Registerer gets the metrics. Nil: they are not exported.
	Registerer prometheus.Registerer
	// MaxInFlight is how many requests are answered at the same time; more get 503
	// with Retry-After at once, since a queue would only make all of them late.
	// Zero means 1000.
	MaxInFlight int
	// MaxInFlightPerClient is how many of them one client may have (IPv6: one /64):
	// with slow bodies, or passwords that are refused late, a single one could keep
	// everybody out otherwise. A proxy that does not tell its clients is no client.
	// Zero means a quarter of MaxInFlight.
	MaxInFlightPerClient int
	// Now is the clock. Nil: [time.Now].
	Now func() time.Time
}

// Edge is the HTTP edge: an [http.Handler] over all mounted routes.
type Edge struct {
	router   *Router
	trust    atomic.Pointer[trust]
	pages    ErrorPage
	log      *slog.Logger
	metrics  *metrics
	slots    *slots
	now      func() time.Time
	draining atomic.Bool // set by Server.Shutdown: answers then end their connection
	stray    atomic.Bool // the one log line about stray forwarding headers was written
}

// New returns an edge over the mounts' routes. Every problem of the routes and
// the settings is in the error.
func New(cfg Config, mounts ...Mount) (*Edge, error) {
	e := &Edge{router: newRouter(), pages: cfg.Pages, log: cfg.Logger, now: cfg.Now}
	for _, m := range mounts {
		m.Routes(e.router)
	}
	var errs []error
	for _, p := range e.router.problems {
		errs = append(errs, fmt.Errorf("web: %s", p))
	}
	t, err := cfg.Trust.check()
	errs = append(errs, err)
	if err == nil {
		e.trust.Store(t)
	}
	if cfg.MaxInFlight < 0 || cfg.MaxInFlightPerClient < 0 {
		errs = append(errs, fmt.Errorf("web: MaxInFlight %d or MaxInFlightPerClient %d is negative", cfg.MaxInFlight, cfg.MaxInFlightPerClient))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if e.metrics, err = newMetrics(cfg.Registerer); err != nil {
		return nil, fmt.Errorf("web: metrics: %w", err)
	}
	e.slots = newSlots(cfg.MaxInFlight, cfg.MaxInFlightPerClient)
	if e.pages == nil {
		e.pages = plainPage{}
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.now == nil {
		e.now = time.Now
	}
	return e, nil
}

// SetTrust replaces whom the edge believes; requests that are running keep what
// they were given. On an error the old settings stay.
func (e *Edge) SetTrust(t Trust) error {
	n, err := t.check()
	if err != nil {
		return err
	}
	e.trust.Store(n)
	return nil
}

// ServeHTTP implements [http.Handler].
func (e *Edge) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	info := &Info{Reference: NewReference(), Start: e.now(), Framed: framed(req.Header)}
	w := &recorder{ResponseWriter: rw}
	securityHeaders(w.Header())
	// net/http takes a request with both a length and chunks by its chunks and
	// hides the length. RFC 9112 §6.3: its connection must end with the answer, or
	// a proxy that went by the length would send somebody else's bytes next.
	if e.draining.Load() || req.ProtoMajor == 1 && len(req.TransferEncoding) > 0 {
		w.Header().Set("Connection", "close")
	}
	r, rt, refused := e.admit(info, req)
	var err error
	if refused == nil && !rt.AnyHost {
		key := e.trust.Load().countedAs(info.Client)
		if limit := e.slots.enter(key); limit != "" {
			e.metrics.refused.WithLabelValues(limit).Inc()
			refused = &federation.Error{Problem: federation.ProblemBusy, RetryAfter: 10 * time.Second,
				Cause: errors.New("web: too many requests at the same time: " + limit)}
		} else {
			defer e.slots.leave(key)
		}
	}
	if refused == nil {
		refused = limitBody(rw, r, rt) // rw: MaxBytesReader tells net/http to close
	}
	e.metrics.inFlight.Inc()
	defer e.metrics.inFlight.Dec()
	if refused != nil {
		if rt != nil && Status(refused) == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", rt.allow())
		}
		err = refused
		e.guard(w, r, info, func() { e.fail(w, r, info, refused) })
	} else {
		err = e.handle(w, r, info, rt)
	}
	e.record(w, r, info, rt, err)
	if _, panicked := errors.AsType[*panicError](err); panicked && w.aborted {
		panic(http.ErrAbortHandler) // the answer had begun: cut it, never let it look whole
	}
}

// admit establishes the facts of the request and finds its route. The request
// that it returns holds no forwarding header, no Host but the configured one and
// a canonical path; handlers cannot use what they do not see.
func (e *Edge) admit(info *Info, req *http.Request) (*http.Request, *Route, *federation.Error) {
	t := e.trust.Load()
	peer := peerAddr(req.RemoteAddr)
	client, certain := t.client(peer, req.Header)
	info.Client = client
	info.Inside = certain && contains(t.inside, client)
	info.CorrelationID = correlation(req)
	person, program := t.onBehalf(client, certain, req.Header)
	hostOK := t.hostAllowed(peer, req.Host, req.Header)
	if stripForwarding(req.Header) && !contains(t.proxies, peer) {
		e.noteStray(peer)
	}
	path, pathOK := canonicalPath(req.URL.Path, req.URL.RawPath)

	r := req.WithContext(With(req.Context(), info))
	u := *req.URL
	u.Scheme, u.Host, u.User, u.RawPath = "", "", nil, ""
	u.Path = path
	r.URL, r.RequestURI, r.Host = &u, "", t.host

	var rt *Route
	var vars map[string]string
	if pathOK {
		rt, vars = e.router.match(r)
	}
	if rt != nil {
		info.Route = rt.Name
		if rt.OnBehalf {
			t.standIn(info, person, program)
		}
		if len(vars) > 0 {
			r = mux.SetURLVars(r, vars)
		}
	}
	switch {
	case !hostOK && (rt == nil || !rt.AnyHost):
		return r, rt, refuse(federation.ProblemNotFound, http.StatusMisdirectedRequest, "web: host is not one of ours")
	case rt == nil:
		return r, rt, refuse(federation.ProblemNotFound, http.StatusNotFound, "web: no such page")
	}
	if fe := limitHeader(req, rt); fe != nil {
		return r, rt, fe
	}
	if !slices.Contains(rt.Methods, r.Method) {
		return r, rt, refuse(federation.ProblemNotFound, http.StatusMethodNotAllowed, "web: method is not allowed here")
	}
	return r, rt, nil
}

// noteStray says once that somebody who is no configured proxy sends forwarding
// headers: either a proxy is missing in the settings or a client tries.
func (e *Edge) noteStray(peer netip.Addr) {
	e.metrics.stray.Inc()
	if e.stray.CompareAndSwap(false, true) {
		e.log.Warn("forwarding headers from a peer that is no configured proxy are ignored; this is said once",
			slog.String("peer", peer.String()), slog.String("setting", "proxy"))
	}
}

// panicError is a panic turned into an error, for the record.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

// handle calls the route's handler and answers its error.
func (e *Edge) handle(w *recorder, r *http.Request, info *Info, rt *Route) (err error) {
	perr := e.guard(w, r, info, func() { err = rt.Handler(w, r) })
	if perr != nil {
		return perr
	}
	if err == nil || (errors.Is(err, context.Canceled) && r.Context().Err() != nil) {
		return err
	}
	if perr := e.guard(w, r, info, func() { e.fail(w, r, info, public(err)) }); perr != nil {
		return errors.Join(err, perr)
	}
	return err
}

// guard runs f and answers a panic with the page for our side, or with the page
// of last resort when it was a page that panicked.
func (e *Edge) guard(w *recorder, r *http.Request, info *Info, f func()) (err error) {
	failed := func(v any) *panicError {
		if v == http.ErrAbortHandler { // net/http's own way of cutting an answer
			panic(v)
		}
		e.metrics.panics.WithLabelValues(routeName(info)).Inc()
		w.aborted = w.status != 0
		return &panicError{value: v, stack: debug.Stack()}
	}
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		p := failed(v)
		err = p
		fe := &federation.Error{Problem: federation.ProblemInternal, Cause: p}
		defer func() {
			if v := recover(); v != nil {
				err = errors.Join(p, failed(v))
				if w.status == 0 {
					plainPage{}.Error(w, r, info, fe)
				}
			}
		}()
		e.fail(w, r, info, fe)
	}()
	f()
	return nil
}

func routeName(info *Info) string {
	if info.Route == "" {
		return "none"
	}
	return info.Route
}

// record writes the request's one log record and its metrics. It holds no query,
// URI, header or body; err may hold request values, which slog escapes.
func (e *Edge) record(w *recorder, r *http.Request, info *Info, rt *Route, err error) {
	status := w.status
	switch {
	case status != 0:
	case errors.Is(err, context.Canceled):
		status = 499 // the client went away; nobody saw an answer
	default:
		status = http.StatusOK
	}
	took := e.now().Sub(info.Start)
	e.metrics.answered(routeName(info), status, took.Seconds())
	level := slog.LevelInfo
	switch {
	case status >= 500 && rt != nil && rt.AnyHost:
		level = slog.LevelInfo // a probe that is told to stay away has its answer
	case status >= 500 && !(rt != nil && rt.Faults && theirs(err)):
		level = slog.LevelError
	case rt != nil && rt.AnyHost:
		level = slog.LevelDebug
	case err != nil:
		level = slog.LevelWarn
	}
	if !e.log.Enabled(r.Context(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs,
		slog.String("route", routeName(info)), slog.String("method", methodName(r.Method)), slog.Int("status", status),
		slog.Float64("ms", float64(took.Microseconds())/1000), slog.Int64("bytes", w.bytes),
		slog.String("ref", info.Reference), slog.String("client", info.Client.String()))
	if info.CorrelationID != "" {
		attrs = append(attrs, slog.String("correlation_id", info.CorrelationID))
	}
	if info.Inside {
		attrs = append(attrs, slog.Bool("inside", true))
	}
	if info.Framed {
		attrs = append(attrs, slog.Bool("framed", true))
	}
	if err != nil {
		attrs = append(attrs, slog.String("problem", string(federation.ProblemOf(err))), slog.String("error", err.Error()))
	}
	e.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// theirs reports whether the sender of the request is to blame for err.
func theirs(err error) bool {
	var fe *federation.Error
	if !errors.As(err, &fe) {
		return false
	}
	switch fe.Problem {
	case federation.ProblemInternal, federation.ProblemDirectory, federation.ProblemBusy:
		return false
	default:
		return true
	}
}

// methodName keeps the log's set of methods closed.
func methodName(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions,
		http.MethodPatch, http.MethodTrace, http.MethodConnect:
		return m
	default:
		return "other"
	}
}

// framed reads the browser's own statement (Fetch Metadata) that the answer will
// stand inside another page. A client that omits it gains nothing.
func framed(h http.Header) bool {
	switch h.Get("Sec-Fetch-Dest") {
	case "iframe", "frame", "embed", "object", "fencedframe":
		return true
	default:
		return false
	}
}

// correlation returns the client-request-id of the query, else of the header.
func correlation(r *http.Request) string {
	const name = "Client-Request-Id" // as net/http spells it: Get need not
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if key, value, ok := strings.Cut(pair, "="); ok && strings.EqualFold(key, name) {
			value = strings.NewReplacer("%7b", "{", "%7B", "{", "%7d", "}", "%7D", "}").Replace(value)
			return CorrelationID(value)
		}
	}
	return CorrelationID(r.Header.Get(name))
}

// peerAddr reads net/http's RemoteAddr.
func peerAddr(s string) netip.Addr {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}
