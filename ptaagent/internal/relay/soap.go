package relay

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"sallyport/ptaagent/internal/binxml"
)

// The namespaces and addresses of envelopes.
const (
	nsSOAP       = "http://www.w3.org/2003/05/soap-envelope"
	nsAddressing = "http://www.w3.org/2005/08/addressing"
	nsReliable   = "http://schemas.xmlsoap.org/ws/2005/02/rm"
	nsNetReach   = "http://schemas.microsoft.com/ws/2006/05/rm"
	nsConnect    = "http://schemas.microsoft.com/netservices/2009/05/servicebus/connect"
	nsRelayed    = "http://schemas.microsoft.com/netservices/2009/05/servicebus/relayedconnect"
	nsInstance   = "http://www.w3.org/2001/XMLSchema-instance"

	anonymous = nsAddressing + "/anonymous"
	// anonymousAccept is what the accept message is addressed to, spelled so.
	anonymousAccept = "http://schemas.microsoft.com/2005/12/ServiceModel/Addressing/Anonymous"
)

// ErrEnvelope says that a message is no SOAP envelope that a listener can use.
var ErrEnvelope = errors.New("relay: bad envelope")

// envelope is a received message.
type envelope struct {
	action    string
	messageID string
	to        string
	header    *binxml.Element
	body      *binxml.Element
}

// ping reports the sender's sign of life, which is answered by nothing.
func (m *envelope) ping() bool { return m.action == "Ping" || m.action == nsConnect+"/Ping" }

// understood are the header blocks that may say mustUnderstand.
var understood = map[[2]string]bool{
	{nsAddressing, "Action"}: true, {nsAddressing, "To"}: true, {nsAddressing, "MessageID"}: true, {nsAddressing, "ReplyTo"}: true,
	{nsAddressing, "RelatesTo"}: true, {nsAddressing, "From"}: true, {nsReliable, "Sequence"}: true, {nsReliable, "AckRequested"}: true,
	{nsReliable, "SequenceAcknowledgement"}: true, {nsConnect, "RelayVia"}: true,
}

// openEnvelope reads a SOAP 1.2 envelope with WS-Addressing headers.
func openEnvelope(doc []byte, table *binxml.Table, limits binxml.Limits) (*envelope, error) {
	root, err := binxml.Decode(doc, table, limits)
	if err != nil {
		return nil, err
	}
	if root.Space != nsSOAP || root.Name != "Envelope" {
		return nil, fmt.Errorf("%w: the document element is %s", ErrEnvelope, root.Name)
	}
	m := &envelope{header: root.Child(nsSOAP, "Header"), body: root.Child(nsSOAP, "Body")}
	if m.header == nil || m.body == nil || len(root.Children) != 2 {
		return nil, fmt.Errorf("%w: not one header and one body", ErrEnvelope)
	}
	for _, h := range m.header.Children {
		must := h.Attr(nsSOAP, "mustUnderstand")
		if (must == "1" || must == "true") && !understood[[2]string{h.Space, h.Name}] {
			return nil, fmt.Errorf("%w: header %s must be understood", ErrEnvelope, h.Name)
		}
	}
	m.action = m.header.Child(nsAddressing, "Action").Text()
	if m.action == "" {
		return nil, fmt.Errorf("%w: not one action", ErrEnvelope)
	}
	m.messageID = m.header.Child(nsAddressing, "MessageID").Text()
	m.to = m.header.Child(nsAddressing, "To").Text()
	return m, nil
}

// uniqueID is a message's or a sequence's id: written in its short form where it is
// a GUID, as it came where it is not.
type uniqueID string

const uuidPrefix = "urn:uuid:"

func newUniqueID() uniqueID {
	var g [16]byte
	_, _ = rand.Read(g[:]) // never fails
	g[7], g[8] = g[7]&0x0f|0x40, g[8]&0x3f|0x80
	return uniqueID(uuidPrefix + binxml.FormatGUID(g))
}

func (u uniqueID) write(w *binxml.Writer) {
	if g, ok := parseGUID(strings.TrimPrefix(string(u), uuidPrefix)); ok && strings.HasPrefix(string(u), uuidPrefix) {
		w.UniqueID(g)
		return
	}
	w.Text(string(u))
}

// parseGUID reads the registry form into Microsoft's memory order.
func parseGUID(s string) (g [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return g, false
	}
	raw, err := hex.DecodeString(s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:])
	if err != nil {
		return g, false
	}
	copy(g[:], raw)
	g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7] = g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6]
	return g, true
}

// beginEnvelope opens envelope and header; declarations in the order that .NET has.
func beginEnvelope(w *binxml.Writer, reliable bool) {
	w.Start("s", "Envelope")
	w.Space("s", nsSOAP)
	if reliable {
		w.Space("r", nsReliable)
	}
	w.Space("a", nsAddressing)
	w.Start("s", "Header")
}

// toAnonymous writes the address of replies, ends the header and opens the body.
func toAnonymous(w *binxml.Writer) {
	w.Start("a", "To")
	w.MustUnderstand()
	w.Static(anonymous)
	w.End()
	w.End()
	w.Start("s", "Body")
}

// endEnvelope closes body and envelope.
func endEnvelope(w *binxml.Writer) {
	w.End()
	w.End()
}

// staticAction writes an action that the static dictionary has.
func staticAction(w *binxml.Writer, action string) {
	w.Start("a", "Action")
	w.MustUnderstand()
	w.Static(action)
	w.End()
}

// localAction writes an action of the application.
func localAction(w *binxml.Writer, action string) {
	w.Start("a", "Action")
	w.MustUnderstand()
	w.Local(action)
	w.End()
}

func relatesTo(w *binxml.Writer, id string) {
	if id == "" {
		return
	}
	w.Start("a", "RelatesTo")
	uniqueID(id).write(w)
	w.End()
}
