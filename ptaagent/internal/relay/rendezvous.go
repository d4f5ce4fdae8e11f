package relay

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"sallyport/ptaagent/internal/binxml"
)

const maxReply = 4096

// ErrAccept says that the relay did not join a relayed connection.
var ErrAccept = errors.New("relay: rendezvous refused")

// notified takes one notification: it dials and serves in the background.
func (l *Listener) notified(ctx context.Context, data [][]byte) {
	l.cfg.Metrics.count("notice")
	l.mu.Lock()
	l.status.Notices++
	l.status.LastNotice = l.cfg.Now()
	domain := l.endpoint.Domain
	l.mu.Unlock()
	if len(data) != 1 {
		l.refused("notice_refused", fmt.Errorf("%w: %d data sections", ErrNotice, len(data)))
		return
	}
	n, err := readNotice(data[0], domain)
	if err != nil {
		l.refused("notice_refused", err)
		return
	}
	if !l.claim(n.id) {
		l.cfg.Metrics.count("notice_repeated")
		return
	}
	if !l.cfg.Connections.Try() {
		l.release(n.id)
		l.refused("notice_shed", fmt.Errorf("%w: %d relayed connections are open", ErrAccept, cap(l.cfg.Connections)))
		return
	}
	l.serving.Go(func() {
		defer l.release(n.id)
		defer l.cfg.Connections.Free()
		l.relayed(ctx, n)
	})
}

// claim marks a rendezvous id as live; false when it is already.
func (l *Listener) claim(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live[id] {
		return false
	}
	l.live[id] = true
	return true
}

func (l *Listener) release(id string) {
	l.mu.Lock()
	delete(l.live, id)
	l.mu.Unlock()
}

func (l *Listener) refused(event string, err error) {
	l.cfg.Metrics.count(event)
	l.cfg.Logger.Warn("pta: refused what came over the relay", "event", event, "endpoint", l.Status().Endpoint, "error", err.Error())
}

// relayed joins one relayed connection and serves it to its end.
func (l *Listener) relayed(ctx context.Context, n notice) {
	setup, cancel := context.WithTimeout(ctx, l.cfg.Timing.Rendezvous)
	conn, r, err := l.join(setup, n)
	cancel()
	if err != nil {
		if ctx.Err() == nil {
			l.refused("relayed_failed", err)
		}
		return
	}
	l.cfg.Metrics.count("relayed_opened")
	l.mu.Lock()
	reliable, name := l.endpoint.Reliable, l.endpoint.Name
	l.mu.Unlock()
	s := newSession(sessionConfig{
		conn: conn, reader: r, handler: l.cfg.Handler, reliable: reliable, endpoint: name, metrics: l.cfg.Metrics, timing: l.cfg.Timing,
	})
	if err := s.serve(ctx); err != nil && ctx.Err() == nil {
		l.refused("message_refused", err)
	}
}

// join dials the relay instance and asks it for the connection.
func (l *Listener) join(ctx context.Context, n notice) (_ net.Conn, _ *bufio.Reader, err error) {
	conn, err := l.cfg.Dial(ctx, n.host, socketPath, protocolAccept)
	if err != nil {
		return nil, nil, fmt.Errorf("relay instance %s: %w", n.host, err)
	}
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := conn.Write(appendAccept(nil, n.id)); err != nil {
		return nil, nil, fmt.Errorf("relay instance %s: %w", n.host, err)
	}
	r := bufio.NewReaderSize(conn, 8<<10)
	if err := readAcceptReply(r); err != nil {
		return nil, nil, fmt.Errorf("relay instance %s: %w", n.host, err)
	}
	return conn, r, nil
}

// appendAccept appends the message that asks for a relayed connection, with its
// length before it.
func appendAccept(dst []byte, id string) []byte {
	start := len(dst)
	w := binxml.NewWriter(append(dst, 0, 0, 0, 0), nil)
	beginEnvelope(w, false)
	localAction(w, "RelayedAccept")
	w.Start("a", "To")
	w.MustUnderstand()
	w.Text(anonymousAccept)
	w.End()
	w.End()
	w.Start("s", "Body")
	w.StartLocal("", "RelayedAccept")
	w.SpaceLocal("", nsConnect)
	w.SpaceLocal("i", nsInstance)
	w.StartLocal("", "Id")
	w.Text(id)
	w.End()
	w.End()
	endEnvelope(w)
	out := w.Bytes()
	binary.LittleEndian.PutUint32(out[start:], uint32(len(out)-start-4))
	return out
}

// readAcceptReply reads the relay's answer: a length, and an envelope that agrees.
func readAcceptReply(r io.Reader) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("%w: %w", ErrAccept, err)
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n == 0 || n > maxReply {
		return fmt.Errorf("%w: answer of %d bytes", ErrAccept, n)
	}
	doc := make([]byte, n)
	if _, err := io.ReadFull(r, doc); err != nil {
		return fmt.Errorf("%w: %w", ErrAccept, err)
	}
	reply, err := openEnvelope(doc, nil, binxml.Limits{})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAccept, err)
	}
	if fault := reply.body.Child(nsSOAP, "Fault"); fault != nil {
		return fmt.Errorf("%w: %.200q", ErrAccept, fault.Child(nsSOAP, "Reason").Child(nsSOAP, "Text").Text())
	}
	if reply.action != "RelayedAcceptReply" {
		return fmt.Errorf("%w: answer %.80q", ErrAccept, reply.action)
	}
	return nil
}
