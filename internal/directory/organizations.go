package directory

import (
	"context"
	"errors"
	"strings"

	"golang.org/x/text/cases"

	"postern/db"
	"postern/internal/audit"
	"postern/internal/input"
)

// foldName gives the form in which two spellings of an organization's name are the same.
func foldName(name string) string {
	return cases.Fold().String(strings.Join(strings.Fields(name), " "))
}

// CreateOrganization makes an organization. A name that is in use is an *input.Error.
func (s *Service) CreateOrganization(ctx context.Context, actor db.Actor, typed string) (id int64, err error) {
	name, problem := input.Name(typed)
	if problem != "" {
		return 0, input.Refuse("name", problem)
	}
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		if id, err = tx.AddOrganization(ctx, name, foldName(name)); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.OrganizationCreated, Actor: actor, OrganizationID: id,
			Detail: map[string]string{"name": name}})
	})
	if errors.Is(err, db.ErrTaken) {
		err = input.Refuse("name", input.NameTaken)
	}
	return id, err
}

// SetOrganizationActive switches an organization on or off. With it off, everybody in it
// is signed out at once and nobody of it gets in. Where it is so already, nothing happens.
func (s *Service) SetOrganizationActive(ctx context.Context, actor db.Actor, name string, active bool) error {
	action := audit.OrganizationDeactivated
	if active {
		action = audit.OrganizationActivated
	}
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		organization, err := tx.OrganizationByName(ctx, foldName(name))
		if err != nil {
			return err
		}
		if organization.Active == active {
			return nil
		}
		if err := keepingAnOwner(ctx, tx, func() error {
			if !active {
				if err := tx.EndOrganizationAccess(ctx, organization.ID); err != nil {
					return err
				}
			}
			return tx.SetOrganizationActive(ctx, organization.ID, active)
		}); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: action, Actor: actor, OrganizationID: organization.ID})
	})
}
