package db

import (
	"context"
	"strings"
)

// StoredRole is a role as it stands in the list.
type StoredRole struct {
	Role
	BuiltIn bool
	Holders int // users who have it
}

const roleQuery = `SELECT r.id, r.name, r.scope, r.permissions, r.built_in,
	(SELECT count(*) FROM user_account u WHERE u.role = r.id AND u.deleted_at = 0) FROM role r `

func scanRole(row rowScanner) (role StoredRole, err error) {
	return role, notFound(row.Scan(&role.ID, &role.Name, &role.Scope, (*words)(&role.Permissions), &role.BuiltIn, &role.Holders))
}

// Role returns a role by id, or ErrNotFound.
func (r Reader) Role(ctx context.Context, id string) (Role, error) {
	role, err := r.StoredRole(ctx, id)
	return role.Role, err
}

// StoredRole returns a role by id, with how many hold it, or ErrNotFound.
func (r Reader) StoredRole(ctx context.Context, id string) (StoredRole, error) {
	return scanRole(r.q.QueryRowContext(ctx, roleQuery+`WHERE r.id = $1`, id))
}

// Roles returns all roles, the built-in ones first.
func (r Reader) Roles(ctx context.Context) ([]StoredRole, error) {
	rows, err := r.q.QueryContext(ctx, roleQuery+`ORDER BY r.built_in DESC, r.name, r.id LIMIT 200`)
	return collect(rows, err, scanRole)
}

// AddRole makes a role of the portal's own.
func (tx *Tx) AddRole(ctx context.Context, role Role) error {
	_, err := tx.exec(ctx, `INSERT INTO role (id, name, scope, permissions, built_in) VALUES ($1, $2, $3, $4, FALSE)`,
		role.ID, role.Name, role.Scope, strings.Join(role.Permissions, " "))
	return taken(err)
}

// ChangeRole changes a role of the portal's own; a built-in one is ErrNotFound.
func (tx *Tx) ChangeRole(ctx context.Context, role Role) error {
	return tx.one(ctx, `UPDATE role SET name = $1, scope = $2, permissions = $3 WHERE id = $4 AND NOT built_in`,
		role.Name, role.Scope, strings.Join(role.Permissions, " "), role.ID)
}
