package xmlsec_test

import (
	"strings"
	"testing"

	"sallyport/federation/internal/xmlsec"
)

// wrapped returns a good signed message and every way of wrapping it.
func wrapped(t *testing.T, m string) (good string, cases map[string]string) {
	sig := recipe{}.signature(t, m)
	good = strings.Replace(m, "SIGNATURE", sig, 1)
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
	return good, map[string]string{
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
		"second signature in KeyInfo":                    strings.Replace(good, "</ds:Signature>", "<ds:KeyInfo><ds:Signature></ds:Signature></ds:KeyInfo></ds:Signature>", 1),
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
}

// Every way of wrapping: from a valid message, refused as soon as anything but
// the one signed root could be read.
func TestS01_SignatureWrapping(t *testing.T) {
	for name, m := range messages() {
		good, cases := wrapped(t, m)
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
