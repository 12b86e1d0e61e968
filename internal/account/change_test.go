package account_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/internal/account"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/portaltest"
	"postern/internal/session"
)

func TestANewPasswordSignsOutEverybodyElse(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		own, other := entered(t, p, ann), entered(t, p, ann)
		c := live(t, p, own)

		_, err := p.Account.ChangePassword(t.Context(), as(c), c, portaltest.Password, chosen("password"))
		wantProblem(t, err, "password", input.WeakPassword)
		_, err = p.Account.ChangePassword(t.Context(), as(c), c, portaltest.Password, account.NewPassword{Password: portaltest.Another})
		wantProblem(t, err, "confirm", input.PasswordsDiffer)
		live(t, p, other)
		wantMails(t, p)

		renewed, err := p.Account.ChangePassword(t.Context(), as(c), c, portaltest.Password, chosen(portaltest.Another))
		must(t, err)
		wantEnded(t, p, own, other)
		if now := live(t, p, renewed); now.Session.ID != c.Session.ID {
			t.Error("it is not the session that was in hand")
		}
		m := wantMails(t, p, changedMail)[0]
		m.Link(t, "/not-me/")
		signIn(t, p, home, "ann", portaltest.Another)
		_, err = p.Account.SignIn(t.Context(), home, "ann", portaltest.Password)
		wantProblem(t, err, "", input.WrongSignIn)
		if done := events(t, p, "password.changed"); len(done) != 1 || done[0].User != ann.ID || done[0].ActorKind != "user" {
			t.Errorf("it was recorded as %+v", done)
		}
		// Who has the session from before the change can do nothing with it.
		if _, err := p.Account.ChangePassword(t.Context(), as(c), c, portaltest.Another, chosen("Third-Candle-58-Walnut")); err == nil {
			t.Error("a request from before the change goes through")
		}

		p.Set(t, "password.change_enabled", "false")
		_, err = p.Account.ChangePassword(t.Context(), as(c), live(t, p, renewed), portaltest.Another, chosen(portaltest.Password))
		if !errors.Is(err, account.ErrSwitchedOff) {
			t.Errorf("switched off, it is answered with %v", err)
		}
	})
}

// An unlocked computer must not become a place to guess at.
func TestThePresentPasswordCannotBeGuessed(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		own := entered(t, p, ann)
		c := live(t, p, own)
		change := func(present string) error {
			_, err := p.Account.ChangePassword(t.Context(), as(c), c, present, chosen(portaltest.Another))
			return err
		}
		prove := func(typed string) (string, error) { return p.Account.Reauthenticate(t.Context(), as(c), c, typed, "") }
		for range 5 { // both are counted together
			wantProblem(t, change(wrong), "current_password", input.WrongPassword)
			_, err := prove(wrong)
			wantProblem(t, err, "password", input.WrongPassword)
		}
		wantProblem(t, change(""), "current_password", input.Missing)
		wantHeld(t, change(portaltest.Password))
		_, err := prove(portaltest.Password)
		wantHeld(t, err)
		if refused := events(t, p, "reauthentication.refused"); len(refused) != 10 || refused[9].Outcome != "refused" || refused[9].User != ann.ID {
			t.Errorf("%d wrong passwords were recorded: %+v", len(refused), refused)
		}

		p.Clock.Advance(11 * time.Minute)
		if live(t, p, own).Fresh(p.DB.Now()) {
			t.Error("a wrong password is proof")
		}
		renewed, err := prove(portaltest.Password)
		must(t, err)
		wantEnded(t, p, own) // a token seen before the proof is worth nothing
		if !live(t, p, renewed).Fresh(p.DB.Now()) {
			t.Error("the proof does not count")
		}
		wantProblem(t, change(wrong), "current_password", input.WrongPassword) // counted anew
		must(t, change(portaltest.Password))
	})
}

func TestANewUsernameSignsOutEverybodyElse(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		person(t, p, directory.NewUser{Email: "bob@acme.example", Username: "bob"})
		own, other := entered(t, p, ann), entered(t, p, ann)
		c := live(t, p, own)
		for typed, problem := range map[string]input.Problem{"BOB": input.UsernameTaken, "a": input.NotUsername, "ann@acme.example": input.NotUsername} {
			_, err := p.Account.ChangeUsername(t.Context(), as(c), c, typed)
			wantProblem(t, err, "username", problem)
		}
		live(t, p, other)

		renewed, err := p.Account.ChangeUsername(t.Context(), as(c), c, " Annie ")
		must(t, err)
		wantEnded(t, p, own, other)
		c = live(t, p, renewed)
		wantMails(t, p, "Your username was changed > ann@acme.example")[0].Link(t, "/not-me/")
		signIn(t, p, home, "ANNIE", portaltest.Password)
		_, err = p.Account.SignIn(t.Context(), home, "ann", portaltest.Password)
		wantProblem(t, err, "", input.WrongSignIn)
		if done := events(t, p, "username.changed"); len(done) != 1 || !strings.Contains(done[0].Detail, `"old":"ann"`) {
			t.Errorf("it was recorded as %+v", done)
		}

		_, err = p.Account.ChangeUsername(t.Context(), as(c), c, "")
		must(t, err)
		if now := p.Reload(t, ann); now.Username != "" {
			t.Errorf("the username is still %q", now.Username)
		}
	})
}

