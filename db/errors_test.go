package db_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
)

func wantUnavailable(t *testing.T, when string, err error) {
	t.Helper()
	if !db.Unavailable(err) {
		t.Errorf("%s it does not ask to try again: %v", when, err)
	}
}

func writeFact(ctx context.Context, d *db.DB) error {
	return d.Update(ctx, func(tx *db.Tx) error { return tx.SetFact(ctx, "a", "b") })
}

func TestOnlyWhatMayPassAsksToTryAgain(t *testing.T) {
	for _, err := range []error{nil, db.ErrNotFound, db.ErrTaken, db.ErrNewer, errRefused} {
		if db.Unavailable(err) {
			t.Errorf("%v asks to try again", err)
		}
	}
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		for _, query := range []string{`SELEKT 1`, `SELECT 1 FROM nowhere`, `INSERT INTO setting (key, value) VALUES ('a', NULL)`} {
			if _, err := d.Writer().ExecContext(t.Context(), query); err == nil || db.Unavailable(err) {
				t.Errorf("%s: %v", query, err)
			}
		}
	})
}

// Somebody else keeps what this one needs, and time runs out.
func TestWhoWaitsTooLongForAnotherIsAskedToTryAgain(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		update(t, d, func(tx *db.Tx) error { return tx.SetFact(t.Context(), "a", "first") })
		update(t, d, func(tx *db.Tx) error {
			if err := tx.SetFact(t.Context(), "a", "second"); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			wantUnavailable(t, "waiting", writeFact(ctx, d))
			// Whoever only reads does not wait.
			if got, err := d.Reader().Fact(t.Context(), "a"); got != "first" || err != nil {
				t.Errorf("read %q, %v", got, err)
			}
			return nil
		})
		if got, err := d.Reader().Fact(t.Context(), "a"); got != "second" || err != nil {
			t.Errorf("in the end it is %q, %v", got, err)
		}
	})
}

// All connections are in use, and time runs out. The question is one that was never asked
// before.
func TestWhoWaitsTooLongToReadIsAskedToTryAgain(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		busy := allConnections(t, d.Readers())
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		answer := make(chan error, 1)
		go func() { answer <- second(d.Reader().Organization(ctx, 1)) }()
		select {
		case err := <-answer:
			wantUnavailable(t, "waiting", err)
		case <-time.After(patience / 4):
			t.Error("it waits on, though its time is over")
			for _, c := range busy {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}
			<-answer
		}
	})
}

// A command holds the database for longer than a request waits.
func TestABusySQLiteAsksToTryAgainAndGoesOnReading(t *testing.T) {
	path := sqlitePath(t)
	d := sqliteAt(t, path)
	defer closing(t, d)
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw(t, d, `PRAGMA busy_timeout = 20`) // the only connection that writes
	other := sqliteAt(t, path)
	defer closing(t, other)
	update(t, other, func(*db.Tx) error {
		wantUnavailable(t, "while another program writes", writeFact(t.Context(), d))
		if _, err := d.Reader().Role(t.Context(), "owner"); err != nil {
			t.Errorf("reading: %v", err)
		}
		return nil
	})
	if err := writeFact(t.Context(), d); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// goesOnAfter fails the test unless the database serves again by itself, and what it says
// until then asks to try again.
func goesOnAfter(t *testing.T, d *db.DB) {
	t.Helper()
	var err error
	for range 40 { // more than the pool has connections
		if err = writeFact(t.Context(), d); err == nil {
			if _, err = d.Reader().Fact(t.Context(), "a"); err == nil {
				return
			}
		}
		wantUnavailable(t, "after the loss", err)
	}
	t.Errorf("it never came back: %v", err)
}

// I26: PostgreSQL ends connections when it is stopped or an operator ends them.
func TestConnectionsEndedByTheServerAskToTryAgain(t *testing.T) {
	d := openShared(t, nil)
	ctx := t.Context()
	operator, err := d.Writer().Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer operator.Close() //nolint:errcheck // it was only for this
	err = d.Update(ctx, func(tx *db.Tx) error {
		if err := tx.SetFact(ctx, "canary", "sings"); err != nil {
			return err
		}
		if _, err := operator.ExecContext(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
			t.Error(err)
		}
		return tx.SetFact(ctx, "second", "sings")
	})
	wantUnavailable(t, "in the middle", err)
	goesOnAfter(t, d)
	if _, err := d.Reader().Fact(ctx, "canary"); !errors.Is(err, db.ErrNotFound) {
		t.Errorf("something stayed: %v", err)
	}
}

// I26: the network or the server's machine fails.
func TestACutConnectionAsksToTryAgain(t *testing.T) {
	address, err := url.Parse(dbtest.NewPostgreSQL(t))
	if err != nil {
		t.Fatal(err)
	}
	cable := newCable(t, address.Host)
	address.Host = cable.listener.Addr().String()
	d := openEmpty(t, db.Config{URL: address.String(), Now: dbtest.NewClock().Now})
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = d.Update(t.Context(), func(tx *db.Tx) error {
		if err := tx.SetFact(t.Context(), "canary", "sings"); err != nil {
			return err
		}
		cable.cut()
		return tx.SetFact(t.Context(), "second", "sings")
	})
	wantUnavailable(t, "in the middle", err)
	goesOnAfter(t, d)

	err = d.Update(t.Context(), func(tx *db.Tx) error {
		if err := tx.SetFact(t.Context(), "canary", "sings"); err != nil {
			return err
		}
		cable.cut()
		return nil
	})
	wantUnavailable(t, "at the commit", err)
	goesOnAfter(t, d)
	if _, err := d.Reader().Fact(t.Context(), "canary"); !errors.Is(err, db.ErrNotFound) {
		t.Errorf("something stayed: %v", err)
	}

	if err := cable.listener.Close(); err != nil {
		t.Fatal(err)
	}
	cable.cut()
	wantUnavailable(t, "without a server", firstOf(writeFact(t.Context(), d), writeFact(t.Context(), d)))
	_, err = db.Open(t.Context(), db.Config{URL: address.String()})
	wantUnavailable(t, "at the start", err)
}

// firstOf is the first error: the pool may need one to learn that all is gone.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// cable is a network between the portal and its database, which can be cut.
type cable struct {
	listener net.Listener
	mu       sync.Mutex
	ends     []net.Conn
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: listener}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				t.Error(err)
				return
			}
			c.mu.Lock()
			c.ends = append(c.ends, near, far)
			c.mu.Unlock()
			for _, ends := range [][2]net.Conn{{near, far}, {far, near}} {
				running.Go(func() { _, _ = io.Copy(ends[0], ends[1]) })
			}
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // the test may have done so
		c.cut()
		running.Wait()
	})
	return c
}

// cut breaks all connections there are; new ones can be made.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, end := range c.ends {
		_ = end.Close() // that is the point
	}
	c.ends = nil
}

// After a fail-over a node may still talk to the server that has become the spare one.
func TestADatabaseThatOnlyReadsAsksToTryAgain(t *testing.T) {
	d := openShared(t, nil)
	for _, c := range allConnections(t, d.Writer()) {
		_, err := c.ExecContext(t.Context(), `SET default_transaction_read_only = on`)
		if err := errors.Join(err, c.Close()); err != nil {
			t.Fatal(err)
		}
	}
	wantUnavailable(t, "writing", writeFact(t.Context(), d))
	if _, err := d.Reader().Role(t.Context(), "owner"); err != nil {
		t.Errorf("reading: %v", err)
	}
}
