package web_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/federation/web"
)

// raw sends bytes to a real listener and returns the first status and everything
// that came back.
func raw(t *testing.T, addr, bytes string) (status int, all string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, bytes); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(conn) // a reset is an answer too
	if res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(b))), nil); err == nil {
		status = res.StatusCode
		_ = res.Body.Close()
	}
	return status, string(b)
}

func TestH02_RawRequests(t *testing.T) {
	g := newRig(t, nil)
	addr := serve(t, g.NewServer(web.ServerConfig{}))
	const end = "Connection: close\r\n\r\n"
	if status, all := raw(t, addr, "GET /adfs/ls/ HTTP/1.1\r\nHost: sts.contoso.test\r\n"+end); status != 200 {
		t.Fatalf("plain request: %d %q", status, all)
	}
	for name, c := range map[string]struct {
		bytes string
		want  []int
	}{
		"absolute form, own":          {"GET http://sts.contoso.test/adfs/ls/ HTTP/1.1\r\nHost: sts.contoso.test\r\n" + end, []int{200}},
		"absolute form, foreign":      {"GET http://evil.test/adfs/ls/ HTTP/1.1\r\nHost: sts.contoso.test\r\n" + end, []int{421}},
		"absolute form, foreign Host": {"GET http://sts.contoso.test/adfs/ls/ HTTP/1.1\r\nHost: evil.test\r\n" + end, []int{200}}, // RFC 9112 §3.2.2: the target wins
		"two Hosts":                   {"GET /adfs/ls/ HTTP/1.1\r\nHost: sts.contoso.test\r\nHost: evil.test\r\n" + end, []int{400}},
		"no Host":                     {"GET /adfs/ls/ HTTP/1.1\r\n" + end, []int{400}},
		"HTTP/1.0 without Host":       {"GET /adfs/ls/ HTTP/1.0\r\n\r\n", []int{421}},
		"authority as path":           {"GET //evil.test/adfs/ls/ HTTP/1.1\r\nHost: sts.contoso.test\r\n" + end, []int{404}},
		"asterisk":                    {"OPTIONS * HTTP/1.1\r\nHost: sts.contoso.test\r\n" + end, []int{404}},
		"CONNECT":                     {"CONNECT sts.contoso.test:443 HTTP/1.1\r\nHost: sts.contoso.test\r\n" + end, []int{400, 404, 405}},
		"TRACE":                       {"TRACE /adfs/ls/ HTTP/1.1\r\nHost: sts.contoso.test\r\nCookie: c=SECRET\r\n" + end, []int{405}},
	} {
		status, all := raw(t, addr, c.bytes)
		ok := false
		for _, want := range c.want {
			ok = ok || status == want
		}
		if !ok || strings.Contains(all, "evil.test") || strings.Contains(all, "SECRET") {
			t.Errorf("%s: %d %q", name, status, all)
		}
	}
}

func TestH05_AmbiguousMessagesAreRefused(t *testing.T) {
	g := newRig(t, nil)
	addr := serve(t, g.NewServer(web.ServerConfig{}))
	const head = "POST /adfs/form HTTP/1.1\r\nHost: sts.contoso.test\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	const smuggled = "GET /adfs/portal/assets/smuggled HTTP/1.1\r\nHost: sts.contoso.test\r\n\r\n"
	if status, all := raw(t, addr, head+"Content-Length: 3\r\n\r\na=1"); status != 200 {
		t.Fatalf("plain form: %d %q", status, all)
	}
	for name, bytes := range map[string]string{
		"two lengths":             head + "Content-Length: 3\r\nContent-Length: 0\r\n\r\na=1" + smuggled,
		"length with a sign":      head + "Content-Length: +3\r\n\r\na=1" + smuggled,
		"length in hexadecimal":   head + "Content-Length: 0x3\r\n\r\na=1" + smuggled,
		"length and a list":       head + "Content-Length: 3, 0\r\n\r\na=1" + smuggled,
		"chunked with a tab":      head + "Transfer-Encoding:\tchunked \x0b\r\n\r\n0\r\n\r\n" + smuggled,
		"chunked twice":           head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"gzip and chunked":        head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"identity":                head + "Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\na=1" + smuggled,
		"blank before the colon":  head + "Content-Length : 3\r\n\r\na=1" + smuggled,
		"NUL in a name":           head + "X\x00Y: 1\r\nContent-Length: 3\r\n\r\na=1" + smuggled,
		"NUL in a value":          head + "X: a\x00b\r\nContent-Length: 3\r\n\r\na=1" + smuggled,
		"bad chunk size":          head + "Transfer-Encoding: chunked\r\n\r\nzz\r\na\r\n0\r\n\r\n" + smuggled,
		"chunk with a long size":  head + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\na\r\n0\r\n\r\n" + smuggled,
		"request line of 4 parts": "GET /adfs/ls/ x HTTP/1.1\r\nHost: sts.contoso.test\r\n\r\n" + smuggled,
		"HTTP/2 preface":          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + smuggled,
	} {
		before := g.calls()
		status, all := raw(t, addr, bytes)
		if status < 400 || status == 404 || g.calls() != before || strings.Count(all, "HTTP/1.1 ") > 1 {
			t.Errorf("%s: %d, %d calls, %q", name, status, g.calls()-before, all)
		}
	}
	// What the standard library reads in one way only.
	for name, c := range map[string]struct {
		bytes string
		calls int
	}{
		"length and chunked: chunked wins, and the connection ends": {head + "Content-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n" + smuggled, 1},
		"chunked: the connection ends":                              {head + "Transfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n" + smuggled, 1},
		"folded header":                                             {head + "X: a\r\n b\r\nContent-Length: 3\r\n\r\na=1", 1},
	} {
		before := g.calls()
		if status, all := raw(t, addr, c.bytes); status != 200 && status != 400 || g.calls()-before > c.calls {
			t.Errorf("%s: %d, %d calls, %q", name, status, g.calls()-before, all)
		}
	}
}
