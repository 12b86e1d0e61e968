package throttle_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/throttle"
)

const ann, bob = 1, 2

// guesser tries codes.
type guesser struct {
	*throttle.Throttle
	d *db.DB
	t *testing.T
}

// code claims one attempt and says how many in a row there are, whether codes count at
// all, and how long it has to wait.
func (g guesser) code(user int64, factor throttle.Factor) (count int64, stopped bool, wait time.Duration) {
	g.t.Helper()
	err := g.d.Update(g.t.Context(), func(tx *db.Tx) (err error) {
		count, stopped, err = g.Code(g.t.Context(), tx, user, factor)
		return err
	})
	if held, ok := errors.AsType[*throttle.HeldError](err); ok {
		return 0, false, held.Wait
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return count, stopped, 0
}

// wantJudged fails the test unless the next code is judged, as that many in a row.
func (g guesser) wantJudged(user int64, factor throttle.Factor, want int64) {
	g.t.Helper()
	if count, stopped, wait := g.code(user, factor); count != want || stopped || wait != 0 {
		g.t.Fatalf("%s code: %d in a row instead of %d, stopped %v, wait %s", factor, count, want, stopped, wait)
	}
}

func (g guesser) wantWait(user int64, factor throttle.Factor, want time.Duration) {
	g.t.Helper()
	if _, _, wait := g.code(user, factor); wait != want {
		g.t.Fatalf("%s code: waits %s, want %s", factor, wait, want)
	}
}

func (g guesser) do(change func(ctx context.Context, tx *db.Tx, user int64) error, user int64) {
	g.t.Helper()
	if err := g.d.Update(g.t.Context(), func(tx *db.Tx) error { return change(g.t.Context(), tx, user) }); err != nil {
		g.t.Fatal(err)
	}
}

func eachGuesser(t *testing.T, test func(t *testing.T, g guesser, clock *dbtest.Clock)) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		test(t, guesser{throttle.New([]byte("secret")), d, t}, clock)
	})
}

// D4, D5: the counters are the user's, whatever session or browser the codes come from.
func TestGuessingAtCodesHasToWaitThenADayAndThenIsStopped(t *testing.T) {
	eachGuesser(t, func(t *testing.T, g guesser, clock *dbtest.Clock) {
		count := int64(0)
		guess := func(n int) {
			t.Helper()
			for range n {
				count++
				g.wantJudged(ann, throttle.FactorTOTP, count)
			}
		}
		for count < 90 {
			for range 2 {
				guess(10)
				g.wantWait(ann, throttle.FactorTOTP, 15*time.Minute)
				clock.Advance(15*time.Minute - time.Millisecond)
				g.wantWait(ann, throttle.FactorTOTP, time.Millisecond)
				clock.Advance(time.Millisecond)
			}
			guess(10)
			g.wantWait(ann, throttle.FactorTOTP, 24*time.Hour)
			clock.Advance(24*time.Hour - time.Millisecond)
			g.wantWait(ann, throttle.FactorTOTP, time.Millisecond)
			clock.Advance(time.Millisecond)
		}
		guess(10)
		for range 3 { // for ever
			clock.Advance(1000 * time.Hour)
			if _, stopped, wait := g.code(ann, throttle.FactorTOTP); !stopped || wait != 0 {
				t.Fatalf("after a hundred: stopped %v, wait %s", stopped, wait)
			}
		}
		g.wantJudged(ann, throttle.FactorRecovery, 1) // the way out
		g.wantJudged(bob, throttle.FactorTOTP, 1)

		g.do(g.ForgetCodes, ann)
		g.wantJudged(ann, throttle.FactorTOTP, 1)
	})
}

func TestARightCodeClearsItsOwnFactorAlone(t *testing.T) {
	eachGuesser(t, func(t *testing.T, g guesser, _ *dbtest.Clock) {
		for i := range int64(9) {
			g.wantJudged(ann, throttle.FactorTOTP, i+1)
			g.wantJudged(ann, throttle.FactorRecovery, i+1)
		}
		g.wantJudged(ann, throttle.FactorRecovery, 10) // the right one
		g.do(func(ctx context.Context, tx *db.Tx, user int64) error {
			return g.CodeAccepted(ctx, tx, user, throttle.FactorRecovery)
		}, ann)
		g.wantJudged(ann, throttle.FactorRecovery, 1)
		g.wantJudged(ann, throttle.FactorTOTP, 10)
		g.wantWait(ann, throttle.FactorTOTP, 15*time.Minute)
		// A password, or a mailed link, says nothing about the authenticator.
		g.do(g.Proven, ann)
		g.do(func(ctx context.Context, tx *db.Tx, user int64) error { return g.Forget(ctx, tx, db.User{ID: user}) }, ann)
		g.wantWait(ann, throttle.FactorTOTP, 15*time.Minute)
	})
}

// Otherwise every sign-in of the user's gives whoever knows the password ten more guesses.
func TestTheUsersOwnSuccessesDoNotBuyGuesses(t *testing.T) {
	eachGuesser(t, func(t *testing.T, g guesser, clock *dbtest.Clock) {
		accept := func(ctx context.Context, tx *db.Tx, user int64) error {
			return g.CodeAccepted(ctx, tx, user, throttle.FactorTOTP)
		}
		wrong, held := 0, false
		for !held && wrong < 100 {
			for range 9 {
				if _, _, wait := g.code(ann, throttle.FactorTOTP); wait != 0 {
					held = true
					break
				}
				wrong++
			}
			if !held {
				if _, _, wait := g.code(ann, throttle.FactorTOTP); wait == 0 {
					g.do(accept, ann)
				}
			}
		}
		if !held || wrong != 30 {
			t.Errorf("between the user's own sign-ins %d guesses were judged at once", wrong)
		}
		// Who gets a new authenticator begins anew.
		g.do(g.ForgetCodes, ann)
		g.wantJudged(ann, throttle.FactorTOTP, 1)
		// Right codes cost nothing, however many.
		clock.Advance(48 * time.Hour)
		g.do(accept, ann)
		for range 100 {
			g.wantJudged(ann, throttle.FactorTOTP, 1)
			g.do(accept, ann)
		}
	})
}

// B6
func TestParallelCodesCannotGetPastTheLimit(t *testing.T) {
	eachGuesser(t, func(t *testing.T, g guesser, _ *dbtest.Clock) {
		var through atomic.Int64
		var counts sync.Map
		var all sync.WaitGroup
		for range 60 {
			all.Go(func() {
				var count int64
				err := g.d.Update(context.Background(), func(tx *db.Tx) (err error) {
					count, _, err = g.Code(context.Background(), tx, ann, throttle.FactorTOTP)
					return err
				})
				if err != nil {
					return
				}
				through.Add(1)
				if _, twice := counts.LoadOrStore(count, true); twice {
					t.Errorf("two are the %dth", count) // and two mails would go out
				}
			})
		}
		all.Wait()
		if n := through.Load(); n != 10 {
			t.Errorf("%d of 60 parallel codes were judged", n)
		}
	})
}
