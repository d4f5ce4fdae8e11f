package enroll

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// HTTPError is an answer with a status that is not 200.
type HTTPError struct {
	Host   string
	Status int
	// Issuer is who signed the server's certificate.
	Issuer string
}

// Error implements error.
func (e *HTTPError) Error() string {
	return fmt.Sprintf("%s answers %d %s", e.Host, e.Status, http.StatusText(e.Status))
}

// post sends a request and returns the body of a good answer.
func post(ctx context.Context, c *http.Client, address string, doc []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(doc))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/xml; charset=utf-8")
	return do(c, req)
}

func do(c *http.Client, req *http.Request) ([]byte, error) {
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", req.URL.Host, err)
	}
	if resp.StatusCode != http.StatusOK {
		e := &HTTPError{Host: req.URL.Host, Status: resp.StatusCode}
		if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
			e.Issuer = resp.TLS.PeerCertificates[0].Issuer.String()
		}
		return nil, e
	}
	return got, nil
}
