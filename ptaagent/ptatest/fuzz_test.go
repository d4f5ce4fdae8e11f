package ptatest_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sallyport/ptaagent/ptatest"
)

// FuzzToken: what is taken is signed with the key: one that was not is refused.
func FuzzToken(f *testing.F) {
	f.Add(v8)
	f.Add(v8[:40])
	f.Add(strings.Replace(v8, "%2f", "/", 1))
	f.Fuzz(func(t *testing.T, s string) {
		_, err := ptatest.JudgeToken(s, printedEndpoint, time.Unix(1767225600-1800, 0), time.Hour)
		if err == nil && s != v8 {
			t.Fatalf("taken: %q", s) // other good ones need the key
		}
	})
}

// FuzzXML: what passes the gate has one root and no document type.
func FuzzXML(f *testing.F) {
	f.Add([]byte(registration("t", "k", "c")))
	f.Add([]byte(`<?xml version="1.0"?><a b="c">x<d/></a>`))
	f.Add([]byte(`<!DOCTYPE a><a/>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if ptatest.ReadXML(b) == nil && !utf8.Valid(b) {
			t.Fatal("not UTF-8")
		}
	})
}

// FuzzClaims: success is said only where the bytes say it.
func FuzzClaims(f *testing.F) {
	f.Add([]byte(v12))
	f.Add([]byte(strings.Replace(v12, "1326", `"EncryptionDataNotFound"`, 1)))
	f.Add([]byte(`[{"ClaimType":"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/authentication","Resource":true,"Right":"http://schemas.xmlsoap.org/ws/2005/05/identity/right/identity"},{"ClaimType":"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name","Resource":"u","Right":"http://schemas.xmlsoap.org/ws/2005/05/identity/right/identity"}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ptatest.ReadClaims(base64.StdEncoding.EncodeToString(b), "u")
		if err != nil {
			return
		}
		var list []struct{ Resource any }
		if json.Unmarshal(b, &list) != nil || len(list) != 2 || (list[0].Resource == true) != v.OK || v.OK == (v.Code != "") {
			t.Fatalf("%q is %+v", b, v)
		}
	})
}

// FuzzEnvelope: the judge of SOAP messages does not panic.
func FuzzEnvelope(f *testing.F) {
	f.Add(vector(v1)[4:])
	f.Add(vector(v2)[4:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if ptatest.ReadEnvelope(b) == nil && len(b) < 10 {
			t.Fatal("an envelope of less than ten bytes")
		}
	})
}

// FuzzCSR: the judge of requests does not panic.
func FuzzCSR(f *testing.F) {
	f.Add("MIIBAA==")
	f.Add("MAA=")
	f.Fuzz(func(t *testing.T, s string) {
		if ptatest.ReadCSR(s) == nil {
			t.Fatal("a request without a signature was taken")
		}
	})
}

// FuzzJSONString: what is written is read as the same text.
func FuzzJSONString(f *testing.F) {
	f.Add("right/\"\\ päss\u2028\x00\x1f")
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		var back string
		if err := json.Unmarshal([]byte(ptatest.JSONString(s)), &back); err != nil || back != s {
			t.Fatalf("%q is read as %q: %v", s, back, err)
		}
	})
}
