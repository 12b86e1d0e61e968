package account_test

import (
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"postern/db"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/portaltest"
)

const (
	shutMail  = "Your account is shut"
	staffMail = "A user reported: this was not me"
)

// report presses "this was not me".
func report(t *testing.T, p *portaltest.Portal, plain string) error {
	t.Helper()
	p.Clock.Advance(2 * time.Second)
	_, err := p.Account.ReportNotMe(t.Context(), portaltest.Visit("203.0.113.7"), plain)
	return err
}

// changed changes the password and returns the link of the mail about it.
func changed(t *testing.T, p *portaltest.Portal, u db.User) string {
	t.Helper()
	c := live(t, p, entered(t, p, u))
	_, err := p.Account.ChangePassword(t.Context(), as(c), c, portaltest.Password, chosen(portaltest.Another))
	must(t, err)
	return mailed(t, wantMails(t, p, "Your password was changed > "+u.Email), "Your password was changed", "/not-me/")
}

func TestNotMeShutsEveryWayIn(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		bob := person(t, p, directory.NewUser{Email: "bob@acme.example"})
		ofBob := entered(t, p, bob)
		notMe := changed(t, p, ann)
		first := signIn(t, p, home, "ann", portaltest.Another)
		open, other := printed(t, p, ann), entered(t, p, ann)
		verify, _ := askEmailAfter(t, p, first.Session, "thief@evil.example")

		// The link works although the password was changed since.
		c := live(t, p, first.Session)
		renewed, err := p.Account.ChangePassword(t.Context(), as(c), c, portaltest.Another, chosen(portaltest.Password))
		must(t, err)
		p.Mails(t)
		must(t, report(t, p, notMe))
		wantMails(t, p, shutMail+" > ann@acme.example")
		wantEnded(t, p, first.Session, other, renewed)
		live(t, p, ofBob)
		if isOpen(t, p, db.PurposeReset, open) || isOpen(t, p, db.PurposeVerifyEmail, verify) {
			t.Error("a link outlives it")
		}
		now := p.Reload(t, ann)
		if now.PendingEmail != "" || now.ClosedAt == 0 || now.PasswordHash != "" {
			t.Errorf("waiting address %q, closed at %d, a password: %v", now.PendingEmail, now.ClosedAt, now.PasswordHash != "")
		}
		for _, password := range []string{portaltest.Password, portaltest.Another, ""} {
			_, err := p.Account.SignIn(t.Context(), from("192.0.2.1", first.Browser), "ann", password)
			wantProblem(t, err, "", input.WrongSignIn)
		}
		wantDead(t, "pressed again", report(t, p, notMe))
		if done := events(t, p, "not_me.reported"); len(done) != 1 || done[0].User != ann.ID || done[0].Address != "203.0.113.7" {
			t.Errorf("it was recorded as %+v", done)
		}

		// Recovery is shut until somebody lifts it; then a mailed reset works, in a browser
		// that has become a stranger.
		ask(t, p, ann.Email)
		if m := p.Mail(t); strings.Contains(m.Text, "/reset-password/") || !strings.Contains(m.Text, "this was not me") {
			t.Errorf("the mail to somebody shut:\n%s", m.Text)
		}
		if _, err := p.Directory.PrintResetLink(t.Context(), portaltest.Operator, ann.ID); err == nil {
			t.Error("the operator prints a link for somebody shut")
		}
		must(t, p.Directory.Unlock(t.Context(), portaltest.Operator, ann.ID, ""))
		wantMails(t, p, "Your account was unlocked > ann@acme.example")
		_, err = p.Account.SignIn(t.Context(), home, "ann", portaltest.Password)
		wantProblem(t, err, "", input.WrongSignIn)
		p.Clock.Advance(time.Minute)
		must(t, reset(t, p, askedLink(t, p, ann.Email), portaltest.Another))
		p.Mails(t)
		signIn(t, p, from("192.0.2.1", first.Browser), "ann", portaltest.Another)
		wantMails(t, p, "New sign-in to your account > ann@acme.example")
	})
}

