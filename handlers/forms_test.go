package handlers_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/internal/directory"
	"postern/internal/portaltest"
)

// wrongForm is a form that does not pass.
type wrongForm struct {
	path   string
	fields []string // names and values, alternating
	wrong  []string // the fields that are wrong; empty for the form as a whole
	says   []string
}

// typedPassword is in every wrong form and must never come back.
const typedPassword = "typed-quokka-1"

var neverShown = []string{"password", "confirm", "current_password", "next"}

// wrongForms are forms for a visitor who is signed in as Ann and proved it just now.
var wrongForms = map[string]wrongForm{
	"profile": {"/account/profile", []string{"name", " ", "phone", "call <me>", "time_zone", "Mars/Phobos"}, []string{"name", "phone", "time_zone"},
		[]string{"Enter a name.", "Enter a telephone number", "Choose a time zone"}},
	"hidden marks in a name": {"/account/profile", []string{"name", "Ann\u202egnp.exe", "phone", "+49 30 1", "time_zone", "UTC"}, []string{"name"},
		[]string{"marks that cannot be seen"}},
	"present password": {"/account/password", []string{"current_password", typedPassword, "password", portaltest.Another, "confirm", portaltest.Another},
		[]string{"current_password"}, []string{"This is not your current password."}},
	"no present password": {"/account/password", []string{"password", portaltest.Another, "confirm", portaltest.Another},
		[]string{"current_password"}, []string{"Enter your current password."}},
	"new password": {"/account/password", []string{"current_password", portaltest.Password, "password", typedPassword, "confirm", portaltest.Another},
		[]string{"password", "confirm"}, []string{"a capital letter", "The two passwords are not the same."}},
	"no new password": {"/account/password", []string{"current_password", portaltest.Password, "password", "", "confirm", ""},
		[]string{"password"}, []string{"Enter a password."}},
	"e-mail":         {"/account/email", []string{"email", "ann@@acme"}, []string{"email"}, []string{"Enter an e-mail address"}},
	"own e-mail":     {"/account/email", []string{"email", "ann@acme.example"}, []string{"email"}, []string{"This is your address already."}},
	"username":       {"/account/username", []string{"username", "Ann Smith"}, []string{"username"}, []string{"Use 3 to 32"}},
	"taken username": {"/account/username", []string{"username", "BOB"}, []string{"username"}, []string{"This username is taken."}},
	"proof": {"/reauthenticate", []string{"password", typedPassword, "next", "/account/email"}, []string{"password"},
		[]string{"This is not your current password."}},
	// B4: whether somebody has an address is said to nobody.
	"somebody's e-mail": {"/account/email", []string{"email", "Bob@acme.example"}, []string{"email"},
		[]string{"This address cannot be used here. Ask"}},
}

func TestAFormThatDoesNotPassComesBackAsItWasTyped(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		person(t, p, directory.NewUser{Email: "bob@acme.example", Username: "bob"})
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		for name, form := range wrongForms {
			for _, htmx := range []bool{false, true} {
				b.HTMX = htmx
				form.try(t, name, b)
			}
		}
	})
}

// strangersForms are forms for visitors who are not signed in; those with a link follow it
// first.
var strangersForms = map[string]wrongForm{
	"sign-in": {"/sign-in", []string{"login", "<Somebody>", "password", typedPassword, "next", "/account/security"}, nil,
		[]string{"Name and password do not match"}},
	"nothing at all": {"/sign-in", []string{"login", "", "password", ""}, nil, []string{"Name and password do not match"}},
	"forgot password": {"/forgot-password", []string{"email", "nobody", "username", ""}, []string{"email", "username"},
		[]string{"Enter an e-mail address", "Enter your username."}},
	"reset": {"/reset-password", []string{"username", "ann", "password", typedPassword, "confirm", ""}, []string{"password", "confirm"},
		[]string{"a capital letter", "The two passwords are not the same."}},
	"somebody else's username": {"/reset-password", []string{"username", "annie", "password", portaltest.Another, "confirm", portaltest.Another},
		[]string{"username"}, []string{"This username does not belong to the link."}},
	"invitation": {"/invitation", []string{"password", typedPassword, "confirm", portaltest.Another}, []string{"password", "confirm"},
		[]string{"a capital letter", "The two passwords are not the same."}},
	"set-up": {"/setup", []string{"name", "", "email", "owner@@", "username", "O W", "portal_name", "", "support_email", "nobody",
		"password", typedPassword, "confirm", typedPassword}, []string{"name", "email", "username", "portal_name", "support_email"},
		[]string{"Enter a name.", "Enter the name of the portal."}},
	"set-up password": {"/setup", []string{"name", "Olive", "email", "olive@vendor.example", "username", "olive", "portal_name", "Northwind",
		"support_email", "help@vendor.example", "password", typedPassword, "confirm", "other"}, []string{"password", "confirm"},
		[]string{"a capital letter"}},
}

