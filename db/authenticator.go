package db

import "context"

// Authenticator is what a user's codes come from. Its secret is sealed.
type Authenticator struct {
	Sealed      []byte
	ConfirmedAt Time
	LastStep    int64 // the latest time step whose code was used
}

// Authenticator returns a user's confirmed authenticator, or ErrNotFound.
func (r Reader) Authenticator(ctx context.Context, userID int64) (a Authenticator, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT secret, confirmed_at, last_step FROM authenticator WHERE user_id = $1`, userID).
		Scan(&a.Sealed, &a.ConfirmedAt, &a.LastStep)
	return a, notFound(err)
}

// SetAuthenticator confirms an authenticator, in the place of any other, with the time step
// of the code that confirmed it.
func (tx *Tx) SetAuthenticator(ctx context.Context, userID int64, sealed []byte, step int64) error {
	_, err := tx.exec(ctx, `INSERT INTO authenticator (user_id, secret, confirmed_at, last_step) VALUES ($1, $2, $3, $4)
		ON CONFLICT (user_id) DO UPDATE SET secret = excluded.secret, confirmed_at = excluded.confirmed_at, last_step = excluded.last_step`,
		userID, sealed, tx.Now, step)
	return err
}

// UseStep uses a time step up. Of any number at once one succeeds; a step that is not later
// than the last one used is ErrNotFound.
func (tx *Tx) UseStep(ctx context.Context, userID, step int64) error {
	return tx.one(ctx, `UPDATE authenticator SET last_step = $1 WHERE user_id = $2 AND last_step < $1`, step, userID)
}

// RemoveAuthenticator forgets a user's authenticator, what is shown but not confirmed, and
// the recovery codes. Where there is no authenticator it is ErrNotFound.
func (tx *Tx) RemoveAuthenticator(ctx context.Context, userID int64) error {
	if err := tx.one(ctx, `DELETE FROM authenticator WHERE user_id = $1`, userID); err != nil {
		return err
	}
	if err := tx.DropEnrolment(ctx, userID); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `DELETE FROM recovery_code WHERE user_id = $1`, userID)
	return err
}

// Enrolment returns the sealed secret that is shown but not confirmed yet, or ErrNotFound.
func (r Reader) Enrolment(ctx context.Context, userID int64, now Time) (sealed []byte, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT secret FROM enrolment WHERE user_id = $1 AND expires_at > $2`, userID, now).Scan(&sealed)
	return sealed, notFound(err)
}

// SetEnrolment keeps a sealed secret until it is confirmed or expires, unless there is one
// already, and returns the one that is to be shown: of two at once both get the same.
func (tx *Tx) SetEnrolment(ctx context.Context, userID int64, sealed []byte, expiresAt Time) (shown []byte, err error) {
	err = tx.q.QueryRowContext(ctx, `INSERT INTO enrolment (user_id, secret, expires_at) VALUES ($1, $2, $3)
		ON CONFLICT (user_id) DO UPDATE SET
			secret = CASE WHEN enrolment.expires_at > $4 THEN enrolment.secret ELSE excluded.secret END,
			expires_at = CASE WHEN enrolment.expires_at > $4 THEN enrolment.expires_at ELSE excluded.expires_at END
		RETURNING secret`, userID, sealed, expiresAt, tx.Now).Scan(&shown)
	return shown, err
}

// UseEnrolment takes the secret that is being confirmed, once: one that has expired, or
// that another request has taken, is ErrNotFound.
func (tx *Tx) UseEnrolment(ctx context.Context, userID int64, sealed []byte) error {
	return tx.one(ctx, `DELETE FROM enrolment WHERE user_id = $1 AND secret = $2 AND expires_at > $3`, userID, sealed, tx.Now)
}

// DropEnrolment forgets what is shown but not confirmed.
func (tx *Tx) DropEnrolment(ctx context.Context, userID int64) error {
	_, err := tx.exec(ctx, `DELETE FROM enrolment WHERE user_id = $1`, userID)
	return err
}

// SetRecoveryCodes replaces a user's recovery codes by a new set, of hashes with one salt.
func (tx *Tx) SetRecoveryCodes(ctx context.Context, userID int64, salt []byte, hashes [][]byte) error {
	if _, err := tx.exec(ctx, `DELETE FROM recovery_code WHERE user_id = $1`, userID); err != nil {
		return err
	}
	for _, hash := range hashes {
		if _, err := tx.exec(ctx, `INSERT INTO recovery_code (user_id, salt, hash, used_at) VALUES ($1, $2, $3, 0)`,
			userID, salt, hash); err != nil {
			return err
		}
	}
	return nil
}

// RecoverySalt returns the salt of a user's recovery codes, or ErrNotFound where there are
// none.
func (r Reader) RecoverySalt(ctx context.Context, userID int64) (salt []byte, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT salt FROM recovery_code WHERE user_id = $1 LIMIT 1`, userID).Scan(&salt)
	return salt, notFound(err)
}

// UseRecoveryCode uses up the code with that hash. Of any number at once one succeeds; the
// others, and a code that is none, are ErrNotFound.
func (tx *Tx) UseRecoveryCode(ctx context.Context, userID int64, hash []byte) error {
	return tx.one(ctx, `UPDATE recovery_code SET used_at = $1 WHERE user_id = $2 AND hash = $3 AND used_at = 0`, tx.Now, userID, hash)
}

// RecoveryCodesLeft counts a user's unused recovery codes.
func (r Reader) RecoveryCodesLeft(ctx context.Context, userID int64) (n int, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT count(*) FROM recovery_code WHERE user_id = $1 AND used_at = 0`, userID).Scan(&n)
	return n, err
}
