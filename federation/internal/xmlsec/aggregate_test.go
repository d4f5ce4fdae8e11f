package xmlsec_test

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"

	"sallyport/federation/internal/xmlsec"
)

const md = "urn:oasis:names:tc:SAML:2.0:metadata"

func aggregate(keep ...string) *xmlsec.Aggregate {
	return &xmlsec.Aggregate{
		Namespace: md, Wrapper: "EntitiesDescriptor", Rules: xmlsec.Imported(), MaxBytes: 100 << 20, MaxKept: 8 << 20,
		Keep: func(e *etree.Element) bool {
			id, _ := xmlsec.Attr(e, "entityID")
			for _, k := range keep {
				if k == id {
					return true
				}
			}
			return false
		},
	}
}

func entity(id string) string {
	return `<md:EntityDescriptor entityID="` + id + `"><md:Organization><md:OrganizationName xml:lang="en">` + id + ` &amp; Söhne</md:OrganizationName></md:Organization></md:EntityDescriptor>`
}

// list is an aggregate in which everything occurs that may: a declaration, comments,
// text between elements, CDATA, nested lists, prefixes declared outside and inside.
func list() string {
	return `<?xml version="1.0" encoding="UTF-8"?>` + "\r\n<!-- > <![CDATA[ of the federation -->\n" +
		`<md:EntitiesDescriptor xmlns:md="` + md + `" xmlns:unused="urn:unused" ID="_all" validUntil='2031-01-01T00:00:00Z' Name="a&gt;b>c">` +
		"SIGNATURE\n<md:Extensions><x xmlns='urn:x' a='>'/></md:Extensions>\r\n" + entity("https://a.test/") +
		"<!-- </md:EntitiesDescriptor> -->between<![CDATA[</md:EntitiesDescriptor>]]>\t" +
		`<md:EntitiesDescriptor xmlns:n="urn:n" cacheDuration="PT1H" n:b="2" a="1"> ` + entity("https://b.test/") + `<n:foreign n:z='"'>` + "\n" + `</n:foreign></md:EntitiesDescriptor >` +
		`<EntityDescriptor xmlns="` + md + `" entityID="https://c.test/"/>` + "\n</md:EntitiesDescriptor>\n<!-- end -->\n"
}

func verifyAll(a *xmlsec.Aggregate, doc string) ([]xmlsec.Kept, error) {
	return a.Verify(iotestReader{strings.NewReader(doc)}, keys(registered()), xmlsec.Profile{EmptyReference: true})
}

// iotestReader gives a few bytes at a time.
type iotestReader struct{ r io.Reader }

func (r iotestReader) Read(p []byte) (int, error) { return r.r.Read(p[:min(len(p), 7)]) }

// signAs signs a document as the gate reads it, so that white space in attributes
// counts as the specification says.
func signAs(t testing.TB, r recipe, doc string) string {
	t.Helper()
	d, err := xmlsec.Parse([]byte(strings.Replace(doc, "SIGNATURE", "", 1)), everything())
	if err != nil {
		t.Fatal(err)
	}
	text, err := etree.NewDocumentWithRoot(d.Unverified().Copy()).WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(doc, "SIGNATURE", r.signature(t, text), 1)
}

func everything() xmlsec.Rules {
	r := xmlsec.Imported()
	r.MaxBytes, r.MaxElements, r.MaxDeclarations = 100<<20, 1<<20, 1<<20
	return r
}

