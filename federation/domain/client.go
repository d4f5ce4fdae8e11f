package domain

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// maxAnswer bounds one answer; a tenant may have 5,000 domains, 100 on a page.
	maxAnswer = 2 << 20
	// maxPages bounds a list.
	maxPages = 100
	// requestTime bounds one request.
	requestTime = 30 * time.Second
)

// Config says how Microsoft Graph is reached.
type Config struct {
	// Cloud is where to ask. Required; see [CloudNamed].
	Cloud Cloud
	// Tenant is the tenant's GUID, or one of its verified domains. Required.
	Tenant string
	// ClientID is the application's GUID. Required.
	ClientID string
	// Credential proves that it is the application. Required.
	Credential Credential
	// Roots verify the servers' certificates. Default: the system's.
	Roots *x509.CertPool
	// Proxy is an HTTP proxy, whose TLS tunnel is used. Default: none, whatever the
	// environment says.
	Proxy *url.URL
	// Attempts is how often a request is sent at most. Default 5.
	Attempts int
	// Patience bounds a request with its repetitions and the waits between them.
	// Default 2 minutes.
	Patience time.Duration
	// Now is the clock. Default [time.Now].
	Now func() time.Time
	// Sleep waits between tries until the time is over or ctx ends. Default: a
	// timer.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Client asks Microsoft Graph. It is safe for concurrent use.
type Client struct {
	cloud      Cloud
	tenant     string
	clientID   string
	credential Credential
	http       *http.Client
	attempts   int
	patience   time.Duration
	now        func() time.Time
	sleep      func(context.Context, time.Duration) error
	tokens     chan cachedToken // holds one: who has it may ask for another
}

var (
	guid   = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)
	domain = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// New checks cfg and returns a client. Nobody is asked yet.
func New(cfg Config) (*Client, error) {
	if !guid.MatchString(cfg.Tenant) && !domain.MatchString(strings.ToLower(cfg.Tenant)) {
		return nil, fmt.Errorf("domain: tenant %.60q is neither a GUID nor a domain", cfg.Tenant)
	}
	if !guid.MatchString(cfg.ClientID) {
		return nil, errors.New("domain: the client id is not a GUID")
	}
	if cfg.Credential == nil {
		return nil, errors.New("domain: a certificate or a client secret is needed")
	}
	for _, origin := range []string{cfg.Cloud.Login, cfg.Cloud.Graph} {
		if u, err := url.Parse(origin); err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" || u.User != nil {
			return nil, fmt.Errorf("domain: %.100q is not an origin such as https://graph.microsoft.com", origin)
		}
	}
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.Roots},
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: requestTime, IdleConnTimeout: 90 * time.Second,
		MaxIdleConnsPerHost: 2, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
	}
	if cfg.Proxy != nil {
		transport.Proxy = http.ProxyURL(cfg.Proxy)
	}
	c := &Client{
		cloud: cfg.Cloud, tenant: cfg.Tenant, clientID: cfg.ClientID, credential: cfg.Credential,
		attempts: cfg.Attempts, patience: cfg.Patience, now: cfg.Now, sleep: cfg.Sleep, tokens: make(chan cachedToken, 1),
		// A redirection could carry a token to somebody else: none is followed.
		http: &http.Client{Transport: transport, Timeout: requestTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	if c.attempts <= 0 {
		c.attempts = 5
	}
	if c.patience <= 0 {
		c.patience = 2 * time.Minute
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.sleep == nil {
		c.sleep = sleep
	}
	c.tokens <- cachedToken{}
	return c, nil
}

// Close gives idle connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// roundTrip sends one request and reads the bounded answer.
func (c *Client) roundTrip(req *http.Request) (status int, header http.Header, body []byte, err error) {
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "sallyport")
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return 0, nil, nil, fmt.Errorf("reading the answer of %s: %w", req.URL.Host, err)
	case len(body) > maxAnswer:
		return 0, nil, nil, fmt.Errorf("the answer of %s is larger than %d bytes", req.URL.Host, maxAnswer)
	}
	return resp.StatusCode, resp.Header, body, nil
}

// call sends a request to Graph and returns the answer's object, nil for an
// answer without content. Reading is repeated when it fails in passing; a change
// only when it was turned away undone, since it may have been made although the
// answer says otherwise (case C24).
func (c *Client) call(ctx context.Context, method, path string, change any) (object, error) {
	var body []byte
	if change != nil {
		var err error
		if body, err = json.Marshal(change); err != nil {
			return nil, &notSent{err}
		}
	}
	op := method + " " + path
	var answer object
	renewed := false
	err := c.retry(ctx, func(ctx context.Context) error {
		token, err := c.token(ctx)
		if err != nil {
			return err
		}
		answer, err = c.send(ctx, op, method, path, body, token)
		var e *Error
		answered := errors.As(err, &e)
		switch {
		case answered && e.Status == http.StatusUnauthorized && !renewed:
			// Revoked before its time: a fresh one may do.
			renewed = true
			c.dropToken(token)
			return errAgain
		case err != nil && method != http.MethodGet && !(answered && e.throttled()):
			return &final{err}
		}
		return err
	})
	return answer, err
}

// errAgain asks retry for another try without a wait.
var errAgain = errors.New("again")

func (c *Client) send(ctx context.Context, op, method, path string, body []byte, token bearer) (object, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.cloud.Graph+path, bytes.NewReader(body))
	if err != nil {
		return nil, &notSent{fmt.Errorf("%s: %w", op, err)}
	}
	req.Header.Set("Authorization", "Bearer "+token.value)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	status, header, data, err := c.roundTrip(req)
	if err != nil {
		return nil, err
	}
	switch {
	case status == http.StatusNoContent:
		return nil, nil
	case status == http.StatusOK, status == http.StatusCreated:
		o, err := decodeObject(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
		return o, nil
	}
	e := graphError(op, status, data, func(s string) string { return strings.ReplaceAll(s, token.value, "(token)") })
	e.RetryAfter = retryAfter(header, c.now())
	if id := header.Get("request-id"); e.RequestID == "" {
		e.RequestID = printable(id, 64)
	}
	return nil, e
}

// final wraps an error after which the request is not repeated.
type final struct{ error }

func (f *final) Unwrap() error { return f.error }

// retry calls f until it succeeds, fails for good, or the patience is over. It
// waits what Microsoft asked for, else twice as long each time, with jitter
// ("Microsoft Graph throttling guidance").
func (c *Client) retry(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	wait, waited := 500*time.Millisecond, time.Duration(0)
	for attempt := 1; ; attempt++ {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if errors.Is(err, errAgain) {
			continue
		}
		var stop *final
		if errors.As(err, &stop) {
			return stop.error
		}
		var e *Error
		var n *notSent
		if errors.As(err, &n) || errors.As(err, &e) && !e.passing() || attempt >= c.attempts || ctx.Err() != nil {
			return err
		}
		pause := wait + rand.N(wait)
		wait = min(2*wait, 30*time.Second)
		if e != nil && e.RetryAfter > 0 {
			pause = e.RetryAfter + rand.N(time.Second)
		}
		if waited += pause; waited > c.patience {
			return fmt.Errorf("%w; another try would have to wait %s", err, pause.Round(time.Second))
		}
		if c.sleep(ctx, pause) != nil {
			return err
		}
	}
}

// sleep waits for d, or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retryAfter reads Retry-After: seconds or a date (RFC 9110 §10.2.3).
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.ParseInt(v, 10, 32); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil && t.After(now) {
		return t.Sub(now)
	}
	return 0
}
