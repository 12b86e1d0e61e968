package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"postern/db"
	"postern/internal/directory"
)

type organizationCommand struct {
	Create     organizationCreate     `cmd:"" help:"Make an organization."`
	List       organizationList       `cmd:"" help:"List all organizations."`
	Activate   organizationActivate   `cmd:"" help:"Let the users of an organization in again."`
	Deactivate organizationDeactivate `cmd:"" help:"Sign out everybody in an organization and keep them out."`
}

type nameArgument struct {
	Name string `arg:"" placeholder:"NAME" help:"Name of the organization."`
}

type organizationCreate struct{ nameArgument }

func (c organizationCreate) Run(ctx context.Context, p *program) error {
	portal, err := p.open(ctx, opening{create: true})
	if err != nil {
		return err
	}
	id, err := portal.directory.CreateOrganization(ctx, operator, directory.NewOrganization{Name: c.Name})
	return errors.Join(p.say(err, fmt.Sprintf("Created %s with the id %d", c.Name, id)), portal.close())
}

type organizationActivate struct{ nameArgument }

func (c organizationActivate) Run(ctx context.Context, p *program) error {
	return c.setActive(ctx, p, true, c.Name+" is active.")
}

type organizationDeactivate struct{ nameArgument }

func (c organizationDeactivate) Run(ctx context.Context, p *program) error {
	return c.setActive(ctx, p, false, c.Name+" is inactive. Everybody in it is signed out.")
}

func (a nameArgument) setActive(ctx context.Context, p *program, active bool, done string) error {
	portal, err := p.open(ctx, opening{})
	if err != nil {
		return err
	}
	organization, err := portal.db.Reader().OrganizationByName(ctx, db.FoldName(a.Name))
	if errors.Is(err, db.ErrNotFound) {
		err = fmt.Errorf("there is no organization named %s: see postern organization list", a.Name)
	}
	if err == nil {
		err = portal.directory.SetOrganizationActive(ctx, operator, organization.ID, active)
	}
	return errors.Join(p.say(err, done), portal.close())
}

type organizationList struct {
	JSON bool `name:"json" help:"One JSON array, as always when it is not for a terminal."`
}

// organizationJSON is an organization as programs read it.
type organizationJSON struct {
	ID     int64  `json:"id"`
	Name   string `json:"name"`
	Status string `json:"status"`
}

func (c organizationList) Run(ctx context.Context, p *program) error {
	portal, err := p.open(ctx, opening{})
	if err != nil {
		return err
	}
	return errors.Join(c.list(ctx, p, portal), portal.close())
}

func (c organizationList) list(ctx context.Context, p *program, portal *portal) error {
	all := []organizationJSON{}
	for after := int64(0); ; {
		organizations, err := portal.db.Reader().Organizations(ctx, after, listPage)
		if err != nil {
			return err
		}
		for _, o := range organizations {
			status := "active"
			if !o.Active {
				status = "inactive"
			}
			all = append(all, organizationJSON{o.ID, o.Name, status})
			after = o.ID
		}
		if len(organizations) < listPage {
			break
		}
	}
	if c.JSON || !p.toTerminal() {
		return p.printJSON(all)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tSTATUS")
	for _, o := range all {
		fmt.Fprintf(table, "%d\t%s\t%s\n", o.ID, o.Name, o.Status)
	}
	return table.Flush()
}
