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
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"sallyport/federation/internal/xmlsec"
)

func verify(doc string, ks []crypto.PublicKey, p xmlsec.Profile) (*xmlsec.Verified, error) {
	d, err := xmlsec.Parse([]byte(doc), xmlsec.Message(samlMax))
	if err != nil {
		return nil, err
	}
	return d.Verify(ks, p)
}

// wantVerified is how every negative test starts: from what is accepted.
func wantVerified(t *testing.T, doc string, ks []crypto.PublicKey, p xmlsec.Profile) *xmlsec.Verified {
	t.Helper()
	v, err := verify(doc, ks, p)
	if err != nil {
		t.Fatalf("refused: %v\n%s", err, doc)
	}
	return v
}

// wantRefused checks that neither the gate nor the verifier lets doc pass, and
// that nothing of it is handed out.
func wantRefused(t *testing.T, doc string, ks []crypto.PublicKey, p xmlsec.Profile) {
	t.Helper()
	v, err := verify(doc, ks, p)
	if err == nil || v != nil {
		t.Errorf("accepted:\n%s", doc)
		return
	}
	var g *xmlsec.GateError
	if !errors.Is(err, xmlsec.ErrSignature) && !errors.As(err, &g) {
		t.Errorf("error %v is of no known kind", err)
	}
}

func messages() map[string]string {
	return map[string]string{"AuthnRequest": authnRequest, "LogoutRequest": logoutRequest, "metadata": entityDescriptor}
}

func TestVerifyReturnsTheSignedTreeOnly(t *testing.T) {
	for name, m := range messages() {
		t.Run(name, func(t *testing.T) {
			doc := recipe{keyInfo: "<ds:KeyInfo><ds:KeyName>hint</ds:KeyName></ds:KeyInfo>"}.signed(t, m)
			v := wantVerified(t, doc, []crypto.PublicKey{stranger().rsa.Public(), registered().rsa.Public()}, xmlsec.Profile{})
			if v.Key != 1 {
				t.Errorf("key %d, want 1", v.Key)
			}
			plain := accept(t, strings.Replace(m, "SIGNATURE", "", 1), xmlsec.Message(samlMax))
			if got, want := flat(v.Root), flat(plain.Unverified()); got != want {
				t.Errorf("verified tree:\n%s\nwant:\n%s", got, want)
			}
			if v.Root.Parent() != nil && v.Root.Parent().Parent() != nil {
				t.Error("the verified tree hangs in another one")
			}
		})
	}
}

