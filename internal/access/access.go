// Package access knows the permissions and who holds them. It must never read the
// database: what it is asked about is handed to it.
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

// The scopes of a role: over every user, or over those of the holder's own organization.
const (
	OverEverybody    = "everybody"
	OverOrganization = "organization"
)

// The ids of the built-in roles that rules speak of.
const (
	RoleOwner               = "owner"
	RolePortalAdministrator = "portal_administrator"
	RoleCustomer            = "customer"
)

// Holds says whether the user's role has the permission, over whatever scope.
func Holds(u db.User, permission Permission) bool {
	return slices.Contains(u.Role.Permissions, string(permission))
}
