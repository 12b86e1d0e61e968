package views

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

func digits(n int) string { return strconv.Itoa(n) }

func truth(b bool) string { return strconv.FormatBool(b) }

func lower(s string) string { return strings.ToLower(s) }

// plural says "1 minute" or "2 minutes".
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}

// Duration says how long something lasts, in the largest unit that fits exactly.
func Duration(d time.Duration) string {
	switch {
	case d >= 24*time.Hour && d%(24*time.Hour) == 0:
		return plural(int(d/(24*time.Hour)), "day")
	case d >= 2*time.Hour && d%time.Hour == 0:
		return plural(int(d/time.Hour), "hour")
	case d >= time.Minute:
		return plural(int((d+time.Minute-1)/time.Minute), "minute")
	}
	return plural(max(1, int((d+time.Second-1)/time.Second)), "second")
}

// dialable leaves of a telephone number what a telephone needs.
func dialable(number string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("+0123456789", r) {
			return r
		}
		return -1
	}, number)
}

// hostOf names a web address by its host.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host
}

const exactTime = "2 January 2006, 15:04"

// exact is the time in full, with its zone.
func (t Time) exact() string { return t.At.In(t.Zone).Format(exactTime + " MST") }

// relative is the time as people say it.
func (t Time) relative() string {
	ago := t.Now.Sub(t.At)
	switch {
	case t.At.UnixMilli() == 0:
		return "never"
	case ago < time.Minute:
		return "just now"
	case ago < time.Hour:
		return plural(int(ago/time.Minute), "minute") + " ago"
	case ago < 24*time.Hour:
		return plural(int(ago/time.Hour), "hour") + " ago"
	case ago < 7*24*time.Hour:
		return plural(int(ago/(24*time.Hour)), "day") + " ago"
	}
	return t.At.In(t.Zone).Format("2 January 2006")
}

// word is the score in one word.
func (s Strength) word() string {
	if !s.Typed {
		return "Strength"
	}
	return [...]string{"Very weak", "Weak", "Fair", "Good", "Strong"}[s.Score]
}

// spoken is what a screen reader says after a pause in typing.
func (s Strength) spoken() string {
	if !s.Typed {
		return ""
	}
	open := 0
	for _, r := range s.Requirements {
		if !r.Met {
			open++
		}
	}
	if open == 0 {
		return s.word() + ". All requirements are met."
	}
	return s.word() + ". " + plural(open, "requirement") + " not met yet."
}

var adviceTexts = map[string]string{
	"more":     "Add another word or two; uncommon ones are better.",
	"top":      "This is one of the first passwords anybody would try.",
	"common":   "This is a common password. Make up one of your own.",
	"similar":  "This is close to a common password; swapping letters for digits hardly helps.",
	"word":     "One word alone is easy to guess. Add others.",
	"name":     "Names are easy to guess. Add words that have nothing to do with them.",
	"personal": "This is close to your own name or address. Use words that have nothing to do with you.",
	"keyboard": "Neighbouring keys are easy to guess. Use words instead.",
	"repeat":   "Repeating something hardly makes it harder to guess.",
	"sequence": "Rows such as abc or 6543 are easy to guess.",
	"year":     "Years are easy to guess. Use words instead.",
	"date":     "Dates are easy to guess. Use words instead.",
}

// advice is one sentence that helps; never empty, so that nothing jumps.
func (s Strength) advice() string {
	switch {
	case s.TooLong:
		return ProblemText("password_too_long", "", 256, nil)
	case !s.Typed:
		return "Three or four unrelated words make a good password."
	}
	if text, ok := adviceTexts[s.Advice]; ok {
		return text
	}
	return "This is hard to guess."
}

// list joins words as people do.
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// zoneLabel makes an IANA name easier to read.
func zoneLabel(zone string) string {
	return strings.ReplaceAll(strings.ReplaceAll(zone, "_", " "), "/", " / ")
}

func digits64(n int64) string { return strconv.FormatInt(n, 10) }

// groups puts a blank after every fourth character, so that a long secret can be typed.
func groups(secret string) string {
	var parts []string
	for len(secret) > 4 {
		parts, secret = append(parts, secret[:4]), secret[4:]
	}
	return strings.Join(append(parts, secret), " ")
}

func lines(texts []string) string { return strings.Join(texts, "\n") }

// percent escapes a text for a data address.
func percent(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

func orUnknown(device string) string {
	if device == "" {
		return "Unknown browser"
	}
	return device
}
