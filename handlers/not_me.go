package handlers

import (
	"postern/db"
	"postern/views"
)

func (s *Server) openNotMe(q *request) error { return s.takeLink(q, db.PurposeNotMe, "/not-me") }

func (s *Server) showNotMe(q *request) error {
	link, user, err := s.openLink(q, db.PurposeNotMe)
	if err != nil {
		return q.deadLink(err, views.DeadNotMe)
	}
	page := views.NotMePage{Frame: q.frame("This was not you?")}
	if link.RestoreEmail != user.Email {
		page.RestoreEmail = link.RestoreEmail
	}
	return q.page(views.NotMe(page))
}

func (s *Server) notMe(q *request) error {
	user, err := s.Account.ReportNotMe(q.Context(), q.visit, q.link())
	if err != nil {
		return q.deadLink(err, views.DeadNotMe)
	}
	helpers, err := s.helpers(q, user)
	if err != nil {
		return err
	}
	q.forgetLink()
	if q.current != nil && q.current.User.ID == user.ID {
		s.Sessions.ClearCookie(q.Context(), q.w)
		q.current = nil
	}
	return q.page(views.NotMeDone(views.NotMeDonePage{Frame: q.frame("Your account is shut"), Helpers: helpers}))
}
