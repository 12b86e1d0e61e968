package db_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
)

// enrol gives a user an authenticator whose step 10 was used last, and recovery codes.
func enrol(t testing.TB, d *db.DB, u db.User, codes ...string) {
	t.Helper()
	var hashes [][]byte
	for _, code := range codes {
		hashes = append(hashes, hash(code))
	}
	update(t, d, func(tx *db.Tx) error {
		return errors.Join(tx.SetAuthenticator(t.Context(), u.ID, []byte("sealed"), 10), tx.SetRecoveryCodes(t.Context(), u.ID, []byte("salt"), hashes))
	})
}

func useStep(t testing.TB, d *db.DB, u db.User, step int64) error {
	t.Helper()
	return d.Update(t.Context(), func(tx *db.Tx) error { return tx.UseStep(t.Context(), u.ID, step) })
}

func useCode(t testing.TB, d *db.DB, u db.User, code string) error {
	t.Helper()
	return d.Update(t.Context(), func(tx *db.Tx) error { return tx.UseRecoveryCode(t.Context(), u.ID, hash(code)) })
}

// wantRefused fails the test unless it was answered as what is not there.
func wantRefused(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, db.ErrNotFound) {
		t.Errorf("%s: %v", what, err)
	}
}

func wantCodesLeft(t *testing.T, d *db.DB, u db.User, want int) {
	t.Helper()
	if n, err := d.Reader().RecoveryCodesLeft(t.Context(), u.ID); n != want || err != nil {
		t.Errorf("%s has %d codes left (%v), not %d", u.Email, n, err, want)
	}
}

// D1, D2: codes are those of steps, and an earlier one must not count after a later one.
func TestATimeStepIsUsedOnceAndNeverAfterALaterOne(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann, bob := newUser(t, d, "ann@acme.example"), newUser(t, d, "bob@acme.example")
		wantRefused(t, "without an authenticator", useStep(t, d, ann, 11))
		enrol(t, d, ann)
		enrol(t, d, bob)
		for _, c := range []struct {
			step int64
			ok   bool
		}{{9, false}, {10, false}, {12, true}, {12, false}, {11, false}, {13, true}, {12, false}} {
			if err := useStep(t, d, ann, c.step); (err == nil) != c.ok || err != nil && !errors.Is(err, db.ErrNotFound) {
				t.Errorf("step %d: %v", c.step, err)
			}
		}
		if held, err := d.Reader().Authenticator(t.Context(), ann.ID); err != nil || held.LastStep != 13 || held.ConfirmedAt != d.Now() {
			t.Errorf("kept: %+v (%v)", held, err)
		}
		if err := useStep(t, d, bob, 11); err != nil {
			t.Errorf("somebody else's step is used up, too: %v", err)
		}
	})
}

// D3
func TestOfManyAtOnceOneUsesTheTimeStep(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		enrol(t, d, ann)
		wonOnce(t, atOnce(20, func(int) error { return useStep(t, d, ann, 11) }), db.ErrNotFound)
		// Whoever comes first: of the two steps none counts twice.
		errs := atOnce(20, func(i int) error { return useStep(t, d, ann, int64(12+i%2)) })
		for step := range 2 {
			won := 0
			for i := step; i < len(errs); i += 2 {
				if errs[i] == nil {
					won++
				}
			}
			if won > 1 || step == 1 && won != 1 {
				t.Errorf("step %d was used %d times", 12+step, won)
			}
		}
	})
}

// D13
func TestARecoveryCodeIsUsedOnceByItsOwnUserAlone(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann, bob := newUser(t, d, "ann@acme.example"), newUser(t, d, "bob@acme.example")
		if _, err := d.Reader().RecoverySalt(t.Context(), ann.ID); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("who has no codes has the salt of some: %v", err)
		}
		enrol(t, d, ann, "a", "b", "c")
		enrol(t, d, bob, "d")
		wantRefused(t, "somebody else's", useCode(t, d, bob, "a"))
		wonOnce(t, atOnce(20, func(int) error { return useCode(t, d, ann, "a") }), db.ErrNotFound)
		wantRefused(t, "used", useCode(t, d, ann, "a"))
		wantRefused(t, "unknown", useCode(t, d, ann, "x"))
		wantCodesLeft(t, d, ann, 2)
		wantCodesLeft(t, d, bob, 1)

		update(t, d, func(tx *db.Tx) error {
			return tx.SetRecoveryCodes(t.Context(), ann.ID, []byte("other"), [][]byte{hash("e")})
		})
		for _, old := range []string{"a", "b", "c"} {
			wantRefused(t, "of the old set", useCode(t, d, ann, old))
		}
		if salt, err := d.Reader().RecoverySalt(t.Context(), ann.ID); string(salt) != "other" || err != nil {
			t.Errorf("the salt is %q (%v)", salt, err)
		}
		if err := useCode(t, d, ann, "e"); err != nil {
			t.Errorf("a code of the new set: %v", err)
		}
	})
}

