package config

import (
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"syscall"
	"unicode"
)

// UsesMetadata reports whether the party is set up from its metadata.
func (rp *RelyingParty) UsesMetadata() bool { return rp.MetadataFile != "" || rp.MetadataURL != "" }

// MetadataCertificates returns the certificates of metadata_certificate_file.
func (rp *RelyingParty) MetadataCertificates() ([]*x509.Certificate, error) {
	return certificates(rp.MetadataCertificateFile)
}

// MetadataRoots returns what the server of metadata_url is verified against, nil for
// the system's roots.
func (rp *RelyingParty) MetadataRoots() (*x509.CertPool, error) {
	return certificatePool(rp.MetadataCAFile)
}

func certificatePool(path string) (*x509.CertPool, error) {
	list, err := certificates(path)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range list {
		pool.AddCert(c)
	}
	return pool, nil
}

// validateMetadata checks where a party's metadata comes from and why it is
// believed.
func (c *Config) validateMetadata(p *problems, key string, rp *RelyingParty) {
	used := rp.UsesMetadata()
	beside := []struct {
		name    string
		written bool
		needs   string
		there   bool
	}{
		{"metadata_sha256", rp.MetadataSHA256 != "", "metadata_file", rp.MetadataFile != ""},
		{"metadata_certificate_file", rp.MetadataCertificateFile != "", "metadata_file or metadata_url", used},
		{"metadata_ca_file", rp.MetadataCAFile != "", "metadata_url", rp.MetadataURL != ""},
		{"metadata_unsigned", rp.MetadataUnsigned, "metadata_url", rp.MetadataURL != ""},
		{"metadata_private", rp.MetadataPrivate, "metadata_url", rp.MetadataURL != ""},
	}
	for _, b := range beside {
		if b.written && !b.there {
			p.add(key+"."+b.name, "stands without %s: add that, or take the line out", b.needs)
		}
	}
	if !used {
		return
	}
	if rp.Protocol != "saml" {
		p.add(key+".protocol", "metadata sets up SAML 2.0 parties: write protocol: saml")
	}
	if rp.MetadataSHA256 != "" {
		if b, err := hex.DecodeString(rp.MetadataSHA256); err != nil || len(b) != 32 {
			p.add(key+".metadata_sha256", "is not a SHA-256 in hex: write what sha256sum prints for the file")
		}
	}
	if rp.MetadataURL == "" {
		return
	}
	switch msg := httpsURL(rp.MetadataURL); {
	case rp.MetadataFile != "":
		p.add(key+".metadata_url", "stands beside metadata_file: keep one of the two")
	case msg != "":
		p.add(key+".metadata_url", "%s", msg)
	}
	switch signed := rp.MetadataCertificateFile != ""; {
	case !signed && !rp.MetadataUnsigned:
		p.add(key+".metadata_certificate_file", "is missing: name the certificate that the metadata is signed with; for a document without a signature write metadata_unsigned: true, which trusts whoever answers at the address")
	case signed && rp.MetadataUnsigned:
		p.add(key+".metadata_unsigned", "stands beside metadata_certificate_file: keep one of the two")
	}
	if c.SAML.MetadataDir == "" {
		p.add("saml.metadata_dir", "is missing: name a directory for the last good copies of metadata, for example /var/lib/sallyport/metadata")
	}
}

// checkMetadataFiles looks at the files that parties with metadata name. What is in
// the documents is judged where parties are made of them.
func (c *Config) checkMetadataFiles(check func(key string, err error)) {
	for i := range c.RelyingParties {
		rp, k := &c.RelyingParties[i], at("relying_parties", i)
		if rp.MetadataFile != "" {
			check(k+".metadata_file", readable(rp.MetadataFile))
		}
		_, err := rp.MetadataCertificates()
		check(k+".metadata_certificate_file", err)
		_, err = rp.MetadataRoots()
		check(k+".metadata_ca_file", err)
	}
	_, err := c.QueryCertificates()
	check("metadata_query.certificate_file", err)
	_, err = c.QueryRoots()
	check("metadata_query.ca_file", err)
	if c.SAML.MetadataDir != "" {
		check("saml.metadata_dir", ownDirectory(c.SAML.MetadataDir))
	}
}

// ownDirectory refuses a directory in which somebody else could put files: who
// writes metadata without a signature there decides where tokens go.
func ownDirectory(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return errors.New(path + " is not a directory")
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, who could exchange what is in it: run chown %d %s", path, st.Uid, os.Geteuid(), path)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others may write to %s (mode %04o): run chmod 0700 %s", path, info.Mode().Perm(), path)
	}
	return nil
}

// metadataWarnings names what is allowed and yet often a mistake.
func (rp *RelyingParty) metadataWarnings(p *problems, key string) {
	if rp.MetadataUnsigned {
		p.add(key+".metadata_unsigned", "whoever can answer at %s, or make a certificate for its name, decides where tokens of this party go; ask the party for signed metadata, or keep a copy as metadata_file", rp.MetadataURL)
	}
}

// validateQuery checks the section metadata_query.
func (c *Config) validateQuery(p *problems) {
	const key = "metadata_query"
	q := c.MetadataQuery
	if reflect.DeepEqual(q, MetadataQuery{}) {
		return
	}
	if q.URL == "" {
		p.add(key+".url", "is missing: write the base address of the metadata query service")
		return
	}
	if msg := httpsURL(q.URL); msg != "" {
		p.add(key+".url", "%s", msg)
	}
	if q.CertificateFile == "" {
		p.add(key+".certificate_file", "is missing: name the certificate that the service signs its answers with")
	}
	if len(q.Access.AllowGroups) == 0 {
		p.add(key+".access.allow_groups", "is missing: say who may sign in at parties that nobody here has looked at, for example ['DOMAIN\\Staff']")
	}
	if q.MaxParties > 10000 {
		p.add(key+".max_parties", "%d is above 10000", q.MaxParties)
	}
	if c.SAML.MetadataDir == "" {
		p.add("saml.metadata_dir", "is missing: name a directory for the last good copies of metadata, for example /var/lib/sallyport/metadata")
	}
	c.validateRules(p, key, c.Found())
}

// QueryCertificates returns the certificates of metadata_query.certificate_file.
func (c *Config) QueryCertificates() ([]*x509.Certificate, error) {
	return certificates(c.MetadataQuery.CertificateFile)
}

// QueryRoots returns what the metadata query service is verified against, nil for the
// system's roots.
func (c *Config) QueryRoots() (*x509.CertPool, error) { return certificatePool(c.MetadataQuery.CAFile) }

// partyIdentifier returns what is wrong with a party's identifier. An entityID should
// be an absolute URI, and those of well-known parties are not.
func partyIdentifier(protocol, id string) string {
	if protocol != "saml" {
		return identifier(id)
	}
	switch {
	case len(id) > 1024 || strings.ContainsFunc(id, unicode.IsSpace):
		return quote(id) + " is longer than 1024 bytes or holds white space: write the entityID exactly as the metadata has it"
	case strings.Contains(id, "*"):
		return "has a wildcard, which would trust every name: list the names"
	}
	return ""
}

// ownIssuer reports whether id is a name of this service.
func (c *Config) ownIssuer(id string) bool {
	for _, d := range c.Microsoft365.Domains {
		if d.Issuer == id {
			return true
		}
	}
	return id == c.Issuer
}
