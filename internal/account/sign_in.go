package account

import (
	"context"
	"errors"

	"postern/db"
	"postern/internal/audit"
	"postern/internal/input"
	"postern/internal/password"
	"postern/internal/throttle"
	"postern/internal/token"
)

// SignedIn is what a browser gets when it is signed in.
type SignedIn struct {
	Session  string // token
	Browser  string // token; empty while a code is owed
	CodeOwed bool   // the session is good for nothing but the code

	RecoveryCode bool // was used up for it
}

var errWrongSignIn = input.Refuse("", input.WrongSignIn)

// SignIn signs a browser in with an e-mail address or a username, and the password. An
// unknown user, a wrong password and an account that is off are all the same *input.Error
// and the same work. Too many attempts are a *throttle.HeldError, too many at once
// password.ErrBusy.
func (s *Service) SignIn(ctx context.Context, v Visit, login, typed string) (SignedIn, error) {
	user, attempt, err := s.attempt(ctx, v, login)
	if err != nil {
		return SignedIn{}, err
	}
	var failures int64
	err = s.DB.Update(ctx, func(tx *db.Tx) (err error) {
		failures, err = s.Throttle.SignIn(ctx, tx, attempt)
		return err
	})
	if err != nil {
		return SignedIn{}, err
	}
	ok, outdated, err := s.verify(ctx, password.Visitors, user, typed)
	if err != nil {
		return SignedIn{}, err
	}
	if !ok || failures > throttle.StopAfter || !mayEnter(user) {
		last := attempt.Browser == nil && failures == throttle.StopAfter
		return SignedIn{}, errors.Join(s.refuseSignIn(ctx, v, user, last), errWrongSignIn)
	}
	var in SignedIn
	err = s.update(ctx, func(tx *db.Tx) error {
		// What was verified must still hold: another password comes with another epoch.
		now, err := tx.User(ctx, user.ID)
		if err != nil || now.Epoch != user.Epoch || !mayEnter(now) {
			return errors.Join(err, errWrongSignIn)
		}
		if err := s.Throttle.SignedIn(ctx, tx, attempt); err != nil {
			return err
		}
		v.Actor.Kind, v.Actor.UserID = db.ActorUser, user.ID
		owed, err := s.codeOwed(ctx, tx, attempt.Browser, now)
		if err != nil {
			return err
		}
		if owed {
			in, err = askForCode(ctx, tx, v, now)
			return err
		}
		if in, err = s.enter(ctx, tx, v, now, passwordAlone); err != nil || attempt.Browser != nil {
			return err
		}
		return tellOfNewBrowser(ctx, tx, v, now)
	})
	if err == nil && outdated {
		s.rehash(ctx, user, typed)
	}
	return in, err
}

// verify compares a password with the user's. One that is too long to be anybody's is wrong;
// so is every one where the stored hash is of no use, which staff should know.
func (s *Service) verify(ctx context.Context, lane password.Lane, user db.User, typed string) (ok, outdated bool, err error) {
	ok, outdated, err = s.Hasher.Verify(ctx, lane, user.PasswordHash, typed)
	switch {
	case errors.Is(err, password.ErrUnusable):
		s.Log.WarnContext(ctx, "a stored password cannot be used: the user needs a reset link", "user", user.ID, "error", err)
		err = nil
	case errors.Is(err, password.ErrTooLong):
		err = nil
	}
	return ok, outdated, err
}

// mayEnter says whether the user can get in at all.
func mayEnter(u db.User) bool { return u.Enabled() && u.ClosedAt == 0 }

// attempt finds the user and says how the attempt counts.
func (s *Service) attempt(ctx context.Context, v Visit, login string) (db.User, throttle.Attempt, error) {
	attempt := throttle.Attempt{Address: v.Address, Login: input.Login(login)}
	user, err := s.DB.Reader().UserByLogin(ctx, attempt.Login)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return db.User{}, attempt, err
	}
	attempt.UserID = user.ID
	if token.WellFormed(v.Browser) {
		hash := token.Hash(v.Browser)
		known, err := s.DB.Reader().BrowserKnown(ctx, hash, user.ID, s.DB.Now())
		if err != nil {
			return db.User{}, attempt, err
		}
		if known {
			attempt.Browser = hash
		}
	}
	return user, attempt, nil
}

// codeOwed says whether the user must enter a code, too: whoever has an authenticator, but
// for customers in a browser that they have chosen to trust.
func (s *Service) codeOwed(ctx context.Context, tx *db.Tx, browser []byte, user db.User) (bool, error) {
	if !user.SecondFactor {
		return false, nil
	}
	current, err := s.Settings.Current(ctx)
	if err != nil || browser == nil || user.Staff() || current.MFATrustDeviceDays == 0 {
		return true, err
	}
	trusted, err := tx.BrowserTrusted(ctx, browser, user, tx.Now)
	return !trusted, err
}

