package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Dir is a directory of private files.
type Dir struct {
	// Path is the directory. It is made with mode 0700 when a file is written.
	Path string
	// Public takes a directory that others may read, for certificates.
	Public bool
	// Before, for tests, is asked before each step that changes the disk; its error
	// ends the operation there, as a crash would.
	Before func(step string) error
}

func (d Dir) before(step string) error {
	if d.Before == nil {
		return nil
	}
	return d.Before(step)
}

// temporary begins the names of files that are not complete yet.
const temporary = ".new-"

// MakeDirectory makes a directory with mode 0700 where there is none, and judges one
// that is there as [CheckDirectory] does.
func MakeDirectory(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return CheckDirectory(path)
}

// Create writes a file that does not exist yet, durably; [fs.ErrExist] when it does.
func (d Dir) Create(name string, data []byte, mode os.FileMode) error {
	return d.write(name, data, mode, func(tmp, path string) error {
		if err := d.before("link"); err != nil {
			return err
		}
		// A link, unlike a rename, does not replace what another process has made.
		return os.Link(tmp, path)
	})
}

// Replace writes a file, durably, in the place of one that may be there.
func (d Dir) Replace(name string, data []byte, mode os.FileMode) error {
	return d.write(name, data, mode, func(tmp, path string) error {
		if err := d.before("rename"); err != nil {
			return err
		}
		return os.Rename(tmp, path)
	})
}

func (d Dir) write(name string, data []byte, mode os.FileMode, place func(tmp, path string) error) error {
	if err := d.before("mkdir"); err != nil {
		return err
	}
	if err := os.MkdirAll(d.Path, 0o700); err != nil {
		return err
	}
	if !d.Public {
		if err := CheckDirectory(d.Path); err != nil {
			return err
		}
	}
	tmp, err := d.fill(data, mode)
	if tmp != "" {
		defer os.Remove(tmp)
	}
	if err != nil {
		return d.named(err)
	}
	if err := place(tmp, filepath.Join(d.Path, name)); err != nil {
		return d.named(err)
	}
	return d.sync()
}

// named puts the directory in the place of a temporary name, which says nothing to an
// admin and is another one each time: who logs changes of a text would log it anew.
func (d Dir) named(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p) && strings.HasPrefix(filepath.Base(p.Path), temporary):
		return fmt.Errorf("writing in %s: %w", d.Path, p.Err)
	case errors.As(err, &l) && strings.HasPrefix(filepath.Base(l.Old), temporary):
		return fmt.Errorf("writing %s: %w", l.New, l.Err)
	}
	return err
}

// Probe finds out whether a file can be written, and leaves nothing behind.
func (d Dir) Probe() error {
	if err := CheckDirectory(d.Path); err != nil {
		return err
	}
	tmp, err := d.fill([]byte("probe"), 0o600)
	if tmp != "" {
		defer os.Remove(tmp)
	}
	return d.named(err)
}

// fill makes a complete file under a temporary name.
func (d Dir) fill(data []byte, mode os.FileMode) (path string, err error) {
	if err := d.before("create"); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(d.Path, temporary+"*")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Chmod(mode); err != nil {
		return f.Name(), err
	}
	if err := d.before("write"); err != nil {
		return f.Name(), err
	}
	if _, err := f.Write(data); err != nil {
		return f.Name(), err
	}
	if err := d.before("fsync"); err != nil {
		return f.Name(), err
	}
	return f.Name(), f.Sync()
}

// sync makes what happened to names in the directory durable.
func (d Dir) sync() error {
	if err := d.before("fsync directory"); err != nil {
		return err
	}
	f, err := os.Open(d.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Remove deletes a file, durably. There being none is no error.
func (d Dir) Remove(name string) error {
	if err := d.before("remove"); err != nil {
		return err
	}
	err := os.Remove(filepath.Join(d.Path, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	return d.sync()
}

// Destroy overwrites a file and removes it, durably. On a disk that writes in place
// the old content is then gone; on others it is a best effort.
func (d Dir) Destroy(name string) error {
	if err := d.before("overwrite"); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(d.Path, name), os.O_WRONLY, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.Write(make([]byte, min(info.Size(), MaxFile)))
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return d.Remove(name)
}

// Sweep removes temporary files that a crash left, once they are an hour old.
func (d Dir) Sweep(now time.Time) error {
	list, err := os.ReadDir(d.Path)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range list {
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), temporary) && now.Sub(info.ModTime()) > time.Hour {
			errs = append(errs, d.Destroy(e.Name()))
		}
	}
	return errors.Join(errs...)
}

// Read returns a private file's content, judged as [ReadPrivate] does.
func (d Dir) Read(name string) ([]byte, error) {
	data, err := ReadPrivate(filepath.Join(d.Path, name))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}
