package web_test

import (
	"strings"
	"testing"

	"sallyport/federation/web"
)

func TestCorrelationIDOnlyAsGUID(t *testing.T) {
	const id = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
	for query, want := range map[string]string{
		"client-request-id=" + id: id, "Client-Request-ID=" + strings.ToUpper(id): id, "client-request-id=%7B" + id + "%7d": id,
		"a=b&client-request-id=" + id + "&c=d": id, "client-request-id=": "", "client-request-id=x": "",
		"client-request-id=" + id + "%0d%0aX": "", "client-request-id=00000000-0000-0000-0000-000000000000": "", "": "",
	} {
		g := newRig(t, nil)
		g.do(request("GET", "/adfs/ls/?"+query, "203.0.113.7"))
		if got := g.last(t).info.CorrelationID; got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
	g := newRig(t, nil)
	g.do(request("GET", "/adfs/ls/", "203.0.113.7", "client-request-id: "+id))
	if got := g.last(t).info.CorrelationID; got != id {
		t.Errorf("header: %q", got)
	}
}

func TestReferenceIsReadableAndRandom(t *testing.T) {
	seen := map[string]bool{}
	letters := map[byte]bool{}
	for range 5000 {
		ref := web.NewReference()
		if !reference.MatchString(ref) || seen[ref] {
			t.Fatalf("reference %q, seen %v", ref, seen[ref])
		}
		seen[ref] = true
		for i := range len(ref) {
			letters[ref[i]] = true
		}
	}
	if len(letters) != 33 {
		t.Errorf("%d of 32 letters and a dash in use", len(letters))
	}
}

func TestFramedRequestsAreKnown(t *testing.T) {
	for dest, want := range map[string]bool{"iframe": true, "frame": true, "document": false, "": false} {
		g := newRig(t, nil)
		g.do(request("GET", "/adfs/ls/", "203.0.113.7", "Sec-Fetch-Dest: "+dest))
		if got := g.last(t).info.Framed; got != want {
			t.Errorf("%q: %v", dest, got)
		}
	}
}
