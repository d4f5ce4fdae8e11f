package metadata_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	"github.com/google/go-cmp/cmp"
	dsig "github.com/russellhaering/goxmldsig"

	"sallyport/deploy/testbed/lab"
	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/metadata"
	"sallyport/federation/token"
)

type identity struct {
	signer *token.Signer
	cert   *x509.Certificate
}

func newIdentity() identity {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ADFS Signing - sts.contoso.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	signer, err := token.NewSigner(key, cert)
	if err != nil {
		panic(err)
	}
	return identity{signer, cert}
}

var (
	first  = sync.OnceValue(newIdentity)
	second = sync.OnceValue(newIdentity)
)

const host = "https://sts.contoso.test"

func full(current identity, others ...identity) metadata.Params {
	p := metadata.Params{
		EntityID: "http://sts.contoso.test/adfs/services/trust", PublicURL: host, DisplayName: `Contoso & "Söhne" <b>`,
		Signer: current.signer, Signing: []*x509.Certificate{current.cert}, Claims: metadata.Microsoft365Claims(),
		TrustPaths: []string{"/adfs/services/trust/2005/usernamemixed", "/adfs/services/trust/13/usernamemixed"},
		MEXPath:    "/adfs/services/trust/mex",
		SAML:       &metadata.SAML{SingleLogoutPath: "/adfs/ls/"},
		Organization: &metadata.Organization{
			Name: "contoso", DisplayName: "Contoso", URL: "https://www.contoso.test/?a=1&b=2",
		},
		Contacts: []metadata.Contact{{Type: "support", GivenName: "Service desk", Email: "help@contoso.test"}},
	}
	for _, o := range others {
		p.Signing = append(p.Signing, o.cert)
	}
	return p
}

// minimal is what is published while only WS-Federation answers.
func minimal() metadata.Params {
	p := full(first())
	p.TrustPaths, p.MEXPath, p.SAML, p.Organization, p.Contacts = nil, "", nil, nil, nil
	return p
}

func build(t *testing.T, p metadata.Params) []byte {
	t.Helper()
	doc, err := metadata.Build(p)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func root(t *testing.T, doc []byte) *etree.Element {
	t.Helper()
	d := etree.NewDocument()
	if err := d.ReadFromBytes(doc); err != nil {
		t.Fatal(err)
	}
	return d.Root()
}

func verify(doc []byte, cert *x509.Certificate) error {
	d := etree.NewDocument()
	if err := d.ReadFromBytes(doc); err != nil {
		return err
	}
	store := &dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}}
	_, err := dsig.NewDefaultValidationContext(store).Validate(d.Root())
	return err
}

func TestDocumentIsSignedByTheTokenKey(t *testing.T) {
	for name, p := range map[string]metadata.Params{"full": full(first(), second()), "minimal": minimal()} {
		doc := build(t, p)
		if err := verify(doc, first().cert); err != nil {
			t.Errorf("%s: goxmldsig: %v", name, err)
		}
		if verify(doc, second().cert) == nil {
			t.Errorf("%s: verifies with another key: the test proves nothing", name)
		}
		if sig := root(t, doc).ChildElements()[0]; sig.Tag != "Signature" {
			t.Errorf("%s: first child is %s, want the signature", name, sig.Tag)
		}
		if bytes.ContainsAny(doc, "\n\r\t") || bytes.HasPrefix(doc, []byte("\xef\xbb\xbf")) {
			t.Errorf("%s: holds line feeds, tabs or a byte order mark", name)
		}
	}
}

