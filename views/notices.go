package views

// Notice is a success message that the next page shows.
type Notice string

const (
	NoticePasswordReset    Notice = "password-reset"
	NoticeInvited          Notice = "invitation-accepted"
	NoticePasswordChanged  Notice = "password-changed"
	NoticeUsernameChanged  Notice = "username-changed"
	NoticeEmailAsked       Notice = "email-asked"
	NoticeEmailCancelled   Notice = "email-cancelled"
	NoticeEmailChanged     Notice = "email-changed"
	NoticeProfileChanged   Notice = "profile-changed"
	NoticeSignedOut        Notice = "signed-out"
	NoticeSetUp            Notice = "set-up"
	NoticeStartOver        Notice = "start-over"
	NoticeFactorRemoved    Notice = "factor-removed"
	NoticeSessionEnded     Notice = "session-ended"
	NoticeSessionsEnded    Notice = "sessions-ended"
	NoticeBrowserForgotten Notice = "browser-forgotten"

	NoticeProven       Notice = "proven"
	NoticeRecoveryUsed Notice = "recovery-used"

	NoticeUserCreated         Notice = "user-created"
	NoticeUserSaved           Notice = "user-saved"
	NoticeUserEmailAsked      Notice = "user-email-asked"
	NoticeResetSent           Notice = "reset-sent"
	NoticeInvitationSent      Notice = "invitation-sent"
	NoticeInvitationWithdrawn Notice = "invitation-withdrawn"
	NoticeTOTPReset           Notice = "totp-reset"
	NoticeUnlocked            Notice = "unlocked"
	NoticeUserSignedOut       Notice = "user-signed-out"
	NoticeLinksRevoked        Notice = "links-revoked"
	NoticeActivated           Notice = "activated"
	NoticeDeactivated         Notice = "deactivated"
	NoticeDeleted             Notice = "deleted"
	NoticeOrganizationSaved   Notice = "organization-saved"
	NoticeOrganizationOff     Notice = "organization-off"
	NoticeOrganizationOn      Notice = "organization-on"
	NoticeRoleSaved           Notice = "role-saved"
	NoticeSettingsSaved       Notice = "settings-saved"
	NoticeMailQueued          Notice = "mail-queued"
)

var noticeTexts = map[Notice]string{
	NoticePasswordReset:    "Your password was changed. Sign in with the new one.",
	NoticeInvited:          "Your password is set. Sign in with it.",
	NoticePasswordChanged:  "Your password was changed. All other browsers were signed out.",
	NoticeUsernameChanged:  "Your username was changed. All other browsers were signed out.",
	NoticeEmailAsked:       "We have mailed a link to the new address. Open it there to confirm.",
	NoticeEmailCancelled:   "Your address stays as it is.",
	NoticeEmailChanged:     "Your e-mail address was changed. All other browsers were signed out.",
	NoticeProfileChanged:   "Your profile was saved.",
	NoticeSignedOut:        "You are signed out.",
	NoticeSetUp:            "Your portal is set up.",
	NoticeStartOver:        "That took too long, or too many codes were wrong. Sign in again.",
	NoticeFactorRemoved:    "The authenticator was removed. All other browsers were signed out.",
	NoticeSessionEnded:     "The browser was signed out.",
	NoticeSessionsEnded:    "All other browsers were signed out.",
	NoticeBrowserForgotten: "The browser asks for a code again.",

	NoticeProven:       "Thank you. Nothing has been changed yet: what you entered is still here. Check it, then go on.",
	NoticeRecoveryUsed: "You signed in with a recovery code, which is used up now. If your phone is lost, replace the authenticator under Security.",

	NoticeUserCreated:         "The user was made, and the invitation is on its way.",
	NoticeUserSaved:           "The user was saved.",
	NoticeUserEmailAsked:      "Saved. The new address counts once it has been confirmed from there; the old one is told.",
	NoticeResetSent:           "The reset link is on its way.",
	NoticeInvitationSent:      "The invitation is on its way.",
	NoticeInvitationWithdrawn: "The invitation was withdrawn.",
	NoticeTOTPReset:           "The authenticator was reset, and the user is told.",
	NoticeUnlocked:            "The account was unlocked, and the user is told.",
	NoticeUserSignedOut:       "The user was signed out everywhere.",
	NoticeLinksRevoked:        "All open links were revoked.",
	NoticeActivated:           "The account is active again, and the user is told.",
	NoticeDeactivated:         "The account was deactivated, and the user is told.",
	NoticeDeleted:             "The user was deleted, and told so.",
	NoticeOrganizationSaved:   "The organization was saved.",
	NoticeOrganizationOff:     "The organization was deactivated, and everybody of it signed out.",
	NoticeOrganizationOn:      "The organization is active again.",
	NoticeRoleSaved:           "The role was saved. It counts at once for everybody who has it.",
	NoticeSettingsSaved:       "The settings were saved. They count at once.",
	NoticeMailQueued:          "The mail is sent again.",
}

// NoticeText is the message; empty for what is none.
func NoticeText(n Notice) string { return noticeTexts[n] }

// WaitText is what a form says that was sent too often, or at a bad moment.
func WaitText(kind ErrorKind, wait string) string {
	if kind == ErrorTooOften {
		return "There were too many attempts. Wait " + wait + ", then try again."
	}
	return "More people than usual are signing in. Nothing was changed. Try again in " + wait + "."
}
