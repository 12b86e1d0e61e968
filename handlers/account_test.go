package handlers_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/internal/directory"
	"postern/internal/portaltest"
)

func TestWhatWasTypedSurvivesTheProof(t *testing.T) {
	t.Parallel()
	for name, htmx := range map[string]bool{"without scripts": false, "with htmx": true} {
		t.Run(name, func(t *testing.T) {
			engine := map[bool]db.Engine{false: db.SQLite, true: db.PostgreSQL}[htmx]
			p := portaltest.New(t, engine)
			ann := newAnn(t, p)
			b := p.Browser(t, "192.0.2.1")
			b.SignIn("ann", portaltest.Password)
			b.HTMX = htmx
			for path, typed := range map[string][2]string{"/account/email": {"email", `ann+"new"@acme.example`}, "/account/username": {"username", "ann.smith"}} {
				p.Clock.Advance(11 * time.Minute)
				page := b.Follow(b.Post(path, typed[0], typed[1], "password", "typed-quokka").WantTo("/reauthenticate"))
				page.Want(http.StatusOK, "Is it you?")
				next := input(t, page.Body, "next").attributes["value"]
				b.Post("/reauthenticate", "password", "wrong", "next", next).Want(http.StatusUnprocessableEntity, "This is not your current password.")
				b.Post("/reauthenticate", "password", "", "next", next).Want(http.StatusUnprocessableEntity, "Enter a password.")
				page = b.Follow(b.Post("/reauthenticate", "password", portaltest.Password, "next", next).WantTo(path))
				page.Want(http.StatusOK)
				if got := input(t, page.Body, typed[0]).attributes["value"]; got != typed[1] || strings.Contains(page.Body, "quokka") || page.Whole() == htmx {
					t.Errorf("%s is %q after the proof: %s", typed[0], got, page.Body)
				}
			}
			b.Post("/account/username", "username", "ann.smith").WantTo("/account/security") // fresh for ten minutes
			p.Clock.Advance(9*time.Minute + 59*time.Second)
			b.Get("/account/email").Want(http.StatusOK)
			p.Clock.Advance(time.Second)
			b.Get("/account/email").WantTo("/reauthenticate")
			if got := p.Reload(t, ann).Username; got != "ann.smith" {
				t.Errorf("the username is %q", got)
			}
		})
	}
}

func TestANewAddressCountsOnceItIsConfirmedByItsOwner(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		person(t, p, directory.NewUser{Email: "bob@acme.example", Username: "bob"})
		b, bob, other := p.Browser(t, "192.0.2.1"), p.Browser(t, "192.0.2.2"), p.Browser(t, "192.0.2.3")
		b.SignIn("ann", portaltest.Password)
		bob.SignIn("bob", portaltest.Password)
		other.SignIn("ann", portaltest.Password)
		p.Mails(t)
		b.Post("/account/email", "email", "Ann.New@acme.example").WantTo("/account/security")
		b.Get("/account/security").Want(http.StatusOK, "Ann.New@acme.example waits for its confirmation", "24 hours")
		link := mailTo(t, p, "Ann.New@acme.example").Link(t, "/verify-email/")
		if got := p.Reload(t, ann).Email; got != ann.Email {
			t.Errorf("the address is %s before it is confirmed", got)
		}
		bob.Get(link).WantTo("/verify-email")
		bob.Get("/verify-email").Want(http.StatusGone)
		bob.Post("/verify-email").Want(http.StatusGone)
		stranger := p.Browser(t, "192.0.2.4")
		page := stranger.Follow(stranger.Get(link).WantTo("/verify-email"))
		next := input(t, page.Body, "next").attributes["value"]
		page = stranger.Follow(stranger.Post("/sign-in", "login", "ann", "password", portaltest.Password, "next", next))
		page.Want(http.StatusOK, "Confirm your new address", "Ann.New@acme.example")
		p.Mails(t)
		page = stranger.Follow(stranger.Post("/verify-email").WantTo("/account/security"))
		wantStatus(t, "/verify-email", page, "Your e-mail address was changed. All other browsers were signed out.")
		m := p.Mail(t)
		if m.To != ann.Email || m.Subject != "Your e-mail address was changed" || !strings.Contains(m.Text, "Ann.New@acme.example") {
			t.Errorf("%q to %s: %s", m.Subject, m.To, m.Text)
		}
		other.Get("/account").WantTo("/sign-in")
		b.Get("/account").WantTo("/sign-in")
		stranger.Post("/verify-email").Want(http.StatusGone)
		other.SignIn("ann.new@acme.example", portaltest.Password)
	})
}

