package web

import "net/http"

// Probe is AD FS's probe path, which balancers ask by address under any Host. Its
// two answers are constant text.
type Probe struct {
	// Ready reports whether this instance should get requests. Nil: always.
	Ready func() bool
}

// Routes implements [Mount].
func (p Probe) Routes(r *Router) {
	r.Handle(Route{Name: "probe", Path: "/adfs/probe", Methods: []string{http.MethodGet}, AnyHost: true,
		Handler: func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			if p.Ready != nil && !p.Ready() {
				w.WriteHeader(http.StatusServiceUnavailable)
				_, err := w.Write([]byte("not ready\n"))
				return err
			}
			_, err := w.Write([]byte("ok\n"))
			return err
		}})
}
