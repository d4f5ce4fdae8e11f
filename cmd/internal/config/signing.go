package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Signing is the keys that sign tokens: a directory in which they have their whole
// life, or one fixed pair of files.
type Signing struct {
	// KeyDir is where the keys and the record of their life lie, mode 0700. The
	// service makes the next key in time, publishes it, and lets it sign when relying
	// parties know it (see deploy/docs/certificates.md). Default: none, there is one
	// fixed pair of key_file and certificate_file, which nobody replaces by itself.
	KeyDir string `yaml:"key_dir"`
	// Share says how several instances get at the same keys: directory (they all see
	// the same one), or redis (the keys and their record lie in Redis, sealed with
	// key_encryption_file, and key_dir is each instance's own copy). Required
	// beside key_dir with sessions.store: redis.
	Share string `yaml:"share"`
	// Generate makes the first key where there is none: a self-signed certificate for
	// a year, as AD FS does. Without key_dir only with sessions.store: memory,
	// since several instances must sign with one key. Default false.
	Generate bool `yaml:"generate"`
	// KeyFile is the private key (PEM), RSA of 2048, 3072 or 4096 bits, mode 0600
	// in a directory that others cannot read. Beside key_dir it is taken over as
	// the first key. Required without key_dir.
	KeyFile string `yaml:"key_file"`
	// CertificateFile is its certificate (PEM), which Microsoft Entra ID and other
	// parties know. Required beside key_file.
	CertificateFile string `yaml:"certificate_file"`
	// KeyEncryptionFile holds at least 32 random characters, the same on every
	// instance (openssl rand -hex 32), with which private keys are encrypted. It must
	// not lie where the keys do. Required with share: redis; default otherwise: keys
	// are protected by the file's mode only.
	KeyEncryptionFile string `yaml:"key_encryption_file"`
	// PKCS11 keeps the private keys in a module that never gives them out.
	PKCS11 PKCS11 `yaml:"pkcs11"`
	// KeyBits is the size of a generated key. Default 2048.
	KeyBits int `yaml:"key_bits"`
	// Rotation is automatic, or manual: then keys are made and promoted only by
	// sallyport certs, and the service only reminds. Default automatic where there is
	// key_dir.
	Rotation string `yaml:"rotation"`
	// StageBefore is how long before the end of the signing certificate the next key
	// is made and published. Default 1080h (45 days): Microsoft Entra ID first looks
	// 35 days before.
	StageBefore time.Duration `yaml:"stage_before"`
	// PromoteAfter is how long a certificate is published at least before it signs.
	// Default 360h (15 days).
	PromoteAfter time.Duration `yaml:"promote_after"`
	// PartyTime is how long relying parties that were not seen to know the next
	// certificate are given to read it. Default 600h (25 days).
	PartyTime time.Duration `yaml:"party_time"`
	// AlarmBefore is how long before the end of the signing certificate there is an
	// alarm when it still signs. Default 360h (15 days).
	AlarmBefore time.Duration `yaml:"alarm_before"`
	// RetireFor is how long a certificate stays published after it signed, so that
	// its last tokens can be judged. Default 24h.
	RetireFor time.Duration `yaml:"retire_for"`
	// Instance names this instance among the others, the same after a restart.
	// Default: the machine's name and the port of listen.
	Instance string `yaml:"instance"`
}

// PKCS11 is a hardware module or its like. It needs a binary built with the tag
// pkcs11; the shipped one refuses this section.
type PKCS11 struct {
	// ModuleFile is the path of the maker's library (a .so file). Required in pkcs11.
	ModuleFile string `yaml:"module_file"`
	// Token is the label of the token in it. Required in pkcs11.
	Token string `yaml:"token"`
	// PINFile holds the user PIN. Required in pkcs11.
	PINFile string `yaml:"pin_file"`
}

// On reports whether a module is named.
func (p PKCS11) On() bool { return p != PKCS11{} }

