package ptatest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// waiting is a sign-in that waits for its result.
type waiting struct {
	signal *signal
	faults Faults
	sent   atomic.Int32  // signals of this transaction, each to another agent or link
	acked  chan struct{} // closed when the signal was acknowledged
	agent  string        // who acknowledged; set before acked is closed
	result chan outcome
	socket chan struct{} // closed when the front-end WebSocket may go
	tries  int           // posts of the result so far
	claims []byte        // of the result that was taken
}

// outcome is a judged result.
type outcome struct {
	verdict Verdict
	err     error
}

// commonHeaders are those of both front-end requests (10.1, 13), by canonical name.
func commonHeaders(sp string) map[string]func(string) bool {
	eq := func(want ...string) func(string) bool { return func(s string) bool { return slices.Contains(want, s) } }
	return map[string]func(string) bool{
		"X-Cwap-Dnscachelookup-Result": eq("NotUsed"), "X-Cwap-Connector-Usesdefaultproxy": eq("InUse", "NotUsed"),
		"X-Cwap-Connector-Version": versionForm.MatchString, "X-Cwap-Datamodel-Version": versionForm.MatchString,
		"X-Cwap-Connector-Sp-Connections": func(s string) bool { return s == sp || sp == "" && smallNumber.MatchString(s) },
		"X-Cwap-Transid":                  guidForm.MatchString,
	}
}

var (
	smallNumber = regexp.MustCompile(`^(0|[1-9][0-9]{0,5})$`)
	attemptForm = regexp.MustCompile(`^[1-5]$`)
)

// resultHeaders adds those of the result (13).
func resultHeaders() map[string]func(string) bool {
	h := commonHeaders("")
	eq := func(want string) func(string) bool { return func(s string) bool { return s == want } }
	h["X-Cwap-Sessionid"] = eq(zeroGUID)
	h["X-Cwap-Certificate-Authentication"] = eq("notProcessed")
	h["X-Cwap-Headers-Size"] = eq("0")
	h["X-Cwap-Connector-Be-Latency-Ms"] = smallNumber.MatchString
	h["X-Cwap-Payload-Total-Attempts"] = eq("0")
	h["X-Cwap-Connector-Loadfactor"] = smallNumber.MatchString
	h["X-Cwap-Response-Total-Attempts"] = attemptForm.MatchString
	h["X-Cwap-Connector-All-Latency-Ms"] = smallNumber.MatchString
	h["X-Cwap-Backend-Response"] = func(string) bool { return true }
	return h
}

// judgeHeaders wants each header once with a good value, and of other headers
// only those that are allowed.
func judgeHeaders(h http.Header, want map[string]func(string) bool, allowed ...string) error {
	for name, ok := range want {
		v := h[name]
		if len(v) != 1 {
			return fmt.Errorf("header %s stands %d times", name, len(v))
		}
		if !ok(v[0]) {
			return fmt.Errorf("header %s is %q", name, clip(v[0]))
		}
	}
	for name := range h {
		if want[name] == nil && !slices.Contains(allowed, name) {
			return fmt.Errorf("header %s", name)
		}
	}
	return nil
}

// requestID judges the query: a fresh GUID and nothing else.
func (c *Cloud) requestID(r *http.Request) error {
	q := r.URL.Query()
	id := q.Get("requestId")
	if len(q) != 1 || len(q["requestId"]) != 1 || !guidForm.MatchString(id) {
		return fmt.Errorf("query %q", clip(r.URL.RawQuery))
	}
	if !c.fresh(id) {
		return fmt.Errorf("requestId %s was used before", id)
	}
	return nil
}

// frontSocket plays /subscriber/websocketconnect (10.1).
func (c *Cloud) frontSocket(w http.ResponseWriter, r *http.Request) {
	const part = "front end"
	if f := c.fault(); f.SocketStatus != 0 {
		w.WriteHeader(f.SocketStatus)
		return
	}
	id, err := c.client(part, r.TLS.PeerCertificates)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	err = errors.Join(judgeHeaders(r.Header, commonHeaders("0"), "Connection", "Upgrade", "Sec-Websocket-Version", "Sec-Websocket-Key", "Sec-Websocket-Extensions", "Accept-Encoding"), c.requestID(r))
	if err != nil {
		err = c.diary.refuse(part, "websocketconnect: %v (10.1)", err)
		c.spoil(r, err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	t := c.waitingFor(r.Header.Get("X-Cwap-Transid"))
	if t == nil {
		http.Error(w, c.diary.refuse(part, "websocketconnect for an unknown transaction (10.1)").Error(), http.StatusNotFound)
		return
	}
	if t.faults.SocketStatus != 0 {
		w.WriteHeader(t.faults.SocketStatus)
		return
	}
	if !c.enter() {
		return
	}
	defer c.work.Done()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		_ = c.diary.refuse(part, "websocketconnect: %v (10.1)", err)
		return
	}
	defer func() { _ = ws.CloseNow() }()
	c.mu.Lock()
	c.sockets++
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.sockets--
		c.mu.Unlock()
		c.diary.poke()
	}()
	c.diary.add(Record{Kind: Socket, Agent: id, Transaction: t.signal.transaction})
	if err := c.converse(ws, t); err != nil {
		// An agent that died before it acknowledged may have been replaced by another.
		if b := (*broken)(nil); errors.As(err, &b) {
			t.settle(outcome{err: err})
		}
		_ = ws.Close(websocket.StatusPolicyViolation, "see the records")
		return
	}
	_ = ws.Close(websocket.StatusNormalClosure, "")
}

