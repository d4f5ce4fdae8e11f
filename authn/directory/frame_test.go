package directory_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

	"sallyport/authn/directory"
)

// stream is a connection that reads given bytes and keeps what is written.
type stream struct {
	in     io.Reader
	out    bytes.Buffer
	closed bool
}

func (s *stream) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *stream) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *stream) Close() error                     { s.closed = true; return nil }
func (s *stream) LocalAddr() net.Addr              { return nil }
func (s *stream) RemoteAddr() net.Addr             { return nil }
func (s *stream) SetDeadline(time.Time) error      { return nil }
func (s *stream) SetReadDeadline(time.Time) error  { return nil }
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

const (
	bindRequest1   = "300c020101600702010304008000"
	searchRequest1 = "3025020101632004000a01000a0100020100020100010100870b6f626a656374436c6173733000"
	goodAnswer1    = "300c02010161070a010004000400"
)

func frameOver(t testing.TB, request, reply string, limit int) (*directory.Frame, *stream) {
	t.Helper()
	s := &stream{in: bytes.NewReader(unhex(t, reply))}
	f := directory.NewFrame(s, limit)
	f.Arm(2)
	if request != "" {
		if _, err := f.Write(unhex(t, request)); err != nil {
			t.Fatal(err)
		}
	}
	return f, s
}

func TestD05_OnlyARealBindResponseIsSeenAsSuccess(t *testing.T) {
	for name, reply := range map[string]string{
		"SearchResultDone":  "300c02010165070a010004000400",
		"ExtendedResponse":  "300c02010178070a010004000400",
		"empty code":        "300b02010161060a0004000400",
		"INTEGER code":      "300c020101610702010004000400",
		"9-byte code":       "3014020101610f0a0901000000000000000004000400",
		"indefinite":        "308002010161070a0100040004000000",
		"65536":             "300e02010161090a0301000004000400",
		"other messageID":   "300c02010261070a010004000400",
		"messageID 0":       "300c02010061070a010004000400",
		"negative id":       "300c0201ff61070a010004000400",
		"code 255":          "300c02010161070a01ff04000400",
		"no diagnostic":     "300a02010161050a01000400",
		"trailing rubbish":  "300d02010161070a01000400040000",
		"not a sequence":    "310c02010161070a010004000400",
		"notice":            "3024020100781f0a0134040004008a16312e332e362e312e342e312e313436362e3230303336",
		"long tag":          "3f0c02010161070a010004000400",
		"inner overrun":     "300c02010161080a010004000400",
		"broken controls":   "300e02010161070a010004000400a005",
		"entry to a bind":   "3009020101640404003000",
		"nested too deep":   deep(40),
		"length of 2^31":    "3084800000000201",
		"five length bytes": "30850000000c02010161070a010004000400",
	} {
		f, s := frameOver(t, bindRequest1, reply, 64<<10)
		n, err := f.Read(make([]byte, 1024))
		if n != 0 || err == nil || f.Answer() == 0 || !s.closed || f.Clean() {
			t.Errorf("%s: %d bytes handed over, err %v, code %d, closed %v", name, n, err, f.Answer(), s.closed)
		}
	}
	for name, reply := range map[string]string{
		"good":               goodAnswer1,
		"lengths of Windows": "308400000010020101618400000007" + "0a010004000400",
	} {
		f, _ := frameOver(t, bindRequest1, reply, 64<<10)
		n, err := f.Read(make([]byte, 1024))
		if err != nil || n != len(reply)/2 || f.Answer() != 0 || !f.Clean() {
			t.Errorf("%s: %d bytes, %v, code %d", name, n, err, f.Answer())
		}
	}
}

func deep(n int) string {
	b := []byte{0x0a, 1, 0, 4, 0, 4, 0}
	inner := []byte{}
	for range n {
		inner = append([]byte{0x30, byte(len(inner))}, inner...)
	}
	b = append(b, inner...)
	b = append([]byte{0x61, 0x81, byte(len(b))}, b...)
	b = append([]byte{2, 1, 1}, b...)
	return hex.EncodeToString(append([]byte{0x30, 0x81, byte(len(b))}, b...))
}

