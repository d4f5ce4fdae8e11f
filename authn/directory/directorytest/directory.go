package directorytest

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	maxPageSize = 1000
	maxValRange = 1500
)

// Config describes a domain. Only Users is worth setting in most tests.
type Config struct {
	// Domain is the DNS name; default corp.contoso.test.
	Domain string
	// Forest is the DNS name of the forest's root domain; default Domain.
	Forest string
	// NetBIOS is the domain's NetBIOS name; default CONTOSO.
	NetBIOS string
	// DomainSID defaults to S-1-5-21-1004336348-1177238915-682003330.
	DomainSID string
	// UPNSuffixes are the values of uPNSuffixes; default contoso.test.
	UPNSuffixes []string
	// Site is the site of all DCs and clients; default Default-First-Site-Name.
	Site string

	Users  []User
	Groups []Group

	// DCs is the number of domain controllers; default 1. DC 0 is the PDC emulator.
	DCs int
	// Listen gives the addresses of one DC, for LDAPS and for LDAP with StartTLS;
	// nil means 127.0.0.1 and free ports.
	Listen func(dc int) (ldaps, plain string)

	// ServiceSAM is the account that searches; it is added to Users unless it is
	// there. Default svc-sallyport.
	ServiceSAM string
	// ServicePassword is that account's password; default random.
	ServicePassword string

	Policy Policy
	// Settings are what each DC starts with; see [DC.Set].
	Settings Settings

	// Samba makes the server behave as a Samba 4.17 DC does where that differs.
	Samba bool
	// UnknownData is the sub-code for a name that no object has; default 525, 52e
	// with Samba.
	UnknownData uint32
	// Records bounds the kept binds and searches, each; default 100,000. The oldest
	// are dropped.
	Records int
	// Now is the clock of the directory; default time.Now.
	Now func() time.Time

	started time.Time
}

func (c *Config) setDefaults() {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&c.Domain, "corp.contoso.test")
	c.Domain = strings.ToLower(c.Domain)
	def(&c.Forest, c.Domain)
	def(&c.NetBIOS, "CONTOSO")
	def(&c.DomainSID, "S-1-5-21-1004336348-1177238915-682003330")
	def(&c.Site, "Default-First-Site-Name")
	def(&c.ServiceSAM, "svc-sallyport")
	def(&c.ServicePassword, rand.Text())
	if c.UPNSuffixes == nil {
		c.UPNSuffixes = []string{"contoso.test"}
	}
	if c.DCs == 0 {
		c.DCs = 1
	}
	if c.Records == 0 {
		c.Records = 100_000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.UnknownData == 0 {
		c.UnknownData = dataUnknownUser
		if c.Samba {
			c.UnknownData = dataWrongPassword
		}
	}
	c.Policy = c.Policy.withDefaults()
	c.started = c.Now()
}

// Directory is a running domain.
type Directory struct {
	// DCs are the domain controllers; the slice is fixed after Start.
	DCs []*DC
	// Domain, NetBIOS and BaseDN name the domain.
	Domain, NetBIOS, BaseDN string
	// ServiceName is the service account as NETBIOS\name, ServiceDN its DN.
	ServiceName, ServiceDN string
	// ServicePassword is its password at start.
	ServicePassword string

	cfg Config
	ca  *authority
	rec recorder

	mu       sync.RWMutex // guards what follows and the accounts
	db       *database
	accounts map[string]*account
}

