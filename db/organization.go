package db

import "context"

// Organization is the customer's company.
type Organization struct {
	ID             int64
	Name           string
	ContactOwnerID int64 // the staff user who looks after it; 0 for none
	Active         bool
	CreatedAt      Time
}

const organizationQuery = `SELECT id, name, COALESCE(contact_owner_id, 0), active, created_at FROM organization `

// thereAlready leaves out what an import has not finished.
const thereAlready = ` AND importing <> 1 `

func scanOrganization(row rowScanner) (o Organization, err error) {
	return o, notFound(row.Scan(&o.ID, &o.Name, &o.ContactOwnerID, &o.Active, &o.CreatedAt))
}

// Organization returns an organization by id, or ErrNotFound.
func (r Reader) Organization(ctx context.Context, id int64) (Organization, error) {
	return scanOrganization(r.q.QueryRowContext(ctx, organizationQuery+`WHERE id = $1`+thereAlready, id))
}

// OrganizationByName returns the organization with that folded name, or ErrNotFound.
func (r Reader) OrganizationByName(ctx context.Context, folded string) (Organization, error) {
	return scanOrganization(r.q.QueryRowContext(ctx, organizationQuery+`WHERE name_folded = $1`+thereAlready, folded))
}

// Organizations returns up to limit organizations after the given id, in the order of their ids.
func (r Reader) Organizations(ctx context.Context, after int64, limit int) ([]Organization, error) {
	rows, err := r.q.QueryContext(ctx, organizationQuery+`WHERE id > $1`+thereAlready+`ORDER BY id LIMIT $2`, after, limit)
	return collect(rows, err, scanOrganization)
}

// AddOrganization makes an active organization and returns its id; a name in use is ErrTaken.
func (tx *Tx) AddOrganization(ctx context.Context, name, folded string) (id int64, err error) {
	err = tx.q.QueryRowContext(ctx, `INSERT INTO organization (name, name_folded, active, created_at)
		VALUES ($1, $2, TRUE, $3) RETURNING id`, name, folded, tx.Now).Scan(&id)
	return id, taken(err)
}

// SetOrganizationActive activates or deactivates. Where it is so already, it is ErrNotFound.
func (tx *Tx) SetOrganizationActive(ctx context.Context, id int64, active bool) error {
	return tx.one(ctx, `UPDATE organization SET active = $1 WHERE id = $2 AND active <> $1`, active, id)
}

// SetContactOwner names the staff user who looks after the organization; 0 for none.
func (tx *Tx) SetContactOwner(ctx context.Context, id, userID int64) error {
	return tx.one(ctx, `UPDATE organization SET contact_owner_id = NULLIF(CAST($1 AS BIGINT), 0) WHERE id = $2`, userID, id)
}

// RenameOrganization changes the name; one in use is ErrTaken.
func (tx *Tx) RenameOrganization(ctx context.Context, id int64, name, folded string) error {
	return taken(tx.one(ctx, `UPDATE organization SET name = $1, name_folded = $2 WHERE id = $3`, name, folded, id))
}

// ListedOrganization is an organization as it stands in the list.
type ListedOrganization struct {
	Organization
	Users          int
	Administrators int // active portal administrators
}

// ListOrganizations returns up to limit organizations whose name holds the text, however folded,
// after the given folded name, in the order of their names.
func (r Reader) ListOrganizations(ctx context.Context, search, after string, limit int) ([]ListedOrganization, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT o.id, o.name, COALESCE(o.contact_owner_id, 0), o.active, o.created_at,
			(SELECT count(*) FROM user_account u WHERE u.organization_id = o.id AND u.deleted_at = 0),
			(SELECT count(*) FROM user_account u JOIN role r ON r.id = u.role WHERE u.organization_id = o.id AND u.deleted_at = 0 AND u.active
				AND r.scope = 'organization' AND ' ' || r.permissions || ' ' LIKE '% users.edit %')
		FROM organization o
		WHERE o.importing <> 1 AND o.name_folded > $1 AND (CAST($2 AS TEXT) = '' OR o.name_folded LIKE $2 ESCAPE '!')
		ORDER BY o.name_folded LIMIT $3`, after, pattern(FoldName(search)), limit)
	return collect(rows, err, func(row rowScanner) (o ListedOrganization, err error) {
		return o, row.Scan(&o.ID, &o.Name, &o.ContactOwnerID, &o.Active, &o.CreatedAt, &o.Users, &o.Administrators)
	})
}

// NamedOrganization is an organization to choose from.
type NamedOrganization struct {
	ID   int64
	Name string
}

// OrganizationNames returns the first organizations in the order of their names.
func (r Reader) OrganizationNames(ctx context.Context, limit int) ([]NamedOrganization, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT id, name FROM organization WHERE importing <> 1 ORDER BY name_folded LIMIT $1`, limit)
	return collect(rows, err, func(row rowScanner) (o NamedOrganization, err error) { return o, row.Scan(&o.ID, &o.Name) })
}
