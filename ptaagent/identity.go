package ptaagent

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"sallyport/ptaagent/internal/enroll"
)

// ErrNoIdentity says that no agent is registered in a directory.
var ErrNoIdentity = errors.New("no agent is registered here: run sallyport pta register")

// credential is one certificate with its key.
type credential struct {
	key        Key
	ref        string // of the key in a store, empty where it is in the file
	cert       *x509.Certificate
	thumbprint string // SHA-1, upper-case hex, as key ids have it
}

// Identity is the agent's keys and certificates in a directory of their own. It is
// safe for concurrent use.
type Identity struct {
	dir  string
	keys KeyStore // nil: files

	mu            sync.Mutex
	tenant, agent string
	current       *credential
	all           map[string]*credential // by thumbprint
}

// manifest says which of the files in the directory is in force.
type manifest struct {
	Tenant  string `json:"tenant"`
	Agent   string `json:"agent"`
	Current string `json:"current"`
}

const (
	manifestName = "agent.json"
	temporary    = ".new-*"
)

// LoadIdentity reads the directory of a registered agent; [ErrNoIdentity] where there
// is none. Files that others can read are refused. Private keys are in keys, or in the
// directory where it is nil.
func LoadIdentity(dir string, keys KeyStore, now time.Time) (*Identity, error) {
	raw, err := readPrivate(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoIdentity
	}
	if err != nil {
		return nil, err
	}
	var m manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	id := &Identity{dir: dir, keys: keys, tenant: m.Tenant, agent: m.Agent, all: map[string]*credential{}}
	names, err := filepath.Glob(filepath.Join(dir, "agent-*.pem"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		c, err := readCredential(name, keys)
		if err != nil {
			return nil, err
		}
		// That a certificate has expired is no reason not to run: status says so.
		if agent, err := check(c.key, c.cert, m.Tenant, c.cert.NotAfter); err != nil || agent != m.Agent {
			return nil, fmt.Errorf("%s: it is not a certificate of agent %.40q of tenant %.40q, as %s has it: put back the files of one agent, or empty the directory and register again",
				name, m.Agent, m.Tenant, manifestName)
		}
		if now.After(c.cert.NotAfter) && c.thumbprint != m.Current {
			continue // nothing is encrypted to it any more
		}
		id.all[c.thumbprint] = c
	}
	if id.current = id.all[m.Current]; id.current == nil {
		return nil, fmt.Errorf("%s names certificate %s, and there is no file of it", manifestName, m.Current)
	}
	return id, nil
}

// newIdentity stores the first certificate of an agent.
func newIdentity(dir string, keys KeyStore, tenant, agent string, c *credential) (*Identity, error) {
	id := &Identity{dir: dir, keys: keys, tenant: tenant, agent: agent, all: map[string]*credential{}}
	if err := id.add(c); err != nil {
		return nil, err
	}
	return id, id.promote(c)
}

// Tenant and Agent are GUIDs in lower case.
func (id *Identity) Tenant() string { return id.tenant }

// Agent is the agent's id.
func (id *Identity) Agent() string { return id.agent }

// NotAfter is when the certificate in force ends; Thumbprint is its SHA-1.
func (id *Identity) NotAfter() time.Time { return id.inForce().cert.NotAfter }

// Thumbprint names the certificate in force.
func (id *Identity) Thumbprint() string { return id.inForce().thumbprint }

func (id *Identity) inForce() *credential {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.current
}

func (id *Identity) find(thumbprint string) *credential {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.all[thumbprint]
}

// add stores a credential durably; from then on it decrypts.
func (id *Identity) add(c *credential) error {
	text, err := c.encode()
	if err != nil {
		return err
	}
	defer clear(text)
	if err := writePrivate(id.dir, "agent-"+c.thumbprint+".pem", text); err != nil {
		return err
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	id.all[c.thumbprint] = c
	return nil
}

// promote puts a stored credential into force, durably.
func (id *Identity) promote(c *credential) error {
	text, err := json.MarshalIndent(manifest{Tenant: id.tenant, Agent: id.agent, Current: c.thumbprint}, "", "  ")
	if err != nil {
		return err
	}
	if err := writePrivate(id.dir, manifestName, append(text, '\n')); err != nil {
		return err
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	id.current = c
	return nil
}

// pending returns the certificate that was issued last and is not in force yet, nil
// when the one in force is the last.
func (id *Identity) pending() *credential {
	id.mu.Lock()
	defer id.mu.Unlock()
	last := id.current
	for _, c := range id.all {
		if c.cert.NotBefore.After(last.cert.NotBefore) {
			last = c
		}
	}
	if last == id.current {
		return nil
	}
	return last
}

// tidy removes the keys of certificates that have expired, and files that somebody
// died over.
func (id *Identity) tidy(now time.Time) error {
	id.mu.Lock()
	defer id.mu.Unlock()
	names, err := filepath.Glob(filepath.Join(id.dir, temporary))
	for print, c := range id.all {
		if c != id.current && now.After(c.cert.NotAfter) {
			delete(id.all, print)
			if c.ref != "" && id.keys != nil {
				err = errors.Join(err, id.keys.Destroy(context.Background(), c.ref))
			}
		}
	}
	files, globErr := filepath.Glob(filepath.Join(id.dir, "agent-*.pem"))
	for _, name := range files {
		if id.all[strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), "agent-"), ".pem")] == nil {
			names = append(names, name)
		}
	}
	err = errors.Join(err, globErr)
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// tls returns the certificate for a handshake.
func (c *credential) tls() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{c.cert.Raw}, PrivateKey: c.key, Leaf: c.cert}
}

func newCredential(key Key, ref string, cert *x509.Certificate) *credential {
	sum := sha1.Sum(cert.Raw) // the name that the cloud gives it
	return &credential{key, ref, cert, strings.ToUpper(hex.EncodeToString(sum[:]))}
}

// check judges an issued certificate and returns the agent's id.
func check(key Key, cert *x509.Certificate, tenant string, now time.Time) (string, error) {
	return enroll.CheckCertificate(cert, key.Public(), tenant, now)
}

// readPrivate reads a file that only its owner may read; the opened file is judged.
func readPrivate(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > 64<<10 {
		return nil, fmt.Errorf("%s is not a regular file of a few kilobytes", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): run chmod 0600 %s", path, info.Mode().Perm(), path)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && os.Geteuid() != 0 && int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s belongs to user %d: run chown %d %s", path, st.Uid, os.Geteuid(), path)
	}
	buf := make([]byte, info.Size())
	n, err := f.Read(buf)
	return buf[:max(n, 0)], err
}

// ownedByAnother says whose the directory, or what it is to be made in, is, where root
// would store what that user could not read.
func ownedByAnother(dir string) error {
	for ; os.Geteuid() == 0; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
			continue
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			return fmt.Errorf("%s belongs to user %d, who could not read what root stores there: run this as the service's user", dir, st.Uid)
		}
		return nil
	}
	return nil
}

// writePrivate writes a file as a whole, durably, in a directory that nobody else
// can enter.
func writePrivate(dir, name string, data []byte) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("directory %s can be entered by others (mode %04o): run chmod 0700 %s", dir, info.Mode().Perm(), dir)
	}
	f, err := os.CreateTemp(dir, temporary) // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
