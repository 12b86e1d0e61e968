package directory_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"postern/db"
	"postern/internal/account"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/mail/mailtest"
	"postern/internal/portaltest"
	"postern/internal/session"
	"postern/internal/throttle"
	"postern/internal/token"
)

// newOwner makes an owner who can act.
func newOwner(t *testing.T, p *portaltest.Portal) (db.User, db.Actor) {
	t.Helper()
	u := person(t, p, directory.NewUser{Email: "olga@vendor.example", Name: "Olga", Role: "owner"})
	p.Enrol(t, u)
	return u, portaltest.Actor(u)
}

// entered is the token of a session that the user has.
func entered(t *testing.T, p *portaltest.Portal, u db.User) string {
	t.Helper()
	plain, hash := token.New()
	must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error {
		_, err := tx.AddSession(t.Context(), db.Session{UserID: u.ID, Epoch: p.Reload(t, u).Epoch, Data: []byte{}}, hash)
		return err
	}))
	return plain
}

// loaded is the session that a browser with the token has now, nil for none.
func loaded(t *testing.T, p *portaltest.Portal, token string) *session.Current {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/account", nil)
	r.AddCookie(&http.Cookie{Name: "postern", Value: token})
	_, current, err := p.Server.Sessions.Load(r)
	must(t, err)
	return current
}

// works says whether a link can be used.
func works(t *testing.T, p *portaltest.Portal, purpose db.Purpose, plain string) bool {
	t.Helper()
	_, _, err := p.Account.OpenLink(t.Context(), purpose, plain)
	if err != nil && !errors.Is(err, account.ErrDeadLink) {
		t.Fatal(err)
	}
	return err == nil
}

// theLink is the token in the one mail that came.
func theLink(t *testing.T, p *portaltest.Portal, path string) string {
	t.Helper()
	return portaltest.Token(p.Mail(t).Link(t, path))
}

func TestEachActIsToldToItsUser(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		_, olga := newOwner(t, p)
		ctx, n := t.Context(), 0
		fresh := func(form directory.NewUser) db.User {
			n++
			form.Email, form.Name = fmt.Sprintf("user%d@acme.example", n), "User"
			if form.Invite {
				u, err := p.Directory.CreateUser(ctx, operator, form)
				must(t, err)
				wantMails(t, p, "You are invited > "+u.Email)
				return u
			}
			return person(t, p, form)
		}
		const why = "Seen at the desk"
		for _, c := range []struct {
			form    directory.NewUser
			do      func(u db.User) error
			subject string
			action  string
		}{
			{directory.NewUser{}, func(u db.User) error { return p.Directory.SendReset(ctx, olga, u.ID) }, "Password change request", ""},
			{directory.NewUser{}, func(u db.User) error { p.Enrol(t, u); return p.Directory.ResetTOTP(ctx, olga, u.ID, why) },
				"Your second factor was changed", "authenticator.reset"},
			{directory.NewUser{}, func(u db.User) error { return p.Directory.Deactivate(ctx, olga, u.ID, why) }, "Your account was deactivated", "user.deactivated"},
			{directory.NewUser{}, func(u db.User) error { return p.Directory.Unlock(ctx, olga, u.ID, why) }, "Your account was unlocked", "user.unlocked"},
			{directory.NewUser{}, func(u db.User) error { return p.Directory.EndSessions(ctx, olga, u.ID, why) }, "You were signed out everywhere", "sessions.ended"},
			{directory.NewUser{}, func(u db.User) error { return p.Directory.RevokeLinks(ctx, olga, u.ID, why) }, "Links to your account were revoked", "links.revoked"},
			{directory.NewUser{Invite: true}, func(u db.User) error { return p.Directory.WithdrawInvitation(ctx, olga, u.ID, why) },
				"Your invitation was withdrawn", "invitation.withdrawn"},
			{directory.NewUser{Invite: true}, func(u db.User) error { return p.Directory.ResendInvitation(ctx, olga, u.ID) }, "You are invited", ""},
			{directory.NewUser{}, func(u db.User) error { return p.Directory.SetRole(ctx, olga, u.ID, "auditor") }, "Your role was changed", ""},
			{directory.NewUser{}, func(u db.User) error { return p.Directory.Delete(ctx, olga, u.ID, " USER"+u.Email[4:]+" ", why) },
				"Your account was deleted", "user.deleted"},
		} {
			u := fresh(c.form)
			must(t, c.do(u))
			wantMails(t, p, c.subject+" > "+u.Email)
			if c.action == "" {
				continue
			}
			if done := events(t, p, c.action); len(done) != 1 || done[0].User != u.ID || done[0].ActorKind != "user" || !strings.Contains(done[0].Detail, why) {
				t.Errorf("%s was recorded as %+v", c.action, done)
			}
		}
	})
}

