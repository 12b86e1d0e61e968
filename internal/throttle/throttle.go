// Package throttle bounds how often things can be tried. Every attempt claims its place in
// the database before it is judged, so that parallel attempts and several nodes cannot get
// past a limit; success gives the place back. There is no switch that turns it off, and it
// must never keep the owner of an account out because of what strangers do.
//
// The numbers come from NIST SP 800-63B-4 (at most 100 failures in a row, growing waits).
package throttle

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"postern/db"
)

// StopAfter is how many wrong passwords in a row stop the password sign-in from unknown
// browsers until a mailed reset.
const StopAfter = 100

// CodesPerSession is how many wrong codes send a sign-in back to the password.
const CodesPerSession = 5

// WrongCodesTold is the wrong code in a row from which on the user is told by mail: whoever
// enters it knows the password.
const WrongCodesTold = 3

const (
	codesHeldEvery = 10 // wrong codes before a wait
	codesHeldFor   = 15 * time.Minute
	codesADay      = 30 // wrong codes before a longer one
	codesHeldLong  = 24 * time.Hour

	freeFromStrangers    = 5  // wrong passwords before the first wait
	freeFromKnownBrowser = 10 // the same, in a browser the user has signed in with
	firstWait            = 30 * time.Second
	longestWait          = time.Hour
)

// rate is a limit: burst at once, and one more every interval.
type rate struct {
	name     string
	interval time.Duration
	burst    int
}

// per is a limit of n in a window.
func per(name string, n int, window time.Duration) rate {
	return rate{name, window / time.Duration(n), n}
}

var (
	failedSignIns = []rate{per("sign-in minute", 20, time.Minute), per("sign-in hour", 200, time.Hour)}
	recoveries    = []rate{per("recovery minute", 1, time.Minute), per("recovery hour", 3, time.Hour), per("recovery day", 10, 24*time.Hour)}
	visitors      = []rate{per("recovery visitor", 60, time.Hour)}
	linkChecks    = []rate{per("link check", 30, time.Minute)}
	codes         = []rate{per("code day", codesADay, 24*time.Hour)}
	staffResets   = []rate{per("staff reset minute", 1, time.Minute), per("staff reset day", 10, 24*time.Hour)}
	testMails     = []rate{per("test mail", 5, time.Minute)}
	recoveryCodes = []rate{per("recovery codes", 5, time.Hour)}
	confirmations = []rate{per("confirmation", 5, 24*time.Hour)}
	invitations   = []rate{per("invitation", 5, 24*time.Hour)}
)

// HeldError is returned when something was tried too often.
type HeldError struct{ Wait time.Duration }

func (e *HeldError) Error() string {
	return fmt.Sprintf("too often: wait %s", e.Wait.Round(time.Second))
}

// Throttle keeps the counters. What they are about is kept as a keyed hash.
type Throttle struct{ secret []byte }

// New returns a throttle whose keys are hashed with the secret.
func New(secret []byte) *Throttle { return &Throttle{secret} }

// key hashes what is counted; the lengths keep the parts apart.
func (t *Throttle) key(name string, parts ...string) []byte {
	mac := hmac.New(sha256.New, t.secret)
	for _, part := range append([]string{name}, parts...) {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write([]byte(part))
	}
	return mac.Sum(nil)
}

// claim takes a place in every rate, or none and returns a HeldError.
func (t *Throttle) claim(ctx context.Context, tx *db.Tx, rates []rate, parts ...string) error {
	for i, r := range rates {
		wait, err := tx.ClaimRate(ctx, t.key(r.name, parts...), r.interval, r.burst)
		if err != nil {
			return err
		}
		if wait > 0 {
			if err := t.giveBack(ctx, tx, rates[:i], parts...); err != nil {
				return err
			}
			return &HeldError{wait}
		}
	}
	return nil
}

func (t *Throttle) giveBack(ctx context.Context, tx *db.Tx, rates []rate, parts ...string) error {
	for _, r := range rates {
		if err := tx.GiveBackRate(ctx, t.key(r.name, parts...), r.interval); err != nil {
			return err
		}
	}
	return nil
}