func TestSigned(t *testing.T) {
	plain := strings.Replace(authnRequest, "SIGNATURE", "", 1)
	sig := recipe{}.signature(t, authnRequest)
	for name, c := range map[string]struct {
		doc  string
		want bool
	}{
		"unsigned":               {plain, false},
		"signed":                 {recipe{}.signed(t, authnRequest), true},
		"signed somewhere deep":  {strings.Replace(plain, "</samlp:NameIDPolicy>", "<x>"+sig+"</x></samlp:NameIDPolicy>", 1), true},
		"a piece of a signature": {strings.Replace(plain, "</samlp:NameIDPolicy>", `<x:SignedInfo xmlns:x="`+ds+`"/></samlp:NameIDPolicy>`, 1), true},
		"another namespace":      {strings.Replace(plain, "</samlp:NameIDPolicy>", `<Signature/></samlp:NameIDPolicy>`, 1), false},
		"metadata with a key":    {`<KeyDescriptor><KeyInfo xmlns="` + ds + `"><KeyName>x</KeyName></KeyInfo></KeyDescriptor>`, false},
	} {
		if got := accept(t, c.doc, xmlsec.Message(samlMax)).Signed(); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// Messages signed by goxmldsig and by xmlsec1, with other prefixes, white space
// and order of attributes than ours, verify.
func TestVerifyForeignSigners(t *testing.T) {
	t.Run("goxmldsig", func(t *testing.T) {
		for name, m := range messages() {
			d := etree.NewDocument()
			if err := d.ReadFromString(strings.Replace(m, "SIGNATURE", "", 1)); err != nil {
				t.Fatal(err)
			}
			ctx, err := dsig.NewSigningContext(registered().rsa, [][]byte{registered().cert.Raw})
			if err != nil {
				t.Fatal(err)
			}
			ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
			signed, err := ctx.SignEnveloped(d.Root())
			if err != nil {
				t.Fatal(err)
			}
			// It appends the signature; SAML wants it in front. Read again, since its
			// tree does not know its own parents.
			appended, err := etree.NewDocumentWithRoot(signed).WriteToBytes()
			if err != nil {
				t.Fatal(err)
			}
			d = etree.NewDocument()
			if err := d.ReadFromBytes(appended); err != nil {
				t.Fatal(err)
			}
			signed = d.Root()
			children := signed.ChildElements()
			sig := children[len(children)-1]
			signed.RemoveChild(sig)
			at := 0
			if name != "metadata" {
				at = 1
			}
			signed.InsertChildAt(at, sig)
			text, err := d.WriteToString()
			if err != nil {
				t.Fatal(err)
			}
			wantVerified(t, text, keys(registered()), xmlsec.Profile{})
			wantRefused(t, strings.Replace(text, "fabrikam", "evil", 1), keys(registered()), xmlsec.Profile{})
		}
	})
	t.Run("xmlsec1", func(t *testing.T) {
		bin := lab(t, "xmlsec1")
		dir := t.TempDir()
		der, err := x509.MarshalPKCS8PrivateKey(registered().rsa)
		if err != nil {
			t.Fatal(err)
		}
		keyFile, in := filepath.Join(dir, "key.pem"), filepath.Join(dir, "in.xml")
		tmpl := "<Signature xmlns=\"" + ds + "\">\n <SignedInfo>\n  <CanonicalizationMethod Algorithm='" + exc + "'/>\n  <SignatureMethod Algorithm='" + more +
			"rsa-sha256'/>\n  <Reference URI='#_req1'><Transforms><Transform Algorithm='" + ds + "enveloped-signature'/><Transform Algorithm='" + exc +
			"'><ec:InclusiveNamespaces xmlns:ec='" + exc + "' PrefixList='xs'/></Transform></Transforms>\n<DigestMethod Algorithm='" + enc +
			"sha256'/><DigestValue/></Reference>\n </SignedInfo>\n <SignatureValue/>\n</Signature>"
		doc := `<?xml version="1.0"?>` + "\n" + strings.Replace(strings.Replace(authnRequest, "SIGNATURE", "\n"+tmpl+"\n", 1),
			"<samlp:AuthnRequest ", "<samlp:AuthnRequest\n  xmlns:xs='http://www.w3.org/2001/XMLSchema' xmlns:unused='urn:unused' ProviderName='a&#10;b &quot;&amp;&#13;é'\n", 1)
		if err := errors.Join(os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600),
			os.WriteFile(in, []byte(doc), 0o600)); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), bin, "--sign", "--privkey-pem", keyFile, "--id-attr:ID", protocol+":AuthnRequest", in).Output()
		if err != nil {
			t.Fatalf("xmlsec1: %v", err)
		}
		v := wantVerified(t, string(out), keys(registered()), xmlsec.Profile{})
		if got, _ := xmlsec.Attr(v.Root, "ProviderName"); got != "a\nb \"&\ré" {
			t.Errorf("ProviderName is %q", got)
		}
		wantRefused(t, strings.Replace(string(out), "ProviderName", "ProviderNam", 1), keys(registered()), xmlsec.Profile{})
	})
}

