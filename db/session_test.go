package db_test

import (
	"errors"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
)

// signIn adds a session whose token is its name.
func signIn(t testing.TB, d *db.DB, u db.User, name string) (id int64) {
	t.Helper()
	return add(t, d, func(tx *db.Tx) (int64, error) {
		return tx.AddSession(t.Context(), db.Session{UserID: u.ID, Epoch: u.Epoch, Data: []byte("first")}, hash(name))
	})
}

func session(t *testing.T, d *db.DB, name string) db.Session {
	t.Helper()
	s, _, err := d.Reader().SessionByToken(t.Context(), hash(name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantNoSession(t *testing.T, d *db.DB, name string) {
	t.Helper()
	if s, _, err := d.Reader().SessionByToken(t.Context(), hash(name)); !errors.Is(err, db.ErrNotFound) {
		t.Errorf("the session %s is %+v, %v", name, s, err)
	}
}

// C1: a request that began before the end and finishes after it.
func TestWhatComesLateDoesNotBringAnEndedSessionBack(t *testing.T) {
	ends := map[string]func(tx *db.Tx, u db.User, id int64, token []byte) error{
		"ended": func(tx *db.Tx, _ db.User, id int64, _ []byte) error { return tx.EndSession(t.Context(), id) },
		"by token": func(tx *db.Tx, _ db.User, _ int64, token []byte) error {
			return tx.EndSessionByToken(t.Context(), token)
		},
		"by reset": func(tx *db.Tx, u db.User, _ int64, _ []byte) error {
			return second(tx.EndAccess(t.Context(), u.ID, u.Epoch, 0))
		},
		"deleted": func(tx *db.Tx, u db.User, _ int64, _ []byte) error { return tx.EmptyUser(t.Context(), u.ID) },
	}
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		for name, end := range ends {
			ann := newUser(t, d, name)
			id := signIn(t, d, ann, name)
			update(t, d, func(tx *db.Tx) error { return end(tx, ann, id, hash(name)) })
			wantNoSession(t, d, name)
			clock.Advance(time.Minute)
			update(t, d, func(tx *db.Tx) error { return tx.SetSessionData(t.Context(), hash(name), []byte("late")) })
			update(t, d, func(tx *db.Tx) error { return tx.TouchSession(t.Context(), id) })
			err := d.Update(t.Context(), func(tx *db.Tx) error { return tx.RenewSession(t.Context(), id, hash(name+" again"), true) })
			if !errors.Is(err, db.ErrNotFound) {
				t.Errorf("%s: it got a new token: %v", name, err)
			}
			wantNoSession(t, d, name)
			wantNoSession(t, d, name+" again")
		}
		wantRows(t, d, "session WHERE ended_at = 0 OR last_seen_at > ended_at", 0)
	})
}

// C4
func TestARenewedSessionForgetsItsOldToken(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		id := signIn(t, d, ann, "a")
		signIn(t, d, ann, "other")
		began := d.Now()
		clock.Advance(time.Minute)
		update(t, d, func(tx *db.Tx) error { return tx.RenewSession(t.Context(), id, hash("b"), false) })
		wantNoSession(t, d, "a")
		if s := session(t, d, "b"); s.ID != id || s.ProvenAt != began || string(s.Data) != "first" {
			t.Errorf("without proof it became %+v", s)
		}
		update(t, d, func(tx *db.Tx) error { return tx.RenewSession(t.Context(), id, hash("c"), true) })
		wantNoSession(t, d, "b")
		if s := session(t, d, "c"); s.ProvenAt != d.Now() || s.CreatedAt != began {
			t.Errorf("with proof it became %+v", s)
		}
		// A commit under the old token comes too late.
		update(t, d, func(tx *db.Tx) error { return tx.SetSessionData(t.Context(), hash("a"), []byte("late")) })
		if s := session(t, d, "c"); string(s.Data) != "first" {
			t.Errorf("the old token wrote %q", s.Data)
		}
		if s := session(t, d, "other"); s.ProvenAt != began {
			t.Error("the proof counts elsewhere, too")
		}
	})
}

func TestALiveSessionKeepsWhatItCarries(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		id := signIn(t, d, ann, "a")
		signIn(t, d, ann, "b")
		began := d.Now()
		clock.Advance(time.Minute)
		update(t, d, func(tx *db.Tx) error { return tx.SetSessionData(t.Context(), hash("a"), []byte("second")) })
		update(t, d, func(tx *db.Tx) error { return tx.TouchSession(t.Context(), id) })
		if s := session(t, d, "a"); string(s.Data) != "second" || s.LastSeenAt != d.Now() || s.ProvenAt != began {
			t.Errorf("it became %+v", s)
		}
		if s := session(t, d, "b"); string(s.Data) != "first" || s.LastSeenAt != began {
			t.Errorf("another became %+v", s)
		}
	})
}

// C15: what a session says about its user is how they are now.
func TestADemotionCountsInSessionsThatAreOpen(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann := newOwner(t, d, "ann@acme.example", 0)
		signIn(t, d, ann, "a")
		update(t, d, func(tx *db.Tx) error { return tx.SetRole(t.Context(), ann.ID, "customer") })
		update(t, d, func(tx *db.Tx) error { return tx.SetActive(t.Context(), ann.ID, false) })
		if _, u, err := d.Reader().SessionByToken(t.Context(), hash("a")); err != nil || u.Staff() || u.Enabled() {
			t.Errorf("the session is still that of %+v, %v", u, err)
		}
	})
}

func TestABrowserIsKnownToItsUserForAYear(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		ann, bob := newUser(t, d, "ann@acme.example"), newUser(t, d, "bob@acme.example")
		remember := func() {
			update(t, d, func(tx *db.Tx) error {
				return tx.RememberBrowser(t.Context(), hash("a"), ann.ID, "Test/1.0", "192.0.2.1")
			})
		}
		wantKnown := func(u db.User, want bool) {
			t.Helper()
			if got, err := d.Reader().BrowserKnown(t.Context(), hash("a"), u.ID, d.Now()); got != want || err != nil {
				t.Errorf("known to %s: %t, %v", u.Email, got, err)
			}
		}
		wantKnown(ann, false)
		remember()
		clock.Advance(db.BrowserKept - time.Millisecond)
		wantKnown(ann, true)
		wantKnown(bob, false)
		remember()
		clock.Advance(db.BrowserKept - time.Millisecond)
		wantKnown(ann, true)
		clock.Advance(time.Millisecond)
		wantKnown(ann, false)
		remember()
		update(t, d, func(tx *db.Tx) error { return tx.ForgetBrowsers(t.Context(), bob.ID) })
		wantKnown(ann, true)
		update(t, d, func(tx *db.Tx) error { return tx.ForgetBrowsers(t.Context(), ann.ID) })
		wantKnown(ann, false)
	})
}
