package handlers_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/handlers"
	"postern/internal/audit"
	"postern/internal/directory"
	"postern/internal/mail"
	"postern/internal/portaltest"
)

// needsOf is what the overview says needs attention, with where each leads.
func needsOf(t testing.TB, body string) map[string]string {
	t.Helper()
	needs, text := map[string]string{}, ""
	for _, e := range elements(t, body) {
		switch {
		case e.name == "div" && e.attributes["class"] == "need":
			text = strings.Join(strings.Fields(e.text), " ")
			needs[text] = ""
		case text != "" && e.name == "a" && e.attributes["class"] == "button":
			needs[text], text = e.attributes["href"], ""
		}
	}
	return needs
}

// wantNeed fails the test unless that is said, leading there.
func wantNeed(t testing.TB, needs map[string]string, says, leads string) {
	t.Helper()
	for text, address := range needs {
		if strings.Contains(text, says) {
			if address != leads {
				t.Errorf("%q leads to %q instead of %q", text, address, leads)
			}
			return
		}
	}
	t.Errorf("%q is not said: %v", says, needs)
}

func wantNoNeed(t testing.TB, needs map[string]string, says string) {
	t.Helper()
	for text := range needs {
		if strings.Contains(text, says) {
			t.Errorf("it says %q", text)
		}
	}
}

// countOf is a number of the last thirty days.
func countOf(t testing.TB, body, label string) string {
	t.Helper()
	all := elements(t, body)
	for i, e := range all {
		if e.name == "dt" && strings.TrimSpace(e.text) == label && i+1 < len(all) {
			return strings.TrimSpace(all[i+1].text)
		}
	}
	t.Fatalf("%s is not counted", label)
	return ""
}

// withCodes gives a user recovery codes.
func withCodes(t testing.TB, p *portaltest.Portal, u db.User) {
	t.Helper()
	if err := p.DB.Update(t.Context(), func(tx *db.Tx) error {
		return tx.SetRecoveryCodes(t.Context(), u.ID, []byte("salt"), [][]byte{[]byte("hash")})
	}); err != nil {
		t.Fatal(err)
	}
}

func TestAPortalInOrderNeedsNoAttention(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b, owner := newOwner(t, p)
		wantNeed(t, needsOf(t, b.Get("/admin").Body), "no support contact is set", "/admin/settings#support")
		wantNeed(t, needsOf(t, b.Get("/admin").Body), "1 user has an authenticator, but no recovery codes left.", "/admin/users?status=active&mfa=no_codes")
		b.Get("/admin/users?status=active&mfa=no_codes").Want(http.StatusOK, "olive@vendor.example")
		p.Set(t, "support.phone", "+49 30 1")
		withCodes(t, p, owner)
		page := b.Get("/admin").Want(http.StatusOK, "Nothing at the moment.")
		if needs := needsOf(t, page.Body); len(needs) != 0 {
			t.Errorf("needed: %v", needs)
		}
		if got := countOf(t, page.Body, "Sign-ins"); got != "1" {
			t.Errorf("%s sign-ins are counted", got)
		}
		wantInert(t, "/admin", page.Body)
	})
}

