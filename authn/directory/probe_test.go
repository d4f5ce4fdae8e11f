package directory_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/directory"
	"sallyport/authn/directory/directorytest"
)

func TestProbeSaysWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*directorytest.Directory, *directory.Config)
		step   directory.Step
		remedy string
	}{
		"down":         {func(ad *directorytest.Directory, _ *directory.Config) { ad.DCs[0].Down() }, directory.StepDial, "open the way to"},
		"expired":      {setting(func(s *directorytest.Settings) { s.Certificate = directorytest.CertificateExpired }), directory.StepTLS, "renew it"},
		"wrong name":   {setting(func(s *directorytest.Settings) { s.Certificate = directorytest.CertificateWrongName }), directory.StepTLS, "use that name"},
		"no SAN":       {setting(func(s *directorytest.Settings) { s.Certificate = directorytest.CertificateNoSAN }), directory.StepTLS, "subject alternative name"},
		"foreign CA":   {setting(func(s *directorytest.Settings) { s.Certificate = directorytest.CertificateForeignCA }), directory.StepTLS, "ca_file"},
		"other domain": {setting(func(s *directorytest.Settings) { s.OtherDomain = "other.test" }), directory.StepServer, "dns_name"},
		"read-only":    {setting(func(s *directorytest.Settings) { s.RODC = true }), directory.StepServer, "allow_rodc"},
		"not synced":   {setting(func(s *directorytest.Settings) { s.NotSynchronized = true }), directory.StepServer, "replicated"},
		"clock":        {setting(func(s *directorytest.Settings) { s.Clock = 10 * time.Minute }), directory.StepClock, "time source"},
		"wrong password": {func(_ *directorytest.Directory, c *directory.Config) {
			c.Service.Passwords = func() [][]byte { return [][]byte{[]byte("x")} }
		}, directory.StepService, "password file"},
		"locked": {func(ad *directorytest.Directory, _ *directory.Config) {
			_ = ad.Update("svc-sallyport", func(u *directorytest.User) { u.Locked = true })
		}, directory.StepService, "unlock"},
		"base": {func(ad *directorytest.Directory, c *directory.Config) {
			c.Domains[0].BaseDN = "OU=Nowhere," + ad.BaseDN
		}, directory.StepRead, "base_dn"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, directorytest.Config{}, c.change)
			seen := false
			for _, r := range l.dir.Probe(t.Context()) {
				if r.OK {
					continue
				}
				if r.Step != c.step || !strings.Contains(r.Remedy, c.remedy) || r.Found == "" || r.Server != l.ad.DCs[0].Name {
					t.Errorf("%+v", r)
				}
				seen = true
			}
			if !seen {
				t.Error("nothing was found")
			}
			if n := len(l.ad.UserBinds()); n != 0 {
				t.Errorf("%d user binds", n)
			}
		})
	}
	l := newLab(t, directorytest.Config{DCs: 2})
	steps := map[directory.Step]int{}
	for _, r := range l.dir.Probe(t.Context()) {
		if !r.OK {
			t.Errorf("%+v", r)
		}
		steps[r.Step]++
	}
	for _, s := range []directory.Step{directory.StepDial, directory.StepTLS, directory.StepServer, directory.StepClock, directory.StepLevel, directory.StepService, directory.StepRead} {
		if steps[s] != 2 {
			t.Errorf("step %s ran %d times", s, steps[s])
		}
	}
}

// Whoever is woken by the alarm reads what to do in the same record.
func TestDCOutOfUseIsLoggedWithAdvice(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*directorytest.Settings)
		advice string
	}{
		"foreign authority": {func(s *directorytest.Settings) { s.Certificate = directorytest.CertificateForeignCA }, "directory.ca_file"},
		"another domain":    {func(s *directorytest.Settings) { s.OtherDomain = "other.test" }, "sallyport check"},
	} {
		var log bytes.Buffer
		l := newLab(t, directorytest.Config{}, setting(c.change), func(_ *directorytest.Directory, cfg *directory.Config) {
			cfg.Logger = slog.New(slog.NewJSONHandler(&log, nil))
		})
		l.want(l.signIn("alice@contoso.test", password), authn.Unavailable, name)
		if text := log.String(); !strings.Contains(text, "domain controller is out of use") || !strings.Contains(text, c.advice) {
			t.Errorf("%s: %s", name, text)
		}
	}
}
