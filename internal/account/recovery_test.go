package account_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/internal/account"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/portaltest"
	"postern/internal/settings"
)

// A2
func TestOnlyTheStoredAddressIsMailed(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		person(t, p, directory.NewUser{Email: "Mike.Kim@acme.example"})
		ask(t, p, " MIKE.kim@ACME.example ")
		wantMails(t, p, "Password change request > Mike.Kim@acme.example")
		for _, unknown := range []string{"nobody@acme.example", "mike.kim@acme.example.evil.example", "mike_kim@acme.example", "mike.ki_@acme.example"} {
			ask(t, p, unknown)
		}
		wantMails(t, p)
		for _, bad := range []string{"mİke.kim@acme.example", "mike.\u212aim@acme.example", "mıke.kim@acme.example", "mike.kim@acme.example\x00",
			"mike.kim@acme.example,eve@evil.example", "mike.kim@acme.example\r\nBcc: eve@evil.example", "Mike <mike.kim@acme.example>"} {
			wantProblem(t, p.Account.RequestPasswordReset(t.Context(), home, bad, ""), "email", input.NotEmail)
		}
		wantProblem(t, p.Account.RequestPasswordReset(t.Context(), home, "  ", ""), "email", input.Missing)
		wantMails(t, p)
	})
}

func TestTheMailGoesOutOnlyWhereAddressAndUsernameBelongTogether(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		p.Set(t, "recovery.identify_by", settings.ByEmailAndUsername)
		ann := newAnn(t, p)
		bob := person(t, p, directory.NewUser{Email: "Bob@acme.example"})
		try := func(email, username string) {
			t.Helper()
			must(t, p.Account.RequestPasswordReset(t.Context(), home, email, username))
		}
		for _, wrong := range []string{"bob", "annn", ann.Email, "%", "ann\u0000"} {
			try(ann.Email, wrong)
		}
		try(bob.Email, "bob")
		wantMails(t, p)
		// In the same minute: a wrong username has a slot of its own.
		try(ann.Email, " ANN ")
		try(bob.Email, "BOB@acme.example")
		wantMails(t, p, "Password change request > ann@acme.example", "Password change request > Bob@acme.example")
		wantProblem(t, p.Account.RequestPasswordReset(t.Context(), home, ann.Email, " "), "username", input.Missing)
	})
}

func TestOnlyThoseWhoCameInBeforeRecoverIfTheSettingSaysSo(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		bob, invitation := invited(t, p, "bob@acme.example")
		_, err := p.Account.AcceptInvitation(t.Context(), home, invitation, chosen(portaltest.Password))
		must(t, err)

		p.Set(t, "recovery.require_prior_sign_in", "true")
		ask(t, p, ann.Email) // her password was set by command
		m := wantMails(t, p, "Password change request > ann@acme.example")[0]
		if strings.Contains(m.Text, "/reset-password/") || !strings.Contains(m.Text, "signed in before") ||
			!strings.Contains(m.Text, "the person who gave you access") {
			t.Errorf("the mail to somebody who never signed in:\n%s", m.Text)
		}
		askedLink(t, p, bob.Email)
		signIn(t, p, home, ann.Email, portaltest.Password)
		p.Clock.Advance(time.Minute)
		askedLink(t, p, ann.Email)
	})
}

func TestRecoveryCanBeSwitchedOff(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		bob, invitation := invited(t, p, "bob@acme.example")
		mailedBefore := askedLink(t, p, ann.Email)
		p.Set(t, "recovery.enabled", "false")
		if err := p.Account.RequestPasswordReset(t.Context(), home, ann.Email, ""); !errors.Is(err, account.ErrSwitchedOff) {
			t.Errorf("a request is answered with %v", err)
		}
		if err := p.Account.RenewLink(t.Context(), home, db.PurposeReset, mailedBefore); !errors.Is(err, account.ErrSwitchedOff) {
			t.Errorf("a renewal is answered with %v", err)
		}
		must(t, p.Account.RenewLink(t.Context(), home, db.PurposeInvitation, invitation))
		wantMails(t, p, "You are invited > "+bob.Email)

		must(t, reset(t, p, mailedBefore, portaltest.Another))
		must(t, reset(t, p, printed(t, p, ann), portaltest.Password))
	})
}

