package ptatest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/go-amqp"
	"github.com/coder/websocket"

	"sallyport/ptaagent/ptatest"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// refusedWith asserts that something was refused since n, for that reason.
func refusedWith(t *testing.T, c *ptatest.Cloud, n int, part string) int {
	t.Helper()
	list := c.Refusals()
	for _, r := range list[n:] {
		if strings.Contains(r.String(), part) {
			return len(list)
		}
	}
	t.Errorf("nothing about %q among %v", part, list[n:])
	return len(list)
}

func TestRegistrationRefusesEveryFlaw(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{})
	a := &handAgent{t: t, cloud: cloud}
	key := agentKey()
	csr, token := csrFor(t, key), cloud.AdminToken()
	good := registration(cloud.Tenant, token, csr)
	plain, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for name, c := range map[string]struct{ old, new, why string }{
		"another tenant":    {"<TenantId>" + cloud.Tenant, "<TenantId>11111111-1111-1111-1111-111111111111", "TenantId"},
		"feature":           {"PassthroughAuthentication<", "SyncFabric<", "FeatureString"},
		"order":             {"<Feature>ApplicationProxy</Feature><FeatureString>PassthroughAuthentication</FeatureString>", "<FeatureString>PassthroughAuthentication</FeatureString><Feature>ApplicationProxy</Feature>", "FeatureString"},
		"no nil":            {`<Base64Pkcs10Csr i:nil="true"/>`, `<Base64Pkcs10Csr/>`, "nil"},
		"one more":          {"</RegistrationRequest>", "<X/></RegistrationRequest>", "after the last"},
		"missing":           {"<UserAgent>PassthroughAuthenticationConnector/1.5.2482.0</UserAgent>", "", "lacks UserAgent"},
		"agent version":     {"Connector/1.5.2482.0", "Connector/9.9.9.9", "UserAgent"},
		"two machines":      {"host.corp", "other.corp", "two machine names"},
		"system order":      {"<a:OsSku>7</a:OsSku><a:OsVersion>10.0.20348</a:OsVersion>", "<a:OsVersion>10.0.20348</a:OsVersion><a:OsSku>7</a:OsSku>", "OsVersion"},
		"system namespace":  {"Utilities.SystemSettings\">", "Utilities.Other\">", "SystemSettings"},
		"settings type":     {`i:type="a:SystemSettings"`, ``, "i:type"},
		"root namespace":    {`Common.Registration" xmlns:i`, `Common.Other" xmlns:i`, "root"},
		"token":             {token, "x" + token, "unknown access token"},
		"plain user":        {token, cloud.Token(cloud.Tenant, false), "no Hybrid Identity Administrator"},
		"foreign token":     {token, cloud.Token("11111111-1111-1111-1111-111111111111", true), "access token of tenant"},
		"CSR of its own":    {csr, base64.StdEncoding.EncodeToString(plain), "lacks an extension"},
		"CSR signature":     {csr[len(csr)-8:], "AAAAAAA=", "CSR"},
		"text between":      {"<Feature>", "x<Feature>", "text inside"},
		"comment":           {"<Feature>", "<!-- -->", "refused"},
		"document type":     {"<RegistrationRequest", "<!DOCTYPE x><RegistrationRequest", "document type"},
		"unknown attribute": {"<Feature>", `<Feature x="1">`, "attribute"},
	} {
		if strings.Count(good, c.old) == 0 {
			t.Fatalf("%s: nothing to replace", name)
		}
		body := strings.Replace(good, c.old, c.new, 1)
		why := c.why
		if why == "refused" {
			why = ""
		}
		_, answer := a.post("https://"+cloud.Tenant+".registration.msappproxy.net/register/RegisterConnector", body)
		if strings.Contains(answer, "<IsSuccessful>true") {
			t.Errorf("%s: registered", name)
		}
		n = refusedWith(t, cloud, n, why)
	}
	_, answer := a.post("https://"+cloud.Tenant+".registration.msappproxy.net/register/registerconnector", good)
	a.key = key
	a.take(answer)
	tenant, id, err := cloud.Verify(a.cert)
	if err != nil || tenant != cloud.Tenant || id != a.id || a.cert.Subject.CommonName != cloud.Tenant {
		t.Errorf("certificate: %s %s %v", tenant, id, err)
	}
	if !bytes.Contains(a.cert.RawTBSCertificate, append([]byte{0x82, 0x11, 0}, guidBytes(cloud.Tenant)...)) {
		t.Error("no subjectUniqueID")
	}
}

