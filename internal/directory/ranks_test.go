package directory_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/access"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/portaltest"
	"postern/internal/settings"
	"postern/internal/throttle"
)

// world is a portal without pages and without a worker, so that mail stays in the outbox,
// with an actor of every kind.
type world struct {
	s              *directory.Service
	d              *db.DB
	beside         *sql.DB
	acme, umbrella int64
	actors         map[string]db.Actor
	made           int
}

func newWorld(t *testing.T, d *db.DB) *world {
	t.Helper()
	w := &world{d: d, beside: open(t, &portaltest.Portal{DB: d}), actors: map[string]db.Actor{"operator": operator},
		s: &directory.Service{DB: d, Settings: settings.NewStore(d), Throttle: throttle.New([]byte("secret")), MailQueued: func() {}}}
	for name, id := range map[string]*int64{"Acme": &w.acme, "Umbrella": &w.umbrella} {
		var err error
		*id, err = w.s.CreateOrganization(t.Context(), operator, directory.NewOrganization{Name: name})
		must(t, err)
	}
	for name, form := range map[string]directory.NewUser{
		"owner": {Role: "owner"}, "support": {Role: "support"}, "auditor": {Role: "auditor"},
		"administrator": {Role: "portal_administrator", Organization: "Acme"}, "other administrator": {Role: "portal_administrator", Organization: "Umbrella"},
		"customer": {Organization: "Acme"}, "owner without a second factor": {Role: "owner"}, "inactive owner": {Role: "owner"},
		"shut owner": {Role: "owner"}, "deleted owner": {Role: "owner"},
	} {
		w.actors[name] = portaltest.Actor(w.user(t, form))
	}
	ctx := t.Context()
	must(t, d.Update(ctx, func(tx *db.Tx) error {
		id := func(name string) int64 { return w.actors[name].UserID }
		return errors.Join(tx.RemoveAuthenticator(ctx, id("owner without a second factor")), tx.SetActive(ctx, id("inactive owner"), false),
			tx.CloseUser(ctx, id("shut owner")), tx.EmptyUser(ctx, id("deleted owner")))
	}))
	w.actors["visitor"] = db.Actor{Kind: db.ActorVisitor, Address: "192.0.2.1"}
	// A visitor stays one, whosever id they bring along.
	w.actors["visitor with an id"] = db.Actor{Kind: db.ActorVisitor, UserID: w.actors["owner"].UserID}
	return w
}

// user makes a user with a password and an authenticator.
func (w *world) user(t *testing.T, form directory.NewUser) db.User {
	t.Helper()
	w.made++
	form.Email, form.Name = fmt.Sprintf("user%d@made.example", w.made), fmt.Sprintf("User %d", w.made)
	u, err := w.s.CreateUser(t.Context(), operator, form)
	must(t, err)
	must(t, w.d.Update(t.Context(), func(tx *db.Tx) error {
		if form.Invite {
			return nil
		}
		return errors.Join(tx.SetPassword(t.Context(), u.ID, "a hash"), tx.SetAuthenticator(t.Context(), u.ID, []byte("sealed"), 0))
	}))
	return w.reload(t, u.ID)
}

func (w *world) reload(t *testing.T, id int64) db.User {
	t.Helper()
	u, err := w.d.Reader().User(t.Context(), id)
	must(t, err)
	return u
}

// state is everything that the database holds, but what a look may change.
func (w *world) state(t *testing.T) map[string]string {
	t.Helper()
	tables := map[string]string{}
	for _, table := range []string{"user_account", "organization", "role", "setting", "instance", "session", "link", "browser", "outbox", "authenticator",
		"enrolment", "recovery_code", "audit_event", "rate", "failure"} {
		rows, err := w.beside.QueryContext(t.Context(), `SELECT * FROM `+table)
		must(t, err)
		columns, err := rows.Columns()
		must(t, err)
		var lines []string
		for rows.Next() {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			must(t, rows.Scan(into...))
			lines = append(lines, fmt.Sprint(values...))
		}
		must(t, rows.Err())
		slices.Sort(lines)
		tables[table] = strings.Join(lines, "\n")
	}
	return tables
}

