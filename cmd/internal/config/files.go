package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// maxLogo is the greatest size of a logo.
const maxLogo = 16 << 10

// checkFiles looks at every file that the settings name.
func (c *Config) checkFiles(p *problems) {
	check := func(key string, err error) {
		if err != nil {
			p.add(key, "%s", plain(err))
		}
	}
	t := c.TLS
	if t.CertificateFile != "" {
		check("tls.certificate_file", readable(t.CertificateFile))
		check("tls.key_file", privateFile(t.KeyFile))
	}
	_, err := t.ACME.Roots()
	check("tls.acme.ca_file", err)
	d := c.Directory
	_, err = d.Roots()
	check("directory.ca_file", err)
	a := d.ServiceAccount
	check(named("directory.service_account.password", a.PasswordFile), secretReadable(Secret{a.PasswordFile, a.PasswordEnv}))
	check("directory.service_account.previous_password_file", secretReadable(Secret{File: a.PreviousPasswordFile}))
	s := c.Sessions
	if s.Store == "redis" {
		_, err := s.Redis.Roots()
		check("sessions.redis.ca_file", err)
		_, err = s.Redis.Password()
		check(named("sessions.redis.password", s.Redis.PasswordFile), err)
	}
	check(named("sessions.secret", s.SecretFile), key(Secret{s.SecretFile, s.SecretEnv}))
	check("sessions.previous_secret_file", key(Secret{File: s.PreviousSecretFile}))
	check("audit.chain_key_file", key(Secret{File: c.Audit.ChainKeyFile}))
	c.checkSigningFiles(check)
	c.checkSAMLFiles(check)
	c.checkPTAFiles(check)
	c.checkGraphFiles(check)
	c.checkMetadataFiles(check)
	check("signin_page.logo_file", logo(c.SigninPage.LogoFile))
	if c.SigninPage.LogoDarkFile != c.SigninPage.LogoFile {
		check("signin_page.logo_dark_file", logo(c.SigninPage.LogoDarkFile))
	}
}

func named(key, file string) string {
	if file != "" {
		return key + "_file"
	}
	return key + "_env"
}

// plain says in words what an admin can do about the usual errors of files.
func plain(err error) string {
	var path *fs.PathError
	if !errors.As(err, &path) {
		return err.Error()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no file " + path.Path
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("user %d may not read %s: change its owner", os.Geteuid(), path.Path)
	default:
		return err.Error()
	}
}

func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	return err
}

func privateFile(path string) error {
	f, err := openPrivate(path, anyGroupMayRead)
	if err != nil {
		return err
	}
	return f.Close()
}

func secretReadable(s Secret) error {
	if s.IsZero() {
		return nil
	}
	_, err := s.Read()
	return err
}

func key(s Secret) error {
	if s.IsZero() {
		return nil
	}
	_, err := s.Key()
	return err
}

func logo(path string) error {
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(data) > maxLogo {
		return fmt.Errorf("%s has %d bytes, at most %d are sent with each page", path, len(data), maxLogo)
	}
	if LogoType(data) == "" {
		return fmt.Errorf("%s is not PNG, WebP or SVG", path)
	}
	return nil
}

// LogoType returns the media type of a logo by its content, empty when it is
// none of the allowed ones.
func LogoType(data []byte) string {
	switch text := bytes.TrimLeft(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), " \t\r\n"); {
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png"
	case len(data) > 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		return "image/webp"
	case bytes.HasPrefix(text, []byte("<svg")), bytes.HasPrefix(text, []byte("<?xml")) && bytes.Contains(text, []byte("<svg")):
		return "image/svg+xml"
	default:
		return ""
	}
}
