package binxml_test

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/ptaagent/internal/binxml"
)

// vector reads a published message and cuts off what stands before its document.
func vector(t testing.TB, name string, cut int) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "relay", "testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw[cut:]
}

const (
	soap = "http://www.w3.org/2003/05/soap-envelope"
	wsa  = "http://www.w3.org/2005/08/addressing"
	rm   = "http://schemas.xmlsoap.org/ws/2005/02/rm"
)

func TestThePublishedMessagesAreRead(t *testing.T) {
	accept, err := binxml.Decode(vector(t, "v1", 4), nil, binxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got := accept.Child(soap, "Header").Child(wsa, "Action"); got.Text() != "RelayedAccept" || got.Attr(soap, "mustUnderstand") != "1" {
		t.Errorf("action %q, mustUnderstand %q", got.Text(), got.Attr(soap, "mustUnderstand"))
	}
	const connect = "http://schemas.microsoft.com/netservices/2009/05/servicebus/connect"
	if id := accept.Child(soap, "Body").Child(connect, "RelayedAccept").Child(connect, "Id"); id.Text() != "11111111-1111-1111-1111-111111111111" {
		t.Errorf("id %q", id.Text())
	}

	created, err := binxml.Decode(vector(t, "v4", 4), nil, binxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	response := created.Child(soap, "Body").Child(rm, "CreateSequenceResponse")
	if id := response.Child(rm, "Identifier").Text(); id != "urn:uuid:22222222-2222-2222-2222-222222222222" {
		t.Errorf("sequence %q", id)
	}
	if to := response.Child(rm, "Accept").Child(rm, "AcksTo").Child(wsa, "Address").Text(); to != "sb://ns1.servicebus.example/0000_reliable" {
		t.Errorf("acks to %q", to)
	}
}

func TestASessionsTableIsCumulative(t *testing.T) {
	var table binxml.Table
	doc, err := table.Read(vector(t, "v6", 3))
	if err != nil {
		t.Fatal(err)
	}
	read := func(doc []byte) string {
		t.Helper()
		root, err := binxml.Decode(doc, &table, binxml.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return root.Child(soap, "Header").Child(wsa, "Action").Text()
	}
	const action = "http://tempuri.org/IConnectorSignalingService/SignalConnectorResponse"
	if got := read(doc); got != action {
		t.Errorf("action %q", got)
	}
	again, err := table.Read(append([]byte{0}, doc...))
	if err != nil {
		t.Fatal(err)
	}
	if got := read(again); got != action {
		t.Errorf("action of a second message, without strings of its own: %q", got)
	}
	if _, err := binxml.Decode(doc, nil, binxml.Limits{}); !errors.Is(err, binxml.ErrSyntax) {
		t.Errorf("ids of a session were accepted without one: %v", err)
	}
}

func TestEachRecordHasItsText(t *testing.T) {
	for name, c := range map[string]struct{ record, text string }{
		"zero": {"81", "0"}, "one": {"83", "1"}, "false": {"85", "false"}, "true": {"87", "true"},
		"int8": {"89ff", "-1"}, "int16": {"8b0080", "-32768"}, "int32": {"8dffffff7f", "2147483647"}, "int64": {"8f0000000000000080", "-9223372036854775808"},
		"uint64": {"b3ffffffffffffffff", "18446744073709551615"}, "bool": {"b501", "true"},
		"float": {"910000c03f", "1.5"}, "double": {"93000000000000f0ff", "-INF"},
		"decimal": {"950000028000000000d204000000000000", "-12.34"}, "small decimal": {"95000003000000000005000000" + "00000000", "0.005"},
		"negative span": {"afffffffffffffffff", "-P0DT0H0M0.0000001S"},
		"chars8":        {"9903616263", "abc"}, "chars16": {"9b0300616263", "abc"}, "chars32": {"9d03000000616263", "abc"},
		"unicode8": {"b7046100e900", "aé"}, "unicode16": {"b904003cd800df", "🌀"}, "unicode32": {"bb020000006100", "a"},
		"empty": {"a9", ""}, "dictionary": {"ab9605", "Accept"}, "bytes8": {"9f03010203", "AQID"}, "bytes in pieces": {"9e030102039f0104", "AQIDBA=="},
		"text in pieces": {"980161980162990163", "abc"},
		"unique id":      {"ad33221100554477668899aabbccddeeff", "urn:uuid:00112233-4455-6677-8899-aabbccddeeff"},
		"uuid":           {"b133221100554477668899aabbccddeeff", "00112233-4455-6677-8899-aabbccddeeff"},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := hex.DecodeString("400161" + c.record)
			if err != nil {
				t.Fatal(err)
			}
			root, err := binxml.Decode(doc, nil, binxml.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if root.Text() != c.text {
				t.Errorf("text %q, want %q", root.Text(), c.text)
			}
		})
	}
}

func TestDatesSpansListsNamesAndArrays(t *testing.T) {
	for doc, want := range map[string]string{
		// 2021-01-27 00:00:00 is 637473024000000000 ticks.
		"400161" + "97" + "00006a7d56c2d808":                     "2021-01-27T00:00:00",
		"400161" + "97" + "00006a7d56c2d848":                     "2021-01-27T00:00:00Z",
		"400161" + "af" + "80969800" + "00000000":                "P0DT0H0M1S",
		"400161" + "a4" + "80" + "82" + "8805" + "a6" + "01":     "0 1 5",
		"400161" + "0901" + "62" + "0175" + "bd" + "01" + "9605": "b:Accept",
	} {
		raw, err := hex.DecodeString(doc)
		if err != nil {
			t.Fatal(err)
		}
		root, err := binxml.Decode(raw, nil, binxml.Limits{})
		if err != nil {
			t.Errorf("%s: %v", doc, err)
			continue
		}
		if root.Text() != want {
			t.Errorf("%s: %q, want %q", doc, root.Text(), want)
		}
	}
	raw, _ := hex.DecodeString("400161" + "03" + "400162" + "01" + "8b" + "03" + "010002000300" + "01")
	root, err := binxml.Decode(raw, nil, binxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range root.Children {
		got = append(got, c.Name+c.Text())
	}
	if diff := cmp.Diff([]string{"b1", "b2", "b3"}, got); diff != "" {
		t.Error(diff)
	}
}

// refused are documents that differ from <a>…</a> in one thing.
var refused = map[string]string{
	"nothing":                           "",
	"no end":                            "400161",
	"something behind":                  "400161" + "01" + "01",
	"an end too many":                   "01",
	"a text alone":                      "9801" + "61",
	"an unknown record":                 "400161" + "be" + "01",
	"a name with a blank":               "40026120" + "01",
	"a name with a colon":               "4003613a62" + "01",
	"an empty name":                     "4000" + "01",
	"a prefix that is not declared":     "5e0161" + "01",
	"an attribute twice":                "400161" + "040178" + "82" + "040178" + "82" + "01",
	"a declaration twice":               "400161" + "080175" + "080176" + "01",
	"a prefix bound to nothing":         "400161" + "09016200" + "01",
	"an attribute that ends an element": "400161" + "040178" + "83",
	"a NUL":                             "400161" + "990100",
	"half a character":                  "400161" + "9901c3",
	"a lone surrogate":                  "400161" + "b70200d8",
	"half a unit":                       "400161" + "b70161",
	"a negative length":                 "400161" + "9dffffffff",
	"a length beyond the end":           "400161" + "99ff61",
	"a length of 32 bits":               "40ffffffff0f61" + "01",
	"a length without an end":           "40ffffffffffff",
	"an id beyond the dictionary":       "42ce07" + "01",
	"an id of no session":               "4201" + "01",
	"text and bytes mixed":              "400161" + "980161" + "9f0161",
	"a list in a list":                  "400161" + "a4a4a6a6" + "01",
	"an array with content":             "400161" + "03" + "400162" + "8201" + "8b" + "01" + "0100" + "01",
	"an array of too many":              "400161" + "03" + "400162" + "01" + "8b" + "ff01" + "0100" + "01",
	"an array at the top":               "03" + "400162" + "01" + "8b" + "01" + "0100",
	"a boolean of 2":                    "400161" + "b502",
	"a date after the end of time":      "400161" + "97ffffffffffffff3f",
	"a decimal of scale 29":             "400161" + "9500001d00" + "00000000" + "0000000000000000",
}

func TestMalformedDocumentsAreRefused(t *testing.T) {
	if _, err := binxml.Decode([]byte{0x40, 1, 'a', 1}, nil, binxml.Limits{}); err != nil {
		t.Fatalf("the good document: %v", err)
	}
	for name, doc := range refused {
		raw, err := hex.DecodeString(doc)
		if err != nil {
			t.Fatal(name, err)
		}
		if root, err := binxml.Decode(raw, nil, binxml.Limits{}); !errors.Is(err, binxml.ErrSyntax) {
			t.Errorf("%s: %v, %v", name, root, err)
		}
	}
}

func TestP08_BoundsOfADocumentHold(t *testing.T) {
	nested := func(n int) []byte {
		return append([]byte(strings.Repeat("\x40\x01a", n)), strings.Repeat("\x01", n)...)
	}
	many := func(n int) []byte {
		return append(append([]byte("\x40\x01a"), strings.Repeat("\x40\x01b\x01", n)...), 1)
	}
	attrs := func(n int) []byte {
		doc := []byte("\x40\x01a")
		for i := range n {
			doc = append(doc, 4, 2, 'a'+byte(i/26), 'a'+byte(i%26), 0x82)
		}
		return append(doc, 1)
	}
	// Two bytes that stand for 88 characters: the amplification of a dictionary.
	echo := func(n int) []byte {
		return append(append([]byte("\x40\x01a"), strings.Repeat("\xaa\xd8\x02", n)...), 1)
	}
	l := binxml.Limits{Bytes: 4096, Depth: 8, Elements: 100, Attrs: 4, Text: 8192}
	for name, c := range map[string]struct{ good, bad []byte }{
		"depth": {nested(8), nested(9)}, "elements": {many(99), many(100)}, "attributes": {attrs(4), attrs(5)},
		"characters": {echo(80), echo(100)}, "bytes": {many(80), make([]byte, 4097)},
	} {
		if _, err := binxml.Decode(c.good, nil, l); err != nil {
			t.Errorf("%s within the bound: %v", name, err)
		}
		if _, err := binxml.Decode(c.bad, nil, l); !errors.Is(err, binxml.ErrLimit) {
			t.Errorf("%s beyond the bound: %v", name, err)
		}
	}
	var table binxml.Table
	var err error
	for range 2000 {
		if _, err = table.Read([]byte("\x03\x02ab")); err != nil {
			break
		}
	}
	if !errors.Is(err, binxml.ErrTable) {
		t.Errorf("a session's table grows without end: %v", err)
	}
	// Few strings, each of them long.
	long := append([]byte("\x82\x08\x80\x08"), strings.Repeat("x", 1024)...)
	table = binxml.Table{}
	for i := range 65 {
		if _, err = table.Read(long); (err == nil) != (i < 64) {
			t.Fatalf("string %d of a KiB: %v", i+1, err)
		}
	}
	if !errors.Is(err, binxml.ErrTable) {
		t.Errorf("beyond 64 KiB: %v", err)
	}
}

// FuzzDecode asserts that a document which is read keeps within the bounds, and
// that its text is text.
func FuzzDecode(f *testing.F) {
	for name, cut := range map[string]int{"v1": 4, "v2": 4, "v4": 4, "v5": 3} {
		f.Add(vector(f, name, cut))
	}
	f.Add(vector(f, "v6", 3))
	for _, doc := range refused {
		raw, _ := hex.DecodeString(doc)
		f.Add(raw)
	}
	l := binxml.Limits{Bytes: 1 << 16, Depth: 16, Elements: 500, Attrs: 16, Text: 1 << 18}
	f.Fuzz(func(t *testing.T, in []byte) {
		var table binxml.Table
		doc, err := table.Read(in)
		if err != nil {
			doc = in
		}
		root, err := binxml.Decode(doc, &table, l)
		if err != nil {
			if !errors.Is(err, binxml.ErrSyntax) && !errors.Is(err, binxml.ErrLimit) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		elements, text := 0, 0
		var walk func(e *binxml.Element, depth int)
		walk = func(e *binxml.Element, depth int) {
			if elements++; depth > l.Depth || len(e.Attrs) > l.Attrs {
				t.Fatalf("depth %d, %d attributes", depth, len(e.Attrs))
			}
			text += len(e.Name) + len(e.Text())*3/4
			if strings.ContainsAny(e.Name, " :<>&\x00") || strings.ContainsRune(e.Text(), 0) {
				t.Fatalf("name %q, text %q", e.Name, e.Text())
			}
			for _, c := range e.Children {
				walk(c, depth+1)
			}
		}
		walk(root, 1)
		if elements > l.Elements || text > l.Text {
			t.Fatalf("%d elements, %d characters", elements, text)
		}
	})
}
