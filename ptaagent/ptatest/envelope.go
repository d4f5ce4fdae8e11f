package ptatest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sallyport/ptaagent/ptatest/internal/binxml"
)

// envelope is a SOAP 1.2 message of the agent.
type envelope struct {
	action, to, relatesTo, messageID string
	names                            []string // of the header blocks
	sequence, ack, ackRequested      *binxml.Node
	body                             *binxml.Node // the only element of the body, or nil
}

// readEnvelope judges the frame of a message: one header, one body, known header
// blocks once each, and no content between.
func readEnvelope(root *binxml.Node) (*envelope, error) {
	if root.Local != "Envelope" || root.Space != nsSOAP || len(root.Children) != 2 || root.Mixed || len(root.Attrs) != 0 {
		return nil, errors.New("not a SOAP 1.2 envelope with header and body")
	}
	head, body := root.Children[0], root.Children[1]
	if head.Local != "Header" || head.Space != nsSOAP || body.Local != "Body" || body.Space != nsSOAP || head.Mixed || body.Mixed {
		return nil, errors.New("not a SOAP 1.2 envelope with header and body")
	}
	e := &envelope{}
	for _, h := range head.Children {
		name := h.Local
		if slices.Contains(e.names, name) {
			return nil, fmt.Errorf("header %s stands twice", name)
		}
		e.names = append(e.names, name)
		if err := mustUnderstand(h); err != nil {
			return nil, err
		}
		var text *string
		switch {
		case h.Space == nsWSA && name == "Action":
			text = &e.action
		case h.Space == nsWSA && name == "To":
			text = &e.to
		case h.Space == nsWSA && name == "RelatesTo":
			text = &e.relatesTo
		case h.Space == nsWSA && name == "MessageID":
			text = &e.messageID
		case h.Space == nsRM && name == "Sequence":
			e.sequence = h
		case h.Space == nsRM && name == "SequenceAcknowledgement":
			e.ack = h
		case h.Space == nsRM && name == "AckRequested":
			e.ackRequested = h
		default:
			return nil, fmt.Errorf("header %s in %q", clip(name), clip(h.Space))
		}
		if text != nil {
			if len(h.Children) != 0 || h.Bytes != nil {
				return nil, fmt.Errorf("header %s is not text", name)
			}
			*text = h.Text
		}
	}
	if len(body.Children) > 1 || len(body.Attrs) != 0 {
		return nil, errors.New("the body has more than one element or attributes")
	}
	if len(body.Children) == 1 {
		e.body = body.Children[0]
	} else if body.Text != "" || body.Bytes != nil {
		return nil, errors.New("the body is not an element")
	}
	return e, nil
}

// mustUnderstand judges the attributes of a header block: Action, To and
// Sequence carry mustUnderstand="1", the others nothing.
func mustUnderstand(h *binxml.Node) error {
	v, ok := h.Attr(nsSOAP, "mustUnderstand")
	needs := h.Local == "Action" || h.Local == "To" || h.Local == "Sequence"
	extra := len(h.Attrs)
	if ok {
		extra--
	}
	if needs && v != "1" || !needs && ok || extra != 0 {
		return fmt.Errorf("header %s: mustUnderstand %q and %d other attributes", clip(h.Local), clip(v), extra)
	}
	return nil
}

// only wants exactly these header blocks, besides those in optional.
func (e *envelope) only(names ...string) error {
	for _, n := range names {
		if !slices.Contains(e.names, n) {
			return fmt.Errorf("header %s is missing", n)
		}
	}
	for _, n := range e.names {
		if !slices.Contains(names, n) {
			return fmt.Errorf("header %s in %s", n, clip(e.action))
		}
	}
	return nil
}

// Names of the contract (9).
const (
	nsTempuri      = "http://tempuri.org/"
	actionSignal   = "http://tempuri.org/IConnectorSignalingService/SignalConnector"
	actionResponse = "http://tempuri.org/IConnectorSignalingService/SignalConnectorResponse"
	actionClosing  = "http://tempuri.org/IConnectorSignalingService/SignalConnectorConnectorIsClosingFaultFault"
)

// signalReply judges the reply to a signal and gives the agent's id, or
// errClosing for the declared fault.
func (e *envelope) signalReply() (string, error) {
	names := []string{"Action", "RelatesTo", "To"}
	for n, node := range map[string]*binxml.Node{"Sequence": e.sequence, "SequenceAcknowledgement": e.ack, "AckRequested": e.ackRequested} {
		if node != nil {
			names = append(names, n)
		}
	}
	if err := e.only(names...); err != nil {
		return "", err
	}
	if e.to != anonymous {
		return "", fmt.Errorf("the reply goes to %q", clip(e.to))
	}
	if e.action == actionClosing {
		if e.body == nil || e.body.Local != "Fault" || e.body.Space != nsSOAP {
			return "", errors.New("ConnectorIsClosingFault without a fault")
		}
		return "", errClosing
	}
	if e.action != actionResponse {
		return "", fmt.Errorf("action %q", clip(e.action))
	}
	b := e.body
	if b == nil || b.Local != "SignalConnectorResponse" || b.Space != nsTempuri || len(b.Children) != 1 || b.Mixed {
		return "", errors.New("the body is no SignalConnectorResponse")
	}
	res := b.Children[0]
	if res.Local != "SignalConnectorResult" || res.Space != nsTempuri || len(res.Children) != 2 || res.Mixed {
		return "", errors.New("no SignalConnectorResult with two members")
	}
	latency, id := res.Children[0], res.Children[1]
	if latency.Local != "AckLatency" || latency.Space != nsSignaling || id.Local != "ConnectorId" || id.Space != nsSignaling {
		return "", errors.New("the members are not AckLatency and ConnectorId in this order")
	}
	if n, err := strconv.ParseInt(latency.Text, 10, 64); err != nil || n < 0 || n > 60000 {
		return "", fmt.Errorf("AckLatency %q", clip(latency.Text))
	}
	if !guidForm.MatchString(id.Text) {
		return "", fmt.Errorf("ConnectorId %q", clip(id.Text))
	}
	return id.Text, nil
}

// uuid reads urn:uuid: text.
func uuid(s string) (string, bool) {
	id, ok := strings.CutPrefix(s, "urn:uuid:")
	return id, ok && guidForm.MatchString(id)
}
