package signin_test

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/federation"
	"sallyport/federation/signin"
)

func requests() []federation.SignInRequest {
	return []federation.SignInRequest{
		{Protocol: "wsfed", Realm: "urn:federation:MicrosoftOnline", ReplyTo: "https://login.example.test/login.srf",
			State: "LoginOptions=3&estsredirect=2", HasState: true, LoginHint: "alice@contoso.test", CorrelationID: "7f0c2b1e-52a4-4d0b-9a0e-3f6f2c1d8e55"},
		{Protocol: "saml", Realm: "x", HasState: true, ForceLogin: true, Passwords: true, MaxAge: time.Hour, Extra: "_id\x00\xff"},
		{State: strings.Repeat("\xff\x00", 500)},
		{},
	}
}

func TestTransactionComesBackAsItWas(t *testing.T) {
	for _, req := range requests() {
		_, got, err := signin.SplitTransaction(signin.PlainTransaction(&req))
		if diff := cmp.Diff(req, got); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	}
}

func TestTransactionOfALaterReleaseIsRefused(t *testing.T) {
	good := signin.PlainTransaction(&requests()[0])
	for name, change := range map[string]func(b []byte){
		"another version": func(b []byte) { b[0]++ },
		"unknown flag":    func(b []byte) { b[1] |= 0x80 },
	} {
		b := bytes.Clone(good)
		change(b)
		if _, _, err := signin.SplitTransaction(b); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, _, err := signin.SplitTransaction(append(good, 0)); err == nil {
		t.Error("a byte too many is accepted")
	}
}

// FuzzTransaction holds the reader of transactions to: no panic, no memory beyond
// the input, and what it accepts is written and read again without change.
func FuzzTransaction(f *testing.F) {
	for _, req := range requests() {
		f.Add(signin.PlainTransaction(&req))
	}
	f.Add([]byte{})
	f.Add(append(make([]byte, 42), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01))
	f.Fuzz(func(t *testing.T, b []byte) {
		again, req, err := signin.SplitTransaction(b)
		if err != nil {
			return
		}
		twice, req2, err := signin.SplitTransaction(again)
		if err != nil || string(twice) != string(again) {
			t.Fatalf("second reading: %v", err)
		}
		if diff := cmp.Diff(req, req2); diff != "" {
			t.Error(diff)
		}
		if n := len(req.State) + len(req.Realm) + len(req.LoginHint); n > len(b) {
			t.Errorf("%d bytes of values from %d", n, len(b))
		}
	})
}

// FuzzForm compares our reader, which works in place on bytes, with net/url: what
// both accept must mean the same.
func FuzzForm(f *testing.F) {
	for _, s := range []string{"t=a&username=b&password=c", "t=%41+%2b&password=%20x", "t=a&t=b", "password=%", "a=b&&t", "t=a;b", "%74=x", "password=%C3%28", "t==&lang=nl&action=again"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		text := string(raw)
		got, err := signin.ParseForm(raw)
		if err != nil || strings.Contains(text, ";") {
			return
		}
		want, err := url.ParseQuery(text)
		if err != nil {
			t.Fatalf("%q: accepted, net/url says %v", text, err)
		}
		for name, value := range got {
			if want.Get(name) != value || len(want[name]) > 1 {
				t.Errorf("%q: %s = %q, net/url reads %q", text, name, value, want[name])
			}
		}
	})
}
