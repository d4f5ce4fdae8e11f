package partner

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/beevik/etree"

	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/saml"
)

// keys reads the KeyDescriptors of a role (SAML Metadata 2.0 §2.4.1.1). Without use
// a key is for both. A use that is not known refuses the document, since nobody can
// say what would be lost with it.
func (e *Entity) keys(role *etree.Element, now time.Time) error {
	list := xmlsec.All(role, nsMetadata, "KeyDescriptor")
	if len(list) > maxKeys {
		return bad("%d keys", len(list))
	}
	var named, shared []Encryption
	problem := ""
	for i, k := range list {
		use, ok := xmlsec.Attr(k, "use")
		if ok && use != useSigning && use != useEncrypt {
			return bad("key %d has the use %.40q, which is neither signing nor encryption", i+1, use)
		}
		c, err := container(k)
		if err != nil {
			return fmt.Errorf("key %d: %w", i+1, err)
		}
		if c == nil {
			e.warn("key %d names a key and does not hold it; it cannot be used", i+1)
			if use == useEncrypt {
				problem = "its encryption key is named and not included"
			}
			continue
		}
		if use != useEncrypt {
			e.signing(i, c, now)
		}
		if use == useSigning {
			continue
		}
		enc, why := encryption(k, c)
		switch {
		case enc == nil && use == useEncrypt:
			problem = why
			e.warn("key %d cannot be encrypted to: %s", i+1, why)
		case enc == nil:
			if len(xmlsec.All(k, nsMetadata, "EncryptionMethod")) > 0 {
				problem = cmp.Or(problem, why) // it is meant for encryption
			}
			e.warn("key %d is not used for encryption: %s", i+1, why)
		case use == useEncrypt:
			named = append(named, *enc)
		default:
			shared = append(shared, *enc)
		}
	}
	if e.Encryption = newest(append(named, shared...), now); e.Encryption == nil {
		e.Unencryptable = problem
	} else if use := e.Encryption.Certificate; !use.NotAfter.After(now) {
		e.warn("the certificate that assertions are encrypted to expired on %s; its key is used all the same", use.NotAfter.Format(time.DateOnly))
	}
	return nil
}

// newest chooses the first key whose certificate is in date, else the first.
func newest(list []Encryption, now time.Time) *Encryption {
	for i := range list {
		if list[i].Certificate.NotAfter.After(now) {
			return &list[i]
		}
	}
	if len(list) > 0 {
		return &list[0]
	}
	return nil
}

// signing takes a key that signs. One whose signatures could never count is left
// out: it makes the party no weaker.
func (e *Entity) signing(i int, c *x509.Certificate, now time.Time) {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			e.warn("signing key %d is left out: RSA of %d bits, at least 2048 are needed", i+1, k.N.BitLen())
			return
		}
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() {
			e.warn("signing key %d is left out: only the curves P-256 and P-384 are accepted", i+1)
			return
		}
	default:
		e.warn("signing key %d is left out: neither RSA nor ECDSA", i+1)
		return
	}
	for _, have := range e.Signing {
		if bytes.Equal(have.Raw, c.Raw) {
			return // Microsoft and others list one certificate twice
		}
	}
	if !c.NotAfter.After(now) {
		e.warn("certificate %q expired on %s; its key still counts", plain(c.Subject.String(), 100), c.NotAfter.Format(time.DateOnly))
	}
	switch c.SignatureAlgorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.MD5WithRSA:
		e.warn("certificate %q is itself signed with SHA-1; that does no harm here, and shows its age", plain(c.Subject.String(), 100))
	}
	e.Signing = append(e.Signing, c)
}

// container returns the certificate of a KeyDescriptor, one made up around a bare
// RSA key, or nil when there is neither.
func container(k *etree.Element) (*x509.Certificate, error) {
	info, err := xmlsec.One(k, nsSignature, "KeyInfo")
	if err != nil {
		return nil, bad("%w", err)
	}
	for _, data := range xmlsec.All(info, nsSignature, "X509Data") {
		if list := xmlsec.All(data, nsSignature, "X509Certificate"); len(list) > 0 {
			c := list[0] // it holds the key, others are its chain
			text, err := xmlsec.Text(c)
			if err != nil {
				return nil, bad("%w", err)
			}
			der, err := xmlsec.Base64(text, true)
			if err != nil {
				return nil, bad("certificate: %w", err)
			}
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, bad("certificate: %w", err)
			}
			return cert, nil
		}
	}
	for _, value := range xmlsec.All(info, nsSignature, "KeyValue") {
		for _, r := range xmlsec.All(value, nsSignature, "RSAKeyValue") {
			return bare(r)
		}
	}
	return nil, nil
}

