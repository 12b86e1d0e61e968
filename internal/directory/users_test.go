package directory_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/account"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/portaltest"
	"postern/internal/settings"
	"postern/internal/throttle"
	"postern/internal/token"
)

func TestEverythingWrongWithANewUserIsSaidAtOnce(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		p.Organization(t, "Acme")
		person(t, p, directory.NewUser{Email: "ann@acme.example", Username: "ann"})
		weak := "password"
		for name, c := range map[string]struct {
			form directory.NewUser
			want map[string]input.Problem
		}{
			"all of it": {directory.NewUser{Email: "bob", Name: "Bob\u202e", Username: "b@b", Organization: "Nobody Ltd", Role: "king"},
				map[string]input.Problem{"email": input.NotEmail, "name": input.NotName, "username": input.NotUsername,
					"organization": input.NoSuchOrganization, "role": input.NoSuchRole}},
			"nothing": {directory.NewUser{}, map[string]input.Problem{"email": input.Missing, "name": input.Missing}},
			"taken": {directory.NewUser{Email: "ANN@acme.example", Name: "Bob", Username: "Ann"},
				map[string]input.Problem{"email": input.EmailTaken, "username": input.UsernameTaken}},
			"weak": {directory.NewUser{Email: "bob@acme.example", Name: "Bob", Password: &weak}, map[string]input.Problem{"password": input.WeakPassword}},
		} {
			_, err := p.Directory.CreateUser(t.Context(), operator, c.form)
			if got := problems(t, err); !maps.Equal(got, c.want) {
				t.Errorf("%s: %v instead of %v", name, got, c.want)
			}
		}
		own := "Acme-Quiet-Harbour-42"
		_, err := p.Directory.CreateUser(t.Context(), operator,
			directory.NewUser{Email: "bob@b.example", Name: "Bob", Organization: "ACME", Password: &own})
		if got := problems(t, err); got["password"] != input.WeakPassword {
			t.Errorf("a password with the organization's name: %v", got)
		}
		_, err = p.Directory.CreateUser(t.Context(), operator, directory.NewUser{Email: "bob@b.example", Name: "Bob", Role: "portal_administrator"})
		if !errors.Is(err, directory.ErrNeedsOrganization) {
			t.Errorf("an administrator of no organization: %v", err)
		}
		if users, err := p.DB.Reader().Users(t.Context(), 0, 10); err != nil || len(users) != 1 {
			t.Errorf("%d users (%v)", len(users), err)
		}

		bob, err := p.Directory.CreateUser(t.Context(), operator, directory.NewUser{Email: " Bob@B.example ", Name: " Bob  B ", Username: "BOB",
			Organization: " acme ", Role: "portal_administrator", Invite: true})
		must(t, err)
		if bob.Email != "Bob@B.example" || bob.Name != "Bob B" || bob.Username != "bob" || bob.Organization != "Acme" ||
			bob.Role.ID != "portal_administrator" || bob.Status() != "invited" {
			t.Errorf("made: %+v", bob)
		}
		wantMails(t, p, "You are invited > Bob@B.example")
		if done := events(t, p, "user.created"); len(done) != 2 || done[1].User != bob.ID || done[1].Organization != bob.OrganizationID ||
			!strings.Contains(done[1].Detail, "portal_administrator") || done[1].ActorKind != "operator" {
			t.Errorf("it was recorded as %+v", done)
		}
		if done := events(t, p, "user.invited"); len(done) != 1 || done[0].User != bob.ID {
			t.Errorf("the invitation was recorded as %+v", done)
		}
	})
}

func TestOfTwoUsersAtOnceWithOneAddressOneIsMade(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		var all sync.WaitGroup
		errs := make([]error, 6)
		for i := range errs {
			all.Go(func() {
				form := directory.NewUser{Email: []string{"bob@acme.example", "BOB@acme.example"}[i%2], Name: "Bob", Username: fmt.Sprintf("bob%d", i)}
				_, errs[i] = p.Directory.CreateUser(t.Context(), operator, form)
			})
		}
		all.Wait()
		made := 0
		for _, err := range errs {
			if err == nil {
				made++
			} else if got := problems(t, err); got["email"] != input.EmailTaken {
				t.Errorf("refused for %v", got)
			}
		}
		if made != 1 {
			t.Errorf("%d were made", made)
		}
	})
}

