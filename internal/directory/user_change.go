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

// UserChange is what a form changes about a user; nil fields stay.
type UserChange struct {
	Name, Username, Email, Organization, Role *string
}

// NeedsProof says whether the change is one that asks for fresh proof.
func (c UserChange) NeedsProof(u db.User) bool {
	return c.Email != nil && *c.Email != u.Email || c.Role != nil && *c.Role != u.Role.ID
}

// ChangeUser changes what a form says about a user. A new address counts once it has been
// confirmed from there, and the old one is told. What does not pass is an *input.Error, too
// many new addresses a day are a *throttle.HeldError.
func (s *Service) ChangeUser(ctx context.Context, actor db.Actor, userID int64, form UserChange) error {
	c := change{s: s, actor: actor}
	err := s.act(ctx, func(tx *db.Tx) (err error) {
		c.tx = tx
		if c.holder, c.before, err = target(ctx, tx.Reader, actor, userID, access.Edit); err != nil {
			return err
		}
		c.after = c.before
		if err := c.read(ctx, form); err != nil {
			return err
		}
		if c.after.Role.ID == c.before.Role.ID && c.after.OrganizationID == c.before.OrganizationID {
			return c.write(ctx)
		}
		return keepingAnOwner(ctx, tx, func() error { return c.write(ctx) })
	})
	if errors.Is(err, db.ErrTaken) {
		err = s.taken(ctx, c.holder, c.after)
	}
	return err
}

// change is a user before and after an administrator's form.
type change struct {
	s             *Service
	tx            *db.Tx
	actor         db.Actor
	holder        access.Holder
	before, after db.User
}

func (c *change) read(ctx context.Context, form UserChange) error {
	var checks input.Checks
	var problem input.Problem
	if form.Name != nil {
		c.after.Name, problem = input.Name(*form.Name)
		checks.Add("name", problem)
	}
	if form.Username != nil {
		c.after.Username, problem = input.Username(*form.Username)
		checks.Add("username", problem)
	}
	if form.Email != nil {
		c.after.Email, problem = input.Email(*form.Email)
		checks.Add("email", problem)
	}
	if form.Organization != nil {
		organization, problem, err := findOrganization(ctx, c.tx.Reader, c.holder, *form.Organization)
		if err != nil {
			return err
		}
		checks.Add("organization", problem)
		c.after.OrganizationID, c.after.Organization, c.after.OrganizationActive = organization.ID, organization.Name,
			organization.ID == 0 || organization.Active
	}
	if form.Role != nil && *form.Role != c.before.Role.ID {
		role, err := c.tx.Role(ctx, *form.Role)
		if errors.Is(err, db.ErrNotFound) {
			checks.Add("role", input.NoSuchRole)
		} else if err != nil {
			return err
		}
		c.after.Role = role
	}
	if err := checks.Err(); err != nil {
		return err
	}
	return c.allowed(ctx)
}

// allowed judges the parts that ask for more than editing.
func (c *change) allowed(ctx context.Context) error {
	given, moved := c.after.Role.ID != c.before.Role.ID, c.after.OrganizationID != c.before.OrganizationID
	if given && access.Decide(c.holder, access.ChangeRole, c.before) != access.Allowed ||
		moved && access.Decide(c.holder, access.ChangeOrganization, c.before) != access.Allowed {
		return ErrNotAllowed
	}
	if given || moved {
		if err := grantable(c.holder, c.after); err != nil {
			return err
		}
	}
	return free(ctx, c.tx.Reader, c.holder, c.after)
}

