package views_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"postern/views"
)

const portalURL = "https://portal.vendor.example"

var berlin = func() *time.Location {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return zone
}()

// facts are those of a mail to, and about, people who chose that name.
func facts(name string) views.MailFacts {
	return views.MailFacts{Portal: "Customer Portal", URL: portalURL, Name: name, Device: "Firefox on Linux", Address: "192.0.2.7",
		At: time.Date(2026, time.July, 1, 22, 30, 0, 0, time.UTC), Zone: berlin,
		Helpers: views.Helpers{Organization: name, Administrators: []views.Contact{{Name: name, Email: "chief@acme.test"}},
			ContactOwner: views.Contact{Name: name, Email: "carla@vendor.test"}}}
}

// mails is every mail there is, as each of its variants.
func mails(name string) map[string][]views.Mail {
	f := facts(name)
	link := views.LinkMail{Subject: "Password change request", Label: "Please confirm this was you.", URL: portalURL + "/reset-password/abc",
		Lifetime: "60 minutes", Until: f.At.Add(time.Hour)}
	notMe := portalURL + "/not-me/abc"
	nowhere := f
	nowhere.Device = ""
	all := map[string][]views.Mail{
		"ResetLinkMail":       {views.ResetLinkMail(f, link, false), views.ResetLinkMail(f, link, true)},
		"NoResetMail":         {},
		"InvitationMail":      {views.InvitationMail(f, link)},
		"VerifyEmailMail":     {views.VerifyEmailMail(f, link)},
		"EmailAskedMail":      {views.EmailAskedMail(f, "new@acme.test", false, notMe), views.EmailAskedMail(f, "new@acme.test", true, notMe)},
		"EmailChangedMail":    {views.EmailChangedMail(f, "new@acme.test", notMe)},
		"PasswordChangedMail": {views.PasswordChangedMail(f, notMe), views.PasswordChangedMail(nowhere, notMe)},
		"UsernameChangedMail": {views.UsernameChangedMail(f, notMe)},
		"NewSignInMail":       {views.NewSignInMail(f, notMe)},
		"PasswordStoppedMail": {views.PasswordStoppedMail(f)},
		"FactorChangedMail":   {},
		"RecoveryUsedMail":    {views.RecoveryUsedMail(f, 9, notMe), views.RecoveryUsedMail(f, 1, notMe), views.RecoveryUsedMail(f, 0, notMe)},
		"WrongCodesMail":      {views.WrongCodesMail(f, notMe)},
		"DeletedMail":         {views.DeletedMail(f)},
		"TestMail":            {views.TestMail(f)},
		"OperatorResetMail":   {views.OperatorResetMail(f, notMe)},
		"StatusMail":          {},
		"NotMeMail":           {views.NotMeMail(f)},
		"NotMeToStaffMail":    {views.NotMeToStaffMail(f, views.Contact{Name: name, Email: "rita@acme.test"})},
	}
	for _, reason := range []views.NoReset{views.NoResetInactive, views.NoResetNever, views.NoResetShut} {
		all["NoResetMail"] = append(all["NoResetMail"], views.NoResetMail(f, "Password change request", reason))
	}
	for _, change := range []views.FactorChange{views.FactorEnrolled, views.FactorReplaced, views.FactorRemoved, views.FactorReset, views.FactorCodes} {
		all["FactorChangedMail"] = append(all["FactorChangedMail"], views.FactorChangedMail(f, change, false, notMe), views.FactorChangedMail(f, change, true, notMe))
	}
	for _, status := range []views.Status{views.StatusActivated, views.StatusDeactivated, views.StatusUnlocked, views.StatusNewRole, views.StatusSignedOut,
		views.StatusLinksRevoked, views.StatusUninvited} {
		all["StatusMail"] = append(all["StatusMail"], views.StatusMail(f, status))
	}
	for _, variants := range all {
		for i := range variants {
			variants[i].Accent, variants[i].OnAccent = "#1d4ed8", "#ffffff"
		}
	}
	return all
}