func TestARemovedAuthenticatorTakesItsCodesWithItAndNobodyElses(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann, bob := newUser(t, d, "ann@acme.example"), newUser(t, d, "bob@acme.example")
		remove := func() error {
			return d.Update(t.Context(), func(tx *db.Tx) error { return tx.RemoveAuthenticator(t.Context(), ann.ID) })
		}
		wantRefused(t, "without one", remove())
		for _, u := range []db.User{ann, bob} {
			enrol(t, d, u, "a", "b")
			show(t, d, u, "next")
		}
		if !user(t, d, ann.ID).SecondFactor {
			t.Error("an enrolled user has no second factor")
		}
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		wantRefused(t, "its step", useStep(t, d, ann, 11))
		wantRefused(t, "its recovery code", useCode(t, d, ann, "a"))
		wantShown(t, d, ann, "")
		if user(t, d, ann.ID).SecondFactor {
			t.Error("it still counts as a second factor")
		}
		wantShown(t, d, bob, "next")
		wantCodesLeft(t, d, bob, 2)
		if err := useStep(t, d, bob, 11); err != nil || !user(t, d, bob.ID).SecondFactor {
			t.Errorf("somebody else lost theirs: %v", err)
		}
	})
}

// show keeps a secret for ten minutes and returns the one that is shown.
func show(t testing.TB, d *db.DB, u db.User, sealed string) (shown string) {
	t.Helper()
	update(t, d, func(tx *db.Tx) error {
		got, err := tx.SetEnrolment(t.Context(), u.ID, []byte(sealed), tx.Now.Add(10*time.Minute))
		shown = string(got)
		return err
	})
	return shown
}

// wantShown fails the test unless that is the secret to confirm; empty for none.
func wantShown(t *testing.T, d *db.DB, u db.User, want string) {
	t.Helper()
	sealed, err := d.Reader().Enrolment(t.Context(), u.ID, d.Now())
	if string(sealed) != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, db.ErrNotFound) {
		t.Errorf("the secret to confirm is %q (%v), not %q", sealed, err, want)
	}
}

func TestTheSecretThatIsShownStaysTheSameUntilItsTimeIsUp(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		wantShown(t, d, ann, "")
		if got := show(t, d, ann, "first"); got != "first" {
			t.Errorf("shown: %q", got)
		}
		clock.Advance(10*time.Minute - time.Millisecond)
		if got := show(t, d, ann, "second"); got != "first" {
			t.Errorf("before its time is up it is replaced by %q", got)
		}
		wantShown(t, d, ann, "first")
		clock.Advance(time.Millisecond) // looking at it has not prolonged it
		wantShown(t, d, ann, "")
		if err := d.Update(t.Context(), func(tx *db.Tx) error { return tx.UseEnrolment(t.Context(), ann.ID, []byte("first")) }); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("it is confirmed too late: %v", err)
		}
		if got := show(t, d, ann, "third"); got != "third" {
			t.Errorf("after its time is up %q is shown", got)
		}
	})
}

// Of two pages opened at once one would show a secret that is worth nothing.
func TestOfManyWhoAreShownASecretAtOnceAllSeeTheSame(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		var seen [10][]byte
		errs := atOnce(len(seen), func(i int) error {
			return d.Update(t.Context(), func(tx *db.Tx) (err error) {
				seen[i], err = tx.SetEnrolment(t.Context(), ann.ID, fmt.Append(nil, "secret ", i), tx.Now.Add(time.Minute))
				return err
			})
		})
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		for _, secret := range seen {
			wantShown(t, d, ann, string(secret))
		}
	})
}

func TestOfManyAtOnceOneConfirmsWhatIsShown(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann, bob := newUser(t, d, "ann@acme.example"), newUser(t, d, "bob@acme.example")
		show(t, d, ann, "hers")
		confirm := func(u db.User, sealed string) error {
			return d.Update(t.Context(), func(tx *db.Tx) error { return tx.UseEnrolment(t.Context(), u.ID, []byte(sealed)) })
		}
		wantRefused(t, "by somebody else", confirm(bob, "hers"))
		wantRefused(t, "another secret", confirm(ann, "another"))
		wonOnce(t, atOnce(10, func(int) error { return confirm(ann, "hers") }), db.ErrNotFound)
		wantShown(t, d, ann, "")
	})
}

// D7, and in an organization as well as alone.
func TestWhatEndsAccessForgetsWhatIsNotConfirmed(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		acme := add(t, d, func(tx *db.Tx) (int64, error) { return tx.AddOrganization(t.Context(), "Acme", "acme") })
		ann, bob := newUser(t, d, "ann@acme.example"), newUser(t, d, "bob@acme.example")
		update(t, d, func(tx *db.Tx) error { return tx.SetOrganization(t.Context(), ann.ID, acme) })
		for _, u := range []db.User{ann, bob} {
			enrol(t, d, u, "a")
			show(t, d, u, "next")
		}
		update(t, d, func(tx *db.Tx) error { return tx.EndOrganizationAccess(t.Context(), acme) })
		wantShown(t, d, ann, "")
		wantShown(t, d, bob, "next")
		update(t, d, func(tx *db.Tx) error { return second(tx.EndAccess(t.Context(), bob.ID, bob.Epoch, 0)) })
		wantShown(t, d, bob, "")
		for _, u := range []db.User{ann, bob} { // what is confirmed stays
			if err := useStep(t, d, u, 11); err != nil {
				t.Errorf("%s lost the authenticator: %v", u.Email, err)
			}
			wantCodesLeft(t, d, u, 1)
		}
	})
}

