//go:build unix

package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// MaxFile bounds the files that are read here.
const MaxFile = 1 << 20

// ErrPermissions says that others could read or exchange a file.
var ErrPermissions = errors.New("the signing key is not safe from other users")

// ReadPrivate reads a file that only its owner may read. What is judged is the
// opened file, so it cannot be exchanged in between.
func ReadPrivate(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := checkPrivate(f, path); err != nil {
		return nil, err
	}
	return ReadAll(f, path)
}

// ReadPublic reads a file that anybody may read, but not without end.
func ReadPublic(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadAll(f, path)
}

// ReadAll reads an opened file up to [MaxFile].
func ReadAll(f *os.File, path string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(data) > MaxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, MaxFile)
	}
	return data, err
}

// Open opens a file for reading without waiting for the other end of a pipe.
func Open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// checkPrivate refuses a key file that others may read or change, or that lies in
// a directory where they may look around or exchange it (threats C01).
func checkPrivate(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := checkOwner(info, path); err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o177 != 0 {
		return fmt.Errorf("%w: %s has mode %04o: run chmod 0600 %s", ErrPermissions, path, mode, path)
	}
	return checkPlace(path)
}

func checkOwner(info os.FileInfo, path string) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%w: the owner of %s is not known", ErrPermissions, path)
	}
	if uid := os.Geteuid(); st.Uid != 0 && int(st.Uid) != uid {
		return fmt.Errorf("%w: %s belongs to user %d: run chown %d %s, or run this as that user", ErrPermissions, path, st.Uid, uid, path)
	}
	return nil
}

// checkPlace judges the directory that really holds the file, behind any symbolic
// link, and the way to it.
func checkPlace(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	return CheckDirectory(filepath.Dir(real))
}

// CheckDirectory judges a directory of keys and the way to it.
func CheckDirectory(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return err
		}
		mode := info.Mode().Perm()
		if at == dir {
			if err := checkOwner(info, at); err != nil {
				return err
			}
			if mode&0o027 != 0 {
				return fmt.Errorf("%w: directory %s has mode %04o: %s", ErrPermissions, at, mode, closing(at, info))
			}
		} else if mode&0o022 != 0 && info.Mode()&os.ModeSticky == 0 {
			return fmt.Errorf("%w: directory %s (mode %04o) lets others exchange what is in it: run chmod go-w %s", ErrPermissions, at, mode, at)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

// closing says how a directory is kept from others, without harm to what else is in it.
func closing(dir string, info os.FileInfo) string {
	const own = "a directory of its own, made by install -d -m 0700 DIRECTORY"
	if info.Mode()&os.ModeSticky != 0 { // everybody's, such as /tmp
		return "move the file to " + own
	}
	return fmt.Sprintf("run chmod 0700 %s, or, when others need what else is in it, move the file to %s", dir, own)
}
