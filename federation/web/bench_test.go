package web_test

import (
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/federation/web"
)

// discard is a ResponseWriter that keeps its header map.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkEdge is what the edge adds to a request: facts, routing, headers, the
// record and the metrics.
func BenchmarkEdge(b *testing.B) {
	e, err := web.New(web.Config{Trust: trust, Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.NewJSONHandler(io.Discard, nil))},
		mounts{{Name: "ls", Path: "/adfs/ls", Methods: []string{"GET", "POST"}, Negotiate: true,
			Handler: func(w http.ResponseWriter, _ *http.Request) error { _, err := w.Write(nil); return err }}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r := request("GET", "/adfs/ls/?wa=wsignin1.0&wtrealm=urn%3afederation%3aMicrosoftOnline&wctx=x", "10.9.0.1", "X-Forwarded-For: 203.0.113.7",
			"Cookie: __Host-sallyport=abc", "User-Agent: x", "Accept: text/html")
		e.ServeHTTP(discard{http.Header{}}, r)
	}
}

// BenchmarkRequest is what making the request costs in the benchmark above.
func BenchmarkRequest(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		request("GET", "/adfs/ls/?wa=wsignin1.0&wtrealm=urn%3afederation%3aMicrosoftOnline&wctx=x", "10.9.0.1", "X-Forwarded-For: 203.0.113.7",
			"Cookie: __Host-sallyport=abc", "User-Agent: x", "Accept: text/html")
	}
}
