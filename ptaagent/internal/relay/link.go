package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/go-amqp"
)

const (
	protocolLink   = "wsrelayedamqp"
	protocolAccept = "wsrelayedconnection"
	socketPath     = "/$servicebus/websocket"
)

const (
	linkCredit    = 1000
	writeTimeout  = 15 * time.Second
	closeTimeout  = 3 * time.Second
	clientAgent   = "ServiceBus/3.0.51093.14;"
	maxNoticeSize = 256 << 10
)

// wire is the byte stream below AMQP. It tells when bytes last went each way, and
// writes an empty frame when none has gone out for a while; AMQP writes whole
// frames, so that fits between them.
type wire struct {
	net.Conn
	write sync.Mutex
	sent  atomic.Int64 // Unix nanoseconds
	heard atomic.Int64
}

func newWire(c net.Conn) *wire {
	w := &wire{Conn: c}
	w.sent.Store(time.Now().UnixNano())
	w.heard.Store(time.Now().UnixNano())
	return w
}

// Read implements [net.Conn].
func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if n > 0 {
		w.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

// Write implements [net.Conn]; it has its own deadline.
func (w *wire) Write(b []byte) (int, error) {
	w.write.Lock()
	defer w.write.Unlock()
	_ = w.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	n, err := w.Conn.Write(b)
	_ = w.Conn.SetWriteDeadline(time.Time{})
	w.sent.Store(time.Now().UnixNano())
	return n, err
}

// SetWriteDeadline implements [net.Conn]; Write has its own.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// keepAlive writes empty frames into silence until done is closed.
func (w *wire) keepAlive(silence time.Duration, done <-chan struct{}) {
	tick := time.NewTicker(silence / 6)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if time.Since(time.Unix(0, w.sent.Load())) < silence {
				continue
			}
			if _, err := w.Write([]byte{0, 0, 0, 8, 2, 0, 0, 0}); err != nil {
				_ = w.Close()
				return
			}
		}
	}
}

// link is one signalling link with its connection.
type link struct {
	wire     *wire
	conn     *amqp.Conn
	receiver *amqp.Receiver
	opened   time.Time
	renew    time.Time     // when to replace it, by the wall clock
	done     chan struct{} // closed when receiving has ended
	err      error         // why, after done
	retired  atomic.Bool
}

// open dials and attaches a link for the endpoint.
func (l *Listener) open(ctx context.Context, e Endpoint) (_ *link, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timing.Setup)
	defer cancel()
	// The socket outlives the set-up; closing it ends it.
	socket, err := l.cfg.Dial(ctx, e.Host(), socketPath, protocolLink)
	if err != nil {
		return nil, err
	}
	now := l.cfg.Now()
	ttl := l.cfg.TokenLife()
	lk := &link{wire: newWire(socket), opened: now, renew: now.Add(ttl*3/4 + jitter(ttl/8)), done: make(chan struct{})}
	go lk.wire.keepAlive(l.cfg.Timing.KeepAlive, lk.done)
	defer func() {
		if err != nil {
			close(lk.done)
			_ = lk.wire.Close()
		}
	}()
	lk.conn, err = amqp.NewConn(ctx, lk.wire, &amqp.ConnOptions{
		ContainerID: "RelayConnection_" + newGUID(), HostName: e.Namespace + "-relay." + e.Domain,
		IdleTimeout: -1, MaxFrameSize: 65536, MaxSessions: 8192, SASLType: amqp.SASLTypeExternal(""),
	})
	if err != nil {
		return nil, fmt.Errorf("amqp: %w", err)
	}
	if err := lk.attach(ctx, e, e.Token(now.Add(ttl))); err != nil {
		return nil, fmt.Errorf("amqp: %w", err)
	}
	return lk, nil
}

// attach opens the session, both links and the credit.
func (lk *link) attach(ctx context.Context, e Endpoint, token string) error {
	session, err := lk.conn.NewSession(ctx, nil)
	if err != nil {
		return err
	}
	tracking := newGUID()
	properties := func() map[string]any {
		return map[string]any{
			"com.microsoft:swt": token, "com.microsoft:client-agent": clientAgent, "com.microsoft:dynamic-relay": false,
			"com.microsoft:listener-type": "RelayedConnection", "com.microsoft:tracking-id": tracking,
		}
	}
	name := "RelayLink_" + newGUID()
	if _, err := session.NewSender(ctx, e.address(), &amqp.SenderOptions{Name: name + ":out", Properties: properties()}); err != nil {
		return err
	}
	lk.receiver, err = session.NewReceiver(ctx, e.address(), &amqp.ReceiverOptions{
		Name: name + ":in", Properties: properties(), Credit: -1, MaxMessageSize: maxNoticeSize,
	})
	if err != nil {
		return err
	}
	return lk.receiver.IssueCredit(linkCredit)
}

// receive hands each notification on until the link ends.
func (lk *link) receive(ctx context.Context, take func(body [][]byte)) {
	defer close(lk.done)
	for settled := 1; ; settled++ {
		msg, err := lk.receiver.Receive(ctx, nil)
		if err != nil {
			lk.err = err
			break
		}
		if err := lk.settle(ctx, msg, take); err != nil {
			lk.err = err
			break
		}
		if settled%(linkCredit/2) == 0 && !lk.retired.Load() {
			if err := lk.receiver.IssueCredit(linkCredit / 2); err != nil {
				lk.err = err
				break
			}
		}
	}
	for msg := lk.receiver.Prefetched(); msg != nil; msg = lk.receiver.Prefetched() {
		_ = lk.settle(context.WithoutCancel(ctx), msg, take)
	}
}

// settle accepts a message before it is looked at: what is wrong with it is not
// mended by sending it again.
func (lk *link) settle(ctx context.Context, msg *amqp.Message, take func(body [][]byte)) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := lk.receiver.AcceptMessage(ctx, msg)
	take(msg.Data)
	return err
}

// retire takes the link out of service: the credit is drained, what is on its way is
// still received, then the connection closes. A relay that does not answer a drain
// has that long to send what it meant for this link. stop ends receive.
func (lk *link) retire(stop context.CancelFunc, drain time.Duration) {
	lk.retired.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	_ = lk.receiver.DrainCredit(ctx, nil) // what has come before its answer is received below
	lk.end(stop)
}

// end closes the connection. stop ends receive.
func (lk *link) end(stop context.CancelFunc) {
	stop()
	<-lk.done
	force := time.AfterFunc(closeTimeout, func() { _ = lk.wire.Close() })
	defer force.Stop()
	_ = lk.conn.Close()
}

// condition returns the AMQP error condition that the relay gave, if it gave one.
func condition(err error) string {
	var link *amqp.LinkError
	var session *amqp.SessionError
	var conn *amqp.ConnError
	var plain *amqp.Error
	switch {
	case errors.As(err, &link) && link.RemoteErr != nil:
		plain = link.RemoteErr
	case errors.As(err, &session) && session.RemoteErr != nil:
		plain = session.RemoteErr
	case errors.As(err, &conn) && conn.RemoteErr != nil:
		plain = conn.RemoteErr
	case errors.As(err, &plain):
	default:
		return ""
	}
	return string(plain.Condition)
}

// stale reports conditions that say that what bootstrap told is out of date.
func stale(condition string) bool {
	switch condition {
	case "com.microsoft:auth-failed", "com.microsoft:relay-not-found", "com.microsoft:address-already-in-use",
		"amqp:unauthorized-access", "amqp:not-found":
		return true
	}
	return false
}