// converse reads the agent's first message and gives the request.
func (c *Cloud) converse(ws *websocket.Conn, t *waiting) error {
	const part = "front end"
	ctx, cancel := context.WithTimeout(c.ctx, c.policy.AckWithin)
	_, message, err := ws.Read(ctx)
	silent := ctx.Err() != nil
	cancel()
	switch {
	case err != nil && !silent && websocket.CloseStatus(err) == -1:
		return errGone
	case err != nil:
		return c.diary.refuse(part, "no first message on the WebSocket: %v (10.1)", err)
	}
	if want := `{"ConnectionId":"` + t.signal.connection + `","MessageType":0}`; string(message) != want {
		return c.diary.refuse(part, "first message %q instead of %s (10.1)", clip(string(message)), want)
	}
	read := ws.CloseRead(c.ctx)
	if t.faults.SocketSilent {
		<-read.Done()
		return nil
	}
	doc := t.faults.JSON
	if doc == nil {
		doc = t.signal.json()
	}
	for range 1 + t.faults.Repeats {
		if err := ws.Write(read, websocket.MessageText, doc); err != nil {
			return err
		}
	}
	select {
	case <-read.Done():
	case <-t.socket:
	}
	return nil
}

func (c *Cloud) waitingFor(transaction string) *waiting {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending[transaction]
}

// frontResult plays /subscriber/connection (13).
func (c *Cloud) frontResult(w http.ResponseWriter, r *http.Request) {
	const part = "front end"
	refuse := func(status int, format string, args ...any) {
		err := c.diary.refuse(part, format, args...)
		c.spoil(r, err)
		http.Error(w, err.Error(), status)
	}
	id, err := c.client(part, r.TLS.PeerCertificates)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1024))
	if err != nil || len(body) != 0 || r.Method != http.MethodPost {
		refuse(http.StatusBadRequest, "result: %s with a body of %d bytes (13: POST with an empty body)", r.Method, len(body))
		return
	}
	err = errors.Join(judgeHeaders(r.Header, resultHeaders(), "Content-Length", "Accept-Encoding", "Connection"), c.requestID(r))
	if err != nil {
		refuse(http.StatusBadRequest, "result: %v (13)", err)
		return
	}
	t := c.waitingFor(r.Header.Get("X-Cwap-Transid"))
	if t == nil {
		refuse(http.StatusNotFound, "result for transaction %s, which is unknown or over (13)", r.Header.Get("X-Cwap-Transid"))
		return
	}
	select {
	case <-t.acked:
	case <-time.After(2 * time.Second):
		refuse(http.StatusConflict, "result before the acknowledgement of the signal (9)")
		return
	}
	switch {
	case id != t.agent && t.sent.Load() > 1:
		// Its acknowledgement was lost with its connection, so that another agent got the
		// request too: what that one says counts.
		w.WriteHeader(http.StatusConflict)
		return
	case id != t.agent:
		refuse(http.StatusForbidden, "result of agent %s for a request that agent %s acknowledged (13)", id, t.agent)
		return
	}
	c.result(w, r, t, id)
}

