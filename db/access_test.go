package db_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
)

// purposes are all that a link can be good for.
var purposes = []db.Purpose{db.PurposeReset, db.PurposeInvitation, db.PurposeVerifyEmail, db.PurposeNotMe}

// tokenOf names the thing of a user that giveAccess made.
func tokenOf(u db.User, thing any) []byte { return hash(fmt.Sprint(u.ID, thing)) }

// giveAccess gives a user two sessions, a link for each purpose, a browser, a waiting
// address and a mail.
func giveAccess(t testing.TB, d *db.DB, u db.User) (sessions [2]int64) {
	t.Helper()
	ctx := t.Context()
	update(t, d, func(tx *db.Tx) (err error) {
		for i := range sessions {
			if sessions[i], err = tx.AddSession(ctx, db.Session{UserID: u.ID, Epoch: u.Epoch, Data: []byte("{}")}, tokenOf(u, i)); err != nil {
				return err
			}
		}
		for _, p := range purposes {
			link := db.Link{Purpose: p, UserID: u.ID, Email: u.Email, Epoch: u.Epoch, ExpiresAt: tx.Now + 1}
			if _, err := tx.AddLink(ctx, link, tokenOf(u, p)); err != nil {
				return err
			}
		}
		return errors.Join(tx.RememberBrowser(ctx, tokenOf(u, "browser"), u.ID, "", ""), tx.SetPendingEmail(ctx, u.ID, "new@acme.example"),
			tx.Enqueue(ctx, db.Message{UserID: u.ID}))
	})
	return sessions
}

// wantAccess compares which of the things of giveAccess still open a door.
func wantAccess(t *testing.T, d *db.DB, u db.User, sessions [2]bool, links map[db.Purpose]bool) {
	t.Helper()
	now := user(t, d, u.ID)
	for i, want := range sessions {
		s, _, err := d.Reader().SessionByToken(t.Context(), tokenOf(u, i))
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			t.Fatal(err)
		}
		if found := err == nil; found != want || found && s.Epoch != now.Epoch {
			t.Errorf("session %d of %s: found %t, epoch %d of %d", i, u.Email, found, s.Epoch, now.Epoch)
		}
	}
	for _, p := range purposes {
		link, err := d.Reader().LinkByToken(t.Context(), tokenOf(u, p))
		if err != nil {
			t.Fatal(err)
		}
		if got := link.OpenAt(d.Now(), now); got != links[p] {
			t.Errorf("the link %s of %s opens: %t", p, u.Email, got)
		}
		if revoked := link.RevokedAt != 0; revoked == links[p] {
			t.Errorf("the link %s of %s is revoked: %t", p, u.Email, revoked)
		}
	}
}

var (
	allLinks  = map[db.Purpose]bool{db.PurposeReset: true, db.PurposeInvitation: true, db.PurposeVerifyEmail: true, db.PurposeNotMe: true}
	onlyNotMe = map[db.Purpose]bool{db.PurposeNotMe: true}
)

// A13, A14, A21
func TestAChangedCredentialShutsEveryOtherDoor(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann, bob := newUser(t, d, "ann@acme.example"), newUser(t, d, "bob@acme.example")
		kept := giveAccess(t, d, ann)[1]
		giveAccess(t, d, bob)
		epoch := add(t, d, func(tx *db.Tx) (int64, error) { return tx.EndAccess(t.Context(), ann.ID, ann.Epoch, kept) })

		wantAccess(t, d, ann, [2]bool{false, true}, onlyNotMe)
		wantAccess(t, d, bob, [2]bool{true, true}, allLinks)
		after := user(t, d, ann.ID)
		if epoch != ann.Epoch+1 || after.Epoch != epoch || after.EpochAt != d.Now() || after.PendingEmail != "" {
			t.Errorf("afterwards %+v", after)
		}
		if other := user(t, d, bob.ID); other.Epoch != bob.Epoch || other.PendingEmail == "" {
			t.Errorf("somebody else became %+v", other)
		}
	})
}

