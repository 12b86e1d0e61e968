package account

import (
	"context"

	"postern/db"
	"postern/internal/audit"
	"postern/internal/session"
)

// Sessions are the browsers in which the user is signed in, the latest used first.
func (s *Service) Sessions(ctx context.Context, u db.User) ([]db.Session, error) {
	current, err := s.Settings.Current(ctx)
	if err != nil {
		return nil, err
	}
	idle, most := current.SessionLimits(u.Staff())
	now := s.DB.Now()
	all, err := s.DB.Reader().Sessions(ctx, u.ID, now.Add(-idle))
	var live []db.Session
	for _, one := range all {
		if now < one.CreatedAt.Add(most) {
			live = append(live, one)
		}
	}
	return live, err
}

// EndSession signs the user out in one of their browsers; a session that is not theirs is
// db.ErrNotFound.
func (s *Service) EndSession(ctx context.Context, actor db.Actor, c *session.Current, id int64) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		if err := tx.EndUserSession(ctx, c.User.ID, id); err != nil {
			return err
		}
		// A secret that was shown there is not to be confirmed here.
		if err := tx.DropEnrolment(ctx, c.User.ID); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.SessionEnded, Actor: actor, User: c.User})
	})
}

// EndOtherSessions signs the user out everywhere but here.
func (s *Service) EndOtherSessions(ctx context.Context, actor db.Actor, c *session.Current) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		if _, err := tx.EndOtherSessions(ctx, c.User.ID, c.Session.ID); err != nil {
			return err
		}
		if err := tx.DropEnrolment(ctx, c.User.ID); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.OtherSessionsEnded, Actor: actor, User: c.User})
	})
}

// ForgetBrowser lets one of the user's trusted browsers ask for a code again; one that is
// not theirs is db.ErrNotFound.
func (s *Service) ForgetBrowser(ctx context.Context, actor db.Actor, c *session.Current, id int64) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		if err := tx.DistrustBrowser(ctx, c.User.ID, id); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.BrowserForgotten, Actor: actor, User: c.User})
	})
}
