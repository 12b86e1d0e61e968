package handlers_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"postern/internal/directory"
	"postern/internal/portaltest"
)

func TestThePortalsNameColourAndSupportAreInForceAtOnce(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		signedIn := p.Browser(t, "192.0.2.2")
		signedIn.SignIn("ann", portaltest.Password)
		pages := map[string]*portaltest.Browser{"/sign-in": b, "/support": b, "/forgot-password": b, "/forgot-password/sent": b, "/nothing": b, "/account": signedIn}
		for path, b := range pages {
			b.Get(path).Want(map[bool]int{false: 200, true: 404}[path == "/nothing"], "Customer Portal", "the person who gave you access")
		}
		for key, value := range map[string]string{"portal.name": "Northwind Desk", "portal.accent": "#B91C1C", "support.email": "help@vendor.example",
			"support.phone": "+49 30 1234567", "support.url": "https://help.vendor.example/start"} {
			p.Set(t, key, value)
		}
		for path, b := range pages {
			page := b.Get(path)
			all := elements(t, page.Body)
			for _, href := range []string{"mailto:help@vendor.example", "tel:+49301234567", "https://help.vendor.example/start", "/static/accent-b91c1c.css"} {
				if len(having(all, "href", href)) == 0 {
					t.Errorf("%s does not lead to %s", path, href)
				}
			}
			if text := page.Text(); !strings.Contains(page.Body, " – Northwind Desk</title>") || strings.Contains(page.Body, "Customer Portal") ||
				strings.Contains(strings.ToLower(text), "the person who gave you access") {
				t.Errorf("%s still is as before: %s", path, text)
			}
		}
		if css := b.Get("/static/accent-b91c1c.css").Want(http.StatusOK).Body; !strings.Contains(css, "#b91c1c") {
			t.Errorf("the style sheet is %s", css)
		}
		askForLink(t, p, b)
		if m := p.Sink.Mails()[len(p.Sink.Mails())-1]; !strings.Contains(m.HTML, "Northwind Desk") || !strings.Contains(m.HTML, "#b91c1c") ||
			!strings.Contains(m.Text, "Questions? help@vendor.example, +49 30 1234567, https://help.vendor.example/start") {
			t.Errorf("the mail is still as before: %s", m.Text)
		}
	})
}

func TestTheWordsOfRecoveryAreTheOwners(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	p.Set(t, "recovery.link_label", "Locked out? Press here")
	p.Set(t, "recovery.mail_subject", "Your new key")
	p.Set(t, "recovery.mail_link_text", "Open the door")
	p.Set(t, "recovery.link_minutes", "120")
	b := p.Browser(t, "192.0.2.1")
	page := b.Get("/sign-in").Want(http.StatusOK, "Locked out? Press here")
	if links := having(elements(t, page.Body), "href", "/forgot-password"); len(links) != 1 || links[0].text != "Locked out? Press here" {
		t.Errorf("the links are %v", links)
	}
	b.Get("/forgot-password").Want(http.StatusOK, "It works for 2 hours.")
	b.Get("/forgot-password/sent").Want(http.StatusOK, "within 2 hours", "Your new key", "portal@vendor.example")
	link := askForLink(t, p, b)
	m := p.Sink.Mails()[0]
	if m.Subject != "Your new key" || !strings.Contains(m.Text, "Open the door\n"+link) || !strings.Contains(m.HTML, "Open the door") {
		t.Errorf("%q: %s", m.Subject, m.Text)
	}
	p.Clock.Advance(120*time.Minute - time.Second)
	b.Get(link).WantTo("/reset-password")
	b.Get("/reset-password").Want(http.StatusOK)
	p.Clock.Advance(time.Second)
	b.Get("/reset-password").Want(http.StatusGone)
}