func TestAggregateGivesWhatASmallDocumentGives(t *testing.T) {
	for name, r := range map[string]recipe{
		"plain":           {},
		"empty reference": {uri: new(string)},
		"prefix list": {prefixes: "n unused", transforms: transform(ds+"enveloped-signature") + `<ds:Transform Algorithm="` + exc +
			`"><ec:InclusiveNamespaces xmlns:ec="` + exc + `" PrefixList="n unused"></ec:InclusiveNamespaces></ds:Transform>`},
	} {
		t.Run(name, func(t *testing.T) {
			doc := signAs(t, r, list())
			d, err := xmlsec.Parse([]byte(doc), everything())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Verify(keys(registered()), xmlsec.Profile{EmptyReference: true}); err != nil {
				t.Fatalf("the small way refuses it: %v", err)
			}
			var seen int
			a := aggregate("https://b.test/", "https://c.test/")
			a.Progress = func(_ int64, n int) { seen = n }
			kept, err := verifyAll(a, doc)
			if err != nil {
				t.Fatal(err)
			}
			if len(kept) != 2 || seen != 5 {
				t.Fatalf("%d kept, %d seen", len(kept), seen)
			}
			want := `<md:EntityDescriptor xmlns:md="` + md + `" entityID="https://b.test/"><md:Organization><md:OrganizationName xml:lang="en">https://b.test/ &amp; Söhne</md:OrganizationName></md:Organization></md:EntityDescriptor>`
			if diff := cmp.Diff(want, string(kept[0].Data)); diff != "" {
				t.Error(diff)
			}
			if len(kept[0].Outer) != 2 || len(kept[1].Outer) != 1 {
				t.Fatalf("%d and %d wrappers", len(kept[0].Outer), len(kept[1].Outer))
			}
			until, _ := xmlsec.Attr(kept[0].Outer[0], "validUntil")
			cache, _ := xmlsec.Attr(kept[0].Outer[1], "cacheDuration")
			if until != "2031-01-01T00:00:00Z" || cache != "PT1H" || len(kept[0].Outer[0].Child) != 0 {
				t.Errorf("wrappers say %q and %q", until, cache)
			}
		})
	}
}

func TestS01_ChangedAggregatesAreRefused(t *testing.T) {
	doc := signAs(t, recipe{}, list())
	if _, err := verifyAll(aggregate(), doc); err != nil {
		t.Fatal(err)
	}
	sig := doc[strings.Index(doc, "<ds:Signature"):strings.Index(doc, "</ds:Signature>")]
	sig += "</ds:Signature>"
	open := doc[:strings.Index(doc, "<ds:Signature")]
	a := entity("https://a.test/")
	other := signAs(t, recipe{sign: rsaSign(stranger(), 5)}, list())
	for name, changed := range map[string]string{
		"text between":                strings.Replace(doc, "between", "Between", 1),
		"an attribute of the root":    strings.Replace(doc, "2031-01-01", "2032-01-01", 1),
		"a nested wrapper's":          strings.Replace(doc, "PT1H", "PT2H", 1),
		"an entity":                   strings.Replace(doc, "https://b.test/", "https://e.test/", 1),
		"an entity more":              strings.Replace(doc, a, a+entity("https://e.test/"), 1),
		"an entity less":              strings.Replace(doc, a, "", 1),
		"an entity moved":             strings.Replace(strings.Replace(doc, a, "", 1), "\n</md:EntitiesDescriptor>", a+"\n</md:EntitiesDescriptor>", 1),
		"another order":               strings.Replace(strings.Replace(doc, a, entity("https://b.test/"), 1), entity("https://b.test/")+"<n:", a+"<n:", 1),
		"white space":                 strings.Replace(doc, "> <md:EntityDescriptor", "><md:EntityDescriptor", 1),
		"unsigned":                    strings.Replace(doc, sig, "", 1),
		"signature not first":         strings.Replace(strings.Replace(doc, sig, "", 1), "</md:Extensions>", "</md:Extensions>"+sig, 1),
		"two signatures":              strings.Replace(doc, sig, sig+sig, 1),
		"signature in a nested list":  strings.Replace(strings.Replace(doc, sig, "", 1), `a="1"> `, `a="1"> `+sig, 1),
		"a second one in a nested":    strings.Replace(doc, `a="1"> `, `a="1"> `+sig, 1),
		"a stranger's":                other,
		"SHA-1":                       signAs(t, recipe{method: ds + "rsa-sha1", sign: rsaSign(registered(), 3), digest: ds + "sha1", hash: 3}, list()),
		"reference to an entity":      signAs(t, recipe{uri: ptr("#_b")}, strings.Replace(list(), `entityID="https://b`, `ID="_b" entityID="https://b`, 1)),
		"wrapped":                     strings.Replace(open, `ID="_all"`, `ID="_evil"`, 1) + sig + entity("https://evil.test/") + strings.Replace(doc[strings.Index(doc, "<md:EntitiesD"):strings.LastIndex(doc, "<!--")], sig, "", 1) + "</md:EntitiesDescriptor>",
		"id of the root again":        recipe{}.signed(t, strings.Replace(list(), `entityID="https://b`, `ID="_all" entityID="https://b`, 1)),
		"cut off":                     doc[:len(doc)/2],
		"cut off behind an entity":    doc[:strings.Index(doc, a)+len(a)],
		"text behind":                 doc + "x",
		"a second root":               doc + "<x/>",
		"another end tag":             strings.Replace(doc, "\n</md:EntitiesDescriptor>", "\n</EntitiesDescriptor>", 1),
		"doctype":                     strings.Replace(doc, "\r\n<!--", "<!DOCTYPE x>\r\n<!--", 1),
		"doctype in the middle":       strings.Replace(doc, a, a+"<!DOCTYPE x>", 1),
		"doctype in a comment":        strings.Replace(doc, " end ", "<!DOCTYPE x>", 1),
		"an entity that is not there": strings.Replace(doc, "between", "&e;", 1),
		"instruction":                 strings.Replace(doc, "between", "<?x?>", 1),
		"undeclared prefix":           strings.Replace(doc, "<n:foreign", "<m:foreign", 1),
		"empty list":                  strings.Replace(doc, a, a+"<md:EntitiesDescriptor/>", 1),
		"list of another namespace":   strings.Replace(doc, a, a+"<EntitiesDescriptor></EntitiesDescriptor>", 1),
		"signed list of another":      signAs(t, recipe{}, strings.Replace(list(), entity("https://a.test/"), "<EntitiesDescriptor></EntitiesDescriptor>", 1)),
		"signed second signature":     signAs(t, recipe{}, strings.Replace(list(), entity("https://a.test/"), `<ds:Signature xmlns:ds="`+ds+`"/>`, 1)),
		"root of another namespace":   signAs(t, recipe{}, strings.ReplaceAll(list(), md, "urn:other")),
		"root is an entity":           signAs(t, recipe{}, entityDescriptor),
		"nothing":                     "",
		"not XML":                     "PK\x03\x04",
	} {
		t.Run(name, func(t *testing.T) {
			if changed == doc {
				t.Fatal("nothing was changed")
			}
			kept, err := verifyAll(aggregate("https://a.test/", "https://b.test/", "https://evil.test/"), changed)
			if err == nil || kept != nil {
				t.Fatalf("accepted, %d kept", len(kept))
			}
			var g *xmlsec.GateError
			if !errors.Is(err, xmlsec.ErrSignature) && !errors.As(err, &g) && !errors.Is(err, xmlsec.ErrMalformed) &&
				!errors.Is(err, xmlsec.ErrLimit) && !errors.Is(err, xmlsec.ErrForbidden) && !errors.Is(err, xmlsec.ErrDoctype) {
				t.Errorf("error %v is of no known kind", err)
			}
		})
	}
}