// wantSame fails the test when anything is not as it was.
func wantSame(t *testing.T, what string, before, after map[string]string) {
	t.Helper()
	for table := range before {
		if before[table] != after[table] {
			t.Errorf("%s changed %s, which was\n%s\nand is\n%s", what, table, before[table], after[table])
		}
	}
}

// deed is a use case about one user.
type deed struct {
	act     access.Act
	do      func(ctx context.Context, s *directory.Service, actor db.Actor, u db.User) error
	invited bool // the user has no password yet
	off     bool // the user is inactive
	mails   []db.MessageKind
	action  string // recorded
}

func text(s string) *string { return &s }

var deeds = map[string]deed{
	"rename": {act: access.Edit, action: "user.changed",
		do: func(ctx context.Context, s *directory.Service, a db.Actor, u db.User) error {
			return s.ChangeUser(ctx, a, u.ID, directory.UserChange{Name: text("New Name")})
		}},
	"change the username": {act: access.Edit, action: "username.changed", mails: []db.MessageKind{db.MessageUsernameChanged},
		do: func(ctx context.Context, s *directory.Service, a db.Actor, u db.User) error {
			return s.ChangeUser(ctx, a, u.ID, directory.UserChange{Username: text(fmt.Sprintf("new.name.%d", u.ID))})
		}},
	"change the address": {act: access.Edit, action: "email.change_requested", mails: []db.MessageKind{db.MessageVerifyEmail, db.MessageEmailAsked},
		do: func(ctx context.Context, s *directory.Service, a db.Actor, u db.User) error {
			return s.ChangeUser(ctx, a, u.ID, directory.UserChange{Email: text("new." + u.Email)})
		}},
	"change the role": {act: access.ChangeRole, action: "user.role_changed", mails: []db.MessageKind{db.MessageRoleChanged},
		do: func(ctx context.Context, s *directory.Service, a db.Actor, u db.User) error {
			return s.SetRole(ctx, a, u.ID, map[bool]string{true: "customer", false: "portal_administrator"}[u.Staff()])
		}},
	"activate": {act: access.Activate, off: true, action: "user.activated", mails: []db.MessageKind{db.MessageActivated},
		do: func(ctx context.Context, s *directory.Service, a db.Actor, u db.User) error {
			return s.Activate(ctx, a, u.ID, "asked for")
		}},
	"deactivate": {act: access.Deactivate, action: "user.deactivated", mails: []db.MessageKind{db.MessageDeactivated},
		do: func(ctx context.Context, s *directory.Service, a db.Actor, u db.User) error {
			return s.Deactivate(ctx, a, u.ID, "asked for")
		}},
	"unlock": {act: access.Unlock, action: "user.unlocked", mails: []db.MessageKind{db.MessageUnlocked},
		do: func(ctx context.Context, s *directory.Service, a db.Actor, u db.User) error {
			return s.Unlock(ctx, a, u.ID, "asked for")
		}},
	"end sessions": {act: access.EndSessions, action: "sessions.ended", mails: []db.MessageKind{db.MessageSignedOut},
		do: func(ctx context.Context, s *directory.Service, a db.Actor, u db.User) error {
			return s.EndSessions(ctx, a, u.ID, "asked for")
		}},
	"revoke links": {act: access.RevokeLinks, action: "links.revoked", mails: []db.MessageKind{db.MessageLinksRevoked},
		do: func(ctx context.Context, s *directory.Service, a db.Actor, u db.User) error {
			return s.RevokeLinks(ctx, a, u.ID, "asked for")
		}},
	"invite again": {act: access.Invite, invited: true, action: "user.invited", mails: []db.MessageKind{db.MessageInvitation},
		do: func(ctx context.Context, s *directory.Service, a db.Actor, u db.User) error {
			return s.ResendInvitation(ctx, a, u.ID)
		}},
	"withdraw the invitation": {act: access.Invite, invited: true, action: "invitation.withdrawn", mails: []db.MessageKind{db.MessageInvitationWithdrawn},
		do: func(ctx context.Context, s *directory.Service, a db.Actor, u db.User) error {
			return s.WithdrawInvitation(ctx, a, u.ID, "asked for")
		}},
	"delete": {act: access.Delete, action: "user.deleted", mails: []db.MessageKind{db.MessageDeleted},
		do: func(ctx context.Context, s *directory.Service, a db.Actor, u db.User) error {
			return s.Delete(ctx, a, u.ID, u.Email, "asked for")
		}},
	"send a reset link": {act: access.ResetPassword, action: "password_reset.link_issued", mails: []db.MessageKind{db.MessageReset},
		do: func(ctx context.Context, s *directory.Service, a db.Actor, u db.User) error {
			return s.SendReset(ctx, a, u.ID)
		}},
	"reset the authenticator": {act: access.ResetTOTP, action: "authenticator.reset", mails: []db.MessageKind{db.MessageFactorChanged},
		do: func(ctx context.Context, s *directory.Service, a db.Actor, u db.User) error {
			return s.ResetTOTP(ctx, a, u.ID, "lost")
		}},
}

