package directorytest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// End is how a server ends a connection.
type End uint8

// The ends.
const (
	EndNotice End = iota // notice of disconnection, then FIN
	EndClose             // FIN
	EndReset             // RST
	EndSilent            // nothing: the path forgets the connection
)

// Settings are the properties of one DC that can change while it runs. The zero
// value is a healthy Windows DC.
type Settings struct {
	// FastBind advertises and allows fast bind.
	FastBind bool
	// RefuseStartTLS answers StartTLS with 52.
	RefuseStartTLS bool
	// NotSynchronized sets isSynchronized FALSE; RODC advertises a read-only DC.
	NotSynchronized, RODC bool
	// Clock is the error of the DC's clock.
	Clock time.Duration
	// KeepIdentity keeps the old identity after a failed bind, as Samba does.
	KeepIdentity bool
	// IgnoreSizeLimit and IgnoreCriticalControls are Samba's habits too.
	IgnoreSizeLimit, IgnoreCriticalControls bool
	// NoGlobalGroups leaves tokenGroupsGlobalAndUniversal out, as a DC does that
	// reaches no global catalog.
	NoGlobalGroups bool
	// MaxConnections closes connections beyond it at once; 0 means 5000.
	MaxConnections int
	// IdleTimeout ends a connection without requests by IdleEnd; 0 means never.
	IdleTimeout time.Duration
	IdleEnd     End
	// Latency delays each answer.
	Latency time.Duration
	// Certificate and MinTLS, MaxTLS govern new connections; 0 means TLS 1.2 and up.
	Certificate    CertificateKind
	MinTLS, MaxTLS uint16
	// FunctionalLevel is the DC's and the domain's; 0 means 7 (2016).
	FunctionalLevel int
	// OtherDomain makes rootDSE name another domain: a wrong server.
	OtherDomain string
}

// DC is one domain controller.
type DC struct {
	// Name is the host name, for example dc1.corp.contoso.test.
	Name string
	// URL is ldaps://NAME and StartTLSURL ldap+starttls://NAME; clients dial Addr
	// and PlainAddr instead of resolving the name.
	URL, StartTLSURL string
	// Addr and PlainAddr are host:port of the two listeners; they stay the same
	// over Down and Up.
	Addr, PlainAddr string

	d     *Directory
	index int
	set   atomic.Pointer[Settings]

	dials, handshakes, open, mostOpen, outstanding atomic.Int64

	wait      sync.WaitGroup
	mu        sync.Mutex // guards what follows
	listeners []net.Listener
	conns     map[*conn]struct{}
	faults    []*armed
	certs     map[CertificateKind]*tls.Certificate
	nextConn  uint64
}

func newDC(d *Directory, index int) (*DC, error) {
	name := "dc" + strconv.Itoa(index+1) + "." + d.cfg.Domain
	dc := &DC{
		Name: name, URL: "ldaps://" + name, StartTLSURL: "ldap+starttls://" + name,
		Addr: "127.0.0.1:0", PlainAddr: "127.0.0.1:0",
		d: d, index: index, conns: map[*conn]struct{}{}, certs: map[CertificateKind]*tls.Certificate{},
	}
	if d.cfg.Listen != nil {
		dc.Addr, dc.PlainAddr = d.cfg.Listen(index)
	}
	s := d.cfg.Settings
	dc.set.Store(&s)
	if _, err := dc.certificate(CertificateGood); err != nil {
		return nil, err
	}
	return dc, dc.Up()
}

// hostName is the computer's name, for example DC1.
func (dc *DC) hostName() string {
	host, _, _ := strings.Cut(dc.Name, ".")
	return strings.ToUpper(host)
}

func (dc *DC) now() time.Time { return dc.d.cfg.Now().Add(dc.settings().Clock) }

func (dc *DC) settings() *Settings { return dc.set.Load() }

// Set changes the DC's settings while it runs.
func (dc *DC) Set(change func(*Settings)) {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	s := *dc.set.Load()
	change(&s)
	dc.set.Store(&s)
}

// Up opens the listeners, at the addresses they had before. It does nothing when
// they are open.
func (dc *DC) Up() error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	if len(dc.listeners) > 0 {
		return nil
	}
	for _, l := range []struct {
		addr  *string
		plain bool
	}{{&dc.Addr, false}, {&dc.PlainAddr, true}} {
		ln, err := net.Listen("tcp", *l.addr)
		if err != nil {
			for _, open := range dc.listeners {
				_ = open.Close()
			}
			dc.listeners = nil
			return fmt.Errorf("directorytest: %s: %w", dc.Name, err)
		}
		*l.addr = ln.Addr().String()
		dc.listeners = append(dc.listeners, ln)
		dc.wait.Go(func() { dc.accept(ln, l.plain) })
	}
	return nil
}

// Down closes the listeners and resets every connection, as a host that died:
// new dials are refused until Up.
func (dc *DC) Down() {
	dc.Refuse()
	dc.Disconnect(EndReset)
}

// Refuse closes the listeners only; open connections stay.
func (dc *DC) Refuse() {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	for _, ln := range dc.listeners {
		_ = ln.Close()
	}
	dc.listeners = nil
}

// Disconnect ends every open connection in the given way, without regard to
// requests that run.
func (dc *DC) Disconnect(how End) {
	dc.mu.Lock()
	conns := make([]*conn, 0, len(dc.conns))
	for c := range dc.conns {
		conns = append(conns, c)
	}
	dc.mu.Unlock()
	for _, c := range conns {
		c.end(how)
	}
}

func (dc *DC) accept(ln net.Listener, plain bool) {
	for {
		raw, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		dc.dials.Add(1)
		dc.serve(raw, plain)
	}
}

func (dc *DC) serve(raw net.Conn, plain bool) {
	limit := dc.settings().MaxConnections
	if limit == 0 {
		limit = 5000
	}
	c := newConn(dc, raw, plain)
	dc.mu.Lock()
	if len(dc.conns) >= limit || len(dc.listeners) == 0 {
		dc.mu.Unlock()
		_ = raw.Close()
		return
	}
	dc.nextConn++
	c.number = dc.nextConn
	dc.conns[c] = struct{}{}
	raise(&dc.mostOpen, dc.open.Add(1))
	dc.mu.Unlock()
	dc.wait.Go(func() {
		c.run()
		dc.mu.Lock()
		delete(dc.conns, c)
		dc.open.Add(-1)
		dc.mu.Unlock()
	})
}

func (dc *DC) certificate(kind CertificateKind) (*tls.Certificate, error) {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	if c := dc.certs[kind]; c != nil {
		return c, nil
	}
	c, err := dc.d.ca.issue(kind, dc.Name)
	if err != nil {
		return nil, err
	}
	dc.certs[kind] = c
	return c, nil
}

// RenewCertificate makes a new good certificate for connections from now on.
func (dc *DC) RenewCertificate() error {
	dc.mu.Lock()
	delete(dc.certs, CertificateGood)
	dc.mu.Unlock()
	_, err := dc.certificate(CertificateGood)
	return err
}

// tlsConfig is read anew for each connection.
func (dc *DC) tlsConfig() (*tls.Config, error) {
	s := dc.settings()
	cert, err := dc.certificate(s.Certificate)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{
		Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12, MaxVersion: s.MaxTLS,
		SessionTicketsDisabled: true,
	}
	if s.MinTLS != 0 {
		cfg.MinVersion = s.MinTLS
	}
	if s.MaxTLS != 0 && s.MaxTLS < cfg.MinVersion {
		cfg.MinVersion = s.MaxTLS
	}
	return cfg, nil
}
