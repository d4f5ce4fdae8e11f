package pages_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"sallyport/federation"
	"sallyport/federation/signin/pages"
	"sallyport/federation/web"
)

func config() pages.Config {
	return pages.Config{
		Org: "Contoso", Host: "sts.contoso.test", ExampleUPN: "name@contoso.test", ExampleDown: `CONTOSO\name`,
		Help:  map[string]string{"en": "Use your work account. The service desk never asks for your password."},
		Links: pages.Links{Help: "https://help.contoso.test/", Privacy: "https://contoso.test/privacy", Forgot: "https://contoso.test/reset"},
	}
}

func newSet(t testing.TB, cfg pages.Config) *pages.Set {
	t.Helper()
	s, err := pages.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestErrorPageHasReferenceAndTime(t *testing.T) {
	s := newSet(t, config())
	w := httptest.NewRecorder()
	s.Error(w, httptest.NewRequest("GET", "/adfs/ls/?wa=x", nil), &web.Info{Reference: "K7QF-3M9D", Start: time.Date(2026, 11, 25, 13, 32, 7, 0, time.UTC)},
		&federation.Error{Problem: federation.ProblemDirectory})
	if w.Code != 503 {
		t.Errorf("status %d", w.Code)
	}
}
