package certs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme/autocert"

	"sallyport/certs/internal/disk"
)

// ListenerConfig says where the public listener's certificate comes from.
type ListenerConfig struct {
	// CertificateFile (with its chain) and KeyFile are PEM. Both empty: an ECDSA
	// P-256 certificate is made in memory.
	CertificateFile, KeyFile string
	// Hosts are the names and addresses in a generated certificate.
	Hosts []string
	// ACME gets a certificate for the first of Hosts from an authority, and renews it.
	// Until the first one is there, one made in memory stands in. Nil: not so.
	ACME *ACMEConfig
	// Now is the clock. Default [time.Now].
	Now func() time.Time
}

// Listener is the public listener's certificate. It is safe for concurrent use.
type Listener struct {
	cfg     ListenerConfig
	current atomic.Pointer[tls.Certificate]
	acme    *autocert.Manager // nil without ACME

	mu   sync.Mutex // held while files are read
	seen [sha256.Size]byte
	// tried is the content of the last attempt, so that a broken pair is reported
	// once and not at each look.
	tried [sha256.Size]byte
}

// NewListener reads or makes the certificate.
func NewListener(cfg ListenerConfig) (*Listener, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := &Listener{cfg: cfg}
	if cfg.CertificateFile == "" && cfg.KeyFile == "" {
		if len(cfg.Hosts) == 0 {
			return nil, errors.New("listener certificate: no name for it")
		}
		key, cert, err := generateListener(cfg.Hosts, cfg.Now())
		if err != nil {
			return nil, fmt.Errorf("listener certificate: %w", err)
		}
		l.current.Store(&tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert})
		if cfg.ACME != nil {
			l.acme, err = newACME(&cfg)
		}
		return l, err
	}
	if _, err := l.Reload(); err != nil {
		return nil, err
	}
	return l, nil
}

// GetCertificate is for [tls.Config]. Connections that exist keep the certificate
// that they began with.
func (l *Listener) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if l.acme != nil && hello != nil {
		return l.fromACME(hello)
	}
	return l.current.Load(), nil
}

// NotAfter returns the end of the certificate's validity.
func (l *Listener) NotAfter() time.Time { return l.current.Load().Leaf.NotAfter }

// Thumbprint returns the [Thumbprint] of the certificate.
func (l *Listener) Thumbprint() string { return Thumbprint(l.current.Load().Leaf) }

// Reload reads the files again and reports whether the certificate changed. With
// an error the one before stays in use. A pair of which only one half has been
// replaced yet does not match, and is such an error.
func (l *Listener) Reload() (changed bool, err error) {
	return l.reload(true)
}

func (l *Listener) reload(always bool) (changed bool, err error) {
	if l.cfg.CertificateFile == "" {
		return false, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	certPEM, err := disk.ReadPublic(l.cfg.CertificateFile)
	if err != nil {
		return false, fmt.Errorf("listener certificate: %w", err)
	}
	keyPEM, err := l.readKey()
	if err != nil {
		return false, fmt.Errorf("listener key: %w", err)
	}
	defer clear(keyPEM)
	sum := sha256.Sum256(bytes.Join([][]byte{certPEM, keyPEM}, []byte{0}))
	if sum == l.seen || (sum == l.tried && !always) {
		return false, nil
	}
	l.tried = sum
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return false, fmt.Errorf("listener certificate %s with key %s: %s%w", l.cfg.CertificateFile, l.cfg.KeyFile, pairHint(certPEM, keyPEM, err), err)
	}
	l.current.Store(&pair)
	l.seen = sum
	return true, nil
}

// readKey reads the listener's key. Tools that renew certificates often let a
// group read it, so only others are kept out.
func (l *Listener) readKey() ([]byte, error) {
	f, err := disk.Open(l.cfg.KeyFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o027 != 0 {
		return nil, fmt.Errorf("%s can be read or changed by others (mode %04o): run chmod 0600 %s", l.cfg.KeyFile, mode, l.cfg.KeyFile)
	}
	return disk.ReadAll(f, l.cfg.KeyFile)
}

// Watch looks at the files every interval until ctx ends, and calls report after
// a change (nil) or a new error. Files replaced by rename, symbolic link or mount
// are noticed alike, which file system events are not.
func (l *Listener) Watch(ctx context.Context, interval time.Duration, report func(error)) {
	look := func() (bool, error) { return l.reload(false) }
	if l.acme != nil {
		interval = max(interval, acmeInterval)
		look = func() (bool, error) { return l.obtain(ctx) }
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var last string
	if l.acme != nil { // the first certificate is wanted now
		l.tell(look, &last, report)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.tell(look, &last, report)
	}
}

// acmeInterval is the least time between two looks at a certificate from an authority:
// authorities count what fails.
const acmeInterval = 10 * time.Minute

// tell looks once and reports a change, or an error that is not that of before.
func (l *Listener) tell(look func() (bool, error), last *string, report func(error)) {
	changed, err := look()
	switch {
	case err != nil && err.Error() != *last:
		*last = err.Error()
		report(err)
	case err == nil && changed:
		*last = ""
		report(nil)
	}
}

// pairHint says what is the matter with files that make no pair, as far as it can
// be seen.
func pairHint(certPEM, keyPEM []byte, err error) string {
	cert, _ := pem.Decode(certPEM)
	key, _ := pem.Decode(keyPEM)
	switch {
	case cert == nil && key == nil:
		return "neither is PEM (convert them: openssl x509 -inform DER, openssl pkey -inform DER): "
	case cert == nil:
		return "the certificate is not PEM (convert it: openssl x509 -inform DER): "
	case key == nil:
		return "the key is not PEM (convert it: openssl pkey -inform DER): "
	case cert.Type != "CERTIFICATE" && key.Type == "CERTIFICATE":
		return "the two files have changed places: "
	case cert.Type != "CERTIFICATE":
		return "the certificate's file begins with a " + cert.Type + ": put the certificate there, the intermediate ones after it: "
	case strings.Contains(key.Type, "ENCRYPTED") || key.Headers["DEK-Info"] != "":
		return "the key is encrypted, and nobody is there to type its password (decrypt it: openssl pkey): "
	}
	if strings.Contains(err.Error(), "does not match") { // crypto/tls has no error value for it
		return "the key is not the one that the file's first certificate was made for; the server's own certificate comes first, intermediate ones after it: "
	}
	return ""
}
