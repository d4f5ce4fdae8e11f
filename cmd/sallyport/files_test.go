package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pair writes a key and a certificate for it, as PEM, with the key's mode.
func (p *place) pair(t *testing.T, key, certificate string, weak bool) {
	t.Helper()
	var public, private any
	if weak { // an elliptic curve, which signs no token for Microsoft 365
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		public, private = k.Public(), k
	} else {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		must(t, err)
		public, private = k.Public(), k
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sts.contoso.test"}, DNSNames: []string{"sts.contoso.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	must(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	p.file(t, key, 0o600, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	p.file(t, certificate, 0o644, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

func (p *place) file(t *testing.T, name string, mode os.FileMode, text string) {
	t.Helper()
	path := filepath.Join(p.dir, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte(text), mode))
	must(t, os.Chmod(path, mode))
}

const (
	generated = "tls: {generate: true}"
	ownFiles  = "tls: {certificate_file: tls.pem, key_file: tls.key}"
	fixedPair = "signing: {key_file: keys/signing.key, certificate_file: keys/signing.crt, generate: true}"
)

// The port that browsers come to is not always the one that is listened on; where
// nothing says who passes it on, check asks.
func TestCheckComparesThePorts(t *testing.T) {
	for _, c := range []struct {
		listen, public, proxy string
		asks                  bool
	}{
		{"127.0.0.1:28443", "https://sts.contoso.test", "", true},
		{"127.0.0.1:28443", "https://sts.contoso.test", "\nproxy: {trusted: [127.0.0.1/32]}", false},
		{"127.0.0.1:28443", "https://sts.contoso.test:28443", "", false},
		{"127.0.0.1:0", "https://sts.contoso.test", "", false},
	} {
		p := newPlace(t)
		p.change(t, "public_url: https://sts.contoso.test\nlisten: 127.0.0.1:0", "public_url: "+c.public+"\nlisten: "+c.listen+c.proxy)
		_, out, _ := call(t, "", "check", "--offline", "--config", p.conf)
		if asks := strings.Contains(out, "2:1: listen: browsers come to port 443"); asks != c.asks {
			t.Errorf("%s for %s%s: asks %v\n%s", c.listen, c.public, c.proxy, asks, out)
		}
	}
}

// Whatever is wrong with a file that the settings name, serve and check say where it
// is named, by line and column, and what to do.
func TestBadFilesAreNamedWithPlaceAndRemedy(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, p *place)
		want   []string // in what serve says and in what check says
	}{
		{"listener's key is of another certificate", func(t *testing.T, p *place) {
			p.change(t, generated, ownFiles)
			p.pair(t, "tls.key", "old.pem", false)
			p.pair(t, "old.key", "tls.pem", false)
		}, []string{"3:7: tls.certificate_file", "not the one that the file's first certificate was made for"}},
		{"listener's key is no key", func(t *testing.T, p *place) {
			p.change(t, generated, ownFiles)
			p.pair(t, "tls.key", "tls.pem", false)
			p.file(t, "tls.key", 0o600, "key")
		}, []string{"3:7: tls.certificate_file", "openssl pkey"}},
		{"listener's key can be read by others", func(t *testing.T, p *place) {
			p.change(t, generated, ownFiles)
			p.pair(t, "tls.key", "tls.pem", false)
			must(t, os.Chmod(filepath.Join(p.dir, "tls.key"), 0o644))
		}, []string{"3:34: tls.key_file", "chmod 0600"}},
		{"no listener's certificate", func(t *testing.T, p *place) { p.change(t, generated, ownFiles) },
			[]string{"3:7: tls.certificate_file: there is no file", "3:34: tls.key_file: there is no file"}},
		{"signing key of another certificate", func(t *testing.T, p *place) {
			p.pair(t, "keys/signing.key", "old.pem", false)
			p.pair(t, "old.key", "keys/signing.crt", false)
		}, []string{"16:11: signing.key_file", "do not belong together: install the pair again"}},
		{"signing key that Microsoft 365 does not take", func(t *testing.T, p *place) { p.pair(t, "keys/signing.key", "keys/signing.crt", true) },
			[]string{"16:11: signing.key_file", "RSA"}},
		{"half a signing pair", func(t *testing.T, p *place) {
			p.pair(t, "keys/signing.key", "keys/signing.crt", false)
			must(t, os.Remove(filepath.Join(p.dir, "keys/signing.key")))
		}, []string{"16:11: signing.key_file", "restore"}},
		{"signing pair that is not there", func(t *testing.T, p *place) { p.change(t, ", generate: true}\nlockout", "}\nlockout") },
			[]string{"16:11: signing.key_file: there is no file", "16:39: signing.certificate_file: there is no file"}},
		{"key directory that is a file", func(t *testing.T, p *place) {
			p.change(t, fixedPair, "signing: {key_dir: keys, generate: true}")
			p.file(t, "keys", 0o600, "")
		}, []string{"16:11: signing.key_dir", "not a directory"}},
		{"key directory of everybody", func(t *testing.T, p *place) {
			p.change(t, fixedPair, "signing: {key_dir: keys, generate: true}")
			must(t, os.Mkdir(filepath.Join(p.dir, "keys"), 0o700))
			must(t, os.Chmod(filepath.Join(p.dir, "keys"), 0o777))
		}, []string{"16:11: signing.key_dir", "chmod 0700"}},
		{"empty key directory, and none is to be made", func(t *testing.T, p *place) { p.change(t, fixedPair, "signing: {key_dir: keys}") },
			[]string{"16:11: signing.key_dir", "certs import"}},
		{"authority that is none", func(t *testing.T, p *place) { p.file(t, "ca.pem", 0o644, "CA") },
			[]string{"13:3: directory.ca_file", "holds no PEM certificate"}},
		{"password that others can read", func(t *testing.T, p *place) { must(t, os.Chmod(filepath.Join(p.dir, "service"), 0o644)) },
			[]string{"14:60: directory.service_account.password_file", "chmod 0600"}},
		{"no directory for the audit file", func(t *testing.T, p *place) { p.change(t, "audit.jsonl", "nowhere/audit.jsonl") },
			[]string{"18:9: audit.file", "install -d"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t)
			c.change(t, p)
			status, _, errs := call(t, "", "serve", "--config", p.conf)
			if status != exitFailed || !strings.Contains(errs, p.conf+":"+c.want[0]) || !strings.Contains(errs, c.want[1]) {
				t.Errorf("serve: %d, want %q in\n%s", status, c.want, errs)
			}
			status, out, _ := call(t, "", "check", "--offline", "--config", p.conf)
			if status != exitFailed || !strings.Contains(out, c.want[0]) || !strings.Contains(out, c.want[1]) {
				t.Errorf("check: %d, want %q in\n%s", status, c.want, out)
			}
		})
	}
}
