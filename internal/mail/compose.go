package mail

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/db"
	"postern/internal/audit"
	"postern/internal/settings"
	"postern/internal/token"
	"postern/views"
)

// Addresses that links in mails lead to, under the portal's own.
const (
	resetPath       = "/reset-password/"
	invitationPath  = "/invitation/"
	verifyEmailPath = "/verify-email/"
	notMePath       = "/not-me/"
)

const (
	verifyEmailLifetime = 24 * time.Hour
	notMeLifetime       = 14 * 24 * time.Hour
	// recoveryPatience is how long a mail with a reset link may wait: after it the person
	// has asked again, or given up.
	recoveryPatience = 30 * time.Minute
)

// dropped is why a message is not sent. Staff read it on the mail page.
type dropped struct{ reason string }

func (d dropped) Error() string { return "dropped: " + d.reason }

const (
	reasonUnknown     = "no user has this address"
	reasonMismatch    = "address and username do not belong together"
	reasonDeadLink    = "the link was not one of ours"
	reasonGone        = "the user was deleted"
	reasonSuperseded  = "the account changed after it was asked for"
	reasonLate        = "it could not be sent within 30 minutes"
	reasonAccepted    = "the user has a password already"
	reasonCancelled   = "the change of address was cancelled"
	reasonInactive    = "the user is inactive"
	reasonSwitchedOff = "password recovery is switched off"
)

// errUnmakeable is returned for a message that can be made into no mail, now at least.
var errUnmakeable = errors.New("the mail cannot be made")

// letter is a message that has become a mail.
type letter struct {
	to     string // a bare address
	mail   views.Mail
	linkID int64 // the link minted for it; 0 for none
}

// composer turns one message into a mail, within the transaction that claimed it.
type composer struct {
	url      string // of the portal, without a slash at the end
	settings *settings.Settings
	tx       *db.Tx
	message  db.Message
	linkID   int64
}

// compose decides afresh, at every attempt, what the message becomes: a decision of half an
// hour ago may be wrong by now. What should not be sent is a dropped error.
func (c *composer) compose(ctx context.Context) (letter, error) {
	if c.message.Unreadable {
		return letter{}, fmt.Errorf("%w: what belongs to it cannot be read", errUnmakeable)
	}
	if c.message.Kind == db.MessageDeleted {
		return c.letter(views.DeletedMail(c.portalFacts())), nil
	}
	user, err := c.reader(ctx)
	if err != nil {
		return letter{}, err
	}
	if c.message.UserID == 0 {
		if err := c.tx.AddressMessage(ctx, c.message.ID, user.ID, user.Email); err != nil {
			return letter{}, err
		}
		c.message.UserID, c.message.Recipient = user.ID, user.Email
	}
	facts, err := c.facts(ctx, user)
	if err != nil {
		return letter{}, err
	}
	mail, err := c.text(ctx, user, facts)
	if err != nil {
		return letter{}, err
	}
	return c.letter(mail), nil
}

// letter puts a mail into its envelope, in the portal's colour.
func (c *composer) letter(mail views.Mail) letter {
	if accent, ok := settings.AccentOf(c.settings.PortalAccent); ok {
		mail.Accent, mail.OnAccent = accent.Light, accent.OnLight
	}
	return letter{to: c.message.Recipient, mail: mail, linkID: c.linkID}
}

// portalFacts are what every mail can speak of, whoever reads it.
func (c *composer) portalFacts() views.MailFacts {
	return views.MailFacts{Portal: c.settings.PortalName, URL: c.url, At: c.message.CreatedAt.Time(), Zone: time.UTC,
		Device: views.Device(c.message.Data.UserAgent), Address: c.message.Data.Address,
		Support: views.Support{Email: c.settings.SupportEmail, Phone: c.settings.SupportPhone, URL: c.settings.SupportURL}}
}

