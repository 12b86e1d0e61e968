package db

import (
	"context"
	"database/sql"
	"errors"
	"strings"
)

// Role is a named set of permissions over a scope.
type Role struct {
	ID          string
	Name        string
	Scope       string // everybody, organization
	Permissions []string
}

// User is a person who can sign in, with the role and the organization they have now.
type User struct {
	ID                   int64
	Email                string // as typed
	Username             string // folded; empty for none
	Name                 string
	Phone                string
	TimeZone             string // IANA name
	NotifySignIn         bool
	OrganizationID       int64 // 0 for none
	Organization         string
	ContactOwnerID       int64 // of the organization; 0 for none
	OrganizationActive   bool  // true where there is none
	Role                 Role
	Active               bool
	PasswordHash         string // PHC string; empty for none
	PasswordSetAt        Time
	InvitationAcceptedAt Time
	LastSignInAt         Time
	PendingEmail         string // waits for its confirmation
	Epoch                int64
	EpochAt              Time
	WrongPasswords       int64
	ClosedAt             Time // "this was not me"
	CreatedAt            Time
	SecondFactor         bool // an authenticator is enrolled
}

// Status is what a list shows: invited, active or inactive.
func (u User) Status() string {
	switch {
	case !u.Active:
		return "inactive"
	case u.PasswordSetAt == 0:
		return "invited"
	}
	return "active"
}

// Enabled says whether neither the user nor the organization has been deactivated.
func (u User) Enabled() bool { return u.Active && u.OrganizationActive }

// Staff says whether the role holds any permission.
func (u User) Staff() bool { return len(u.Role.Permissions) > 0 }

const userColumns = `u.id, u.email, COALESCE(u.username, ''), u.name, u.phone, u.time_zone, u.notify_sign_in,
	COALESCE(u.organization_id, 0), COALESCE(o.name, ''), COALESCE(o.contact_owner_id, 0), COALESCE(o.active, TRUE),
	r.id, r.name, r.scope, r.permissions, u.active, u.password_hash, u.password_set_at, u.invitation_accepted_at,
	u.last_sign_in_at, u.pending_email, u.epoch, u.epoch_at, u.wrong_passwords, u.closed_at, u.created_at,
	a.user_id IS NOT NULL`

const userTables = ` FROM user_account u JOIN role r ON r.id = u.role LEFT JOIN organization o ON o.id = u.organization_id
	LEFT JOIN authenticator a ON a.user_id = u.id `

// canSignIn is the condition that a user, in an organization o or in none, can sign in with
// what they have.
const canSignIn = `u.active AND COALESCE(o.active, TRUE) AND u.deleted_at = 0 AND u.password_set_at > 0 AND u.closed_at = 0`

func (u *User) fields() []any {
	return []any{&u.ID, &u.Email, &u.Username, &u.Name, &u.Phone, &u.TimeZone, &u.NotifySignIn,
		&u.OrganizationID, &u.Organization, &u.ContactOwnerID, &u.OrganizationActive,
		&u.Role.ID, &u.Role.Name, &u.Role.Scope, (*words)(&u.Role.Permissions), &u.Active, &u.PasswordHash, &u.PasswordSetAt,
		&u.InvitationAcceptedAt, &u.LastSignInAt, &u.PendingEmail, &u.Epoch, &u.EpochAt, &u.WrongPasswords, &u.ClosedAt, &u.CreatedAt,
		&u.SecondFactor}
}

// words scans a column of words separated by blanks.
type words []string

// Scan implements sql.Scanner.
func (w *words) Scan(value any) error {
	text, _ := value.(string)
	*w = strings.Fields(text)
	return nil
}

func scanUser(row rowScanner) (u User, err error) { return u, notFound(row.Scan(u.fields()...)) }

// User returns a user by id, or ErrNotFound.
func (r Reader) User(ctx context.Context, id int64) (User, error) {
	return scanUser(r.q.QueryRowContext(ctx, `SELECT `+userColumns+userTables+`WHERE u.id = $1 AND u.deleted_at = 0`, id))
}

// UserByEmail returns the user with that address, however it is spelled, or ErrNotFound.
func (r Reader) UserByEmail(ctx context.Context, address string) (User, error) {
	return scanUser(r.q.QueryRowContext(ctx,
		`SELECT `+userColumns+userTables+`WHERE u.email_folded = $1 AND u.deleted_at = 0`, FoldEmail(address)))
}

