package wstrust_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/federation"
	"sallyport/federation/web"
	"sallyport/federation/wstrust"
)

func TestT01_OffMeansOff(t *testing.T) {
	for _, c := range []struct {
		access  web.Access
		from    string
		allowed bool
	}{
		{web.Off, outsider, false}, {web.Off, colleague, false}, {web.Inside, outsider, false}, {web.Inside, colleague, true},
		{web.Everywhere, outsider, true}, {web.Everywhere, colleague, true},
	} {
		for _, v := range wstrust.Versions() {
			g := newRig(t, nil)
			g.access = c.access
			w := g.send(message{version: v}.String(), v, c.from)
			mex := g.do(httptest.NewRequest("GET", public+wstrust.MexPath, nil), c.from)
			if c.allowed {
				if w.Code != 200 || mex.Code != 200 {
					t.Errorf("access %d from %s: %d, MEX %d", c.access, c.from, w.Code, mex.Code)
				}
				continue
			}
			for _, w := range []*httptest.ResponseRecorder{w, mex} {
				if w.Code != 503 || w.Body.Len() != 0 {
					t.Errorf("access %d from %s: %d %q", c.access, c.from, w.Code, w.Body)
				}
			}
			if g.people.calls() != 0 {
				t.Errorf("access %d from %s: the password was tried", c.access, c.from)
			}
		}
	}
	g := newRig(t, func(c *wstrust.Config) { c.Access = nil })
	if w := g.send(message{}.String(), 0, colleague); w.Code != 503 {
		t.Errorf("without a setting: %d", w.Code)
	}
}

func TestT01_AHeaderMakesNobodyInside(t *testing.T) {
	g := newRig(t, nil)
	g.access = web.Inside
	for _, h := range []string{"X-Forwarded-For: 10.1.2.3", "X-MS-Forwarded-Client-IP: 10.1.2.3", "Forwarded: for=10.1.2.3", "X-MS-Proxy: "} {
		if w := g.send(message{}.String(), 0, outsider, h); w.Code != 503 {
			t.Errorf("%s: %d", h, w.Code)
		}
	}
}

func TestT04_ContentTypes(t *testing.T) {
	for kind, want := range map[string]int{
		"application/soap+xml": 200, "application/soap+xml; charset=utf-8": 200, `Application/SOAP+XML; charset="UTF-8"`: 200,
		`application/soap+xml; charset=utf-8; action="` + trust05 + `/RST/Issue"`: 200, "application/soap+xml; action=" + trust05 + "/RST/Issue": 200,
		"text/xml": 415, "text/xml; charset=utf-8": 415, "application/xml": 415, "application/soap+xml; charset=utf-16": 415, "application/soap+xml; charset=iso-8859-1": 415,
		"multipart/related; type=\"application/xop+xml\"; boundary=x": 415, "application/xop+xml; type=\"application/soap+xml\"": 415,
		"application/x-www-form-urlencoded": 415, "application/json": 415, "application/soap+msbin1": 415, "text/html": 415, "application/fastinfoset": 415, "": 415, ";": 415,
	} {
		g := newRig(t, nil)
		w := g.send(message{}.String(), 0, outsider, "Content-Type: "+kind)
		if w.Code != want || want == 415 && (w.Body.Len() != 0 || g.people.calls() != 0) {
			t.Errorf("%q: %d %.80q, want %d", kind, w.Code, w.Body, want)
		}
	}
	g := newRig(t, nil)
	if w := g.send(message{}.String(), 0, outsider, "Content-Encoding: gzip"); w.Code != 415 {
		t.Errorf("compressed: %d", w.Code)
	}
	r := httptest.NewRequest("POST", public+wstrust.Feb2005.Path(), strings.NewReader(message{}.String()))
	r.Header["Content-Type"] = []string{"application/soap+xml", "application/soap+xml"}
	if w := g.do(r, outsider); w.Code != 415 {
		t.Errorf("two content types: %d", w.Code)
	}
}

