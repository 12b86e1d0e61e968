package directory_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/access"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/portaltest"
)

func TestARoleHoldsOnlyWhatMakesSense(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		w := newWorld(t, d)
		owner := w.actors["owner"]
		for what, c := range map[string]struct {
			form directory.NewRole
			want map[string]input.Problem
		}{
			"nothing":            {directory.NewRole{}, map[string]input.Problem{"name": input.Missing, "scope": input.Missing}},
			"another scope":      {directory.NewRole{Name: "A", Scope: "world"}, map[string]input.Problem{"scope": input.Missing}},
			"no such permission": {directory.NewRole{Name: "A", Scope: "everybody", Permissions: []string{"users.view", "users.*"}}, map[string]input.Problem{"permissions": input.NotPermission}},
			"two in one":         {directory.NewRole{Name: "A", Scope: "everybody", Permissions: []string{"users.view users.edit"}}, map[string]input.Problem{"permissions": input.NotPermission}},
			"organizations of one organization": {directory.NewRole{Name: "A", Scope: "organization", Permissions: []string{"organizations.edit"}},
				map[string]input.Problem{"permissions": input.NotPermission}},
			"roles of one organization": {directory.NewRole{Name: "A", Scope: "organization", Permissions: []string{"roles.edit"}}, map[string]input.Problem{"permissions": input.NotPermission}},
			"settings of one organization": {directory.NewRole{Name: "A", Scope: "organization", Permissions: []string{"settings.edit"}},
				map[string]input.Problem{"permissions": input.NotPermission}},
			"mail of one organization": {directory.NewRole{Name: "A", Scope: "organization", Permissions: []string{"mail.view"}}, map[string]input.Problem{"permissions": input.NotPermission}},
			"acting blindly":           {directory.NewRole{Name: "A", Scope: "organization", Permissions: []string{"users.edit"}}, map[string]input.Problem{"permissions": input.NeedsView}},
		} {
			w.wantRefused(t, what, func() error {
				_, err := w.s.CreateRole(t.Context(), owner, c.form)
				return err
			}, c.want)
		}
		id, err := w.s.CreateRole(t.Context(), owner, directory.NewRole{Name: " Help  desk ", Scope: "organization",
			Permissions: []string{"audit.view", "users.reset_password", "users.view", "audit.view"}})
		must(t, err)
		role, err := d.Reader().StoredRole(t.Context(), id)
		must(t, err)
		if role.Name != "Help desk" || role.BuiltIn || role.Scope != "organization" || !slices.Equal(role.Permissions, []string{"users.view", "users.reset_password", "audit.view"}) {
			t.Errorf("made: %+v", role)
		}
	})
}

func TestNobodyMakesARoleThatOutranksThem(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		w := newWorld(t, d)
		ctx := t.Context()
		own, err := w.s.CreateRole(ctx, operator, directory.NewRole{Name: "Roles", Scope: "everybody", Permissions: []string{"users.view", "users.edit", "roles.edit"}})
		must(t, err)
		u := w.user(t, directory.NewUser{Role: own})
		actor := portaltest.Actor(u)
		beyond := directory.NewRole{Name: "Beyond", Scope: "organization", Permissions: []string{"users.view", "audit.view"}}
		within := directory.NewRole{Name: "Within", Scope: "organization", Permissions: []string{"users.view", "users.edit"}}
		w.wantRefused(t, "a role beyond", func() error {
			_, err := w.s.CreateRole(ctx, actor, beyond)
			return err
		}, map[string]input.Problem{"permissions": input.RoleBeyond})
		made, err := w.s.CreateRole(ctx, actor, within)
		must(t, err)
		w.wantRefused(t, "a role widened", func() error { return w.s.ChangeRole(ctx, actor, made, beyond) }, map[string]input.Problem{"permissions": input.RoleBeyond})

		before := w.state(t)
		for what, id := range map[string]string{"their own role": own, "a built-in role": "customer", "the owner's role": "owner"} {
			if err := w.s.ChangeRole(ctx, actor, id, within); !errors.Is(err, directory.ErrNotAllowed) {
				t.Errorf("%s: %v", what, err)
			}
		}
		for _, id := range []string{"owner", "support", "auditor", "portal_administrator", "customer"} {
			for who, by := range map[string]db.Actor{"an owner": w.actors["owner"], "the operator": operator} {
				if err := w.s.ChangeRole(ctx, by, id, directory.NewRole{Name: "Mine", Scope: "everybody"}); !errors.Is(err, directory.ErrNotAllowed) {
					t.Errorf("%s changes %s: %v", who, id, err)
				}
			}
		}
		if err := w.s.ChangeRole(ctx, w.actors["owner"], "no such", within); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("no such role: %v", err)
		}
		wantSame(t, "what was refused", before, w.state(t))

		// One that holds more than they do cannot even be made smaller.
		must(t, w.s.ChangeRole(ctx, w.actors["owner"], made, beyond))
		if err := w.s.ChangeRole(ctx, actor, made, within); !errors.Is(err, directory.ErrNotAllowed) {
			t.Errorf("a role that outranks them: %v", err)
		}
		// Nor does somebody get it from them.
		somebody := w.user(t, directory.NewUser{Organization: "Acme"})
		w.wantRefused(t, "a role beyond, given", func() error { return w.s.SetRole(ctx, actor, somebody.ID, made) },
			map[string]input.Problem{"role": input.RoleBeyond})
	})
}

func TestAChangeOfARoleCountsAtOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		w := newWorld(t, d)
		ctx, owner := t.Context(), w.actors["owner"]
		id, err := w.s.CreateRole(ctx, owner, directory.NewRole{Name: "Desk", Scope: "everybody", Permissions: []string{"users.view", "users.edit"}})
		must(t, err)
		holder := w.user(t, directory.NewUser{Role: id, Organization: "Acme"})
		here, there := w.user(t, directory.NewUser{Organization: "Acme"}), w.user(t, directory.NewUser{Organization: "Umbrella"})
		rename := func(u db.User, want error) {
			t.Helper()
			if err := w.s.ChangeUser(ctx, portaltest.Actor(holder), u.ID, directory.UserChange{Name: text("Renamed")}); !errors.Is(err, want) {
				t.Errorf("%v instead of %v", err, want)
			}
		}
		rename(here, nil)
		rename(there, nil)
		must(t, w.s.ChangeRole(ctx, owner, id, directory.NewRole{Name: "Desk", Scope: "organization", Permissions: []string{"users.view", "users.edit"}}))
		rename(here, nil)
		rename(there, db.ErrNotFound)
		must(t, w.s.ChangeRole(ctx, owner, id, directory.NewRole{Name: "Desk", Scope: "organization", Permissions: []string{"users.view"}}))
		rename(here, directory.ErrNotAllowed)
		must(t, w.s.ChangeRole(ctx, owner, id, directory.NewRole{Name: "Desk", Scope: "organization"}))
		rename(here, db.ErrNotFound)
		if u := w.reload(t, holder.ID); u.Staff() || access.Holds(u, access.UsersView) {
			t.Errorf("still staff: %+v", u.Role)
		}
		recorded := 0
		for _, e := range events(t, &portaltest.Portal{DB: d}, "role.changed") {
			if strings.Contains(e.Detail, id) && e.ActorKind == "user" {
				recorded++
			}
		}
		if recorded != 3 {
			t.Errorf("recorded %d times", recorded)
		}
	})
}