// targets are whom things are done to.
var targets = map[string]directory.NewUser{
	"customer": {Organization: "Acme"}, "administrator": {Role: "portal_administrator", Organization: "Acme"},
	"owner in an organization": {Role: "owner", Organization: "Acme"}, "support": {Role: "support"}, "customer of none": {},
}

// target makes a user to whom the deed can be done.
func (w *world) target(t *testing.T, d deed, form directory.NewUser) db.User {
	t.Helper()
	form.Invite = d.invited
	u := w.user(t, form)
	if d.off {
		must(t, w.d.Update(t.Context(), func(tx *db.Tx) error { return tx.SetActive(t.Context(), u.ID, false) }))
	}
	return w.reload(t, u.ID)
}

// expected is what an actor is told who wants to do that.
func (w *world) expected(t *testing.T, name string, act access.Act, u db.User) error {
	t.Helper()
	actor := w.actors[name]
	switch name {
	case "operator":
		return nil
	case "deleted owner", "visitor":
		return db.ErrNotFound
	case "inactive owner", "shut owner", "owner without a second factor", "visitor with an id":
		return directory.ErrNotAllowed
	}
	switch access.Decide(access.HolderOf(w.reload(t, actor.UserID)), act, u) {
	case access.Allowed:
		return nil
	case access.NotThere:
		return db.ErrNotFound
	}
	return directory.ErrNotAllowed
}

func TestStaffDoWhatTheirRoleSaysAndNothingElse(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		w := newWorld(t, d)
		allowed := map[string]int{}
		for name, deed := range deeds {
			for kind, form := range targets {
				if kind == "customer of none" && deed.act == access.ChangeRole {
					continue // a role over an organization, for somebody without one
				}
				u := w.target(t, deed, form)
				before := w.state(t)
				var doers []string
				for _, actor := range slices.Sorted(maps.Keys(w.actors)) {
					want := w.expected(t, actor, deed.act, u)
					if want == nil {
						doers = append(doers, actor)
						continue
					}
					if err := deed.do(t.Context(), w.s, w.actors[actor], u); !errors.Is(err, want) {
						t.Errorf("%s wants to %s a %s: %v instead of %v", actor, name, kind, err, want)
					}
				}
				wantSame(t, "a refused attempt to "+name+" a "+kind, before, w.state(t))
				for _, actor := range doers {
					allowed[actor]++
					w.wantDone(t, fmt.Sprintf("%s wants to %s a %s", actor, name, kind), w.actors[actor], deed, w.target(t, deed, form))
				}
			}
			w.wantOneself(t, name, deed)
		}
		for _, actor := range []string{"owner", "support", "administrator", "operator"} {
			if allowed[actor] == 0 {
				t.Errorf("%s may do nothing, so the test proves little", actor)
			}
		}
		for _, actor := range []string{"auditor", "customer", "other administrator"} {
			if allowed[actor] != 0 {
				t.Errorf("%s may do %d things", actor, allowed[actor])
			}
		}
	})
}

