package config

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
)

var languages = []string{"en", "nl", "de", "fr", "es"}

func (c *Config) validatePage(p *problems) {
	s := c.SigninPage
	plainText(p, "signin_page.organisation", s.Organisation, 0, maxOrganisation)
	choice(p, "signin_page.language", s.Language, append([]string{"auto"}, languages...))
	for lang, text := range s.HelpText {
		choice(p, "signin_page.help_text."+lang, lang, languages)
		plainText(p, "signin_page.help_text."+lang, text, 0, 200)
	}
	plainText(p, "signin_page.banner", s.Banner, 0, 120)
	for _, l := range []struct{ key, value string }{
		{"help_url", s.HelpURL}, {"privacy_url", s.PrivacyURL}, {"forgot_password_url", s.ForgotPasswordURL},
		{"change_password_url", s.ChangePasswordURL},
	} {
		if msg := link(l.value); msg != "" {
			p.add("signin_page."+l.key, "%s", msg)
		}
	}
	choice(p, "signin_page.keep_signed_in", s.KeepSignedIn, []string{"off", "on", "hidden"})
	accent(p, "signin_page.accent", s.Accent, cardLight)
	accent(p, "signin_page.accent_dark", s.AccentDark, cardDark)
}

func link(s string) string {
	if s == "" {
		return ""
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return quote(s) + " is not an address"
	case u.Scheme == "https":
		return httpsURL(s)
	case (u.Scheme == "mailto" || u.Scheme == "tel") && u.Opaque != "":
		return ""
	default:
		return quote(s) + ": write an https:, mailto: or tel: address"
	}
}

func (c *Config) validateAudit(p *problems) {
	a := c.Audit
	if a.RotateSize < 64_000 {
		p.add("audit.rotate_size", "is below 64KB: every few sign-ins would start a file")
	}
	if a.Buffer < 1 || a.Buffer > 1_000_000 {
		p.add("audit.buffer", "%d is outside 1 to 1000000", a.Buffer)
	}
	if a.File == "" {
		for key, set := range map[string]bool{"audit.no_sync": a.NoSync, "audit.chain_key_file": a.ChainKeyFile != ""} {
			if set {
				p.add(key, "says something about audit.file, which is not set: name the file")
			}
		}
	}
}

func (c *Config) validateOps(p *problems) {
	o := c.Ops
	if msg := listenAddress(o.Listen); msg != "" {
		p.add("ops.listen", "%s", msg)
	} else if o.Listen == c.Listen && !strings.HasSuffix(o.Listen, ":0") {
		p.add("ops.listen", "is the public listener's address: health and metrics stay on their own")
	}
	choice(p, "ops.log_level", o.LogLevel, []string{"debug", "info", "warn", "error"})
	if o.Pprof && o.Control == "" {
		p.add("ops.pprof", "profiles are offered on the control socket only: name it in ops.control")
	}
	if len(o.Control) > 100 {
		p.add("ops.control", "has more than 100 bytes, which a socket's path cannot have")
	}
	if o.DrainTime > 5*time.Minute {
		p.add("ops.drain_time", "%s is longer than 5m", o.DrainTime)
	}
}

// The cards that the accent is shown on, light and dark.
var (
	cardLight = colour{255, 255, 255}
	cardDark  = colour{0x17, 0x23, 0x29}
)

type colour [3]uint8

func parseColour(s string) (colour, bool) {
	if len(s) != 7 || s[0] != '#' {
		return colour{}, false
	}
	n, err := strconv.ParseUint(s[1:], 16, 24)
	return colour{uint8(n >> 16), uint8(n >> 8), uint8(n)}, err == nil
}

func (c colour) String() string { return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2]) }

// luminance is the relative luminance of WCAG 2.2.
func (c colour) luminance() float64 {
	var l float64
	for i, weight := range [3]float64{0.2126, 0.7152, 0.0722} {
		v := float64(c[i]) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		l += weight * v
	}
	return l
}

// contrast is the contrast ratio of WCAG 2.2 (1.4.3), from 1 to 21.
func contrast(a, b colour) float64 {
	la, lb := a.luminance(), b.luminance()
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

func (c colour) passes(card colour) bool {
	text := max(contrast(c, colour{255, 255, 255}), contrast(c, colour{}))
	return text >= 4.5 && contrast(c, card) >= 3
}

// accent refuses a colour that people cannot read, and names the nearest on the
// way to black or white that passes.
func accent(p *problems, key, value string, card colour) {
	c, ok := parseColour(value)
	if !ok {
		p.add(key, "%s is not a colour: write one such as #0d5b6d, in quotes", quote(value))
		return
	}
	if c.passes(card) {
		return
	}
	for step := 1; step <= 100; step++ {
		for _, end := range []colour{{}, {255, 255, 255}} {
			var near colour
			for i := range near {
				near[i] = uint8(int(c[i]) + (int(end[i])-int(c[i]))*step/100)
			}
			if near.passes(card) {
				p.add(key, "%s is too near to the page's own colours to be read (text on it needs a contrast of 4.5, it on the page 3): the nearest that passes is %q", c, near.String())
				return
			}
		}
	}
}
