package saml_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/x509"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"encoding/pem"

	"github.com/beevik/etree"

	"sallyport/deploy/testbed/lab"
	"sallyport/federation"
	"sallyport/federation/saml"
)

// openssl unwraps the key of an EncryptedAssertion with the party's private key, by
// the hashes that the message names.
func openssl(t *testing.T, method *etree.Element, wrapped []byte) []byte {
	t.Helper()
	path := lab.Program(t, "openssl", "openssl")
	hash := func(e *etree.Element, standard string) string {
		if e == nil {
			return standard
		}
		a := e.SelectAttrValue("Algorithm", "")
		return a[strings.LastIndexAny(a, "#")+1:]
	}
	digest := hash(method.FindElement("./DigestMethod"), "sha1")
	mask := strings.TrimPrefix(hash(method.FindElement("./MGF"), "mgf1sha1"), "mgf1")
	der, err := x509.MarshalPKCS8PrivateKey(keyOf(t, "party", 2048).key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	key, in := filepath.Join(dir, "party.pem"), filepath.Join(dir, "wrapped")
	for file, content := range map[string][]byte{key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), in: wrapped} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(path, "pkeyutl", "-decrypt", "-inkey", key, "-in", in, "-pkeyopt", "rsa_padding_mode:oaep",
		"-pkeyopt", "rsa_oaep_md:"+digest, "-pkeyopt", "rsa_mgf1_md:"+mask).Output()
	if err != nil {
		t.Fatalf("openssl does not unwrap the key with %s and a mask of %s: %v", digest, mask, err)
	}
	return out
}

// TestC04_EncryptionAsThePartyAsks opens what the party would get, with another
// library than the one that sealed the key.
func TestC04_EncryptionAsThePartyAsks(t *testing.T) {
	for name, c := range map[string]struct {
		asked saml.Encryption
		size  int
	}{
		"nothing said":             {saml.Encryption{}, 32},
		"128 bits":                 {saml.Encryption{Content: saml.AES128GCM}, 16},
		"SHA-256, masked by SHA-1": {saml.Encryption{Digest: saml.DigestSHA256}, 32},
		"OAEP of 1.1":              {saml.Encryption{Transport: saml.OAEP}, 32},
		"OAEP of 1.1 with SHA-1":   {saml.Encryption{Content: saml.AES128GCM, Transport: saml.OAEP, Digest: saml.DigestSHA1}, 16},
		"OAEP of 1.1, mixed":       {saml.Encryption{Transport: saml.OAEP, Digest: saml.DigestSHA256, Mask: saml.MaskSHA1}, 32},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, func(p []*saml.Party) { p[0].Encrypt, p[0].Encryption = keyOf(t, "party", 2048).cert, c.asked })
			if err := g.get(redirect(request("", ""))); err != nil {
				t.Fatal(err)
			}
			root := g.answer()
			goodSignature(t, g, root)
			data := root.FindElement("./EncryptedAssertion/EncryptedData")
			want := c.asked.Content
			if want == "" {
				want = saml.AES256GCM
			}
			if got := data.FindElement("./EncryptionMethod").SelectAttrValue("Algorithm", ""); got != want {
				t.Errorf("content by %s", got)
			}
			wrapped := data.FindElement("./KeyInfo/EncryptedKey")
			method := wrapped.FindElement("./EncryptionMethod")
			if got := method.SelectAttrValue("Algorithm", ""); c.asked.Transport != "" && got != c.asked.Transport {
				t.Errorf("key by %s", got)
			}
			key := openssl(t, method, cipherValue(t, wrapped))
			if len(key) != c.size {
				t.Fatalf("the key has %d bytes", len(key))
			}
			block, err := aes.NewCipher(key)
			if err != nil {
				t.Fatal(err)
			}
			gcm, err := cipher.NewGCM(block)
			if err != nil {
				t.Fatal(err)
			}
			sealed := cipherValue(t, data)
			plain, err := gcm.Open(nil, sealed[:12], sealed[12:], nil)
			if err != nil {
				t.Fatal(err)
			}
			if a := tree(t, string(plain)); a.Tag != "Assertion" || a.FindElement("./Subject/NameID").Text() != "alice@contoso.test" {
				t.Errorf("inside: %s", plain)
			}
		})
	}
}

func cipherValue(t *testing.T, e *etree.Element) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(e.FindElement("./CipherData/CipherValue").Text())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestI09_WeakEncryptionCannotBeChosen: no CBC, no RSA 1.5, no mask that the
// algorithm does not have.
func TestI09_WeakEncryptionCannotBeChosen(t *testing.T) {
	for name, e := range map[string]saml.Encryption{
		"CBC":          {Content: "http://www.w3.org/2001/04/xmlenc#aes256-cbc"},
		"RSA 1.5":      {Transport: "http://www.w3.org/2001/04/xmlenc#rsa-1_5"},
		"MD5":          {Digest: "http://www.w3.org/2001/04/xmldsig-more#md5"},
		"another mask": {Mask: saml.MaskSHA256},
	} {
		if _, err := saml.NewRegistry(&saml.Party{RelyingParty: federation.RelyingParty{Key: "k", Identifiers: []string{"urn:k"}},
			Consumers: []saml.Endpoint{{URL: "https://k.test/acs"}}, Encrypt: keyOf(t, "party", 2048).cert, Encryption: e}); err == nil {
			t.Errorf("%s can be registered", name)
		}
	}
}
