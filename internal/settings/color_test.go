package settings_test

import (
	"fmt"
	"math"
	"strconv"
	"testing"

	"postern/internal/settings"
)

// luminance is the relative luminance of a colour #rrggbb (WCAG 2.2).
func luminance(t *testing.T, color string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(color[1:], 16, 32)
	if err != nil || len(color) != 7 || color[0] != '#' {
		t.Fatalf("%q is no colour", color)
	}
	linear := func(shift int) float64 {
		x := float64(n>>shift&0xff) / 255
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(16) + 0.7152*linear(8) + 0.0722*linear(0)
}

// contrast is the contrast ratio of two colours (WCAG 2.2).
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// The grounds on which static/postern.css sets text in the accent colour, before it mixes a
// little of that colour into them.
const (
	lightCard, lightPage, lightSunken = "#ffffff", "#f5f6f8", "#f3f4f6"
	darkCard, darkPage, darkSunken    = "#1a1d23", "#111317", "#23272f"
)

// spread are colours from all over, with every grey.
func spread() (all []string) {
	for grey := range 256 {
		all = append(all, fmt.Sprintf("#%02x%02x%02x", grey, grey, grey))
	}
	for r := 0; r < 256; r += 15 {
		for g := 0; g < 256; g += 15 {
			for b := 0; b < 256; b += 15 {
				all = append(all, fmt.Sprintf("#%02x%02x%02x", r, g, b))
			}
		}
	}
	return all
}

// checkContrast fails the test for the worst colour of which the pair cannot be read.
func checkContrast(t *testing.T, what string, pair func(settings.Accent) (text, ground string)) {
	t.Helper()
	worst, of, bad := 21.0, "", 0
	for _, color := range spread() {
		accent, ok := settings.AccentOf(color)
		if !ok {
			t.Fatalf("%s is refused", color)
		}
		text, ground := pair(accent)
		if ratio := contrast(t, text, ground); ratio < 4.5 {
			bad++
			if ratio < worst {
				worst, of = ratio, fmt.Sprintf("%s (%s on %s)", color, text, ground)
			}
		}
	}
	if bad > 0 {
		t.Errorf("%s: %d colours cannot be read, at worst %s with %.3f", what, bad, of, worst)
	}
}

func TestEveryAccentCanBeRead(t *testing.T) {
	for what, pair := range map[string]func(settings.Accent) (string, string){
		"a link on a light card":   func(a settings.Accent) (string, string) { return a.Light, lightCard },
		"a link on the light page": func(a settings.Accent) (string, string) { return a.Light, lightPage },
		"a link in a light menu":   func(a settings.Accent) (string, string) { return a.Light, lightSunken },
		"a link on a dark card":    func(a settings.Accent) (string, string) { return a.Dark, darkCard },
		"a link on the dark page":  func(a settings.Accent) (string, string) { return a.Dark, darkPage },
		"a link in a dark menu":    func(a settings.Accent) (string, string) { return a.Dark, darkSunken },
		"a button, light":          func(a settings.Accent) (string, string) { return a.OnLight, a.Light },
		"a button, dark":           func(a settings.Accent) (string, string) { return a.OnDark, a.Dark },
	} {
		checkContrast(t, what, pair)
	}
}

func TestAnAccentThatIsReadableStaysAsItWas(t *testing.T) {
	accent, ok := settings.AccentOf("#1d4ed8")
	if !ok || accent.Light != "#1d4ed8" {
		t.Errorf("it became %+v", accent)
	}
	for _, bad := range []string{"", "#", "1d4ed8", "#1d4ed", "#1d4ed88", "#1d4edg", "#-d4ed8", "red;}"} {
		if accent, ok := settings.AccentOf(bad); ok {
			t.Errorf("%q became %+v", bad, accent)
		}
	}
}
