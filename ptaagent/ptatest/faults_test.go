package ptatest_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/ptaagent/ptatest"
)

const right = "right/\"\\ päss"

// signIn signs in within five seconds.
func signIn(t *testing.T, c *ptatest.Cloud, s ptatest.SignIn) (ptatest.Verdict, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if s.UPN == "" {
		s.UPN = "alice@contoso.test"
	}
	if s.Password == "" {
		s.Password = right
	}
	return c.SignIn(ctx, s)
}

func TestDisturbancesThatAnAgentMustBearChangeNothing(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{})
	startAgent(t, cloud, passwords)
	for name, f := range map[string]ptatest.Faults{
		"pieces of one byte": {Piece: 1}, "pieces of seven bytes": {Piece: 7}, "coalesced": {Coalesce: true}, "slow relay": {RelayDelay: time.Millisecond},
		"forty entries": {Entries: 40}, "unknown members": {UnknownMembers: true}, "refused once": {ResultStatus: []int{503}}, "cut once": {ResultStatus: []int{-1}},
		"408, 429, 500": {ResultStatus: []int{408, 429, 500}}, "slow front end": {ResultDelay: 20 * time.Millisecond},
	} {
		for _, s := range []ptatest.SignIn{{Session: ptatest.Plain}, {Session: ptatest.Reliable, Mode: ptatest.TrustedParty}} {
			s.Faults, s.Fresh = &f, true
			if v, err := signIn(t, cloud, s); err != nil || !v.OK {
				t.Errorf("%s: %+v %v", name, v, err)
			}
		}
	}
	for _, r := range cloud.Refusals() {
		t.Error(r)
	}
}

func TestSpoiltPasswordsReachTheAgentAsToldButNotDecryptable(t *testing.T) {
	cloud := startCloud(t, ptatest.Config{Namespaces: 1})
	startAgent(t, cloud, passwords)
	for name, f := range map[string]ptatest.Faults{
		"omitted": {OmitKey: true}, "foreign thumbprint": {ForeignKey: true}, "bad cipher": {BadCipher: true}, "no JSON": {Plaintext: []byte("hello")},
	} {
		v, err := signIn(t, cloud, ptatest.SignIn{Faults: &f})
		if err != nil || v.OK || v.Text != "EncryptionDataNotFound" || v.Code != "AADSTS80011" {
			t.Errorf("%s: %+v %v", name, v, err)
		}
	}
	if _, err := signIn(t, cloud, ptatest.SignIn{Password: strings.Repeat("x", 200)}); !errors.Is(err, ptatest.ErrTooLong) {
		t.Errorf("long password: %v", err)
	}
}

func TestEveryReasonBecomesItsCode(t *testing.T) {
	cloud := startCloud(t, ptatest.Config{Namespaces: 1})
	reason := 0
	startAgent(t, cloud, func(string, string) int { return reason })
	for n, code := range map[int]string{
		1326: "AADSTS50126", 1317: "AADSTS80004", 1328: "AADSTS80012", 1330: "AADSTS50144", 1331: "AADSTS50057", 1909: "AADSTS50053", 1311: "AADSTS80001",
		1907: "AADSTS50144", 1398: "AADSTS80013", 1793: "AADSTS80007", 1908: "AADSTS80001", 1385: "AADSTS80007", 4711: "AADSTS80007",
	} {
		reason = n
		if v, err := signIn(t, cloud, ptatest.SignIn{}); err != nil || v.Code != code || v.Reason != n {
			t.Errorf("%d: %+v %v", n, v, err)
		}
	}
}

