package partner_test

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/federation"
	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/partner"
	"sallyport/federation/saml"
)

func caseFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(folder(t, "SALLYPORT_VECTORS"), "..", "cases", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func hand(id string) *saml.Party {
	return &saml.Party{RelyingParty: federation.RelyingParty{Key: "k", Name: "K", Identifiers: []string{id}}}
}

func TestC01_DefaultAddressOfTheMetadata(t *testing.T) {
	e := read(t, caseFile(t, "C01-sp-metadata.xml"))
	want := []saml.Endpoint{
		{URL: "https://wiki.fabrikam.test/saml/mobile/acs", Binding: saml.BindingPost, Index: 3},
		{URL: "https://wiki.fabrikam.test/saml/acs", Binding: saml.BindingPost, Index: 7, Default: true},
	}
	if diff := cmp.Diff(want, e.Consumers); diff != "" {
		t.Error(diff)
	}
}

func TestC03_ExpiredCertificateHoldsAKey(t *testing.T) {
	e := read(t, caseFile(t, "C03-sp-metadata.xml"))
	if len(e.Signing) != 2 || !e.SignsRequests {
		t.Fatalf("%d keys, signs %v", len(e.Signing), e.SignsRequests)
	}
	p, err := e.Party(hand(e.ID), partner.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !p.WantSigned || len(p.Certificates) != 2 || p.Logout == nil {
		t.Errorf("%+v", p)
	}
}

func TestC04_MetadataAsItIsWritten(t *testing.T) {
	e := read(t, caseFile(t, "C04-sp-metadata.xml"))
	p, err := e.Party(hand(e.ID), partner.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := saml.NewRegistry(p); err != nil {
		t.Fatal(err)
	}
	if len(p.Certificates) != 1 || p.Encrypt == nil || !p.Encrypt.Equal(p.Certificates[0]) {
		t.Error("a key without use is for both")
	}
	if e.Encryption.Content != "http://www.w3.org/2009/xmlenc11#aes128-gcm" || e.Encryption.Transport != "http://www.w3.org/2009/xmlenc11#rsa-oaep" {
		t.Errorf("algorithms %+v", e.Encryption)
	}
	var indexes []int
	for _, c := range p.Consumers {
		indexes = append(indexes, c.Index)
	}
	if diff := cmp.Diff([]int{1, 3, 4}, indexes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ops@fabrikam.test", "help@fabrikam.test"}, e.Contacts); diff != "" {
		t.Error(diff)
	}
	if !e.ValidUntil.IsZero() || e.CacheDuration != 168*time.Hour {
		t.Errorf("until %v, cache %v", e.ValidUntil, e.CacheDuration)
	}
	all := strings.Join(e.Warnings, "\n")
	for _, part := range []string{"expired on 2024-01-01", "0001-01-01", "SimpleSign", "HTTP-Artifact", "browser-post"} {
		if strings.Count(all, part) == 0 {
			t.Errorf("no warning has %q", part)
		}
	}
	if p.Logout == nil || p.Logout.URL != "https://portal.fabrikam.test/Shibboleth.sso/SLO/Redirect" {
		t.Errorf("sign-outs go to %+v", p.Logout)
	}
	past := strings.Replace(caseFile(t, "C04-sp-metadata.xml"), "0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z", 1)
	if _, err := partner.Read([]byte(past), partner.Trust{Now: now}); !errors.Is(err, partner.ErrExpired) {
		t.Errorf("another day of the year 1: %v", err)
	}
}

// Each document is refused whole: none of them leads to a party that checks less
// than its metadata says.
func TestS12_DocumentsThatAreNoCompleteRegistration(t *testing.T) {
	p := publisher()
	twice := strings.TrimSuffix(describe(wiki, "", "", ""), "</md:EntityDescriptor>")
	twice += twice[strings.Index(twice, "<md:SPSSO"):] + "</md:EntityDescriptor>"
	another := func(index, location string) string {
		return `<md:AssertionConsumerService ` + post + ` Location="` + location + `" ` + index + `></md:AssertionConsumerService>`
	}
	for name, doc := range map[string]string{
		"use that is not known":             describe(wiki, "", "", keyDescriptor(`use="sign"`, p)),
		"empty use":                         describe(wiki, "", "", keyDescriptor(`use=""`, p)),
		"signs and has no key":              describe(wiki, "", `AuthnRequestsSigned="true"`, ""),
		"signs and has a key to encrypt to": describe(wiki, "", `AuthnRequestsSigned="1"`, keyDescriptor(`use="encryption"`, p)),
		"signs by a weak key":               describe(wiki, "", `AuthnRequestsSigned="true"`, keyDescriptor(`use="signing"`, weak())),
		"AuthnRequestsSigned is yes":        describe(wiki, "", `AuthnRequestsSigned="yes"`, keyDescriptor("", p)),
		"WantAssertionsSigned is TRUE":      describe(wiki, "", `WantAssertionsSigned="TRUE"`, ""),
		"certificate that is none":          describe(wiki, "", "", strings.Replace(keyDescriptor("", p), p.base64(), "AAAA", 1)),
		"certificate in half":               describe(wiki, "", "", strings.Replace(keyDescriptor("", p), p.base64(), p.base64()[:100], 1)),
		"certificate with an element":       describe(wiki, "", "", strings.Replace(keyDescriptor("", p), p.base64(), p.base64()+"<x/>", 1)),
		"no KeyInfo":                        describe(wiki, "", "", `<md:KeyDescriptor use="encryption"></md:KeyDescriptor>`),
		"KeyInfo twice": describe(wiki, "", "", strings.Replace(keyDescriptor("", p), "</md:KeyDescriptor>",
			`<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"></ds:KeyInfo></md:KeyDescriptor>`, 1)),
		"only an http address":    strings.Replace(describe(wiki, "", "", ""), "https://wiki.fabrikam.test/acs", "http://wiki.fabrikam.test/acs", 1),
		"only a javascript":       strings.Replace(describe(wiki, "", "", ""), "https://wiki.fabrikam.test/acs", "javascript:alert(1)", 1),
		"only a wildcard":         strings.Replace(describe(wiki, "", "", ""), "https://wiki.fabrikam.test/acs", "https://*.fabrikam.test/acs", 1),
		"address with a user":     strings.Replace(describe(wiki, "", "", ""), "https://wiki.fabrikam.test/acs", "https://wiki.fabrikam.test@evil.test/acs", 1),
		"no post binding":         strings.Replace(describe(wiki, "", "", ""), "HTTP-POST", "PAOS", 1),
		"index twice":             describe(wiki, "", "", another(`index="0"`, "https://wiki.fabrikam.test/b")),
		"index that is no number": describe(wiki, "", "", another(`index="-1"`, "https://wiki.fabrikam.test/b")),
		"index too large":         describe(wiki, "", "", another(`index="65536"`, "https://wiki.fabrikam.test/b")),
		"index missing":           describe(wiki, "", "", another("", "https://wiki.fabrikam.test/b")),
		"isDefault is yes":        describe(wiki, "", "", another(`index="1" isDefault="yes"`, "https://wiki.fabrikam.test/b")),
		"role twice":              twice,
		"no entityID":             strings.Replace(describe(wiki, "", "", ""), "entityID", "entityId", 1),
		"entityID with a blank":   describe("https://wiki.fabrikam.test/ sp", "", "", ""),
		"entityID of 1025 bytes":  describe("https://"+strings.Repeat("x", 1017), "", "", ""),
		"entity twice":            list("", describe(wiki, "", "", "")+describe(wiki, "", "", "")),
		"validUntil has passed":   describe(wiki, `validUntil="2026-11-26T12:00:00Z"`, "", ""),
		"the role's has passed":   describe(wiki, "", `validUntil="2026-11-26T11:59:59Z"`, ""),
		"the list's has passed":   list(`validUntil="2020-01-01T00:00:00Z"`, describe(wiki, "", "", "")),
		"validUntil is no time":   describe(wiki, `validUntil="tomorrow"`, "", ""),
		"cacheDuration is none":   describe(wiki, `cacheDuration="1 day"`, "", ""),
		"stranger in the list":    list("", describe(wiki, "", "", "")+"<x></x>"),
		"another root":            `<x xmlns="urn:oasis:names:tc:SAML:2.0:metadata"></x>`,
		"another namespace":       strings.ReplaceAll(describe(wiki, "", "", ""), "SAML:2.0:metadata", "SAML:2.0:protocol"),
		"doctype":                 "<!DOCTYPE x>" + describe(wiki, "", "", ""),
		"entity declared":         `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>` + strings.Replace(describe("&e;", "", "", ""), "&e;", "&e;", 1),
		"id twice":                list("", strings.Replace(describe(wiki, `ID="_all"`, "", ""), "x", "x", 1)),
		"cut off":                 describe(wiki, "", "", "")[:200],
		"many keys":               describe(wiki, "", "", strings.Repeat(keyDescriptor("", p), 21)),
		"many elements":           describe(wiki, "", "", strings.Repeat("<x></x>", 2000)),
		"long":                    describe(wiki, "", "", "<x>"+strings.Repeat("<y>"+strings.Repeat("z", 15000)+"</y>", 150)+"</x>"),
	} {
		t.Run(name, func(t *testing.T) {
			d, err := partner.Read([]byte(doc), partner.Trust{Now: now})
			var gate *xmlsec.GateError
			if err == nil || !errors.Is(err, partner.ErrNotMetadata) && !errors.Is(err, partner.ErrExpired) && !errors.As(err, &gate) {
				t.Errorf("%v, %+v", err, d)
			}
		})
	}
	read(t, describe(wiki, `validUntil="2026-11-26T12:00:01Z"`, `AuthnRequestsSigned="true"`, keyDescriptor(`use="signing"`, p)))
}

func TestS12_SignatureByAPinnedKeyOnly(t *testing.T) {
	doc := describe(wiki, `ID="_d"`, "", keyDescriptor("", stranger()))
	trust := partner.Trust{Now: now, Certificates: []*x509.Certificate{stranger().cert, publisher().cert}}
	good := publisher().sign(t, doc)
	d, err := partner.Read([]byte(good), trust)
	if err != nil || !d.Signed {
		t.Fatal(err)
	}
	// Without an ID the reference is to the whole document.
	if _, err := partner.Read([]byte(publisher().sign(t, describe(wiki, "", "", ""))), trust); err != nil {
		t.Error(err)
	}
	only := partner.Trust{Now: now, Certificates: []*x509.Certificate{publisher().cert}}
	for name, doc := range map[string]string{
		"unsigned":                  doc,
		"by the key that it brings": stranger().sign(t, doc),
		"changed":                   strings.Replace(good, "/acs", "/ac5", 1),
		"by a weak key":             weak().sign(t, doc),
		"wrapped":                   list("", good),
	} {
		if d, err := partner.Read([]byte(doc), only); !errors.Is(err, partner.ErrUntrusted) || d != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := partner.Read([]byte(weak().sign(t, doc)), partner.Trust{Now: now, Certificates: []*x509.Certificate{weak().cert}}); !errors.Is(err, partner.ErrUntrusted) {
		t.Errorf("a pinned key of 1024 bits: %v", err)
	}
	aggregate := publisher().sign(t, list("", describe(wiki, "", "", "")))
	if _, err := partner.Read([]byte(aggregate), only); !errors.Is(err, partner.ErrExpired) {
		t.Errorf("a signed list without an end: %v", err)
	}
	if _, err := partner.Read([]byte(doc), partner.Trust{Now: now, MustEnd: true}); !errors.Is(err, partner.ErrExpired) {
		t.Errorf("a document that must have an end: %v", err)
	}
}

// A comment in a value never leaves a part of it.
func TestX03_CommentsAreNoBorders(t *testing.T) {
	doc := strings.Replace(describe(wiki, "", "", "<md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:<!-- x -->emailAddress</md:NameIDFormat>"), "<md:SPSSO", "<!-- who --><md:SPSSO", 1)
	if e := read(t, doc); len(e.Formats) != 1 || e.Formats[0] != saml.FormatEmail {
		t.Errorf("%q", e.Formats)
	}
}

// Only children at their place count, not what is hidden elsewhere.
func TestX05_LookAlikesAtOtherPlacesDoNotCount(t *testing.T) {
	evil := `<md:AssertionConsumerService ` + post + ` Location="https://evil.test/acs" index="7" isDefault="true"></md:AssertionConsumerService>`
	for name, doc := range map[string]string{
		"in Extensions":             describe(wiki, "", "", "<md:Extensions>"+evil+keyDescriptor("", stranger())+"</md:Extensions>"),
		"in another element":        describe(wiki, "", "", "<x xmlns='urn:x'>"+evil+"</x>"),
		"of another namespace":      describe(wiki, "", "", strings.ReplaceAll(evil, "md:", "p:")),
		"in an identity provider's": strings.Replace(describe(wiki, "", "", ""), "<md:SPSSO", `<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">`+evil+"</md:IDPSSODescriptor><md:SPSSO", 1),
		"in a role of SAML 1.1":     strings.Replace(describe(wiki, "", "", ""), "<md:SPSSO", `<md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:1.1:protocol">`+evil+"</md:SPSSODescriptor><md:SPSSO", 1),
	} {
		doc = strings.Replace(doc, "<md:EntityDescriptor ", `<md:EntityDescriptor xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" `, 1)
		e := read(t, doc)
		if len(e.Consumers) != 1 || e.Consumers[0].URL != "https://wiki.fabrikam.test/acs" || len(e.Signing) != 0 {
			t.Errorf("%s: %+v", name, e.Consumers)
		}
	}
}

func TestKeysAndWarnings(t *testing.T) {
	for name, c := range map[string]struct {
		doc      string
		signing  int
		encrypts bool
		problem  string
		warning  string
	}{
		"both uses":               {describe(wiki, "", "", keyDescriptor(`use="signing"`, publisher())+keyDescriptor(`use="encryption"`, stranger())), 1, true, "", ""},
		"the same twice":          {describe(wiki, "", "", strings.Repeat(keyDescriptor(`use="signing"`, publisher()), 2)), 1, false, "", ""},
		"only CBC":                {describe(wiki, "", "", keyDescriptor(`use="encryption"`, publisher(), "http://www.w3.org/2001/04/xmlenc#aes256-cbc")), 0, false, "AES-CBC", "cannot be encrypted to"},
		"only RSA 1.5":            {describe(wiki, "", "", keyDescriptor("", publisher(), "http://www.w3.org/2009/xmlenc11#aes256-gcm", "http://www.w3.org/2001/04/xmlenc#rsa-1_5")), 1, false, "RSA 1.5", "not used for encryption"},
		"CBC and GCM":             {describe(wiki, "", "", keyDescriptor(`use="encryption"`, publisher(), "http://www.w3.org/2001/04/xmlenc#aes128-cbc", "http://www.w3.org/2009/xmlenc11#aes128-gcm")), 0, true, "", ""},
		"weak encryption key":     {describe(wiki, "", "", keyDescriptor(`use="encryption"`, weak())), 0, false, "1024 bits", ""},
		"weak signing key":        {describe(wiki, "", "", keyDescriptor(`use="signing"`, weak())+keyDescriptor(`use="signing"`, publisher())), 1, false, "", "1024 bits"},
		"bare key":                {describe(wiki, "", "", bareKey(publisher())), 1, true, "", ""},
		"bare weak key":           {describe(wiki, "", "", bareKey(weak())), 0, false, "", "1024 bits"},
		"name of a key":           {describe(wiki, "", "", `<md:KeyDescriptor use="encryption"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:KeyName>k</ds:KeyName></ds:KeyInfo></md:KeyDescriptor>`), 0, false, "named and not included", "does not hold it"},
		"logout without a key":    {describe(wiki, "", "", `<md:SingleLogoutService `+redirect+` Location="https://wiki.fabrikam.test/slo"/>`), 0, false, "", "single logout is off"},
		"http logout":             {describe(wiki, "", "", `<md:SingleLogoutService `+redirect+` Location="http://wiki.fabrikam.test/slo"/>`), 0, false, "", "in the clear"},
		"two defaults":            {describe(wiki, "", "", `<md:AssertionConsumerService `+post+` Location="https://wiki.fabrikam.test/1" index="1" isDefault="true"/><md:AssertionConsumerService `+post+` Location="https://wiki.fabrikam.test/2" index="2" isDefault="1"/>`), 0, false, "", "2 assertion consumer services are marked"},
		"one address without one": {strings.Replace(describe(wiki, "", "", ""), ` index="0"`, "", 1), 0, false, "", "has no index"},
	} {
		t.Run(name, func(t *testing.T) {
			e := read(t, c.doc)
			if len(e.Signing) != c.signing || (e.Encryption != nil) != c.encrypts || !strings.Contains(e.Unencryptable, c.problem) || (e.Unencryptable == "") != (c.problem == "") {
				t.Errorf("%d keys, encryption %v, %q", len(e.Signing), e.Encryption, e.Unencryptable)
			}
			if !strings.Contains(strings.Join(e.Warnings, "\n"), c.warning) {
				t.Errorf("warnings %q", e.Warnings)
			}
			_, err := e.Party(hand(wiki), partner.Options{})
			if (err != nil) != (c.problem != "") {
				t.Errorf("party: %v", err)
			}
			if _, err := e.Party(hand(wiki), partner.Options{NeverEncrypt: true}); err != nil {
				t.Errorf("party that never encrypts: %v", err)
			}
		})
	}
}

func bareKey(s signer) string {
	return `<md:KeyDescriptor><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:KeyValue><ds:RSAKeyValue><ds:Modulus>` +
		base64.StdEncoding.EncodeToString(s.key.N.Bytes()) + `</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo></md:KeyDescriptor>`
}

func TestEntityAttributesAreRead(t *testing.T) {
	tags := `<md:Extensions><a:EntityAttributes xmlns:a="urn:oasis:names:tc:SAML:metadata:attribute"><s:Attribute xmlns:s="urn:oasis:names:tc:SAML:2.0:assertion" Name="http://macedir.org/entity-category"><s:AttributeValue>http://refeds.org/category/research-and-scholarship</s:AttributeValue></s:Attribute></a:EntityAttributes></md:Extensions>`
	e := read(t, strings.Replace(describe(wiki, "", "", ""), "<md:SPSSO", tags+"<md:SPSSO", 1))
	if diff := cmp.Diff(map[string][]string{"http://macedir.org/entity-category": {"http://refeds.org/category/research-and-scholarship"}}, e.Tags); diff != "" {
		t.Error(diff)
	}
}

func TestEarliestEndAndShortestDurationHold(t *testing.T) {
	inner := describe(wiki, `validUntil="2026-12-31T00:00:00"`, `validUntil="2027-01-01T01:00:00+01:00"`, "")
	doc := list(`validUntil="2026-12-24T00:00:00Z" cacheDuration="PT6H"`, `<md:EntitiesDescriptor cacheDuration="P1D">`+inner+`</md:EntitiesDescriptor>`)
	e := read(t, doc)
	if e.CacheDuration != 6*time.Hour || !e.ValidUntil.Equal(time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%v, %v", e.ValidUntil, e.CacheDuration)
	}
}
