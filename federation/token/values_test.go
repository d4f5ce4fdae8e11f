package token_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/beevik/etree"

	"sallyport/deploy/testbed/lab"
	"sallyport/federation"
	"sallyport/federation/token"
)

// carried reports whether XML 1.0 has a spelling for every character of s
// (production 2), said in another way than the writer says it.
func carried(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 && !strings.ContainsRune("\t\n\r", r) || r == 0xFFFE || r == 0xFFFF
	})
}

// filled returns an assertion with value in every place that takes one, and the
// number of elements that it must have.
func filled(v federation.TokenType, value string) *token.Assertion {
	a := entra11()
	if v == federation.SAML20 {
		a = wiki20()
		a.Recipient, a.SessionIndex = value, value
	}
	a.Issuer, a.Audience, a.NameID, a.NameIDFormat, a.AuthnMethod = value, value, value, value, value
	a.Attributes = []token.Attribute{
		{Name: value, Namespace: value, Format: value, FriendlyName: value, Values: []string{value, value}, OriginalIssuer: value},
		// Never equal to value, so that both can be told apart.
		{Name: value + "-b", Namespace: value + "-n", Values: []string{value}, Boolean: true},
	}
	return a
}

// places reads back every value of a token, by path.
func places(root *etree.Element) []string {
	var got []string
	var visit func(e *etree.Element)
	visit = func(e *etree.Element) {
		for _, at := range e.Attr {
			switch at.Key {
			case "Issuer", "Format", "AuthenticationMethod", "AttributeNamespace", "AttributeName", "OriginalIssuer", "Recipient", "SessionIndex",
				"Name", "NameFormat", "FriendlyName":
				got = append(got, at.Value)
			}
		}
		if len(e.ChildElements()) == 0 {
			switch e.Tag {
			case "Audience", "NameIdentifier", "NameID", "AttributeValue", "Issuer", "AuthnContextClassRef":
				got = append(got, e.Text())
			}
		}
		for _, c := range e.ChildElements() {
			visit(c)
		}
	}
	visit(root)
	return got
}

func elements(e *etree.Element) int {
	n := 1
	for _, c := range e.ChildElements() {
		n += elements(c)
	}
	return n
}

