package db

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// beingImported is the deleted_at of users that an import has not finished: for every
// question they are as little there as deleted ones, but their addresses and usernames are
// taken already.
const beingImported = -1

// ErrImporting is returned while another import is under way.
var ErrImporting = errors.New("another import is under way")

// importLock is the number of PostgreSQL's lock.
const importLock = 7057831601

// LockImport keeps every other import away, in this process, in others and on other nodes,
// until unlock is called or the process ends, however it ends. While somebody else has it,
// it is ErrImporting.
func (d *DB) LockImport(ctx context.Context) (unlock func(), err error) {
	if d.engine == SQLite {
		return lockFile(d.path + ".import")
	}
	connection, err := d.writer.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock the import: %w", err)
	}
	var got bool
	err = connection.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, importLock).Scan(&got)
	if err == nil && !got {
		err = ErrImporting
	}
	if err != nil {
		return nil, errors.Join(err, connection.Close())
	}
	return func() {
		// A connection that cannot give it back is closed, which does.
		_, err := connection.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, importLock)
		if err != nil {
			_ = connection.Raw(func(any) error { return driver.ErrBadConn })
		}
		_ = connection.Close()
	}, nil
}

func lockFile(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the import: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrImporting
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// Import is a list of users on its way in. There is one at a time, under the lock.
type Import struct {
	ID     int64
	Actor  Actor
	Invite bool
	MadeAt Time // when its users became real; 0 before
}

// ImportRow is a row that was read and is right by itself.
type ImportRow struct {
	Line         int // of the file
	Email        string
	Username     string // folded; empty for none
	Name         string
	Organization string // folded; empty for none
	Role         string // id
	PasswordHash string // empty for none
}

// Import returns the import that is under way or was cut off, or ErrNotFound.
func (r Reader) Import(ctx context.Context) (i Import, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT id, actor_kind, actor_id, address, user_agent, request_id, invite, made_at FROM import LIMIT 1`).
		Scan(&i.ID, &i.Actor.Kind, &i.Actor.UserID, &i.Actor.Address, &i.Actor.UserAgent, &i.Actor.RequestID, &i.Invite, &i.MadeAt)
	return i, notFound(err)
}

// AddImport begins an import.
func (tx *Tx) AddImport(ctx context.Context, actor Actor) error {
	_, err := tx.exec(ctx, `INSERT INTO import (actor_kind, actor_id, address, user_agent, request_id, invite, made_at, created_at)
		VALUES ($1, $2, $3, $4, $5, FALSE, 0, $6)`, actor.Kind, actor.UserID, actor.Address, actor.UserAgent, actor.RequestID, tx.Now)
	return err
}

// DropImport ends the import.
func (tx *Tx) DropImport(ctx context.Context) error {
	_, err := tx.exec(ctx, `DELETE FROM import`)
	return err
}

// StageRows keeps rows until they are made users.
func (tx *Tx) StageRows(ctx context.Context, rows []ImportRow) error {
	insert, err := tx.tx.PrepareContext(ctx, `INSERT INTO import_row (line, email, email_folded, username, name, name_folded,
			organization_folded, role, password_hash)
		VALUES ($1, $2, $3, NULLIF(CAST($4 AS TEXT), ''), $5, $6, $7, $8, $9)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for _, r := range rows {
		if _, err := insert.ExecContext(ctx, r.Line, r.Email, FoldEmail(r.Email), r.Username, r.Name, FoldName(r.Name),
			r.Organization, r.Role, r.PasswordHash); err != nil {
			return err
		}
	}
	return nil
}

// ClashKind says what two users cannot share.
type ClashKind string

const (
	ClashEmailTwice    ClashKind = "email_twice" // in the file
	ClashUsernameTwice ClashKind = "username_twice"
	ClashEmailTaken    ClashKind = "email_taken" // by a user who is there already
	ClashUsernameTaken ClashKind = "username_taken"
	ClashNoSuchName    ClashKind = "no_such_organization"
)

// Clash is what is wrong with a staged row because of what is elsewhere.
type Clash struct {
	Line  int
	Kind  ClashKind
	Other int // the line that came first, for what is in the file twice
}

// clashes finds all of them; $1 says whether organizations must be there already.
const clashes = ` FROM (
	SELECT r.line AS line, 'email_twice' AS kind, f.line AS other FROM import_row r
		JOIN (SELECT email_folded, min(line) AS line FROM import_row GROUP BY email_folded HAVING count(*) > 1) f
		ON f.email_folded = r.email_folded WHERE r.line > f.line
	UNION ALL SELECT r.line, 'username_twice', f.line FROM import_row r
		JOIN (SELECT username, min(line) AS line FROM import_row WHERE username IS NOT NULL GROUP BY username HAVING count(*) > 1) f
		ON f.username = r.username WHERE r.line > f.line
	UNION ALL SELECT r.line, 'email_taken', CAST(0 AS BIGINT) FROM import_row r
		JOIN user_account u ON u.email_folded = r.email_folded WHERE u.deleted_at <> -1
	UNION ALL SELECT r.line, 'username_taken', CAST(0 AS BIGINT) FROM import_row r
		JOIN user_account u ON u.username = r.username WHERE u.deleted_at <> -1
	UNION ALL SELECT r.line, 'no_such_organization', CAST(0 AS BIGINT) FROM import_row r
		LEFT JOIN organization o ON o.name_folded = r.organization_folded AND o.importing <> 1
		WHERE CAST($1 AS BIGINT) = 1 AND r.organization_folded <> '' AND o.id IS NULL) AS clash `

// Clashes returns up to limit of what is wrong with staged rows, in the order of their
// lines.
func (r Reader) Clashes(ctx context.Context, known bool, limit int) ([]Clash, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT line, kind, other`+clashes+`ORDER BY line, kind LIMIT $2`, number(known), limit)
	return collect(rows, err, func(row rowScanner) (c Clash, err error) { return c, row.Scan(&c.Line, &c.Kind, &c.Other) })
}

// CountClashes counts the staged rows that something is wrong with.
func (r Reader) CountClashes(ctx context.Context, known bool) (n int, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT count(DISTINCT line)`+clashes, number(known)).Scan(&n)
	return n, err
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// NextRows returns the last line of the next batch of staged rows after a line, and how
// many they are.
func (r Reader) NextRows(ctx context.Context, after, limit int) (last, n int, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT COALESCE(max(line), 0), count(*) FROM
		(SELECT line FROM import_row WHERE line > $1 ORDER BY line LIMIT $2) AS batch`, after, limit).Scan(&last, &n)
	return last, n, err
}

// AddHiddenOrganization makes an organization that is not there before ShowImport, and says
// whether it did: one of that name may be there already.
func (tx *Tx) AddHiddenOrganization(ctx context.Context, name, folded string) (bool, error) {
	n, err := tx.exec(ctx, `INSERT INTO organization (name, name_folded, active, created_at, importing)
		VALUES ($1, $2, TRUE, $3, 1) ON CONFLICT (name_folded) DO NOTHING`, name, folded, tx.Now)
	return n == 1, err
}

// AddHiddenUsers makes users of the staged rows after a line up to another, who are not
// there before ShowImport. An address or username in use is ErrTaken.
func (tx *Tx) AddHiddenUsers(ctx context.Context, after, last int) error {
	_, err := tx.exec(ctx, `INSERT INTO user_account (email, email_folded, username, name, name_folded, phone, time_zone,
			notify_sign_in, organization_id, role, active, password_hash, password_set_at, invitation_accepted_at,
			last_sign_in_at, pending_email, epoch, epoch_at, wrong_passwords, closed_at, deleted_at, created_at)
		SELECT r.email, r.email_folded, r.username, r.name, r.name_folded, '', 'UTC', TRUE, o.id, r.role, TRUE, r.password_hash,
			CASE WHEN r.password_hash = '' THEN 0 ELSE CAST($1 AS BIGINT) END, 0, 0, '', 1, CAST($1 AS BIGINT), 0, 0, -1, CAST($1 AS BIGINT)
		FROM import_row r LEFT JOIN organization o ON o.name_folded = r.organization_folded
		WHERE r.line > $2 AND r.line <= $3 ORDER BY r.line`, tx.Now, after, last)
	if err != nil {
		return taken(err)
	}
	_, err = tx.exec(ctx, `UPDATE import_row SET user_id = (SELECT u.id FROM user_account u WHERE u.email_folded = import_row.email_folded)
		WHERE line > $1 AND line <= $2`, after, last)
	return err
}

// HiddenUsers returns the first and the last id of the users that the import has made, and
// how many they are.
func (r Reader) HiddenUsers(ctx context.Context) (first, last int64, n int, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT COALESCE(min(user_id), 0), COALESCE(max(user_id), 0), count(user_id) FROM import_row`).
		Scan(&first, &last, &n)
	return first, last, n, err
}

