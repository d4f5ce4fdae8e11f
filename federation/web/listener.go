package web

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// errCrowd closes a connection of a client that has as many as it may.
var errCrowd = errors.New("web: too many connections of one client")

// limitListener closes connections beyond the limits as soon as they arrive. It
// does not leave them in the backlog: a flood would then keep everybody waiting.
type limitListener struct {
	net.Listener
	server *Server

	mu    sync.Mutex
	total int                // open connections; under mu
	by    map[netip.Addr]int // the same by client: the peer, or whom a proxy's frame names; under mu
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
		counted := &limitedConn{Conn: c, l: l, key: key}
		if l.server.cfg.ProxyProtocol && !key.IsValid() {
			counted.Conn = &framedConn{Conn: c, named: counted.name}
		}
		return counted, nil
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

// limitedConn leaves the count once when it is closed.
type limitedConn struct {
	net.Conn
	l    *limitListener
	key  netip.Addr // under l.mu
	left bool       // under l.mu
}

// name counts the connection, which a configured proxy made, under the client that
// its frame names: behind a proxy, too, one client cannot take everybody's place.
func (c *limitedConn) name(client netip.Addr) error {
	key := c.l.server.edge.trust.Load().countedAs(client)
	if !key.IsValid() {
		return nil // another proxy of ours
	}
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.left {
		return net.ErrClosed
	}
	if c.l.by[key] >= c.l.server.cfg.MaxConnsPerAddress {
		c.l.server.edge.metrics.refused.WithLabelValues("connections_address").Inc()
		return errCrowd
	}
	c.l.by[key]++
	c.key = key
	return nil
}

// Close closes the connection.
func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

func (c *limitedConn) leave() {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.left {
		return
	}
	c.left = true
	c.l.total--
	if c.key.IsValid() {
		if c.l.by[c.key]--; c.l.by[c.key] <= 0 {
			delete(c.l.by, c.key)
		}
	}
	c.l.server.edge.metrics.conns.Set(float64(c.l.total))
}
