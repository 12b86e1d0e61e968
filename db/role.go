package db

import "context"

// Role returns a role by id, or ErrNotFound.
func (r Reader) Role(ctx context.Context, id string) (role Role, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT id, name, scope, permissions FROM role WHERE id = $1`, id).
		Scan(&role.ID, &role.Name, &role.Scope, (*words)(&role.Permissions))
	return role, notFound(err)
}
