package db

import (
	"context"
	"strings"
)

// UserFilter narrows a list of users; empty fields do not.
type UserFilter struct {
	// Over is the organization whose users are seen at all; 0 for everybody, -1 for nobody.
	Over         int64
	Search       string // part of a name, an address, a username or the organization's name
	Status       string // invited, active, inactive, shut, never (signed in)
	Organization int64
	Role         string // id
	SecondFactor string // yes, no, owed (staff without one), no_codes (recovery codes used up)
}

// UserKey is where a page of a list ends: the folded name, then the id.
type UserKey struct {
	Name string
	ID   int64
}

// userFilter is the condition, with the parameters $1 to $6. It asks the table of users
// alone, so that counting them joins nothing.
const userFilter = ` WHERE u.deleted_at = 0
	AND (CAST($1 AS BIGINT) = 0 OR u.organization_id = $1)
	AND (CAST($2 AS TEXT) = '' OR u.name_folded LIKE $2 ESCAPE '!' OR u.email_folded LIKE $2 ESCAPE '!'
		OR u.username LIKE $2 ESCAPE '!' OR u.organization_id IN (SELECT id FROM organization WHERE name_folded LIKE $2 ESCAPE '!'))
	AND (CAST($3 AS TEXT) = ''
		OR ($3 = 'inactive' AND NOT u.active)
		OR ($3 = 'invited' AND u.active AND u.password_set_at = 0)
		OR ($3 = 'active' AND u.active AND u.password_set_at > 0)
		OR ($3 = 'shut' AND u.closed_at > 0)
		OR ($3 = 'never' AND u.last_sign_in_at = 0))
	AND (CAST($4 AS BIGINT) = 0 OR u.organization_id = $4)
	AND (CAST($5 AS TEXT) = '' OR u.role = $5)
	AND (CAST($6 AS TEXT) = '' OR ($6 = 'yes' AND ` + hasFactor + `) OR ($6 = 'no' AND NOT ` + hasFactor + `)
		OR ($6 = 'owed' AND NOT ` + hasFactor + ` AND u.role IN (SELECT id FROM role WHERE permissions <> ''))
		OR ($6 = 'no_codes' AND ` + hasFactor + ` AND NOT EXISTS (SELECT 1 FROM recovery_code c WHERE c.user_id = u.id AND c.used_at = 0))) `

const hasFactor = `EXISTS (SELECT 1 FROM authenticator f WHERE f.user_id = u.id)`

func (f UserFilter) parameters() []any {
	return []any{f.Over, pattern(FoldName(f.Search)), f.Status, f.Organization, f.Role, f.SecondFactor}
}

// pattern finds a text anywhere, its wildcards taken literally; empty finds everything.
func pattern(text string) string {
	if text == "" {
		return ""
	}
	return "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text) + "%"
}

// FilteredUsers returns up to limit users after the key, in the order of their names.
func (r Reader) FilteredUsers(ctx context.Context, f UserFilter, after UserKey, limit int) ([]User, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+userColumns+userTables+userFilter+`
		AND (u.name_folded, u.id) > ($7, CAST($8 AS BIGINT)) ORDER BY u.name_folded, u.id LIMIT $9`,
		append(f.parameters(), after.Name, after.ID, limit)...)
	return collect(rows, err, scanUser)
}

// CountUsers counts the users that a filter leaves.
func (r Reader) CountUsers(ctx context.Context, f UserFilter) (n int, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT count(*) FROM user_account u`+userFilter, f.parameters()...).Scan(&n)
	return n, err
}

// NameFolded returns the folded name of a user, for the key after them.
func (u User) NameFolded() string { return FoldName(u.Name) }

// StaffOverEverybody returns those whose role holds any permission over everybody, of one
// organization or of all (0), in the order of their names.
func (r Reader) StaffOverEverybody(ctx context.Context, organizationID int64) ([]User, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+userColumns+userTables+`
		WHERE u.deleted_at = 0 AND u.active AND r.permissions <> '' AND r.scope = 'everybody'
			AND (CAST($1 AS BIGINT) = 0 OR u.organization_id = $1)
		ORDER BY u.name_folded, u.id LIMIT 500`, organizationID)
	return collect(rows, err, scanUser)
}
