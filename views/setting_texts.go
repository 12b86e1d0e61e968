package views

import "strings"

// settingText is how a setting is spoken of.
type settingText struct {
	label, meaning string
	unit           string // of a number
}

var settingTexts = map[string]settingText{
	"portal.name":   {"Name of the portal", "Stands on every page and in every mail.", ""},
	"portal.accent": {"Accent colour", "Buttons and links have it. Text on it is made black or white, whichever reads better.", ""},

	"support.email": {"E-mail address", "Where users write when they need help.", ""},
	"support.phone": {"Telephone", "", ""},
	"support.url":   {"Help page", "A web address.", ""},

	"recovery.enabled": {"Users can ask for a reset link", "With “no” the page says whom to ask instead; " +
		"links that administrators and the operator send work all the same.", ""},
	"recovery.identify_by": {"Asked for", "What somebody types who forgot the password. They read the same page whether it is right or not.", ""},
	"recovery.confirm_username": {"Ask for the username beside the new password", "Whoever finds a mail can do less with it. " +
		"Five wrong usernames kill the link.", ""},
	"recovery.require_prior_sign_in": {"Only for users who have signed in before", "Or accepted an invitation. " +
		"The others are mailed whom to ask instead.", ""},
	"recovery.link_minutes":   {"A reset link works for", "Counted from when it is sent. Links that are out keep the time they were sent with.", "minutes"},
	"recovery.link_label":     {"Link on the sign-in page", "What it says.", ""},
	"recovery.mail_subject":   {"Subject of the mail", "", ""},
	"recovery.mail_link_text": {"Button in the mail", "What it says.", ""},

	"invitation.days": {"An invitation works for", "Counted from when it is sent. Whoever comes late can have another one mailed.", "days"},

	"password.change_enabled": {"Users can change their password", "With “no” their page says whom to ask instead.", ""},
	"password.min_length":     {"Shortest password", "For everybody, and where an authenticator is enrolled.", "characters"},
	"password.min_length_without_mfa": {"Shortest password without an authenticator", "NIST asks for 15. The longer of the two counts.",
		"characters"},
	"password.require_upper":   {"Must hold a capital letter", "", ""},
	"password.require_lower":   {"Must hold a lower-case letter", "", ""},
	"password.require_digit":   {"Must hold a digit", "", ""},
	"password.require_special": {"Must hold a special character", "", ""},
	"password.min_strength":    {"Must be hard to guess", "How well it must stand up to somebody who guesses. 0 asks for nothing, 3 is good, 4 is strong.", ""},
	"password.breach_check": {"Must not stand in a known breach", "Online asks a public service, which learns five characters of a hash and no more; " +
		"where it does not answer the password is taken. Local needs a file that the operator sets with POSTERN_BREACH_FILE.", ""},

	"mfa.required_for":      {"An authenticator is a must for", "Staff is everybody whose role has a permission; they always need one.", ""},
	"mfa.trust_device_days": {"A browser is trusted for", "As long as it asks for no code. Staff are always asked. 0 trusts none.", "days"},

	"session.idle_minutes":       {"Customers are signed out unused after", "", "minutes"},
	"session.max_hours":          {"Customers are signed out at the latest after", "", "hours"},
	"session.staff_idle_minutes": {"Staff are signed out unused after", "", "minutes"},
	"session.staff_max_hours":    {"Staff are signed out at the latest after", "", "hours"},

	"retention.audit_days": {"The audit trail is kept for", "0 keeps it for ever. What is removed cannot be brought back; an event says that it was.", "days"},
	"retention.mail_days":  {"The fate of mails is kept for", "0 keeps it for ever. What stood in them is never kept.", "days"},
}

// SettingLabel is the name of a setting on its page.
func SettingLabel(key string) string { return settingTexts[key].label }

// SettingMeaning says what a setting means, with the range of a number, most above least.
func SettingMeaning(key string, least, most int) string {
	text := settingTexts[key]
	if most <= least {
		return text.meaning
	}
	span := digits(least) + " to " + digits(most)
	if text.unit != "" {
		span += " " + text.unit
	}
	return strings.TrimSpace(upperFirst(span) + ". " + text.meaning)
}

var choiceTexts = map[string]string{
	"true": "Yes", "false": "No",
	"email": "The e-mail address", "email_and_username": "The e-mail address and the username",
	"off": "Not looked at", "local": "In a file on the server", "online": "Online",
	"staff": "Staff", "everyone": "Everybody",
}

// ChoiceLabel is a value to choose, in words.
func ChoiceLabel(value string) string {
	if text, ok := choiceTexts[value]; ok {
		return text
	}
	return value
}

// EffectText says what a stricter setting does to how many; empty for nothing.
func EffectText(what string, n int) string {
	users := plural(n, "user")
	has, is := "have", "are"
	if n == 1 {
		has, is = "has", "is"
	}
	switch what {
	case "enrol":
		return users + " " + has + " no authenticator and will be asked to enrol one with the next click."
	case "next_change":
		return users + " must meet it when they next choose a password. Passwords in use go on working."
	case "signed_out":
		return plural(n, "browser") + " will be signed out at once."
	case "code_again":
		return plural(n, "trusted browser") + " will ask for a code again."
	case "trust_kept":
		return plural(n, "browser") + " " + is + " trusted already, and will be until the day they were given."
	case "no_recovery":
		return users + " will have to ask somebody instead when they forget the password."
	case "no_link":
		return users + " " + has + " never signed in and would be mailed whom to ask instead of a link."
	case "no_username":
		return users + " " + has + " no username and will give the e-mail address again instead."
	case "no_change":
		return users + " will not be able to change their password themselves."
	case "events_removed":
		return plural(n, "event") + " of the audit trail will be removed for good."
	case "mails_removed":
		return plural(n, "mail") + " will be removed from the mail page."
	}
	return ""
}

// WouldText is an effect of a value that has not been chosen.
func WouldText(value, effect string) string {
	return "With “" + lowerFirst(ChoiceLabel(value)) + "”: " + effect
}

// NoSettingText says that a field is none of the settings.
func NoSettingText(key string) string { return "There is no setting “" + key + "”." }
