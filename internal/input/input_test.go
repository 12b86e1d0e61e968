package input_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"postern/internal/input"
)

func TestOnlyBareAddressesAreTaken(t *testing.T) {
	for _, good := range []string{"ann@acme.example", " Ann.Smith+portal@Acme.Example ", "o'neil@acme.example", "x@a-b.c1.example"} {
		if got, problem := input.Email(good); problem != "" || got != strings.TrimSpace(good) {
			t.Errorf("%q became %q (%s)", good, got, problem)
		}
	}
	for _, bad := range []string{"", "ann", "@acme.example", "ann@", "ann@acme", `"a b"@acme.example`, "Ann <ann@acme.example>",
		"ann@acme.example (Ann)", "group: ann@acme.example;", "a@acme.example,b@acme.example", "ann@acme.example\r\nBcc: eve@evil.example",
		"ann@acme.example\x00", "mİke@acme.example", "\u212aim@acme.example", "mıke@acme.example", "ann@acmé.example", "ann..b@acme.example",
		".ann@acme.example", "ann@-acme.example", "ann@[127.0.0.1]", strings.Repeat("a", 65) + "@acme.example",
		"ann@" + strings.Repeat("acme.", 60) + "example", strings.Repeat("a@", 50000)} {
		if got, problem := input.Email(bad); problem == "" {
			t.Errorf("%.60q was taken for the address %q", bad, got)
		}
	}
}

func TestUsernamesAreFoldedAndNeverLookLikeAddresses(t *testing.T) {
	for typed, want := range map[string]string{" Ann.Smith ": "ann.smith", "a_b-c": "a_b-c", "": ""} {
		if got, problem := input.Username(typed); problem != "" || got != want {
			t.Errorf("%q became %q (%s)", typed, got, problem)
		}
	}
	for _, bad := range []string{"ab", strings.Repeat("a", 33), "ann@acme", "ann smith", "änn", "K\u0131m", "ann\x00"} {
		if _, problem := input.Username(bad); problem == "" {
			t.Errorf("%q was taken for a username", bad)
		}
	}
}

func TestATwinInAnotherScriptIsNotTheSameLogin(t *testing.T) {
	if got := input.Login("  ANN@Acme.Example "); got != "ann@acme.example" {
		t.Errorf("folded to %q", got)
	}
	for _, twin := range []string{"\u212aim@acme.example", "mİke@acme.example"} {
		if got := input.Login(twin); got == "kim@acme.example" || got == "mike@acme.example" {
			t.Errorf("%q folds to its ASCII twin", twin)
		}
	}
}

func TestNamesThatPretendAreRefused(t *testing.T) {
	for _, good := range []string{"Ann Smith", "Zoë O'Neil-Müller", "李小龍", "می\u200cخواهم", "Acme & Co. KG (Berlin)"} {
		if got, problem := input.Name(good); problem != "" || got != good {
			t.Errorf("%q became %q (%s)", good, got, problem)
		}
	}
	for _, bad := range []string{"", "   ", "Ann\u202eelpmaxe", "An\u200bn", "Ann\x00", "Ann\x1b[31m", strings.Repeat("a", 101), "e" + strings.Repeat("\u0301", 100000)} {
		if _, problem := input.Name(bad); problem == "" {
			t.Errorf("%.40q was taken for a name", bad)
		}
	}
	if got, problem := input.Name("Ann\r\n Smith"); problem != "" || got != "Ann Smith" {
		t.Errorf("a line break became %q (%s)", got, problem)
	}
}

func TestPhoneNumbersAreTakenAsWritten(t *testing.T) {
	for _, good := range []string{"", "+49 (0)30 1234-567", "555.123.4567 x89"} {
		if _, problem := input.Phone(good); problem != "" {
			t.Errorf("%q: %s", good, problem)
		}
	}
	for _, bad := range []string{"call me", strings.Repeat("1", 33), "+49<script>"} {
		if _, problem := input.Phone(bad); problem == "" {
			t.Errorf("%q was taken for a number", bad)
		}
	}
}

func TestEveryTimeZoneOfferedIsKnown(t *testing.T) {
	zones := input.TimeZones()
	if !slices.IsSorted(zones) || len(zones) < 400 {
		t.Errorf("%d time zones, sorted: %v", len(zones), slices.IsSorted(zones))
	}
	for _, zone := range zones {
		if _, err := time.LoadLocation(zone); err != nil {
			t.Errorf("%s: %v", zone, err)
		}
		if _, problem := input.TimeZone(zone); problem != "" {
			t.Errorf("%s is refused", zone)
		}
	}
	for _, bad := range []string{"", "Local", "../../etc/passwd", "Mars/Olympus"} {
		if _, problem := input.TimeZone(bad); problem == "" {
			t.Errorf("%q was taken for a time zone", bad)
		}
	}
}
