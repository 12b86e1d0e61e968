package db_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
)

// addLink adds a link whose token is its name, good for an hour.
func addLink(t testing.TB, d *db.DB, u db.User, purpose db.Purpose, name string) (id int64) {
	t.Helper()
	return add(t, d, func(tx *db.Tx) (int64, error) {
		return tx.AddLink(t.Context(), db.Link{Purpose: purpose, UserID: u.ID, Email: u.Email, Epoch: u.Epoch, ExpiresAt: tx.Now.Add(time.Hour)}, hash(name))
	})
}

func linkNamed(t *testing.T, d *db.DB, name string) db.Link {
	t.Helper()
	link, err := d.Reader().LinkByToken(t.Context(), hash(name))
	if err != nil {
		t.Fatal(err)
	}
	return link
}

func useLink(t *testing.T, d *db.DB, id int64) error {
	t.Helper()
	return d.Update(t.Context(), func(tx *db.Tx) error { return tx.UseLink(t.Context(), id) })
}

func TestALinkComesBackAsStored(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		want := db.Link{Purpose: db.PurposeNotMe, UserID: ann.ID, Email: "Ann@acme.example", Epoch: 7, MessageID: 8,
			RestoreEmail: "old@acme.example", CreatedAt: d.Now(), ExpiresAt: d.Now().Add(time.Hour)}
		want.ID = add(t, d, func(tx *db.Tx) (int64, error) { return tx.AddLink(t.Context(), want, hash("a")) })
		if got := linkNamed(t, d, "a"); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// A10
func TestOfFiftyAtOnceOneUsesTheLink(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		id := addLink(t, d, newUser(t, d, "ann@acme.example"), db.PurposeReset, "a")
		wonOnce(t, atOnce(50, func(int) error { return useLink(t, d, id) }), db.ErrNotFound)
	})
}

// A11
func TestALinkEndsAtItsLastMillisecond(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		for after, open := range map[time.Duration]bool{-time.Millisecond: true, 0: false, time.Millisecond: false} {
			ann := newUser(t, d, fmt.Sprint(after, "@acme.example"))
			name := after.String()
			id := addLink(t, d, ann, db.PurposeReset, name)
			clock.Advance(time.Hour + after)
			if got := linkNamed(t, d, name).OpenAt(d.Now(), ann); got != open {
				t.Errorf("%s after its end it is open: %t", after, got)
			}
			if err := useLink(t, d, id); (err == nil) != open || err != nil && !errors.Is(err, db.ErrNotFound) {
				t.Errorf("%s after its end: %v", after, err)
			}
		}
	})
}

// A9, A14
func TestAUsedOrRevokedLinkIsDead(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		used, revoked := addLink(t, d, ann, db.PurposeReset, "used"), addLink(t, d, ann, db.PurposeReset, "revoked")
		if err := useLink(t, d, used); err != nil {
			t.Fatal(err)
		}
		revoke := func(tx *db.Tx) error { return tx.RevokeLinks(t.Context(), ann.ID, db.PurposeReset, 0) }
		update(t, d, revoke)
		usedAt, revokedAt := linkNamed(t, d, "used").UsedAt, linkNamed(t, d, "revoked").RevokedAt
		clock.Advance(time.Minute)
		update(t, d, revoke)
		for name, id := range map[string]int64{"used": used, "revoked": revoked} {
			for act, err := range map[string]error{
				"used":    useLink(t, d, id),
				"counted": d.Update(t.Context(), func(tx *db.Tx) error { return second(tx.CountLinkFailure(t.Context(), id, 5)) }),
			} {
				if !errors.Is(err, db.ErrNotFound) {
					t.Errorf("a %s link could be %s: %v", name, act, err)
				}
			}
			if linkNamed(t, d, name).OpenAt(d.Now(), ann) {
				t.Errorf("a %s link is open", name)
			}
		}
		if got := linkNamed(t, d, "used"); got.UsedAt != usedAt || got.RevokedAt != 0 || got.Failures != 0 {
			t.Errorf("the used link became %+v", got)
		}
		if got := linkNamed(t, d, "revoked"); got.RevokedAt != revokedAt || got.UsedAt != 0 || got.Failures != 0 {
			t.Errorf("the revoked link became %+v", got)
		}
	})
}

// A14: a link dies with the epoch, but for the one that says "this was not me".
func TestALinkOfAnOlderEpochIsDead(t *testing.T) {
	ann, now := db.User{Epoch: 2}, db.Time(1000)
	for _, p := range purposes {
		old := db.Link{Purpose: p, Epoch: 1, ExpiresAt: now + 1}
		if open := old.OpenAt(now, ann); open != (p == db.PurposeNotMe) {
			t.Errorf("%s of an older epoch is open: %t", p, open)
		}
		old.Epoch = 2
		if !old.OpenAt(now, ann) {
			t.Errorf("%s of this epoch is dead", p)
		}
	}
}

