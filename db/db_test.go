package db_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var errRefused = errors.New("refused by a rule")

// patience is for what must come at once, so that a test fails where it would hang.
const patience = 20 * time.Second

// each is dbtest.Each, but the tests share one database on PostgreSQL, where making one
// takes longer than most tests. What changes the schema needs one of its own.
func each(t *testing.T, test func(t *testing.T, d *db.DB, clock *dbtest.Clock)) {
	t.Helper()
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) {
			clock := dbtest.NewClock()
			if engine == db.PostgreSQL {
				test(t, openShared(t, clock.Now), clock)
			} else {
				test(t, dbtest.Open(t, engine, clock.Now), clock)
			}
		})
	}
}

// sharedURL is where the tests' database on PostgreSQL is, as soon as one has wanted it.
var sharedURL string

// openShared empties and opens that database.
func openShared(t testing.TB, now func() time.Time) *db.DB {
	t.Helper()
	if sharedURL == "" {
		url := dbtest.NewPostgreSQL(t)
		if err := openEmpty(t, db.Config{URL: url}).Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		sharedURL = url
	}
	d := openEmpty(t, db.Config{URL: sharedURL, Now: now})
	for _, table := range []string{"audit_event", "authenticator", "browser", "enrolment", "failure", "import_row", "instance", "link", "outbox",
		"rate", "recovery_code", "session", "setting", "user_account", "organization"} {
		raw(t, d, `DELETE FROM `+table)
	}
	raw(t, d, `DELETE FROM role WHERE NOT built_in`)
	return d
}

// update makes a change that must succeed.
func update(t testing.TB, d *db.DB, change func(tx *db.Tx) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := d.Update(ctx, change); err != nil {
		t.Fatal(err)
	}
}

// add is update for what returns an id.
func add(t testing.TB, d *db.DB, change func(tx *db.Tx) (int64, error)) (id int64) {
	t.Helper()
	update(t, d, func(tx *db.Tx) (err error) {
		id, err = change(tx)
		return err
	})
	return id
}

// raw runs a statement that no method of the package has.
func raw(t testing.TB, d *db.DB, query string, args ...any) {
	t.Helper()
	if _, err := d.Writer().ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// number is the answer to a question that no method of the package has.
func number(t testing.TB, d *db.DB, query string) (n int64) {
	t.Helper()
	if err := d.Readers().QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// newUser makes a customer.
func newUser(t testing.TB, d *db.DB, email string) db.User {
	t.Helper()
	return addUser(t, d, db.User{Email: email, Name: "Ann Smith", TimeZone: "UTC", Role: db.Role{ID: "customer"}})
}

func addUser(t testing.TB, d *db.DB, u db.User) db.User {
	t.Helper()
	return user(t, d, add(t, d, func(tx *db.Tx) (int64, error) { return tx.AddUser(t.Context(), u) }))
}

// user reads a user who must be there.
func user(t testing.TB, d *db.DB, id int64) db.User {
	t.Helper()
	u, err := d.Reader().User(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// hash stands for the hash of a token.
func hash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// atOnce runs n of them at the same moment and returns their errors.
func atOnce(n int, one func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			<-start
			errs[i] = one(i)
		})
	}
	close(start)
	running.Wait()
	return errs
}

// wonOnce fails the test unless exactly one succeeded and the others were told so.
func wonOnce(t *testing.T, errs []error, lost error) {
	t.Helper()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, lost):
			t.Errorf("instead of %q: %v", lost, err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d won", won, len(errs))
	}
}

func TestARefusedChangeLeavesNothingBehind(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		err := d.Update(t.Context(), func(tx *db.Tx) error {
			if err := tx.SetFact(t.Context(), "canary", "sings"); err != nil {
				return err
			}
			return errRefused
		})
		if !errors.Is(err, errRefused) {
			t.Errorf("the reason became %v", err)
		}
		update(t, d, func(tx *db.Tx) error { return tx.SetFact(t.Context(), "after", "well") })
		if _, err := d.Reader().Fact(t.Context(), "canary"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("something stayed: %v", err)
		}
	})
}

// I25. More panics than any pool has connections: a single one kept would stop all writing.
func TestAPanicLeavesNothingBehindAndOthersCanGoOnWriting(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		for range 20 {
			panicking(t, d)
		}
		update(t, d, func(tx *db.Tx) error { return tx.SetFact(t.Context(), "after", "well") })
		if _, err := d.Reader().Fact(t.Context(), "canary"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("something stayed: %v", err)
		}
		if n := d.Writer().Stats().InUse; n != 0 {
			t.Errorf("%d connections never came back", n)
		}
	})
}

