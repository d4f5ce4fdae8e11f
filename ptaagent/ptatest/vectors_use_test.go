package ptatest_test

import (
	"bytes"
	"testing"
	"time"

	"sallyport/ptaagent/ptatest"
	"sallyport/ptaagent/ptatest/internal/amqp"
	"sallyport/ptaagent/ptatest/internal/binxml"
)

func TestAcceptReplyIsTheOneOfTheCaptureByteForByte(t *testing.T) {
	if got := ptatest.AcceptReply(false); !bytes.Equal(got, vector(v2)) {
		t.Errorf("got  %x\nwant %x", got, vector(v2))
	}
	if got := ptatest.AcceptReply(true); bytes.Equal(got, vector(v2)) || len(got) < 5 || int(got[0])|int(got[1])<<8 != len(got)-4 {
		t.Errorf("error reply: %x", got)
	}
}

func TestPrintedMessagesAreReadAsTheyAreMeant(t *testing.T) {
	accept, err := binxml.Document(vector(v1)[4:])
	if err != nil || find(accept, "Action").Text != "RelayedAccept" || find(accept, "Id").Text != "11111111-1111-1111-1111-111111111111" {
		t.Errorf("V1: %v", err)
	}
	for name, c := range map[string]struct {
		hex, element, text string
		skip               int
	}{
		"V4": {v4, "Identifier", "urn:uuid:22222222-2222-2222-2222-222222222222", 3},
		"V5": {v5, "BufferRemaining", "8", 2},
		"V6": {v6, "ConnectorId", "55555555-5555-5555-5555-555555555555", 3},
		"V7": {v7, "RelatesTo", "urn:uuid:44444444-4444-4444-4444-444444444444", 3},
	} {
		n, err := new(binxml.Reader).Envelope(vector(c.hex)[c.skip:])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if f := find(n, c.element); f == nil || f.Text != c.text {
			t.Errorf("%s: %s is %+v", name, c.element, f)
		}
	}
}

func TestSecondMessageOfASessionUsesTheTableOfTheFirst(t *testing.T) {
	var r binxml.Reader
	if _, err := r.Envelope(vector(v7)[3:]); err != nil {
		t.Fatal(err)
	}
	n, tail, _ := binxml.ReadInt(vector(v7)[3:])
	if _, err := r.Envelope(append([]byte{0}, tail[n:]...)); err != nil {
		t.Errorf("with the table: %v", err)
	}
	if _, err := new(binxml.Reader).Envelope(append([]byte{0}, tail[n:]...)); err == nil {
		t.Error("unknown ids were read")
	}
	// The writing side does the same: strings once, then ids.
	var s binxml.Session
	var lengths []int
	var back binxml.Reader
	for range 3 {
		w := binxml.NewWriter(&s)
		w.Content()
		w.Start("", "SignalConnector")
		w.Declare("", "http://tempuri.org/")
		w.Int(70000)
		w.End()
		b := w.Envelope()
		lengths = append(lengths, len(b))
		if e, err := back.Envelope(b); err != nil || e.Text != "70000" || e.Space != "http://tempuri.org/" {
			t.Fatalf("%+v %v", e, err)
		}
	}
	if lengths[1] >= lengths[0] || lengths[2] != lengths[1] {
		t.Errorf("lengths %v", lengths)
	}
}

func TestSASLInitAndEmptyFrameAreReadAsPrinted(t *testing.T) {
	f, err := amqp.ReadFrame(vector("0000001a02010000005341c00d03a30845585445524e414c4040"))
	if err != nil || f.Type != amqp.TypeSASL || f.Code != amqp.CodeInit || f.Field(0) != amqp.Symbol("EXTERNAL") || f.Field(1) != nil || f.Field(2) != nil {
		t.Errorf("V9: %+v %v", f, err)
	}
	if f, err = amqp.ReadFrame(vector("0000000802000000")); err != nil || f.Code != 0 {
		t.Errorf("V10: %+v %v", f, err)
	}
}