func TestADeactivatedUserIsOutAtOnce(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := person(t, p, directory.NewUser{Email: "ann@acme.example"})
		epoch := ann.Epoch
		for range 2 { // the second time changes nothing
			must(t, p.Directory.Deactivate(t.Context(), operator, ann.ID, ""))
		}
		wantMails(t, p, "Your account was deactivated > ann@acme.example")
		if now := p.Reload(t, ann); now.Status() != "inactive" || now.Epoch == epoch {
			t.Errorf("status %q, epoch %d", now.Status(), now.Epoch)
		}
		if canSignIn(t, p, ann.Email) {
			t.Error("somebody inactive signs in")
		}
		if _, err := p.Directory.PrintResetLink(t.Context(), operator, ann.ID); !errors.Is(err, directory.ErrCannotEnter) {
			t.Errorf("a link is printed: %v", err)
		}
		for range 2 {
			must(t, p.Directory.Activate(t.Context(), operator, ann.ID, ""))
		}
		wantMails(t, p, "Your account is active again > ann@acme.example")
		if !canSignIn(t, p, ann.Email) {
			t.Error("somebody active again does not get in")
		}
		for _, action := range []string{"user.deactivated", "user.activated"} {
			if done := events(t, p, action); len(done) != 1 || done[0].User != ann.ID {
				t.Errorf("%s was recorded as %+v", action, done)
			}
		}
		for name, act := range map[string]error{
			"activate": p.Directory.Activate(t.Context(), operator, 9999, ""), "deactivate": p.Directory.Deactivate(t.Context(), operator, 9999, ""),
			"unlock": p.Directory.Unlock(t.Context(), operator, 9999, ""), "delete": p.Directory.Delete(t.Context(), operator, 9999, "", ""),
		} {
			if !errors.Is(act, db.ErrNotFound) {
				t.Errorf("%s nobody: %v", name, act)
			}
		}
	})
}

func TestADeletedUserLeavesNothingButAnId(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		acme := p.Organization(t, "Acme")
		ann := person(t, p, directory.NewUser{Email: "ann@acme.example", Name: "Ann Smithson", Username: "annie", Organization: "Acme", Role: "support"})
		must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error {
			return errors.Join(tx.SetContactOwner(t.Context(), acme, ann.ID),
				tx.SetProfile(t.Context(), ann.ID, db.Profile{Name: ann.Name, Phone: "+49 30 987654", TimeZone: "Europe/Berlin"}))
		}))
		in, err := p.Account.SignIn(t.Context(), portaltest.Visit("192.0.2.1"), "annie", portaltest.Password)
		must(t, err)
		plain, err := p.Directory.PrintResetLink(t.Context(), operator, ann.ID)
		must(t, err)
		p.Mails(t)

		must(t, p.Directory.Delete(t.Context(), operator, ann.ID, ann.Email, ""))
		wantMails(t, p, "Your account was deleted > ann@acme.example")
		if _, err := p.DB.Reader().User(t.Context(), ann.ID); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("the user is still found: %v", err)
		}
		if _, _, err := p.Account.OpenLink(t.Context(), db.PurposeReset, plain); !errors.Is(err, account.ErrDeadLink) {
			t.Errorf("the link: %v", err)
		}
		if canSignIn(t, p, "annie") || canSignIn(t, p, ann.Email) {
			t.Error("the deleted user signs in")
		}
		d := open(t, p)
		for _, table := range []string{"link", "session", "browser", "outbox"} {
			var left int
			must(t, d.QueryRowContext(t.Context(), `SELECT count(*) FROM `+table+` WHERE user_id = $1`, ann.ID).Scan(&left))
			if left != 0 {
				t.Errorf("%d rows are left in %s", left, table)
			}
		}
		var row string
		must(t, d.QueryRowContext(t.Context(), `SELECT email || email_folded || COALESCE(username, '') || name || phone || pending_email || password_hash
			FROM user_account WHERE id = $1`, ann.ID).Scan(&row))
		if strings.Contains(row, "@") || strings.Contains(row, "Smith") || strings.Contains(row, "annie") || strings.ContainsAny(row, "+$") {
			t.Errorf("the row still says %q", row)
		}
		if done := events(t, p, "user.deleted"); len(done) != 1 || done[0].User != ann.ID || done[0].Organization != acme {
			t.Errorf("it was recorded as %+v", done)
		}
		heir := person(t, p, directory.NewUser{Email: "ANN@acme.example", Username: "annie"})
		if heir.ID == ann.ID {
			t.Error("the id is used again")
		}
		known, err := p.DB.Reader().BrowserKnown(t.Context(), []byte(in.Browser), heir.ID, p.DB.Now())
		if err != nil || known {
			t.Errorf("the heir inherits the browser: %v", err)
		}
	})
}

