package views

import (
	"fmt"
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

// RequirementText is a rule of the password policy as a line of the list.
func RequirementText(rule string, limit int) string {
	switch rule {
	case "length":
		return "At least " + plural(limit, "character")
	case "upper":
		return "A capital letter"
	case "lower":
		return "A small letter"
	case "digit":
		return "A digit"
	case "special":
		return "A special character, such as ! or a blank"
	case "strength":
		return "Hard to guess"
	case "personal":
		return "Without your name, your address or the names of the portal"
	case "common":
		return "Not a common password"
	case "breached":
		return "Not found in a known breach"
	case "match":
		return "Typed the same twice"
	}
	return rule
}

// ProblemText says what is wrong with a field, and what to do.
func ProblemText(problem, field string, limit int, choices []string) string {
	switch problem {
	case "missing":
		return missingText(field)
	case "too_long":
		return fmt.Sprintf("Use %d characters at most.", max(limit, 100))
	case "not_email":
		return "Enter an e-mail address such as name@example.com."
	case "not_username":
		return "Use 3 to 32 of the letters a to z, digits, dots, hyphens and underscores."
	case "not_name":
		return "Leave out control characters and marks that cannot be seen."
	case "not_phone":
		return "Enter a telephone number such as +49 30 1234567."
	case "not_time_zone":
		return "Choose a time zone from the list."
	case "not_boolean":
		return "Use true or false."
	case "not_number":
		return "Use a whole number from " + strings.Join(choices, " to ") + "."
	case "not_choice":
		return "Use one of: " + strings.Join(choices, ", ") + "."
	case "not_color":
		return "Use a colour such as #1d4ed8."
	case "pale_color":
		return "This colour is too pale to be read on a white page. Choose a darker one."
	case "not_web_address":
		return "Use a web address such as https://example.com/help."
	case "not_setting":
		return "There is no such setting."
	case "username_taken":
		return "This username is taken. Choose another one."
	case "email_taken":
		return "Another user has this address."
	case "email_unusable":
		return "This address cannot be used here. Ask your administrator if it should be yours."
	case "same_email":
		return "This is your address already."
	case "name_taken":
		return "This name is taken. Choose another one."
	case "no_such_user":
		return "There is no such user."
	case "no_such_role":
		return "There is no such role."
	case "no_such_organization":
		return "There is no such organization."
	case "wrong_password":
		return "This is not your current password. Try again."
	case "wrong_username":
		return "This username does not belong to the link. After five wrong ones the link stops working."
	case "wrong_sign_in":
		return "Name and password do not match an account that can sign in. Check both, or use the link below the button."
	case "weak_password":
		return weakText(limit, choices)
	case "password_too_long":
		return fmt.Sprintf("Use %d characters at most.", limit)
	case "passwords_differ":
		return "The two passwords are not the same. Type the new one again in both fields."
	}
	return problem
}

var missingTexts = map[string]string{
	"login":            "Enter your e-mail address or username.",
	"password":         "Enter a password.",
	"current_password": "Enter your current password.",
	"confirm":          "Enter the new password again.",
	"email":            "Enter an e-mail address.",
	"username":         "Enter your username.",
	"name":             "Enter a name.",
	"portal_name":      "Enter the name of the portal.",
}

func missingText(field string) string {
	if text, ok := missingTexts[field]; ok {
		return text
	}
	return "This cannot be empty."
}

// weakTexts are the rules as what a refused password still needs.
var weakTexts = map[string]string{
	"upper": "a capital letter", "lower": "a small letter", "digit": "a digit", "special": "a special character",
}

func weakText(limit int, rules []string) string {
	var needs, others []string
	for _, rule := range rules {
		switch rule {
		case "length":
			needs = append(needs, "at least "+plural(limit, "character"))
		case "strength":
			others = append(others, "It is too easy to guess.")
		case "personal":
			others = append(others, "It holds your name, your address or a name of the portal.")
		case "common":
			others = append(others, "It is a common password.")
		case "breached":
			others = append(others, "It was found in a known breach, so others will try it.")
		default:
			needs = append(needs, weakTexts[rule])
		}
	}
	text := strings.Join(others, " ")
	if len(needs) > 0 {
		text = strings.TrimSpace("This password needs " + list(needs) + ". " + text)
	}
	return text + " Choose another one."
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
