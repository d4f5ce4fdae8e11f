package web

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"sallyport/federation"
)

// MaxParams is how many parameters a query or a form may have.
const MaxParams = 64

// maxParamName bounds a parameter's name; protocols know none longer than 20.
const maxParamName = 128

// Param is one decoded parameter.
type Param struct{ Name, Value string }

// Params are the parameters of one query or one form, in order and never of both:
// a protocol that merges them lets a link override what a form says.
type Params []Param

// ErrParams says that a query or form is malformed; the text says how, without
// the values.
var ErrParams = errors.New("web: malformed parameters")

// ParseParams decodes application/x-www-form-urlencoded text. Every % needs two
// hexadecimal digits; a semicolon is a character like others; at most
// [MaxParams] parameters are taken. Empty pairs ("a=1&&b=2") are skipped.
func ParseParams(raw string) (Params, error) {
	if raw == "" {
		return nil, nil
	}
	n := strings.Count(raw, "&") + 1
	if n > MaxParams {
		return nil, fmt.Errorf("%w: %d parameters, at most %d are allowed", ErrParams, n, MaxParams)
	}
	out := make(Params, 0, n)
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		decodedName, err := url.QueryUnescape(name)
		if err != nil || len(decodedName) > maxParamName {
			return nil, fmt.Errorf("%w: the name of parameter %d", ErrParams, len(out)+1)
		}
		decoded, err := url.QueryUnescape(value)
		if err != nil {
			return nil, fmt.Errorf("%w: the value of parameter %d", ErrParams, len(out)+1)
		}
		out = append(out, Param{Name: decodedName, Value: decoded})
	}
	return out, nil
}

// Has reports whether a parameter of that name is there, whatever its case.
func (p Params) Has(name string) bool {
	for i := range p {
		if strings.EqualFold(p[i].Name, name) {
			return true
		}
	}
	return false
}

// One returns the value of the parameter of that name, without regard to the
// name's case as AD FS reads it. It is an error when the parameter is there more
// than once, in any spelling: two readers of such a request would not agree.
func (p Params) One(name string) (value string, present bool, err error) {
	for i := range p {
		if !strings.EqualFold(p[i].Name, name) {
			continue
		}
		if present {
			return "", true, fmt.Errorf("%w: %s is given more than once", ErrParams, name)
		}
		value, present = p[i].Value, true
	}
	return value, present, nil
}

// values returns p in the shape of net/url, for handlers that read r.PostForm.
func (p Params) values() url.Values {
	v := make(url.Values, len(p))
	for i := range p {
		v[p[i].Name] = append(v[p[i].Name], p[i].Value)
	}
	return v
}

// Form reads the body of a POST as a form, within the route's body cap, and keeps
// it as r.PostForm and r.Form: after it, r.FormValue and r.ParseForm see the form
// only, never the query. Any other content type is refused with 415; multipart is
// never read.
func Form(r *http.Request) (Params, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, &federation.Error{Problem: federation.ProblemBadRequest, Status: http.StatusUnsupportedMediaType,
			Cause: fmt.Errorf("web: content type %.60q is not a form", r.Header.Get("Content-Type"))}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("web: reading the form: %w", err)
	}
	params, err := ParseParams(string(body))
	clear(body)
	if err != nil {
		return nil, federation.Refuse(federation.ProblemBadRequest, nil, err)
	}
	r.PostForm = params.values()
	r.Form = r.PostForm
	return params, nil
}

// Encode returns p as a query, in order.
func (p Params) Encode() string {
	var b strings.Builder
	for i := range p {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p[i].Name))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(p[i].Value))
	}
	return b.String()
}
