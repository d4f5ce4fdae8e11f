package token

import (
	"sallyport/federation"
	"sallyport/federation/internal/xmlsec"
)

// AppendAssertion appends the signed assertion to dst and returns the longer
// slice. On an error dst is returned unchanged in length. Errors: [*FieldError],
// [*CharacterError], [ErrFault], or what the key's holder says.
func (s *Signer) AppendAssertion(dst []byte, a *Assertion) ([]byte, error) {
	st := s.state.Get().(*state)
	defer s.state.Put(st)
	st.w.Reset(dst)
	defer st.w.Reset(nil)
	st.w.Grow(s.size(a))
	if err := s.assertion(st, a); err != nil {
		return dst, err
	}
	return st.w.Bytes()
}

// AppendUnsigned appends a SAML 2.0 assertion without a signature, checked like a
// signed one. It is for a response whose own signature covers it, and never leaves
// the service otherwise.
func AppendUnsigned(dst []byte, a *Assertion) ([]byte, error) {
	if a.ID == "" {
		a.ID = NewID()
	}
	if err := a.check(); err != nil {
		return dst, err
	}
	if a.Version != federation.SAML20 {
		return dst, &FieldError{"Version", "is not SAML 2.0"}
	}
	var w xmlsec.Writer
	w.Reset(dst)
	write20(&w, a)
	out, err := w.Bytes()
	if err != nil {
		return dst, err
	}
	return out, nil
}

// size estimates the length of a token, so that one allocation holds it.
func (s *Signer) size(a *Assertion) int {
	n := 1700 + len(s.keyInfo) + (s.pub.Size()*4+2)/3 + len(a.Issuer) + len(a.Audience) + 2*len(a.NameID) + len(a.EncryptedID) + len(a.Recipient)
	for i := range a.Attributes {
		at := &a.Attributes[i]
		n += 160 + len(at.Name) + len(at.Namespace) + len(at.Format) + len(at.FriendlyName) + len(at.OriginalIssuer)
		for _, v := range at.Values {
			n += 60 + len(v)
			if at.Boolean {
				n += 130
			}
		}
	}
	return n
}

// assertion writes the signed assertion to st.w.
func (s *Signer) assertion(st *state, a *Assertion) error {
	if a.ID == "" {
		a.ID = NewID()
	}
	if err := a.check(); err != nil {
		return err
	}
	w := &st.w
	w.Begin()
	var place int
	if a.Version == federation.SAML20 {
		place = write20(w, a)
	} else {
		place = write11(w, a)
	}
	if _, err := w.Bytes(); err != nil {
		return err
	}
	st.digest = w.End(st.digest[:0])
	var err error
	if st.signature, err = s.appendSignature(st.signature[:0], st, a.ID); err != nil {
		return err
	}
	w.Insert(place, st.signature)
	return nil
}

// write11 writes a SAML 1.1 assertion and returns the signature's place: last
// (SAML Core 1.1 §2.3.2 and its schema).
func write11(w *xmlsec.Writer, a *Assertion) int {
	w.Raw(`<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:1.0:assertion" AssertionID="`)
	w.Raw(a.ID)
	w.Raw(`" IssueInstant="`)
	w.Time("IssueInstant", a.IssueInstant)
	w.Raw(`" Issuer="`)
	w.Attr("Issuer", a.Issuer)
	w.Raw(`" MajorVersion="1" MinorVersion="1"><saml:Conditions NotBefore="`)
	w.Time("NotBefore", a.NotBefore)
	w.Raw(`" NotOnOrAfter="`)
	w.Time("NotOnOrAfter", a.NotOnOrAfter)
	w.Raw(`"><saml:AudienceRestrictionCondition><saml:Audience>`)
	w.Text("Audience", a.Audience)
	w.Raw(`</saml:Audience></saml:AudienceRestrictionCondition></saml:Conditions>`)
	if len(a.Attributes) > 0 {
		w.Raw(`<saml:AttributeStatement>`)
		subject11(w, a)
		for i := range a.Attributes {
			at := &a.Attributes[i]
			w.Raw(`<saml:Attribute`)
			if at.OriginalIssuer != "" {
				w.Raw(claimsNS)
			}
			w.Raw(` AttributeName="`)
			w.Attr(at.Name, at.Name)
			w.Raw(`" AttributeNamespace="`)
			w.Attr(at.Name, at.Namespace)
			values(w, at)
		}
		w.Raw(`</saml:AttributeStatement>`)
	}
	w.Raw(`<saml:AuthenticationStatement AuthenticationInstant="`)
	w.Time("AuthnInstant", a.AuthnInstant)
	w.Raw(`" AuthenticationMethod="`)
	w.Attr("AuthnMethod", a.AuthnMethod)
	w.Raw(`">`)
	subject11(w, a)
	w.Raw(`</saml:AuthenticationStatement>`)
	place := w.Len()
	w.Raw(`</saml:Assertion>`)
	return place
}

