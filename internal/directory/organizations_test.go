package directory_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"postern/db"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/portaltest"
)

func TestAnOrganizationIsTheSameHoweverItIsSpelled(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		id := p.Organization(t, "  Müller &  Söhne GmbH ")
		for i, twin := range []string{"MÜLLER & SÖHNE GMBH", "müller & söhne gmbh", "Müller\t& Söhne\u00a0GmbH"} {
			_, err := p.Directory.CreateOrganization(t.Context(), operator, directory.NewOrganization{Name: twin})
			if got := problems(t, err); got["name"] != input.NameTaken {
				t.Errorf("%q: %v", twin, got)
			}
			u, err := p.Directory.CreateUser(t.Context(), operator,
				directory.NewUser{Email: fmt.Sprintf("user%d@m.example", i), Name: "Uwe", Organization: twin})
			if err != nil || u.OrganizationID != id || u.Organization != "Müller & Söhne GmbH" {
				t.Errorf("%q: in %q (%v)", twin, u.Organization, err)
			}
		}
		for bad, problem := range map[string]input.Problem{" ": input.Missing, "Ac\u200bme": input.NotName} {
			_, err := p.Directory.CreateOrganization(t.Context(), operator, directory.NewOrganization{Name: bad})
			if got := problems(t, err); got["name"] != problem {
				t.Errorf("%q: %v", bad, got)
			}
		}
		if done := events(t, p, "organization.created"); len(done) != 1 || done[0].Organization != id || done[0].User != 0 {
			t.Errorf("it was recorded as %+v", done)
		}
	})
}

func TestAnInactiveOrganizationKeepsEverybodyOut(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		id := p.Organization(t, "Acme")
		ann := person(t, p, directory.NewUser{Email: "ann@acme.example", Organization: "Acme"})
		other := person(t, p, directory.NewUser{Email: "other@home.example"})
		set := func(active bool) error {
			return p.Directory.SetOrganizationActive(t.Context(), operator, id, active)
		}
		for range 2 {
			must(t, set(false))
		}
		if now := p.Reload(t, ann); now.Enabled() || now.Epoch == ann.Epoch {
			t.Errorf("enabled %v, epoch %d", now.Enabled(), now.Epoch)
		}
		if canSignIn(t, p, ann.Email) || !canSignIn(t, p, other.Email) {
			t.Error("the wrong people get in")
		}
		if _, err := p.Directory.PrintResetLink(t.Context(), operator, ann.ID); !errors.Is(err, directory.ErrCannotEnter) {
			t.Errorf("a link is printed: %v", err)
		}
		for range 2 {
			must(t, set(true))
		}
		if !canSignIn(t, p, ann.Email) {
			t.Error("nobody gets in again")
		}
		for _, action := range []string{"organization.deactivated", "organization.activated"} {
			if done := events(t, p, action); len(done) != 1 || done[0].Organization != id {
				t.Errorf("%s was recorded as %+v", action, done)
			}
		}
		if err := p.Directory.SetOrganizationActive(t.Context(), operator, 9999, false); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("an unknown organization: %v", err)
		}
	})
}

func TestAnOrganizationIsRenamedAndLookedAfter(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		_, olga := newOwner(t, p)
		ctx := t.Context()
		acme := p.Organization(t, "Acme")
		p.Organization(t, "Umbrella")
		change := func(name, owner string) error {
			return p.Directory.ChangeOrganization(ctx, olga, acme, directory.NewOrganization{Name: name, ContactOwner: owner})
		}
		support := person(t, p, directory.NewUser{Email: "sue@vendor.example", Role: "support"})
		administrator := person(t, p, directory.NewUser{Email: "adam@acme.example", Role: "portal_administrator", Organization: "Acme"})
		customer := person(t, p, directory.NewUser{Email: "ann@acme.example", Organization: "Acme"})
		for name, problem := range map[string]input.Problem{"": input.Missing, "UMBRELLA": input.NameTaken, "A\u202eB": input.NotName} {
			if got := problems(t, change(name, "")); got["name"] != problem {
				t.Errorf("%q: %v", name, got)
			}
		}
		for _, owner := range []string{fmt.Sprint(administrator.ID), customer.Email, "9999", "nobody@vendor.example", "-1"} {
			if got := problems(t, change("Acme", owner)); got["contact_owner"] != input.NotContactOwner {
				t.Errorf("looked after by %s: %v", owner, got)
			}
			_, err := p.Directory.CreateOrganization(ctx, olga, directory.NewOrganization{Name: "New", ContactOwner: owner})
			if got := problems(t, err); got["contact_owner"] != input.NotContactOwner {
				t.Errorf("made and looked after by %s: %v", owner, got)
			}
		}
		if err := p.Directory.ChangeOrganization(ctx, olga, 9999, directory.NewOrganization{Name: "New"}); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("no such organization: %v", err)
		}
		must(t, change("Acme", "")) // as it was
		if done := events(t, p, "organization.changed"); len(done) != 0 {
			t.Errorf("what was refused is recorded: %+v", done)
		}
		must(t, change("ACME Corp", fmt.Sprint(support.ID)))
		must(t, change("ACME Corp", strings.ToUpper(support.Email)))
		if u := p.Reload(t, customer); u.Organization != "ACME Corp" || u.ContactOwnerID != support.ID {
			t.Errorf("in %s, looked after by %d", u.Organization, u.ContactOwnerID)
		}
		if done := events(t, p, "organization.changed"); len(done) != 1 || done[0].Organization != acme || !strings.Contains(done[0].Detail, `"old":"Acme"`) {
			t.Errorf("it was recorded as %+v", done)
		}
		must(t, change("ACME Corp", "0"))
		if u := p.Reload(t, customer); u.ContactOwnerID != 0 {
			t.Errorf("still looked after by %d", u.ContactOwnerID)
		}
		umbrella, err := p.Directory.CreateOrganization(ctx, olga, directory.NewOrganization{Name: "Looked after", ContactOwner: support.Email})
		must(t, err)
		if o, err := p.DB.Reader().Organization(ctx, umbrella); err != nil || o.ContactOwnerID != support.ID || !o.Active {
			t.Errorf("made: %+v (%v)", o, err)
		}
	})
}