// Every way of wrapping: from a valid message, refused as soon as anything but
// the one signed root could be read.
func TestS01_SignatureWrapping(t *testing.T) {
	for name, m := range messages() {
		sig := recipe{}.signature(t, m)
		good := strings.Replace(m, "SIGNATURE", sig, 1)
		plain := strings.Replace(m, "SIGNATURE", "", 1)
		open, rest, _ := strings.Cut(good, ">")
		open += ">"
		closeTag := good[strings.LastIndex(good, "</"):]
		id := open[strings.Index(open, `ID="`)+4:]
		id = id[:strings.Index(id, `"`)]
		evilOpen := strings.Replace(open, `"`+id+`"`, `"_evil"`, 1)
		evil := func(inside string) string { return evilOpen + inside + closeTag }
		bare := func(s string) string { return strings.Replace(s, sig, "", 1) }
		body := bare(rest[:len(rest)-len(closeTag)])
		object := func(content string) string {
			return strings.Replace(sig, "</ds:Signature>", "<ds:Object>"+content+"</ds:Object></ds:Signature>", 1)
		}
		issuerEnd := strings.Index(body, "</saml:Issuer>")
		head, tail := "", body
		if issuerEnd >= 0 {
			head, tail = body[:issuerEnd+14], body[issuerEnd+14:]
		}
		info := sig[strings.Index(sig, "<ds:SignedInfo") : strings.Index(sig, "</ds:SignedInfo>")+16]
		cases := map[string]string{
			"XSW1: evil root, original inside its signature": evil(head + object(plain) + tail),
			"XSW2: detached, original before signature":      evil(head + plain + sig + tail),
			"XSW2: detached, original after signature":       evil(head + sig + plain + tail),
			"XSW3: evil root before, original as child":      evil(good),
			"XSW4: original wraps evil":                      open + head + sig + evil(body) + tail + closeTag,
			"XSW5: evil first, original appended":            evil(head + sig + tail + plain),
			"XSW6: original in Object, evil outside":         evil(head + object(good) + tail),
			"XSW7: original in Extensions":                   evil(head + sig + "<samlp:Extensions xmlns:samlp=\"" + protocol + "\">" + plain + "</samlp:Extensions>" + tail),
			"XSW8: evil in Object of the original":           open + head + object(evil(body)) + tail + closeTag,
			"signed original in Extensions":                  evil(head + "<samlp:Extensions xmlns:samlp=\"" + protocol + "\">" + good + "</samlp:Extensions>" + tail),
			"sibling":                                        "<r>" + good + evil(body) + "</r>",
			"nested in an envelope":                          "<r ID='_r'>" + good + "</r>",
			"same id twice":                                  open + head + sig + plain + tail + closeTag,
			"signature at the end":                           open + head + tail + sig + closeTag,
			"signature moved into a child":                   open + head + "<x>" + sig + "</x>" + tail + closeTag,
			"signature in Issuer":                            open + strings.Replace(head, "</saml:Issuer>", sig+"</saml:Issuer>", 1) + tail + closeTag + "<!-- -->",
			"signature outside the root":                     plain + sig,
			"two signatures":                                 open + head + sig + sig + tail + closeTag,
			"second signature deep":                          open + head + sig + "<x>" + sig + "</x>" + tail + closeTag,
			"SignedInfo twice":                               strings.Replace(good, info, info+info, 1),
			"second SignedInfo in Object":                    open + head + object(info) + tail + closeTag,
			"second SignedInfo in KeyInfo":                   strings.Replace(good, "</ds:Signature>", "<ds:KeyInfo>"+info+"</ds:KeyInfo></ds:Signature>", 1),
			"SignedInfo in another namespace first":          strings.Replace(good, info, strings.ReplaceAll(strings.ReplaceAll(info, "ds:", "e:"), ds, "urn:evil")+info, 1),
			"SignatureValue twice":                           strings.Replace(good, "<ds:SignatureValue>", "<ds:SignatureValue>AAAA</ds:SignatureValue><ds:SignatureValue>", 1),
			"SignatureValue before SignedInfo":               strings.Replace(strings.Replace(good, info, "", 1), "</ds:SignatureValue>", "</ds:SignatureValue>"+info, 1),
			"element inside SignatureValue":                  strings.Replace(good, "<ds:SignatureValue>", "<ds:SignatureValue><x/>", 1),
			"comment inside DigestValue":                     strings.Replace(good, "<ds:DigestValue>", "<ds:DigestValue><!--x-->", 1),
			"element inside DigestValue":                     strings.Replace(good, "<ds:DigestValue>", "<ds:DigestValue><x/>", 1),
			"changed root id":                                strings.Replace(good, `"`+id+`"`, `"_other"`, 1),
			"changed root id and reference":                  strings.ReplaceAll(good, id, "_other"),
			"changed attribute":                              strings.Replace(good, "fabrikam", "evil", 1),
			"added attribute":                                strings.Replace(good, ` ID="`, ` Extra="1" ID="`, 1),
			"added element":                                  strings.Replace(good, closeTag, "<x/>"+closeTag, 1),
			"added text":                                     strings.Replace(good, closeTag, "x"+closeTag, 1),
			"added blank":                                    strings.Replace(good, closeTag, " "+closeTag, 1),
			"duplicate attribute":                            strings.Replace(good, ` ID="`+id+`"`, ` ID="`+id+`" ID="_evil"`, 1),
			"namespaced id beside":                           strings.Replace(good, ` ID="`+id+`"`, ` ID="`+id+`" xmlns:e="urn:e" e:ID="_evil"`, 1),
			"no signature":                                   plain,
			"empty signature":                                strings.Replace(good, sig, `<ds:Signature xmlns:ds="`+ds+`"></ds:Signature>`, 1),
			"signature in another namespace":                 strings.ReplaceAll(good, ds, "urn:evil"),
			"no SignatureValue":                              good[:strings.Index(good, "<ds:SignatureValue>")] + good[strings.Index(good, "</ds:SignatureValue>")+20:],
			"root in another namespace":                      strings.Replace(strings.Replace(good, protocol, "urn:evil", 1), "SAML:2.0:metadata", "SAML:2.0:evil", 1),
		}
		for shape, doc := range cases {
			t.Run(name+"/"+shape, func(t *testing.T) {
				if doc == good {
					t.Fatal("the case does not change the message")
				}
				wantVerified(t, good, keys(registered()), xmlsec.Profile{})
				for _, p := range []xmlsec.Profile{{}, {EmptyReference: true}, {SHA1: true}} {
					wantRefused(t, doc, keys(registered()), p)
				}
			})
		}
	}
}

