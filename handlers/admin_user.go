package handlers

import (
	"net/http"
	"strconv"

	"postern/db"
	"postern/internal/access"
	"postern/internal/directory"
	"postern/internal/throttle"
	"postern/views"
)

// target finds the user in the address, if the actor may do that to them.
func (s *Server) target(q *request, act access.Act) (db.User, error) {
	id, err := q.id()
	if err != nil {
		return db.User{}, err
	}
	user, err := s.Directory.Target(q.Context(), q.actor(), id, act)
	return user, notThere(err)
}

func (s *Server) showUser(q *request) error {
	user, err := s.target(q, access.View)
	if err != nil {
		return err
	}
	typed := q.typedBefore()
	form := formOf(user)
	for name, field := range map[string]*string{"name": &form.Name, "email": &form.Email, "username": &form.Username,
		"organization": &form.Organization, "role": &form.Role} {
		if typed.Has(name) {
			*field, form.Typed = typed.Get(name), true
		}
	}
	return s.renderUser(q, http.StatusOK, user, form)
}

func formOf(u db.User) views.UserForm {
	form := views.UserForm{Name: u.Name, Email: u.Email, Username: u.Username, Role: u.Role.ID}
	if u.OrganizationID != 0 {
		form.Organization = strconv.FormatInt(u.OrganizationID, 10)
	}
	return form
}

func (s *Server) renderUser(q *request, code int, u db.User, form views.UserForm) error {
	h := q.holder()
	page := views.UserPage{Frame: q.inAdmin(u.Name, usersPath), ID: u.ID, Name: u.Name, Email: u.Email, PendingEmail: u.PendingEmail,
		Username: u.Username, Phone: u.Phone, Organization: u.Organization, Role: u.Role.Name, RoleDoes: roleText(u.Role), Status: shownStatus(u),
		OrganizationOff: !u.OrganizationActive, Shut: q.when(u.ClosedAt), IsShut: u.ClosedAt != 0, Stopped: u.WrongPasswords >= throttle.StopAfter,
		SecondFactor: u.SecondFactor, LastSignIn: q.when(u.LastSignInAt), PasswordSet: q.when(u.PasswordSetAt), Created: q.when(u.CreatedAt),
		MayEdit: access.Decide(h, access.Edit, u) == access.Allowed, Oneself: h.UserID == u.ID,
		Outranked: h.Has(access.UsersEdit) && access.Decide(h, access.Edit, u) == access.Outranked}
	page.Frame.Failed = len(form.Errors) > 0
	var err error
	if page.Acts, page.NoReset, err = s.actButtons(q, h, u); err != nil {
		return err
	}
	form.FixedRole = access.Decide(h, access.ChangeRole, u) != access.Allowed
	form.FixedOrganization = access.Decide(h, access.ChangeOrganization, u) != access.Allowed
	if page.Form, err = s.userForm(q, form); err != nil {
		return err
	}
	for _, fill := range []func(*request, db.User, *views.UserPage) error{s.fillLinks, s.fillMails, s.fillSessions, s.fillEvents} {
		if err := fill(q, u, &page); err != nil {
			return err
		}
	}
	return q.render(code, views.User(page))
}

// roleText is what a role lets its holders do, in words.
func roleText(r db.Role) string { return views.RoleText(r.Permissions, r.Scope) }

func (s *Server) fillLinks(q *request, u db.User, page *views.UserPage) error {
	links, err := s.DB.Reader().OpenLinksOf(q.Context(), u, s.DB.Now())
	for _, l := range links {
		page.Links = append(page.Links, views.LinkRow{Purpose: views.PurposeText(string(l.Purpose)), Email: l.Email,
			Sent: q.when(l.CreatedAt), Until: q.when(l.ExpiresAt)})
	}
	return err
}

// recent is how many mails and events the page of a user shows.
const recent = 20

func (s *Server) fillMails(q *request, u db.User, page *views.UserPage) error {
	mails, err := s.DB.Reader().UserMessages(q.Context(), u.ID, recent)
	for _, m := range mails {
		page.Mails = append(page.Mails, q.mailRow(m))
	}
	return err
}

func (s *Server) fillSessions(q *request, u db.User, page *views.UserPage) error {
	sessions, err := s.Account.Sessions(q.Context(), u)
	for _, one := range sessions {
		page.Sessions = append(page.Sessions, views.Session{ID: one.ID, Device: views.Device(one.UserAgent), Address: one.Address,
			LastSeen: q.when(one.LastSeenAt)})
	}
	if err != nil || !u.SecondFactor {
		return err
	}
	page.CodesLeft, err = s.DB.Reader().RecoveryCodesLeft(q.Context(), u.ID)
	return err
}

func (s *Server) fillEvents(q *request, u db.User, page *views.UserPage) error {
	events, err := s.DB.Reader().UserEvents(q.Context(), u.ID, 0, recent)
	for _, e := range events {
		page.Events = append(page.Events, q.eventView(e))
	}
	return err
}

func (s *Server) changeUser(q *request) error {
	user, err := s.target(q, access.Edit)
	if err != nil {
		return err
	}
	form := directory.UserChange{}
	for name, field := range map[string]**string{"name": &form.Name, "username": &form.Username, "email": &form.Email,
		"organization": &form.Organization, "role": &form.Role} {
		if q.fields.Has(name) {
			typed := q.field(name)
			*field = &typed
		}
	}
	if form.Role != nil && *form.Role != user.Role.ID && access.Decide(q.holder(), access.ChangeRole, user) != access.Allowed {
		return errNotFound // whatever proof could be given
	}
	if form.NeedsProof(user) && !q.proven() {
		return q.toReauthenticate()
	}
	if err := s.Directory.ChangeUser(q.Context(), q.actor(), user.ID, form); err != nil {
		wrong, code, ok := q.userProblems(err)
		if !ok {
			return notThere(err)
		}
		shown := formOf(user)
		for name, field := range map[string]*string{"name": &shown.Name, "username": &shown.Username, "email": &shown.Email,
			"organization": &shown.Organization, "role": &shown.Role} {
			if q.fields.Has(name) {
				*field = q.field(name)
			}
		}
		shown.Errors = wrong
		return s.renderUser(q, code, user, shown)
	}
	if form.Email != nil && *form.Email != user.Email && user.PasswordSetAt != 0 {
		q.notify(views.NoticeUserEmailAsked)
	} else {
		q.notify(views.NoticeUserSaved)
	}
	return q.goTo(userPath(user.ID))
}
