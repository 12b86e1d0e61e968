package handlers

import (
	"net/http"
	"regexp"
	"strings"

	"postern/db"
	"postern/internal/account"
	"postern/internal/input"
	"postern/views"
)

func (s *Server) showAccount(q *request) error {
	u := q.user()
	helpers, err := s.helpers(q, u)
	if err != nil {
		return err
	}
	page := views.AccountPage{Frame: q.framed("Your account"), Name: u.Name, Email: u.Email, Username: u.Username,
		Organization: u.Organization, Helpers: helpers, LastSignIn: q.when(u.LastSignInAt), PasswordSet: q.when(u.PasswordSetAt)}
	if u.Staff() {
		page.Role = u.Role.Name
	}
	return q.page(views.Account(page))
}

// helpers are whom the user can turn to.
func (s *Server) helpers(q *request, u db.User) (views.Helpers, error) {
	h, err := s.DB.Reader().Helpers(q.Context(), u)
	view := views.Helpers{Organization: u.Organization, ContactOwner: views.Contact{Name: h.ContactOwner.Name, Email: h.ContactOwner.Email}}
	for _, a := range h.Administrators {
		view.Administrators = append(view.Administrators, views.Contact{Name: a.Name, Email: a.Email})
	}
	return view, err
}

func (s *Server) showProfile(q *request) error {
	u := q.user()
	return q.page(views.Profile(views.ProfilePage{Frame: q.framed("Profile"), Name: u.Name, Phone: u.Phone, TimeZone: u.TimeZone,
		NotifySignIn: u.NotifySignIn, TimeZones: input.TimeZones()}))
}

func (s *Server) changeProfile(q *request) error {
	form := account.Profile{Name: q.field("name"), Phone: q.field("phone"), TimeZone: q.field("time_zone"), NotifySignIn: q.field("notify_sign_in")}
	if err := s.Account.ChangeProfile(q.Context(), q.actor(), q.user(), form); err != nil {
		wrong, code, ok := q.problems(err)
		if !ok {
			return err
		}
		return q.render(code, views.Profile(views.ProfilePage{Frame: q.failed("Profile", wrong), Name: form.Name, Phone: form.Phone,
			TimeZone: form.TimeZone, NotifySignIn: form.NotifySignIn != "false", TimeZones: input.TimeZones(), Errors: wrong}))
	}
	q.notify(views.NoticeProfileChanged)
	return q.goTo("/account/profile")
}

func (s *Server) showReauthenticate(q *request) error {
	return s.renderReauthenticate(q, http.StatusOK, s.ownPage(q.query("next")), nil)
}

func (s *Server) renderReauthenticate(q *request, code int, next string, wrong views.Errors) error {
	return q.render(code, views.Reauthenticate(views.ReauthenticatePage{Frame: q.failed("Is it you?", wrong), Email: q.user().Email,
		AskCode: q.user().SecondFactor, Next: next, Back: backFrom(next), InPlace: q.fragment(), Errors: wrong}))
}

// actPath are the addresses of what staff do to a user.
var actPath = regexp.MustCompile(`^(/admin/users/[0-9]+)/[a-z-]+$`)

// backFrom is where somebody goes who does not want to give proof: the page from which they
// came.
func backFrom(next string) string {
	if match := actPath.FindStringSubmatch(next); match != nil {
		return match[1]
	}
	if strings.HasPrefix(next, "/admin/") {
		return next
	}
	return securityPath
}

// reauthenticate goes on with a plain redirect also for htmx, which then shows what proof
// was asked for in the same place.
func (s *Server) reauthenticate(q *request) error {
	next := s.ownPage(q.field("next"))
	session, err := s.Account.Reauthenticate(q.Context(), q.actor(), q.current, q.field("password"), q.field("code"))
	if err != nil {
		wrong, code, ok := q.problems(err)
		if !ok {
			return err
		}
		return s.renderReauthenticate(q, code, next, wrong)
	}
	s.Sessions.WriteCookie(q.Context(), q.w, session)
	if next == "" {
		return q.goTo("/account/security")
	}
	if !q.fragment() && strings.HasPrefix(next, "/admin/") && q.hasTyped(next) {
		q.notify(views.NoticeProven)
	}
	return q.seeOther(next)
}
