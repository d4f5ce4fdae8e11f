package password_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf16"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn"
)

// forms are the ways in which a secret may turn up.
func forms(secret string) []string {
	b := []byte(secret)
	var utf16le []byte
	for _, u := range utf16.Encode([]rune(secret)) {
		utf16le = append(utf16le, byte(u), byte(u>>8))
	}
	all := []string{secret, hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), url.QueryEscape(secret), string(utf16le),
		strings.Trim(fmt.Sprint(b), "[]")}
	for offset := range 3 {
		text := base64.StdEncoding.EncodeToString(append(make([]byte, offset), b...))
		all = append(all, text[4:len(text)-4])
	}
	return all
}

// TestL08_PasswordIsNowhereAfterwards runs every outcome at debug level with one
// password and searches results, log, audit records and metrics.
func TestL08_PasswordIsNowhereAfterwards(t *testing.T) {
	const canary = "Kanarie#7f3a91-vogel"
	faults := []func(*house){
		func(*house) {},
		func(h *house) { h.dir.bind = func() error { return &authn.Error{Reason: authn.WrongPassword} } },
		func(h *house) { h.dir.bind = func() error { return errors.New("connection reset") } },
		func(h *house) { h.dir.resolve = func(string) error { return errors.New("no DC") } },
		func(h *house) { h.trail.fail = errors.New("disk full") },
		func(h *house) { h.hold("alice") },
		func(h *house) { delete(h.dir.users, "alice") },
	}
	for i, fault := range faults {
		for _, pw := range []string{canary, canary + "\x00", canary + "\xff", strings.Repeat(canary, 100)} {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, map[string]*user{"alice": {id: 1, password: canary}}, withHolding)
				fault(h)
				c := authn.Credentials{Name: "alice", Password: authn.NewPassword([]byte(pw))}
				before, err := json.Marshal(c) // while the password is still there
				if err != nil {
					t.Fatal(err)
				}
				everything := string(before) + fmt.Sprintf("%v %+v %#v %s %q %x", c, c, c, c.Password, c.Password, c.Password)
				r := h.p.Verify(t.Context(), attempt, c)
				everything += h.log.String() + fmt.Sprintf("%v %+v %#v %s", r, r, r, r.Cause) + fmt.Sprintf("%v %+v %#v", c, c, c)
				for _, v := range []any{h.trail.events, r.Account, c} {
					text, err := json.Marshal(v)
					if err != nil {
						t.Fatal(err)
					}
					everything += string(text)
				}
				everything += metricsText(t, h.reg)
				for _, form := range forms(canary) {
					if strings.Contains(everything, form) {
						t.Errorf("fault %d: found %q", i, form)
					}
				}
			})
		}
	}
}

func metricsText(t *testing.T, reg *prometheus.Registry) string {
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		b.WriteString(f.String())
	}
	return b.String()
}

// TestL09_PasswordIsWiped looks at the caller's own buffer, after every outcome and
// already while a refusal is waiting for its instant.
func TestL09_PasswordIsWiped(t *testing.T) {
	for _, name := range []string{"alice", "nobody", " bad name"} {
		for _, pw := range []string{rightPassword, "wrong", "nul\x00"} {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, people())
				buffer := []byte(pw)
				h.try0(name, buffer)
				for _, b := range buffer {
					if b != 0 {
						t.Fatalf("%q %q: left %q", name, pw, buffer)
					}
				}
			})
		}
	}
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, people())
		buffer := []byte("wrong")
		done := make(chan struct{})
		go func() { h.try0("alice", buffer); close(done) }()
		sleepMilliseconds(100)
		synctest.Wait()
		if string(buffer) != "\x00\x00\x00\x00\x00" {
			t.Errorf("kept while waiting: %q", buffer)
		}
		<-done
	})
}

func TestMetricsCountEveryAttemptOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, people())
		h.try("alice", rightPassword)
		h.try("alice", "wrong")
		h.try("nobody", "wrong")
		at := attempt
		at.Protocol = "a protocol that nobody declared"
		h.p.Verify(t.Context(), at, authn.Credentials{Name: "bob", Password: authn.NewPassword([]byte("correct horse"))})
		families, err := h.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				switch f.GetName() {
				case "sallyport_signins_total":
					if v := m.GetCounter().GetValue(); v > 0 {
						l := m.GetLabel() // sorted by name: protocol, reason, result
						got[l[0].GetValue()+" "+l[1].GetValue()+" "+l[2].GetValue()] = v
					}
				case "sallyport_signin_step_seconds":
					got[m.GetLabel()[0].GetValue()] = float64(m.GetHistogram().GetSampleCount())
				}
			}
		}
		want := map[string]float64{
			"wsfed accepted accepted": 1, "wsfed wrong_password refused": 1, "wsfed unknown_user refused": 1, "other accepted accepted": 1,
			"resolve": 4, "gate": 4, "bind": 3,
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("metrics %v, want %v", got, want)
		}
	})
}