func TestTheOverviewShowsWhatNeedsAttention(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b, _ := newOwner(t, p)
		for _, name := range []string{"Acme", "Globex", "Initech", "Empty"} {
			p.Organization(t, name)
		}
		person(t, p, directory.NewUser{Email: "bea@acme.example", Organization: "Acme", Role: "portal_administrator"})
		person(t, p, directory.NewUser{Email: "cy@globex.example", Organization: "Globex"})
		for _, address := range []string{"dan@initech.example", "eve@initech.example"} {
			p.Enrol(t, person(t, p, directory.NewUser{Email: address, Organization: "Initech", Role: "portal_administrator"}))
		}
		p.User(t, directory.NewUser{Email: "ida@acme.example", Organization: "Acme", Role: "portal_administrator", Invite: true})
		shut := person(t, p, directory.NewUser{Email: "fay@globex.example", Organization: "Globex"})
		if err := p.DB.Update(t.Context(), func(tx *db.Tx) error {
			if err := tx.SetFact(t.Context(), db.FactForwarder, "198.51.100.7"); err != nil {
				return err
			}
			return tx.CloseUser(t.Context(), shut.ID)
		}); err != nil {
			t.Fatal(err)
		}
		p.Mails(t)
		refuse(p, "cy@globex.example", noMailbox)
		visitor := p.Browser(t, "192.0.2.9")
		visitor.Post("/forgot-password", "email", "cy@globex.example").WantTo("/forgot-password/sent")
		p.Mails(t)
		refuse(p, "bea@acme.example", fullMailbox)
		visitor.Post("/forgot-password", "email", "bea@acme.example").WantTo("/forgot-password/sent")
		p.Mails(t)

		needs := needsOf(t, b.Get("/admin").Want(http.StatusOK).Body)
		wantNeed(t, needs, "1 user has reported “this was not me”.", "/admin/users?status=shut")
		wantNeed(t, needs, "1 staff user has no authenticator", "/admin/users?status=active&mfa=owed")
		wantNeed(t, needs, "3 users have an authenticator, but no recovery codes left.", "/admin/users?status=active&mfa=no_codes")
		wantNeed(t, needs, "1 organization has a single administrator and 1 organization has none who can sign in: Globex and Acme.", "/admin/organizations")
		wantNeed(t, needs, "1 mail could not be sent within the last 7 days.", "/admin/mail?state=failed")
		wantNeed(t, needs, "198.51.100.7 sends X-Forwarded-For", "")
		wantNoNeed(t, needs, "has waited")
		wantNoNeed(t, needs, "no authenticator and will be asked to enrol at the next sign-in")
		for _, address := range needs {
			if path, _, _ := strings.Cut(address, "#"); path != "" {
				b.Get(path).Want(http.StatusOK)
			}
		}
		b.Get("/admin/users?status=active&mfa=owed").Want(http.StatusOK, "bea@acme.example", "1 user")

		p.Clock.Advance(14 * time.Minute)
		b.Get("/admin")
		p.Clock.Advance(2 * time.Minute)
		p.Set(t, "mfa.required_for", "everyone")
		needs = needsOf(t, b.Get("/admin").Want(http.StatusOK).Body)
		wantNeed(t, needs, "1 mail has waited for more than 15 minutes.", "/admin/mail?state=queued")
		wantNeed(t, needs, "3 users have no authenticator and will be asked to enrol at the next sign-in.", "/admin/users?status=active&mfa=no")
	})
}

func TestAnOverviewShowsNothingOfOtherOrganizations(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		p.Organization(t, "Acme")
		p.Organization(t, "Globex")
		bea, beaUser := p.Staff(t, directory.NewUser{Email: "bea@acme.example", Organization: "Acme", Role: "portal_administrator"})
		withCodes(t, p, beaUser)
		cy := person(t, p, directory.NewUser{Email: "cy@globex.example", Organization: "Globex"})
		p.Enrol(t, cy)
		lost := person(t, p, directory.NewUser{Email: "lost@globex.example", Organization: "Globex"})
		if err := p.DB.Update(t.Context(), func(tx *db.Tx) error {
			if err := tx.SetFact(t.Context(), db.FactForwarder, "198.51.100.7"); err != nil {
				return err
			}
			return tx.CloseUser(t.Context(), lost.ID)
		}); err != nil {
			t.Fatal(err)
		}
		refuse(p, cy.Email, noMailbox)
		visitor := p.Browser(t, "192.0.2.9")
		visitor.Post("/forgot-password", "email", cy.Email).WantTo("/forgot-password/sent")
		p.Mails(t)
		refusedSignIns(t, p, cy, 30)

		page := bea.Get("/admin").Want(http.StatusOK, "Acme only")
		needs := needsOf(t, page.Body)
		wantNeed(t, needs, "Acme has a single administrator.", "")
		if len(needs) != 1 || strings.Contains(page.Body, "Globex") {
			t.Errorf("others are seen: %v", needs)
		}
		for label, want := range map[string]string{"Sign-ins": "1", "Users made": "1", "Reset links asked for": "0", "Sign-ins refused": "0"} {
			if got := countOf(t, page.Body, label); got != want {
				t.Errorf("%s: %s instead of %s", label, got, want)
			}
		}
		owner, _ := newOwner(t, p)
		all := owner.Get("/admin").Want(http.StatusOK)
		for label, want := range map[string]string{"Users made": "4", "Reset links asked for": "1", "Sign-ins refused": "30"} {
			if got := countOf(t, all.Body, label); got != want {
				t.Errorf("%s over everybody: %s instead of %s", label, got, want)
			}
		}
		refusedSignIns(t, p, beaUser, 12)
		wantNeed(t, needsOf(t, bea.Get("/admin").Body), "12 sign-ins refused within a day; 0 is usual.", "/admin/audit?action=sign_in.refused")
	})
}

