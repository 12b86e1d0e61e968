package directory

import (
	"context"
	"errors"
	"strings"

	"postern/db"
	"postern/internal/access"
	"postern/internal/audit"
	"postern/internal/input"
	"postern/internal/settings"
	"postern/internal/token"
)

// errUnchanged ends an act that would change nothing: no mail, no event, no error.
var errUnchanged = errors.New("nothing to change")

// deed is something done to a user: who may, what it changes, and how it is told.
type deed struct {
	act    access.Act
	mail   db.MessageKind // empty for none
	action audit.Action
	reason string // as the actor gave it
	must   bool   // a reason must be given, but by the operator
	what   string // of several things that the mail can tell
	change func(*db.Tx, db.User) error
}

// maxReason bounds the reason that an administrator gives.
const maxReason = 200

// do judges the actor, makes the change, mails the user and records it.
func (s *Service) do(ctx context.Context, actor db.Actor, userID int64, d deed) error {
	err := s.act(ctx, func(tx *db.Tx) error {
		_, user, err := target(ctx, tx.Reader, actor, userID, d.act)
		if err != nil {
			return err
		}
		reason, err := d.readReason(actor)
		if err != nil {
			return err
		}
		if d.mail != "" {
			message := db.Message{Kind: d.mail, UserID: user.ID, Recipient: user.Email, Data: db.MessageData{By: by(actor), What: d.what}}
			if err := tx.Enqueue(ctx, message); err != nil {
				return err
			}
		}
		if err := d.change(tx, user); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: d.action, Actor: actor, User: user, Detail: reason})
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// readReason checks the reason, and returns it as an event keeps it.
func (d deed) readReason(actor db.Actor) (map[string]string, error) {
	reason, problem := input.Text(d.reason, maxReason)
	switch {
	case problem != "":
		return nil, &input.Error{Fields: []input.Field{{Name: "reason", Problem: problem, Limit: maxReason}}}
	case reason != "":
		return map[string]string{"reason": reason}, nil
	case d.must && actor.Kind != db.ActorOperator:
		return nil, input.Refuse("reason", input.Missing)
	}
	return nil, nil
}

// by says in a mail whose act it was.
func by(actor db.Actor) string {
	if actor.Kind == db.ActorOperator {
		return "operator"
	}
	return "administrator"
}

// Activate lets a deactivated user in again. One who is active is left alone.
func (s *Service) Activate(ctx context.Context, actor db.Actor, userID int64, reason string) error {
	return s.do(ctx, actor, userID, deed{act: access.Activate, mail: db.MessageActivated, action: audit.UserActivated, reason: reason,
		change: func(tx *db.Tx, user db.User) error { return setActive(ctx, tx, user, true) }})
}

// Deactivate keeps a user out, at once: all their sessions and links end.
func (s *Service) Deactivate(ctx context.Context, actor db.Actor, userID int64, reason string) error {
	return s.do(ctx, actor, userID, deed{act: access.Deactivate, mail: db.MessageDeactivated, action: audit.UserDeactivated, reason: reason,
		change: func(tx *db.Tx, user db.User) error { return setActive(ctx, tx, user, false) }})
}

func setActive(ctx context.Context, tx *db.Tx, user db.User, active bool) error {
	if user.Active == active {
		return errUnchanged
	}
	return keepingAnOwner(ctx, tx, func() error {
		if _, err := tx.EndAccess(ctx, user.ID, user.Epoch, 0); err != nil {
			return err
		}
		return tx.SetActive(ctx, user.ID, active)
	})
}

// Unlock lifts what "this was not me", wrong passwords or wrong codes have shut.
func (s *Service) Unlock(ctx context.Context, actor db.Actor, userID int64, reason string) error {
	return s.do(ctx, actor, userID, deed{act: access.Unlock, mail: db.MessageUnlocked, action: audit.UserUnlocked, reason: reason,
		change: func(tx *db.Tx, user db.User) error {
			// First, as everywhere: whoever signs in takes the user before the counters, too.
			if err := tx.UnlockUser(ctx, user.ID); err != nil {
				return err
			}
			if err := s.Throttle.Forget(ctx, tx, user); err != nil {
				return err
			}
			return s.Throttle.ForgetCodes(ctx, tx, user.ID)
		}})
}

// EndSessions signs a user out everywhere.
func (s *Service) EndSessions(ctx context.Context, actor db.Actor, userID int64, reason string) error {
	return s.do(ctx, actor, userID, deed{act: access.EndSessions, mail: db.MessageSignedOut, action: audit.SessionsEnded, reason: reason,
		change: func(tx *db.Tx, user db.User) error {
			_, err := tx.EndOtherSessions(ctx, user.ID, 0)
			return err
		}})
}

// RevokeLinks makes every open reset link, invitation and confirmation of a user dead, and
// those that are still to be mailed.
func (s *Service) RevokeLinks(ctx context.Context, actor db.Actor, userID int64, reason string) error {
	return s.do(ctx, actor, userID, deed{act: access.RevokeLinks, mail: db.MessageLinksRevoked, action: audit.LinksRevoked, reason: reason,
		change: func(tx *db.Tx, user db.User) error { return revokeAll(ctx, tx, user) }})
}

func revokeAll(ctx context.Context, tx *db.Tx, user db.User) error {
	// The mails first: one that is being made has its link by the time that it lets go. Then
	// the user, before the links, as everywhere.
	if err := tx.DropQueuedLinks(ctx, user.ID); err != nil {
		return err
	}
	if err := tx.SetPendingEmail(ctx, user.ID, ""); err != nil {
		return err
	}
	for _, purpose := range []db.Purpose{db.PurposeReset, db.PurposeInvitation, db.PurposeVerifyEmail} {
		if err := tx.RevokeLinks(ctx, user.ID, purpose, 0); err != nil {
			return err
		}
	}
	return nil
}

// ErrNotInvited is returned for an invitation of somebody who has a password already.
var ErrNotInvited = errors.New("the user has accepted already")

// ResendInvitation mails a new invitation; older ones stay open until one is accepted. To
// somebody who could not use it, it is a *NoResetError.
func (s *Service) ResendInvitation(ctx context.Context, actor db.Actor, userID int64) error {
	return s.act(ctx, func(tx *db.Tx) error {
		_, user, err := target(ctx, tx.Reader, actor, userID, access.Invite)
		switch {
		case err != nil:
			return err
		case user.PasswordSetAt != 0:
			return ErrNotInvited
		case !user.Enabled():
			return &NoResetError{NoResetInactive}
		case user.ClosedAt != 0:
			return &NoResetError{NoResetShut}
		}
		return s.invite(ctx, tx, actor, user)
	})
}

// invite queues an invitation.
func (s *Service) invite(ctx context.Context, tx *db.Tx, actor db.Actor, user db.User) error {
	if err := s.Throttle.Invitation(ctx, tx, user.ID); err != nil {
		return err
	}
	if err := tx.Enqueue(ctx, db.Message{Kind: db.MessageInvitation, UserID: user.ID, Recipient: user.Email}); err != nil {
		return err
	}
	return audit.Record(ctx, tx, audit.Event{Action: audit.UserInvited, Actor: actor, User: user})
}

// WithdrawInvitation makes every invitation of a user dead.
func (s *Service) WithdrawInvitation(ctx context.Context, actor db.Actor, userID int64, reason string) error {
	return s.do(ctx, actor, userID, deed{act: access.Invite, mail: db.MessageInvitationWithdrawn, action: audit.InvitationWithdrawn, reason: reason,
		change: func(tx *db.Tx, user db.User) error {
			if user.PasswordSetAt != 0 {
				return ErrNotInvited
			}
			return revokeAll(ctx, tx, user)
		}})
}

// SetRole gives a user another role. What they may do changes with their next request.
func (s *Service) SetRole(ctx context.Context, actor db.Actor, userID int64, role string) error {
	return s.ChangeUser(ctx, actor, userID, UserChange{Role: &role})
}

// Delete empties what is the person's own and frees the address; the id stays in the audit
// trail. The address must be typed again; another one is an *input.Error.
func (s *Service) Delete(ctx context.Context, actor db.Actor, userID int64, typed, reason string) error {
	return s.do(ctx, actor, userID, deed{act: access.Delete, action: audit.UserDeleted, reason: reason,
		change: func(tx *db.Tx, user db.User) error {
			if db.FoldEmail(strings.TrimSpace(typed)) != db.FoldEmail(user.Email) {
				return input.Refuse("email", input.OtherEmail)
			}
			if err := keepingAnOwner(ctx, tx, func() error { return tx.EmptyUser(ctx, user.ID) }); err != nil {
				return err
			}
			return tx.Enqueue(ctx, db.Message{Kind: db.MessageDeleted, Recipient: user.Email})
		}})
}

// ResetTOTP takes a user's authenticator away, so that they can enrol another one. They
// are signed out everywhere. A reason must be given.
func (s *Service) ResetTOTP(ctx context.Context, actor db.Actor, userID int64, reason string) error {
	return s.do(ctx, actor, userID, deed{act: access.ResetTOTP, mail: db.MessageFactorChanged, action: audit.AuthenticatorReset, reason: reason,
		must: true, what: "reset", change: func(tx *db.Tx, user db.User) error {
			// First, as everywhere: it makes whoever changes the same things wait.
			if _, err := tx.EndAccess(ctx, user.ID, user.Epoch, 0); err != nil {
				return err
			}
			if err := tx.RemoveAuthenticator(ctx, user.ID); errors.Is(err, db.ErrNotFound) {
				return ErrNoAuthenticator
			} else if err != nil {
				return err
			}
			return s.Throttle.ForgetCodes(ctx, tx, user.ID)
		}})
}

// ErrNoAuthenticator is returned where there is none to reset.
var ErrNoAuthenticator = errors.New("the user has no authenticator")

// NoReset says why no reset link can be sent to a user.
type NoReset string

const (
	NoResetInactive NoReset = "inactive"
	NoResetShut     NoReset = "shut"
	NoResetInvited  NoReset = "invited" // send the invitation again instead
	NoResetNever    NoReset = "never"   // signed in: recovery.require_prior_sign_in
)

// NoResetError is returned for a reset link that cannot be sent.
type NoResetError struct{ Reason NoReset }

func (e *NoResetError) Error() string { return "no reset link for a user who is " + string(e.Reason) }

// WhyNoReset says why no reset link can be sent to a user; empty when one can.
func (s *Service) WhyNoReset(ctx context.Context, u db.User) (NoReset, error) {
	current, err := s.Settings.Current(ctx)
	if err != nil {
		return "", err
	}
	return whyNoReset(current, u), nil
}

func whyNoReset(current *settings.Settings, u db.User) NoReset {
	switch {
	case !u.Enabled():
		return NoResetInactive
	case u.ClosedAt != 0:
		return NoResetShut
	case u.PasswordSetAt == 0:
		return NoResetInvited
	case current.RecoveryRequirePriorSignIn && u.LastSignInAt == 0 && u.InvitationAcceptedAt == 0:
		return NoResetNever
	}
	return ""
}

// SendReset mails a user a link to choose a new password; nobody else sees it. Where that
// is not possible it is a *NoResetError, too often a *throttle.HeldError.
func (s *Service) SendReset(ctx context.Context, actor db.Actor, userID int64) error {
	current, err := s.Settings.Current(ctx)
	if err != nil {
		return err
	}
	return s.act(ctx, func(tx *db.Tx) error {
		_, user, err := target(ctx, tx.Reader, actor, userID, access.ResetPassword)
		if err != nil {
			return err
		}
		if reason := whyNoReset(current, user); reason != "" {
			return &NoResetError{reason}
		}
		if err := s.Throttle.StaffReset(ctx, tx, user.ID); err != nil {
			return err
		}
		if err := tx.Enqueue(ctx, db.Message{Kind: db.MessageReset, UserID: user.ID, Recipient: user.Email}); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.ResetLinkIssued, Actor: actor, User: user})
	})
}

