package ptaagent

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

const (
	maxDocument = 256 << 10
	socketIdle  = 30 * time.Minute // without a request
)

// fetch opens the front end's WebSocket for a Connect signal and answers the
// requests that come over it, until it closes. The first request is waited for even
// when the agent closes: the signal has been acknowledged.
func (a *Agent) fetch(r *request, received time.Time) error {
	setup, cancel := context.WithDeadline(a.run, received.Add(a.plan.Load().Budget))
	defer func() { cancel() }()
	h := http.Header{}
	a.proxyHeaders(h, r.transaction)("X-Cwap-Connector-Sp-Connections", "0")
	conn, _, err := websocket.Dial(setup, "wss://"+r.host+"/subscriber/websocketconnect?requestId="+newGUID(),
		&websocket.DialOptions{HTTPClient: a.mutual, HTTPHeader: h})
	if err != nil {
		return fmt.Errorf("front end: %w", Explain(r.host, err))
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxDocument)
	hello := fmt.Sprintf(`{"ConnectionId":"%s","MessageType":0}`, r.connection)
	if err := conn.Write(setup, websocket.MessageBinary, []byte(hello)); err != nil {
		return fmt.Errorf("front end: %w", err)
	}
	wait := setup
	for first := true; ; first = false {
		_, text, err := conn.Read(wait)
		cancel()
		switch {
		case err != nil && first:
			return fmt.Errorf("front end: no request came: %w", err)
		case err != nil:
			return nil // closed, or nobody has asked for long
		}
		now := time.Now()
		next, err := readDocument(text)
		if err != nil {
			a.refuse(a.run, "pta_malformed", r.transaction, err)
		} else {
			a.accept(a.run, next, now)
		}
		wait, cancel = context.WithTimeout(a.serve, socketIdle)
	}
}
