package xmlsec_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport/federation/internal/xmlsec"
)

func TestX02_W3CSuite(t *testing.T) {
	var malformed, doctypes, accepted, prolog int
	for _, c := range w3cSuite(t) {
		_, err := xmlsec.Parse(c.data, xmlsec.Imported())
		switch c.Gate {
		case "accept":
			if err != nil {
				t.Errorf("%s: refused: %v", c.File, err)
				continue
			}
			accepted++
			// Messages allow less: then the reason must be a comment or an
			// instruction, nothing else.
			if _, err := xmlsec.Parse(c.data, xmlsec.Message(samlMax)); errors.Is(err, xmlsec.ErrForbidden) {
				prolog++
			} else if err != nil {
				t.Errorf("%s: refused as a message: %v", c.File, err)
			}
		case "reject":
			if err == nil {
				t.Errorf("%s: accepted, but it is %s", c.File, c.Why)
				continue
			}
			if _, err := xmlsec.Parse(c.data, xmlsec.Message(samlMax)); err == nil {
				t.Errorf("%s: accepted as a message, but it is %s", c.File, c.Why)
			}
			if c.Doctype {
				doctypes++
			} else {
				malformed++
			}
		}
	}
	t.Logf("refused: %d not well-formed, %d with DOCTYPE; accepted: %d (%d of them hold comments or instructions, which messages may not)",
		malformed, doctypes, accepted, prolog)
	if malformed != 243 || doctypes != 1647 || accepted != 58 {
		t.Error("want 243 and 1,647 refused and 58 accepted")
	}
}

// message is a document that the gate accepts; the tests below change it.
const message = `<p:Request xmlns:p="urn:p" xmlns:a="urn:a" ID="_1" Version="2.0"><a:Issuer>good.evil</a:Issuer><p:Child a:x="1" x="2"/></p:Request>`

func accept(t *testing.T, doc string, rules xmlsec.Rules) *xmlsec.Document {
	t.Helper()
	d, err := xmlsec.Parse([]byte(doc), rules)
	if err != nil {
		t.Fatalf("refused: %v\n%.300s", err, doc)
	}
	return d
}

func wantKind(t *testing.T, doc string, rules xmlsec.Rules, kind error) {
	t.Helper()
	d, err := xmlsec.Parse([]byte(doc), rules)
	if !errors.Is(err, kind) {
		t.Errorf("error %v, want %v\n%.300s", err, kind, doc)
	}
	var g *xmlsec.GateError
	if err != nil && !errors.As(err, &g) {
		t.Errorf("error %v is not a GateError\n%.300s", err, doc)
	}
	if d != nil {
		t.Errorf("a refused document was returned\n%.300s", doc)
	}
}

func inject(old, new string) string {
	if !strings.Contains(message, old) {
		panic("the message does not hold " + old)
	}
	return strings.Replace(message, old, new, 1)
}

func TestX01_DoctypeRefusedAnywhere(t *testing.T) {
	accept(t, message, xmlsec.Imported())
	const dt = `<!DOCTYPE p:Request [<!ENTITY e SYSTEM "http://127.0.0.1:1/"><!ENTITY f "x">]>`
	for name, doc := range map[string]string{
		"before the root": dt + message, "after the declaration": `<?xml version="1.0"?>` + dt + message,
		"inside the root": inject("<p:Child", dt+"<p:Child"), "inside text": inject("good.", "good."+dt),
		"after the root": message + dt, "in a comment": "<!--" + dt + "-->" + message,
		"in CDATA": inject("good.", "<![CDATA["+dt+"]]>"),
	} {
		t.Run(name, func(t *testing.T) {
			for _, rules := range allRules() {
				wantKind(t, doc, rules, xmlsec.ErrDoctype)
			}
		})
	}
	for name, doc := range map[string]string{
		"entity": inject("good", "&e;"), "entity in attribute": inject(`Version="2.0"`, `Version="&e;"`),
		"parameter entity": inject("good", "%e;&e;"), "HTML entity": inject("good", "&nbsp;"),
		"lower case": "<!doctype x>" + message, "element declaration": "<!ELEMENT x ANY>" + message,
		"no semicolon": inject("good", "&amp"), "no name": inject("good", "&;"),
	} {
		t.Run(name, func(t *testing.T) { wantKind(t, doc, xmlsec.Imported(), xmlsec.ErrMalformed) })
	}
	d := accept(t, inject("good", "&lt;&amp;&gt;&quot;&apos;&#65;&#x42;"), xmlsec.Message(samlMax))
	if text, err := xmlsec.Text(d.Unverified().ChildElements()[0]); err != nil || text != `<&>"'AB.evil` {
		t.Errorf("references read as %q, %v", text, err)
	}
}