// reader finds the user that the mail is for.
func (c *composer) reader(ctx context.Context) (db.User, error) {
	if c.message.UserID == 0 {
		return c.asker(ctx)
	}
	user, err := c.tx.User(ctx, c.message.UserID)
	if errors.Is(err, db.ErrNotFound) {
		err = dropped{reasonGone}
	}
	return user, err
}

// asker finds out who asked for a reset link: by address, by address and username, or by
// the dead link whose button was pressed.
func (c *composer) asker(ctx context.Context) (db.User, error) {
	asked := c.message.Data
	if asked.TokenHash != nil {
		link, err := c.tx.LinkByToken(ctx, asked.TokenHash)
		if errors.Is(err, db.ErrNotFound) {
			return db.User{}, dropped{reasonDeadLink}
		} else if err != nil {
			return db.User{}, err
		}
		user, err := c.tx.User(ctx, link.UserID)
		if errors.Is(err, db.ErrNotFound) {
			err = dropped{reasonGone}
		}
		return user, err
	}
	user, err := c.tx.UserByEmail(ctx, asked.Email)
	if errors.Is(err, db.ErrNotFound) {
		return db.User{}, dropped{reasonUnknown}
	} else if err != nil {
		return db.User{}, err
	}
	if asked.Username != "" && asked.Username != login(user) {
		return db.User{}, dropped{reasonMismatch}
	}
	return user, nil
}

// login is what a user gives where the username is asked for.
func login(u db.User) string {
	if u.Username == "" {
		return db.FoldEmail(u.Email)
	}
	return u.Username
}

func (c *composer) facts(ctx context.Context, user db.User) (views.MailFacts, error) {
	helpers, err := c.tx.Helpers(ctx, user)
	if err != nil {
		return views.MailFacts{}, err
	}
	zone, err := time.LoadLocation(user.TimeZone)
	if err != nil {
		zone = time.UTC
	}
	facts := c.portalFacts()
	facts.Name, facts.Zone = user.Name, zone
	facts.Helpers = views.Helpers{Organization: user.Organization,
		ContactOwner: views.Contact{Name: helpers.ContactOwner.Name, Email: helpers.ContactOwner.Email}}
	for _, a := range helpers.Administrators {
		facts.Helpers.Administrators = append(facts.Helpers.Administrators, views.Contact{Name: a.Name, Email: a.Email})
	}
	return facts, nil
}

// text writes the mail.
func (c *composer) text(ctx context.Context, user db.User, facts views.MailFacts) (views.Mail, error) {
	switch c.message.Kind {
	case db.MessageRecovery:
		return c.recovery(ctx, user, facts)
	case db.MessageReset:
		return c.resetLink(ctx, user, facts)
	case db.MessageInvitation:
		return c.invitation(ctx, user, facts)
	case db.MessageVerifyEmail:
		return c.verifyEmail(ctx, user, facts)
	case db.MessagePasswordStopped:
		return views.PasswordStoppedMail(facts), nil
	case db.MessageNotMe:
		return views.NotMeMail(facts), nil
	case db.MessageNotMeToStaff:
		return c.notMeToStaff(ctx, facts)
	case db.MessageActivated:
		return views.StatusMail(facts, views.StatusActivated), nil
	case db.MessageDeactivated:
		return views.StatusMail(facts, views.StatusDeactivated), nil
	case db.MessageUnlocked:
		return views.StatusMail(facts, views.StatusUnlocked), nil
	case db.MessageRoleChanged:
		return views.StatusMail(facts, views.StatusNewRole), nil
	case db.MessageSignedOut:
		return views.StatusMail(facts, views.StatusSignedOut), nil
	case db.MessageLinksRevoked:
		return views.StatusMail(facts, views.StatusLinksRevoked), nil
	case db.MessageInvitationWithdrawn:
		return views.StatusMail(facts, views.StatusUninvited), nil
	case db.MessageTest:
		return views.TestMail(facts), nil
	}
	return c.security(ctx, user, facts)
}