func TestACancelledAddressCannotBeConfirmed(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		var links []string
		for _, address := range []string{"one@acme.example", "two@acme.example"} {
			b.Post("/account/email", "email", address).WantTo("/account/security")
			links = append(links, mailTo(t, p, address).Link(t, "/verify-email/"))
		}
		b.Get(links[0]).WantTo("/verify-email")
		b.Get("/verify-email").Want(http.StatusGone, "a newer one was sent")
		b.Get(links[1]).WantTo("/verify-email")
		b.Get("/verify-email").Want(http.StatusOK, "two@acme.example")
		b.Post("/account/email/cancel").WantTo("/account/security")
		b.Post("/verify-email").Want(http.StatusGone)
		for range 3 {
			b.Post("/account/email", "email", "three@acme.example").WantTo("/account/security")
		}
		held := b.Post("/account/email", "email", "six@acme.example").Want(http.StatusTooManyRequests, "There were too many attempts.")
		if held.Header.Get("Retry-After") == "" || input(t, held.Body, "email").attributes["value"] != "six@acme.example" {
			t.Errorf("Retry-After %q: %s", held.Header.Get("Retry-After"), held.Body)
		}
		late := mailTo(t, p, "three@acme.example").Link(t, "/verify-email/")
		p.Clock.Advance(24 * time.Hour)
		b.SignIn("ann", portaltest.Password)
		b.Get(late).WantTo("/verify-email")
		b.Get("/verify-email").Want(http.StatusGone)
		if got := p.Reload(t, ann).Email; got != ann.Email {
			t.Errorf("the address is %s", got)
		}
	})
}

func TestNobodyFindsOutByTryingWhoHasAnAccount(t *testing.T) { // B4
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		for i := range 6 {
			address := fmt.Sprintf("user%d@acme.example", i)
			person(t, p, directory.NewUser{Email: address})
			want := http.StatusUnprocessableEntity
			if i == 5 {
				want = http.StatusTooManyRequests // as after five that were free
			}
			if page := b.Post("/account/email", "email", address); page.Status != want {
				t.Errorf("address %d: %s instead of %d", i+1, met(page), want)
			}
		}
	})
}

func TestThisWasNotMeShutsTheAccount(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		p.Organization(t, "Acme")
		person(t, p, directory.NewUser{Email: "boss@acme.example", Name: "Bea Boss", Organization: "Acme", Role: "portal_administrator"})
		ann := person(t, p, directory.NewUser{Email: "ann@acme.example", Username: "ann", Name: "Ann Smith", Organization: "Acme"})
		thief, b := p.Browser(t, "192.0.2.66"), p.Browser(t, "192.0.2.1")
		thief.SignIn("ann", portaltest.Password)
		thief.Post("/account/email", "email", "thief@evil.example").WantTo("/account/security")
		thief.Get(mailTo(t, p, "thief@evil.example").Link(t, "/verify-email/")).WantTo("/verify-email")
		thief.Post("/verify-email").WantTo("/account/security")
		link := p.Mail(t).Link(t, "/not-me/")
		p.Clock.Advance(13 * 24 * time.Hour)
		thief.SignIn("ann", portaltest.Password)
		b.Get(link).WantTo("/not-me")
		b.Get("/not-me").Want(http.StatusOK, "This was not you?", "your address is ann@acme.example again", "your administrators are told")
		thief.Get("/account").Want(http.StatusOK) // looking changes nothing
		page := b.Post("/not-me").Want(http.StatusOK, "Your account is shut", "Bea Boss")
		wantStatus(t, "/not-me", page, "Nobody can sign in to it now, and your administrators have been told. When they have opened it again, you choose a new password.")
		if b.Cookie("postern-link") != "" {
			t.Error("the browser keeps the used token")
		}
		thief.Get("/account").WantTo("/sign-in")
		for _, login := range []string{"ann", "ann@acme.example", "thief@evil.example"} {
			thief.Post("/sign-in", "login", login, "password", portaltest.Password).Want(http.StatusUnprocessableEntity)
		}
		to := map[string]string{}
		for _, m := range p.Mails(t) {
			to[m.To] = m.Subject
		}
		if len(to) != 2 || to["ann@acme.example"] != "Your account is shut" || to["boss@acme.example"] != "A user reported: this was not me" {
			t.Errorf("the mails are %v", to)
		}
		b.Get(link).WantTo("/not-me")
		b.Get("/not-me").Want(http.StatusGone)
		b.Post("/forgot-password", "email", "ann@acme.example").WantTo("/forgot-password/sent")
		if m := p.Mail(t); strings.Contains(m.Text, "/reset-password/") || !strings.Contains(m.Text, "Bea Boss") {
			t.Errorf("the mail says: %s", m.Text)
		}
		if got := p.Reload(t, ann); got.Email != "ann@acme.example" || got.ClosedAt == 0 {
			t.Errorf("the user is %+v", got)
		}
	})
}

