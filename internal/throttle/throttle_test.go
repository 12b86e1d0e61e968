package throttle_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/throttle"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var home = netip.MustParseAddr("192.0.2.7")

// signIn claims one attempt and says how long it has to wait.
func signIn(t *testing.T, d *db.DB, th *throttle.Throttle, a throttle.Attempt) (wait time.Duration, stopped bool) {
	t.Helper()
	err := d.Update(t.Context(), func(tx *db.Tx) (err error) {
		failures, err := th.SignIn(t.Context(), tx, a)
		stopped = failures > throttle.StopAfter
		return err
	})
	if held, ok := errors.AsType[*throttle.HeldError](err); ok {
		return held.Wait, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, stopped
}

func TestGuessingAtOneLoginHasToWaitLongerAndLonger(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		th := throttle.New([]byte("secret"))
		guess := throttle.Attempt{Address: home, Login: "ann@acme.example"}
		for i := range 5 {
			if wait, _ := signIn(t, d, th, guess); wait != 0 {
				t.Fatalf("attempt %d waits %s", i+1, wait)
			}
		}
		for _, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute,
			16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour} {
			if wait, _ := signIn(t, d, th, guess); wait != want {
				t.Fatalf("waits %s, want %s", wait, want)
			}
			if wait, _ := signIn(t, d, th, throttle.Attempt{Address: netip.MustParseAddr("198.51.100.1"), Login: guess.Login}); wait != want {
				t.Fatalf("from elsewhere it waits %s, want %s", wait, want)
			}
			clock.Advance(want)
			if wait, _ := signIn(t, d, th, guess); wait != 0 {
				t.Fatalf("after %s it still waits %s", want, wait)
			}
		}
		if wait, _ := signIn(t, d, th, throttle.Attempt{Address: home, Login: "bob@acme.example"}); wait != 0 {
			t.Error("another login has to wait, too")
		}
	})
}

func TestStrangersCannotKeepTheOwnerOutOfTheirOwnBrowser(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		th := throttle.New([]byte("secret"))
		for i := range 5 {
			signIn(t, d, th, throttle.Attempt{Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Login: "ann@acme.example"})
		}
		if wait, _ := signIn(t, d, th, throttle.Attempt{Address: home, Login: "ann@acme.example"}); wait == 0 {
			t.Fatal("the guesser does not wait")
		}
		own := throttle.Attempt{Address: home, Login: "ann@acme.example", Browser: []byte("hash")}
		for i := range 10 {
			if wait, _ := signIn(t, d, th, own); wait != 0 {
				t.Fatalf("the owner's attempt %d waits %s", i+1, wait)
			}
		}
		if wait, _ := signIn(t, d, th, own); wait != 30*time.Second {
			t.Errorf("a known browser is never held: %s", wait)
		}
		clock.Advance(time.Minute)
		if err := d.Update(t.Context(), func(tx *db.Tx) error { return th.SignedIn(t.Context(), tx, own) }); err != nil {
			t.Fatal(err)
		}
		if wait, _ := signIn(t, d, th, own); wait != 0 {
			t.Errorf("after a success it waits %s", wait)
		}
	})
}

func TestAKnownBrowserIsStoppedAfterAHundredFailures(t *testing.T) {
	th := throttle.New([]byte("secret"))
	own := throttle.Attempt{Address: home, Login: "ann", Browser: []byte("hash")}
	now := time.Now()
	d := dbtest.Open(t, db.SQLite, func() time.Time { now = now.Add(2 * time.Hour); return now })
	for i := range 100 {
		if wait, stopped := signIn(t, d, th, own); wait != 0 || stopped {
			t.Fatalf("attempt %d: wait %s, stopped %v", i+1, wait, stopped)
		}
	}
	if _, stopped := signIn(t, d, th, own); !stopped {
		t.Error("the 101st attempt is not stopped")
	}
}

func TestOneNetworkCannotTryManyLogins(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		th := throttle.New([]byte("secret"))
		// An IPv6 network is counted as one, whatever address in it is used.
		address := func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)) }
		for i := range 20 {
			if wait, _ := signIn(t, d, th, throttle.Attempt{Address: address(i), Login: fmt.Sprint("user", i)}); wait != 0 {
				t.Fatalf("login %d waits %s", i+1, wait)
			}
		}
		if wait, _ := signIn(t, d, th, throttle.Attempt{Address: address(20), Login: "user20"}); wait == 0 {
			t.Fatal("the 21st login of a minute does not wait")
		}
		if wait, _ := signIn(t, d, th, throttle.Attempt{Address: netip.MustParseAddr("2001:db8:0:1::1"), Login: "user20"}); wait != 0 {
			t.Error("the neighbour's network has to wait, too")
		}
		// Successes do not count.
		clock.Advance(time.Hour)
		for i := range 100 {
			a := throttle.Attempt{Address: home, Login: fmt.Sprint("customer", i)}
			if wait, _ := signIn(t, d, th, a); wait != 0 {
				t.Fatalf("customer %d waits %s", i+1, wait)
			}
			if err := d.Update(t.Context(), func(tx *db.Tx) error { return th.SignedIn(t.Context(), tx, a) }); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestParallelGuessesCannotGetPastTheLimit(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		th := throttle.New([]byte("secret"))
		var through atomic.Int64
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				a := throttle.Attempt{Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Login: "ann@acme.example"}
				err := d.Update(context.Background(), func(tx *db.Tx) error {
					_, err := th.SignIn(context.Background(), tx, a)
					return err
				})
				if err == nil {
					through.Add(1)
				}
			})
		}
		all.Wait()
		if n := through.Load(); n != 5 {
			t.Errorf("%d of 100 parallel guesses were judged", n)
		}
	})
}

func TestAnInboxCannotBeFlooded(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		th := throttle.New([]byte("secret"))
		ask := func(address netip.Addr, submitted ...string) (mail bool) {
			err := d.Update(t.Context(), func(tx *db.Tx) (err error) {
				mail, err = th.Recovery(t.Context(), tx, address, submitted...)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return mail
		}
		mails := 0
		for i := range 24 * 60 { // a request a minute, all day, from everywhere
			if ask(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), "ann@acme.example", "") {
				mails++
			}
			clock.Advance(time.Minute)
		}
		if mails < 10 || mails > 20 {
			t.Errorf("%d mails in a day", mails)
		}
		if !ask(home, "bob@acme.example", "") || !ask(home, "ann@acme.example", "wrong") {
			t.Error("somebody else's request is held, too")
		}
		if ask(home, "bob@acme.example", "") {
			t.Error("two mails within a minute")
		}
	})
}

func TestOneVisitorCannotAskForEverybody(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, dbtest.NewClock().Now)
	th := throttle.New([]byte("secret"))
	for i := range 61 {
		err := d.Update(t.Context(), func(tx *db.Tx) error {
			_, err := th.Recovery(t.Context(), tx, home, fmt.Sprint("user", i))
			return err
		})
		if _, held := errors.AsType[*throttle.HeldError](err); held != (i == 60) {
			t.Fatalf("request %d: %v", i+1, err)
		}
	}
}

func TestTheCountersHoldNoNames(t *testing.T) {
	one, other := throttle.New([]byte("secret")), throttle.New([]byte("other"))
	d := dbtest.Open(t, db.SQLite, dbtest.NewClock().Now)
	guess := throttle.Attempt{Address: home, Login: "ann@acme.example"}
	for range 5 {
		signIn(t, d, one, guess)
	}
	if wait, _ := signIn(t, d, other, guess); wait != 0 {
		t.Error("the key of a counter does not depend on the secret")
	}
}
