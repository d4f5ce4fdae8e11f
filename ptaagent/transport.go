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
	"strings"
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
		t.Proxy, t.OnProxyConnectResponse = http.ProxyURL(n.Proxy), judgeProxy
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

// Reach tries whether the cloud's host for an agent's heartbeat answers, and returns
// its name. The agent's certificate is not presented.
func Reach(ctx context.Context, c Cloud, n Network, tenant string) (host string, err error) {
	address := c.bootstrap(tenant)
	host = strings.TrimPrefix(address, "https://")
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, address+"/", http.NoBody)
	if err != nil {
		return host, err
	}
	client := n.client(nil)
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return host, Explain(host, err)
	}
	return host, resp.Body.Close() // any answer will do
}

// errProxy says that the proxy does not let a connection through.
var errProxy = errors.New("the proxy does not open the way")

// judgeProxy turns a proxy's refusal into what an administrator can do about it.
func judgeProxy(_ context.Context, proxy *url.URL, connect *http.Request, answer *http.Response) error {
	switch answer.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusProxyAuthRequired:
		return fmt.Errorf("%w: %s answers %s: it wants a name and a password, or does not take those of pta.proxy_user and pta.proxy_password_file",
			errProxy, proxy.Host, answer.Status)
	}
	return fmt.Errorf("%w: %s answers %s for %s: let it pass there", errProxy, proxy.Host, answer.Status, connect.URL.Host)
}

// Explain adds to an error of a connection to the cloud what an administrator can
// do about it.
func Explain(host string, err error) error {
	var verify *tls.CertificateVerificationError
	var op *net.OpError
	var name *net.DNSError
	switch {
	case errors.As(err, &verify) && len(verify.UnverifiedCertificates) > 0:
		return fmt.Errorf("TLS to %s is answered with a certificate of %q, which this machine does not trust; if a proxy inspects TLS, exempt this host: %w",
			host, verify.UnverifiedCertificates[0].Issuer.String(), err)
	case errors.Is(err, errProxy):
		return err
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return fmt.Errorf("the proxy of pta.proxy_url cannot be reached: %w", err)
	case errors.As(err, &name):
		return fmt.Errorf("the name %s is not found: check this machine's DNS, or name the way out in pta.proxy_url: %w", host, err)
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("%s cannot be reached: let this machine connect to port 443 there, or name the way out in pta.proxy_url: %w", host, err)
	}
	return err
}

// explainRefusal is [Explain] for a connection on which the agent has presented its
// certificate, which holds until end.
func explainRefusal(host string, end, now time.Time, err error) error {
	var status *enroll.HTTPError
	var op *net.OpError
	refused := errors.As(err, &status) && status.Status == http.StatusForbidden || errors.As(err, &op) && op.Op == "remote error"
	switch {
	case refused && now.After(end):
		return fmt.Errorf("%w: the agent's certificate expired on %s: empty pta.state_dir and register it again", err, end.UTC().Format(time.DateOnly))
	case refused:
		issuer := "somebody"
		if status != nil {
			issuer = status.Issuer
		}
		return fmt.Errorf("%w: the agent's certificate was not accepted. Either the agent was removed or revoked (empty pta.state_dir and register it again), "+
			"or TLS to %s is intercepted by %q and the certificate cannot pass (exempt the cloud's hosts there)", err, host, issuer)
	}
	return Explain(host, err)
}
