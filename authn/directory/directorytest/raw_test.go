package directorytest_test

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"testing"
	"time"

	"sallyport/authn/directory/directorytest"
)

// raw is a client that sends bytes and reads bytes.
type raw struct {
	t testing.TB
	c *tls.Conn
}

func dialRaw(t testing.TB, d *directorytest.Directory, dc int) raw {
	t.Helper()
	c, err := tls.Dial("tcp", d.DCs[dc].Addr, &tls.Config{RootCAs: d.CAPool(), ServerName: d.DCs[dc].Name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return raw{t, c}
}

func (r raw) send(b ...[]byte) {
	r.t.Helper()
	if _, err := r.c.Write(bytes.Join(b, nil)); err != nil {
		r.t.Fatal(err)
	}
}

// read returns one message, nil when the server has closed.
func (r raw) read() []byte {
	r.t.Helper()
	b := make([]byte, 2, 256)
	if _, err := io.ReadFull(r.c, b); err != nil {
		if errors.Is(err, io.EOF) || isReset(err) {
			return nil
		}
		r.t.Fatal(err)
	}
	n := int(b[1])
	if n >= 0x80 {
		k := n & 0x7f
		b = b[:2+k]
		if _, err := io.ReadFull(r.c, b[2:]); err != nil {
			r.t.Fatal(err)
		}
		n = 0
		for _, x := range b[2:] {
			n = n<<8 | int(x)
		}
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r.c, body); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return nil
		}
		r.t.Fatal(err)
	}
	return append(b, body...)
}

func isReset(err error) bool {
	return bytes.Contains([]byte(err.Error()), []byte("connection reset"))
}

// tlv builds one BER value with a short or minimal length.
func tlv(tag byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	head := []byte{tag}
	switch n := len(body); {
	case n < 0x80:
		head = append(head, byte(n))
	case n < 0x100:
		head = append(head, 0x81, byte(n))
	default:
		head = append(head, 0x82, byte(n>>8), byte(n))
	}
	return append(head, body...)
}

func message(id byte, op []byte) []byte { return tlv(0x30, []byte{2, 1, id}, op) }

func bindMessage(id byte, name, password string) []byte {
	return message(id, tlv(0x60, []byte{2, 1, 3}, tlv(4, []byte(name)), tlv(0x80, []byte(password))))
}

// rootMessage asks the rootDSE for one attribute.
func rootMessage(id byte, attr string) []byte {
	return message(id, tlv(0x63, tlv(4), []byte{0x0a, 1, 0, 0x0a, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0},
		tlv(0x87, []byte("objectClass")), tlv(0x30, tlv(4, []byte(attr)))))
}

// resultOf cuts messageID, operation and code out of an answer with the lengths
// of a Windows DC (84 and four octets).
func resultOf(t testing.TB, b []byte) (id, op, code byte) {
	t.Helper()
	if len(b) < 18 || b[1] != 0x84 || b[6] != 2 || b[7] != 1 || b[10] != 0x84 || b[15] != 0x0a {
		t.Fatalf("not an answer: %x", b)
	}
	return b[8], b[9], b[17]
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
