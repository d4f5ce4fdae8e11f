package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"
)

// Handler answers one request, or returns an error before it wrote anything; the
// edge turns the error into a page.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Mount is a package's set of routes.
type Mount interface {
	Routes(r *Router)
}

// DefaultBody is the body cap of a route that names none: a form.
const DefaultBody = 64 << 10

// Route is one path and what is allowed on it.
type Route struct {
	// Name is what logs and metrics call the route: a closed set. Required.
	Name string
	// Path is a canonical path (lower case, no trailing slash), which may hold mux
	// variables: /assets/{name}. Variables arrive in lower case.
	Path string
	// Methods are the allowed methods; GET allows HEAD. Required.
	Methods []string
	// Body is the body cap in bytes; zero means [DefaultBody].
	Body int64
	// Negotiate marks a route that takes Kerberos tickets: its Authorization header
	// may fill what the listener allows.
	Negotiate bool
	// AnyHost marks a probe: it answers constant text under every Host, since
	// balancers call it by address.
	AnyHost bool
	// Faults marks a route whose protocol answers 500 whoever is to blame, as SOAP
	// does: its records then have the level of the problem, not of the status.
	Faults bool
	// OnBehalf marks a route on which known services sign people in in their name;
	// see [Trust].
	OnBehalf bool
	// Handler answers.
	Handler Handler
}

// Router collects routes.
type Router struct {
	mux      *mux.Router
	routes   map[string]*Route
	problems []string
}

func newRouter() *Router {
	return &Router{mux: mux.NewRouter().SkipClean(true), routes: make(map[string]*Route)}
}

// Handle adds a route. What is wrong with it is reported by [New].
func (r *Router) Handle(rt Route) {
	switch p, ok := canonicalPath(rt.Path, ""); {
	case rt.Name == "" || len(rt.Methods) == 0 || rt.Handler == nil:
		r.problems = append(r.problems, fmt.Sprintf("route %q on %q needs a name, methods and a handler", rt.Name, rt.Path))
		return
	case !ok || p != rt.Path:
		r.problems = append(r.problems, fmt.Sprintf("route %s: path %q is not canonical", rt.Name, rt.Path))
		return
	case r.routes[rt.Name] != nil:
		r.problems = append(r.problems, fmt.Sprintf("route name %s is used twice", rt.Name))
		return
	}
	for _, other := range r.routes {
		if other.Path == rt.Path {
			r.problems = append(r.problems, fmt.Sprintf("routes %s and %s share %s", other.Name, rt.Name, rt.Path))
			return
		}
	}
	if rt.Body == 0 {
		rt.Body = DefaultBody
	}
	rt.Methods = slices.Clone(rt.Methods)
	if slices.Contains(rt.Methods, http.MethodGet) && !slices.Contains(rt.Methods, http.MethodHead) {
		rt.Methods = append(rt.Methods, http.MethodHead)
	}
	r.routes[rt.Name] = &rt
	// The handler is never called through mux: the edge matches, applies the
	// route's limits and calls it itself, so that nothing runs before them.
	if err := r.mux.Handle(rt.Path, http.NotFoundHandler()).Name(rt.Name).GetError(); err != nil {
		r.problems = append(r.problems, fmt.Sprintf("route %s: %v", rt.Name, err))
	}
}

// match finds the route of a request whose path is canonical, and its variables.
func (r *Router) match(req *http.Request) (*Route, map[string]string) {
	var m mux.RouteMatch
	if !r.mux.Match(req, &m) || m.Route == nil {
		return nil, nil
	}
	return r.routes[m.Route.GetName()], m.Vars
}

// allow is the value of the Allow header.
func (rt *Route) allow() string { return strings.Join(rt.Methods, ", ") }
