package account

import (
	"context"
	"encoding/hex"
	"errors"

	"postern/db"
	"postern/internal/input"
	"postern/internal/settings"
	"postern/internal/token"
)

// OpenLink finds what an open link of that purpose stands for, and its user; everything
// else is ErrDeadLink. It changes nothing: mail scanners open links, too.
func (s *Service) OpenLink(ctx context.Context, purpose db.Purpose, plain string) (db.Link, db.User, error) {
	return findLink(ctx, s.DB.Reader(), s.DB.Now(), purpose, plain)
}

func findLink(ctx context.Context, r db.Reader, now db.Time, purpose db.Purpose, plain string) (db.Link, db.User, error) {
	if !token.WellFormed(plain) {
		return db.Link{}, db.User{}, ErrDeadLink
	}
	link, err := r.LinkByToken(ctx, token.Hash(plain))
	if err != nil {
		return db.Link{}, db.User{}, dead(err)
	}
	user, err := r.User(ctx, link.UserID)
	if err != nil {
		return db.Link{}, db.User{}, dead(err)
	}
	// A link may outlive what it was sent for: "this was not me" works for everybody who
	// got it, the others for those who may get in alone.
	if link.Purpose != purpose || !link.OpenAt(now, user) || purpose != db.PurposeNotMe && !mayEnter(user) {
		return db.Link{}, db.User{}, ErrDeadLink
	}
	return link, user, nil
}

// dead turns "not found" into ErrDeadLink.
func dead(err error) error {
	if errors.Is(err, db.ErrNotFound) {
		return ErrDeadLink
	}
	return err
}

// CheckLink claims a look at a link: a visitor may not try many. Too many are a
// *throttle.HeldError.
func (s *Service) CheckLink(ctx context.Context, v Visit) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error { return s.Throttle.LinkCheck(ctx, tx, v.Address) })
}

// RequestPasswordReset takes note that somebody wants to get back in. Whether there is such
// a user is found out when the mail is made, so that it costs nothing to look at here. The
// username counts only where the settings ask for it. Malformed input is an *input.Error,
// too many requests of one visitor a *throttle.HeldError; too many for one account look
// like any other.
func (s *Service) RequestPasswordReset(ctx context.Context, v Visit, email, username string) error {
	current, err := s.Settings.Current(ctx)
	if err != nil {
		return err
	}
	if !current.RecoveryEnabled {
		return ErrSwitchedOff
	}
	var checks input.Checks
	address, problem := input.Email(email)
	checks.Add("email", problem)
	login := ""
	if current.RecoveryIdentifyBy == settings.ByEmailAndUsername {
		if login = input.Login(username); login == "" {
			checks.Add("username", input.Missing)
		}
	}
	if err := checks.Err(); err != nil {
		return err
	}
	return s.requestMail(ctx, v, db.MessageData{Email: db.FoldEmail(address), Username: login})
}

// RenewLink asks for a new link in the place of a dead one. It looks the same whether the
// link was one of ours or not.
func (s *Service) RenewLink(ctx context.Context, v Visit, purpose db.Purpose, plain string) error {
	current, err := s.Settings.Current(ctx)
	if err != nil {
		return err
	}
	if purpose == db.PurposeReset && !current.RecoveryEnabled {
		return ErrSwitchedOff
	}
	return s.requestMail(ctx, v, db.MessageData{TokenHash: token.Hash(plain)})
}

// requestMail queues a request, if it may be mailed at all.
func (s *Service) requestMail(ctx context.Context, v Visit, asked db.MessageData) error {
	asked.Address, asked.UserAgent, asked.RequestID = v.Actor.Address, v.Actor.UserAgent, v.Actor.RequestID
	return s.update(ctx, func(tx *db.Tx) error {
		mail, err := s.Throttle.Recovery(ctx, tx, v.Address, asked.Email, asked.Username, hex.EncodeToString(asked.TokenHash))
		if err != nil || !mail {
			return err
		}
		return tx.Enqueue(ctx, db.Message{Kind: db.MessageRecovery, Data: asked})
	})
}