func TestRecoveryThatIsSwitchedOffHasNoBackDoor(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		bob, invitation := invited(t, p, "bob@acme.example")
		_, err := p.Account.AcceptInvitation(t.Context(), home, invitation, chosen(portaltest.Password))
		must(t, err)
		old := askedLink(t, p, ann.Email)
		p.Set(t, "recovery.enabled", "false")
		p.Clock.Advance(time.Hour)

		// The button on the page of a dead invitation, with another link, and with one of
		// somebody who has a password.
		for name, plain := range map[string]string{ann.Email: old, bob.Email: invitation} {
			must(t, p.Account.RenewLink(t.Context(), home, db.PurposeInvitation, plain))
			for _, m := range p.Mails(t) {
				if strings.Contains(m.Text, "/reset-password/") {
					t.Errorf("%s gets a reset link although recovery is switched off", name)
				}
			}
		}
	})
}

func TestARequestIsDroppedWhenRecoveryIsSwitchedOffBeforeItIsSent(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		release := holdMail(p)
		ask(t, p, ann.Email)
		wantMails(t, p)
		p.Set(t, "recovery.enabled", "false")
		release()
		wantMails(t, p)
	})
}

func TestTheMailSaysWhyThereIsNoLinkAndWhomToTurnTo(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		p.Set(t, "support.email", "help@vendor.example")
		acme, gone := p.Organization(t, "Acme"), p.Organization(t, "Gone")
		carl := person(t, p, directory.NewUser{Email: "carl@vendor.example", Name: "Carl Contact", Role: "support"})
		for _, id := range []int64{acme, gone} {
			must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.SetContactOwner(t.Context(), id, carl.ID) }))
		}
		person(t, p, directory.NewUser{Email: "ada@acme.example", Name: "Ada Admin", Organization: "Acme", Role: "portal_administrator"})
		person(t, p, directory.NewUser{Email: "eve@acme.example", Name: "Eve Customer", Organization: "Acme"})
		inactive := person(t, p, directory.NewUser{Email: "inactive@acme.example", Organization: "Acme"})
		must(t, p.Directory.Deactivate(t.Context(), portaltest.Operator, inactive.ID, ""))
		p.Mails(t)
		closed := shut(t, p, directory.NewUser{Email: "shut@acme.example", Organization: "Acme"})
		ofGone := person(t, p, directory.NewUser{Email: "someone@gone.example", Organization: "Gone"})
		must(t, p.Directory.SetOrganizationActive(t.Context(), portaltest.Operator, gone, false))
		alone := person(t, p, directory.NewUser{Email: "alone@acme.example"})
		must(t, p.Directory.Deactivate(t.Context(), portaltest.Operator, alone.ID, ""))
		p.Mails(t)

		for _, c := range []struct {
			who       db.User
			want, not []string
		}{
			{inactive, []string{"switched off", "Ada Admin, ada@acme.example", "Carl Contact, carl@vendor.example", "help@vendor.example"},
				[]string{"Eve"}},
			{closed, []string{"this was not me", "Ada Admin, ada@acme.example", "Carl Contact", "help@vendor.example"}, nil},
			{ofGone, []string{"switched off", "Carl Contact, carl@vendor.example", "help@vendor.example"}, []string{"Ada"}},
			{alone, []string{"switched off", "help@vendor.example"}, []string{"Ada", "Carl", "person who gave you access"}},
		} {
			ask(t, p, c.who.Email)
			m := wantMails(t, p, "Password change request > "+c.who.Email)[0]
			for _, text := range []string{m.Text, m.HTML} {
				for _, part := range c.want {
					if !strings.Contains(text, part) {
						t.Errorf("%s is not told %q:\n%s", c.who.Email, part, m.Text)
					}
				}
				for _, part := range append(c.not, "/reset-password/", "/invitation/") {
					if strings.Contains(text, part) {
						t.Errorf("%s is told %q:\n%s", c.who.Email, part, m.Text)
					}
				}
			}
			if now := p.Reload(t, c.who); now.Active && now.ClosedAt == 0 && now.OrganizationActive { // A19
				t.Errorf("%s was let in by asking", c.who.Email)
			}
		}
	})
}

