package handlers

import (
	"errors"
	"net/http"

	"postern/db"
	"postern/internal/account"
	"postern/views"
)

func (s *Server) openSetup(q *request) error {
	if err := s.Account.CheckLink(q.Context(), q.visit); err != nil {
		return err
	}
	if err := s.Account.SetupOffered(q.Context(), q.PathValue("token")); err != nil && !errors.Is(err, account.ErrDeadLink) {
		return err
	}
	q.keepLink(q.PathValue("token"), 0)
	return q.seeOther("/setup")
}

func (s *Server) showSetup(q *request) error {
	if err := s.Account.SetupOffered(q.Context(), q.link()); err != nil {
		return q.deadLink(err, views.DeadSetup)
	}
	return s.renderSetup(q, http.StatusOK, nil)
}

func (s *Server) renderSetup(q *request, code int, wrong views.Errors) error {
	page := views.SetupPage{Frame: q.failed("Set up your portal", wrong), Name: q.field("name"), Email: q.field("email"),
		Username: q.field("username"), PortalName: q.field("portal_name"), SupportEmail: q.field("support_email"), Errors: wrong}
	var err error
	page.NewPassword, err = s.newPassword(q, db.User{}, "setup", "Password", wrong)
	if err != nil {
		return err
	}
	return q.render(code, views.Setup(page))
}

func (s *Server) setUp(q *request) error {
	in, err := s.Account.SetUp(q.Context(), q.visit, q.link(), account.Setup{
		Name: q.field("name"), Email: q.field("email"), Username: q.field("username"),
		Password:   account.NewPassword{Password: q.field("password"), Confirm: q.field("confirm")},
		PortalName: q.field("portal_name"), SupportEmail: q.field("support_email"),
	})
	if err != nil {
		wrong, code, ok := q.problems(err)
		if !ok {
			return q.deadLink(err, views.DeadSetup)
		}
		return s.renderSetup(q, code, wrong)
	}
	q.forgetLink()
	q.notify(views.NoticeSetUp)
	return q.enter(in, "/account/totp")
}