// wantDone does it, and fails the test unless it is mailed and recorded, once.
func (w *world) wantDone(t *testing.T, what string, actor db.Actor, deed deed, u db.User) {
	t.Helper()
	newest, err := w.d.Reader().Messages(t.Context(), "", 0, 1)
	must(t, err)
	if err := deed.do(t.Context(), w.s, actor, u); err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	messages, err := w.d.Reader().Messages(t.Context(), "", 0, 10)
	must(t, err)
	var mails []db.MessageKind
	for _, m := range slices.Backward(messages) {
		if len(newest) == 0 || m.ID > newest[0].ID {
			mails = append(mails, m.Kind)
			if m.Kind != db.MessageVerifyEmail && m.Recipient != u.Email {
				t.Errorf("%s: the %s mail goes to %s", what, m.Kind, m.Recipient)
			}
		}
	}
	if !slices.Equal(mails, deed.mails) {
		t.Errorf("%s: the mails are %v instead of %v", what, mails, deed.mails)
	}
	var n int
	must(t, w.beside.QueryRowContext(t.Context(), `SELECT count(*) FROM audit_event WHERE action = $1 AND user_id = $2 AND actor_kind = $3
		AND COALESCE(actor_id, 0) = $4 AND outcome = 'done' AND organization_id IS NOT DISTINCT FROM NULLIF(CAST($5 AS BIGINT), 0)`,
		deed.action, u.ID, actor.Kind, actor.UserID, u.OrganizationID).Scan(&n))
	if want := map[bool]int{true: 2, false: 1}[deed.action == "user.invited" && actor.Kind == db.ActorOperator]; n != want {
		t.Errorf("%s: recorded %d times", what, n)
	}
}

// wantOneself fails the test when somebody changes their own standing.
func (w *world) wantOneself(t *testing.T, name string, deed deed) {
	t.Helper()
	for _, form := range []directory.NewUser{{Role: "owner"}, {Role: "portal_administrator", Organization: "Acme"}} {
		u := w.user(t, form)
		oneself := slices.Contains([]access.Act{access.ChangeRole, access.Activate, access.Deactivate, access.Unlock, access.Delete, access.ResetTOTP}, deed.act)
		before := w.state(t)
		err := deed.do(t.Context(), w.s, portaltest.Actor(u), u)
		if errors.Is(err, directory.ErrNotAllowed) != oneself {
			t.Errorf("%s wants to %s oneself: %v", u.Role.ID, name, err)
		}
		if err != nil {
			wantSame(t, "an attempt to "+name+" oneself", before, w.state(t))
		}
	}
}

// general are the use cases that are about no user that there is, with who may do them.
var general = map[string]struct {
	may string
	do  func(ctx context.Context, w *world, actor db.Actor) error
}{
	"make a user": {"administrator|operator|other administrator|owner", func(ctx context.Context, w *world, a db.Actor) error {
		w.made++
		_, err := w.s.CreateUser(ctx, a, directory.NewUser{Email: fmt.Sprintf("made%d@by.example", w.made), Name: "New", Invite: true})
		return err
	}},
	"make an organization": {"operator|owner", func(ctx context.Context, w *world, a db.Actor) error {
		w.made++
		_, err := w.s.CreateOrganization(ctx, a, directory.NewOrganization{Name: fmt.Sprint("Company ", w.made)})
		return err
	}},
	"rename an organization": {"operator|owner", func(ctx context.Context, w *world, a db.Actor) error {
		w.made++
		return w.s.ChangeOrganization(ctx, a, w.umbrella, directory.NewOrganization{Name: fmt.Sprint("Umbrella ", w.made)})
	}},
	"switch an organization": {"operator|owner", func(ctx context.Context, w *world, a db.Actor) error {
		o, err := w.d.Reader().Organization(ctx, w.umbrella)
		return errors.Join(err, w.s.SetOrganizationActive(ctx, a, w.umbrella, !o.Active))
	}},
	"make a role": {"operator|owner", func(ctx context.Context, w *world, a db.Actor) error {
		_, err := w.s.CreateRole(ctx, a, directory.NewRole{Name: "Own", Scope: "everybody", Permissions: []string{"users.view"}})
		return err
	}},
	"change a role": {"operator|owner", func(ctx context.Context, w *world, a db.Actor) error {
		roles, err := w.d.Reader().Roles(ctx)
		return errors.Join(err, w.s.ChangeRole(ctx, a, roles[len(roles)-1].ID, directory.NewRole{Name: "Own", Scope: "everybody"}))
	}},
	"change a setting": {"operator|owner", func(ctx context.Context, w *world, a db.Actor) error {
		_, err := w.s.ChangeSettings(ctx, a, map[string]string{"portal.name": "Portal"})
		return err
	}},
	"print a reset link": {"operator", func(ctx context.Context, w *world, a db.Actor) error {
		_, err := w.s.PrintResetLink(ctx, a, w.actors["support"].UserID)
		return err
	}},
}

