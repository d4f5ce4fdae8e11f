package domain

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
)

// Slot is signingCertificate or nextSigningCertificate as Microsoft holds it.
type Slot struct {
	// Certificate is nil when the slot is empty or cannot be read.
	Certificate *x509.Certificate
	// Problem says why the slot cannot be read; a key that nobody can judge is
	// treated as a foreign one.
	Problem error
}

// Empty reports whether Microsoft holds nothing in the slot.
func (s Slot) Empty() bool { return s.Certificate == nil && s.Problem == nil }

// Holds reports whether the slot holds exactly this certificate: all of it is
// compared, since a thumbprint is SHA-1.
func (s Slot) Holds(c *x509.Certificate) bool {
	return s.Certificate != nil && c != nil && bytes.Equal(s.Certificate.Raw, c.Raw)
}

// readSlot reads base64 of DER. White space is let pass, since other tools have
// written line breaks; what Microsoft shows is not ours to refuse.
func readSlot(text string) Slot {
	text = strings.Join(strings.Fields(text), "")
	if text == "" {
		return Slot{}
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return Slot{Problem: errors.New("not base64")}
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return Slot{Problem: errors.New("not an X.509 certificate")}
	}
	return Slot{Certificate: c}
}

// encode writes a certificate as Graph wants it: base64 of DER in one line, no
// PEM marks.
func encode(c *x509.Certificate) string { return base64.StdEncoding.EncodeToString(c.Raw) }
