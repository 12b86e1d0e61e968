package views

import (
	"maps"
	"slices"
	"strings"
)

// ActionOptions are all kinds of events, to filter by, in the order of their words.
func ActionOptions() []Option {
	options := []Option{{Label: "Anything"}}
	for _, texts := range []map[string]string{eventTexts, refusedTexts} {
		for action, text := range texts {
			options = append(options, Option{Value: action, Label: text})
		}
	}
	slices.SortFunc(options[1:], func(a, b Option) int { return strings.Compare(a.Label, b.Label) })
	return options
}

// detailNames are the particulars of an event in words. Those without are for programs; of
// some the text of the event speaks already.
var detailNames = map[string]string{
	"name": "Name", "role": "Role", "organization": "Organization", "contact_owner": "Contact owner", "restored": "Address restored",
	"users": "Users", "rows": "Rows", "file": "File", "recipient": "To", "kind": "Kind",
	"format": "Format", "actor": "Who did it", "action": "What", "since": "Since", "until": "Until",
}

// detailOrder is the order in which they are told.
var detailOrder = []string{"name", "role", "organization", "contact_owner", "restored", "file", "rows", "users", "kind", "recipient", "format", "actor",
	"action", "since", "until"}

// DetailsText is what else there is to know of an event, beyond EventText; empty for
// nothing.
func DetailsText(action string, details map[string]string) string {
	var parts []string
	switch {
	case action == "audit.trimmed":
		return details["events"] + " events from before " + details["before"]
	case action == "setting.changed":
		return details["key"] + ": " + orEmpty(details["old"]) + " → " + orEmpty(details["new"])
	case strings.HasPrefix(action, "role."):
		return details["name"] + ": " + RoleText(strings.Fields(details["permissions"]), details["scope"])
	case action == "organization.changed" && details["old"] != details["name"]:
		details = maps.Clone(details)
		details["name"] = change(details["old"], details["name"])
	case action == "user.role_changed" && details["old"] != "":
		details = maps.Clone(details)
		details["role"] = change(details["old"], details["role"])
	case action == "organization.changed":
	case details["old"] != "" || details["new"] != "":
		parts = append(parts, change(details["old"], details["new"]))
	}
	for _, name := range detailOrder {
		if value := details[name]; value != "" {
			parts = append(parts, detailNames[name]+": "+value)
		}
	}
	return strings.Join(parts, "; ")
}

func change(old, now string) string {
	if old == "" {
		return now
	}
	return old + " → " + orEmpty(now)
}

func orEmpty(value string) string {
	if value == "" {
		return "nothing"
	}
	return value
}

// Those who did something, or whom it concerns, without a name of their own or one for
// this reader.
const (
	ActorOperatorText = "The operator"
	ActorSystemText   = "The portal"
	ActorVisitorText  = "Somebody not signed in"
	OutsiderText      = "Somebody outside your organization"

	OtherOrganizationText = "another organization"
	NoOrganizationText    = "none"
)

// DeletedUserText names a user who is no more.
func DeletedUserText(id int64) string { return "deleted user " + digits64(id) }

// UnknownUserText names a user whose name is not for this reader.
func UnknownUserText(id int64) string { return "user " + digits64(id) }

// DateText says what is wrong with a date.
const DateText = "Enter a date such as 2026-01-31, or a time such as 2026-01-31T15:04:05Z."
