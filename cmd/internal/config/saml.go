package config

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// SAML is what all SAML 2.0 parties share.
type SAML struct {
	// PersistentIDSecretFile holds 32 random bytes as hex or base64, the same on
	// every instance (openssl rand -hex 32), from which persistent name identifiers
	// are computed. With another secret every party takes everybody for a stranger,
	// so it is never changed. Required for name_id_format: persistent; Microsoft 365
	// does not need it. Default: persistent identifiers are refused.
	PersistentIDSecretFile string `yaml:"persistent_id_secret_file"`
	// ECP serves enhanced clients, programs that sign in with a user name and a
	// password over SAML 2.0 at /adfs/services/saml/ecp: off, inside (for clients in
	// networks.inside) or everywhere. Such a sign-in knows no second factor and no
	// page. Default off.
	ECP string `yaml:"ecp"`
	// MetadataDir is a directory of the service's own (0700) where the last good
	// copies of documents from metadata_url lie, so that a restart needs no network.
	// Required with metadata_url.
	MetadataDir string `yaml:"metadata_dir"`
}

// PersistentIDSecret returns the secret of persistent identifiers, nil when none
// is named.
func (s SAML) PersistentIDSecret() ([]byte, error) {
	ref := Secret{File: s.PersistentIDSecretFile}
	if ref.IsZero() {
		return nil, nil
	}
	return ref.Key()
}

// MetadataQuery finds SAML 2.0 parties that are not in these settings, by asking a
// metadata query service (MDQ) for one entity when its first request comes. Whoever
// the service vouches for can then ask for tokens, for the people whom access lets in
// and with the claims that stand here.
type MetadataQuery struct {
	// URL is the service's base address, to which /entities/ and the entityID are
	// added. Default: nobody is asked, and unknown parties are refused.
	URL string `yaml:"url"`
	// Hashed asks by the SHA-1 of the entityID instead of the entityID. Default false.
	Hashed bool `yaml:"hashed"`
	// CertificateFile holds the certificates (PEM) of which one must have signed each
	// answer. Required with url.
	CertificateFile string `yaml:"certificate_file"`
	// CAFile holds the roots (PEM) for the service's own certificate. Default: the
	// system's.
	CAFile string `yaml:"ca_file"`
	// Private lets url lead to an address inside, and sign-outs by SOAP to those that
	// parties found this way name. Default false.
	Private bool `yaml:"private"`
	// MaxParties is the greatest number of parties that are kept once somebody got a
	// token for them; the one that was used longest ago gives way. As many again wait
	// for their first token, of which the oldest gives way, so that nobody can fill the
	// list by naming parties. Default 100.
	MaxParties int `yaml:"max_parties"`
	// Access is who may sign in at parties that were found this way; allow_groups is
	// required with url.
	Access Access `yaml:"access"`
	// Claims are the rules for all of them. Default: UPN, name (DOMAIN\name) and
	// primary SID.
	Claims []ClaimRule `yaml:"claims"`
}

// Found is the template of parties that are found by queries, nil when nobody is
// asked.
func (c *Config) Found() *RelyingParty {
	q := c.MetadataQuery
	if q.URL == "" {
		return nil
	}
	return &RelyingParty{
		Key: FoundKey, Protocol: "saml", TokenType: "saml20", TokenLifetime: Default().Microsoft365.TokenLifetime,
		SAML: SAMLParty{Sign: "both", Encrypt: "auto"}, Claims: q.Claims, Access: q.Access,
	}
}

// Parties are all further parties that have rules: those of the settings, and the
// template of those that are found.
func (c *Config) Parties() []*RelyingParty {
	var list []*RelyingParty
	for i := range c.RelyingParties {
		list = append(list, &c.RelyingParties[i])
	}
	if found := c.Found(); found != nil {
		list = append(list, found)
	}
	return list
}

// FoundKey names the rules of parties that are found by queries.
const FoundKey = "mdq"

