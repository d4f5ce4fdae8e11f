package app_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"sallyport/cmd/internal/demo"
)

// The tests here ask whether the assembled service has the guards that its parts
// offer: a guard that nobody connected passes every test of its own package.

func replace(from, to string) func(string) string {
	return func(s string) string { return strings.Replace(s, from, to, 1) }
}

// forged are the headers in which a client might claim to be somewhere else.
var forged = http.Header{
	"X-Forwarded-For": {"192.0.2.5"}, "Forwarded": {"for=192.0.2.5"}, "X-Real-Ip": {"192.0.2.5"}, "X-Client-Ip": {"192.0.2.5"},
	"X-Ms-Forwarded-Client-Ip": {"192.0.2.5"}, "X-Ms-Proxy": {"wap"}, "X-Forwarded-Host": {"evil.test"}, "X-Forwarded-Proto": {"http"},
}

func TestI05_H01_OnlyAConfiguredProxyMovesAClientInside(t *testing.T) {
	const networks = "networks: {inside: [127.0.0.0/8]}"
	for _, c := range []struct{ name, settings, claim, client string }{
		{"no proxy", "networks: {inside: [192.0.2.0/24]}", ">false</saml:AttributeValue>", "127.0.0.1"},
		{"somebody else is the proxy", "networks: {inside: [192.0.2.0/24]}\nproxy: {trusted: [127.0.0.2/32]}", ">false</saml:AttributeValue>", "127.0.0.1"},
		{"through the proxy", "networks: {inside: [192.0.2.0/24]}\nproxy: {trusted: [127.0.0.1/32]}", ">true</saml:AttributeValue>", "192.0.2.5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := open(t, demo.Options{Settings: replace(networks, c.settings)})
			b := h.Browser()
			defer b.Close()
			for name, values := range forged {
				if c.claim != ">false</saml:AttributeValue>" && strings.HasSuffix(name, "-Host") {
					continue // the proxy's own word, and another name than ours
				}
				b.Header[name] = values
			}
			p := h.open(t, b, h.SignInURL()+signInQuery+"&username=alice%40"+strings.SplitN(h.User("alice").UPN, "@", 2)[1])
			f, ok := h.password(t, b, p, h.User("alice").Password).HandedOver()
			if !ok {
				t.Fatal("no token")
			}
			_, after, _ := strings.Cut(f.Fields.Get("wresult"), `AttributeName="insidecorporatenetwork"`)
			value, _, _ := strings.Cut(after, "</saml:Attribute>")
			if !strings.HasSuffix(value, c.claim) {
				t.Errorf("claim %q", value)
			}
			h.event(t, map[string]any{"code": "SP200", "client": c.client})
		})
	}
}

func TestL10_APasswordPostedFromElsewhereIsNotTried(t *testing.T) {
	h := open(t, demo.Options{})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: h.Roots()}}}
	defer client.CloseIdleConnections()
	_, body := get(t, client, h.SignInURL()+signInQuery)
	_, token, _ := strings.Cut(body, `name="t" value="`)
	token, _, _ = strings.Cut(token, `"`)
	fields := url.Values{"t": {token}, "username": {h.User("alice").UPN}, "password": {h.User("alice").Password}}.Encode()
	post := func(site, origin string) string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.SignInURL(), strings.NewReader(fields))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for name, value := range map[string]string{"Sec-Fetch-Site": site, "Origin": origin} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		page, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(page)
	}
	own := strings.TrimSuffix(h.SignInURL(), "/adfs/ls/")
	for _, c := range [][2]string{
		{"cross-site", "https://evil.test"}, {"same-site", "https://evil." + strings.TrimPrefix(own, "https://")}, {"cross-site", "null"}, {"cross-site", ""},
		{"", "https://evil.test"}, {"", "null"}, {"", own + ".evil.test"},
	} {
		if page := post(c[0], c[1]); strings.Contains(page, "wresult") {
			t.Errorf("a token for Sec-Fetch-Site %q, Origin %q", c[0], c[1])
		}
	}
	for _, e := range h.events(t) {
		if e["code"] == "SP100" || e["code"] == "SP101" {
			t.Errorf("a password was tried: %v", e)
		}
	}
	if page := post("", own); !strings.Contains(page, "wresult") {
		t.Error("the same post from our own page gets no token")
	}
}

func TestH08_NoAnswerOfTheServiceLacksItsHeaders(t *testing.T) {
	h := open(t, demo.Options{})
	b := h.Browser()
	defer b.Close()
	base := strings.TrimSuffix(h.SignInURL(), "/adfs/ls/")
	signIn := h.open(t, b, h.SignInURL()+signInQuery)
	_, style, _ := strings.Cut(signIn.Body, `rel="stylesheet" href="`)
	style, _, _ = strings.Cut(style, `"`)
	long := strings.Repeat("a", 40<<10)
	for _, c := range []struct {
		path   string
		status int
	}{
		{"/adfs/ls/" + signInQuery, 200}, {"/adfs/ls/", 200}, {"/adfs/ls/?wa=wsignout1.0", 200}, {"/adfs/ls/?wa=x", 400}, {"/", 404}, {"/metrics", 404},
		{"/debug/pprof/", 404}, {"/readyz", 404}, {"/adfs/ls/?wctx=" + long, 414}, {"/adfs/probe", 200}, {style, 200}, {"/adfs/portal/assets/x", 404},
		{"/federationmetadata/2007-06/federationmetadata.xml", 200}, {"/adfs/services/trust/2005/windowstransport", 404},
	} {
		p := h.open(t, b, base+c.path)
		path := c.path[:min(len(c.path), 60)]
		if p.Status != c.status {
			t.Errorf("%s: status %d, want %d", path, p.Status, c.status)
		}
		csp := p.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if p.Header.Get("X-Content-Type-Options") != "nosniff" || p.Header.Get("X-Frame-Options") != "DENY" || p.Header.Get("Strict-Transport-Security") == "" ||
			p.Header.Get("Referrer-Policy") == "" || p.Header.Get("Cache-Control") == "" || p.Header.Get("Server") != "" {
			t.Errorf("%s: headers %v", path, p.Header)
		}
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") && p.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: a page with Cache-Control %q", path, p.Header.Get("Cache-Control"))
		}
	}
}
