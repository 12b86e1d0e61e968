package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"postern/db"
	"postern/internal/audit"
	"postern/internal/input"
	"postern/internal/password"
	"postern/internal/session"
	"postern/internal/settings"
	"postern/internal/throttle"
	"postern/internal/token"
	"postern/internal/totp"
)

// errWrongCode is the same for a wrong code, one used before, and one of another factor.
var errWrongCode = input.Refuse("code", input.WrongCode)

// ErrStartOver is returned when a sign-in must begin again with the password.
var ErrStartOver = errors.New("the sign-in must begin again")

// owner is under which name a user's secrets are sealed.
func owner(userID int64) string { return "authenticator " + strconv.FormatInt(userID, 10) }

// VerifyCode completes a sign-in with a code of the authenticator or a recovery code. A
// wrong one is an *input.Error; after five the sign-in must begin again, which is
// ErrStartOver, as it is when the account has changed meanwhile. With trust, a customer's
// browser need not show a code for as long as the settings say.
func (s *Service) VerifyCode(ctx context.Context, v Visit, c *session.Current, typed string, trust bool) (SignedIn, error) {
	factor, err := s.checkCode(ctx, v.Actor, c, typed)
	if err != nil {
		return SignedIn{}, err
	}
	current, err := s.Settings.Current(ctx)
	if err != nil {
		return SignedIn{}, err
	}
	var in SignedIn
	err = s.update(ctx, func(tx *db.Tx) error {
		if err := tx.LockUser(ctx, c.User.ID, c.User.Epoch); errors.Is(err, db.ErrNotFound) {
			return ErrStartOver
		} else if err != nil {
			return err
		}
		user, err := tx.User(ctx, c.User.ID)
		if err != nil || !mayEnter(user) {
			return cmp.Or(err, ErrStartOver)
		}
		if err := tx.EndUserSession(ctx, user.ID, c.Session.ID); errors.Is(err, db.ErrNotFound) {
			return ErrStartOver // somebody was quicker with the same session
		} else if err != nil {
			return err
		}
		v.Actor.Kind, v.Actor.UserID = db.ActorUser, user.ID
		known := false
		if token.WellFormed(v.Browser) {
			if known, err = tx.BrowserKnown(ctx, token.Hash(v.Browser), user.ID, tx.Now); err != nil {
				return err
			}
		}
		if in, err = s.enter(ctx, tx, v, user, "password and "+string(factor)); err != nil {
			return err
		}
		in.RecoveryCode = factor == throttle.FactorRecovery
		if days := current.MFATrustDeviceDays; trust && !user.Staff() && days > 0 {
			if err := tx.TrustBrowser(ctx, token.Hash(in.Browser), user, tx.Now.Add(time.Duration(days)*24*time.Hour)); err != nil {
				return err
			}
			if err := audit.Record(ctx, tx, audit.Event{Action: audit.BrowserTrusted, Actor: proven(v, user), User: user}); err != nil {
				return err
			}
		}
		if known {
			return nil
		}
		return tellOfNewBrowser(ctx, tx, v, user)
	})
	return in, err
}

// codeClaim is an attempt at a code that was counted as wrong before it is judged.
type codeClaim struct {
	factor  throttle.Factor
	inARow  int64 // of the user's, with this one
	stopped bool  // no code of the factor counts any more
	last    bool  // of the sign-in that owes the code
}

// checkCode claims an attempt, and says which factor the code is of. No code works twice.
// A sign-in that owes the code ends with the fifth wrong one, which is ErrStartOver.
func (s *Service) checkCode(ctx context.Context, actor db.Actor, c *session.Current, typed string) (throttle.Factor, error) {
	if typed == "" {
		return "", input.Refuse("code", input.Missing)
	}
	claim, check := codeClaim{factor: throttle.FactorTOTP}, s.useTOTP
	if _, recovery := totp.RecoveryCode(typed); recovery {
		claim.factor, check = throttle.FactorRecovery, s.useRecoveryCode
	}
	err := s.DB.Update(ctx, func(tx *db.Tx) error { return s.claimCode(ctx, tx, c.Session, c.User.ID, &claim) })
	if err != nil {
		return "", err
	}
	err = errWrongCode
	if !claim.stopped {
		err = check(ctx, actor, c.User, typed)
	}
	if errors.Is(err, errWrongCode) {
		return "", errors.Join(s.refuseCode(ctx, actor, c, claim), err)
	}
	return claim.factor, err
}

