package db_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
)

const lease = 20 * time.Second

// enqueue puts a mail into the outbox and returns its id.
func enqueue(t testing.TB, d *db.DB, recipient string) int64 {
	t.Helper()
	update(t, d, func(tx *db.Tx) error {
		return tx.Enqueue(t.Context(), db.Message{Kind: db.MessageReset, Recipient: recipient})
	})
	return number(t, d, `SELECT max(id) FROM outbox`)
}

func claim(ctx context.Context, d *db.DB) (m db.Message, err error) {
	err = d.Update(ctx, func(tx *db.Tx) (err error) {
		m, err = tx.ClaimMessage(ctx, lease)
		return err
	})
	return m, err
}

// claimed claims a message that must be this one.
func claimed(t *testing.T, d *db.DB, id int64) db.Message {
	t.Helper()
	m, err := claim(t.Context(), d)
	if err != nil || m.ID != id {
		t.Fatalf("claimed %d instead of %d, %v", m.ID, id, err)
	}
	return m
}

func wantNoneDue(t *testing.T, d *db.DB) {
	t.Helper()
	if m, err := claim(t.Context(), d); !errors.Is(err, db.ErrNotFound) {
		t.Fatalf("message %d could be claimed, %v", m.ID, err)
	}
}

func wantNextDue(t *testing.T, d *db.DB, want db.Time) {
	t.Helper()
	if got, err := d.Reader().NextDue(t.Context()); got != want || err != nil {
		t.Errorf("next due in %s instead of %s, %v", got.Sub(d.Now()), want.Sub(d.Now()), err)
	}
}

func message(t *testing.T, d *db.DB, id int64) db.Message {
	t.Helper()
	m, err := d.Reader().Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func finish(t *testing.T, d *db.DB, m db.Message, state db.MessageState, answer string) {
	t.Helper()
	update(t, d, func(tx *db.Tx) error { return tx.FinishMessage(t.Context(), m, state, answer) })
}

func requeue(t *testing.T, d *db.DB, m db.Message, wait time.Duration, answer string) {
	t.Helper()
	update(t, d, func(tx *db.Tx) error { return tx.RequeueMessage(t.Context(), m, wait, answer) })
}

func extend(t *testing.T, d *db.DB, m db.Message) {
	t.Helper()
	update(t, d, func(tx *db.Tx) error { return tx.ExtendLease(t.Context(), m, lease) })
}

func TestAMessageComesBackAsStored(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		want := db.Message{Kind: db.MessageEmailChanged, UserID: 7, Recipient: "ann@acme.example", State: db.MessageQueued,
			DueAt: d.Now(), CreatedAt: d.Now(), Data: db.MessageData{Email: "é", Username: "u", TokenHash: []byte{0, 255}, NewEmail: "n",
				AboutUserID: 8, By: "operator", Address: "192.0.2.1", UserAgent: "<\u2028>", RequestID: "R"}}
		update(t, d, func(tx *db.Tx) error { return tx.Enqueue(t.Context(), want) })
		want.ID = number(t, d, `SELECT max(id) FROM outbox`)
		if got := message(t, d, want.ID); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
		clock.Advance(time.Minute)
		want.State, want.Attempts, want.DueAt = db.MessageSending, 1, d.Now().Add(lease)
		if got := claimed(t, d, want.ID); !reflect.DeepEqual(got, want) {
			t.Errorf("claimed %+v, want %+v", got, want)
		}
		update(t, d, func(tx *db.Tx) error { return tx.AddressMessage(t.Context(), want.ID, 9, "bob@acme.example") })
		finish(t, d, want, db.MessageSent, "250 fine")
		want.UserID, want.Recipient, want.State, want.Answer, want.FinishedAt = 9, "bob@acme.example", db.MessageSent, "250 fine", d.Now()
		if got := message(t, d, want.ID); !reflect.DeepEqual(got, want) {
			t.Errorf("finished %+v, want %+v", got, want)
		}
	})
}

// G11
func TestOfTwentyWorkersOneGetsEachMail(t *testing.T) {
	const mails = 60
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		for i := range mails {
			enqueue(t, d, fmt.Sprint(i))
		}
		var mu sync.Mutex
		got := map[int64]int{}
		errs := atOnce(20, func(int) error {
			for {
				m, err := claim(t.Context(), d)
				if errors.Is(err, db.ErrNotFound) {
					// Another may have been faster: only the outbox knows whether all are taken.
					if due, err := d.Reader().NextDue(t.Context()); err != nil || due > d.Now() {
						return err
					}
					continue
				} else if err != nil {
					return err
				}
				mu.Lock()
				got[m.ID]++
				mu.Unlock()
			}
		})
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		for id, n := range got {
			if m := message(t, d, id); n != 1 || m.Attempts != 1 {
				t.Errorf("mail %d was claimed %d times, and counts %d attempts", id, n, m.Attempts)
			}
		}
		if len(got) != mails {
			t.Errorf("%d mails of %d were claimed", len(got), mails)
		}
	})
}

// G4, G5: a worker that was killed lets go of its mail when the lease is over.
func TestAMailOfAKilledWorkerIsSentByAnother(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		id := enqueue(t, d, "ann@acme.example")
		claimed(t, d, id)
		clock.Advance(lease - time.Millisecond)
		wantNoneDue(t, d)
		wantNextDue(t, d, d.Now()+1)
		clock.Advance(time.Millisecond)
		if m := claimed(t, d, id); m.Attempts != 2 {
			t.Errorf("%d attempts", m.Attempts)
		}
		wantNextDue(t, d, d.Now().Add(lease))
	})
}

