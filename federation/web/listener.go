package web

import (
	"net"
	"net/netip"
	"sync"
)

// limitListener closes connections beyond the limits as soon as they arrive. It
// does not leave them in the backlog: a flood would then keep everybody waiting.
type limitListener struct {
	net.Listener
	server *Server

	mu    sync.Mutex
	total int                // open connections; under mu
	by    map[netip.Addr]int // the same by address, proxies left out; under mu
}

func newLimitListener(l net.Listener, s *Server) *limitListener {
	return &limitListener{Listener: l, server: s, by: make(map[netip.Addr]int)}
}

// Accept returns the next connection that is within the limits.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		key := l.key(c)
		if limit := l.enter(key); limit != "" {
			l.server.edge.metrics.refused.WithLabelValues(limit).Inc()
			_ = c.Close()
			continue
		}
		if l.server.cfg.ProxyProtocol && !key.IsValid() {
			c = &framedConn{Conn: c}
		}
		return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { l.leave(key) })}, nil
	}
}

// key is the address a connection is counted under.
func (l *limitListener) key(c net.Conn) netip.Addr {
	return l.server.edge.trust.Load().countedAs(peerAddr(c.RemoteAddr().String()))
}

// enter counts a connection, or returns the name of the limit that it breaks.
func (l *limitListener) enter(key netip.Addr) (limit string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.server.cfg.MaxConns {
		return "connections"
	}
	if key.IsValid() && l.by[key] >= l.server.cfg.MaxConnsPerAddress {
		return "connections_address"
	}
	l.total++
	if key.IsValid() {
		l.by[key]++
	}
	l.server.edge.metrics.conns.Set(float64(l.total))
	return ""
}

func (l *limitListener) leave(key netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if key.IsValid() {
		if l.by[key]--; l.by[key] <= 0 {
			delete(l.by, key)
		}
	}
	l.server.edge.metrics.conns.Set(float64(l.total))
}

// limitedConn leaves the count once when it is closed.
type limitedConn struct {
	net.Conn
	leave func()
}

// Close closes the connection.
func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
