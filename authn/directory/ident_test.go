package directory_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/directory"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGUIDForms(t *testing.T) {
	for _, c := range []struct{ text, raw, anchor string }{
		{"00112233-4455-6677-8899-aabbccddeeff", "33221100554477668899aabbccddeeff", "MyIRAFVEd2aImaq7zN3u/w=="},
		{"f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "ae4f1df8ec7dd011a76500a0c91e6bf6", "rk8d+Ox90BGnZQCgyR5r9g=="},
	} {
		g, err := authn.ParseGUID(c.text)
		if err != nil || hex.EncodeToString(g[:]) != c.raw || g.String() != c.text {
			t.Errorf("%s: %x %s %v", c.text, g[:], g, err)
		}
		acc := authn.Account{ID: g}
		if got := base64.StdEncoding.EncodeToString(acc.SourceAnchor()); got != c.anchor {
			t.Errorf("%s: anchor %s, want %s", c.text, got, c.anchor)
		}
	}
}

func TestSIDForms(t *testing.T) {
	for text, raw := range map[string]string{
		"S-1-5-21-1004336348-1177238915-682003330-512": "010500000000000515000000dcf4dc3b833d2b46828ba62800020000",
		"S-1-5-32-544": "01020000000000052000000020020000",
		"S-1-1-0":      "010100000000000100000000",
	} {
		got, err := directory.SIDString(unhex(t, raw))
		if err != nil || got != text {
			t.Errorf("%s: %s %v", raw, got, err)
		}
		back, err := directory.ParseSID(text)
		if err != nil || hex.EncodeToString(back) != raw {
			t.Errorf("%s: %x %v", text, back, err)
		}
	}
	for name, raw := range map[string]string{
		"27 bytes":        "010500000000000515000000dcf4dc3b833d2b46828ba628000200",
		"count 16":        "0110000000000005" + "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
		"count ≠ length":  "010400000000000515000000dcf4dc3b833d2b46828ba62800020000",
		"revision 2":      "02020000000000052000000020020000",
		"nothing":         "",
		"header only bad": "01010000000000",
	} {
		if got, err := directory.SIDString(unhex(t, raw)); !errors.Is(err, directory.ErrSID) {
			t.Errorf("%s: taken as %s", name, got)
		}
	}
	for _, text := range []string{"", "S-1", "s-1-1-0", "S-2-1-0", "S-1-1-4294967296", "S-1-01-0", "S-1-1-+1", "S-1-1--1", "S-1-281474976710656-0"} {
		if _, err := directory.ParseSID(text); !errors.Is(err, directory.ErrSID) {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestTimesOfAD(t *testing.T) {
	for v, want := range map[int64]string{
		134399898000000000:  "2026-11-24T10:30:00Z",
		137919572470000000:  "2038-01-19T03:14:07Z",
		116444736000000000:  "1970-01-01T00:00:00Z",
		2650467743990000000: "9999-12-31T23:59:59Z",
		1:                   "1601-01-01T00:00:00Z",
	} {
		got, ok := directory.FileTime(v)
		if !ok || got.Truncate(time.Second).Format(time.RFC3339) != want {
			t.Errorf("%d: %s %v, want %s", v, got, ok, want)
		}
	}
	for _, v := range []int64{0, -1, math.MinInt64, math.MaxInt64, 2650467743990000001} {
		if got, ok := directory.FileTime(v); ok {
			t.Errorf("%d is %s, want a sentinel", v, got)
		}
	}
	for v, want := range map[int64]time.Duration{-18000000000: 30 * time.Minute, -36288000000000: 42 * 24 * time.Hour} {
		if got, ok := directory.Interval(v); !ok || got != want {
			t.Errorf("%d: %s %v, want %s", v, got, ok, want)
		}
	}
	if _, ok := directory.Interval(math.MinInt64); ok {
		t.Error("-2^63 is a limit")
	}
	if got, ok := directory.Interval(math.MinInt64 + 1); !ok || got != math.MaxInt64 {
		t.Errorf("a very long interval: %s %v", got, ok)
	}
	if got, err := directory.GeneralizedTime("20261124103000.0Z"); err != nil || got.Format(time.RFC3339) != "2026-11-24T10:30:00Z" {
		t.Errorf("%s %v", got, err)
	}
	if got := directory.SiteOf("CN=NTDS Settings,CN=DC1,CN=Servers,CN=Berlin\\, Mitte,CN=Sites,CN=Configuration,DC=x"); got != "Berlin, Mitte" {
		t.Errorf("site %q", got)
	}
}

func FuzzSID(f *testing.F) {
	f.Add(unhex(f, "010500000000000515000000dcf4dc3b833d2b46828ba62800020000"))
	f.Add(unhex(f, "01020000000000052000000020020000"))
	f.Add(unhex(f, "0100000000000005"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		text, err := directory.SIDString(raw)
		if err != nil {
			return
		}
		back, err := directory.ParseSID(text)
		if err != nil || string(back) != string(raw) {
			t.Errorf("%x is %s is %x: %v", raw, text, back, err)
		}
	})
}

func FuzzGUID(f *testing.F) {
	f.Add("f81d4fae-7dec-11d0-a765-00a0c91e6bf6")
	f.Add("{00112233-4455-6677-8899-aabbccddeeff}")
	f.Fuzz(func(t *testing.T, s string) {
		g, err := authn.ParseGUID(s)
		if err != nil {
			return
		}
		back, err := authn.ParseGUID(g.String())
		if err != nil || back != g {
			t.Errorf("%q is %s: %v", s, g, err)
		}
	})
}
