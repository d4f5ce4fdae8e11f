//go:build unix

package certs

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// openFile opens a file for reading without waiting for the other end of a pipe.
func openFile(path string) (*os.File, error) {
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
		return fmt.Errorf("%w: %s belongs to user %d: run chown %d %s", ErrPermissions, path, st.Uid, uid, path)
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
	return checkDirectory(filepath.Dir(real))
}

// checkDirectory judges a directory of keys and the way to it.
func checkDirectory(dir string) error {
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
				return fmt.Errorf("%w: directory %s has mode %04o: run chmod 0700 %s", ErrPermissions, at, mode, at)
			}
		} else if mode&0o022 != 0 && info.Mode()&os.ModeSticky == 0 {
			return fmt.Errorf("%w: directory %s (mode %04o) lets others exchange what is in it: run chmod go-w %s", ErrPermissions, at, mode, at)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