// SAMLParty is what a party with protocol: saml has of its own.
type SAMLParty struct {
	// ACS are the party's assertion consumer services, the only addresses that an
	// answer is posted to. Required without metadata; with it, those of its addresses
	// that are used, by default all.
	ACS []ACS `yaml:"acs"`
	// SignedRequests refuses requests without a signature. Default false: a
	// signature that is there is verified all the same.
	SignedRequests bool `yaml:"signed_requests"`
	// RequestCertificatesFile holds the certificates (PEM) whose keys the party
	// signs its requests with; an expired one still counts. Required with
	// signed_requests. Default: signed requests are refused.
	RequestCertificatesFile string `yaml:"request_certificates_file"`
	// ValidCertificates refuses what is signed with a certificate that has expired or
	// is not valid yet. Default false: its key counts all the same, and the log, a
	// metric and the audit record say so.
	ValidCertificates bool `yaml:"valid_certificates"`
	// AllowSHA1 accepts RSA-SHA1 signatures of this party. Default false.
	AllowSHA1 bool `yaml:"allow_sha1"`
	// Sign is what of the answer is signed: both, assertion or response. Default
	// both.
	Sign string `yaml:"sign"`
	// NameIDFormat is what a request without a wish gets: unspecified (as name_id
	// says), email (as name_id says, else mail, else the user principal name), windows
	// (DOMAIN\name), persistent (as name_id says, else computed) or transient. Default:
	// the first in the metadata that can be given, else unspecified.
	NameIDFormat string `yaml:"name_id_format"`
	// EncryptionCertificateFile holds the certificate (PEM, RSA) that assertions are
	// encrypted to. Default: the metadata's; without one they are not encrypted.
	EncryptionCertificateFile string `yaml:"encryption_certificate_file"`
	// Encryption is how they are encrypted. Default: as the metadata says, else
	// AES-256-GCM and RSA-OAEP with SHA-1, which every party reads that reads AES-GCM.
	Encryption SAMLEncryption `yaml:"encryption"`
	// Encrypt is auto (when there is a certificate for it, here or in the metadata) or
	// never. Default auto.
	Encrypt string `yaml:"encrypt"`
	// IgnoreContext answers requests as if they asked for no class of authentication,
	// for parties whose library asks for one that nobody chose. Default false.
	IgnoreContext bool `yaml:"ignore_context"`
	// Logout is where the party hears of sign-outs. Its own requests must be signed
	// by one of request_certificates_file. Default: single logout is off.
	Logout SAMLLogout `yaml:"logout"`
	// IdPInitiated lets a sign-in begin here without a request of the party, at
	// /adfs/ls/idpinitiatedsignon.aspx?loginToRp=ENTITYID. Default false.
	IdPInitiated bool `yaml:"idp_initiated"`
}

// EntraSAML is what Microsoft Entra ID's own messages over SAML 2.0 are held to.
type EntraSAML struct {
	// RequestCertificatesFile holds the certificates (PEM) that Entra signs with: those
	// of its SAML metadata (sallyport rp certificates). A message that is signed must be
	// signed with one of them. Needed where isSignedAuthenticationRequestRequired is set
	// for a domain. Default: none.
	RequestCertificatesFile string `yaml:"request_certificates_file"`
	// SignedRequests refuses requests for a sign-in without a signature: for when all
	// domains have isSignedAuthenticationRequestRequired. Default false.
	SignedRequests bool `yaml:"signed_requests"`
	// ValidCertificates refuses what is signed with a certificate that has expired.
	// Default false.
	ValidCertificates bool `yaml:"valid_certificates"`
	// AllowSHA1 accepts RSA-SHA1, with which Microsoft's published example is signed.
	// Default false.
	AllowSHA1 bool `yaml:"allow_sha1"`
}

// RequestCertificates returns the certificates of request_certificates_file.
func (e EntraSAML) RequestCertificates() ([]*x509.Certificate, error) {
	return certificates(e.RequestCertificatesFile)
}

