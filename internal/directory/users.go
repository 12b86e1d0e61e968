package directory

import (
	"context"
	"errors"
	"strconv"

	"postern/db"
	"postern/internal/access"
	"postern/internal/audit"
	"postern/internal/input"
)

// NewUser is the form that makes a user.
type NewUser struct {
	Email, Name, Username string
	Organization          string  // its name or id; empty for none
	Role                  string  // id; empty for customer
	Password              *string // nil for none yet; the operator alone sets one
	Invite                bool    // mail a link to set one
}

// CreateUser makes a user, with a password or an invitation or neither. What does not pass
// is an *input.Error. An administrator of an organization makes users of that one alone.
func (s *Service) CreateUser(ctx context.Context, actor db.Actor, form NewUser) (db.User, error) {
	h, err := require(ctx, s.DB.Reader(), actor, access.UsersEdit)
	if err != nil {
		return db.User{}, err
	}
	user, err := readUser(ctx, s.DB.Reader(), h, form)
	if err != nil {
		return db.User{}, err
	}
	if form.Password != nil && actor.Kind == db.ActorOperator {
		if user.PasswordHash, err = s.ChoosePassword(ctx, user, *form.Password); err != nil {
			return db.User{}, err
		}
	}
	err = s.update(ctx, func(tx *db.Tx) error {
		h, err := require(ctx, tx.Reader, actor, access.UsersEdit)
		if err != nil {
			return err
		}
		// Again: while the password was judged, the role may have become more than the actor has.
		hash := user.PasswordHash
		if user, err = readUser(ctx, tx.Reader, h, form); err != nil {
			return err
		}
		if user.PasswordHash = hash; hash != "" {
			user.PasswordSetAt = tx.Now
		}
		if err := free(ctx, tx.Reader, h, user); err != nil {
			return err
		}
		id, err := tx.AddUser(ctx, user)
		if err != nil {
			return err
		}
		if user, err = tx.User(ctx, id); err != nil {
			return err
		}
		if err := closeSetup(ctx, tx, user.Role.ID); err != nil {
			return err
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
		err = s.taken(ctx, h, user)
	}
	return user, err
}

// taken says what somebody else took between the look and the write.
func (s *Service) taken(ctx context.Context, h access.Holder, user db.User) error {
	if err := free(ctx, s.DB.Reader(), h, user); err != nil {
		return err
	}
	return input.Refuse("email", input.EmailUnusable) // and gave back meanwhile
}

// closeSetup shuts the set-up page for ever as soon as somebody is an owner.
func closeSetup(ctx context.Context, tx *db.Tx, role string) error {
	if role != access.RoleOwner {
		return nil
	}
	_, err := tx.ClaimFact(ctx, db.FactSetupClosed, "yes")
	return err
}

// readUser checks the form, but for the password. The holder's own organization stands for
// an empty one where they may place nobody elsewhere.
func readUser(ctx context.Context, r db.Reader, h access.Holder, form NewUser) (user db.User, err error) {
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
	user.Role, err = r.Role(ctx, form.Role)
	if errors.Is(err, db.ErrNotFound) {
		checks.Add("role", input.NoSuchRole)
	} else if err != nil {
		return db.User{}, err
	}
	if form.Organization == "" && h.Over() > 0 {
		form.Organization = strconv.FormatInt(h.Over(), 10)
	}
	organization, problem, err := findOrganization(ctx, r, h, form.Organization)
	if err != nil {
		return db.User{}, err
	}
	checks.Add("organization", problem)
	user.OrganizationID, user.Organization = organization.ID, organization.Name
	if err := checks.Err(); err != nil {
		return db.User{}, err
	}
	return user, grantable(h, user)
}

// findOrganization reads an organization's name or id, among those that the holder may
// place somebody into; empty is none. A name may look like the id of another one: pages
// send ids, whoever is at the command line types names.
func findOrganization(ctx context.Context, r db.Reader, h access.Holder, text string) (organization db.Organization, problem input.Problem, err error) {
	if text == "" {
		return db.Organization{}, "", nil
	}
	byName := func() (db.Organization, error) { return r.OrganizationByName(ctx, db.FoldName(text)) }
	byID := func() (db.Organization, error) {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return db.Organization{}, db.ErrNotFound
		}
		return r.Organization(ctx, id)
	}
	ways := []func() (db.Organization, error){byID, byName}
	if h.IsOperator() {
		ways = []func() (db.Organization, error){byName, byID}
	}
	for _, find := range ways {
		organization, err = find()
		switch {
		case errors.Is(err, db.ErrNotFound):
			continue
		case err != nil:
			return db.Organization{}, "", err
		case access.MayPlace(h, organization.ID):
			return organization, "", nil
		}
	}
	return db.Organization{}, input.NoSuchOrganization, nil
}

// grantable says whether the holder may make a user what the form says: nobody gives what
// they lack, and a role over an organization needs one.
func grantable(h access.Holder, u db.User) error {
	switch {
	case !access.MayGive(h, u.Role):
		return input.Refuse("role", input.RoleBeyond)
	case !access.MayPlace(h, u.OrganizationID):
		return input.Refuse("organization", input.NoSuchOrganization)
	case u.Staff() && u.Role.Scope == access.OverOrganization && u.OrganizationID == 0:
		return ErrNeedsOrganization
	}
	return nil
}

// free says which of the two unique fields is taken, so that the right one can be changed.
// That an address is taken is said to those alone who may see whose it is.
func free(ctx context.Context, r db.Reader, h access.Holder, u db.User) error {
	var checks input.Checks
	other, err := r.UserByEmail(ctx, u.Email)
	switch {
	case err == nil && other.ID != u.ID && access.Decide(h, access.View, other) == access.Allowed:
		checks.Add("email", input.EmailTaken)
	case err == nil && other.ID != u.ID:
		checks.Add("email", input.EmailUnusable)
	case err != nil && !errors.Is(err, db.ErrNotFound):
		return err
	}
	if u.Username != "" {
		other, err := r.UserByLogin(ctx, u.Username)
		if err == nil && other.ID != u.ID {
			checks.Add("username", input.UsernameTaken)
		} else if err != nil && !errors.Is(err, db.ErrNotFound) {
			return err
		}
	}
	return checks.Err()
}