// subject11 writes the Subject, the same bytes in both statements ([MS-MWBF]
// 2.2.4.2).
func subject11(w *xmlsec.Writer, a *Assertion) {
	w.Raw(`<saml:Subject><saml:NameIdentifier`)
	if a.NameIDFormat != "" {
		w.Raw(` Format="`)
		w.Attr("NameIDFormat", a.NameIDFormat)
		w.Raw(`"`)
	}
	w.Raw(`>`)
	w.Text("NameID", a.NameID)
	w.Raw(`</saml:NameIdentifier><saml:SubjectConfirmation><saml:ConfirmationMethod>urn:oasis:names:tc:SAML:1.0:cm:bearer` +
		`</saml:ConfirmationMethod></saml:SubjectConfirmation></saml:Subject>`)
}

const (
	claimsNS   = ` xmlns:a="http://schemas.xmlsoap.org/ws/2009/09/identity/claims"`
	xsiNS      = ` xmlns:b="http://www.w3.org/2001/XMLSchema-instance"`
	xmlSchema  = ` xmlns:tn="http://www.w3.org/2001/XMLSchema"`
	valueStart = `<saml:AttributeValue>`
	valueEnd   = `</saml:AttributeValue>`
)

// values ends the start tag of an Attribute whose last attribute's value is open,
// and writes the rest of the element.
func values(w *xmlsec.Writer, at *Attribute) {
	if at.OriginalIssuer != "" {
		w.Raw(`" a:OriginalIssuer="`)
		w.Attr(at.Name, at.OriginalIssuer)
	}
	w.Raw(`">`)
	for _, v := range at.Values {
		if at.Boolean {
			// The prefix tn is used in a value only, so canonicalisation drops its
			// declaration (Exc-C14N §1.3); AD FS's tokens are the same.
			w.Raw(`<saml:AttributeValue` + xsiNS)
			w.Uncovered(xmlSchema)
			w.Raw(` b:type="tn:boolean">`)
		} else {
			w.Raw(valueStart)
		}
		w.Text(at.Name, v)
		w.Raw(valueEnd)
	}
	w.Raw(`</saml:Attribute>`)
}

// write20 writes a SAML 2.0 assertion and returns the signature's place: after
// Issuer (SAML Core 2.0 §2.3.3).
func write20(w *xmlsec.Writer, a *Assertion) int {
	w.Raw(`<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="`)
	w.Raw(a.ID)
	w.Raw(`" IssueInstant="`)
	w.Time("IssueInstant", a.IssueInstant)
	w.Raw(`" Version="2.0"><saml:Issuer>`)
	w.Text("Issuer", a.Issuer)
	w.Raw(`</saml:Issuer>`)
	place := w.Len()
	subject20(w, a)
	w.Raw(`<saml:Conditions NotBefore="`)
	w.Time("NotBefore", a.NotBefore)
	w.Raw(`" NotOnOrAfter="`)
	w.Time("NotOnOrAfter", a.NotOnOrAfter)
	w.Raw(`"><saml:AudienceRestriction><saml:Audience>`)
	w.Text("Audience", a.Audience)
	w.Raw(`</saml:Audience></saml:AudienceRestriction></saml:Conditions>`)
	if len(a.Attributes) > 0 {
		attributes20(w, a.Attributes)
	}
	w.Raw(`<saml:AuthnStatement AuthnInstant="`)
	w.Time("AuthnInstant", a.AuthnInstant)
	if a.SessionIndex != "" {
		w.Raw(`" SessionIndex="`)
		w.Attr("SessionIndex", a.SessionIndex)
	}
	w.Raw(`"><saml:AuthnContext><saml:AuthnContextClassRef>`)
	w.Text("AuthnMethod", a.AuthnMethod)
	w.Raw(`</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement></saml:Assertion>`)
	return place
}

func subject20(w *xmlsec.Writer, a *Assertion) {
	w.Raw(`<saml:Subject>`)
	if len(a.EncryptedID) > 0 {
		w.RawBytes(a.EncryptedID)
	} else {
		w.Raw(`<saml:NameID`)
		if a.NameIDFormat != "" {
			w.Raw(` Format="`)
			w.Attr("NameIDFormat", a.NameIDFormat)
			w.Raw(`"`)
		}
		w.Raw(`>`)
		w.Text("NameID", a.NameID)
		w.Raw(`</saml:NameID>`)
	}
	w.Raw(`<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData`)
	if a.InResponseTo != "" {
		w.Raw(` InResponseTo="`)
		w.Raw(a.InResponseTo)
		w.Raw(`"`)
	}
	w.Raw(` NotOnOrAfter="`)
	w.Time("SubjectNotOnOrAfter", a.SubjectNotOnOrAfter)
	w.Raw(`" Recipient="`)
	w.Attr("Recipient", a.Recipient)
	w.Raw(`"></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject>`)
}

func attributes20(w *xmlsec.Writer, attributes []Attribute) {
	w.Raw(`<saml:AttributeStatement>`)
	for i := range attributes {
		at := &attributes[i]
		w.Raw(`<saml:Attribute`)
		if at.OriginalIssuer != "" {
			w.Raw(claimsNS)
		}
		if at.FriendlyName != "" {
			w.Raw(` FriendlyName="`)
			w.Attr(at.Name, at.FriendlyName)
			w.Raw(`"`)
		}
		w.Raw(` Name="`)
		w.Attr(at.Name, at.Name)
		if at.Format != "" {
			w.Raw(`" NameFormat="`)
			w.Attr(at.Name, at.Format)
		}
		values(w, at)
	}
	w.Raw(`</saml:AttributeStatement>`)
}
