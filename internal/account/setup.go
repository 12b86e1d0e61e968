package account

import (
	"context"
	"encoding/hex"
	"errors"

	"postern/db"
	"postern/internal/access"
	"postern/internal/audit"
	"postern/internal/input"
	"postern/internal/password"
	"postern/internal/settings"
	"postern/internal/token"
)

// Setup is the form that makes the first owner.
type Setup struct {
	Name, Email, Username    string
	Password                 NewPassword
	PortalName, SupportEmail string
}

// OfferSetup makes a new set-up token, which replaces the one before. Once there has been
// an owner it is ErrSwitchedOff, for ever.
func (s *Service) OfferSetup(ctx context.Context) (plain string, err error) {
	plain, hash := token.New()
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Fact(ctx, db.FactSetupClosed)
		if err == nil {
			return ErrSwitchedOff
		} else if !errors.Is(err, db.ErrNotFound) {
			return err
		}
		return tx.SetFact(ctx, db.FactSetupToken, hex.EncodeToString(hash))
	})
	return plain, err
}

// HasOwner says whether there has been an owner, so that somebody can sign in.
func (s *Service) HasOwner(ctx context.Context) (bool, error) {
	if s.owned.Load() {
		return true, nil
	}
	_, err := s.DB.Reader().Fact(ctx, db.FactSetupClosed)
	if errors.Is(err, db.ErrNotFound) {
		return false, nil
	}
	s.owned.Store(err == nil)
	return err == nil, err
}

// SetupOffered says whether the token is the one that opens the set-up page; everything
// else is ErrDeadLink and, once there has been an owner, ErrSwitchedOff.
func (s *Service) SetupOffered(ctx context.Context, plain string) error {
	return setupOffered(ctx, s.DB.Reader(), plain)
}

func setupOffered(ctx context.Context, r db.Reader, plain string) error {
	_, err := r.Fact(ctx, db.FactSetupClosed)
	if err == nil {
		return ErrSwitchedOff
	} else if !errors.Is(err, db.ErrNotFound) {
		return err
	}
	offered, err := r.Fact(ctx, db.FactSetupToken)
	if err != nil {
		return dead(err)
	}
	// Both sides are hashes, so how long the comparison takes tells nothing.
	if !token.WellFormed(plain) || offered != hex.EncodeToString(token.Hash(plain)) {
		return ErrDeadLink
	}
	return nil
}

// SetUp makes the first owner and signs them in. Of two at once one succeeds, and the page
// is closed for ever after.
func (s *Service) SetUp(ctx context.Context, v Visit, plain string, form Setup) (SignedIn, error) {
	if err := s.CheckLink(ctx, v); err != nil {
		return SignedIn{}, err
	}
	if err := s.SetupOffered(ctx, plain); err != nil {
		return SignedIn{}, err
	}
	owner, changes, err := form.read()
	if err != nil {
		return SignedIn{}, err
	}
	// The name that the portal is about to get is as little of a secret as an organization's.
	judged := owner
	judged.Organization = changes["portal.name"]
	if owner.PasswordHash, err = s.Choose(ctx, password.Visitors, judged, form.Password); err != nil {
		return SignedIn{}, err
	}
	var in SignedIn
	err = s.update(ctx, func(tx *db.Tx) error {
		if err := setupOffered(ctx, tx.Reader, plain); err != nil {
			return err
		}
		if claimed, err := tx.ClaimFact(ctx, db.FactSetupClosed, "yes"); err != nil || !claimed {
			return errors.Join(err, ErrSwitchedOff)
		}
		owner.PasswordSetAt = tx.Now
		id, err := tx.AddUser(ctx, owner)
		if err != nil {
			return err
		}
		changed, err := settings.Save(ctx, tx, changes)
		if err != nil {
			return err
		}
		first, err := tx.User(ctx, id)
		if err != nil {
			return err
		}
		v.Actor.Kind, v.Actor.UserID = db.ActorUser, first.ID
		if err := audit.Record(ctx, tx, audit.Event{Action: audit.PortalSetUp, Actor: v.Actor, User: first}); err != nil {
			return err
		}
		for _, c := range changed {
			if err := audit.Record(ctx, tx, audit.Event{Action: audit.SettingChanged, Actor: v.Actor,
				Detail: map[string]string{"key": c.Key, "old": c.Old, "new": c.New}}); err != nil {
				return err
			}
		}
		in, err = s.enter(ctx, tx, v, first, passwordAlone)
		return err
	})
	if errors.Is(err, db.ErrTaken) {
		err = s.whichIsTaken(ctx, owner) // made by command before there was an owner
	}
	s.Settings.Forget()
	return in, err
}

// whichIsTaken says which of the two unique names another user has.
func (s *Service) whichIsTaken(ctx context.Context, owner db.User) error {
	_, err := s.DB.Reader().UserByEmail(ctx, owner.Email)
	switch {
	case err == nil:
		return input.Refuse("email", input.EmailTaken)
	case errors.Is(err, db.ErrNotFound):
		return input.Refuse("username", input.UsernameTaken)
	}
	return err
}

// read checks the form, but for the password.
func (f Setup) read() (owner db.User, changes map[string]string, err error) {
	var checks input.Checks
	name, problem := input.Name(f.Name)
	checks.Add("name", problem)
	email, problem := input.Email(f.Email)
	checks.Add("email", problem)
	username, problem := input.Username(f.Username)
	checks.Add("username", problem)
	portal, problem := input.Name(f.PortalName)
	checks.Add("portal_name", problem)
	changes = map[string]string{"portal.name": portal}
	if f.SupportEmail != "" {
		support, problem := input.Email(f.SupportEmail)
		checks.Add("support_email", problem)
		changes["support.email"] = support
	}
	return db.User{Name: name, Email: email, Username: username, TimeZone: "UTC", Role: db.Role{ID: access.RoleOwner}},
		changes, checks.Err()
}