func TestAReasonIsBoundedAndOwedForAnAuthenticator(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		_, olga := newOwner(t, p)
		ann := person(t, p, directory.NewUser{Email: "ann@acme.example"})
		p.Enrol(t, ann)
		for reason, problem := range map[string]input.Problem{"": input.Missing, " \t ": input.Missing, strings.Repeat("ü", 201): input.TooLong,
			"a\u202eb": input.NotName} {
			if got := problems(t, p.Directory.ResetTOTP(t.Context(), olga, ann.ID, reason)); got["reason"] != problem {
				t.Errorf("%q: %v", reason, got)
			}
		}
		if got := problems(t, p.Directory.Deactivate(t.Context(), olga, ann.ID, strings.Repeat("x", 201))); got["reason"] != input.TooLong {
			t.Errorf("a long reason: %v", got)
		}
		if now := p.Reload(t, ann); !now.SecondFactor || !now.Active || now.Epoch != ann.Epoch {
			t.Errorf("done all the same: %+v", now)
		}
		wantMails(t, p)
		must(t, p.Directory.Deactivate(t.Context(), olga, ann.ID, strings.Repeat("ü", 200)))
		must(t, p.Directory.ResetTOTP(t.Context(), operator, ann.ID, ""))
		if err := p.Directory.ResetTOTP(t.Context(), olga, ann.ID, "once more"); !errors.Is(err, directory.ErrNoAuthenticator) {
			t.Errorf("nothing to reset: %v", err)
		}
	})
}

func TestAnAuthenticatorThatIsResetEndsEverythingElse(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		_, olga := newOwner(t, p)
		ann, bob := person(t, p, directory.NewUser{Email: "ann@acme.example"}), person(t, p, directory.NewUser{Email: "bob@acme.example"})
		p.Enrol(t, ann)
		ofAnn, ofBob := entered(t, p, ann), entered(t, p, bob)
		must(t, p.Directory.SendReset(t.Context(), olga, ann.ID))
		link := theLink(t, p, "/reset-password/")
		in, err := p.Account.SignIn(t.Context(), portaltest.Visit("192.0.2.7"), ann.Email, portaltest.Password)
		if err != nil || !in.CodeOwed || !works(t, p, db.PurposeReset, link) {
			t.Fatalf("before: code owed %v (%v)", in.CodeOwed, err)
		}
		must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error {
			return tx.SetRecoveryCodes(t.Context(), ann.ID, []byte("salt"), [][]byte{[]byte("hash")})
		}))

		must(t, p.Directory.ResetTOTP(t.Context(), olga, ann.ID, "Telephone lost, seen at the desk"))
		m := p.Mail(t)
		if m.Subject != "Your second factor was changed" || m.To != ann.Email {
			t.Errorf("the mail is %q to %s", m.Subject, m.To)
		}
		m.Link(t, "/not-me/")
		if loaded(t, p, ofAnn) != nil || loaded(t, p, in.Session) != nil || loaded(t, p, ofBob) == nil {
			t.Error("the wrong sessions ended")
		}
		if works(t, p, db.PurposeReset, link) {
			t.Error("a link from before still works")
		}
		if left, err := p.DB.Reader().RecoveryCodesLeft(t.Context(), ann.ID); err != nil || left != 0 {
			t.Errorf("%d recovery codes are left (%v)", left, err)
		}
		if in, err := p.Account.SignIn(t.Context(), portaltest.Visit("192.0.2.7"), ann.Email, portaltest.Password); err != nil || in.CodeOwed {
			t.Errorf("the password alone: code owed %v (%v)", in.CodeOwed, err)
		}
	})
}

