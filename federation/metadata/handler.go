package metadata

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync/atomic"
	"time"
)

// Handler serves the document that was published last. The zero value answers 503
// until the first [Handler.Publish]. Safe for concurrent use.
type Handler struct {
	current atomic.Pointer[document]
}

type document struct {
	body []byte
	etag string
}

// Publish builds the document of p and serves it from the next request on. Call it
// in the same step that makes another key the signing one. On an error the
// former document stays.
func (h *Handler) Publish(p Params) error {
	body, err := Build(p)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	h.current.Store(&document{body: body, etag: `"` + hex.EncodeToString(sum[:16]) + `"`})
	return nil
}

// Document returns the bytes being served, nil before the first Publish. The
// caller must not change them.
func (h *Handler) Document() []byte {
	if d := h.current.Load(); d != nil {
		return d.body
	}
	return nil
}

// ServeHTTP answers GET and HEAD; the document needs no authentication and is the
// same for everybody. Caches may keep it but must ask before using it again.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	d := h.current.Load()
	if d == nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	head := w.Header()
	head.Set("Content-Type", "application/samlmetadata+xml")
	head.Set("Cache-Control", "no-cache")
	head.Set("ETag", d.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(d.body))
}