// validate wants all of a module that is named at all.
func (p PKCS11) validate(found *problems, key string) {
	for _, k := range [][2]string{{"module_file", p.ModuleFile}, {"token", p.Token}, {"pin_file", p.PINFile}} {
		if p.On() && k[1] == "" {
			found.add(key+"."+k[0], "is missing: name module_file, token and pin_file")
		}
	}
}

// PIN reads the user PIN.
func (p PKCS11) PIN() ([]byte, error) { return Secret{File: p.PINFile}.Read() }

const signingDay = 24 * time.Hour

func defaultSigning() Signing {
	return Signing{
		KeyBits: 2048, StageBefore: 45 * signingDay, PromoteAfter: 15 * signingDay, PartyTime: 25 * signingDay,
		AlarmBefore: 15 * signingDay, RetireFor: signingDay,
	}
}

// Living reports whether the keys have a life cycle.
func (s Signing) Living() bool { return s.KeyDir != "" }

// Manual reports whether keys are made and promoted by hand only.
func (s Signing) Manual() bool { return s.Rotation == "manual" }

// minKeyEncryption is the least length of the key-encryption secret: 32 characters
// of hex have 128 bits.
const minKeyEncryption = 32

// KeyEncryption reads the key-encryption secret, nil when none is named.
func (s Signing) KeyEncryption() ([]byte, error) {
	if s.KeyEncryptionFile == "" {
		return nil, nil
	}
	raw, err := Secret{File: s.KeyEncryptionFile}.Read()
	if err != nil {
		return nil, err
	}
	if len(raw) < minKeyEncryption || strings.Count(string(raw), string(raw[:1])) == len(raw) {
		return nil, fmt.Errorf("%s holds fewer than %d random characters: make it with openssl rand -hex 32", s.KeyEncryptionFile, minKeyEncryption)
	}
	return raw, nil
}