func TestASlowDialogueKeepsItsMail(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		id := enqueue(t, d, "ann@acme.example")
		m := claimed(t, d, id)
		clock.Advance(lease / 2)
		extend(t, d, m)
		clock.Advance(lease - time.Millisecond)
		wantNoneDue(t, d)
		clock.Advance(time.Millisecond)
		if m := claimed(t, d, id); m.Attempts != 2 {
			t.Errorf("%d attempts", m.Attempts)
		}
	})
}

func TestAMailThatCouldNotBeSentWaits(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		id := enqueue(t, d, "ann@acme.example")
		requeue(t, d, claimed(t, d, id), time.Minute, "450 later")
		if m := message(t, d, id); m.State != db.MessageQueued || m.Answer != "450 later" || m.FinishedAt != 0 {
			t.Errorf("it became %+v", m)
		}
		wantNextDue(t, d, d.Now().Add(time.Minute))
		clock.Advance(time.Minute - time.Millisecond)
		wantNoneDue(t, d)
		clock.Advance(time.Millisecond)
		if m := claimed(t, d, id); m.Attempts != 2 {
			t.Errorf("%d attempts", m.Attempts)
		}
	})
}

// wantUntouched tries all that a worker does to a mail, none of which may change it.
func wantUntouched(t *testing.T, d *db.DB, m db.Message) {
	t.Helper()
	before := message(t, d, m.ID)
	finish(t, d, m, db.MessageSent, "250 late")
	requeue(t, d, m, 0, "450 late")
	extend(t, d, m)
	if after := message(t, d, m.ID); !reflect.DeepEqual(after, before) {
		t.Errorf("%+v became %+v", before, after)
	}
}

// The fate of a mail is written once, by the worker that has it.
func TestAMailIsFinishedOnce(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		id := enqueue(t, d, "ann@acme.example")
		wantUntouched(t, d, message(t, d, id))
		m := claimed(t, d, id)
		finish(t, d, m, db.MessageFailed, "550 no")
		clock.Advance(time.Hour)
		wantUntouched(t, d, m)
		update(t, d, func(tx *db.Tx) error { return tx.ReleaseMessages(t.Context()) })
		wantUntouched(t, d, m)
		wantNoneDue(t, d)
		if due, err := d.Reader().NextDue(t.Context()); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("something falls due at %d, %v", due, err)
		}
	})
}

// G11: a worker that stood still for longer than its lease wakes up while another sends.
func TestAWorkerThatWakesUpLateLeavesTheMailToTheOther(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		id := enqueue(t, d, "ann@acme.example")
		late := claimed(t, d, id)
		clock.Advance(lease)
		now := claimed(t, d, id)
		clock.Advance(time.Second)
		wantUntouched(t, d, late)
		finish(t, d, now, db.MessageSent, "250 fine")
		if m := message(t, d, id); m.State != db.MessageSent || m.Answer != "250 fine" {
			t.Errorf("it became %+v", m)
		}
	})
}

// A message that a later version wrote, or that is damaged, stays visible and in turn.
func TestAMessageThatCannotBeReadHidesNoOther(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		bad, good := enqueue(t, d, "1"), enqueue(t, d, "2")
		raw(t, d, `UPDATE outbox SET data = '{"email":' WHERE id = $1`, bad)
		all, err := d.Reader().Messages(t.Context(), "", 0, 10)
		if err != nil || len(all) != 2 || all[0].Unreadable || !all[1].Unreadable {
			t.Errorf("listed %+v, %v", all, err)
		}
		finish(t, d, claimed(t, d, bad), db.MessageFailed, "cannot be read")
		claimed(t, d, good)
	})
}

// G5
func TestAfterAKillWhatWasBeingSentIsDueAtOnce(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		sending, waiting := enqueue(t, d, "ann@acme.example"), enqueue(t, d, "bob@acme.example")
		claimed(t, d, sending)
		requeue(t, d, claimed(t, d, waiting), time.Hour, "later")
		wantNoneDue(t, d)
		update(t, d, func(tx *db.Tx) error { return tx.ReleaseMessages(t.Context()) })
		wantNextDue(t, d, d.Now())
		if m := claimed(t, d, sending); m.Attempts != 2 {
			t.Errorf("%d attempts", m.Attempts)
		}
		wantNoneDue(t, d)
	})
}

func TestTheMailThatWaitsLongestGoesFirst(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		first, later := enqueue(t, d, "1"), enqueue(t, d, "2")
		wantNextDue(t, d, d.Now())
		requeue(t, d, claimed(t, d, first), time.Minute, "")
		clock.Advance(2 * time.Minute)
		last := enqueue(t, d, "3")
		claimed(t, d, later)
		claimed(t, d, first)
		claimed(t, d, last)
	})
}

func TestStaffSeeTheFateOfMail(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ids := []int64{enqueue(t, d, "1"), enqueue(t, d, "2"), enqueue(t, d, "3")}
		finish(t, d, claimed(t, d, ids[0]), db.MessageFailed, "550 no")
		for state, want := range map[db.MessageState][]int64{"": {ids[2], ids[1], ids[0]}, db.MessageQueued: {ids[2], ids[1]},
			db.MessageFailed: {ids[0]}, db.MessageSent: nil} {
			var got []int64
			messages, err := d.Reader().Messages(t.Context(), state, 0, 10)
			for _, m := range messages {
				got = append(got, m.ID)
			}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%q: %v, want %v, %v", state, got, want, err)
			}
			if n, err := d.Reader().CountMessages(t.Context(), state); err != nil || state != "" && n != len(want) {
				t.Errorf("%q: counted %d, %v", state, n, err)
			}
		}
		if newest, err := d.Reader().Messages(t.Context(), "", 0, 1); err != nil || len(newest) != 1 || newest[0].ID != ids[2] {
			t.Errorf("the newest are %v, %v", newest, err)
		}
	})
}
