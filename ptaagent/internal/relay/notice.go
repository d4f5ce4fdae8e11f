package relay

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"sallyport/ptaagent/internal/binxml"
)

// ErrNotice says that a notification is malformed, or leads where it may not.
var ErrNotice = errors.New("relay: bad notification")

// notice tells that somebody waits at a relay instance.
type notice struct {
	id   string // of the rendezvous
	host string // of the relay instance
	port string
}

// readNotice reads the body of a transfer: an envelope around an envelope.
func readNotice(body []byte, domain string) (notice, error) {
	outer, err := openEnvelope(body, nil, binxml.Limits{Bytes: 64 << 10})
	if err != nil {
		return notice{}, err
	}
	if outer.action != "OnewaySend" {
		return notice{}, fmt.Errorf("%w: action %.80q around it", ErrNotice, outer.action)
	}
	wrapped := outer.body
	if len(wrapped.Children) == 1 {
		wrapped = wrapped.Children[0]
	}
	raw, err := wrapped.Bytes()
	if err != nil {
		return notice{}, err
	}
	inner, err := openEnvelope(raw, nil, binxml.Limits{Bytes: 64 << 10})
	if err != nil {
		return notice{}, err
	}
	if inner.action != nsRelayed+"/RelayedConnect" {
		return notice{}, fmt.Errorf("%w: action %.80q", ErrNotice, inner.action)
	}
	connect := inner.body.Child(nsRelayed, "RelayedConnect")
	n := notice{
		id: connect.Child(nsRelayed, "Id").Text(), host: connect.Child(nsRelayed, "InstanceDnsAddress").Text(),
		port: connect.Child(nsRelayed, "HttpsPort").Text(),
	}
	if _, ok := parseGUID(n.id); !ok {
		return notice{}, fmt.Errorf("%w: its id is no GUID", ErrNotice)
	}
	if !Within(n.host, domain) {
		return notice{}, fmt.Errorf("%w: it leads to %.80q, which is no host of %s", ErrNotice, n.host, domain)
	}
	if n.port != "443" {
		return notice{}, fmt.Errorf("%w: it leads to port %.8q, not 443", ErrNotice, n.port)
	}
	return n, nil
}

// Within reports whether host is a plain DNS name below domain: no address, no port,
// no user, no trailing dot.
func Within(host, domain string) bool {
	host, domain = strings.ToLower(host), strings.ToLower(strings.Trim(domain, "."))
	if domain == "" || len(host) > 253 || net.ParseIP(host) != nil {
		return false
	}
	labels, ok := strings.CutSuffix(host, "."+domain)
	if !ok || labels == "" {
		return false
	}
	for label := range strings.SplitSeq(labels, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