func TestAStrangersFormThatDoesNotPassComesBackAsItWasTyped(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		p.Set(t, "recovery.identify_by", "email_and_username")
		p.Set(t, "recovery.confirm_username", "true")
		links := map[string]string{"/reset-password": "/reset-password/" + resetLink(t, p, ann), "/setup": "/setup/" + setupToken(t, p)}
		p.User(t, directory.NewUser{Email: "ida@acme.example", Invite: true})
		links["/invitation"] = pathOf(p.Mails(t)[1].Link(t, "/invitation/"))
		for name, form := range strangersForms {
			for _, htmx := range []bool{false, true} {
				b := p.Browser(t, "192.0.2.1")
				if link := links[form.path]; link != "" {
					b.Get(link).WantTo(form.path)
				}
				b.HTMX = htmx
				form.try(t, name, b)
			}
		}
	})
}

// try posts the form and looks at what comes back.
func (f wrongForm) try(t *testing.T, name string, b *portaltest.Browser) {
	t.Helper()
	page := b.Post(f.path, f.fields...)
	if page.Status != http.StatusUnprocessableEntity || page.Whole() == b.HTMX {
		t.Errorf("%s, htmx %v: %s, whole: %v: %s", name, b.HTMX, met(page), page.Whole(), page.Text())
		return
	}
	for _, text := range f.says {
		if !strings.Contains(page.Text(), text) {
			t.Errorf("%s does not say %q: %s", name, text, page.Text())
		}
	}
	if title := "<title>Error: "; !b.HTMX && !strings.Contains(page.Body, title) {
		t.Errorf("%s: the title does not say that there was an error", name)
	}
	if strings.Contains(page.Body, "quokka") || strings.Contains(page.Body, portaltest.Another) {
		t.Errorf("%s shows a password again: %s", name, page.Body)
	}
	all := elements(t, page.Body)
	if alerts := having(all, "role", "alert"); len(alerts) != 1 {
		t.Errorf("%s has %d alerts", name, len(alerts))
	}
	f.wantTyped(t, name, all)
	wantTied(t, name, all, f.wrong)
}

// wantTyped looks for what was typed in the fields.
func (f wrongForm) wantTyped(t *testing.T, name string, all []element) {
	t.Helper()
	for i := 0; i < len(f.fields); i += 2 {
		field, typed := f.fields[i], f.fields[i+1]
		found := having(all, "name", field)
		if slices.Contains(neverShown, field) || field == "time_zone" || len(found) == 0 {
			continue
		}
		if got := found[0].attributes["value"]; got != typed {
			t.Errorf("%s: %s is %q instead of %q", name, field, got, typed)
		}
	}
	for _, next := range having(all, "name", "next") {
		if i := slices.Index(f.fields, "next"); i >= 0 && next.attributes["value"] != f.fields[i+1] {
			t.Errorf("%s: next is %q", name, next.attributes["value"])
		}
	}
}

// wantTied fails the test unless exactly those fields have an error, which their
// aria-describedby names and to which the summary leads.
func wantTied(t *testing.T, name string, all []element, wrong []string) {
	t.Helper()
	var tied []string
	for _, e := range all {
		if e.attributes["aria-invalid"] == "true" {
			tied = append(tied, e.attributes["name"])
			for id := range strings.FieldsSeq(e.attributes["aria-describedby"]) {
				if len(having(all, "id", id)) != 1 {
					t.Errorf("%s: %s is described by %q, which is not there", name, e.attributes["name"], id)
				}
			}
			if !strings.Contains(e.attributes["aria-describedby"], e.attributes["id"]+"-error") {
				t.Errorf("%s: %s does not lead to its error", name, e.attributes["name"])
			}
		}
		if to, ok := strings.CutPrefix(e.attributes["href"], "#"); ok && to != "main" && len(having(all, "id", to)) != 1 {
			t.Errorf("%s: the summary leads to the field %q, which is not there", name, to)
		}
	}
	slices.Sort(tied)
	wanted := slices.Sorted(slices.Values(wrong))
	if !slices.Equal(tied, wanted) {
		t.Errorf("%s: the fields %q are wrong instead of %q", name, tied, wanted)
	}
}

