package directory_test

import (
	"maps"
	"strings"
	"testing"

	"postern/internal/input"
	"postern/internal/portaltest"
)

func TestSettingsChangeTogetherOrNotAtAll(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		get := func(key string) string {
			t.Helper()
			current, err := p.Settings.Current(t.Context())
			must(t, err)
			value, _ := current.Get(key)
			return value
		}
		changes, err := p.Directory.ChangeSettings(t.Context(), operator, map[string]string{
			"portal.name": "Acme", "recovery.link_minutes": "4", "recovery.enabled": "no", "no.such": "1"})
		if got := problems(t, err); got["no.such"] != input.NotSetting || len(changes) != 0 {
			t.Errorf("an unknown key: %v, changed %v", got, changes)
		}
		changes, err = p.Directory.ChangeSettings(t.Context(), operator, map[string]string{
			"portal.name": "Acme", "recovery.link_minutes": "4", "recovery.enabled": "no"})
		want := map[string]input.Problem{"recovery.link_minutes": input.NotNumber, "recovery.enabled": input.NotBoolean}
		if got := problems(t, err); !maps.Equal(got, want) || len(changes) != 0 {
			t.Errorf("problems %v, changed %v", got, changes)
		}
		if get("portal.name") != "Customer Portal" || len(events(t, p, "setting.changed")) != 0 {
			t.Error("half of it was stored, or recorded")
		}

		changes, err = p.Directory.ChangeSettings(t.Context(), operator, map[string]string{
			"portal.name": "Acme", "recovery.link_minutes": "30", "recovery.enabled": "true"})
		must(t, err)
		if len(changes) != 2 || get("portal.name") != "Acme" || get("recovery.link_minutes") != "30" {
			t.Errorf("changed %v", changes)
		}
		done := events(t, p, "setting.changed")
		if len(done) != 2 || done[0].ActorKind != "operator" {
			t.Fatalf("recorded: %+v", done)
		}
		for _, part := range []string{`"key":"portal.name"`, `"old":"Customer Portal"`, `"new":"Acme"`} {
			if !strings.Contains(done[0].Detail, part) {
				t.Errorf("%s is not in %s", part, done[0].Detail)
			}
		}
	})
}

func TestAPresetStandsForItsSettings(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		p.Set(t, "password.min_length", "20")
		changes, err := p.Directory.ChangeSettings(t.Context(), operator,
			map[string]string{"password.preset": "nist", "password.require_lower": "true"})
		must(t, err)
		current, err := p.Settings.Current(t.Context())
		must(t, err)
		for key, want := range map[string]string{"password.min_length": "8", "password.min_length_without_mfa": "15",
			"password.require_upper": "false", "password.require_lower": "true", "password.require_digit": "false", "password.require_special": "false"} {
			if got, _ := current.Get(key); got != want {
				t.Errorf("%s is %s instead of %s", key, got, want)
			}
		}
		if n := len(events(t, p, "setting.changed")); n != 1+len(changes) {
			t.Errorf("%d changes are recorded instead of %d", n, 1+len(changes))
		}
		_, err = p.Directory.ChangeSettings(t.Context(), operator, map[string]string{"password.preset": "lax"})
		if got := problems(t, err); got["password.preset"] != input.NotChoice {
			t.Errorf("an unknown preset: %v", got)
		}
		p.Set(t, "password.preset", "classic")
		current, err = p.Settings.Current(t.Context())
		must(t, err)
		if policy := current.PasswordPolicy(false); policy.MinLength != 8 || !policy.Upper || !policy.Digit || !policy.Special || policy.Lower {
			t.Errorf("the classic policy is %+v", policy)
		}
	})
}
