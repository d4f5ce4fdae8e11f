package config

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// maxSecret bounds a secret file.
const maxSecret = 4096

// Secret is a reference to a secret: a file or an environment variable. It is
// read each time it is asked for, so that a changed file counts after a reload.
type Secret struct{ File, Env string }

// IsZero reports whether there is no reference.
func (s Secret) IsZero() bool { return s == Secret{} }

// Read returns the secret without the line feed at its end.
func (s Secret) Read() ([]byte, error) {
	var raw []byte
	switch {
	case s.File != "":
		f, err := openPrivate(s.File, groupMayRead)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if raw, err = io.ReadAll(io.LimitReader(f, maxSecret+1)); err != nil {
			return nil, fmt.Errorf("secret file: %w", err)
		}
	case s.Env != "":
		value, ok := os.LookupEnv(s.Env)
		if !ok {
			return nil, fmt.Errorf("environment variable %s is not set", s.Env)
		}
		raw = []byte(value)
	default:
		return nil, errors.New("no secret is named")
	}
	raw = bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))
	switch {
	case len(raw) == 0:
		return nil, fmt.Errorf("%s is empty", s.name())
	case len(raw) > maxSecret:
		return nil, fmt.Errorf("%s has more than %d bytes", s.name(), maxSecret)
	}
	return raw, nil
}

// Key returns the secret as 32 bytes, written as hex or base64.
func (s Secret) Key() ([]byte, error) {
	raw, err := s.Read()
	if err != nil {
		return nil, err
	}
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawURLEncoding.DecodeString} {
		if key, err := decode(string(raw)); err == nil && len(key) == 32 {
			if bytes.Count(key, key[:1]) == len(key) {
				return nil, fmt.Errorf("%s is one byte repeated, which is no secret: make one with openssl rand -hex 32", s.name())
			}
			return key, nil
		}
	}
	return nil, fmt.Errorf("%s is not 32 bytes in hex or base64: make one with openssl rand -hex 32", s.name())
}

func (s Secret) name() string {
	if s.File != "" {
		return s.File
	}
	return "environment variable " + s.Env
}

// privacy is who besides the owner may read a file.
type privacy int

const (
	// groupMayRead lets a group read, but only where root owns the file and we are
	// not root: that is how credentials are handed to a service that must not
	// change them.
	groupMayRead privacy = iota
	// anyGroupMayRead keeps out only those who are neither owner nor group.
	anyGroupMayRead
)

// openPrivate opens a file that others must not read. What is judged is the
// opened file, so it cannot be exchanged in between.
func openPrivate(path string, who privacy) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := private(f, path, who); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func private(f *os.File, path string, who privacy) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	owner := os.Geteuid()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = int(st.Uid)
	}
	if owner != 0 && owner != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, who could change it: run chown %d %s, or run this as that user", path, owner, os.Geteuid(), path)
	}
	mode := info.Mode().Perm()
	allowed := os.FileMode(0o700)
	if who == anyGroupMayRead || (owner == 0 && os.Geteuid() != 0) {
		allowed = 0o740
	}
	if mode&^allowed != 0 {
		return fmt.Errorf("%s can be read or changed by others (mode %04o): run chmod 0600 %s", path, mode, path)
	}
	return nil
}

// Passwords returns the service account's password and, where one is named, the
// one before.
func (a ServiceAccount) Passwords() ([][]byte, error) {
	return current(Secret{a.PasswordFile, a.PasswordEnv}, Secret{File: a.PreviousPasswordFile}, Secret.Read)
}

// Masters returns the keys that seal sessions, current one first; none with a
// memory store that names no secret.
func (s Sessions) Masters() ([][]byte, error) {
	if (Secret{s.SecretFile, s.SecretEnv}).IsZero() && s.Store == "memory" {
		return nil, nil
	}
	return current(Secret{s.SecretFile, s.SecretEnv}, Secret{File: s.PreviousSecretFile}, Secret.Key)
}

func current(now, before Secret, read func(Secret) ([]byte, error)) ([][]byte, error) {
	first, err := read(now)
	if err != nil {
		return nil, err
	}
	list := [][]byte{first}
	if !before.IsZero() {
		second, err := read(before)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(first, second) {
			list = append(list, second)
		}
	}
	return list, nil
}

// Password returns the Redis password, nil when none is named.
func (r Redis) Password() ([]byte, error) {
	s := Secret{r.PasswordFile, r.PasswordEnv}
	if s.IsZero() {
		return nil, nil
	}
	return s.Read()
}

// Roots returns the certificates of ca_file, nil for the system's.
func (r Redis) Roots() (*x509.CertPool, error) { return roots(r.CAFile) }

// Roots returns the certificates of ca_file, nil for the system's.
func (d Directory) Roots() (*x509.CertPool, error) { return roots(d.CAFile) }

// ChainKey returns the key of the audit chain, nil when none is named.
func (a Audit) ChainKey() ([]byte, error) {
	if a.ChainKeyFile == "" {
		return nil, nil
	}
	return Secret{File: a.ChainKeyFile}.Key()
}

func roots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate (-----BEGIN CERTIFICATE-----)", path)
	}
	return pool, nil
}