func TestTheSecretComesBackAsStored(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		enrol(t, d, ann)
		clock.Advance(time.Hour)
		sealed := []byte{0, 1, 255, 0}
		update(t, d, func(tx *db.Tx) error { return tx.SetAuthenticator(t.Context(), ann.ID, sealed, 5) })
		held, err := d.Reader().Authenticator(t.Context(), ann.ID)
		if err != nil || !bytes.Equal(held.Sealed, sealed) || held.LastStep != 5 || held.ConfirmedAt != d.Now() {
			t.Errorf("replaced, it is %+v (%v)", held, err)
		}
	})
}

// B6, D4
func TestASignInHasFiveTriesAtTheCodeHoweverManyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		id, other := signIn(t, d, ann, "a"), signIn(t, d, ann, "b")
		claim := func(id int64) (n int64, err error) {
			err = d.Update(t.Context(), func(tx *db.Tx) error {
				n, err = tx.ClaimCode(t.Context(), id, 5)
				return err
			})
			return n, err
		}
		claimed := make([]int64, 20)
		errs := atOnce(len(claimed), func(i int) (err error) {
			claimed[i], err = claim(id)
			return err
		})
		seen := map[int64]bool{}
		for i, err := range errs {
			if err == nil {
				seen[claimed[i]] = true
			} else {
				wantRefused(t, "the sixth", err)
			}
		}
		if len(seen) != 5 || !seen[1] || !seen[5] {
			t.Errorf("the tries were %v", seen)
		}
		update(t, d, func(tx *db.Tx) error { return tx.EndSession(t.Context(), other) })
		_, err := claim(other)
		wantRefused(t, "an ended one", err)
	})
}

func TestOnlyOnesOwnTrustedBrowserIsListedAndForgotten(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		ann, bob := newUser(t, d, "ann@acme.example"), newUser(t, d, "bob@acme.example")
		for _, u := range []db.User{ann, bob} { // two people at one computer
			update(t, d, func(tx *db.Tx) error {
				return tx.RememberBrowser(t.Context(), hash("shared"), u.ID, "Test/1.0", "192.0.2.1")
			})
		}
		trust := func(name string, u db.User) error {
			return d.Update(t.Context(), func(tx *db.Tx) error {
				return tx.TrustBrowser(t.Context(), hash(name), u, tx.Now.Add(24*time.Hour))
			})
		}
		wantTrust := func(when string, u db.User, want bool) {
			t.Helper()
			got, err := d.Reader().BrowserTrusted(t.Context(), hash("shared"), u, d.Now())
			listed, errList := d.Reader().TrustedBrowsers(t.Context(), u, d.Now())
			if got != want || (len(listed) == 1) != want || errors.Join(err, errList) != nil {
				t.Errorf("%s it is trusted by %s: %t, listed %d times (%v)", when, u.Email, got, len(listed), errors.Join(err, errList))
			}
		}
		wantRefused(t, "a browser that is not known", trust("unknown", ann))
		wantTrust("at first", ann, false)
		if err := trust("shared", ann); err != nil {
			t.Fatal(err)
		}
		wantTrust("then", ann, true)
		wantTrust("then", bob, false)
		listed, err := d.Reader().TrustedBrowsers(t.Context(), ann, d.Now())
		if err != nil || listed[0].UserAgent != "Test/1.0" || listed[0].Address != "192.0.2.1" || listed[0].TrustedUntil != d.Now().Add(24*time.Hour) {
			t.Fatalf("listed as %+v (%v)", listed, err)
		}
		distrust := func(u db.User) error {
			return d.Update(t.Context(), func(tx *db.Tx) error { return tx.DistrustBrowser(t.Context(), u.ID, listed[0].ID) })
		}
		wantRefused(t, "somebody else's browser", distrust(bob))
		wantTrust("after that", ann, true)
		if err := distrust(ann); err != nil {
			t.Fatal(err)
		}
		wantTrust("forgotten", ann, false)
		wantRefused(t, "forgotten twice", distrust(ann))
		if known, err := d.Reader().BrowserKnown(t.Context(), hash("shared"), ann.ID, d.Now()); !known || err != nil {
			t.Errorf("without trust it is not known any more (%v)", err)
		}

		if err := trust("shared", ann); err != nil {
			t.Fatal(err)
		}
		clock.Advance(24*time.Hour - time.Millisecond)
		wantTrust("on the last moment", ann, true)
		clock.Advance(time.Millisecond)
		wantTrust("when its time is up", ann, false)

		if err := trust("shared", ann); err != nil {
			t.Fatal(err)
		}
		update(t, d, func(tx *db.Tx) error { return second(tx.EndAccess(t.Context(), ann.ID, ann.Epoch, 0)) })
		wantTrust("after a change", user(t, d, ann.ID), false)
	})
}
