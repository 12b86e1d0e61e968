// Package settings holds what staff change while the portal runs: keys, types, limits and
// defaults. It must never hold what belongs to the operator (internal/config).
package settings

import (
	"slices"
	"time"

	"postern/db"
	"postern/internal/input"
	"postern/internal/password"
)

// How a person who forgot the password says who they are (recovery.identify_by).
const (
	ByEmail            = "email"
	ByEmailAndUsername = "email_and_username"
)

// Who must have a second factor (mfa.required_for).
const (
	RequiredForStaff    = "staff"
	RequiredForEveryone = "everyone"
)

// Settings are all settings at one moment. They are shared: never change one.
type Settings struct {
	PortalName   string
	PortalAccent string // #rrggbb

	SupportEmail string
	SupportPhone string
	SupportURL   string

	RecoveryEnabled            bool
	RecoveryIdentifyBy         string
	RecoveryConfirmUsername    bool
	RecoveryRequirePriorSignIn bool
	RecoveryLinkMinutes        int
	RecoveryLinkLabel          string
	RecoveryMailSubject        string
	RecoveryMailLinkText       string

	InvitationDays int

	PasswordChangeEnabled       bool
	PasswordMinLength           int
	PasswordMinLengthWithoutMFA int
	PasswordRequireUpper        bool
	PasswordRequireLower        bool
	PasswordRequireDigit        bool
	PasswordRequireSpecial      bool
	PasswordMinStrength         int
	PasswordBreachCheck         string

	MFARequiredFor     string
	MFATrustDeviceDays int

	SessionIdleMinutes      int
	SessionMaxHours         int
	SessionStaffIdleMinutes int
	SessionStaffMaxHours    int

	RetentionAuditDays int // 0 keeps for ever
	RetentionMailDays  int // 0 keeps for ever
}

// RecoveryLinkLifetime is how long a reset link works from its sending.
func (s *Settings) RecoveryLinkLifetime() time.Duration {
	return time.Duration(s.RecoveryLinkMinutes) * time.Minute
}

// InvitationLifetime is how long an invitation works from its sending.
func (s *Settings) InvitationLifetime() time.Duration {
	return time.Duration(s.InvitationDays) * 24 * time.Hour
}

// ForbiddenWords are what the user's password must not hold: words of the user, their
// organization and the portal at that host.
func (s *Settings) ForbiddenWords(u db.User, host string) []string {
	return slices.Concat(password.Words(u.Name, u.Username, u.Organization, s.PortalName),
		password.AddressWords(u.Email), password.HostWords(host))
}

// SessionLimits are how long a session lasts unused, and at all.
func (s *Settings) SessionLimits(staff bool) (idle, most time.Duration) {
	if staff {
		return time.Duration(s.SessionStaffIdleMinutes) * time.Minute, time.Duration(s.SessionStaffMaxHours) * time.Hour
	}
	return time.Duration(s.SessionIdleMinutes) * time.Minute, time.Duration(s.SessionMaxHours) * time.Hour
}

// PasswordPolicy is what a new password must be, for somebody with or without a second
// factor.
func (s *Settings) PasswordPolicy(secondFactor bool) password.Policy {
	length := s.PasswordMinLength
	if !secondFactor {
		length = max(length, s.PasswordMinLengthWithoutMFA)
	}
	return password.Policy{
		MinLength: length, Upper: s.PasswordRequireUpper, Lower: s.PasswordRequireLower, Digit: s.PasswordRequireDigit,
		Special: s.PasswordRequireSpecial, MinStrength: s.PasswordMinStrength, Breach: password.BreachMode(s.PasswordBreachCheck),
	}
}

// SupportSet says whether there is any support contact.
func (s *Settings) SupportSet() bool {
	return s.SupportEmail != "" || s.SupportPhone != "" || s.SupportURL != ""
}

// definition is one setting: its key, its default, and how a text becomes its value.
type definition struct {
	key      string
	standard string
	read     func(*Settings, string) input.Field // an empty problem when it was taken
	show     func(*Settings) string
	shape    Shape
}

// Kind says what a setting's value is.
type Kind string

const (
	Text    Kind = "text"
	Choice  Kind = "choice"
	Boolean Kind = "boolean"
	Number  Kind = "number"
)

// Shape says what a setting's value can be.
type Shape struct {
	Kind        Kind
	Choices     []string // of a choice or a boolean
	Least, Most int      // of a number
}

// ShapeOf says what the value of that setting can be; false when there is no such key.
func ShapeOf(key string) (Shape, bool) {
	i := slices.IndexFunc(definitions, func(d definition) bool { return d.key == key })
	if i < 0 {
		return Shape{}, false
	}
	return definitions[i].shape, true
}