func (c *change) write(ctx context.Context) error {
	if c.after.Name != c.before.Name {
		profile := db.Profile{Name: c.after.Name, Phone: c.before.Phone, TimeZone: c.before.TimeZone, NotifySignIn: c.before.NotifySignIn}
		if err := c.tx.SetProfile(ctx, c.before.ID, profile); err != nil {
			return err
		}
		if err := c.record(ctx, audit.UserChanged, map[string]string{"name": c.after.Name}); err != nil {
			return err
		}
	}
	for _, write := range []func(context.Context) error{c.writeOrganization, c.writeRole, c.writeUsername, c.writeEmail} {
		if err := write(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) record(ctx context.Context, action audit.Action, detail map[string]string) error {
	return audit.Record(ctx, c.tx, audit.Event{Action: action, Actor: c.actor, User: c.before, Detail: detail})
}

// mail tells the user, at the address they have.
func (c *change) mail(ctx context.Context, kind db.MessageKind, data db.MessageData) error {
	data.By = by(c.actor)
	return c.tx.Enqueue(ctx, db.Message{Kind: kind, UserID: c.before.ID, Recipient: c.before.Email, Data: data})
}

// endAccess ends what the user's present credentials have opened.
func (c *change) endAccess(ctx context.Context) (err error) {
	c.after.Epoch, err = c.tx.EndAccess(ctx, c.before.ID, c.after.Epoch, 0)
	return err
}

// writeOrganization moves the user. Into one that is switched off they cannot follow.
func (c *change) writeOrganization(ctx context.Context) error {
	if c.after.OrganizationID == c.before.OrganizationID {
		return nil
	}
	if !c.after.OrganizationActive {
		if err := c.endAccess(ctx); err != nil {
			return err
		}
	}
	if err := c.tx.SetOrganization(ctx, c.before.ID, c.after.OrganizationID); err != nil {
		return err
	}
	return c.record(ctx, audit.UserChanged, map[string]string{"organization": strconv.FormatInt(c.after.OrganizationID, 10)})
}

func (c *change) writeRole(ctx context.Context) error {
	if c.after.Role.ID == c.before.Role.ID {
		return nil
	}
	if err := closeSetup(ctx, c.tx, c.after.Role.ID); err != nil {
		return err
	}
	if err := c.tx.SetRole(ctx, c.before.ID, c.after.Role.ID); err != nil {
		return err
	}
	if err := c.mail(ctx, db.MessageRoleChanged, db.MessageData{}); err != nil {
		return err
	}
	return c.record(ctx, audit.UserRoleChanged, map[string]string{"old": c.before.Role.ID, "role": c.after.Role.ID})
}

func (c *change) writeUsername(ctx context.Context) error {
	if c.after.Username == c.before.Username {
		return nil
	}
	if err := c.endAccess(ctx); err != nil {
		return err
	}
	if err := c.tx.SetUsername(ctx, c.before.ID, c.after.Username); errors.Is(err, db.ErrTaken) { // since the look
		return input.Refuse("username", input.UsernameTaken)
	} else if err != nil {
		return err
	}
	if err := c.mail(ctx, db.MessageUsernameChanged, db.MessageData{}); err != nil {
		return err
	}
	return c.record(ctx, audit.UsernameChanged, map[string]string{"old": c.before.Username, "new": c.after.Username})
}

// writeEmail keeps the new address until it is confirmed.
func (c *change) writeEmail(ctx context.Context) error {
	if c.after.Email == c.before.Email {
		return nil
	}
	if c.before.PasswordSetAt == 0 {
		return c.writeInvitedEmail(ctx)
	}
	if err := c.s.Throttle.Confirmation(ctx, c.tx, c.before.ID); err != nil {
		return err
	}
	if err := c.tx.SetPendingEmail(ctx, c.before.ID, c.after.Email); err != nil {
		return err
	}
	if err := c.tx.RevokeLinks(ctx, c.before.ID, db.PurposeVerifyEmail, 0); err != nil {
		return err
	}
	if err := c.tx.Enqueue(ctx, db.Message{Kind: db.MessageVerifyEmail, UserID: c.before.ID, Recipient: c.after.Email}); err != nil {
		return err
	}
	if err := c.mail(ctx, db.MessageEmailAsked, db.MessageData{NewEmail: c.after.Email}); err != nil {
		return err
	}
	return c.record(ctx, audit.EmailChangeRequested, map[string]string{"new": c.after.Email})
}

// writeInvitedEmail changes the address of somebody who has no password yet, and so no
// session to confirm it in: whoever accepts an invitation there confirms it. One that is out
// already is withdrawn from the old address and goes to the new one.
func (c *change) writeInvitedEmail(ctx context.Context) error {
	invited, err := c.invited(ctx)
	if err != nil {
		return err
	}
	if err := c.endAccess(ctx); err != nil {
		return err
	}
	if err := c.tx.SetEmail(ctx, c.before.ID, c.after.Email); err != nil {
		return err
	}
	if err := c.record(ctx, audit.EmailChanged, map[string]string{"old": c.before.Email, "new": c.after.Email}); err != nil || !invited {
		return err
	}
	if err := c.mail(ctx, db.MessageInvitationWithdrawn, db.MessageData{}); err != nil {
		return err
	}
	return c.s.invite(ctx, c.tx, c.actor, c.after)
}

// invited says whether an invitation was mailed, or waits to be, that was not withdrawn.
func (c *change) invited(ctx context.Context) (bool, error) {
	messages, err := c.tx.UserMessages(ctx, c.before.ID, 100)
	for _, m := range messages {
		if m.Kind == db.MessageInvitation || m.Kind == db.MessageInvitationWithdrawn {
			return m.Kind == db.MessageInvitation, err
		}
	}
	return false, err
}
