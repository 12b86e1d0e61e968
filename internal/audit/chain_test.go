package audit_test

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/audit"
)

// trail is an audit trail that tests write to and tamper with.
type trail struct {
	t     testing.TB
	d     *db.DB
	raw   *sql.DB
	clock *dbtest.Clock
	chain audit.Chain
}

// newTrail opens a fresh database, and once more beside it, as an intruder would.
func newTrail(t testing.TB, engine db.Engine) *trail {
	t.Helper()
	w := &trail{t: t, clock: dbtest.NewClock(), chain: audit.NewChain([]byte("a secret of the test"))}
	cfg := db.Config{Path: filepath.Join(t.TempDir(), "postern.db"), Now: w.clock.Now}
	driver, name := "sqlite", "file:"+cfg.Path+"?_pragma=busy_timeout(5000)"
	if engine == db.PostgreSQL {
		cfg.URL = dbtest.NewPostgreSQL(t)
		driver, name = "pgx", cfg.URL
	}
	var err error
	if w.d, err = db.Open(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	var opened error
	w.raw, opened = sql.Open(driver, name)
	t.Cleanup(func() {
		if err := errors.Join(w.raw.Close(), w.d.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(opened, w.d.Migrate(context.Background())); err != nil {
		t.Fatal(err)
	}
	return w
}

func eachTrail(t *testing.T, test func(t *testing.T, w *trail)) {
	t.Helper()
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) { test(t, newTrail(t, engine)) })
	}
}

func (w *trail) ctx() context.Context { return context.Background() }

// record writes events, each a second after the one before.
func (w *trail) record(n int) {
	w.t.Helper()
	for k := range n {
		w.clock.Advance(time.Second)
		err := w.d.Update(w.ctx(), func(tx *db.Tx) error {
			actor := db.Actor{Kind: db.ActorUser, UserID: 7, Address: "192.0.2.1", UserAgent: "Test/1.0", RequestID: "REQUEST"}
			return audit.Record(w.ctx(), tx, audit.Event{Action: audit.PasswordChanged, Actor: actor, User: db.User{ID: 9, OrganizationID: 4},
				Detail: map[string]string{"k": strconv.Itoa(k)}})
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *trail) seal() {
	w.t.Helper()
	if err := w.chain.Seal(w.ctx(), w.d); err != nil {
		w.t.Fatal(err)
	}
}

func (w *trail) newest() audit.Head {
	w.t.Helper()
	head, err := w.chain.Newest(w.ctx(), w.d.Reader(), audit.Head{})
	if err != nil {
		w.t.Fatal(err)
	}
	return head
}

func (w *trail) tamper(statement string, args ...any) {
	w.t.Helper()
	if _, err := w.raw.ExecContext(w.ctx(), statement, args...); err != nil {
		w.t.Fatalf("%s: %v", statement, err)
	}
}

// holds checks that the trail holds, with so many sealed and so many waiting.
func (w *trail) holds(kept audit.Head, checked, waiting int64) {
	w.t.Helper()
	report, err := w.chain.Verify(w.ctx(), w.d.Reader(), kept)
	if err != nil || report.Checked != checked || report.Waiting != waiting {
		w.t.Fatalf("%d events hold and %d wait instead of %d and %d: %v", report.Checked, report.Waiting, checked, waiting, err)
	}
}

// breaks checks that the first broken link is at that position.
func (w *trail) breaks(kept audit.Head, position int64) {
	w.t.Helper()
	_, err := w.chain.Verify(w.ctx(), w.d.Reader(), kept)
	broken, ok := errors.AsType[*audit.BrokenError](err)
	if !ok || broken.Position != position {
		w.t.Errorf("the first broken link should be at position %d: %v", position, err)
	}
}

func (w *trail) number(question string, args ...any) (n int64) {
	w.t.Helper()
	if err := w.raw.QueryRowContext(w.ctx(), question, args...).Scan(&n); err != nil {
		w.t.Fatalf("%s: %v", question, err)
	}
	return n
}

func TestWhatIsWrittenIsSealedInOrderAndHolds(t *testing.T) {
	eachTrail(t, func(t *testing.T, w *trail) {
		w.holds(audit.Head{}, 0, 0)
		w.record(3)
		w.holds(audit.Head{}, 0, 3)
		w.seal()
		kept := w.newest()
		w.holds(kept, 3, 0)
		w.seal() // again does nothing
		if again := w.newest(); again.String() != kept.String() || kept.Position != 3 {
			t.Errorf("the newest link was %s and is %s", kept, again)
		}
		w.record(1200) // more than a batch
		w.seal()
		w.holds(kept, 1203, 0)
		w.holds(w.newest(), 1203, 0)
		if n := w.number(`SELECT count(*) FROM audit_event a JOIN audit_event b ON b.position = a.position + 1 WHERE b.id < a.id`); n != 0 {
			t.Errorf("%d events are sealed before an older one", n)
		}
	})
}

func TestAHeadIsReadAsItWasWrittenOrNotAtAll(t *testing.T) {
	head := audit.Head{Position: 12, Code: []byte(strings.Repeat("x", 32))}
	read, err := audit.ParseHead(head.String() + "\n")
	if err != nil || read.String() != head.String() {
		t.Errorf("%s is read as %s: %v", head, read, err)
	}
	for _, text := range []string{"", "12", "12 ", "x " + hex.EncodeToString(head.Code), "12 abcd", "0 " + hex.EncodeToString(head.Code), "-1 " + hex.EncodeToString(head.Code),
		"12 " + hex.EncodeToString(head.Code)[:63] + "g"} {
		if read, err := audit.ParseHead(text); err == nil || !read.Empty() {
			t.Errorf("%q is read as %s", text, read)
		}
	}
}

// On PostgreSQL writers run beside one another, so that an older event may be committed
// after a newer one was sealed.
func TestWritersWaitForNoSealerAndALateEventIsSealedOnce(t *testing.T) {
	w := newTrail(t, db.PostgreSQL)
	early, err := w.raw.BeginTx(w.ctx(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Rollback() //nolint:errcheck // it is committed below
	if _, err := early.ExecContext(w.ctx(), `INSERT INTO audit_event (at, action, outcome, actor_kind, detail, address, user_agent, request_id)
		VALUES (1, 'sign_in.succeeded', 'done', 'visitor', '{}', '', '', 'LATE')`); err != nil {
		t.Fatal(err)
	}
	w.record(3)
	w.seal() // does not wait for the one that is still open
	w.holds(audit.Head{}, 3, 0)

	// A sealer that stands still in the middle of its work keeps nobody from writing.
	sealing, err := w.raw.BeginTx(w.ctx(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sealing.Rollback() //nolint:errcheck // nothing is kept of it
	if _, err := sealing.ExecContext(w.ctx(), `UPDATE instance SET value = value WHERE name = 'audit_chain'`); err != nil {
		t.Fatal(err)
	}
	if _, err := sealing.ExecContext(w.ctx(), `UPDATE audit_event SET code = code`); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	w.record(20)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("twenty events took %v", took)
	}
	if err := sealing.Rollback(); err != nil {
		t.Fatal(err)
	}

	if err := early.Commit(); err != nil {
		t.Fatal(err)
	}
	w.seal()
	w.seal()
	w.holds(audit.Head{}, 24, 0)
	if late, first := w.number(`SELECT position FROM audit_event WHERE request_id = 'LATE'`),
		w.number(`SELECT id FROM audit_event WHERE request_id = 'LATE'`); late != 4 || first != 1 {
		t.Errorf("the late event %d is at position %d", first, late)
	}
}

func TestManyWritersAndSeveralSealersMakeOneChain(t *testing.T) {
	eachTrail(t, func(t *testing.T, w *trail) {
		const writers, events, sealers = 8, 40, 3
		var writing, sealing sync.WaitGroup
		done := make(chan struct{})
		failed := make(chan error, writers*events+sealers)
		for range writers {
			writing.Go(func() {
				for range events {
					failed <- w.d.Update(w.ctx(), func(tx *db.Tx) error {
						return audit.Record(w.ctx(), tx, audit.Event{Action: audit.SignedIn, Actor: db.Actor{Kind: db.ActorVisitor}})
					})
				}
			})
		}
		for range sealers {
			sealing.Go(func() {
				for {
					if err := w.chain.Seal(w.ctx(), w.d); err != nil {
						failed <- err
						return
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		// Whoever looks meanwhile finds nothing wrong.
		for range 5 {
			if _, err := w.chain.Verify(w.ctx(), w.d.Reader(), w.newest()); err != nil {
				t.Error(err)
			}
		}
		writing.Wait()
		close(done)
		sealing.Wait()
		close(failed)
		for err := range failed {
			if err != nil {
				t.Fatal(err)
			}
		}
		w.seal()
		w.holds(w.newest(), writers*events, 0)
	})
}

func TestATrailThatWasTamperedWithIsBrokenAtTheFirstLinkTouched(t *testing.T) {
	eachTrail(t, func(t *testing.T, w *trail) {
		w.record(9)
		w.seal()
		kept := w.newest()
		w.record(1)
		tampered := map[string]struct {
			position   int64
			statements []string
		}{
			"at":              {4, []string{`UPDATE audit_event SET at = at + 1 WHERE position = 4`}},
			"action":          {4, []string{`UPDATE audit_event SET action = 'password.reset' WHERE position = 4`}},
			"outcome":         {4, []string{`UPDATE audit_event SET outcome = 'refused' WHERE position = 4`}},
			"actor_kind":      {4, []string{`UPDATE audit_event SET actor_kind = 'operator' WHERE position = 4`}},
			"actor_id":        {4, []string{`UPDATE audit_event SET actor_id = 8 WHERE position = 4`}},
			"no actor_id":     {4, []string{`UPDATE audit_event SET actor_id = NULL WHERE position = 4`}},
			"user_id":         {4, []string{`UPDATE audit_event SET user_id = 7, actor_id = 9 WHERE position = 4`}},
			"organization_id": {4, []string{`UPDATE audit_event SET organization_id = 5 WHERE position = 4`}},
			"detail":          {4, []string{`UPDATE audit_event SET detail = '{}' WHERE position = 4`}},
			"address":         {4, []string{`UPDATE audit_event SET address = '192.0.2.2' WHERE position = 4`}},
			"user_agent":      {4, []string{`UPDATE audit_event SET user_agent = '' WHERE position = 4`}},
			"request_id":      {4, []string{`UPDATE audit_event SET request_id = 'REQUESU' WHERE position = 4`}},
			"moved text":      {4, []string{`UPDATE audit_event SET user_agent = address || user_agent, address = '' WHERE position = 4`}},
			"id":              {4, []string{`UPDATE audit_event SET id = 1000 WHERE position = 4`}},
			"code":            {4, []string{`UPDATE audit_event SET code = (SELECT b.code FROM audit_event b WHERE b.position = 5) WHERE position = 4`}},
			"no code":         {4, []string{`UPDATE audit_event SET code = NULL WHERE position = 4`}},
			"two at once":     {3, []string{`UPDATE audit_event SET at = at + 1 WHERE position IN (3, 7)`}},
			"deleted":         {4, []string{`DELETE FROM audit_event WHERE position = 4`}},
			"first deleted":   {1, []string{`DELETE FROM audit_event WHERE position = 1`}},
			"closed up": {4, []string{`DELETE FROM audit_event WHERE position = 4`, `UPDATE audit_event SET position = -position WHERE position > 4`,
				`UPDATE audit_event SET position = -position - 1 WHERE position < 0`}},
			"swapped": {4, []string{`UPDATE audit_event SET position = -5 WHERE position = 4`, `UPDATE audit_event SET position = 4 WHERE position = 5`,
				`UPDATE audit_event SET position = 5 WHERE position = -5`}},
			"swapped with codes": {4, []string{`UPDATE audit_event SET position = -5 WHERE position = 4`, `UPDATE audit_event SET position = 4 WHERE position = 5`,
				`UPDATE audit_event SET position = 5 WHERE position = -5`,
				`UPDATE audit_event SET code = (SELECT b.code FROM audit_event b WHERE b.position = 9 - audit_event.position) WHERE position IN (4, 5)`}},
			"taken out of the chain": {4, []string{`UPDATE audit_event SET position = NULL, code = NULL WHERE position = 4`}},
			"before the beginning":   {0, []string{`UPDATE audit_event SET position = 0 WHERE position IS NULL`}},
			"far before it":          {-3, []string{`UPDATE audit_event SET position = -3 WHERE position IS NULL`}},
			"put in at the end":      {10, []string{`UPDATE audit_event SET position = 10, code = (SELECT b.code FROM audit_event b WHERE b.position = 9) WHERE position IS NULL`}},
			"put in beyond the end":  {10, []string{`UPDATE audit_event SET position = 99, code = (SELECT b.code FROM audit_event b WHERE b.position = 9) WHERE position IS NULL`}},
			"end cut off":            {8, []string{`DELETE FROM audit_event WHERE position > 7`}},
			"end undone":             {9, []string{`UPDATE audit_event SET position = NULL, code = NULL, detail = '{}' WHERE position = 9`}},
			"all gone":               {1, []string{`DELETE FROM audit_event`}},
		}
		w.tamper(`CREATE TABLE original AS SELECT * FROM audit_event`)
		for name, done := range tampered {
			for _, statement := range done.statements {
				w.tamper(statement)
			}
			t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
				inner := *w
				inner.t = t
				inner.breaks(kept, done.position)
			})
			w.tamper(`DELETE FROM audit_event`)
			w.tamper(`INSERT INTO audit_event SELECT * FROM original`)
			w.holds(kept, 9, 1)
		}
	})
}

func TestATrailOfAnotherKeyDoesNotHold(t *testing.T) {
	eachTrail(t, func(t *testing.T, w *trail) {
		w.record(2)
		w.seal()
		own := w.chain
		w.chain = audit.NewChain([]byte("another secret"))
		w.breaks(audit.Head{}, 1)
		w.record(2)
		w.seal() // as somebody would who has the database and not the key
		w.chain = own
		w.breaks(audit.Head{}, 3)
	})
}

// Whoever cuts the end off and lets the portal go on makes a chain that holds by itself.
func TestTheKeptHeadShowsAnEndThatWasCutOffAndGrewAgain(t *testing.T) {
	eachTrail(t, func(t *testing.T, w *trail) {
		w.record(5)
		w.seal()
		kept := w.newest()
		w.tamper(`DELETE FROM audit_event WHERE position > 3`)
		newest := func(position int64) {
			t.Helper()
			_, err := w.chain.Newest(w.ctx(), w.d.Reader(), kept)
			if broken, ok := errors.AsType[*audit.BrokenError](err); !ok || broken.Position != position {
				t.Errorf("the newest link is said to follow the kept one: %v", err)
			}
		}
		newest(4)
		for range 3 {
			w.record(1)
			w.seal()
		}
		w.holds(audit.Head{}, 6, 0) // by itself
		w.breaks(kept, 5)
		newest(5)
		w.tamper(`DELETE FROM audit_event WHERE position = 5`)
		newest(5)
		w.tamper(`DELETE FROM audit_event`)
		newest(1)
	})
}

func TestRetentionRemovesTheOldestAndTheRestStillHolds(t *testing.T) {
	eachTrail(t, func(t *testing.T, w *trail) {
		trim := func(before db.Time) {
			t.Helper()
			if err := w.chain.Trim(w.ctx(), w.d, before); err != nil {
				t.Fatal(err)
			}
		}
		trim(w.d.Now()) // nothing is there
		w.record(10)
		trim(db.TimeOf(w.clock.Now().Add(-4 * time.Second)))
		report, err := w.chain.Verify(w.ctx(), w.d.Reader(), audit.Head{})
		if err != nil || report.Checked != 6 || report.Trimmed != 5 || report.Waiting != 0 {
			t.Fatalf("%+v: %v", report, err)
		}
		kept := w.newest()
		trim(db.TimeOf(w.clock.Now().Add(-4 * time.Second))) // nothing more
		w.holds(kept, 6, 0)
		if kept.Position != 11 {
			t.Errorf("the newest link is %s", kept)
		}
		events, err := w.d.Reader().Events(w.ctx(), db.EventFilter{Action: string(audit.AuditTrimmed)}, 0, 10)
		if err != nil || len(events) != 1 || events[0].Details()["events"] != "5" || events[0].Details()["position"] != "5" || events[0].ActorKind != "system" {
			t.Errorf("what was removed is told as %+v: %v", events, err)
		}
		// The event that tells of it goes in its turn, but never the newest link.
		w.clock.Advance(time.Hour)
		w.record(1)
		w.clock.Advance(time.Hour)
		trim(w.d.Now())
		report, err = w.chain.Verify(w.ctx(), w.d.Reader(), kept)
		if err != nil || report.Checked == 0 || report.Trimmed < 11 {
			t.Errorf("%+v: %v", report, err)
		}
		w.record(2)
		w.seal()
		w.holds(w.newest(), report.Checked+2, 0)
	})
}

func TestATrimmingThatIsMadeUpIsNoticed(t *testing.T) {
	eachTrail(t, func(t *testing.T, w *trail) {
		w.record(8)
		w.seal()
		var code []byte
		if err := w.raw.QueryRowContext(w.ctx(), `SELECT code FROM audit_event WHERE position = 5`).Scan(&code); err != nil {
			t.Fatal(err)
		}
		w.tamper(`DELETE FROM audit_event WHERE position <= 5`)
		w.breaks(audit.Head{}, 5)
		fake := func(proof string) {
			w.tamper(`INSERT INTO audit_event (at, action, outcome, actor_kind, detail, address, user_agent, request_id)
				VALUES ($1, 'audit.trimmed', 'done', 'system', $2, '', '', '')`, int64(w.d.Now()),
				fmt.Sprintf(`{"position":"5","code":"%s","events":"5","before":"2026-01-01T00:00:00Z"%s}`, hex.EncodeToString(code), proof))
		}
		fake("")
		fake(`,"proof":"` + hex.EncodeToString(code) + `"`)
		w.breaks(audit.Head{}, 5)
		w.seal() // the portal cannot know who has written it
		w.breaks(audit.Head{}, 5)

		// Nor does a true one help that tells of other events.
		w = newTrail(t, w.d.Engine())
		w.record(8)
		if err := w.chain.Trim(w.ctx(), w.d, db.TimeOf(w.clock.Now().Add(-5*time.Second))); err != nil {
			t.Fatal(err)
		}
		w.holds(w.newest(), 7, 0)
		w.tamper(`DELETE FROM audit_event WHERE position <= 4`)
		w.breaks(audit.Head{}, 4)
		w.tamper(`UPDATE audit_event SET detail = REPLACE(detail, '"position":"2"', '"position":"4"') WHERE action = 'audit.trimmed'`)
		w.breaks(audit.Head{}, 4)
		// One of another key neither.
		own := newTrail(t, w.d.Engine())
		own.record(8)
		own.seal()
		w = newTrail(t, w.d.Engine())
		w.chain = audit.NewChain([]byte("another secret"))
		w.record(8)
		if err := w.chain.Trim(w.ctx(), w.d, db.TimeOf(w.clock.Now().Add(-3*time.Second))); err != nil {
			t.Fatal(err)
		}
		var detail string
		if err := w.raw.QueryRowContext(w.ctx(), `SELECT detail FROM audit_event WHERE action = 'audit.trimmed'`).Scan(&detail); err != nil {
			t.Fatal(err)
		}
		own.tamper(`DELETE FROM audit_event WHERE position <= 4`)
		own.tamper(`UPDATE audit_event SET action = 'audit.trimmed', detail = $1 WHERE position = 8`, detail)
		own.breaks(audit.Head{}, 4)
	})
}

func TestNobodyGetsRidOfAnEventByMakingItLookOld(t *testing.T) {
	eachTrail(t, func(t *testing.T, w *trail) {
		for _, made := range []string{`UPDATE audit_event SET at = 1 WHERE position <= 6`, `UPDATE audit_event SET at = 1`,
			`DELETE FROM audit_event WHERE position = 2`} {
			w := newTrail(t, w.d.Engine())
			w.record(8)
			w.seal()
			w.tamper(made)
			before := w.number(`SELECT count(*) FROM audit_event`)
			err := w.chain.Trim(w.ctx(), w.d, db.TimeOf(w.clock.Now().Add(-5*time.Second)))
			if _, broken := errors.AsType[*audit.BrokenError](err); !broken || w.number(`SELECT count(*) FROM audit_event`) != before {
				t.Errorf("after %s events are removed: %v", made, err)
			}
		}
	})
}

func TestMoreThanOneTransactionRemovesIsTrimmedToo(t *testing.T) {
	w := newTrail(t, db.SQLite)
	w.fill(11_000)
	w.clock.Advance(24 * time.Hour)
	w.record(1)
	done := make(chan error, 1)
	go func() { done <- w.chain.Trim(w.ctx(), w.d, w.d.Now()) }()
	for trimming := true; trimming; { // verify runs beside it and finds nothing wrong
		select {
		case err := <-done:
			if trimming = false; err != nil {
				t.Fatal(err)
			}
		default:
			if _, err := w.chain.Verify(w.ctx(), w.d.Reader(), audit.Head{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.holds(w.newest(), 4, 0) // the event itself, and three that tell
}

// fill writes many events at once.
func (w *trail) fill(n int) {
	w.t.Helper()
	err := w.d.Update(w.ctx(), func(tx *db.Tx) error {
		for range n {
			actor := db.Actor{Kind: db.ActorVisitor, Address: "192.0.2.1", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0", RequestID: "ABCDEFGHIJ"}
			if err := audit.Record(w.ctx(), tx, audit.Event{Action: audit.SignedIn, Actor: actor, User: db.User{ID: 1}, Detail: map[string]string{"factor": "totp"}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// BenchmarkSeal tells how many events a second are sealed.
func BenchmarkSeal(b *testing.B) {
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		b.Run(string(engine), func(b *testing.B) {
			w := newTrail(b, engine)
			b.ReportAllocs()
			w.fill(b.N)
			b.ResetTimer()
			w.seal()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkVerify tells how many events a second are checked.
func BenchmarkVerify(b *testing.B) {
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		b.Run(string(engine), func(b *testing.B) {
			w := newTrail(b, engine)
			w.fill(b.N)
			w.seal()
			b.ResetTimer()
			w.holds(audit.Head{}, int64(b.N), 0)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
