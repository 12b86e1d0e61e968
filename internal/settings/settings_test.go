package settings_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/input"
	"postern/internal/settings"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// save stores settings in one transaction.
func save(t *testing.T, d *db.DB, values map[string]string) (changes []settings.Change, err error) {
	t.Helper()
	err = d.Update(t.Context(), func(tx *db.Tx) error {
		changes, err = settings.Save(t.Context(), tx, values)
		return err
	})
	return changes, err
}

// current is what a process that has just started reads.
func current(t *testing.T, d *db.DB) *settings.Settings {
	t.Helper()
	s, err := settings.NewStore(d).Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(t *testing.T, s *settings.Settings, key string) string {
	t.Helper()
	value, ok := s.Get(key)
	if !ok {
		t.Fatalf("there is no setting %s", key)
	}
	return value
}

// standard is every setting that operators rely on, with its default.
var standard = map[string]string{
	"portal.name": "Customer Portal", "portal.accent": "#1d4ed8", "support.email": "", "support.phone": "", "support.url": "",
	"recovery.enabled": "true", "recovery.identify_by": "email", "recovery.confirm_username": "false",
	"recovery.require_prior_sign_in": "false", "recovery.link_minutes": "60", "recovery.link_label": "Forgot your password?",
	"recovery.mail_subject": "Password change request", "recovery.mail_link_text": "Please confirm this was you.", "invitation.days": "7",
	"password.change_enabled": "true", "password.min_length": "8", "password.min_length_without_mfa": "8", "password.require_upper": "true",
	"password.require_digit": "true", "password.require_special": "true", "password.require_lower": "false", "password.min_strength": "3",
	"password.breach_check": "off", "mfa.required_for": "staff", "mfa.trust_device_days": "30", "session.idle_minutes": "60",
	"session.max_hours": "24", "session.staff_idle_minutes": "15", "session.staff_max_hours": "12", "retention.audit_days": "0",
	"retention.mail_days": "90",
}

func TestEverySettingHasTheDefaultThatIsPromised(t *testing.T) {
	for key, want := range standard {
		if got := get(t, settings.Defaults(), key); got != want {
			t.Errorf("%s is %q instead of %q", key, got, want)
		}
	}
	for _, key := range settings.Keys() {
		if _, ok := standard[key]; !ok {
			t.Errorf("%s is a setting that nobody was promised", key)
		}
	}
	if _, ok := settings.Defaults().Get("password.preset"); ok {
		t.Error("a preset can be read")
	}
}

// line is what is wrong with the texts that are one line.
var line = map[string]input.Problem{"": input.Missing, "  ": input.Missing, strings.Repeat("ä", 101): input.TooLong, "a\x00b": input.NotName,
	"\u202egnihsihp": input.NotName}

// boolean is what is wrong with switches.
var boolean = map[string]input.Problem{"": input.NotBoolean, "yes": input.NotBoolean, "True": input.NotBoolean, "1": input.NotBoolean}

// numbers are what lies outside the bounds, and what is no number.
func numbers(least, most int) map[string]input.Problem {
	return map[string]input.Problem{strconv.Itoa(least - 1): input.NotNumber, strconv.Itoa(most + 1): input.NotNumber, "": input.NotNumber,
		"8.5": input.NotNumber, "1e1": input.NotNumber, "０９": input.NotNumber, "99999999999999999999": input.NotNumber, "8 ": input.NotNumber}
}

func TestNoSettingTakesWhatItCannotBe(t *testing.T) {
	choice := map[string]input.Problem{"": input.NotChoice, "nobody": input.NotChoice, "EMAIL": input.NotChoice}
	dbtest.Each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		tried := map[string]bool{}
		for keys, c := range map[string]struct {
			good map[string]string // typed: stored
			bad  map[string]input.Problem
		}{
			"portal.name recovery.link_label recovery.mail_subject recovery.mail_link_text": {
				map[string]string{" Zugang  für\tSie ": "Zugang für Sie", "Reset\r\nBcc: eve@evil.example": "Reset Bcc: eve@evil.example",
					strings.Repeat("ä", 100): strings.Repeat("ä", 100)}, line},
			"portal.accent": {map[string]string{" #0A7F3C ": "#0a7f3c"},
				map[string]input.Problem{"": input.NotColor, "blue": input.NotColor, "#fff": input.NotColor, "#12345g": input.NotColor,
					"0a7f3c": input.NotColor, "#0a7f3c;}": input.NotColor, "#ffffff": input.PaleColor, "#ffff00": input.PaleColor, "#f0f0f0": input.PaleColor}},
			"support.email": {map[string]string{" help@acme.example ": "help@acme.example", " ": ""},
				map[string]input.Problem{"help": input.NotEmail, "Help <help@acme.example>": input.NotEmail, "a@b.example\r\nBcc: c@d.example": input.NotEmail}},
			"support.phone": {map[string]string{"+49 30 1234": "+49 30 1234", "": ""}, map[string]input.Problem{"call me": input.NotPhone}},
			"support.url": {map[string]string{"https://help.acme.example/a?b=c": "https://help.acme.example/a?b=c", "": ""},
				map[string]input.Problem{"javascript:alert(1)": input.NotWebAddress, "help.acme.example": input.NotWebAddress,
					"//help.acme.example": input.NotWebAddress, "https://": input.NotWebAddress, "https://u:p@acme.example": input.NotWebAddress,
					"data:text/html,x": input.NotWebAddress, "https://acme.example/\nx": input.NotWebAddress, "/help": input.NotWebAddress}},
			"recovery.enabled recovery.confirm_username recovery.require_prior_sign_in password.change_enabled password.require_upper " +
				"password.require_lower password.require_digit password.require_special": {
				map[string]string{"true": "true", "false": "false"}, boolean},
			"recovery.identify_by":  {map[string]string{"email": "email", "email_and_username": "email_and_username"}, choice},
			"password.breach_check": {map[string]string{"off": "off", "local": "local", "online": "online"}, choice},
			"mfa.required_for":      {map[string]string{"staff": "staff", "everyone": "everyone"}, choice},
			"recovery.link_minutes": {map[string]string{"5": "5", "1440": "1440"}, numbers(5, 1440)},
			"invitation.days":       {map[string]string{"1": "1", "30": "30"}, numbers(1, 30)},
			"password.min_length password.min_length_without_mfa": {map[string]string{"8": "8", "64": "64"}, numbers(8, 64)},
			"password.min_strength":                               {map[string]string{"0": "0", "4": "4"}, numbers(0, 4)},
			"mfa.trust_device_days":                               {map[string]string{"0": "0", "90": "90"}, numbers(0, 90)},
			"session.idle_minutes session.staff_idle_minutes session.max_hours session.staff_max_hours": {
				map[string]string{"12": "12"}, map[string]input.Problem{"0": input.NotNumber, "-1": input.NotNumber, "1000000": input.NotNumber}},
			"retention.audit_days retention.mail_days": {map[string]string{"0": "0", "365": "365"}, map[string]input.Problem{"-1": input.NotNumber, "x": input.NotNumber}},
		} {
			for key := range strings.FieldsSeq(keys) {
				tried[key] = true
				for typed, stored := range c.good {
					if _, err := save(t, d, map[string]string{key: typed}); err != nil {
						t.Errorf("%s = %q: %v", key, typed, err)
					} else if got := get(t, current(t, d), key); got != stored {
						t.Errorf("%s = %q became %q", key, typed, got)
					}
				}
				before := get(t, current(t, d), key)
				for typed, problem := range c.bad {
					_, err := save(t, d, map[string]string{key: typed})
					refused, ok := errors.AsType[*input.Error](err)
					if !ok || len(refused.Fields) != 1 || refused.Fields[0].Name != key || refused.Fields[0].Problem != problem {
						t.Errorf("%s = %.30q: %v instead of %s", key, typed, err, problem)
					}
				}
				if got := get(t, current(t, d), key); got != before {
					t.Errorf("%s was %q and is %q", key, before, got)
				}
			}
		}
		for _, key := range settings.Keys() {
			if !tried[key] {
				t.Errorf("%s was not tried", key)
			}
		}
	})
}

