package ptatest_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/go-amqp"
	"github.com/coder/websocket"

	"sallyport/ptaagent/ptatest"
	"sallyport/ptaagent/ptatest/internal/binxml"
)

// handAgent is an agent made of templates and of the messages that the
// description prints, with the ids put in. It answers by verdict.
type handAgent struct {
	t       *testing.T
	cloud   *ptatest.Cloud
	key     *rsa.PrivateKey
	cert    *x509.Certificate
	id      string
	verdict func(upn, password string) int // Win32, 0 is good

	mu     sync.Mutex
	edits  map[string]func([]byte) []byte // by message, see send
	silent bool                           // posts no result
	deaf   bool                           // opens no rendezvous
	seen   *binxml.Node                   // the last signal
	heard  []byte                         // the last notification
	calls  int                            // signals so far
	pings  chan int                       // their sizes
	wg     sync.WaitGroup
}

func startCloud(t *testing.T, cfg ptatest.Config) *ptatest.Cloud {
	t.Helper()
	c, err := ptatest.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (a *handAgent) edit(name string, b []byte) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f := a.edits[name]; f != nil {
		return f(b)
	}
	return b
}

func (a *handAgent) set(name string, f func([]byte) []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.edits = map[string]func([]byte) []byte{name: f}
}

// client is an HTTP client that reaches the cloud, with the agent's certificate
// when it has one.
func (a *handAgent) client() *http.Client {
	cfg := &tls.Config{RootCAs: a.cloud.Roots()}
	if a.cert != nil {
		cfg.Certificates = []tls.Certificate{{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key}}
	}
	tr := &http.Transport{DialContext: a.cloud.DialContext, TLSClientConfig: cfg, ForceAttemptHTTP2: false}
	a.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

const system = `<a:MachineName>host.corp.contoso.test</a:MachineName><a:OsLanguage>1033</a:OsLanguage><a:OsLocale>0409</a:OsLocale><a:OsSku>7</a:OsSku><a:OsVersion>10.0.20348</a:OsVersion>`

func registration(tenant, token, csr string) string {
	const p = "http://schemas.datacontract.org/2004/07/Microsoft.ApplicationProxy.Common."
	settings := `i:type="a:SystemSettings" xmlns:a="` + p + `Utilities.SystemSettings">` + system
	return `<RegistrationRequest xmlns="` + p + `Registration" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><Base64Csr>` + csr +
		`</Base64Csr><AuthenticationToken>` + token + `</AuthenticationToken><Base64Pkcs10Csr i:nil="true"/><Feature>ApplicationProxy</Feature>` +
		`<FeatureString>PassthroughAuthentication</FeatureString><RegistrationRequestSettings><SystemSettingsInformation xmlns="` + p +
		`RegistrationCommons" ` + settings + `</SystemSettingsInformation><PSModuleVersion>1.5.2482.0</PSModuleVersion><SystemSettings ` + settings +
		`</SystemSettings></RegistrationRequestSettings><TenantId>` + tenant + `</TenantId><UserAgent>PassthroughAuthenticationConnector/1.5.2482.0</UserAgent></RegistrationRequest>`
}

func csrFor(t *testing.T, key *rsa.PrivateKey) string {
	t.Helper()
	usage, _ := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 2}})
	skid, _ := asn1.Marshal(make([]byte, 20))
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{SignatureAlgorithm: x509.SHA256WithRSA, ExtraExtensions: []pkix.Extension{
		{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte{3, 2, 4, 0xf0}}, {Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: usage},
		{Id: asn1.ObjectIdentifier{2, 5, 29, 14}, Value: skid},
	}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// post sends XML and reads the answer.
func (a *handAgent) post(u, body string) (int, string) {
	a.t.Helper()
	resp, err := a.client().Post(u, "application/xml; charset=utf-8", strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// The keys of these tests: RSA keys take long to make, and agents are told apart by
// their certificates.
var (
	agentKey = sync.OnceValue(newKey) // of all agents
	otherKey = sync.OnceValue(newKey) // of renewed certificates
)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// register gets a certificate.
func (a *handAgent) register() {
	a.t.Helper()
	a.key = agentKey()
	_, body := a.post("https://"+a.cloud.Tenant+".registration.msappproxy.net/register/RegisterConnector", registration(a.cloud.Tenant, a.cloud.AdminToken(), csrFor(a.t, a.key)))
	a.take(body)
}

func (a *handAgent) take(body string) {
	a.t.Helper()
	var res struct {
		Certificate  string
		IsSuccessful bool
		ErrorMessage string
	}
	if err := xml.Unmarshal([]byte(body), &res); err != nil || !res.IsSuccessful {
		a.t.Fatalf("enrolment: %v %s", err, body)
	}
	der, _ := base64.StdEncoding.DecodeString(res.Certificate)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	a.cert = cert
	for _, e := range cert.Extensions {
		if e.Id.String() == "1.3.6.1.4.1.311.82.1" {
			v := e.Value
			a.id = fmt.Sprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%x-%x", v[3], v[2], v[1], v[0], v[5], v[4], v[7], v[6], v[8:10], v[10:])
		}
	}
}

func bootstrapRequest(tenant, agent, request, initial string) string {
	const ns = "http://schemas.datacontract.org/2004/07/Microsoft.ApplicationProxy.Common."
	empty := ` xmlns:a="` + ns + `BootstrapDataModel"/>`
	return `<BootstrapRequest xmlns="` + ns + `SignalerDataModel" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><AgentSdkVersion>1.5.2482.0</AgentSdkVersion>` +
		`<AgentServiceAccountName>NT Authority\NetworkService</AgentServiceAccountName><AgentVersion>1.5.2482.0</AgentVersion><BootstrapAddOnRequests i:nil="true"/>` +
		`<BootstrapDataModelVersion>1.5.2482.0</BootstrapDataModelVersion><ConnectorId>` + agent + `</ConnectorId><ConnectorVersion i:nil="true"/>` +
		`<ConsecutiveFailures>0</ConsecutiveFailures><CurrentProxyPortResponseMode>Primary</CurrentProxyPortResponseMode><FailedRequestMetrics` + empty +
		`<InitialBootstrap>` + initial + `</InitialBootstrap><IsAgentServiceAccountGmsa>false</IsAgentServiceAccountGmsa><IsProxyPortResponseFallbackDisabledFromRegistry>true</IsProxyPortResponseFallbackDisabledFromRegistry>` +
		`<LatestDotNetVersionInstalled>461814</LatestDotNetVersionInstalled><MachineName>host.corp.contoso.test</MachineName><OperatingSystemLanguage>1033</OperatingSystemLanguage>` +
		`<OperatingSystemLocale>0409</OperatingSystemLocale><OperatingSystemSKU>7</OperatingSystemSKU><OperatingSystemVersion>10.0.20348</OperatingSystemVersion><PerformanceMetrics/>` +
		`<ProxyDataModelVersion>1.5.2482.0</ProxyDataModelVersion><RequestId>` + request + `</RequestId><SubscriptionId>` + tenant + `</SubscriptionId><SuccessRequestMetrics` + empty +
		`<TriggerErrors/><UpdaterStatus>Stopped</UpdaterStatus><UseServiceBusTcpConnectivityMode>false</UseServiceBusTcpConnectivityMode><UseSpnegoAuthentication>false</UseSpnegoAuthentication></BootstrapRequest>`
}

type listener struct {
	Name, Domain, Namespace, ServicePath, SharedAccessKey, SharedAccessKeyName string
	ReliableSessionEnabled                                                     bool
}

// bootstrap does a heartbeat and gives the endpoints.
func (a *handAgent) bootstrap(initial string) []listener {
	a.t.Helper()
	status, body := a.post("https://"+a.cloud.Tenant+".pta.bootstrap.his.msappproxy.net/ConnectorBootstrap", bootstrapRequest(a.cloud.Tenant, a.id, uuid(), initial))
	if status != http.StatusOK {
		a.t.Fatalf("bootstrap: %d %s", status, body)
	}
	var res struct {
		SignalingListenerEndpoints struct {
			Items []listener `xml:"SignalingListenerEndpointSettings"`
		}
	}
	if err := xml.Unmarshal([]byte(body), &res); err != nil {
		a.t.Fatal(err)
	}
	return res.SignalingListenerEndpoints.Items
}

func uuid() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// sas is made in the lines of the vendor's sample: own arithmetic, not the cloud's.
func sas(uri, key, name string, se int64) string {
	enc := func(s string) string {
		s = url.QueryEscape(s)
		var b strings.Builder
		for i := 0; i < len(s); i++ {
			if s[i] == '%' {
				b.WriteString(strings.ToLower(s[i : i+3]))
				i += 2
			} else {
				b.WriteByte(s[i])
			}
		}
		return b.String()
	}
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = fmt.Fprintf(mac, "%s\n%d", enc(uri), se)
	return fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%d&skn=%s", enc(uri), enc(base64.StdEncoding.EncodeToString(mac.Sum(nil))), se, enc(name))
}

// start registers, boots and listens on every endpoint.
func startAgent(t *testing.T, cloud *ptatest.Cloud, verdict func(upn, password string) int) *handAgent {
	t.Helper()
	a := &handAgent{t: t, cloud: cloud, verdict: verdict, pings: make(chan int, 2)}
	a.register()
	list := a.bootstrap("true")
	for _, l := range list {
		a.listen(l)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := cloud.WaitListening(ctx, len(list)); err != nil {
		t.Fatal(err, cloud.Refusals())
	}
	return a
}

func (a *handAgent) websocket(host, proto string) (*websocket.Conn, error) {
	opts := &websocket.DialOptions{HTTPClient: a.client(), CompressionMode: websocket.CompressionDisabled}
	if proto != "" {
		opts.Subprotocols = []string{proto}
	}
	ws, _, err := websocket.Dial(a.t.Context(), "wss://"+host+"/$servicebus/websocket", opts)
	return ws, err
}

func (a *handAgent) listen(l listener) {
	a.t.Helper()
	ctx := a.t.Context()
	host := l.Namespace + "." + l.Domain
	ws, err := a.websocket(host, "wsrelayedamqp")
	if err != nil {
		a.t.Fatal(err)
	}
	conn, err := amqp.NewConn(ctx, websocket.NetConn(ctx, ws, websocket.MessageBinary), &amqp.ConnOptions{
		ContainerID: "RelayConnection_" + uuid(), HostName: l.Namespace + "-relay." + l.Domain, IdleTimeout: -1, MaxFrameSize: 65536, SASLType: amqp.SASLTypeExternal(""),
	})
	if err != nil {
		a.t.Fatal(err, a.cloud.Refusals())
	}
	a.t.Cleanup(func() { _ = conn.Close() })
	session, err := conn.NewSession(ctx, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	address := "sb://" + host + "/" + l.ServicePath + "/"
	name := "RelayLink_" + uuid()
	properties := map[string]any{
		"com.microsoft:swt":          sas("http://"+strings.ToLower(host)+"/"+l.ServicePath+"/", l.SharedAccessKey, l.SharedAccessKeyName, time.Now().Add(time.Hour).Unix()),
		"com.microsoft:client-agent": "hand;", "com.microsoft:dynamic-relay": false, "com.microsoft:listener-type": "RelayedConnection", "com.microsoft:tracking-id": uuid(),
	}
	if _, err := session.NewSender(ctx, address, &amqp.SenderOptions{Name: name + ":out", Properties: properties}); err != nil {
		a.t.Fatal(err, a.cloud.Refusals())
	}
	r, err := session.NewReceiver(ctx, address, &amqp.ReceiverOptions{Name: name + ":in", Properties: properties, Credit: 1000})
	if err != nil {
		a.t.Fatal(err, a.cloud.Refusals())
	}
	a.wg.Go(func() {
		for {
			m, err := r.Receive(ctx, nil)
			if err != nil {
				return
			}
			if err := r.AcceptMessage(ctx, m); err != nil {
				return
			}
			a.wg.Go(func() { a.rendezvous(m.GetData(), l.ReliableSessionEnabled) })
		}
	})
	a.t.Cleanup(func() { _ = conn.Close(); a.wg.Wait() })
}

func vector(text string) []byte {
	b, err := hex.DecodeString(strings.NewReplacer("\n", "", " ", "").Replace(text))
	if err != nil {
		panic(err)
	}
	return b
}

func guidBytes(s string) []byte {
	b, _ := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	return []byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}
}

// put replaces the printed ids of a vector: n…n in binary and in text form.
func put(b []byte, n byte, id string) []byte {
	b = bytes.ReplaceAll(b, bytes.Repeat([]byte{n<<4 | n}, 16), guidBytes(id))
	d := strings.Repeat(string('0'+rune(n)), 12)
	return bytes.ReplaceAll(b, []byte(d[:8]+"-"+d[:4]+"-"+d[:4]+"-"+d[:4]+"-"+d), []byte(id))
}

func find(n *binxml.Node, local string) *binxml.Node {
	if n == nil || n.Local == local {
		return n
	}
	for _, c := range n.Children {
		if f := find(c, local); f != nil {
			return f
		}
	}
	return nil
}

// rendezvous serves one relayed connection with the vectors.
func (a *handAgent) rendezvous(notification []byte, reliable bool) {
	a.mu.Lock()
	a.heard = notification
	a.mu.Unlock()
	if a.deaf {
		return
	}
	outer, err := binxml.Document(notification)
	if err != nil {
		a.t.Error(err)
		return
	}
	inner, err := binxml.Document(find(outer, "Body").Bytes)
	if err != nil {
		a.t.Error(err)
		return
	}
	ws, err := a.websocket(find(inner, "InstanceDnsAddress").Text, "wsrelayedconnection")
	if err != nil {
		a.t.Error(err)
		return
	}
	defer func() { _ = ws.CloseNow() }()
	conn := websocket.NetConn(a.t.Context(), ws, websocket.MessageBinary)
	send := func(name string, b []byte) {
		if b = a.edit(name, b); b != nil {
			_, _ = conn.Write(b)
		}
	}
	send("accept", put(vector(v1), 1, find(inner, "Id").Text))
	size := make([]byte, 4)
	if _, err := io.ReadFull(conn, size); err != nil {
		return
	}
	reply := make([]byte, binary.LittleEndian.Uint32(size))
	if _, err := io.ReadFull(conn, reply); err != nil || !bytes.Equal(append(size, reply...), vector(v2)) {
		a.t.Logf("accept reply: %v %x", err, reply)
		return
	}
	head := make([]byte, 7)
	if _, err := io.ReadFull(conn, head); err != nil {
		return
	}
	rest := make([]byte, int(head[6]))
	if head[6] >= 0x80 {
		rest = append(rest[:0], make([]byte, int(head[6]&0x7f)|128)...)
		_, _ = io.ReadFull(conn, size[:1])
		rest = rest[:int(head[6]&0x7f)|int(size[0])<<7]
	}
	_, _ = io.ReadFull(conn, rest)
	_, _ = io.ReadFull(conn, make([]byte, 3))
	send("preamble ack", []byte{0x0b})
	a.messages(conn, string(rest), reliable, send)
}

func (a *handAgent) messages(conn io.Reader, via string, reliable bool, send func(string, []byte)) {
	var reader binxml.Reader
	mine, offered, number := uuid(), "", byte(0)
	first := true
	for {
		kind, payload := readRecord(conn)
		if kind == 7 {
			send("end", []byte{7})
			return
		}
		if kind != 6 {
			return
		}
		e, err := reader.Envelope(payload)
		if err != nil {
			a.t.Errorf("envelope: %v", err)
			return
		}
		switch action := find(e, "Action").Text; {
		case strings.HasSuffix(action, "/CreateSequence"):
			offered = strings.TrimPrefix(find(find(e, "Offer"), "Identifier").Text, "urn:uuid:")
			b := put(put(vector(v4), 1, strings.TrimPrefix(find(e, "MessageID").Text, "urn:uuid:")), 2, mine)
			old := "sb://ns1.servicebus.example/0000_reliable"
			b = bytes.Replace(b, append([]byte{byte(len(old))}, old...), append([]byte{byte(len(via))}, via...), 1)
			b = b[3:]
			send("create response", append(binxml.AppendInt([]byte{6}, len(b)), b...))
		case strings.HasSuffix(action, "/SignalConnector"):
			id := strings.TrimPrefix(find(e, "MessageID").Text, "urn:uuid:")
			a.mu.Lock()
			a.seen = e
			a.calls++
			a.mu.Unlock()
			number++
			b := vector(v7)
			if reliable {
				send("ack", ackVector(mine, find(e, "MessageNumber").Text))
				b = put(vector(v6), 3, offered)
				b = bytes.Replace(b, []byte{0x55, 0x40, 0x83}, []byte{0x55, 0x40, 0x89, number}, 1)
			}
			b = put(put(b, 4, id), 5, a.id)[3:]
			if !first { // the strings are in the session's table already
				n, tail, _ := binxml.ReadInt(b)
				b = append([]byte{0}, tail[n:]...)
			}
			first = false
			send("reply", append(binxml.AppendInt([]byte{6}, len(b)), b...))
			a.wg.Go(func() { a.answer(e) })
		case action == "Ping":
			select {
			case a.pings <- len(payload):
			default:
			}
		case strings.HasSuffix(action, "/AckRequested"):
			send("ack", ackVector(mine, fmt.Sprint(number)))
		}
	}
}

// ackVector is V5 with a sequence and an upper number.
func ackVector(sequence, upper string) []byte {
	var n byte
	_, _ = fmt.Sscan(upper, &n)
	b := put(vector(v5), 2, sequence)
	i := bytes.LastIndex(b, []byte{0x06, 0x32, 0x82})
	b = append(append(append([]byte{}, b[:i+2]...), 0x88, n), b[i+3:]...)
	b[1]++
	return b
}

func readRecord(r io.Reader) (kind byte, payload []byte) {
	var b [1]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, nil
	}
	kind = b[0]
	if kind != 6 {
		return kind, nil
	}
	n, shift := 0, 0
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return 0, nil
		}
		n |= int(b[0]&0x7f) << shift
		if shift += 7; b[0] < 0x80 {
			break
		}
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil
	}
	return kind, payload
}

// request is what the JSON document and the SOAP body have in common.
type request struct {
	UserPrincipalName string
	EncryptedData     []struct{ Base64EncryptedData, KeyIdentifer string }
	BodyBytes         []int
	TrafficProtocol   any
}

// answer gets the request, decrypts and posts the result.
func (a *handAgent) answer(e *binxml.Node) {
	pc := find(e, "ProtocolContext")
	host, trans := find(e, "OverridenReturnHost").Text, find(e, "TransactionId").Text
	var q request
	if find(pc, "TrafficProtocol").Text == "Connect" {
		h := http.Header{}
		for k, v := range map[string]string{
			"x-cwap-dnscachelookup-result": "NotUsed", "x-cwap-connector-usesdefaultproxy": "InUse", "x-cwap-connector-version": "1.5.2482.0",
			"x-cwap-datamodel-version": "1.5.2482.0", "x-cwap-connector-sp-connections": "0", "x-cwap-transid": trans,
		} {
			h.Set(k, v)
		}
		h["User-Agent"] = nil
		ws, _, err := websocket.Dial(a.t.Context(), "wss://"+host+"/subscriber/websocketconnect?requestId="+uuid(), &websocket.DialOptions{HTTPClient: a.client(), HTTPHeader: h})
		if err != nil {
			a.t.Logf("front end: %v", err)
			return
		}
		defer func() { _ = ws.CloseNow() }()
		ws.SetReadLimit(1 << 20)
		first := a.edit("first", []byte(`{"ConnectionId":"`+find(pc, "ConnectionId").Text+`","MessageType":0}`))
		_ = ws.Write(a.t.Context(), websocket.MessageBinary, first)
		_, doc, err := ws.Read(a.t.Context())
		if err != nil {
			return
		}
		var sm struct {
			TunnelContext struct{ ProtocolContext request }
		}
		if err := json.Unmarshal(doc, &sm); err != nil {
			a.t.Errorf("json: %v", err)
			return
		}
		q = sm.TunnelContext.ProtocolContext
		if q.BodyBytes != nil {
			b := make([]byte, len(q.BodyBytes))
			for i, v := range q.BodyBytes {
				b[i] = byte(v)
			}
			if err := json.Unmarshal(b, &q); err != nil {
				a.t.Errorf("body: %v", err)
			}
		}
	} else {
		q.UserPrincipalName = find(pc, "UserPrincipalName").Text
		for _, n := range find(pc, "EncryptedData").Children {
			q.EncryptedData = append(q.EncryptedData, struct{ Base64EncryptedData, KeyIdentifer string }{find(n, "Base64EncryptedData").Text, find(n, "KeyIdentifer").Text})
		}
	}
	if !a.silent {
		a.result(host, trans, q.UserPrincipalName, a.judge(q))
	}
}

// judge decrypts and gives the reason, nil for success.
func (a *handAgent) judge(q request) any {
	sum := sha1.Sum(a.cert.Raw)
	for _, d := range q.EncryptedData {
		if d.KeyIdentifer != a.id+"_"+strings.ToUpper(hex.EncodeToString(sum[:])) {
			continue
		}
		block, _ := base64.StdEncoding.DecodeString(d.Base64EncryptedData)
		plain, err := rsa.DecryptOAEP(sha1.New(), nil, a.key, block, nil)
		var p struct{ Password string }
		if err != nil || json.Unmarshal(plain, &p) != nil {
			break
		}
		if n := a.verdict(q.UserPrincipalName, p.Password); n != 0 {
			return n
		}
		return nil
	}
	return "EncryptionDataNotFound"
}

// result posts the verdict (13).
func (a *handAgent) result(host, trans, upn string, reason any) {
	const right = `"Right":"http:\/\/schemas.xmlsoap.org\/ws\/2005\/05\/identity\/right\/identity"`
	const auth = `"ClaimType":"http:\/\/schemas.xmlsoap.org\/ws\/2005\/05\/identity\/claims\/authentication"`
	claims := `[{` + auth + `,"Resource":true,` + right + `},{"ClaimType":"http:\/\/schemas.xmlsoap.org\/ws\/2005\/05\/identity\/claims\/name","Resource":"` + upn + `",` + right + `}]`
	if reason != nil {
		b, _ := json.Marshal(reason)
		claims = `[{` + auth + `,"Resource":false,` + right + `},{"ClaimType":"http:\/\/msappproxy.net\/ws\/2015\/02\/identity\/claims\/validationfailurereasoning","Resource":` + string(b) + `,` + right + `}]`
	}
	claims = string(a.edit("claims", []byte(claims)))
	for attempt := 1; attempt <= 5; attempt++ {
		resp, err := a.client().Do(a.resultRequest(host, trans, attempt, base64.StdEncoding.EncodeToString([]byte(claims))))
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode < 500 && resp.StatusCode != 408 && resp.StatusCode != 429 {
				return
			}
		}
	}
}