func TestAUserCanBeDeletedWhileTheirMailIsMade(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		s := &directory.Service{DB: d, Settings: settings.NewStore(d), Throttle: throttle.New([]byte("secret")), MailQueued: func() {}}
		u, err := s.CreateUser(t.Context(), operator, directory.NewUser{Email: "ann@acme.example", Name: "Ann", Invite: true})
		must(t, err)
		deleted := make(chan error, 1)
		var start sync.Once
		// What the mail worker does, with the deletion in the middle of it.
		err = d.Update(t.Context(), func(tx *db.Tx) error {
			m, err := tx.ClaimMessage(t.Context(), time.Minute)
			if err != nil {
				return err
			}
			start.Do(func() { go func() { deleted <- s.Delete(t.Context(), operator, u.ID, u.Email, "") }() })
			time.Sleep(100 * time.Millisecond) // if that is too short, the test proves nothing, but does not fail
			_, hash := token.New()
			_, err = tx.AddLink(t.Context(), db.Link{Purpose: db.PurposeInvitation, UserID: u.ID, MessageID: m.ID, ExpiresAt: tx.Now + 1}, hash)
			return err
		})
		if err != nil && !errors.Is(err, db.ErrNotFound) { // gone, if it had to begin again
			t.Errorf("the mail: %v", err)
		}
		if err := <-deleted; err != nil {
			t.Errorf("the deletion: %v", err)
		}
	})
}

func TestTheLastOwnerStays(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		p.Organization(t, "Vendor")
		must(t, p.Directory.SetOrganizationActive(t.Context(), operator, p.Organization(t, "Off"), false))
		olga := person(t, p, directory.NewUser{Email: "olga@vendor.example", Role: "owner", Organization: "Vendor"})
		invited, err := p.Directory.CreateUser(t.Context(), operator, directory.NewUser{Email: "new@vendor.example", Name: "New", Role: "owner"})
		must(t, err) // who has not chosen a password yet is no owner to rely on
		inactive := person(t, p, directory.NewUser{Email: "old@vendor.example", Role: "owner"})
		must(t, p.Directory.Deactivate(t.Context(), operator, inactive.ID, ""))
		p.Mails(t)
		acts := map[string]func(u db.User) error{
			"deactivate": func(u db.User) error { return p.Directory.Deactivate(t.Context(), operator, u.ID, "") },
			"demote":     func(u db.User) error { return p.Directory.SetRole(t.Context(), operator, u.ID, "support") },
			"delete":     func(u db.User) error { return p.Directory.Delete(t.Context(), operator, u.ID, u.Email, "") },
			"move": func(u db.User) error {
				return p.Directory.ChangeUser(t.Context(), operator, u.ID, directory.UserChange{Organization: text("Off")})
			},
		}
		for name, act := range acts {
			if err := act(olga); !errors.Is(err, directory.ErrLastOwner) {
				t.Errorf("%s the last owner: %v", name, err)
			}
		}
		wantMails(t, p)
		if now := p.Reload(t, olga); now.Epoch != olga.Epoch || now.Role.ID != "owner" || !now.Active {
			t.Errorf("half done: epoch %d, role %s, active %v", now.Epoch, now.Role.ID, now.Active)
		}
		must(t, acts["delete"](invited))
		must(t, acts["demote"](inactive))
		second := person(t, p, directory.NewUser{Email: "second@vendor.example", Role: "owner"})
		must(t, acts["demote"](olga))
		if err := acts["delete"](second); !errors.Is(err, directory.ErrLastOwner) {
			t.Errorf("the other one is not the last now: %v", err)
		}
	})
}

