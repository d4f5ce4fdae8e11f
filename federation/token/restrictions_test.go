package token_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"

	"sallyport/federation"
	"sallyport/federation/token"
)

// The restrictions that a token must carry, each in its place, and nothing twice.
func TestI03_RestrictionsAreInTheToken(t *testing.T) {
	want := map[federation.TokenType]map[string]string{
		federation.SAML11: {
			"@MajorVersion": "1", "@MinorVersion": "1", "@Issuer": "http://contoso.test/adfs/services/trust/", "@IssueInstant": "2031-03-04T09:15:00.000Z",
			"Conditions@NotBefore": "2031-03-04T09:15:00.000Z", "Conditions@NotOnOrAfter": "2031-03-04T10:15:00.000Z",
			"Conditions/AudienceRestrictionCondition/Audience":                       federation.MicrosoftOnline,
			"AttributeStatement/Subject/NameIdentifier":                              "Z1dQ0m5xkkq0i9h0n7m2Ag==",
			"AttributeStatement/Subject/NameIdentifier@Format":                       "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
			"AttributeStatement/Subject/SubjectConfirmation/ConfirmationMethod":      "urn:oasis:names:tc:SAML:1.0:cm:bearer",
			"AuthenticationStatement@AuthenticationMethod":                           "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
			"AuthenticationStatement@AuthenticationInstant":                          "2031-03-04T09:14:58.310Z",
			"AuthenticationStatement/Subject/NameIdentifier":                         "Z1dQ0m5xkkq0i9h0n7m2Ag==",
			"AuthenticationStatement/Subject/SubjectConfirmation/ConfirmationMethod": "urn:oasis:names:tc:SAML:1.0:cm:bearer",
		},
		federation.SAML20: {
			"@Version": "2.0", "Issuer": "http://sts.contoso.test/adfs/services/trust", "@IssueInstant": "2031-03-04T09:15:00.000Z",
			"Conditions@NotBefore": "2031-03-04T09:14:59.000Z", "Conditions@NotOnOrAfter": "2031-03-04T10:15:00.000Z",
			"Conditions/AudienceRestriction/Audience": "https://wiki.fabrikam.test/saml",
			"Subject/NameID":                     "alice@contoso.test",
			"Subject/NameID@Format":              "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
			"Subject/SubjectConfirmation@Method": "urn:oasis:names:tc:SAML:2.0:cm:bearer",
			"Subject/SubjectConfirmation/SubjectConfirmationData@Recipient":    "https://wiki.fabrikam.test/saml/acs?a=1&b=2",
			"Subject/SubjectConfirmation/SubjectConfirmationData@InResponseTo": "_request1",
			"Subject/SubjectConfirmation/SubjectConfirmationData@NotOnOrAfter": "2031-03-04T09:20:00.000Z",
			"AuthnStatement@AuthnInstant":                                      "2031-03-04T09:15:00.000Z",
			"AuthnStatement@SessionIndex":                                      "_s1",
			"AuthnStatement/AuthnContext/AuthnContextClassRef":                 "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
		},
	}
	for name, build := range versions() {
		t.Run(name, func(t *testing.T) {
			a := build()
			doc, err := newSigner(t).AppendAssertion(nil, a)
			if err != nil {
				t.Fatal(err)
			}
			d := etree.NewDocument()
			if err := d.ReadFromBytes(doc); err != nil {
				t.Fatal(err)
			}
			for path, want := range want[a.Version] {
				elem, attr, isAttr := strings.Cut(path, "@")
				found := []*etree.Element{d.Root()}
				if elem != "" {
					found = d.Root().FindElements("./" + elem)
				}
				if len(found) != 1 {
					t.Errorf("%d elements %s, want 1", len(found), elem)
					continue
				}
				got := found[0].Text()
				if isAttr {
					got = found[0].SelectAttrValue(attr, "(absent)")
				}
				if got != want {
					t.Errorf("%s is %q, want %q", path, got, want)
				}
			}
			if regexp.MustCompile(`[\r\n\t]|> +<|^\s|\s$`).Match(doc) {
				t.Error("white space between the elements")
			}
			for _, absent := range []string{"NameQualifier", "SubjectLocality", "AuthorityBinding", "Address", "<?xml", "\ufeff"} {
				if bytes.Contains(doc, []byte(absent)) {
					t.Errorf("%s is in the token", absent)
				}
			}
		})
	}
}