var printedEndpoint = ptatest.Endpoint{
	Namespace: "ns1", Domain: "servicebus.windows.net", KeyName: "Connector", Key: "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=",
	Path: "00000000-0000-0000-0000-000000000001_00000000-0000-0000-0000-000000000002",
}

func TestPrintedTokenIsTakenAndEveryFlawIsNot(t *testing.T) {
	now := time.Unix(1767225600-1800, 0)
	if _, err := ptatest.JudgeToken(v8, printedEndpoint, now, time.Hour); err != nil {
		t.Errorf("V8: %v", err)
	}
	own := sas("http://ns1.servicebus.windows.net/"+printedEndpoint.Path+"/", printedEndpoint.Key, "Connector", 1767225600)
	if own != v8 {
		t.Errorf("the hand-made agent signs otherwise:\n%s\n%s", own, v8)
	}
	base := "http://ns1.servicebus.windows.net/" + printedEndpoint.Path + "/"
	for name, token := range map[string]string{
		"no slash":     sas(base[:len(base)-1], printedEndpoint.Key, "Connector", 1767225600),
		"sb scheme":    sas("sb"+base[4:], printedEndpoint.Key, "Connector", 1767225600),
		"other key":    sas(base, printedEndpoint.Key+"=", "Connector", 1767225600),
		"other name":   sas(base, printedEndpoint.Key, "Listener", 1767225600),
		"expired":      sas(base, printedEndpoint.Key, "Connector", now.Unix()),
		"too long":     sas(base, printedEndpoint.Key, "Connector", now.Unix()+2*3600),
		"other path":   sas(base+"x/", printedEndpoint.Key, "Connector", 1767225600),
		"upper hex":    string(bytes.ReplaceAll([]byte(v8), []byte("%2f"), []byte("%2F"))),
		"order":        "SharedAccessSignature " + v8[len(v8)-13:] + "&" + v8[22:len(v8)-14],
		"signature":    string(bytes.Replace([]byte(v8), []byte("Y77"), []byte("Y78"), 1)),
		"later":        string(bytes.Replace([]byte(v8), []byte("se=1767225600"), []byte("se=1767225601"), 1)),
		"twice":        v8 + "&skn=Connector",
		"other scheme": "Bearer" + v8[21:],
	} {
		if _, err := ptatest.JudgeToken(token, printedEndpoint, now, time.Hour); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestPrintedClaimsAreReadAndEveryFlawIsNot(t *testing.T) {
	v, err := ptatest.ReadClaims(b64(v12), "alice@contoso.test")
	if err != nil || v.OK || v.Reason != 1326 {
		t.Errorf("V12: %+v %v", v, err)
	}
	good := `[{"ClaimType":"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/authentication","Resource":true,"Right":"http://schemas.xmlsoap.org/ws/2005/05/identity/right/identity"},` +
		`{"ClaimType":"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name","Resource":"alice@contoso.test","Right":"http://schemas.xmlsoap.org/ws/2005/05/identity/right/identity"}]`
	if v, err := ptatest.ReadClaims(b64(good), "alice@contoso.test"); err != nil || !v.OK {
		t.Errorf("good: %+v %v", v, err)
	}
	for name, edit := range map[string][2]string{
		"other name": {"alice@", "bob@"}, "true as text": {"true", `"true"`}, "one more member": {`"Resource":true`, `"X":1,"Resource":true`},
		"right": {"right/identity\"},", "right/possess\"},"}, "name after false": {"true", "false"}, "trailing": {"}]", "}] "}, "more": {"}]", "}][]"},
		"type": {"claims/authentication", "claims/auth"},
	} {
		text := string(bytes.Replace([]byte(good), []byte(edit[0]), []byte(edit[1]), 1))
		if _, err := ptatest.ReadClaims(b64(text), "alice@contoso.test"); (err == nil) != (name == "trailing") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, reason := range []string{"0", "-1", "70000", "1.5", `"1326x"`, "null", "[]"} {
		text := string(bytes.Replace([]byte(v12), []byte("1326"), []byte(reason), 1))
		if _, err := ptatest.ReadClaims(b64(text), "alice@contoso.test"); err == nil {
			t.Errorf("reason %s: taken", reason)
		}
	}
}
