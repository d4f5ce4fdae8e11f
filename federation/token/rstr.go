package token

import "sallyport/federation"

// The frame of a RequestSecurityTokenResponse of WS-Trust February 2005, in the
// order in which AD FS writes it.
const (
	rstrStart = `<t:RequestSecurityTokenResponse xmlns:t="http://schemas.xmlsoap.org/ws/2005/02/trust">` +
		`<t:Lifetime><wsu:Created ` + wsuNS + `>`
	rstrExpires = `</wsu:Created><wsu:Expires ` + wsuNS + `>`
	rstrAddress = `</wsu:Expires></t:Lifetime><wsp:AppliesTo xmlns:wsp="http://schemas.xmlsoap.org/ws/2004/09/policy">` +
		`<wsa:EndpointReference xmlns:wsa="http://www.w3.org/2005/08/addressing"><wsa:Address>`
	rstrToken = `</wsa:Address></wsa:EndpointReference></wsp:AppliesTo><t:RequestedSecurityToken>`
	rstrType  = `</t:RequestedSecurityToken><t:TokenType>`
	rstrEnd   = `</t:TokenType><t:RequestType>http://schemas.xmlsoap.org/ws/2005/02/trust/Issue</t:RequestType>` +
		`<t:KeyType>http://schemas.xmlsoap.org/ws/2005/05/identity/NoProofKey</t:KeyType></t:RequestSecurityTokenResponse>`
	wsuNS = `xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"`
)

// AppendRSTR appends the response that WS-Federation carries in wresult: the
// signed assertion in its frame ([MS-MWBF] 2.2.4.1). Lifetime repeats the
// assertion's conditions and AppliesTo its audience, as they must agree. Only the
// assertion is signed. Errors are those of [Signer.AppendAssertion].
func (s *Signer) AppendRSTR(dst []byte, a *Assertion) ([]byte, error) {
	st := s.state.Get().(*state)
	defer s.state.Put(st)
	w := &st.w
	w.Reset(dst)
	defer w.Reset(nil)
	w.Grow(s.size(a) + 1000)
	w.Raw(rstrStart)
	w.Time("NotBefore", a.NotBefore)
	w.Raw(rstrExpires)
	w.Time("NotOnOrAfter", a.NotOnOrAfter)
	w.Raw(rstrAddress)
	w.Text("Audience", a.Audience)
	w.Raw(rstrToken)
	if err := s.assertion(st, a); err != nil {
		return dst, err
	}
	w.Raw(rstrType)
	if a.Version == federation.SAML20 {
		w.Raw("urn:oasis:names:tc:SAML:2.0:assertion")
	} else {
		w.Raw("urn:oasis:names:tc:SAML:1.0:assertion")
	}
	w.Raw(rstrEnd)
	return w.Bytes()
}