// askForCode makes a session that is good for nothing but entering the code.
func askForCode(ctx context.Context, tx *db.Tx, v Visit, user db.User) (SignedIn, error) {
	plain, hash := token.New()
	session := db.Session{UserID: user.ID, Epoch: user.Epoch, CodeOwed: true, Data: []byte{}, Address: v.Actor.Address, UserAgent: v.Actor.UserAgent}
	_, err := tx.AddSession(ctx, session, hash)
	return SignedIn{Session: plain, CodeOwed: true}, err
}

// passwordAlone is how somebody got in without a code.
const passwordAlone = "password"

// enter makes the session of a user who has given all proofs, and remembers the browser. A
// browser that is trusted in the place of a code opens the account, but is no fresh proof:
// with it and the password anybody could replace the authenticator.
func (s *Service) enter(ctx context.Context, tx *db.Tx, v Visit, user db.User, factor string) (SignedIn, error) {
	plain, hash := token.New()
	session := db.Session{UserID: user.ID, Epoch: user.Epoch, Data: []byte{}, Address: v.Actor.Address, UserAgent: v.Actor.UserAgent,
		Trusted: factor == passwordAlone && user.SecondFactor}
	if _, err := tx.AddSession(ctx, session, hash); err != nil {
		return SignedIn{}, err
	}
	browser, err := remember(ctx, tx, v, user)
	if err != nil {
		return SignedIn{}, err
	}
	if err := tx.RecordSignIn(ctx, user.ID); err != nil {
		return SignedIn{}, err
	}
	return SignedIn{Session: plain, Browser: browser}, audit.Record(ctx, tx, audit.Event{Action: audit.SignedIn, Actor: proven(v, user), User: user,
		Detail: map[string]string{"factor": factor}})
}

// proven is the visitor as an actor from the moment on at which it is clear who they are.
func proven(v Visit, user db.User) db.Actor {
	actor := v.Actor
	actor.Kind, actor.UserID = db.ActorUser, user.ID
	return actor
}

// tellOfNewBrowser mails a user whose account was entered from a browser it did not know,
// unless it is the very first one or they do not want to be told.
func tellOfNewBrowser(ctx context.Context, tx *db.Tx, v Visit, user db.User) error {
	if user.LastSignInAt == 0 || !user.NotifySignIn {
		return nil
	}
	return tx.Enqueue(ctx, db.Message{Kind: db.MessageNewSignIn, UserID: user.ID, Recipient: user.Email,
		Data: db.MessageData{Address: v.Actor.Address, UserAgent: v.Actor.UserAgent}})
}

// remember makes the browser known to the user and returns its new token. The old one is
// worth nothing from now on, so nobody can plant one and share what it comes to mean; what
// it meant to others who use the browser goes over to the new one.
func remember(ctx context.Context, tx *db.Tx, v Visit, user db.User) (string, error) {
	browser, hash := token.New()
	if token.WellFormed(v.Browser) {
		if err := tx.RenewBrowser(ctx, token.Hash(v.Browser), hash); err != nil {
			return "", err
		}
	}
	return browser, tx.RememberBrowser(ctx, hash, user.ID, v.Actor.UserAgent, v.Actor.Address)
}

// refuseSignIn records the refusal, and tells the owner when no stranger gets another try.
func (s *Service) refuseSignIn(ctx context.Context, v Visit, user db.User, last bool) error {
	return s.update(ctx, func(tx *db.Tx) error {
		if last {
			if err := tx.Enqueue(ctx, db.Message{Kind: db.MessagePasswordStopped, UserID: user.ID, Recipient: user.Email}); err != nil {
				return err
			}
			if err := audit.Record(ctx, tx, audit.Event{Action: audit.PasswordStopped, Actor: v.Actor, User: user}); err != nil {
				return err
			}
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.SignInRefused, Actor: v.Actor, Refused: true, User: user,
			Detail: map[string]string{"factor": "password"}})
	})
}

// rehash replaces a hash made with older parameters, now that the password is at hand. If
// that cannot be done it is done at the next sign-in.
func (s *Service) rehash(ctx context.Context, user db.User, typed string) {
	hash, err := s.Hasher.Hash(ctx, password.Visitors, typed)
	if err != nil {
		return
	}
	_ = s.DB.Update(ctx, func(tx *db.Tx) error { return tx.Rehash(ctx, user.ID, user.PasswordHash, hash) })
}

// SignOut ends the actor's session.
func (s *Service) SignOut(ctx context.Context, actor db.Actor, user db.User) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		if err := tx.EndSession(ctx, actor.SessionID); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.SignedOut, Actor: actor, User: user})
	})
}
