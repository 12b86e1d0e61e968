package handlers

import (
	"net/http"
	"strings"

	"postern/db"
	"postern/internal/access"
	"postern/internal/directory"
	"postern/views"
)

const rolesPath = "/admin/roles"

func (s *Server) showRoles(q *request) error {
	roles, err := s.DB.Reader().Roles(q.Context())
	if err != nil {
		return err
	}
	page := views.RolesPage{Frame: q.inAdmin("Roles", rolesPath)}
	for _, r := range roles {
		page.Roles = append(page.Roles, views.RoleRow{ID: r.ID, Name: r.Name, Scope: r.Scope, Does: does(r.Permissions), BuiltIn: r.BuiltIn, Holders: r.Holders})
	}
	return q.page(views.Roles(page))
}

// does puts permissions into words.
func does(permissions []string) []string {
	var texts []string
	for _, p := range permissions {
		texts = append(texts, views.PermissionText(p))
	}
	return texts
}

func (s *Server) showNewRole(q *request) error {
	role := db.StoredRole{Role: db.Role{Scope: access.OverEverybody}}
	if typed := q.typedBefore(); typed.Has("name") {
		role.Name, role.Scope, role.Permissions = typed.Get("name"), typed.Get("scope"), strings.Fields(typed.Get("permissions"))
	}
	return s.renderRole(q, http.StatusOK, role, false, nil)
}

func (s *Server) showRole(q *request) error {
	role, err := s.DB.Reader().StoredRole(q.Context(), q.PathValue("id"))
	if err != nil {
		return err
	}
	fixed := q.fixed(role)
	if typed := q.typedBefore(); typed.Has("name") && !fixed {
		role.Name, role.Scope, role.Permissions = typed.Get("name"), typed.Get("scope"), strings.Fields(typed.Get("permissions"))
	}
	return s.renderRole(q, http.StatusOK, role, fixed, nil)
}

// fixed says whether a role is nobody's, or not this user's, to change.
func (q *request) fixed(role db.StoredRole) bool {
	return role.BuiltIn || role.ID == q.user().Role.ID || !access.MayGive(q.holder(), role.Role)
}

func (s *Server) renderRole(q *request, code int, role db.StoredRole, fixed bool, wrong views.Errors) error {
	title := "New role"
	if role.ID != "" {
		title = role.Name
	}
	page := views.RolePage{Frame: q.inAdmin(title, rolesPath), ID: role.ID, Name: role.Name, Scope: role.Scope, Chosen: map[string]bool{},
		Fixed: fixed, Errors: wrong}
	page.Frame.Failed = len(wrong) > 0
	for _, p := range role.Permissions {
		page.Chosen[p] = true
	}
	var err error
	if page.Reach, err = s.reach(q, role); err != nil {
		return err
	}
	return q.render(code, views.Role(page))
}

// reach says what a role lets its holders do, and to how many people.
func (s *Server) reach(q *request, role db.StoredRole) (views.RoleReach, error) {
	reach := views.RoleReach{Does: does(role.Permissions), Over: "the users of their own organization", Holders: role.Holders}
	if role.Scope != access.OverEverybody {
		return reach, nil
	}
	reach.Over = "everybody"
	var err error
	reach.People, err = s.DB.Reader().CountUsers(q.Context(), db.UserFilter{})
	return reach, err
}

// roleForm reads the form. Permissions come each by itself, or several in one field.
func (q *request) roleForm() directory.NewRole {
	var permissions []string
	for _, value := range q.fields["permissions"] {
		permissions = append(permissions, strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == ',' })...)
	}
	return directory.NewRole{Name: q.field("name"), Scope: q.field("scope"), Permissions: permissions}
}

// typedRole is the form as a role, to show it again.
func (q *request) typedRole(role db.StoredRole) db.StoredRole {
	form := q.roleForm()
	role.Name, role.Scope, role.Permissions = form.Name, form.Scope, form.Permissions
	return role
}

// showReach answers while somebody chooses.
func (s *Server) showReach(q *request) error {
	reach, err := s.reach(q, q.typedRole(db.StoredRole{}))
	if err != nil {
		return err
	}
	return views.Reach(reach).Render(q.Context(), q.w)
}

func (s *Server) createRole(q *request) error {
	if q.field("preview") == "true" {
		return s.renderRole(q, http.StatusOK, q.typedRole(db.StoredRole{}), false, nil)
	}
	if !q.proven() {
		return q.toReauthenticateFor(rolesPath + "/new")
	}
	_, err := s.Directory.CreateRole(q.Context(), q.actor(), q.roleForm())
	return s.roleSaved(q, db.StoredRole{}, err)
}

func (s *Server) changeRole(q *request) error {
	role, err := s.DB.Reader().StoredRole(q.Context(), q.PathValue("id"))
	if err != nil {
		return err
	}
	if q.fixed(role) {
		return errNotFound
	}
	if q.field("preview") == "true" {
		return s.renderRole(q, http.StatusOK, q.typedRole(role), false, nil)
	}
	if !q.proven() {
		return q.toReauthenticate()
	}
	return s.roleSaved(q, role, s.Directory.ChangeRole(q.Context(), q.actor(), role.ID, q.roleForm()))
}

func (s *Server) roleSaved(q *request, role db.StoredRole, err error) error {
	if err != nil {
		wrong, code, ok := q.problems(err)
		if !ok {
			return notThere(err)
		}
		return s.renderRole(q, code, q.typedRole(role), false, wrong)
	}
	q.notify(views.NoticeRoleSaved)
	return q.goTo(rolesPath)
}
