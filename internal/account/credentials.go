package account

import (
	"context"
	"errors"

	"postern/db"
	"postern/internal/audit"
	"postern/internal/input"
	"postern/internal/password"
	"postern/internal/session"
	"postern/internal/token"
)

// Reauthenticate takes the password of a signed-in user, and a code where an authenticator
// is enrolled, as fresh proof, and returns the new token of the session. A wrong one is an
// *input.Error about "password" or "code".
func (s *Service) Reauthenticate(ctx context.Context, actor db.Actor, c *session.Current, typed, code string) (sessionToken string, err error) {
	if err := s.prove(ctx, actor, c.User, "password", typed); err != nil {
		return "", err
	}
	factor := "password"
	if c.User.SecondFactor {
		used, err := s.checkCode(ctx, actor, c, code)
		if err != nil {
			return "", err
		}
		factor += " and " + string(used)
	}
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		// The session before the counter, as everywhere.
		if sessionToken, err = renew(ctx, tx, c.Session.ID, true); err != nil {
			return err
		}
		if err := s.Throttle.Proven(ctx, tx, c.User.ID); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.Reauthenticated, Actor: actor, User: c.User,
			Detail: map[string]string{"factor": factor}})
	})
	return sessionToken, err
}

// prove claims an attempt and compares the password; a wrong one is an *input.Error about
// the field.
func (s *Service) prove(ctx context.Context, actor db.Actor, user db.User, field, typed string) error {
	if typed == "" {
		return input.Refuse(field, input.Missing)
	}
	if err := s.DB.Update(ctx, func(tx *db.Tx) error { return s.Throttle.Proof(ctx, tx, user.ID) }); err != nil {
		return err
	}
	ok, _, err := s.verify(ctx, password.SignedIn, user, typed)
	if err != nil {
		return err
	}
	if ok {
		return nil
	}
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		return audit.Record(ctx, tx, audit.Event{Action: audit.ReauthenticationFailed, Actor: actor, Refused: true, User: user,
			Detail: map[string]string{"factor": "password"}})
	})
	return errors.Join(err, input.Refuse(field, input.WrongPassword))
}

// renew gives the session a new token, so that one seen before is worth nothing; proven says
// that the user has just proven who they are.
func renew(ctx context.Context, tx *db.Tx, sessionID int64, proven bool) (string, error) {
	plain, hash := token.New()
	return plain, tx.RenewSession(ctx, sessionID, hash, proven)
}

// ChangePassword sets a new password for a signed-in user who knows the present one. It
// returns the new token of the session, which alone goes on; every other one ends, with
// all links. Where staff have switched it off it is ErrSwitchedOff.
func (s *Service) ChangePassword(ctx context.Context, actor db.Actor, c *session.Current, present string, form NewPassword) (sessionToken string, err error) {
	current, err := s.Settings.Current(ctx)
	if err != nil {
		return "", err
	}
	if !current.PasswordChangeEnabled {
		return "", ErrSwitchedOff
	}
	if err := s.prove(ctx, actor, c.User, "current_password", present); err != nil {
		return "", err
	}
	hash, err := s.Choose(ctx, password.SignedIn, c.User, form)
	if err != nil {
		// The present password was right all the same.
		return "", errors.Join(err, s.DB.Update(ctx, func(tx *db.Tx) error { return s.Throttle.Proven(ctx, tx, c.User.ID) }))
	}
	// Where a code is needed, too, the password alone is not fresh proof.
	return s.changeCredential(ctx, c, !c.User.SecondFactor, func(tx *db.Tx) error {
		if err := tx.SetPassword(ctx, c.User.ID, hash); err != nil {
			return err
		}
		if err := s.Throttle.Proven(ctx, tx, c.User.ID); err != nil {
			return err
		}
		return notify(ctx, tx, actor, c.User, db.MessagePasswordChanged, audit.PasswordChanged, nil)
	})
}

// ChangeUsername gives a signed-in user another username, or none. One in use is an
// *input.Error. It returns the new token of the session, which alone goes on.
func (s *Service) ChangeUsername(ctx context.Context, actor db.Actor, c *session.Current, typed string) (sessionToken string, err error) {
	username, problem := input.Username(typed)
	if problem != "" {
		return "", input.Refuse("username", problem)
	}
	sessionToken, err = s.changeCredential(ctx, c, false, func(tx *db.Tx) error {
		if err := tx.SetUsername(ctx, c.User.ID, username); err != nil {
			return err
		}
		return notify(ctx, tx, actor, c.User, db.MessageUsernameChanged, audit.UsernameChanged,
			map[string]string{"old": c.User.Username, "new": username})
	})
	if errors.Is(err, db.ErrTaken) {
		err = input.Refuse("username", input.UsernameTaken)
	}
	return sessionToken, err
}

// changeCredential ends all access but the session in hand, makes the change, and gives
// the session a new token. Proven says that all proof came with it.
func (s *Service) changeCredential(ctx context.Context, c *session.Current, proven bool, change func(*db.Tx) error) (sessionToken string, err error) {
	err = s.update(ctx, func(tx *db.Tx) error {
		if sessionToken, err = endOtherAccess(ctx, tx, c, proven); err != nil {
			return err
		}
		return change(tx)
	})
	return sessionToken, err
}

// endOtherAccess ends all access but the session in hand, and gives that a new token.
func endOtherAccess(ctx context.Context, tx *db.Tx, c *session.Current, proven bool) (sessionToken string, err error) {
	if _, err := tx.EndAccess(ctx, c.User.ID, c.User.Epoch, c.Session.ID); err != nil {
		return "", err
	}
	return renew(ctx, tx, c.Session.ID, proven)
}

// notify records a change that a user made to their own account, and mails it to the
// address they have.
func notify(ctx context.Context, tx *db.Tx, actor db.Actor, user db.User, kind db.MessageKind, action audit.Action, detail map[string]string) error {
	if err := tx.Enqueue(ctx, db.Message{Kind: kind, UserID: user.ID, Recipient: user.Email,
		Data: db.MessageData{By: "user", Address: actor.Address, UserAgent: actor.UserAgent}}); err != nil {
		return err
	}
	return audit.Record(ctx, tx, audit.Event{Action: action, Actor: actor, User: user, Detail: detail})
}