// watch records what the hand-made agent would not look at: the raw signal.
func TestRequestFaultsAreInTheMessage(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{Namespaces: 1})
	a := startAgent(t, cloud, passwords)
	a.silent = true
	for name, c := range map[string]struct {
		f             ptatest.Faults
		element, text string
	}{
		"tenant":   {ptatest.Faults{Tenant: "11111111-1111-1111-1111-111111111111"}, "SubscriptionId", "11111111-1111-1111-1111-111111111111"},
		"host":     {ptatest.Faults{ReturnHost: "evil.test"}, "OverridenReturnHost", "evil.test"},
		"protocol": {ptatest.Faults{TrafficProtocol: "HTTP"}, "TrafficProtocol", "HTTP"},
		"unknown":  {ptatest.Faults{UnknownMembers: true}, "FutureHint", "unknown to every description"},
	} {
		a.mu.Lock()
		a.seen = nil
		a.mu.Unlock()
		_, err := signIn(t, cloud, ptatest.SignIn{Session: ptatest.Plain, Faults: &c.f, Budget: 200 * time.Millisecond})
		if !errors.Is(err, ptatest.ErrNoAnswer) {
			t.Errorf("%s: %v", name, err)
		}
		a.mu.Lock()
		if n := find(a.seen, c.element); n == nil || n.Text != c.text {
			t.Errorf("%s: %+v", name, n)
		}
		a.mu.Unlock()
	}
}

func TestRepeatedSignalsKeepTheirTransaction(t *testing.T) {
	cloud := startCloud(t, ptatest.Config{Namespaces: 1})
	a := startAgent(t, cloud, passwords)
	for _, s := range []ptatest.SignIn{{Session: ptatest.Plain}, {Session: ptatest.Reliable, Mode: ptatest.Direct}} {
		s.Faults = &ptatest.Faults{Repeats: 3}
		before := a.count()
		if v, err := signIn(t, cloud, s); err != nil || !v.OK {
			t.Errorf("%+v %v", v, err)
		}
		if n := a.count() - before; n != 4 {
			t.Errorf("%d signals", n)
		}
	}
}

