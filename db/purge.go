package db

import (
	"context"
	"time"
)

// purgeBatch bounds how long one purge may keep other writers waiting.
const purgeBatch = 500

// purges name what nobody needs any more, by a moment $1 and at most $2 rows at a time.
var purges = []struct {
	statement string
	keep      time.Duration
}{
	{`DELETE FROM rate WHERE key IN (SELECT key FROM rate WHERE full_at < $1 LIMIT $2)`, 0},
	// A hundred in a row are a stop (internal/throttle), which waiting must not lift.
	{`DELETE FROM failure WHERE key IN (SELECT key FROM failure WHERE updated_at < $1 AND count < 100 LIMIT $2)`, 30 * 24 * time.Hour},
	{`DELETE FROM enrolment WHERE user_id IN (SELECT user_id FROM enrolment WHERE expires_at < $1 LIMIT $2)`, 0},
	{`DELETE FROM link WHERE id IN (SELECT id FROM link WHERE expires_at < $1 LIMIT $2)`, DeadLinksKept},
	{`DELETE FROM session WHERE id IN (SELECT id FROM session WHERE last_seen_at < $1 LIMIT $2)`, 30 * 24 * time.Hour},
	{`DELETE FROM browser WHERE id IN (SELECT id FROM browser WHERE last_seen_at < $1 LIMIT $2)`, BrowserKept},
}

// Purge removes what nobody needs any more, in batches so short that nobody waits for
// them: rates and failures long past, dead links, sessions and browsers not seen for long,
// and finished mail older than keepMail (0 keeps it). It must not run while the clock is
// in doubt.
func (d *DB) Purge(ctx context.Context, keepMail time.Duration) error {
	for _, p := range purges {
		if err := d.purge(ctx, p.statement, p.keep); err != nil {
			return err
		}
	}
	if keepMail == 0 {
		return nil
	}
	return d.purge(ctx, `DELETE FROM outbox WHERE id IN (SELECT id FROM outbox
		WHERE state IN ('sent', 'failed', 'dropped') AND finished_at < $1 LIMIT $2)`, keepMail)
}

func (d *DB) purge(ctx context.Context, statement string, keep time.Duration) error {
	for {
		var n int64
		err := d.Update(ctx, func(tx *Tx) (err error) {
			n, err = tx.exec(ctx, statement, tx.Now.Add(-keep), purgeBatch)
			return err
		})
		if err != nil || n < purgeBatch {
			return err
		}
	}
}
