package handlers

import (
	"slices"
	"strconv"

	"postern/db"
	"postern/views"
)

// id reads the number in the address; what is none belongs to nothing.
func (q *request) id() (int64, error) {
	n, err := strconv.ParseInt(q.PathValue("id"), 10, 64)
	if err != nil || n < 1 || strconv.FormatInt(n, 10) != q.PathValue("id") {
		return 0, errNotFound
	}
	return n, nil
}

// sessionViews are the browsers in which the user is signed in.
func (s *Server) sessionViews(q *request) ([]views.Session, error) {
	all, err := s.Account.Sessions(q.Context(), q.user())
	var shown []views.Session
	for _, one := range all {
		shown = append(shown, views.Session{ID: one.ID, Device: views.Device(one.UserAgent), Address: one.Address,
			Began: q.when(one.CreatedAt), LastSeen: q.when(one.LastSeenAt), Present: one.ID == q.current.Session.ID})
	}
	return shown, err
}

// browserViews are the browsers that the user trusts.
func (s *Server) browserViews(q *request) ([]views.TrustedBrowser, error) {
	if q.settings.MFATrustDeviceDays == 0 {
		return nil, nil // none counts
	}
	all, err := s.DB.Reader().TrustedBrowsers(q.Context(), q.user(), s.DB.Now())
	var shown []views.TrustedBrowser
	for _, one := range all {
		shown = append(shown, views.TrustedBrowser{ID: one.ID, Device: views.Device(one.UserAgent), Address: one.Address,
			LastSeen: q.when(one.LastSeenAt), Until: q.when(one.TrustedUntil)})
	}
	return shown, err
}

func (s *Server) showEndSession(q *request) error {
	own, err := s.sessionViews(q)
	if err != nil {
		return err
	}
	if id, err := q.id(); err != nil || !slices.ContainsFunc(own, func(one views.Session) bool { return one.ID == id }) {
		return errNotFound
	}
	return s.confirmOnSecurity(q, "Sign out another browser", "Sign out this browser", "The browser is signed out of your account at once.")
}

func (s *Server) endSession(q *request) error {
	id, err := q.id()
	if err != nil {
		return err
	}
	if err := s.Account.EndSession(q.Context(), q.actor(), q.current, id); err != nil {
		return err
	}
	q.notify(views.NoticeSessionEnded)
	return q.goTo(securityPath)
}

func (s *Server) showEndOtherSessions(q *request) error {
	return s.confirmOnSecurity(q, "Sign out all other browsers", "Sign out all others", "Every browser but this one is signed out of your account at once.")
}

func (s *Server) endOtherSessions(q *request) error {
	if err := s.Account.EndOtherSessions(q.Context(), q.actor(), q.current); err != nil {
		return err
	}
	q.notify(views.NoticeSessionsEnded)
	return q.goTo(securityPath)
}

func (s *Server) showForgetBrowser(q *request) error {
	own, err := s.browserViews(q)
	if err != nil {
		return err
	}
	if id, err := q.id(); err != nil || !slices.ContainsFunc(own, func(one views.TrustedBrowser) bool { return one.ID == id }) {
		return errNotFound
	}
	return s.confirmOnSecurity(q, "Forget a trusted browser", "Forget this browser", "It asks for a code again at the next sign-in.")
}

func (s *Server) forgetBrowser(q *request) error {
	id, err := q.id()
	if err != nil {
		return err
	}
	if err := s.Account.ForgetBrowser(q.Context(), q.actor(), q.current, id); err != nil {
		return err
	}
	q.notify(views.NoticeBrowserForgotten)
	return q.goTo(securityPath)
}

// confirmOnSecurity asks before an act of the security page, for those who come by its
// address.
func (s *Server) confirmOnSecurity(q *request, title, button, effect string) error {
	return q.page(views.Confirm(views.ConfirmPage{Frame: q.inSecurity(title, nil), Button: button, Effect: effect, Action: q.URL.Path, Back: securityPath}))
}

// activityPage is how many events a page shows.
const activityPage = 30

func (s *Server) showActivity(q *request) error {
	after, err := q.after()
	if err != nil {
		return err
	}
	events, err := s.DB.Reader().UserEvents(q.Context(), q.user().ID, after, activityPage+1)
	if err != nil {
		return err
	}
	page := views.ActivityPage{Frame: q.frame("Activity")}
	if len(events) > activityPage {
		events = events[:activityPage]
		page.Next = strconv.FormatInt(events[activityPage-1].ID, 10)
	}
	for _, e := range events {
		page.Events = append(page.Events, q.ownEventView(e))
	}
	return q.page(views.Activity(page))
}

// after reads where a list goes on; 0 for its beginning.
func (q *request) after() (int64, error) {
	text := q.query("after")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, errBadForm
	}
	return n, nil
}

// ownEventView is eventView for the person it concerns: the reasons that staff give are for
// staff.
func (q *request) ownEventView(e db.StoredEvent) views.Event {
	details := e.Details()
	delete(details, "reason")
	view := q.eventView(e)
	view.Text = views.EventText(e.Action, e.Outcome == "refused", details)
	return view
}

// eventView puts an event into words.
func (q *request) eventView(e db.StoredEvent) views.Event {
	by := ""
	if e.ActorKind != string(db.ActorVisitor) && (e.ActorKind != string(db.ActorUser) || e.ActorID != e.UserID) {
		by = e.ActorKind
	}
	return views.Event{Text: views.EventText(e.Action, e.Outcome == "refused", e.Details()), At: q.when(e.At), Device: views.Device(e.UserAgent),
		Address: e.Address, By: by}
}
