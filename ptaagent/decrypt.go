package ptaagent

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"sallyport/authn"
)

// errNoEntry says that a request carries no usable entry for a key of ours. Why
// stays on this machine.
var errNoEntry = errors.New("no entry of the request can be decrypted here")

// ours returns the entry that is encrypted to a certificate of ours.
func (id *Identity) ours(list []entry) (entry, *credential) {
	for _, e := range list {
		agent, thumbprint, ok := strings.Cut(e.KeyIdentifer, "_")
		if !ok || !strings.EqualFold(agent, id.agent) {
			continue
		}
		if c := id.find(strings.ToUpper(thumbprint)); c != nil {
			return e, c
		}
	}
	return entry{}, nil
}

// number is what all spellings of one ciphertext share: the number that is encrypted,
// without the line breaks that Base64 may have and the zeros before it.
func (e entry) number() string {
	raw, err := base64.StdEncoding.Strict().DecodeString(e.Base64EncryptedData)
	if err != nil {
		return e.Base64EncryptedData // cannot be decrypted in any spelling
	}
	return string(bytes.TrimLeft(raw, "\x00"))
}

// oaep is how passwords are encrypted.
var oaep = &rsa.OAEPOptions{Hash: crypto.SHA1}

// decrypt returns the password of an entry: RSA-OAEP with SHA-1 (RFC 8017 §7.1)
// around {"Password":"…"}.
func decrypt(c *credential, e entry) (*authn.Password, error) {
	if c == nil {
		return nil, fmt.Errorf("%w: none is for a key of ours", errNoEntry)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(e.Base64EncryptedData)
	if err != nil {
		return nil, fmt.Errorf("%w: not Base64", errNoEntry)
	}
	plain, err := c.key.Decrypt(nil, raw, oaep)
	if errors.Is(err, ErrKeyAway) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoEntry, err)
	}
	defer clear(plain)
	var content struct{ Password *secret }
	if err := json.Unmarshal(plain, &content); err != nil || content.Password == nil {
		if content.Password != nil {
			clear(*content.Password)
		}
		return nil, fmt.Errorf("%w: not the JSON of a password", errNoEntry)
	}
	return authn.NewPassword(*content.Password), nil
}

// secret is a JSON string that never becomes a Go string.
type secret []byte

var errEscape = errors.New("not a JSON string")

// UnmarshalJSON implements [json.Unmarshaler]. What is not UTF-16 is refused rather
// than replaced: two passwords must not become one. Nor is there a second one.
func (s *secret) UnmarshalJSON(b []byte) error {
	if len(b) < 2 || b[0] != '"' || *s != nil {
		return errEscape
	}
	b = b[1 : len(b)-1]
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		if b[i] != '\\' {
			out = append(out, b[i])
			i++
			continue
		}
		switch c := b[i+1]; c {
		case 'u':
			r, n := codePoint(b[i:])
			if n == 0 {
				clear(out)
				return errEscape
			}
			out = utf8.AppendRune(out, r)
			i += n
			continue
		case 'b', 'f', 'n', 'r', 't':
			out = append(out, map[byte]byte{'b': 8, 'f': 12, 'n': 10, 'r': 13, 't': 9}[c])
		default:
			out = append(out, c)
		}
		i += 2
	}
	*s = out
	return nil
}

// codePoint reads \uXXXX, or a pair of them; n is 0 for half a pair.
func codePoint(b []byte) (r rune, n int) {
	unit := func(b []byte) (rune, bool) {
		if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
			return 0, false
		}
		v, err := strconv.ParseUint(string(b[2:6]), 16, 16)
		return rune(v), err == nil
	}
	first, ok := unit(b)
	switch {
	case !ok:
		return 0, 0
	case !utf16.IsSurrogate(first):
		return first, 6
	}
	second, ok := unit(b[6:])
	if r := utf16.DecodeRune(first, second); ok && r != utf8.RuneError {
		return r, 12
	}
	return 0, 0
}