func TestAnOrganizationThatIsSwitchedOffSignsEverybodyOut(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		_, olga := newOwner(t, p)
		acme := p.Organization(t, "Acme")
		p.Organization(t, "Umbrella")
		ann, bob := person(t, p, directory.NewUser{Email: "ann@acme.example", Organization: "Acme"}), person(t, p, directory.NewUser{Email: "bob@acme.example", Organization: "Acme"})
		eve := person(t, p, directory.NewUser{Email: "eve@umbrella.example", Organization: "Umbrella"})
		sessions := []string{entered(t, p, ann), entered(t, p, bob), entered(t, p, eve)}
		must(t, p.Directory.SendReset(t.Context(), olga, ann.ID))
		link := theLink(t, p, "/reset-password/")
		must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error {
			_, err := tx.SetEnrolment(t.Context(), ann.ID, []byte("sealed"), tx.Now+1e6)
			return err
		}))
		for _, active := range []bool{false, true} { // what has ended does not come back
			must(t, p.Directory.SetOrganizationActive(t.Context(), olga, acme, active))
			if loaded(t, p, sessions[0]) != nil || loaded(t, p, sessions[1]) != nil || loaded(t, p, sessions[2]) == nil {
				t.Errorf("active %v: the wrong sessions ended", active)
			}
			if works(t, p, db.PurposeReset, link) {
				t.Errorf("active %v: the link still works", active)
			}
			if _, err := p.DB.Reader().Enrolment(t.Context(), ann.ID, p.DB.Now()); !errors.Is(err, db.ErrNotFound) {
				t.Errorf("active %v: the secret that was shown can still be confirmed: %v", active, err)
			}
		}
	})
}

func TestAnOrganizationIsNoWayAroundTheCeiling(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		_, olga := newOwner(t, p)
		ctx := t.Context()
		role, err := p.Directory.CreateRole(ctx, olga, directory.NewRole{Name: "Accounts", Scope: "everybody", Permissions: []string{"users.view", "organizations.edit"}})
		must(t, err)
		vendor, acme, own := p.Organization(t, "Vendor"), p.Organization(t, "Acme"), p.Organization(t, "Own")
		person(t, p, directory.NewUser{Email: "sue@vendor.example", Role: "support", Organization: "Vendor"})
		person(t, p, directory.NewUser{Email: "adam@acme.example", Role: "portal_administrator", Organization: "Acme"})
		carl := person(t, p, directory.NewUser{Email: "carl@own.example", Role: role, Organization: "Own"})
		p.Enrol(t, carl)
		for what, id := range map[string]int64{"staff who outrank them": vendor, "themselves": own} {
			if err := p.Directory.SetOrganizationActive(ctx, portaltest.Actor(carl), id, false); !errors.Is(err, directory.ErrNotAllowed) {
				t.Errorf("they switch off the organization of %s: %v", what, err)
			}
		}
		must(t, p.Directory.SetOrganizationActive(ctx, portaltest.Actor(carl), acme, false))
		must(t, p.Directory.SetOrganizationActive(ctx, olga, vendor, false))
		if err := p.Directory.SetOrganizationActive(ctx, portaltest.Actor(carl), vendor, true); !errors.Is(err, directory.ErrNotAllowed) {
			t.Errorf("they switch staff on who outrank them: %v", err)
		}
	})
}

func TestWhoMovesIntoAnOrganizationThatIsOffIsOut(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		_, olga := newOwner(t, p)
		ctx := t.Context()
		p.Organization(t, "Acme")
		off := p.Organization(t, "Off")
		must(t, p.Directory.SetOrganizationActive(ctx, olga, off, false))
		ann := person(t, p, directory.NewUser{Email: "ann@acme.example", Organization: "Acme"})
		session := entered(t, p, ann)
		must(t, p.Directory.ChangeUser(ctx, olga, ann.ID, directory.UserChange{Organization: text("")}))
		if loaded(t, p, session) == nil {
			t.Error("a move signs out")
		}
		// With everything else at once, which has ends of its own.
		must(t, p.Directory.ChangeUser(ctx, olga, ann.ID, directory.UserChange{Organization: text("Off"), Username: text("annie"), Role: text("portal_administrator"),
			Email: text("new@acme.example"), Name: text("Annie")}))
		must(t, p.Directory.SetOrganizationActive(ctx, olga, off, true))
		if loaded(t, p, session) != nil {
			t.Error("the session outlived the move")
		}
		if now := p.Reload(t, ann); now.OrganizationID != off || now.Username != "annie" || now.Role.ID != "portal_administrator" || now.Name != "Annie" {
			t.Errorf("now %+v", now)
		}
	})
}
