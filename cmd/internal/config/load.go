package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// Load reads, checks and completes the settings file at path, and checks the
// files that it names. An [*Error] lists everything that is wrong.
func Load(path string) (*Config, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("settings file %s: %w", path, err)
	}
	data, err := readSettings(abs)
	if err != nil {
		return nil, err
	}
	c, p := parse(data, filepath.Dir(abs))
	if len(p.list) == 0 {
		c.checkFiles(p)
	}
	c.Path = abs
	if err := p.err(path); err != nil {
		return nil, err
	}
	return c, nil
}

// Parse is [Load] for a text, without a look at any file: relative paths are
// left as they are. The name stands in errors.
func Parse(name string, data []byte) (*Config, error) {
	c, p := parse(data, "")
	if err := p.err(name); err != nil {
		return nil, err
	}
	return c, nil
}

// Validate checks settings that were made in code and completes them: issuer,
// element defaults, default domain.
func (c *Config) Validate() error {
	p := &problems{at: c.at}
	c.complete()
	c.validate(p)
	return p.err("settings")
}

func parse(data []byte, dir string) (*Config, *problems) {
	c := Default()
	d := decode(data, c)
	c.at, c.dir = d.at, dir
	c.complete()
	// With a broken text, what is missing may merely be misspelt; the checks
	// still run, but only for keys that stand in the file.
	broken := len(d.list) > 0
	rest := &problems{at: d.at}
	c.validate(rest)
	for _, p := range rest.list {
		if _, written := d.at[p.Key]; !broken || (written && !d.has(p.Key)) {
			d.list = append(d.list, p)
		}
	}
	if dir != "" {
		c.absolute(dir)
	}
	return c, &d.problems
}

// has tells whether there is a problem with key or with something below it.
func (p *problems) has(key string) bool {
	for _, q := range p.list {
		if rest, ok := strings.CutPrefix(q.Key, key); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// readSettings reads the file, which decides whom the gateway trusts: somebody
// else who may write it could make himself a relying party.
func readSettings(path string) ([]byte, error) {
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("settings file %s: there is no such file: name yours with --config", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("settings file %s: this user may not read it: run this as the service's user, or as root", path)
	case err != nil:
		return nil, fmt.Errorf("settings file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("settings file: %w", err)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("settings file %s: is a directory: name the file in it", path)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("settings file %s: not a regular file", path)
	}
	if info.Mode().Perm()&0o002 != 0 {
		return nil, fmt.Errorf("settings file %s: everybody may write it (mode %04o): run chmod 0640 %s", path, info.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("settings file: %w", err)
	}
	return data, nil
}

// complete fills in what follows from other settings.
func (c *Config) complete() {
	if c.Issuer == "" {
		if host := c.Host(); host != "" {
			c.Issuer = "http://" + host + "/adfs/services/trust"
		}
	}
	for i := range c.Microsoft365.Domains {
		f := &c.Microsoft365.Domains[i]
		f.Name = strings.ToLower(f.Name)
		if f.Issuer == "" && f.Name != "" {
			f.Issuer = c.Issuer
			if len(c.Microsoft365.Domains) > 1 {
				f.Issuer = "http://" + f.Name + "/adfs/services/trust/"
			}
		}
		preset(&f.Anchor, "consistency-guid")
		preset(&f.Protocol, "wsfed")
	}
	for i := range c.RelyingParties {
		rp := &c.RelyingParties[i]
		preset(&rp.Protocol, "wsfed")
		if rp.Protocol == "saml" {
			completeSAML(&rp.SAML, rp.UsesMetadata())
			preset(&rp.TokenType, "saml20")
		}
		preset(&rp.TokenType, "saml11")
		if rp.TokenLifetime == 0 {
			rp.TokenLifetime = Default().Microsoft365.TokenLifetime
		}
	}
	for i := range c.Directory.Domains {
		c.Directory.Domains[i].Name = strings.ToLower(c.Directory.Domains[i].Name)
	}
	if c.Directory.DefaultDomain == "" && len(c.Directory.Domains) == 1 {
		c.Directory.DefaultDomain = c.Directory.Domains[0].Name
	}
	preset(&c.SigninPage.Organisation, c.Host()[:min(len(c.Host()), maxOrganisation)])
	preset(&c.SigninPage.LogoDarkFile, c.SigninPage.LogoFile)
	if c.Audit.File == "" {
		c.Audit.Stdout = true
	}
}

func preset(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

// Host returns the host of the public address, without a port.
func (c *Config) Host() string {
	u, err := url.Parse(c.PublicURL)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// absolute makes the paths of files absolute: they are meant from the settings
// file, wherever the service was started.
func (c *Config) absolute(dir string) {
	eachPath(reflect.ValueOf(c).Elem(), "", func(_ string, v reflect.Value) {
		if p := v.String(); p != "" && !filepath.IsAbs(p) {
			v.SetString(filepath.Join(dir, p))
		}
	})
}

// eachPath calls f for each setting that names a file.
func eachPath(v reflect.Value, path string, f func(key string, v reflect.Value)) {
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("yaml")
		if key == "" || key == "-" {
			continue
		}
		full, field := join(path, key), v.Field(i)
		switch {
		case field.Kind() == reflect.String && (strings.HasSuffix(key, "_file") || strings.HasSuffix(key, "_dir") || full == "audit.file" || full == "ops.control"):
			f(full, field)
		case field.Kind() == reflect.Struct:
			eachPath(field, full, f)
		case field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.Struct:
			for j := range field.Len() {
				if item := field.Index(j); item.Type() != prefixType {
					eachPath(item, at(full, j), f)
				}
			}
		}
	}
}

// Problems returns the list that err carries, or err itself as the only item.
func Problems(err error) []Problem {
	var e *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e.Problems
	default:
		return []Problem{{Message: err.Error()}}
	}
}