// resetLink returns the token of a mailed reset link.
func resetLink(t testing.TB, p *portaltest.Portal, u db.User) string {
	t.Helper()
	plain, err := p.Directory.PrintResetLink(t.Context(), portaltest.Operator, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// setupToken returns the token of the set-up link.
func setupToken(t testing.TB, p *portaltest.Portal) string {
	t.Helper()
	plain, err := p.Account.OfferSetup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func TestAnAddressThatWasTakenMeanwhileIsRefusedOnItsOwnPage(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		b.Post("/account/email", "email", "ann.new@acme.example").WantTo("/account/security")
		link := mailTo(t, p, "ann.new@acme.example").Link(t, "/verify-email/")
		person(t, p, directory.NewUser{Email: "Ann.New@acme.example"})
		b.Get(link).WantTo("/verify-email")
		page := b.Post("/verify-email").Want(http.StatusUnprocessableEntity, "This address cannot be used here. Ask", "ann.new@acme.example")
		wantTied(t, "verify-email", elements(t, page.Body), nil)
		if got := p.Reload(t, ann).Email; got != ann.Email {
			t.Errorf("the address is %s", got)
		}
	})
}

// done is an act that goes well.
type done struct {
	path   string
	fields []string
	says   string
}

func TestASuccessIsToldOnceOnTheNextPage(t *testing.T) {
	t.Parallel()
	for name, htmx := range map[string]bool{"without scripts": false, "with htmx": true} {
		t.Run(name, func(t *testing.T) {
			p := onSQLite(t)
			newAnn(t, p)
			b := p.Browser(t, "192.0.2.1")
			b.SignIn("ann", portaltest.Password)
			b.HTMX = htmx
			for _, act := range []done{
				{"/account/profile", []string{"name", "Ann Smith", "phone", "", "time_zone", "UTC"}, "Your profile was saved."},
				{"/account/username", []string{"username", "ann.smith"}, "Your username was changed. All other browsers were signed out."},
				{"/account/email", []string{"email", "ann.new@acme.example"}, "We have mailed a link to the new address. Open it there to confirm."},
				{"/account/email/cancel", nil, "Your address stays as it is."},
				{"/account/password", []string{"current_password", portaltest.Password, "password", portaltest.Another, "confirm", portaltest.Another},
					"Your password was changed. All other browsers were signed out."},
				{"/sign-out", nil, "You are signed out."},
			} {
				page := b.Follow(b.Post(act.path, act.fields...))
				wantStatus(t, act.path, page, act.says)
				b.HTMX = false
				wantStatus(t, act.path+" once more", b.Get(page.Path), "")
				b.HTMX = htmx
			}
		})
	}
}

// wantStatus fails the test unless the page tells of exactly that success.
func wantStatus(t *testing.T, after string, page portaltest.Page, text string) {
	t.Helper()
	var said []string
	for _, e := range having(elements(t, page.Body), "role", "status") {
		if words := strings.Join(strings.Fields(e.text), " "); words != "" {
			said = append(said, words)
		}
	}
	if got := strings.Join(said, "; "); got != text || page.Status != http.StatusOK {
		t.Errorf("after %s: %d, told is %q instead of %q", after, page.Status, got, text)
	}
}

func TestAFormThatDoesNotPassLeavesTheMessageToTheNextPage(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	b.Post("/account/profile", "name", "Ann Smith", "phone", "", "time_zone", "UTC").WantTo("/account/profile")
	b.Get("/nothing").Want(http.StatusNotFound)
	b.Post("/account/username", "username", "!").Want(http.StatusUnprocessableEntity)
	b.HTMX = true
	b.Get("/account/security").Want(http.StatusOK)
	b.HTMX = false
	wantStatus(t, "/account/profile", b.Get("/account/profile"), "Your profile was saved.")
}

func TestADoubleClickDoesItOnce(t *testing.T) { // F13
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		for range 2 {
			b.Post("/forgot-password", "email", ann.Email).WantTo("/forgot-password/sent")
		}
		b.Get(p.Mail(t).Link(t, "/reset-password/")).WantTo("/reset-password")
		b.Post("/reset-password", "password", portaltest.Another, "confirm", portaltest.Another).WantTo("/sign-in")
		b.Post("/reset-password", "password", portaltest.Another, "confirm", portaltest.Another).Want(http.StatusGone)
		p.Mail(t) // one
		for range 2 {
			b.Post("/sign-in", "login", "ann", "password", portaltest.Another).WantTo("/account")
		}
		p.Clock.Advance(time.Minute)
		for range 2 {
			b.Post("/account/profile", "name", "Ann Twice", "phone", "", "time_zone", "UTC").WantTo("/account/profile")
		}
		b.Get("/account").Want(http.StatusOK, "Ann Twice")
		for range 2 {
			b.Post("/sign-out").WantTo("/sign-in")
		}
		d := database(t, p)
		if sessions := rows(t, d, "session", nil); len(sessions) != 1 || strings.Contains(sessions[0], "ended_at=0 ") {
			t.Errorf("the sessions are %q", sessions)
		}
	})
}