// wantNoReset compares why no link can be sent, on the page and in the act.
func wantNoReset(t *testing.T, p *portaltest.Portal, actor db.Actor, u db.User, want directory.NoReset) {
	t.Helper()
	u = p.Reload(t, u)
	if got, err := p.Directory.WhyNoReset(t.Context(), u); err != nil || got != want {
		t.Errorf("%s: the page says %q instead of %q (%v)", u.Email, got, want, err)
	}
	err := p.Directory.SendReset(t.Context(), actor, u.ID)
	refused, ok := errors.AsType[*directory.NoResetError](err)
	if want == "" && err != nil || want != "" && (!ok || refused.Reason != want) {
		t.Errorf("%s: %v instead of %q", u.Email, err, want)
	}
}

func TestStaffReadWhyThereIsNoResetLink(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		_, olga := newOwner(t, p)
		ctx := t.Context()
		off := p.Organization(t, "Off")
		of := person(t, p, directory.NewUser{Email: "of@off.example", Organization: "Off"})
		inactive, shut := person(t, p, directory.NewUser{Email: "inactive@acme.example"}), person(t, p, directory.NewUser{Email: "shut@acme.example"})
		never, came := person(t, p, directory.NewUser{Email: "never@acme.example"}), person(t, p, directory.NewUser{Email: "came@acme.example"})
		accepted := person(t, p, directory.NewUser{Email: "accepted@acme.example"})
		invited, err := p.Directory.CreateUser(ctx, operator, directory.NewUser{Email: "invited@acme.example", Name: "New"})
		must(t, err)
		must(t, p.Directory.SetOrganizationActive(ctx, operator, off, false))
		must(t, p.Directory.Deactivate(ctx, operator, inactive.ID, ""))
		must(t, p.DB.Update(ctx, func(tx *db.Tx) error {
			return errors.Join(tx.CloseUser(ctx, shut.ID), tx.RecordSignIn(ctx, came.ID), tx.RecordAcceptance(ctx, accepted.ID))
		}))
		p.Mails(t)
		wantNoReset(t, p, olga, of, directory.NoResetInactive)
		wantNoReset(t, p, olga, inactive, directory.NoResetInactive)
		wantNoReset(t, p, olga, shut, directory.NoResetShut)
		wantNoReset(t, p, olga, invited, directory.NoResetInvited)
		wantMails(t, p)
		if done := events(t, p, "password_reset.link_issued"); len(done) != 0 {
			t.Errorf("recorded: %+v", done)
		}
		wantNoReset(t, p, olga, never, "")
		wantMails(t, p, "Password change request > never@acme.example")
		p.Set(t, "recovery.require_prior_sign_in", "true")
		p.Clock.Advance(time.Minute)
		wantNoReset(t, p, olga, never, directory.NoResetNever)
		wantNoReset(t, p, olga, came, "")
		wantNoReset(t, p, olga, accepted, "")
		wantMails(t, p, "Password change request > came@acme.example", "Password change request > accepted@acme.example")

		// What was shut is opened by unlock, and then a link can be sent.
		must(t, p.Directory.Unlock(ctx, olga, shut.ID, ""))
		p.Set(t, "recovery.require_prior_sign_in", "false")
		wantNoReset(t, p, olga, shut, "")
		// An invitation that could not be accepted is not sent again, either.
		must(t, p.Directory.Deactivate(ctx, olga, invited.ID, ""))
		if refused, ok := errors.AsType[*directory.NoResetError](p.Directory.ResendInvitation(ctx, olga, invited.ID)); !ok || refused.Reason != directory.NoResetInactive {
			t.Errorf("an invitation for somebody inactive: %v", refused)
		}
		if err := p.Directory.ResendInvitation(ctx, olga, came.ID); !errors.Is(err, directory.ErrNotInvited) {
			t.Errorf("an invitation for somebody with a password: %v", err)
		}
		if err := p.Directory.WithdrawInvitation(ctx, olga, came.ID, ""); !errors.Is(err, directory.ErrNotInvited) {
			t.Errorf("the invitation of somebody with a password: %v", err)
		}
	})
}