// Start brings the domain up. Close ends it.
func Start(cfg Config) (*Directory, error) {
	cfg.setDefaults()
	cfg.Users = append([]User(nil), cfg.Users...)
	if !hasUser(cfg.Users, cfg.ServiceSAM) {
		cfg.Users = append(cfg.Users, User{SAM: cfg.ServiceSAM, Password: cfg.ServicePassword, PasswordNeverExpires: true})
	}
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	d := &Directory{
		Domain: cfg.Domain, NetBIOS: cfg.NetBIOS, BaseDN: baseDN(cfg.Domain), ServicePassword: cfg.ServicePassword,
		ServiceName: cfg.NetBIOS + `\` + cfg.ServiceSAM, cfg: cfg, ca: ca, rec: newRecorder(cfg.Records),
	}
	if err := d.rebuild(); err != nil {
		return nil, err
	}
	d.ServiceDN = d.db.index["samaccountname"][d.db.m.fold(cfg.ServiceSAM)][0].dn
	for i := range cfg.DCs {
		dc, err := newDC(d, i)
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
		d.DCs = append(d.DCs, dc)
	}
	return d, nil
}

func hasUser(users []User, sam string) bool {
	for i := range users {
		if strings.EqualFold(users[i].SAM, sam) {
			return true
		}
	}
	return false
}

// Close ends all DCs and their connections.
func (d *Directory) Close() error {
	for _, dc := range d.DCs {
		dc.Down()
	}
	for _, dc := range d.DCs {
		dc.wait.Wait()
	}
	return nil
}

// CAPool returns the roots that clients need.
func (d *Directory) CAPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(d.ca.cert)
	return pool
}

// CAPEM returns the certificate of the domain's CA.
func (d *Directory) CAPEM() []byte { return d.ca.pem() }

// rebuild makes the database anew. The caller holds the lock, or is alone.
func (d *Directory) rebuild() error {
	m := matcher{d.cfg.Samba}
	accounts := map[string]*account{}
	for i := range d.cfg.Users {
		u := &d.cfg.Users[i]
		if u.SAM == "" {
			return errors.New("directorytest: a user without a SAM")
		}
		k := m.fold(u.SAM)
		if accounts[k] != nil {
			return fmt.Errorf("directorytest: %q is there twice", u.SAM)
		}
		a := d.accounts[k]
		if a == nil {
			a = &account{bad: make([]badCounter, d.cfg.DCs), passwords: []pastPassword{{value: u.Password, by: -1}}}
			for _, old := range u.OldPasswords {
				a.passwords = append(a.passwords, pastPassword{value: old, by: -1})
			}
		} else if a.passwords[0].value != u.Password {
			a.passwords = append([]pastPassword{{value: u.Password, at: d.cfg.Now(), by: -1}}, a.passwords...)
		}
		accounts[k] = a
	}
	db, err := build(&d.cfg, accounts)
	if err != nil {
		return err
	}
	d.db, d.accounts = db, accounts
	return nil
}

// ErrNoUser says that no user has the sAMAccountName.
var ErrNoUser = errors.New("directorytest: no such user")

// Update changes one user while the server runs: state, password, names, groups.
// Counters and the history of passwords stay; clearing Locked unlocks.
func (d *Directory) Update(sam string, change func(*User)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.cfg.Users {
		if !strings.EqualFold(d.cfg.Users[i].SAM, sam) {
			continue
		}
		before := d.cfg.Users
		d.cfg.Users = append([]User(nil), before...)
		u := &d.cfg.Users[i]
		change(u)
		if err := d.rebuild(); err != nil {
			d.cfg.Users = before
			return err
		}
		if before[i].Locked && !u.Locked {
			a := d.accounts[d.db.m.fold(u.SAM)]
			a.lockedAt = time.Time{}
			clear(a.bad)
		}
		return nil
	}
	return fmt.Errorf("%w: %s", ErrNoUser, sam)
}

// Add adds users while the server runs.
func (d *Directory) Add(users ...User) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.cfg.Users
	d.cfg.Users = append(append([]User(nil), before...), users...)
	if err := d.rebuild(); err != nil {
		d.cfg.Users = before
		return err
	}
	return nil
}

// Remove deletes a user while the server runs.
func (d *Directory) Remove(sam string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.cfg.Users {
		if strings.EqualFold(d.cfg.Users[i].SAM, sam) {
			users := append([]User(nil), d.cfg.Users[:i]...)
			d.cfg.Users = append(users, d.cfg.Users[i+1:]...)
			return d.rebuild()
		}
	}
	return fmt.Errorf("%w: %s", ErrNoUser, sam)
}

// Unlock clears a lock and all counters of a user, as an admin does.
func (d *Directory) Unlock(sam string) error {
	d.mu.Lock()
	a := d.accounts[matcher{d.cfg.Samba}.fold(sam)]
	if a != nil {
		a.lockedAt = time.Time{}
		clear(a.bad)
	}
	d.mu.Unlock()
	if a == nil {
		return fmt.Errorf("%w: %s", ErrNoUser, sam)
	}
	return d.Update(sam, func(u *User) { u.Locked = false })
}

// Identity is what the directory calls a user.
type Identity struct {
	DN   string
	GUID [16]byte
	SID  SID
}

// Identity returns the names of a user by sAMAccountName.
func (d *Directory) Identity(sam string) (Identity, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	hits := d.db.index["samaccountname"][d.db.m.fold(sam)]
	if len(hits) != 1 {
		return Identity{}, fmt.Errorf("%w: %s", ErrNoUser, sam)
	}
	return Identity{DN: hits[0].dn, GUID: hits[0].guid, SID: hits[0].sid}, nil
}

// Locked reports whether any DC knows the user as locked.
func (d *Directory) Locked(sam string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, o := range d.db.index["samaccountname"][d.db.m.fold(sam)] {
		for _, dc := range d.DCs {
			if o.user != nil && d.locked(o, dc) {
				return true
			}
		}
	}
	return false
}