func TestNoticeOfDisconnectionEndsTheConnectionAtOnce(t *testing.T) {
	f, s := frameOver(t, "", "3024020100781f0a0134040004008a16312e332e362e312e342e312e313436362e3230303336", 64<<10)
	if _, err := f.Read(make([]byte, 64)); err == nil || err.Error() != "directory: notice of disconnection, code 52" || !s.closed {
		t.Errorf("err %v, closed %v", err, s.closed)
	}
}

func TestNothingIsAwaitedNothingMayCome(t *testing.T) {
	f, _ := frameOver(t, "", goodAnswer1, 64<<10)
	if n, err := f.Read(make([]byte, 64)); n != 0 || err == nil {
		t.Errorf("an answer without a request: %d bytes, %v", n, err)
	}
	f, _ = frameOver(t, bindRequest1, goodAnswer1+goodAnswer1, 64<<10)
	if _, err := f.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Read(make([]byte, 64)); n != 0 || err == nil {
		t.Errorf("a second answer: %d bytes, %v", n, err)
	}
}

func TestOneOutstandingRequest(t *testing.T) {
	f, s := frameOver(t, bindRequest1, "", 64<<10)
	sent := s.out.Len()
	if n, err := f.Write(unhex(t, "300c020102600702010304008000")); n != 0 || err == nil || s.out.Len() != sent {
		t.Errorf("a second request: %d bytes, %v", n, err)
	}
}

func TestD05_BindConnectionCarriesBindsOnly(t *testing.T) {
	f, s := frameOver(t, "", "", 64<<10)
	f.Restrict()
	if n, err := f.Write(unhex(t, searchRequest1)); n != 0 || err == nil || s.out.Len() != 0 {
		t.Errorf("a search on a bind connection: %d bytes, %v", n, err)
	}
	if _, err := f.Write(unhex(t, bindRequest1)); err != nil {
		t.Errorf("a bind: %v", err)
	}
}

func TestD09_AnswersAreBounded(t *testing.T) {
	entry := "300902010164040400" + "3000"
	f, _ := frameOver(t, searchRequest1, entry+entry+entry, 64<<10)
	var err error
	for err == nil {
		_, err = f.Read(make([]byte, 11))
	}
	if errors.Is(err, io.EOF) {
		t.Error("three entries where two were asked for")
	}
	// A length field alone makes no memory.
	f, _ = frameOver(t, searchRequest1, "30840040000002010164", 8<<20)
	if _, err := f.Read(make([]byte, 64)); err == nil || f.Buffer() > 4096 {
		t.Errorf("err %v, buffer of %d bytes", err, f.Buffer())
	}
	f, _ = frameOver(t, searchRequest1, "30840040000002010164", 4<<10)
	if _, err := f.Read(make([]byte, 64)); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a message over the limit: %v", err)
	}
}

// FuzzFrame: whatever a DC sends, what is handed on is whole messages that
// go-ldap's own parser takes, and code 0 is seen only in a BindResponse.
func FuzzFrame(f *testing.F) {
	for _, s := range []string{goodAnswer1, "308400000010020101618400000007" + "0a010004000400", "300c02010165070a010004000400",
		"300b02010161060a0004000400", "308002010161070a0100040004000000", deep(5)} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, reply []byte) {
		frame, _ := frameOver(t, bindRequest1, hex.EncodeToString(reply), 4096)
		var got bytes.Buffer
		buf := make([]byte, 37)
		for {
			n, err := frame.Read(buf)
			got.Write(buf[:n])
			if err != nil {
				break
			}
		}
		if !bytes.HasPrefix(reply, got.Bytes()) {
			t.Fatalf("%x was handed over of %x", got.Bytes(), reply)
		}
		if frame.Answer() != 0 {
			return
		}
		id, op, body, err := directory.ParseMessage(got.Bytes())
		if err != nil || id != 1 || op != 0x61 {
			t.Fatalf("success seen in %x: id %d, op %x, %v", got.Bytes(), id, op, err)
		}
		if code, _, err := directory.ParseResult(body); code != 0 || err != nil {
			t.Fatalf("success seen in %x", got.Bytes())
		}
		p, err := ber.DecodePacketErr(got.Bytes())
		if err != nil || len(p.Children) < 2 || p.Children[1].Tag != 1 {
			t.Fatalf("the library reads %x otherwise: %v", got.Bytes(), err)
		}
	})
}
