package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"
)

// maxDepth is how deep an answer may be nested; Graph's are 4 deep.
const maxDepth = 16

// object is a JSON object of an answer. Names are compared exactly and occur
// once: encoding/json alone would take "SIGNINGCERTIFICATE", or the last of two
// values, and what is shown could differ from what Microsoft acts on.
type object map[string]any

// errNotObject says that an answer is JSON, but no object.
var errNotObject = errors.New("the answer is not a JSON object")

// decodeObject reads exactly one JSON object.
func decodeObject(data []byte) (object, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("the answer is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := decodeValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	o, ok := v.(object)
	if !ok {
		return nil, errNotObject
	}
	return o, nil
}

func decodeValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("the answer is nested deeper than %d", maxDepth)
	}
	t, err := d.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		return decodeMembers(d, depth)
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	default:
		return t, nil
	}
}

func decodeMembers(d *json.Decoder, depth int) (any, error) {
	o := object{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if !ok {
			return nil, errors.New("a member has no name")
		}
		if _, twice := o[name]; twice {
			return nil, fmt.Errorf("the member %.60q is there twice", name)
		}
		if o[name], err = decodeValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return o, err
}

// reader reads members of an object and keeps the first that has a wrong type.
type reader struct {
	o   object
	err error
}

func (r *reader) wrong(name, want string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s is not %s", name, want)
	}
}

// text returns a string; one that is null or absent is empty.
func (r *reader) text(name string) string {
	switch v := r.o[name].(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		r.wrong(name, "a text")
		return ""
	}
}

// flag returns a boolean; one that is null or absent is false.
func (r *reader) flag(name string) bool {
	switch v := r.o[name].(type) {
	case nil:
		return false
	case bool:
		return v
	default:
		r.wrong(name, "true or false")
		return false
	}
}

// instant returns a time; one that is null or absent is zero.
func (r *reader) instant(name string) time.Time {
	s := r.text(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		r.wrong(name, "a time")
	}
	return t
}

// child returns an object, nil when it is null or absent.
func (r *reader) child(name string) object {
	switch v := r.o[name].(type) {
	case nil:
		return nil
	case object:
		return v
	default:
		r.wrong(name, "an object")
		return nil
	}
}

// texts returns a list of strings, empty when it is null or absent.
func (r *reader) texts(name string) []string {
	var out []string
	for _, v := range r.list(name) {
		s, ok := v.(string)
		if !ok {
			r.wrong(name, "a list of texts")
			return nil
		}
		out = append(out, s)
	}
	return out
}

func (r *reader) list(name string) []any {
	switch v := r.o[name].(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		r.wrong(name, "a list")
		return nil
	}
}

// objects returns a list of objects, which must be there.
func (r *reader) objects(name string) []object {
	if r.o[name] == nil {
		r.wrong(name, "there")
		return nil
	}
	var out []object
	for _, v := range r.list(name) {
		o, ok := v.(object)
		if !ok {
			r.wrong(name, "a list of objects")
			return nil
		}
		out = append(out, o)
	}
	return out
}
