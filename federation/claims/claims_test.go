package claims_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/authn"
	"sallyport/federation"
	"sallyport/federation/claims"
	"sallyport/federation/token"
)

func TestMicrosoft365Set(t *testing.T) {
	a, err := engine(t, nil).For(t.Context(), microsoft365(), alice(func(s *federation.Subject) {
		s.Persistent, s.InsideNetwork = true, true
		s.Account.PasswordExpires = now.Add(36 * time.Hour)
	}))
	if err != nil {
		t.Fatal(err)
	}
	const anchor = "MyIRAFVEd2aImaq7zN3u/w=="
	const ppt = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
	want := &token.Assertion{
		Version: federation.SAML11, Issuer: "http://contoso.test/adfs/services/trust/", IssueInstant: now, NotBefore: now.Add(-30 * time.Second),
		NotOnOrAfter: now.Add(time.Hour - 30*time.Second), Audience: "urn:federation:MicrosoftOnline", NameID: anchor,
		NameIDFormat: "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified", AuthnMethod: ppt, AuthnInstant: now.Add(-2 * time.Minute),
		Attributes: []token.Attribute{
			{Name: "UPN", Namespace: "http://schemas.xmlsoap.org/claims", Values: []string{"alice@contoso.test"}},
			{Name: "ImmutableID", Namespace: "http://schemas.microsoft.com/LiveID/Federation/2008/05", Values: []string{anchor}},
			{Name: "primarysid", Namespace: "http://schemas.microsoft.com/ws/2008/06/identity/claims", Values: []string{"S-1-5-21-1-2-3-1104"}},
			{Name: "insidecorporatenetwork", Namespace: "http://schemas.microsoft.com/ws/2012/01", Values: []string{"true"},
				OriginalIssuer: "CLIENT CONTEXT", Boolean: true},
			{Name: "psso", Namespace: "http://schemas.microsoft.com/2014/03", Values: []string{"true"}},
			{Name: "passwordexpirationtime", Namespace: "http://schemas.microsoft.com/ws/2012/01", Values: []string{"129600"}},
			{Name: "passwordexpirationdays", Namespace: "http://schemas.microsoft.com/ws/2012/01", Values: []string{"1"}},
			{Name: "passwordchangeurl", Namespace: "http://schemas.microsoft.com/ws/2012/01", Values: []string{"https://sts.contoso.test/adfs/portal/updatepassword/"}},
			{Name: "authnmethodsreferences", Namespace: "http://schemas.microsoft.com/claims", Values: []string{ppt}},
		},
	}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Error(diff)
	}
}