// definitions is every setting, in the order of pages and lists.
var definitions = []definition{
	text("portal.name", "Customer Portal", input.Name, func(s *Settings) *string { return &s.PortalName }),
	text("portal.accent", "#1d4ed8", color, func(s *Settings) *string { return &s.PortalAccent }),

	text("support.email", "", optional(input.Email), func(s *Settings) *string { return &s.SupportEmail }),
	text("support.phone", "", input.Phone, func(s *Settings) *string { return &s.SupportPhone }),
	text("support.url", "", optional(webAddress), func(s *Settings) *string { return &s.SupportURL }),

	boolean("recovery.enabled", "true", func(s *Settings) *bool { return &s.RecoveryEnabled }),
	choice("recovery.identify_by", ByEmail, []string{ByEmail, ByEmailAndUsername}, func(s *Settings) *string { return &s.RecoveryIdentifyBy }),
	boolean("recovery.confirm_username", "false", func(s *Settings) *bool { return &s.RecoveryConfirmUsername }),
	boolean("recovery.require_prior_sign_in", "false", func(s *Settings) *bool { return &s.RecoveryRequirePriorSignIn }),
	number("recovery.link_minutes", "60", 5, 1440, func(s *Settings) *int { return &s.RecoveryLinkMinutes }),
	text("recovery.link_label", "Forgot your password?", line, func(s *Settings) *string { return &s.RecoveryLinkLabel }),
	text("recovery.mail_subject", "Password change request", line, func(s *Settings) *string { return &s.RecoveryMailSubject }),
	text("recovery.mail_link_text", "Please confirm this was you.", line, func(s *Settings) *string { return &s.RecoveryMailLinkText }),

	number("invitation.days", "7", 1, 30, func(s *Settings) *int { return &s.InvitationDays }),

	boolean("password.change_enabled", "true", func(s *Settings) *bool { return &s.PasswordChangeEnabled }),
	number("password.min_length", "8", 8, 64, func(s *Settings) *int { return &s.PasswordMinLength }),
	number("password.min_length_without_mfa", "8", 8, 64, func(s *Settings) *int { return &s.PasswordMinLengthWithoutMFA }),
	boolean("password.require_upper", "true", func(s *Settings) *bool { return &s.PasswordRequireUpper }),
	boolean("password.require_lower", "false", func(s *Settings) *bool { return &s.PasswordRequireLower }),
	boolean("password.require_digit", "true", func(s *Settings) *bool { return &s.PasswordRequireDigit }),
	boolean("password.require_special", "true", func(s *Settings) *bool { return &s.PasswordRequireSpecial }),
	number("password.min_strength", "3", 0, 4, func(s *Settings) *int { return &s.PasswordMinStrength }),
	choice("password.breach_check", string(password.BreachOff),
		[]string{string(password.BreachOff), string(password.BreachLocal), string(password.BreachOnline)},
		func(s *Settings) *string { return &s.PasswordBreachCheck }),

	choice("mfa.required_for", RequiredForStaff, []string{RequiredForStaff, RequiredForEveryone}, func(s *Settings) *string { return &s.MFARequiredFor }),
	number("mfa.trust_device_days", "30", 0, 90, func(s *Settings) *int { return &s.MFATrustDeviceDays }),

	number("session.idle_minutes", "60", 5, 1440, func(s *Settings) *int { return &s.SessionIdleMinutes }),
	number("session.max_hours", "24", 1, 168, func(s *Settings) *int { return &s.SessionMaxHours }),
	number("session.staff_idle_minutes", "15", 5, 1440, func(s *Settings) *int { return &s.SessionStaffIdleMinutes }),
	number("session.staff_max_hours", "12", 1, 168, func(s *Settings) *int { return &s.SessionStaffMaxHours }),

	number("retention.audit_days", "0", 0, 3650, func(s *Settings) *int { return &s.RetentionAuditDays }),
	number("retention.mail_days", "90", 0, 3650, func(s *Settings) *int { return &s.RetentionMailDays }),
}

// PresetKey is write only: it stands for several settings at once.
const PresetKey = "password.preset"

var presets = map[string]map[string]string{
	// What the common customer portals ask for: the defaults.
	"classic": {
		"password.min_length": "8", "password.min_length_without_mfa": "8", "password.require_upper": "true", "password.require_lower": "false",
		"password.require_digit": "true", "password.require_special": "true", "password.min_strength": "3",
	},
	// NIST SP 800-63B-4: length instead of character classes.
	"nist": {
		"password.min_length": "8", "password.min_length_without_mfa": "15", "password.require_upper": "false", "password.require_lower": "false",
		"password.require_digit": "false", "password.require_special": "false", "password.min_strength": "3",
	},
}

// Keys are the keys of all settings, in the order of pages and lists.
func Keys() []string {
	keys := make([]string, len(definitions))
	for i, d := range definitions {
		keys[i] = d.key
	}
	return keys
}

// Get returns a setting as text; false when there is no such key.
func (s *Settings) Get(key string) (string, bool) {
	i := slices.IndexFunc(definitions, func(d definition) bool { return d.key == key })
	if i < 0 {
		return "", false
	}
	return definitions[i].show(s), true
}

// Defaults are the settings of a portal where none was ever changed.
func Defaults() *Settings { return from(nil) }

// from reads stored values; what is missing, or cannot be read any more, has its default.
func from(stored map[string]string) *Settings {
	s := &Settings{}
	for _, d := range definitions {
		value, ok := stored[d.key]
		if !ok || d.read(s, value).Problem != "" {
			d.read(s, d.standard)
		}
	}
	return s
}