func TestNobodyIsSentToAContactWhoHasLeft(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		acme := p.Organization(t, "Acme")
		carl := person(t, p, directory.NewUser{Email: "carl@vendor.example", Name: "Carl Contact", Role: "support"})
		ada := person(t, p, directory.NewUser{Email: "ada@acme.example", Name: "Ada Admin", Organization: "Acme", Role: "portal_administrator"})
		must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.SetContactOwner(t.Context(), acme, carl.ID) }))
		bob := person(t, p, directory.NewUser{Email: "bob@acme.example", Organization: "Acme"})
		for _, u := range []db.User{carl, ada, bob} {
			must(t, p.Directory.Deactivate(t.Context(), portaltest.Operator, u.ID, ""))
		}
		p.Mails(t)
		ask(t, p, bob.Email)
		m := p.Mail(t)
		for _, left := range []string{"Carl", "Ada"} {
			if strings.Contains(m.Text, left) {
				t.Errorf("the mail sends people to %s, who is inactive:\n%s", left, m.Text)
			}
		}
		if !strings.Contains(m.Text, "the person who gave you access") {
			t.Errorf("the mail names nobody:\n%s", m.Text)
		}
	})
}

func TestAnInvitedUserWhoAsksForAResetIsInvitedAgain(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		bob, first := invited(t, p, "bob@acme.example")
		p.Clock.Advance(8 * 24 * time.Hour)
		if isOpen(t, p, db.PurposeInvitation, first) {
			t.Error("the invitation outlives its seven days")
		}
		ask(t, p, bob.Email)
		second := mailed(t, wantMails(t, p, "You are invited > bob@acme.example"), "You are invited", "/invitation/")
		must(t, p.Account.RenewLink(t.Context(), home, db.PurposeInvitation, first))
		third := mailed(t, wantMails(t, p, "You are invited > bob@acme.example"), "You are invited", "/invitation/")
		_, err := p.Account.AcceptInvitation(t.Context(), home, third, chosen(portaltest.Password))
		must(t, err)
		if isOpen(t, p, db.PurposeInvitation, second) {
			t.Error("an older invitation outlives the acceptance")
		}
	})
}

func TestSettingsCountAtTheMomentOfSending(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		release := holdMail(p)
		ask(t, p, ann.Email)
		wantMails(t, p)
		p.Set(t, "recovery.mail_subject", "Ihr neues Kennwort – für Sie")
		p.Set(t, "recovery.mail_link_text", "Weiter zum Kennwort")
		p.Set(t, "recovery.link_minutes", "5")
		release()
		m := wantMails(t, p, "Ihr neues Kennwort – für Sie > ann@acme.example")[0]
		for _, text := range []string{m.Text, m.HTML} {
			if !strings.Contains(text, "Weiter zum Kennwort") || !strings.Contains(text, "5 minutes") {
				t.Errorf("the mail has the old words:\n%s", text)
			}
		}
		plain := portaltest.Token(m.Link(t, "/reset-password/"))
		p.Clock.Advance(5*time.Minute - time.Second)
		if !isOpen(t, p, db.PurposeReset, plain) {
			t.Error("the link dies too early")
		}
		p.Clock.Advance(time.Second)
		if isOpen(t, p, db.PurposeReset, plain) {
			t.Error("the link outlives its five minutes")
		}
		// Who may not get in any more while the mail waits gets no link either.
		release = holdMail(p)
		ask(t, p, ann.Email)
		wantMails(t, p)
		must(t, p.Directory.Deactivate(t.Context(), portaltest.Operator, ann.ID, ""))
		wantMails(t, p)
		release()
		for _, m := range p.Mails(t) {
			if strings.Contains(m.Text, "/reset-password/") {
				t.Errorf("a link for somebody inactive: %s", m.Subject)
			}
		}
	})
}