// Otherwise whoever finds an open session keeps its proof fresh for ever.
func TestAChangeIsNoProofOfIdentity(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		username := live(t, p, entered(t, p, ann))
		p.Clock.Advance(9 * time.Minute)
		renewed, err := p.Account.ChangeUsername(t.Context(), as(username), username, "annie")
		must(t, err)
		p.Clock.Advance(time.Minute)
		if live(t, p, renewed).Fresh(p.DB.Now()) {
			t.Error("a new username has prolonged the proof")
		}

		c := live(t, p, renewed)
		must(t, p.Account.RequestEmailChange(t.Context(), as(c), c, "ann@new.example"))
		plain := mailed(t, p.Mails(t), "Confirm your new e-mail address", "/verify-email/")
		p.Clock.Advance(30 * time.Minute)
		confirmed, err := p.Account.ConfirmEmail(t.Context(), home, live(t, p, renewed), plain)
		must(t, err)
		if live(t, p, confirmed).Fresh(p.DB.Now()) {
			t.Error("a mailed link counts as the password")
		}
	})
}

// Each of the two has seen the account before the other one changed it.
func TestOfTwoChangesAtOnceTheLaterOneDoesNothing(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		own, thief := live(t, p, entered(t, p, ann)), live(t, p, entered(t, p, ann))
		_, err := p.Account.ChangePassword(t.Context(), as(own), own, portaltest.Password, chosen(portaltest.Another))
		must(t, err)
		for name, late := range map[string]func(context.Context, db.Actor, *session.Current) error{
			"username": func(ctx context.Context, a db.Actor, c *session.Current) error {
				_, err := p.Account.ChangeUsername(ctx, a, c, "thief")
				return err
			},
			"password": func(ctx context.Context, a db.Actor, c *session.Current) error {
				_, err := p.Account.ChangePassword(ctx, a, c, portaltest.Password, chosen("Third-Candle-58-Walnut"))
				return err
			},
			"e-mail": func(ctx context.Context, a db.Actor, c *session.Current) error {
				return p.Account.RequestEmailChange(ctx, a, c, "thief@evil.example")
			},
		} {
			if late(t.Context(), as(thief), thief) == nil {
				t.Errorf("a session that has ended changed the %s", name)
			}
		}
		if now := p.Reload(t, ann); now.Username != "ann" || now.PendingEmail != "" {
			t.Errorf("username %q, waiting address %q", now.Username, now.PendingEmail)
		}
	})
}

func TestAProfileIsStoredWholeOrNotAtAll(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		own, other := entered(t, p, ann), entered(t, p, ann)
		c := live(t, p, own)
		for field, form := range map[string]account.Profile{
			"name":           {Name: " ", Phone: "1", TimeZone: "UTC"},
			"phone":          {Name: "Ann", Phone: "call me", TimeZone: "UTC"},
			"time_zone":      {Name: "Ann", Phone: "1", TimeZone: "Mars/Olympus"},
			"notify_sign_in": {Name: "Ann", Phone: "1", TimeZone: "UTC", NotifySignIn: "on"},
		} {
			err := p.Account.ChangeProfile(t.Context(), as(c), c.User, form)
			if refused, ok := errors.AsType[*input.Error](err); !ok || len(refused.Fields) != 1 || refused.Fields[0].Name != field {
				t.Errorf("a bad %s is answered with %v", field, err)
			}
		}
		if now := p.Reload(t, ann); now.Name != "Ann Smith" || now.Phone != "" {
			t.Errorf("half of it was stored: %q, %q", now.Name, now.Phone)
		}
		must(t, p.Account.ChangeProfile(t.Context(), as(c), c.User,
			account.Profile{Name: " Ann  Müller ", Phone: "+49 30 1234", TimeZone: "Europe/Berlin", NotifySignIn: "true"}))
		now := p.Reload(t, ann)
		if now.Name != "Ann Müller" || now.Phone != "+49 30 1234" || now.TimeZone != "Europe/Berlin" || !now.NotifySignIn {
			t.Errorf("stored: %+v", now)
		}
		live(t, p, own)
		live(t, p, other)
		wantMails(t, p)
		if done := events(t, p, "profile.changed"); len(done) != 1 || done[0].User != ann.ID {
			t.Errorf("it was recorded as %+v", done)
		}
	})
}