// refusedSignIns puts refused sign-ins of a user into the trail.
func refusedSignIns(t testing.TB, p *portaltest.Portal, u db.User, n int) {
	t.Helper()
	if err := p.DB.Update(t.Context(), func(tx *db.Tx) error {
		for range n {
			if err := audit.Record(t.Context(), tx, audit.Event{Action: audit.SignInRefused, Actor: db.Actor{Kind: db.ActorVisitor}, Refused: true, User: u}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestARiseOfRefusedSignInsIsToldAndAnOrdinaryDayIsNot(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		owner := p.User(t, directory.NewUser{Email: "olive@vendor.example", Role: "owner"})
		p.Enrol(t, owner)
		for range 30 { // ten a day
			refusedSignIns(t, p, owner, 10)
			p.Clock.Advance(24 * time.Hour)
		}
		b := p.Browser(t, "192.0.2.1")
		p.SignInWithCode(t, b, owner)
		told := func() bool {
			return strings.Contains(b.Get("/admin").Want(http.StatusOK).Text(), "refused within a day; 10 is usual.")
		}
		refusedSignIns(t, p, owner, 29)
		if told() {
			t.Error("three times as many as usual is taken for a rise already")
		}
		refusedSignIns(t, p, owner, 3)
		if !told() {
			t.Error("more than three times as many as usual is not told")
		}
	})
}

func TestTheOverviewTellsTheOperatorsMattersToThoseWhoRunThePortal(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	people := map[string]db.User{}
	for _, role := range []string{"owner", "support", "auditor"} {
		people[role] = p.User(t, directory.NewUser{Email: role + "@vendor.example", Role: role})
		p.Enrol(t, people[role])
	}
	handler := secondServer(p, func(s *handlers.Server) {
		s.Mail = mail.NewWorker(p.DB, p.Settings, nil, p.URL, s.Log)
		s.Ready = func(context.Context) ([]string, error) { return []string{"clock: off by 3h0m0s"}, nil }
	})
	for role, want := range map[string][]bool{"owner": {true, true, true}, "support": {false, true, false}, "auditor": {false, false, false}} {
		v := newVisitor(t, p.URL, wire{handler, "127.0.0.1:4711"})
		v.header.Set("X-Forwarded-For", fmt.Sprintf("192.0.2.%d", people[role].ID+30))
		v.want(http.StatusSeeOther, v.post("/sign-in", "login", people[role].Email, "password", portaltest.Password))
		v.want(http.StatusSeeOther, v.post("/sign-in/verify", "code", p.Code(t, people[role])))
		e := v.get("/admin")
		v.want(http.StatusOK, e)
		for i, says := range []string{"clock: off by 3h0m0s", "No mail server is set, so all mail waits.", "no support contact is set"} {
			if got := strings.Contains(e.body, says); got != want[i] {
				t.Errorf("%s reads %q: %v", role, says, got)
			}
		}
	}
	newAnn(t, p)
	ann := p.Browser(t, "192.0.2.9")
	ann.SignIn("ann", portaltest.Password)
	ann.Get("/admin").Want(http.StatusNotFound)
}
