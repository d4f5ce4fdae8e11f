package domain_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"sallyport/federation/domain"
	"sallyport/federation/domain/graphtest"
)

func TestFederateSendsEveryPropertyAndReadsBack(t *testing.T) {
	w := newWorld(t, func(tc *graphtest.Config, _ *domain.Config) { tc.StaleReads = 4 })
	want := wanted(t, "contoso.test")
	want.Next = certOf(t, "two")
	f, err := w.client.Federate(t.Context(), want)
	must(t, err)
	if !f.Signing.Holds(want.Signing) || !f.Next.Holds(want.Next) {
		t.Error("what was read back holds other certificates")
	}
	if v := w.view(t, want); v.Worst() != domain.Same {
		t.Errorf("differences after federating: %v", v.Reasons(domain.Note))
	}
	writes := w.Writes()
	if len(writes) != 1 {
		t.Fatalf("%d changes were sent", len(writes))
	}
	var sent map[string]any
	must(t, json.Unmarshal([]byte(writes[0].Body), &sent))
	for _, name := range []string{"displayName", "issuerUri", "passiveSignInUri", "activeSignInUri", "metadataExchangeUri", "signOutUri",
		"preferredAuthenticationProtocol", "signingCertificate", "nextSigningCertificate", "promptLoginBehavior"} {
		if sent[name] == nil || sent[name] == "" {
			t.Errorf("%s was not sent", name)
		}
	}
	if sent["federatedIdpMfaBehavior"] != "rejectMfaByFederatedIdp" {
		t.Errorf("federatedIdpMfaBehavior is %v", sent["federatedIdpMfaBehavior"])
	}
	if w.pauses.total() == 0 {
		t.Error("it did not wait for older reads to end")
	}
}

