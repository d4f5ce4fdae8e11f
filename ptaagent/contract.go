package ptaagent

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"sallyport/authn"
	"sallyport/ptaagent/internal/binxml"
	"sallyport/ptaagent/internal/relay"
)

// The names of the one-operation contract of the relay's sessions.
const (
	nsContract    = "http://tempuri.org/"
	actionSignal  = nsContract + "IConnectorSignalingService/SignalConnector"
	nsProxy       = "http://schemas.datacontract.org/2004/07/Microsoft.ApplicationProxy.Common."
	nsContexts    = nsProxy + "RequestContexts"
	nsSignaling   = nsProxy + "SignalingDataModel"
	nsXMLInstance = "http://www.w3.org/2001/XMLSchema-instance"
)

// errRequest says that a signal or a request is malformed.
var errRequest = errors.New("malformed request")

// The kinds of request.
const (
	protocolPassword = "PasswordValidation"
	protocolTrusted  = "TrustedParty"
	protocolConnect  = "Connect"
)

// entry is the password encrypted to one certificate of one agent.
type entry struct {
	Base64EncryptedData string
	KeyIdentifer        string // spelled so on the wire
}

// request is one signal, or one request that was fetched for it.
type request struct {
	transaction, id, session, tenant string
	host, port                       string
	protocol                         string
	connection                       string // of a Connect signal
	upn, domain                      string
	entries                          []entry
}

// maxEntries bounds the entries; a tenant has at most 40 agents, some with two
// certificates.
const maxEntries = 200

// readSignal reads the body of a SignalConnector.
func readSignal(body *binxml.Element) (*request, error) {
	m := body.Child(nsContract, "SignalConnector").Child(nsContract, "messageProperties")
	if m == nil {
		return nil, fmt.Errorf("%w: no SignalConnector", errRequest)
	}
	tunnel := m.Child(nsSignaling, "TunnelContext")
	p := tunnel.Child("", "ProtocolContext")
	r := &request{
		transaction: m.Child(nsContexts, "TransactionId").Text(), id: m.Child(nsContexts, "RequestId").Text(),
		session: m.Child(nsContexts, "SessionId").Text(), tenant: m.Child(nsContexts, "SubscriptionId").Text(),
		protocol: p.Child("", "TrafficProtocol").Text(), connection: p.Child("", "ConnectionId").Text(),
		upn: p.Child("", "UserPrincipalName").Text(), domain: p.Child("", "Domain").Text(),
	}
	r.host, r.port = m.Child(nsSignaling, "ReturnHost").Text(), m.Child(nsSignaling, "ReturnPort").Text()
	if m.Child(nsSignaling, "OverrideServiceHostEnabled").Text() == "true" {
		r.host, r.port = m.Child(nsSignaling, "OverridenReturnHost").Text(), m.Child(nsSignaling, "OverridenReturnPort").Text()
	}
	if list := p.Child("", "EncryptedData"); list != nil {
		for _, e := range list.Children {
			if e.Space == nsSignaling && e.Name == "EncryptedOnPremValidationData" {
				r.entries = append(r.entries, entry{e.Child(nsSignaling, "Base64EncryptedData").Text(), e.Child(nsSignaling, "KeyIdentifer").Text()})
			}
		}
	}
	return r, r.check()
}

// check judges the form of what every request has.
func (r *request) check() error {
	for name, id := range map[string]string{"TransactionId": r.transaction, "RequestId": r.id, "SessionId": r.session, "SubscriptionId": r.tenant} {
		if _, err := authn.ParseGUID(id); err != nil || len(id) != 36 {
			return fmt.Errorf("%w: %s is no GUID", errRequest, name)
		}
	}
	switch {
	case len(r.entries) > maxEntries:
		return fmt.Errorf("%w: %d entries", errRequest, len(r.entries))
	case len(r.upn) > 1024 || len(r.domain) > 1024:
		return fmt.Errorf("%w: name too long", errRequest)
	}
	return nil
}

// document is a request in JSON.
type document struct {
	RequestId, SessionId, SubscriptionId, TransactionId string
	OverrideServiceHostEnabled                          bool
	OverridenReturnHost, ReturnHost                     string
	OverridenReturnPort, ReturnPort                     json.Number
	TunnelContext                                       struct{ ProtocolContext protocolContext }
}

type protocolContext struct {
	TrafficProtocol           json.RawMessage
	Domain, UserPrincipalName string
	EncryptedData             []entry
	BodyBytes                 []uint8Number
}

// uint8Number is one byte of BodyBytes, an array of numbers.
type uint8Number uint8

// readDocument reads one request from the front end.
func readDocument(text []byte) (*request, error) {
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("%w: not the JSON of a request", errRequest)
	}
	p := d.TunnelContext.ProtocolContext
	r := &request{
		transaction: d.TransactionId, id: d.RequestId, session: d.SessionId, tenant: d.SubscriptionId,
		host: d.ReturnHost, port: d.ReturnPort.String(), protocol: protocolName(p.TrafficProtocol),
	}
	if d.OverrideServiceHostEnabled {
		r.host, r.port = d.OverridenReturnHost, d.OverridenReturnPort.String()
	}
	if r.protocol == protocolTrusted {
		raw := make([]byte, len(p.BodyBytes))
		for i, b := range p.BodyBytes {
			raw[i] = byte(b)
		}
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, fmt.Errorf("%w: not the JSON of a trusted party", errRequest)
		}
	}
	r.upn, r.domain, r.entries = p.UserPrincipalName, p.Domain, p.EncryptedData
	return r, r.check()
}

// protocolName is a protocol's name, of its number or as it stands.
func protocolName(raw json.RawMessage) string {
	switch s := strings.Trim(string(raw), `"`); s {
	case "2":
		return protocolPassword
	case "3":
		return protocolTrusted
	case "4":
		return protocolConnect
	default:
		return s
	}
}

// acknowledgement is the reply to a signal: that it came, and after how long.
func acknowledgement(agent string, latency int64) relay.Reply {
	return relay.Reply{Action: actionSignal + "Response", Write: func(w *binxml.Writer) {
		w.StartLocal("", "SignalConnectorResponse")
		w.SpaceLocal("", nsContract)
		w.StartLocal("", "SignalConnectorResult")
		w.SpaceLocal("b", nsSignaling)
		w.SpaceLocal("i", nsXMLInstance)
		w.StartLocal("b", "AckLatency")
		w.Int(uint64(max(latency, 0)))
		w.End()
		w.StartLocal("b", "ConnectorId")
		w.Text(agent)
		w.End()
		w.End()
		w.End()
	}}
}

// closingFault is the contract's declared fault, which sends the cloud to another
// agent. Its action follows the platform's convention, the namespace of its detail is
// that of its neighbours; neither has been seen.
func closingFault() *relay.Fault {
	const reason = "this agent is closing"
	return &relay.Fault{Action: actionSignal + "ConnectorIsClosingFaultFault", Receiver: true, Reason: reason, Detail: func(w *binxml.Writer) {
		w.StartLocal("", "ConnectorIsClosingFault")
		w.SpaceLocal("", nsSignaling)
		w.StartLocal("", "Message")
		w.Text(reason)
		w.End()
		w.End()
	}}
}

// newGUID returns a fresh random GUID.
func newGUID() string {
	var g [16]byte
	_, _ = rand.Read(g[:]) // never fails
	g[7], g[8] = g[7]&0x0f|0x40, g[8]&0x3f|0x80
	return binxml.FormatGUID(g)
}