// ShowImport makes all that the import has made real, at once, and returns how many users
// that were. It changes one number in each row and no index, which is what makes it quick.
func (tx *Tx) ShowImport(ctx context.Context, invite bool, first, last int64) (users int64, err error) {
	if users, err = tx.exec(ctx, `UPDATE user_account SET deleted_at = 0 WHERE id >= $1 AND id <= $2 AND deleted_at = $3`, first, last, beingImported); err != nil {
		return 0, err
	}
	if _, err := tx.exec(ctx, `UPDATE organization SET importing = 2 WHERE importing = 1`); err != nil {
		return 0, err
	}
	return users, tx.one(ctx, `UPDATE import SET made_at = $1, invite = $2`, tx.Now, invite)
}

// AddImportEvents appends an event for each user made of the staged rows with that role, up
// to a line; of those without a password alone, if so asked.
func (tx *Tx) AddImportEvents(ctx context.Context, e Event, role string, onlyInvited bool, last int) error {
	_, err := tx.exec(ctx, `INSERT INTO audit_event (at, action, outcome, actor_kind, actor_id, user_id, organization_id,
			detail, address, user_agent, request_id)
		SELECT CAST($1 AS BIGINT), $2, $3, $4, NULLIF(CAST($5 AS BIGINT), 0), u.id, u.organization_id, $6, $7, $8, $9
		FROM import_row r JOIN user_account u ON u.id = r.user_id
		WHERE r.line <= $10 AND r.role = $11 AND (CAST($12 AS BIGINT) = 0 OR r.password_hash = '') ORDER BY r.line`,
		tx.Now, e.Action, e.Outcome, e.Actor.Kind, e.Actor.UserID, e.Detail, e.Actor.Address, e.Actor.UserAgent, e.Actor.RequestID,
		last, role, number(onlyInvited))
	return err
}

