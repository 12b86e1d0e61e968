package handlers

import (
	"errors"
	"net/http"

	"postern/db"
	"postern/internal/account"
	"postern/internal/settings"
	"postern/views"
)

func (q *request) forgotPasswordPage(wrong views.Errors) views.ForgotPasswordPage {
	frame := q.failed("Choose a new password", wrong)
	return views.ForgotPasswordPage{Frame: frame, AskUsername: q.settings.RecoveryIdentifyBy == settings.ByEmailAndUsername,
		Email: q.field("email"), Username: q.field("username"), Lifetime: views.Duration(q.settings.RecoveryLinkLifetime()), Errors: wrong}
}

func (s *Server) showForgotPassword(q *request) error {
	if !q.settings.RecoveryEnabled {
		return q.recoveryOff(http.StatusOK)
	}
	return q.page(views.ForgotPassword(q.forgotPasswordPage(nil)))
}

func (q *request) recoveryOff(code int) error {
	return q.render(code, views.RecoveryOff(views.RecoveryOffPage{Frame: q.frame("Trouble signing in?")}))
}

func (s *Server) forgotPassword(q *request) error {
	err := s.Account.RequestPasswordReset(q.Context(), q.visit, q.field("email"), q.field("username"))
	if errors.Is(err, account.ErrSwitchedOff) {
		return q.recoveryOff(http.StatusNotFound)
	}
	if err != nil {
		wrong, code, ok := q.problems(err)
		if !ok {
			return err
		}
		return q.render(code, views.ForgotPassword(q.forgotPasswordPage(wrong)))
	}
	return q.goTo("/forgot-password/sent")
}

func (s *Server) showCheckInbox(q *request) error {
	return q.page(views.CheckInbox(views.CheckInboxPage{Frame: q.frame("Check your inbox"), MailHelp: q.mailHelp()}))
}

func (s *Server) openReset(q *request) error {
	return s.takeLink(q, db.PurposeReset, "/reset-password")
}

func (s *Server) showReset(q *request) error {
	_, user, err := s.openLink(q, db.PurposeReset)
	if err != nil {
		return q.deadLink(err, views.DeadReset)
	}
	return s.renderReset(q, http.StatusOK, user, nil)
}

func (s *Server) renderReset(q *request, code int, user db.User, wrong views.Errors) error {
	page := views.ChoosePasswordPage{Frame: q.failed("Choose a new password", wrong), AskUsername: q.settings.RecoveryConfirmUsername,
		Username: q.field("username"), Errors: wrong}
	if !page.AskUsername {
		page.Email = user.Email
	}
	var err error
	page.NewPassword, err = s.newPassword(q, user, "link", "New password", wrong)
	if err != nil {
		return err
	}
	page.NewPassword.Focus = !page.AskUsername && len(wrong) == 0
	return q.render(code, views.ChoosePassword(page))
}

func (s *Server) resetPassword(q *request) error {
	browser, err := s.Account.ResetPassword(q.Context(), q.visit, q.link(), q.field("username"),
		account.NewPassword{Password: q.field("password"), Confirm: q.field("confirm")})
	if err != nil {
		wrong, code, ok := q.problems(err)
		if !ok || code == http.StatusTooManyRequests {
			return q.deadLink(err, views.DeadReset)
		}
		_, user, err := s.openLink(q, db.PurposeReset)
		if err != nil {
			return q.deadLink(err, views.DeadReset)
		}
		return s.renderReset(q, code, user, wrong)
	}
	return q.passwordSet(browser, views.NoticePasswordReset)
}

// passwordSet goes on to the sign-in page: a link never signs anybody in. If somebody is
// signed in in this browser, their session has ended if it was theirs.
func (q *request) passwordSet(browser string, notice views.Notice) error {
	q.forgetLink()
	q.rememberBrowser(browser)
	q.notify(notice)
	return q.goTo("/sign-in")
}

func (s *Server) showRenewReset(q *request) error {
	if !q.settings.RecoveryEnabled {
		return q.recoveryOff(http.StatusOK)
	}
	return q.page(views.Renew(views.RenewPage{Frame: q.frame("Ask for a new link")}))
}

func (s *Server) renewReset(q *request) error { return s.renew(q, db.PurposeReset) }

func (s *Server) renew(q *request, purpose db.Purpose) error {
	err := s.Account.RenewLink(q.Context(), q.visit, purpose, q.link())
	if errors.Is(err, account.ErrSwitchedOff) {
		return q.recoveryOff(http.StatusNotFound)
	}
	if err != nil {
		return err
	}
	q.forgetLink()
	return q.goTo("/forgot-password/sent")
}
