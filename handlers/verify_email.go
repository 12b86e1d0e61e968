package handlers

import (
	"net/http"

	"postern/db"
	"postern/internal/account"
	"postern/views"
)

func (s *Server) openVerifyEmail(q *request) error {
	return s.takeLink(q, db.PurposeVerifyEmail, "/verify-email")
}

func (s *Server) showVerifyEmail(q *request) error {
	link, user, err := s.openLink(q, db.PurposeVerifyEmail)
	if err == nil && (user.ID != q.user().ID || link.Email != user.PendingEmail) {
		err = account.ErrDeadLink
	}
	if err != nil {
		return q.deadLink(err, views.DeadVerifyEmail)
	}
	return s.renderVerifyEmail(q, http.StatusOK, link.Email, nil)
}

func (s *Server) renderVerifyEmail(q *request, code int, email string, wrong views.Errors) error {
	return q.render(code, views.VerifyEmail(views.VerifyEmailPage{Frame: q.inSecurity("Confirm your new address", wrong),
		Present: q.user().Email, Email: email, Errors: wrong}))
}

func (s *Server) verifyEmail(q *request) error {
	session, err := s.Account.ConfirmEmail(q.Context(), q.visit, q.current, q.link())
	if err != nil {
		wrong, code, ok := q.problems(err)
		if !ok {
			return q.deadLink(err, views.DeadVerifyEmail)
		}
		return s.renderVerifyEmail(q, code, q.user().PendingEmail, wrong)
	}
	q.forgetLink()
	return q.credentialChanged(session, views.NoticeEmailChanged)
}
