package account_test

import (
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/portaltest"
)

const (
	confirmMail = "Confirm your new e-mail address"
	askedMail   = "A new e-mail address was entered for your account"
	movedMail   = "Your e-mail address was changed"
)

// askEmail asks for a change of address, and returns the links mailed to the new and to
// the old one.
func askEmail(t *testing.T, p *portaltest.Portal, session, address string) (verify, notMe string) {
	t.Helper()
	c := live(t, p, session)
	must(t, p.Account.RequestEmailChange(t.Context(), as(c), c, address))
	mails := wantMails(t, p, confirmMail+" > "+strings.TrimSpace(address), askedMail+" > "+c.User.Email)
	return mailed(t, mails, confirmMail, "/verify-email/"), mailed(t, mails, askedMail, "/not-me/")
}

// moveEmail changes the address, and returns the session's new token and the link mailed to
// the old address.
func moveEmail(t *testing.T, p *portaltest.Portal, session, address string) (renewed, notMe string) {
	t.Helper()
	verify, _ := askEmail(t, p, session, address)
	c := live(t, p, session)
	renewed, err := p.Account.ConfirmEmail(t.Context(), home, c, verify)
	must(t, err)
	return renewed, mailed(t, wantMails(t, p, movedMail+" > "+c.User.Email), movedMail, "/not-me/")
}

// G13
func TestANewAddressCountsOnceItIsConfirmed(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		bob := person(t, p, directory.NewUser{Email: "bob@acme.example"})
		own, other, ofBob := entered(t, p, ann), entered(t, p, ann), entered(t, p, bob)
		verify, _ := askEmail(t, p, own, " Ann.New@acme.example ")
		if now := p.Reload(t, ann); now.Email != ann.Email || now.PendingEmail != "Ann.New@acme.example" {
			t.Errorf("address %q, waiting %q", now.Email, now.PendingEmail)
		}
		_, err := p.Account.ConfirmEmail(t.Context(), home, live(t, p, ofBob), verify)
		wantDead(t, "in another user's session", err)
		live(t, p, other)

		renewed, err := p.Account.ConfirmEmail(t.Context(), home, live(t, p, own), verify)
		must(t, err)
		m := wantMails(t, p, movedMail+" > ann@acme.example")[0]
		if !strings.Contains(m.Text, "Ann.New@acme.example") {
			t.Errorf("the old address is not told the new one:\n%s", m.Text)
		}
		wantEnded(t, p, own, other)
		now := live(t, p, renewed).User
		if now.Email != "Ann.New@acme.example" || now.PendingEmail != "" {
			t.Errorf("address %q, waiting %q", now.Email, now.PendingEmail)
		}
		_, err = p.Account.ConfirmEmail(t.Context(), home, live(t, p, renewed), verify)
		wantDead(t, "used", err)
		signIn(t, p, home, "ann.new@ACME.example", portaltest.Password)
		_, err = p.Account.SignIn(t.Context(), home, ann.Email, portaltest.Password)
		wantProblem(t, err, "", input.WrongSignIn)
		if done := events(t, p, "email.changed"); len(done) != 1 || done[0].User != ann.ID || !strings.Contains(done[0].Detail, ann.Email) {
			t.Errorf("it was recorded as %+v", done)
		}
	})
}

func TestOnlyTheNewestRequestedAddressCanBeConfirmed(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		own := entered(t, p, ann)
		confirm := func(plain string) error {
			p.Clock.Advance(time.Minute)
			_, err := p.Account.ConfirmEmail(t.Context(), home, live(t, p, own), plain)
			return err
		}
		first, _ := askEmail(t, p, own, "first@acme.example")
		second, _ := askEmail(t, p, own, "second@acme.example")
		wantDead(t, "superseded", confirm(first))
		c := live(t, p, own)
		must(t, p.Account.CancelEmailChange(t.Context(), as(c), c))
		wantDead(t, "cancelled", confirm(second))

		// What waits in the outbox is superseded, too.
		release := holdMail(p)
		for _, address := range []string{"third@acme.example", "fourth@acme.example"} {
			c := live(t, p, own)
			must(t, p.Account.RequestEmailChange(t.Context(), as(c), c, address))
		}
		wantMails(t, p)
		release()
		mails := wantMails(t, p, confirmMail+" > fourth@acme.example", askedMail+" > ann@acme.example", askedMail+" > ann@acme.example")
		must(t, confirm(mailed(t, mails, confirmMail, "/verify-email/")))
	})
}

