package redisstore_test

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport/authn/redisstore"
	"sallyport/authn/session"
	"sallyport/authn/session/sessiontest"
)

// problems returns the findings that are not well, as one text each.
func problems(found []redisstore.Finding) (fatal, danger []string) {
	for _, f := range found {
		text := f.Step + ": " + f.Problem + " -> " + f.Advice
		switch {
		case f.Problem == "":
		case f.Fatal:
			fatal = append(fatal, text)
		default:
			danger = append(danger, text)
		}
	}
	return fatal, danger
}

func (s *server) setUser(t *testing.T, rules ...string) {
	t.Helper()
	args := []any{"ACL", "SETUSER", "gateway"}
	for _, r := range rules {
		args = append(args, r)
	}
	if err := s.admin.Do(context.Background(), args...).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestC26_DocumentedRightsAreEnough(t *testing.T) {
	srv := startServer(t, redisstore.ACL)
	s := newStore(t, srv.config())
	found := s.SelfTest(t.Context())
	if fatal, danger := problems(found); len(fatal)+len(danger) > 0 {
		t.Errorf("%q %q", fatal, danger)
	}
	if len(found) < 18 {
		t.Errorf("only %d findings", len(found))
	}
	id, err := s.Create(t.Context(), sessiontest.Example(1, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Use(t.Context(), id, "urn:a"); err != nil {
		t.Errorf("after the self-test: %v", err)
	}
}

func TestC26_DocumentsNeedTwoCommandsMore(t *testing.T) {
	srv := startServer(t, redisstore.ACL)
	cfg := srv.config()
	cfg.Documents = true
	s := newStore(t, cfg)
	for _, command := range strings.Fields(strings.ReplaceAll(redisstore.DocumentCommands, "+", "")) {
		srv.setUser(t, strings.Fields(redisstore.DocumentCommands+" -"+command)...)
		fatal, _ := problems(s.SelfTest(t.Context()))
		if len(fatal) != 1 || !strings.Contains(fatal[0], "let the user run it: +"+command) {
			t.Errorf("without %s the self-test says %q", command, fatal)
		}
	}
	srv.setUser(t, strings.Fields(redisstore.ACLFor("sallyport:", false, true))...)
	if fatal, danger := problems(s.SelfTest(t.Context())); len(fatal)+len(danger) > 0 {
		t.Errorf("with the documented rights: %q %q", fatal, danger)
	}
}

// TestC26_MissingCommandIsNamed takes each command of the minimum away in turn, in
// a running system, and gives it back.
func TestC26_MissingCommandIsNamed(t *testing.T) {
	srv := startServer(t, redisstore.ACL)
	s := newStore(t, srv.config())
	for _, command := range strings.Fields(strings.ReplaceAll(redisstore.Commands, "+", "")) {
		t.Run(command, func(t *testing.T) {
			srv.setUser(t, "-"+command)
			fatal, _ := problems(s.SelfTest(t.Context()))
			if len(fatal) == 0 || !strings.Contains(strings.Join(fatal, "\n"), "+"+command) {
				t.Errorf("self-test says %q", fatal)
			}
			if command != "ping" { // only asked for on demand
				eventually(t, "the store notices", 3*time.Second, func() bool { return s.Down() != nil })
				if text := s.Down().Error(); !strings.Contains(text, "NOPERM") || !strings.Contains(text, "'"+command) {
					t.Errorf("reason for readiness: %s", text)
				}
				if _, err := s.Use(t.Context(), session.NewID(false), ""); !errors.Is(err, session.ErrUnavailable) {
					t.Errorf("Use: %v", err)
				}
			}
			srv.setUser(t, "+"+command)
			eventually(t, "the store comes back", 3*time.Second, func() bool { return s.Down() == nil })
		})
	}
}

func TestC26_MissingKeyPatternIsNamed(t *testing.T) {
	srv := startServer(t, strings.Replace(redisstore.ACL, "~sallyport:*", "~other:*", 1))
	s := newStore(t, srv.config())
	fatal, _ := problems(s.SelfTest(t.Context()))
	if len(fatal) == 0 || !strings.Contains(fatal[0], "~sallyport:*") {
		t.Errorf("self-test says %q", fatal)
	}
	eventually(t, "the store notices", 3*time.Second, func() bool { return s.Down() != nil })
	if !strings.Contains(s.Down().Error(), "NOPERM") {
		t.Errorf("reason: %v", s.Down())
	}
}

// TestR09_TooManyRightsAreNamed gives the user everything, and looks that the
// self-test itself did no harm with it.
func TestR09_TooManyRightsAreNamed(t *testing.T) {
	srv := startServer(t, "~* &* +@all")
	s := newStore(t, srv.config())
	id, err := s.Create(t.Context(), sessiontest.Example(1, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	fatal, danger := problems(s.SelfTest(t.Context()))
	all := strings.Join(danger, "\n")
	for _, want := range []string{"FLUSHALL", "FLUSHDB", "CONFIG GET", "CONFIG SET", "KEYS", "keys that do not begin with"} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing said of %s:\n%s", want, all)
		}
	}
	if len(fatal) > 0 {
		t.Errorf("fatal: %q", fatal)
	}
	if _, err := s.Use(t.Context(), id, ""); err != nil {
		t.Errorf("the self-test emptied the database: %v", err)
	}
}

func TestC26_HelloDeniedStillWorks(t *testing.T) {
	f := startFake(t) // knows neither HELLO nor CLIENT
	s := newStore(t, f.config())
	if _, err := s.Create(t.Context(), sessiontest.Example(1, time.Now())); err != nil {
		t.Errorf("Create: %v", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.commands {
		if c == "CLIENT" || c == "SELECT" {
			t.Errorf("%s was sent", c)
		}
	}
}

// TestC25_CertificateNames has a server that is dialled by address while its
// certificate holds a DNS name.
func TestC25_CertificateNames(t *testing.T) {
	srv := startServer(t, redisstore.ACL)
	cfg := srv.config()
	cfg.TLS = &tls.Config{RootCAs: srv.roots}
	fatal, _ := problems(newStore(t, cfg).SelfTest(t.Context()))
	if len(fatal) != 1 || !strings.Contains(fatal[0], srv.host) || !strings.Contains(fatal[0], "server name") || !strings.Contains(fatal[0], "announce-hostnames") {
		t.Errorf("without a server name: %q", fatal)
	}
	cfg.TLS = &tls.Config{ServerName: "redis.contoso.test"}
	fatal, _ = problems(newStore(t, cfg).SelfTest(t.Context()))
	if len(fatal) != 1 || !strings.Contains(fatal[0], "CA file") {
		t.Errorf("unknown CA: %q", fatal)
	}
	cfg.TLS = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it must be refused
	if s, err := redisstore.New(cfg); err == nil {
		s.Close()
		t.Error("verification could be switched off")
	}
}

func TestWrongPasswordIsNamed(t *testing.T) {
	srv := startServer(t, redisstore.ACL)
	cfg := srv.config()
	cfg.Password = func() (string, error) { return "another-password-canary", nil }
	s := newStore(t, cfg)
	fatal, _ := problems(s.SelfTest(t.Context()))
	if len(fatal) != 1 || !strings.Contains(fatal[0], "password file") || strings.Contains(fatal[0], "canary") {
		t.Errorf("%q", fatal)
	}
	cfg.Password = func() (string, error) { return "", errors.New("open /etc/sallyport/redis-password: no such file") }
	fatal, _ = problems(newStore(t, cfg).SelfTest(t.Context()))
	if len(fatal) != 1 || !strings.Contains(fatal[0], "no such file") {
		t.Errorf("%q", fatal)
	}
}

// TestC26_PermissionTakenAwayIsAnOutage needs no server: what a running store does
// when one of its commands is denied from now on.
func TestC26_PermissionTakenAwayIsAnOutage(t *testing.T) {
	f := startFake(t)
	s := newStore(t, f.config())
	id, err := s.Create(t.Context(), sessiontest.Example(1, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	f.deny("LPUSHX", true)
	if _, err := s.Use(t.Context(), id, "urn:a"); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("Use: %v", err)
	}
	if down := s.Down(); down == nil || !strings.Contains(down.Error(), "NOPERM") || !strings.Contains(down.Error(), "lpushx") {
		t.Errorf("reason for readiness: %v", down)
	}
	f.deny("LPUSHX", false)
	eventually(t, "the store comes back", 3*time.Second, func() bool { return s.Down() == nil })
	if _, err := s.Use(t.Context(), id, "urn:a"); err != nil {
		t.Errorf("Use after: %v", err)
	}
}
