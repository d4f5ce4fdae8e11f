package xmlsec_test

import (
	"strings"
	"testing"

	"sallyport/federation/internal/xmlsec"
)

func BenchmarkParse(b *testing.B) {
	doc := []byte(recipe{}.signed(b, authnRequest))
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := xmlsec.Parse(doc, xmlsec.Message(samlMax)); err != nil {
			b.Fatal(err)
		}
	}
}

// What the gate costs alone: a document that is refused by its last byte.
func BenchmarkGate(b *testing.B) {
	doc := []byte(strings.Replace(authnRequest, "SIGNATURE", strings.Repeat("<a b='c'>text &amp; more</a>", 1000), 1) + "<")
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := xmlsec.Parse(doc, xmlsec.Message(samlMax)); err == nil {
			b.Fatal("accepted")
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	d, err := xmlsec.Parse([]byte(recipe{}.signed(b, authnRequest)), xmlsec.Message(samlMax))
	if err != nil {
		b.Fatal(err)
	}
	ks := keys(registered())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Verify(ks, xmlsec.Profile{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	var w xmlsec.Writer
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		w.Reset(buf)
		w.Begin()
		w.Raw(`<a b="`)
		w.Attr("b", "https://wiki.fabrikam.test/saml/acs?a=1&b=2")
		w.Raw(`">`)
		w.Text("a", "Zoë & <b>\"Ann\"</b>")
		w.Raw(`</a>`)
		if _, err := w.Bytes(); err != nil {
			b.Fatal(err)
		}
	}
}
