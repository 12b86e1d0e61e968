// Package dbtest gives tests real databases: SQLite in a file and PostgreSQL on a server
// of its own. It must never be imported by the program.
package dbtest

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"postern/db"
)

// Clock is a clock that tests set by hand.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at a Friday noon, UTC.
func NewClock() *Clock { return &Clock{now: time.Date(2026, time.November, 20, 12, 0, 0, 0, time.UTC)} }

// Now reads the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock; a negative duration turns it back.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Each runs the test on a fresh, migrated database of each engine, with a clock set by hand.
func Each(t *testing.T, test func(t *testing.T, d *db.DB, clock *Clock)) {
	t.Helper()
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) {
			clock := NewClock()
			test(t, Open(t, engine, clock.Now), clock)
		})
	}
}

// Open returns a fresh, migrated database. Without PostgreSQL on the machine the test is
// skipped, or fails if POSTERN_TEST_ALL is set.
func Open(t testing.TB, engine db.Engine, now func() time.Time) *db.DB {
	t.Helper()
	if engine == db.PostgreSQL {
		return openPostgreSQL(t, now)
	}
	return open(t, db.Config{Path: filepath.Join(t.TempDir(), "postern.db"), Now: now})
}

func open(t testing.TB, cfg db.Config) *db.DB {
	t.Helper()
	d, err := db.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	if err := d.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return d
}