// security writes a mail that carries "this was not me".
func (c *composer) security(ctx context.Context, user db.User, facts views.MailFacts) (views.Mail, error) {
	// Whoever presses the button of the first mail about a new address only after it has
	// been confirmed wants the old one back all the same.
	restore := ""
	switch c.message.Kind {
	case db.MessageEmailAsked, db.MessageEmailChanged:
		restore = c.message.Recipient
	}
	notMe, err := c.mint(ctx, db.Link{Purpose: db.PurposeNotMe, UserID: user.ID, RestoreEmail: restore}, notMePath, notMeLifetime)
	if err != nil {
		return views.Mail{}, err
	}
	switch c.message.Kind {
	case db.MessagePasswordChanged:
		return views.PasswordChangedMail(facts, notMe), nil
	case db.MessageUsernameChanged:
		return views.UsernameChangedMail(facts, notMe), nil
	case db.MessageEmailAsked:
		return views.EmailAskedMail(facts, c.message.Data.NewEmail, c.message.Data.By != "", notMe), nil
	case db.MessageEmailChanged:
		return views.EmailChangedMail(facts, c.message.Data.NewEmail, notMe), nil
	case db.MessageOperatorReset:
		return views.OperatorResetMail(facts, notMe), nil
	case db.MessageNewSignIn:
		return views.NewSignInMail(facts, notMe), nil
	case db.MessageFactorChanged:
		return views.FactorChangedMail(facts, views.FactorChange(c.message.Data.What), c.message.Data.By != "user", notMe), nil
	case db.MessageWrongCodes:
		return views.WrongCodesMail(facts, notMe), nil
	case db.MessageRecoveryUsed:
		left, err := c.tx.RecoveryCodesLeft(ctx, user.ID)
		return views.RecoveryUsedMail(facts, left, notMe), err
	}
	return views.Mail{}, fmt.Errorf("%w: its kind %q is not known", errUnmakeable, c.message.Kind)
}

// recovery answers somebody who asked for a new password: with a link, with an invitation
// if there has never been one, or with the reason why there is none and whom to turn to.
func (c *composer) recovery(ctx context.Context, user db.User, facts views.MailFacts) (views.Mail, error) {
	if c.message.Attempts == 1 {
		asker := db.Actor{Kind: db.ActorVisitor, Address: c.message.Data.Address, UserAgent: c.message.Data.UserAgent,
			RequestID: c.message.Data.RequestID}
		if err := audit.Record(ctx, c.tx, audit.Event{Action: audit.RecoveryRequested, Actor: asker, User: user}); err != nil {
			return views.Mail{}, err
		}
	}
	if c.message.Recipient != user.Email {
		return views.Mail{}, dropped{reasonSuperseded}
	}
	no := func(reason views.NoReset) (views.Mail, error) {
		return views.NoResetMail(facts, c.settings.RecoveryMailSubject, reason), nil
	}
	switch {
	case !user.Enabled():
		return no(views.NoResetInactive)
	case user.ClosedAt != 0:
		return no(views.NoResetShut)
	case user.PasswordSetAt == 0:
		return c.invitation(ctx, user, facts)
	case c.settings.RecoveryRequirePriorSignIn && user.LastSignInAt == 0 && user.InvitationAcceptedAt == 0:
		return no(views.NoResetNever)
	case !c.settings.RecoveryEnabled: // meanwhile, or asked for with the link of an invitation
		return views.Mail{}, dropped{reasonSwitchedOff}
	}
	return c.resetLink(ctx, user, facts)
}

func (c *composer) resetLink(ctx context.Context, user db.User, facts views.MailFacts) (views.Mail, error) {
	if err := c.timely(user); err != nil {
		return views.Mail{}, err
	}
	lifetime := c.settings.RecoveryLinkLifetime()
	url, err := c.mint(ctx, db.Link{Purpose: db.PurposeReset, UserID: user.ID, Epoch: user.Epoch}, resetPath, lifetime)
	if err != nil {
		return views.Mail{}, err
	}
	return views.ResetLinkMail(facts, views.LinkMail{Subject: c.settings.RecoveryMailSubject, Label: c.settings.RecoveryMailLinkText,
		URL: url, Lifetime: views.Duration(lifetime), Until: c.tx.Now.Add(lifetime).Time()}, c.message.Kind == db.MessageReset), nil
}

