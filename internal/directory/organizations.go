package directory

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"postern/db"
	"postern/internal/access"
	"postern/internal/audit"
	"postern/internal/input"
)

// NewOrganization is the form of an organization.
type NewOrganization struct {
	Name         string
	ContactOwner string // id or address of a staff user; empty for none
}

// CreateOrganization makes an organization. What does not pass is an *input.Error.
func (s *Service) CreateOrganization(ctx context.Context, actor db.Actor, form NewOrganization) (id int64, err error) {
	name, problem := input.Name(form.Name)
	if problem != "" {
		return 0, input.Refuse("name", problem)
	}
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		if _, err := require(ctx, tx.Reader, actor, access.OrganizationsEdit); err != nil {
			return err
		}
		owner, err := findContactOwner(ctx, tx.Reader, form.ContactOwner)
		if err != nil {
			return err
		}
		if id, err = tx.AddOrganization(ctx, name, db.FoldName(name)); err != nil {
			return err
		}
		if owner != 0 {
			if err := tx.SetContactOwner(ctx, id, owner); err != nil {
				return err
			}
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.OrganizationCreated, Actor: actor, OrganizationID: id,
			Detail: map[string]string{"name": name}})
	})
	return id, nameTaken(err)
}

// ChangeOrganization renames an organization and names who looks after it.
func (s *Service) ChangeOrganization(ctx context.Context, actor db.Actor, id int64, form NewOrganization) error {
	name, problem := input.Name(form.Name)
	if problem != "" {
		return input.Refuse("name", problem)
	}
	err := s.DB.Update(ctx, func(tx *db.Tx) error {
		if _, err := require(ctx, tx.Reader, actor, access.OrganizationsEdit); err != nil {
			return err
		}
		before, err := tx.Organization(ctx, id)
		if err != nil {
			return err
		}
		owner, err := findContactOwner(ctx, tx.Reader, form.ContactOwner)
		if err != nil {
			return err
		}
		if before.Name == name && before.ContactOwnerID == owner {
			return nil
		}
		if err := tx.RenameOrganization(ctx, id, name, db.FoldName(name)); err != nil {
			return err
		}
		if err := tx.SetContactOwner(ctx, id, owner); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.OrganizationChanged, Actor: actor, OrganizationID: id,
			Detail: map[string]string{"old": before.Name, "name": name, "contact_owner": strconv.FormatInt(owner, 10)}})
	})
	return nameTaken(err)
}

// nameTaken turns a unique violation into what is wrong with the form.
func nameTaken(err error) error {
	if errors.Is(err, db.ErrTaken) {
		return input.Refuse("name", input.NameTaken)
	}
	return err
}

// findContactOwner reads the id or address of a staff user with scope over everybody.
func findContactOwner(ctx context.Context, r db.Reader, text string) (int64, error) {
	text = strings.TrimSpace(text)
	if text == "" || text == "0" {
		return 0, nil
	}
	user, err := r.UserByEmail(ctx, text)
	if id, number := strconv.ParseInt(text, 10, 64); number == nil {
		user, err = r.User(ctx, id)
	}
	if errors.Is(err, db.ErrNotFound) || err == nil && (!user.Staff() || user.Role.Scope != access.OverEverybody) {
		return 0, input.Refuse("contact_owner", input.NotContactOwner)
	}
	return user.ID, err
}

// SetOrganizationActive switches an organization on or off. With it off, everybody in it
// is signed out at once and nobody of it gets in. Where it is so already, nothing happens.
// Nobody does it to their own, nor to one with staff over everybody who outrank them.
func (s *Service) SetOrganizationActive(ctx context.Context, actor db.Actor, id int64, active bool) error {
	action := audit.OrganizationDeactivated
	if active {
		action = audit.OrganizationActivated
	}
	return s.act(ctx, func(tx *db.Tx) error {
		h, err := require(ctx, tx.Reader, actor, access.OrganizationsEdit)
		if err != nil {
			return err
		}
		organization, err := tx.Organization(ctx, id)
		if err != nil {
			return err
		}
		if err := maySwitch(ctx, tx.Reader, h, id); err != nil {
			return err
		}
		if organization.Active == active {
			return nil
		}
		return keepingAnOwner(ctx, tx, func() error {
			if !active {
				if err := tx.EndOrganizationAccess(ctx, organization.ID); err != nil {
					return err
				}
			}
			if err := tx.SetOrganizationActive(ctx, organization.ID, active); err != nil {
				return err
			}
			return audit.Record(ctx, tx, audit.Event{Action: action, Actor: actor, OrganizationID: organization.ID})
		})
	})
}

// MaySwitch says whether the actor may switch an organization on and off.
func (s *Service) MaySwitch(ctx context.Context, actor db.Actor, id int64) (bool, error) {
	h, err := require(ctx, s.DB.Reader(), actor, access.OrganizationsEdit)
	if err == nil {
		err = maySwitch(ctx, s.DB.Reader(), h, id)
	}
	if errors.Is(err, ErrNotAllowed) {
		return false, nil
	}
	return err == nil, err
}

// maySwitch refuses what would be a way around the ceiling: to switch an organization is to
// change the status of everybody in it. Those over an organization alone do not outrank
// somebody who looks after all organizations.
func maySwitch(ctx context.Context, r db.Reader, h access.Holder, id int64) error {
	if h.OrganizationID == id {
		return ErrNotAllowed
	}
	staff, err := r.StaffOverEverybody(ctx, id)
	if err != nil {
		return err
	}
	for _, u := range staff {
		if !access.MayGive(h, u.Role) {
			return ErrNotAllowed
		}
	}
	return nil
}