// xmlsec1 is told to take certificates only, never a key from the message, and
// the referenced element is checked to be the root.
func TestXMLSecVerifiesDocument(t *testing.T) {
	bin := lab.Program(t, "xmlsec1", "xmlsec1")
	dir := t.TempDir()
	run := func(doc []byte, cert *x509.Certificate) ([]byte, error) {
		file, pemFile := filepath.Join(dir, "doc.xml"), filepath.Join(dir, "cert.pem")
		if err := errors.Join(os.WriteFile(file, doc, 0o600),
			os.WriteFile(pemFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600)); err != nil {
			t.Fatal(err)
		}
		return exec.CommandContext(t.Context(), bin, "--verify", "--enabled-key-data", "raw-x509-cert", "--pubkey-cert-pem", pemFile,
			"--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:metadata:EntityDescriptor", file).CombinedOutput()
	}
	for name, p := range map[string]metadata.Params{"full": full(first(), second()), "minimal": minimal()} {
		doc := build(t, p)
		if out, err := run(doc, first().cert); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		e := root(t, doc)
		if got, want := e.FindElement("./Signature/SignedInfo/Reference").SelectAttrValue("URI", ""), "#"+e.SelectAttrValue("ID", ""); got != want {
			t.Errorf("%s: reference is %s, want the root %s", name, got, want)
		}
		if _, err := run(doc, second().cert); err == nil {
			t.Errorf("%s: verifies with another key: the test proves nothing", name)
		}
		if _, err := run(bytes.Replace(doc, []byte("/adfs/ls/"), []byte("/evil/ls/"), 1), first().cert); err == nil {
			t.Errorf("%s: a changed document verifies: the test proves nothing", name)
		}
	}
}

const fedNS = "http://docs.oasis-open.org/wsfed/federation/200706"

func TestSecurityTokenServiceRole(t *testing.T) {
	e := root(t, build(t, full(first(), second())))
	if got := e.SelectAttrValue("entityID", ""); got != "http://sts.contoso.test/adfs/services/trust" {
		t.Errorf("entityID is %s", got)
	}
	role := e.FindElement("./RoleDescriptor")
	if got := role.SelectAttrValue("xsi:type", ""); got != "fed:SecurityTokenServiceType" {
		t.Errorf("type is %s", got)
	}
	if got := role.SelectAttrValue("xmlns:fed", ""); got != fedNS {
		t.Errorf("the prefix of xsi:type is bound to %q", got)
	}
	if got := role.SelectAttrValue("ServiceDisplayName", ""); got != `Contoso & "Söhne" <b>` {
		t.Errorf("display name is %s", got)
	}
	var tags, types []string
	for _, c := range role.ChildElements() {
		tags = append(tags, c.Tag)
		if c.Space == "fed" && c.NamespaceURI() != fedNS {
			t.Errorf("%s is in namespace %s", c.Tag, c.NamespaceURI())
		}
	}
	wantTags := []string{
		"KeyDescriptor", "KeyDescriptor", "TokenTypesOffered", "ClaimTypesOffered",
		"SecurityTokenServiceEndpoint", "SecurityTokenServiceEndpoint", "PassiveRequestorEndpoint",
	}
	if d := cmp.Diff(wantTags, tags); d != "" {
		t.Errorf("children (-want +got):\n%s", d)
	}
	for _, c := range role.FindElements("./TokenTypesOffered/TokenType") {
		types = append(types, c.SelectAttrValue("Uri", ""))
	}
	if d := cmp.Diff([]string{"urn:oasis:names:tc:SAML:2.0:assertion", "urn:oasis:names:tc:SAML:1.0:assertion"}, types); d != "" {
		t.Errorf("token types (-want +got):\n%s", d)
	}
	for path, want := range map[string]string{
		"./PassiveRequestorEndpoint/EndpointReference/Address":                                    host + "/adfs/ls/",
		"./SecurityTokenServiceEndpoint[1]/EndpointReference/Address":                             host + "/adfs/services/trust/2005/usernamemixed",
		"./SecurityTokenServiceEndpoint[1]//MetadataSection/MetadataReference/Address":            host + "/adfs/services/trust/mex",
		"./ClaimTypesOffered/ClaimType[@Uri='http://schemas.xmlsoap.org/claims/UPN']/DisplayName": "UPN",
		"./SecurityTokenServiceEndpoint[2]/EndpointReference/Address":                             host + "/adfs/services/trust/13/usernamemixed",
		"./KeyDescriptor[1]/KeyInfo/X509Data/X509Certificate":                                     base64.StdEncoding.EncodeToString(first().cert.Raw),
		"./KeyDescriptor[2]/KeyInfo/X509Data/X509Certificate":                                     base64.StdEncoding.EncodeToString(second().cert.Raw),
	} {
		if got := role.FindElement(path); got == nil || got.Text() != want {
			t.Errorf("%s is not %s", path, want)
		}
	}
}