// writtenRight writes value into every place of both kinds of token and reads it
// back with a parser that was not written here.
func writtenRight(t *testing.T, s *token.Signer, value string) (docs [][]byte) {
	t.Helper()
	for v, want := range map[federation.TokenType]struct{ elements, fixed int }{federation.SAML11: {33, 2}, federation.SAML20: {32, 1}} {
		doc, err := s.AppendAssertion(nil, filled(v, value))
		if value == "" {
			if !errors.Is(err, token.ErrIncomplete) {
				t.Errorf("empty value: %v", err)
			}
			continue
		}
		if !carried(value) {
			var bad *token.CharacterError
			if !errors.As(err, &bad) || !errors.Is(err, token.ErrCharacter) || bad.Name == "" || len(doc) != 0 {
				t.Errorf("%q: error %v, want a CharacterError that names the claim", value, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		d := etree.NewDocument()
		if err := d.ReadFromBytes(doc); err != nil {
			t.Errorf("%q: not XML: %v\n%s", value, err, doc)
			continue
		}
		if n := elements(d.Root()); n != want.elements {
			t.Errorf("%q: %d elements, want %d\n%s", value, n, want.elements, doc)
		}
		fixed := 0
		got := places(d.Root())
		for _, g := range got {
			if g != value {
				fixed++ // the second attribute's name and, in SAML 1.1, its namespace
			}
		}
		if fixed != want.fixed || len(got) < 14 {
			t.Errorf("%q: of %d values %d are other ones, want %d: %q", value, len(got), fixed, want.fixed, got)
		}
		docs = append(docs, doc)
	}
	return docs
}

// random returns a value that is likely to hurt.
func random(r *rand.Rand) string {
	pieces := []string{
		"<", ">", "&", `"`, "'", "\r", "\n", "\t", "\r\n", "]]>", "<!--", "-->", "<![CDATA[", "<?x?>", "&amp;", "&#x0;", "</saml:AttributeValue>",
		"<saml:Attribute>", " ", "\u00a0", "\u0085", "\u2028", "\u202e", "\ufeff", "é", "e\u0301", "\U0001F511", "\ufffd", "\x7f", "\u0080", "a", "Z", "0",
	}
	illegal := []string{"\x00", "\x01", "\x0b", "\x0c", "\x1f", "\ufffe", "\uffff", "\xff", "\xc3", "\xed\xa0\x80", "\xc0\xaf"}
	var b strings.Builder
	for range 1 + r.IntN(8) {
		switch r.IntN(12) {
		case 0:
			if r.IntN(4) == 0 {
				b.WriteString(illegal[r.IntN(len(illegal))])
			}
		case 1, 2:
			b.WriteRune(rune(r.IntN(0xD800)))
		case 3:
			b.WriteRune(rune(0x10000 + r.IntN(0x100000)))
		default:
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
	}
	return b.String()
}

// rounds is how many random values a run tries: all of them in the long form.
func rounds() int {
	switch {
	case os.Getenv("SALLYPORT_LONG") == "1":
		return 100_000
	case testing.Short():
		return 500
	default:
		return 3000 / slowdown
	}
}

// quick is a signer that does not sign, for tests of what is written.
func quick(t testing.TB) *token.Signer {
	t.Helper()
	return token.NullSigner(newSigner(t))
}

func TestI01_RandomValues(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	null, real := quick(t), newSigner(t)
	refused, n := 0, rounds()
	for i := range n {
		value := random(r)
		if !carried(value) {
			refused++
		}
		s := null
		if i%100 == 0 {
			s = real
		}
		for _, doc := range writtenRight(t, s, value) {
			if s == real {
				verifyBoth(t, value, doc)
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d values, %d of them cannot be carried", n, refused)
	if refused == 0 || refused > n/2 {
		t.Error("the values are one-sided: the test proves little")
	}
}

// verifyBoth checks the signature of a token with goxmldsig.
func verifyBoth(t *testing.T, value string, doc []byte) {
	t.Helper()
	idAttr := "ID"
	if strings.Contains(string(doc), "AssertionID=") {
		idAttr = "AssertionID"
	}
	if _, err := verifyDSIG(doc, idAttr, ours().cert); err != nil {
		t.Errorf("%q: goxmldsig: %v\n%s", value, err, doc)
	}
}

// naughty returns the published lists of strings that break things.
func naughty(t *testing.T) []string {
	t.Helper()
	dir := lab.Vectors(t)
	var values []string
	b, err := os.ReadFile(filepath.Join(dir, "blns", "blns.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &values); err != nil {
		t.Fatal(err)
	}
	lists, err := filepath.Glob(filepath.Join(dir, "payloads-all-the-things", "*.txt"))
	if err != nil || len(lists) < 8 {
		t.Fatalf("%d lists, %v", len(lists), err)
	}
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, strings.Split(strings.TrimRight(string(b), "\n"), "\n")...)
	}
	return values
}

func TestI01_NaughtyStrings(t *testing.T) {
	values := naughty(t)
	s := quick(t)
	for _, value := range values {
		writtenRight(t, s, value)
	}
	t.Logf("%d values", len(values))
	if len(values) < 1000 {
		t.Error("too few values")
	}
}

// libxml2 reads every value as it was, and xmlsec1 verifies the signature. Each
// token carries hundreds of values, so that all of them are judged.
func TestI01_LibxmlReadsTheSame(t *testing.T) {
	xmllint := lab.Program(t, "xmllint", "libxml2-utils")
	s := newSigner(t)
	all := []string{"a\rb\nc\td\r\ne", `<&>"']]>`, "é\U0001F511\u2028\u0085", " lead and trail ", "<!--x--><?y?>", "&#10;&amp;lt;", "\ufeffa\ufffd"}
	if os.Getenv("SALLYPORT_VECTORS") != "" {
		all = append(all, naughty(t)...)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range rounds() {
		all = append(all, random(r))
	}
	all = slices.DeleteFunc(all, func(v string) bool { return v == "" || !carried(v) })
	file := filepath.Join(t.TempDir(), "doc.xml")
	for values := range slices.Chunk(all, 500) {
		for _, a := range []*token.Assertion{entra11(), wiki20()} {
			a.Attributes = nil
			for _, v := range values {
				a.Attributes = append(a.Attributes, token.Attribute{Name: v, Namespace: "urn:n", Values: []string{v}})
			}
			doc, err := s.AppendAssertion(nil, a)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, doc, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), xmllint, "--nonet", "--exc-c14n", file).Output()
			if err != nil {
				t.Fatalf("xmllint: %v", err)
			}
			sameValues(t, string(out), values)
			if err := verifyXMLSec(t, doc, idAttribute(a.Version), ours().cert); err != nil {
				t.Errorf("xmlsec1: %v", err)
			}
		}
	}
	t.Logf("%d values in both kinds of token", len(all))
}

var (
	inText = regexp.MustCompile(`(?s)<saml:AttributeValue>(.*?)</saml:AttributeValue>`)
	inAttr = regexp.MustCompile(` (?:AttributeName|Name)="([^"]*)"`)
)

// sameValues reads the values out of the canonical form that libxml2 wrote, where
// few characters are escaped (C14N §2.3).
func sameValues(t *testing.T, canonical string, want []string) {
	t.Helper()
	plain := strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&#xD;", "\r", "&#xA;", "\n", "&#x9;", "\t", "&amp;", "&")
	for _, place := range []*regexp.Regexp{inText, inAttr} {
		found := place.FindAllStringSubmatch(canonical, -1)
		if len(found) != len(want) {
			t.Fatalf("libxml2 reads %d values, want %d", len(found), len(want))
		}
		for i := range found {
			if got := plain.Replace(found[i][1]); got != want[i] {
				t.Errorf("libxml2 reads %q, want %q", got, want[i])
			}
		}
	}
}

// What XML cannot carry is refused, whatever place it stands in, and the error
// names the claim.
func TestI01_CharactersAreRefusedByName(t *testing.T) {
	s := newSigner(t)
	for _, bad := range []string{"\x00", "\x08", "\x0b", "\x1f", "\ufffe", "\uffff", "\xff", "\xed\xa0\x80", "\xc0\x80"} {
		value := "ab" + bad
		for name, spoil := range map[string]func(a *token.Assertion){
			"Issuer":       func(a *token.Assertion) { a.Issuer = value },
			"Audience":     func(a *token.Assertion) { a.Audience = value },
			"NameID":       func(a *token.Assertion) { a.NameID = value },
			"NameIDFormat": func(a *token.Assertion) { a.NameIDFormat = value },
			"AuthnMethod":  func(a *token.Assertion) { a.AuthnMethod = value },
			"UPN":          func(a *token.Assertion) { a.Attributes[0].Values[0] = value },
			"ImmutableID":  func(a *token.Assertion) { a.Attributes[1].Values[0] = value },
		} {
			a := entra11()
			spoil(a)
			for way, write := range map[string]func([]byte, *token.Assertion) ([]byte, error){"assertion": s.AppendAssertion, "RSTR": s.AppendRSTR} {
				doc, err := write([]byte("kept"), a)
				var e *token.CharacterError
				if !errors.As(err, &e) || e.Name != name || e.Offset != 2 || string(doc) != "kept" {
					t.Errorf("%s of %s with %q: %v, %d bytes", way, name, value, err, len(doc))
				}
				if err != nil && strings.Contains(err.Error(), bad) {
					t.Errorf("the error repeats the value: %q", err)
				}
			}
		}
		if err := token.CheckValue("claim", value); !errors.Is(err, token.ErrCharacter) {
			t.Errorf("CheckValue(%q): %v", value, err)
		}
	}
}

func FuzzAssertion(f *testing.F) {
	for _, s := range []string{"", "alice@contoso.test", "a\r\nb", `<&>"']]>`, "\x00", "\xff", "é\U0001F511", "&amp;", "</saml:Issuer>", "n"} {
		f.Add(s)
	}
	s := quick(f)
	f.Fuzz(func(t *testing.T, value string) {
		if len(value) < 4000 {
			writtenRight(t, s, value)
		}
	})
}