// The published XXE files are refused, and reading them touches neither network
// nor files.
func TestX01_XXEFilesTouchNothing(t *testing.T) {
	dir := filepath.Join(vectors(t), "payloads-all-the-things")
	var connections atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { connections.Add(1) }))
	defer srv.Close()
	canary := filepath.Join(t.TempDir(), "canary")
	if err := os.WriteFile(canary, []byte("CANARY"), 0o600); err != nil {
		t.Fatal(err)
	}
	var docs []string
	files, err := filepath.Glob(filepath.Join(dir, "XXE_*"))
	if err != nil || len(files) < 6 {
		t.Fatalf("%d XXE files, %v", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, string(b))
		docs = append(docs, strings.Split(string(b), "\n")...)
	}
	for _, target := range []string{srv.URL, "file://" + canary} {
		docs = append(docs,
			`<!DOCTYPE a SYSTEM "`+target+`"><a/>`, `<!DOCTYPE a [<!ENTITY e SYSTEM "`+target+`">]><a>&e;</a>`,
			`<!DOCTYPE a [<!ENTITY % e SYSTEM "`+target+`"> %e;]><a/>`, `<a><!DOCTYPE a [<!ENTITY e SYSTEM "`+target+`">]>&e;</a>`)
	}
	refused := 0
	for _, doc := range docs {
		d, err := xmlsec.Parse([]byte(doc), xmlsec.Imported())
		if strings.Contains(doc, "<!DOCTYPE") || strings.Contains(doc, "<!ENTITY") {
			refused++
			if err == nil {
				t.Errorf("accepted: %.200s", doc)
			}
		}
		if d != nil {
			if text, _ := xmlsec.Text(d.Unverified()); strings.Contains(text, "CANARY") {
				t.Error("the file's content is in the tree")
			}
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
	t.Logf("%d documents with DOCTYPE refused", refused)
}

func TestX02_NotXML(t *testing.T) {
	for name, doc := range map[string]string{
		"empty": "", "blanks": "  \n", "no markup": "hello", "declaration only": `<?xml version="1.0"?>`,
		"second root": message + "<x/>", "text before": "x" + message, "text after": message + "x", "end tag after": message + "</x>",
		"CDATA after": message + "<![CDATA[x]]>", "reference after": message + "&amp;",
		"undeclared element prefix": inject("<p:Child", "<q:Child"), "undeclared attribute prefix": inject("a:x=", "q:x="),
		"same attribute twice": inject(`ID="_1"`, `ID="_1" ID="_2"`), "same name by two prefixes": `<r xmlns:a="urn:x" xmlns:b="urn:x" a:y="1" b:y="2"/>`,
		"same namespace by references": `<r xmlns:a="urn:x" xmlns:b="urn:&#120;" a:y="1" b:y="2"/>`,
		"prefix unbound":               inject("<p:Child", `<p:Child xmlns:a=""`), "prefix xmlns declared": `<r xmlns:xmlns="urn:x"/>`,
		"prefix xml rebound": `<r xmlns:xml="urn:x"/>`, "xml namespace by another prefix": `<r xmlns:x="http://www.w3.org/XML/1998/namespace"/>`,
		"xmlns namespace": `<r xmlns:x="http://www.w3.org/2000/xmlns/"/>`, "xml as default": `<r xmlns="http://www.w3.org/XML/1998/namespace"/>`,
		"element xmlns:x": `<xmlns:x/>`, "relative namespace": `<r xmlns="x"/>`, "namespace that is no URI": `<r xmlns:x="urn:a b"/>`,
		"namespace with a line break": "<r xmlns='urn:a\nb'/>", "two colons": `<a:b:c xmlns:a="urn:a"/>`, "leading colon": `<:a/>`, "trailing colon": `<a:/>`,
		"mismatched tags": `<a><b></a></b>`, "unclosed": `<a><b></b>`, "unclosed tag": `<a`, "unclosed value": `<a b="c>`, "no quotes": `<a b=c/>`,
		"no value": `<a b/>`, "no space between attributes": `<a b="1"c="2"/>`, "less-than in value": `<a b="<"/>`, "]]> in text": `<a>]]></a>`,
		"space before name": `< a/>`, "space in end tag": `<a>< /a>`, "empty name": `<></>`, "digit first": `<1a/>`, "slash inside": `<a / >`,
		"bare ampersand": `<a>&</a>`, "reference without digits": `<a>&#;</a>`, "reference too big": `<a>&#x110000;</a>`,
		"reference overflow": `<a>&#99999999999999999999;</a>`, "hex letter in decimal": `<a>&#6A;</a>`, "capital X": `<a>&#X41;</a>`,
		"surrogate reference": `<a>&#xD800;</a>`, "declaration not first": ` <?xml version="1.0"?><a/>`, "XML target": `<?XmL x?><a/>`,
		"version 1.1": `<?xml version="1.1"?><a/>`, "no version": `<?xml encoding="UTF-8"?><a/>`, "UTF-16 declared": `<?xml version="1.0" encoding="UTF-16"?><a/>`,
		"Latin-1 declared": `<?xml version="1.0" encoding="ISO-8859-1"?><a/>`, "standalone maybe": `<?xml version="1.0" standalone="maybe"?><a/>`,
		"wrong order": `<?xml version="1.0" standalone="yes" encoding="UTF-8"?><a/>`, "UTF-16 bytes": "\xFF\xFE<\x00a\x00/\x00>\x00",
		"broken UTF-8": "<a>\xC3\x28</a>", "overlong": "<a>\xC0\xAF</a>", "CESU-8 surrogates": "<a>\xED\xA0\x80\xED\xB0\x80</a>",
		"two byte order marks": "\uFEFF\uFEFF<a/>", "-- in comment": "<!-- a -- b --><a/>", "comment ends --->": "<!-- a ---><a/>",
		"short comment": "<!--><a/>", "shorter comment": "<!---><a/>", "unclosed comment": "<a/><!-- x", "unclosed instruction": "<a/><?x y",
		"instruction with colon": "<?a:b c?><a/>", "unclosed CDATA": "<a><![CDATA[x]]</a>", "instruction glued": `<?a"b?><a/>`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, rules := range allRules() {
				wantKind(t, doc, rules, xmlsec.ErrMalformed)
			}
		})
	}
	for name, doc := range map[string]string{
		"plain": message, "byte order mark": "\uFEFF" + message, "declaration": `<?xml version='1.0' encoding="utf-8" standalone='no' ?>` + "\r\n" + message + "\n",
		"CDATA": inject("good", "<![CDATA[<good>&]]>"), "xml prefix": inject("<p:Child", `<p:Child xml:lang="en"`),
		"attributes that differ by namespace": `<r xmlns="urn:x" xmlns:a="urn:x" a:y="1" y="2"/>`, "default unbound": `<r xmlns="urn:x"><r xmlns=""/></r>`,
		"non-ASCII names": `<é:ñ xmlns:é="urn:e" 中="1"/>`, "astral text": "<a>\U0001F511</a>", "spaces in tags": "<a  b = '1'\n></a >",
	} {
		t.Run(name, func(t *testing.T) {
			for _, rules := range allRules() {
				accept(t, doc, rules)
			}
		})
	}
}

