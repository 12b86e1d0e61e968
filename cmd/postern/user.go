package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"postern/db"
	"postern/internal/directory"
)

type userCommands struct {
	Create        userCreate        `cmd:"" help:"Make a user."`
	List          userList          `cmd:"" help:"List all users."`
	Show          userShow          `cmd:"" help:"Show a user as JSON."`
	Activate      userActivate      `cmd:"" help:"Let a deactivated user in again."`
	Deactivate    userDeactivate    `cmd:"" help:"Keep a user out; all their sessions and links end."`
	Unlock        userUnlock        `cmd:"" help:"Open an account that was shut by 'this was not me' or by wrong passwords."`
	Delete        userDelete        `cmd:"" help:"Delete a user; the audit trail keeps the id."`
	SetRole       userSetRole       `cmd:"" name:"set-role" help:"Give a user another role."`
	ResetPassword userResetPassword `cmd:"" name:"reset-password" help:"Print a one-time link with which the user chooses a new password."`
	ResetTOTP     userResetTOTP     `cmd:"" name:"reset-totp" help:"Take a user's authenticator away, so that they can enrol another one."`
}

// emailArgument names a user.
type emailArgument struct {
	Email string `arg:"" placeholder:"EMAIL" help:"E-mail address of the user."`
}

// user opens the portal and finds the user.
func (a emailArgument) user(ctx context.Context, p *program) (*portal, db.User, error) {
	portal, err := p.open(ctx, opening{})
	if err != nil {
		return nil, db.User{}, err
	}
	user, err := portal.db.Reader().UserByEmail(ctx, strings.TrimSpace(a.Email))
	if errors.Is(err, db.ErrNotFound) {
		err = fmt.Errorf("there is no user with the address %s: see postern user list", a.Email)
	}
	if err != nil {
		return nil, db.User{}, errors.Join(err, portal.close())
	}
	return portal, user, nil
}

// act runs a use case on the user.
func (a emailArgument) act(ctx context.Context, p *program, act func(*portal, db.User) error) error {
	portal, user, err := a.user(ctx, p)
	if err != nil {
		return err
	}
	return errors.Join(act(portal, user), portal.close())
}

type userCreate struct {
	Email         string `required:"" placeholder:"EMAIL" help:"E-mail address."`
	Name          string `required:"" placeholder:"NAME" help:"Name of the person."`
	Username      string `placeholder:"NAME" help:"To sign in with, besides the address."`
	Organization  string `placeholder:"NAME" help:"Name of the organization."`
	Role          string `placeholder:"ID" help:"owner, support, auditor, portal_administrator, customer, or the id of a role of your own. Default: customer"`
	PasswordStdin bool   `xor:"password" help:"Read the password from the first line of standard input."`
	Invite        bool   `xor:"password" help:"Mail an invitation to choose one."`
}

func (c userCreate) Run(ctx context.Context, p *program) error {
	form := directory.NewUser{Email: c.Email, Name: c.Name, Username: c.Username, Organization: c.Organization, Role: c.Role, Invite: c.Invite}
	if c.PasswordStdin {
		typed, err := firstLine(p.stdin)
		if err != nil {
			return fmt.Errorf("read the password: %w", err)
		}
		form.Password = &typed
	}
	portal, err := p.open(ctx, opening{create: true})
	if err != nil {
		return err
	}
	user, err := portal.directory.CreateUser(ctx, operator, form)
	if errors.Is(err, directory.ErrNeedsOrganization) {
		err = errors.New("this role is over an organization: name it with --organization")
	}
	if err == nil {
		p.println("Created", user.Email, "with the id", user.ID)
	}
	return errors.Join(err, portal.close())
}

// userJSON is a user as programs read it.
type userJSON struct {
	ID           int64  `json:"id"`
	Email        string `json:"email"`
	Username     string `json:"username"`
	Name         string `json:"name"`
	Organization string `json:"organization"`
	Role         string `json:"role"`
	Status       string `json:"status"`
	TOTP         bool   `json:"totp"`
}

func asJSON(u db.User) userJSON {
	return userJSON{ID: u.ID, Email: u.Email, Username: u.Username, Name: u.Name, Organization: u.Organization, Role: u.Role.ID, Status: u.Status(), TOTP: u.SecondFactor}
}