func TestBootstrapRefusesEveryFlaw(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{})
	a := &handAgent{t: t, cloud: cloud}
	a.register()
	u := "https://" + cloud.Tenant + ".pta.bootstrap.his.msappproxy.net/ConnectorBootstrap"
	n := 0
	for name, c := range map[string]struct{ old, new, why string }{
		"order":       {"<AgentVersion>1.5.2482.0</AgentVersion><BootstrapAddOnRequests i:nil=\"true\"/>", "<BootstrapAddOnRequests i:nil=\"true\"/><AgentVersion>1.5.2482.0</AgentVersion>", "must stand"},
		"tcp":         {"Mode>false", "Mode>true", "UseServiceBusTcpConnectivityMode"},
		"connector":   {"<ConnectorId>" + a.id, "<ConnectorId>11111111-1111-1111-1111-111111111111", "ConnectorId"},
		"tenant":      {"<SubscriptionId>" + cloud.Tenant, "<SubscriptionId>11111111-1111-1111-1111-111111111111", "SubscriptionId"},
		"not initial": {"Bootstrap>true", "Bootstrap>false", "InitialBootstrap"},
		"upper case":  {"<RequestId>", "<RequestId>AA", "RequestId"},
		"mode":        {"Primary", "Secondary", "CurrentProxyPortResponseMode"},
		"metrics":     {`<TriggerErrors/>`, `<TriggerErrors>x</TriggerErrors>`, "TriggerErrors"},
		"namespace":   {`SignalerDataModel"`, `Other"`, "root"},
	} {
		good := bootstrapRequest(cloud.Tenant, a.id, uuid(), "true")
		if !strings.Contains(good, c.old) {
			t.Fatalf("%s: nothing to replace", name)
		}
		if status, _ := a.post(u, strings.Replace(good, c.old, c.new, 1)); status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, status)
		}
		n = refusedWith(t, cloud, n, c.why)
	}
	same := bootstrapRequest(cloud.Tenant, a.id, uuid(), "true")
	if status, body := a.post(u, same); status != http.StatusOK {
		t.Fatalf("good: %d %s", status, body)
	}
	if status, _ := a.post(u, same); status != http.StatusBadRequest {
		t.Error("a request id was taken twice")
	}
	cert := a.cert
	a.cert = nil
	if status, _ := a.post(u, same); status != http.StatusForbidden {
		t.Error("answered without a client certificate")
	}
	a.cert = cert
	cloud.Revoke(a.id)
	if status, _ := a.post(u, same); status != http.StatusForbidden {
		t.Error("answered a revoked agent")
	}
}

func TestBootstrapAnswerTellsTheSettings(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{Namespaces: 3, Settings: func(s *ptatest.Settings) {
		s.Heartbeat, s.RetryStrategy, s.ServiceMessage = 2*time.Minute, true, "a < b"
		s.Endpoints[0].Unavailable = true
	}})
	a := &handAgent{t: t, cloud: cloud}
	a.register()
	_, body := a.post("https://"+cloud.Tenant+".bootstrap.msappproxy.net/ConnectorBootstrap", bootstrapRequest(cloud.Tenant, a.id, uuid(), "true"))
	for _, want := range []string{
		"<PeriodicBootstrapIntervalMilliseconds>120000<", "<ServiceMessage>a &lt; b<", "<a:IsAvailable>false<", "&#34;ServiceBusSasTokenTtl&#34;:&#34;01:00:00&#34;",
		"<LogicalResponseTimeoutMilliseconds>15000<", "PlusOrMinusPercent>20<",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	if n := strings.Count(body, "<a:ServicePath>"); n != 6 {
		t.Errorf("%d endpoints", n)
	}
	if err := xml.Unmarshal([]byte(body), new(struct{})); err != nil {
		t.Error(err)
	}
	list := cloud.Agents()
	if len(list) != 1 || list[0].ID != a.id || !list[0].Active || list[0].Machine != "host.corp.contoso.test" || list[0].Address != "127.0.0.1" {
		t.Errorf("inventory %+v", list)
	}
}

