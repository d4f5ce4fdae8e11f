package relay

import (
	"bytes"
	"net"
	"time"
)

// captured is a connection that keeps what is written.
type captured struct{ bytes.Buffer }

func (*captured) Close() error                     { return nil }
func (*captured) LocalAddr() net.Addr              { return nil }
func (*captured) RemoteAddr() net.Addr             { return nil }
func (*captured) SetDeadline(time.Time) error      { return nil }
func (*captured) SetReadDeadline(time.Time) error  { return nil }
func (*captured) SetWriteDeadline(time.Time) error { return nil }
