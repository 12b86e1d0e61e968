package handlers_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"postern/internal/directory"
	"postern/internal/portaltest"
)

func setupForm(change ...string) []string {
	form := map[string]string{"name": "Olive Owner", "email": "olive@vendor.example", "username": "olive", "portal_name": "Northwind Desk",
		"support_email": "help@vendor.example", "password": portaltest.Another, "confirm": portaltest.Another}
	for i := 0; i < len(change); i += 2 {
		form[change[i]] = change[i+1]
	}
	var fields []string
	for name, value := range form {
		fields = append(fields, name, value)
	}
	return fields
}

func TestTheFirstOwnerSetsThePortalUpOnce(t *testing.T) { // B18
	t.Parallel()
	for name, htmx := range map[string]bool{"without scripts": false, "with htmx": true} {
		t.Run(name, func(t *testing.T) {
			portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
				b, stranger := p.Browser(t, "192.0.2.1"), p.Browser(t, "192.0.2.2")
				b.Get("/sign-in").Want(http.StatusOK, "This portal has not been set up yet.")
				old, token := setupToken(t, p), setupToken(t, p)
				stranger.Get("/setup/" + old).WantTo("/setup")
				stranger.Get("/setup").Want(http.StatusGone, "only the newest one works")
				stranger.Post("/setup", setupForm()...).Want(http.StatusGone)
				b.HTMX = htmx
				b.Get("/setup/" + token).WantTo("/setup")
				if page := b.Get("/setup").Want(http.StatusOK, "Set up your portal", "At least 8 characters"); !formFor(t, page.Body, "/setup") {
					t.Error("there is no form")
				}
				page := b.Post("/setup", setupForm()...).WantTo("/account/totp")
				b.HTMX = false
				page = b.Follow(page)
				wantStatus(t, "/setup", page, "Your portal is set up.")
				page.Want(http.StatusOK, "Northwind Desk", "Add an authenticator", "help@vendor.example")
				b.Get("/account").WantTo("/account/totp")
				secret, _ := enrol(t, p, b)
				b.Get("/account").Want(http.StatusOK, "Northwind Desk", "Hello Olive Owner", "Owner", "help@vendor.example")
				for _, v := range []*portaltest.Browser{b, stranger} {
					v.Get("/setup").Want(http.StatusNotFound)
					v.Get("/setup/" + token).Want(http.StatusNotFound)
					v.Post("/setup", setupForm("email", "eve@evil.example", "username", "eve")...).Want(http.StatusNotFound)
				}
				b.Post("/sign-out").WantTo("/sign-in")
				if page := b.Get("/sign-in"); strings.Contains(page.Text(), "not been set up") {
					t.Error("the sign-in page still says that it is not set up")
				}
				b.Post("/sign-in", "login", "olive", "password", portaltest.Another).WantTo("/sign-in/verify")
				b.Post("/sign-in/verify", "code", nextCode(t, p, secret)).WantTo("/account")
			})
		})
	}
}

func TestTwoAtOnceMakeOneOwner(t *testing.T) { // B18
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		token := setupToken(t, p)
		answers := make([]int, 6)
		var all sync.WaitGroup
		for i := range answers {
			b := p.Browser(t, fmt.Sprintf("192.0.2.%d", i+1))
			b.SetCookie("postern-link", token)
			all.Go(func() {
				page := b.Post("/setup", setupForm("email", fmt.Sprintf("owner%d@vendor.example", i), "username", fmt.Sprintf("owner%d", i))...)
				answers[i] = page.Status
			})
		}
		all.Wait()
		slices.Sort(answers)
		// On a busy machine somebody may be asked to come back; nobody else gets in.
		if n := len(answers); answers[0] != http.StatusSeeOther || slices.Contains(answers[1:], http.StatusSeeOther) ||
			answers[1] != http.StatusNotFound || answers[n-1] != http.StatusNotFound && answers[n-1] != http.StatusServiceUnavailable {
			t.Errorf("the answers are %v", answers)
		}
		users, err := p.DB.Reader().Users(t.Context(), 0, 10)
		if err != nil || len(users) != 1 {
			t.Errorf("%d users: %v", len(users), err)
		}
	})
}