// timely refuses a reset link that was asked for too long ago, or before the account
// changed: a change kills the links that are out, and those that are still to come.
func (c *composer) timely(user db.User) error {
	switch {
	case c.tx.Now.Sub(wanted(c.message)) > recoveryPatience:
		return dropped{reasonLate}
	case user.EpochAt > c.message.CreatedAt || c.message.Recipient != user.Email:
		return dropped{reasonSuperseded}
	case !user.Enabled() || user.ClosedAt != 0:
		return dropped{reasonInactive}
	}
	return nil
}

// wanted is when a message was last asked for: at first, or by staff who had it sent again.
// What has changed since it was asked for at first counts all the same.
func wanted(m db.Message) db.Time { return max(m.CreatedAt, m.Data.RetriedAt) }

func (c *composer) invitation(ctx context.Context, user db.User, facts views.MailFacts) (views.Mail, error) {
	switch {
	case user.PasswordSetAt != 0:
		return views.Mail{}, dropped{reasonAccepted}
	case user.EpochAt > c.message.CreatedAt || c.message.Recipient != user.Email:
		return views.Mail{}, dropped{reasonSuperseded}
	case !user.Enabled() || user.ClosedAt != 0:
		return views.Mail{}, dropped{reasonInactive}
	}
	lifetime := c.settings.InvitationLifetime()
	url, err := c.mint(ctx, db.Link{Purpose: db.PurposeInvitation, UserID: user.ID, Epoch: user.Epoch}, invitationPath, lifetime)
	if err != nil {
		return views.Mail{}, err
	}
	return views.InvitationMail(facts, views.LinkMail{URL: url, Lifetime: views.Duration(lifetime),
		Until: c.tx.Now.Add(lifetime).Time()}), nil
}

func (c *composer) verifyEmail(ctx context.Context, user db.User, facts views.MailFacts) (views.Mail, error) {
	if user.PendingEmail != c.message.Recipient {
		return views.Mail{}, dropped{reasonCancelled}
	}
	url, err := c.mint(ctx, db.Link{Purpose: db.PurposeVerifyEmail, UserID: user.ID, Epoch: user.Epoch}, verifyEmailPath, verifyEmailLifetime)
	if err != nil {
		return views.Mail{}, err
	}
	return views.VerifyEmailMail(facts, views.LinkMail{URL: url, Lifetime: views.Duration(verifyEmailLifetime),
		Until: c.tx.Now.Add(verifyEmailLifetime).Time()}), nil
}

func (c *composer) notMeToStaff(ctx context.Context, facts views.MailFacts) (views.Mail, error) {
	who, err := c.tx.User(ctx, c.message.Data.AboutUserID)
	if errors.Is(err, db.ErrNotFound) {
		err = dropped{reasonGone}
	}
	return views.NotMeToStaffMail(facts, views.Contact{Name: who.Name, Email: who.Email}), err
}

// mint makes the link of this attempt and returns its address. Of reset links and
// invitations the newest three stay open, of confirmations the newest.
func (c *composer) mint(ctx context.Context, link db.Link, path string, lifetime time.Duration) (string, error) {
	plain, hash := token.New()
	link.Email, link.MessageID, link.ExpiresAt = c.message.Recipient, c.message.ID, c.tx.Now.Add(lifetime)
	var err error
	if c.linkID, err = c.tx.AddLink(ctx, link, hash); err != nil {
		return "", err
	}
	switch link.Purpose {
	case db.PurposeReset, db.PurposeInvitation:
		err = c.tx.RevokeLinks(ctx, link.UserID, link.Purpose, db.OpenLinks)
	case db.PurposeVerifyEmail:
		err = c.tx.RevokeLinks(ctx, link.UserID, link.Purpose, 1)
	}
	return c.url + path + plain, err
}
