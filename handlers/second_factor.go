package handlers

import (
	"errors"
	"net/http"

	"postern/internal/account"
	"postern/views"
)

func (s *Server) showVerify(q *request) error {
	return s.renderVerify(q, http.StatusOK, s.ownPage(q.query("next")), nil)
}

func (s *Server) renderVerify(q *request, code int, next string, wrong views.Errors) error {
	helpers, err := s.helpers(q, q.pending.User)
	if err != nil {
		return err
	}
	page := views.VerifyPage{Frame: q.failed("Enter the code", wrong), Next: next, Helpers: helpers, Errors: wrong}
	if !q.pending.User.Staff() {
		page.TrustDays = q.settings.MFATrustDeviceDays
	}
	return q.render(code, views.Verify(page))
}

func (s *Server) verify(q *request) error {
	next := s.ownPage(q.field("next"))
	in, err := s.Account.VerifyCode(q.Context(), q.visit, q.pending, q.field("code"), q.field("trust_device") == "true")
	if errors.Is(err, account.ErrStartOver) {
		s.Sessions.ClearCookie(q.Context(), q.w)
		q.notify(views.NoticeStartOver)
		return q.goTo("/sign-in")
	}
	if err != nil {
		wrong, code, ok := q.problems(err)
		if !ok {
			return err
		}
		return s.renderVerify(q, code, next, wrong)
	}
	if in.RecoveryCode {
		q.notify(views.NoticeRecoveryUsed)
	}
	return q.enter(in, next)
}

func (s *Server) showEnrolment(q *request) error { return s.renderEnrolment(q, http.StatusOK, nil) }

func (s *Server) renderEnrolment(q *request, code int, wrong views.Errors) error {
	shown, err := s.Account.ShowEnrolment(q.Context(), q.user())
	if err != nil {
		return err
	}
	frame := q.inSecurity("Add an authenticator", wrong)
	if len(wrong) == 0 {
		frame.Notice = q.notice()
	}
	return q.render(code, views.Enrol(views.EnrolPage{Frame: frame, Owed: account.FactorOwed(q.user(), q.settings), Replaces: q.user().SecondFactor,
		Secret: shown.Secret.Text(), Address: shown.Address, QRSize: shown.Code.Size, QRPath: shown.Code.Path, Errors: wrong}))
}

func (s *Server) confirmEnrolment(q *request) error {
	codes, session, err := s.Account.ConfirmEnrolment(q.Context(), q.actor(), q.current, q.field("code"))
	if errors.Is(err, account.ErrEnrolmentExpired) {
		return s.renderEnrolment(q, http.StatusUnprocessableEntity, views.Errors{{Field: "code", Text: views.EnrolmentExpired}})
	}
	if err != nil {
		wrong, code, ok := q.problems(err)
		if !ok {
			return err
		}
		return s.renderEnrolment(q, code, wrong)
	}
	s.Sessions.WriteCookie(q.Context(), q.w, session)
	q.current.User.SecondFactor = true
	return s.renderCodes(q, codes, true)
}

// renderCodes shows recovery codes, for the only time.
func (s *Server) renderCodes(q *request, codes []string, enrolled bool) error {
	return q.page(views.RecoveryCodes(views.RecoveryCodesPage{Frame: q.inSecurity("Recovery codes", nil), Codes: codes, Enrolled: enrolled,
		Email: q.user().Email}))
}

func (s *Server) showRemoveAuthenticator(q *request) error {
	return s.renderRemoveAuthenticator(q, http.StatusOK, nil)
}

func (s *Server) renderRemoveAuthenticator(q *request, code int, wrong views.Errors) error {
	user := q.user()
	user.SecondFactor = false
	return q.render(code, views.RemoveAuthenticator(views.RemoveAuthenticatorPage{Frame: q.inSecurity("Remove the authenticator", wrong),
		Owed: account.FactorOwed(user, q.settings), Errors: wrong}))
}

func (s *Server) removeAuthenticator(q *request) error {
	session, err := s.Account.RemoveAuthenticator(q.Context(), q.actor(), q.current, q.field("code"))
	if err != nil {
		wrong, code, ok := q.problems(err)
		if !ok {
			return err
		}
		return s.renderRemoveAuthenticator(q, code, wrong)
	}
	return q.credentialChanged(session, views.NoticeFactorRemoved)
}

func (s *Server) showRenewCodes(q *request) error {
	return q.page(views.RenewCodes(views.RenewCodesPage{Frame: q.inSecurity("New recovery codes", nil)}))
}

func (s *Server) renewCodes(q *request) error {
	codes, err := s.Account.RenewRecoveryCodes(q.Context(), q.actor(), q.current)
	if err != nil {
		return err
	}
	return s.renderCodes(q, codes, false)
}