// claimCode counts the attempt with the user and, where the sign-in still owes the code,
// with that; or with neither.
func (s *Service) claimCode(ctx context.Context, tx *db.Tx, of db.Session, userID int64, claim *codeClaim) (err error) {
	if of.CodeOwed {
		tried, err := tx.ClaimCode(ctx, of.ID, throttle.CodesPerSession)
		if errors.Is(err, db.ErrNotFound) {
			return ErrStartOver
		} else if err != nil {
			return err
		}
		claim.last = tried == throttle.CodesPerSession
	}
	claim.inARow, claim.stopped, err = s.Throttle.Code(ctx, tx, userID, claim.factor)
	return err
}

// useTOTP uses up the time step that a code belongs to.
func (s *Service) useTOTP(ctx context.Context, _ db.Actor, user db.User, typed string) error {
	held, err := s.DB.Reader().Authenticator(ctx, user.ID)
	if errors.Is(err, db.ErrNotFound) {
		return errWrongCode
	} else if err != nil {
		return err
	}
	secret, err := s.Key.Open(held.Sealed, owner(user.ID))
	if err != nil {
		return fmt.Errorf("authenticator of user %d: %w", user.ID, err)
	}
	step, ok := totp.Secret(secret).Match(typed, s.DB.Now().Time())
	if !ok {
		return errWrongCode
	}
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		if err := tx.UseStep(ctx, user.ID, step); errors.Is(err, db.ErrNotFound) {
			return errWrongCode
		} else if err != nil {
			return err
		}
		return s.Throttle.CodeAccepted(ctx, tx, user.ID, throttle.FactorTOTP)
	})
}

// useRecoveryCode uses up a recovery code and tells its user.
func (s *Service) useRecoveryCode(ctx context.Context, actor db.Actor, user db.User, typed string) error {
	bare, _ := totp.RecoveryCode(typed)
	salt, err := s.DB.Reader().RecoverySalt(ctx, user.ID)
	if errors.Is(err, db.ErrNotFound) {
		salt, err = make([]byte, 16), nil // costs the same where there are none
	}
	if err != nil {
		return err
	}
	hash, err := s.Hasher.Digest(ctx, password.SignedIn, salt, bare)
	if err != nil {
		return err
	}
	return s.update(ctx, func(tx *db.Tx) error {
		if err := tx.UseRecoveryCode(ctx, user.ID, hash); errors.Is(err, db.ErrNotFound) {
			return errWrongCode
		} else if err != nil {
			return err
		}
		if err := s.Throttle.CodeAccepted(ctx, tx, user.ID, throttle.FactorRecovery); err != nil {
			return err
		}
		return notify(ctx, tx, actor, user, db.MessageRecoveryUsed, audit.RecoveryCodeUsed, nil)
	})
}

// refuseCode records a wrong code, and tells the user at the third in a row: whoever
// entered it knows the password. It ends a sign-in that has had its last try.
func (s *Service) refuseCode(ctx context.Context, actor db.Actor, c *session.Current, claim codeClaim) error {
	action := audit.ReauthenticationFailed
	if c.Session.CodeOwed {
		action = audit.SignInRefused
	}
	err := s.update(ctx, func(tx *db.Tx) error {
		if claim.last {
			if err := tx.EndSession(ctx, c.Session.ID); err != nil {
				return err
			}
		}
		if claim.inARow == throttle.WrongCodesTold {
			if err := tx.Enqueue(ctx, db.Message{Kind: db.MessageWrongCodes, UserID: c.User.ID, Recipient: c.User.Email,
				Data: db.MessageData{Address: actor.Address, UserAgent: actor.UserAgent}}); err != nil {
				return err
			}
		}
		return audit.Record(ctx, tx, audit.Event{Action: action, Actor: actor, Refused: true, User: c.User,
			Detail: map[string]string{"factor": string(claim.factor)}})
	})
	if err == nil && claim.last {
		err = ErrStartOver
	}
	return err
}

// FactorOwed says whether the user must enrol an authenticator before anything else.
func FactorOwed(u db.User, current *settings.Settings) bool {
	return !u.SecondFactor && (u.Staff() || current.MFARequiredFor == settings.RequiredForEveryone)
}