// Even a mistaken caller must not let one user's change reach into another's session, and a
// session that has ended is no session to keep.
func TestNoSessionIsKeptThatIsNotTheUsersOwnLiveOne(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann, bob := newUser(t, d, "ann@acme.example"), newUser(t, d, "bob@acme.example")
		ended, theirs := giveAccess(t, d, ann)[0], giveAccess(t, d, bob)[0]
		update(t, d, func(tx *db.Tx) error { return second(tx.EndAccess(t.Context(), ann.ID, ann.Epoch, theirs)) })
		wantAccess(t, d, ann, [2]bool{}, onlyNotMe)
		wantAccess(t, d, bob, [2]bool{true, true}, allLinks)
		update(t, d, func(tx *db.Tx) error { return second(tx.EndAccess(t.Context(), ann.ID, ann.Epoch+1, ended)) })
		wantAccess(t, d, ann, [2]bool{}, onlyNotMe)
	})
}

func TestADecisionOvertakenByAnotherChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		giveAccess(t, d, ann)
		for _, epoch := range []int64{ann.Epoch - 1, ann.Epoch + 1, 0} {
			// The error is dropped on purpose: nothing may have happened before it.
			update(t, d, func(tx *db.Tx) error {
				if _, err := tx.EndAccess(t.Context(), ann.ID, epoch, 0); !errors.Is(err, db.ErrNotFound) {
					t.Errorf("epoch %d: %v", epoch, err)
				}
				return nil
			})
		}
		wantAccess(t, d, ann, [2]bool{true, true}, allLinks)
		if after := user(t, d, ann.ID); after.Epoch != ann.Epoch || after.PendingEmail == "" {
			t.Errorf("afterwards %+v", after)
		}
	})
}

func TestAnOrganizationSwitchedOffSignsOutItsOwnAndNobodyElse(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		var users [4]db.User // two of Acme, one of Beta, one of none
		acme := add(t, d, func(tx *db.Tx) (int64, error) { return tx.AddOrganization(t.Context(), "Acme", "acme") })
		beta := add(t, d, func(tx *db.Tx) (int64, error) { return tx.AddOrganization(t.Context(), "Beta", "beta") })
		for i, organization := range []int64{acme, acme, beta, 0} {
			users[i] = addUser(t, d, db.User{Email: fmt.Sprint(i, "@acme.example"), TimeZone: "UTC", OrganizationID: organization, Role: db.Role{ID: "customer"}})
			giveAccess(t, d, users[i])
		}
		update(t, d, func(tx *db.Tx) error { return tx.EndOrganizationAccess(t.Context(), acme) })
		for i, u := range users {
			after := user(t, d, u.ID)
			if i < 2 {
				wantAccess(t, d, u, [2]bool{}, onlyNotMe)
				if after.Epoch != u.Epoch+1 || after.EpochAt != d.Now() || after.PendingEmail != "" {
					t.Errorf("a member became %+v", after)
				}
				continue
			}
			wantAccess(t, d, u, [2]bool{true, true}, allLinks)
			if after.Epoch != u.Epoch || after.PendingEmail == "" {
				t.Errorf("an outsider became %+v", after)
			}
		}
	})
}

// A13: two links of one user, used at the same moment.
func TestOfTwoLinksUsedAtOnceOneCounts(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		links := []int64{addLink(t, d, ann, db.PurposeReset, "a"), addLink(t, d, ann, db.PurposeReset, "b")}
		errs := atOnce(len(links), func(i int) error {
			return d.Update(t.Context(), func(tx *db.Tx) error {
				if err := tx.UseLink(t.Context(), links[i]); err != nil {
					return err
				}
				return second(tx.EndAccess(t.Context(), ann.ID, ann.Epoch, 0))
			})
		})
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, db.ErrNotFound) {
				t.Error(err)
			}
		}
		used := number(t, d, `SELECT count(*) FROM link WHERE used_at > 0`)
		if epoch := user(t, d, ann.ID).Epoch; won != 1 || used != 1 || epoch != ann.Epoch+1 {
			t.Errorf("%d won, %d links are used, the epoch is %d", won, used, epoch)
		}
		wantRows(t, d, "link WHERE used_at = 0 AND revoked_at = 0", 0)
	})
}

var errLastOwner = errors.New("the last owner must stay")

// newOwner makes an owner who can sign in.
func newOwner(t testing.TB, d *db.DB, email string, organization int64) db.User {
	t.Helper()
	return addUser(t, d, db.User{Email: email, TimeZone: "UTC", OrganizationID: organization, Role: db.Role{ID: "owner"},
		PasswordHash: "hash", PasswordSetAt: d.Now()})
}