func TestRendezvousFaults(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{Namespaces: 1, Policy: ptatest.Policy{AcceptWithin: 300 * time.Millisecond}})
	startAgent(t, cloud, passwords)
	for name, f := range map[string]ptatest.Faults{
		"dead": {DeadRendezvous: true}, "error": {AcceptError: true}, "fault": {Frame: ptatest.FrameFault}, "upgrade": {Frame: ptatest.FrameUpgrade},
		"version": {Frame: ptatest.FrameVersion}, "singleton": {Frame: ptatest.FrameSingleton}, "truncated": {Frame: ptatest.FrameTruncated},
		"unknown sequence": {UnknownSequence: true},
	} {
		v, err := signIn(t, cloud, ptatest.SignIn{Session: ptatest.Reliable, Faults: &f, Fresh: true, Budget: time.Second})
		if err == nil {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if n := len(cloud.Refusals()); n != 4 { // the hand-made agent acknowledges what it should not: version, singleton, upgrade, fault
		t.Errorf("%v", cloud.Refusals())
	}
	if v, err := signIn(t, cloud, ptatest.SignIn{}); err != nil || !v.OK {
		t.Errorf("afterwards: %+v %v", v, err)
	}
}

func TestLinksEndOnDemand(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{Namespaces: 1})
	for name, act := range map[string]func(){
		"cut": cloud.CutLinks, "restart": cloud.RestartRelay, "detach": func() { cloud.DetachLinks(ptatest.ServerBusy) },
		"close": func() { cloud.CloseLinks(ptatest.RelayNotFound) }, "expire": cloud.ExpireTokens, "freeze": cloud.Freeze,
	} {
		a := startAgent(t, cloud, passwords)
		act()
		if n := cloud.Stats().Links; n != 0 {
			t.Errorf("%s: %d links", name, n)
		}
		if _, err := signIn(t, cloud, ptatest.SignIn{}); !errors.Is(err, ptatest.ErrNoAgent) {
			t.Errorf("%s: %v", name, err)
		}
		for _, l := range a.bootstrap("false") {
			a.listen(l)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := cloud.WaitListening(ctx, 2); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		cloud.CutLinks()
	}
}

func TestTokenExpiryCutsTheLinkUnlessThePolicySaysOtherwise(t *testing.T) {
	t.Parallel()
	now := time.Now()
	start := func(keep bool) *ptatest.Cloud {
		cloud := startCloud(t, ptatest.Config{Namespaces: 1, Policy: ptatest.Policy{KeepExpired: keep}, Now: func() time.Time { return now.Add(time.Hour - 1400*time.Millisecond) },
			Settings: func(s *ptatest.Settings) { s.TokenTTL = 2 * time.Hour }})
		startAgent(t, cloud, passwords) // its tokens are good for an hour from now, in whole seconds
		return cloud
	}
	kept, cut := start(true), start(false) // the tokens of the first expire first
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := cut.Wait(ctx, func(s ptatest.Stats) bool { return s.Links == 0 }); err != nil {
		t.Error(err)
	}
	if n := kept.Stats().Links; n != 2 {
		t.Errorf("%d links are left where expired tokens are kept", n)
	}
}

func TestBootstrapFaultsAndReconfiguration(t *testing.T) {
	cloud := startCloud(t, ptatest.Config{})
	a := &handAgent{t: t, cloud: cloud}
	a.register()
	u := "https://" + cloud.Tenant + ".pta.bootstrap.his.msappproxy.net/ConnectorBootstrap"
	ask := func() (int, string) { return a.post(u, bootstrapRequest(cloud.Tenant, a.id, uuid(), "true")) }
	cloud.SetFaults(ptatest.Faults{BootstrapStatus: 500})
	if status, _ := ask(); status != 500 {
		t.Errorf("status %d", status)
	}
	cloud.SetFaults(ptatest.Faults{BootstrapBody: []byte("<x")})
	if _, body := ask(); body != "<x" {
		t.Errorf("body %q", body)
	}
	cloud.SetFaults(ptatest.Faults{BootstrapHang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, u, strings.NewReader(bootstrapRequest(cloud.Tenant, a.id, uuid(), "true")))
	req.Header.Set("Content-Type", "application/xml; charset=utf-8")
	if _, err := a.client().Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hang: %v", err)
	}
	cancel()
	cloud.SetFaults(ptatest.Faults{})
	before := a.bootstrap("true")
	cloud.Reconfigure(func(s *ptatest.Settings) { s.Endpoints = s.Endpoints[1:]; s.Endpoints[0].Key = "other" })
	after := a.bootstrap("false")
	if len(after) != len(before)-1 || after[0].SharedAccessKey != "other" {
		t.Errorf("%+v", after)
	}
}

func TestIssuedCertificatesCarryTheFlawThatWasAskedFor(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{})
	for _, flaw := range []ptatest.Issue{
		ptatest.IssueRefused, ptatest.IssueForeignKey, ptatest.IssueForeignTenant, ptatest.IssueNoAgent, ptatest.IssueNoUsage, ptatest.IssueExpired, ptatest.IssueGarbage,
	} {
		a := &handAgent{t: t, cloud: cloud}
		cloud.SetFaults(ptatest.Faults{Register: flaw})
		a.key = otherKey()
		_, body := a.post("https://"+cloud.Tenant+".registration.msappproxy.net/register/RegisterConnector", registration(cloud.Tenant, cloud.AdminToken(), csrFor(t, a.key)))
		if flaw == ptatest.IssueRefused || flaw == ptatest.IssueGarbage {
			if strings.Contains(body, "<IsSuccessful>true") {
				t.Errorf("%s: %s", flaw, body)
			}
			continue
		}
		a.take(body)
		tenant, _, err := cloud.Verify(a.cert)
		good := err == nil && tenant == cloud.Tenant && a.key.PublicKey.Equal(a.cert.PublicKey)
		if good {
			t.Errorf("%s: the certificate is good", flaw)
		}
	}
	if n := len(cloud.Agents()); n != 0 {
		t.Errorf("%d agents", n)
	}
}