func TestTheLastOwnerStaysWhenTheOrganizationIsSwitchedOff(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		vendor := p.Organization(t, "Vendor")
		olga := person(t, p, directory.NewUser{Email: "olga@vendor.example", Role: "owner", Organization: "Vendor"})
		if err := p.Directory.SetOrganizationActive(t.Context(), operator, vendor, false); !errors.Is(err, directory.ErrLastOwner) {
			t.Errorf("the last owner's organization is switched off: %v", err)
		}
		if !canSignIn(t, p, olga.Email) {
			t.Error("nobody can look after the portal any more")
		}
	})
}

func TestAnOwnerWhoCannotEnterIsNoOwnerToRelyOn(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		gone := p.Organization(t, "Gone")
		olga := person(t, p, directory.NewUser{Email: "olga@vendor.example", Role: "owner"})
		person(t, p, directory.NewUser{Email: "gone@gone.example", Role: "owner", Organization: "Gone"})
		must(t, p.Directory.SetOrganizationActive(t.Context(), operator, gone, false))
		if err := p.Directory.Deactivate(t.Context(), operator, olga.ID, ""); !errors.Is(err, directory.ErrLastOwner) {
			t.Errorf("the only owner who gets in is deactivated: %v", err)
		}
	})
}

func TestTwoOwnersCannotRemoveEachOtherAtOnce(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		must(t, p.Directory.SetOrganizationActive(t.Context(), operator, p.Organization(t, "Off"), false))
		for round, act := range []func(id int64) error{
			func(id int64) error {
				return p.Directory.ChangeUser(t.Context(), operator, id, directory.UserChange{Organization: text("Off")})
			},
			func(id int64) error { return p.Directory.Deactivate(t.Context(), operator, id, "") },
			func(id int64) error { return p.Directory.SetRole(t.Context(), operator, id, "customer") },
			func(id int64) error {
				return p.Directory.Delete(t.Context(), operator, id, p.Reload(t, db.User{ID: id}).Email, "")
			},
		} {
			p.Mails(t)
			var both sync.WaitGroup
			owners := []db.User{}
			for i := range 3 {
				owners = append(owners, person(t, p, directory.NewUser{Email: fmt.Sprintf("owner%d-%d@vendor.example", round, i), Role: "owner"}))
			}
			for _, left := range leftOver(t, p, owners) {
				must(t, p.Directory.SetRole(t.Context(), operator, left.ID, "customer"))
			}
			p.Mails(t)
			errs := make([]error, len(owners))
			release := holdEvents(t, p)
			for i, owner := range owners {
				both.Go(func() { errs[i] = act(owner.ID) })
			}
			time.Sleep(100 * time.Millisecond) // if that is too short, the round proves less, but does not fail
			release()
			both.Wait()
			refused := 0
			for _, err := range errs {
				if errors.Is(err, directory.ErrLastOwner) {
					refused++
				} else if err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			}
			if left, err := p.DB.Reader().ActiveOwners(t.Context()); err != nil || left != 1 || refused != 1 {
				t.Errorf("round %d: %d owners are left, %d were refused (%v)", round, left, refused, err)
			}
		}
	})
}

func TestTwoOwnersWhoRemoveEachOtherAtOnceLeaveOne(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		for round, act := range []func(a db.Actor, u db.User) error{
			func(a db.Actor, u db.User) error { return p.Directory.Deactivate(t.Context(), a, u.ID, "") },
			func(a db.Actor, u db.User) error { return p.Directory.SetRole(t.Context(), a, u.ID, "customer") },
			func(a db.Actor, u db.User) error { return p.Directory.Delete(t.Context(), a, u.ID, u.Email, "") },
		} {
			one := person(t, p, directory.NewUser{Email: fmt.Sprintf("one%d@vendor.example", round), Role: "owner"})
			two := person(t, p, directory.NewUser{Email: fmt.Sprintf("two%d@vendor.example", round), Role: "owner"})
			p.Enrol(t, one)
			p.Enrol(t, two)
			for _, left := range leftOver(t, p, []db.User{one}) {
				must(t, p.Directory.SetRole(t.Context(), operator, left.ID, "customer"))
			}
			p.Mails(t)
			var both sync.WaitGroup
			var errs [2]error
			release := holdEvents(t, p)
			both.Go(func() { errs[0] = act(portaltest.Actor(one), two) })
			both.Go(func() { errs[1] = act(portaltest.Actor(two), one) })
			time.Sleep(100 * time.Millisecond) // if that is too short, the round proves less, but does not fail
			release()
			both.Wait()
			// Whoever came second was no owner any more: not the last owner's rule, but their rank refuses it.
			if (errs[0] == nil) == (errs[1] == nil) {
				t.Errorf("round %d: %v, %v", round, errs[0], errs[1])
			}
			for _, err := range errs {
				if err != nil && !errors.Is(err, directory.ErrNotAllowed) && !errors.Is(err, db.ErrNotFound) {
					t.Errorf("round %d: %v", round, err)
				}
			}
			if left, err := p.DB.Reader().ActiveOwners(t.Context()); err != nil || left != 1 {
				t.Errorf("round %d: %d owners are left (%v)", round, left, err)
			}
		}
	})
}