// result takes one post of a result, or does what the faults want.
func (c *Cloud) result(w http.ResponseWriter, r *http.Request, t *waiting, id string) {
	attempt, _ := strconv.Atoi(r.Header.Get("X-Cwap-Response-Total-Attempts"))
	claims := []byte(r.Header.Get("X-Cwap-Backend-Response"))
	c.mu.Lock()
	again := t.claims != nil
	same := bytes.Equal(t.claims, claims)
	if !again {
		t.tries++
	}
	tries := t.tries
	c.mu.Unlock()
	if again && (!same || t.faults.Repeats == 0 && attempt < 2) {
		_ = c.diary.refuse("front end", "a second result for transaction %s (13)", t.signal.transaction)
		w.WriteHeader(http.StatusConflict)
		return
	}
	if again {
		w.WriteHeader(http.StatusOK)
		return
	}
	if attempt != tries {
		_ = c.diary.refuse("front end", "attempt %d says that it is attempt %d (13)", tries, attempt)
	}
	if t.faults.ResultDelay > 0 {
		select {
		case <-time.After(t.faults.ResultDelay):
		case <-c.ctx.Done():
			return
		}
	}
	if n := t.faults.ResultStatus; tries <= len(n) && n[tries-1] != http.StatusOK {
		if n[tries-1] < 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(n[tries-1])
		return
	}
	v, err := readClaims(string(claims), t.signal.upn)
	if err != nil {
		err = c.diary.refuse("front end", "claims: %v (12.2)", err)
		w.WriteHeader(http.StatusBadRequest)
	} else {
		v.Agent, v.Transaction = id, t.signal.transaction
		w.Header().Set("X-Cwap-Certificate-Authentication", "Success")
		w.WriteHeader(http.StatusOK)
		c.diary.add(Record{Kind: Result, Agent: id, Transaction: v.Transaction, Detail: fmt.Sprintf("ok %t, reason %d%s", v.OK, v.Reason, v.Text)})
	}
	c.mu.Lock()
	t.claims = claims
	c.mu.Unlock()
	t.settle(outcome{v, err})
}

// settle gives the outcome to who waits; only the first one counts.
func (t *waiting) settle(o outcome) {
	select {
	case t.result <- o:
	default:
	}
}

// spoil ends the sign-in that a refused request belongs to, where it tells.
func (c *Cloud) spoil(r *http.Request, err error) {
	if t := c.waitingFor(r.Header.Get("X-Cwap-Transid")); t != nil {
		t.settle(outcome{err: err})
	}
}

// The names of claims (12.2).
const (
	claimAuthentication = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/authentication"
	claimName           = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
	claimReason         = "http://msappproxy.net/ws/2015/02/identity/claims/validationfailurereasoning"
	claimRight          = "http://schemas.xmlsoap.org/ws/2005/05/identity/right/identity"
)

// readClaims judges the header of 12.2: Base64 of an array of two objects with
// three members each in a fixed order.
func readClaims(text, upn string) (Verdict, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return Verdict{}, fmt.Errorf("not Base64: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var tokens []json.Token
	for {
		t, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil || len(tokens) > 32 {
			return Verdict{}, fmt.Errorf("not JSON: %v", err)
		}
		tokens = append(tokens, t)
	}
	if len(tokens) != 18 || tokens[0] != json.Delim('[') || tokens[17] != json.Delim(']') {
		return Verdict{}, errors.New("not an array of two objects with three members")
	}
	one, err1 := readClaim(tokens[1:9])
	two, err2 := readClaim(tokens[9:17])
	if err := errors.Join(err1, err2); err != nil {
		return Verdict{}, err
	}
	ok, isBool := one[1].(bool)
	if one[0] != claimAuthentication || !isBool {
		return Verdict{}, errors.New("the first claim is not authentication with true or false")
	}
	if ok {
		name, _ := two[1].(string)
		if two[0] != claimName || name != upn {
			return Verdict{}, errors.New("the second claim does not repeat the name of the request")
		}
		return Verdict{OK: true, UPN: name}, nil
	}
	if two[0] != claimReason {
		return Verdict{}, errors.New("the second claim is no reason")
	}
	switch v := two[1].(type) {
	case json.Number:
		n, err := strconv.ParseUint(v.String(), 10, 16)
		if err != nil || n == 0 {
			return Verdict{}, fmt.Errorf("reason %s", v)
		}
		return Verdict{Reason: int(n), Code: entraCode(int(n))}, nil
	case string:
		if v != "EncryptionDataNotFound" {
			return Verdict{}, fmt.Errorf("reason %q", clip(v))
		}
		return Verdict{Text: v, Code: "AADSTS80011"}, nil
	}
	return Verdict{}, errors.New("the reason is neither number nor text")
}

// readClaim reads {"ClaimType":…,"Resource":…,"Right":…} and gives type and value.
func readClaim(t []json.Token) ([2]any, error) {
	if t[0] != json.Delim('{') || t[7] != json.Delim('}') || t[1] != "ClaimType" || t[3] != "Resource" || t[5] != "Right" || t[6] != claimRight {
		return [2]any{}, errors.New("a claim is not ClaimType, Resource, Right in this order")
	}
	return [2]any{t[2], t[4]}, nil
}

// entraCode is what the sign-in log shows for a Win32 reason (12.3).
func entraCode(reason int) string {
	switch reason {
	case 1326:
		return "AADSTS50126"
	case 1317:
		return "AADSTS80004"
	case 1328:
		return "AADSTS80012"
	case 1330, 1907:
		return "AADSTS50144"
	case 1331:
		return "AADSTS50057"
	case 1909:
		return "AADSTS50053"
	case 1311, 1908:
		return "AADSTS80001"
	case 1398:
		return "AADSTS80013"
	}
	return "AADSTS80007"
}