// askEmailAfter is askEmail when other mails are under way.
func askEmailAfter(t *testing.T, p *portaltest.Portal, session, address string) (verify, notMe string) {
	t.Helper()
	p.Mails(t)
	return askEmail(t, p, session, address)
}

func TestNotMeWorksForTwoWeeks(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		notMe := changed(t, p, ann)
		p.Clock.Advance(14*24*time.Hour - time.Minute)
		must(t, p.Directory.Deactivate(t.Context(), portaltest.Operator, ann.ID, "")) // ended only by use
		if !isOpen(t, p, db.PurposeNotMe, notMe) {
			t.Error("it is dead a minute early")
		}
		p.Clock.Advance(time.Minute)
		wantDead(t, "after two weeks", report(t, p, notMe))
	})
}

func TestNotMeGivesTheOldAddressBack(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		stolen := entered(t, p, ann)
		stolen, first := moveEmail(t, p, stolen, "thief@evil.example")
		_, second := moveEmail(t, p, stolen, "thief2@evil.example")

		must(t, report(t, p, first))
		wantMails(t, p, shutMail+" > ann@acme.example")
		if now := p.Reload(t, ann); now.Email != ann.Email {
			t.Fatalf("the address is %q", now.Email)
		}
		// The thief cannot undo it with the mail that went to their own address.
		must(t, p.Directory.Unlock(t.Context(), portaltest.Operator, ann.ID, ""))
		p.Mails(t)
		_ = report(t, p, second) // whatever it answers
		p.Mails(t)
		if now := p.Reload(t, ann); now.Email != ann.Email {
			t.Errorf("with the later link the thief has the address %q again", now.Email)
		}
	})
}

// The mail server of the old address lets it wait, as many do with a first mail, so that
// its link is made after the one that the thief got.
func TestNotMeGivesTheOldAddressBackHoweverLateTheMail(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		p.Sink.Refuse(func(stage, value string) error {
			if stage == "to" && value == ann.Email {
				return &smtp.SMTPError{Code: 451, Message: "greylisted"}
			}
			return nil
		})
		stolen := entered(t, p, ann)
		confirm := func(subjects ...string) string {
			t.Helper()
			plain := mailed(t, wantMails(t, p, subjects...), confirmMail, "/verify-email/")
			renewed, err := p.Account.ConfirmEmail(t.Context(), home, live(t, p, stolen), plain)
			must(t, err)
			return renewed
		}
		move := func(address string) {
			t.Helper()
			c := live(t, p, stolen)
			must(t, p.Account.RequestEmailChange(t.Context(), as(c), c, address))
		}
		move("thief@evil.example")
		stolen = confirm(confirmMail + " > thief@evil.example")
		move("thief2@evil.example")
		stolen = confirm(confirmMail+" > thief2@evil.example", askedMail+" > thief@evil.example")
		second := mailed(t, wantMails(t, p, movedMail+" > thief@evil.example"), movedMail, "/not-me/")
		p.Sink.Refuse(nil)
		p.Clock.Advance(2 * time.Minute)
		first := mailed(t, wantMails(t, p, movedMail+" > ann@acme.example", askedMail+" > ann@acme.example"), movedMail, "/not-me/")

		must(t, report(t, p, first))
		p.Mails(t)
		_ = report(t, p, second) // whatever it answers
		p.Mails(t)
		if now := p.Reload(t, ann); now.Email != ann.Email {
			t.Errorf("with the later link the thief has the address %q again", now.Email)
		}
	})
}

// Whoever is told of two mails presses the button in the first one.
func TestNotMeGivesTheOldAddressBackFromTheFirstMailToo(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		stolen := entered(t, p, ann)
		verify, asked := askEmail(t, p, stolen, "thief@evil.example")
		_, err := p.Account.ConfirmEmail(t.Context(), home, live(t, p, stolen), verify)
		must(t, err)
		p.Mails(t)
		must(t, report(t, p, asked))
		wantMails(t, p, shutMail+" > ann@acme.example")
		if now := p.Reload(t, ann); now.Email != ann.Email {
			t.Errorf("the account is shut, but its mail goes on to %q", now.Email)
		}
	})
}