// network is what counts as one visitor: an IPv4 address or an IPv6 /64.
func network(address netip.Addr) string {
	address = address.Unmap().WithZone("")
	if address.Is6() {
		if prefix, err := address.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return address.String()
}

// Attempt is a sign-in that is about to be judged.
type Attempt struct {
	Address netip.Addr
	Login   string // as typed, folded
	UserID  int64  // 0 for an unknown one, which costs the same
	// Browser is the hash of the browser's token where the user has signed in with it
	// before, else nil. What happens there is counted apart, so outsiders cannot drive it.
	Browser []byte
}

func (t *Throttle) failureKey(a Attempt) (key []byte, free int64) {
	if a.Browser != nil {
		return t.key("known browser", string(a.Browser), strconv.FormatInt(a.UserID, 10)), freeFromKnownBrowser
	}
	return t.key("login", a.Login), freeFromStrangers
}

// SignIn claims an attempt. It is a HeldError when there were too many. It returns how many
// failures in a row there are with this one, should it be one: in that browser, or else of
// strangers with that user. Above StopAfter no password counts any more.
func (t *Throttle) SignIn(ctx context.Context, tx *db.Tx, a Attempt) (failures int64, err error) {
	key, free := t.failureKey(a)
	if a.Browser != nil {
		return claimFailure(ctx, tx, key, free)
	}
	if err := t.claim(ctx, tx, failedSignIns, network(a.Address)); err != nil {
		return 0, err
	}
	// The user before the key, as everywhere: two that take them in different orders would
	// wait for each other. What is held counts nothing, because nothing of it remains.
	if failures, err = tx.CountWrongPassword(ctx, a.UserID); err != nil {
		return 0, err
	}
	_, err = claimFailure(ctx, tx, key, free)
	return failures, err
}

// SignedIn gives back what the attempt had claimed.
func (t *Throttle) SignedIn(ctx context.Context, tx *db.Tx, a Attempt) error {
	if a.Browser == nil {
		if err := t.giveBack(ctx, tx, failedSignIns, network(a.Address)); err != nil {
			return err
		}
		if err := tx.ForgetWrongPasswords(ctx, a.UserID); err != nil {
			return err
		}
	}
	key, _ := t.failureKey(a)
	return tx.ClearFailures(ctx, key)
}

// Forget lifts the waits of a user who has proven who they are by mail.
func (t *Throttle) Forget(ctx context.Context, tx *db.Tx, u db.User) error {
	if err := t.Proven(ctx, tx, u.ID); err != nil {
		return err
	}
	for _, login := range []string{db.FoldEmail(u.Email), u.Username} {
		if err := tx.ClearFailures(ctx, t.key("login", login)); err != nil {
			return err
		}
	}
	return nil
}

// Factor is what a code comes from; each has counters of its own.
type Factor string

const (
	FactorTOTP     Factor = "totp"
	FactorRecovery Factor = "recovery"
)

// Code claims an attempt at a code, over all sessions of the user. It returns how many
// there have been in a row: after ten there is a wait, after thirty one of a day, and after
// a hundred the factor is stopped, so that only the other one, or an administrator, helps.
// The rate bounds those whose attempts the user's own successes interrupt.
func (t *Throttle) Code(ctx context.Context, tx *db.Tx, userID int64, factor Factor) (count int64, stopped bool, err error) {
	key := t.codeKey(userID, factor)
	count, wait, err := tx.ClaimFailure(ctx, key)
	switch {
	case err != nil:
		return 0, false, err
	case wait > 0:
		return 0, false, &HeldError{wait}
	case count%codesADay == 0:
		err = tx.Hold(ctx, key, codesHeldLong)
	case count%codesHeldEvery == 0:
		err = tx.Hold(ctx, key, codesHeldFor)
	}
	if err == nil {
		err = t.claim(ctx, tx, codes, string(factor), strconv.FormatInt(userID, 10))
	}
	return count, count > StopAfter, err
}

// CodeAccepted gives the attempt back, and forgets the wrong ones before it.
func (t *Throttle) CodeAccepted(ctx context.Context, tx *db.Tx, userID int64, factor Factor) error {
	if err := tx.ClearFailures(ctx, t.codeKey(userID, factor)); err != nil {
		return err
	}
	return t.giveBack(ctx, tx, codes, string(factor), strconv.FormatInt(userID, 10))
}

// ForgetCodes lifts what wrong codes have shut, for a user who gets a new authenticator.
func (t *Throttle) ForgetCodes(ctx context.Context, tx *db.Tx, userID int64) error {
	for _, factor := range []Factor{FactorTOTP, FactorRecovery} {
		if err := tx.ClearFailures(ctx, t.codeKey(userID, factor)); err != nil {
			return err
		}
		for _, r := range codes {
			if err := tx.ClearRate(ctx, t.key(r.name, string(factor), strconv.FormatInt(userID, 10))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Throttle) codeKey(userID int64, factor Factor) []byte {
	return t.key("code", string(factor), strconv.FormatInt(userID, 10))
}

// StaffReset claims a reset link that staff send to a user.
func (t *Throttle) StaffReset(ctx context.Context, tx *db.Tx, userID int64) error {
	return t.claim(ctx, tx, staffResets, strconv.FormatInt(userID, 10))
}

// RecoveryCodes claims a new set of recovery codes of a user, which costs ten hashes and a
// mail.
func (t *Throttle) RecoveryCodes(ctx context.Context, tx *db.Tx, userID int64) error {
	return t.claim(ctx, tx, recoveryCodes, strconv.FormatInt(userID, 10))
}

// TestMail claims a mail with which a user tries the mail server.
func (t *Throttle) TestMail(ctx context.Context, tx *db.Tx, userID int64) error {
	return t.claim(ctx, tx, testMails, strconv.FormatInt(userID, 10))
}

// Proof claims an attempt of a signed-in user to prove who they are.
func (t *Throttle) Proof(ctx context.Context, tx *db.Tx, userID int64) error {
	_, err := claimFailure(ctx, tx, t.proofKey(userID), freeFromKnownBrowser)
	return err
}

// Proven gives it back.
func (t *Throttle) Proven(ctx context.Context, tx *db.Tx, userID int64) error {
	return tx.ClearFailures(ctx, t.proofKey(userID))
}

func (t *Throttle) proofKey(userID int64) []byte {
	return t.key("proof", strconv.FormatInt(userID, 10))
}

// claimFailure counts a failure in advance and, from the last free one on, holds the key
// for a wait that doubles.
func claimFailure(ctx context.Context, tx *db.Tx, key []byte, free int64) (count int64, err error) {
	count, wait, err := tx.ClaimFailure(ctx, key)
	if err != nil {
		return 0, err
	}
	if wait > 0 {
		return 0, &HeldError{wait}
	}
	if count < free {
		return count, nil
	}
	hold := longestWait
	if doublings := count - free; doublings < 7 { // 30 s, seven times doubled, is over an hour
		hold = min(longestWait, firstWait<<doublings)
	}
	return count, tx.Hold(ctx, key, hold)
}

// Recovery claims a request for a reset link. Too many from one visitor are a HeldError;
// too many of the same request (everything that was submitted) are false: the visitor
// reads the same page, and no mail goes out.
func (t *Throttle) Recovery(ctx context.Context, tx *db.Tx, address netip.Addr, submitted ...string) (mail bool, err error) {
	if err := t.claim(ctx, tx, visitors, network(address)); err != nil {
		return false, err
	}
	err = t.claim(ctx, tx, recoveries, submitted...)
	if _, held := errors.AsType[*HeldError](err); held {
		return false, nil
	}
	return err == nil, err
}

// LinkCheck claims a look at a link by a visitor.
func (t *Throttle) LinkCheck(ctx context.Context, tx *db.Tx, address netip.Addr) error {
	return t.claim(ctx, tx, linkChecks, network(address))
}

// Confirmation claims a mail that confirms a new address of a user.
func (t *Throttle) Confirmation(ctx context.Context, tx *db.Tx, userID int64) error {
	return t.claim(ctx, tx, confirmations, strconv.FormatInt(userID, 10))
}

// Invitation claims an invitation mailed to a user.
func (t *Throttle) Invitation(ctx context.Context, tx *db.Tx, userID int64) error {
	return t.claim(ctx, tx, invitations, strconv.FormatInt(userID, 10))
}
