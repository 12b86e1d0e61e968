package views

import "strings"

// What stands beside a form of the administration when an act cannot be done.
const (
	NeedsOrganizationText = "This role is over one organization: choose the organization, too."
	LastOwnerText         = "This would leave the portal without an active owner. Make another one first."
	NotInvitedText        = "This person has chosen a password already. Send a reset link instead."
	NoAuthenticatorText   = "This person has no authenticator."
)

// RoleText is what a role lets its holders do, in one sentence.
func RoleText(permissions []string, scope string) string {
	if len(permissions) == 0 {
		return "Looks after their own account alone."
	}
	var texts []string
	for _, p := range permissions {
		texts = append(texts, lower(PermissionText(p)))
	}
	over := ", over everybody"
	if scope == "organization" {
		over = ", in their own organization alone"
	}
	return "May " + list(texts) + over + "."
}

var purposeTexts = map[string]string{
	"reset": "Reset link", "invitation": "Invitation", "verify_email": "Confirmation of a new address",
}

// PurposeText says what a link is for.
func PurposeText(purpose string) string { return purposeTexts[purpose] }

var noLinkTexts = map[string]string{
	"inactive": "the account, or its organization, is inactive. Activate it first.",
	"shut":     "the account was shut with “this was not me”. Find out what happened, then unlock it.",
	"invited":  "this person has not chosen a password yet. Send the invitation again instead.",
	"never":    "this person has never signed in, and the settings ask for that.",
}

// NoResetText says why no reset link can be sent, and what to do instead.
func NoResetText(reason string) string { return noLinkText("No reset link can be sent: ", reason) }

// NoInvitationText says why no invitation can be sent.
func NoInvitationText(reason string) string { return noLinkText("No invitation can be sent: ", reason) }

func noLinkText(what, reason string) string {
	if text := noLinkTexts[reason]; text != "" {
		return what + text
	}
	return ""
}

// actTexts are the words of an act: its button, and the question with the person's name.
var actTexts = map[string]struct{ label, question string }{
	"send-reset":          {"Send reset link", "Mail {name} a link to choose a new password? It works for a limited time, and their authenticator stays as it is."},
	"resend-invitation":   {"Resend invitation", "Mail {name} the invitation again? It holds a new link."},
	"withdraw-invitation": {"Withdraw invitation", "Withdraw the invitation of {name}? Its links stop working, and they are told."},
	"reset-totp": {"Reset authenticator", "Reset the authenticator of {name}? They will be signed out everywhere and can sign in with the password alone " +
		"until they enrol again. Be sure that it is really them who asked."},
	"unlock":       {"Unlock", "Unlock the account of {name}? Signing in and asking for a new password work again."},
	"end-sessions": {"Sign out everywhere", "Sign {name} out of every browser?"},
	"revoke-links": {"Revoke open links", "Revoke every open link of {name}? Reset links, invitations and confirmations that were mailed stop working."},
	"activate":     {"Activate", "Activate the account of {name}? They can sign in again."},
	"deactivate":   {"Deactivate", "Deactivate the account of {name}? They will be signed out everywhere and cannot sign in until they are active again."},
	"delete": {"Delete", "Delete {name}? Their data is erased for good, and the address can be used again. The audit trail keeps what was done, " +
		"with a number instead of the name."},
}

// ActLabel is the button of an act.
func ActLabel(act string) string { return actTexts[act].label }

// ActQuestion asks before an act; it names the person and the effect.
func ActQuestion(act, name string) string {
	return strings.ReplaceAll(actTexts[act].question, "{name}", name)
}

func people(n int) string {
	if n == 1 {
		return "1 person"
	}
	return digits(n) + " people"
}

// ByText says whose act an event was, by the kind of its actor.
func ByText(kind string) string {
	switch kind {
	case "operator":
		return "by the operator"
	case "system":
		return "by the portal itself"
	}
	return "by staff"
}

// RetryQuestion asks before a mail is sent again.
func RetryQuestion(kind, to string) string {
	return "“" + mailKindText(kind) + "” goes to " + to + " at once. Whether it should still be sent, and with which link, is decided afresh when it is made."
}