func TestOnlyTheCloudsHostsAreReachable(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{})
	for _, addr := range []string{"evil.test:443", "x.msappproxy.net.evil.test:443", "127.0.0.1:443", cloud.Tenant + ".bootstrap.msappproxy.net:80", "login.microsoftonline.com:8443"} {
		if conn, err := cloud.DialContext(t.Context(), "tcp", addr); err == nil {
			_ = conn.Close()
			t.Errorf("%s: connected", addr)
		}
	}
	if n := len(cloud.Strays()); n != 5 {
		t.Errorf("%d strays: %v", n, cloud.Strays())
	}
}

func TestProxyAsksForCredentialsAndLeadsToTheCloudOnly(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{ProxyUser: "svc", ProxyPassword: "p@ss"})
	try := func(proxy, target string) (int, error) {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: cloud.Roots()}}
		defer tr.CloseIdleConnections()
		u := mustURL(t, strings.Replace(proxy, "p@ss", "p%40ss", 1))
		tr.Proxy = http.ProxyURL(u)
		resp, err := (&http.Client{Transport: tr}).Get(target)
		if err != nil {
			return 0, err
		}
		_ = resp.Body.Close()
		return resp.StatusCode, nil
	}
	good := "https://login.microsoftonline.com/x/oauth2/v2.0/authorize"
	if status, err := try(cloud.ProxyURL(), good); err != nil || status != http.StatusBadRequest {
		t.Errorf("%d %v", status, err)
	}
	if _, err := try(strings.Replace(cloud.ProxyURL(), "svc:p@ss@", "", 1), good); err == nil || !strings.Contains(err.Error(), "Proxy Authentication Required") {
		t.Errorf("without credentials: %v", err)
	}
	if _, err := try(cloud.ProxyURL(), "https://evil.test/"); err == nil {
		t.Error("the proxy leads elsewhere")
	}
}

