package views

import (
	"fmt"
	"strings"
)

// RequirementText is a rule of the password policy as a line of the list.
func RequirementText(rule string, limit int) string {
	switch rule {
	case "length":
		return "At least " + plural(limit, "character")
	case "upper":
		return "A capital letter"
	case "lower":
		return "A lower-case letter"
	case "digit":
		return "A digit"
	case "special":
		return "A special character, such as ! or a space"
	case "strength":
		return "Hard to guess"
	case "personal":
		return "Without your name, your address or the names of the portal"
	case "common":
		return "Not a common password"
	case "breached":
		return "Not found in a known breach"
	case "match":
		return "The same in both fields"
	}
	return rule
}

// ProblemText says what is wrong with a field, and what to do.
func ProblemText(problem, field string, limit int, choices []string) string {
	switch problem {
	case "missing":
		return missingText(field)
	case "too_long":
		return fmt.Sprintf("Use %d characters at most.", max(limit, 100))
	case "not_email":
		return "Enter an e-mail address such as name@example.com."
	case "not_username":
		return "Use 3 to 32 of the letters a to z, digits, dots, hyphens and underscores."
	case "not_name":
		return "Leave out control characters and marks that cannot be seen."
	case "not_phone":
		return "Enter a telephone number such as +49 30 1234567."
	case "not_time_zone":
		return "Choose a time zone from the list."
	case "not_boolean":
		return "Use true or false."
	case "not_number":
		return "Use a whole number from " + strings.Join(choices, " to ") + "."
	case "not_choice":
		return "Use one of: " + strings.Join(choices, ", ") + "."
	case "not_color":
		return "Use a colour such as #1d4ed8."
	case "pale_color":
		return "This colour is too pale to be read on a white page. Choose a darker one."
	case "not_web_address":
		return "Use a web address such as https://example.com/help."
	case "not_setting":
		return "There is no such setting."
	case "username_taken":
		return "This username is taken. Choose another one."
	case "email_taken":
		return "Another user has this address."
	case "email_unusable":
		return "This address cannot be used here. Ask your administrator if it should be yours."
	case "same_email":
		return "This is your address already."
	case "name_taken":
		return "This name is taken. Choose another one."
	case "role_beyond":
		return "This gives more than you may do yourself, so it is not yours to give."
	case "other_email":
		return "This is not the address of this user. Type it again."
	case "not_contact_owner":
		return "Choose somebody of your own staff who looks after everybody."
	case "not_permission":
		return "One of these cannot be held over a single organization."
	case "needs_view":
		return "Whoever acts on users must see them: add “See users”."
	case "no_such_role":
		return "There is no such role."
	case "no_such_organization":
		return "There is no such organization."
	case "wrong_password":
		return "This is not your current password. Try again."
	case "wrong_username":
		return "This username does not belong to the link. After five wrong ones the link stops working."
	case "wrong_sign_in":
		return "Name and password do not match an account that can sign in. Check both, or use the link below the button."
	case "wrong_code":
		return "This code is not right, or has been used already. Wait for the next one, at most 30 seconds."
	case "weak_password":
		return weakText(limit, choices)
	case "password_too_long":
		return fmt.Sprintf("Use %d characters at most.", limit)
	case "passwords_differ":
		return "The two passwords are not the same. Type the new one again in both fields."
	}
	return importProblemText(problem, limit, choices)
}

// importProblemText says what is wrong with a file to import.
func importProblemText(problem string, limit int, choices []string) string {
	switch problem {
	case "needs_organization":
		return NeedsOrganizationText
	case "not_hash":
		return "This is no bcrypt or argon2id hash that can be used, or it costs too much to check."
	case "email_twice":
		return fmt.Sprintf("Line %d has this address already.", limit)
	case "username_twice":
		return fmt.Sprintf("Line %d has this username already.", limit)
	case "not_text":
		return "This holds bytes that are no UTF-8 text. Save the file as CSV in UTF-8."
	case "stray_quote":
		return "A quotation mark is in the wrong place, or one is never closed."
	case "wrong_count":
		return "This row needs as many fields as the first line has: " + digits(limit) + ". Put a field that holds a comma into quotation marks."
	case "row_too_long":
		return "This row is too long, so nothing after it was read. Look for a quotation mark that is never closed."
	case "too_many_rows":
		return fmt.Sprintf("The file has more than %d rows. Split it, or ask your operator to import it by command.", limit)
	case "no_rows":
		return "The file holds no users."
	case "no_file":
		return "Choose a CSV file."
	case "no_such_column":
		return "There is no column “" + choices[0] + "”. Columns are separated by commas; possible are " + list(choices[1:]) + "."
	case "no_column":
		return "The column “" + choices[0] + "” is missing."
	case "column_twice":
		return "The column “" + choices[0] + "” is there twice."
	case "importing":
		return "Another import is under way. Try again when it has ended."
	}
	return problem
}

// FieldText names a field, if it has a name, and says what is wrong with it.
func FieldText(name, problem string, limit int, choices []string) string {
	text := ProblemText(problem, name, limit, choices)
	if name == "" {
		return text
	}
	return name + ": " + text
}

var missingTexts = map[string]string{
	"login":            "Enter your e-mail address or username.",
	"password":         "Enter a password.",
	"current_password": "Enter your current password.",
	"confirm":          "Enter the new password again.",
	"email":            "Enter an e-mail address.",
	"username":         "Enter your username.",
	"code":             "Enter the code.",
	"reason":           "Enter a reason.",
	"name":             "Enter a name.",
	"portal_name":      "Enter the name of the portal.",
}

func missingText(field string) string {
	if text, ok := missingTexts[field]; ok {
		return text
	}
	return "This cannot be empty."
}

// weakTexts are the rules as what a refused password still needs.
var weakTexts = map[string]string{
	"upper": "a capital letter", "lower": "a lower-case letter", "digit": "a digit", "special": "a special character",
}

func weakText(limit int, rules []string) string {
	var needs, others []string
	for _, rule := range rules {
		switch rule {
		case "length":
			needs = append(needs, "at least "+plural(limit, "character"))
		case "strength":
			others = append(others, "It is too easy to guess.")
		case "personal":
			others = append(others, "It holds your name, your address or a name of the portal.")
		case "common":
			others = append(others, "It is a common password.")
		case "breached":
			others = append(others, "It was found in a known breach, so others will try it.")
		default:
			needs = append(needs, weakTexts[rule])
		}
	}
	text := strings.Join(others, " ")
	if len(needs) > 0 {
		text = strings.TrimSpace("This password needs " + list(needs) + ". " + text)
	}
	return text + " Choose another one."
}