func TestAConfirmationLastsADayAndMayComeTooLate(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		p.Set(t, "session.max_hours", "168")
		ann := newAnn(t, p)
		verify, _ := askEmail(t, p, entered(t, p, ann), "late@acme.example")
		p.Clock.Advance(24*time.Hour - time.Second)
		if !isOpen(t, p, db.PurposeVerifyEmail, verify) {
			t.Error("it is dead a second early")
		}
		p.Clock.Advance(time.Second)
		_, err := p.Account.ConfirmEmail(t.Context(), home, live(t, p, entered(t, p, ann)), verify)
		wantDead(t, "after a day", err)

		// Somebody else has got the address meanwhile.
		own := entered(t, p, ann)
		verify, _ = askEmail(t, p, own, "wanted@acme.example")
		person(t, p, directory.NewUser{Email: "WANTED@acme.example"})
		_, err = p.Account.ConfirmEmail(t.Context(), home, live(t, p, own), verify)
		wantProblem(t, err, "", input.EmailUnusable)
		live(t, p, own)
		if now := p.Reload(t, ann); now.Email != ann.Email {
			t.Errorf("the address is %q", now.Email)
		}
		wantMails(t, p)
	})
}

func TestAnAddressIsRefusedWithoutAReason(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		person(t, p, directory.NewUser{Email: "bob@acme.example"})
		gone := person(t, p, directory.NewUser{Email: "inactive@acme.example"})
		must(t, p.Directory.Deactivate(t.Context(), portaltest.Operator, gone.ID, ""))
		p.Mails(t)
		own := entered(t, p, ann)
		c := live(t, p, own)
		change := func(address string) error { return p.Account.RequestEmailChange(t.Context(), as(c), c, address) }
		wantProblem(t, change("Bob@ACME.example"), "email", input.EmailUnusable)
		wantProblem(t, change(gone.Email), "email", input.EmailUnusable)
		wantProblem(t, change(ann.Email), "email", input.SameEmail)
		wantProblem(t, change("Bob <bob@acme.example>"), "email", input.NotEmail)
		wantMails(t, p)
		live(t, p, own)

		must(t, change("Ann@acme.example")) // the own one, spelled differently
		for range 2 {
			must(t, change("another@acme.example"))
		}
		if p.Reload(t, ann).PendingEmail != "another@acme.example" {
			t.Error("nothing waits")
		}
	})
}

// B4: five a day must not be all the misses of somebody who tries a list of addresses,
// with the hits for nothing.
func TestSomebodySignedInCannotFindOutWhoElseHasAnAccount(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		person(t, p, directory.NewUser{Email: "bob@acme.example"})
		c := live(t, p, entered(t, p, ann))
		for range 5 {
			wantProblem(t, p.Account.RequestEmailChange(t.Context(), as(c), c, "bob@acme.example"), "email", input.EmailUnusable)
		}
		wantHeld(t, p.Account.RequestEmailChange(t.Context(), as(c), c, "bob@acme.example"))
		wantHeld(t, p.Account.RequestEmailChange(t.Context(), as(c), c, "free@acme.example"))
		p.Clock.Advance(24 * time.Hour)
		c = live(t, p, entered(t, p, ann))
		for range 5 {
			must(t, p.Account.RequestEmailChange(t.Context(), as(c), c, "free@acme.example"))
		}
		wantHeld(t, p.Account.RequestEmailChange(t.Context(), as(c), c, "free@acme.example"))
	})
}
