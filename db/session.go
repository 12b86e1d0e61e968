package db

import "context"

// Session is a signed-in browser.
type Session struct {
	ID         int64
	UserID     int64
	Epoch      int64
	CreatedAt  Time
	LastSeenAt Time
	ProvenAt   Time // the latest fresh proof
	CodeOwed   bool // the password was given, the code not yet
	Trusted    bool // of a new one: the browser was trusted in the place of a code
	WrongCodes int64
	Data       []byte
	Address    string
	UserAgent  string
}

// SessionByToken returns the session whose token has that hash, with its user as they are
// now, or ErrNotFound. A session that has been ended is not found.
func (r Reader) SessionByToken(ctx context.Context, hash []byte) (s Session, u User, err error) {
	fields := append([]any{&s.ID, &s.UserID, &s.Epoch, &s.CreatedAt, &s.LastSeenAt, &s.ProvenAt, &s.CodeOwed,
		&s.WrongCodes, &s.Data, &s.Address, &s.UserAgent}, u.fields()...)
	err = r.q.QueryRowContext(ctx, `SELECT s.id, s.user_id, s.epoch, s.created_at, s.last_seen_at, s.proven_at, s.code_owed,
			s.wrong_codes, s.data, s.address, s.user_agent, `+userColumns+userTables+`JOIN session s ON s.user_id = u.id
		WHERE s.token_hash = $1 AND s.ended_at = 0 AND u.deleted_at = 0`, hash).Scan(fields...)
	return s, u, notFound(err)
}

// AddSession signs a browser in, as far as CodeOwed says. The sign-in counts as fresh proof,
// unless a code was left out: then nothing was proven in this session yet.
func (tx *Tx) AddSession(ctx context.Context, s Session, hash []byte) (id int64, err error) {
	proven := tx.Now
	if s.Trusted {
		proven = 0
	}
	err = tx.q.QueryRowContext(ctx, `INSERT INTO session (token_hash, user_id, epoch, created_at, last_seen_at, proven_at,
			ended_at, data, address, user_agent, code_owed)
		VALUES ($1, $2, $3, $4, $4, $9, 0, $5, $6, $7, $8) RETURNING id`,
		hash, s.UserID, s.Epoch, tx.Now, s.Data, s.Address, s.UserAgent, s.CodeOwed, proven).Scan(&id)
	return id, err
}

// RenewSession gives a live session a new token, and takes it for freshly proven if so told.
func (tx *Tx) RenewSession(ctx context.Context, id int64, hash []byte, proven bool) error {
	return tx.one(ctx, `UPDATE session SET token_hash = $1, proven_at = CASE WHEN $2 THEN CAST($3 AS BIGINT) ELSE proven_at END
		WHERE id = $4 AND ended_at = 0`, hash, proven, tx.Now, id)
}

// TouchSession notes that a live session was used.
func (tx *Tx) TouchSession(ctx context.Context, id int64) error {
	_, err := tx.exec(ctx, `UPDATE session SET last_seen_at = $1 WHERE id = $2 AND ended_at = 0`, tx.Now, id)
	return err
}

// SetSessionData stores what a session carries. One that has been ended stays ended.
func (tx *Tx) SetSessionData(ctx context.Context, hash, data []byte) error {
	_, err := tx.exec(ctx, `UPDATE session SET data = $1 WHERE token_hash = $2 AND ended_at = 0`, data, hash)
	return err
}

// EndSession ends a session, if it lives.
func (tx *Tx) EndSession(ctx context.Context, id int64) error {
	_, err := tx.exec(ctx, `UPDATE session SET ended_at = $1 WHERE id = $2 AND ended_at = 0`, tx.Now, id)
	return err
}

// EndSessionByToken ends the session whose token has that hash, if it lives.
func (tx *Tx) EndSessionByToken(ctx context.Context, hash []byte) error {
	_, err := tx.exec(ctx, `UPDATE session SET ended_at = $1 WHERE token_hash = $2 AND ended_at = 0`, tx.Now, hash)
	return err
}

// ClaimCode counts a code as wrong before it is judged, in a session that owes one, and
// returns how many there were with it. A session that has ended or had its most is
// ErrNotFound.
func (tx *Tx) ClaimCode(ctx context.Context, id, most int64) (n int64, err error) {
	err = tx.q.QueryRowContext(ctx, `UPDATE session SET wrong_codes = wrong_codes + 1
		WHERE id = $1 AND ended_at = 0 AND wrong_codes < $2 RETURNING wrong_codes`, id, most).Scan(&n)
	return n, notFound(err)
}

// EndOtherSessions ends all sessions of a user but one, and says how many.
func (tx *Tx) EndOtherSessions(ctx context.Context, userID, keep int64) (int64, error) {
	return tx.exec(ctx, `UPDATE session SET ended_at = $1 WHERE user_id = $2 AND ended_at = 0 AND id <> $3`, tx.Now, userID, keep)
}

// EndUserSession ends a session of that user; somebody else's is ErrNotFound.
func (tx *Tx) EndUserSession(ctx context.Context, userID, id int64) error {
	return tx.one(ctx, `UPDATE session SET ended_at = $1 WHERE id = $2 AND user_id = $3 AND ended_at = 0`, tx.Now, id, userID)
}

// Sessions returns the live sessions of a user that were seen since then, the latest first.
func (r Reader) Sessions(ctx context.Context, userID int64, since Time) ([]Session, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT s.id, s.user_id, s.epoch, s.created_at, s.last_seen_at, s.address, s.user_agent
		FROM session s JOIN user_account u ON u.id = s.user_id
		WHERE s.user_id = $1 AND s.ended_at = 0 AND NOT s.code_owed AND s.epoch = u.epoch AND s.last_seen_at > $2
		ORDER BY s.last_seen_at DESC, s.id DESC LIMIT 50`, userID, since)
	return collect(rows, err, func(row rowScanner) (s Session, err error) {
		return s, row.Scan(&s.ID, &s.UserID, &s.Epoch, &s.CreatedAt, &s.LastSeenAt, &s.Address, &s.UserAgent)
	})
}