func TestRecoveryThatIsSwitchedOffHelpsAllTheSame(t *testing.T) {
	t.Parallel()
	for name, htmx := range map[string]bool{"without scripts": false, "with htmx": true} {
		t.Run(name, func(t *testing.T) {
			p := onSQLite(t)
			ann := newAnn(t, p)
			b := p.Browser(t, "192.0.2.1")
			b.HTMX = htmx
			b.Get(askForLink(t, p, b)).WantTo("/reset-password")
			p.Set(t, "recovery.enabled", "false")
			for _, page := range []portaltest.Page{b.Get("/forgot-password").Want(http.StatusOK), b.Get("/reset-password/renew").Want(http.StatusOK),
				b.Post("/forgot-password", "email", ann.Email).Want(http.StatusNotFound), b.Post("/reset-password/renew").Want(http.StatusNotFound)} {
				page.Want(page.Status, "Trouble signing in?", "Ask the administrator of your organization", "Ask the person who gave you access.")
				if formFor(t, page.Body, "/forgot-password") || formFor(t, page.Body, "/reset-password/renew") || page.Whole() == htmx {
					t.Errorf("%s has a form: %s", page.Path, page.Body)
				}
			}
			if n := len(p.Mails(t)); n > 0 {
				t.Errorf("%d mails", n)
			}
			// Links that are out, and those of administrators and the operator, work all the same.
			b.Get("/reset-password").Want(http.StatusOK)
			stranger := p.Browser(t, "192.0.2.2")
			dead := stranger.Get("/reset-password").Want(http.StatusGone, "Ask the administrator of your organization for a new one.")
			if formFor(t, dead.Body, "/reset-password/renew") {
				t.Error("the dead link's page offers what there is not")
			}
			for _, path := range []string{"/forgot-password/sent", "/support"} {
				if page := stranger.Get(path); strings.Contains(page.Body, `href="/forgot-password"`) {
					t.Errorf("%s offers what there is not", path)
				}
			}
			stranger.Get("/reset-password/" + resetLink(t, p, ann)).WantTo("/reset-password")
			stranger.Post("/reset-password", "password", portaltest.Another, "confirm", portaltest.Another).WantTo("/sign-in")
			p.Set(t, "recovery.enabled", "true")
			if page := b.Get("/forgot-password").Want(http.StatusOK); !formFor(t, page.Body, "/forgot-password") {
				t.Error("switched on again there is no form")
			}
		})
	}
}

func TestAnAddressAndTheUsernameMustBelongTogether(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		person(t, p, directory.NewUser{Email: "bob@acme.example"}) // without a username
		b := p.Browser(t, "192.0.2.1")
		if page := b.Get("/forgot-password"); len(having(elements(t, page.Body), "name", "username")) != 0 {
			t.Error("the username is asked for")
		}
		p.Set(t, "recovery.identify_by", "email_and_username")
		if page := b.Get("/forgot-password"); len(having(elements(t, page.Body), "name", "username")) != 1 {
			t.Error("the username is not asked for")
		}
		answers := map[string]bool{}
		for _, c := range []struct {
			email, username string
			mails           int
		}{
			{"ann@acme.example", "annie", 0}, {"ann@acme.example", "bob@acme.example", 0}, {"ann@acme.example", "ann@acme.example", 0},
			{"bob@acme.example", "ann", 0}, {"nobody@acme.example", "ann", 0}, {"ann@acme.example", " Ann ", 1}, {"bob@acme.example", "BOB@acme.example", 1},
		} {
			page := b.Post("/forgot-password", "email", c.email, "username", c.username)
			answers[looks(page, c.email)+looks(b.Follow(page), c.email)] = true
			if mails := p.Mails(t); len(mails) != c.mails || c.mails > 0 && mails[0].To != c.email {
				t.Errorf("%s with %s: %d mails", c.email, c.username, len(mails))
			}
		}
		if len(answers) != 1 {
			t.Errorf("%d different answers", len(answers))
		}
	})
}

