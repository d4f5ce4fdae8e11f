package xmlsec

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// splitter cuts a document between the children of its wrappers. It knows only where
// markup ends: every piece that it cuts is held against XML 1.0 by the gate
// afterwards, and what it gets wrong is malformed there.
type splitter struct {
	r           *bufio.Reader
	max         int   // bytes of a piece
	read, limit int64 // of the document

	buf  []byte // the piece
	tag  int    // where its last tag begins
	name string // of the wrapper whose start tag is last
}

func newSplitter(r io.Reader, piece int, document int64) *splitter {
	return &splitter{r: bufio.NewReaderSize(r, 64<<10), max: piece, limit: document}
}

type pieceKind uint8

const (
	pieceElement pieceKind = iota // ends with the end of a child of the wrapper
	pieceOpen                     // ends with the start tag of a wrapper
	pieceClose                    // ends with the end tag of the wrapper
)

// next takes one byte.
func (s *splitter) next() (byte, error) {
	c, err := s.r.ReadByte()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("xmlsec: %w: the document ends too early", ErrMalformed)
		}
		return 0, err
	}
	if s.read++; s.read > s.limit {
		return 0, fmt.Errorf("xmlsec: %w: more than %d bytes", ErrLimit, s.limit)
	}
	if len(s.buf) >= s.max {
		return 0, fmt.Errorf("xmlsec: %w: more than %d bytes in one piece", ErrLimit, s.max)
	}
	s.buf = append(s.buf, c)
	return c, nil
}

// until takes bytes up to the end of a text, which begins behind from.
func (s *splitter) until(end string, from int) error {
	for {
		if len(s.buf)-from >= len(end) && string(s.buf[len(s.buf)-len(end):]) == end {
			return nil
		}
		if _, err := s.next(); err != nil {
			return err
		}
	}
}

// piece takes what comes up to the next end of a child, or tag of a wrapper, whose
// local name is given. The buffer holds it.
func (s *splitter) piece(local string) (pieceKind, error) {
	depth := 0
	for {
		start, end, err := s.markup()
		if err != nil {
			return 0, err
		}
		tag := s.buf[s.tag:]
		switch {
		case start && depth == 0 && isLocal(tag, local):
			if end {
				return 0, fmt.Errorf("xmlsec: %w: an empty %s", ErrForbidden, local)
			}
			s.name = nameOf(tag)
			return pieceOpen, nil
		case start && end && depth == 0:
			return pieceElement, nil
		case start && !end:
			depth++
		case end && !start && depth == 0:
			return pieceClose, nil
		case end && !start:
			if depth--; depth == 0 {
				return pieceElement, nil
			}
		}
	}
}

// markup takes text and one piece of markup, and says whether that was a start tag,
// an end tag or, for an empty element, both.
func (s *splitter) markup() (start, end bool, err error) {
	if err := s.until("<", len(s.buf)); err != nil {
		return false, false, err
	}
	s.tag = len(s.buf) - 1
	c, err := s.next()
	if err != nil {
		return false, false, err
	}
	switch c {
	case '?':
		return false, false, s.until("?>", len(s.buf))
	case '/':
		return false, true, s.until(">", len(s.buf))
	case '!':
		return false, false, s.declared()
	}
	var quote byte
	for {
		if c, err = s.next(); err != nil {
			return false, false, err
		}
		switch {
		case quote == 0 && c == '>':
			return true, s.buf[len(s.buf)-2] == '/', nil
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote:
			quote = 0
		}
	}
}

// declared takes a comment or a CDATA section; nothing else begins with <!.
func (s *splitter) declared() error {
	from := len(s.buf)
	for _, m := range [...]struct{ begin, end string }{{"--", "-->"}, {"[CDATA[", "]]>"}} {
		for i := 0; i < len(m.begin); i++ {
			if from+i == len(s.buf) {
				if _, err := s.next(); err != nil {
					return err
				}
			}
			if s.buf[from+i] != m.begin[i] {
				break
			}
			if i == len(m.begin)-1 {
				return s.until(m.end, len(s.buf))
			}
		}
	}
	return fmt.Errorf("xmlsec: %w: at byte %d", ErrDoctype, s.read)
}

// rest takes what is left of the document.
func (s *splitter) rest() error {
	for {
		if _, err := s.r.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		if _, err := s.next(); err != nil {
			return err
		}
	}
}

// nameOf returns the qualified name of a start tag.
func nameOf(tag []byte) string {
	name := tag[1:]
	if i := bytes.IndexAny(name, " \t\r\n/>"); i >= 0 {
		name = name[:i]
	}
	return string(name)
}

func isLocal(tag []byte, local string) bool {
	name := nameOf(tag)
	return name == local || len(name) > len(local) && name[len(name)-len(local)-1] == ':' && name[len(name)-len(local):] == local
}
