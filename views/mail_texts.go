package views

import (
	"strings"
	"time"
	"unicode"
)

// MailFacts are what every mail can speak of.
type MailFacts struct {
	Portal  string // portal.name
	URL     string // of the portal
	Name    string // of the reader; empty when the reader is no user
	Support Support
	Helpers Helpers
	Device  string // of whoever did it: "Firefox on Windows"; empty when not known
	Address string // network address of whoever did it
	At      time.Time
	Zone    *time.Location
}

// harmless takes out of a name what a mail program would turn into a link.
func harmless(name string) string {
	runes := []rune(name)
	for i, r := range runes {
		inWord := i+1 < len(runes) && !unicode.IsSpace(runes[i+1])
		if (strings.ContainsRune(".\u3002\uff0e\uff61", r) && inWord) || strings.ContainsRune("/:@\\", r) {
			runes[i] = ' '
		}
	}
	return strings.Join(strings.Fields(string(runes)), " ")
}

func (f MailFacts) mail(subject, why string, before ...string) Mail {
	greeting := "Hello,"
	if name := harmless(f.Name); name != "" {
		greeting = "Hello " + name + ","
	}
	return Mail{Subject: subject, Portal: f.Portal, Greeting: greeting, Before: before, Why: why, Support: f.Support}
}

// time is a moment in the reader's time zone.
func (f MailFacts) time(t time.Time) string { return t.In(f.Zone).Format(exactTime + " MST") }

// doer says from where something was done.
func (f MailFacts) doer() string {
	switch {
	case f.Device != "" && f.Address != "":
		return "It was done on " + f.time(f.At) + " with " + f.Device + ", from the network address " + f.Address + "."
	case f.Address != "":
		return "It was done on " + f.time(f.At) + " from the network address " + f.Address + "."
	}
	return "It was done on " + f.time(f.At) + "."
}

// contacts are whom to turn to, and support where there is nobody else.
func (f MailFacts) contacts() []Line {
	var lines []Line
	for _, a := range f.Helpers.Administrators {
		lines = append(lines, Line{"Administrator", harmless(a.Name) + ", " + a.Email})
	}
	if c := f.Helpers.ContactOwner; c.Name != "" {
		lines = append(lines, Line{"Your contact", harmless(c.Name) + ", " + c.Email})
	}
	for _, way := range []Line{{"Support", f.Support.Email}, {"Support", f.Support.Phone}, {"Support", f.Support.URL}} {
		if way.Text != "" {
			lines = append(lines, way)
		}
	}
	if len(lines) == 0 {
		lines = append(lines, Line{"Turn to", "the person who gave you access"})
	}
	return lines
}

const (
	whyAsked   = "You get this mail because a new password was asked for at "
	whyAccount = "You get this mail because you have an account at "
)

// LinkMail is what a mail with a link needs besides.
type LinkMail struct {
	Subject, Label string
	URL            string
	Lifetime       string // "60 minutes"
	Until          time.Time
}

// ResetLinkMail lets somebody choose a new password.
func ResetLinkMail(f MailFacts, l LinkMail, byStaff bool) Mail {
	asked := "somebody, probably you, asked for a new password for your account. Choose it with this link:"
	if byStaff {
		asked = "an administrator sends you this link to choose a new password for your account:"
	}
	m := f.mail(l.Subject, whyAsked+f.URL+".", upperFirst(asked))
	m.Button = Button{l.Label, l.URL}
	m.After = []string{
		"The link works for " + l.Lifetime + ", until " + f.time(l.Until) + ", and until a new password is set.",
		"If you did not ask for it, you need do nothing: without the link your password stays as it is.",
	}
	return m
}

// NoResetMail tells somebody who asked for a link why there is none.
func NoResetMail(f MailFacts, subject string, reason NoReset) Mail {
	text := map[NoReset]string{
		NoResetInactive: "A new password was asked for, but your access to the portal is switched off. Your password is as it was.",
		NoResetNever: "A new password was asked for. That is possible only for those who have signed in before, which you have not. " +
			"An administrator can let you in for the first time.",
		NoResetShut: "A new password was asked for, but your account is shut since somebody said “this was not me”. " +
			"An administrator can open it again.",
	}[reason]
	m := f.mail(subject, whyAsked+f.URL+".", text, "Whom you can turn to:")
	m.Contacts = f.contacts()
	return m
}

// NoReset says why somebody gets no link.
type NoReset string

const (
	NoResetInactive NoReset = "inactive"
	NoResetNever    NoReset = "never"
	NoResetShut     NoReset = "shut"
)