// rawLink opens the relay's WebSocket without AMQP.
func rawLink(t *testing.T, a *handAgent) *websocket.Conn {
	t.Helper()
	e := a.cloud.Settings().Endpoints[0]
	ws, err := a.websocket(e.Host(), "wsrelayedamqp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	return ws
}

func TestLinkRefusesWhatIsNotOneFrameInOneMessage(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{})
	a := &handAgent{t: t, cloud: cloud}
	a.register()
	saslInit := vector("0000001a02010000005341c00d03a30845585445524e414c4040")
	n := 0
	for name, c := range map[string]struct {
		messages [][]byte
		text     bool
		why      string
	}{
		"plain AMQP first":   {[][]byte{[]byte("AMQP\x00\x01\x00\x00")}, false, "SASL header"},
		"half a header":      {[][]byte{[]byte("AMQP\x03")}, false, "SASL header"},
		"text":               {[][]byte{[]byte("AMQP\x03\x01\x00\x00")}, true, "text message"},
		"half a frame":       {[][]byte{[]byte("AMQP\x03\x01\x00\x00"), saslInit[:9]}, false, "complete frame"},
		"two frames":         {[][]byte{[]byte("AMQP\x03\x01\x00\x00"), append(append([]byte{}, saslInit...), saslInit...)}, false, "complete frame"},
		"another mechanism":  {[][]byte{[]byte("AMQP\x03\x01\x00\x00"), vector("0000001b02010000005341c00e03a309414e4f4e594d4f55534040")}, false, "mechanism"},
		"empty before open":  {[][]byte{[]byte("AMQP\x03\x01\x00\x00"), saslInit, []byte("AMQP\x00\x01\x00\x00"), vector("0000000802000000")}, false, "before open"},
		"begin without open": {[][]byte{[]byte("AMQP\x03\x01\x00\x00"), saslInit, []byte("AMQP\x00\x01\x00\x00"), vector("0000000c02000000005311 45")}, false, "wrong time"},
	} {
		ws := rawLink(t, a)
		kind := websocket.MessageBinary
		if c.text {
			kind = websocket.MessageText
		}
		for _, m := range c.messages {
			if err := ws.Write(t.Context(), kind, m); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		for {
			if _, _, err := ws.Read(ctx); err != nil {
				break
			}
		}
		if ctx.Err() != nil {
			t.Errorf("%s: the link lives on", name)
		}
		cancel()
		n = refusedWith(t, cloud, n, c.why)
	}
	if _, err := a.websocket(cloud.Settings().Endpoints[0].Host(), "AMQPWSB10"); err == nil {
		t.Error("another sub-protocol was accepted")
	}
}

func TestAttachRefusesEveryFlaw(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{})
	a := &handAgent{t: t, cloud: cloud}
	a.register()
	list := a.bootstrap("true")
	l := list[0]
	host := l.Namespace + "." + l.Domain
	n := 0
	for name, c := range map[string]struct {
		edit      func(o *amqp.ConnOptions, s *amqp.SenderOptions, address *string)
		why       string
		condition string
	}{
		"host name":  {func(o *amqp.ConnOptions, _ *amqp.SenderOptions, _ *string) { o.HostName = host }, "host name", ""},
		"idle":       {func(o *amqp.ConnOptions, _ *amqp.SenderOptions, _ *string) { o.IdleTimeout = time.Minute }, "idle-time-out", ""},
		"frame size": {func(o *amqp.ConnOptions, _ *amqp.SenderOptions, _ *string) { o.MaxFrameSize = 1 << 20 }, "max-frame-size", ""},
		"link name":  {func(_ *amqp.ConnOptions, s *amqp.SenderOptions, _ *string) { s.Name = "x" }, ":out", ""},
		"no slash":   {func(_ *amqp.ConnOptions, _ *amqp.SenderOptions, ad *string) { *ad = strings.TrimSuffix(*ad, "/") }, "trailing slash", "com.microsoft:relay-not-found"},
		"other path": {func(_ *amqp.ConnOptions, _ *amqp.SenderOptions, ad *string) { *ad += "x/" }, "no relay", "com.microsoft:relay-not-found"},
		"https":      {func(_ *amqp.ConnOptions, _ *amqp.SenderOptions, ad *string) { *ad = "https" + (*ad)[2:] }, "no relay", "com.microsoft:relay-not-found"},
		"dynamic": {func(_ *amqp.ConnOptions, s *amqp.SenderOptions, _ *string) {
			s.Properties["com.microsoft:dynamic-relay"] = true
		}, "dynamic", "com.microsoft:auth-failed"},
		"type": {func(_ *amqp.ConnOptions, s *amqp.SenderOptions, _ *string) {
			s.Properties["com.microsoft:listener-type"] = "Other"
		}, "listener-type", "com.microsoft:auth-failed"},
		"agent": {func(_ *amqp.ConnOptions, s *amqp.SenderOptions, _ *string) {
			delete(s.Properties, "com.microsoft:client-agent")
		}, "client-agent", "com.microsoft:auth-failed"},
		"tracking": {func(_ *amqp.ConnOptions, s *amqp.SenderOptions, _ *string) {
			s.Properties["com.microsoft:tracking-id"] = "1"
		}, "tracking-id", "com.microsoft:auth-failed"},
		"unknown": {func(_ *amqp.ConnOptions, s *amqp.SenderOptions, _ *string) { s.Properties["x"] = "1" }, "is unknown", "com.microsoft:auth-failed"},
		"wrong token": {func(_ *amqp.ConnOptions, s *amqp.SenderOptions, _ *string) {
			s.Properties["com.microsoft:swt"] = sas("http://"+host+"/"+l.ServicePath+"/", "x", "Connector", time.Now().Add(time.Hour).Unix())
		}, "signature", "com.microsoft:auth-failed"},
	} {
		ws, err := a.websocket(host, "wsrelayedamqp")
		if err != nil {
			t.Fatal(err)
		}
		opts := &amqp.ConnOptions{ContainerID: "c", HostName: l.Namespace + "-relay." + l.Domain, IdleTimeout: -1, SASLType: amqp.SASLTypeExternal("")}
		s := &amqp.SenderOptions{Name: "n:out", Properties: map[string]any{
			"com.microsoft:swt":          sas("http://"+host+"/"+l.ServicePath+"/", l.SharedAccessKey, l.SharedAccessKeyName, time.Now().Add(time.Hour).Unix()),
			"com.microsoft:client-agent": "hand;", "com.microsoft:dynamic-relay": false, "com.microsoft:listener-type": "RelayedConnection", "com.microsoft:tracking-id": uuid(),
		}}
		address := "sb://" + host + "/" + l.ServicePath + "/"
		c.edit(opts, s, &address)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err = func() error {
			conn, err := amqp.NewConn(ctx, websocket.NetConn(ctx, ws, websocket.MessageBinary), opts)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			session, err := conn.NewSession(ctx, nil)
			if err != nil {
				return err
			}
			_, err = session.NewSender(ctx, address, s)
			return err
		}()
		cancel()
		var remote *amqp.Error
		switch {
		case err == nil:
			t.Errorf("%s: attached", name)
		case c.condition != "" && (!errors.As(err, &remote) || string(remote.Condition) != c.condition):
			t.Errorf("%s: %v instead of %s", name, err, c.condition)
		}
		n = refusedWith(t, cloud, n, c.why)
	}
}