// EmailHeld says whether anybody but that user has the address, be it somebody whom an
// import is still making.
func (r Reader) EmailHeld(ctx context.Context, address string, but int64) (held bool, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT count(*) > 0 FROM user_account WHERE email_folded = $1 AND id <> $2`, FoldEmail(address), but).Scan(&held)
	return held, err
}

// UserByLogin returns the user with that e-mail address or, without an "@", that folded
// username, or ErrNotFound.
func (r Reader) UserByLogin(ctx context.Context, login string) (User, error) {
	if strings.Contains(login, "@") {
		return r.UserByEmail(ctx, login)
	}
	return scanUser(r.q.QueryRowContext(ctx,
		`SELECT `+userColumns+userTables+`WHERE u.username = $1 AND u.deleted_at = 0`, login))
}

// Users returns up to limit users after the given id, in the order of their ids.
func (r Reader) Users(ctx context.Context, after int64, limit int) ([]User, error) {
	rows, err := r.q.QueryContext(ctx,
		`SELECT `+userColumns+userTables+`WHERE u.id > $1 AND u.deleted_at = 0 ORDER BY u.id LIMIT $2`, after, limit)
	return collect(rows, err, scanUser)
}

// Administrators returns up to ten active users who may edit users: those with scope over
// the organization only, or, for organization 0, those over everybody.
func (r Reader) Administrators(ctx context.Context, organizationID int64) ([]User, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+userColumns+userTables+`
		WHERE `+canSignIn+`
			AND ' ' || r.permissions || ' ' LIKE '% users.edit %'
			AND ((r.scope = 'organization' AND u.organization_id = $1) OR (r.scope = 'everybody' AND CAST($1 AS BIGINT) = 0))
		ORDER BY u.id LIMIT 10`, organizationID)
	return collect(rows, err, scanUser)
}

// ActiveOwners counts the users with the built-in role owner who can sign in.
func (r Reader) ActiveOwners(ctx context.Context) (n int, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT count(*)`+userTables+`WHERE u.role = 'owner' AND `+canSignIn).Scan(&n)
	return n, err
}

// LockOwners makes every other transaction that calls it wait for the end of this one, so
// that two at once cannot each take away the other one's last owner.
func (tx *Tx) LockOwners(ctx context.Context) error {
	_, err := tx.exec(ctx, `UPDATE instance SET value = value WHERE name = $1`, FactSetupClosed)
	return err
}

// AddUser makes a user and returns the id. Of the fields it takes those that a new user
// can have; a name or address that is in use is ErrTaken.
func (tx *Tx) AddUser(ctx context.Context, u User) (id int64, err error) {
	err = tx.q.QueryRowContext(ctx, `INSERT INTO user_account (email, email_folded, username, name, name_folded, phone, time_zone,
			notify_sign_in, organization_id, role, active, password_hash, password_set_at, invitation_accepted_at,
			last_sign_in_at, pending_email, epoch, epoch_at, wrong_passwords, closed_at, deleted_at, created_at)
		VALUES ($1, $2, NULLIF(CAST($3 AS TEXT), ''), $4, $12, $5, $6, TRUE, NULLIF(CAST($7 AS BIGINT), 0), $8, TRUE, $9, $10, 0,
			0, '', 1, $11, 0, 0, 0, $11)
		RETURNING id`,
		u.Email, FoldEmail(u.Email), u.Username, u.Name, u.Phone, u.TimeZone, u.OrganizationID, u.Role.ID,
		u.PasswordHash, u.PasswordSetAt, tx.Now, FoldName(u.Name)).Scan(&id)
	return id, taken(err)
}

// SetPassword stores a new hash; the caller ends access with it. It also opens the
// password sign-in that too many wrong passwords had stopped.
func (tx *Tx) SetPassword(ctx context.Context, userID int64, hash string) error {
	return tx.one(ctx, `UPDATE user_account SET password_hash = $1, password_set_at = $2, wrong_passwords = 0
		WHERE id = $3 AND deleted_at = 0`, hash, tx.Now, userID)
}

// Rehash replaces a hash by a better one of the same password, if it is still the same.
func (tx *Tx) Rehash(ctx context.Context, userID int64, old, hash string) error {
	_, err := tx.exec(ctx, `UPDATE user_account SET password_hash = $1 WHERE id = $2 AND password_hash = $3`, hash, userID, old)
	return err
}

// SetEmail changes the address; one in use is ErrTaken.
func (tx *Tx) SetEmail(ctx context.Context, userID int64, address string) error {
	return taken(tx.one(ctx, `UPDATE user_account SET email = $1, email_folded = $2, pending_email = ''
		WHERE id = $3 AND deleted_at = 0`, address, FoldEmail(address), userID))
}

// SetPendingEmail keeps an address until it is confirmed; empty forgets it.
func (tx *Tx) SetPendingEmail(ctx context.Context, userID int64, address string) error {
	return tx.one(ctx, `UPDATE user_account SET pending_email = $1 WHERE id = $2 AND deleted_at = 0`, address, userID)
}

