package db_test

import (
	"errors"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
)

func TestAMessageIsRetriedAsItWasSeenOrNotAtAll(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		ctx := t.Context()
		update := func(change func(tx *db.Tx) error) {
			t.Helper()
			if err := d.Update(ctx, change); err != nil {
				t.Fatal(err)
			}
		}
		retry := func(m db.Message) error {
			return d.Update(ctx, func(tx *db.Tx) error { return tx.RetryMessage(ctx, m) })
		}
		var held db.Message
		update(func(tx *db.Tx) (err error) {
			held, err = tx.EnqueueHeld(ctx, db.Message{Kind: db.MessageUnlocked, Recipient: "ann@acme.example",
				Data: db.MessageData{By: "administrator"}}, time.Minute)
			return err
		})
		if held.State != db.MessageSending || held.Attempts != 1 || held.DueAt != d.Now().Add(time.Minute) {
			t.Fatalf("it is held as %+v", held)
		}
		if err := retry(held); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("while it is being sent: %v", err)
		}
		update(func(tx *db.Tx) error { return tx.FinishMessage(ctx, held, db.MessageFailed, "550 no") })
		if err := retry(held); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("as it was before: %v", err)
		}
		failed, err := d.Reader().Message(ctx, held.ID)
		if err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Hour)
		if err := retry(failed); err != nil {
			t.Fatal(err)
		}
		if err := retry(failed); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a second time at once: %v", err)
		}
		var again db.Message
		update(func(tx *db.Tx) (err error) {
			again, err = tx.ClaimMessage(ctx, time.Minute)
			return err
		})
		if again.ID != held.ID || again.Attempts != 2 || again.CreatedAt != held.CreatedAt || again.FinishedAt != 0 ||
			again.Data.RetriedAt != d.Now() || again.Data.By != "administrator" {
			t.Errorf("it is due as %+v", again)
		}
		update(func(tx *db.Tx) error { return tx.FinishMessage(ctx, again, db.MessageSent, "250 ok") })
		if again.State = db.MessageSent; retry(again) == nil {
			t.Error("what was sent is sent again")
		}
	})
}

func TestActionsAreCountedOnceInTheSpanTheyHappenedIn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		ctx := t.Context()
		add := func(action string, organization int64) {
			t.Helper()
			if err := d.Update(ctx, func(tx *db.Tx) error {
				return tx.AddEvent(ctx, db.Event{Action: action, Outcome: "done", Actor: db.Actor{Kind: db.ActorSystem}, OrganizationID: organization, Detail: "{}"})
			}); err != nil {
				t.Fatal(err)
			}
		}
		began := d.Now()
		add("a", 1)
		add("b", 2)
		clock.Advance(time.Hour)
		middle := d.Now()
		add("a", 1)
		add("a", 0)
		for _, c := range []struct {
			over         int64
			since, until db.Time
			want         map[string]int
		}{
			{0, began, middle + 1, map[string]int{"a": 3, "b": 1}}, {0, began, middle, map[string]int{"a": 1, "b": 1}},
			{0, middle, middle + 1, map[string]int{"a": 2}}, {1, began, middle + 1, map[string]int{"a": 2}},
			{2, began, middle + 1, map[string]int{"b": 1}}, {-1, began, middle + 1, map[string]int{}},
		} {
			counts, err := d.Reader().CountActions(ctx, c.over, c.since, c.until)
			if err != nil {
				t.Fatal(err)
			}
			if len(counts) != len(c.want) {
				t.Errorf("%+v: %v", c, counts)
			}
			for _, count := range counts {
				if c.want[count.Action] != count.N || count.Outcome != "done" {
					t.Errorf("%+v: %v", c, counts)
				}
			}
		}
	})
}

func TestNobodysOrganizationsAreLonelyToWhoSeesNobody(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		if err := d.Update(t.Context(), func(tx *db.Tx) error {
			id, err := tx.AddOrganization(t.Context(), "Acme", "acme")
			if err != nil {
				return err
			}
			_, err = tx.AddUser(t.Context(), db.User{Email: "ann@acme.example", Name: "Ann", TimeZone: "UTC", OrganizationID: id, Role: db.Role{ID: "customer"}})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for over, want := range map[int64]int{0: 1, -1: 0, 1: 1, 2: 0} {
			first, none, one, err := d.Reader().LonelyOrganizations(t.Context(), over, 5)
			if err != nil || none != want || one != 0 || len(first) != want {
				t.Errorf("over %d: %v, %d without, %d with one: %v", over, first, none, one, err)
			}
		}
	})
}
