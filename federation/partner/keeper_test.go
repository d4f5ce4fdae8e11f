package partner_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/federation/partner"
)

const portalURL = "https://portal.fabrikam.test/metadata"

// shelf is a keeper under test with a server that it asks. It lives in a bubble of
// its own time.
type shelf struct {
	t       *testing.T
	dir     string
	server  *server
	keeper  *partner.Keeper
	changes int
	log     bytes.Buffer
	stop    func()
	metrics *prometheus.Registry
	source  partner.Source
}

// at writes a signed document that was made and ends at times from now.
func at(t testing.TB, by signer, ends time.Duration, content string) string {
	return by.sign(t, describe(wiki, `ID="_d" validUntil="`+time.Now().Add(ends).UTC().Format(time.RFC3339)+`"`, "", content))
}

func newShelf(t *testing.T, change func(*partner.Source)) *shelf {
	s := &shelf{t: t, dir: t.TempDir(), server: &server{}, source: partner.Source{
		Key: "portal", Identifiers: []string{wiki}, URL: portalURL, Certificates: []*x509.Certificate{publisher().cert},
	}}
	s.source.Client = &partner.Client{Transport: s.server}
	if change != nil {
		change(&s.source)
	}
	return s
}

// open starts a new keeper over the same disk and server.
func (s *shelf) open() error {
	s.t.Helper()
	s.metrics = prometheus.NewRegistry()
	m, err := partner.NewMetrics(s.metrics)
	if err != nil {
		s.t.Fatal(err)
	}
	s.keeper = partner.NewKeeper(partner.KeeperConfig{
		Sources: []partner.Source{s.source}, Directory: s.dir, Changed: func() { s.changes++ }, Metrics: m,
		Logger: slog.New(slog.NewTextHandler(&s.log, nil)),
	})
	if err := s.keeper.Load(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.keeper.Run(ctx) }()
	s.stop = func() { cancel(); <-done }
	synctest.Wait()
	return nil
}

func (s *shelf) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (s *shelf) has() bool { return s.keeper.Entity("portal") != nil }

func (s *shelf) counted(result string) float64 {
	families, err := s.metrics.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "result" && l.GetValue() == result {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return 0
}

func TestKeeperFetchesAndRestartsWithoutNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(t, nil)
		s.server.answer(200, at(t, publisher(), 100*time.Hour, ""), http.Header{"Etag": {`"one"`}, "Last-Modified": {"Thu, 26 Nov 2026 00:00:00 GMT"}}, nil)
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
		if !s.has() || s.changes != 1 || s.keeper.Trouble() != nil || s.counted("renewed") != 1 {
			t.Fatalf("not in force: %v\n%s", s.keeper.Trouble(), s.log.String())
		}
		s.stop()
		info, err := os.Stat(filepath.Join(s.dir, "portal.metadata"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("the copy: %v, %v", info, err)
		}
		s.server.answer(0, "", nil, errors.New("no route to host"))
		asked := len(s.server.requests())
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
		if !s.has() || len(s.server.requests()) != asked {
			t.Errorf("a restart does not work from the copy: %v", s.keeper.Trouble())
		}
		// It is asked for again when it is due, conditionally, and an outage changes
		// nothing until the end.
		s.after(20 * time.Hour)
		r := s.server.requests()[asked]
		if r.Header.Get("If-None-Match") != `"one"` || r.Header.Get("If-Modified-Since") == "" {
			t.Errorf("asked without a condition: %v", r.Header)
		}
		if !s.has() || s.keeper.Trouble() == nil || !strings.Contains(s.keeper.Trouble().Error(), "no route to host") {
			t.Errorf("in an outage: %v", s.keeper.Trouble())
		}
		s.after(79*time.Hour + 30*time.Minute)
		if !s.has() {
			t.Error("gone before its end")
		}
		s.after(time.Hour)
		if s.has() || s.changes != 2 || !strings.Contains(s.keeper.Trouble().Error(), "nobody can sign in") {
			t.Errorf("after its end: %v, %d changes", s.keeper.Trouble(), s.changes)
		}
		// A new document brings it back, asked for whole.
		s.server.answer(200, at(t, publisher(), 100*time.Hour, ""), nil, nil)
		s.after(2 * time.Hour)
		requests := s.server.requests()
		if !s.has() || s.changes != 3 || s.keeper.Trouble() != nil {
			t.Errorf("after the outage: %v", s.keeper.Trouble())
		}
		if h := requests[len(requests)-1].Header; h.Get("If-None-Match") != "" {
			t.Error("a document that has ended is asked for conditionally")
		}
		s.stop()
	})
}

func TestKeeperHoldsWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(t, nil)
		first := at(t, publisher(), 200*time.Hour, "")
		s.server.answer(200, first, nil, nil)
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
		long := at(t, publisher(), 400*time.Hour, "")
		for name, c := range map[string]struct {
			status int
			body   string
			err    error
			result string
		}{
			"a stranger's signature": {200, at(t, stranger(), 400*time.Hour, ""), nil, "untrusted"},
			"unsigned":               {200, describe(wiki, `validUntil="2099-01-01T00:00:00Z"`, "", ""), nil, "untrusted"},
			"changed":                {200, strings.Replace(long, "/acs", "/ac5", 1), nil, "untrusted"},
			"an earlier end":         {200, at(t, publisher(), 190*time.Hour, ""), nil, "older"},
			"no end":                 {200, publisher().sign(t, describe(wiki, `ID="_d"`, "", "")), nil, "older"},
			"another entity":         {200, publisher().sign(t, describe("https://evil.test/", `ID="_d" validUntil="2099-01-01T00:00:00Z"`, "", "")), nil, "unusable"},
			"a web page":             {200, "<html></html>", nil, "untrusted"},
			"an error":               {500, "", nil, "failed"},
			"gone":                   {404, "", nil, "failed"},
			"a redirect":             {302, long, nil, "failed"},
			"too long":               {200, long + strings.Repeat(" ", partner.MaxSize), nil, "failed"},
			"304 without a question": {304, "", nil, "failed"},
			"nothing":                {200, "", nil, "failed"},
		} {
			before := s.counted(c.result)
			s.server.answer(c.status, c.body, nil, c.err)
			asked := len(s.server.requests())
			for i := 0; len(s.server.requests()) == asked && i < 30; i++ {
				s.after(time.Hour)
			}
			if !s.has() || s.changes != 1 {
				t.Errorf("%s: it is in force or takes away what is held: %v", name, s.keeper.Trouble())
			}
			if s.keeper.Trouble() == nil || s.counted(c.result) == before {
				t.Errorf("%s: no trouble, or another one: %v", name, s.keeper.Trouble())
			}
		}
		s.server.answer(200, long, nil, nil)
		s.after(2 * time.Hour)
		if s.changes != 2 || s.keeper.Trouble() != nil {
			t.Errorf("a good one: %d changes, %v", s.changes, s.keeper.Trouble())
		}
		s.stop()
	})
}

// Whoever can play an old document back cannot do it over a restart either, nor by
// one whose publisher dates what it makes.
func TestRollbackIsRefusedAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dated := func(made time.Time) string {
			info := `<md:Extensions><r:PublicationInfo xmlns:r="urn:oasis:names:tc:SAML:metadata:rpi" creationInstant="` + made.UTC().Format(time.RFC3339) + `"/></md:Extensions>`
			return publisher().sign(t, strings.Replace(describe(wiki, `ID="_d"`, "", ""), "<md:SPSSO", info+"<md:SPSSO", 1))
		}
		s := newShelf(t, nil)
		s.server.answer(200, dated(time.Now()), nil, nil)
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
		s.stop()
		s.server.answer(200, dated(time.Now().Add(-time.Minute)), nil, nil)
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
		s.after(24 * time.Hour)
		if !s.has() || s.counted("older") == 0 || s.counted("renewed") != 0 {
			t.Errorf("%v", s.keeper.Trouble())
		}
		s.stop()
	})
}

func TestCopyOnDiskProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(t, nil)
		s.server.answer(200, at(t, publisher(), 100*time.Hour, ""), nil, nil)
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
		s.stop()
		path := filepath.Join(s.dir, "portal.metadata")
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s.server.answer(0, "", nil, errors.New("down"))
		for name, data := range map[string][]byte{
			"changed":      bytes.Replace(good, []byte("/acs"), []byte("/ac5"), 1),
			"cut off":      good[:len(good)/2],
			"empty":        {},
			"from another": bytes.Replace(good, []byte(portalURL), []byte("https://other.test/xx"), 1),
		} {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.open(); err != nil {
				t.Fatal(err)
			}
			if s.has() {
				t.Errorf("%s: taken", name)
			}
			s.stop()
		}
		// The same copy under another pinned certificate.
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		s.source.Certificates = []*x509.Certificate{stranger().cert}
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
		if s.has() {
			t.Error("a copy by a key that is not pinned any more is taken")
		}
		s.stop()
	})
}

func TestChangedFileIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "wiki.xml")
		write := func(text string) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(describe(wiki, "", "", ""))
		s := newShelf(t, func(s *partner.Source) { s.URL, s.File, s.Certificates = "", file, nil })
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
		s.after(time.Minute)
		if s.changes != 0 || len(s.server.requests()) != 0 {
			t.Error("a file that did not change changed something, or the network was used")
		}
		write(strings.Replace(describe(wiki, "", "", ""), "/acs", "/other", 1))
		s.after(time.Minute)
		if s.changes != 1 || s.keeper.Entity("portal").Consumers[0].URL != "https://wiki.fabrikam.test/other" {
			t.Errorf("%d changes", s.changes)
		}
		write("<broken")
		s.after(time.Minute)
		if !s.has() || s.keeper.Trouble() == nil || s.changes != 1 {
			t.Errorf("a broken file: %v", s.keeper.Trouble())
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		s.after(time.Minute)
		if !s.has() {
			t.Error("a removed file takes the party away")
		}
		s.stop()
		if err := s.open(); err == nil {
			t.Error("a start without the file")
		}
	})
}

func TestPinnedFileHasItsContentOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "wiki.xml")
		if err := os.WriteFile(file, []byte(describe(wiki, "", "", "")), 0o600); err != nil {
			t.Fatal(err)
		}
		s := newShelf(t, func(s *partner.Source) {
			s.URL, s.File, s.Certificates, s.SHA256 = "", file, nil, strings.Repeat("0", 64)
		})
		if err := s.open(); !errors.Is(err, partner.ErrUntrusted) {
			t.Errorf("%v", err)
		}
	})
}

func TestPartyThatCannotBeSetUpReplacesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(t, func(s *partner.Source) {
			s.Check = func(e *partner.Entity) error {
				if e.Consumers[0].URL != "https://wiki.fabrikam.test/acs" {
					return errors.New("the chosen address is not there")
				}
				return nil
			}
		})
		s.server.answer(200, at(t, publisher(), 100*time.Hour, ""), nil, nil)
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
		s.server.answer(200, publisher().sign(t, strings.Replace(describe(wiki, `ID="_d" validUntil="2099-01-01T00:00:00Z"`, "", ""), "/acs", "/b", 1)), nil, nil)
		s.after(24 * time.Hour)
		if !s.has() || s.changes != 1 || !strings.Contains(s.keeper.Trouble().Error(), "chosen address") {
			t.Errorf("%v", s.keeper.Trouble())
		}
		s.stop()
	})
}