// otherDigit makes a reply name another connector: one hexadecimal digit of its id
// is another one.
func otherDigit(b []byte) []byte {
	digit := &b[len(b)-6]
	if *digit == '0' {
		*digit = '1'
	} else {
		*digit = '0'
	}
	return b
}

func TestSessionRefusesEveryFlaw(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{Policy: ptatest.Policy{AcceptWithin: time.Second, AckWithin: time.Second}})
	a := startAgent(t, cloud, passwords)
	replace := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte {
			if !bytes.Contains(b, vector(old)) {
				t.Errorf("nothing to replace in %x", b)
			}
			return bytes.Replace(b, vector(old), vector(new), 1)
		}
	}
	n := 0
	for name, c := range map[string]struct {
		message string
		session ptatest.Session
		edit    func([]byte) []byte
		why     string
	}{
		"accept without mustUnderstand": {"accept", "", replace("440c1e0082", "440c1e0080"), "mustUnderstand"},
		"accept for another action":     {"accept", "", replace("52656c61796564416363657074440c", "52656c6179656441636365707a440c"), "Action"},
		"accept too long":               {"accept", "", func([]byte) []byte { return []byte{0, 0, 0, 1} }, "bytes"},
		"accept cut off": {"accept", "", func(b []byte) []byte {
			return append(append([]byte{}, b[:4]...), bytes.Repeat([]byte{0x56}, len(b)-4)...)
		}, "accept"},
		"no preamble ack":           {"preamble ack", "", func([]byte) []byte { return []byte{0x0c} }, "preamble ack"},
		"reply to nobody":           {"reply", ptatest.Plain, func(b []byte) []byte { b[len(b)-70] ^= 1; return b }, "session"},
		"another connector":         {"reply", ptatest.Plain, otherDigit, "not the tenant's"},
		"no record":                 {"reply", ptatest.Plain, func([]byte) []byte { return []byte{0x55} }, "record"},
		"unknown dictionary id":     {"reply", ptatest.Plain, replace("ab01", "ab7f"), "dictionary"},
		"record over 64 KiB":        {"reply", ptatest.Plain, func([]byte) []byte { return []byte{6, 0xff, 0xff, 0xff, 0x7f} }, "a record of"},
		"fault record":              {"reply", ptatest.Plain, func([]byte) []byte { return []byte{8, 1, 'x'} }, "framing fault"},
		"no acknowledgement":        {"reply", ptatest.Plain, func([]byte) []byte { return nil }, "acknowledged within"},
		"reliable headers in plain": {"reply", ptatest.Plain, func([]byte) []byte { return vector(v6) }, "plain session"},
		"wrong sequence":            {"create response", ptatest.Reliable, replace("42059405442a99", "42059405442b99"), ""},
		"number 2 first":            {"reply", ptatest.Reliable, replace("554089", "55408902"), "session"},
		"acknowledges too much":     {"ack", ptatest.Reliable, func(b []byte) []byte { i := bytes.LastIndex(b, []byte{0x06, 0x32, 0x88}); b[i+3] = 9; return b }, "acknowledged 1-9"},
		"ack for another sequence":  {"ack", ptatest.Reliable, func(b []byte) []byte { b[20] ^= 1; return b }, ""},
	} {
		if name == "wrong sequence" {
			c.edit = func(b []byte) []byte { return bytes.Replace(b, []byte("sb://"), []byte("sb:/x"), 1) }
			c.why = "AcksTo"
		}
		if name == "number 2 first" {
			c.edit = func(b []byte) []byte { i := bytes.Index(b, []byte{0x55, 0x40, 0x89}); b[i+3] = 2; return b }
			c.why = "message number"
		}
		a.set(c.message, c.edit)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, err := cloud.SignIn(ctx, ptatest.SignIn{UPN: "alice@contoso.test", Password: "x", Mode: ptatest.Direct, Session: c.session, Fresh: true})
		cancel()
		if err == nil && c.why != "" && c.message != "ack" {
			t.Errorf("%s: signed in", name)
		}
		n = refusedWith(t, cloud, n, c.why)
	}
}