func TestSomebodyElsesNotMeLeavesMySessionAlone(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	person(t, p, directory.NewUser{Email: "bob@acme.example", Username: "bob", Name: "Bob Jones"})
	ann, b := p.Browser(t, "192.0.2.1"), p.Browser(t, "192.0.2.2")
	ann.SignIn("ann", portaltest.Password)
	ann.Post("/account/username", "username", "ann2").WantTo("/account/security")
	link := p.Mail(t).Link(t, "/not-me/")
	b.SignIn("bob", portaltest.Password)
	b.Get(link).WantTo("/not-me")
	b.Post("/not-me").Want(http.StatusOK)
	b.Get("/account").Want(http.StatusOK, "Bob Jones")
	ann.Get("/account").WantTo("/sign-in")
}

func TestAChangeSignsOutEveryOtherBrowserAndIsMailed(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		for path, c := range map[string]struct {
			subject string
			fields  []string
		}{
			"/account/username": {"Your username was changed", []string{"username", "ann.smith"}},
			"/account/password": {"Your password was changed", []string{"current_password", portaltest.Password, "password", portaltest.Another, "confirm", portaltest.Another}},
		} {
			b, other := p.Browser(t, "192.0.2.1"), p.Browser(t, "192.0.2.2")
			b.SignIn(ann.Email, portaltest.Password)
			other.SignIn(ann.Email, portaltest.Password)
			p.Mails(t)
			reset := resetLink(t, p, ann)
			p.Mails(t)
			b.Post(path, c.fields...).WantTo("/account/security")
			if m := p.Mail(t); m.Subject != c.subject || m.To != ann.Email || m.Link(t, "/not-me/") == "" {
				t.Errorf("%s mails %q to %s", path, m.Subject, m.To)
			}
			b.Get("/account").Want(http.StatusOK)
			other.Get("/account").WantTo("/sign-in")
			other.Get("/reset-password/" + reset).WantTo("/reset-password") // A14
			other.Get("/reset-password").Want(http.StatusGone)
			if path == "/account/password" {
				b.Post("/account/password", "current_password", portaltest.Another, "password", portaltest.Password, "confirm", portaltest.Password).
					WantTo("/account/security")
			}
			p.Mails(t)
		}
	})
}

func TestTimesAreInTheUsersZone(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	for zone, title := range map[string]string{"UTC": "20 November 2026, 12:00 UTC", "Europe/Berlin": "20 November 2026, 13:00 CET",
		"Asia/Kolkata": "20 November 2026, 17:30 IST", "America/New_York": "20 November 2026, 07:00 EST"} {
		b.Post("/account/profile", "name", "Ann Smith", "phone", "", "time_zone", zone).WantTo("/account/profile")
		page := b.Get("/account").Want(http.StatusOK)
		if n := len(having(elements(t, page.Body), "title", title)); n != 2 {
			t.Errorf("%s: %d times read %q: %s", zone, n, title, page.Body)
		}
		page = b.Get("/account/profile")
		if chosen := having(elements(t, page.Body), "selected", "selected"); len(chosen) != 1 || chosen[0].attributes["value"] != zone {
			t.Errorf("%s: chosen is %v", zone, chosen)
		}
	}
}

func TestAProfileIsKeptAsTyped(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		b.Post("/account/profile", "name", "  Zoë   Müller ", "phone", "+49 (30) 123-45 x6", "time_zone", "Europe/Berlin", "notify_sign_in", "false").
			WantTo("/account/profile")
		got := p.Reload(t, ann)
		if got.Name != "Zoë Müller" || got.Phone != "+49 (30) 123-45 x6" || got.TimeZone != "Europe/Berlin" || got.NotifySignIn {
			t.Errorf("kept is %+v", got)
		}
		page := b.Get("/account/profile")
		if input(t, page.Body, "name").attributes["value"] != "Zoë Müller" || input(t, page.Body, "phone").attributes["value"] != got.Phone {
			t.Errorf("shown is %s", page.Body)
		}
		b.Post("/account/profile", "name", "Zoë", "phone", "", "time_zone", "UTC").WantTo("/account/profile")
		if p.Reload(t, ann).NotifySignIn {
			t.Error("what was not sent has changed")
		}
	})
}
