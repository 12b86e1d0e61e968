package account_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"postern/internal/account"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/portaltest"
	"postern/internal/token"
)

// form is a set-up form that passes.
func form(email string) account.Setup {
	return account.Setup{Name: "Olga Owner", Email: email, Username: "olga", Password: chosen(portaltest.Password),
		PortalName: "Acme Portal", SupportEmail: "help@acme.example"}
}

// wantClosed fails the test unless nobody can set the portal up any more.
func wantClosed(t *testing.T, p *portaltest.Portal, plain string) {
	t.Helper()
	_, offer := p.Account.OfferSetup(t.Context())
	_, setUp := p.Account.SetUp(t.Context(), home, plain, form("late@evil.example"))
	for name, err := range map[string]error{"an offer": offer, "the token": p.Account.SetupOffered(t.Context(), plain), "the form": setUp} {
		if !errors.Is(err, account.ErrSwitchedOff) {
			t.Errorf("%s is answered with %v", name, err)
		}
	}
	if has, err := p.Account.HasOwner(t.Context()); err != nil || !has {
		t.Errorf("there is no owner: %v", err)
	}
}

// B18
func TestOfTwoWhoSetUpThePortalOneBecomesOwner(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		old, err := p.Account.OfferSetup(t.Context())
		must(t, err)
		plain, err := p.Account.OfferSetup(t.Context())
		must(t, err)
		random, _ := token.New()
		for name, bad := range map[string]string{"replaced": old, "random": random, "empty": "", "mangled": plain[:42]} {
			_, err := p.Account.SetUp(t.Context(), home, bad, form("eve@evil.example"))
			wantDead(t, name, err)
		}
		if has, err := p.Account.HasOwner(t.Context()); err != nil || has {
			t.Errorf("there is an owner already: %v", err)
		}

		var both sync.WaitGroup
		ins, errs := make([]account.SignedIn, 4), make([]error, 4)
		for i := range errs {
			both.Go(func() {
				f := form(fmt.Sprintf("owner%d@vendor.example", i))
				f.Username = fmt.Sprintf("owner%d", i)
				ins[i], errs[i] = p.Account.SetUp(t.Context(), portaltest.Visit(fmt.Sprintf("198.51.100.%d", i)), plain, f)
			})
		}
		both.Wait()
		winner := slices.Index(errs, nil)
		if winner < 0 {
			t.Fatal(errs)
		}
		for i, err := range errs {
			if i != winner && !errors.Is(err, account.ErrSwitchedOff) {
				t.Errorf("visitor %d: %v", i, err)
			}
		}
		owners, err := p.DB.Reader().ActiveOwners(t.Context())
		must(t, err)
		if users := count(t, p, `SELECT count(*) FROM user_account`); owners != 1 || users != 1 {
			t.Errorf("%d owners, %d users", owners, users)
		}
		c := live(t, p, ins[winner].Session)
		if c.User.Role.ID != "owner" || !c.Fresh(p.DB.Now()) || c.User.Email != fmt.Sprintf("owner%d@vendor.example", winner) {
			t.Errorf("signed in as %s with the role %s", c.User.Email, c.User.Role.ID)
		}
		current, err := p.Settings.Current(t.Context())
		must(t, err)
		if current.PortalName != "Acme Portal" || current.SupportEmail != "help@acme.example" {
			t.Errorf("the portal is called %q, support is %q", current.PortalName, current.SupportEmail)
		}
		if done := events(t, p, "portal.set_up"); len(done) != 1 || done[0].User != c.User.ID {
			t.Errorf("it was recorded as %+v", done)
		}
		wantClosed(t, p, plain)
	})
}

// B18
func TestSetupIsClosedForEverOnceThereHasBeenAnOwner(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		plain, err := p.Account.OfferSetup(t.Context())
		must(t, err)
		person(t, p, directory.NewUser{Email: "customer@acme.example"})
		must(t, p.Account.SetupOffered(t.Context(), plain)) // a customer is no owner
		olga := p.User(t, directory.NewUser{Email: "olga@vendor.example", Role: "owner", Invite: true})
		wantClosed(t, p, plain)
		// Nobody has accepted yet, so this owner may go; the page stays shut.
		p.Mails(t)
		must(t, p.Directory.Delete(t.Context(), portaltest.Operator, olga.ID, olga.Email, ""))
		wantClosed(t, p, plain)
	})
}

func TestNothingIsHalfDoneWhenTheSetupFormIsRefused(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		person(t, p, directory.NewUser{Email: "taken@acme.example", Username: "taken"})
		plain, err := p.Account.OfferSetup(t.Context())
		must(t, err)
		for _, c := range []struct {
			field   string
			problem input.Problem
			spoil   func(*account.Setup)
		}{
			{"name", input.Missing, func(f *account.Setup) { f.Name = "" }},
			{"email", input.NotEmail, func(f *account.Setup) { f.Email = "olga" }},
			{"username", input.NotUsername, func(f *account.Setup) { f.Username = "o" }},
			{"portal_name", input.Missing, func(f *account.Setup) { f.PortalName = " " }},
			{"support_email", input.NotEmail, func(f *account.Setup) { f.SupportEmail = "javascript:alert(1)" }},
			{"password", input.WeakPassword, func(f *account.Setup) { f.Password = chosen("password") }},
			{"password", input.WeakPassword, func(f *account.Setup) { f.Password = chosen("Xx-Olga-Owner-77-Walnut") }},
			{"confirm", input.PasswordsDiffer, func(f *account.Setup) { f.Password.Confirm = portaltest.Another }},
			{"email", input.EmailTaken, func(f *account.Setup) { f.Email = "TAKEN@acme.example" }},
		} {
			f := form("olga@vendor.example")
			c.spoil(&f)
			_, err := p.Account.SetUp(t.Context(), home, plain, f)
			wantProblem(t, err, c.field, c.problem)
		}
		current, err := p.Settings.Current(t.Context())
		must(t, err)
		if users := count(t, p, `SELECT count(*) FROM user_account`); users != 1 || current.PortalName != "Customer Portal" {
			t.Errorf("%d users, the portal is called %q", users, current.PortalName)
		}
		if sessions := count(t, p, `SELECT count(*) FROM session`); sessions != 0 {
			t.Errorf("%d sessions", sessions)
		}
		_, err = p.Account.SetUp(t.Context(), home, plain, form("olga@vendor.example"))
		must(t, err)
	})
}

func TestTheSetupFormSaysWhichNameIsTaken(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		person(t, p, directory.NewUser{Email: "taken@acme.example", Username: "olga"})
		plain, err := p.Account.OfferSetup(t.Context())
		must(t, err)
		_, err = p.Account.SetUp(t.Context(), home, plain, form("olga@vendor.example"))
		wantProblem(t, err, "username", input.UsernameTaken)
	})
}

// The portal's words are those that it will have, not those that it has until then.
func TestTheFirstOwnersPasswordMayNotHoldThePortalsName(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		plain, err := p.Account.OfferSetup(t.Context())
		must(t, err)
		f := form("olga@vendor.example")
		f.PortalName = "Quiet Harbour"
		_, err = p.Account.SetUp(t.Context(), home, plain, f)
		wantProblem(t, err, "password", input.WeakPassword)
	})
}