func TestALinkFromStaffWorksWithRecoveryOffAndLeavesTheAuthenticator(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		_, olga := newOwner(t, p)
		ann := person(t, p, directory.NewUser{Email: "ann@acme.example"})
		p.Enrol(t, ann)
		p.Set(t, "recovery.enabled", "false")
		must(t, p.Directory.SendReset(t.Context(), olga, ann.ID))
		m := p.Mail(t)
		if m.Subject != "Password change request" || m.To != ann.Email {
			t.Errorf("the mail is %q to %s", m.Subject, m.To)
		}
		plain := portaltest.Token(m.Link(t, "/reset-password/"))
		_, err := p.Account.ResetPassword(t.Context(), portaltest.Visit("192.0.2.9"), plain, "",
			account.NewPassword{Password: portaltest.Another, Confirm: portaltest.Another})
		must(t, err)
		in, err := p.Account.SignIn(t.Context(), portaltest.Visit("192.0.2.9"), ann.Email, portaltest.Another)
		if err != nil || !in.CodeOwed || !p.Reload(t, ann).SecondFactor {
			t.Errorf("after the reset: code owed %v (%v)", in.CodeOwed, err)
		}
		if done := events(t, p, "password_reset.link_issued"); len(done) != 1 || done[0].User != ann.ID || strings.Contains(done[0].Detail, plain) {
			t.Errorf("recorded: %+v", done)
		}
	})
}

func TestStaffCannotFloodAMailbox(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		_, olga := newOwner(t, p)
		ann, bob := person(t, p, directory.NewUser{Email: "ann@acme.example"}), person(t, p, directory.NewUser{Email: "bob@acme.example"})
		send := func(u db.User) time.Duration {
			t.Helper()
			err := p.Directory.SendReset(t.Context(), olga, u.ID)
			if held, ok := errors.AsType[*throttle.HeldError](err); ok {
				return held.Wait
			}
			must(t, err)
			return 0
		}
		sent := 0
		for i := range 10 {
			if wait := send(ann); wait != 0 {
				t.Fatalf("link %d waits %v", i+1, wait)
			}
			sent++
			if wait := send(ann); wait <= 0 || wait > time.Minute {
				t.Fatalf("two links in a minute: wait %v", wait)
			}
			p.Mails(t)
			p.Clock.Advance(time.Minute)
		}
		if wait := send(ann); wait <= time.Minute || wait > 24*time.Hour {
			t.Errorf("the eleventh link of the day: wait %v", wait)
		}
		if wait := send(bob); wait != 0 {
			t.Errorf("somebody else waits %v", wait)
		}
		if done := events(t, p, "password_reset.link_issued"); len(done) != sent+1 {
			t.Errorf("%d are recorded", len(done))
		}
		p.Mails(t)

		// Nor with addresses to confirm, or invitations.
		for i := range 6 {
			err := p.Directory.ChangeUser(t.Context(), olga, ann.ID, directory.UserChange{Email: text(fmt.Sprintf("victim%d@else.example", i))})
			if _, held := errors.AsType[*throttle.HeldError](err); held != (i == 5) {
				t.Errorf("address %d: %v", i+1, err)
			}
		}
		if now := p.Reload(t, ann); now.PendingEmail != "victim4@else.example" {
			t.Errorf("%q waits", now.PendingEmail)
		}
		invited, err := p.Directory.CreateUser(t.Context(), olga, directory.NewUser{Email: "new@acme.example", Name: "New", Invite: true})
		must(t, err)
		for i := range 5 {
			err := p.Directory.ResendInvitation(t.Context(), olga, invited.ID)
			if _, held := errors.AsType[*throttle.HeldError](err); held != (i == 4) {
				t.Errorf("invitation %d: %v", i+2, err)
			}
		}
	})
}