// InstanceName is the name of this instance among the others.
func (c *Config) InstanceName() string {
	if c.Signing.Instance != "" {
		return c.Signing.Instance
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + c.Listen[max(0, strings.LastIndexByte(c.Listen, ':')):]
}

func (c *Config) validateSigning(p *problems) {
	s := c.Signing
	c.validateKeyPlace(p)
	if s.KeyFile != "" && s.KeyFile == s.CertificateFile {
		p.add("signing.certificate_file", "is the same file as key_file: certificate and key stand in two files")
	}
	if s.KeyFile != "" && s.KeyFile == c.TLS.KeyFile {
		p.add("signing.key_file", "is the listener's key too: the key that signs tokens must not be used for anything else")
	}
	if !slices.Contains([]int{2048, 3072, 4096}, s.KeyBits) {
		p.add("signing.key_bits", "write 2048, 3072 or 4096, not %d", s.KeyBits)
	}
	if s.Generate && c.Sessions.Store == "redis" && !s.Living() {
		p.add("signing.generate", "several instances would each make a key of their own, and Microsoft knows only one: name signing.key_dir and signing.share, or make the key once and copy it to each (see deploy/docs/certificates.md)")
	}
	if s.KeyEncryptionFile != "" && s.KeyDir != "" && filepath.Dir(s.KeyEncryptionFile) == filepath.Clean(s.KeyDir) {
		p.add("signing.key_encryption_file", "lies beside the keys that it encrypts: whoever copies the directory has both; put it elsewhere")
	}
	if s.Instance != "" {
		plainText(p, "signing.instance", s.Instance, 1, 64)
	}
	c.validatePKCS11(p)
	c.validateRotation(p)
}

// validateKeyPlace judges where the keys lie and how instances get at them.
func (c *Config) validateKeyPlace(p *problems) {
	s := c.Signing
	switch {
	case !s.Living():
		if s.KeyFile == "" {
			p.add("signing.key_file", "is missing: name signing.key_dir for keys that are replaced in time, or the PEM file with the one token-signing key")
		}
		if s.CertificateFile == "" {
			p.add("signing.certificate_file", "is missing: name signing.key_dir, or the PEM file with the token-signing certificate")
		}
		if s.Share != "" {
			p.add("signing.share", "stands without signing.key_dir: name the directory")
		}
		return
	case (s.KeyFile == "") != (s.CertificateFile == ""):
		p.add("signing.key_file", "key_file and certificate_file go together: name both, or neither")
	}
	switch s.Share {
	case "":
		if c.Sessions.Store == "redis" {
			p.add("signing.share", "is missing: several instances must sign with the same keys; write directory when they all see the same signing.key_dir, or redis (see deploy/docs/certificates.md)")
		}
	case "directory":
	case "redis":
		if c.Sessions.Store != "redis" {
			p.add("signing.share", "redis needs sessions.store: redis, whose server it uses")
		}
		if s.KeyEncryptionFile == "" {
			p.add("signing.key_encryption_file", "is missing: keys go to Redis only sealed; openssl rand -hex 32 makes what seals them, for a file that every instance has")
		}
		if s.PKCS11.On() {
			p.add("signing.pkcs11", "keys in a module are not sent to Redis: write share: directory for the record of their life")
		}
	default:
		choice(p, "signing.share", s.Share, []string{"directory", "redis"})
	}
}

func (c *Config) validatePKCS11(p *problems) {
	s := c.Signing
	if !s.PKCS11.On() {
		return
	}
	if !s.Living() {
		p.add("signing.pkcs11", "needs signing.key_dir, where the record of the keys' life lies")
	}
	s.PKCS11.validate(p, "signing.pkcs11")
	if s.KeyEncryptionFile != "" {
		p.add("signing.key_encryption_file", "stands beside pkcs11, where keys never leave the module: take it out")
	}
	if s.KeyFile != "" {
		p.add("signing.key_file", "stands beside pkcs11: bring an existing key in with sallyport certs import")
	}
}

func (c *Config) validateRotation(p *problems) {
	s := c.Signing
	if s.Rotation != "" {
		choice(p, "signing.rotation", s.Rotation, []string{"automatic", "manual"})
		if s.Rotation == "automatic" && !s.Living() {
			p.add("signing.rotation", "a fixed pair of files is not replaced by itself: name signing.key_dir, and signing.share where several instances run")
		}
	}
	if !s.Living() {
		return
	}
	if s.StageBefore < 2*signingDay || s.StageBefore > 180*signingDay {
		p.add("signing.stage_before", "%s is outside 48h to 4320h", short(s.StageBefore))
	}
	if s.AlarmBefore < signingDay || s.AlarmBefore >= s.StageBefore {
		p.add("signing.alarm_before", "%s is not between 24h and signing.stage_before (%s)", short(s.AlarmBefore), short(s.StageBefore))
	}
	for _, d := range []struct {
		key string
		d   time.Duration
	}{{"promote_after", s.PromoteAfter}, {"party_time", s.PartyTime}} {
		if d.d < time.Hour || d.d > s.StageBefore-s.AlarmBefore {
			p.add("signing."+d.key, "%s is outside 1h to %s, the time between signing.stage_before and signing.alarm_before: an alarm would come before the promotion", short(d.d), short(s.StageBefore-s.AlarmBefore))
		}
	}
	if least := 2 * time.Hour; s.RetireFor < least || s.RetireFor > 30*signingDay {
		p.add("signing.retire_for", "%s is outside 2h to 720h: tokens live up to an hour, and clocks run apart", short(s.RetireFor))
	}
}

func (c *Config) checkSigningFiles(check func(key string, err error)) {
	s := c.Signing
	if s.KeyFile != "" && !s.Generate {
		check("signing.key_file", readable(s.KeyFile))
		check("signing.certificate_file", readable(s.CertificateFile))
	}
	_, err := s.KeyEncryption()
	check("signing.key_encryption_file", err)
	if s.PKCS11.On() {
		check("signing.pkcs11.module_file", readable(s.PKCS11.ModuleFile))
		_, err := s.PKCS11.PIN()
		check("signing.pkcs11.pin_file", err)
	}
}
