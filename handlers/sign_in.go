package handlers

import (
	"net/http"
	"net/url"
	"time"

	"postern/db"
	"postern/internal/account"
	"postern/views"
)

func (s *Server) home(q *request) error {
	if q.current != nil {
		return q.seeOther("/account")
	}
	return q.seeOther("/sign-in")
}

func (s *Server) showSignIn(q *request) error {
	if q.current != nil {
		return q.seeOther("/account")
	}
	setUp, err := s.Account.HasOwner(q.Context())
	if err != nil {
		return err
	}
	return q.page(views.SignIn(views.SignInPage{Frame: q.framed("Sign in"), Next: s.ownPage(q.query("next")),
		RecoveryLabel: q.settings.RecoveryLinkLabel, NotSetUp: !setUp}))
}

func (s *Server) signIn(q *request) error {
	if q.current != nil {
		return q.goTo("/account")
	}
	next := s.ownPage(q.field("next"))
	in, err := s.Account.SignIn(q.Context(), q.visit, q.field("login"), q.field("password"))
	if err != nil {
		wrong, code, ok := q.problems(err)
		if !ok {
			return err
		}
		return q.render(code, views.SignIn(views.SignInPage{Frame: q.failed("Sign in", wrong), Login: q.field("login"), Next: next,
			RecoveryLabel: q.settings.RecoveryLinkLabel, Errors: wrong}))
	}
	if in.CodeOwed {
		q.server.Sessions.WriteCookie(q.Context(), q.w, in.Session)
		address := "/sign-in/verify?" + markerSignedIn
		if next != "" {
			address += "&next=" + url.QueryEscape(next)
		}
		return q.goTo(address)
	}
	return q.enter(in, next)
}

// enter hands the browser what makes it signed in and known, and goes on.
func (q *request) enter(in account.SignedIn, next string) error {
	q.server.Sessions.WriteCookie(q.Context(), q.w, in.Session)
	q.rememberBrowser(in.Browser)
	if next == "" {
		next = "/account"
	}
	return q.goTo(next + "?" + markerSignedIn)
}

func (q *request) rememberBrowser(token string) {
	http.SetCookie(q.w, q.server.cookie(browserCookie, token, db.BrowserKept))
}

func (s *Server) signOut(q *request) error {
	err := s.Account.SignOut(q.Context(), q.actor(), q.anyone())
	s.Sessions.ClearCookie(q.Context(), q.w)
	if err != nil {
		// Not through fail, which would forget that the cookie goes.
		s.Log.ErrorContext(q.Context(), "a session was not ended", "request", requestID(q.Context()), "error", err)
		q.current, q.pending = nil, nil
		return q.render(http.StatusServiceUnavailable, views.Error(views.ErrorPage{Frame: q.frame(views.ErrorTitle(views.ErrorSignOut)),
			Kind: views.ErrorSignOut, ErrorID: requestID(q.Context())}))
	}
	q.w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	q.notify(views.NoticeSignedOut)
	return q.goTo("/sign-in")
}

func (s *Server) showSupport(q *request) error {
	return q.page(views.SupportHelp(views.SupportPage{Frame: q.frame("Help with signing in"), MailHelp: q.mailHelp()}))
}

// mailHelp is what one has to know to find a mail of this portal.
func (q *request) mailHelp() views.MailHelp {
	return views.MailHelp{Sender: q.server.MailFrom.Address, Subject: q.settings.RecoveryMailSubject,
		Lifetime: views.Duration(q.settings.RecoveryLinkLifetime()), CanAsk: q.settings.RecoveryEnabled}
}

func (s *Server) changePasswordAddress(q *request) error { return q.seeOther("/account/security") }

// when is a moment as the signed-in user reads it.
func (q *request) when(t db.Time) views.Time {
	zone, err := time.LoadLocation(q.user().TimeZone)
	if err != nil {
		zone = time.UTC
	}
	return views.Time{At: t.Time(), Now: q.server.DB.Now().Time(), Zone: zone}
}
