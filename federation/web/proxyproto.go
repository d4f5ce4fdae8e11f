package web

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// proxyHeader is how long a balancer may take to send its frame.
const proxyHeader = 5 * time.Second

// maxFrame bounds the part of a frame after its first 16 bytes: addresses and the
// additions that balancers really send.
const maxFrame = 536

var proxySignature = []byte("\r\n\r\n\x00\r\nQUIT\n") // PROXY §2.2

// errFrame closes a connection; net/http says nothing of it above debug level.
var errFrame = errors.New("web: malformed PROXY frame")

// framedConn is a connection from a configured proxy that starts with a PROXY v2
// frame. The frame is read by whoever asks for the address or for bytes first,
// which is the connection's own goroutine: a slow balancer delays nobody else.
type framedConn struct {
	net.Conn
	named  func(client netip.Addr) error // counts the client; an error closes the connection
	once   sync.Once
	err    error
	remote net.Addr
}

// RemoteAddr returns the address that the frame states; for a LOCAL frame (the
// balancer's own health probe) and a broken one it is the peer's own.
func (c *framedConn) RemoteAddr() net.Addr {
	c.once.Do(c.readFrame)
	return c.remote
}

// Read returns what follows the frame.
func (c *framedConn) Read(b []byte) (int, error) {
	c.once.Do(c.readFrame)
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(b)
}

func (c *framedConn) readFrame() {
	c.remote = c.Conn.RemoteAddr()
	if c.err = c.Conn.SetReadDeadline(time.Now().Add(proxyHeader)); c.err != nil {
		return
	}
	source, err := readFrame(c.Conn)
	if err != nil {
		c.err = err
		return
	}
	if source.IsValid() {
		c.remote = net.TCPAddrFromAddrPort(source)
		if c.err = c.named(source.Addr()); c.err != nil {
			_ = c.Conn.Close() // without an answer, as where the client itself is the peer
			return
		}
	}
	c.err = c.Conn.SetReadDeadline(time.Time{})
}

// readFrame reads exactly one PROXY v2 frame. The source is invalid when the frame
// states none.
func readFrame(r io.Reader) (source netip.AddrPort, err error) {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return source, err
	}
	n := int(binary.BigEndian.Uint16(head[14:]))
	if !bytes.Equal(head[:12], proxySignature) || n > maxFrame {
		return source, errFrame
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return source, err
	}
	const local, proxied = 0x20, 0x21 // version 2 in the high half
	const unspecified, tcp4, tcp6 = 0x00, 0x11, 0x21
	switch {
	case head[12] == local: // addresses are to be ignored, whatever they say
		return source, nil
	case head[12] != proxied:
		return source, errFrame
	case head[13] == unspecified:
		return source, nil
	case head[13] == tcp4 && n >= 12:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[:4])), binary.BigEndian.Uint16(body[8:])), nil
	case head[13] == tcp6 && n >= 36:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[:16])).Unmap(), binary.BigEndian.Uint16(body[32:])), nil
	default:
		return source, errFrame
	}
}
