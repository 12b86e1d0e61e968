package account

import (
	"context"
	"errors"
	"time"

	"postern/db"
	"postern/internal/audit"
	"postern/internal/input"
	"postern/internal/password"
	"postern/internal/session"
	"postern/internal/totp"
)

// enrolmentTime is how long a secret is shown until it must be confirmed.
const enrolmentTime = 10 * time.Minute

// Enrolment is an authenticator that is shown but not confirmed yet.
type Enrolment struct {
	Secret  totp.Secret
	Address string // for an app: otpauth://…
	Code    totp.QRCode
}

// ShowEnrolment makes a secret for the user's authenticator, or shows the same one again
// until it is confirmed or ten minutes have passed.
func (s *Service) ShowEnrolment(ctx context.Context, user db.User) (e Enrolment, err error) {
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		// Somebody whose access has ended meanwhile must leave no secret that they have seen.
		if err := tx.LockUser(ctx, user.ID, user.Epoch); err != nil {
			return err
		}
		sealed, err := tx.Enrolment(ctx, user.ID, tx.Now)
		if errors.Is(err, db.ErrNotFound) {
			sealed, err = tx.SetEnrolment(ctx, user.ID, s.Key.Seal(totp.NewSecret(), owner(user.ID)), tx.Now.Add(enrolmentTime))
		}
		if err != nil {
			return err
		}
		e.Secret, err = s.Key.Open(sealed, owner(user.ID))
		return err
	})
	if err != nil {
		return e, err
	}
	current, err := s.Settings.Current(ctx)
	if err != nil {
		return e, err
	}
	e.Address = e.Secret.URL(current.PortalName, user.Email)
	e.Code, err = totp.NewQRCode(e.Address)
	return e, err
}

// ErrEnrolmentExpired is returned when the secret that was shown has run out; a new one is
// shown instead.
var ErrEnrolmentExpired = errors.New("the enrolment has expired")

// ConfirmEnrolment makes the shown authenticator the user's own, in the place of any other,
// when the code is one of its. It ends every other session, all links and all trust in
// browsers, and returns ten new recovery codes, to be shown once, with the new token of the
// session. A wrong code is an *input.Error.
func (s *Service) ConfirmEnrolment(ctx context.Context, actor db.Actor, c *session.Current, typed string) (codes []string, sessionToken string, err error) {
	if typed == "" {
		return nil, "", input.Refuse("code", input.Missing)
	}
	sealed, err := s.DB.Reader().Enrolment(ctx, c.User.ID, s.DB.Now())
	if errors.Is(err, db.ErrNotFound) {
		return nil, "", ErrEnrolmentExpired
	} else if err != nil {
		return nil, "", err
	}
	if err := s.DB.Update(ctx, func(tx *db.Tx) error { return s.Throttle.Proof(ctx, tx, c.User.ID) }); err != nil {
		return nil, "", err
	}
	secret, err := s.Key.Open(sealed, owner(c.User.ID))
	if err != nil {
		return nil, "", err
	}
	step, ok := totp.Secret(secret).Match(typed, s.DB.Now().Time())
	if !ok {
		return nil, "", errWrongCode
	}
	codes, salt, hashes, err := s.newRecoveryCodes(ctx)
	if err != nil {
		return nil, "", err
	}
	what := "enrolled"
	if c.User.SecondFactor {
		what = "replaced"
	}
	err = s.update(ctx, func(tx *db.Tx) error {
		if err := tx.LockUser(ctx, c.User.ID, c.User.Epoch); err != nil {
			return err
		}
		// Before the change of access, which forgets it, too.
		if err := tx.UseEnrolment(ctx, c.User.ID, sealed); errors.Is(err, db.ErrNotFound) {
			return ErrEnrolmentExpired
		} else if err != nil {
			return err
		}
		if sessionToken, err = endOtherAccess(ctx, tx, c, true); err != nil {
			return err
		}
		if err := tx.SetAuthenticator(ctx, c.User.ID, sealed, step); err != nil {
			return err
		}
		if err := tx.SetRecoveryCodes(ctx, c.User.ID, salt, hashes); err != nil {
			return err
		}
		if err := s.forgetProofs(ctx, tx, c.User.ID); err != nil {
			return err
		}
		return notifyFactor(ctx, tx, actor, c.User, what, audit.AuthenticatorEnrolled)
	})
	return codes, sessionToken, err
}

