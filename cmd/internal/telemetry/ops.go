package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

// Ops is the operators' listener: health and metrics, nothing that changes
// anything (threats H11).
type Ops struct {
	server *http.Server
	ln     net.Listener
	done   chan struct{}
}

// opsConns is how many connections operators may have: a client that opens more waits,
// and takes no file descriptors from the people who sign in.
const opsConns = 128

// OpsConfig says what the ops listener shows.
type OpsConfig struct {
	// Listen is the address, loopback unless the admin says otherwise. Required.
	Listen string
	Health *Health
	// Gatherer is the registry behind /metrics.
	Gatherer prometheus.Gatherer
	Logger   *slog.Logger
}

// OpsHandler returns /healthz, /readyz and /metrics.
func OpsHandler(cfg OpsConfig) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ready := cfg.Health.Ready(r.Context())
		status := http.StatusOK
		if ready.State == Failed {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, ready)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	return headers(mux)
}

func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // the status is sent; a broken connection shows at the other end
}

// StartOps listens and serves until [Ops.Stop].
func StartOps(cfg OpsConfig) (*Ops, error) {
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("ops.listen: %w", err)
	}
	ln = netutil.LimitListener(ln, opsConns)
	o := &Ops{server: newServer(OpsHandler(cfg), cfg.Logger), ln: ln, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		if err := o.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			cfg.Logger.Error("ops listener ended", "error", err)
		}
	}()
	return o, nil
}

func newServer(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      60 * time.Second, // a CPU profile takes half of it
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// Addr returns the address that is listened on.
func (o *Ops) Addr() net.Addr { return o.ln.Addr() }

// Stop ends the listener; requests that run may finish within ctx.
func (o *Ops) Stop(ctx context.Context) error {
	err := o.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, o.server.Close())
	}
	<-o.done
	return err
}
