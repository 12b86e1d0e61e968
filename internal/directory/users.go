package directory

import (
	"context"
	"errors"

	"postern/db"
	"postern/internal/access"
	"postern/internal/audit"
	"postern/internal/input"
	"postern/internal/token"
)

// NewUser is the form that makes a user.
type NewUser struct {
	Email, Name, Username string
	Organization          string  // its name; empty for none
	Role                  string  // id; empty for customer
	Password              *string // nil for none yet
	Invite                bool    // mail a link to set one
}

// CreateUser makes a user, with a password or an invitation or neither. What does not pass
// is an *input.Error.
func (s *Service) CreateUser(ctx context.Context, actor db.Actor, form NewUser) (db.User, error) {
	user, err := s.readUser(ctx, form)
	if err != nil {
		return db.User{}, err
	}
	if form.Password != nil {
		if user.PasswordHash, err = s.ChoosePassword(ctx, user, *form.Password); err != nil {
			return db.User{}, err
		}
	}
	err = s.update(ctx, func(tx *db.Tx) error {
		if form.Password != nil {
			user.PasswordSetAt = tx.Now
		}
		if err := free(ctx, tx.Reader, user); err != nil {
			return err
		}
		id, err := tx.AddUser(ctx, user)
		if err != nil {
			return err
		}
		if user, err = tx.User(ctx, id); err != nil {
			return err
		}
		if user.Role.ID == access.RoleOwner {
			if _, err := tx.ClaimFact(ctx, db.FactSetupClosed, "yes"); err != nil {
				return err
			}
		}
		if err := audit.Record(ctx, tx, audit.Event{Action: audit.UserCreated, Actor: actor, User: user,
			Detail: map[string]string{"role": user.Role.ID}}); err != nil {
			return err
		}
		if !form.Invite {
			return nil
		}
		return s.invite(ctx, tx, actor, user)
	})
	if errors.Is(err, db.ErrTaken) {
		err = input.Refuse("email", input.EmailTaken)
	}
	return user, err
}

// readUser checks the form, but for the password.
func (s *Service) readUser(ctx context.Context, form NewUser) (user db.User, err error) {
	var checks input.Checks
	var problem input.Problem
	user.Email, problem = input.Email(form.Email)
	checks.Add("email", problem)
	user.Name, problem = input.Name(form.Name)
	checks.Add("name", problem)
	user.Username, problem = input.Username(form.Username)
	checks.Add("username", problem)
	user.TimeZone = "UTC"
	if form.Role == "" {
		form.Role = access.RoleCustomer
	}
	user.Role, err = s.DB.Reader().Role(ctx, form.Role)
	if errors.Is(err, db.ErrNotFound) {
		checks.Add("role", input.NoSuchRole)
	} else if err != nil {
		return db.User{}, err
	}
	if form.Organization != "" {
		organization, err := s.DB.Reader().OrganizationByName(ctx, foldName(form.Organization))
		if errors.Is(err, db.ErrNotFound) {
			checks.Add("organization", input.NoSuchOrganization)
		} else if err != nil {
			return db.User{}, err
		}
		user.OrganizationID, user.Organization = organization.ID, organization.Name
	}
	if err := checks.Err(); err != nil {
		return db.User{}, err
	}
	return user, fits(user)
}

// fits refuses a role over an organization for somebody who belongs to none.
func fits(u db.User) error {
	if u.Staff() && u.Role.Scope == access.OverOrganization && u.OrganizationID == 0 {
		return ErrNeedsOrganization
	}
	return nil
}

// free says which of the two unique fields is taken, so that the right one can be changed.
func free(ctx context.Context, r db.Reader, u db.User) error {
	var checks input.Checks
	if _, err := r.UserByEmail(ctx, u.Email); err == nil {
		checks.Add("email", input.EmailTaken)
	} else if !errors.Is(err, db.ErrNotFound) {
		return err
	}
	if u.Username != "" {
		if _, err := r.UserByLogin(ctx, u.Username); err == nil {
			checks.Add("username", input.UsernameTaken)
		} else if !errors.Is(err, db.ErrNotFound) {
			return err
		}
	}
	return checks.Err()
}

// invite queues an invitation; older ones stay until one is accepted.
func (s *Service) invite(ctx context.Context, tx *db.Tx, actor db.Actor, user db.User) error {
	if err := s.Throttle.Invitation(ctx, tx, user.ID); err != nil {
		return err
	}
	if err := tx.Enqueue(ctx, db.Message{Kind: db.MessageInvitation, UserID: user.ID, Recipient: user.Email}); err != nil {
		return err
	}
	return audit.Record(ctx, tx, audit.Event{Action: audit.UserInvited, Actor: actor, User: user})
}

// Activate lets a deactivated user in again. One who is active is left alone.
func (s *Service) Activate(ctx context.Context, actor db.Actor, userID int64) error {
	return s.setActive(ctx, actor, userID, true, db.MessageActivated, audit.UserActivated)
}