func TestRenewalGivesANewCertificateAndAGracePeriod(t *testing.T) {
	now := time.Now()
	clock := &now
	cloud := startCloud(t, ptatest.Config{Now: func() time.Time { return *clock }})
	a := &handAgent{t: t, cloud: cloud}
	a.register()
	old, oldKey := a.cert, a.key
	a.key = otherKey()
	request := func() string { return renewal(csrFor(t, a.key)) }
	u := "https://his-eur1-weur1.renewtrust.msappproxy.net/renewTrust/RenewTrustCertificate"
	post := func(body string) (int, string) {
		key := a.key
		a.key = oldKey
		defer func() { a.key = key }()
		return a.post(u, body)
	}
	if _, body := post(strings.Replace(request(), "<ConnectorVersion>", "<X/><ConnectorVersion>", 1)); strings.Contains(body, "IsSuccessful>true") {
		t.Error("a wrong request was taken")
	}
	if _, body := post(renewal(csrFor(t, oldKey))); strings.Contains(body, "true</IsSuccessful") {
		t.Error("the old key was certified again")
	}
	_, body := post(request())
	id := a.id
	a.take(body)
	if a.id != id || a.cert.Equal(old) {
		t.Error("not renewed")
	}
	if got := cloud.Agents()[0].Thumbprints; len(got) != 2 {
		t.Errorf("thumbprints %v", got)
	}
	*clock = now.Add(25 * time.Hour)
	if got := cloud.Agents()[0].Thumbprints; len(got) != 1 {
		t.Errorf("after the grace period: %v", got)
	}
	*clock = now.Add(200 * 24 * time.Hour)
	if status, _ := a.post("https://"+cloud.Tenant+".pta.bootstrap.his.msappproxy.net/ConnectorBootstrap", bootstrapRequest(cloud.Tenant, a.id, uuid(), "true")); status != http.StatusForbidden {
		t.Errorf("an expired certificate: %d", status)
	}
}

func TestInventoryShowsAStranger(t *testing.T) {
	cloud := startCloud(t, ptatest.Config{})
	a := startAgent(t, cloud, passwords)
	id, err := cloud.AddStranger("evil.test")
	if err != nil {
		t.Fatal(err)
	}
	list := cloud.Agents()
	if len(list) != 2 || !strings.Contains(list[0].ID+list[1].ID, id) || !strings.Contains(list[0].ID+list[1].ID, a.id) {
		t.Errorf("%+v", list)
	}
	req, _ := http.NewRequest(http.MethodGet, "https://"+cloud.Tenant+".admin.msappproxy.net/onPremisesPublishingProfiles('authentication')/agents", nil)
	req.Header.Set("Authorization", "Bearer "+cloud.AdminToken())
	req.Header["x-ms-gateway-serviceRoot"] = []string{""}
	resp, err := a.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	_, _ = b.ReadFrom(resp.Body)
	_ = resp.Body.Close()
	if !strings.Contains(b.String(), id) || !strings.Contains(b.String(), "evil.test") {
		t.Errorf("%d %s", resp.StatusCode, b.String())
	}
}

func TestReliableSessionFaultsReachTheAgent(t *testing.T) {
	cloud := startCloud(t, ptatest.Config{Namespaces: 1, Policy: ptatest.Policy{AckWithin: 300 * time.Millisecond}})
	startAgent(t, cloud, passwords)
	// The hand-made agent ignores numbers: it answers a message that came twice
	// twice, and acknowledges what it has not got. Both must be found out.
	n := 0
	f := ptatest.Faults{Twice: true}
	_, _ = signIn(t, cloud, ptatest.SignIn{Session: ptatest.Reliable, Faults: &f, Mode: ptatest.Direct})
	waitRefusal(t, cloud, n)
	n = refusedWith(t, cloud, n, "no open call")
	f = ptatest.Faults{OutOfOrder: true}
	_, _ = signIn(t, cloud, ptatest.SignIn{Session: ptatest.Reliable, Faults: &f, Mode: ptatest.Direct, Budget: time.Second})
	refusedWith(t, cloud, n, "acknowledged 1-2 of 2")
}

func waitRefusal(t *testing.T, c *ptatest.Cloud, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Wait(ctx, func(s ptatest.Stats) bool { return s.Counts[ptatest.Refused] > n }); err != nil {
		t.Error(err)
	}
}

func TestPingsComeAndTheSecondUsesTheSessionTable(t *testing.T) {
	cloud := startCloud(t, ptatest.Config{Namespaces: 1, Policy: ptatest.Policy{PingEvery: 20 * time.Millisecond}})
	a := startAgent(t, cloud, passwords)
	if _, err := signIn(t, cloud, ptatest.SignIn{Session: ptatest.Plain}); err != nil {
		t.Fatal(err)
	}
	if first, second := <-a.pings, <-a.pings; first <= second {
		t.Errorf("sizes %d, %d", first, second)
	}
}

