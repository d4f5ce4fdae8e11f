package auditlog

import "io"

// Stdout is the sink for a stream, one JSON object a line. The field log=audit
// tells its lines from log records on the same stream. It has no chain: whoever
// collects the stream keeps it.
type Stdout struct {
	// Writer is where lines go. Required.
	Writer io.Writer

	buf []byte
}

// Name implements [Sink].
func (s *Stdout) Name() string { return "stdout" }

// Write implements [Sink].
func (s *Stdout) Write(events [][]byte) error {
	s.buf = s.buf[:0]
	for _, e := range events {
		s.buf = append(s.buf, `{"log":"audit",`...)
		s.buf = append(s.buf, e[1:]...)
		s.buf = append(s.buf, '\n')
	}
	_, err := s.Writer.Write(s.buf)
	if cap(s.buf) > 1<<20 {
		s.buf = nil
	}
	return err
}

// Close implements [Sink]; the stream is not ours.
func (s *Stdout) Close() error { return nil }
