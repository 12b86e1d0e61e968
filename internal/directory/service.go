// Package directory is what staff and the operator do for everybody: make users and
// organizations, switch them on and off, let them back in, and change roles and settings.
// Every exported method is a use case with one transaction, in which the actor's rights are
// judged as they are at that moment. It must never hand a user's link to anybody but that
// user; only the operator, on the machine itself, gets one printed.
package directory

import (
	"context"
	"errors"

	"postern/db"
	"postern/internal/access"
	"postern/internal/settings"
	"postern/internal/throttle"
)

// ErrLastOwner is returned for what would leave the portal without an active owner.
var ErrLastOwner = errors.New("the last active owner must stay")

// ErrNeedsOrganization is returned for a role over an organization given to a user who
// belongs to none.
var ErrNeedsOrganization = errors.New("this role needs an organization")

// ErrNotAllowed is returned for what the actor may not do to somebody they see.
var ErrNotAllowed = errors.New("not allowed")

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

// act is update for what staff do to somebody. One such act at a time, so that the ranks it
// is judged by are still those when it is done.
func (s *Service) act(ctx context.Context, change func(*db.Tx) error) error {
	return s.update(ctx, func(tx *db.Tx) error {
		if err := tx.LockOwners(ctx); err != nil {
			return err
		}
		return change(tx)
	})
}

// holder is what the actor may do now: the operator everything; a user what their role
// says, if they can sign in and have a second factor.
func holder(ctx context.Context, r db.Reader, actor db.Actor) (access.Holder, error) {
	if actor.Kind == db.ActorOperator {
		return access.Operator, nil
	}
	user, err := r.User(ctx, actor.UserID)
	if err != nil {
		return access.Holder{}, err
	}
	if actor.Kind != db.ActorUser || !user.Enabled() || user.ClosedAt != 0 || !user.SecondFactor {
		return access.Holder{}, ErrNotAllowed
	}
	return access.HolderOf(user), nil
}

// require refuses an actor without a permission, over whatever scope.
func require(ctx context.Context, r db.Reader, actor db.Actor, p access.Permission) (access.Holder, error) {
	h, err := holder(ctx, r, actor)
	if err == nil && !h.Has(p) {
		err = ErrNotAllowed
	}
	return h, err
}

// target finds the user that the actor wants to do something to. Somebody they do not see
// is db.ErrNotFound; what they may not do is ErrNotAllowed.
func target(ctx context.Context, r db.Reader, actor db.Actor, userID int64, act access.Act) (access.Holder, db.User, error) {
	h, err := holder(ctx, r, actor)
	if err != nil {
		return h, db.User{}, err
	}
	user, err := r.User(ctx, userID)
	if err != nil {
		return h, db.User{}, err
	}
	switch access.Decide(h, act, user) {
	case access.Allowed:
		return h, user, nil
	case access.NotThere:
		return h, db.User{}, db.ErrNotFound
	}
	return h, db.User{}, ErrNotAllowed
}

// Target finds a user for a page, under the same rules as the act itself.
func (s *Service) Target(ctx context.Context, actor db.Actor, userID int64, act access.Act) (db.User, error) {
	_, user, err := target(ctx, s.DB.Reader(), actor, userID, act)
	return user, err
}

// Holder is what the actor may do now.
func (s *Service) Holder(ctx context.Context, actor db.Actor) (access.Holder, error) {
	return holder(ctx, s.DB.Reader(), actor)
}

// keepingAnOwner makes a change after which there must be an active owner, if there was
// one before. The transaction has locked the owners before it touched anything else: two
// that take rows in different orders would wait for each other.
func keepingAnOwner(ctx context.Context, tx *db.Tx, change func() error) error {
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
