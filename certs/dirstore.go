package certs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/certs/internal/disk"
)

const (
	ledgerPrefix, ledgerSuffix = "ledger-", ".json"
	// keepVersions are never pruned, however old.
	keepVersions = 8
	// keepTime is how long a version stays at least: far longer than any Swap takes,
	// so nobody can make a version anew that was pruned in between.
	keepTime = time.Hour
)

// DirStore keeps the ledger in a directory, one file for each version, which is
// made by link(2) and thus never twice: the compare-and-swap needs no lock, leaves
// nothing behind after a crash, and holds on a file system that instances share
// (NFS makes links atomically where it does not make locks). It is safe for
// concurrent use, by several processes too.
type DirStore struct {
	dir disk.Dir
	now func() time.Time
}

// NewDirStore returns the store in a directory, which must be the same one for all
// instances. It is made, with mode 0700, when there is something to write.
func NewDirStore(path string) *DirStore {
	return &DirStore{dir: disk.Dir{Path: path}, now: time.Now}
}

// Probe finds out whether the ledger and keys could be changed, for a check: nil also
// when there is no directory yet.
func (s *DirStore) Probe() error {
	err := s.dir.Probe()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// versions lists what is there, ascending.
func (s *DirStore) versions() ([]uint64, error) {
	list, err := os.ReadDir(s.dir.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []uint64
	for _, e := range list {
		name := e.Name()
		if !strings.HasPrefix(name, ledgerPrefix) || !strings.HasSuffix(name, ledgerSuffix) {
			continue
		}
		v, err := strconv.ParseUint(name[len(ledgerPrefix):len(name)-len(ledgerSuffix)], 10, 64)
		if err == nil && name == ledgerName(v) {
			all = append(all, v)
		}
	}
	slices.Sort(all)
	return all, nil
}

func ledgerName(version uint64) string {
	return fmt.Sprintf("%s%012d%s", ledgerPrefix, version, ledgerSuffix)
}

// Load implements [Store].
func (s *DirStore) Load(ctx context.Context) (*Ledger, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		all, err := s.versions()
		if err != nil {
			return nil, fmt.Errorf("signing directory: %w", err)
		}
		if len(all) == 0 {
			return nil, ErrNoLedger
		}
		latest := all[len(all)-1]
		data, err := s.dir.Read(ledgerName(latest))
		if errors.Is(err, fs.ErrNotExist) {
			continue // many versions came in between, and this one was pruned
		}
		if err != nil {
			return nil, fmt.Errorf("signing directory: %w", err)
		}
		l, err := DecodeLedger(data)
		if err == nil && l.Version != latest {
			err = fmt.Errorf("ledger: %s holds version %d", ledgerName(latest), l.Version)
		}
		// A broken ledger is never passed over for an older one: an old key set could
		// sign with a key that nobody trusts any more (threats C03).
		if err != nil {
			return nil, fmt.Errorf("%s: %w: take it away to go back one version, or restore a backup of the directory", filepath.Join(s.dir.Path, ledgerName(latest)), err)
		}
		return l, nil
	}
}

// Swap implements [Store].
func (s *DirStore) Swap(ctx context.Context, next *Ledger) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	data, err := EncodeLedger(next)
	if err != nil {
		return err
	}
	all, err := s.versions()
	if err != nil {
		return fmt.Errorf("signing directory: %w", err)
	}
	latest := uint64(0)
	if len(all) > 0 {
		latest = all[len(all)-1]
	}
	if latest != next.Version-1 {
		return ErrConflict
	}
	switch err := s.dir.Create(ledgerName(next.Version), data, 0o600); {
	case errors.Is(err, fs.ErrExist):
		return ErrConflict
	case err != nil:
		return fmt.Errorf("signing directory: %w", err)
	}
	s.prune(all)
	return nil
}

// prune removes versions that nobody can need any more. What it leaves because of
// an error goes the next time.
func (s *DirStore) prune(all []uint64) {
	for _, v := range all[:max(0, len(all)-keepVersions)] {
		name := ledgerName(v)
		info, err := os.Stat(filepath.Join(s.dir.Path, name))
		if err == nil && s.now().Sub(info.ModTime()) > keepTime {
			_ = s.dir.Remove(name)
		}
	}
	_ = s.dir.Sweep(s.now())
}

// Keep makes l the directory's ledger whatever version it has before, unless that
// is later already: for a directory that is one instance's own copy.
func (s *DirStore) Keep(_ context.Context, l *Ledger) error {
	all, err := s.versions()
	if err != nil || len(all) > 0 && all[len(all)-1] >= l.Version {
		return err
	}
	data, err := EncodeLedger(l)
	if err != nil {
		return err
	}
	if err := s.dir.Create(ledgerName(l.Version), data, 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("signing directory: %w", err)
	}
	s.prune(all)
	return nil
}
