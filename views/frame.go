// Package views is what a person sees: pages, the pieces they are made of, and the texts of
// mails. Every page is a function of one typed struct. It must never look at a request,
// the database or the clock, nor decide anything.
package views

import (
	"slices"
	"time"
)

// Frame is what every page stands in.
type Frame struct {
	Title   string
	Portal  string  // portal.name
	Assets  Assets  // addresses
	Person  *Person // who is signed in; nil for nobody
	Nav     Nav     // sections beside the content
	Section string  // address of the current one
	Owing   bool    // an authenticator must be enrolled before anything else
	// HalfSignedIn says that the password was given and the code is owed.
	HalfSignedIn bool
	Notice       string // text of a success message from the page before
	Failed       bool   // something that was sent did not pass: the title says so
	Support      Support
}

// Assets are the addresses of style sheets, scripts and the icon.
type Assets struct {
	CSS, Accent, HTMX, Script, Icon string
}

// Person is who is signed in.
type Person struct {
	Name, Email, Organization string
	Staff                     bool // sees the administration
}

// Nav is the list of sections beside the content.
type Nav struct {
	Label string
	Scope string // whose data is shown: "Acme GmbH only"; empty for everybody's
	Items []NavItem
}

// NavItem is one section.
type NavItem struct{ Address, Label string }

// AccountNav are the sections of one's own account.
var AccountNav = Nav{Label: "Account", Items: []NavItem{
	{"/account", "Overview"}, {"/account/profile", "Profile"}, {"/account/security", "Security"}, {"/account/activity", "Activity"}}}

// Support is whom to turn to; all empty when none is set.
type Support struct {
	Email, Phone, URL string
}

// Set says whether there is any support contact.
func (s Support) Set() bool { return s.Email != "" || s.Phone != "" || s.URL != "" }

// Contact is somebody a user can turn to.
type Contact struct {
	Name, Email string
}

// Helpers are the people a user can turn to, besides support.
type Helpers struct {
	Organization   string
	Administrators []Contact
	ContactOwner   Contact // empty name for none
}

// Time is a moment as pages show it.
type Time struct {
	At   time.Time
	Now  time.Time
	Zone *time.Location
}

// Errors are what is wrong with a form.
type Errors []FieldError

// FieldError is what is wrong with a field; without a name, with the whole form.
type FieldError struct{ Field, Text string }

// inOrder returns them in the order of the form's fields, those without a field first.
func (e Errors) inOrder(fields ...string) Errors {
	sorted := slices.Clone(e)
	slices.SortStableFunc(sorted, func(a, b FieldError) int {
		return slices.Index(fields, a.Field) - slices.Index(fields, b.Field)
	})
	return sorted
}

// Of returns what is wrong with that field, empty for nothing.
func (e Errors) Of(field string) string {
	for _, one := range e {
		if one.Field == field {
			return one.Text
		}
	}
	return ""
}