// holdEvents keeps every change from being recorded, and so from its end, until the returned
// function is called: all that are under way get as far as they can beside one another. On
// SQLite there is only ever one.
func holdEvents(t *testing.T, p *portaltest.Portal) (release func()) {
	t.Helper()
	if p.DB.Engine() == db.SQLite {
		return func() {}
	}
	tx, err := open(t, p).BeginTx(t.Context(), nil)
	must(t, err)
	_, err = tx.ExecContext(t.Context(), `LOCK TABLE audit_event IN EXCLUSIVE MODE`)
	must(t, err)
	return func() { must(t, tx.Rollback()) }
}

// leftOver are the owners besides these.
func leftOver(t *testing.T, p *portaltest.Portal, fresh []db.User) (left []db.User) {
	t.Helper()
	all, err := p.DB.Reader().Users(t.Context(), 0, 100)
	must(t, err)
	for _, u := range all {
		if u.Role.ID == "owner" && u.Active && u.ID < fresh[0].ID {
			left = append(left, u)
		}
	}
	return left
}

func TestARoleIsGivenOnlyWhereItFits(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		p.Organization(t, "Acme")
		ann := person(t, p, directory.NewUser{Email: "ann@home.example"})
		bob := person(t, p, directory.NewUser{Email: "bob@acme.example", Organization: "Acme"})
		set := func(u db.User, role string) error { return p.Directory.SetRole(t.Context(), operator, u.ID, role) }
		if err := set(ann, "portal_administrator"); !errors.Is(err, directory.ErrNeedsOrganization) {
			t.Errorf("an administrator of no organization: %v", err)
		}
		if got := problems(t, set(ann, "king")); got["role"] != input.NoSuchRole {
			t.Errorf("an unknown role: %v", got)
		}
		must(t, set(ann, "customer")) // as it was
		wantMails(t, p)
		must(t, set(bob, "portal_administrator"))
		wantMails(t, p, "Your role was changed > bob@acme.example")
		if done := events(t, p, "user.role_changed"); len(done) != 1 || done[0].User != bob.ID || !strings.Contains(done[0].Detail, "portal_administrator") {
			t.Errorf("it was recorded as %+v", done)
		}
		// Whoever is made owner closes the set-up page.
		plain, err := p.Account.OfferSetup(t.Context())
		must(t, err)
		must(t, set(ann, "owner"))
		if err := p.Account.SetupOffered(t.Context(), plain); !errors.Is(err, account.ErrSwitchedOff) {
			t.Errorf("the set-up page: %v", err)
		}
	})
}

func TestAPrintedLinkIsToldToItsUserAndNeverShown(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := person(t, p, directory.NewUser{Email: "ann@acme.example"})
		plain, err := p.Directory.PrintResetLink(t.Context(), operator, ann.ID)
		must(t, err)
		mails := p.Mails(t)
		if len(mails) != 1 || mails[0].Subject != "A reset link was made for your account" || strings.Contains(mails[0].Text+mails[0].HTML, plain) {
			t.Errorf("the mails: %+v", mails)
		}
		mails[0].Link(t, "/not-me/")
		if done := events(t, p, "password_reset.link_issued"); len(done) != 1 || done[0].User != ann.ID || strings.Contains(done[0].Detail, plain) {
			t.Errorf("it was recorded as %+v", done)
		}
		if link, u, err := p.Account.OpenLink(t.Context(), db.PurposeReset, plain); err != nil || u.ID != ann.ID || link.ExpiresAt.Sub(p.DB.Now()).Minutes() != 60 {
			t.Errorf("the link: %v, expires %v", err, link.ExpiresAt)
		}
	})
}
