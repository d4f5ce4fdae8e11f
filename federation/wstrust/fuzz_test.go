package wstrust_test

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/federation/wstrust"
)

// lenient counts the elements of a name as a reader without any care would see
// them, and returns the text of the last one.
func lenient(body []byte, name string) (n int, text string) {
	d := xml.NewDecoder(bytes.NewReader(body))
	d.Strict = false
	var b strings.Builder
	depth := 0
	for {
		tok, err := d.Token()
		if err != nil {
			return n, b.String()
		}
		switch el := tok.(type) {
		case xml.StartElement:
			if depth > 0 {
				depth++
			} else if el.Name.Local == name && strings.Contains(el.Name.Space, "wssecurity-secext-1.0") {
				n++
				depth = 1
				b.Reset()
			}
		case xml.EndElement:
			if depth > 0 {
				depth--
			}
		case xml.CharData:
			if depth > 0 {
				b.Write(el)
			}
		}
	}
}

// FuzzParse: what is accepted has exactly one user name and one password, also for
// a careless reader, and both are what that reader sees.
func FuzzParse(f *testing.F) {
	for _, v := range wstrust.Versions() {
		f.Add([]byte(message{version: v, id: "urn:uuid:1"}.String()), v == wstrust.Trust13)
		f.Add([]byte(message{version: v, tokenType: "urn:oasis:names:tc:SAML:2.0:assertion", password: "<![CDATA[a&b]]>"}.String()), v == wstrust.Trust13)
		f.Add([]byte(message{version: v, header: `<x:y xmlns:x="urn:x"><x:z/></x:y>`}.String()), v == wstrust.Trust13)
	}
	f.Add([]byte(m13("alice@contoso.test", "alice@contoso.test</wsse:Username><wsse:Username>bob@contoso.test")), true)
	f.Add([]byte(m13("<wsse:Security", "<wsse:Username "+nsWSSE+">bob</wsse:Username><wsse:Security")), true)
	f.Fuzz(func(t *testing.T, body []byte, modern bool) {
		v := wstrust.Feb2005
		if modern {
			v = wstrust.Trust13
		}
		req, err := wstrust.Parse(body, target(v))
		if err != nil {
			if req != nil {
				t.Fatal("a request beside an error")
			}
			return
		}
		for name, got := range map[string]string{"Username": req.Name, "Password": string(req.Password.Bytes())} {
			if n, text := lenient(body, name); n != 1 || text != got {
				t.Fatalf("%d %s: a careless reader sees %q, this one %q", n, name, text, got)
			}
		}
		if req.AppliesTo == "" && !bytes.Contains(body, []byte("Address")) || len(req.MessageID) > 256 || req.Lifetime < 0 || req.Lifetime > 0 && req.Lifetime < time.Minute {
			t.Fatalf("%+v", req)
		}
	})
}

// FuzzServe: whatever is posted, the answer is a fault, a bare status or a token,
// always well-formed, and a token is only given for the right password.
func FuzzServe(f *testing.F) {
	f.Add(message{id: "urn:uuid:1"}.String(), "application/soap+xml")
	f.Add(message{id: "<&>"}.String(), "application/soap+xml; charset=utf-8")
	f.Add(message{password: "wrong", id: `"`}.String(), "application/soap+xml")
	f.Add("<", "text/xml")
	g := newRig(f, nil)
	f.Fuzz(func(t *testing.T, body, kind string) {
		before := len(g.people.secrets)
		w := g.send(body, 0, outsider, "Content-Type: "+strings.Map(func(r rune) rune {
			if r < 0x20 || r > 0x7e {
				return -1
			}
			return r
		}, kind))
		switch {
		case w.Code == 200:
			if len(g.people.secrets) != before+1 || !strings.HasSuffix(g.people.secrets[before], "\x00"+right) || !strings.Contains(w.Body.String(), "<saml:Assertion ") {
				t.Fatalf("a token for %q", body)
			}
		case w.Code == 500:
			readFault(t, w)
		case w.Body.Len() != 0:
			t.Fatalf("status %d with a body: %q", w.Code, w.Body)
		}
		if w.Body.Len() > 0 {
			d := xml.NewDecoder(w.Body)
			for {
				if tok, err := d.Token(); tok == nil {
					break
				} else if err != nil {
					t.Fatalf("not XML: %v", err)
				}
			}
		}
	})
}

// FuzzMessageID: what a client sends comes back as it was or not at all.
func FuzzMessageID(f *testing.F) {
	for _, s := range []string{"urn:uuid:1", "]]>", "<x/>", "a&b", "\r\n", "é", `"'`, "</a:RelatesTo>"} {
		f.Add(s)
	}
	g := newRig(f, nil)
	g.people.verdict["alice@contoso.test"] = authn.Result{Reason: authn.Unavailable}
	f.Fuzz(func(t *testing.T, id string) {
		w := g.send(message{id: escape(id)}.String(), 0, outsider)
		if w.Code != 500 {
			t.Fatalf("status %d", w.Code)
		}
		if got := readFault(t, w).RelatesTo; got != "" && strings.TrimSpace(got) != strings.TrimSpace(strings.ToValidUTF8(id, "\ufffd")) && !strings.ContainsAny(id, "\r\x00") && got != strings.TrimSpace(clean(id)) {
			t.Fatalf("%q came back as %q", id, got)
		}
	})
}

// clean is what encoding/xml makes of a text when it escapes it.
func clean(s string) string {
	var v struct {
		S string `xml:",chardata"`
	}
	_ = xml.Unmarshal([]byte("<a>"+escape(s)+"</a>"), &v)
	return v.S
}
