package saml

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/token"
)

// response is a Response (SAML Core 2.0 §3.3.3), with an assertion or without.
type response struct {
	id, inResponseTo, destination, issuer string
	instant                               time.Time
	top, second                           status
	// reference finds our record of a refusal; it may be empty.
	reference string
	// element is LogoutResponse for one; empty means Response.
	element string
	// assertion is the signed assertion, or the EncryptedAssertion.
	assertion []byte
}

// success is the top-level status of an answer with an assertion.
const success status = statusPrefix + "Success"

// appendResponse appends the response in canonical form, signed when a signer is
// given. Errors are those of the writer and of the signer.
func appendResponse(dst []byte, res *response, signer *token.Signer) ([]byte, error) {
	if !xmlsec.IsNCName(res.id) || res.inResponseTo != "" && !xmlsec.IsNCName(res.inResponseTo) {
		return dst, fmt.Errorf("%w: an id is no NCName", errMessage)
	}
	var w xmlsec.Writer
	start := len(dst)
	w.Reset(dst)
	w.Grow(900 + len(res.assertion) + len(res.destination) + len(res.issuer) + len(res.inResponseTo) + signatureSize(signer))
	element := res.element
	if element == "" {
		element = "Response"
	}
	w.Raw(`<samlp:` + element + ` xmlns:samlp="` + nsProtocol + `" Destination="`)
	w.Attr("Destination", res.destination)
	w.Raw(`" ID="`)
	w.Raw(res.id)
	if res.inResponseTo != "" {
		w.Raw(`" InResponseTo="`)
		w.Raw(res.inResponseTo)
	}
	w.Raw(`" IssueInstant="`)
	w.Time("IssueInstant", res.instant)
	w.Raw(`" Version="2.0"><saml:Issuer xmlns:saml="` + nsAssertion + `">`)
	w.Text("Issuer", res.issuer)
	w.Raw(`</saml:Issuer>`)
	place := w.Len()
	w.Raw(`<samlp:Status><samlp:StatusCode Value="`)
	w.Raw(string(res.top))
	w.Raw(`">`)
	if res.second != "" {
		w.Raw(`<samlp:StatusCode Value="`)
		w.Raw(string(res.second))
		w.Raw(`"></samlp:StatusCode>`)
	}
	w.Raw(`</samlp:StatusCode>`)
	if res.reference != "" { // what people of the party can ask us about
		w.Raw(`<samlp:StatusMessage>The request was not met. [ref `)
		w.Text("reference", res.reference)
		w.Raw(`]</samlp:StatusMessage>`)
	}
	w.Raw(`</samlp:Status>`)
	body := w.Len()
	w.RawBytes(res.assertion)
	w.Raw(`</samlp:` + element + `>`)
	out, err := w.Bytes()
	if err != nil {
		return dst, err
	}
	if signer == nil {
		return out, nil
	}
	h := sha256.New()
	h.Write(out[start:body])
	h.Write(canonical(res.assertion))
	h.Write(out[body+len(res.assertion):])
	signature, err := signer.AppendSignature(nil, res.id, [sha256.Size]byte(h.Sum(nil)))
	if err != nil {
		return dst, err
	}
	w.Insert(place, signature)
	return w.Bytes()
}

// signatureSize is about what a signature adds.
func signatureSize(signer *token.Signer) int {
	if signer == nil {
		return 0
	}
	return 1400 + base64.StdEncoding.EncodedLen(len(signer.Certificate().Raw))
}

// The two ways in which an assertion of the token writer differs from its
// canonical form, see [xmlsec.Writer]: the declaration of a prefix that only a
// value uses, inside of a tag, and line feeds of text, written as references.
var (
	undeclared = []byte(` xmlns:tn="http://www.w3.org/2001/XMLSchema"`)
	lineFeed   = []byte("&#xA;")
)

// canonical returns the exclusive canonical form of an assertion of the token
// writer. Text and tags are told apart: text may hold the declaration as words,
// and in attribute values the reference is the canonical form. A tag holds the
// declaration as markup only, since quotation marks in its values are escaped.
func canonical(assertion []byte) []byte {
	if !bytes.Contains(assertion, undeclared) && !bytes.Contains(assertion, lineFeed) {
		return assertion
	}
	out := make([]byte, 0, len(assertion))
	for len(assertion) > 0 {
		i := bytes.IndexByte(assertion, '<')
		if i < 0 {
			i = len(assertion)
		}
		out = append(out, bytes.ReplaceAll(assertion[:i], lineFeed, []byte("\n"))...)
		assertion = assertion[i:]
		end := tagEnd(assertion)
		out = append(out, bytes.ReplaceAll(assertion[:end], undeclared, nil)...)
		assertion = assertion[end:]
	}
	return out
}

// tagEnd returns where the tag at the start of b ends: behind the first > that is
// not inside of quotation marks.
func tagEnd(b []byte) int {
	quoted := false
	for i, c := range b {
		switch {
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return i + 1
		}
	}
	return len(b)
}

// deflate compresses a message for the Redirect binding.
func deflate(doc []byte) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.DefaultCompression) // the level is a valid one
	_, _ = w.Write(doc)                                   // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}
