package saml

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"sallyport/federation/internal/xmlsec"
)

// The caps of a message. The gate's own limits come on top.
const (
	maxMessage = 64 << 10 // XML, after inflation
	maxState   = 8 << 10
	maxURL     = 2048
	maxEntity  = 1024
)

// errMessage is why a message cannot be read.
var errMessage = errors.New("saml: malformed message")

// envelope is one message as its binding carried it, not verified.
type envelope struct {
	// note is what its verification has to say for the audit record.
	note     string
	document *xmlsec.Document
	// response is true for SAMLResponse.
	response bool
	redirect bool
	state    string
	hasState bool
	// at is the address it came to when that is not the browsers' one.
	at string
	// message is the encoded message as it came, to be sent on.
	message string
	// octets, algorithm and signature are those of the Redirect binding; signature
	// is nil when there is none.
	octets    []byte
	algorithm string
	signature []byte
}

// parameter is one of the binding's parameters, raw and decoded.
type parameter struct {
	raw, value string
	set        bool
}

// parameters are those of one message.
type parameters struct {
	request, response, state, algorithm, signature parameter
}

// field returns where a parameter is kept. Unknown names are as if absent; a known
// name in another spelling, and what no message may have, is an error.
func (p *parameters) field(name string) (*parameter, error) {
	switch name {
	case "SAMLRequest":
		return &p.request, nil
	case "SAMLResponse":
		return &p.response, nil
	case "RelayState":
		return &p.state, nil
	case "SigAlg":
		return &p.algorithm, nil
	case "Signature":
		return &p.signature, nil
	}
	switch strings.ToLower(name) {
	case "samlrequest", "samlresponse", "relaystate", "sigalg", "signature", "samlart", "samlencoding":
		return nil, fmt.Errorf("%w: parameter %.20q", errMessage, name)
	}
	return nil, nil
}

func (p *parameters) set(name, raw, value string) error {
	f, err := p.field(name)
	switch {
	case err != nil:
		return err
	case f == nil:
		return nil
	case f.set:
		return fmt.Errorf("%w: %s is given more than once", errMessage, name)
	}
	*f = parameter{raw: raw, value: value, set: true}
	return nil
}

// readQuery reads the parameters of the Redirect binding, keeping their octets.
func readQuery(raw string) (*parameters, error) {
	p := &parameters{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil {
			return nil, fmt.Errorf("%w: query", errMessage)
		}
		value, err := url.QueryUnescape(rawValue)
		if err != nil {
			return nil, fmt.Errorf("%w: query", errMessage)
		}
		if err := p.set(name, rawValue, value); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// readForm reads the parameters of the POST binding from a parsed form.
func readForm(form url.Values) (*parameters, error) {
	p := &parameters{}
	for name, values := range form {
		for _, v := range values {
			if err := p.set(name, "", v); err != nil {
				return nil, err
			}
		}
	}
	if p.algorithm.set || p.signature.set {
		return nil, fmt.Errorf("%w: a signature of another binding", errMessage) // SimpleSign is not offered
	}
	return p, nil
}

// open reads the message of a request. The form of a POST has been parsed.
func open(r *http.Request) (*envelope, error) {
	e := &envelope{redirect: r.Method != http.MethodPost}
	var p *parameters
	var err error
	if e.redirect {
		p, err = readQuery(r.URL.RawQuery)
	} else {
		p, err = readForm(r.PostForm)
	}
	if err != nil {
		return nil, err
	}
	message := p.request
	switch {
	case p.request.set == p.response.set:
		return nil, fmt.Errorf("%w: there must be one of SAMLRequest and SAMLResponse", errMessage)
	case p.response.set:
		message, e.response = p.response, true
	}
	if err := e.relayState(&p.state); err != nil {
		return nil, err
	}
	e.message = message.value
	raw, err := xmlsec.Base64(message.value, !e.redirect)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	if e.redirect {
		if raw, err = xmlsec.Inflate(raw, maxMessage); err != nil {
			return nil, fmt.Errorf("%w: %w", errMessage, err)
		}
		if err := e.signed(p, &message); err != nil {
			return nil, err
		}
	}
	if e.document, err = xmlsec.Parse(raw, xmlsec.Message(maxMessage)); err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	return e, nil
}

// relayState takes RelayState as it is, or refuses what a form could not return.
func (e *envelope) relayState(p *parameter) error {
	switch {
	case len(p.value) > maxState:
		return fmt.Errorf("%w: RelayState has %d bytes, at most %d are carried", errMessage, len(p.value), maxState)
	case strings.ContainsAny(p.value, "\x00\r\n") || !utf8.ValidString(p.value):
		return fmt.Errorf("%w: RelayState holds bytes that a browser would not return unchanged", errMessage)
	}
	e.state, e.hasState = p.value, p.set
	return nil
}

// signed takes the signature of the Redirect binding. It covers the values as they
// stood in the query, in the order of the binding and not of the query (SAML
// Bindings 2.0 §3.4.4.1).
func (e *envelope) signed(p *parameters, message *parameter) error {
	if p.signature.set != p.algorithm.set {
		return fmt.Errorf("%w: Signature and SigAlg belong together", errMessage)
	}
	if !p.signature.set {
		return nil
	}
	signature, err := xmlsec.Base64(p.signature.value, true)
	if err != nil || len(signature) == 0 {
		return fmt.Errorf("%w: Signature is not base64", errMessage)
	}
	name := "SAMLRequest="
	if e.response {
		name = "SAMLResponse="
	}
	e.octets = append(append(e.octets, name...), message.raw...)
	if p.state.set {
		e.octets = append(append(e.octets, "&RelayState="...), p.state.raw...)
	}
	e.octets = append(append(e.octets, "&SigAlg="...), p.algorithm.raw...)
	e.algorithm, e.signature = p.algorithm.value, signature
	return nil
}
