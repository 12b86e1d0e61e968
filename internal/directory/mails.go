package directory

import (
	"context"
	"errors"
	"strconv"
	"time"

	"postern/db"
	"postern/internal/access"
	"postern/internal/audit"
)

// NoRetry says why a mail is not sent again.
type NoRetry string

const (
	NoRetrySent      NoRetry = "sent"
	NoRetrySending   NoRetry = "sending"
	NoRetryUnknown   NoRetry = "unknown"   // whom it is for
	NoRetryElsewhere NoRetry = "elsewhere" // the user has another address by now
	NoRetryRevoked   NoRetry = "revoked"   // the user's links were, after it was asked for
)

// NoRetryError is returned for a mail that is not sent again.
type NoRetryError struct{ Reason NoRetry }

func (e *NoRetryError) Error() string { return "the mail is not sent again: " + string(e.Reason) }

// RetryMail makes a mail that waits, has failed or was dropped due at once. What it becomes
// is decided afresh when it is made: a link that must not be sent any more is dropped once
// more, and says why. A mail that is not to be sent again is a *NoRetryError.
func (s *Service) RetryMail(ctx context.Context, actor db.Actor, messageID int64) error {
	return s.update(ctx, func(tx *db.Tx) error {
		if _, err := require(ctx, tx.Reader, actor, access.MailView); err != nil {
			return err
		}
		m, err := tx.Message(ctx, messageID)
		if err != nil {
			return err
		}
		user, reason, err := retried(ctx, tx.Reader, m)
		if err != nil {
			return err
		}
		if reason != "" {
			return &NoRetryError{reason}
		}
		if err := tx.RetryMessage(ctx, m); errors.Is(err, db.ErrNotFound) {
			return &NoRetryError{NoRetrySending} // the worker was quicker
		} else if err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.MailRetried, Actor: actor, User: user,
			Detail: map[string]string{"message": strconv.FormatInt(m.ID, 10), "kind": string(m.Kind)}})
	})
}

// WhyNoRetry says why a mail is not sent again; empty for one that can be.
func (s *Service) WhyNoRetry(ctx context.Context, m db.Message) (NoRetry, error) {
	_, reason, err := retried(ctx, s.DB.Reader(), m)
	return reason, err
}

// retried returns whom a mail is for, the zero User for nobody any more, and why it is not
// sent again, if so.
func retried(ctx context.Context, r db.Reader, m db.Message) (db.User, NoRetry, error) {
	switch {
	case m.State == db.MessageSent:
		return db.User{}, NoRetrySent, nil
	case m.State == db.MessageSending:
		return db.User{}, NoRetrySending, nil
	case m.Recipient == "":
		return db.User{}, NoRetryUnknown, nil
	case m.Kind == db.MessageDeleted:
		return db.User{}, "", nil // it is for the address that was freed
	}
	user, err := r.User(ctx, m.UserID)
	if errors.Is(err, db.ErrNotFound) {
		return user, NoRetryUnknown, nil
	} else if err != nil {
		return user, "", err
	}
	if !stillTheirs(m, user) {
		return user, NoRetryElsewhere, nil
	}
	revoked, err := r.LinksRevokedSince(ctx, m)
	if err == nil && revoked {
		return user, NoRetryRevoked, nil
	}
	return user, "", err
}

// stillTheirs says whether the mail's address is where the user reads mail. An address that
// was given up may be somebody else's by now, and the mail may hold a link that shuts the
// account. The two mails that tell the old address of a change are for just that.
func stillTheirs(m db.Message, u db.User) bool {
	switch m.Kind {
	case db.MessageVerifyEmail:
		return m.Recipient == u.PendingEmail
	case db.MessageEmailAsked, db.MessageEmailChanged:
		return true
	}
	return m.Recipient == u.Email
}

// testLease is how long a test mail is its request's alone. If the program is stopped in
// the middle of the dialogue the worker sends it then.
const testLease = time.Minute

// TestMail puts a mail to the actor's own address into the outbox, held for the one who is
// to send it now; too many are a *throttle.HeldError.
func (s *Service) TestMail(ctx context.Context, actor db.Actor) (m db.Message, err error) {
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		if _, err := require(ctx, tx.Reader, actor, access.MailView); err != nil {
			return err
		}
		user, err := tx.User(ctx, actor.UserID)
		if err != nil {
			return err
		}
		if err := s.Throttle.TestMail(ctx, tx, user.ID); err != nil {
			return err
		}
		m, err = tx.EnqueueHeld(ctx, db.Message{Kind: db.MessageTest, UserID: user.ID, Recipient: user.Email}, testLease)
		if err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.MailTested, Actor: actor, User: user})
	})
	return m, err
}