// bare puts an RSAKeyValue (XML-DSIG §4.4.2.2) into a certificate that says nothing
// else and has no end.
func bare(r *etree.Element) (*x509.Certificate, error) {
	var numbers [2]*big.Int
	for i, name := range [...]string{"Modulus", "Exponent"} {
		e, err := xmlsec.One(r, nsSignature, name)
		if err != nil {
			return nil, bad("%w", err)
		}
		text, err := xmlsec.Text(e)
		if err != nil {
			return nil, bad("%w", err)
		}
		b, err := xmlsec.Base64(text, true)
		if err != nil || len(b) > 2048 {
			return nil, bad("%s of an RSA key cannot be read", name)
		}
		numbers[i] = new(big.Int).SetBytes(b)
	}
	if e := numbers[1]; !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 || e.Bit(0) == 0 {
		return nil, bad("exponent of an RSA key")
	}
	key := &rsa.PublicKey{N: numbers[0], E: int(numbers[1].Int64())}
	if key.N.Bit(0) == 0 || key.N.BitLen() > 16384 {
		return nil, bad("modulus of an RSA key")
	}
	return &x509.Certificate{
		Raw: x509.MarshalPKCS1PublicKey(key), PublicKey: key, PublicKeyAlgorithm: x509.RSA,
		Subject: pkix.Name{CommonName: "a key without a certificate"}, NotAfter: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
	}, nil
}

// encryption chooses the algorithms for a key by its EncryptionMethods, or says why
// there are none.
func encryption(k *etree.Element, c *x509.Certificate) (*Encryption, string) {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	switch {
	case !ok:
		return nil, "it is not an RSA key"
	case key.N.BitLen() < 2048:
		return nil, fmt.Sprintf("RSA of %d bits, at least 2048 are needed", key.N.BitLen())
	}
	var content, transport []string
	methods := make(map[string]*etree.Element)
	for _, m := range xmlsec.All(k, nsMetadata, "EncryptionMethod") {
		switch a, _ := xmlsec.Attr(m, "Algorithm"); {
		case a == encOAEP, a == encOAEP11, a == encPKCS1:
			transport = append(transport, a)
			if methods[a] == nil {
				methods[a] = m
			}
		case strings.HasPrefix(a, encGCM), strings.HasPrefix(a, encCBC), a == encDES:
			content = append(content, a)
		}
	}
	enc := &Encryption{Certificate: c, Content: encGCM256, Transport: encOAEP}
	switch {
	case len(content) == 0 || contains(content, encGCM256):
	case contains(content, encGCM128):
		enc.Content = encGCM128
	default:
		return nil, "the party lists no AES-GCM, and AES-CBC can be attacked by changing ciphertexts"
	}
	switch {
	case len(transport) == 0 || contains(transport, encOAEP):
	case contains(transport, encOAEP11):
		enc.Transport = encOAEP11
	default:
		return nil, "the party lists no RSA-OAEP, and RSA 1.5 can be attacked by changing ciphertexts"
	}
	enc.wishes(methods[enc.Transport])
	return enc, ""
}

// wishes reads digest and mask out of an EncryptionMethod (XML-ENC §5.5.2). Those
// that are not offered are left out: a party that says nothing more gets what usually
// goes with the transport.
func (enc *Encryption) wishes(m *etree.Element) {
	if m == nil {
		return
	}
	if d, err := xmlsec.Optional(m, nsSignature, "DigestMethod"); err == nil && d != nil {
		if a, _ := xmlsec.Attr(d, "Algorithm"); a == saml.DigestSHA1 || a == saml.DigestSHA256 {
			enc.Digest = a
		}
	}
	if enc.Transport != encOAEP11 {
		return // its mask is fixed
	}
	if g, err := xmlsec.Optional(m, nsEncrypt11, "MGF"); err == nil && g != nil {
		if a, _ := xmlsec.Attr(g, "Algorithm"); a == saml.MaskSHA1 || a == saml.MaskSHA256 {
			enc.Mask = a
		}
	}
}
