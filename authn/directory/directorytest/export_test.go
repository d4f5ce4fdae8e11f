package directorytest

import (
	"bufio"
	"bytes"
)

// ParseAll runs the bytes through everything that reads from a client. It reports
// the filter of a search in text form, for the round trip of the fuzz target.
func ParseAll(b []byte) (filterText string, err error) {
	frame, err := readFrame(bufio.NewReader(bytes.NewReader(b)), nil, 1<<16)
	if err != nil {
		return "", err
	}
	req, err := parseMessage(frame)
	if err != nil {
		return "", err
	}
	switch req.op {
	case opBindRequest:
		_, err = parseBind(req.body)
	case opSearchRequest:
		var s searchRequest
		if s, err = parseSearch(req.body); err == nil {
			filterText = s.filter.String()
		}
	case opExtendedRequest:
		_, _, err = parseExtended(req.body)
	case opModifyRequest:
		_, _, err = parseModify(req.body)
	}
	return filterText, err
}

// KeyOf is the comparison form of a DN.
func KeyOf(dn string) (string, error) { return matcher{}.dnKey(dn) }

// EscapeRDN is the escape of one value of a DN.
func EscapeRDN(v string) string { return escapeRDN(v) }
