package auditlog

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"sallyport/authn/audit"
)

// FileConfig says how the audit file is kept.
type FileConfig struct {
	// Path is the file that is written now; earlier ones stand beside it as
	// Path.NUMBER, the number of their first record. Required.
	Path string
	// MaxSize starts a new file at that size. Zero: never.
	MaxSize int64
	// Daily starts a new file each day (UTC).
	Daily bool
	// NoSync leaves out the fsync: a power failure may lose the last records.
	NoSync bool
	// ChainKey makes the chain an HMAC. Nil: plain SHA-256.
	ChainKey []byte
	Logger   *slog.Logger
	// Now is the clock. Default [time.Now].
	Now func() time.Time

	// open replaces os.OpenFile in tests of faults.
	open func(path string) (file, error)
}

// file is what the sink needs of an *os.File.
type file interface {
	io.ReaderAt
	io.Writer
	io.Closer
	Sync() error
	Truncate(size int64) error
	Stat() (fs.FileInfo, error)
	Fd() uintptr
}

// File is the sink for a file. Its methods may be called concurrently.
type File struct {
	cfg   FileConfig
	chain chain

	mu      sync.Mutex
	f       file // nil while the file is not open
	size    int64
	first   uint64    // number of the first record in f
	day     int       // of that record
	head    head      // of what is durable
	checked time.Time // when f was last seen in its place
	buf     []byte
}

// NewFile returns a sink that opens its file with the first event, or with
// [File.Open].
func NewFile(cfg FileConfig) *File {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.open == nil {
		cfg.open = func(path string) (file, error) {
			return os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o640)
		}
	}
	return &File{cfg: cfg, chain: newChain(cfg.ChainKey)}
}

// Name implements [Sink].
func (s *File) Name() string { return "file" }

// Open opens the file now, so that a start can say what is wrong with it.
func (s *File) Open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f != nil {
		return nil
	}
	return s.openLocked()
}

// Reopen lets go of a file that was moved away (SIGHUP after a rotation from
// outside) and goes on in the one at its path. The chain goes on too.
func (s *File) Reopen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letGo()
	return s.openLocked()
}

// Close implements [Sink].
func (s *File) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		return nil
	}
	s.logHead("closed")
	err := errors.Join(s.f.Sync(), s.f.Close())
	s.f = nil
	return err
}

// Write implements [Sink]: one write and one fsync for all events.
func (s *File) Write(events [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	if s.f != nil && now.Sub(s.checked).Abs() >= time.Second && !s.inPlace(now) {
		s.letGo()
	}
	if s.f == nil {
		if err := s.openLocked(); err != nil {
			return err
		}
	}
	if s.due(now) {
		if err := s.rotate(); err != nil {
			return err
		}
	}
	return s.store(events)
}

// inPlace reports whether the path still leads to the open file: records in a
// file that somebody deleted would be written into nothing.
func (s *File) inPlace(now time.Time) bool {
	s.checked = now
	there, err := os.Stat(s.cfg.Path)
	if err != nil {
		return false
	}
	open, err := s.f.Stat()
	return err == nil && os.SameFile(there, open)
}

func (s *File) letGo() {
	if s.f == nil {
		return
	}
	if err := errors.Join(s.f.Sync(), s.f.Close()); err != nil {
		s.cfg.Logger.Error("audit file", "error", err)
	}
	s.f = nil
}

// store appends the events. After an error the file ends where it did before, as
// far as the disk lets us, and is opened anew: what a write or an fsync that went
// wrong has left behind is looked at instead of being guessed.
func (s *File) store(events [][]byte) error {
	next := s.head
	s.buf = s.buf[:0]
	for _, e := range events {
		s.buf = s.chain.append(s.buf, &next, e)
	}
	_, err := s.f.Write(s.buf)
	if err == nil && !s.cfg.NoSync {
		err = s.f.Sync()
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("audit file: %w", err), s.f.Truncate(s.size), s.f.Close())
		s.f = nil
		return err
	}
	s.size += int64(len(s.buf))
	s.head = next
	if cap(s.buf) > 1<<20 {
		s.buf = nil
	}
	return nil
}

func (s *File) due(now time.Time) bool {
	return s.cfg.MaxSize > 0 && s.size >= s.cfg.MaxSize || s.cfg.Daily && s.day != dayOf(now)
}

func dayOf(t time.Time) int { return int(t.UTC().Unix() / 86400) }

// rotate moves the file aside and begins the next one. When it cannot be moved
// the old one is written on: a large file is better than none.
func (s *File) rotate() error {
	s.logHead("rotated")
	aside := fmt.Sprintf("%s.%012d", s.cfg.Path, s.first)
	if _, err := os.Lstat(aside); err == nil {
		s.cfg.Logger.Error("audit file is not rotated: the name is taken", "file", aside)
		s.day = dayOf(s.cfg.Now())
		return nil
	}
	if err := os.Rename(s.cfg.Path, aside); err != nil {
		s.cfg.Logger.Error("audit file is not rotated", "error", err)
		s.day = dayOf(s.cfg.Now())
		return nil
	}
	s.letGo()
	return s.openLocked()
}

// begin writes the first record of a new file.
func (s *File) begin() error {
	now := s.cfg.Now().UTC()
	note, err := json.Marshal(&audit.Event{Time: now, Code: audit.TrailOpened, Detail: fmt.Sprintf("goes on after record %d", s.head.seq)})
	if err != nil {
		return err
	}
	s.first, s.day = s.head.seq+1, dayOf(now)
	if err := s.store([][]byte{note}); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.cfg.Path))
}

func (s *File) logHead(what string) {
	s.cfg.Logger.Info("audit chain", "file", what, "seq", s.head.seq, "head", hex.EncodeToString(s.head.hash[:]))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Passing reports whether an error of [File.Open] is a fault of the machine that
// may go away by itself (a full disk, a disk that does not answer), so that a
// service whose trail is not required may start; anything else is a mistake in the
// settings.
func Passing(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS, syscall.ESTALE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