// A comment must never hide the tail of a text from a reader.
func TestX03_CommentsAndInstructions(t *testing.T) {
	for name, doc := range map[string]string{
		"in text": inject("good.evil", "good<!--x-->.evil"), "empty": inject("good.evil", "good<!---->.evil"),
		"before the root": "<!--x-->" + message, "after the root": message + "<!--x-->", "between elements": inject("<p:Child", "<!--x--><p:Child"),
	} {
		t.Run(name, func(t *testing.T) {
			wantKind(t, doc, xmlsec.Message(samlMax), xmlsec.ErrForbidden)
			root := accept(t, doc, xmlsec.Imported()).Unverified()
			if got, want := flat(root), flat(accept(t, message, xmlsec.Imported()).Unverified()); got != want {
				t.Errorf("the tree with a comment is another one:\n%s", got)
			}
			issuer, err := xmlsec.One(root, "urn:a", "Issuer")
			if err != nil {
				t.Fatal(err)
			}
			if text, err := xmlsec.Text(issuer); err != nil || text != "good.evil" || issuer.Text() != "good.evil" {
				t.Errorf("issuer reads %q and %q, want the whole text", text, issuer.Text())
			}
		})
	}
	for name, doc := range map[string]string{
		"instruction in text": inject("good.evil", "good<?x y?>.evil"), "instruction between elements": inject("<p:Child", "<?x?><p:Child"),
	} {
		t.Run(name, func(t *testing.T) {
			for _, rules := range allRules() {
				wantKind(t, doc, rules, xmlsec.ErrForbidden)
			}
		})
	}
	style := `<?xml version="1.0"?><?xml-stylesheet href="x"?>` + message + "<?end?>"
	wantKind(t, style, xmlsec.Message(samlMax), xmlsec.ErrForbidden)
	accept(t, style, xmlsec.Imported())

	root := accept(t, inject("good.evil", "good<p:x/>.evil"), xmlsec.Message(samlMax)).Unverified()
	if text, err := xmlsec.Text(root.ChildElements()[0]); !errors.Is(err, xmlsec.ErrShape) || text != "" {
		t.Errorf("text of an element with a child: %q, %v", text, err)
	}
	if text, err := xmlsec.Text(accept(t, inject("good.evil", "good<![CDATA[.ev]]>il"), xmlsec.Imported()).Unverified().ChildElements()[0]); err != nil || text != "good.evil" {
		t.Errorf("text around CDATA: %q, %v", text, err)
	}
}