// The two Subjects of a SAML 1.1 token are the same bytes, statements stand in AD
// FS's order, and the attributes carry AD FS's marks.
func TestSAML11LooksAsADFSWritesIt(t *testing.T) {
	doc, err := newSigner(t).AppendAssertion(nil, entra11())
	if err != nil {
		t.Fatal(err)
	}
	subjects := regexp.MustCompile(`<saml:Subject>.*?</saml:Subject>`).FindAll(doc, -1)
	if len(subjects) != 2 || !bytes.Equal(subjects[0], subjects[1]) {
		t.Errorf("subjects: %q", subjects)
	}
	d := etree.NewDocument()
	if err := d.ReadFromBytes(doc); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, c := range d.Root().ChildElements() {
		order = append(order, c.Tag)
	}
	if diff := cmp.Diff([]string{"Conditions", "AttributeStatement", "AuthenticationStatement", "Signature"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	at := d.Root().FindElement("./AttributeStatement/Attribute[@AttributeName='insidecorporatenetwork']")
	if got := at.SelectAttr("a:OriginalIssuer"); got == nil || got.Value != "CLIENT CONTEXT" || got.NamespaceURI() != "http://schemas.xmlsoap.org/ws/2009/09/identity/claims" {
		t.Errorf("mark of the original issuer: %v", got)
	}
	value := at.ChildElements()[0]
	if got := value.SelectAttr("b:type"); got == nil || got.Value != "tn:boolean" || got.NamespaceURI() != "http://www.w3.org/2001/XMLSchema-instance" {
		t.Errorf("mark of the type: %v", got)
	}
	if got := value.SelectAttrValue("xmlns:tn", ""); got != "http://www.w3.org/2001/XMLSchema" {
		t.Errorf("prefix tn is bound to %q", got)
	}
	methods := d.Root().FindElement("./AttributeStatement/Attribute[@AttributeName='authnmethodsreferences']")
	if n := len(methods.ChildElements()); n != 2 {
		t.Errorf("%d values in one attribute, want 2", n)
	}
}

func TestI03_IncompleteAssertionIsRefused(t *testing.T) {
	s := newSigner(t)
	for name, spoil := range map[string]func(a *token.Assertion){
		"Issuer":              func(a *token.Assertion) { a.Issuer = "" },
		"Audience":            func(a *token.Assertion) { a.Audience = "" },
		"NameID":              func(a *token.Assertion) { a.NameID = "" },
		"AuthnMethod":         func(a *token.Assertion) { a.AuthnMethod = "" },
		"IssueInstant":        func(a *token.Assertion) { a.IssueInstant = time.Time{} },
		"AuthnInstant":        func(a *token.Assertion) { a.AuthnInstant = time.Time{} },
		"NotBefore":           func(a *token.Assertion) { a.NotBefore = time.Time{} },
		"NotOnOrAfter":        func(a *token.Assertion) { a.NotOnOrAfter = time.Time{} },
		"Version":             func(a *token.Assertion) { a.Version = 0 },
		"ID":                  func(a *token.Assertion) { a.ID = `a" b="c` },
		"Attributes[0]":       func(a *token.Assertion) { a.Attributes[0].Name = "" },
		"Recipient":           func(a *token.Assertion) { a.Recipient = "" },
		"InResponseTo":        func(a *token.Assertion) { a.InResponseTo = `x" y="` },
		"SubjectNotOnOrAfter": func(a *token.Assertion) { a.SubjectNotOnOrAfter = time.Time{} },
		"attribute IDPEmail":  func(a *token.Assertion) { a.Attributes[0].Values = nil },
		"attribute UPN":       func(a *token.Assertion) { a.Attributes[0].Namespace = "" },
	} {
		a := wiki20()
		if name == "attribute UPN" {
			a = entra11()
		}
		if _, err := s.AppendAssertion(nil, a); err != nil {
			t.Fatalf("%s: before it was spoilt: %v", name, err)
		}
		spoil(a)
		for way, write := range map[string]func([]byte, *token.Assertion) ([]byte, error){"assertion": s.AppendAssertion, "RSTR": s.AppendRSTR} {
			doc, err := write(nil, a)
			var e *token.FieldError
			if !errors.As(err, &e) || !errors.Is(err, token.ErrIncomplete) || e.Field != name || len(doc) != 0 {
				t.Errorf("%s of %s: %v, %d bytes", way, name, err, len(doc))
			}
		}
	}
}

func TestI04_TimeLimits(t *testing.T) {
	s := newSigner(t)
	for name, c := range map[string]struct {
		spoil func(a *token.Assertion)
		ok    bool
	}{
		"60 minutes":                  {func(a *token.Assertion) { a.NotOnOrAfter = instant.Add(60 * time.Minute) }, true},
		"a nanosecond more":           {func(a *token.Assertion) { a.NotOnOrAfter = instant.Add(60*time.Minute + 1) }, false},
		"over at once":                {func(a *token.Assertion) { a.NotOnOrAfter = instant }, false},
		"back-dated 5 minutes":        {func(a *token.Assertion) { a.NotBefore = instant.Add(-5 * time.Minute) }, true},
		"back-dated more":             {func(a *token.Assertion) { a.NotBefore = instant.Add(-5*time.Minute - 1) }, false},
		"not yet valid":               {func(a *token.Assertion) { a.NotBefore = instant.Add(1) }, false},
		"confirmation 5 minutes":      {func(a *token.Assertion) { a.SubjectNotOnOrAfter = instant.Add(5 * time.Minute) }, true},
		"confirmation longer":         {func(a *token.Assertion) { a.SubjectNotOnOrAfter = instant.Add(5*time.Minute + 1) }, false},
		"confirmation over at once":   {func(a *token.Assertion) { a.SubjectNotOnOrAfter = instant }, false},
		"a year that has no 4 digits": {func(a *token.Assertion) { a.AuthnInstant = time.Date(12031, 1, 1, 0, 0, 0, 0, time.UTC) }, false},
	} {
		a := wiki20()
		c.spoil(a)
		if _, err := s.AppendAssertion(nil, a); c.ok != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	a := wiki20() // another zone is the same instant
	a.IssueInstant = instant.In(time.FixedZone("x", 3*3600))
	doc, err := s.AppendAssertion(nil, a)
	if err != nil || !bytes.Contains(doc, []byte(`IssueInstant="2031-03-04T09:15:00.000Z"`)) {
		t.Errorf("time in another zone: %v\n%s", err, doc)
	}
}

func TestI07_IdsAreFresh(t *testing.T) {
	form := regexp.MustCompile(`^_[0-9a-f]{40}$`)
	const workers, each = 4, 50_000 / slowdown
	ids := make([][]string, workers)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			for range each {
				ids[i] = append(ids[i], token.NewID())
			}
		})
	}
	wg.Wait()
	seen := make(map[string]bool, workers*each)
	bits := make([]int, 160)
	for _, list := range ids {
		for _, id := range list {
			if !form.MatchString(id) || seen[id] {
				t.Fatalf("id %s: wrong form or not fresh", id)
			}
			seen[id] = true
			if len(seen) > 2000 {
				continue
			}
			raw, err := hex.DecodeString(id[1:])
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range raw {
				for b := range 8 {
					bits[8*i+b] += int(c >> b & 1)
				}
			}
		}
	}
	// Each of at least 128 bits must be free: about half of 2,000 ids have it.
	for i, n := range bits {
		if n < 800 || n > 1200 {
			t.Errorf("bit %d is set in %d of 2,000 ids", i, n)
		}
	}
	a, b := entra11(), entra11()
	for _, x := range []*token.Assertion{a, b} {
		if _, err := newSigner(t).AppendAssertion(nil, x); err != nil {
			t.Fatal(err)
		}
	}
	if a.ID == b.ID || !form.MatchString(a.ID) {
		t.Errorf("ids of two assertions: %s, %s", a.ID, b.ID)
	}
}

