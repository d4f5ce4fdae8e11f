package partner_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sallyport/federation/partner"
	"sallyport/federation/saml"
)

// complete says what is wrong with entities that came out of a document: each must
// make a party that the registry takes, and that checks what the entity asks for.
func complete(d *partner.Document) error {
	for _, e := range d.Entities {
		if len(e.Consumers) == 0 || e.SignsRequests && len(e.Signing) == 0 {
			return errors.New("an entity without addresses, or without the keys that it signs with")
		}
		p, err := e.Party(hand(e.ID), partner.Options{Persistent: true})
		if err != nil && e.Unencryptable != "" {
			p, err = e.Party(hand(e.ID), partner.Options{Persistent: true, NeverEncrypt: true})
		}
		if err != nil {
			return err
		}
		if _, err := saml.NewRegistry(p); err != nil {
			return err
		}
		for _, c := range p.Consumers {
			if saml.CheckURL(c.URL) != nil {
				return errors.New("an address that is not https: " + c.URL)
			}
		}
		if p.WantSigned != e.SignsRequests {
			return errors.New("a party that checks less than its metadata asks for")
		}
	}
	return nil
}

// Every published document that mentions metadata, as it is and cut short and with
// one attribute renamed: a complete registration or a refusal.
func TestS12_PublishedMetadata(t *testing.T) {
	found, taken := 0, 0
	err := filepath.WalkDir(folder(t, "SALLYPORT_VECTORS"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(data, []byte("EntityDescriptor")) && !bytes.Contains(data, []byte("EntitiesDescriptor")) || filepath.Ext(path) == ".json" {
			return err
		}
		found++
		mutations := [][]byte{data, data[:len(data)/2], bytes.ReplaceAll(data, []byte("use="), []byte("usage=")), bytes.ReplaceAll(data, []byte("https:"), []byte("http:")),
			bytes.ReplaceAll(data, []byte(`index="`), []byte(`index="x`)), bytes.ReplaceAll(data, []byte("X509Certificate>"), []byte("X509Cert>"))}
		for i, m := range mutations {
			// At the time of the document, which may be long ago.
			doc, err := partner.Read(m, partner.Trust{Now: time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC)})
			if err != nil {
				continue
			}
			if i == 0 {
				taken += len(doc.Entities)
			}
			if err := complete(doc); err != nil {
				t.Errorf("%s, mutation %d: %v", path, i, err)
			}
		}
		return nil
	})
	if err != nil || found < 25 || taken < 3 {
		t.Errorf("%d documents with %d service providers: %v", found, taken, err)
	}
	t.Logf("%d documents with %d service providers", found, taken)
}

// FuzzRead: no panic, and what is taken is a complete registration. A document that
// must be signed is never taken, since nobody here signs one.
func FuzzRead(f *testing.F) {
	f.Add([]byte(describe(wiki, `validUntil="2027-01-01T00:00:00Z" cacheDuration="P1D"`, `AuthnRequestsSigned="true"`, keyDescriptor("", publisher()))))
	f.Add([]byte(list("", describe(wiki, "", "", "<md:NameIDFormat>x</md:NameIDFormat>"))))
	f.Add([]byte(describe(wiki, "", "", acs("7", "https://wiki.fabrikam.test/b", `isDefault="1"`)+`<md:SingleLogoutService `+redirect+` Location="https://wiki.fabrikam.test/slo" ResponseLocation="https://wiki.fabrikam.test/done"/>`)))
	f.Add([]byte(describe(wiki, "", "", `<md:KeyDescriptor><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:KeyValue><ds:RSAKeyValue><ds:Modulus>AQAB</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo></md:KeyDescriptor>`)))
	f.Add([]byte(publisher().sign(f, describe(wiki, `ID="_d"`, "", ""))))
	f.Add([]byte("<x/>"))
	nobody := []*x509.Certificate{stranger().cert}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := partner.Read(data, partner.Trust{Now: now})
		if (err == nil) != (d != nil) {
			t.Fatalf("document %v beside %v", d, err)
		}
		if err == nil {
			if err := complete(d); err != nil {
				t.Fatalf("%v: %q", err, data)
			}
		}
		if d, err := partner.Read(data, partner.Trust{Now: now, Certificates: nobody}); err == nil || d != nil {
			t.Fatalf("signed by nobody, yet taken: %q", data)
		}
	})
}