// Look-ups are by namespace, name and exact count.
func TestX05_Lookups(t *testing.T) {
	const (
		p   = `xmlns:p="urn:p" xmlns:a="urn:a"`
		one = `<p:R ` + p + `><a:Issuer>x</a:Issuer></p:R>`
	)
	for name, c := range map[string]struct {
		doc string
		ok  bool
	}{
		"one":                      {one, true},
		"one by default namespace": {`<p:R ` + p + `><Issuer xmlns="urn:a">x</Issuer></p:R>`, true},
		"none":                     {`<p:R ` + p + `/>`, false},
		"two":                      {`<p:R ` + p + `><a:Issuer>x</a:Issuer><a:Issuer>y</a:Issuer></p:R>`, false},
		"wrong namespace":          {`<p:R ` + p + `><p:Issuer>x</p:Issuer></p:R>`, false},
		"no namespace":             {`<p:R ` + p + `><Issuer>x</Issuer></p:R>`, false},
		"prefix bound to another":  {`<p:R ` + p + `><a:Issuer xmlns:a="urn:evil">x</a:Issuer></p:R>`, false},
		"deeper":                   {`<p:R ` + p + `><p:X><a:Issuer>x</a:Issuer></p:X></p:R>`, false},
		"other case":               {`<p:R ` + p + `><a:issuer>x</a:issuer></p:R>`, false},
	} {
		t.Run(name, func(t *testing.T) {
			root := accept(t, c.doc, xmlsec.Message(samlMax)).Unverified()
			e, err := xmlsec.One(root, "urn:a", "Issuer")
			if c.ok != (err == nil) || c.ok != (e != nil) || err != nil && !errors.Is(err, xmlsec.ErrShape) {
				t.Errorf("One: %v, %v", e, err)
			}
			if o, err := xmlsec.Optional(root, "urn:a", "Issuer"); (err != nil) != (name == "two") || (o != nil) != c.ok {
				t.Errorf("Optional: %v, %v", o, err)
			}
		})
	}
	child := accept(t, message, xmlsec.Message(samlMax)).Unverified().ChildElements()[1]
	if v, ok := xmlsec.Attr(child, "x"); !ok || v != "2" {
		t.Errorf("attribute without namespace: %q, want 2, not the one of namespace a", v)
	}
}

