package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// ServerConfig is what a [Server] needs besides its edge.
type ServerConfig struct {
	// TLS makes the listener speak TLS; see [TLSConfig]. Nil: plain HTTP/1.1, for a
	// proxy on the same machine that ends TLS.
	TLS *tls.Config
	// ProxyProtocol makes every connection from a configured proxy start with a
	// PROXY v2 frame that states the client, before TLS. Others send none: a frame
	// from them is no HTTP and no TLS, and ends their connection.
	ProxyProtocol bool
	// MaxConns is how many connections may be open; zero means 10,000.
	MaxConns int
	// MaxConnsPerAddress is how many of them may come from one address that is no
	// configured proxy: the peer's own, or with ProxyProtocol the one that a
	// configured proxy's frame names. Zero means 256. A proxy that speaks HTTP shares
	// its connections among clients; there only MaxConns holds.
	MaxConnsPerAddress int
	// Drain is how long the server goes on accepting after readiness has gone, so
	// that balancers notice before a connection is refused. Zero: not at all.
	Drain time.Duration
	// Grace is how long running requests may take after that; zero means 25 s.
	Grace time.Duration
	// NotReady is called first when the server shuts down: readiness must fail from
	// then on. May be nil.
	NotReady func()
}

// Server is the public listener's net/http server.
type Server struct {
	edge *Edge
	cfg  ServerConfig
	http *http.Server
}

// NewServer returns a server around the edge. Every time limit is set: a client
// that is slow with its header is gone after 5 s, with its body after 15 s, with
// taking the answer after 30 s, and between requests after 60 s.
func (e *Edge) NewServer(cfg ServerConfig) *Server {
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 10000
	}
	if cfg.MaxConnsPerAddress == 0 {
		cfg.MaxConnsPerAddress = 256
	}
	if cfg.Grace == 0 {
		cfg.Grace = 25 * time.Second
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(cfg.TLS != nil) // never h2c: it would be reachable through a proxy's upgrade
	return &Server{edge: e, cfg: cfg, http: &http.Server{
		Handler:           e,
		TLSConfig:         cfg.TLS,
		ReadHeaderTimeout: 5 * time.Second, // also bounds the TLS handshake
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    listenerHeader,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 100},
		// Probes that connect and leave, scanners and broken handshakes are no
		// errors of ours (CASES C20).
		ErrorLog: slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
		// OPTIONS * must meet the same edge as everything else.
		DisableGeneralOptionsHandler: true,
	}}
}

// Serve accepts connections on l until [Server.Shutdown]; it then returns nil.
func (s *Server) Serve(l net.Listener) error {
	l = newLimitListener(l, s)
	var err error
	if s.cfg.TLS != nil {
		err = s.http.ServeTLS(l, "", "")
	} else {
		err = s.http.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("web: serving %s: %w", l.Addr(), err)
}

// Shutdown ends the server in the order that loses no work: readiness fails; for
// Drain new connections are still served, and every answer asks its connection to
// end; then nothing is accepted and running requests have Grace to finish; what
// still runs is cut. It returns nil when nothing was cut.
func (s *Server) Shutdown(ctx context.Context) error {
	if s.cfg.NotReady != nil {
		s.cfg.NotReady()
	}
	// Idle connections are not closed here: a proxy may be sending on one now. The
	// next answer on each tells it to end (RFC 9110 §7.6.1; GOAWAY in HTTP/2).
	s.edge.draining.Store(true)
	if s.cfg.Drain > 0 {
		t := time.NewTimer(s.cfg.Drain)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Grace)
	defer cancel()
	if err := s.http.Shutdown(grace); err != nil {
		return errors.Join(fmt.Errorf("web: requests were cut after %v: %w", s.cfg.Grace, err), s.http.Close())
	}
	return nil
}

// Close ends everything at once.
func (s *Server) Close() error { return s.http.Close() }

// TLSConfig returns the public listener's TLS settings: at least TLS 1.2, and for
// 1.2 only suites with forward secrecy and an AEAD; Go still offers CBC suites by
// itself. certificate is asked for every handshake, so that a renewed certificate
// needs no restart.
func TLSConfig(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: certificate,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos: []string{"h2", "http/1.1"},
		// Small records at the start let a browser begin to parse early. Our pages fit
		// into the first flight of a connection, and most sign-ins are on a new one:
		// small records would only cost a system call each.
		DynamicRecordSizingDisabled: true,
	}
}
