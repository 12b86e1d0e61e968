package views

import (
	"strings"
)

var eventTexts = map[string]string{
	"portal.set_up":              "The portal was set up",
	"sign_in.succeeded":          "Signed in",
	"sign_out.done":              "Signed out",
	"reauthentication.succeeded": "Identity confirmed again",
	"password_reset.requested":   "A new password was asked for",
	"password_reset.link_issued": "A reset link was sent by staff",
	"password_reset.completed":   "A new password was set with a reset link",
	"password.changed":           "The password was changed",
	"password.stopped":           "Signing in with the password was stopped after too many wrong ones",
	"username.changed":           "The username was changed",
	"email.change_requested":     "A new e-mail address was entered",
	"email.change_cancelled":     "A new e-mail address was given up before it was confirmed",
	"email.changed":              "The e-mail address was changed",
	"profile.changed":            "The profile was changed",
	"invitation.accepted":        "The invitation was accepted",
	"invitation.withdrawn":       "The invitation was withdrawn",
	"not_me.reported":            "“This was not me” was reported, and the account shut",
	"recovery_code.used":         "A recovery code was used",
	"recovery_codes.renewed":     "New recovery codes were made",
	"authenticator.enrolled":     "An authenticator was added",
	"authenticator.removed":      "The authenticator was removed",
	"authenticator.reset":        "The authenticator was reset",
	"session.ended":              "Another browser was signed out",
	"session.others_ended":       "All other browsers were signed out",
	"sessions.ended":             "All browsers were signed out by staff",
	"links.revoked":              "Open links were revoked by staff",
	"browser.trusted":            "A browser was trusted, so it asks for no code for a while",
	"browser.forgotten":          "A trusted browser was forgotten",
	"user.created":               "The account was made",
	"user.imported":              "The account was imported",
	"user.invited":               "An invitation was sent",
	"user.changed":               "The account was changed by staff",
	"user.activated":             "The account was activated",
	"user.deactivated":           "The account was deactivated",
	"user.unlocked":              "The account was unlocked",
	"user.role_changed":          "Another role was given",
	"user.deleted":               "The account was deleted",
	"organization.created":       "The organization was made",
	"organization.changed":       "The organization was changed",
	"organization.activated":     "The organization was activated",
	"organization.deactivated":   "The organization was deactivated",
	"role.created":               "The role was made",
	"role.changed":               "The role was changed",
	"setting.changed":            "A setting was changed",
	"import.completed":           "Users were imported",
	"audit.exported":             "The audit trail was exported",
	"audit.trimmed":              "Old events were removed",
	"mail.retried":               "A mail was sent again",
	"mail.tested":                "A test mail was sent",
	"clock.accepted":             "The clock was accepted",
}

var refusedTexts = map[string]string{
	"sign_in.refused":          "A sign-in was refused",
	"reauthentication.refused": "A proof of identity was refused",
	"password_reset.refused":   "A reset was refused for a wrong username",
}

// EventText is an event in plain words.
func EventText(action string, refused bool, details map[string]string) string {
	text, ok := eventTexts[action]
	if !ok {
		text, ok = refusedTexts[action]
	}
	if !ok {
		text = action
	}
	if factor := details["factor"]; factor != "" {
		text += ": " + factorText(factor, refused)
	}
	if reason := details["reason"]; reason != "" && action != "password_reset.refused" {
		text += " (" + reason + ")"
	}
	return text
}

// factorText says with what somebody signed in, or what was wrong.
func factorText(factor string, refused bool) string {
	factor = strings.NewReplacer("totp", "code", "recovery", "recovery code").Replace(factor)
	if refused {
		return "wrong " + factor
	}
	return "with " + factor
}
