package ptaagent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/coder/websocket"

	"sallyport/ptaagent/internal/enroll"
)

// Network is how the agent reaches the cloud. The zero value is this machine's own
// network, with the system's roots and no proxy.
type Network struct {
	// Dial replaces the dialer, for tests.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Roots verify the cloud's certificates. Nil: the system's.
	Roots *x509.CertPool
	// Proxy is an HTTP proxy that understands CONNECT, with its credentials in the
	// URL. Nil: none; the environment is not asked.
	Proxy *url.URL
}

// client returns a client that refuses redirects and presents the certificate that
// cert returns, if it is not nil.
func (n Network) client(cert func() *credential) *http.Client {
	dial := n.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second, KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4,
		}}).DialContext
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: n.Roots, ClientSessionCache: tls.NewLRUClientSessionCache(64)}
	if cert != nil {
		// Some Windows servers ask for the certificate only after the handshake.
		config.Renegotiation = tls.RenegotiateOnceAsClient
		config.ClientSessionCache = nil
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert().tls(), nil }
	}
	t := &http.Transport{
		DialContext: dial, TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second, DisableCompression: true,
		MaxIdleConns: 400, MaxIdleConnsPerHost: 200, MaxConnsPerHost: 0, IdleConnTimeout: 5 * time.Minute,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1
	}
	if n.Proxy != nil {
		t.Proxy = http.ProxyURL(n.Proxy)
	}
	return &http.Client{Transport: t, CheckRedirect: func(req *http.Request, _ []*http.Request) error {
		return fmt.Errorf("%w: redirect to %.80q", ErrHost, req.URL.Host)
	}}
}

// dialer opens the relay's WebSockets as streams.
func dialer(client *http.Client) func(ctx context.Context, host, path, protocol string) (net.Conn, error) {
	return func(ctx context.Context, host, path, protocol string) (net.Conn, error) {
		conn, _, err := websocket.Dial(ctx, "wss://"+host+path, &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{protocol}})
		if err != nil {
			return nil, Explain(host, err)
		}
		if conn.Subprotocol() != protocol {
			_ = conn.CloseNow()
			return nil, fmt.Errorf("%s does not speak %s", host, protocol)
		}
		return websocket.NetConn(context.WithoutCancel(ctx), conn, websocket.MessageBinary), nil
	}
}

// Explain adds to an error of a connection to the cloud what an administrator can
// do about it.
func Explain(host string, err error) error {
	var verify *tls.CertificateVerificationError
	var status *enroll.HTTPError
	switch {
	case errors.As(err, &verify) && len(verify.UnverifiedCertificates) > 0:
		return fmt.Errorf("TLS to %s is answered with a certificate of %q, which this machine does not trust; if a proxy inspects TLS, exempt this host: %w",
			host, verify.UnverifiedCertificates[0].Issuer.String(), err)
	case errors.As(err, &status) && status.Status == http.StatusForbidden:
		return fmt.Errorf("%w: the agent's certificate was not accepted. Either the agent was removed or revoked (register it again), "+
			"or TLS to %s is intercepted by %q and the certificate cannot pass (exempt the cloud's hosts there)", err, host, status.Issuer)
	}
	return err
}
