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

// BrowserTrusted says whether a user need not show a code in the browser whose token has
// that hash. Trust ends with its time and with the user's epoch.
func (r Reader) BrowserTrusted(ctx context.Context, hash []byte, u User, now Time) (trusted bool, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT count(*) > 0 FROM browser
		WHERE token_hash = $1 AND user_id = $2 AND trusted_until > $3 AND trusted_epoch = $4`, hash, u.ID, now, u.Epoch).Scan(&trusted)
	return trusted, err
}

// Browser is a browser that a user has signed in with.
type Browser struct {
	ID           int64
	CreatedAt    Time
	LastSeenAt   Time
	UserAgent    string
	Address      string
	TrustedUntil Time
}

// TrustedBrowsers returns the browsers in which a user need not show a code.
func (r Reader) TrustedBrowsers(ctx context.Context, u User, now Time) ([]Browser, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT id, created_at, last_seen_at, user_agent, address, trusted_until FROM browser
		WHERE user_id = $1 AND trusted_until > $2 AND trusted_epoch = $3 ORDER BY last_seen_at DESC, id DESC LIMIT 50`, u.ID, now, u.Epoch)
	return collect(rows, err, func(row rowScanner) (b Browser, err error) {
		return b, row.Scan(&b.ID, &b.CreatedAt, &b.LastSeenAt, &b.UserAgent, &b.Address, &b.TrustedUntil)
	})
}

// RememberBrowser makes the browser known to the user from now on.
func (tx *Tx) RememberBrowser(ctx context.Context, hash []byte, userID int64, userAgent, address string) error {
	_, err := tx.exec(ctx, `INSERT INTO browser (token_hash, user_id, created_at, last_seen_at, user_agent, address)
		VALUES ($1, $2, $3, $3, $4, $5)
		ON CONFLICT (token_hash, user_id) DO UPDATE SET last_seen_at = excluded.last_seen_at, user_agent = excluded.user_agent,
			address = excluded.address`,
		hash, userID, tx.Now, userAgent, address)
	return err
}

// TrustBrowser lets the user do without a code in a known browser, until then.
func (tx *Tx) TrustBrowser(ctx context.Context, hash []byte, u User, until Time) error {
	return tx.one(ctx, `UPDATE browser SET trusted_until = $1, trusted_epoch = $2 WHERE token_hash = $3 AND user_id = $4`,
		until, u.Epoch, hash, u.ID)
}

// DistrustBrowser lets a browser of the user ask for a code again; somebody else's is
// ErrNotFound.
func (tx *Tx) DistrustBrowser(ctx context.Context, userID, id int64) error {
	return tx.one(ctx, `UPDATE browser SET trusted_until = 0 WHERE id = $1 AND user_id = $2 AND trusted_until > 0`, id, userID)
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
