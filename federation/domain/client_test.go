package domain_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/federation/domain"
	"sallyport/federation/domain/graphtest"
)

func TestClientSignsInWithSecretOrCertificate(t *testing.T) {
	app := keyOf(t, "app")
	byCertificate, err := domain.NewCertificate(app.key, app.cert)
	must(t, err)
	other, err := domain.NewCertificate(keyOf(t, "stranger").key, certOf(t, "stranger"))
	must(t, err)
	for _, c := range []struct {
		name       string
		credential domain.Credential
		wrong      string
	}{
		{"secret", domain.NewSecret(func() ([]byte, error) { return []byte(secret), nil }), ""},
		{"certificate", byCertificate, ""},
		{"wrong secret", domain.NewSecret(func() ([]byte, error) { return []byte("wr0ng"), nil }), "client secret is wrong"},
		{"unregistered certificate", other, "certificate is not registered"},
		{"unreadable secret", domain.NewSecret(func() ([]byte, error) { return nil, errors.New("no such file") }), "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(tc *graphtest.Config, cfg *domain.Config) {
				tc.Apps[0].Certificates = []*x509.Certificate{app.cert}
				cfg.Credential = c.credential
			})
			_, err := w.client.Domains(t.Context())
			if c.wrong == "" {
				must(t, err)
				return
			}
			if !errors.Is(err, domain.ErrCredentials) || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCertificateCredentialIsJudgedBeforeUse(t *testing.T) {
	if _, err := domain.NewCertificate(keyOf(t, "one").key, certOf(t, "two")); err == nil {
		t.Error("a key of another certificate was taken")
	}
}

func TestTokenIsAskedForOnceAndRenewed(t *testing.T) {
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	w := newWorld(t, func(tc *graphtest.Config, cfg *domain.Config) { tc.Now, cfg.Now = clock, clock })
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := w.client.Domains(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := w.TokenRequests(); n != 1 {
		t.Errorf("%d token requests for 8 callers", n)
	}
	mu.Lock()
	now = now.Add(56 * time.Minute)
	mu.Unlock()
	_, err := w.client.Domains(t.Context())
	must(t, err)
	if n := w.TokenRequests(); n != 2 {
		t.Errorf("%d token requests after a token neared its end", n)
	}
	w.Revoke()
	_, err = w.client.Domains(t.Context())
	must(t, err)
	if n := w.TokenRequests(); n != 3 {
		t.Errorf("%d token requests after a token was revoked", n)
	}
}

func TestReadingWaitsAsLongAsMicrosoftAsks(t *testing.T) {
	w := newWorld(t, nil)
	w.Fail(graphtest.Fault{Status: 429, RetryAfter: "17", Times: 2}, graphtest.Fault{Status: 503})
	_, err := w.client.Domains(t.Context())
	must(t, err)
	if len(w.pauses.list) != 3 || w.pauses.list[0] < 17*time.Second || w.pauses.list[0] > 18*time.Second {
		t.Errorf("waited %v", w.pauses.list)
	}
	if p := w.pauses.list[2]; p < time.Second || p > 8*time.Second {
		t.Errorf("without Retry-After it waited %v", p)
	}
}

func TestTriesAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	w.Fail(graphtest.Fault{Status: 503, Times: 1000})
	if _, err := w.client.Domains(t.Context()); err == nil || len(w.Requests()) != 5 {
		t.Errorf("%d requests, error %v", len(w.Requests()), err)
	}
	w = newWorld(t, nil)
	w.Fail(graphtest.Fault{Status: 429, RetryAfter: "600", Times: 1000})
	_, err := w.client.Domains(t.Context())
	if err == nil || len(w.Requests()) != 1 || !strings.Contains(err.Error(), "would have to wait 10m") {
		t.Errorf("%d requests, error %v", len(w.Requests()), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.client.Domains(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestListFollowsPagesOfGraphOnly(t *testing.T) {
	w := newWorld(t, func(tc *graphtest.Config, _ *domain.Config) {
		tc.PageSize = 2
		for i := range 9 {
			tc.Domains = append(tc.Domains, graphtest.Domain{Name: fmt.Sprintf("d%d.contoso.test", i), Sub: true})
		}
	})
	list, err := w.client.Domains(t.Context())
	must(t, err)
	if len(list) != 12 {
		t.Errorf("%d domains", len(list))
	}
	thief := graphtest.Start(graphtest.Config{})
	defer thief.Close()
	for _, next := range []string{thief.Graph() + "/v1.0/domains", w.Graph() + ".evil.test/v1.0/domains", "/v1.0/domains", w.Graph() + "@evil.test/"} {
		w.Fail(graphtest.Fault{Status: 200, Body: `{"value":[],"@odata.nextLink":"` + next + `"}`})
		if _, err := w.client.Domains(t.Context()); err == nil {
			t.Errorf("next page at %s was fetched", next)
		}
	}
	if len(thief.Requests()) != 0 {
		t.Error("a token went to another host")
	}
	w.Fail(graphtest.Fault{Status: 200, Times: 1000, Body: `{"value":[],"@odata.nextLink":"` + w.Graph() + `/v1.0/domains?$skiptoken=0"}`})
	if _, err := w.client.Domains(t.Context()); err == nil || len(w.Requests()) > 130 {
		t.Errorf("pages without end: %d requests, %v", len(w.Requests()), err)
	}
}

func TestRedirectionsAreNotFollowed(t *testing.T) {
	thief := graphtest.Start(graphtest.Config{})
	defer thief.Close()
	for _, status := range []int{301, 302, 307, 308} {
		w := newWorld(t, nil)
		w.Fail(graphtest.Fault{Status: status, Location: thief.Graph() + "/v1.0/domains", Body: "{}"})
		if _, err := w.client.Domains(t.Context()); err == nil {
			t.Errorf("%d from Graph was followed", status)
		}
		w = newWorld(t, nil)
		w.FailLogin(graphtest.Fault{Status: status, Location: thief.Login() + "/x", Body: "{}"})
		if _, err := w.client.Domains(t.Context()); err == nil {
			t.Errorf("%d from the token endpoint was followed", status)
		}
	}
	if len(thief.Requests()) != 0 || thief.TokenRequests() != 0 {
		t.Error("a credential followed a redirection")
	}
}

func TestServersAreVerified(t *testing.T) {
	w := newWorld(t, nil)
	c, err := domain.New(domain.Config{
		Cloud: domain.Cloud{Login: w.Login(), Graph: w.Graph()}, Tenant: tenant, ClientID: clientID, Attempts: 1,
		Credential: domain.NewSecret(func() ([]byte, error) { return []byte(secret), nil }),
	})
	must(t, err)
	_, err = c.Domains(t.Context())
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) || w.TokenRequests() != 0 {
		t.Errorf("a server that the system does not know was asked: %v", err)
	}
}

func TestBadAnswersAreErrors(t *testing.T) {
	for name, body := range map[string]string{
		"html": "<html>sign in to the network</html>", "empty": "", "list": "[]", "two": "{} {}", "truncated": `{"value":[`,
		"value missing": "{}", "value a text": `{"value":"x"}`, "item a number": `{"value":[1]}`, "twice": `{"value":[],"value":[]}`,
		"other case": `{"Value":[]}`, "name missing": `{"value":[{"authenticationType":"Managed"}]}`,
		"type unknown":  `{"value":[{"id":"a.test","authenticationType":"Both"}]}`,
		"flag a text":   `{"value":[{"id":"a.test","authenticationType":"Managed","isDefault":"false"}]}`,
		"name a path":   `{"value":[{"id":"../x","authenticationType":"Managed"}]}`,
		"deeply nested": `{"value":[],"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`,
		"not utf-8":     "{\"value\":[],\"x\":\"\xff\"}",
		"huge":          `{"value":[],"x":"` + strings.Repeat("x", 3<<20) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(_ *graphtest.Config, cfg *domain.Config) { cfg.Attempts = 1 })
			if body == "" {
				body = " "
			}
			w.Fail(graphtest.Fault{Status: 200, Body: body, Times: 9})
			if list, err := w.client.Domains(t.Context()); err == nil {
				t.Errorf("taken as %v", list)
			}
		})
	}
}

func TestBadTokenAnswersAreErrors(t *testing.T) {
	for name, body := range map[string]string{
		"html": "<html>", "no token": `{"token_type":"Bearer","expires_in":3600}`, "mac": `{"token_type":"mac","expires_in":3600,"access_token":"a"}`,
		"no time": `{"token_type":"Bearer","access_token":"a"}`, "negative": `{"token_type":"Bearer","expires_in":-1,"access_token":"a"}`,
		"line feed": `{"token_type":"Bearer","expires_in":3600,"access_token":"a\nX-Evil: 1"}`,
	} {
		w := newWorld(t, func(_ *graphtest.Config, cfg *domain.Config) { cfg.Attempts = 1 })
		w.FailLogin(graphtest.Fault{Status: 200, Body: body})
		if _, err := w.client.Domains(t.Context()); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}

// The stand-in repeats the secret in its message, as a careless server might.
func TestNoErrorTellsSecretTokenOrAssertion(t *testing.T) {
	const canary = "c4n4ry+/=&s3cr3t"
	w := newWorld(t, func(_ *graphtest.Config, cfg *domain.Config) {
		cfg.Credential = domain.NewSecret(func() ([]byte, error) { return []byte(canary), nil })
	})
	_, err := w.client.Domains(t.Context())
	if err == nil || strings.Contains(fmt.Sprintf("%+v %#v", err, err), canary) {
		t.Errorf("error %v", err)
	}
	w = newWorld(t, nil)
	_, err = w.client.Domains(t.Context())
	must(t, err)
	for _, text := range []string{fmt.Sprintf("%+v", w.client), fmt.Sprintf("%#v", w.client)} {
		if strings.Contains(text, "eyJ.") || strings.Contains(text, secret) {
			t.Error("the client prints a credential")
		}
	}
	w.Fail(graphtest.Fault{Status: 400, Message: "\x1b[2Jred\u202e\nnext line" + strings.Repeat("x", 1000)})
	_, err = w.client.Domains(t.Context())
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\n\u202e") || len(err.Error()) > 800 {
		t.Errorf("error %q", err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	w := newWorld(t, func(tc *graphtest.Config, _ *domain.Config) { tc.Apps[0].Roles = nil })
	_, err := w.client.Domains(t.Context())
	var e *domain.Error
	if !errors.Is(err, domain.ErrPermission) || !errors.As(err, &e) || e.Code != "Authorization_RequestDenied" || e.RequestID == "" || !strings.Contains(err.Error(), "grant the application") {
		t.Errorf("got %v", err)
	}
	w = newWorld(t, nil)
	if _, err := w.client.Domain(t.Context(), "elsewhere.test"); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := w.client.Federation(t.Context(), "contoso.test"); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	w = newWorld(t, func(_ *graphtest.Config, cfg *domain.Config) { cfg.Tenant = "11111111-1111-4111-8111-111111111111" })
	if _, err := w.client.Domains(t.Context()); err == nil || !strings.Contains(err.Error(), "names no tenant") {
		t.Errorf("got %v", err)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	good := domain.Config{
		Cloud: domain.Cloud{Login: "https://login.test", Graph: "https://graph.test"}, Tenant: "contoso.test", ClientID: clientID,
		Credential: domain.NewSecret(func() ([]byte, error) { return []byte("x"), nil }),
	}
	if _, err := domain.New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*domain.Config){
		"no tenant": func(c *domain.Config) { c.Tenant = "" }, "tenant a path": func(c *domain.Config) { c.Tenant = "a.test/../b" },
		"client id a name": func(c *domain.Config) { c.ClientID = "sallyport" }, "no credential": func(c *domain.Config) { c.Credential = nil },
		"login in the clear": func(c *domain.Config) { c.Cloud.Login = "http://login.test" },
		"graph with a path":  func(c *domain.Config) { c.Cloud.Graph = "https://graph.test/v1.0" },
		"graph with a user":  func(c *domain.Config) { c.Cloud.Graph = "https://u@graph.test" },
	} {
		cfg := good
		change(&cfg)
		if _, err := domain.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, cloud := range []string{"global", "usgov", "china"} {
		if c, err := domain.CloudNamed(cloud); err != nil || !strings.HasPrefix(c.Login, "https://login.") || !strings.HasPrefix(c.Graph, "https://") {
			t.Errorf("%s: %v %v", cloud, c, err)
		}
	}
	if _, err := domain.CloudNamed("moon"); err == nil {
		t.Error("an unknown cloud was found")
	}
}
