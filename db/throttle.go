package db

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// ClaimRate takes one of the places that a rate has: burst at once, and a new one every
// interval. It returns zero, or how long to wait where there is none; then nothing is
// taken. One statement decides, so it is exact under any number at once. The number kept
// is the moment at which all places are free again (the generic cell rate algorithm).
func (tx *Tx) ClaimRate(ctx context.Context, key []byte, interval time.Duration, burst int) (wait time.Duration, err error) {
	step, room := interval.Milliseconds(), interval.Milliseconds()*int64(burst)
	var fullAt Time
	err = tx.q.QueryRowContext(ctx, `INSERT INTO rate (key, full_at) VALUES ($1, CAST($2 AS BIGINT) + $3)
		ON CONFLICT (key) DO UPDATE SET full_at = CASE WHEN rate.full_at > $2 THEN rate.full_at ELSE $2 END + $3
		WHERE rate.full_at + $3 <= CAST($2 AS BIGINT) + $4
		RETURNING full_at`, key, tx.Now, step, room).Scan(&fullAt)
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	err = tx.q.QueryRowContext(ctx, `SELECT full_at FROM rate WHERE key = $1`, key).Scan(&fullAt)
	return time.Duration(int64(fullAt)+step-room-int64(tx.Now)) * time.Millisecond, err
}

// GiveBackRate returns one place.
func (tx *Tx) GiveBackRate(ctx context.Context, key []byte, interval time.Duration) error {
	_, err := tx.exec(ctx, `UPDATE rate SET full_at = full_at - $1 WHERE key = $2`, interval.Milliseconds(), key)
	return err
}

// ClearRate makes all places of a rate free again.
func (tx *Tx) ClearRate(ctx context.Context, key []byte) error {
	_, err := tx.exec(ctx, `DELETE FROM rate WHERE key = $1`, key)
	return err
}

// ClaimFailure counts a failure before it is known whether it is one: it is taken back by
// ClearFailures when the attempt succeeds. It returns how many there have been in a row,
// or, while the key is on hold, 0 and how long that still lasts.
func (tx *Tx) ClaimFailure(ctx context.Context, key []byte) (count int64, wait time.Duration, err error) {
	err = tx.q.QueryRowContext(ctx, `INSERT INTO failure (key, count, held_until, updated_at) VALUES ($1, 1, 0, $2)
		ON CONFLICT (key) DO UPDATE SET count = failure.count + 1, updated_at = $2
		WHERE failure.held_until <= $2
		RETURNING count`, key, tx.Now).Scan(&count)
	if !errors.Is(err, sql.ErrNoRows) {
		return count, 0, err
	}
	var heldUntil Time
	err = tx.q.QueryRowContext(ctx, `SELECT held_until FROM failure WHERE key = $1`, key).Scan(&heldUntil)
	return 0, heldUntil.Sub(tx.Now), err
}

// Hold puts a key on hold for that long.
func (tx *Tx) Hold(ctx context.Context, key []byte, wait time.Duration) error {
	return tx.one(ctx, `UPDATE failure SET held_until = $1 WHERE key = $2`, tx.Now.Add(wait), key)
}

// ClearFailures forgets the failures of a key.
func (tx *Tx) ClearFailures(ctx context.Context, key []byte) error {
	_, err := tx.exec(ctx, `DELETE FROM failure WHERE key = $1`, key)
	return err
}
