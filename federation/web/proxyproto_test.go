package web_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/federation/web"
)

const signature = "\r\n\r\n\x00\r\nQUIT\n"

// frame makes a PROXY v2 frame.
func frame(command, family byte, body string) string {
	return signature + string([]byte{command, family, byte(len(body) >> 8), byte(len(body))}) + body
}

func unhex(t testing.TB, s string) string {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// serveFrames runs a server that expects frames, on in-memory connections.
func serveFrames(t *testing.T, g *rig) (l *pipes, stop func()) {
	t.Helper()
	s, l := g.NewServer(web.ServerConfig{ProxyProtocol: true}), newPipes()
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	return l, func() {
		_ = s.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// say sends bytes as a peer and returns what came back and how long it took.
func say(l *pipes, peer, text string) (string, time.Duration) {
	conn := l.dial(peer)
	start := time.Now()
	go func() { _, _ = io.WriteString(conn, text) }() // the server may close before it has all
	b, _ := io.ReadAll(conn)
	_ = conn.Close()
	return string(b), time.Since(start)
}

func TestC20_ProxyV2(t *testing.T) {
	const probe = "GET /adfs/probe HTTP/1.1\r\nHost: 10.0.0.11\r\nConnection: close\r\n\r\n"
	const page = "GET /adfs/ls/ HTTP/1.1\r\nHost: sts.contoso.test\r\nX-Forwarded-For: 10.1.1.1\r\nConnection: close\r\n\r\n"
	tcp4 := unhex(t, "cb007107 0a00000b bbe5 20fb")
	tcp6 := unhex(t, "20010db8000000000000000000000007 20010db8000000000000000000000001 bbe5 20fb")
	localWithTLVs := signature + unhex(t, "20 11 00 54 0a 00 00 15 0a 00 00 0b bb e5 20 fb 03 00 04 7c c5 0d 65 04 00 3e") + strings.Repeat("\x00", 62)
	for _, c := range []struct {
		name, peer, bytes string
		client            string // empty: no answer
		within            time.Duration
	}{
		{"LOCAL without addresses", "10.9.0.1", frame(0x20, 0, "") + probe, "probe", 0},
		{"LOCAL with addresses and TLVs", "10.9.0.1", localWithTLVs + probe, "probe", 0},
		{"LOCAL, a page", "10.9.0.1", frame(0x20, 0x11, tcp4) + strings.Replace(page, "X-Forwarded-For: 10.1.1.1\r\n", "", 1), "10.9.0.1", 0},
		{"TCP4", "10.9.0.1", frame(0x21, 0x11, tcp4) + page, "203.0.113.7", 0},
		{"TCP4 with a TLV", "10.9.0.1", frame(0x21, 0x11, tcp4+"\x04\x00\x01x") + page, "203.0.113.7", 0},
		{"TCP6", "10.9.0.1", frame(0x21, 0x21, tcp6) + page, "2001:db8::7", 0},
		{"proxied, family unspecified", "10.9.0.1", frame(0x21, 0, "") + strings.Replace(page, "X-Forwarded-For: 10.1.1.1\r\n", "", 1), "10.9.0.1", 0},
		{"largest", "10.9.0.1", frame(0x21, 0x11, tcp4+strings.Repeat("\x04\x00\x00", 174)+"\x00\x00") + page, "203.0.113.7", 0},
		{"no frame from another peer", "203.0.113.7", page, "203.0.113.7", 0},

		{"no frame from the proxy", "10.9.0.1", page, "", 0},
		{"frame from another peer", "203.0.113.9", frame(0x21, 0x11, tcp4) + page, "", 0},
		{"version 3", "10.9.0.1", frame(0x31, 0x11, tcp4) + page, "", 0},
		{"version 1", "10.9.0.1", "PROXY TCP4 203.0.113.7 10.0.0.11 1 2\r\n" + page, "", 0},
		{"unknown command", "10.9.0.1", frame(0x22, 0x11, tcp4) + page, "", 0},
		{"UDP", "10.9.0.1", frame(0x21, 0x12, tcp4) + page, "", 0},
		{"address cut short", "10.9.0.1", frame(0x21, 0x11, tcp4[:11]) + page, "", 0},
		{"too long", "10.9.0.1", frame(0x20, 0, strings.Repeat("\x00", 537)) + page, "", 0},
		{"length past the data", "10.9.0.1", signature + "\x20\x00\x02\x00", "", 5 * time.Second},
		{"half a signature", "10.9.0.1", signature[:5], "", 5 * time.Second},
		{"nothing", "10.9.0.1", "", "", 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil)
				l, stop := serveFrames(t, g)
				defer stop()
				got, took := say(l, c.peer, c.bytes)
				switch {
				case c.client == "probe":
					if !strings.HasSuffix(got, "\r\n\r\nok\n") {
						t.Errorf("answer %q", got)
					}
				case c.client != "":
					if !strings.HasPrefix(got, "HTTP/1.1 200") || g.last(t).info.Client.String() != c.client || g.last(t).info.Inside {
						t.Errorf("answer %q", got)
					}
				case strings.HasPrefix(got, "HTTP/1.1 200") || g.calls() != 0:
					t.Errorf("answered %q", got)
				}
				if took > c.within {
					t.Errorf("took %v, want %v", took, c.within)
				}
				for _, rec := range g.log.records(t) {
					if rec["level"] == "ERROR" || rec["level"] == "WARN" && c.client == "" {
						t.Errorf("logged %v", rec)
					}
				}
			})
		})
	}
}

