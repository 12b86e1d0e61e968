package db

import (
	"context"
	"time"
)

// OpenLinks is how many reset links, or invitations, of a user can be open at a time.
const OpenLinks = 3

// Purpose is what a link is good for; it works for nothing else.
type Purpose string

const (
	PurposeReset       Purpose = "reset"
	PurposeInvitation  Purpose = "invitation"
	PurposeVerifyEmail Purpose = "verify_email"
	PurposeNotMe       Purpose = "not_me"
)

// Link is what a mailed link stands for. Only the hash of its token is kept.
type Link struct {
	ID           int64
	Purpose      Purpose
	UserID       int64
	Email        string // mailed to; empty when printed for the operator
	Epoch        int64  // of the user when it was made
	MessageID    int64  // the outbox message that carries it; 0 for none
	RestoreEmail string // PurposeNotMe after a change of address: the old one
	Failures     int64  // wrong usernames
	CreatedAt    Time
	ExpiresAt    Time
	UsedAt       Time
	RevokedAt    Time
}

// OpenAt says whether the link can still be used at that moment by its user.
func (l Link) OpenAt(now Time, user User) bool {
	return l.UsedAt == 0 && l.RevokedAt == 0 && now < l.ExpiresAt &&
		(l.Purpose == PurposeNotMe || l.Epoch == user.Epoch)
}

// LinkByToken returns the link whose token has that hash, dead or alive, or ErrNotFound.
func (r Reader) LinkByToken(ctx context.Context, hash []byte) (Link, error) {
	return scanLink(r.q.QueryRowContext(ctx, `SELECT `+linkColumns+` FROM link WHERE token_hash = $1`, hash))
}

const linkColumns = `id, purpose, user_id, email, epoch, message_id, restore_email, failures,
	created_at, expires_at, used_at, revoked_at`

func scanLink(row rowScanner) (l Link, err error) {
	return l, notFound(row.Scan(&l.ID, &l.Purpose, &l.UserID, &l.Email, &l.Epoch, &l.MessageID, &l.RestoreEmail, &l.Failures,
		&l.CreatedAt, &l.ExpiresAt, &l.UsedAt, &l.RevokedAt))
}

// AddLink keeps a new link by the hash of its token.
func (tx *Tx) AddLink(ctx context.Context, l Link, hash []byte) (id int64, err error) {
	err = tx.q.QueryRowContext(ctx, `INSERT INTO link (token_hash, purpose, user_id, email, epoch, message_id, restore_email,
			failures, created_at, expires_at, used_at, revoked_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, 0, 0) RETURNING id`,
		hash, l.Purpose, l.UserID, l.Email, l.Epoch, l.MessageID, l.RestoreEmail, tx.Now, l.ExpiresAt).Scan(&id)
	return id, err
}

// UseLink uses an open link up. Of any number at once, one succeeds; the others, and a
// link that has expired or been revoked, get ErrNotFound.
func (tx *Tx) UseLink(ctx context.Context, id int64) error {
	// The user first, as everywhere: two links of one user that are used at once would wait
	// for each other, and what is read of the user next must not be from before.
	if _, err := tx.exec(ctx, `UPDATE user_account SET epoch = epoch WHERE id = (SELECT user_id FROM link WHERE id = $1)`, id); err != nil {
		return err
	}
	return tx.one(ctx, `UPDATE link SET used_at = $1
		WHERE id = $2 AND used_at = 0 AND revoked_at = 0 AND expires_at > $1`, tx.Now, id)
}

// RevokeLinks makes all open links of a user for that purpose dead, but the newest keep.
func (tx *Tx) RevokeLinks(ctx context.Context, userID int64, purpose Purpose, keep int) error {
	_, err := tx.exec(ctx, `UPDATE link SET revoked_at = $1
		WHERE user_id = $2 AND purpose = $3 AND used_at = 0 AND revoked_at = 0 AND id NOT IN (
			SELECT id FROM link WHERE user_id = $2 AND purpose = $3 AND used_at = 0 AND revoked_at = 0
			ORDER BY id DESC LIMIT $4)`, tx.Now, userID, purpose, keep)
	return err
}

// TakeBackLink forgets a link that was never handed over.
func (tx *Tx) TakeBackLink(ctx context.Context, id int64) error {
	_, err := tx.exec(ctx, `DELETE FROM link WHERE id = $1 AND used_at = 0`, id)
	return err
}

// CountLinkFailure adds a wrong username to an open link, and makes it dead when that was
// one too many. It returns how many there were.
func (tx *Tx) CountLinkFailure(ctx context.Context, id, limit int64) (failures int64, err error) {
	err = tx.q.QueryRowContext(ctx, `UPDATE link SET failures = failures + 1,
			revoked_at = CASE WHEN failures + 1 >= $1 THEN CAST($2 AS BIGINT) ELSE 0 END
		WHERE id = $3 AND used_at = 0 AND revoked_at = 0 RETURNING failures`, limit, tx.Now, id).Scan(&failures)
	return failures, notFound(err)
}

// VoidLaterRestores takes from every other not-me link of the user the address that was
// given up later than the one of this link: the earliest owner of the account wins, and a
// thief who changed the address cannot change it back. What came later is told by the
// messages; the links themselves are made when the mails go out, which may be in any order.
func (tx *Tx) VoidLaterRestores(ctx context.Context, l Link) error {
	_, err := tx.exec(ctx, `UPDATE link SET restore_email = ''
		WHERE user_id = $1 AND purpose = 'not_me' AND restore_email <> '' AND message_id > $2`, l.UserID, l.MessageID)
	return err
}

// DeadLinksKept is how long dead links are known, so that their page can offer a new one.
const DeadLinksKept = 30 * 24 * time.Hour

// OpenLinksOf returns the reset links, invitations and confirmations of a user that can be
// used now, the newest first.
func (r Reader) OpenLinksOf(ctx context.Context, user User, now Time) ([]Link, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+linkColumns+` FROM link WHERE user_id = $1 AND purpose <> 'not_me'
			AND used_at = 0 AND revoked_at = 0 AND expires_at > $2 AND epoch = $3
		ORDER BY id DESC LIMIT 20`, user.ID, now, user.Epoch)
	return collect(rows, err, scanLink)
}