func ptr(s string) *string { return &s }

// generated writes an aggregate piece by piece.
type generated struct {
	pending []byte
	left    int
	entity  []byte
	end     []byte
}

func (g *generated) Read(p []byte) (int, error) {
	for len(g.pending) == 0 {
		switch {
		case g.left > 0:
			g.pending, g.left = g.entity, g.left-1
		case g.end != nil:
			g.pending, g.end = g.end, nil
		default:
			return 0, io.EOF
		}
	}
	n := copy(p, g.pending)
	g.pending = g.pending[n:]
	return n, nil
}

// An aggregate costs the memory of one piece and of what is kept, however long it is.
// Its digest is wrong, which shows only at its end.
func TestX07_AggregateNeedsBoundedMemory(t *testing.T) {
	if testing.Short() || slowdown > 1 {
		t.Skip("measures memory")
	}
	small := signAs(t, recipe{}, list())
	e := []byte("\n" + entity("https://e.test/"+strings.Repeat("x", 4000)))
	peak := func(n int) uint64 {
		g := &generated{pending: []byte(small[:strings.Index(small, "\n<md:Extensions>")]), left: n, entity: e, end: []byte("</md:EntitiesDescriptor>")}
		var most uint64
		runtime.GC()
		a := aggregate("https://a.test/")
		a.Progress = func(_ int64, n int) {
			if n%500 == 0 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			}
		}
		if _, err := a.Verify(g, keys(registered()), xmlsec.Profile{}); !errors.Is(err, xmlsec.ErrSignature) || !strings.Contains(err.Error(), "digest") {
			t.Fatalf("%v", err)
		}
		return most
	}
	little, much := peak(500), peak(3000)
	if much > little+24<<20 {
		t.Errorf("heap of %d KiB for 4 MB, %d KiB for 24 MB", little>>10, much>>10)
	}
	a := aggregate()
	a.MaxBytes = 1 << 20
	g := &generated{pending: []byte(small[:strings.Index(small, "\n<md:Extensions>")]), left: 1000, entity: e}
	if _, err := a.Verify(g, keys(registered()), xmlsec.Profile{}); !errors.Is(err, xmlsec.ErrLimit) {
		t.Errorf("a document of 4 MB: %v", err)
	}
	huge := small[:strings.Index(small, "\n<md:Extensions>")] + `<md:EntityDescriptor a="` + strings.Repeat("x", 3<<20)
	if _, err := aggregate().Verify(strings.NewReader(huge), keys(registered()), xmlsec.Profile{}); !errors.Is(err, xmlsec.ErrLimit) {
		t.Errorf("an element without an end: %v", err)
	}
	keepAll := aggregate()
	keepAll.MaxKept, keepAll.Keep = 10_000, func(*etree.Element) bool { return true }
	g = &generated{pending: []byte(small[:strings.Index(small, "\n<md:Extensions>")]), left: 100, entity: e}
	if _, err := keepAll.Verify(g, keys(registered()), xmlsec.Profile{}); !errors.Is(err, xmlsec.ErrLimit) {
		t.Errorf("much kept: %v", err)
	}
}

