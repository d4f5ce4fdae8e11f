package xmlsec_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beevik/etree"
	validator "github.com/mattermost/xml-roundtrip-validator"

	"sallyport/federation/internal/xmlsec"
)

// kept is what flat writes for anything that the gate keeps out.
const kept = "!kept\n"

// flat writes a tree as lines in which every difference shows: names with
// namespaces, attributes, and text with neighbouring pieces joined.
func flat(e *etree.Element) string {
	var b strings.Builder
	var visit func(e *etree.Element, depth int)
	visit = func(e *etree.Element, depth int) {
		in := strings.Repeat(" ", depth)
		b.WriteString(in + "{" + e.NamespaceURI() + "}" + e.Tag + "\n")
		for _, a := range e.Attr {
			b.WriteString(in + "@" + a.Space + ":" + a.Key + "=" + a.Value + "\n")
		}
		text := ""
		for _, c := range e.Child {
			switch c := c.(type) {
			case *etree.CharData:
				text += c.Data
				continue
			case *etree.Element:
				b.WriteString(in + "'" + text + "\n")
				text = ""
				visit(c, depth+1)
			default:
				b.WriteString(in + kept)
			}
		}
		b.WriteString(in + "'" + text + "\n")
	}
	visit(e, 0)
	return b.String()
}

// checkRoundTrip writes an accepted document's tree and reads it again.
func checkRoundTrip(t *testing.T, name string, d *xmlsec.Document) {
	t.Helper()
	tree := etree.NewDocumentWithRoot(d.Unverified().Copy())
	tree.WriteSettings = etree.WriteSettings{CanonicalAttrVal: true, CanonicalText: true, CanonicalEndTags: true}
	written, err := tree.WriteToBytes()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	rules := xmlsec.Imported()
	rules.MaxText, rules.MaxBytes = rules.MaxText*6, rules.MaxBytes*6
	again, err := xmlsec.Parse(written, rules)
	if err != nil {
		t.Errorf("%s: what was read cannot be read again: %v\n%.500q", name, err, written)
		return
	}
	if a, b := flat(d.Unverified()), flat(again.Unverified()); strings.Contains(a, kept) {
		t.Errorf("%s: the tree holds what the gate keeps out:\n%.500s", name, a)
	} else if a != b {
		t.Errorf("%s: the tree changed:\n%.500s\n%.500s", name, a, b)
	}
	if err := validator.Validate(bytes.NewReader(written)); err != nil {
		t.Errorf("%s: the round-trip validator: %v", name, err)
	}
}

func TestX04_RoundTrip(t *testing.T) {
	passed := 0
	mutants(mutationSeeds(), func(doc []byte) {
		if d, err := xmlsec.Parse(doc, xmlsec.Imported()); err == nil {
			passed++
			checkRoundTrip(t, string(doc), d)
		}
	})
	if passed < 500 {
		t.Errorf("only %d documents passed the gate", passed)
	}
}

func TestX04_RoundTripOfPublishedDocuments(t *testing.T) {
	passed := 0
	for _, c := range w3cSuite(t) {
		if d, err := xmlsec.Parse(c.data, xmlsec.Imported()); err == nil {
			passed++
			checkRoundTrip(t, c.File, d)
		}
	}
	for _, c := range samlFiles(t) {
		if d, err := xmlsec.Parse(c.data, xmlsec.Imported()); err == nil {
			passed++
			checkRoundTrip(t, c.File, d)
		}
	}
	if passed < 150 {
		t.Errorf("only %d documents passed the gate", passed)
	}
}

type samlCase struct {
	File       string
	Encoding   string
	Wellformed bool
	Doctype    bool
	Duplicates []string `json:"duplicate_ids"`
	Hidden     bool     `json:"comment_or_pi_inside_text"`
	Signatures int
	Violations []string `json:"strict_profile_violations"`
	raw        []byte
	data       []byte // the XML inside the wire encoding, as far as it decodes
}

// samlFiles returns the published messages with their wire encodings taken off.
func samlFiles(t testing.TB) []samlCase {
	t.Helper()
	dir := vectors(t)
	var cases []samlCase
	readJSON(t, filepath.Join(dir, "manifest-saml.json"), &cases)
	for i := range cases {
		c := &cases[i]
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(c.File)))
		if err != nil {
			t.Fatal(err)
		}
		c.raw, c.data = b, b
		text := strings.TrimSpace(string(b))
		if c.Encoding == "deflate+base64" || c.Encoding == "base64" {
			for _, name := range []string{"SAMLRequest=", "SAMLResponse="} {
				if _, value, ok := strings.Cut(text, name); ok {
					text, _, _ = strings.Cut(value, "&")
				}
			}
			if plain, err := url.PathUnescape(text); err == nil {
				text = plain
			}
			text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
			decoded, err := xmlsec.Base64(text, true)
			if err != nil {
				decoded, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
			}
			if err != nil {
				continue
			}
			c.data = decoded
			if c.Encoding == "deflate+base64" {
				if inflated, err := xmlsec.Inflate(decoded, 1<<20); err == nil {
					c.data = inflated
				}
			}
		}
	}
	return cases
}

func TestX06_PublishedDuplicateIds(t *testing.T) {
	found := 0
	for _, c := range samlFiles(t) {
		if len(c.Duplicates) == 0 {
			continue
		}
		found++
		if _, err := xmlsec.Parse(c.data, xmlsec.Imported()); err == nil {
			t.Errorf("%s: accepted with %v", c.File, c.Duplicates)
		}
	}
	if found != 6 {
		t.Errorf("%d files with duplicate ids, want 6", found)
	}
}

// The gate agrees with the manifest, which libxml2 made, on every message: what it
// calls well-formed passes unless a named rule stands against it.
func TestX02_PublishedMessages(t *testing.T) {
	passed, refused := 0, 0
	for _, c := range samlFiles(t) {
		_, err := xmlsec.Parse(c.data, xmlsec.Imported())
		switch {
		case err == nil && (!c.Wellformed || c.Doctype || len(c.Duplicates) > 0):
			t.Errorf("%s: accepted", c.File)
		case err != nil && c.Wellformed && !c.Doctype && len(c.Duplicates) == 0:
			refused++
			if !errors.Is(err, xmlsec.ErrForbidden) && !strings.Contains(err.Error(), "absolute URI") {
				t.Errorf("%s: refused: %v", c.File, err)
			}
		case err == nil:
			passed++
		}
	}
	t.Logf("%d pass; %d that libxml2 reads are refused", passed, refused)
	if passed < 120 {
		t.Errorf("only %d pass", passed)
	}
}
