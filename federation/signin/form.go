package signin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"sallyport/authn"
	"sallyport/federation"
)

// maxForm bounds the body of our own form, maxFields the number of its fields.
const (
	maxForm   = 64 << 10
	maxFields = 16
)

// form is our own form as it came back.
type form struct {
	token, action, language, name string
	keep                          bool
	// password holds the bytes as sent. Whoever reads the form wipes it.
	password *authn.Password
}

var errForm = errors.New("signin: malformed form")

// kept is a body that was read ahead and can be read again.
type kept struct {
	bytes.Reader
	raw []byte
}

// Close implements io.Closer.
func (*kept) Close() error { return nil }

// Owns reports whether a POST is our own form, which has a field t, and keeps its
// body for [Flow.Continue]. A dispatcher that asks Owns first leaves the password
// as bytes that can be wiped; one that parses the form into r.PostForm makes
// strings of it, which live until the garbage collector takes them. Continue
// accepts both.
func Owns(r *http.Request) (bool, error) {
	if r.Method != http.MethodPost || r.PostForm != nil || !isForm(r) {
		return r.PostForm.Has("t"), nil
	}
	raw, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxForm))
	if err != nil {
		return false, fmt.Errorf("signin: reading the form: %w", err)
	}
	k := &kept{raw: raw}
	k.Reset(raw)
	r.Body = k
	return bytes.HasPrefix(raw, []byte("t=")) || bytes.Contains(raw, []byte("&t=")), nil
}

func isForm(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/x-www-form-urlencoded"
}

// readForm reads our form from r.PostForm, from a body kept by [Owns], or from
// the body itself.
func readForm(w http.ResponseWriter, r *http.Request) (*form, error) {
	f := &form{password: authn.NewPassword(nil)}
	if r.PostForm != nil {
		return f, f.readParsed(r)
	}
	if !isForm(r) {
		return f, &federation.Error{Problem: federation.ProblemBadRequest, Status: http.StatusUnsupportedMediaType, Cause: errForm}
	}
	var raw []byte
	if k, ok := r.Body.(*kept); ok {
		raw, k.raw = k.raw, nil
	} else {
		var err error
		if raw, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm)); err != nil {
			return f, fmt.Errorf("signin: reading the form: %w", err)
		}
	}
	defer clear(raw)
	if err := f.parse(raw); err != nil {
		return f, federation.Refuse(federation.ProblemBadRequest, nil, err)
	}
	return f, nil
}

// readParsed takes the fields out of r.PostForm, the password first of all.
func (f *form) readParsed(r *http.Request) error {
	values := r.PostForm
	defer func() {
		delete(values, "password")
		delete(r.Form, "password")
	}()
	for name, all := range values {
		if len(all) != 1 && f.field(name) {
			return federation.Refuse(federation.ProblemBadRequest, nil, fmt.Errorf("%w: %.20q stands %d times", errForm, name, len(all)))
		}
		if len(all) > 0 {
			f.set(name, []byte(all[0]))
		}
	}
	return nil
}

// parse reads application/x-www-form-urlencoded text in place.
func (f *form) parse(raw []byte) error {
	if bytes.Count(raw, []byte("&")) >= maxFields {
		return fmt.Errorf("%w: too many fields", errForm)
	}
	seen := make(map[string]bool, maxFields)
	for len(raw) > 0 {
		var pair []byte
		pair, raw, _ = bytes.Cut(raw, []byte("&"))
		rawName, rawValue, _ := bytes.Cut(pair, []byte("="))
		name, err := decode(rawName)
		if err != nil {
			return err
		}
		value, err := decode(rawValue)
		if err != nil {
			return err
		}
		if !f.field(string(name)) {
			continue
		}
		if seen[string(name)] {
			return fmt.Errorf("%w: %s stands twice", errForm, name)
		}
		seen[string(name)] = true
		f.set(string(name), value)
	}
	return nil
}

// field reports whether name is one of ours; others are ignored.
func (*form) field(name string) bool {
	switch name {
	case "t", "action", "lang", "username", "keep", "password":
		return true
	}
	return false
}

func (f *form) set(name string, value []byte) {
	switch name {
	case "t":
		f.token = string(value)
	case "action":
		f.action = string(value)
	case "lang":
		f.language = string(value)
	case "username":
		f.name = string(value)
	case "keep":
		f.keep = string(value) == "1"
	case "password":
		f.password = authn.NewPassword(bytes.Clone(value))
	}
}

// decode undoes the encoding of one name or value in place.
func decode(b []byte) ([]byte, error) {
	out := b[:0]
	for i := 0; i < len(b); i++ {
		switch c := b[i]; c {
		case '+':
			out = append(out, ' ')
		case '%':
			if i+2 >= len(b) {
				return nil, errForm
			}
			hi, lo := unhex(b[i+1]), unhex(b[i+2])
			if hi < 0 || lo < 0 {
				return nil, errForm
			}
			out = append(out, byte(hi<<4|lo))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return out, nil
}

// unhex returns the value of a hexadecimal digit, -1 for anything else.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