// Deactivate keeps a user out, at once: all their sessions and links end.
func (s *Service) Deactivate(ctx context.Context, actor db.Actor, userID int64) error {
	return s.setActive(ctx, actor, userID, false, db.MessageDeactivated, audit.UserDeactivated)
}

func (s *Service) setActive(ctx context.Context, actor db.Actor, userID int64, active bool, mail db.MessageKind, action audit.Action) error {
	return s.act(ctx, actor, userID, mail, action, nil, func(tx *db.Tx, user db.User) error {
		if user.Active == active {
			return errUnchanged
		}
		return keepingAnOwner(ctx, tx, func() error {
			if _, err := tx.EndAccess(ctx, user.ID, user.Epoch, 0); err != nil {
				return err
			}
			return tx.SetActive(ctx, user.ID, active)
		})
	})
}

// Unlock lifts what "this was not me" or too many wrong passwords have shut.
func (s *Service) Unlock(ctx context.Context, actor db.Actor, userID int64) error {
	return s.act(ctx, actor, userID, db.MessageUnlocked, audit.UserUnlocked, nil, func(tx *db.Tx, user db.User) error {
		if err := s.Throttle.Forget(ctx, tx, user); err != nil {
			return err
		}
		return tx.UnlockUser(ctx, user.ID)
	})
}

// SetRole gives a user another role. What they may do changes with their next request.
func (s *Service) SetRole(ctx context.Context, actor db.Actor, userID int64, role string) error {
	return s.act(ctx, actor, userID, db.MessageRoleChanged, audit.UserRoleChanged, map[string]string{"role": role},
		func(tx *db.Tx, user db.User) error {
			if user.Role.ID == role {
				return errUnchanged
			}
			next, err := tx.Role(ctx, role)
			if errors.Is(err, db.ErrNotFound) {
				return input.Refuse("role", input.NoSuchRole)
			} else if err != nil {
				return err
			}
			user.Role = next
			if err := fits(user); err != nil {
				return err
			}
			if role == access.RoleOwner {
				if _, err := tx.ClaimFact(ctx, db.FactSetupClosed, "yes"); err != nil {
					return err
				}
			}
			return keepingAnOwner(ctx, tx, func() error { return tx.SetRole(ctx, user.ID, role) })
		})
}

// Delete empties what is the person's own and frees the address; the id stays in the audit
// trail.
func (s *Service) Delete(ctx context.Context, actor db.Actor, userID int64) error {
	return s.act(ctx, actor, userID, "", audit.UserDeleted, nil, func(tx *db.Tx, user db.User) error {
		return keepingAnOwner(ctx, tx, func() error { return tx.EmptyUser(ctx, user.ID) })
	})
}

// errUnchanged ends an act that would change nothing: no mail, no event, no error.
var errUnchanged = errors.New("nothing to change")

// act changes something about a user, mails them (kind empty: not) and records it.
func (s *Service) act(ctx context.Context, actor db.Actor, userID int64, kind db.MessageKind, action audit.Action,
	detail map[string]string, change func(*db.Tx, db.User) error) error {
	err := s.update(ctx, func(tx *db.Tx) error {
		user, err := tx.User(ctx, userID)
		if err != nil {
			return err
		}
		if err := change(tx, user); err != nil {
			return err
		}
		if kind != "" {
			message := db.Message{Kind: kind, UserID: user.ID, Recipient: user.Email, Data: db.MessageData{By: string(actor.Kind)}}
			if err := tx.Enqueue(ctx, message); err != nil {
				return err
			}
		}
		return audit.Record(ctx, tx, audit.Event{Action: action, Actor: actor, User: user, Detail: detail})
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// ErrCannotEnter is returned for a reset link for somebody who could not use it.
var ErrCannotEnter = errors.New("the user cannot sign in")

// PrintResetLink is the operator's way to let somebody back in when no mail can: it returns
// the token of a reset link instead of mailing it, and tells the user that there is one.
func (s *Service) PrintResetLink(ctx context.Context, actor db.Actor, userID int64) (plain string, err error) {
	current, err := s.Settings.Current(ctx)
	if err != nil {
		return "", err
	}
	plain, hash := token.New()
	err = s.act(ctx, actor, userID, db.MessageOperatorReset, audit.ResetLinkIssued, nil, func(tx *db.Tx, user db.User) error {
		if !user.Enabled() || user.ClosedAt != 0 {
			return ErrCannotEnter
		}
		link := db.Link{Purpose: db.PurposeReset, UserID: user.ID, Epoch: user.Epoch,
			ExpiresAt: tx.Now.Add(current.RecoveryLinkLifetime())}
		if _, err := tx.AddLink(ctx, link, hash); err != nil {
			return err
		}
		return tx.RevokeLinks(ctx, user.ID, db.PurposeReset, db.OpenLinks)
	})
	return plain, err
}
