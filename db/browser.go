package db

import (
	"context"
	"time"
)

// BrowserKept is how long a browser stays known after it was last used to sign in.
const BrowserKept = 365 * 24 * time.Hour

// BrowserKnown says whether the user has signed in, or completed a reset, in the browser
// whose token has that hash.
func (r Reader) BrowserKnown(ctx context.Context, hash []byte, userID int64, now Time) (known bool, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT count(*) > 0 FROM browser WHERE token_hash = $1 AND user_id = $2 AND last_seen_at > $3`,
		hash, userID, now.Add(-BrowserKept)).Scan(&known)
	return known, err
}

// RememberBrowser makes the browser known to the user from now on.
func (tx *Tx) RememberBrowser(ctx context.Context, hash []byte, userID int64, userAgent string) error {
	_, err := tx.exec(ctx, `INSERT INTO browser (token_hash, user_id, created_at, last_seen_at, user_agent)
		VALUES ($1, $2, $3, $3, $4)
		ON CONFLICT (token_hash, user_id) DO UPDATE SET last_seen_at = excluded.last_seen_at, user_agent = excluded.user_agent`,
		hash, userID, tx.Now, userAgent)
	return err
}

// RenewBrowser gives a browser another token, for all users who know it.
func (tx *Tx) RenewBrowser(ctx context.Context, old, hash []byte) error {
	_, err := tx.exec(ctx, `UPDATE browser SET token_hash = $1 WHERE token_hash = $2`, hash, old)
	return err
}

// ForgetBrowsers makes all browsers of a user unknown.
func (tx *Tx) ForgetBrowsers(ctx context.Context, userID int64) error {
	_, err := tx.exec(ctx, `DELETE FROM browser WHERE user_id = $1`, userID)
	return err
}