func TestHostileBytesAreSentAsGiven(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{Namespaces: 1, Policy: ptatest.Policy{AcceptWithin: 100 * time.Millisecond, AckWithin: 100 * time.Millisecond}})
	a := startAgent(t, cloud, passwords)
	a.deaf = true
	f := ptatest.Faults{Notification: []byte("not binary XML")}
	if _, err := signIn(t, cloud, ptatest.SignIn{Faults: &f, Budget: time.Second}); err == nil {
		t.Error("signed in")
	}
	if !bytes.Equal(a.raw(), f.Notification) {
		t.Errorf("notification %q", a.raw())
	}
	f = ptatest.Faults{TransferFrame: []byte{0, 0, 0, 12, 2, 0, 0, 0, 0, 0x53, 0x14, 0x45}}
	_, _ = signIn(t, cloud, ptatest.SignIn{Faults: &f, Budget: time.Second})
}

func TestSilentLinkIsCut(t *testing.T) {
	t.Parallel()
	cloud := startCloud(t, ptatest.Config{Namespaces: 1, Policy: ptatest.Policy{MaxSilence: 200 * time.Millisecond}})
	startAgent(t, cloud, passwords)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := cloud.Wait(ctx, func(s ptatest.Stats) bool { return s.Links == 0 }); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, cloud, 0, "nothing was sent")
}

func TestTokenServiceTradesACodeForATokenOnlyWithItsVerifier(t *testing.T) {
	cloud := startCloud(t, ptatest.Config{})
	a := &handAgent{t: t, cloud: cloud}
	client := a.client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	const verifier = "0123456789012345678901234567890123456789012"
	authorize := "https://login.microsoftonline.com/organizations/oauth2/v2.0/authorize?client_id=55747057-9b5d-4bd4-b387-abf52a8bd489&response_type=code&redirect_uri=https%3A%2F%2Flogin.microsoftonline.com%2Fcommon%2Foauth2%2Fnativeclient&scope=openid+https%3A%2F%2Fproxy.cloudwebappproxy.net%2Fregisterapp%2Fuser_impersonation&state=0123456789abcdef&code_challenge_method=S256&code_challenge=" + s256(verifier)
	code := func() string {
		resp, err := client.Get(authorize)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return mustURL(t, resp.Header.Get("Location")).Query().Get("code")
	}
	redeem := func(code, verifier string) (int, string) {
		resp, err := client.PostForm("https://login.microsoftonline.com/organizations/oauth2/v2.0/token", map[string][]string{
			"grant_type": {"authorization_code"}, "client_id": {"55747057-9b5d-4bd4-b387-abf52a8bd489"}, "code": {code},
			"redirect_uri": {"https://login.microsoftonline.com/common/oauth2/nativeclient"}, "code_verifier": {verifier},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var b bytes.Buffer
		_, _ = b.ReadFrom(resp.Body)
		return resp.StatusCode, b.String()
	}
	if status, _ := redeem(code(), "wrong"); status != http.StatusBadRequest {
		t.Error("a wrong verifier was taken")
	}
	c := code()
	if status, body := redeem(c, verifier); status != http.StatusOK || !strings.Contains(body, "access_token") {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := redeem(c, verifier); status != http.StatusBadRequest {
		t.Error("a code was taken twice")
	}
	for _, old := range []string{"code_challenge_method=S256", "client_id=5", "%2Fuser_impersonation", "nativeclient", "state=0123456789abcdef"} {
		resp, err := client.Get(strings.Replace(authorize, old, "x", 1))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("without %s: %d", old, resp.StatusCode)
		}
	}
}

func TestEndedConnectionsLeaveNothingBehind(t *testing.T) {
	cloud := startCloud(t, ptatest.Config{Namespaces: 1})
	startAgent(t, cloud, passwords)
	for range 20 {
		if v, err := signIn(t, cloud, ptatest.SignIn{Fresh: true}); err != nil || !v.OK {
			t.Fatalf("%+v %v", v, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := cloud.Wait(ctx, func(s ptatest.Stats) bool { return s.Relayed == 0 && s.Sockets == 0 }); err != nil {
		t.Error(err)
	}
	for _, r := range cloud.Refusals() {
		t.Error(r)
	}
}
