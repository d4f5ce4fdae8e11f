package web_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/federation"
	"sallyport/federation/web"
)

// withBody gives a request a body of n bytes, with Content-Length.
func withBody(r *http.Request, n int) *http.Request {
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(bytes.Repeat([]byte("a"), n))), int64(n)
	return r
}

// chunked hides the length.
func chunked(r *http.Request, n int) *http.Request {
	r = withBody(r, n)
	r.ContentLength = -1
	return r
}

func TestH04_BodiesAndForms(t *testing.T) {
	const form = "Content-Type: application/x-www-form-urlencoded"
	for _, c := range []struct {
		name   string
		r      *http.Request
		want   int
		closed bool
	}{
		{"at the cap", withBody(request("POST", "/adfs/form", "203.0.113.7", form), 64<<10), 200, false},
		{"one more", withBody(request("POST", "/adfs/form", "203.0.113.7", form), 64<<10+1), 413, true},
		{"10 MB", withBody(request("POST", "/adfs/form", "203.0.113.7", form), 10<<20), 413, true},
		{"10 MB that nobody reads", withBody(request("POST", "/adfs/deaf", "203.0.113.7", form), 10<<20), 413, true},
		{"at the cap, chunked", chunked(request("POST", "/adfs/form", "203.0.113.7", form), 64<<10), 200, false},
		{"10 MB, chunked", chunked(request("POST", "/adfs/form", "203.0.113.7", form), 10<<20), 413, true},
		{"multipart", withBody(request("POST", "/adfs/form", "203.0.113.7", "Content-Type: Multipart/Form-Data; boundary=x"), 10), 415, true},
		{"body in a GET", withBody(request("GET", "/adfs/ls/", "203.0.113.7", form), 10), 400, true},
		{"body in a GET, chunked", chunked(request("GET", "/adfs/ls/", "203.0.113.7", form), 10), 400, true},
		{"64 parameters", request("GET", "/adfs/ls/?"+strings.Repeat("a=1&", 63)+"b=2", "203.0.113.7"), 200, false},
		{"65 parameters", request("GET", "/adfs/ls/?"+strings.Repeat("a=1&", 64)+"b=2", "203.0.113.7"), 400, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, nil)
			w := g.do(c.r)
			if w.Code != c.want {
				t.Fatalf("status %d, want %d", w.Code, c.want)
			}
			if got := w.Header().Get("Connection") == "close"; got != c.closed {
				t.Errorf("closed %v, want %v", got, c.closed)
			}
		})
	}
}

func TestK08_BigTicketsFitOnlyNegotiateRoutes(t *testing.T) {
	ticket := "Authorization: Negotiate " + strings.Repeat("Y", 87380)
	for _, c := range []struct {
		name, target string
		headers      []string
		want         int
	}{
		{"ticket on the sign-in route", "/adfs/ls/", []string{ticket}, 200},
		{"ticket elsewhere", "/adfs/portal/assets/a", []string{ticket}, 431},
		{"other header on the sign-in route", "/adfs/ls/", []string{"Cookie: c=" + strings.Repeat("Y", 20<<10)}, 431},
		{"several of less", "/adfs/ls/", []string{ticket, "Cookie: c=" + strings.Repeat("Y", 15<<10)}, 200},
		{"15 KiB elsewhere", "/adfs/portal/assets/a", []string{"Cookie: c=" + strings.Repeat("Y", 15<<10)}, 200},
		{"8 KiB of wctx, every byte encoded", "/adfs/ls/?wctx=" + strings.Repeat("%2f", 8<<10), nil, 200},
		{"target elsewhere", "/adfs/portal/assets/a?x=" + strings.Repeat("a", 17<<10), nil, 431},
		{"target of 33 KiB", "/adfs/ls/?wctx=" + strings.Repeat("a", 33<<10), nil, 414},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, nil)
			if w := g.do(request("GET", c.target, "203.0.113.7", c.headers...)); w.Code != c.want {
				t.Fatalf("status %d, want %d", w.Code, c.want)
			}
		})
	}
}

