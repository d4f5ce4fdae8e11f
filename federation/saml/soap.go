package saml

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/beevik/etree"

	"sallyport/federation"
	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/web"
)

// SOAP 1.1, which the SOAP and PAOS bindings use (SAML Bindings 2.0 §3.2).
const (
	nsSOAP    = "http://schemas.xmlsoap.org/soap/envelope/"
	soapStart = `<S:Envelope xmlns:S="` + nsSOAP + `">`
	soapEnd   = `</S:Body></S:Envelope>`
	soapType  = "text/xml; charset=utf-8"
)

// MaxSOAP is the longest SOAP message that is read.
const MaxSOAP = 2 * maxMessage

// fault is what a SOAP client did wrong, on its way to [Pages].
type fault struct {
	code  string // Client, Server or MustUnderstand (SOAP 1.1 §4.4.1)
	cause error
}

// Error implements error; the text is for logs.
func (f *fault) Error() string { return f.code + ": " + f.cause.Error() }

// Unwrap returns the cause.
func (f *fault) Unwrap() error { return f.cause }

// soapFault is a refusal that a SOAP client is told by a fault.
func soapFault(p *Party, code, format string, args ...any) error {
	e := &federation.Error{Problem: federation.ProblemBadRequest, Status: http.StatusInternalServerError,
		Cause: &fault{code: code, cause: fmt.Errorf("saml: "+format, args...)}}
	if p != nil {
		e.Party = &p.RelyingParty
	}
	return e
}

// readSOAP returns the one message in a SOAP envelope as a document of its own. No
// header block is known, so that one that must be understood is refused.
func readSOAP(body []byte) (*xmlsec.Document, error) {
	rules := xmlsec.Message(MaxSOAP)
	doc, err := xmlsec.Parse(body, rules)
	if err != nil {
		return nil, soapFault(nil, "Client", "%w", err)
	}
	root := doc.Unverified()
	if !xmlsec.Is(root, nsSOAP, "Envelope") {
		return nil, soapFault(nil, "Client", "the root is not a SOAP 1.1 Envelope")
	}
	parts := root.ChildElements()
	if len(parts) == 2 && xmlsec.Is(parts[0], nsSOAP, "Header") {
		for _, block := range parts[0].ChildElements() {
			if mustUnderstand(block) {
				return nil, soapFault(nil, "MustUnderstand", "header {%.200s}%.60s", block.NamespaceURI(), block.Tag)
			}
		}
		parts = parts[1:]
	}
	if len(parts) != 1 || !xmlsec.Is(parts[0], nsSOAP, "Body") || len(parts[0].ChildElements()) != 1 {
		return nil, soapFault(nil, "Client", "the Envelope does not hold one Body with one message, behind a Header at most")
	}
	message, err := doc.Part(parts[0].ChildElements()[0])
	if err != nil {
		return nil, soapFault(nil, "Client", "%w", err)
	}
	// A signature around the message would look as if it had been verified.
	if doc.Signed() && !message.Signed() {
		return nil, soapFault(nil, "Client", "a signature stands outside of the message")
	}
	return message, nil
}

// mustUnderstand reads SOAP 1.1 §4.2.3; what is no clear no is a yes.
func mustUnderstand(block *etree.Element) bool {
	for i := range block.Attr {
		a := &block.Attr[i]
		if a.Key == "mustUnderstand" && a.NamespaceURI() == nsSOAP && strings.TrimSpace(a.Value) != "0" {
			return true
		}
	}
	return false
}

// sendSOAP writes an envelope.
func sendSOAP(w http.ResponseWriter, status int, body []byte) error {
	head := w.Header()
	head.Set("Content-Type", soapType)
	head.Set("Cache-Control", "no-cache, no-store")
	head.Set("Pragma", "no-cache")
	head.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err
}

// readBody takes the body of a SOAP request. Its content type is not looked at:
// clients send all kinds and none.
func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("saml: reading the message: %w", err)
	}
	return body, nil
}

// Pages implements [web.ErrorPage]: errors of the SOAP endpoints become SOAP faults
// or bare statuses, all others go to Next.
type Pages struct {
	// Next draws the errors of every other route. Required.
	Next web.ErrorPage
	// Realm is what clients are told to give name and password for.
	Realm string
}

// Error implements [web.ErrorPage].
func (p Pages) Error(w http.ResponseWriter, r *http.Request, info *web.Info, e *federation.Error) {
	if info.Route != routeECP && info.Route != routeLogout {
		p.Next.Error(w, r, info, e)
		return
	}
	status := web.Status(e)
	var f *fault
	switch {
	case errors.As(e.Cause, &f):
	case status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="`+p.Realm+`", charset="UTF-8"`)
	case status >= http.StatusInternalServerError:
		f = &fault{code: "Server"}
	}
	if f == nil {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(status)
		return
	}
	text := "The message was not valid."
	if f.code == "Server" {
		text = "The service cannot answer now."
	}
	_ = sendSOAP(w, status, []byte(soapStart+`<S:Body><S:Fault><faultcode>S:`+f.code+`</faultcode><faultstring>`+text+
		` [ref `+info.Reference+`]</faultstring></S:Fault>`+soapEnd)) // the client has gone, nobody to tell
}
