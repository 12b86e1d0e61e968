package access_test

import (
	"slices"
	"strings"
	"testing"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/access"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var permissions = []access.Permission{access.UsersView, access.UsersEdit, access.UsersResetPassword, access.UsersResetTOTP,
	access.OrganizationsEdit, access.RolesEdit, access.SettingsEdit, access.MailView, access.AuditView}

func TestEveryRoleMayWhatItIsSaidToMayAndNoMore(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		for id, want := range map[string]struct{ scope, may string }{
			"owner": {access.OverEverybody,
				"users.view users.edit users.reset_password users.reset_totp organizations.edit roles.edit settings.edit mail.view audit.view"},
			"support":              {access.OverEverybody, "users.view users.reset_password users.reset_totp mail.view"},
			"auditor":              {access.OverEverybody, "users.view audit.view"},
			"portal_administrator": {access.OverOrganization, "users.view users.edit users.reset_password users.reset_totp audit.view"},
			"customer":             {access.OverOrganization, ""},
		} {
			role, err := d.Reader().Role(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			u := db.User{Role: role}
			may := strings.Fields(want.may)
			for _, permission := range permissions {
				if access.Holds(u, permission) != slices.Contains(may, string(permission)) {
					t.Errorf("%s holds %s: %v", id, permission, access.Holds(u, permission))
				}
			}
			if len(role.Permissions) != len(may) || u.Staff() != (len(may) > 0) || len(may) > 0 && role.Scope != want.scope {
				t.Errorf("%s: %v over %s, staff: %v", id, role.Permissions, role.Scope, u.Staff())
			}
		}
		if access.Holds(db.User{}, access.UsersView) || access.Holds(db.User{}, "") {
			t.Error("nobody holds a permission")
		}
	})
}
