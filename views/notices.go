package views

// Notice is a success message that the next page shows.
type Notice string

const (
	NoticePasswordReset   Notice = "password-reset"
	NoticeInvited         Notice = "invitation-accepted"
	NoticePasswordChanged Notice = "password-changed"
	NoticeUsernameChanged Notice = "username-changed"
	NoticeEmailAsked      Notice = "email-asked"
	NoticeEmailCancelled  Notice = "email-cancelled"
	NoticeEmailChanged    Notice = "email-changed"
	NoticeProfileChanged  Notice = "profile-changed"
	NoticeSignedOut       Notice = "signed-out"
	NoticeSetUp           Notice = "set-up"
)

var noticeTexts = map[Notice]string{
	NoticePasswordReset:   "Your password was changed. Sign in with the new one.",
	NoticeInvited:         "Your password is set. Sign in with it.",
	NoticePasswordChanged: "Your password was changed. All other browsers were signed out.",
	NoticeUsernameChanged: "Your username was changed. All other browsers were signed out.",
	NoticeEmailAsked:      "We have mailed a link to the new address. Open it there to confirm.",
	NoticeEmailCancelled:  "Your address stays as it is.",
	NoticeEmailChanged:    "Your e-mail address was changed. All other browsers were signed out.",
	NoticeProfileChanged:  "Your profile was saved.",
	NoticeSignedOut:       "You are signed out.",
	NoticeSetUp:           "Your portal is set up.",
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
