package ptatest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"
)

// authority is a certificate authority made for one run.
type authority struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func newAuthority(name string, key crypto.Signer, now time.Time) (*authority, error) {
	tmpl := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{key, cert}, nil
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func newSerial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	b[0] = b[0]&0x7f | 1
	return new(big.Int).SetBytes(b)
}

// pki is the cloud's own: one authority for servers and one for agents.
type pki struct {
	now       func() time.Time
	server    *authority
	connector *authority
	serverKey *ecdsa.PrivateKey

	mu    sync.Mutex
	hosts map[string]*tls.Certificate
}

// connectorKey is the key of the authority for agents: one for a process, because
// tests start many clouds and RSA keys take long to make.
var connectorKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newPKI(now func() time.Time) (*pki, error) {
	p := &pki{now: now, hosts: map[string]*tls.Certificate{}}
	root, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if p.server, err = newAuthority("Stand-in of the cloud, made for one run", root, now()); err != nil {
		return nil, err
	}
	if p.serverKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	connectors, err := connectorKey()
	if err != nil {
		return nil, err
	}
	p.connector, err = newAuthority("HISConnectorRegistrationCA.his.msappproxy.net", connectors, now())
	return p, err
}

// host is the server certificate for one name, made when first asked.
func (p *pki) host(name string) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cert := p.hosts[name]; cert != nil {
		return cert, nil
	}
	now := time.Now() // clients verify by the machine's clock
	tmpl := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: name[:min(len(name), 64)]}, DNSNames: []string{name}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(30 * 24 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, p.server.cert, &p.serverKey.PublicKey, p.server.key)
	if err != nil {
		return nil, err
	}
	cert := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: p.serverKey}
	p.hosts[name] = cert
	return cert, nil
}

// Object identifiers of 3.5.
var (
	oidAgent     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 82, 1}
	oidProof     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 82, 2}
	oidUsage     = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidClient    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
	oidServer    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	oidSHA256RSA = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
)

// subject is what an agent's certificate says.
type subject struct {
	tenant, agent string
	key           any // *rsa.PublicKey
	notAfter      time.Time
	flaw          Issue
}

type tbsCertificate struct {
	Version       int `asn1:"optional,explicit,default:0,tag:0"`
	Serial        *big.Int
	Algorithm     pkix.AlgorithmIdentifier
	Issuer        asn1.RawValue
	Validity      struct{ NotBefore, NotAfter time.Time }
	Subject       asn1.RawValue
	Key           asn1.RawValue
	SubjectUnique asn1.BitString   `asn1:"optional,tag:2"`
	Extensions    []pkix.Extension `asn1:"explicit,tag:3"`
}

type signedCertificate struct {
	TBS       asn1.RawValue
	Algorithm pkix.AlgorithmIdentifier
	Signature asn1.BitString
}

// issue makes an agent's certificate (3.5). It is built by hand because
// crypto/x509 does not write subjectUniqueID.
func (p *pki) issue(s subject) (*x509.Certificate, error) {
	tenant, ok := parseGUID(s.tenant)
	if !ok {
		return nil, fmt.Errorf("tenant %q", s.tenant)
	}
	agent, _ := parseGUID(s.agent)
	spki, err := x509.MarshalPKIXPublicKey(s.key)
	if err != nil {
		return nil, err
	}
	name, err := asn1.Marshal(pkix.Name{CommonName: s.tenant}.ToRDNSequence())
	if err != nil {
		return nil, err
	}
	purpose := oidClient
	if s.flaw == IssueNoUsage {
		purpose = oidServer
	}
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{purpose})
	if err != nil {
		return nil, err
	}
	proof := sha256.Sum256(spki)
	extensions := []pkix.Extension{
		{Id: oidAgent, Value: agent[:]}, {Id: oidUsage, Critical: true, Value: usage},
		{Id: oidProof, Value: append([]byte("v2:PassthroughAuthentication:"), proof[:]...)},
	}
	if s.flaw == IssueNoAgent {
		extensions = extensions[1:]
	}
	algorithm := pkix.AlgorithmIdentifier{Algorithm: oidSHA256RSA, Parameters: asn1.NullRawValue}
	tbs := tbsCertificate{
		Version: 2, Serial: newSerial(), Algorithm: algorithm, Issuer: asn1.RawValue{FullBytes: p.connector.cert.RawSubject},
		Subject: asn1.RawValue{FullBytes: name}, Key: asn1.RawValue{FullBytes: spki},
		SubjectUnique: asn1.BitString{Bytes: tenant[:], BitLength: 128}, Extensions: extensions,
	}
	tbs.Validity.NotBefore, tbs.Validity.NotAfter = p.now().UTC().Truncate(time.Second).Add(-5*time.Minute), s.notAfter.UTC().Truncate(time.Second)
	if s.flaw == IssueExpired {
		tbs.Validity.NotBefore, tbs.Validity.NotAfter = p.now().UTC().Add(-48*time.Hour), p.now().UTC().Add(-24*time.Hour)
	}
	raw, err := asn1.Marshal(tbs)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(raw)
	signature, err := p.connector.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	der, err := asn1.Marshal(signedCertificate{asn1.RawValue{FullBytes: raw}, algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// verify checks that cert comes from the agents' authority, is for clients and
// valid now, and gives tenant and agent.
func (p *pki) verify(cert *x509.Certificate) (tenant, agent string, err error) {
	roots := x509.NewCertPool()
	roots.AddCert(p.connector.cert)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: p.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return "", "", err
	}
	for _, e := range cert.Extensions {
		if e.Id.Equal(oidAgent) && len(e.Value) == 16 {
			agent = guid(e.Value).String()
		}
	}
	if agent == "" {
		return "", "", fmt.Errorf("no agent id")
	}
	return cert.Subject.CommonName, agent, nil
}

// thumbprint is the SHA-1 of the certificate in upper-case hex (2.3).
func thumbprint(cert *x509.Certificate) string {
	sum := sha1.Sum(cert.Raw)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}