func TestNotMeLeavesAnAddressThatIsSomebodyElsesNow(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		stolen := entered(t, p, ann)
		_, notMe := moveEmail(t, p, stolen, "new@acme.example")
		heir := person(t, p, directory.NewUser{Email: "ANN@acme.example"})
		must(t, report(t, p, notMe))
		if now := p.Reload(t, ann); now.Email != "new@acme.example" || now.ClosedAt == 0 {
			t.Errorf("address %q, closed at %d", now.Email, now.ClosedAt)
		}
		if now := p.Reload(t, heir); now.Email != "ANN@acme.example" || now.ClosedAt != 0 {
			t.Errorf("the heir's address is %q, closed at %d", now.Email, now.ClosedAt)
		}
	})
}

// Somebody whom an import is still making has taken the address already, and nobody sees
// them yet.
func TestNotMeShutsTheAccountWhileAnImportHoldsTheOldAddress(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		_, notMe := moveEmail(t, p, entered(t, p, ann), "new@acme.example")
		heir := person(t, p, directory.NewUser{Email: "ann@acme.example"})
		_, err := open(t, p).ExecContext(t.Context(), `UPDATE user_account SET deleted_at = -1 WHERE id = $1`, heir.ID)
		must(t, err)
		must(t, report(t, p, notMe))
		if now := p.Reload(t, ann); now.Email != "new@acme.example" || now.ClosedAt == 0 {
			t.Errorf("address %q, closed at %d", now.Email, now.ClosedAt)
		}
	})
}

func TestNotMeTellsThoseWhoCanHelp(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		acme := p.Organization(t, "Acme")
		p.Organization(t, "Bare")
		owner := person(t, p, directory.NewUser{Email: "owner@vendor.example", Role: "owner"})
		carl := person(t, p, directory.NewUser{Email: "carl@vendor.example", Role: "support"})
		must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.SetContactOwner(t.Context(), acme, carl.ID) }))
		ada := person(t, p, directory.NewUser{Email: "ada@acme.example", Name: "Ada", Organization: "Acme", Role: "portal_administrator"})
		away := person(t, p, directory.NewUser{Email: "away@acme.example", Organization: "Acme", Role: "portal_administrator"})
		must(t, p.Directory.Deactivate(t.Context(), portaltest.Operator, away.ID, ""))
		ann := person(t, p, directory.NewUser{Email: "ann@acme.example", Name: "Ann", Organization: "Acme"})
		ben := person(t, p, directory.NewUser{Email: "ben@bare.example", Organization: "Bare"})
		alone := person(t, p, directory.NewUser{Email: "alone@home.example"})
		p.Mails(t)

		for _, c := range []struct {
			who  db.User
			told []string
		}{
			{ann, []string{ada.Email, carl.Email}}, {ben, []string{owner.Email}}, {alone, []string{owner.Email}},
			{ada, []string{owner.Email, carl.Email}}, // the only administrator there
		} {
			printed(t, p, c.who)
			notMe := portaltest.Token(p.Mail(t).Link(t, "/not-me/"))
			must(t, report(t, p, notMe))
			want := []string{shutMail + " > " + c.who.Email}
			for _, address := range c.told {
				want = append(want, staffMail+" > "+address)
			}
			for _, m := range wantMails(t, p, want...) {
				if m.Subject == staffMail && !strings.Contains(m.Text, c.who.Email) {
					t.Errorf("the mail does not say whose account:\n%s", m.Text)
				}
				if m.To == ann.Email && (!strings.Contains(m.Text, "Ada, ada@acme.example") || strings.Contains(m.Text, "away@")) {
					t.Errorf("the mail does not say whom to turn to:\n%s", m.Text)
				}
			}
		}
	})
}
