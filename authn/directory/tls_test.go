package directory_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"sallyport/authn"
	"sallyport/authn/directory"
	"sallyport/authn/directory/directorytest"
)

func TestD06_NoPasswordOutsideVerifiedTLS(t *testing.T) {
	for name, change := range map[string]func(*directorytest.Directory, *directory.Config){
		"expired":        setting(func(s *directorytest.Settings) { s.Certificate = directorytest.CertificateExpired }),
		"not yet valid":  setting(func(s *directorytest.Settings) { s.Certificate = directorytest.CertificateNotYet }),
		"wrong name":     setting(func(s *directorytest.Settings) { s.Certificate = directorytest.CertificateWrongName }),
		"foreign CA":     setting(func(s *directorytest.Settings) { s.Certificate = directorytest.CertificateForeignCA }),
		"CN only":        setting(func(s *directorytest.Settings) { s.Certificate = directorytest.CertificateNoSAN }),
		"TLS 1.1":        setting(func(s *directorytest.Settings) { s.MinTLS, s.MaxTLS = tls.VersionTLS10, tls.VersionTLS11 }),
		"system's roots": roots(nil),
		"plain port": func(ad *directorytest.Directory, c *directory.Config) {
			c.Domains[0].Servers[0].Address = ad.DCs[0].PlainAddr
		},
		"StartTLS refused": func(ad *directorytest.Directory, c *directory.Config) {
			startTLS(ad, c)
			ad.DCs[0].Set(func(s *directorytest.Settings) { s.RefuseStartTLS = true })
		},
		"StartTLS, wrong name": func(ad *directorytest.Directory, c *directory.Config) {
			startTLS(ad, c)
			ad.DCs[0].Set(func(s *directorytest.Settings) { s.Certificate = directorytest.CertificateWrongName })
		},
		"other domain": setting(func(s *directorytest.Settings) { s.OtherDomain = "other.test" }),
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, directorytest.Config{}, change)
			l.want(l.signIn("alice@contoso.test", password), authn.Unavailable, "sign-in")
			acc := &authn.Account{Domain: "corp.contoso.test", DN: "CN=alice,CN=Users," + l.ad.BaseDN, ID: authn.GUID{1}}
			l.want(authn.ReasonOf(l.dir.Bind(t.Context(), acc, authn.NewPassword([]byte(password)))), authn.Unavailable, "bind")
			if b := l.ad.Binds(); len(b) != 0 {
				t.Errorf("a password was sent: %+v", b)
			}
			if st := l.dir.Status()[0]; st.Usable || st.Servers[0].LastError == "" {
				t.Errorf("status %+v", st)
			}
		})
	}
	for _, url := range []string{"ldap://dc1.corp.contoso.test", "dc1.corp.contoso.test", "ldaps://127.0.0.1", "ldaps://[::1]:636", "ldaps://", "http://dc1.corp.contoso.test"} {
		c := directory.Config{Domains: []directory.DomainConfig{{DNSName: "corp.contoso.test", Servers: []directory.ServerConfig{{URL: url}}}}}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "directory server") {
			t.Errorf("%s is taken as a server", url)
		}
	}
}

func setting(change func(*directorytest.Settings)) func(*directorytest.Directory, *directory.Config) {
	return func(ad *directorytest.Directory, _ *directory.Config) { ad.DCs[0].Set(change) }
}

func startTLS(ad *directorytest.Directory, c *directory.Config) {
	for i, dc := range ad.DCs {
		c.Domains[0].Servers[i] = directory.ServerConfig{URL: dc.StartTLSURL, Address: dc.PlainAddr}
	}
}

func TestStartTLSSignsIn(t *testing.T) {
	l := newLab(t, directorytest.Config{}, startTLS)
	l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "over StartTLS")
}