func TestWhatConcernsThePortalIsForThoseWithThePermission(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		w := newWorld(t, d)
		_, err := w.s.CreateRole(t.Context(), operator, directory.NewRole{Name: "Own", Scope: "everybody", Permissions: []string{"mail.view"}})
		must(t, err)
		for name, c := range general {
			before := w.state(t)
			var may []string
			for _, actor := range slices.Sorted(maps.Keys(w.actors)) {
				if slices.Contains(strings.Split(c.may, "|"), actor) {
					may = append(may, actor)
				} else if err := c.do(t.Context(), w, w.actors[actor]); !errors.Is(err, directory.ErrNotAllowed) && !errors.Is(err, db.ErrNotFound) {
					t.Errorf("%s wants to %s: %v", actor, name, err)
				}
			}
			wantSame(t, "a refused attempt to "+name, before, w.state(t))
			for _, actor := range may {
				if actor == "other administrator" { // whose organization may be off just now
					must(t, w.s.SetOrganizationActive(t.Context(), operator, w.umbrella, true))
				}
				if err := c.do(t.Context(), w, w.actors[actor]); err != nil {
					t.Errorf("%s wants to %s: %v", actor, name, err)
				}
			}
		}
	})
}

func TestARightThatIsLostBeforeTheActIsNoRight(t *testing.T) {
	t.Parallel()
	losses := map[string]func(ctx context.Context, w *world, u db.User) error{
		"deactivated": func(ctx context.Context, w *world, u db.User) error { return w.s.Deactivate(ctx, operator, u.ID, "") },
		"deleted": func(ctx context.Context, w *world, u db.User) error {
			return w.s.Delete(ctx, operator, u.ID, u.Email, "")
		},
		"demoted": func(ctx context.Context, w *world, u db.User) error {
			return w.s.SetRole(ctx, operator, u.ID, "customer")
		},
		"authenticator gone": func(ctx context.Context, w *world, u db.User) error {
			return w.s.ResetTOTP(ctx, operator, u.ID, "")
		},
		"organization off": func(ctx context.Context, w *world, u db.User) error {
			return w.s.SetOrganizationActive(ctx, operator, u.OrganizationID, false)
		},
		"not me": func(ctx context.Context, w *world, u db.User) error {
			return w.d.Update(ctx, func(tx *db.Tx) error { return tx.CloseUser(ctx, u.ID) })
		},
	}
	dbtest.Each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		w := newWorld(t, d)
		_, err := w.s.CreateRole(t.Context(), operator, directory.NewRole{Name: "Own", Scope: "everybody", Permissions: []string{"mail.view"}})
		must(t, err)
		for loss, lose := range losses {
			vendor, err := w.s.CreateOrganization(t.Context(), operator, directory.NewOrganization{Name: "Vendor " + loss})
			must(t, err)
			actor := w.user(t, directory.NewUser{Role: "owner", Organization: fmt.Sprint("Vendor ", loss)})
			if actor.OrganizationID != vendor {
				t.Fatal("the actor is elsewhere")
			}
			whom := map[string]db.User{}
			for name, deed := range deeds {
				whom[name] = w.target(t, deed, directory.NewUser{Organization: "Acme"})
				if _, err := w.s.Target(t.Context(), portaltest.Actor(actor), whom[name].ID, deed.act); err != nil { // the page
					t.Fatalf("%s: %v", name, err)
				}
			}
			must(t, lose(t.Context(), w, actor))
			before := w.state(t)
			for name, deed := range deeds {
				if err := deed.do(t.Context(), w.s, portaltest.Actor(actor), whom[name]); !errors.Is(err, directory.ErrNotAllowed) && !errors.Is(err, db.ErrNotFound) {
					t.Errorf("%s, wants to %s: %v", loss, name, err)
				}
			}
			for name, c := range general {
				if err := c.do(t.Context(), w, portaltest.Actor(actor)); !errors.Is(err, directory.ErrNotAllowed) && !errors.Is(err, db.ErrNotFound) {
					t.Errorf("%s, wants to %s: %v", loss, name, err)
				}
			}
			wantSame(t, "somebody who was "+loss, before, w.state(t))
			if _, err := w.s.Holder(t.Context(), portaltest.Actor(actor)); err == nil && loss != "demoted" {
				t.Errorf("%s, and still a holder", loss)
			}
		}
	})
}