func TestAnOwnerMadeByCommandClosesTheSetUp(t *testing.T) { // B18
	t.Parallel()
	p := onSQLite(t)
	b := p.Browser(t, "192.0.2.1")
	token := setupToken(t, p)
	b.Get("/setup/" + token).WantTo("/setup")
	person(t, p, directory.NewUser{Email: "olive@vendor.example", Role: "owner"})
	b.Get("/setup").Want(http.StatusNotFound)
	b.Post("/setup", setupForm("email", "eve@evil.example")...).Want(http.StatusNotFound)
}

func TestTheSetUpRefusesTheWordsJustTyped(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	b := p.Browser(t, "192.0.2.1")
	b.Get("/setup/" + setupToken(t, p)).WantTo("/setup")
	for field, word := range map[string]string{"name": "Oleander", "email": "oleander@vendor.example", "username": "oleander", "portal_name": "Oleander"} {
		form := setupForm(field, word, "password", "Oleander-Velvet-77-Quartz", "confirm", "Oleander-Velvet-77-Quartz")
		j := judged(t, b.Post("/password/strength", append(slices.Clone(form), "for", "setup")...))
		if !slices.Equal(j.unmet(), []string{"personal"}) {
			t.Errorf("%s: while typing not met are %q", field, j.unmet())
		}
		if page := b.Post("/setup", form...); page.Status != http.StatusUnprocessableEntity || !strings.Contains(page.Text(), "a name of the portal") {
			t.Fatalf("%s: the form answers %s", field, met(page))
		}
	}
}

func TestTheSetUpSaysWhichNameIsTaken(t *testing.T) {
	t.Parallel()
	for field, text := range map[string]string{"email": "Another user has this address.", "username": "This username is taken."} {
		p := onSQLite(t)
		person(t, p, directory.NewUser{Email: "taken@vendor.example", Username: "taken"}) // made by command before
		b := p.Browser(t, "192.0.2.1")
		b.Get("/setup/" + setupToken(t, p)).WantTo("/setup")
		value := map[string]string{"email": "Taken@vendor.example", "username": "taken"}[field]
		page := b.Post("/setup", setupForm(field, value)...).Want(http.StatusUnprocessableEntity)
		if !strings.Contains(page.Text(), text) {
			t.Errorf("%s is taken, but the page says: %s", field, page.Text())
		}
		wantTied(t, field, elements(t, page.Body), []string{field})
	}
}

func TestTheSetUpTakesNoRole(t *testing.T) { // F7
	t.Parallel()
	p := onSQLite(t)
	b := p.Browser(t, "192.0.2.1")
	b.Get("/setup/" + setupToken(t, p)).WantTo("/setup")
	newAnn(t, p)
	fields := setupForm()
	for _, column := range columns(t, p) {
		if !slices.Contains([]string{"name", "email", "username"}, column) {
			fields = append(fields, column, "1")
		}
	}
	b.Post("/setup", append(fields, "portal.accent", "#000000", "recovery.enabled", "false")...).WantTo("/account/totp")
	olive, err := p.DB.Reader().UserByEmail(t.Context(), "olive@vendor.example")
	if err != nil || olive.Role.ID != "owner" || olive.Phone != "" || olive.TimeZone != "UTC" || olive.OrganizationID != 0 || olive.PendingEmail != "" || olive.ClosedAt != 0 {
		t.Errorf("the owner is %+v: %v", olive, err)
	}
	current, err := p.Settings.Current(t.Context())
	if err != nil || current.PortalAccent == "#000000" || !current.RecoveryEnabled {
		t.Errorf("the settings are %+v: %v", current, err)
	}
}