func TestFiveWrongUsernamesKillTheLink(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		link := askForLink(t, p, b)
		b.Get(link).WantTo("/reset-password")
		page := b.Get("/reset-password").Want(http.StatusOK)
		if hidden := having(elements(t, page.Body), "autocomplete", "username"); len(hidden) != 1 || hidden[0].attributes["value"] != "ann@acme.example" ||
			hidden[0].attributes["name"] != "" {
			t.Errorf("password managers are told %v", hidden)
		}
		p.Set(t, "recovery.confirm_username", "true")
		page = b.Get("/reset-password").Want(http.StatusOK)
		if strings.Contains(page.Body, "ann@acme.example") || len(having(elements(t, page.Body), "name", "username")) != 1 {
			t.Errorf("the page gives away what it asks for: %s", page.Body)
		}
		answer := func(username string) portaltest.Page {
			return b.Post("/reset-password", "username", username, "password", portaltest.Another, "confirm", portaltest.Another)
		}
		answer("").Want(http.StatusUnprocessableEntity, "Enter your username.") // counts for nothing
		for range 4 {
			answer("annie").Want(http.StatusUnprocessableEntity, "This username does not belong to the link.")
		}
		answer("annie").Want(http.StatusGone)
		answer("ann").Want(http.StatusGone)
		b.Get("/reset-password").Want(http.StatusGone)
		p.Clock.Advance(time.Hour)
		b.Get(askForLink(t, p, b)).WantTo("/reset-password")
		answer(" ANN").WantTo("/sign-in")
	})
}

func TestOnlyWhoSignedInBeforeGetsALinkWhereThatIsAsked(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		p.Set(t, "recovery.require_prior_sign_in", "true")
		b := p.Browser(t, "192.0.2.1")
		b.Post("/forgot-password", "email", ann.Email).WantTo("/forgot-password/sent")
		if m := p.Mail(t); strings.Contains(m.Text, "/reset-password/") || !strings.Contains(m.Text, "signed in before, which you have not") ||
			!strings.Contains(m.Text, "the person who gave you access") {
			t.Errorf("the mail says: %s", m.Text)
		}
		b.SignIn("ann", portaltest.Password)
		p.Clock.Advance(time.Hour)
		askForLink(t, p, b)
	})
}

func TestWherePasswordsAreNotChangedTheLineSaysWhomToAsk(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		p.Organization(t, "Acme")
		person(t, p, directory.NewUser{Email: "boss@acme.example", Name: "Bea Boss", Organization: "Acme", Role: "portal_administrator"})
		ann := person(t, p, directory.NewUser{Email: "ann@acme.example", Username: "ann", Organization: "Acme"})
		person(t, p, directory.NewUser{Email: "lone@other.example", Username: "lone"})
		p.Set(t, "password.change_enabled", "false")
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		page := b.Get("/account/security").Want(http.StatusOK, "Passwords are not changed here.", "The administrators of Acme:", "Bea Boss")
		all := elements(t, page.Body)
		if len(having(all, "href", "mailto:boss@acme.example")) != 1 || len(having(all, "href", "/account/password")) != 0 {
			t.Errorf("whom to ask is not said, or the form is offered: %s", page.Body)
		}
		b.Get("/account/password").Want(http.StatusNotFound)
		p.Clock.Advance(11 * time.Minute) // not there, so no proof is asked for
		b.Post("/account/password", "current_password", portaltest.Password, "password", portaltest.Another, "confirm", portaltest.Another).
			Want(http.StatusNotFound)
		if p.Reload(t, ann).PasswordHash != ann.PasswordHash {
			t.Error("the password was changed all the same")
		}
		lone := p.Browser(t, "192.0.2.2")
		lone.SignIn("lone", portaltest.Password)
		lone.Get("/account/security").Want(http.StatusOK, "Passwords are not changed here.", "The person who gave you access.")
		p.Set(t, "password.change_enabled", "true")
		b.Get("/account/password").Want(http.StatusOK, "Current password")
	})
}