// InvitationMail lets somebody choose the first password.
func InvitationMail(f MailFacts, l LinkMail) Mail {
	m := f.mail("You are invited", "You get this mail because an account was made for you at "+f.URL+".",
		"An account was made for you. Choose your password with this link; then sign in with your e-mail address.")
	m.Button = Button{"Accept the invitation", l.URL}
	m.After = []string{"The link works for " + l.Lifetime + ", until " + f.time(l.Until) + ".",
		"If you did not expect it, you need do nothing."}
	return m
}

// VerifyEmailMail goes to a new address.
func VerifyEmailMail(f MailFacts, l LinkMail) Mail {
	m := f.mail("Confirm your new e-mail address", "You get this mail because this address was entered in an account at "+f.URL+".",
		"You asked to use this address for your account. Confirm it with this link, in the browser in which you are signed in:")
	m.Button = Button{"Confirm the address", l.URL}
	m.After = []string{"The link works for " + l.Lifetime + ", until " + f.time(l.Until) + ".",
		"If you did not ask for it, you need do nothing: without the link the address is not used."}
	return m
}

// EmailAskedMail goes to the old address when a change is asked for, by the user or by staff.
func EmailAskedMail(f MailFacts, newEmail string, byStaff bool, notMe string) Mail {
	who := "Somebody signed in to your account"
	if byStaff {
		who = "An administrator"
	}
	m := f.mail("A new e-mail address was entered for your account", whyAccount+f.URL+".",
		who+" asked to change its address to "+newEmail+". It changes once it has been confirmed from there.", f.doer())
	m.NotMe = notMe
	return m
}

// EmailChangedMail goes to the old address when the change is made.
func EmailChangedMail(f MailFacts, newEmail, notMe string) Mail {
	m := f.mail("Your e-mail address was changed", "You get this mail because this was the address of your account at "+f.URL+".",
		"The address of your account is now "+newEmail+".", f.doer())
	m.NotMe = notMe
	return m
}

// PasswordChangedMail follows every change of the password.
func PasswordChangedMail(f MailFacts, notMe string) Mail {
	m := f.mail("Your password was changed", whyAccount+f.URL+".", "The password of your account was changed.", f.doer(),
		"All other browsers have been signed out.")
	m.NotMe = notMe
	return m
}

// UsernameChangedMail follows every change of the username. It does not tell the new one,
// which a mail program may take for a link, and which whoever it warns of has chosen.
func UsernameChangedMail(f MailFacts, notMe string) Mail {
	m := f.mail("Your username was changed", whyAccount+f.URL+".",
		"The username of your account was changed. You see it under Security; your e-mail address signs you in as before.", f.doer())
	m.NotMe = notMe
	return m
}

// NewSignInMail follows a sign-in from a browser that was not known.
func NewSignInMail(f MailFacts, notMe string) Mail {
	m := f.mail("New sign-in to your account", whyAccount+f.URL+". Your profile there says whether it is sent.",
		"Somebody signed in to your account from a browser that was not used for it before.", f.doer(),
		"If it was you, all is well.")
	m.NotMe = notMe
	return m
}

// FactorChangedMail follows every change of the second factor.
func FactorChangedMail(f MailFacts, what FactorChange, byStaff bool, notMe string) Mail {
	text := map[FactorChange]string{
		FactorEnrolled: "An authenticator was added to your account. From now on you are asked for its code when you sign in.",
		FactorReplaced: "The authenticator of your account was replaced by another one.",
		FactorRemoved:  "The authenticator of your account was removed. From now on your password alone signs you in, unless you must have one: then you enrol another first.",
		FactorReset:    "The authenticator of your account was reset. You are signed out everywhere, and can enrol a new one when you sign in.",
		FactorCodes:    "New recovery codes were made for your account. The old ones do not work any more.",
	}[what]
	if byStaff {
		text += " This was done by those who look after the portal."
	}
	m := f.mail("Your second factor was changed", whyAccount+f.URL+".", text, f.doer())
	m.NotMe = notMe
	return m
}

// FactorChange says what became of a second factor.
type FactorChange string

const (
	FactorEnrolled FactorChange = "enrolled"
	FactorReplaced FactorChange = "replaced"
	FactorRemoved  FactorChange = "removed"
	FactorReset    FactorChange = "reset"
	FactorCodes    FactorChange = "codes"
)

// RecoveryUsedMail follows a sign-in with a recovery code.
func RecoveryUsedMail(f MailFacts, left int, notMe string) Mail {
	m := f.mail("A recovery code was used", whyAccount+f.URL+".",
		"A recovery code was used for your account in the place of the authenticator. "+upperFirst(plural(left, "code"))+" left.", f.doer(),
		"If your authenticator is lost, enrol a new one under Security, and make new recovery codes there.")
	m.NotMe = notMe
	return m
}

