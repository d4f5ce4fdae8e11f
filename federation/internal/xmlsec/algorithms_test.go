package xmlsec_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport/federation/internal/xmlsec"
)

// algorithmCase is a signed message and whether it may be accepted.
type algorithmCase struct {
	r    recipe
	keys []crypto.PublicKey
	ok   bool
	sha1 bool // accepted with the named exception
}

func algorithmCases(t *testing.T) map[string]algorithmCase {
	ec := ecKeys()
	pub := func(k crypto.Signer) []crypto.PublicKey { return []crypto.PublicKey{k.Public()} }
	weak := newParty(1024)
	spki, err := x509.MarshalPKIXPublicKey(registered().rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: registered().cert.Raw})
	pss := func(t testing.TB, octets []byte) []byte {
		h := crypto.SHA256.New()
		h.Write(octets)
		sig, err := rsa.SignPSS(rand.Reader, registered().rsa, crypto.SHA256, h.Sum(nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	der := func(t testing.TB, octets []byte) []byte {
		h := crypto.SHA256.New()
		h.Write(octets)
		sig, err := ecdsa.SignASN1(rand.Reader, ec["P-256"], h.Sum(nil))
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	return map[string]algorithmCase{
		"RSA-SHA256":                    {recipe{}, keys(registered()), true, true},
		"RSA-SHA384":                    {recipe{method: more + "rsa-sha384", sign: rsaSign(registered(), crypto.SHA384), digest: more + "sha384", hash: crypto.SHA384}, keys(registered()), true, true},
		"RSA-SHA512":                    {recipe{method: more + "rsa-sha512", sign: rsaSign(registered(), crypto.SHA512), digest: enc + "sha512", hash: crypto.SHA512}, keys(registered()), true, true},
		"ECDSA P-256 SHA-256":           {recipe{method: more + "ecdsa-sha256", sign: ecSign(ec["P-256"], crypto.SHA256)}, pub(ec["P-256"]), true, true},
		"ECDSA P-384 SHA-384":           {recipe{method: more + "ecdsa-sha384", sign: ecSign(ec["P-384"], crypto.SHA384)}, pub(ec["P-384"]), true, true},
		"RSA-SHA1":                      {recipe{method: ds + "rsa-sha1", sign: rsaSign(registered(), crypto.SHA1)}, keys(registered()), false, true},
		"SHA-1 digest":                  {recipe{digest: ds + "sha1", hash: crypto.SHA1}, keys(registered()), false, true},
		"MD5 digest":                    {recipe{digest: more + "md5", hash: crypto.MD5}, keys(registered()), false, false},
		"RSA-MD5":                       {recipe{method: more + "rsa-md5", sign: rsaSign(registered(), crypto.MD5)}, keys(registered()), false, false},
		"RSA 1024":                      {recipe{sign: rsaSign(weak, crypto.SHA256)}, keys(weak), false, false},
		"RSA-PSS":                       {recipe{method: "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1", sign: pss}, keys(registered()), false, false},
		"PSS said to be PKCS#1":         {recipe{sign: pss}, keys(registered()), false, false},
		"ECDSA P-521":                   {recipe{method: more + "ecdsa-sha384", sign: ecSign(ec["P-521"], crypto.SHA384)}, pub(ec["P-521"]), false, false},
		"ECDSA P-224":                   {recipe{method: more + "ecdsa-sha256", sign: ecSign(ec["P-224"], crypto.SHA256)}, pub(ec["P-224"]), false, false},
		"ECDSA-SHA512":                  {recipe{method: more + "ecdsa-sha512", sign: ecSign(ec["P-256"], crypto.SHA512)}, pub(ec["P-256"]), false, false},
		"ECDSA-SHA1":                    {recipe{method: more + "ecdsa-sha1", sign: ecSign(ec["P-256"], crypto.SHA1)}, pub(ec["P-256"]), false, false},
		"ECDSA in ASN.1":                {recipe{method: more + "ecdsa-sha256", sign: der}, pub(ec["P-256"]), false, false},
		"HMAC with the key":             {recipe{method: more + "hmac-sha256", sign: hmacSign(spki, crypto.SHA256)}, keys(registered()), false, false},
		"HMAC with the PEM":             {recipe{method: more + "hmac-sha256", sign: hmacSign(certPEM, crypto.SHA256)}, keys(registered()), false, false},
		"HMAC with the DER":             {recipe{method: ds + "hmac-sha1", sign: hmacSign(registered().cert.Raw, crypto.SHA1)}, keys(registered()), false, false},
		"HMAC said to be RSA":           {recipe{sign: hmacSign(spki, crypto.SHA256)}, keys(registered()), false, false},
		"HMAC, raw bytes as key":        {recipe{method: more + "hmac-sha256", sign: hmacSign(spki, crypto.SHA256)}, []crypto.PublicKey{spki}, false, false},
		"DSA":                           {recipe{method: ds + "dsa-sha1", sign: rsaSign(registered(), crypto.SHA1)}, keys(registered()), false, false},
		"unknown":                       {recipe{method: "urn:none"}, keys(registered()), false, false},
		"RSA key, ECDSA method":         {recipe{method: more + "ecdsa-sha256"}, keys(registered()), false, false},
		"ECDSA key, RSA method":         {recipe{sign: ecSign(ec["P-256"], crypto.SHA256)}, pub(ec["P-256"]), false, false},
		"wrong hash for method":         {recipe{method: more + "rsa-sha384"}, keys(registered()), false, false},
		"empty signature":               {recipe{sign: func(testing.TB, []byte) []byte { return nil }}, keys(registered()), false, false},
		"zero ECDSA signature":          {recipe{method: more + "ecdsa-sha256", sign: func(testing.TB, []byte) []byte { return make([]byte, 64) }}, pub(ec["P-256"]), false, false},
		"no keys":                       {recipe{}, nil, false, false},
		"nil key":                       {recipe{}, []crypto.PublicKey{nil}, false, false},
		"another registered key":        {recipe{}, keys(stranger()), false, false},
		"private key by mistake":        {recipe{}, []crypto.PublicKey{registered().rsa}, false, false},
		"method in another letter case": {recipe{method: strings.ToUpper(more) + "rsa-sha256"}, keys(registered()), false, false},
	}
}

func TestS02_Algorithms(t *testing.T) {
	for name, c := range algorithmCases(t) {
		t.Run(name, func(t *testing.T) {
			doc := c.r.signed(t, authnRequest)
			for _, v := range []struct {
				p    xmlsec.Profile
				want bool
			}{{xmlsec.Profile{}, c.ok}, {xmlsec.Profile{SHA1: true}, c.sha1}} {
				if v.want {
					wantVerified(t, doc, c.keys, v.p)
				} else {
					wantRefused(t, doc, c.keys, v.p)
				}
			}
		})
	}
	truncated := recipe{}.signed(t, authnRequest)
	truncated = strings.Replace(truncated, `rsa-sha256"></ds:SignatureMethod>`, `rsa-sha256"><ds:HMACOutputLength>0</ds:HMACOutputLength></ds:SignatureMethod>`, 1)
	wantRefused(t, truncated, keys(registered()), xmlsec.Profile{})
}

// A key that comes with the message is never used, and nothing in KeyInfo is
// fetched.
func TestS03_KeyInTheMessage(t *testing.T) {
	var connections atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { connections.Add(1) }))
	defer srv.Close()
	b64 := base64.StdEncoding.EncodeToString
	s := stranger()
	for name, info := range map[string]string{
		"certificate":     "<ds:X509Data><ds:X509Certificate>" + b64(s.cert.Raw) + "</ds:X509Certificate></ds:X509Data>",
		"both":            "<ds:X509Data><ds:X509Certificate>" + b64(registered().cert.Raw) + "</ds:X509Certificate><ds:X509Certificate>" + b64(s.cert.Raw) + "</ds:X509Certificate></ds:X509Data>",
		"KeyValue":        "<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>" + b64(s.rsa.N.Bytes()) + "</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>",
		"RetrievalMethod": `<ds:RetrievalMethod URI="` + srv.URL + `" Type="` + ds + `rawX509Certificate"></ds:RetrievalMethod>`,
		"KeyName":         "<ds:KeyName>" + srv.URL + "</ds:KeyName>",
		"nothing":         "",
	} {
		t.Run(name, func(t *testing.T) {
			keyInfo := "<ds:KeyInfo>" + info + "</ds:KeyInfo>"
			wantRefused(t, recipe{keyInfo: keyInfo, sign: rsaSign(s, crypto.SHA256)}.signed(t, authnRequest), keys(registered()), xmlsec.Profile{})
			// The same KeyInfo does no harm to a registered party's signature.
			wantVerified(t, recipe{keyInfo: keyInfo}.signed(t, authnRequest), keys(registered()), xmlsec.Profile{})
		})
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// Octets of the Redirect binding.
func TestS04_Octets(t *testing.T) {
	octets := []byte("SAMLRequest=fZ%2fJ&RelayState=a%20b&SigAlg=http%3a%2f%2fwww.w3.org%2f2001%2f04%2fxmldsig-more%23rsa-sha256")
	ec := ecKeys()["P-256"]
	ks := []crypto.PublicKey{ec.Public(), stranger().rsa.Public(), registered().rsa.Public()}
	sig := rsaSign(registered(), crypto.SHA256)(t, octets)
	if i, err := xmlsec.VerifyOctets(more+"rsa-sha256", ks, octets, sig, false); err != nil || i != 2 {
		t.Errorf("RSA: key %d, %v", i, err)
	}
	if i, err := xmlsec.VerifyOctets(more+"ecdsa-sha256", ks, octets, ecSign(ec, crypto.SHA256)(t, octets), false); err != nil || i != 0 {
		t.Errorf("ECDSA: key %d, %v", i, err)
	}
	sha1 := rsaSign(registered(), crypto.SHA1)(t, octets)
	if _, err := xmlsec.VerifyOctets(ds+"rsa-sha1", ks, octets, sha1, true); err != nil {
		t.Errorf("SHA-1 with the exception: %v", err)
	}
	for name, try := range map[string]func() (int, error){
		"SHA-1": func() (int, error) { return xmlsec.VerifyOctets(ds+"rsa-sha1", ks, octets, sha1, false) },
		"upper case": func() (int, error) {
			return xmlsec.VerifyOctets(more+"rsa-sha256", ks, []byte(strings.ToUpper(string(octets))), sig, false)
		},
		"swapped":      func() (int, error) { return xmlsec.VerifyOctets(more+"rsa-sha512", ks, octets, sig, false) },
		"empty":        func() (int, error) { return xmlsec.VerifyOctets(more+"rsa-sha256", ks, octets, nil, false) },
		"no algorithm": func() (int, error) { return xmlsec.VerifyOctets("", ks, octets, sig, false) },
		"no keys":      func() (int, error) { return xmlsec.VerifyOctets(more+"rsa-sha256", nil, octets, sig, false) },
		"stranger":     func() (int, error) { return xmlsec.VerifyOctets(more+"rsa-sha256", ks[:2], octets, sig, false) },
	} {
		if _, err := try(); !errors.Is(err, xmlsec.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
