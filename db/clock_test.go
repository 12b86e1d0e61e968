package db_test

import (
	"context"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
)

func wantClock(t *testing.T, d *db.DB, want time.Duration, by func(ctx context.Context) (time.Duration, error)) {
	t.Helper()
	if off, err := by(t.Context()); off != want || err != nil {
		t.Errorf("at %s the clock is off by %s instead of %s, %v", d.Now().Time().Format(time.DateTime), off, want, err)
	}
}

// I24: a clock that was turned back makes dead links live again, so somebody must know.
func TestAClockTurnedBackIsReportedUntilItIsRightAgain(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		wantClock(t, d, 0, d.ClockOff)
		wantClock(t, d, 0, d.CheckClock)
		clock.Advance(-time.Minute)
		wantClock(t, d, 0, d.CheckClock)
		clock.Advance(-time.Millisecond)
		for range 3 { // it does not get used to it
			wantClock(t, d, -time.Minute-time.Millisecond, d.CheckClock)
			wantClock(t, d, -time.Minute-time.Millisecond, d.ClockOff)
		}
		clock.Advance(time.Millisecond)
		wantClock(t, d, 0, d.CheckClock)
	})
}

// I24: after a jump forwards, which may be a mistake, nothing is believed at once.
func TestAClockThatJumpedAheadIsBelievedStepByStep(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		wantClock(t, d, 0, d.CheckClock)
		clock.Advance(10 * time.Minute)
		wantClock(t, d, 0, d.CheckClock)
		clock.Advance(2*time.Hour + time.Millisecond)
		for ahead := 2*time.Hour + time.Millisecond; ahead > 10*time.Minute; ahead -= 10 * time.Minute {
			wantClock(t, d, ahead, d.ClockOff) // which learns nothing
			wantClock(t, d, ahead, d.CheckClock)
		}
		wantClock(t, d, 0, d.CheckClock)

		// Turned back at the next step it would have been a mistake of ten minutes, not of two hours.
		clock.Advance(2 * time.Hour)
		wantClock(t, d, 2*time.Hour, d.CheckClock)
		clock.Advance(-2 * time.Hour)
		wantClock(t, d, -10*time.Minute, d.CheckClock)
	})
}

func TestAnAcceptedClockIsRight(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		wantClock(t, d, 0, d.CheckClock)
		for _, jump := range []time.Duration{-48 * time.Hour, 30 * 24 * time.Hour} {
			clock.Advance(jump)
			wantClock(t, d, jump, d.ClockOff)
			if err := d.AcceptClock(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantClock(t, d, 0, d.ClockOff)
			wantClock(t, d, 0, d.CheckClock)
		}
	})
}

// I28: nodes whose own clocks differ must agree on what has expired. The server is given
// another clock by a function that comes before its own.
func TestOnPostgreSQLTheServersClockCounts(t *testing.T) {
	address := dbtest.NewPostgreSQL(t)
	plain := openEmpty(t, db.Config{URL: address})
	if off := plain.Now().Sub(db.TimeOf(time.Now())); off.Abs() > 30*time.Second {
		t.Errorf("off by %s from the very same clock", off)
	}
	serverClock(t, plain, "90 seconds")
	d := openEmpty(t, db.Config{URL: address + "?search_path=public%2Cpg_catalog"})
	wantAhead(t, d, 90*time.Second)
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantClock(t, d, 0, d.CheckClock)
	serverClock(t, plain, "-1 hour")
	if off, err := d.CheckClock(t.Context()); err != nil || off > -time.Hour {
		t.Errorf("the server's clock was turned back, but it is off by %s, %v", off, err)
	}
	wantAhead(t, d, -time.Hour)
}

// serverClock puts the server's clock so far from the right time.
func serverClock(t *testing.T, d *db.DB, ahead string) {
	t.Helper()
	raw(t, d, `CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql
		AS $$ SELECT pg_catalog.clock_timestamp() + interval '`+ahead+`' $$`)
}

func wantAhead(t *testing.T, d *db.DB, want time.Duration) {
	t.Helper()
	if got := d.Now().Sub(db.TimeOf(time.Now())); (got - want).Abs() > 30*time.Second {
		t.Errorf("the time is %s from this machine's, the server's %s", got, want)
	}
}
