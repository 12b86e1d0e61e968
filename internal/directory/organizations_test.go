package directory_test

import (
	"errors"
	"fmt"
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
			_, err := p.Directory.CreateOrganization(t.Context(), operator, twin)
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
			_, err := p.Directory.CreateOrganization(t.Context(), operator, bad)
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
			return p.Directory.SetOrganizationActive(t.Context(), operator, "ACME", active)
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
		if err := p.Directory.SetOrganizationActive(t.Context(), operator, "Nobody Ltd", false); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("an unknown organization: %v", err)
		}
	})
}
