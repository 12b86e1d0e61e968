package db_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
)

const (
	day      = 24 * time.Hour
	keepMail = 90 * day
)

// ageing are the tables that are purged: how a row gets into them, and how long it stays.
var ageing = map[string]struct {
	add  func(ctx context.Context, tx *db.Tx, user db.User, key []byte) error
	stay time.Duration
}{
	"rate": {func(ctx context.Context, tx *db.Tx, _ db.User, key []byte) error {
		return second(tx.ClaimRate(ctx, key, time.Minute, 5))
	}, time.Minute},
	"failure": {func(ctx context.Context, tx *db.Tx, _ db.User, key []byte) error {
		_, _, err := tx.ClaimFailure(ctx, key)
		return err
	}, 30 * day},
	"link": {func(ctx context.Context, tx *db.Tx, u db.User, key []byte) error {
		return second(tx.AddLink(ctx, db.Link{UserID: u.ID, ExpiresAt: tx.Now.Add(time.Hour)}, key))
	}, 30*day + time.Hour},
	"session": {func(ctx context.Context, tx *db.Tx, u db.User, key []byte) error {
		return second(tx.AddSession(ctx, db.Session{UserID: u.ID, Data: []byte{}}, key))
	}, 30 * day},
	"browser": {func(ctx context.Context, tx *db.Tx, u db.User, key []byte) error {
		return tx.RememberBrowser(ctx, key, u.ID, "", "")
	}, 365 * day},
	"outbox": {func(ctx context.Context, tx *db.Tx, u db.User, _ []byte) error {
		if err := tx.Enqueue(ctx, db.Message{UserID: u.ID}); err != nil {
			return err
		}
		m, err := tx.ClaimMessage(ctx, lease)
		if err != nil {
			return err
		}
		return tx.FinishMessage(ctx, m, db.MessageSent, "")
	}, keepMail},
}

func purge(t *testing.T, d *db.DB) {
	t.Helper()
	if err := d.Purge(t.Context(), keepMail); err != nil {
		t.Fatal(err)
	}
}

func wantRows(t *testing.T, d *db.DB, table string, want int64) {
	t.Helper()
	if got := number(t, d, `SELECT count(*) FROM `+table); got != want {
		t.Errorf("%s holds %d, want %d", table, got, want)
	}
}

func TestWhatIsOldGoesAndWhatIsNotStays(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		update(t, d, func(tx *db.Tx) error { return tx.AddEvent(t.Context(), db.Event{UserID: ann.ID}) })
		for table, a := range ageing {
			for i := range 2 { // a millisecond apart
				update(t, d, func(tx *db.Tx) error { return a.add(t.Context(), tx, ann, hash(fmt.Sprint(i))) })
				clock.Advance(time.Millisecond)
			}
			clock.Advance(a.stay - time.Millisecond)
			purge(t, d)
			wantRows(t, d, table, 1)
			clock.Advance(time.Millisecond)
			purge(t, d)
			wantRows(t, d, table, 0)
		}
		wantRows(t, d, "user_account", 1)
		wantRows(t, d, "audit_event", 1)
	})
}

// The secret is sealed, but there is no reason to keep it.
func TestASecretThatWasNeverConfirmedGoes(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		enrol(t, d, ann, "a")
		show(t, d, ann, "next")
		clock.Advance(10 * time.Minute)
		purge(t, d)
		wantRows(t, d, "enrolment", 1)
		clock.Advance(time.Millisecond)
		purge(t, d)
		wantRows(t, d, "enrolment", 0)
		clock.Advance(1000 * day)
		purge(t, d)
		wantRows(t, d, "authenticator", 1)
		wantRows(t, d, "recovery_code", 1)
	})
}

// Otherwise whoever waits for a month gets another hundred guesses.
func TestAStopIsNotLiftedByWaiting(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		for key, times := range map[string]int{"one short": 99, "stopped": 100} {
			for range times {
				update(t, d, func(tx *db.Tx) error {
					_, _, err := tx.ClaimFailure(t.Context(), hash(key))
					return err
				})
			}
		}
		clock.Advance(1000 * day)
		purge(t, d)
		wantRows(t, d, "failure WHERE count < 100", 0)
		wantRows(t, d, "failure", 1)
	})
}

func TestMailThatWasNotSentIsNeverPurged(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		states := []db.MessageState{db.MessageSent, db.MessageFailed, db.MessageDropped}
		for range len(states) + 2 {
			enqueue(t, d, "ann@acme.example")
		}
		for _, state := range states {
			m, err := claim(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			finish(t, d, m, state, "")
		}
		if _, err := claim(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		clock.Advance(10 * keepMail)
		if err := d.Purge(t.Context(), 0); err != nil { // 0 keeps all
			t.Fatal(err)
		}
		wantRows(t, d, "outbox", 5)
		purge(t, d)
		wantRows(t, d, "outbox WHERE state = 'queued'", 1)
		wantRows(t, d, "outbox WHERE state = 'sending'", 1)
		wantRows(t, d, "outbox", 2)
	})
}

// obstacle makes the deletion of one row impossible.
var obstacle = map[db.Engine]string{
	db.SQLite: `CREATE TRIGGER obstacle BEFORE DELETE ON rate WHEN (SELECT count(*) FROM rate) <= 600
		BEGIN SELECT RAISE(ABORT, 'an obstacle'); END`,
	db.PostgreSQL: `CREATE FUNCTION obstacle() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN IF (SELECT count(*) FROM rate) <= 600 THEN RAISE 'an obstacle'; END IF; RETURN OLD; END $$;
		CREATE TRIGGER obstacle BEFORE DELETE ON rate FOR EACH ROW EXECUTE FUNCTION obstacle()`,
}

// I29: a purge takes small bites, so that nobody who writes waits long. What it has taken
// stays taken, though a later bite fails.
func TestALongPurgeLetsOthersWriteMeanwhile(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		raw(t, d, `INSERT INTO rate (key, full_at) VALUES `+strings.TrimSuffix(strings.Repeat(randomKey[d.Engine()], 1200), ","))
		raw(t, d, obstacle[d.Engine()])
		if err := d.Purge(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "an obstacle") {
			t.Fatalf("the purge met no obstacle: %v", err)
		}
		if left := number(t, d, `SELECT count(*) FROM rate`); left <= 600 || left >= 1200 {
			t.Errorf("%d of 1200 are left", left)
		}
		raw(t, d, map[db.Engine]string{db.SQLite: `DROP TRIGGER obstacle`, db.PostgreSQL: `DROP TRIGGER obstacle ON rate`}[d.Engine()])
		purge(t, d)
		wantRows(t, d, "rate", 0)
	})
}

var randomKey = map[db.Engine]string{
	db.SQLite:     `(randomblob(16), 1),`,
	db.PostgreSQL: `(uuid_send(gen_random_uuid()), 1),`,
}
