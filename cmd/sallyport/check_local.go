package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"sallyport/certs"
	"sallyport/cmd/internal/config"
)

// renewListener is how long before its end the listener's certificate is worth a
// word; browsers refuse it from the day it ends.
const renewListener = 14 * 24 * time.Hour

// signing judges the token-signing key and certificate.
func (r *report) signing(ctx context.Context, cfg *config.Config, offline bool) {
	s := cfg.Signing
	if s.Living() {
		r.livingKeys(ctx, cfg, offline)
		return
	}
	secret, err := s.KeyEncryption()
	if err != nil {
		r.add(bad, "signing key", cfg.Place("signing.key_encryption_file")+": "+err.Error(), "")
		return
	}
	place := cfg.Place("signing.key_file") + ": "
	if _, err := os.Stat(s.KeyFile); s.Generate && errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(s.CertificateFile); errors.Is(err, fs.ErrNotExist) {
			if err := certs.CheckPlace(certs.Config{KeyFile: s.KeyFile}); err != nil {
				r.add(bad, "signing key", place+err.Error(), remedyFor(err))
				return
			}
			r.add(good, "signing key", "is made at the first start: "+s.KeyFile, "")
			return
		}
	}
	key, warnings, err := certs.Load(certs.Config{KeyFile: s.KeyFile, CertificateFile: s.CertificateFile, Passphrase: secret})
	if err != nil {
		r.add(bad, "signing key", place+err.Error(), remedyFor(err))
		return
	}
	r.add(good, "signing key", fmt.Sprintf("%s, thumbprint %s, %s", key.Certificate.Subject, key.ID, days(key.Certificate.NotAfter)), "")
	for _, w := range warnings {
		r.add(warn, "signing key", w.Message, "")
	}
	r.add(good, "signing key", "is one fixed pair, which nobody replaces by itself; signing.key_dir gives keys a life cycle", "")
}

func remedyFor(err error) string {
	switch {
	case errors.Is(err, certs.ErrPermissions):
		return "or run this as the service's user: sudo -u sallyport sallyport check"
	case errors.Is(err, fs.ErrPermission):
		return "run this as the service's user: sudo -u sallyport sallyport check"
	case errors.Is(err, fs.ErrNotExist):
		return "restore the file from a copy; key and certificate go together"
	case errors.Is(err, syscall.ENOTDIR):
		return "name a directory, or a place where the first start may make one"
	default:
		return ""
	}
}

// listener judges the public listener's certificate.
func (r *report) listener(_ context.Context, cfg *config.Config) {
	const what = "listener certificate"
	t := cfg.TLS
	switch {
	case t.PlainHTTP:
		r.add(good, what, "none: a proxy on this machine ends TLS", "")
		return
	case t.ACME.On():
		r.add(good, what, "is got and renewed by ACME for "+cfg.Host()+"; the log says when", "")
		return
	case t.Generate:
		r.add(warn, what, "is made at each start and signed by nobody", "fine behind a proxy that does not verify it; browsers need certificate_file and key_file")
		return
	}
	place := cfg.Place("tls.certificate_file") + ": "
	l, err := certs.NewListener(certs.ListenerConfig{CertificateFile: t.CertificateFile, KeyFile: t.KeyFile})
	if err != nil {
		r.add(bad, what, place+err.Error(), remedyFor(err))
		return
	}
	pair, err := l.GetCertificate(nil)
	if err != nil {
		r.add(bad, what, place+err.Error(), "")
		return
	}
	switch left := time.Until(l.NotAfter()); {
	case left < 0:
		r.add(bad, what, place+days(l.NotAfter()), "renew it: browsers refuse it")
	case left < renewListener:
		r.add(warn, what, days(l.NotAfter()), "renew it; the new files are taken without a restart")
	default:
		r.add(good, what, fmt.Sprintf("%s, %s", pair.Leaf.Subject, days(l.NotAfter())), "")
	}
	if err := pair.Leaf.VerifyHostname(cfg.Host()); err != nil {
		r.add(warn, what, err.Error(), "behind a proxy that ends TLS this may be meant; else get one for "+cfg.Host())
	}
}

// addresses tries whether the listeners can have their addresses.
func (r *report) addresses(ctx context.Context, cfg *config.Config) {
	running := answers(ctx, cfg.Ops.Listen)
	list := []struct{ what, address string }{{"listen", cfg.Listen}, {"ops.listen", cfg.Ops.Listen}}
	if cfg.AgentAlone() {
		list = list[1:]
	}
	for _, a := range list {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.address)
		switch {
		case err == nil:
			if err := ln.Close(); err != nil {
				r.add(bad, a.what, err.Error(), "")
				continue
			}
			r.add(good, a.what, a.address+" is free", "")
		case errors.Is(err, syscall.EADDRINUSE) && running:
			r.add(good, a.what, a.address+" is in use by the running service", "")
		case errors.Is(err, syscall.EADDRINUSE):
			r.add(bad, a.what, a.address+" is in use by another process", "stop it (ss -ltnp shows it) or choose another address")
		case errors.Is(err, fs.ErrPermission):
			r.add(bad, a.what, err.Error(), "ports below 1024 need AmbientCapabilities=CAP_NET_BIND_SERVICE, or listen on a higher one behind a proxy")
		default:
			r.add(bad, a.what, err.Error(), "the address must be one of this machine's own")
		}
	}
}

// port says when browsers come to another port than the one listened on, and nothing
// is named that could pass it on.
func (r *report) port(cfg *config.Config) {
	u, err := url.Parse(cfg.PublicURL)
	_, own, lerr := net.SplitHostPort(cfg.Listen)
	if err != nil || lerr != nil || len(cfg.Proxy.Trusted) > 0 || own == "0" {
		return
	}
	if theirs := cmp.Or(u.Port(), "443"); theirs != own {
		r.add(warn, "listen", fmt.Sprintf("%s: browsers come to port %s of %s, this listens on %s", cfg.Place("listen"), theirs, u.Hostname(), own),
			"a proxy or balancer passes it on: name it in proxy.trusted; without one, write listen: \":"+theirs+"\"")
	}
}

// answers reports whether an instance answers on the ops address.
func answers(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
	if err != nil {
		return false
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// audit tries whether the audit file's directory takes a file; the file itself
// belongs to the running service.
func (r *report) audit(cfg *config.Config) {
	if cfg.Audit.File == "" {
		r.add(good, "audit", "goes to standard output", "")
		return
	}
	dir := filepath.Dir(cfg.Audit.File)
	f, err := os.CreateTemp(dir, ".check-*")
	if err != nil {
		r.add(bad, "audit", cfg.Place("audit.file")+": "+err.Error(), "make the directory and give it to the service's user: install -d -o sallyport -m 0750 "+dir)
		return
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, 4096))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		r.add(bad, "audit", cfg.Place("audit.file")+": "+err.Error(), "make room in "+dir)
		return
	}
	r.add(good, "audit", cfg.Audit.File, "")
}
