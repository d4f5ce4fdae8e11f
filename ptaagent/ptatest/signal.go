package ptatest

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"sallyport/ptaagent/ptatest/internal/binxml"
)

// signal is one request as it goes to an agent (9, 10).
type signal struct {
	request, transaction, connection string
	tenant, domain, upn, host        string
	hash                             int64
	mode                             Mode
	entries                          []entry
	faults                           Faults
}

// entry is the password for one certificate (11).
type entry struct{ data, key string }

// respelled is the signal under another request id, with one more line break behind
// each of its ciphertexts.
func (s *signal) respelled() *signal {
	again := *s
	again.request, again.entries = newGUID(), slices.Clone(s.entries)
	for i := range again.entries {
		again.entries[i].data += "\n"
	}
	return &again
}

// write writes the body of the SOAP message (9).
func (s *signal) write(w *binxml.Writer) {
	el := func(prefix, name, text string) {
		w.Start(prefix, name)
		w.Text(text)
		w.End()
	}
	id := func(prefix, name, text string) {
		g, ok := parseGUID(text)
		if !ok {
			el(prefix, name, text)
			return
		}
		w.Start(prefix, name)
		w.GUID(g)
		w.End()
	}
	w.Content()
	w.Start("", "SignalConnector")
	w.Declare("", nsTempuri)
	w.Start("", "messageProperties")
	w.Declare("b", nsSignaling)
	w.Declare("c", nsContexts)
	w.Declare("i", nsInstance)
	id("c", "RequestId", s.request)
	id("c", "SessionId", zeroGUID)
	el("c", "SubscriptionId", s.tenant)
	id("c", "TransactionId", s.transaction)
	w.Start("b", "OverrideServiceHostEnabled")
	w.Bool(true)
	w.End()
	el("b", "OverridenReturnHost", s.host)
	number(w, "OverridenReturnPort", 443)
	el("b", "ReturnHost", s.host)
	number(w, "ReturnPort", 10100)
	w.Start("b", "TunnelContext")
	plain := func(name string) {
		w.Start("", name)
		w.Declare("", "")
	}
	plain("ConfigurationHash")
	w.Text(strconv.FormatInt(s.hash, 10))
	w.End()
	plain("CorrelationId")
	g, _ := parseGUID(s.transaction)
	w.GUID(g)
	w.End()
	plain("HasPayload")
	w.Bool(false)
	w.End()
	if s.faults.UnknownMembers {
		plain("FutureHint")
		w.Text("unknown to every description")
		w.End()
	}
	plain("ProtocolContext")
	s.context(w, el)
	w.End()
	w.End()
	if s.faults.UnknownMembers {
		el("b", "ZoneHint", "unknown to every description")
	}
	w.End()
	w.End()
}

func number(w *binxml.Writer, name string, v int64) {
	w.Start("b", name)
	w.Int(v)
	w.End()
}

// context writes the content of ProtocolContext, type attribute first.
func (s *signal) context(w *binxml.Writer, el func(prefix, name, text string)) {
	if s.mode != Direct {
		w.Attr("i", "type", "ConnectContext")
		el("", "TrafficProtocol", s.protocol("Connect"))
		w.Start("", "ConnectionId")
		g, _ := parseGUID(s.connection)
		w.GUID(g)
		w.End()
		return
	}
	w.Attr("i", "type", "PasswordValidationContext")
	el("", "TrafficProtocol", s.protocol("PasswordValidation"))
	el("", "Domain", s.domain)
	w.Start("", "EncryptedData")
	for _, e := range s.entries {
		w.Start("b", "EncryptedOnPremValidationData")
		el("b", "Base64EncryptedData", e.data)
		el("b", "KeyIdentifer", e.key)
		w.End()
	}
	w.End()
	el("", "Password", "")
	el("", "UserPrincipalName", s.upn)
}

func (s *signal) protocol(name string) string {
	if s.faults.TrafficProtocol != "" {
		return s.faults.TrafficProtocol
	}
	return name
}