func TestH04_SizeAndMethod(t *testing.T) {
	g := newRig(t, nil)
	big := strings.Repeat(" ", 128<<10) + message{}.String()
	if w := g.send(big, 0, outsider); w.Code != 413 || w.Body.Len() != 0 || w.Header().Get("Connection") != "close" {
		t.Errorf("too long: %d %q", w.Code, w.Body)
	}
	r := httptest.NewRequest("POST", public+wstrust.Feb2005.Path(), strings.NewReader(big))
	r.ContentLength = -1 // chunked
	r.Header.Set("Content-Type", "application/soap+xml")
	if w := g.do(r, outsider); w.Code != 413 || w.Body.Len() != 0 {
		t.Errorf("too long in chunks: %d %.80q", w.Code, w.Body)
	}
	for _, method := range []string{"GET", "PUT", "TRACE"} {
		if w := g.do(httptest.NewRequest(method, public+wstrust.Trust13.Path(), nil), outsider); w.Code != 405 || w.Header().Get("Allow") != "POST" || strings.Contains(w.Body.String(), "html") {
			t.Errorf("%s: %d %q", method, w.Code, w.Body)
		}
	}
	if w := g.do(httptest.NewRequest("POST", public+wstrust.MexPath, strings.NewReader("x")), outsider); w.Code != 405 || w.Body.Len() != 0 {
		t.Errorf("POST to MEX: %d", w.Code)
	}
	if w := g.do(httptest.NewRequest("GET", public+"/adfs/nothing", nil), outsider); !strings.Contains(w.Body.String(), "html") {
		t.Error("another route has no page for people any more")
	}
}