// G12
func TestAskingAgainAndAgainSendsFewMails(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		sent := 0
		for i := range 8 {
			must(t, p.Account.RequestPasswordReset(t.Context(), portaltest.Visit(fmt.Sprintf("198.51.100.%d", i)), ann.Email, ""))
			must(t, p.Account.RequestPasswordReset(t.Context(), home, "ANN@acme.example", ""))
			sent += len(p.Mails(t))
			p.Clock.Advance(time.Minute + time.Second)
		}
		if sent != 3 {
			t.Errorf("%d mails in nine minutes instead of 3", sent)
		}
		for i := range 60 - 8 {
			must(t, p.Account.RequestPasswordReset(t.Context(), home, fmt.Sprintf("nobody%d@acme.example", i), ""))
		}
		// Eight minutes have given eight places back.
		for i := range 9 {
			err := p.Account.RequestPasswordReset(t.Context(), home, fmt.Sprintf("somebody%d@acme.example", i), "")
			if i < 8 {
				must(t, err)
			} else {
				wantHeld(t, err)
			}
		}
		wantMails(t, p)
	})
}

func TestAResetAskedForBeforeTheAccountChangedIsDropped(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		first := printed(t, p, ann)
		p.Mails(t)
		release := holdMail(p)
		ask(t, p, ann.Email)
		wantMails(t, p)
		p.Clock.Advance(time.Second)
		must(t, reset(t, p, first, portaltest.Another))
		wantMails(t, p) // none is on its way when the clock goes on
		release()
		wantMails(t, p, "Your password was changed > ann@acme.example")

		release = holdMail(p)
		ask(t, p, ann.Email)
		wantMails(t, p)
		p.Clock.Advance(30 * time.Minute) // nobody waits for it any more
		release()
		wantMails(t, p)
	})
}

func TestAtMostThreeResetLinksAreOpen(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		p.Set(t, "recovery.link_minutes", "1440")
		ann := newAnn(t, p)
		var links []string
		wantOpen := func(want ...bool) {
			t.Helper()
			for i, open := range want {
				if isOpen(t, p, db.PurposeReset, links[i]) != open {
					t.Errorf("link %d of %d: open is %v", i+1, len(want), !open)
				}
			}
		}
		for range 4 {
			links = append(links, askedLink(t, p, ann.Email))
			p.Clock.Advance(25 * time.Minute)
		}
		wantOpen(false, true, true, true)
		links = append(links, printed(t, p, ann))
		wantOpen(false, false, true, true, true)
	})
}

func TestADeadLinkIsRenewedIfItWasOurs(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		old := askedLink(t, p, ann.Email)
		p.Clock.Advance(2 * time.Hour)
		renew := func(plain string) {
			t.Helper()
			p.Clock.Advance(time.Minute)
			must(t, p.Account.RenewLink(t.Context(), home, db.PurposeReset, plain))
		}
		renew(old)
		fresh := portaltest.Token(p.Mail(t).Link(t, "/reset-password/"))
		must(t, reset(t, p, fresh, portaltest.Another))
		p.Mails(t)
		p.Clock.Advance(time.Hour)
		renew(fresh) // a used one, too
		p.Mail(t).Link(t, "/reset-password/")

		for _, plain := range []string{"", "x", old[1:] + "A", strings.Repeat("A", 43), strings.Repeat("A", 1<<16)} {
			renew(plain)
		}
		wantMails(t, p)
		p.Clock.Advance(31 * 24 * time.Hour)
		must(t, p.DB.Purge(t.Context(), 0))
		renew(old)
		wantMails(t, p)
	})
}