// resultRequest is a POST of 13.
func (a *handAgent) resultRequest(host, trans string, attempt int, claims string) *http.Request {
	req, _ := http.NewRequestWithContext(a.t.Context(), http.MethodPost, "https://"+host+"/subscriber/connection?requestId="+uuid(), nil)
	for k, v := range map[string]string{
		"x-cwap-dnscachelookup-result": "NotUsed", "x-cwap-connector-usesdefaultproxy": "InUse", "x-cwap-connector-version": "1.5.2482.0",
		"x-cwap-datamodel-version": "1.5.2482.0", "x-cwap-connector-sp-connections": "1", "x-cwap-transid": trans,
		"x-cwap-sessionid": "00000000-0000-0000-0000-000000000000", "x-cwap-certificate-authentication": "notProcessed", "x-cwap-headers-size": "0",
		"x-cwap-connector-be-latency-ms": "27", "x-cwap-payload-total-attempts": "0", "x-cwap-connector-loadfactor": "0",
		"x-cwap-response-total-attempts": fmt.Sprint(attempt), "x-cwap-connector-all-latency-ms": "70", "x-cwap-backend-response": claims,
	} {
		req.Header.Set(k, v)
	}
	req.Header["User-Agent"] = nil
	return req
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (a *handAgent) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls
}

func (a *handAgent) raw() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.heard
}

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func renewal(csr string) string {
	const p = "http://schemas.datacontract.org/2004/07/Microsoft.ApplicationProxy.Common."
	return `<TrustRenewalRequest xmlns="` + p + `Registration.TrustRenewal" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><Base64Csr xmlns="` + p + `Registration">` + csr +
		`</Base64Csr><TrustRenewalRequestSettings><SystemSettingsInformation i:type="a:SystemSettings" xmlns="` + p + `RegistrationCommons" xmlns:a="` + p +
		`Utilities.SystemSettings">` + system + `</SystemSettingsInformation><ConnectorVersion>1.5.2482.0</ConnectorVersion></TrustRenewalRequestSettings></TrustRenewalRequest>`
}
