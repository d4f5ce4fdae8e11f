package wstrust

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"sallyport/federation"
	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/web"
)

const (
	nsSecPolicy5 = "http://schemas.xmlsoap.org/ws/2005/07/securitypolicy"
	nsSecPolicy7 = "http://docs.oasis-open.org/ws-sx/ws-securitypolicy/200702"
	nsSTS        = "http://schemas.microsoft.com/ws/2008/06/identity/securitytokenservice"
)

// contract is what MEX says of one edition. The names are AD FS's without the
// numbers that it adds.
type contract struct {
	name, sp          string // binding, namespace of its policy's assertions
	tokens, assertion string // elements of the policy that differ
	https             string // attributes of HttpsToken
	port, operation   string // port type and its operation
	request, response string // messages
	requestPart       string
	responsePart      string
}

var contracts = [...]contract{
	Feb2005: {
		name: "UserNameWSTrustBinding_IWSTrustFeb2005Async", sp: nsSecPolicy5, tokens: "SignedSupportingTokens", assertion: "Trust10",
		https: ` RequireClientCertificate="false"`, port: "IWSTrustFeb2005Async", operation: "TrustFeb2005IssueAsync",
		request: "RST2005", response: "RSTR2005", requestPart: "t:RequestSecurityToken", responsePart: "t:RequestSecurityTokenResponse",
	},
	Trust13: {
		name: "UserNameWSTrustBinding_IWSTrust13Async", sp: nsSecPolicy7, tokens: "SignedEncryptedSupportingTokens", assertion: "Trust13",
		port: "IWSTrust13Async", operation: "Trust13IssueAsync",
		request: "RST13", response: "RSTRC13", requestPart: "trust:RequestSecurityToken", responsePart: "trust:RequestSecurityTokenResponseCollection",
	},
}

// Mex returns the metadata document (WSDL) that lists both user name endpoints at
// the public address. It is constant for one address.
//
// Its shape is the common denominator of its readers, which are no XML readers in
// general: xmlns:sp stands on each element whose name uses it, ids are spelt
// wsu:Id, bindings are named with a prefix, there is one service, no SOAP 1.1
// binding, and no white space around an address. Both editions are listed, the
// older one first: half of the clients find only one of them.
func Mex(public string) ([]byte, error) {
	var w xmlsec.Writer
	w.Reset(make([]byte, 0, 8<<10))
	w.Raw(`<?xml version="1.0" encoding="utf-8"?>` + "\n" +
		`<wsdl:definitions name="SecurityTokenService" targetNamespace="` + nsSTS + `" xmlns:tns="` + nsSTS + `"` +
		` xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:soap12="http://schemas.xmlsoap.org/wsdl/soap12/" xmlns:wsp="` + nsPolicy + `"` +
		` xmlns:wsu="` + nsWSU + `" xmlns:t="` + nsTrust5 + `" xmlns:trust="` + nsTrust3 + `"` +
		` xmlns:wsaw="http://www.w3.org/2006/05/addressing/wsdl" xmlns:wsa10="` + nsWSA + `">`)
	for _, part := range []func(*xmlsec.Writer, Version){policy, messages, portType, binding} {
		for _, v := range Versions() {
			part(&w, v)
		}
	}
	w.Raw(`<wsdl:service name="SecurityTokenService">`)
	for _, v := range Versions() {
		c := &contracts[v]
		w.Raw(`<wsdl:port name="` + c.name + `" binding="tns:` + c.name + `"><soap12:address location="`)
		w.Attr("address", public+v.Path())
		w.Raw(`"/><wsa10:EndpointReference><wsa10:Address>`)
		w.Text("address", public+v.Path())
		w.Raw(`</wsa10:Address></wsa10:EndpointReference></wsdl:port>`)
	}
	w.Raw(`</wsdl:service></wsdl:definitions>`)
	return w.Bytes()
}

