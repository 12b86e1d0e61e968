package account

import (
	"cmp"
	"context"
	"errors"

	"postern/db"
	"postern/internal/audit"
	"postern/internal/input"
	"postern/internal/session"
)

// RequestEmailChange keeps a new address until it is confirmed from it, mails the link
// there, and tells the old address. An address that cannot be used is the same
// *input.Error whatever the reason; more than five a day are a *throttle.HeldError.
func (s *Service) RequestEmailChange(ctx context.Context, actor db.Actor, c *session.Current, typed string) error {
	address, problem := input.Email(typed)
	if problem == "" && address == c.User.Email {
		problem = input.SameEmail
	}
	if problem != "" {
		return input.Refuse("email", problem)
	}
	// By itself, so that an address that cannot be used counts, too: it tells something.
	if err := s.DB.Update(ctx, func(tx *db.Tx) error { return s.Throttle.Confirmation(ctx, tx, c.User.ID) }); err != nil {
		return err
	}
	return s.update(ctx, func(tx *db.Tx) error {
		// The session may have ended meanwhile, with all that was asked for in it.
		if user, err := tx.User(ctx, c.User.ID); err != nil || user.Epoch != c.User.Epoch {
			return cmp.Or(err, db.ErrNotFound)
		}
		if err := unused(ctx, tx.Reader, c.User.ID, address, "email"); err != nil {
			return err
		}
		if err := tx.SetPendingEmail(ctx, c.User.ID, address); err != nil {
			return err
		}
		if err := tx.RevokeLinks(ctx, c.User.ID, db.PurposeVerifyEmail, 0); err != nil {
			return err
		}
		if err := tx.Enqueue(ctx, db.Message{Kind: db.MessageVerifyEmail, UserID: c.User.ID, Recipient: address}); err != nil {
			return err
		}
		if err := tx.Enqueue(ctx, db.Message{Kind: db.MessageEmailAsked, UserID: c.User.ID, Recipient: c.User.Email,
			Data: db.MessageData{NewEmail: address, Address: actor.Address, UserAgent: actor.UserAgent}}); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.EmailChangeRequested, Actor: actor, User: c.User,
			Detail: map[string]string{"new": address}})
	})
}

// CancelEmailChange forgets an address that waits for its confirmation.
func (s *Service) CancelEmailChange(ctx context.Context, actor db.Actor, c *session.Current) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		// The user first, as everywhere.
		if err := tx.SetPendingEmail(ctx, c.User.ID, ""); err != nil {
			return err
		}
		if err := tx.RevokeLinks(ctx, c.User.ID, db.PurposeVerifyEmail, 0); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.EmailChangeCancelled, Actor: actor, User: c.User})
	})
}

// unused refuses an address that is somebody else's, without saying so, as a problem of that
// field.
func unused(ctx context.Context, r db.Reader, userID int64, address, field string) error {
	other, err := r.UserByEmail(ctx, address)
	if errors.Is(err, db.ErrNotFound) || err == nil && other.ID == userID {
		return nil
	}
	return errors.Join(err, input.Refuse(field, input.EmailUnusable))
}

// ConfirmEmail makes the address that the link was mailed to the user's own. It works in
// that user's session alone; anybody else's link is ErrDeadLink. It returns the new token
// of the session, which alone goes on, and tells the old address.
func (s *Service) ConfirmEmail(ctx context.Context, v Visit, c *session.Current, plain string) (sessionToken string, err error) {
	link, user, err := s.checkedLink(ctx, v, db.PurposeVerifyEmail, plain)
	if err != nil {
		return "", err
	}
	if user.ID != c.User.ID || link.Email != user.PendingEmail {
		return "", ErrDeadLink
	}
	sessionToken, err = s.changeCredential(ctx, c, false, func(tx *db.Tx) error {
		if err := unused(ctx, tx.Reader, user.ID, link.Email, ""); err != nil {
			return err
		}
		if err := tx.SetEmail(ctx, user.ID, link.Email); err != nil {
			return err
		}
		if err := tx.Enqueue(ctx, db.Message{Kind: db.MessageEmailChanged, UserID: user.ID, Recipient: user.Email,
			Data: db.MessageData{NewEmail: link.Email, Address: v.Actor.Address, UserAgent: v.Actor.UserAgent}}); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.EmailChanged, Actor: v.Actor, User: user,
			Detail: map[string]string{"old": user.Email, "new": link.Email}})
	})
	switch {
	case errors.Is(err, db.ErrTaken):
		err = input.Refuse("", input.EmailUnusable)
	case errors.Is(err, db.ErrNotFound):
		err = ErrDeadLink
	}
	return sessionToken, err
}
