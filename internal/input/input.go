// Package input knows the bounds and shapes of what people type. It says what is wrong as
// a Problem, for which the pages have the words; it must never change what was meant.
package input

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem says what is wrong with a field.
type Problem string

const (
	Missing            Problem = "missing"
	TooLong            Problem = "too_long"
	NotEmail           Problem = "not_email"
	NotUsername        Problem = "not_username"
	NotName            Problem = "not_name"
	NotPhone           Problem = "not_phone"
	NotTimeZone        Problem = "not_time_zone"
	NotBoolean         Problem = "not_boolean"
	NotNumber          Problem = "not_number"
	NotChoice          Problem = "not_choice"
	NotColor           Problem = "not_color"
	PaleColor          Problem = "pale_color"
	NotWebAddress      Problem = "not_web_address"
	NotSetting         Problem = "not_setting"
	UsernameTaken      Problem = "username_taken"
	EmailTaken         Problem = "email_taken"    // only to those who may see that user
	EmailUnusable      Problem = "email_unusable" // to everybody else, whatever the reason
	SameEmail          Problem = "same_email"
	NameTaken          Problem = "name_taken"
	RoleBeyond         Problem = "role_beyond" // it holds what the giver lacks
	NotContactOwner    Problem = "not_contact_owner"
	NotPermission      Problem = "not_permission"
	NeedsView          Problem = "needs_view"  // what cannot be done without seeing users
	OtherEmail         Problem = "other_email" // typed again, but another one
	NoSuchRole         Problem = "no_such_role"
	NoSuchOrganization Problem = "no_such_organization"
	WrongPassword      Problem = "wrong_password"
	WrongUsername      Problem = "wrong_username"
	WrongSignIn        Problem = "wrong_sign_in"
	WrongCode          Problem = "wrong_code"
	WeakPassword       Problem = "weak_password"
	PasswordTooLong    Problem = "password_too_long"
	PasswordsDiffer    Problem = "passwords_differ"

	// Of a file to import.
	NeedsOrganization Problem = "needs_organization"
	NotHash           Problem = "not_hash"
	EmailTwice        Problem = "email_twice" // Limit is the line that came first
	UsernameTwice     Problem = "username_twice"
	NotText           Problem = "not_text"
	StrayQuote        Problem = "stray_quote"
	WrongCount        Problem = "wrong_count" // Limit is how many columns there should be
	RowTooLong        Problem = "row_too_long"
	TooManyRows       Problem = "too_many_rows"
	NoRows            Problem = "no_rows"
	NoFile            Problem = "no_file"
	NoSuchColumn      Problem = "no_such_column" // Choices are its name and the possible ones
	NoColumn          Problem = "no_column"      // Choices is its name
	ColumnTwice       Problem = "column_twice"
	Importing         Problem = "importing" // another file, at this moment
)

// Field is a field of a form, or an argument of a command, with what is wrong with it.
type Field struct {
	Name    string
	Problem Problem
	// Limit is the number that the problem's text speaks of, if any.
	Limit int
	// Choices are what is possible instead, if that is the problem.
	Choices []string
}

// Error is returned for input that does not pass. Nothing has been changed.
type Error struct{ Fields []Field }

func (e *Error) Error() string {
	parts := make([]string, len(e.Fields))
	for i, field := range e.Fields {
		parts[i] = field.Name + ": " + string(field.Problem)
	}
	return "input refused: " + strings.Join(parts, ", ")
}

// Refuse returns an Error about one field.
func Refuse(name string, problem Problem) *Error {
	return &Error{[]Field{{Name: name, Problem: problem}}}
}

// Checks gathers what is wrong with a form.
type Checks struct{ fields []Field }

// Add notes a problem, if there is one.
func (c *Checks) Add(name string, problem Problem) {
	if problem != "" {
		c.fields = append(c.fields, Field{Name: name, Problem: problem})
	}
}

// Err returns an *Error if anything is wrong, else nil.
func (c *Checks) Err() error {
	if len(c.fields) == 0 {
		return nil
	}
	return &Error{c.fields}
}

const (
	maxEmail    = 254 // RFC 5321 4.5.3.1.3, less the angle brackets
	maxLocal    = 64  // RFC 5321 4.5.3.1.1
	maxName     = 100
	maxPhone    = 32
	minUsername = 3
	maxUsername = 32
)

// address is the addr-spec of RFC 5322 without quoting, comments and empty parts, and
// without what makes a web address of it; every wider form has been a way to smuggle
// something into the mail system, or into a mail.
var address = regexp.MustCompile("^[A-Za-z0-9!$'*+^_`{|}~-]+(\\.[A-Za-z0-9!$'*+^_`{|}~-]+)*" +
	`@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

// Email reads a bare ASCII address and keeps it as typed.
func Email(text string) (string, Problem) {
	text = strings.TrimSpace(text)
	local, _, _ := strings.Cut(text, "@")
	switch {
	case text == "":
		return "", Missing
	case len(text) > maxEmail || len(local) > maxLocal || !address.MatchString(text):
		return "", NotEmail
	}
	return text, ""
}

var usernamePattern = regexp.MustCompile(`^[a-z0-9._-]+$`)

// Username reads a username and folds it; an empty one means none.
func Username(text string) (string, Problem) {
	text = foldASCII(strings.TrimSpace(text))
	if text == "" {
		return "", ""
	}
	if len(text) < minUsername || len(text) > maxUsername || !usernamePattern.MatchString(text) {
		return "", NotUsername
	}
	return text, ""
}

// Login reads what somebody signs in with, an address or a username, folded. Text that can
// be neither becomes a string that belongs to nobody.
func Login(text string) string {
	text = foldASCII(strings.TrimSpace(text))
	if len(text) > maxEmail {
		return ""
	}
	return text
}

// foldASCII lowers ASCII letters alone: beyond them programs disagree about case, and a
// twin in another script must stay a stranger.
func foldASCII(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}

// Name reads the name of a person, an organization or the portal.
func Name(text string) (string, Problem) {
	text = strings.Join(strings.Fields(text), " ")
	switch {
	case text == "":
		return "", Missing
	case utf8.RuneCountInString(text) > maxName:
		return "", TooLong
	case strings.ContainsFunc(text, deceptive):
		return "", NotName
	}
	return text, ""
}

// deceptive are the characters that make a name look like another one: controls, marks
// that turn the direction of writing, and what takes no space.
func deceptive(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || slices.Contains([]rune("\u200b\u2028\u2029\u2060\ufeff"), r)
}

var phonePattern = regexp.MustCompile(`^[0-9+()./ x#-]+$`)

// Phone reads a telephone number as people write it; it may be empty.
func Phone(text string) (string, Problem) {
	text = strings.Join(strings.Fields(text), " ")
	if text != "" && (len(text) > maxPhone || !phonePattern.MatchString(text)) {
		return "", NotPhone
	}
	return text, ""
}

// Text reads a line of plain text of up to limit characters; it may be empty.
func Text(text string, limit int) (string, Problem) {
	text = strings.Join(strings.Fields(text), " ")
	switch {
	case utf8.RuneCountInString(text) > limit:
		return "", TooLong
	case strings.ContainsFunc(text, deceptive):
		return "", NotName
	}
	return text, ""
}