func TestParseParams(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want web.Params
		bad  bool
	}{
		{raw: ""},
		{raw: "a=1&b=2", want: web.Params{{"a", "1"}, {"b", "2"}}},
		{raw: "a", want: web.Params{{"a", ""}}},
		{raw: "a=&&=b&", want: web.Params{{"a", ""}, {"", "b"}}},
		{raw: "a=b=c", want: web.Params{{"a", "b=c"}}},
		{raw: "a=1+2%2B%2b", want: web.Params{{"a", "1 2++"}}},
		{raw: "urn=urn%3afederation%3AMicrosoftOnline", want: web.Params{{"urn", "urn:federation:MicrosoftOnline"}}},
		{raw: "a=1;b=2", want: web.Params{{"a", "1;b=2"}}},
		{raw: "a=%", bad: true}, {raw: "a=%2", bad: true}, {raw: "a=%zz", bad: true}, {raw: "%zz=a", bad: true},
		{raw: strings.Repeat("n", 129) + "=1", bad: true},
		{raw: strings.Repeat("a=1&", 64) + "a=1", bad: true},
	} {
		got, err := web.ParseParams(c.raw)
		if c.bad != errors.Is(err, web.ErrParams) || err != nil && !c.bad {
			t.Errorf("%.40q: error %v", c.raw, err)
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" && !c.bad {
			t.Errorf("%q: %s", c.raw, diff)
		}
	}
}

func TestParamsAreTakenOnce(t *testing.T) {
	p, err := web.ParseParams("wa=1&wctx=2&WCTX=3")
	if err != nil {
		t.Fatal(err)
	}
	if v, ok, err := p.One("WA"); v != "1" || !ok || err != nil {
		t.Errorf("wa: %q %v %v", v, ok, err)
	}
	if _, _, err := p.One("wctx"); !errors.Is(err, web.ErrParams) {
		t.Errorf("wctx in two spellings: %v", err)
	}
	if _, ok, err := p.One("wreply"); ok || err != nil {
		t.Errorf("absent: %v %v", ok, err)
	}
}

func TestFormNeverMergesTheQuery(t *testing.T) {
	g := newRig(t, nil)
	var got url.Values
	var err error
	e, nerr := web.New(web.Config{Trust: trust}, mounts{{Name: "f", Path: "/f", Methods: []string{"POST"}, Handler: func(w http.ResponseWriter, r *http.Request) error {
		if _, err = web.Form(r); err != nil {
			return err
		}
		_ = r.FormValue("a") // parses again, if anything was left to parse
		got = r.Form
		return nil
	}}})
	if nerr != nil {
		t.Fatal(nerr)
	}
	g.Edge = e
	post := func(kind, body string) int {
		r := request("POST", "/f?a=query&b=query", "203.0.113.7", "Content-Type: "+kind)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		return g.do(r).Code
	}
	if code := post("application/x-www-form-urlencoded; charset=utf-8", "a=form"); code != 200 {
		t.Fatalf("status %d, %v", code, err)
	}
	if diff := cmp.Diff(url.Values{"a": {"form"}}, got); diff != "" {
		t.Error(diff)
	}
	for kind, want := range map[string]int{"text/plain": 415, "": 415, "application/json": 415} {
		if code := post(kind, "a=form"); code != want {
			t.Errorf("%q: %d", kind, code)
		}
	}
	if code := post("application/x-www-form-urlencoded", "a=%zz"); code != 400 || federation.ProblemOf(err) != federation.ProblemBadRequest {
		t.Errorf("malformed: %d %v", code, err)
	}
}

func FuzzParseParams(f *testing.F) {
	for _, s := range []string{"", "a=1&b=2", "a=%2f+%41", "&&", "=", "%", "a=1;b", "wa=wsignin1.0&wtrealm=urn%3afederation%3aMicrosoftOnline"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := web.ParseParams(raw)
		if err != nil {
			return
		}
		if len(p) > web.MaxParams {
			t.Fatalf("%d parameters", len(p))
		}
		again, err := web.ParseParams(p.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, again); diff != "" && len(p)+len(again) > 0 {
			t.Fatal(diff)
		}
		// net/url is the judge where it reads the text at all.
		if v, err := url.ParseQuery(raw); err == nil {
			for i := range p {
				if v.Get(p[i].Name) == "" && p[i].Value != "" && len(v[p[i].Name]) < 2 {
					t.Fatalf("net/url reads %v", v)
				}
			}
		}
	})
}