// Five wrong usernames kill a link, also when they all come at once.
func TestTheFifthWrongUsernameKillsTheLink(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		id := addLink(t, d, ann, db.PurposeReset, "a")
		counts := make([]int64, 12)
		errs := atOnce(len(counts), func(i int) error {
			return d.Update(t.Context(), func(tx *db.Tx) (err error) {
				counts[i], err = tx.CountLinkFailure(t.Context(), id, 5)
				return err
			})
		})
		for i, err := range errs {
			if err != nil && !errors.Is(err, db.ErrNotFound) {
				t.Errorf("guess %d: %v", i, err)
			}
		}
		slices.Sort(counts)
		if want := []int64{0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5}; !slices.Equal(counts, want) {
			t.Errorf("counted %v", counts)
		}
		if err := useLink(t, d, id); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("the link still works: %v", err)
		}
		another := addLink(t, d, ann, db.PurposeReset, "b")
		for range 4 {
			update(t, d, func(tx *db.Tx) error { return second(tx.CountLinkFailure(t.Context(), another, 5)) })
		}
		if err := useLink(t, d, another); err != nil {
			t.Errorf("after the fourth: %v", err)
		}
	})
}

func TestOnlyTheNewestLinksStayOpen(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann, bob := newUser(t, d, "ann@acme.example"), newUser(t, d, "bob@acme.example")
		names := []string{"1", "2", "3", "4", "5"}
		for _, name := range names {
			addLink(t, d, ann, db.PurposeReset, name)
		}
		addLink(t, d, ann, db.PurposeInvitation, "another purpose")
		addLink(t, d, bob, db.PurposeReset, "another user")
		// A used one does not take a place.
		if err := useLink(t, d, linkNamed(t, d, "4").ID); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			keep int
			open []string
		}{{3, []string{"2", "3", "5"}}, {1, []string{"5"}}, {0, nil}} {
			update(t, d, func(tx *db.Tx) error { return tx.RevokeLinks(t.Context(), ann.ID, db.PurposeReset, step.keep) })
			var open []string
			for _, name := range names {
				if linkNamed(t, d, name).OpenAt(d.Now(), ann) {
					open = append(open, name)
				}
			}
			if !slices.Equal(open, step.open) {
				t.Errorf("keeping %d leaves %v", step.keep, open)
			}
		}
		if !linkNamed(t, d, "another purpose").OpenAt(d.Now(), ann) || !linkNamed(t, d, "another user").OpenAt(d.Now(), bob) {
			t.Error("it reached others")
		}
	})
}

func TestALinkIsTakenBackUnlessItWasUsed(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		back, used := addLink(t, d, ann, db.PurposeReset, "back"), addLink(t, d, ann, db.PurposeReset, "used")
		if err := useLink(t, d, used); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for _, id := range []int64{back, used} {
				update(t, d, func(tx *db.Tx) error { return tx.TakeBackLink(t.Context(), id) })
			}
		}
		if got, err := d.Reader().LinkByToken(t.Context(), hash("back")); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("still known: %+v, %v", got, err)
		}
		if linkNamed(t, d, "used").UsedAt == 0 {
			t.Error("the used link became another")
		}
	})
}

// A thief who changed the address twice holds the second not-me link, which would bring
// the first stolen address back.
func TestAThiefCannotRestoreTheStolenAddress(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann, bob := newUser(t, d, "ann@acme.example"), newUser(t, d, "bob@acme.example")
		for i, l := range []struct {
			user     db.User
			old, key string
		}{{ann, "earlier@acme.example", "earlier"}, {ann, "ann@acme.example", "own"}, {bob, "bob@acme.example", "other"},
			{ann, "thief@evil.example", "thief"}, {ann, "", "plain"}} {
			link := db.Link{Purpose: db.PurposeNotMe, UserID: l.user.ID, RestoreEmail: l.old, MessageID: int64(i + 1), ExpiresAt: d.Now().Add(time.Hour)}
			add(t, d, func(tx *db.Tx) (int64, error) { return tx.AddLink(t.Context(), link, hash(l.key)) })
		}
		update(t, d, func(tx *db.Tx) error { return tx.VoidLaterRestores(t.Context(), linkNamed(t, d, "own")) })
		for key, want := range map[string]string{"earlier": "earlier@acme.example", "own": "ann@acme.example",
			"other": "bob@acme.example", "thief": "", "plain": ""} {
			link := linkNamed(t, d, key)
			if link.RestoreEmail != want {
				t.Errorf("%s would restore %q", key, link.RestoreEmail)
			}
			if !link.OpenAt(d.Now(), ann) {
				t.Errorf("%s cannot shut the account any more", key)
			}
		}
	})
}