// ErrCannotEnter is returned for a reset link for somebody who could not use it.
var ErrCannotEnter = errors.New("the user cannot sign in")

// PrintResetLink is the operator's way to let somebody back in when no mail can: it returns
// the token of a reset link instead of mailing it, and tells the user that there is one.
func (s *Service) PrintResetLink(ctx context.Context, actor db.Actor, userID int64) (plain string, err error) {
	if actor.Kind != db.ActorOperator {
		return "", ErrNotAllowed
	}
	current, err := s.Settings.Current(ctx)
	if err != nil {
		return "", err
	}
	plain, hash := token.New()
	err = s.do(ctx, actor, userID, deed{act: access.ResetPassword, mail: db.MessageOperatorReset, action: audit.ResetLinkIssued,
		change: func(tx *db.Tx, user db.User) error {
			if !user.Enabled() || user.ClosedAt != 0 {
				return ErrCannotEnter
			}
			link := db.Link{Purpose: db.PurposeReset, UserID: user.ID, Epoch: user.Epoch,
				ExpiresAt: tx.Now.Add(current.RecoveryLinkLifetime())}
			if _, err := tx.AddLink(ctx, link, hash); err != nil {
				return err
			}
			return tx.RevokeLinks(ctx, user.ID, db.PurposeReset, db.OpenLinks)
		}})
	return plain, err
}