func TestX06_Ids(t *testing.T) {
	const wsu = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
	attrs := map[string]string{
		"ID": `ID="%s"`, "AssertionID": `AssertionID="%s"`, "Id": `Id="%s"`, "xml:id": `xml:id="%s"`, "wsu:Id": `u:Id="%s"`,
	}
	doc := func(first, second string) string {
		return `<r xmlns:u="` + wsu + `" ` + first + `><c ` + second + `/></r>`
	}
	for n1, a1 := range attrs {
		for n2, a2 := range attrs {
			t.Run(n1+" "+n2, func(t *testing.T) {
				for _, rules := range allRules() {
					accept(t, doc(fmt.Sprintf(a1, "_a"), fmt.Sprintf(a2, "_b")), rules)
					wantKind(t, doc(fmt.Sprintf(a1, "_a"), fmt.Sprintf(a2, "_a")), rules, xmlsec.ErrForbidden)
					wantKind(t, doc(fmt.Sprintf(a1, "_a"), fmt.Sprintf(a2, "&#95;a")), rules, xmlsec.ErrForbidden)
				}
			})
		}
		for _, value := range []string{"", "1a", "a b", "a:b", "a\nb", "a&#10;b", "-a", strings.Repeat("a", 257), "a&quot;b"} {
			wantKind(t, doc(fmt.Sprintf(a1, value), ""), xmlsec.Message(samlMax), xmlsec.ErrForbidden)
		}
		accept(t, doc(fmt.Sprintf(a1, strings.Repeat("a", 256)), ""), xmlsec.Message(samlMax))
	}
	for _, a := range []string{"ID", "AssertionID"} {
		wantKind(t, `<r xmlns:e="urn:evil" e:`+a+`="_a"/>`, xmlsec.Message(samlMax), xmlsec.ErrForbidden)
		wantKind(t, `<r xmlns:e="urn:evil" `+a+`="_a" e:`+a+`="_b"/>`, xmlsec.Message(samlMax), xmlsec.ErrForbidden)
	}
}

func TestX10_ControlCharacters(t *testing.T) {
	for r := rune(0); r <= 0x10FFFF; r++ {
		if r > 0x300 && r < 0xD700 || r > 0xE010 && r < 0xFFF0 || r > 0x10010 && r < 0x10FFF0 {
			continue
		}
		legal := r >= 0x20 && (r < 0xD800 || r > 0xDFFF) && r != 0xFFFE && r != 0xFFFF || r == '\t' || r == '\n' || r == '\r'
		docs := []string{fmt.Sprintf("<a>&#%d;</a>", r), fmt.Sprintf("<a b='&#x%X;'/>", r)}
		if (r < 0xD800 || r > 0xDFFF) && !strings.ContainsRune("<&'", r) {
			docs = append(docs, "<a>"+string(r)+"</a>", "<a b='"+string(r)+"'/>")
		}
		for _, doc := range docs {
			_, err := xmlsec.Parse([]byte(doc), xmlsec.Message(samlMax))
			var g *xmlsec.GateError
			if legal != (err == nil) || err != nil && !errors.As(err, &g) {
				t.Errorf("U+%04X, legal %v: %q: %v", r, legal, doc, err)
			}
		}
		if err := xmlsec.CheckValue("claim", "x"+string(r)); (r < 0xD800 || r > 0xDFFF) && legal != (err == nil) {
			t.Errorf("U+%04X: CheckValue: %v", r, err)
		}
	}
}

// What the tree holds is what XML says a reader gets: line ends normalised, white
// space in attributes turned into blanks unless it was written as a reference.
func TestWhiteSpaceIsNormalisedAsXMLSays(t *testing.T) {
	root := accept(t, "<a b='1\r\n2\r3\n4\t5&#10;6&#13;7&#9;8'>1\r\n2\r3\n4&#13;5</a>", xmlsec.Message(samlMax)).Unverified()
	if got, _ := xmlsec.Attr(root, "b"); got != "1 2 3 4 5\n6\r7\t8" {
		t.Errorf("attribute is %q", got)
	}
	if got, _ := xmlsec.Text(root); got != "1\n2\n3\n4\r5" {
		t.Errorf("text is %q", got)
	}
}
