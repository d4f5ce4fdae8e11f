package relay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// Endpoint is one relay path to listen on, as bootstrap hands it out.
type Endpoint struct {
	// Name is unique among the endpoints of one bootstrap.
	Name string
	// Namespace and Domain make the host: NAMESPACE.DOMAIN.
	Namespace, Domain string
	// Path is the service path, without slashes around it.
	Path string
	// KeyName and Key make SAS tokens. Key is used as the text that it is.
	KeyName, Key string
	// Reliable says that sessions speak WS-ReliableMessaging.
	Reliable bool
}

// Host is the relay's host name.
func (e Endpoint) Host() string { return strings.ToLower(e.Namespace + "." + e.Domain) }

// address is the relay URL of links; the trailing slash belongs to it.
func (e Endpoint) address() string {
	return "sb://" + e.Namespace + "." + e.Domain + "/" + e.Path + "/"
}

// Token returns a SAS token for the endpoint that holds until expiry.
func (e Endpoint) Token(expiry time.Time) string {
	resource := escape(strings.ToLower("http://" + e.Namespace + "." + e.Domain + "/" + e.Path + "/"))
	until := strconv.FormatInt(expiry.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(e.Key))
	mac.Write([]byte(resource + "\n" + until))
	signature := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return "SharedAccessSignature sr=" + resource + "&sig=" + escape(signature) + "&se=" + until + "&skn=" + escape(e.KeyName)
}

// escape is form URL encoding with lower-case hex, as .NET does it.
func escape(s string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9', strings.IndexByte("-_.!*()", c) >= 0:
			b.WriteByte(c)
		case c == ' ':
			b.WriteByte('+')
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
