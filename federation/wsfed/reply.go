package wsfed

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// maxURL bounds an address in a request or a setting.
const maxURL = 2048

// errReply says why a text is not an address that a token may be sent to.
var errReply = errors.New("not an absolute https address")

// replyKey returns the form in which two addresses are compared: scheme https,
// host in lower case without the default port, path and query as they are. It
// refuses what could be read in two ways: user information, fragments,
// backslashes, blanks, control characters and anything that is not ASCII.
func replyKey(raw string) (string, error) {
	if raw == "" || len(raw) > maxURL {
		return "", fmt.Errorf("%w: %d bytes", errReply, len(raw))
	}
	for i := range len(raw) {
		if c := raw[i]; c <= 0x20 || c >= 0x7f || c == '\\' || c == '#' {
			return "", fmt.Errorf("%w: byte 0x%02x", errReply, c)
		}
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", errReply // url.Error repeats the text; the caller quotes it
	}
	if u.Scheme != "https" || u.Opaque != "" || u.User != nil || u.Fragment != "" || strings.Contains(u.Host, "@") {
		return "", errReply
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if host == "" || strings.HasSuffix(u.Host, ":") || strings.Contains(host, "%") {
		return "", fmt.Errorf("%w: host", errReply)
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" && port != "443" {
		host += ":" + port
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if path[0] != '/' {
		return "", errReply
	}
	key := "https://" + host + path
	if u.RawQuery != "" || u.ForceQuery {
		key += "?" + u.RawQuery
	}
	return key, nil
}

// origin returns scheme and host of an address, for Content-Security-Policy.
func origin(raw string) (string, error) {
	key, err := replyKey(raw)
	if err != nil {
		return "", err
	}
	end := strings.IndexByte(key[len("https://"):], '/')
	return key[:len("https://")+end], nil
}