// What we publish passes the gate for imported metadata and the verifier's
// profile: a party that is as strict as we are can read it.
func TestOwnGateReadsDocument(t *testing.T) {
	for name, p := range map[string]metadata.Params{"full": full(first(), second()), "minimal": minimal()} {
		d, err := xmlsec.Parse(build(t, p), xmlsec.Imported())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		v, err := d.Verify([]crypto.PublicKey{first().cert.PublicKey}, xmlsec.Profile{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, _ := xmlsec.Attr(v.Root, "entityID"); got != p.EntityID {
			t.Errorf("%s: verified entityID is %q", name, got)
		}
		if _, err := d.Verify([]crypto.PublicKey{second().cert.PublicKey}, xmlsec.Profile{}); err == nil {
			t.Errorf("%s: verifies with another key: the test proves nothing", name)
		}
	}
}

// Only what answers is published.
func TestRolesThatDoNotAnswerAreLeftOut(t *testing.T) {
	doc := build(t, minimal())
	e := root(t, doc)
	var tags []string
	for _, c := range e.ChildElements() {
		tags = append(tags, c.Tag)
	}
	if d := cmp.Diff([]string{"Signature", "RoleDescriptor"}, tags); d != "" {
		t.Errorf("children (-want +got):\n%s", d)
	}
	for _, word := range []string{"usernamemixed", "mex", "IDPSSODescriptor", "SPSSODescriptor", "ApplicationServiceType"} {
		if bytes.Contains(doc, []byte(word)) {
			t.Errorf("%s is published", word)
		}
	}
	if a := e.FindElement("./RoleDescriptor/SecurityTokenServiceEndpoint/EndpointReference/Address"); a.Text() != host+"/adfs/ls/" {
		t.Errorf("the endpoint that the schema demands is %s", a.Text())
	}
}

// crewjam/saml's types are a reader that was not written here.
func TestForeignReaderOfTheSAMLRole(t *testing.T) {
	var ed saml.EntityDescriptor
	if err := xml.Unmarshal(build(t, full(first(), second())), &ed); err != nil {
		t.Fatal(err)
	}
	if len(ed.IDPSSODescriptors) != 1 {
		t.Fatalf("%d identity provider roles, want 1", len(ed.IDPSSODescriptors))
	}
	role := ed.IDPSSODescriptors[0]
	var got []string
	for _, e := range role.SingleSignOnServices {
		got = append(got, "SSO "+e.Binding+" "+e.Location)
	}
	for _, e := range role.SingleLogoutServices {
		got = append(got, "SLO "+e.Binding+" "+e.Location)
	}
	want := []string{
		"SSO " + saml.HTTPRedirectBinding + " " + host + "/adfs/ls/", "SSO " + saml.HTTPPostBinding + " " + host + "/adfs/ls/",
		"SLO " + saml.HTTPRedirectBinding + " " + host + "/adfs/ls/", "SLO " + saml.HTTPPostBinding + " " + host + "/adfs/ls/",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("endpoints (-want +got):\n%s", d)
	}
	if len(role.KeyDescriptors) != 2 || role.KeyDescriptors[0].Use != "signing" || len(role.NameIDFormats) != 3 {
		t.Errorf("keys or formats: %+v", role)
	}
	if ed.Organization == nil || ed.Organization.OrganizationURLs[0].Value != "https://www.contoso.test/?a=1&b=2" {
		t.Errorf("organization: %+v", ed.Organization)
	}
	if len(ed.ContactPersons) != 1 || ed.ContactPersons[0].EmailAddresses[0] != "help@contoso.test" {
		t.Errorf("contacts: %+v", ed.ContactPersons)
	}
}

// A party that keeps only the first key of the document must always hold the one
// that signs now, in every state of a roll-over.
func TestC23_FirstKeyIsTheOneThatSignsNow(t *testing.T) {
	for name, c := range map[string]struct {
		p    metadata.Params
		want identity
		keys int
	}{
		"staged":   {full(first(), second()), first(), 2},
		"promoted": {full(second(), first()), second(), 2},
		"retired":  {full(second()), second(), 1},
		"repeated": {full(second(), second(), first(), second()), second(), 2},
	} {
		t.Run(name, func(t *testing.T) {
			doc := build(t, c.p)
			if err := verify(doc, c.want.cert); err != nil {
				t.Errorf("the document's own signature: %v", err)
			}
			for _, role := range []string{"RoleDescriptor", "IDPSSODescriptor"} {
				keys := root(t, doc).FindElements("./" + role + "/KeyDescriptor[@use='signing']/KeyInfo/X509Data/X509Certificate")
				if len(keys) != c.keys || keys[0].Text() != base64.StdEncoding.EncodeToString(c.want.cert.Raw) {
					t.Errorf("%s: %d keys, or the first is not the signing one", role, len(keys))
				}
			}
			if bytes.Contains(doc, []byte("KeyName")) {
				t.Error("the document holds KeyName")
			}
		})
	}
	p := full(first(), second())
	p.Signing[0], p.Signing[1] = p.Signing[1], p.Signing[0]
	if _, err := metadata.Build(p); err == nil {
		t.Error("a document whose first key is not the signer's is built")
	}
}

func TestEqualInputsGiveEqualBytes(t *testing.T) {
	a, b := build(t, full(first(), second())), build(t, full(first(), second()))
	if !bytes.Equal(a, b) {
		t.Error("two builds of the same inputs differ")
	}
	ids := map[string]string{}
	for name, p := range map[string]metadata.Params{"one": full(first(), second()), "two": full(first()), "three": minimal()} {
		id := root(t, build(t, p)).SelectAttrValue("ID", "")
		if other, taken := ids[id]; taken {
			t.Errorf("%s and %s share the id %s", name, other, id)
		}
		ids[id] = name
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, spoil := range map[string]func(p *metadata.Params){
		"no entity id":         func(p *metadata.Params) { p.EntityID = "" },
		"entity id too long":   func(p *metadata.Params) { p.EntityID = "http://" + strings.Repeat("x", 1024) },
		"no display name":      func(p *metadata.Params) { p.DisplayName = "" },
		"plain http":           func(p *metadata.Params) { p.PublicURL = "http://sts.contoso.test" },
		"user info":            func(p *metadata.Params) { p.PublicURL = "https://a@sts.contoso.test" },
		"a path":               func(p *metadata.Params) { p.PublicURL = host + "/x" },
		"a query":              func(p *metadata.Params) { p.PublicURL = host + "?x" },
		"no signer":            func(p *metadata.Params) { p.Signer = nil },
		"no certificate":       func(p *metadata.Params) { p.Signing = nil },
		"another certificate":  func(p *metadata.Params) { p.Signing = []*x509.Certificate{second().cert} },
		"control character":    func(p *metadata.Params) { p.DisplayName = "a\x00b" },
		"half an organization": func(p *metadata.Params) { p.Organization.URL = "" },
		"contact type":         func(p *metadata.Params) { p.Contacts[0].Type = "boss" },
	} {
		p := full(first())
		spoil(&p)
		if doc, err := metadata.Build(p); err == nil || doc != nil {
			t.Errorf("%s: built", name)
		}
	}
}
