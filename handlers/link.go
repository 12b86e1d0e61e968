package handlers

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"postern/db"
	"postern/internal/account"
	"postern/internal/token"
	"postern/views"
)

const linkCookie = "postern-link"

// deadLinkKept is how long a browser keeps the token of a dead link, for the button on its
// page.
const deadLinkKept = 30 * time.Minute

// takeLink moves a mailed token out of the address into a cookie and goes on to the clean
// address. It changes nothing, since mail scanners open links, too.
func (s *Server) takeLink(q *request, purpose db.Purpose, clean string) error {
	if err := s.Account.CheckLink(q.Context(), q.visit); err != nil {
		return err
	}
	// A slash that got lost at the end, or was put there, is the work of a mail program.
	plain := strings.TrimSuffix(q.PathValue("token"), "/")
	link, _, err := s.Account.OpenLink(q.Context(), purpose, plain)
	age := deadLinkKept
	switch {
	case err == nil:
		age = max(age, link.ExpiresAt.Sub(s.DB.Now()))
	case !errors.Is(err, account.ErrDeadLink):
		return err
	}
	q.keepLink(plain, age)
	return q.seeOther(clean)
}

// openLink finds what the browser's link stands for. Dead ones are counted: nobody can try
// many.
func (s *Server) openLink(q *request, purpose db.Purpose) (db.Link, db.User, error) {
	link, user, err := s.Account.OpenLink(q.Context(), purpose, q.link())
	if errors.Is(err, account.ErrDeadLink) && q.link() != "" {
		if held := s.Account.CheckLink(q.Context(), q.visit); held != nil {
			return link, user, held
		}
	}
	return link, user, err
}

// keepLink gives the browser the token; what cannot be one is not given back.
func (q *request) keepLink(plain string, age time.Duration) {
	if !token.WellFormed(plain) {
		plain, age = "", -1
	}
	http.SetCookie(q.w, q.server.cookie(linkCookie, plain, age))
}

// link is the token of the link that the browser has opened, if any.
func (q *request) link() string {
	cookies := q.CookiesNamed(q.server.cookieName(linkCookie))
	if len(cookies) != 1 {
		return ""
	}
	return cookies[0].Value
}

func (q *request) forgetLink() { http.SetCookie(q.w, q.server.cookie(linkCookie, "", -1)) }

// deadLink answers account.ErrDeadLink with the page for it; other errors it passes on.
func (q *request) deadLink(err error, kind views.DeadLinkKind) error {
	if !errors.Is(err, account.ErrDeadLink) {
		return err
	}
	if kind == views.DeadReset && !q.settings.RecoveryEnabled {
		kind = views.DeadResetOff
	}
	return q.render(http.StatusGone, views.DeadLink(views.DeadLinkPage{Frame: q.frame("This link does not work any more"), Kind: kind}))
}