func TestRoutesInAnyCase(t *testing.T) {
	g := newRig(t, nil)
	for _, path := range []string{"/ADFS/Services/Trust/2005/UserNameMixed", "/adfs/services/trust/2005/usernamemixed/", "//adfs/services/trust/2005/usernamemixed"} {
		r := httptest.NewRequest("POST", public+"/", strings.NewReader(message{}.String()))
		r.URL.Path = path
		r.Header.Set("Content-Type", "application/soap+xml")
		if w := g.do(r, outsider); w.Code != 200 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// refusals are all reasons for which a pipeline refuses.
func refusals() (all []authn.Reason) {
	for _, r := range authn.Reasons() {
		if r != authn.Accepted && !r.Undecided() {
			all = append(all, r)
		}
	}
	return all
}

var changing = regexp.MustCompile(`\[ref [0-9A-Z]{4}-[0-9A-Z]{4}\]`)

func TestT07_OneFaultForEveryRefusal(t *testing.T) {
	for _, v := range wstrust.Versions() {
		var first string
		for _, reason := range refusals() {
			for _, from := range []string{outsider, colleague} {
				g := newRig(t, nil)
				acc := account("alice@contoso.test")
				if reason == authn.UnknownUser {
					acc = nil
				}
				g.people.verdict["alice@contoso.test"] = authn.Result{Reason: reason, Account: acc, Cause: errors.New("the cause"), RetryAfter: time.Minute}
				w := g.send(message{version: v, id: "urn:uuid:1"}.String(), v, from)
				f := readFault(t, w)
				if f.Code != "s:Sender" || f.Subcode != "a:FailedAuthentication" || f.RelatesTo != "urn:uuid:1" ||
					!strings.HasPrefix(f.Text, "ID3242: The security token could not be authenticated or authorized. [ref ") {
					t.Errorf("%v: %+v", reason, f)
				}
				masked := changing.ReplaceAllString(w.Body.String(), "[ref XXXX-XXXX]") + "\n"
				for name := range w.Header() {
					masked += name + ": " + w.Header().Get(name) + "\n"
				}
				if first == "" {
					first = sorted(masked)
				}
				if sorted(masked) != first {
					t.Errorf("%v from %s differs:\n%s\n%s", reason, from, masked, first)
				}
				if strings.Contains(w.Body.String(), "cause") || strings.Contains(w.Body.String(), reason.String()) {
					t.Errorf("%v: the answer tells why", reason)
				}
			}
		}
	}
}

func sorted(s string) string {
	lines := strings.Split(s, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestT07_AnAcceptedPersonWithoutATokenIsRefusedLikeOthers: that the password was right
// shows neither in the answer nor in the time, which is on the schedule of refusals.
func TestT07_AnAcceptedPersonWithoutATokenIsRefusedLikeOthers(t *testing.T) {
	const ms = time.Millisecond
	for judged, want := range map[time.Duration]time.Duration{0: 400 * ms, 7 * ms: 400 * ms, 433 * ms: 450 * ms} {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, nil)
			g.people.took = judged
			begun := time.Now()
			w := g.send(message{name: "mallory@other.test"}.String(), 0, outsider) // a domain that is not federated
			if got := subcode(t, w); got != "Sender FailedAuthentication" {
				t.Errorf("%s", got)
			}
			if took := time.Since(begun); took != want {
				t.Errorf("judged in %v, refused after %v and not %v", judged, took, want)
			}
			if e := g.trail.last(); e.Code != audit.TokenRefused || e.Reason != "not_ready" || e.Account == "" {
				t.Errorf("audit %+v", e)
			}
		})
	}
}

func TestC14_ExpiredIsToldOnlyInsideAndOnlyWhenSet(t *testing.T) {
	for _, reason := range []authn.Reason{authn.PasswordExpired, authn.MustChange} {
		for _, c := range []struct {
			tell bool
			from string
			want bool
		}{{false, colleague, false}, {true, outsider, false}, {true, colleague, true}} {
			g := newRig(t, nil)
			g.tell = c.tell
			g.people.verdict["alice@contoso.test"] = authn.Result{Reason: reason, Account: account("alice@contoso.test")}
			f := readFault(t, g.send(message{}.String(), 0, c.from))
			if got := strings.Contains(f.Text, " The password has expired. [ref "); got != c.want || f.Subcode != "a:FailedAuthentication" || !strings.HasPrefix(f.Text, "ID3242:") {
				t.Errorf("%v, tell %v, from %s: %+v", reason, c.tell, c.from, f)
			}
		}
	}
	g := newRig(t, nil)
	g.tell = true
	if f := readFault(t, g.send(message{password: "wrong"}.String(), 0, colleague)); strings.Contains(f.Text, "expired") {
		t.Errorf("a wrong password: %+v", f)
	}
}

func TestOurSidesTroubleIsAnotherFault(t *testing.T) {
	for _, reason := range []authn.Reason{authn.NoVerdict, authn.Unavailable, authn.Misconfigured} {
		g := newRig(t, nil)
		g.people.verdict["alice@contoso.test"] = authn.Result{Reason: reason, Cause: errors.New("dc1 is down")}
		for range 2 { // nothing is remembered of it
			f := readFault(t, g.send(message{id: "1"}.String(), 0, outsider))
			if f.Code != "s:Receiver" || f.Subcode != "a:RequestFailed" || !strings.HasPrefix(f.Text, "MSIS3127: The specified request failed. [ref ") {
				t.Errorf("%v: %+v", reason, f)
			}
		}
		if g.people.calls() != 2 {
			t.Errorf("%v: asked %d times", reason, g.people.calls())
		}
	}
	g := newRig(t, nil)
	g.people.verdict["alice@contoso.test"] = authn.Result{Reason: authn.Busy}
	if w := g.send(message{}.String(), 0, outsider); w.Code != 503 || w.Header().Get("Retry-After") != "30" || !strings.Contains(w.Body.String(), "a:RequestFailed") {
		t.Errorf("busy: %d %v %s", w.Code, w.Header(), w.Body)
	}
	g = newRig(t, nil)
	g.trail.refuse = audit.TokenIssued
	w := g.send(message{}.String(), 0, outsider)
	if got := subcode(t, w); got != "Receiver RequestFailed" || strings.Contains(w.Body.String(), "Assertion") {
		t.Errorf("no record, and a token: %s %s", got, w.Body)
	}
}

func TestAPanicIsAFault(t *testing.T) {
	g := newRig(t, func(c *wstrust.Config) { c.Party = func(string) *federation.RelyingParty { panic("defect") } })
	w := g.send(message{}.String(), 0, outsider)
	if got := subcode(t, w); got != "Receiver RequestFailed" || strings.Contains(w.Body.String(), "defect") {
		t.Errorf("%s %s", got, w.Body)
	}
}

func TestRecordsHaveTheLevelOfTheProblem(t *testing.T) {
	g := newRig(t, nil)
	g.send(message{password: "wrong"}.String(), 0, outsider)
	if s := g.log.String(); !strings.Contains(s, "level=WARN") || strings.Contains(s, "level=ERROR") || !strings.Contains(s, "wrong_password") {
		t.Errorf("a wrong password: %s", s)
	}
	g = newRig(t, nil)
	g.people.verdict["alice@contoso.test"] = authn.Result{Reason: authn.Unavailable}
	g.send(message{}.String(), 0, outsider)
	if s := g.log.String(); !strings.Contains(s, "level=ERROR") {
		t.Errorf("a directory that is down: %s", s)
	}
}

func TestL07_ThePasswordArrivesByteForByte(t *testing.T) {
	for _, secret := range []string{
		"plain", " leading", "trailing ", "  both  ", "tab\tinside", "line\nfeed", "return\rhere", "both\r\nhere", `"<>&'`, "emoji \U0001F511", "e\u0301", "\u00e9", "ＦＵＬＬ", "ß", "İ",
		strings.Repeat("x", 127), strings.Repeat("x", 256), strings.Repeat("é", 256), strings.Repeat("x", 257), "\u00a0", "]]>", "<!-- -->", "&amp;",
	} {
		spelled := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#13;", "\t", "&#9;").Replace(secret)
		for _, v := range wstrust.Versions() {
			g := newRig(t, nil)
			g.send(message{version: v, password: spelled}.String(), v, outsider)
			g.people.mu.Lock()
			if len(g.people.secrets) != 1 || g.people.secrets[0] != "alice@contoso.test\x00"+secret {
				t.Errorf("%q became %q", secret, g.people.secrets)
			}
			g.people.mu.Unlock()
		}
	}
	// XML cannot carry it in any spelling: refused before the directory is asked.
	refuseAll(t, []variant{
		{"NUL", m13("p&amp;w", "p&#0;w"), "Sender InvalidRequest"}, {"NUL byte", m13("p&amp;w", "p\x00w"), "Sender InvalidRequest"},
		{"a control character", m13("p&amp;w", "p&#1;w"), "Sender InvalidRequest"}, {"half a surrogate", m13("p&amp;w", "p&#xD800;w"), "Sender InvalidRequest"},
	})
}

func TestL08_NoSecretInLogsAuditOrAnswers(t *testing.T) {
	const canary = "canary-7f3a9c-password"
	for _, body := range []string{
		message{password: canary}.String(), message{password: canary, audience: "urn:unknown"}.String(), message{password: canary, action: "urn:x"}.String(),
		message{password: canary, security: "<x/>"}.String(), message{password: canary}.String() + "<", message{password: canary + "<b>", id: "1"}.String(),
		message{name: canary, password: "x<" + canary}.String(),
	} {
		g := newRig(t, nil)
		w := g.send(body, 0, outsider)
		all := w.Body.String() + g.log.String()
		for i := range g.trail.events {
			all += g.trail.events[i].Detail + g.trail.events[i].Typed + g.trail.events[i].Reason
		}
		if strings.Contains(all, canary) {
			t.Errorf("the password is in %s", all)
		}
	}
}

func TestAttemptCarriesWhatTheEdgeKnows(t *testing.T) {
	g := newRig(t, nil)
	g.send(message{audience: "https://login.windows.net/"}.String(), 0, colleague, "client-request-id: 6f2c1f0e-9d57-4f6b-8a53-0d9e6a0b7c11")
	at := g.people.asked[0]
	if at.Protocol != "wstrust" || at.Party != "https://login.windows.net/" || at.Client.String() != colleague || !at.Inside || at.Reference == "" ||
		at.CorrelationID != "6f2c1f0e-9d57-4f6b-8a53-0d9e6a0b7c11" {
		t.Errorf("%+v", at)
	}
}

func TestRefusedRequestsAreAudited(t *testing.T) {
	for body, want := range map[string]string{
		message{audience: "urn:x"}.String(): "unknown_party", "<": "invalid_request", message{action: "urn:x"}.String(): "action",
		message{created: now.Add(-time.Hour)}.String(): "invalid_security",
	} {
		g := newRig(t, nil)
		g.send(body, 0, outsider)
		if e := g.trail.last(); e.Code != audit.RequestRefused || e.Reason != want || e.Reference == "" || e.Client != outsider || e.Detail == "" {
			t.Errorf("%s: %+v", want, e)
		}
	}
}

func TestNewSaysWhatIsMissing(t *testing.T) {
	if _, err := wstrust.New(wstrust.Config{}); err == nil {
		t.Error("nothing is needed")
	}
	var good wstrust.Config
	newRig(t, func(c *wstrust.Config) { good = *c })
	for name, spoil := range map[string]func(*wstrust.Config){
		"short key": func(c *wstrust.Config) { c.Key = c.Key[:16] }, "http": func(c *wstrust.Config) { c.PublicURL = "http://sts.contoso.test" },
		"path": func(c *wstrust.Config) { c.PublicURL += "/x" }, "no audit": func(c *wstrust.Config) { c.Audit = nil },
	} {
		c := good
		spoil(&c)
		if _, err := wstrust.New(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

var _ http.Handler = (*rig)(nil)