// SetUsername changes the username, empty for none; one in use is ErrTaken.
func (tx *Tx) SetUsername(ctx context.Context, userID int64, username string) error {
	return taken(tx.one(ctx, `UPDATE user_account SET username = NULLIF(CAST($1 AS TEXT), '')
		WHERE id = $2 AND deleted_at = 0`, username, userID))
}

// Profile is what a user tells about themselves.
type Profile struct {
	Name         string
	Phone        string
	TimeZone     string
	NotifySignIn bool
}

// SetProfile stores a profile.
func (tx *Tx) SetProfile(ctx context.Context, userID int64, p Profile) error {
	return tx.one(ctx, `UPDATE user_account SET name = $1, name_folded = $6, phone = $2, time_zone = $3, notify_sign_in = $4
		WHERE id = $5 AND deleted_at = 0`, p.Name, p.Phone, p.TimeZone, p.NotifySignIn, userID, FoldName(p.Name))
}

// SetRole gives another role.
func (tx *Tx) SetRole(ctx context.Context, userID int64, role string) error {
	return tx.one(ctx, `UPDATE user_account SET role = $1 WHERE id = $2 AND deleted_at = 0`, role, userID)
}

// SetOrganization puts a user into an organization; 0 takes them out.
func (tx *Tx) SetOrganization(ctx context.Context, userID, organizationID int64) error {
	return tx.one(ctx, `UPDATE user_account SET organization_id = NULLIF(CAST($1 AS BIGINT), 0)
		WHERE id = $2 AND deleted_at = 0`, organizationID, userID)
}

// SetActive activates or deactivates. Where it is so already, it is ErrNotFound.
func (tx *Tx) SetActive(ctx context.Context, userID int64, active bool) error {
	return tx.one(ctx, `UPDATE user_account SET active = $1 WHERE id = $2 AND active <> $1 AND deleted_at = 0`, active, userID)
}

// CloseUser shuts the password sign-in and recovery, and voids the password, which may be
// a thief's.
func (tx *Tx) CloseUser(ctx context.Context, userID int64) error {
	return tx.one(ctx, `UPDATE user_account SET closed_at = $1, password_hash = '' WHERE id = $2 AND deleted_at = 0`, tx.Now, userID)
}

// UnlockUser lifts what CloseUser and wrong passwords have shut.
func (tx *Tx) UnlockUser(ctx context.Context, userID int64) error {
	return tx.one(ctx, `UPDATE user_account SET closed_at = 0, wrong_passwords = 0 WHERE id = $1 AND deleted_at = 0`, userID)
}

// RecordSignIn notes a full sign-in.
func (tx *Tx) RecordSignIn(ctx context.Context, userID int64) error {
	return tx.one(ctx, `UPDATE user_account SET last_sign_in_at = $1 WHERE id = $2`, tx.Now, userID)
}

// RecordAcceptance notes that the user accepted an invitation.
func (tx *Tx) RecordAcceptance(ctx context.Context, userID int64) error {
	return tx.one(ctx, `UPDATE user_account SET invitation_accepted_at = $1 WHERE id = $2`, tx.Now, userID)
}

// CountWrongPassword adds to the wrong passwords in a row, and returns how many there are.
// User 0 stands for an unknown one, which costs the same and has none.
func (tx *Tx) CountWrongPassword(ctx context.Context, userID int64) (count int64, err error) {
	err = tx.q.QueryRowContext(ctx, `UPDATE user_account SET wrong_passwords = wrong_passwords + 1 WHERE id = $1
		RETURNING wrong_passwords`, userID).Scan(&count)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return count, err
}

// ForgetWrongPasswords starts counting anew.
func (tx *Tx) ForgetWrongPasswords(ctx context.Context, userID int64) error {
	_, err := tx.exec(ctx, `UPDATE user_account SET wrong_passwords = 0 WHERE id = $1`, userID)
	return err
}

// LockUser makes every other change of the user's access wait for the end of this
// transaction, so that two that touch the same things cannot each wait for the other. A
// user of another epoch by now is ErrNotFound.
func (tx *Tx) LockUser(ctx context.Context, userID, epoch int64) error {
	return tx.one(ctx, `UPDATE user_account SET epoch = epoch WHERE id = $1 AND epoch = $2 AND deleted_at = 0`, userID, epoch)
}