// newRecoveryCodes returns a set to show, and what to keep of it.
func (s *Service) newRecoveryCodes(ctx context.Context) (codes []string, salt []byte, hashes [][]byte, err error) {
	codes, salt = totp.NewRecoveryCodes(), password.NewSalt()
	for _, code := range codes {
		bare, _ := totp.RecoveryCode(code)
		hash, err := s.Hasher.Digest(ctx, password.SignedIn, salt, bare)
		if err != nil {
			return nil, nil, nil, err
		}
		hashes = append(hashes, hash)
	}
	return codes, salt, hashes, nil
}

// forgetProofs lifts the waits for a user who has just proven who they are.
func (s *Service) forgetProofs(ctx context.Context, tx *db.Tx, userID int64) error {
	if err := s.Throttle.Proven(ctx, tx, userID); err != nil {
		return err
	}
	return s.Throttle.ForgetCodes(ctx, tx, userID)
}

// notifyFactor records a change of the second factor and mails it.
func notifyFactor(ctx context.Context, tx *db.Tx, actor db.Actor, user db.User, what string, action audit.Action) error {
	if err := tx.Enqueue(ctx, db.Message{Kind: db.MessageFactorChanged, UserID: user.ID, Recipient: user.Email,
		Data: db.MessageData{By: "user", What: what, Address: actor.Address, UserAgent: actor.UserAgent}}); err != nil {
		return err
	}
	return audit.Record(ctx, tx, audit.Event{Action: action, Actor: actor, User: user})
}

// RemoveAuthenticator takes a user's authenticator and recovery codes away, for a code of
// either. Who must have one enrols another before anything else. It returns the new token
// of the session, which alone goes on.
func (s *Service) RemoveAuthenticator(ctx context.Context, actor db.Actor, c *session.Current, typed string) (sessionToken string, err error) {
	if !c.User.SecondFactor {
		return "", db.ErrNotFound
	}
	if _, err := s.checkCode(ctx, actor, c, typed); err != nil {
		return "", err
	}
	return s.changeCredential(ctx, c, false, func(tx *db.Tx) error {
		if err := tx.RemoveAuthenticator(ctx, c.User.ID); err != nil {
			return err
		}
		return notifyFactor(ctx, tx, actor, c.User, "removed", audit.AuthenticatorRemoved)
	})
}

// RenewRecoveryCodes returns ten new recovery codes, to be shown once; the old ones are
// dead. More than five sets an hour are a *throttle.HeldError.
func (s *Service) RenewRecoveryCodes(ctx context.Context, actor db.Actor, c *session.Current) ([]string, error) {
	if !c.User.SecondFactor {
		return nil, db.ErrNotFound
	}
	if err := s.DB.Update(ctx, func(tx *db.Tx) error { return s.Throttle.RecoveryCodes(ctx, tx, c.User.ID) }); err != nil {
		return nil, err
	}
	codes, salt, hashes, err := s.newRecoveryCodes(ctx)
	if err != nil {
		return nil, err
	}
	return codes, s.update(ctx, func(tx *db.Tx) error {
		// Access that has ended while the codes were hashed gets none, and of two sets at once
		// the later one is good.
		if err := tx.LockUser(ctx, c.User.ID, c.User.Epoch); err != nil {
			return err
		}
		if _, err := tx.Authenticator(ctx, c.User.ID); err != nil {
			return err
		}
		if err := tx.SetRecoveryCodes(ctx, c.User.ID, salt, hashes); err != nil {
			return err
		}
		return notifyFactor(ctx, tx, actor, c.User, "codes", audit.RecoveryCodesRenewed)
	})
}