func TestAnAddressFromAnAdministratorCountsOnceItIsConfirmed(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		_, olga := newOwner(t, p)
		ctx := t.Context()
		ann := person(t, p, directory.NewUser{Email: "ann@acme.example", Username: "ann"})
		session := entered(t, p, ann)
		must(t, p.Directory.ChangeUser(ctx, olga, ann.ID, directory.UserChange{Email: text(" New@acme.example ")}))
		mails := p.Mails(t)
		if len(mails) != 2 {
			t.Fatalf("%d mails", len(mails))
		}
		slices.SortFunc(mails, func(a, b mailtest.Mail) int { return strings.Compare(a.To, b.To) })
		confirm, told := mails[0], mails[1]
		if confirm.To != "New@acme.example" || told.To != ann.Email || !strings.Contains(told.Text, "An administrator asked") {
			t.Errorf("to %s: %s; to %s: %s\n%s", confirm.To, confirm.Subject, told.To, told.Subject, told.Text)
		}
		told.Link(t, "/not-me/")
		if now := p.Reload(t, ann); now.Email != ann.Email || now.PendingEmail != "New@acme.example" || now.Epoch != ann.Epoch {
			t.Errorf("it counts already: %+v", now)
		}
		if !canSignIn(t, p, ann.Email) || canSignIn(t, p, "new@acme.example") {
			t.Error("the wrong address signs in")
		}
		_, err := p.Account.ConfirmEmail(ctx, portaltest.Visit("192.0.2.1"), loaded(t, p, session), portaltest.Token(confirm.Link(t, "/verify-email/")))
		must(t, err)
		wantMails(t, p, "Your e-mail address was changed > ann@acme.example")
		if now := p.Reload(t, ann); now.Email != "New@acme.example" {
			t.Errorf("the address is %s", now.Email)
		}
		// With another username at once, which ends what was asked for before, it still waits.
		must(t, p.Directory.ChangeUser(ctx, olga, ann.ID, directory.UserChange{Email: text("third@acme.example"), Username: text("annie"), Name: text("Annie")}))
		if now := p.Reload(t, ann); now.PendingEmail != "third@acme.example" || now.Username != "annie" || now.Name != "Annie" || now.Email != "New@acme.example" {
			t.Errorf("now %+v", now)
		}
		p.Mails(t)
		// Links that are revoked take the waiting address along.
		must(t, p.Directory.RevokeLinks(ctx, olga, ann.ID, ""))
		if now := p.Reload(t, ann); now.PendingEmail != "" {
			t.Errorf("%s still waits", now.PendingEmail)
		}
	})
}

