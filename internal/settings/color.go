package settings

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"postern/internal/input"
)

// Accent is the accent colour as both themes can use it: readable as text and as a button
// on the page of that theme, with the colour of the text that stands on it.
type Accent struct {
	Light, OnLight string // #rrggbb
	Dark, OnDark   string
}

const (
	lightBack   = "#f3f4f6" // the surfaces on which the accent stands as text, at their worst;
	darkBack    = "#23272f" // they are tinted with the accent itself, so some more is asked for
	textRatio   = 5.2       // than the 4.5 of WCAG 2.2, 1.4.3
	leastAccent = 2.0       // against white: below it, what is readable is another colour
)

type rgb struct{ r, g, b float64 } // 0 to 1

// color reads #rrggbb and refuses a colour that cannot be seen on a white page.
func color(value string) (string, input.Problem) {
	value = strings.ToLower(strings.TrimSpace(value))
	c, ok := parseColor(value)
	switch {
	case !ok:
		return "", input.NotColor
	case contrast(c, mustColor("#ffffff")) < leastAccent:
		return "", input.PaleColor
	}
	return value, ""
}

func parseColor(value string) (rgb, bool) {
	digits, ok := strings.CutPrefix(value, "#")
	n, err := strconv.ParseUint(digits, 16, 32)
	if !ok || err != nil || len(digits) != 6 {
		return rgb{}, false
	}
	part := func(shift int) float64 { return float64(n>>shift&0xff) / 255 }
	return rgb{part(16), part(8), part(0)}, true
}

func mustColor(value string) rgb {
	c, _ := parseColor(value)
	return c
}

func (c rgb) String() string {
	part := func(x float64) int { return int(math.Round(x * 255)) }
	return fmt.Sprintf("#%02x%02x%02x", part(c.r), part(c.g), part(c.b))
}

// luminance is the relative luminance of WCAG 2.2.
func (c rgb) luminance() float64 {
	linear := func(x float64) float64 {
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.r) + 0.7152*linear(c.g) + 0.0722*linear(c.b)
}

// contrast is the contrast ratio of WCAG 2.2, 1 to 21.
func contrast(a, b rgb) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func (c rgb) mix(other rgb, share float64) rgb {
	mix := func(x, y float64) float64 { return x + (y-x)*share }
	return rgb{mix(c.r, other.r), mix(c.g, other.g), mix(c.b, other.b)}
}

// readable moves a colour towards another until it stands out from the page.
func (c rgb) readable(page, towards rgb) rgb {
	for share := 0.0; share <= 1; share += 0.02 {
		if moved := c.mix(towards, share); contrast(moved, page) >= textRatio {
			return moved
		}
	}
	return towards
}

// on is the text colour, black or white, that reads better on c.
func (c rgb) on() string {
	white, black := mustColor("#ffffff"), mustColor("#000000")
	if contrast(white, c) >= contrast(black, c) {
		return white.String()
	}
	return black.String()
}

// AccentOf works an accent colour out for both themes; false when it is no such colour.
func AccentOf(value string) (Accent, bool) {
	c, ok := parseColor(value)
	if !ok {
		return Accent{}, false
	}
	light := c.readable(mustColor(lightBack), mustColor("#000000"))
	dark := c.readable(mustColor(darkBack), mustColor("#ffffff"))
	return Accent{Light: light.String(), OnLight: light.on(), Dark: dark.String(), OnDark: dark.on()}, true
}
