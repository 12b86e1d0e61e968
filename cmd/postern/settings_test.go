package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// standards are the settings of a portal where nobody has changed any.
var standards = map[string]string{
	"portal.name": "Customer Portal", "portal.accent": "#1d4ed8", "support.email": "", "support.phone": "", "support.url": "",
	"recovery.enabled": "true", "recovery.identify_by": "email", "recovery.confirm_username": "false", "recovery.require_prior_sign_in": "false",
	"recovery.link_minutes": "60", "recovery.link_label": "Forgot your password?", "recovery.mail_subject": "Password change request",
	"recovery.mail_link_text": "Please confirm this was you.", "invitation.days": "7", "password.change_enabled": "true",
	"password.min_length": "8", "password.min_length_without_mfa": "8", "password.require_upper": "true", "password.require_digit": "true",
	"password.require_special": "true", "password.require_lower": "false", "password.min_strength": "3", "password.breach_check": "off",
	"mfa.required_for": "staff", "mfa.trust_device_days": "30", "session.idle_minutes": "60", "session.max_hours": "24",
	"session.staff_idle_minutes": "15", "session.staff_max_hours": "12", "retention.audit_days": "0", "retention.mail_days": "90",
}

func (c *console) settings() map[string]string {
	c.t.Helper()
	values := map[string]string{}
	if err := json.Unmarshal([]byte(c.do("settings", "list", "--json")), &values); err != nil {
		c.t.Fatal(err)
	}
	return values
}

func TestEverySettingIsThereWithItsDefault(t *testing.T) {
	c := newConsole(t)
	c.do("migrate")
	if got := c.settings(); !maps.Equal(got, standards) {
		t.Errorf("the settings are %v", got)
	}
	text := c.do("settings", "list")
	for key, value := range standards {
		found := slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
			name, rest, _ := strings.Cut(line+" ", " ")
			return name == key && strings.TrimSpace(rest) == value
		})
		if !found {
			t.Errorf("the list does not show %s as %q", key, value)
		}
		if got := strings.TrimSuffix(c.do("settings", "get", key), "\n"); got != value {
			t.Errorf("%s is %q instead of %q", key, got, value)
		}
	}
}

func TestASettingIsKeptOrRefusedWithTheReason(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		for key, value := range map[string]string{"portal.name": "Northwind Desk", "recovery.link_minutes": "5", "session.max_hours": "168",
			"recovery.enabled": "false", "password.breach_check": "online", "support.phone": "+49 30 1234567"} {
			c.do("settings", "set", key, value)
			if got := c.do("settings", "get", key); got != value+"\n" {
				t.Errorf("%s is %q instead of %q", key, got, value)
			}
		}
		before := c.settings()
		for _, test := range [][]string{
			{"recovery.link_minutes", "4", "5 to 1440"}, {"recovery.link_minutes", "1441", "5 to 1440"}, {"recovery.link_minutes", "an hour", "5 to 1440"},
			{"recovery.enabled", "yes", "true or false"}, {"recovery.identify_by", "phone", "email, email_and_username"},
			{"mfa.required_for", "nobody", "staff, everyone"}, {"password.min_length", "7", "8 to 64"}, {"password.min_strength", "5", "0 to 4"},
			{"portal.accent", "blue", "#1d4ed8"}, {"support.email", "help", "name@example.com"}, {"support.url", "javascript:alert(1)", "https://"},
			{"portal.name", "", "cannot be empty"}, {"portal.nme", "x", "no such setting"}, {"password.preset", "easy", "classic, nist"},
		} {
			c.refuse([]string{"settings", "set", test[0], test[1]}, test[0]+":", test[2])
		}
		c.refuse([]string{"settings", "get", "portal.nme"}, "portal.nme")
		if after := c.settings(); !maps.Equal(before, after) {
			t.Errorf("a refused value was kept: %v", after)
		}
		c.do("settings", "set", "support.phone", "")
		if got := c.do("settings", "get", "support.phone"); got != "\n" {
			t.Errorf("an emptied setting is %q", got)
		}
	})
}

func TestAPresetStandsForSeveralSettings(t *testing.T) {
	c := newConsole(t)
	c.do("migrate")
	c.do("settings", "set", "password.preset", "nist")
	nist := maps.Clone(standards)
	for _, class := range []string{"upper", "lower", "digit", "special"} {
		nist["password.require_"+class] = "false"
	}
	nist["password.min_length_without_mfa"] = "15"
	if got := c.settings(); !maps.Equal(got, nist) {
		t.Errorf("after nist: %v", got)
	}
	// The new policy holds for commands, too: no classes, but length.
	args := []string{"user", "create", "--name", "Zoë", "--password-stdin", "--email"}
	if _, err := c.try("Amber-Violin-7", append(args, "short@acme.example")...); err == nil || !strings.Contains(err.Error(), "at least 15 characters") {
		t.Errorf("14 characters: %v", err)
	}
	if _, err := c.try("amber violin meadow", append(args, "long@acme.example")...); err != nil {
		t.Errorf("19 small letters: %v", err)
	}
	c.do("settings", "set", "password.preset", "classic")
	if got := c.settings(); !maps.Equal(got, standards) {
		t.Errorf("after classic: %v", got)
	}
}
