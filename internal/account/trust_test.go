package account_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"postern/db"
	"postern/internal/portaltest"
	"postern/internal/throttle"
)

// D10
func TestATrustedBrowserAndThePasswordAreNoFreshProof(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		secret, _, _ := enrol(t, p, ann)
		in := trusting(t, p, ann, secret, "")
		if c := live(t, p, in.Session); !c.Fresh(p.DB.Now()) {
			t.Error("password and code are no fresh proof")
		}
		in = wantCodeOwed(t, p, "in the trusted browser", ann, portaltest.Password, in.Browser, false)
		c := live(t, p, in.Session)
		if c.Fresh(p.DB.Now()) {
			t.Error("whoever has the browser and the password can replace the authenticator without a code")
		}
		plain, err := p.Account.Reauthenticate(t.Context(), as(c), c, portaltest.Password, code(t, p, secret, 1))
		must(t, err)
		if c := live(t, p, plain); !c.Fresh(p.DB.Now()) {
			t.Error("proof that was given does not count")
		}
	})
}

func TestWhoBecomesStaffInATrustedBrowserSignsInAgainWithACode(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		secret, _, _ := enrol(t, p, ann)
		full := trusting(t, p, ann, secret, "")
		in := wantCodeOwed(t, p, "in the trusted browser", ann, portaltest.Password, full.Browser, false)
		live(t, p, in.Session)
		must(t, p.Directory.SetRole(t.Context(), portaltest.Operator, ann.ID, "support"))
		live(t, p, full.Session)
		wantEnded(t, p, in.Session)
	})
}

// D13
func TestNewRecoveryCodesAreNotMadeInASessionThatHasEnded(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		_, codes, plain := enrol(t, p, ann)
		c := live(t, p, plain) // a request that is on its way
		must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error {
			_, err := tx.EndAccess(t.Context(), ann.ID, c.User.Epoch, 0)
			return err
		}))
		if fresh, err := p.Account.RenewRecoveryCodes(t.Context(), as(c), c); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a session that has ended gets %d codes: %v", len(fresh), err)
		}
		_, err := verify(t.Context(), p.Account, halfway(t, p, ann), codes[0])
		must(t, err)
	})
}

func TestOfTwoNewSetsOfRecoveryCodesOneIsGood(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		_, _, plain := enrol(t, p, ann)
		c := live(t, p, plain)
		for _, err := range atOnce(4, func(int) error {
			_, err := p.Account.RenewRecoveryCodes(t.Context(), as(c), c)
			return err
		}) {
			must(t, err)
		}
		if left, err := p.DB.Reader().RecoveryCodesLeft(t.Context(), ann.ID); err != nil || left != 10 {
			t.Fatalf("there are %d codes: %v", left, err)
		}
	})
}

// A thief who is still being answered must not leave a secret that they know for the user
// to confirm.
func TestASessionThatHasEndedLeavesNoSecretToConfirm(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		c := live(t, p, entered(t, p, ann))
		must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error {
			_, err := tx.EndAccess(t.Context(), ann.ID, c.User.Epoch, 0)
			return err
		}))
		if _, err := p.Account.ShowEnrolment(t.Context(), c.User); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a session that has ended is shown a secret: %v", err)
		}
		if _, err := p.DB.Reader().Enrolment(t.Context(), ann.ID, p.DB.Now()); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a secret is left for the user to confirm: %v", err)
		}
	})
}

// B6: strangers who guess must not make the user's own sign-in fail, whatever comes first.
func TestGuessesFromManyNetworksAndTheUserDoNotWaitForEachOther(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		attempt := func(i int) throttle.Attempt {
			return throttle.Attempt{Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Login: ann.Email, UserID: ann.ID}
		}
		for _, err := range atOnce(8, func(i int) error {
			for range 25 {
				err := p.DB.Update(t.Context(), func(tx *db.Tx) error {
					if i%2 == 0 {
						return p.Account.Throttle.SignedIn(t.Context(), tx, attempt(i))
					}
					_, err := p.Account.Throttle.SignIn(t.Context(), tx, attempt(i))
					return err
				})
				if _, held := errors.AsType[*throttle.HeldError](err); err != nil && !held {
					return err
				}
			}
			return nil
		}) {
			must(t, err)
		}
	})
}

func TestRecoveryCodesAreNotMadeWithoutEnd(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		_, _, plain := enrol(t, p, ann)
		c := live(t, p, plain)
		for range 5 {
			must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error { return p.Account.Throttle.RecoveryCodes(t.Context(), tx, ann.ID) }))
		}
		_, err := p.Account.RenewRecoveryCodes(t.Context(), as(c), c)
		if _, held := errors.AsType[*throttle.HeldError](err); !held {
			t.Errorf("a sixth set, ten hashes and a mail within the hour: %v", err)
		}
		p.Clock.Advance(12 * time.Minute)
		_, err = p.Account.RenewRecoveryCodes(t.Context(), as(c), c)
		must(t, err)
	})
}
