// Package access decides who may do what to whom. One pure function decides, and it must
// never read the database: what it is asked about is handed to it.
package access

import (
	"slices"

	"postern/db"
)

// Permission is one allowed verb.
type Permission string

const (
	UsersView          Permission = "users.view"
	UsersEdit          Permission = "users.edit"
	UsersResetPassword Permission = "users.reset_password"
	UsersResetTOTP     Permission = "users.reset_totp"
	OrganizationsEdit  Permission = "organizations.edit"
	RolesEdit          Permission = "roles.edit"
	SettingsEdit       Permission = "settings.edit"
	MailView           Permission = "mail.view"
	AuditView          Permission = "audit.view"
)

// Permissions are all of them, in the order of pages.
var Permissions = []Permission{UsersView, UsersEdit, UsersResetPassword, UsersResetTOTP, OrganizationsEdit, RolesEdit, SettingsEdit, MailView, AuditView}

// everybodyOnly are the permissions that exist over everybody alone.
var everybodyOnly = []Permission{OrganizationsEdit, RolesEdit, SettingsEdit, MailView}

// The scopes of a role: over every user, or over those of the holder's own organization.
const (
	OverEverybody    = "everybody"
	OverOrganization = "organization"
)

// The ids of the built-in roles that rules speak of.
const (
	RoleOwner    = "owner"
	RoleCustomer = "customer"
)

// Holds says whether the user's role has the permission, over whatever scope.
func Holds(u db.User, permission Permission) bool {
	return slices.Contains(u.Role.Permissions, string(permission))
}

// Holder is somebody who does something: what they may do, and over whom.
type Holder struct {
	UserID         int64
	OrganizationID int64 // 0 for none
	Permissions    []string
	Scope          string
	operator       bool
}

// Operator is whoever has the command line: everything is theirs to do.
var Operator = Holder{operator: true, Scope: OverEverybody}

// IsOperator says whether this is whoever has the command line.
func (h Holder) IsOperator() bool { return h.operator }

// HolderOf is a user as somebody who does something, as they are now.
func HolderOf(u db.User) Holder {
	return Holder{UserID: u.ID, OrganizationID: u.OrganizationID, Permissions: u.Role.Permissions, Scope: u.Role.Scope}
}

// Has says whether the holder has a permission, over whatever scope.
func (h Holder) Has(p Permission) bool {
	return h.operator || slices.Contains(h.Permissions, string(p))
}

// Over is the organization whose users the holder sees; 0 for all.
func (h Holder) Over() int64 {
	if h.Scope == OverEverybody {
		return 0
	}
	if h.OrganizationID == 0 {
		return -1 // a scope over nobody
	}
	return h.OrganizationID
}

// Act is what can be done to a user.
type Act string

const (
	View               Act = "view"
	Edit               Act = "edit" // name, telephone, username, address
	ChangeRole         Act = "change_role"
	ChangeOrganization Act = "change_organization"
	Activate           Act = "activate"
	Deactivate         Act = "deactivate"
	Unlock             Act = "unlock"
	EndSessions        Act = "end_sessions"
	RevokeLinks        Act = "revoke_links"
	Invite             Act = "invite" // also resend and withdraw
	Delete             Act = "delete"
	ResetPassword      Act = "reset_password"
	ResetTOTP          Act = "reset_totp"
)

// Acts are all of them.
var Acts = []Act{View, Edit, ChangeRole, ChangeOrganization, Activate, Deactivate, Unlock, EndSessions, RevokeLinks, Invite, Delete, ResetPassword, ResetTOTP}

// needs is the permission for each act.
var needs = map[Act]Permission{
	View: UsersView, ResetPassword: UsersResetPassword, ResetTOTP: UsersResetTOTP,
	Edit: UsersEdit, ChangeRole: UsersEdit, ChangeOrganization: UsersEdit, Activate: UsersEdit, Deactivate: UsersEdit, Unlock: UsersEdit,
	EndSessions: UsersEdit, RevokeLinks: UsersEdit, Invite: UsersEdit, Delete: UsersEdit,
}

// notOnOneself are the acts that nobody does to themselves: role, status, organization and
// authenticator are somebody else's to change.
var notOnOneself = []Act{ChangeRole, ChangeOrganization, Activate, Deactivate, Unlock, Delete, ResetTOTP}

// Verdict is what Decide says.
type Verdict int

const (
	Allowed  Verdict = iota
	NotThere         // the holder does not even see this user
	Lacking          // the holder sees the user, but has not the permission
	Outranked
	Oneself
)

// Decide says whether a holder may do something to a user. Whom one may not see is not
// there; nobody acts on somebody who outranks them, nor changes their own standing.
func Decide(h Holder, act Act, target db.User) Verdict {
	switch {
	case h.operator:
		return Allowed
	case !h.Has(UsersView) || !h.reaches(target):
		return NotThere
	case act == View:
		return Allowed
	case !h.Has(needs[act]):
		return Lacking
	case h.UserID == target.ID && slices.Contains(notOnOneself, act):
		return Oneself
	case h.UserID != target.ID && !h.covers(target.Role):
		return Outranked
	}
	return Allowed
}

// reaches says whether the user is within the holder's scope.
func (h Holder) reaches(target db.User) bool {
	over := h.Over()
	return over == 0 || over == target.OrganizationID
}

// covers says whether the holder has everything that a role gives, a permission over
// everybody being more than any over an organization.
func (h Holder) covers(role db.Role) bool {
	if h.operator || len(role.Permissions) == 0 {
		return true
	}
	if role.Scope == OverEverybody && h.Scope != OverEverybody {
		return false
	}
	for _, p := range role.Permissions {
		if !slices.Contains(h.Permissions, p) {
			return false
		}
	}
	return true
}

// MayGive says whether a holder may give a role to somebody, or make a role like it: nobody
// gives what they lack.
func MayGive(h Holder, role db.Role) bool { return h.covers(role) }

// MayPlace says whether a holder may put somebody into an organization (0 for none).
func MayPlace(h Holder, organizationID int64) bool {
	over := h.Over()
	return over == 0 || over == organizationID
}

// Grantable says whether a permission can be held over that scope at all.
func Grantable(p Permission, scope string) bool {
	return slices.Contains(Permissions, p) && (scope == OverEverybody || !slices.Contains(everybodyOnly, p))
}
