package account_test

import (
	"testing"
	"time"

	"postern/db"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/portaltest"
)

func TestAnInvitedUserChoosesThePasswordOnce(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		bob, plain := invited(t, p, "bob@acme.example")
		if bob.Status() != "invited" {
			t.Errorf("the status is %q", bob.Status())
		}
		_, err := p.Account.AcceptInvitation(t.Context(), home, plain, chosen("password"))
		wantProblem(t, err, "password", input.WeakPassword)
		browser, err := p.Account.AcceptInvitation(t.Context(), home, plain, chosen(portaltest.Password))
		must(t, err)
		if n := count(t, p, `SELECT count(*) FROM session`); n != 0 {
			t.Errorf("accepting has signed somebody in: %d sessions", n)
		}
		_, err = p.Account.AcceptInvitation(t.Context(), home, plain, chosen(portaltest.Another))
		wantDead(t, "accepted", err)
		wantDead(t, "accepted, as a reset", reset(t, p, plain, portaltest.Another))

		signIn(t, p, from("192.0.2.1", browser), bob.Email, portaltest.Password)
		wantMails(t, p)
		if now := p.Reload(t, bob); now.Status() != "active" || now.InvitationAcceptedAt == 0 {
			t.Errorf("the status is %q, accepted at %d", now.Status(), now.InvitationAcceptedAt)
		}
		if done := events(t, p, "invitation.accepted"); len(done) != 1 || done[0].User != bob.ID {
			t.Errorf("it was recorded as %+v", done)
		}
	})
}

func TestAnInvitationLastsAsManyDaysAsTheSettingSays(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		p.Set(t, "invitation.days", "2")
		_, plain := invited(t, p, "bob@acme.example")
		p.Clock.Advance(48*time.Hour - time.Second)
		if !isOpen(t, p, db.PurposeInvitation, plain) {
			t.Error("it is dead a second early")
		}
		p.Clock.Advance(time.Second)
		_, err := p.Account.AcceptInvitation(t.Context(), home, plain, chosen(portaltest.Password))
		wantDead(t, "after two days", err)
	})
}

func TestAnInvitationDiesWithTheStatus(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		acme := p.Organization(t, "Acme")
		person(t, p, directory.NewUser{Email: "bob@acme.example", Organization: "Acme", Invite: true})
		bob := person(t, p, directory.NewUser{Email: "cleo@acme.example", Invite: true})
		for _, m := range p.Mails(t) {
			plain := portaltest.Token(m.Link(t, "/invitation/"))
			if m.To == bob.Email {
				must(t, p.Directory.Deactivate(t.Context(), portaltest.Operator, bob.ID, ""))
				must(t, p.Directory.Activate(t.Context(), portaltest.Operator, bob.ID, ""))
			} else {
				must(t, p.Directory.SetOrganizationActive(t.Context(), portaltest.Operator, acme, false))
			}
			_, err := p.Account.AcceptInvitation(t.Context(), home, plain, chosen(portaltest.Password))
			wantDead(t, m.To, err)
		}
		// A reset link of the operator takes the place of an invitation.
		_, plain := invitedAfter(t, p, "dan@acme.example")
		dan, err := p.DB.Reader().UserByEmail(t.Context(), "dan@acme.example")
		must(t, err)
		must(t, reset(t, p, printed(t, p, dan), portaltest.Another))
		_, err = p.Account.AcceptInvitation(t.Context(), home, plain, chosen(portaltest.Password))
		wantDead(t, "with a password", err)
		signIn(t, p, home, dan.Email, portaltest.Another)
	})
}

// invitedAfter is invited when other mails are under way.
func invitedAfter(t *testing.T, p *portaltest.Portal, email string) (db.User, string) {
	t.Helper()
	p.Mails(t)
	return invited(t, p, email)
}
