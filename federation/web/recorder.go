package web

import "net/http"

// recorder remembers what was answered, for the record of the request.
type recorder struct {
	http.ResponseWriter
	status int
	// aborted is set when a handler panicked after its answer had begun.
	aborted bool
	bytes   int64
}

// WriteHeader notes the status of the final answer.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts the body.
func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets [http.ResponseController] reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