// Other processes must not make the same ids: this test runs itself.
func TestI07_IdsOfOtherProcesses(t *testing.T) {
	if os.Getenv("SALLYPORT_PRINT_IDS") == "1" {
		for range 1000 {
			fmt.Println(token.NewID())
		}
		return
	}
	seen := map[string]bool{}
	for range 4 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestI07_IdsOfOtherProcesses$")
		cmd.Env = append(os.Environ(), "SALLYPORT_PRINT_IDS=1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(out)) {
			if strings.HasPrefix(line, "_") {
				n++
				if seen[line] {
					t.Fatalf("id %s came twice", line)
				}
				seen[line] = true
			}
		}
		if n != 1000 {
			t.Fatalf("%d ids", n)
		}
	}
}

func TestRSTR(t *testing.T) {
	for name, build := range versions() {
		t.Run(name, func(t *testing.T) {
			a := build()
			s := newSigner(t)
			doc, err := s.AppendRSTR([]byte("kept"), a)
			if err != nil {
				t.Fatal(err)
			}
			text, ok := strings.CutPrefix(string(doc), "kept")
			if !ok {
				t.Fatal("what stood in the buffer is gone")
			}
			alone, err := s.AppendAssertion(nil, a)
			if err != nil {
				t.Fatal(err)
			}
			tokenType := "urn:oasis:names:tc:SAML:1.0:assertion"
			if a.Version == federation.SAML20 {
				tokenType = "urn:oasis:names:tc:SAML:2.0:assertion"
			}
			const wsu = `xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"`
			want := `<t:RequestSecurityTokenResponse xmlns:t="http://schemas.xmlsoap.org/ws/2005/02/trust"><t:Lifetime><wsu:Created ` + wsu + `>` +
				a.NotBefore.Format("2006-01-02T15:04:05.000Z") + `</wsu:Created><wsu:Expires ` + wsu + `>2031-03-04T10:15:00.000Z</wsu:Expires></t:Lifetime>` +
				`<wsp:AppliesTo xmlns:wsp="http://schemas.xmlsoap.org/ws/2004/09/policy"><wsa:EndpointReference xmlns:wsa="http://www.w3.org/2005/08/addressing">` +
				`<wsa:Address>` + a.Audience + `</wsa:Address></wsa:EndpointReference></wsp:AppliesTo><t:RequestedSecurityToken>` + string(alone) +
				`</t:RequestedSecurityToken><t:TokenType>` + tokenType + `</t:TokenType><t:RequestType>http://schemas.xmlsoap.org/ws/2005/02/trust/Issue</t:RequestType>` +
				`<t:KeyType>http://schemas.xmlsoap.org/ws/2005/05/identity/NoProofKey</t:KeyType></t:RequestSecurityTokenResponse>`
			if diff := cmp.Diff(want, text); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if err := verifyXMLSec(t, []byte(text), idAttribute(a.Version), ours().cert); err != nil {
				t.Errorf("xmlsec1 inside the frame: %v", err)
			}
		})
	}
}

// One signer serves many goroutines, and reused memory leaks nothing from one
// token into another.
func TestSignerIsSafeForConcurrentUse(t *testing.T) {
	s := newSigner(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				name := fmt.Sprintf("user%d-%d@contoso.test", i, j)
				a := entra11()
				if j%2 == 0 {
					a = wiki20()
				}
				a.NameID = name
				doc, err := s.AppendAssertion(nil, a)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := verifyDSIG(doc, idAttribute(a.Version), ours().cert); err != nil || !bytes.Contains(doc, []byte(name)) {
					t.Errorf("%s: %v", name, err)
				}
				bad := entra11()
				bad.NameID = "x\x00"
				if _, err := s.AppendAssertion(nil, bad); err == nil {
					t.Error("accepted")
				}
			}
		})
	}
	wg.Wait()
}