// WrongCodesMail tells a user that somebody knows the password but not the code.
func WrongCodesMail(f MailFacts, notMe string) Mail {
	m := f.mail("Wrong codes were entered for your account", whyAccount+f.URL+".",
		"Somebody entered the right password for your account, and then wrong codes. If it was you, all is well: wait for the next code "+
			"of your authenticator, or use a recovery code.", f.doer(),
		"If it was not you, somebody knows your password.")
	m.NotMe = notMe
	return m
}

// PasswordStoppedMail follows a hundred wrong passwords in a row.
func PasswordStoppedMail(f MailFacts) Mail {
	return f.mail("Signing in with your password was stopped", whyAccount+f.URL+".",
		"A wrong password was entered for your account a hundred times in a row, so somebody may be guessing.",
		"From browsers that you have used before you sign in as always. From any other one you first ask for a new password, at "+
			f.URL+"/forgot-password.")
}

// OperatorResetMail follows a link that was printed at the command line.
func OperatorResetMail(f MailFacts, notMe string) Mail {
	m := f.mail("A reset link was made for your account", whyAccount+f.URL+".",
		"The operator of the portal made a link to choose a new password for your account. If you asked for it, they will hand it to you.")
	m.NotMe = notMe
	return m
}

// StatusMail tells a user that their account was switched on or off, or unlocked.
func StatusMail(f MailFacts, status Status) Mail {
	var m Mail
	switch status {
	case StatusActivated:
		m = f.mail("Your account is active again", whyAccount+f.URL+".", "Your account was activated. You can sign in again.")
	case StatusDeactivated:
		m = f.mail("Your account was deactivated", whyAccount+f.URL+".",
			"Your account was deactivated: you are signed out everywhere and cannot sign in. Whom you can turn to:")
		m.Contacts = f.contacts()
	case StatusUnlocked:
		m = f.mail("Your account was unlocked", whyAccount+f.URL+".",
			"Your account was unlocked. If your password does not work any more, ask for a new one at "+f.URL+"/forgot-password.")
	case StatusSignedOut:
		m = f.mail("You were signed out everywhere", whyAccount+f.URL+".", "An administrator has signed you out in all browsers. You can sign in again.")
	case StatusLinksRevoked:
		m = f.mail("Links to your account were revoked", whyAccount+f.URL+".",
			"An administrator has made all links dead that were mailed to you. If you were about to use one, ask for another.")
	case StatusUninvited:
		m = f.mail("Your invitation was withdrawn", whyAccount+f.URL+".", "The invitation to the portal was withdrawn; its link does not work any more.")
	case StatusNewRole:
		m = f.mail("Your role was changed", whyAccount+f.URL+".", "What you may do in the portal was changed. You see it when you sign in.")
	}
	return m
}

// Status is what StatusMail tells of.
type Status string

const (
	StatusActivated    Status = "activated"
	StatusDeactivated  Status = "deactivated"
	StatusUnlocked     Status = "unlocked"
	StatusNewRole      Status = "new-role"
	StatusSignedOut    Status = "signed-out"
	StatusLinksRevoked Status = "links-revoked"
	StatusUninvited    Status = "uninvited"
)

// DeletedMail goes to the address of an account that was deleted.
func DeletedMail(f MailFacts) Mail {
	return f.mail("Your account was deleted", "You get this mail because you had an account at "+f.URL+".",
		"Your account was deleted, with everything that was yours in it.")
}

// TestMail is what staff send to themselves to try the mail server.
func TestMail(f MailFacts) Mail {
	return f.mail("Test mail", whyAccount+f.URL+" and pressed the button for it.", "The mail server takes mail from the portal.")
}

// NotMeMail confirms to a user what "this was not me" has done.
func NotMeMail(f MailFacts) Mail {
	m := f.mail("Your account is shut", whyAccount+f.URL+".",
		"Somebody pressed “this was not me” in a mail about your account. Everybody was signed out of it, its password does not work "+
			"any more, and no new one can be asked for.", "To get back in, turn to:")
	m.Contacts = f.contacts()
	return m
}

// NotMeToStaffMail tells an administrator of it.
func NotMeToStaffMail(f MailFacts, who Contact) Mail {
	return f.mail("A user reported: this was not me", "You get this mail because you look after users at "+f.URL+".",
		harmless(who.Name)+" ("+who.Email+") pressed “this was not me” in a mail about the account. The account is shut: nobody can "+
			"sign in to it or ask for a new password.",
		"Find out what happened by a way that does not depend on that mailbox. Then unlock the account and let the user choose a new password.")
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