func TestFederateRefusesDomainsThatCannotBe(t *testing.T) {
	w := newWorld(t, nil)
	for text, d := range map[string]graphtest.Domain{
		"default domain":   {Name: "contoso.test", Default: true},
		"initial domain":   {Name: "contoso.test", Initial: true},
		"not verified":     {Name: "contoso.test", Unverified: true},
		"parent":           {Name: "contoso.test", Sub: true},
		"federated alread": {Name: "contoso.test", Federated: true, Settings: map[string]any{"id": graphtest.SettingsID}},
	} {
		w.Put(d)
		_, err := w.client.Federate(t.Context(), wanted(t, "contoso.test"))
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if n := len(w.Writes()); n != 0 {
		t.Errorf("%d changes were sent", n)
	}
}

// What would leave people outside is refused before anything is sent (C24 right 1).
func TestC24_NothingIsSentWithoutCertificateIssuerAndAddress(t *testing.T) {
	w := newWorld(t, nil)
	for name, change := range map[string]func(*domain.Wanted){
		"no certificate":   func(w *domain.Wanted) { w.Signing = nil },
		"no issuer":        func(w *domain.Wanted) { w.Issuer = "" },
		"no address":       func(w *domain.Wanted) { w.PassiveSignInURI = "" },
		"http address":     func(w *domain.Wanted) { w.PassiveSignInURI = "http://sts.contoso.test/adfs/ls/" },
		"address with ?":   func(w *domain.Wanted) { w.PassiveSignInURI += "?x=y" },
		"MFA sent here":    func(w *domain.Wanted) { w.MFA = domain.MFAEnforce },
		"unknown MFA":      func(w *domain.Wanted) { w.MFA = "maybe" },
		"unknown prompt":   func(w *domain.Wanted) { w.PromptLogin = "maybe" },
		"Microsoft's name": func(w *domain.Wanted) { w.Domain = "contoso.onmicrosoft.com" },
	} {
		want := wanted(t, "contoso.test")
		change(want)
		if _, err := w.client.Federate(t.Context(), want); err == nil {
			t.Errorf("%s: was sent", name)
		}
	}
	if n := len(w.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestC24_CertificateIsOneLineOfBase64(t *testing.T) {
	s, err := wanted(t, "contoso.test").Settings()
	must(t, err)
	if strings.ContainsAny(s.SigningCertificate, "\n\r -") || s.SigningCertificate != base64Of(certOf(t, "one")) {
		t.Errorf("certificate %.60q", s.SigningCertificate)
	}
}

// The answer says 500, and the change was made: it is found by reading, and the
// request is not repeated.
func TestC24_CreateThatFailedButDidIt(t *testing.T) {
	for name, fault := range map[string]graphtest.Fault{
		"500": {Method: "POST", Status: 500, After: true}, "503": {Method: "POST", Status: 503, After: true, RetryAfter: "1"},
		"504": {Method: "POST", Status: 504, After: true}, "no answer": {Method: "POST", After: true},
		"no JSON": {Method: "POST", Status: 201, Body: "<html>", After: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.Fail(fault)
			want := wanted(t, "contoso.test")
			_, err := w.client.Federate(t.Context(), want)
			must(t, err)
			if n := len(w.Writes()); n != 1 {
				t.Errorf("%d changes were sent", n)
			}
		})
	}
}

func TestC24_CreateThatFailedAndDidNothing(t *testing.T) {
	w := newWorld(t, nil)
	w.Fail(graphtest.Fault{Method: "POST", Status: 500})
	_, err := w.client.Federate(t.Context(), wanted(t, "contoso.test"))
	if err == nil || !strings.Contains(err.Error(), "still managed: nothing changed") || len(w.Writes()) != 1 {
		t.Errorf("%d changes, error %v", len(w.Writes()), err)
	}
}

// Federated, and the settings cannot be read: the true state and the way out are
// told, and the way out works.
func TestC24_FederatedWithoutSettings(t *testing.T) {
	for name, faults := range map[string][]graphtest.Fault{
		"empty list": nil,
		"list fails": {{Method: "GET", Path: "federationConfiguration", Status: 500, Times: 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			_, _, err := w.client.Read(t.Context(), "contoso.test")
			must(t, err)
			w.Put(graphtest.Domain{Name: "contoso.test"})
			w.Fail(graphtest.Fault{Method: "POST", Status: 500})
			want := wanted(t, "contoso.test")
			// The stand-in federates without settings once the POST was sent.
			w.OnWrite(func() { w.Put(graphtest.Domain{Name: "contoso.test", Federated: true}); w.Fail(faults...) })
			_, err = w.client.Federate(t.Context(), want)
			if !errors.Is(err, domain.ErrUncertain) || !strings.Contains(err.Error(), "domain unfederate contoso.test") {
				t.Fatalf("got %v", err)
			}
			if n := len(w.Writes()); n != 1 {
				t.Errorf("%d changes were sent", n)
			}
			must(t, w.client.Unfederate(t.Context(), "contoso.test"))
			if w.Federated("contoso.test") {
				t.Error("the domain is still federated")
			}
		})
	}
}

func TestThrottledCreateIsSentAgain(t *testing.T) {
	w := newWorld(t, nil)
	w.Fail(graphtest.Fault{Method: "POST", Status: 429, RetryAfter: "3", Times: 2})
	_, err := w.client.Federate(t.Context(), wanted(t, "contoso.test"))
	must(t, err)
	if n := len(w.Writes()); n != 3 {
		t.Errorf("%d requests", n)
	}
}

func TestUpdateFillsBothSlots(t *testing.T) {
	w := newWorld(t, func(tc *graphtest.Config, _ *domain.Config) { tc.StaleReads = 3 })
	want := wanted(t, "contoso.test")
	w.federated(t, want)
	update := func() *domain.Federation {
		t.Helper()
		_, f, err := w.client.Read(t.Context(), "contoso.test")
		must(t, err)
		f, err = w.client.Update(t.Context(), want.Changes(f, false))
		must(t, err)
		return f
	}
	if update(); len(w.Writes()) != 0 {
		t.Error("a change was sent though there was none")
	}
	want.Next = certOf(t, "two") // staged
	if f := update(); !f.Signing.Holds(certOf(t, "one")) || !f.Next.Holds(certOf(t, "two")) {
		t.Error("after staging the slots are wrong")
	}
	want.Signing, want.Next, want.Retiring = certOf(t, "two"), nil, append(want.Retiring, certOf(t, "one")) // promoted
	if f := update(); !f.Signing.Holds(certOf(t, "two")) || !f.Next.Holds(certOf(t, "one")) {
		t.Error("after promoting the slots are wrong: tokens of the key before are still on their way")
	}
	want.Retiring = nil // gone
	if f := update(); !f.Signing.Holds(certOf(t, "two")) || !f.Next.Empty() {
		t.Error("after retiring the key before is still taken")
	}
	if v := w.view(t, want); v.Worst() != domain.Same {
		t.Errorf("differences: %v", v.Reasons(domain.Note))
	}
}

func TestUpdateWhereASlotCannotBeEmptied(t *testing.T) {
	w := newWorld(t, func(tc *graphtest.Config, _ *domain.Config) { tc.KeepsNext = true })
	want := wanted(t, "contoso.test")
	want.Next = certOf(t, "two")
	w.federated(t, want)
	want.Next = nil
	_, f, err := w.client.Read(t.Context(), "contoso.test")
	must(t, err)
	f, err = w.client.Update(t.Context(), want.Changes(f, false))
	must(t, err)
	if !f.Next.Holds(want.Signing) {
		t.Error("the old certificate was not pushed out")
	}
}

func TestUpdateTellsWhatIsNotThere(t *testing.T) {
	w := newWorld(t, nil)
	want := wanted(t, "contoso.test")
	w.federated(t, want)
	_, f, err := w.client.Read(t.Context(), "contoso.test")
	must(t, err)
	want.Next = certOf(t, "two")
	w.Fail(graphtest.Fault{Method: "PATCH", Status: 500})
	if _, err := w.client.Update(t.Context(), want.Changes(f, false)); !errors.Is(err, domain.ErrUncertain) || !errors.Is(err, domain.ErrStale) {
		t.Errorf("failed change: %v", err)
	}
	w.Fail(graphtest.Fault{Method: "PATCH", Status: 500, After: true})
	if _, err := w.client.Update(t.Context(), want.Changes(f, false)); err != nil {
		t.Errorf("failed change that was made: %v", err)
	}
	w.Fail(graphtest.Fault{Method: "PATCH", Status: 409})
	want.Next = certOf(t, "three")
	_, err = w.client.Update(t.Context(), want.Changes(f, false))
	var e *domain.Error
	if !errors.As(err, &e) || e.Status != 409 {
		t.Errorf("conflict: %v", err)
	}
}

func TestUpdateOfEverything(t *testing.T) {
	w := newWorld(t, nil)
	want := wanted(t, "contoso.test")
	w.federated(t, want)
	for name, value := range map[string]string{
		"issuerUri": "urn:other", "passiveSignInUri": "https://other.test/adfs/ls/", "activeSignInUri": "https://other.test/x",
		"metadataExchangeUri": "https://other.test/mex", "signOutUri": "https://other.test/out", "federatedIdpMfaBehavior": domain.MFAEnforce,
		"preferredAuthenticationProtocol": "saml", "displayName": "Other", "promptLoginBehavior": "disabled",
	} {
		w.Set("contoso.test", name, value)
	}
	_, f, err := w.client.Read(t.Context(), "contoso.test")
	must(t, err)
	if ch := want.Changes(f, false); len(ch.Members) != 0 {
		t.Errorf("an update of certificates changes %v", ch.Members)
	}
	_, err = w.client.Update(t.Context(), want.Changes(f, true))
	must(t, err)
	if v := w.view(t, want); v.Worst() != domain.Same {
		t.Errorf("differences: %v", v.Reasons(domain.Note))
	}
}

func TestUnfederate(t *testing.T) {
	w := newWorld(t, func(tc *graphtest.Config, _ *domain.Config) { tc.StaleReads = 3 })
	w.federated(t, wanted(t, "contoso.test"))
	must(t, w.client.Unfederate(t.Context(), "contoso.test"))
	if w.Federated("contoso.test") || w.Settings("contoso.test") != nil {
		t.Error("still federated")
	}
	if err := w.client.Unfederate(t.Context(), "fabrikam.test"); err == nil {
		t.Error("a managed domain was unfederated")
	}
	w.federated(t, wanted(t, "contoso.test"))
	w.Fail(graphtest.Fault{Method: "DELETE", After: true})
	must(t, w.client.Unfederate(t.Context(), "contoso.test"))
}

func TestIssuersAreUnique(t *testing.T) {
	a, b := wanted(t, "contoso.test"), wanted(t, "fabrikam.test")
	must(t, domain.CheckIssuers([]*domain.Wanted{a, b}))
	b.Issuer = a.Issuer
	if err := domain.CheckIssuers([]*domain.Wanted{a, b}); err == nil || !strings.Contains(err.Error(), "http://fabrikam.test/adfs/services/trust/") {
		t.Errorf("got %v", err)
	}
}
