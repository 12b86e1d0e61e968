// Package audit appends to the audit trail: who did what to whom, when, from where, and
// whether it was done or refused. An event is written in the transaction of what it tells
// of. It must never hold a secret.
package audit

import (
	"context"
	"encoding/json"
	"fmt"

	"postern/db"
)

// Action is a fact in the past tense.
type Action string

const (
	PortalSetUp             Action = "portal.set_up"
	SignedIn                Action = "sign_in.succeeded"
	SignInRefused           Action = "sign_in.refused"
	SignedOut               Action = "sign_out.done"
	Reauthenticated         Action = "reauthentication.succeeded"
	ReauthenticationFailed  Action = "reauthentication.refused"
	RecoveryRequested       Action = "password_reset.requested"
	ResetLinkIssued         Action = "password_reset.link_issued"
	PasswordReset           Action = "password_reset.completed"
	PasswordResetRefused    Action = "password_reset.refused"
	PasswordChanged         Action = "password.changed"
	RecoveryCodeUsed        Action = "recovery_code.used"
	RecoveryCodesRenewed    Action = "recovery_codes.renewed"
	AuthenticatorEnrolled   Action = "authenticator.enrolled"
	AuthenticatorRemoved    Action = "authenticator.removed"
	AuthenticatorReset      Action = "authenticator.reset"
	SessionsEnded           Action = "sessions.ended"
	LinksRevoked            Action = "links.revoked"
	InvitationWithdrawn     Action = "invitation.withdrawn"
	UserChanged             Action = "user.changed"
	UsersImported           Action = "import.completed"
	UserImported            Action = "user.imported"
	OrganizationChanged     Action = "organization.changed"
	RoleCreated             Action = "role.created"
	RoleChanged             Action = "role.changed"
	MailRetried             Action = "mail.retried"
	MailTested              Action = "mail.tested"
	AuditExported           Action = "audit.exported"
	AuditTrimmed            Action = "audit.trimmed"
	SessionEnded            Action = "session.ended"
	OtherSessionsEnded      Action = "session.others_ended"
	BrowserTrusted          Action = "browser.trusted"
	BrowserForgotten        Action = "browser.forgotten"
	PasswordStopped         Action = "password.stopped"
	UsernameChanged         Action = "username.changed"
	EmailChangeRequested    Action = "email.change_requested"
	EmailChangeCancelled    Action = "email.change_cancelled"
	EmailChanged            Action = "email.changed"
	ProfileChanged          Action = "profile.changed"
	InvitationAccepted      Action = "invitation.accepted"
	NotMeReported           Action = "not_me.reported"
	UserCreated             Action = "user.created"
	UserInvited             Action = "user.invited"
	UserActivated           Action = "user.activated"
	UserDeactivated         Action = "user.deactivated"
	UserUnlocked            Action = "user.unlocked"
	UserRoleChanged         Action = "user.role_changed"
	UserDeleted             Action = "user.deleted"
	OrganizationCreated     Action = "organization.created"
	OrganizationActivated   Action = "organization.activated"
	OrganizationDeactivated Action = "organization.deactivated"
	SettingChanged          Action = "setting.changed"
	ClockAccepted           Action = "clock.accepted"
)

// Event is what Record writes.
type Event struct {
	Action  Action
	Actor   db.Actor
	Refused bool
	// User is whom it concerns, with the organization they are in now; the zero User for
	// nobody.
	User db.User
	// OrganizationID is for events that concern an organization and no user.
	OrganizationID int64
	Detail         map[string]string
}

// Record appends an event.
func Record(ctx context.Context, tx *db.Tx, e Event) error {
	written, err := e.written()
	if err != nil {
		return err
	}
	return tx.AddEvent(ctx, written)
}

// RecordImported appends the event for each user whom an import made with that role of the
// rows up to a line; of those without a password alone, if so asked.
func RecordImported(ctx context.Context, tx *db.Tx, e Event, role string, onlyInvited bool, last int) error {
	written, err := e.written()
	if err != nil {
		return err
	}
	return tx.AddImportEvents(ctx, written, role, onlyInvited, last)
}

// written is the event as the trail keeps it.
func (e Event) written() (db.Event, error) {
	detail, err := json.Marshal(e.Detail)
	if err != nil {
		return db.Event{}, fmt.Errorf("audit event: %w", err)
	}
	if e.Detail == nil {
		detail = []byte("{}")
	}
	outcome := "done"
	if e.Refused {
		outcome = "refused"
	}
	organization := e.OrganizationID
	if e.User.ID != 0 {
		organization = e.User.OrganizationID
	}
	return db.Event{Action: string(e.Action), Outcome: outcome, Actor: e.Actor, UserID: e.User.ID,
		OrganizationID: organization, Detail: string(detail)}, nil
}
