package db

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// clock tells the time by which everything expires.
type clock struct {
	now func() time.Time
	// ahead is how far the PostgreSQL server's clock is ahead of ours.
	ahead atomic.Int64
}

func newClock(now func() time.Time) *clock {
	if now == nil {
		now = time.Now
	}
	return &clock{now: now}
}

// Now is the time by this database's clock.
func (d *DB) Now() Time {
	return TimeOf(d.clock.now().Add(time.Duration(d.clock.ahead.Load())))
}

// followServerClock measures how far the server's clock is from ours.
func (d *DB) followServerClock(ctx context.Context) error {
	asked := time.Now()
	var server int64
	err := d.reader.QueryRowContext(ctx, `SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)`).Scan(&server)
	if err != nil {
		return fmt.Errorf("ask for the time: %w", err)
	}
	halfway := asked.Add(time.Since(asked) / 2)
	d.clock.ahead.Store(int64(time.UnixMicro(server).Sub(halfway)))
	return nil
}

const (
	clockStep      = 10 * time.Minute
	clockTolerance = time.Minute

	factNewestTime = "newest_time"
)

// CheckClock compares the clock with the newest time that this database has seen, and
// learns from it in steps of at most ten minutes, so that a clock which jumped cannot
// poison what is remembered. It returns how far the clock is off: zero when all is well,
// negative when it is behind by over a minute, positive when it is more than a step ahead.
// While it is off nothing may be purged. After a long stop it catches up by itself, a step
// a call.
func (d *DB) CheckClock(ctx context.Context) (off time.Duration, err error) {
	if d.engine == PostgreSQL && d.clock.ahead.Load() != 0 {
		if err := d.followServerClock(ctx); err != nil {
			return 0, err
		}
	}
	err = d.Update(ctx, func(tx *Tx) error {
		newest, err := tx.timeFact(ctx, factNewestTime)
		if errors.Is(err, ErrNotFound) {
			return tx.setTimeFact(ctx, factNewestTime, tx.Now)
		} else if err != nil {
			return err
		}
		ahead := tx.Now.Sub(newest)
		off = clockOff(ahead)
		if ahead <= 0 {
			return nil
		}
		return tx.setTimeFact(ctx, factNewestTime, newest.Add(min(ahead, clockStep)))
	})
	return off, err
}

// ClockOff is CheckClock without learning.
func (d *DB) ClockOff(ctx context.Context) (time.Duration, error) {
	newest, err := d.Reader().timeFact(ctx, factNewestTime)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	return clockOff(d.Now().Sub(newest)), err
}

// clockOff is how far the clock is off when it is that much ahead of the newest time seen.
func clockOff(ahead time.Duration) time.Duration {
	if ahead < -clockTolerance || ahead > clockStep {
		return ahead
	}
	return 0
}

// AcceptClock takes the present time for right, whatever was seen before.
func (d *DB) AcceptClock(ctx context.Context) error {
	return d.Update(ctx, func(tx *Tx) error { return tx.setTimeFact(ctx, factNewestTime, tx.Now) })
}
