package saml

import (
	"crypto/sha256"
	"time"

	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/token"
)

// message is a request of ours (SAML Core 2.0 §3.2.1).
type message struct {
	element, id, destination, issuer string
	instant, notOnOrAfter            time.Time
	// body is what follows the issuer, canonical inside of an element that declares
	// samlp.
	body []byte
}

// append writes the message in canonical form, signed when a signer is given.
func (m *message) append(signer *token.Signer) ([]byte, error) {
	var w xmlsec.Writer
	w.Reset(nil)
	w.Raw(`<samlp:` + m.element + ` xmlns:samlp="` + nsProtocol + `" Destination="`)
	w.Attr("Destination", m.destination)
	w.Raw(`" ID="` + m.id + `" IssueInstant="`)
	w.Time("IssueInstant", m.instant)
	w.Raw(`" NotOnOrAfter="`)
	w.Time("NotOnOrAfter", m.notOnOrAfter)
	w.Raw(`" Version="2.0"><saml:Issuer xmlns:saml="` + nsAssertion + `">`)
	w.Text("Issuer", m.issuer)
	w.Raw(`</saml:Issuer>`)
	place := w.Len()
	w.RawBytes(m.body)
	w.Raw(`</samlp:` + m.element + `>`)
	out, err := w.Bytes()
	if err != nil || signer == nil {
		return out, err
	}
	signature, err := signer.AppendSignature(nil, m.id, sha256.Sum256(out))
	if err != nil {
		return nil, err
	}
	w.Insert(place, signature)
	return w.Bytes()
}
