package auditlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// ErrInUse says that another process writes the file, which would tear the chain.
var ErrInUse = errors.New("another process writes this audit file")

// openLocked opens the file, cuts off a record that a crash left half written
// (nobody was told that it is stored), and finds the end of the chain.
func (s *File) openLocked() error {
	f, err := s.cfg.open(s.cfg.Path)
	if err != nil {
		return fmt.Errorf("audit file: %w", err)
	}
	if err := s.adopt(f); err != nil {
		err = fmt.Errorf("audit file %s: %w", s.cfg.Path, err)
		if cerr := f.Close(); !errors.Is(cerr, os.ErrClosed) {
			err = errors.Join(err, cerr)
		}
		return err
	}
	return nil
}

func (s *File) adopt(f file) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return ErrInUse
		}
		return fmt.Errorf("locking: %w", err)
	}
	last, err := lastRecord(f, info.Size())
	if err != nil {
		return err
	}
	if last.end != info.Size() {
		if err := f.Truncate(last.end); err != nil {
			return err
		}
		s.cfg.Logger.Warn("audit file ended in a record that was not finished; it is taken out", "bytes", info.Size()-last.end)
	}
	if last.end == 0 {
		s.f, s.size = f, 0
		if s.head.seq == 0 {
			s.head = s.archived()
		}
		if err := s.begin(); err != nil {
			s.f = nil
			return err
		}
	} else if err := s.resume(f, last); err != nil {
		return err
	}
	s.checked = s.cfg.Now()
	s.logHead("opened")
	return nil
}

// resume goes on in a file that holds records.
func (s *File) resume(f file, last record) error {
	l, _, ok := parseLink(last.line)
	if !ok {
		return s.setAside(f)
	}
	if l.Seq >= s.head.seq {
		s.head = head{l.Seq, s.chain.sum(last.line)}
	} else {
		// Records that were stored are gone. The numbers go on, so that the gap
		// shows.
		s.cfg.Logger.Error("audit file is older than what was written to it", "has", l.Seq, "written", s.head.seq)
	}
	s.f, s.size = f, last.end
	s.first, s.day = firstRecord(f, s.head.seq, s.cfg.Now)
	return nil
}

// setAside moves a file that does not end in a record out of the way: its content
// is evidence and stays, and the trail goes on in a new one.
func (s *File) setAside(f file) error {
	aside := fmt.Sprintf("%s.damaged-%d", s.cfg.Path, s.cfg.Now().Unix())
	if err := os.Rename(s.cfg.Path, aside); err != nil {
		return err
	}
	s.cfg.Logger.Error("audit file is damaged; it is kept beside the new one", "file", aside)
	if err := f.Close(); err != nil {
		return err
	}
	if s.head.seq == 0 {
		s.head = s.archived()
	}
	return s.openLocked()
}

// record is the last whole line of a file and where it ends.
type record struct {
	line []byte
	end  int64
}

// lastRecord finds the last line that ends in a line feed.
func lastRecord(f file, size int64) (record, error) {
	window := min(size, 2*maxLine)
	buf := make([]byte, window)
	if _, err := f.ReadAt(buf, size-window); err != nil && window > 0 {
		return record{}, err
	}
	end := bytes.LastIndexByte(buf, '\n') + 1
	if end == 0 {
		if window < size {
			return record{}, fmt.Errorf("the last %d bytes hold no end of a record", window)
		}
		return record{}, nil
	}
	start := bytes.LastIndexByte(buf[:end-1], '\n') + 1
	return record{line: buf[start : end-1], end: size - window + int64(end)}, nil
}

// firstRecord reads number and day of a file's first record; the number names the
// file when it is moved aside.
func firstRecord(f file, fallback uint64, now func() time.Time) (seq uint64, day int) {
	buf := make([]byte, maxLine)
	n, _ := f.ReadAt(buf, 0) // a short file ends in EOF, and what was read counts
	line, _, _ := bytes.Cut(buf[:n], []byte("\n"))
	var r struct {
		Seq  uint64    `json:"seq"`
		Time time.Time `json:"time"`
	}
	if json.Unmarshal(line, &r) != nil || r.Seq == 0 {
		return fallback, dayOf(now())
	}
	return r.Seq, dayOf(r.Time)
}

// archived returns the end of the chain in the files beside a missing or empty
// one, so that a restart after a rotation goes on with the chain.
func (s *File) archived() (best head) {
	names, err := filepath.Glob(globQuote(s.cfg.Path) + ".*")
	if err != nil {
		return best
	}
	slices.Sort(names)
	slices.Reverse(names)
	for _, name := range names[:min(len(names), 16)] {
		if h := s.endOf(name); h.seq > best.seq {
			best = h
		}
	}
	return best
}

func (s *File) endOf(name string) head {
	f, err := os.Open(name)
	if err != nil {
		return head{}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return head{}
	}
	last, err := lastRecord(f, info.Size())
	if err != nil {
		return head{}
	}
	if l, _, ok := parseLink(last.line); ok {
		return head{l.Seq, s.chain.sum(last.line)}
	}
	return head{}
}

// globQuote makes a path that Glob takes literally.
func globQuote(path string) string {
	var b []byte
	for i := range len(path) {
		switch path[i] {
		case '*', '?', '[', '\\':
			b = append(b, '\\')
		}
		b = append(b, path[i])
	}
	return string(b)
}
