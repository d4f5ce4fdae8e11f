package metadata_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"sallyport/federation/metadata"
)

func get(h http.Handler, method string, header ...string) *http.Response {
	r := httptest.NewRequest(method, host+"/FederationMetadata/2007-06/FederationMetadata.xml", nil)
	r.Host = "evil.test"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := b.ReadFrom(r.Body); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestHandler(t *testing.T) {
	var h metadata.Handler
	if r := get(&h, "GET"); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Errorf("before the first document: status %d", r.StatusCode)
	}
	if err := h.Publish(full(first())); err != nil {
		t.Fatal(err)
	}
	r := get(&h, "GET")
	doc := body(t, r)
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/samlmetadata+xml" || doc != string(build(t, full(first()))) {
		t.Errorf("GET: %d %v", r.StatusCode, r.Header)
	}
	if strings.Contains(doc, "evil.test") {
		t.Error("the Host header reached the document")
	}
	etag := r.Header.Get("ETag")
	if r := get(&h, "GET", "If-None-Match", etag); etag == "" || r.StatusCode != http.StatusNotModified || body(t, r) != "" {
		t.Errorf("conditional GET: %d", r.StatusCode)
	}
	if r := get(&h, "HEAD"); r.StatusCode != 200 || body(t, r) != "" || r.ContentLength != int64(len(doc)) {
		t.Errorf("HEAD: %d, length %d", r.StatusCode, r.ContentLength)
	}
	if r := get(&h, "POST"); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d", r.StatusCode)
	}
	if err := h.Publish(full(second(), first())); err != nil {
		t.Fatal(err)
	}
	if r := get(&h, "GET", "If-None-Match", etag); r.StatusCode != 200 || verify([]byte(body(t, r)), second().cert) != nil {
		t.Error("the new document is not served")
	}
	broken := full(first())
	broken.DisplayName = ""
	now := string(h.Document())
	if err := h.Publish(broken); err == nil {
		t.Error("a broken document was published")
	}
	if body(t, get(&h, "GET")) != now {
		t.Error("a refused document displaced the good one")
	}
}

// Readers see one document or the other, whole, while it changes.
func TestHandlerSwapsWhole(t *testing.T) {
	var h metadata.Handler
	docs := []metadata.Params{full(first(), second()), full(second(), first())}
	whole := map[string]bool{string(build(t, docs[0])): true, string(build(t, docs[1])): true}
	if err := h.Publish(docs[0]); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				var b bytes.Buffer
				if _, err := b.ReadFrom(get(&h, "GET").Body); err != nil || !whole[b.String()] {
					t.Error("a torn document was served")
					return
				}
			}
		})
	}
	for i := range 10 {
		if err := h.Publish(docs[i%2]); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
}
