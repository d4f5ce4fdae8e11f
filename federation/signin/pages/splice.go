package pages

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"sallyport/federation"
)

// Drawing a page through html/template costs a tenth of a signature. So the two
// pages that every sign-in shows are drawn once for each language and state, with
// a marker where a value of the request belongs, and cut there. html/template
// still decides what the page is; a request only copies the pieces and escapes
// the values between them.

// hole is a place in a page where a value goes.
type hole uint8

const (
	holeNonce hole = iota
	holeToken
	holeParty
	holeUser
	holeAction
	holeFields
	holes
)

// markers stand in the holes while a page is drawn. They are letters only, so
// that no escaper changes them, in any context.
var markers = [holes]string{
	holeNonce: "qxzNONCEzxq", holeToken: "qxzTOKENzxq", holeParty: "qxzPARTYzxq", holeUser: "qxzUSERzxq",
	holeAction: "https://qxzACTIONzxq.invalid/", holeFields: "\n" + `<input type="hidden" name="qxzNAMEzxq" value="qxzVALUEzxq">`,
}

// markedField is the field that holeFields replaces.
var markedField = federation.Field{Name: "qxzNAMEzxq", Value: "qxzVALUEzxq"}

// piece is a part of a page and the hole behind it.
type piece struct {
	text string
	then hole // holes: nothing follows
}

// state is what decides the shape of a page besides its values.
type state struct {
	language string
	handOver bool
	fresh    bool
	ticked   bool
	user     bool
	trouble  Trouble
}

// cut finds the markers of a drawn page. Each of want must be there.
func cut(page string, want ...hole) ([]piece, error) {
	for _, h := range want {
		if !strings.Contains(page, markers[h]) {
			return nil, fmt.Errorf("pages: template does not show value %d", h)
		}
	}
	var all []piece
	for {
		at, next := len(page), holes
		for h, m := range markers {
			if i := strings.Index(page, m); i >= 0 && i < at {
				at, next = i, hole(h)
			}
		}
		all = append(all, piece{page[:at], next})
		if next == holes {
			return all, nil
		}
		page = page[at+len(markers[next]):]
	}
}

// pieces returns the cut page of a state, drawing it at its first use. There are
// a few hundred states at most.
func (s *Set) pieces(key state, draw func() (*view, error), want ...hole) ([]piece, error) {
	if p, ok := s.cuts.Load(key); ok {
		return p.([]piece), nil
	}
	v, err := draw()
	if err != nil {
		return nil, err
	}
	v.s, v.lang, v.Nonce = s, s.languages[key.language], markers[holeNonce]
	var out strings.Builder
	if err := s.pages.ExecuteTemplate(&out, "page", v); err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	p, err := cut(out.String(), append(want, holeNonce)...)
	if err != nil {
		return nil, err
	}
	s.cuts.Store(key, p)
	return p, nil
}

// values fill the holes.
type values struct {
	nonce, token, party, user, action string
	fields                            []federation.Field
}

// buffers are reused; a buffer that held a huge page is left to the collector.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const maxKeptBuffer = 64 << 10

// join writes a page.
func join(out *bytes.Buffer, pieces []piece, v *values) {
	for _, p := range pieces {
		out.WriteString(p.text)
		switch p.then {
		case holeNonce:
			out.WriteString(v.nonce)
		case holeToken:
			escape(out, v.token)
		case holeParty:
			escape(out, v.party)
		case holeUser:
			escape(out, v.user)
		case holeAction:
			escape(out, v.action)
		case holeFields:
			for _, f := range v.fields {
				out.WriteString("\n" + `<input type="hidden" name="`)
				escape(out, f.Name)
				out.WriteString(`" value="`)
				escape(out, f.Value)
				out.WriteString(`">`)
			}
		}
	}
}

// entities are what html/template writes for characters in a quoted attribute or
// in text; all others stay.
var entities = [256]string{'"': "&#34;", '\'': "&#39;", '&': "&amp;", '<': "&lt;", '>': "&gt;", '+': "&#43;", 0: "\uFFFD"}

// special are the characters with an entity: a table of bytes stays in the
// processor's first cache, where the texts would not.
var special = [256]bool{'"': true, '\'': true, '&': true, '<': true, '>': true, '+': true, 0: true}

// escape writes s for a quoted attribute or for text, as html/template does. A
// token has some hundred characters to escape among its six thousand.
func escape(out *bytes.Buffer, s string) {
	b := out.AvailableBuffer()
	last := 0
	for i := 0; i < len(s); i++ {
		if !special[s[i]] {
			continue
		}
		b = append(b, s[last:i]...)
		b = append(b, entities[s[i]]...)
		last = i + 1
	}
	out.Write(append(b, s[last:]...))
}