func TestOnlyWhatDiffersCountsAsAChange(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		changes, err := save(t, d, map[string]string{"portal.name": " Customer  Portal ", "invitation.days": "3", "recovery.enabled": "true"})
		if want := []settings.Change{{Key: "invitation.days", Old: "7", New: "3"}}; err != nil || !slices.Equal(changes, want) {
			t.Errorf("changed: %v (%v)", changes, err)
		}
		if changes, err := save(t, d, map[string]string{"invitation.days": "3"}); err != nil || len(changes) != 0 {
			t.Errorf("changed again: %v (%v)", changes, err)
		}
		if changes, err := save(t, d, map[string]string{"invitation.days": "4", "portal.accent": "red", "password.preset": "nist"}); err == nil || len(changes) != 0 {
			t.Errorf("beside a mistake this was changed: %v", changes)
		}
		if got := get(t, current(t, d), "invitation.days"); got != "3" {
			t.Errorf("the invitation days are %s", got)
		}
	})
}

func TestAnotherProcessSeesAChangeSoon(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		here, there := settings.NewStore(d), settings.NewStore(d)
		name := func(s *settings.Store) string {
			now, err := s.Current(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return now.PortalName
		}
		name(here)
		name(there)
		for _, want := range []string{"Acme", "Acme Two"} {
			if _, err := save(t, d, map[string]string{"portal.name": want}); err != nil {
				t.Fatal(err)
			}
			here.Forget()
			if got := name(here); got != want {
				t.Errorf("where it was saved the portal is called %q", got)
			}
			for deadline := time.Now().Add(5 * time.Second); name(there) != want; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("elsewhere the portal is still called %q", name(there))
				}
			}
		}
	})
}