func TestAnInvitationMovesWithItsAddress(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		_, olga := newOwner(t, p)
		ctx := t.Context()
		ann, err := p.Directory.CreateUser(ctx, olga, directory.NewUser{Email: "anm@acme.example", Name: "Ann", Invite: true})
		must(t, err)
		wrong := theLink(t, p, "/invitation/")
		must(t, p.Directory.ChangeUser(ctx, olga, ann.ID, directory.UserChange{Email: text("ann@acme.example"), Username: text("ann")}))
		var right string
		for _, m := range p.Mails(t) {
			switch m.Subject + " > " + m.To {
			case "You are invited > ann@acme.example":
				right = portaltest.Token(m.Link(t, "/invitation/"))
			case "Your invitation was withdrawn > anm@acme.example", "Your username was changed > anm@acme.example":
			default:
				t.Errorf("unexpected: %s to %s", m.Subject, m.To)
			}
		}
		if works(t, p, db.PurposeInvitation, wrong) || right == "" || !works(t, p, db.PurposeInvitation, right) {
			t.Error("the wrong mailbox holds the invitation")
		}
		if now := p.Reload(t, ann); now.Email != "ann@acme.example" || now.Username != "ann" || now.Status() != "invited" {
			t.Errorf("now %+v", now)
		}
		must(t, p.Directory.WithdrawInvitation(ctx, olga, ann.ID, ""))
		wantMails(t, p, "Your invitation was withdrawn > ann@acme.example")
		// Who is not invited is not told, at any address.
		must(t, p.Directory.ChangeUser(ctx, olga, ann.ID, directory.UserChange{Email: text("else@acme.example")}))
		quiet, err := p.Directory.CreateUser(ctx, operator, directory.NewUser{Email: "quiet@acme.example", Name: "Quiet"})
		must(t, err)
		must(t, p.Directory.ChangeUser(ctx, olga, quiet.ID, directory.UserChange{Email: text("silent@acme.example")}))
		wantMails(t, p)
	})
}

func TestARevokedLinkIsNotMadeAnew(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		_, olga := newOwner(t, p)
		ann := person(t, p, directory.NewUser{Email: "ann@acme.example"})
		begun, goOn := make(chan struct{}, 1), make(chan struct{})
		var first sync.Once
		p.Sink.Refuse(func(stage, value string) error {
			first.Do(func() {
				begun <- struct{}{}
				<-goOn
			})
			return &smtp.SMTPError{Code: 451, Message: "come back later"}
		})
		must(t, p.Directory.SendReset(t.Context(), olga, ann.ID))
		<-begun // the mail is on its way, and will have to be sent again
		must(t, p.Directory.RevokeLinks(t.Context(), olga, ann.ID, "sent by mistake"))
		close(goOn)
		p.Mails(t)
		p.Sink.Refuse(nil)
		p.Clock.Advance(2 * time.Minute)
		wantMails(t, p, "Links to your account were revoked > ann@acme.example")
	})
}

func TestAnOrganizationWithANumberForANameIsNotTakenForAnother(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		_, olga := newOwner(t, p)
		acme := p.Organization(t, "Acme")
		twin := p.Organization(t, fmt.Sprint(acme))
		form := directory.NewUser{Email: "a@acme.example", Name: "A", Organization: fmt.Sprint(acme)}
		byPage, err := p.Directory.CreateUser(t.Context(), olga, form)
		must(t, err)
		form.Email = "b@acme.example"
		byCommand, err := p.Directory.CreateUser(t.Context(), operator, form)
		must(t, err)
		if byPage.OrganizationID != acme || byCommand.OrganizationID != twin {
			t.Errorf("the page chose %d, the command %d, of %d and its twin %d", byPage.OrganizationID, byCommand.OrganizationID, acme, twin)
		}
		must(t, p.Directory.ChangeUser(t.Context(), olga, byPage.ID, directory.UserChange{Organization: text(fmt.Sprint(acme)), Name: text("New")}))
		if now := p.Reload(t, byPage); now.OrganizationID != acme || now.Name != "New" {
			t.Errorf("a form that is sent back moves somebody to %d", now.OrganizationID)
		}
	})
}

func TestOfManyWhoWantAUsernameAtOnceTheOthersReadThatItIsTaken(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		var all sync.WaitGroup
		errs := make([]error, 6)
		for i := range errs {
			u, err := p.Directory.CreateUser(t.Context(), operator, directory.NewUser{Email: fmt.Sprintf("u%d@acme.example", i), Name: "U"})
			must(t, err)
			all.Go(func() {
				errs[i] = p.Directory.ChangeUser(context.WithoutCancel(t.Context()), operator, u.ID, directory.UserChange{Username: text("wanted")})
			})
		}
		all.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if got := problems(t, err); got["username"] != input.UsernameTaken {
				t.Errorf("refused for %v", got)
			}
		}
		if won != 1 {
			t.Errorf("%d have it", won)
		}
	})
}
