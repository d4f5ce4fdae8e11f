package xmlsec_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"math/big"
	"strings"
	"testing"

	"sallyport/federation/internal/xmlsec"
)

// FuzzParse: no panic; whatever passes survives a round trip, is read by
// encoding/xml, and a refusal names its kind.
func FuzzParse(f *testing.F) {
	for _, seed := range mutationSeeds() {
		f.Add(seed)
	}
	for _, m := range messages() {
		f.Add([]byte(strings.Replace(m, "SIGNATURE", "", 1)))
	}
	f.Add([]byte("<a b='1\r\n2'>]]&gt;<![CDATA[x]]>&#x10FFFF;</a>"))
	f.Add([]byte("<!DOCTYPE a><a/>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, rules := range allRules() {
			d, err := xmlsec.Parse(data, rules)
			if err != nil {
				known := false
				for _, kind := range []error{xmlsec.ErrMalformed, xmlsec.ErrDoctype, xmlsec.ErrLimit, xmlsec.ErrForbidden} {
					known = known || errors.Is(err, kind)
				}
				if !known || d != nil {
					t.Fatalf("%s: refused as %v", name, err)
				}
				continue
			}
			checkRoundTrip(t, name, d)
			if err := xml.Unmarshal(data, new(struct{})); err != nil {
				t.Errorf("%s: encoding/xml refuses what passed: %v", name, err)
			}
		}
	})
}

// FuzzVerify changes a signed message: whatever still verifies says exactly what
// was signed.
func FuzzVerify(f *testing.F) {
	// Workers are processes of their own: the key must be the same in each.
	fixed := party{rsa: fixedKey()}
	sign := rsaSign(fixed, crypto.SHA256)
	want := map[string]bool{}
	for _, m := range messages() {
		plain, err := xmlsec.Parse([]byte(strings.Replace(m, "SIGNATURE", "", 1)), xmlsec.Imported())
		if err != nil {
			f.Fatal(err)
		}
		want[flat(plain.Unverified())] = true
		f.Add(recipe{sign: sign}.signed(f, m))
		f.Add(recipe{sign: sign, keyInfo: "<ds:KeyInfo><ds:KeyName>x</ds:KeyName></ds:KeyInfo>"}.signed(f, m))
	}
	ks := keys(fixed)
	f.Fuzz(func(t *testing.T, doc string) {
		for _, rules := range allRules() {
			d, err := xmlsec.Parse([]byte(doc), rules)
			if err != nil {
				continue
			}
			v, err := d.Verify(ks, xmlsec.Profile{EmptyReference: true, SHA1: true})
			switch {
			case err != nil && !errors.Is(err, xmlsec.ErrSignature):
				t.Errorf("error %v is of no known kind", err)
			case err == nil && !want[flat(v.Root)]:
				t.Errorf("something verifies that was never signed:\n%s\n%s", doc, flat(v.Root))
			}
		}
	})
}

// fixedKey makes the same RSA key in every process: primes are searched from a
// fixed place. It signs nothing but fuzzing seeds.
func fixedKey() *rsa.PrivateKey {
	prime := func(seed string) *big.Int {
		var b []byte
		for i := range 4 {
			sum := sha256.Sum256([]byte{byte(i), seed[0]})
			b = append(b, sum[:]...)
		}
		b[0] |= 0xC0
		b[len(b)-1] |= 1
		p := new(big.Int).SetBytes(b)
		for !p.ProbablyPrime(10) {
			p.Add(p, big.NewInt(2))
		}
		return p
	}
	p, q := prime("p"), prime("q")
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	k := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537},
		D:         new(big.Int).ModInverse(big.NewInt(65537), phi), Primes: []*big.Int{p, q},
	}
	k.Precompute()
	if err := k.Validate(); err != nil {
		panic(err)
	}
	return k
}

// Thousands of small changes to signed messages: whatever still verifies says
// exactly what was signed.
func TestS01_ChangedSignedMessages(t *testing.T) {
	ks := keys(registered())
	for name, m := range messages() {
		good := recipe{}.signed(t, m)
		want := flat(wantVerified(t, good, ks, xmlsec.Profile{}).Root)
		tried, verified := 0, 0
		mutants([][]byte{[]byte(good)}, func(doc []byte) {
			d, err := xmlsec.Parse(doc, xmlsec.Imported())
			if err != nil {
				return
			}
			tried++
			v, err := d.Verify(ks, xmlsec.Profile{EmptyReference: true, SHA1: true})
			if err != nil {
				return
			}
			verified++
			if got := flat(v.Root); got != want {
				t.Errorf("%s: something verifies that was never signed:\n%s", name, doc)
			}
		})
		t.Logf("%s: %d changed messages pass the gate, %d of them verify", name, tried, verified)
		if tried < 200 {
			t.Errorf("%s: only %d changed messages pass the gate", name, tried)
		}
	}
}

// FuzzWriter: whatever value is written as text and attribute is read back the
// same, or is refused as CheckValue says.
func FuzzWriter(f *testing.F) {
	for _, s := range []string{"", "plain", "a\r\nb\tc", "]]>", "<&>\"'", "é\U0001F511", "\x00", "\x1f", "\xff", "\ufffe", "\u2028\u0085", "&amp;", "<!--x-->"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if len(value) > 2000 {
			return
		}
		var w xmlsec.Writer
		w.Reset(nil)
		w.Begin()
		w.Raw(`<a b="`)
		w.Attr("claim", value)
		w.Raw(`">`)
		w.Text("claim", value)
		w.Raw(`</a>`)
		sum := w.End(nil)
		doc, err := w.Bytes()
		if check := xmlsec.CheckValue("claim", value); (check == nil) != (err == nil) {
			t.Fatalf("CheckValue says %v, the writer %v", check, err)
		}
		var bad *xmlsec.CharacterError
		if err != nil {
			if !errors.As(err, &bad) || !errors.Is(err, xmlsec.ErrCharacter) || bad.Name != "claim" || bad.Offset >= len(value) {
				t.Errorf("error %v", err)
			}
			return
		}
		d, err := xmlsec.Parse(doc, xmlsec.Message(samlMax))
		if err != nil {
			t.Fatalf("%q is written as %q: %v", value, doc, err)
		}
		text, _ := xmlsec.Text(d.Unverified())
		attr, _ := xmlsec.Attr(d.Unverified(), "b")
		if text != value || attr != value {
			t.Errorf("%q is read back as %q and %q", value, text, attr)
		}
		h := crypto.SHA256.New()
		h.Write(canonical(t, string(doc), ""))
		if string(h.Sum(nil)) != string(sum) {
			t.Errorf("%q: the digest is not that of the canonical form", value)
		}
		if strings.ContainsAny(string(doc), "\r\n") {
			t.Errorf("%q: a line break is in the document", value)
		}
	})
}
