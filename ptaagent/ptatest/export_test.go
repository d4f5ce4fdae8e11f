package ptatest

import (
	"crypto/x509"

	"sallyport/ptaagent/ptatest/internal/binxml"
)

// AcceptReply is the answer to an accept, for the vector test.
var AcceptReply = acceptReply

// JudgeToken judges SAS tokens.
var JudgeToken = judgeToken

// FormEncode is the encoding of SAS tokens.
var FormEncode = formEncode

// ReadXML is the gate of XML bodies.
func ReadXML(b []byte) error { _, err := readXML(b); return err }

// ReadClaims judges the claims of a result.
var ReadClaims = readClaims

// ReadCSR judges certificate requests.
func ReadCSR(s string) error { _, err := readCSR(s); return err }

// ReadEnvelope judges SOAP messages.
func ReadEnvelope(b []byte) error {
	doc, err := binxml.Document(b)
	if err != nil {
		return err
	}
	_, err = readEnvelope(doc)
	return err
}

// JSONString is the string form of JSON documents.
var JSONString = jsonString

// Verify checks an agent's certificate.
func (c *Cloud) Verify(cert *x509.Certificate) (tenant, agent string, err error) {
	return c.pki.verify(cert)
}
