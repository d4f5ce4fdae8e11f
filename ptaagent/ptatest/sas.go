package ptatest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// judgeToken judges a SAS token for an endpoint (7.3) and gives its expiry.
func judgeToken(token string, e Endpoint, now time.Time, ttl time.Duration) (time.Time, error) {
	rest, ok := strings.CutPrefix(token, "SharedAccessSignature ")
	if !ok {
		return time.Time{}, fmt.Errorf("the SAS token does not begin with SharedAccessSignature")
	}
	parts := strings.Split(rest, "&")
	values := make([]string, 4)
	if len(parts) != 4 {
		return time.Time{}, fmt.Errorf("the SAS token has %d fields", len(parts))
	}
	for i, name := range []string{"sr", "sig", "se", "skn"} {
		raw, ok := strings.CutPrefix(parts[i], name+"=")
		if !ok {
			return time.Time{}, fmt.Errorf("field %d of the SAS token is not %s", i+1, name)
		}
		v, err := url.QueryUnescape(raw)
		if err != nil || formEncode(v) != raw {
			return time.Time{}, fmt.Errorf("%s of the SAS token is not form encoded with lower-case hex", name)
		}
		values[i] = v
	}
	if want := "http://" + e.Host() + "/" + e.Path + "/"; !strings.EqualFold(values[0], want) {
		return time.Time{}, fmt.Errorf("the SAS token is for %q instead of %q", clip(values[0]), want)
	}
	if values[3] != e.KeyName {
		return time.Time{}, fmt.Errorf("the SAS token names the key %q", clip(values[3]))
	}
	mac := hmac.New(sha256.New, []byte(e.Key))
	mac.Write([]byte(strings.TrimPrefix(parts[0], "sr=") + "\n" + values[2]))
	sig, err := base64.StdEncoding.DecodeString(values[1])
	if err != nil || !hmac.Equal(sig, mac.Sum(nil)) {
		return time.Time{}, fmt.Errorf("the SAS token's signature is wrong")
	}
	se, err := strconv.ParseInt(values[2], 10, 64)
	if err != nil || strconv.FormatInt(se, 10) != values[2] {
		return time.Time{}, fmt.Errorf("se of the SAS token is %q", clip(values[2]))
	}
	expires := time.Unix(se, 0)
	if !now.Before(expires) {
		return time.Time{}, fmt.Errorf("the SAS token expired %s ago", now.Sub(expires).Round(time.Second))
	}
	if limit := now.Add(ttl + time.Minute); expires.After(limit) {
		return time.Time{}, fmt.Errorf("the SAS token lives %s longer than allowed", expires.Sub(limit).Round(time.Second))
	}
	return expires, nil
}

// formEncode is the form encoding of .NET: lower-case hex, space as plus.
func formEncode(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.!*()", c) >= 0:
			b.WriteByte(c)
		case c == ' ':
			b.WriteByte('+')
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}
