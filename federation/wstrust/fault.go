package wstrust

import (
	"errors"
	"net/http"
	"time"

	"sallyport/federation"
	"sallyport/federation/internal/xmlsec"
)

// faultKind is one row of the table of faults: what a client is told. The texts
// are AD FS's, since scripts look for their numbers.
type faultKind uint8

// The faults.
const (
	faultRequest        faultKind = iota // malformed, or asks for what is not offered
	faultAuthentication                  // every refused credential, whatever the reason
	faultExpired                         // the same, where the settings let it say that the password has expired
	faultFailed                          // our side
	faultTokenType                       // a token type that the party does not take
	faultScope                           // unknown party
	faultSecurity                        // Security or Timestamp
	faultUnderstand                      // a header that must be understood and is not
	faultAction                          // wsa:Action is not this endpoint's
	faultDestination                     // wsa:To is not this endpoint
)

// The namespace of a subcode; trust stands for that of the endpoint's edition.
const trust = ""

var faults = [...]struct {
	code, ns, subcode, reason string
	result                    string // in metrics and audit
}{
	faultRequest:        {"Sender", trust, "InvalidRequest", "ID3035: The request was not valid or is malformed.", "invalid_request"},
	faultAuthentication: {"Sender", nsWSSE, "FailedAuthentication", textRefused, "refused"},
	faultExpired:        {"Sender", nsWSSE, "FailedAuthentication", textRefused + " The password has expired.", "refused"},
	faultFailed:         {"Receiver", trust, "RequestFailed", textFailed, "failed"},
	faultTokenType:      {"Sender", trust, "RequestFailed", textFailed, "token_type"},
	faultScope:          {"Sender", trust, "InvalidScope", "ID3082: The request scope is not valid or is unsupported.", "unknown_party"},
	faultSecurity:       {"Sender", nsWSSE, "InvalidSecurity", "An error occurred when verifying security for the message.", "invalid_security"},
	faultUnderstand:     {"MustUnderstand", trust, "InvalidRequest", "A header that must be understood is not understood.", "must_understand"},
	faultAction:         {"Sender", nsWSA, "ActionNotSupported", "The action is not supported at this endpoint.", "action"},
	faultDestination:    {"Sender", nsWSA, "DestinationUnreachable", "The message is not addressed to this endpoint.", "destination"},
}

const (
	textRefused = "ID3242: The security token could not be authenticated or authorized."
	textFailed  = "MSIS3127: The specified request failed."
)

// fault is a SOAP fault on its way to [Pages].
type fault struct {
	kind      faultKind
	relatesTo string // the request's message id, once it is known
	cause     error
}

// Error implements error; the text is for logs.
func (f *fault) Error() string {
	if f.cause == nil {
		return faults[f.kind].result
	}
	return faults[f.kind].result + ": " + f.cause.Error()
}

// Unwrap returns the cause.
func (f *fault) Unwrap() error { return f.cause }

// refusal wraps a fault for the edge. The status is 500 for every fault, whoever
// caused it (SOAP part 2 §7.5.2.2). Retry-After keeps clients from repeating at
// once: the longest that no client takes as a ban of its own.
func refusal(f *fault, rp *federation.RelyingParty) *federation.Error {
	e := &federation.Error{
		Problem: federation.ProblemBadRequest, Status: http.StatusInternalServerError, Party: rp, RetryAfter: time.Second, Cause: f,
	}
	switch f.kind {
	case faultAuthentication, faultExpired:
		e.Problem = federation.ProblemNotAllowed
	case faultScope:
		e.Problem = federation.ProblemUnknownParty
	case faultFailed:
		e.Problem = federation.ProblemInternal
		var fe *federation.Error
		if errors.As(f.cause, &fe) {
			e.Problem = fe.Problem
		}
	}
	return e
}

// faultOf returns the fault that err carries; an error without one is our side's.
func faultOf(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	return &fault{kind: faultFailed, cause: err}
}

const (
	envelopeStart = `<s:Envelope xmlns:s="` + nsSOAP + `" xmlns:a="` + nsWSA + `" xmlns:u="` + nsWSU + `"><s:Header>` +
		`<a:Action s:mustUnderstand="1">`
	securityStart = `<o:Security s:mustUnderstand="1" xmlns:o="` + nsWSSE + `"><u:Timestamp u:Id="_0"><u:Created>`
	securityEnd   = `</u:Expires></u:Timestamp></o:Security></s:Header><s:Body>`
	envelopeEnd   = `</s:Body></s:Envelope>`
)

// answerValid is how long an answer's Timestamp holds.
const answerValid = 5 * time.Minute

// header writes an answer up to the inside of its Body.
func header(w *xmlsec.Writer, action, relatesTo string, now time.Time) {
	w.Raw(envelopeStart)
	w.Raw(action)
	w.Raw(`</a:Action>`)
	if relatesTo != "" {
		w.Raw(`<a:RelatesTo>`)
		w.Text("MessageID", relatesTo)
		w.Raw(`</a:RelatesTo>`)
	}
	w.Raw(securityStart)
	w.Time("Created", now)
	w.Raw(`</u:Created><u:Expires>`)
	w.Time("Expires", now.Add(answerValid))
	w.Raw(securityEnd)
}

// appendFault appends the whole answer that carries f (SOAP §5.4). The prefix of
// the subcode is declared on its own element, where every client finds it.
func appendFault(dst []byte, v Version, f *fault, reference string, now time.Time) ([]byte, error) {
	row := &faults[f.kind]
	ns := row.ns
	if ns == trust {
		ns = v.edition().ns
	}
	var w xmlsec.Writer
	w.Reset(dst)
	header(&w, nsWSA+"/soap/fault", f.relatesTo, now)
	w.Raw(`<s:Fault><s:Code><s:Value>s:` + row.code + `</s:Value><s:Subcode><s:Value xmlns:a="` + ns + `">a:` + row.subcode +
		`</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang="en-US">` + row.reason)
	if reference != "" {
		w.Raw(` [ref `)
		w.Text("reference", reference)
		w.Raw(`]`)
	}
	w.Raw(`</s:Text></s:Reason></s:Fault>` + envelopeEnd)
	return w.Bytes()
}
