package account

import (
	"context"
	"errors"

	"postern/db"
	"postern/internal/audit"
	"postern/internal/input"
	"postern/internal/password"
)

// usernameTries is how many wrong usernames kill a reset link.
const usernameTries = 5

// ResetPassword sets a new password with an open reset link. Only an accepted password
// uses the link up; it then ends every session and link of the user and tells them by
// mail. Nobody is signed in by it, and an authenticator stays as it is. It returns the
// token of the browser, which is known from now on. A link that does not work is
// ErrDeadLink, a form that does not pass an *input.Error.
func (s *Service) ResetPassword(ctx context.Context, v Visit, plain, username string, form NewPassword) (browser string, err error) {
	v = v.unnamed()
	link, user, err := s.checkedLink(ctx, v, db.PurposeReset, plain)
	if err != nil {
		return "", err
	}
	current, err := s.Settings.Current(ctx)
	if err != nil {
		return "", err
	}
	if current.RecoveryConfirmUsername {
		if err := s.confirmUsername(ctx, v, link, user, username); err != nil {
			return "", err
		}
	}
	hash, err := s.Choose(ctx, password.Visitors, user, form)
	if err != nil {
		return "", err
	}
	err = s.update(ctx, func(tx *db.Tx) error {
		browser, err = s.setByLink(ctx, tx, v, link, hash)
		if err != nil {
			return err
		}
		if err := tx.Enqueue(ctx, db.Message{Kind: db.MessagePasswordChanged, UserID: user.ID, Recipient: user.Email,
			Data: db.MessageData{By: "reset", Address: v.Actor.Address, UserAgent: v.Actor.UserAgent}}); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.PasswordReset, Actor: v.Actor, User: user})
	})
	return browser, err
}

// AcceptInvitation sets the first password of an invited user, under the same rules.
func (s *Service) AcceptInvitation(ctx context.Context, v Visit, plain string, form NewPassword) (browser string, err error) {
	v = v.unnamed()
	link, user, err := s.checkedLink(ctx, v, db.PurposeInvitation, plain)
	if err != nil {
		return "", err
	}
	hash, err := s.Choose(ctx, password.Visitors, user, form)
	if err != nil {
		return "", err
	}
	err = s.update(ctx, func(tx *db.Tx) error {
		browser, err = s.setByLink(ctx, tx, v, link, hash)
		if err != nil {
			return err
		}
		if err := tx.RecordAcceptance(ctx, user.ID); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.InvitationAccepted, Actor: v.Actor, User: user})
	})
	return browser, err
}

// checkedLink claims a look and finds the link.
func (s *Service) checkedLink(ctx context.Context, v Visit, purpose db.Purpose, plain string) (db.Link, db.User, error) {
	if err := s.CheckLink(ctx, v); err != nil {
		return db.Link{}, db.User{}, err
	}
	return s.OpenLink(ctx, purpose, plain)
}

// setByLink uses the link up and stores the password: of any number at once, one.
func (s *Service) setByLink(ctx context.Context, tx *db.Tx, v Visit, link db.Link, hash string) (browser string, err error) {
	if err := tx.UseLink(ctx, link.ID); err != nil {
		return "", dead(err)
	}
	user, err := tx.User(ctx, link.UserID)
	if err != nil {
		return "", dead(err)
	}
	if !mayEnter(user) {
		return "", ErrDeadLink
	}
	if _, err := tx.EndAccess(ctx, user.ID, link.Epoch, 0); err != nil {
		return "", dead(err)
	}
	if err := tx.SetPassword(ctx, user.ID, hash); err != nil {
		return "", err
	}
	if err := s.Throttle.Forget(ctx, tx, user); err != nil {
		return "", err
	}
	return remember(ctx, tx, v, user)
}

// confirmUsername compares what was typed with the username, or the address of a user who
// has none. Five wrong ones kill the link.
func (s *Service) confirmUsername(ctx context.Context, v Visit, link db.Link, user db.User, typed string) error {
	if typed == "" {
		return input.Refuse("username", input.Missing)
	}
	if namesUser(user, typed) {
		return nil
	}
	wrong := error(input.Refuse("username", input.WrongUsername))
	err := s.DB.Update(ctx, func(tx *db.Tx) error {
		failures, err := tx.CountLinkFailure(ctx, link.ID, usernameTries)
		if errors.Is(err, db.ErrNotFound) || failures >= usernameTries {
			wrong, err = ErrDeadLink, nil
		}
		if err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.PasswordResetRefused, Actor: v.Actor, Refused: true, User: user,
			Detail: map[string]string{"reason": "username"}})
	})
	return errors.Join(err, wrong)
}

// namesUser says whether the text is the user's username, or the address where there is
// none.
func namesUser(user db.User, typed string) bool {
	login := input.Login(typed)
	if user.Username == "" {
		return login == db.FoldEmail(user.Email)
	}
	return login == user.Username
}
