package claims_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/federation"
	"sallyport/federation/claims"
	"sallyport/federation/token"
)

var now = time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)

// domains are those of CASES C27.
var domains = []claims.Domain{
	{Name: "contoso.test", Issuer: "http://contoso.test/adfs/services/trust/"},
	{Name: "Fabrikam.test", Issuer: "http://fabrikam.test/adfs/services/trust/"},
	{Name: "emea.fabrikam.test", Issuer: "urn:fabrikam:emea"},
}

const ownIssuer = "http://sts.contoso.test/adfs/services/trust"

func engine(t testing.TB, change func(*claims.Config)) *claims.Engine {
	t.Helper()
	cfg := claims.Config{Issuer: ownIssuer, Domains: domains, PasswordChangeURL: "https://sts.contoso.test/adfs/portal/updatepassword/",
		Now: func() time.Time { return now }}
	if change != nil {
		change(&cfg)
	}
	e, err := claims.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func microsoft365() *federation.SignInRequest {
	rp := &federation.RelyingParty{Key: "microsoft365", Identifiers: []string{federation.MicrosoftOnline}, Microsoft365: true,
		ReplyURLs: []string{"https://login.microsoftonline.com/login.srf"}, TokenType: federation.SAML11, TokenLifetime: time.Hour}
	return &federation.SignInRequest{Protocol: "wsfed", Party: rp, Realm: federation.MicrosoftOnline, ReplyTo: rp.ReplyURLs[0]}
}

func owa() *federation.SignInRequest {
	rp := &federation.RelyingParty{Key: "owa", Identifiers: []string{"https://mail.contoso.test/owa/", "https://mail.contoso.test/owa"},
		ReplyURLs: []string{"https://mail.contoso.test/owa/"}, TokenType: federation.SAML11, TokenLifetime: time.Hour}
	return &federation.SignInRequest{Protocol: "wsfed", Party: rp, Realm: "https://mail.contoso.test/owa", ReplyTo: rp.ReplyURLs[0], LoginHint: "mallory@contoso.test"}
}

// alice signed in with her password two minutes ago, from outside.
func alice(change func(*federation.Subject)) *federation.Subject {
	id, _ := authn.ParseGUID("00112233-4455-6677-8899-aabbccddeeff")
	sub := &federation.Subject{
		Account: &authn.Account{Domain: "corp.contoso.test", NetBIOS: "CONTOSO", ID: id, SID: "S-1-5-21-1-2-3-1104", UPN: "alice@contoso.test",
			DN: "CN=Alice,CN=Users,DC=corp,DC=contoso,DC=test", SAMAccountName: "alice", DisplayName: "Alice Example", ReadAt: now},
		Method: authn.MethodPassword, AuthenticatedAt: now.Add(-2 * time.Minute), SessionStarted: now.Add(-2 * time.Minute), SessionIndex: "s1",
	}
	if change != nil {
		change(sub)
	}
	return sub
}

// claim returns the values of a claim type, nil when it is absent.
func claim(a *token.Assertion, claimType string) []string {
	var found []string
	for _, at := range a.Attributes {
		if at.Namespace+"/"+at.Name == claimType || at.Name == claimType {
			found = append(found, at.Values...)
		}
	}
	return found
}

func types(a *token.Assertion) string {
	var s []string
	for _, at := range a.Attributes {
		s = append(s, at.Name)
	}
	return strings.Join(s, " ")
}

// refused checks the problem and the cause of an error.
func refused(t *testing.T, err error, problem federation.Problem, cause error) {
	t.Helper()
	var fe *federation.Error
	if !errors.As(err, &fe) || fe.Problem != problem || cause != nil && !errors.Is(err, cause) {
		t.Errorf("error %v, want %s with %v", err, problem, cause)
	}
	if fe != nil && fe.Party == nil && fe.Problem == federation.ProblemNotReady {
		t.Error("the error does not name the party")
	}
}

type anchors func(acc *authn.Account, anchor []byte) ([]string, error)

func (f anchors) Sharing(_ context.Context, acc *authn.Account, anchor []byte) ([]string, error) {
	return f(acc, anchor)
}