func TestC15_SourceAnchor(t *testing.T) {
	e := engine(t, nil)
	raw := func(s string) []byte {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const ownGUID = "MyIRAFVEd2aImaq7zN3u/w=="
	for _, c := range []struct {
		name        string
		consistency []byte
		want, warn  string
	}{
		{"guid16", raw("7u7u7u7u7u7u7u7u7u7u7g=="), "7u7u7u7u7u7u7u7u7u7u7g==", ""},
		{"ascii36", []byte("00112233-4455-6677-8899-aabbccddeeff"), "MDAxMTIyMzMtNDQ1NS02Njc3LTg4OTktYWFiYmNjZGRlZWZm", "written as text"},
		{"ascii32", []byte("00112233445566778899aabbccddeeff"), "MDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2NkZGVlZmY=", "written as text"},
		{"short8", raw("MyIRAFVEd2Y="), "MyIRAFVEd2Y=", "8 bytes"},
		{"long20", raw("MyIRAFVEd2aImaq7zN3u/wAAAAE="), "MyIRAFVEd2aImaq7zN3u/wAAAAE=", "20 bytes"},
		{"high", raw("++++Pvff////v++++++++w=="), "++++Pvff////v++++++++w==", ""},
		{"none", nil, ownGUID, ""},
		{"empty", []byte{}, ownGUID, ""},
	} {
		sub := alice(func(s *federation.Subject) { s.Account.ConsistencyGUID = c.consistency })
		a, err := e.For(t.Context(), microsoft365(), sub)
		if err != nil || a.NameID != c.want || claim(a, claims.TypeImmutableID)[0] != c.want {
			t.Errorf("%s: %+v %v, want %s", c.name, a, err, c.want)
		}
		if warn := claims.AnchorWarning(sub.Account); c.warn == "" && warn != "" || !strings.Contains(warn, c.warn) {
			t.Errorf("%s: warning %q", c.name, warn)
		}
	}
	// A tenant that was set up for objectGUID.
	own := engine(t, func(c *claims.Config) {
		c.Domains = []claims.Domain{{Name: "contoso.test", Issuer: "urn:x", ObjectGUID: true}}
	})
	a, err := own.For(t.Context(), microsoft365(), alice(func(s *federation.Subject) { s.Account.ConsistencyGUID = []byte("x") }))
	if err != nil || a.NameID != ownGUID {
		t.Errorf("objectGUID: %v %v", a, err)
	}
}

func TestI06_SharedAnchorRefusesBoth(t *testing.T) {
	shared := []byte("0123456789abcdef")
	accounts := map[string]*authn.Account{}
	look := anchors(func(acc *authn.Account, anchor []byte) ([]string, error) {
		var others []string
		for _, o := range accounts {
			if o.ID != acc.ID && bytes.Equal(o.SourceAnchor(), anchor) {
				others = append(others, o.DN)
			}
		}
		return others, nil
	})
	e := engine(t, func(c *claims.Config) { c.Anchors = look })
	for i, name := range []string{"alice", "bob", "carol"} {
		sub := alice(func(s *federation.Subject) {
			s.Account.ID[0], s.Account.DN, s.Account.UPN = byte(i+1), "CN="+name, name+"@contoso.test"
			if name != "carol" {
				s.Account.ConsistencyGUID = shared
			}
		})
		accounts[name] = sub.Account
	}
	for name, acc := range accounts {
		_, err := e.For(t.Context(), microsoft365(), alice(func(s *federation.Subject) { s.Account = acc }))
		if name == "carol" {
			if err != nil {
				t.Errorf("carol: %v", err)
			}
			continue
		}
		refused(t, err, federation.ProblemNotReady, claims.ErrSharedAnchor)
		if err == nil || !strings.Contains(err.Error(), "CN=alice") || !strings.Contains(err.Error(), "CN=bob") {
			t.Errorf("the cause does not name both: %v", err)
		}
	}
	broken := engine(t, func(c *claims.Config) {
		c.Anchors = anchors(func(*authn.Account, []byte) ([]string, error) { return nil, errors.New("down") })
	})
	_, err := broken.For(t.Context(), microsoft365(), alice(nil))
	refused(t, err, federation.ProblemDirectory, nil)
}

func TestI06_NothingTypedReachesTheToken(t *testing.T) {
	e := engine(t, nil)
	for _, req := range []*federation.SignInRequest{microsoft365(), owa()} {
		req.LoginHint, req.State, req.Query, req.Extra = "mallory@contoso.test", "mallory", "username=mallory", "mallory"
		a, err := e.For(t.Context(), req, alice(nil))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range a.Attributes {
			if strings.Contains(strings.Join(at.Values, " "), "mallory") {
				t.Errorf("%s says %v", at.Name, at.Values)
			}
		}
		if strings.Contains(a.NameID, "mallory") {
			t.Errorf("name identifier %q", a.NameID)
		}
	}
}

func TestI05_OnlyFactsOfThisSignIn(t *testing.T) {
	e := engine(t, nil)
	for _, c := range []struct {
		name   string
		change func(*federation.Subject)
		method string
		inside string
		psso   bool
	}{
		{"password outside", nil, claims.MethodPassword, "false", false},
		{"password inside", func(s *federation.Subject) { s.InsideNetwork = true }, claims.MethodPassword, "true", false},
		{"kept", func(s *federation.Subject) { s.Persistent = true }, claims.MethodPassword, "false", true},
		{"Kerberos", func(s *federation.Subject) { s.Method = authn.MethodKerberos }, claims.MethodWindows, "false", false},
	} {
		a, err := e.For(t.Context(), microsoft365(), alice(c.change))
		if err != nil {
			t.Fatal(err)
		}
		if a.AuthnMethod != c.method || cmp.Diff([]string{c.method}, claim(a, claims.TypeMethods)) != "" ||
			cmp.Diff([]string{c.inside}, claim(a, claims.TypeInside)) != "" || (claim(a, claims.TypePersistent) != nil) != c.psso {
			t.Errorf("%s: %+v", c.name, a)
		}
		if !a.AuthnInstant.Equal(now.Add(-2 * time.Minute)) {
			t.Errorf("%s: instant %v is not the true one", c.name, a.AuthnInstant)
		}
		for _, at := range a.Attributes {
			if strings.Contains(strings.Join(append(at.Values, at.Name, a.AuthnMethod), " "), "multi") {
				t.Errorf("%s: a second factor is claimed: %v", c.name, at)
			}
		}
	}
}

func TestI05_SubjectWithoutProofGetsNothing(t *testing.T) {
	e := engine(t, nil)
	for name, change := range map[string]func(*federation.Subject){
		"no account":   func(s *federation.Subject) { s.Account = nil },
		"zero id":      func(s *federation.Subject) { s.Account.ID = authn.GUID{} },
		"no method":    func(s *federation.Subject) { s.Method = authn.MethodNone },
		"other method": func(s *federation.Subject) { s.Method = 77 },
		"no instant":   func(s *federation.Subject) { s.AuthenticatedAt = time.Time{} },
	} {
		for _, req := range []*federation.SignInRequest{microsoft365(), owa()} {
			if a, err := e.For(t.Context(), req, alice(change)); a != nil || federation.ProblemOf(err) != federation.ProblemInternal {
				t.Errorf("%s: %v %v", name, a, err)
			}
		}
	}
}

func TestI10_StateOfTheAccount(t *testing.T) {
	e := engine(t, nil)
	for state, want := range map[authn.State]federation.Problem{
		authn.StateDisabled: federation.ProblemDisabled, authn.StateAccountExpired: federation.ProblemAccountExpired,
		authn.StateDisabled | authn.StateLocked: federation.ProblemDisabled,
	} {
		_, err := e.For(t.Context(), microsoft365(), alice(func(s *federation.Subject) { s.Account.State = state }))
		refused(t, err, want, nil)
	}
}

func TestPasswordExpiry(t *testing.T) {
	e := engine(t, nil)
	day := 24 * time.Hour
	for _, c := range []struct {
		name   string
		left   time.Duration
		method authn.Method
		want   []string // seconds, days
	}{
		{"14 days", 14 * day, authn.MethodPassword, []string{"1209600", "14"}},
		{"more", 14*day + time.Second, authn.MethodPassword, nil},
		{"last hour", 59 * time.Minute, authn.MethodPassword, []string{"3540", "0"}},
		{"over", 0, authn.MethodPassword, nil},
		{"long over", -day, authn.MethodPassword, nil},
		{"Kerberos", day, authn.MethodKerberos, nil},
	} {
		a, err := e.For(t.Context(), microsoft365(), alice(func(s *federation.Subject) {
			s.Account.PasswordExpires, s.Method = now.Add(c.left), c.method
		}))
		if err != nil {
			t.Fatal(err)
		}
		got := append(claim(a, claims.TypeExpiryTime), claim(a, claims.TypeExpiryDays)...)
		if diff := cmp.Diff(c.want, got); diff != "" || (claim(a, claims.TypeChangeURL) != nil) != (c.want != nil) {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	a, err := e.For(t.Context(), microsoft365(), alice(nil))
	if err != nil || claim(a, claims.TypeExpiryTime) != nil {
		t.Errorf("a password that never expires: %v %v", a, err)
	}
}

func TestI03_EveryRestrictionIsThere(t *testing.T) {
	e := engine(t, nil)
	for _, version := range []federation.TokenType{federation.SAML11, federation.SAML20} {
		for _, req := range []*federation.SignInRequest{microsoft365(), owa()} {
			req.Party.TokenType = version
			a, err := e.For(t.Context(), req, alice(nil))
			if err != nil {
				t.Fatal(err)
			}
			if a.Version != version || a.Issuer == "" || a.NameID == "" || a.Audience != req.Realm || a.AuthnMethod == "" || a.AuthnInstant.IsZero() ||
				a.IssueInstant.IsZero() || a.NotBefore.IsZero() || a.NotOnOrAfter.IsZero() {
				t.Errorf("%+v", a)
			}
			if version == federation.SAML20 {
				if a.Recipient != req.ReplyTo || a.SubjectNotOnOrAfter.Sub(now) > 5*time.Minute || a.SessionIndex != "s1" {
					t.Errorf("%+v", a)
				}
				for _, at := range a.Attributes {
					if !strings.Contains(at.Name, "://") || at.Namespace != "" || at.Format == "" {
						t.Errorf("attribute %+v", at)
					}
				}
			}
		}
	}
}

func TestI04_Lifetime(t *testing.T) {
	e := engine(t, nil)
	for lifetime, want := range map[time.Duration]time.Duration{
		time.Hour: time.Hour, 5 * time.Minute: 5 * time.Minute, 0: time.Hour, 2 * time.Hour: time.Hour, -time.Hour: time.Hour,
	} {
		for _, version := range []federation.TokenType{federation.SAML11, federation.SAML20} {
			req := owa()
			req.Party.TokenLifetime, req.Party.TokenType = lifetime, version
			a, err := e.For(t.Context(), req, alice(nil))
			if err != nil {
				t.Fatal(err)
			}
			if got := a.NotOnOrAfter.Sub(a.NotBefore); got != want || a.IssueInstant.Sub(a.NotBefore) > 5*time.Minute || !a.IssueInstant.Equal(now) {
				t.Errorf("%v: holds %v from %v", lifetime, got, a.NotBefore)
			}
			if version == federation.SAML20 && (a.SubjectNotOnOrAfter.After(now.Add(5*time.Minute)) || a.SubjectNotOnOrAfter.After(a.NotOnOrAfter)) {
				t.Errorf("%v: confirmation until %v", lifetime, a.SubjectNotOnOrAfter)
			}
		}
	}
}

func TestC10_OtherPartiesGetUPNAndSID(t *testing.T) {
	var log bytes.Buffer
	e := engine(t, func(c *claims.Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	a, err := e.For(t.Context(), owa(), alice(nil))
	if err != nil {
		t.Fatal(err)
	}
	if a.Issuer != ownIssuer || a.Audience != "https://mail.contoso.test/owa" || a.NameID != "alice@contoso.test" || types(a) != "upn name primarysid" ||
		claim(a, claims.TypeName)[0] != `CONTOSO\alice` || claim(a, claims.TypePrimarySID)[0] != "S-1-5-21-1-2-3-1104" {
		t.Errorf("%+v", a)
	}
	// A suffix that is not federated matters to Microsoft only.
	if _, err := e.For(t.Context(), owa(), alice(func(s *federation.Subject) { s.Account.UPN = "a@corp.local" })); err != nil {
		t.Error(err)
	}
	_, err = e.For(t.Context(), owa(), alice(func(s *federation.Subject) { s.Account.UPN = "" }))
	refused(t, err, federation.ProblemNotReady, claims.ErrNoUPN)
	// I01: what XML cannot carry refuses the token where it names the person, and
	// is left out elsewhere.
	_, err = e.For(t.Context(), owa(), alice(func(s *federation.Subject) { s.Account.UPN = "a\x02@contoso.test" }))
	refused(t, err, federation.ProblemNotReady, claims.ErrUPN)
	a, err = e.For(t.Context(), owa(), alice(func(s *federation.Subject) { s.Account.SAMAccountName = "a\x02" }))
	if err != nil || types(a) != "upn primarysid" || !strings.Contains(log.String(), `"claim":"name"`) {
		t.Errorf("%v %v, log %s", a, err, log.String())
	}
	a, err = e.For(t.Context(), owa(), alice(func(s *federation.Subject) { s.Account.SID = "" }))
	if err != nil || types(a) != "upn name" {
		t.Errorf("no SID: %v %v", a, err)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	d := func(name, issuer string) claims.Domain { return claims.Domain{Name: name, Issuer: issuer} }
	for name, cfg := range map[string]claims.Config{
		"no issuer":        {},
		"domain twice":     {Issuer: "urn:x", Domains: []claims.Domain{d("a.test", "urn:a"), d("A.test", "urn:b")}},
		"issuer twice":     {Issuer: "urn:x", Domains: []claims.Domain{d("a.test", "urn:a"), d("b.test", "urn:a")}},
		"issuer no URI":    {Issuer: "urn:x", Domains: []claims.Domain{d("a.test", "sts.a.test")}},
		"issuer blank":     {Issuer: "urn:x", Domains: []claims.Domain{d("a.test", "urn:a ")}},
		"domain empty":     {Issuer: "urn:x", Domains: []claims.Domain{d("", "urn:a")}},
		"domain final dot": {Issuer: "urn:x", Domains: []claims.Domain{d("a.test.", "urn:a")}},
	} {
		if _, err := claims.New(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func BenchmarkFor(b *testing.B) {
	e, req, sub := engine(b, nil), microsoft365(), alice(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.For(b.Context(), req, sub); err != nil {
			b.Fatal(err)
		}
	}
}