// FuzzAggregate signs whatever comes and holds the two ways of verifying against each
// other: what the one reads and accepts the other does too, with the same elements.
func FuzzAggregate(f *testing.F) {
	whole := list()
	f.Add(whole[strings.Index(whole, "SIGNATURE")+9 : strings.LastIndex(whole, "</md:")])
	f.Add("")
	f.Add(entity("a") + "<!--x-->t<![CDATA[<]]>" + entity("b"))
	f.Add(`<md:EntitiesDescriptor xmlns:q="urn:q" q:ID="x"><e xmlns=""/></md:EntitiesDescriptor>`)
	f.Add("<a b='\r\n&#13;&#10;'>&#13;\r</a>&amp;")
	f.Add("<x:y xmlns:x='urn:x'><z x:a='1' xmlns:x='urn:x'/></x:y>")
	f.Fuzz(func(t *testing.T, body string) {
		doc := `<md:EntitiesDescriptor xmlns:md="` + md + `" ID="_f">SIGNATURE` + body + `</md:EntitiesDescriptor>`
		d, err := xmlsec.Parse([]byte(strings.Replace(doc, "SIGNATURE", "", 1)), everything())
		if err != nil || d.Signed() {
			if kept, err := verifyAll(aggregate("a"), doc); err == nil || kept != nil {
				t.Fatalf("not for the gate, yet accepted: %q", doc)
			}
			return
		}
		text, err := etree.NewDocumentWithRoot(d.Unverified().Copy()).WriteToString()
		if err != nil {
			t.Fatal(err)
		}
		signed := strings.Replace(doc, "SIGNATURE", recipe{}.signature(t, text), 1)
		s, err := xmlsec.Parse([]byte(signed), everything())
		if err != nil {
			return
		}
		if _, err := s.Verify(keys(registered()), xmlsec.Profile{}); err != nil {
			return // etree writes what it did not read; the signer's trouble
		}
		_, err = verifyAll(aggregate("a"), signed)
		if err == nil {
			return
		}
		// The pieces have bounds, and empty or foreign lists are not read.
		if errors.Is(err, xmlsec.ErrLimit) || errors.Is(err, xmlsec.ErrForbidden) {
			return
		}
		t.Fatalf("%v for %q", err, signed)
	})
}

func BenchmarkAggregate(b *testing.B) {
	small := signAs(b, recipe{}, list())
	e := []byte("\n" + entity("https://e.test/"+strings.Repeat("x", 4000)))
	for b.Loop() {
		g := &generated{pending: []byte(small[:strings.Index(small, "\n<md:Extensions>")]), left: 1000, entity: e, end: []byte("</md:EntitiesDescriptor>")}
		if _, err := aggregate().Verify(g, keys(registered()), xmlsec.Profile{}); err == nil {
			b.Fatal("accepted")
		}
	}
	b.SetBytes(int64(len(e)) * 1000)
}