func panicking(t *testing.T, d *db.DB) {
	defer func() {
		if recover() == nil {
			t.Fatal("the panic was swallowed")
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel) // and no sooner, because that would roll back, too
	err := d.Update(ctx, func(tx *db.Tx) error {
		if err := tx.SetFact(ctx, "canary", "sings"); err != nil {
			return err
		}
		panic("a bug")
	})
	t.Fatalf("no panic, but %v", err)
}

func TestAVisitorWhoLeavesHalfWayLeavesNothingBehind(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ctx, leave := context.WithCancel(t.Context())
		err := d.Update(ctx, func(tx *db.Tx) error {
			if err := tx.SetFact(ctx, "canary", "sings"); err != nil {
				return err
			}
			leave()
			return tx.SetFact(ctx, "second", "sings")
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the error does not say that the visitor left: %v", err)
		}
		if _, err := d.Reader().Fact(t.Context(), "canary"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("something stayed: %v", err)
		}
		update(t, d, func(tx *db.Tx) error { return tx.SetFact(t.Context(), "after", "well") })
	})
}

// Time may run out when all is done but the commit. That is said no differently from time
// that ran out before: the work can be tried again.
func TestTimeThatRunsOutBeforeTheCommitIsSaidAsSuch(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		began := false
		err := d.Update(ctx, func(tx *db.Tx) error {
			began = true
			untilRolledBack(t, tx)
			return nil
		})
		if !began {
			t.Fatalf("it did not even begin: %v", err)
		}
		if !errors.Is(err, context.DeadlineExceeded) || !db.Unavailable(err) {
			t.Errorf("instead of asking for patience it says: %v", err)
		}
	})
}

// untilRolledBack asks until the transaction has been taken away.
func untilRolledBack(t *testing.T, tx *db.Tx) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err := tx.Fact(context.WithoutCancel(t.Context()), "canary"); errors.Is(err, sql.ErrTxDone) {
			return
		}
	}
	t.Error("the transaction outlived its time")
}

// I6: the portal and commands beside it. PostgreSQL lets two read the same before either
// writes, so there only changes that are decided by one statement are safe: the next test.
func TestOnSQLiteEightWhoReadAndThenWriteLoseNothing(t *testing.T) {
	const each = 15
	path := sqlitePath(t)
	var programs []*db.DB
	for range 4 {
		d := sqliteAt(t, path)
		defer closing(t, d)
		programs = append(programs, d)
	}
	if err := programs[0].Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	errs := atOnce(8, func(i int) error {
		for range each {
			if err := programs[i/2].Update(t.Context(), func(tx *db.Tx) error { return countUp(t.Context(), tx) }); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if got, err := programs[0].Reader().Fact(t.Context(), "count"); got != strconv.Itoa(8*each) {
		t.Errorf("%s of %d, %v", got, 8*each, err)
	}
}

func countUp(ctx context.Context, tx *db.Tx) error {
	value, err := tx.Fact(ctx, "count")
	if errors.Is(err, db.ErrNotFound) {
		value = "0"
	} else if err != nil {
		return err
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return err
	}
	return tx.SetFact(ctx, "count", strconv.Itoa(n+1))
}

// I6 on both engines, with a change that says what it stands on.
func TestOfEightChangesAtOnceEachHappensAndNoneTwice(t *testing.T) {
	const turns = 5
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		errs := atOnce(8, func(int) error {
			for done := 0; done < turns; {
				err := d.Update(t.Context(), func(tx *db.Tx) error { return endAccess(t.Context(), tx, ann.ID) })
				if err == nil {
					done++
				} else if !errors.Is(err, db.ErrNotFound) {
					return err
				}
			}
			return nil
		})
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if got, want := user(t, d, ann.ID).Epoch, ann.Epoch+8*turns; got != want {
			t.Errorf("epoch %d, want %d", got, want)
		}
	})
}

func endAccess(ctx context.Context, tx *db.Tx, userID int64) error {
	u, err := tx.User(ctx, userID)
	if err != nil {
		return err
	}
	_, err = tx.EndAccess(ctx, u.ID, u.Epoch, 0)
	return err
}

func TestAllOfATransactionHappensAtOneMoment(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		began := d.Now()
		var id int64
		update(t, d, func(tx *db.Tx) (err error) {
			if id, err = tx.AddUser(t.Context(), db.User{Email: "ann@acme.example", TimeZone: "UTC", Role: db.Role{ID: "customer"}}); err != nil {
				return err
			}
			clock.Advance(time.Hour)
			if err := tx.SetPassword(t.Context(), id, "hash"); err != nil {
				return err
			}
			return tx.Enqueue(t.Context(), db.Message{Kind: db.MessageInvitation, UserID: id})
		})
		due, err := d.Reader().NextDue(t.Context())
		if ann := user(t, d, id); err != nil || ann.CreatedAt != began || ann.PasswordSetAt != began || due != began {
			t.Errorf("made %d, password %d, mail %d, began %d, %v", ann.CreatedAt, ann.PasswordSetAt, due, began, err)
		}
	})
}

// sqliteAt opens a SQLite database that the test closes itself.
func sqliteAt(t testing.TB, path string) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), db.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// closing closes a database, which must go well.
func closing(t testing.TB, d *db.DB) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func sqlitePath(t testing.TB) string { return filepath.Join(t.TempDir(), "postern.db") }
