package handlers

import (
	"net/http"

	"postern/db"
	"postern/internal/account"
	"postern/views"
)

func (s *Server) openInvitation(q *request) error {
	return s.takeLink(q, db.PurposeInvitation, "/invitation")
}

func (s *Server) showInvitation(q *request) error {
	_, user, err := s.openLink(q, db.PurposeInvitation)
	if err != nil {
		return q.deadLink(err, views.DeadInvitation)
	}
	return s.renderInvitation(q, http.StatusOK, user, nil)
}

func (s *Server) renderInvitation(q *request, code int, user db.User, wrong views.Errors) error {
	page := views.ChoosePasswordPage{Frame: q.failed("Welcome", wrong), Invitation: true, Email: user.Email, Errors: wrong}
	var err error
	page.NewPassword, err = s.newPassword(q, user, "link", "Password", wrong)
	if err != nil {
		return err
	}
	page.NewPassword.Focus = len(wrong) == 0
	return q.render(code, views.ChoosePassword(page))
}

func (s *Server) acceptInvitation(q *request) error {
	browser, err := s.Account.AcceptInvitation(q.Context(), q.visit, q.link(),
		account.NewPassword{Password: q.field("password"), Confirm: q.field("confirm")})
	if err != nil {
		wrong, code, ok := q.problems(err)
		if !ok || code == http.StatusTooManyRequests {
			return q.deadLink(err, views.DeadInvitation)
		}
		_, user, err := s.openLink(q, db.PurposeInvitation)
		if err != nil {
			return q.deadLink(err, views.DeadInvitation)
		}
		return s.renderInvitation(q, code, user, wrong)
	}
	return q.passwordSet(browser, views.NoticeInvited)
}

func (s *Server) showRenewInvitation(q *request) error {
	return q.page(views.Renew(views.RenewPage{Frame: q.frame("Ask for a new invitation"), Invitation: true}))
}

func (s *Server) renewInvitation(q *request) error { return s.renew(q, db.PurposeInvitation) }