// SAMLEncryption is how assertions to a party are encrypted. AES-CBC and RSA 1.5 are
// not offered: who decrypts those can be made to give the content away.
type SAMLEncryption struct {
	// Content is aes256-gcm or aes128-gcm. Default aes256-gcm.
	Content string `yaml:"content"`
	// Transport is how the content's key is wrapped: rsa-oaep-mgf1p (XML Encryption
	// 1.0) or rsa-oaep (1.1). Default rsa-oaep-mgf1p.
	Transport string `yaml:"transport"`
	// Digest is OAEP's hash: sha1, which is no weakness there, or sha256. Default sha1
	// with rsa-oaep-mgf1p, sha256 with rsa-oaep.
	Digest string `yaml:"digest"`
	// Mask is the hash of OAEP's mask, with rsa-oaep only: sha1 or sha256. Default: the
	// same as digest.
	Mask string `yaml:"mask"`
}

// SAMLLogout is where a party hears of sign-outs.
type SAMLLogout struct {
	// URL takes requests. Default: the party is not told, and its own sign-outs are
	// refused.
	URL string `yaml:"url"`
	// ResponseURL takes answers. Default: URL.
	ResponseURL string `yaml:"response_url"`
	// Binding is redirect or post: how the browser carries requests and answers there.
	// It is soap for a party that is told, and signs people out, server to server; our
	// end is /adfs/services/saml/logout. Default redirect.
	Binding string `yaml:"binding"`
}

// ACS is one assertion consumer service.
type ACS struct {
	// URL is compared byte for byte with what requests name. Required.
	URL string `yaml:"url"`
	// Index is the number by which requests may name it. Default 0.
	Index int `yaml:"index"`
	// Binding is post; artifact and paos are listed only so that their index is
	// known. Default post.
	Binding string `yaml:"binding"`
	// Default marks the one for requests that name none. Default: the first with
	// the binding post.
	Default bool `yaml:"default"`
}

// RequestCertificates returns the certificates of request_certificates_file.
func (p SAMLParty) RequestCertificates() ([]*x509.Certificate, error) {
	return certificates(p.RequestCertificatesFile)
}

// EncryptionCertificate returns the certificate of encryption_certificate_file,
// nil when none is named.
func (p SAMLParty) EncryptionCertificate() (*x509.Certificate, error) {
	list, err := certificates(p.EncryptionCertificateFile)
	switch {
	case err != nil || len(list) == 0:
		return nil, err
	case len(list) > 1:
		return nil, fmt.Errorf("%s holds %d certificates, not one", p.EncryptionCertificateFile, len(list))
	}
	return list[0], nil
}

// certificates reads a file of PEM certificates; none for an empty path.
func certificates(path string) (list []*x509.Certificate, err error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s holds %s: only certificates belong there", path, block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New(path + " holds no certificate (PEM)")
	}
	return list, nil
}

// completeSAML fills in defaults of parties with protocol: saml. With metadata an
// empty name identifier format is the metadata's.
func completeSAML(p *SAMLParty, metadata bool) {
	preset(&p.Sign, "both")
	preset(&p.Encrypt, "auto")
	if !metadata {
		preset(&p.NameIDFormat, "unspecified")
	}
	if p.Logout.URL != "" {
		preset(&p.Logout.Binding, "redirect")
	}
	for i := range p.ACS {
		preset(&p.ACS[i].Binding, "post")
	}
}

// checkSAMLFiles looks at the files that SAML parties name.
func (c *Config) checkSAMLFiles(check func(key string, err error)) {
	_, err := c.SAML.PersistentIDSecret()
	check("saml.persistent_id_secret_file", err)
	_, err = c.Microsoft365.SAML.RequestCertificates()
	check("microsoft365.saml.request_certificates_file", err)
	for i, rp := range c.RelyingParties {
		if rp.Protocol != "saml" {
			continue
		}
		k := at("relying_parties", i) + ".saml"
		_, err := rp.SAML.RequestCertificates()
		check(k+".request_certificates_file", err)
		_, err = rp.SAML.EncryptionCertificate()
		check(k+".encryption_certificate_file", err)
	}
}

// UsesSAML reports whether anybody signs in over SAML 2.0.
func (c *Config) UsesSAML() bool {
	for _, d := range c.Microsoft365.Domains {
		if d.Protocol == "saml" {
			return true
		}
	}
	for _, rp := range c.RelyingParties {
		if rp.Protocol == "saml" {
			return true
		}
	}
	return c.MetadataQuery.URL != ""
}