func TestFrontEndRefusesEveryFlaw(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{})
	a := startAgent(t, cloud, passwords)
	n := 0
	for name, c := range map[string]struct {
		message string
		edit    func([]byte) []byte
		why     string
	}{
		"first message": {"first", func(b []byte) []byte { return bytes.Replace(b, []byte(":0"), []byte(":1"), 1) }, "first message"},
		"claims":        {"claims", func(b []byte) []byte { return bytes.Replace(b, []byte("ClaimType"), []byte("claimType"), 1) }, "claims"},
		"not JSON":      {"claims", func(b []byte) []byte { return b[1:] }, "claims"},
	} {
		a.set(c.message, c.edit)
		_, err := cloud.SignIn(t.Context(), ptatest.SignIn{UPN: "alice@contoso.test", Password: "x", Mode: ptatest.Connect})
		if !errors.Is(err, ptatest.ErrBadAnswer) {
			t.Errorf("%s: %v", name, err)
		}
		n = refusedWith(t, cloud, n, c.why)
	}
	a.set("", nil)
	for name, c := range map[string]struct {
		edit func(r *http.Request)
		why  string
	}{
		"user agent":      {func(r *http.Request) { r.Header.Set("User-Agent", "x") }, "User-Agent"},
		"content type":    {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, "Content-Type"},
		"body":            {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("x")); r.ContentLength = 1 }, "body of 1"},
		"no query":        {func(r *http.Request) { r.URL.RawQuery = "" }, "query"},
		"no transaction":  {func(r *http.Request) { r.Header.Del("x-cwap-transid") }, "X-Cwap-Transid"},
		"session":         {func(r *http.Request) { r.Header.Set("x-cwap-sessionid", uuid()) }, "X-Cwap-Sessionid"},
		"sixth attempt":   {func(r *http.Request) { r.Header.Set("x-cwap-response-total-attempts", "6") }, "Attempts"},
		"GET":             {func(r *http.Request) { r.Method = http.MethodGet }, "GET"},
		"old transaction": {func(*http.Request) {}, "unknown or over"},
	} {
		req := a.resultRequest("vm1-proxy-pta-weur-ams01p-1.connector.his.msappproxy.net", uuid(), 1, b64(v12))
		c.edit(req)
		resp, err := a.client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
		n = refusedWith(t, cloud, n, c.why)
	}
}

func TestResultOfAnotherAgentIsRefused(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{Namespaces: 1})
	a := startAgent(t, cloud, passwords)
	thief := &handAgent{t: t, cloud: cloud}
	thief.register()
	cert, key := thief.cert, thief.key
	a.set("claims", func(b []byte) []byte { a.cert, a.key = cert, key; return b })
	_, err := cloud.SignIn(t.Context(), ptatest.SignIn{UPN: "alice@contoso.test", Password: "x", Mode: ptatest.Direct})
	if !errors.Is(err, ptatest.ErrBadAnswer) {
		t.Errorf("%v", err)
	}
	refusedWith(t, cloud, 0, "that agent")
}