// takeOwner takes an owner away unless there would be none left.
func takeOwner(ctx context.Context, tx *db.Tx, change func() error) error {
	if err := tx.LockOwners(ctx); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	left, err := tx.ActiveOwners(ctx)
	if err == nil && left == 0 {
		err = errLastOwner
	}
	return err
}

func TestTwoOwnersWhoRemoveEachOtherLeaveOne(t *testing.T) {
	ctx := context.Background()
	ways := map[string]func(tx *db.Tx, u db.User) error{
		"demoted":     func(tx *db.Tx, u db.User) error { return tx.SetRole(ctx, u.ID, "customer") },
		"deactivated": func(tx *db.Tx, u db.User) error { return tx.SetActive(ctx, u.ID, false) },
		"not me":      func(tx *db.Tx, u db.User) error { return tx.CloseUser(ctx, u.ID) },
	}
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann, bob := newOwner(t, d, "ann@acme.example", 0), newOwner(t, d, "bob@acme.example", 0)
		update(t, d, func(tx *db.Tx) error { return second(tx.ClaimFact(ctx, db.FactSetupClosed, "yes")) })
		for name, take := range ways {
			other := make(chan error, 1)
			err := d.Update(ctx, func(tx *db.Tx) error {
				err := takeOwner(ctx, tx, func() error { return take(tx, ann) })
				go func() {
					other <- d.Update(ctx, func(tx *db.Tx) error {
						return takeOwner(ctx, tx, func() error { return take(tx, bob) })
					})
				}()
				untilTheOtherWaits(t, d, other)
				return err
			})
			wonOnce(t, []error{err, <-other}, errLastOwner)
			wantOwners(t, d, name, 1)
			restoreOwner(t, d, ann)
			restoreOwner(t, d, bob)
		}
	})
}

// untilTheOtherWaits returns when the other transaction waits for this one, or is done. On
// SQLite it cannot even begin.
func untilTheOtherWaits(t *testing.T, d *db.DB, other chan error) {
	for deadline := time.Now().Add(patience); d.Engine() == db.PostgreSQL && len(other) == 0; {
		if number(t, d, `SELECT count(*) FROM pg_locks WHERE NOT granted`) > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Error("the other transaction neither waits nor ends")
			return
		}
	}
}

func restoreOwner(t *testing.T, d *db.DB, u db.User) {
	t.Helper()
	raw(t, d, `UPDATE user_account SET role = 'owner', active = TRUE, closed_at = 0 WHERE id = $1`, u.ID)
}

// Whoever cannot sign in does not count, or the last one who can might be taken away.
func TestOnlyOwnersWhoCanSignInCount(t *testing.T) {
	ctx := context.Background()
	ways := map[string]func(tx *db.Tx, u db.User) error{
		"another role":              func(tx *db.Tx, u db.User) error { return tx.SetRole(ctx, u.ID, "support") },
		"deactivated":               func(tx *db.Tx, u db.User) error { return tx.SetActive(ctx, u.ID, false) },
		"not me":                    func(tx *db.Tx, u db.User) error { return tx.CloseUser(ctx, u.ID) },
		"deleted":                   func(tx *db.Tx, u db.User) error { return tx.EmptyUser(ctx, u.ID) },
		"organization switched off": func(tx *db.Tx, u db.User) error { return tx.SetOrganizationActive(ctx, u.OrganizationID, false) },
	}
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		newOwner(t, d, "ann@acme.example", 0)
		addUser(t, d, db.User{Email: "invited@acme.example", TimeZone: "UTC", Role: db.Role{ID: "owner"}})
		for name, shut := range ways {
			organization := add(t, d, func(tx *db.Tx) (int64, error) { return tx.AddOrganization(ctx, name, name) })
			bob := newOwner(t, d, name, organization)
			wantOwners(t, d, name, 2)
			update(t, d, func(tx *db.Tx) error { return shut(tx, bob) })
			wantOwners(t, d, name, 1)
			raw(t, d, `UPDATE user_account SET role = 'customer' WHERE id = $1`, bob.ID)
		}
	})
}

func wantOwners(t *testing.T, d *db.DB, when string, want int) {
	t.Helper()
	if n, err := d.Reader().ActiveOwners(t.Context()); n != want || err != nil {
		t.Errorf("%s: %d owners instead of %d, %v", when, n, want, err)
	}
}
