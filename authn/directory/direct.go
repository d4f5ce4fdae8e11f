package directory

import (
	"errors"
	"fmt"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// Binds and searches are written and read here, without the goroutines and
// channels of go-ldap's connection, which cost more than everything else of a
// bind. go-ldap still reads the socket and judges results: a verdict needs its
// yes as well as the framing connection's.

// firstID is where our message ids begin, far above those of go-ldap, which
// counts from 1 and still sends the goodbye and paged searches.
const firstID = 1 << 24

// errAnswer says that an answer is no LDAP result, or one without its parts.
var errAnswer = errors.New("directory: malformed answer")

// exchange sends one whole request and returns the messages that answer it, or
// why the connection is dead.
func (f *frameConn) exchange(p []byte) ([][]byte, error) {
	m, err := parseMessage(p)
	if err != nil {
		f.fail(err)
		return nil, err
	}
	if err := f.admit(m, true); err != nil {
		return nil, err
	}
	if _, err := f.Conn.Write(p); err != nil {
		f.fail(fmt.Errorf("directory: write: %w", err))
	}
	select {
	case got := <-f.answers:
		return got, nil
	case <-f.gone:
	}
	select {
	case got := <-f.answers: // it came first
		return got, nil
	default:
		return nil, f.cause()
	}
}

// keep puts a checked message aside when the outstanding request is ours, and
// hands all of them over with the last one. It reports whether it did; otherwise
// the message is go-ldap's.
func (f *frameConn) keep(b []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.direct {
		return false
	}
	f.got = append(f.got, append([]byte(nil), b...))
	if f.await == 0 {
		f.answers <- f.got // has room: one request at a time
		f.got, f.direct = nil, false
	}
	return true
}

// judge is go-ldap's verdict on a result: nil for code 0 only.
func judge(raw []byte) error {
	packet, err := ber.DecodePacketErr(raw)
	if err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	return ldap.GetLDAPError(packet)
}

// nextID returns a message id that no earlier request of this connection had. Only
// the borrower calls it.
func (c *conn) nextID() uint32 {
	c.id++
	return firstID + c.id%firstID
}

// sendBind is one bind request and go-ldap's verdict on its answer.
func (c *conn) sendBind(name string, password []byte) error {
	request := bindRequest(c.nextID(), name, password)
	got, err := c.frame.exchange(request)
	clear(request)
	if err != nil {
		return err
	}
	if len(got) != 1 {
		return errAnswer
	}
	return judge(got[0])
}

// sendSearch is one search request with its entries, and go-ldap's reading of a
// refusal. References are left out: they are never followed.
func (c *conn) sendSearch(req *ldap.SearchRequest) (*ldap.SearchResult, error) {
	request, err := searchRequest(c.nextID(), req)
	if err != nil {
		return nil, err
	}
	got, err := c.frame.exchange(request)
	if err != nil {
		return nil, err
	}
	res := &ldap.SearchResult{Entries: make([]*ldap.Entry, 0, len(got)-1)}
	for _, raw := range got {
		m, err := parseMessage(raw)
		if err != nil {
			return nil, err
		}
		switch m.op {
		case opSearchEntry:
			e, err := parseEntry(m.body)
			if err != nil {
				return nil, err
			}
			res.Entries = append(res.Entries, e)
		case opSearchDone:
			if code, _, err := parseResult(m.body); err == nil && code == 0 {
				return res, nil
			}
			return res, judge(raw)
		}
	}
	return nil, errAnswer
}

// parseEntry reads a SearchResultEntry (RFC 4511 section 4.5.2). Its strings share one
// copy of b, and its bytes are b's.
func parseEntry(b []byte) (*ldap.Entry, error) {
	tag, dn, rest, err := split(b)
	if err != nil || tag != 0x04 {
		return nil, errAnswer
	}
	tag, list, tail, err := split(rest)
	if err != nil || tag != 0x30 || len(tail) != 0 {
		return nil, errAnswer
	}
	p := entryParser{text: string(b)}
	attributes := count(list)
	p.attributes = make([]ldap.EntryAttribute, 0, attributes)
	p.values, p.raw = make([]string, 0, attributes), make([][]byte, 0, attributes)
	e := &ldap.Entry{DN: p.text[len(b)-len(rest)-len(dn) : len(b)-len(rest)], Attributes: make([]*ldap.EntryAttribute, 0, attributes)}
	for len(list) > 0 {
		var attribute []byte
		if tag, attribute, list, err = split(list); err != nil || tag != 0x30 {
			return nil, errAnswer
		}
		a, err := p.attribute(attribute, len(b)-len(list))
		if err != nil {
			return nil, err
		}
		e.Attributes = append(e.Attributes, a)
	}
	return e, nil
}

// count is the number of elements in b.
func count(b []byte) (n int) {
	for ; len(b) > 0; n++ {
		_, _, rest, err := split(b)
		if err != nil {
			return n
		}
		b = rest
	}
	return n
}

// entryParser is the memory of one entry, taken in a few pieces: an account has a dozen
// attributes of one value each.
type entryParser struct {
	text       string
	attributes []ldap.EntryAttribute
	values     []string
	raw        [][]byte
}

// attribute reads a PartialAttribute that ends at that place of the text.
func (p *entryParser) attribute(b []byte, end int) (*ldap.EntryAttribute, error) {
	tag, name, rest, err := split(b)
	if err != nil || tag != 0x04 {
		return nil, errAnswer
	}
	at := end - len(rest)
	tag, set, rest, err := split(rest)
	if err != nil || tag != 0x31 || len(rest) != 0 {
		return nil, errAnswer
	}
	from := len(p.values)
	for len(set) > 0 {
		var value []byte
		if tag, value, set, err = split(set); err != nil || tag != 0x04 {
			return nil, errAnswer
		}
		p.values = append(p.values, p.text[end-len(set)-len(value):end-len(set)])
		p.raw = append(p.raw, value)
	}
	to := len(p.values)
	p.attributes = append(p.attributes, ldap.EntryAttribute{Name: p.text[at-len(name) : at], Values: p.values[from:to:to], ByteValues: p.raw[from:to:to]})
	return &p.attributes[len(p.attributes)-1], nil
}

// bindRequest is RFC 4511 section 4.2 with a simple password, in one piece of
// memory that the caller can wipe.
func bindRequest(id uint32, name string, password []byte) []byte {
	size := 3 + elementSize(len(name)) + elementSize(len(password))
	b := openMessage(id, elementSize(size))
	b = append(appendHeader(b, opBindRequest, size), 0x02, 1, 3) // version
	b = append(appendHeader(b, 0x04, len(name)), name...)
	return append(appendHeader(b, 0x80, len(password)), password...)
}

// searchRequest is RFC 4511 section 4.5.1; go-ldap encodes the controls.
func searchRequest(id uint32, req *ldap.SearchRequest) ([]byte, error) {
	body := appendString(make([]byte, 0, 512), req.BaseDN)
	body = appendSmall(body, 0x0a, req.Scope)
	body = appendSmall(body, 0x0a, req.DerefAliases)
	body = appendSmall(body, 0x02, req.SizeLimit)
	body = appendSmall(body, 0x02, req.TimeLimit)
	typesOnly := byte(0)
	if req.TypesOnly {
		typesOnly = 0xff
	}
	body = append(body, 0x01, 1, typesOnly)
	body, err := compile(body, req.Filter)
	if err != nil {
		return nil, err
	}
	size := 0
	for _, a := range req.Attributes {
		size += elementSize(len(a))
	}
	body = appendHeader(body, 0x30, size)
	for _, a := range req.Attributes {
		body = appendString(body, a)
	}
	var controls []byte
	for _, c := range req.Controls {
		controls = append(controls, c.Encode().Bytes()...)
	}
	size = elementSize(len(body))
	if len(controls) > 0 {
		size += elementSize(len(controls))
	}
	b := append(appendHeader(openMessage(id, size), opSearchRequest, len(body)), body...)
	if len(controls) > 0 {
		b = append(appendHeader(b, 0xa0, len(controls)), controls...)
	}
	return b, nil
}

// openMessage begins an LDAPMessage whose parts behind the id have that size.
func openMessage(id uint32, size int) []byte {
	size += 6
	b := appendHeader(make([]byte, 0, elementSize(size)), 0x30, size)
	return append(b, 0x02, 4, byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
}

func appendString(b []byte, s string) []byte { return append(appendHeader(b, 0x04, len(s)), s...) }

// appendSmall adds a number from 0 to 32767, which ours all are.
func appendSmall(b []byte, tag byte, n int) []byte {
	if n < 0x80 {
		return append(b, tag, 1, byte(n))
	}
	return append(b, tag, 2, byte(n>>8)&0x7f, byte(n))
}

// appendHeader adds a tag and a length in the shortest form.
func appendHeader(b []byte, tag byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(b, tag, byte(n))
	case n < 0x100:
		return append(b, tag, 0x81, byte(n))
	case n < 0x10000:
		return append(b, tag, 0x82, byte(n>>8), byte(n))
	default:
		return append(b, tag, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
}

// elementSize is the size of an element with n bytes of content.
func elementSize(n int) int {
	switch {
	case n < 0x80:
		return 2 + n
	case n < 0x100:
		return 3 + n
	case n < 0x10000:
		return 4 + n
	default:
		return 5 + n
	}
}
