package handlers

import (
	"net/http"

	"postern/internal/account"
	"postern/views"
)

const securityPath = "/account/security"

func (s *Server) showSecurity(q *request) error {
	u := q.user()
	helpers, err := s.helpers(q, u)
	if err != nil {
		return err
	}
	page := views.SecurityPage{Frame: q.framed("Security"), Email: u.Email, PendingEmail: u.PendingEmail, Username: u.Username,
		PasswordSet: q.when(u.PasswordSetAt), PasswordChange: q.settings.PasswordChangeEnabled, Helpers: helpers, SecondFactor: u.SecondFactor}
	if page.Sessions, err = s.sessionViews(q); err != nil {
		return err
	}
	if u.SecondFactor {
		if err := s.fillFactor(q, &page); err != nil {
			return err
		}
	}
	return q.page(views.Security(page))
}

// fillFactor tells what there is to know of the user's second factor.
func (s *Server) fillFactor(q *request, page *views.SecurityPage) error {
	held, err := s.DB.Reader().Authenticator(q.Context(), q.user().ID)
	if err != nil {
		return err
	}
	page.FactorSince = q.when(held.ConfirmedAt)
	if page.CodesLeft, err = s.DB.Reader().RecoveryCodesLeft(q.Context(), q.user().ID); err != nil {
		return err
	}
	without := q.user()
	without.SecondFactor = false
	page.FactorNeeded = account.FactorOwed(without, q.settings)
	page.Browsers, err = s.browserViews(q)
	return err
}

// inSecurity is the frame of a form that belongs to the security page.
func (q *request) inSecurity(title string, wrong views.Errors) views.Frame {
	frame := q.failed(title, wrong)
	frame.Section = securityPath
	return frame
}

func (s *Server) showChangePassword(q *request) error {
	if !q.settings.PasswordChangeEnabled {
		return errNotFound
	}
	return s.renderChangePassword(q, http.StatusOK, nil)
}

func (s *Server) renderChangePassword(q *request, code int, wrong views.Errors) error {
	page := views.ChangePasswordPage{Frame: q.inSecurity("Change password", wrong), Email: q.user().Email, Errors: wrong}
	var err error
	page.NewPassword, err = s.newPassword(q, q.user(), "account", "New password", wrong)
	if err != nil {
		return err
	}
	return q.render(code, views.ChangePassword(page))
}

func (s *Server) changePassword(q *request) error {
	session, err := s.Account.ChangePassword(q.Context(), q.actor(), q.current, q.field("current_password"),
		account.NewPassword{Password: q.field("password"), Confirm: q.field("confirm")})
	if err != nil {
		wrong, code, ok := q.problems(err)
		if !ok {
			return err
		}
		return s.renderChangePassword(q, code, wrong)
	}
	return q.credentialChanged(session, views.NoticePasswordChanged)
}

// credentialChanged goes back to the security page with the session's new token.
func (q *request) credentialChanged(session string, notice views.Notice) error {
	q.server.Sessions.WriteCookie(q.Context(), q.w, session)
	q.notify(notice)
	return q.goTo(securityPath)
}

func (s *Server) showChangeEmail(q *request) error {
	return s.renderChangeEmail(q, http.StatusOK, q.typedBefore().Get("email"), nil)
}

func (s *Server) renderChangeEmail(q *request, code int, typed string, wrong views.Errors) error {
	return q.render(code, views.ChangeEmail(views.ChangeEmailPage{Frame: q.inSecurity("Change e-mail address", wrong),
		Present: q.user().Email, Email: typed, Errors: wrong}))
}

func (s *Server) changeEmail(q *request) error {
	if err := s.Account.RequestEmailChange(q.Context(), q.actor(), q.current, q.field("email")); err != nil {
		wrong, code, ok := q.problems(err)
		if !ok {
			return err
		}
		return s.renderChangeEmail(q, code, q.field("email"), wrong)
	}
	q.notify(views.NoticeEmailAsked)
	return q.goTo(securityPath)
}

func (s *Server) showCancelEmail(q *request) error {
	return q.page(views.Confirm(views.ConfirmPage{Frame: q.inSecurity("Keep the current address", nil), Button: "Keep it",
		Effect: "The new address that waits for its confirmation is forgotten.", Action: q.URL.Path, Back: securityPath}))
}

func (s *Server) cancelEmail(q *request) error {
	if err := s.Account.CancelEmailChange(q.Context(), q.visit.Actor, q.current); err != nil {
		return err
	}
	q.notify(views.NoticeEmailCancelled)
	return q.goTo(securityPath)
}

func (s *Server) showChangeUsername(q *request) error {
	typed := q.user().Username
	if before := q.typedBefore(); before.Has("username") {
		typed = before.Get("username")
	}
	return s.renderChangeUsername(q, http.StatusOK, typed, nil)
}

func (s *Server) renderChangeUsername(q *request, code int, typed string, wrong views.Errors) error {
	return q.render(code, views.ChangeUsername(views.ChangeUsernamePage{Frame: q.inSecurity("Username", wrong),
		Present: q.user().Username, Username: typed, Errors: wrong}))
}

func (s *Server) changeUsername(q *request) error {
	session, err := s.Account.ChangeUsername(q.Context(), q.actor(), q.current, q.field("username"))
	if err != nil {
		wrong, code, ok := q.problems(err)
		if !ok {
			return err
		}
		return s.renderChangeUsername(q, code, q.field("username"), wrong)
	}
	return q.credentialChanged(session, views.NoticeUsernameChanged)
}