// Signatures that are good under XML-DSIG but outside the profile.
func TestS01_ProfileOfTheReference(t *testing.T) {
	ptr := func(s string) *string { return &s }
	wantVerified(t, recipe{}.signed(t, authnRequest), keys(registered()), xmlsec.Profile{})
	inclusive := func(list string) string {
		return transform(ds+"enveloped-signature") + `<ds:Transform Algorithm="` + exc + `"><ec:InclusiveNamespaces xmlns:ec="` + exc + `" PrefixList="` + list +
			`"></ec:InclusiveNamespaces></ds:Transform>`
	}
	wantVerified(t, recipe{transforms: inclusive("samlp"), prefixes: "samlp"}.signed(t, authnRequest), keys(registered()), xmlsec.Profile{})
	for name, r := range map[string]recipe{
		"empty URI":                   {uri: ptr("")},
		"URI of another element":      {uri: ptr("#_other")},
		"URI without hash":            {uri: ptr("_req1")},
		"XPointer":                    {uri: ptr("#xpointer(id('_req1'))")},
		"root XPointer":               {uri: ptr("#xpointer(/)")},
		"external URI":                {uri: ptr("http://127.0.0.1:1/x")},
		"file URI":                    {uri: ptr("file:///etc/hostname")},
		"no enveloped transform":      {transforms: transform(exc)},
		"only enveloped":              {transforms: transform(ds + "enveloped-signature")},
		"wrong order":                 {transforms: transform(exc) + transform(ds+"enveloped-signature")},
		"three transforms":            {transforms: goodTransforms + transform(exc)},
		"exclusive twice":             {transforms: transform(exc) + transform(exc)},
		"with comments":               {transforms: transform(ds+"enveloped-signature") + transform(exc+"WithComments")},
		"inclusive C14N":              {transforms: transform(ds+"enveloped-signature") + transform("http://www.w3.org/TR/2001/REC-xml-c14n-20010315")},
		"XSLT":                        {transforms: transform(ds+"enveloped-signature") + transform("http://www.w3.org/TR/1999/REC-xslt-19991116")},
		"XPath":                       {transforms: transform(ds+"enveloped-signature") + `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>1</ds:XPath></ds:Transform>`},
		"base64":                      {transforms: transform(ds+"enveloped-signature") + transform(ds+"base64")},
		"no transforms":               {transforms: " "},
		"SignedInfo inclusive":        {c14n: "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"},
		"SignedInfo with comments":    {c14n: exc + "WithComments"},
		"foreign transform parameter": {transforms: strings.Replace(inclusive("samlp"), "ec:InclusiveNamespaces", "ec:Other", 2), prefixes: "samlp"},
		"Object":                      {object: "<ds:Object>x</ds:Object>"},
		"two KeyInfo":                 {keyInfo: "<ds:KeyInfo></ds:KeyInfo><ds:KeyInfo></ds:KeyInfo>"},
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, r.signed(t, authnRequest), keys(registered()), xmlsec.Profile{}) })
	}
	replace := func(pairs ...string) recipe {
		return recipe{edit: func(info string) string {
			edited := strings.NewReplacer(pairs...).Replace(info)
			if edited == info {
				t.Fatalf("SignedInfo holds none of %q", pairs)
			}
			return edited
		}}
	}
	for name, r := range map[string]recipe{
		"Manifest for Reference": replace("ds:Reference", "ds:Manifest"),
		"foreign Reference":      replace("<ds:Reference", `<e:Reference xmlns:e="urn:e"`, "</ds:Reference", "</e:Reference"),
		"foreign Transforms":     replace("<ds:Transforms", `<e:Transforms xmlns:e="urn:e"`, "</ds:Transforms", "</e:Transforms"),
		"foreign Transform":      replace("<ds:Transform ", `<e:Transform xmlns:e="urn:e" `, "</ds:Transform>", "</e:Transform>"),
		"foreign DigestMethod":   replace("<ds:DigestMethod", `<e:DigestMethod xmlns:e="urn:e"`, "</ds:DigestMethod", "</e:DigestMethod"),
		"foreign Algorithm":      replace("SignatureMethod Algorithm", `SignatureMethod xmlns:e="urn:e" e:Algorithm`),
		"no URI":                 replace(` URI="#_req1"`, ""),
		"foreign URI":            replace(` URI=`, ` xmlns:e="urn:e" e:URI=`),
		"digest cut short":       replace("=</ds:DigestValue>", "</ds:DigestValue>"),
		"no digest":              replace("<ds:DigestValue>", "<ds:DigestValue/><ds:X>", "</ds:DigestValue>", "</ds:X>"),
		"a second Reference, signed": {edit: func(info string) string {
			ref := info[strings.Index(info, "<ds:Reference"):strings.Index(info, "</ds:SignedInfo>")]
			return strings.Replace(info, ref, ref+strings.Replace(ref, "#_req1", "#_other", 1), 1)
		}},
		"parameters of the digest, signed": replace("</ds:DigestMethod>", "<ds:X></ds:X></ds:DigestMethod>"),
		"parameters of the method, signed": replace("</ds:SignatureMethod>", "<ds:HMACOutputLength>1</ds:HMACOutputLength></ds:SignatureMethod>"),
		"prefixes for SignedInfo, signed": replace("</ds:CanonicalizationMethod>", `<ec:InclusiveNamespaces xmlns:ec="`+exc+
			`" PrefixList="ds"></ec:InclusiveNamespaces></ds:CanonicalizationMethod>`),
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, r.signed(t, authnRequest), keys(registered()), xmlsec.Profile{}) })
	}
	harmless := replace(" URI=", ` Id="_ref" URI=`)
	wantVerified(t, harmless.signed(t, authnRequest), keys(registered()), xmlsec.Profile{})
	two := recipe{}.signed(t, authnRequest)
	ref := two[strings.Index(two, "<ds:Reference") : strings.Index(two, "</ds:Reference>")+15]
	wantRefused(t, strings.Replace(two, ref, ref+ref, 1), keys(registered()), xmlsec.Profile{})

	empty := recipe{uri: ptr("")}.signed(t, entityDescriptor)
	wantVerified(t, empty, keys(registered()), xmlsec.Profile{EmptyReference: true})
	wantRefused(t, empty, keys(registered()), xmlsec.Profile{})
	noID := recipe{}.signed(t, strings.Replace(authnRequest, ` ID="_req1"`, "", 1))
	wantRefused(t, noID, keys(registered()), xmlsec.Profile{})
}

func TestS02_Algorithms(t *testing.T) {
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
	for name, c := range map[string]struct {
		r    recipe
		keys []crypto.PublicKey
		ok   bool
		sha1 bool // accepted with the named exception
	}{
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
	} {
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
