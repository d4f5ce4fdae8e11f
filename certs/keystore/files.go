package keystore

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"sallyport/certs"
	"sallyport/certs/internal/disk"
	"sallyport/certs/internal/pemkey"
)

// Files keeps keys as PKCS#8 in PEM form, one file each, mode 0600. It is safe for
// concurrent use, by several processes too.
type Files struct {
	dir        disk.Dir
	passphrase []byte
}

var _ certs.KeyStore = (*Files)(nil)

// NewFiles returns the store in a directory, which is made with mode 0700 when there
// is a key to write. With a passphrase keys are written encrypted; plain ones are
// still read.
func NewFiles(dir string, passphrase []byte) *Files {
	return &Files{dir: disk.Dir{Path: dir}, passphrase: passphrase}
}

func fileName(ref string) string { return ref + ".key" }

// Generate implements [certs.KeyStore].
func (f *Files) Generate(ctx context.Context, ref string, bits int) (crypto.Signer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, err
	}
	return key, f.Import(ctx, ref, key)
}

// Import implements [certs.KeyStore].
func (f *Files) Import(_ context.Context, ref string, key crypto.Signer) error {
	data, err := pemkey.Marshal(key, f.passphrase)
	if err != nil {
		return err
	}
	defer clear(data)
	return f.dir.Create(fileName(ref), data, 0o600)
}

// Open implements [certs.KeyStore].
func (f *Files) Open(_ context.Context, ref string) (crypto.Signer, error) {
	data, err := f.dir.Read(fileName(ref))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s", certs.ErrNoKey, err)
	case err != nil:
		return nil, err
	}
	defer clear(data)
	key, err := pemkey.Parse(data, f.passphrase)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(f.dir.Path, fileName(ref)), err)
	}
	return key, nil
}

// Destroy implements [certs.KeyStore].
func (f *Files) Destroy(_ context.Context, ref string) error { return f.dir.Destroy(fileName(ref)) }
