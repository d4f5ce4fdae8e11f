package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"time"
)

// ControlConfig says what the control socket can do.
type ControlConfig struct {
	// Path is where the socket is made, with mode 0600. Required.
	Path string
	// Reload reads the settings again. Its error is for an admin.
	Reload func(ctx context.Context) error
	// Partial is what Reload's error wraps when the settings are in force as far as
	// they may change live. Nil: an error means that nothing changed.
	Partial error
	// EndSessions ends all sessions of the person with this user name and returns
	// whose they were. Its error is for an admin.
	EndSessions func(ctx context.Context, user string) (account string, err error)
	// PTA is the agent's status as JSON will have it, nil where none runs.
	PTA    func() any
	Health *Health
	// Pprof offers profiles, which show memory.
	Pprof  bool
	Logger *slog.Logger
}

// Control is the unix socket of the service's own user: POST /reload, POST
// /sessions/end, GET /readyz, and profiles when they are switched on.
type Control struct {
	server *http.Server
	path   string
	inode  os.FileInfo
	done   chan struct{}
}

// ErrInUse says that another process answers on the socket.
var ErrInUse = errors.New("another instance answers on this control socket")

// StartControl makes the socket and serves until [Control.Stop].
func StartControl(cfg ControlConfig) (*Control, error) {
	ln, err := listenPrivate(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("ops.control: %w", err)
	}
	c := &Control{server: newServer(controlHandler(cfg), cfg.Logger), path: cfg.Path, done: make(chan struct{})}
	if c.inode, err = os.Lstat(cfg.Path); err != nil {
		return nil, errors.Join(fmt.Errorf("ops.control: %w", err), ln.Close())
	}
	go func() {
		defer close(c.done)
		if err := c.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			cfg.Logger.Error("control socket ended", "error", err)
		}
	}()
	return c, nil
}

// listenPrivate makes the socket inside a directory that nobody else can enter
// and moves it to its place with its final mode, so that there is no moment in
// which others could connect.
func listenPrivate(path string) (net.Listener, error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSocket == 0:
		return nil, fmt.Errorf("%s exists and is not a socket", path)
	default:
		if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
			conn.Close()
			return nil, fmt.Errorf("%s: %w", path, ErrInUse)
		}
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".ctl")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	hidden := filepath.Join(dir, "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	if err := os.Chmod(hidden, 0o600); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	if err := os.Rename(hidden, path); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

func controlHandler(cfg ControlConfig) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) {
		err := cfg.Reload(r.Context())
		if err != nil && cfg.Partial != nil && errors.Is(err, cfg.Partial) {
			writeJSON(w, http.StatusOK, map[string]string{"reload": "done as far as it can be without a restart", "note": err.Error()})
			return
		}
		if err != nil {
			writeJSON(w, http.StatusUnprocessableEntity, map[string]string{"reload": "refused, the old settings stay in force", "error": err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, map[string]string{"reload": "done"})
	})
	if cfg.EndSessions != nil {
		mux.HandleFunc("POST /sessions/end", endSessions(cfg.EndSessions))
	}
	if cfg.PTA != nil {
		mux.HandleFunc("GET /pta", func(w http.ResponseWriter, _ *http.Request) {
			status := cfg.PTA()
			if status == nil {
				writeJSON(w, http.StatusNotFound, map[string]string{"error": "no agent runs"})
				return
			}
			writeJSON(w, http.StatusOK, status)
		})
	}
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, cfg.Health.Ready(r.Context()))
	})
	if cfg.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return headers(mux)
}

// endSessions answers POST /sessions/end.
func endSessions(end func(ctx context.Context, user string) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var ask struct{ User string }
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&ask); err != nil || ask.User == "" {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": `the body must be {"user": "NAME"}`})
			return
		}
		account, err := end(r.Context(), ask.User)
		if err != nil {
			writeJSON(w, http.StatusUnprocessableEntity, map[string]string{"error": err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, map[string]string{"account": account})
	}
}

// Stop ends the socket and takes it away, unless another process has put its own
// there since.
func (c *Control) Stop(ctx context.Context) error {
	err := c.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, c.server.Close())
	}
	<-c.done
	if info, serr := os.Lstat(c.path); serr == nil && os.SameFile(info, c.inode) {
		err = errors.Join(err, os.Remove(c.path))
	}
	return err
}