func (p *program) printJSON(value any) error {
	encoder := json.NewEncoder(p.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

type userList struct {
	JSON bool `name:"json" help:"One JSON array, as always when it is not for a terminal."`
}

// listPage is how many rows are read at a time.
const listPage = 500

func (c userList) Run(ctx context.Context, p *program) error {
	portal, err := p.open(ctx, opening{})
	if err != nil {
		return err
	}
	return errors.Join(c.list(ctx, p, portal), portal.close())
}

func (c userList) list(ctx context.Context, p *program, portal *portal) error {
	all := []userJSON{}
	for after := int64(0); ; {
		users, err := portal.db.Reader().Users(ctx, after, listPage)
		if err != nil {
			return err
		}
		for _, u := range users {
			all = append(all, asJSON(u))
			after = u.ID
		}
		if len(users) < listPage {
			break
		}
	}
	if c.JSON || !p.toTerminal() {
		return p.printJSON(all)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tEMAIL\tUSERNAME\tNAME\tORGANIZATION\tROLE\tSTATUS")
	for _, u := range all {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", u.ID, u.Email, u.Username, u.Name, u.Organization, u.Role, u.Status)
	}
	return table.Flush()
}

type userShow struct {
	emailArgument
	JSON bool `name:"json" help:"JSON, which it is in any case."`
}

func (c userShow) Run(ctx context.Context, p *program) error {
	return c.act(ctx, p, func(_ *portal, u db.User) error { return p.printJSON(asJSON(u)) })
}

type userActivate struct{ emailArgument }

func (c userActivate) Run(ctx context.Context, p *program) error {
	return c.act(ctx, p, func(portal *portal, u db.User) error {
		return p.say(portal.directory.Activate(ctx, operator, u.ID, ""), u.Email+" is active.")
	})
}

type userDeactivate struct{ emailArgument }

func (c userDeactivate) Run(ctx context.Context, p *program) error {
	return c.act(ctx, p, func(portal *portal, u db.User) error {
		return p.say(portal.directory.Deactivate(ctx, operator, u.ID, ""), u.Email+" is inactive and signed out.")
	})
}

type userUnlock struct{ emailArgument }

func (c userUnlock) Run(ctx context.Context, p *program) error {
	return c.act(ctx, p, func(portal *portal, u db.User) error {
		return p.say(portal.directory.Unlock(ctx, operator, u.ID, ""), u.Email+" is unlocked. Who has no password now asks for a reset link.")
	})
}

type userDelete struct{ emailArgument }

func (c userDelete) Run(ctx context.Context, p *program) error {
	return c.act(ctx, p, func(portal *portal, u db.User) error {
		return p.say(portal.directory.Delete(ctx, operator, u.ID, u.Email, ""), u.Email+" is deleted.")
	})
}

type userSetRole struct {
	emailArgument
	Role string `arg:"" placeholder:"ROLE" help:"owner, support, auditor, portal_administrator, customer, or the id of a role of your own."`
}

func (c userSetRole) Run(ctx context.Context, p *program) error {
	return c.act(ctx, p, func(portal *portal, u db.User) error {
		return p.say(portal.directory.SetRole(ctx, operator, u.ID, c.Role), u.Email+" has the role "+c.Role+".")
	})
}

type userResetPassword struct{ emailArgument }

func (c userResetPassword) Run(ctx context.Context, p *program) error {
	return c.act(ctx, p, func(portal *portal, u db.User) error {
		plain, err := portal.directory.PrintResetLink(ctx, operator, u.ID)
		if errors.Is(err, directory.ErrCannotEnter) {
			return errors.New("the user could not sign in with it: activate the user and the organization, or unlock the account, first")
		}
		return p.say(err, portal.cfg.URL.String()+"/reset-password/"+plain)
	})
}

type userResetTOTP struct{ emailArgument }

func (c userResetTOTP) Run(ctx context.Context, p *program) error {
	return c.act(ctx, p, func(portal *portal, u db.User) error {
		err := portal.directory.ResetTOTP(ctx, operator, u.ID, "")
		if errors.Is(err, directory.ErrNoAuthenticator) {
			return errors.New(u.Email + " has no authenticator")
		}
		return p.say(err, u.Email+" has no authenticator any more and is signed out everywhere.")
	})
}

// say prints what was done, or returns why it was not.
func (p *program) say(err error, done string) error {
	switch {
	case err == nil:
		p.println(done)
	case errors.Is(err, directory.ErrLastOwner):
		return errors.New("this is the last active owner: make another one first")
	case errors.Is(err, directory.ErrNeedsOrganization):
		return errors.New("this role is over an organization, and the user belongs to none")
	}
	return err
}