func TestC20_ASilentBalancerDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		l, stop := serveFrames(t, g)
		defer stop()
		silent := l.dial("10.9.0.1")
		defer func() { _ = silent.Close() }()
		got, took := say(l, "10.9.0.1", frame(0x20, 0, "")+"GET /adfs/probe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if !strings.HasSuffix(got, "ok\n") || took != 0 {
			t.Errorf("%q after %v", got, took)
		}
	})
}

// Behind a balancer that speaks PROXY, one client gets as many connections as it
// would get alone, and takes nobody else's.
func TestH03_ConnectionLimitsHoldForTheClientThatAFrameNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		s, l := g.NewServer(web.ServerConfig{ProxyProtocol: true, MaxConns: 7, MaxConnsPerAddress: 2}), newPipes()
		done := make(chan error)
		go func() { done <- s.Serve(l) }()
		client := map[string]string{
			"7": frame(0x21, 0x11, unhex(t, "cb007107 0a00000b bbe5 20fb")), "8": frame(0x21, 0x11, unhex(t, "cb007108 0a00000b bbe5 20fb")),
			"probe": frame(0x20, 0, ""), "proxy": frame(0x21, 0x11, unhex(t, "0a090001 0a00000b bbe5 20fb")),
		}
		take := func(name string, want bool) net.Conn {
			t.Helper()
			c := l.dial("10.9.0.1")
			go func() { _, _ = io.WriteString(c, client[name]) }()
			synctest.Wait()
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			b, err := io.ReadAll(c)
			if got := err != nil; got != want || len(b) > 0 {
				t.Errorf("%s: taken %v, want %v, %q", name, got, want, b)
			}
			return c
		}
		first := take("7", true)
		take("7", true)
		take("7", false)
		take("8", true)
		take("probe", true) // the balancer itself, and another of ours, have no limit of their own
		take("probe", true)
		take("proxy", true)
		_ = first.Close()
		synctest.Wait()
		take("7", true) // the place is free again
		take("7", false)
		take("8", true)
		take("probe", false) // seven in all: those refused left the count
		_ = s.Close()
		<-done
	})
}

func FuzzProxyFrame(f *testing.F) {
	f.Add([]byte(frame(0x20, 0, "") + "GET"))
	f.Add([]byte(frame(0x21, 0x11, unhex(f, "cb0071070a00000bbbe520fb")) + "GET"))
	f.Add([]byte(frame(0x21, 0x21, strings.Repeat("a", 36))))
	f.Add([]byte(signature))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		source, err := web.ReadFrame(r)
		if err != nil {
			if source != (netip.AddrPort{}) {
				t.Fatalf("%v with %v", source, err)
			}
			return
		}
		// Exactly the frame was taken: its length is in its own bytes.
		if taken, want := len(b)-r.Len(), 16+int(b[14])<<8+int(b[15]); taken != want {
			t.Fatalf("took %d bytes of a frame of %d", taken, want)
		}
	})
}

var _ net.Listener = (*pipes)(nil)
