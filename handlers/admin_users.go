package handlers

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"postern/db"
	"postern/internal/access"
	"postern/internal/directory"
	"postern/views"
)

const (
	usersPath = "/admin/users"
	listPage  = 50
)

// userFilter reads what a list of users is narrowed to, within what the actor may see.
func (q *request) userFilter() (db.UserFilter, error) {
	text, err := q.search()
	f := db.UserFilter{Over: q.holder().Over(), Search: text, Status: q.query("status"), Role: q.query("role"), SecondFactor: q.query("mfa")}
	if organization := q.query("organization"); organization != "" {
		f.Organization = q.number("organization")
		if f.Organization == 0 {
			f.Organization = -1 // no such organization
			if known, err := q.server.DB.Reader().OrganizationByName(q.Context(), db.FoldName(organization)); err == nil {
				f.Organization = known.ID
			} else if !errors.Is(err, db.ErrNotFound) {
				return f, err
			}
		}
	}
	return f, err
}

// userKey reads where a list of users goes on.
func userKey(text string) (db.UserKey, error) {
	if text == "" {
		return db.UserKey{}, nil
	}
	plain, err := base64.RawURLEncoding.DecodeString(text)
	id, name, found := strings.Cut(string(plain), " ")
	n, number := strconv.ParseInt(id, 10, 64)
	if err != nil || !found || number != nil || !cleanText(name) {
		return db.UserKey{}, errBadForm
	}
	return db.UserKey{Name: name, ID: n}, nil
}

func userKeyAfter(u db.User) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(u.ID, 10) + " " + u.NameFolded()))
}

func (s *Server) showUsers(q *request) error {
	filter, err := q.userFilter()
	if err != nil {
		return err
	}
	key, err := userKey(q.query("after"))
	if err != nil {
		return err
	}
	users, err := s.DB.Reader().FilteredUsers(q.Context(), filter, key, listPage+1)
	if err != nil {
		return err
	}
	page := views.UsersPage{Frame: q.inAdmin("Users", usersPath), Search: filter.Search, Status: filter.Status, Organization: q.query("organization"),
		Role: filter.Role, SecondFactor: filter.SecondFactor, MayEdit: q.holder().Has(access.UsersEdit),
		MayImport: q.holder().Has(access.UsersEdit) && q.holder().Over() == 0}
	page.Filtered = filter != db.UserFilter{Over: filter.Over}
	if page.Count, err = s.DB.Reader().CountUsers(q.Context(), filter); err != nil {
		return err
	}
	if len(users) > listPage {
		users = users[:listPage]
		page.Next = q.nextQuery(userKeyAfter(users[listPage-1]))
	}
	for _, u := range users {
		page.Users = append(page.Users, q.userRow(u))
	}
	if page.Roles, err = s.roleOptions(q, "Any role"); err != nil {
		return err
	}
	if q.holder().Over() == 0 {
		if page.Organizations, err = s.organizationOptions(q, "Any organization"); err != nil {
			return err
		}
	}
	return q.page(views.Users(page))
}

func (q *request) userRow(u db.User) views.UserRow {
	return views.UserRow{ID: u.ID, Name: u.Name, Email: u.Email, Username: u.Username, Organization: u.Organization, Role: u.Role.Name,
		Status: shownStatus(u), SecondFactor: u.SecondFactor, LastSignIn: q.when(u.LastSignInAt)}
}

// shownStatus is the status as staff see it.
func shownStatus(u db.User) string {
	if u.ClosedAt != 0 && u.Active {
		return "shut"
	}
	return u.Status()
}

// roleOptions are the roles to choose from.
func (s *Server) roleOptions(q *request, none string) ([]views.Option, error) {
	roles, err := s.DB.Reader().Roles(q.Context())
	var options []views.Option
	if none != "" {
		options = append(options, views.Option{Label: none})
	}
	for _, r := range roles {
		// What roles the vendor has is nothing for a customer's administrator.
		if h := q.holder(); h.Over() == 0 || access.MayGive(h, r.Role) {
			options = append(options, views.Option{Value: r.ID, Label: r.Name})
		}
	}
	return options, err
}

// mostOptions bounds the list of organizations to choose from; beyond it the search helps.
const mostOptions = 1000

func (s *Server) organizationOptions(q *request, none string) ([]views.Option, error) {
	organizations, err := s.DB.Reader().OrganizationNames(q.Context(), mostOptions)
	options := []views.Option{{Label: none}}
	for _, o := range organizations {
		options = append(options, views.Option{Value: strconv.FormatInt(o.ID, 10), Label: o.Name})
	}
	return options, err
}

// userForm fills what the fields of a user need: the roles that the actor can give, and the
// organizations that they can put somebody into.
func (s *Server) userForm(q *request, form views.UserForm) (views.UserForm, error) {
	h := q.holder()
	roles, err := s.DB.Reader().Roles(q.Context())
	if err != nil {
		return form, err
	}
	for _, r := range roles {
		if access.MayGive(h, r.Role) || r.ID == form.Role {
			form.Roles = append(form.Roles, views.Option{Value: r.ID, Label: r.Name})
		}
	}
	if h.Over() != 0 {
		form.OneOrganization = q.user().Organization
		return form, nil
	}
	form.Organizations, err = s.organizationOptions(q, "None")
	return form, err
}

func (s *Server) showNewUser(q *request) error {
	return s.renderNewUser(q, http.StatusOK, nil)
}

func (s *Server) renderNewUser(q *request, code int, wrong views.Errors) error {
	role := q.field("role")
	if role == "" {
		role = access.RoleCustomer
	}
	form, err := s.userForm(q, views.UserForm{Name: q.field("name"), Email: q.field("email"), Username: q.field("username"),
		Organization: q.field("organization"), Role: role, Errors: wrong})
	if err != nil {
		return err
	}
	frame := q.inAdmin("New user", usersPath)
	frame.Failed = len(wrong) > 0
	return q.render(code, views.NewUserForm(views.NewUserPage{Frame: frame, Form: form}))
}

func (s *Server) createUser(q *request) error {
	user, err := s.Directory.CreateUser(q.Context(), q.actor(), directory.NewUser{Email: q.field("email"), Name: q.field("name"),
		Username: q.field("username"), Organization: q.field("organization"), Role: q.field("role"), Invite: true})
	if err != nil {
		wrong, code, ok := q.userProblems(err)
		if !ok {
			return notThere(err)
		}
		return s.renderNewUser(q, code, wrong)
	}
	q.notify(views.NoticeUserCreated)
	return q.goTo(userPath(user.ID))
}

// userProblems is problems, with what can be wrong with a user besides.
func (q *request) userProblems(err error) (views.Errors, int, bool) {
	switch {
	case errors.Is(err, directory.ErrNeedsOrganization):
		return views.Errors{{Field: "organization", Text: views.NeedsOrganizationText}}, http.StatusUnprocessableEntity, true
	case errors.Is(err, directory.ErrLastOwner):
		return views.Errors{{Text: views.LastOwnerText}}, http.StatusUnprocessableEntity, true
	}
	return q.problems(err)
}

func userPath(id int64) string { return usersPath + "/" + strconv.FormatInt(id, 10) }