// policy says what a message needs: TLS, a Timestamp and a UsernameToken.
func policy(w *xmlsec.Writer, v Version) {
	c := &contracts[v]
	sp := ` xmlns:sp="` + c.sp + `"`
	w.Raw(`<wsp:Policy wsu:Id="` + c.name + `_policy"><wsp:ExactlyOne><wsp:All><sp:TransportBinding` + sp + `><wsp:Policy>` +
		`<sp:TransportToken><wsp:Policy><sp:HttpsToken` + c.https + `/></wsp:Policy></sp:TransportToken>` +
		`<sp:AlgorithmSuite><wsp:Policy><sp:Basic256/></wsp:Policy></sp:AlgorithmSuite>` +
		`<sp:Layout><wsp:Policy><sp:Strict/></wsp:Policy></sp:Layout><sp:IncludeTimestamp/></wsp:Policy></sp:TransportBinding>` +
		`<sp:` + c.tokens + sp + `><wsp:Policy><sp:UsernameToken sp:IncludeToken="` + c.sp + `/IncludeToken/AlwaysToRecipient">` +
		`<wsp:Policy><sp:WssUsernameToken10/></wsp:Policy></sp:UsernameToken></wsp:Policy></sp:` + c.tokens + `>` +
		`<sp:Wss11` + sp + `><wsp:Policy/></sp:Wss11><sp:` + c.assertion + sp + `><wsp:Policy><sp:MustSupportIssuedTokens/></wsp:Policy></sp:` +
		c.assertion + `><wsaw:UsingAddressing/></wsp:All></wsp:ExactlyOne></wsp:Policy>`)
}

func messages(w *xmlsec.Writer, v Version) {
	c := &contracts[v]
	w.Raw(`<wsdl:message name="` + c.request + `"><wsdl:part name="request" element="` + c.requestPart + `"/></wsdl:message>` +
		`<wsdl:message name="` + c.response + `"><wsdl:part name="response" element="` + c.responsePart + `"/></wsdl:message>`)
}

func portType(w *xmlsec.Writer, v Version) {
	c, ed := &contracts[v], v.edition()
	w.Raw(`<wsdl:portType name="` + c.port + `"><wsdl:operation name="` + c.operation + `"><wsdl:input wsaw:Action="` + ed.ns +
		`/RST/Issue" message="tns:` + c.request + `"/><wsdl:output wsaw:Action="` + ed.response + `" message="tns:` + c.response +
		`"/></wsdl:operation></wsdl:portType>`)
}

func binding(w *xmlsec.Writer, v Version) {
	c, ed := &contracts[v], v.edition()
	w.Raw(`<wsdl:binding name="` + c.name + `" type="tns:` + c.port + `"><wsp:PolicyReference URI="#` + c.name + `_policy"/>` +
		`<soap12:binding transport="http://schemas.xmlsoap.org/soap/http"/><wsdl:operation name="` + c.operation + `">` +
		`<soap12:operation soapAction="` + ed.ns + `/RST/Issue" style="document"/><wsdl:input><soap12:body use="literal"/></wsdl:input>` +
		`<wsdl:output><soap12:body use="literal"/></wsdl:output></wsdl:operation></wsdl:binding>`)
}

// mexDocument is the document as it is served.
type mexDocument struct {
	body []byte
	etag string
}

func newMexDocument(public string) (*mexDocument, error) {
	body, err := Mex(public)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return &mexDocument{body: body, etag: `"` + hex.EncodeToString(sum[:12]) + `"`}, nil
}

// serveMex answers who may use the endpoints; the document lists nothing that
// would refuse its reader.
func (h *Handler) serveMex(w http.ResponseWriter, r *http.Request) error {
	if err := h.open(r); err != nil {
		return h.count(routeMex, "off", err)
	}
	if q := strings.ToLower(r.URL.RawQuery); strings.HasPrefix(q, "xsd=") {
		return h.count(routeMex, "schema", &federation.Error{Problem: federation.ProblemNotFound, Status: http.StatusNotFound})
	}
	head := w.Header()
	head.Set("Cache-Control", "private, max-age=300")
	head.Set("Etag", h.mex.etag)
	if match := r.Header.Get("If-None-Match"); match != "" && strings.Contains(match, h.mex.etag) {
		w.WriteHeader(http.StatusNotModified)
		return h.count(routeMex, "unchanged", nil)
	}
	head.Set("Content-Type", "text/xml; charset=utf-8")
	_, err := w.Write(h.mex.body)
	return h.count(routeMex, "served", err)
}

var _ web.Mount = (*Handler)(nil)