// EnqueueInvitations puts the invitations of the staged rows without a password, up to a
// line, into the outbox.
func (tx *Tx) EnqueueInvitations(ctx context.Context, last int) error {
	_, err := tx.exec(ctx, `INSERT INTO outbox (kind, user_id, recipient, data, state, attempts, due_at, created_at, finished_at, answer)
		SELECT $1, u.id, u.email, '{}', 'queued', 0, CAST($2 AS BIGINT), CAST($2 AS BIGINT), 0, ''
		FROM import_row r JOIN user_account u ON u.id = r.user_id
		WHERE r.line <= $3 AND r.password_hash = '' AND u.password_set_at = 0 AND u.deleted_at = 0 ORDER BY r.line`,
		MessageInvitation, tx.Now, last)
	return err
}

// StagedRoles returns the roles of the staged rows up to a line.
func (r Reader) StagedRoles(ctx context.Context, last int) ([]string, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT DISTINCT role FROM import_row WHERE line <= $1 ORDER BY role`, last)
	return collect(rows, err, func(row rowScanner) (role string, err error) { return role, row.Scan(&role) })
}

// DropRows forgets the staged rows up to a line.
func (tx *Tx) DropRows(ctx context.Context, last int) error {
	_, err := tx.exec(ctx, `DELETE FROM import_row WHERE line <= $1`, last)
	return err
}

// DropHiddenUsers takes back the users made of the staged rows up to a line.
func (tx *Tx) DropHiddenUsers(ctx context.Context, last int) error {
	_, err := tx.exec(ctx, `DELETE FROM user_account WHERE deleted_at = $1 AND id IN
		(SELECT user_id FROM import_row WHERE line <= $2)`, beingImported, last)
	return err
}

// DropHiddenOrganizations takes back up to limit organizations that were made; it returns
// how many. Users must have been taken back before.
func (tx *Tx) DropHiddenOrganizations(ctx context.Context, limit int) (int64, error) {
	return tx.exec(ctx, `DELETE FROM organization WHERE id IN (SELECT id FROM organization WHERE importing = 1 LIMIT $1)`, limit)
}

// RecordableOrganizations returns up to limit organizations that an import made and whose
// event is not written yet.
func (r Reader) RecordableOrganizations(ctx context.Context, limit int) ([]Organization, error) {
	rows, err := r.q.QueryContext(ctx, organizationQuery+`WHERE importing = 2 ORDER BY id LIMIT $1`, limit)
	return collect(rows, err, scanOrganization)
}

// OrganizationRecorded notes that the event of an organization is written.
func (tx *Tx) OrganizationRecorded(ctx context.Context, id int64) error {
	return tx.one(ctx, `UPDATE organization SET importing = 0 WHERE id = $1 AND importing = 2`, id)
}
