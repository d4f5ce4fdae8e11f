package pages

import (
	"fmt"
	"math"
	"strconv"
)

// colour is an sRGB colour.
type colour struct{ r, g, b uint8 }

func parseColour(s string) (colour, error) {
	if len(s) != 7 || s[0] != '#' {
		return colour{}, fmt.Errorf("%q is not a colour of the form #0d5b6d", s)
	}
	n, err := strconv.ParseUint(s[1:], 16, 32)
	if err != nil {
		return colour{}, fmt.Errorf("%q is not a colour of the form #0d5b6d", s)
	}
	return colour{uint8(n >> 16), uint8(n >> 8), uint8(n)}, nil
}

func (c colour) String() string { return fmt.Sprintf("#%02x%02x%02x", c.r, c.g, c.b) }

// luminance is the relative luminance of WCAG 2.2.
func (c colour) luminance() float64 {
	linear := func(v uint8) float64 {
		x := float64(v) / 255
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.r) + 0.7152*linear(c.g) + 0.0722*linear(c.b)
}

// contrast is the contrast ratio of WCAG 2.2, from 1 to 21.
func contrast(a, b colour) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// mix returns c with the given share of other.
func (c colour) mix(other colour, share float64) colour {
	m := func(a, b uint8) uint8 { return uint8(math.Round(float64(a)*(1-share) + float64(b)*share)) }
	return colour{m(c.r, other.r), m(c.g, other.g), m(c.b, other.b)}
}

var white, black = colour{255, 255, 255}, colour{}

// scheme is what an accent has to live with, light or dark.
type scheme struct {
	name       string
	card, page colour
	text       colour // on the accent
	away       colour // from the card: hover and links go there
}

var (
	light = scheme{"light", white, colour{0xe9, 0xef, 0xf1}, white, black}
	dark  = scheme{"dark", colour{0x17, 0x23, 0x29}, colour{0x0c, 0x14, 0x18}, colour{0x06, 0x28, 0x2f}, white}
)

// passes reports whether text can be read on the accent (4.5, WCAG 1.4.3) and the
// accent be seen on the card (3, WCAG 1.4.11).
func (s scheme) passes(c colour) bool {
	return contrast(c, s.text) >= 4.5 && contrast(c, s.card) >= 3
}

// accent checks a colour; the error names the nearest one that passes.
func (s scheme) accent(hex string) (colour, error) {
	c, err := parseColour(hex)
	if err != nil || s.passes(c) {
		return c, err
	}
	return c, fmt.Errorf("%s has contrast %.1f with its text (4.5 needed) and %.1f with the card (3 needed); the nearest that passes is %s",
		hex, contrast(c, s.text), contrast(c, s.card), s.nearest(c))
}

// nearest moves c towards black and towards white until it passes.
func (s scheme) nearest(c colour) colour {
	for i := 1; i <= 100; i++ {
		for _, to := range []colour{s.away, white, black} {
			if n := c.mix(to, float64(i)/100); s.passes(n) {
				return n
			}
		}
	}
	return s.away
}

// rules are the custom properties that make the scheme's accent c. Links stand
// on card and page as text and so may need to be stronger than the accent.
func (s scheme) rules(c colour) string {
	link := c
	for i := 1; i <= 100 && (contrast(link, s.card) < 4.5 || contrast(link, s.page) < 4.5); i++ {
		link = c.mix(s.away, float64(i)/100)
	}
	return fmt.Sprintf(":root{--accent:%s;--accent-hover:%s;--on-accent:%s;--link:%s}", c, c.mix(s.away, 0.25), s.text, link)
}