// jsonString writes a string as DataContractJsonSerializer does: "/" escaped.
func jsonString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\' || r == '/':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x2028 || r == 0x2029 || r == 0x85 || r == utf8.RuneError:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// json writes the document for the front-end WebSocket (10.1, 10.3).
func (s *signal) json() []byte {
	const model = ":#Microsoft.ApplicationProxy.Common.SignalingDataModel"
	unknown, hint := "", ""
	if s.faults.UnknownMembers {
		unknown, hint = `,"ZoneHint":{"a":[1,2,{"b":null}]}`, `"FutureHint":1.5e3,`
	}
	list := func() string {
		var b strings.Builder
		for i, e := range s.entries {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"__type":%s,"Base64EncryptedData":%s,"KeyIdentifer":%s}`, jsonString("EncryptedOnPremValidationData"+model), jsonString(e.data), jsonString(e.key))
		}
		return "[" + b.String() + "]"
	}
	protocol := func(n string) string {
		p := s.protocol(n)
		if _, err := strconv.Atoi(p); err != nil {
			return jsonString(p)
		}
		return p
	}
	var inner string
	if s.mode == TrustedParty {
		body := fmt.Sprintf(`{"TrafficProtocol":3,"Domain":%s,"UserPrincipalName":%s,"EncryptedData":%s}`, jsonString(s.domain), jsonString(s.upn), list())
		var b strings.Builder
		for i, c := range []byte(body) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strconv.Itoa(int(c)))
		}
		inner = fmt.Sprintf(`{"__type":%s,"TrafficProtocol":%s,"BodyBytes":[%s]}`, jsonString("TrustedPartyContext"+model), protocol("3"), b.String())
	} else {
		inner = fmt.Sprintf(`{"__type":%s,"TrafficProtocol":%s,%s"Domain":%s,"EncryptedData":%s,"Password":"","UserPrincipalName":%s}`,
			jsonString("PasswordValidationContext"+model), protocol("2"), hint, jsonString(s.domain), list(), jsonString(s.upn))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"__type":%s,"RequestId":%s,"SessionId":%s,"SubscriptionId":%s,"TransactionId":%s,"OverrideServiceHostEnabled":true,"OverridenReturnHost":%s,"OverridenReturnPort":443,"ReturnHost":%s,"ReturnPort":10100`,
		jsonString("SignalMessage"+model), jsonString(s.request), jsonString(zeroGUID), jsonString(s.tenant), jsonString(s.transaction), jsonString(s.host), jsonString(s.host))
	fmt.Fprintf(&b, `,"TunnelContext":{"__type":%s,"ConfigurationHash":"%d","CorrelationId":%s,"HasPayload":false,"ProtocolContext":%s}%s}`,
		jsonString("TunnelContext"+model), s.hash, jsonString(s.transaction), inner, unknown)
	return b.Bytes()
}

// encrypt makes the entries for all usable certificates of the tenant (11).
func (c *Cloud) encrypt(password string, f Faults) ([]entry, error) {
	plain := f.Plaintext
	if plain == nil {
		plain = []byte(`{"Password":` + jsonString(password) + `}`)
	}
	type target struct {
		id string
		cr *credential
	}
	var targets []target
	c.mu.Lock()
	for _, a := range c.agents {
		if a.revoked {
			continue
		}
		for _, cr := range c.usable(a) {
			targets = append(targets, target{a.id, cr})
		}
	}
	c.mu.Unlock()
	var list []entry
	for _, t := range targets {
		if f.OmitKey {
			break
		}
		block, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, t.cr.key, plain, nil)
		if err != nil {
			return nil, ErrTooLong
		}
		if f.BadCipher {
			block[len(block)/2] ^= 0x55
		}
		e := entry{base64.StdEncoding.EncodeToString(block), t.id + "_" + t.cr.print}
		if f.ForeignKey {
			e.key = t.id + "_" + strings.Repeat("AB", 20)
		}
		list = append(list, e)
	}
	for len(list) < f.Entries || len(list) == 0 {
		list = append(list, stranger())
	}
	// Our entries do not always come first.
	if n := len(list); n > 1 {
		list = append(list[n/2:], list[:n/2]...)
	}
	return list, nil
}

// stranger is an entry of an agent that does not exist.
func stranger() entry {
	b := make([]byte, 276)
	_, _ = rand.Read(b)
	return entry{base64.StdEncoding.EncodeToString(b[:256]), fmt.Sprintf("%s_%X", newGUID(), b[256:])}
}