// wantRefused fails the test unless exactly these fields are refused, and nothing changed.
func (w *world) wantRefused(t *testing.T, what string, act func() error, want map[string]input.Problem) {
	t.Helper()
	before := w.state(t)
	if got := problems(t, act()); !maps.Equal(got, want) {
		t.Errorf("%s: refused for %v instead of %v", what, got, want)
	}
	wantSame(t, what, before, w.state(t))
}

func TestAnAdministratorOfAnOrganizationStaysWithinIt(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		w := newWorld(t, d)
		ctx, administrator := t.Context(), w.actors["administrator"]
		elsewhere, nowhere := w.user(t, directory.NewUser{Organization: "Umbrella"}), w.user(t, directory.NewUser{Role: "support"})
		here := w.user(t, directory.NewUser{Organization: "Acme", Username: "taken"})
		create := func(form directory.NewUser) func() error {
			form.Name = "New"
			return func() error {
				_, err := w.s.CreateUser(ctx, administrator, form)
				return err
			}
		}
		for what, organization := range map[string]string{"another one": "Umbrella", "its id": fmt.Sprint(w.umbrella), "one that there is not": "No such"} {
			w.wantRefused(t, "a user in "+what, create(directory.NewUser{Email: "new@acme.example", Organization: organization}),
				map[string]input.Problem{"organization": input.NoSuchOrganization})
			w.wantRefused(t, "a move to "+what, func() error {
				return w.s.ChangeUser(ctx, administrator, here.ID, directory.UserChange{Organization: &organization, Name: text("New")})
			}, map[string]input.Problem{"organization": input.NoSuchOrganization})
		}
		w.wantRefused(t, "a move out", func() error {
			return w.s.ChangeUser(ctx, administrator, here.ID, directory.UserChange{Organization: text(""), Name: text("New")})
		}, map[string]input.Problem{"organization": input.NoSuchOrganization})
		for _, role := range []string{"support", "owner", "auditor"} {
			w.wantRefused(t, "a user made "+role, create(directory.NewUser{Email: "new@acme.example", Role: role}), map[string]input.Problem{"role": input.RoleBeyond})
			w.wantRefused(t, "a user become "+role, func() error { return w.s.SetRole(ctx, administrator, here.ID, role) },
				map[string]input.Problem{"role": input.RoleBeyond})
		}
		// Who is somewhere else cannot be found out.
		for what, address := range map[string]string{"another organization": elsewhere.Email, "none": strings.ToUpper(nowhere.Email)} {
			w.wantRefused(t, "somebody of "+what, create(directory.NewUser{Email: address, Invite: true}), map[string]input.Problem{"email": input.EmailUnusable})
			w.wantRefused(t, "the address of somebody of "+what, func() error {
				return w.s.ChangeUser(ctx, administrator, here.ID, directory.UserChange{Email: &address})
			}, map[string]input.Problem{"email": input.EmailUnusable})
		}
		w.wantRefused(t, "somebody of their own", create(directory.NewUser{Email: here.Email, Username: "Taken"}),
			map[string]input.Problem{"email": input.EmailTaken, "username": input.UsernameTaken})

		made, err := w.s.CreateUser(ctx, administrator, directory.NewUser{Email: "new@acme.example", Name: "New", Role: "portal_administrator",
			Password: text("short"), Invite: true})
		must(t, err)
		if made.OrganizationID != w.acme || made.Role.ID != "portal_administrator" || made.PasswordHash != "" || made.Status() != "invited" {
			t.Errorf("made: %+v", made)
		}
		must(t, w.s.SetRole(ctx, administrator, here.ID, "portal_administrator"))
		must(t, w.s.SetRole(ctx, administrator, here.ID, "customer"))
	})
}
