package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"

	"postern/db"
	"postern/internal/access"
	"postern/internal/audit"
	"postern/internal/input"
)

// NewRole is the form of a role.
type NewRole struct {
	Name        string
	Scope       string
	Permissions []string
}

// read checks the form: only permissions that exist over that scope, in their usual order.
func (f NewRole) read() (role db.Role, err error) {
	var checks input.Checks
	var problem input.Problem
	role.Name, problem = input.Name(f.Name)
	checks.Add("name", problem)
	role.Scope = f.Scope
	if role.Scope != access.OverEverybody && role.Scope != access.OverOrganization {
		checks.Add("scope", input.Missing)
	}
	for _, p := range f.Permissions {
		if !access.Grantable(access.Permission(p), role.Scope) {
			checks.Add("permissions", input.NotPermission)
			break
		}
	}
	for _, p := range access.Permissions {
		if slices.Contains(f.Permissions, string(p)) {
			role.Permissions = append(role.Permissions, string(p))
		}
	}
	// Everything else is done on the page of a user, so who does it must see users.
	acting := slices.ContainsFunc(role.Permissions, func(p string) bool {
		return strings.HasPrefix(p, "users.") && p != string(access.UsersView)
	})
	if acting && !slices.Contains(role.Permissions, string(access.UsersView)) {
		checks.Add("permissions", input.NeedsView)
	}
	return role, checks.Err()
}

// CreateRole makes a role. Nobody puts into it what they lack. What does not pass is an
// *input.Error.
func (s *Service) CreateRole(ctx context.Context, actor db.Actor, form NewRole) (id string, err error) {
	role, err := form.read()
	if err != nil {
		return "", err
	}
	role.ID = "role_" + strings.ToLower(rand.Text()[:12])
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		h, err := require(ctx, tx.Reader, actor, access.RolesEdit)
		if err != nil {
			return err
		}
		if !access.MayGive(h, role) {
			return input.Refuse("permissions", input.RoleBeyond)
		}
		if err := tx.AddRole(ctx, role); err != nil {
			return err
		}
		return recordRole(ctx, tx, actor, audit.RoleCreated, role)
	})
	return role.ID, err
}

// ChangeRole changes a role of the portal's own. Nobody changes the one they have, nor one
// that holds, or would hold, what they lack. Built-in roles are ErrNotAllowed.
func (s *Service) ChangeRole(ctx context.Context, actor db.Actor, id string, form NewRole) error {
	role, err := form.read()
	if err != nil {
		return err
	}
	role.ID = id
	return s.act(ctx, func(tx *db.Tx) error {
		h, err := require(ctx, tx.Reader, actor, access.RolesEdit)
		if err != nil {
			return err
		}
		before, err := tx.StoredRole(ctx, id)
		if err != nil {
			return err
		}
		own, err := tx.User(ctx, h.UserID)
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return err
		}
		if before.BuiltIn || own.Role.ID == id || !access.MayGive(h, before.Role) {
			return ErrNotAllowed
		}
		if !access.MayGive(h, role) {
			return input.Refuse("permissions", input.RoleBeyond)
		}
		if err := tx.ChangeRole(ctx, role); err != nil {
			return err
		}
		return recordRole(ctx, tx, actor, audit.RoleChanged, role)
	})
}

func recordRole(ctx context.Context, tx *db.Tx, actor db.Actor, action audit.Action, role db.Role) error {
	return audit.Record(ctx, tx, audit.Event{Action: action, Actor: actor, Detail: map[string]string{
		"role": role.ID, "name": role.Name, "scope": role.Scope, "permissions": strings.Join(role.Permissions, " ")}})
}