// EndAccess is the one place that says what dies when a credential, an address or a status
// changes: every session but the one to keep (0 for none), every link but those that say
// "this was not me", a waiting address, an authenticator that is not confirmed yet, and,
// with the epoch, all trust in browsers. The caller says which epoch its decision stands
// on; if another change came first, it is ErrNotFound and nothing may happen. It returns
// the new epoch.
func (tx *Tx) EndAccess(ctx context.Context, userID, epoch, keepSession int64) (int64, error) {
	err := tx.one(ctx, `UPDATE user_account SET epoch = epoch + 1, epoch_at = $1, pending_email = ''
		WHERE id = $2 AND epoch = $3 AND deleted_at = 0`, tx.Now, userID, epoch)
	if err != nil {
		return 0, err
	}
	if _, err := tx.exec(ctx, `UPDATE session SET ended_at = $1 WHERE user_id = $2 AND ended_at = 0 AND id <> $3`,
		tx.Now, userID, keepSession); err != nil {
		return 0, err
	}
	if _, err := tx.exec(ctx, `UPDATE session SET epoch = $1 WHERE id = $2 AND user_id = $3 AND ended_at = 0`,
		epoch+1, keepSession, userID); err != nil {
		return 0, err
	}
	if err := tx.DropEnrolment(ctx, userID); err != nil {
		return 0, err
	}
	_, err = tx.exec(ctx, `UPDATE link SET revoked_at = $1
		WHERE user_id = $2 AND used_at = 0 AND revoked_at = 0 AND purpose <> 'not_me'`, tx.Now, userID)
	return epoch + 1, err
}

// EndOrganizationAccess is EndAccess for everybody in an organization.
func (tx *Tx) EndOrganizationAccess(ctx context.Context, organizationID int64) error {
	// The users first, as in EndAccess: two that take rows in different orders would wait
	// for each other.
	for _, end := range []string{
		`UPDATE user_account SET epoch = epoch + 1, epoch_at = $1, pending_email = '' WHERE organization_id = $2`,
		`UPDATE session SET ended_at = $1 WHERE ended_at = 0 AND user_id IN (SELECT id FROM user_account WHERE organization_id = $2)`,
		`UPDATE link SET revoked_at = $1 WHERE used_at = 0 AND revoked_at = 0 AND purpose <> 'not_me'
			AND user_id IN (SELECT id FROM user_account WHERE organization_id = $2)`,
	} {
		if _, err := tx.exec(ctx, end, tx.Now, organizationID); err != nil {
			return err
		}
	}
	_, err := tx.exec(ctx, `DELETE FROM enrolment WHERE user_id IN (SELECT id FROM user_account WHERE organization_id = $1)`, organizationID)
	return err
}

// EmptyUser removes all that is the person's own and frees the address and the username;
// the id stays, for the audit trail.
func (tx *Tx) EmptyUser(ctx context.Context, userID int64) error {
	// First, because a mail that is being made holds its message and then wants the user.
	if _, err := tx.exec(ctx, `DELETE FROM outbox WHERE user_id = $1`, userID); err != nil {
		return err
	}
	err := tx.one(ctx, `UPDATE user_account SET email = '', email_folded = 'deleted ' || id, username = NULL, name = '', name_folded = '', phone = '',
			time_zone = 'UTC', organization_id = NULL, role = 'customer', active = FALSE, password_hash = '', pending_email = '',
			deleted_at = $1
		WHERE id = $2 AND deleted_at = 0`, tx.Now, userID)
	if err != nil {
		return err
	}
	for _, clean := range []string{
		`DELETE FROM link WHERE user_id = $1`,
		`DELETE FROM session WHERE user_id = $1`,
		`DELETE FROM browser WHERE user_id = $1`,
		`DELETE FROM authenticator WHERE user_id = $1`,
		`DELETE FROM enrolment WHERE user_id = $1`,
		`DELETE FROM recovery_code WHERE user_id = $1`,
		`UPDATE organization SET contact_owner_id = NULL WHERE contact_owner_id = $1`,
	} {
		if _, err := tx.exec(ctx, clean, userID); err != nil {
			return err
		}
	}
	return nil
}

// Helpers are the people a user can turn to, besides the portal's support contact. All of
// them can sign in.
type Helpers struct {
	Administrators []User // of the user's organization, without the user
	ContactOwner   User   // the zero User when there is none
}

// Helpers returns whom a user can turn to.
func (r Reader) Helpers(ctx context.Context, u User) (h Helpers, err error) {
	if u.OrganizationID == 0 {
		return h, nil
	}
	administrators, err := r.Administrators(ctx, u.OrganizationID)
	if err != nil {
		return h, err
	}
	for _, a := range administrators {
		if a.ID != u.ID {
			h.Administrators = append(h.Administrators, a)
		}
	}
	if u.ContactOwnerID == 0 || u.ContactOwnerID == u.ID {
		return h, nil
	}
	owner, err := r.User(ctx, u.ContactOwnerID)
	if err == nil && owner.Enabled() && owner.ClosedAt == 0 {
		h.ContactOwner = owner
	}
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return h, err
}
