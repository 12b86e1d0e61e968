// Package directory is what staff and the operator do for everybody: make users and
// organizations, switch them on and off, let them back in, and change the settings. Every
// exported method is a use case with one transaction. It must never hand a user's link to
// anybody but that user; only the operator, on the machine itself, gets one printed.
package directory

import (
	"context"
	"errors"

	"postern/db"
	"postern/internal/settings"
	"postern/internal/throttle"
)

// ErrLastOwner is returned for what would leave the portal without an active owner.
var ErrLastOwner = errors.New("the last active owner must stay")

// ErrNeedsOrganization is returned for a role over an organization given to a user who
// belongs to none.
var ErrNeedsOrganization = errors.New("this role needs an organization")

// Service holds what the use cases need.
type Service struct {
	DB       *db.DB
	Settings *settings.Store
	Throttle *throttle.Throttle
	// ChoosePassword judges a new user's password by the policy and returns its hash.
	ChoosePassword func(ctx context.Context, u db.User, password string) (hash string, err error)
	// MailQueued tells the outbox worker of this process, if any, that there is work.
	MailQueued func()
}

// update runs a use case's transaction and wakes the worker for the mail it queued.
func (s *Service) update(ctx context.Context, change func(*db.Tx) error) error {
	err := s.DB.Update(ctx, change)
	if err == nil {
		s.MailQueued()
	}
	return err
}

// keepingAnOwner makes a change after which there must be an active owner, if there was
// one before.
func keepingAnOwner(ctx context.Context, tx *db.Tx, change func() error) error {
	if err := tx.LockOwners(ctx); err != nil {
		return err
	}
	before, err := tx.ActiveOwners(ctx)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	after, err := tx.ActiveOwners(ctx)
	if err == nil && before > 0 && after == 0 {
		err = ErrLastOwner
	}
	return err
}