// each hands every mail of people with that name to look.
func each(t *testing.T, name string, look func(t *testing.T, kind string, m views.Mail, document string)) {
	t.Helper()
	for kind, variants := range mails(name) {
		for _, m := range variants {
			look(t, kind, m, rendered(t, m))
		}
	}
}

func rendered(t *testing.T, m views.Mail) string {
	t.Helper()
	var out strings.Builder
	if err := views.MailHTML(m).Render(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestNoMailIsForgottenHere(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "mail_texts.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	covered := mails("Ann")
	for _, declared := range file.Decls {
		f, ok := declared.(*ast.FuncDecl)
		if !ok || f.Recv != nil || !f.Name.IsExported() || f.Type.Results == nil {
			continue
		}
		if result, ok := f.Type.Results.List[0].Type.(*ast.Ident); ok && result.Name == "Mail" && len(covered[f.Name.Name]) == 0 {
			t.Errorf("%s is looked at by no test", f.Name.Name)
		}
	}
}

var (
	invisible = regexp.MustCompile(`(?s)<(script|style|head)\b.*?</(script|style|head)>|<[^>]*>`)
	blanks    = regexp.MustCompile(`\s+`)
)

// shown is what a person reads of a document.
func shown(document string) string {
	return strings.TrimSpace(blanks.ReplaceAllString(html.UnescapeString(invisible.ReplaceAllString(document, " ")), " "))
}

// linked is what mail programs make links of by themselves.
var linked = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*:/|\bwww\.|[^\s@]+@[^\s@]+|\\\\\S|//\S|[\pL\d-]\.\pL`)

// known are the addresses that belong into mails.
var known = regexp.MustCompile(`https://portal\.vendor\.example[/a-z-]*|\b(chief|carla|rita|new)@(acme|vendor)\.test\b`)

// F1
func TestNoNameBecomesALinkInAMail(t *testing.T) {
	for _, name := range []string{"evil.example", "http://evil.example", "https://evil.example/a?b=c", "HTTP://EVIL.EXAMPLE", "www.evil.example", "a@b.c", "evil.example.", "evil.example/x",
		"ftp://evil", "mailto:eve@evil.example", "//evil.example", `\\evil.example\share`, "Visit evil.example now", "evil.example,evil.test", "Eve\r\nBcc: eve@evil.example",
		"xn--80ak6aa92e.example", "bücher.example", "evil.\u200dexample", "evil.example:8080", "a.b", strings.Repeat("ab.", 33) + "c", "javascript://x", "tel://1"} {
		each(t, name, func(t *testing.T, kind string, m views.Mail, document string) {
			for form, text := range map[string]string{"plain text": m.Text(), "HTML": shown(document), "the subject": m.Subject} {
				if found := linked.FindString(known.ReplaceAllString(text, "")); found != "" {
					t.Errorf("%q makes mail programs link %q in %s of %s:\n%s", name, found, form, kind, text)
				}
			}
		})
	}
}

// F1, F2, F3
func TestNoNameBecomesMarkupInAMail(t *testing.T) {
	for _, name := range []string{`<b>Eve</b>`, `"><script>alert(1)</script>`, `" onmouseover="alert(1)`, `' style='x`, `<img src=x onerror=alert(1)>`, `</p></div></body></html>`,
		`<!--`, `&lt;b&gt;`, `<div hx-swap-oob="true" id="user-menu">`, `" hx-post="/admin" hx-trigger="load`, `]]>`, `{ name }`} {
		each(t, name, func(t *testing.T, kind string, m views.Mail, document string) {
			balanced(t, kind+" for "+name, document)
			plain := rendered(t, stripped(m))
			if strings.Count(document, "<") != strings.Count(plain, "<") || strings.Count(document, `"`) != strings.Count(plain, `"`) {
				t.Errorf("%q changes the markup of %s:\n%s", name, kind, document)
			}
		})
	}
}

// stripped is the mail without what could be markup.
func stripped(m views.Mail) views.Mail {
	clean := strings.NewReplacer("<", "", ">", "", `"`, "", "'", "", "&", "").Replace
	m.Greeting = clean(m.Greeting)
	m.Before, m.After, m.Contacts = slices.Clone(m.Before), slices.Clone(m.After), slices.Clone(m.Contacts)
	for i := range m.Before {
		m.Before[i] = clean(m.Before[i])
	}
	for i := range m.Contacts {
		m.Contacts[i].Text = clean(m.Contacts[i].Text)
	}
	return m
}

func TestTheNameOfThePortalIsTextInItsMails(t *testing.T) {
	f := facts("Ann")
	f.Portal = `<b>Müller & Söhne</b> "GmbH" <script>alert(1)</script>`
	document := rendered(t, views.NotMeMail(f))
	balanced(t, "mail", document)
	if strings.Contains(document, "<b>") || strings.Contains(document, "<script") || !strings.Contains(shown(document), f.Portal) {
		t.Errorf("the name of the portal is not shown as it is: %s", shown(document))
	}
}

var element = regexp.MustCompile(`<(/?)([a-zA-Z!][a-zA-Z0-9]*)((?:"[^"]*"|[^">])*)>`)

// void are the elements that need no end.
var void = []string{"!DOCTYPE", "meta", "br", "hr", "img", "link", "input"}

// balanced fails the test unless every element that begins ends, in order.
func balanced(t *testing.T, what, document string) {
	t.Helper()
	var open []string
	for _, found := range element.FindAllStringSubmatch(document, -1) {
		name := found[2]
		switch {
		case slices.ContainsFunc(void, func(v string) bool { return strings.EqualFold(v, name) }):
		case found[1] == "":
			open = append(open, name)
		case len(open) == 0 || open[len(open)-1] != name:
			t.Fatalf("%s: </%s> ends nothing, or the wrong one of %q", what, name, open)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("%s: %q do not end", what, open)
	}
	if rest := element.ReplaceAllString(document, ""); strings.Contains(rest, "<") {
		t.Errorf("%s: what is left of the markup holds a <", what)
	}
}

var (
	attribute = regexp.MustCompile(`\s(src|srcset|background|on[a-z]+|action|poster)\s*=|url\(|@import`)
	hrefs     = regexp.MustCompile(`href="([^"]*)"`)
)

func TestAMailIsSafeToOpenAndReadableInTheDark(t *testing.T) {
	each(t, "Ann Smith", func(t *testing.T, kind string, m views.Mail, document string) {
		balanced(t, kind, document)
		for _, needed := range []string{`<html lang="en">`, `<meta charset="utf-8">`, `<meta name="color-scheme" content="light dark">`, `name="viewport"`,
			"<title>" + html.EscapeString(m.Subject) + "</title>", "prefers-color-scheme: dark"} {
			if !strings.Contains(strings.ReplaceAll(document, "/>", ">"), needed) {
				t.Errorf("%s lacks %s", kind, needed)
			}
		}
		for _, banned := range []string{"<img", "<script", "<iframe", "<form", "<link", "<object", "javascript:", "data:"} {
			if strings.Contains(strings.ToLower(document), banned) {
				t.Errorf("%s holds %s", kind, banned)
			}
		}
		if found := attribute.FindString(document); found != "" {
			t.Errorf("%s loads or runs something: %s", kind, found)
		}
		if n := strings.Count(document, `class="button"`); n > 1 || (n == 1) != (m.Button.URL != "") {
			t.Errorf("%s has %d buttons", kind, n)
		}
		for _, link := range hrefs.FindAllStringSubmatch(document, -1) {
			if !strings.HasPrefix(link[1], portalURL+"/") || strings.Count(shown(document), link[1]) != 1 {
				t.Errorf("%s leads to %s, or does not show where", kind, link[1])
			}
		}
	})
}

func TestAMailSaysTheSameInBothForms(t *testing.T) {
	for name, support := range map[string]views.Support{
		"Questions? Ask the person who gave you access.":                              {},
		"Questions? help@vendor.test, +49 30 1234567, https://help.vendor.test/a?b&c": {Email: "help@vendor.test", Phone: "+49 30 1234567", URL: "https://help.vendor.test/a?b&c"},
	} {
		each(t, "Ann Smith", func(t *testing.T, kind string, m views.Mail, _ string) {
			m.Support = support
			text, seen := m.Text(), shown(rendered(t, m))
			for _, part := range slices.Concat([]string{"Hello Ann Smith,", m.Button.URL, m.Button.Label, m.NotMe, m.Why, name}, m.Before, m.After) {
				if !strings.Contains(text, part) || !strings.Contains(seen, part) {
					t.Errorf("%s does not say %q in both forms", kind, part)
				}
			}
			if !strings.HasPrefix(text, "Hello Ann Smith,\n\n") || !strings.HasPrefix(m.Why, "You get this mail because ") || !strings.Contains(m.Why, portalURL) ||
				!strings.Contains(text, "\n\n-- \nYou get this mail because ") {
				t.Errorf("%s does not begin or end as a letter does:\n%s", kind, text)
			}
			if strings.Contains(text, "\n\n\n") || strings.Contains(text, "  ") || m.Subject == "" || len(m.Before) == 0 {
				t.Errorf("%s has gaps:\n%s", kind, text)
			}
		})
	}
}

func TestWhoHasNoNameIsGreetedAllTheSame(t *testing.T) {
	for _, name := range []string{"", " ", "//", "@"} {
		if text := views.NotMeMail(facts(name)).Text(); !strings.HasPrefix(text, "Hello,\n") {
			t.Errorf("%q is greeted with %.20q", name, text)
		}
	}
	for _, name := range []string{"Ann Smith", "J. R. Tolkien", "Dr. Zoë O'Neil-Müller", "李小龍"} {
		if text := views.NotMeMail(facts(name)).Text(); !strings.HasPrefix(text, "Hello "+name+",\n") {
			t.Errorf("%q is greeted with %.30q", name, text)
		}
	}
}

func TestWhatIsSaidOfTheDoerHelpsToRememberIt(t *testing.T) {
	f := facts("Ann")
	for says, change := range map[string]func(){
		"It was done on 2 July 2026, 00:30 CEST with Firefox on Linux, from the network address 192.0.2.7.": func() {},
		"It was done on 2 July 2026, 00:30 CEST from the network address 192.0.2.7.":                        func() { f.Device = "" },
		"It was done on 2 July 2026, 00:30 CEST.":                                                           func() { f.Device, f.Address = "", "" },
	} {
		f = facts("Ann")
		change()
		if text := views.PasswordChangedMail(f, portalURL+"/not-me/abc").Text(); !strings.Contains(text, says) {
			t.Errorf("the mail does not say %q:\n%s", says, text)
		}
	}
}

// G13
func TestSecurityMailsSayWhatToDoAndNoOthersDo(t *testing.T) {
	notMe := []string{"EmailAskedMail", "EmailChangedMail", "PasswordChangedMail", "UsernameChangedMail", "NewSignInMail", "OperatorResetMail",
		"FactorChangedMail", "RecoveryUsedMail", "WrongCodesMail"}
	each(t, "Ann", func(t *testing.T, kind string, m views.Mail, document string) {
		text := m.Text()
		if asks := strings.Contains(text, "If this was not you, say so with one press") && strings.Contains(text, "\n"+portalURL+"/not-me/abc\n") &&
			strings.Contains(document, `href="`+portalURL+`/not-me/abc"`); asks != slices.Contains(notMe, kind) {
			t.Errorf("%s lets its reader say that it was not them: %t", kind, asks)
		}
	})
	whom := []string{"NoResetMail", "NotMeMail"}
	each(t, "Carla", func(t *testing.T, kind string, m views.Mail, _ string) {
		for _, contact := range []string{"- Administrator: Carla, chief@acme.test", "- Your contact: Carla, carla@vendor.test"} {
			if slices.Contains(whom, kind) && !strings.Contains(m.Text(), contact) {
				t.Errorf("%s does not name %q", kind, contact)
			}
		}
	})
	if text := views.NotMeMail(views.MailFacts{Zone: time.UTC}).Text(); !strings.Contains(text, "- Turn to: the person who gave you access") {
		t.Errorf("who has nobody to turn to is not told so:\n%s", text)
	}
}