func TestWhatCannotBeReadAnyMoreHasItsDefault(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		spoiled := map[string]string{"recovery.link_minutes": "9999", "portal.accent": "#ffffff", "recovery.identify_by": "phone",
			"password.min_length": "", "recovery.enabled": "maybe", "support.url": "javascript:alert(1)", "of.an.older.version": "1"}
		err := d.Update(t.Context(), func(tx *db.Tx) error {
			for key, value := range spoiled {
				if err := tx.SetSetting(t.Context(), key, value); err != nil {
					return err
				}
			}
			return tx.SetSetting(t.Context(), "portal.name", "Acme")
		})
		if err != nil {
			t.Fatal(err)
		}
		now := current(t, d)
		for key := range spoiled {
			if want, known := standard[key]; known && get(t, now, key) != want {
				t.Errorf("%s is %q", key, get(t, now, key))
			}
		}
		if now.PortalName != "Acme" {
			t.Errorf("the portal is called %q", now.PortalName)
		}
		if changes, err := save(t, d, map[string]string{"recovery.link_minutes": "30"}); err != nil || len(changes) != 1 {
			t.Errorf("repaired: %v (%v)", changes, err)
		}
	})
}

func TestStaffAreSignedOutSooner(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		store := settings.NewStore(d)
		limits := func(staff bool) [2]time.Duration {
			idle, most, err := store.SessionLimits(t.Context(), staff)
			if err != nil {
				t.Fatal(err)
			}
			return [2]time.Duration{idle, most}
		}
		if got := limits(false); got != [2]time.Duration{time.Hour, 24 * time.Hour} {
			t.Errorf("customers: %v", got)
		}
		if got := limits(true); got != [2]time.Duration{15 * time.Minute, 12 * time.Hour} {
			t.Errorf("staff: %v", got)
		}
		if _, err := save(t, d, map[string]string{"session.idle_minutes": "30", "session.max_hours": "8", "session.staff_idle_minutes": "5",
			"session.staff_max_hours": "4"}); err != nil {
			t.Fatal(err)
		}
		store.Forget()
		if got := limits(false); got != [2]time.Duration{30 * time.Minute, 8 * time.Hour} {
			t.Errorf("customers: %v", got)
		}
		if got := limits(true); got != [2]time.Duration{5 * time.Minute, 4 * time.Hour} {
			t.Errorf("staff: %v", got)
		}
	})
}

func TestWhoHasNoSecondFactorNeedsTheLongerPassword(t *testing.T) {
	s := *settings.Defaults()
	s.PasswordMinLength, s.PasswordMinLengthWithoutMFA = 10, 15
	if with, without := s.PasswordPolicy(true).MinLength, s.PasswordPolicy(false).MinLength; with != 10 || without != 15 {
		t.Errorf("with %d, without %d", with, without)
	}
	s.PasswordMinLength = 20
	if without := s.PasswordPolicy(false).MinLength; without != 20 {
		t.Errorf("a second factor makes it longer: %d", without)
	}
}
