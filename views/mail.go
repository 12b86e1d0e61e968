package views

import "strings"

// Mail is a mail as its reader sees it; plain text and HTML are made of the same parts.
type Mail struct {
	Subject  string
	Portal   string // portal.name
	Greeting string
	Before   []string // paragraphs before the button
	Button   Button   // empty for none
	After    []string // paragraphs after it
	Contacts []Line   // whom to turn to
	NotMe    string   // address of "this was not me"; empty for none
	Why      string   // why it came
	Support  Support
	Accent   string // #rrggbb: of the button
	OnAccent string // and of the text on it
}

// Button is the one thing to press.
type Button struct{ Label, URL string }

// Line is a fact with its name.
type Line struct{ Label, Text string }

const (
	notMeLabel = "This was not me"
	notMeText  = "If this was not you, say so with one press: it shuts your account until your administrators open it again."
)

// Text is the mail in plain text.
func (m Mail) Text() string {
	parts := []string{m.Greeting}
	parts = append(parts, m.Before...)
	if m.Button.URL != "" {
		parts = append(parts, m.Button.Label+"\n"+m.Button.URL)
	}
	parts = append(parts, m.After...)
	var contacts []string
	for _, line := range m.Contacts {
		contacts = append(contacts, "- "+line.Label+": "+line.Text)
	}
	if len(contacts) > 0 {
		parts = append(parts, strings.Join(contacts, "\n"))
	}
	if m.NotMe != "" {
		parts = append(parts, notMeText+"\n"+m.NotMe)
	}
	parts = append(parts, "-- \n"+m.Why+"\n"+m.help())
	return strings.Join(parts, "\n\n") + "\n"
}

// help says whom to ask about the mail.
func (m Mail) help() string {
	var ways []string
	for _, way := range []string{m.Support.Email, m.Support.Phone, m.Support.URL} {
		if way != "" {
			ways = append(ways, way)
		}
	}
	if len(ways) == 0 {
		return "Questions? Ask the person who gave you access."
	}
	return "Questions? " + strings.Join(ways, ", ")
}

// preview is what lists of mails show beside the subject.
func (m Mail) preview() string {
	if len(m.Before) == 0 {
		return ""
	}
	return m.Before[0]
}
