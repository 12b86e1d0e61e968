package handlers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"postern/db"
	"postern/internal/account"
	"postern/internal/input"
	"postern/internal/password"
	"postern/internal/session"
	"postern/internal/settings"
	"postern/internal/throttle"
	"postern/views"
)

// serve makes a route a handler: it loads what every request needs, asks the guard, runs
// the handler into memory, saves the session, and only then answers.
func (s *Server) serve(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if pattern, ok := r.Context().Value(keyPattern).(*string); ok {
			*pattern = route.pattern
		}
		q := &request{Request: r, server: s, w: newAnswer(), wire: w, settings: settings.Defaults()}
		err := q.load(route)
		if err == nil {
			err = s.guard(q, route)
		}
		if err == nil && route.who != asset {
			err = s.Sessions.Save(q.Context())
		}
		if err != nil {
			q.w.discard()
			s.fail(q, err)
		}
		q.w.send(w)
	})
}

// load reads the settings, the session and the form.
func (q *request) load(route route) (err error) {
	if route.who == asset {
		return nil
	}
	if q.settings, err = q.server.Settings.Current(q.Context()); err != nil {
		q.settings = settings.Defaults()
		return err
	}
	ctx, current, err := q.server.Sessions.Load(q.Request)
	if err != nil {
		return err
	}
	// A sign-in that still owes its code is nobody's session but for entering it.
	if current != nil && current.Session.CodeOwed {
		q.pending, current = current, nil
	}
	q.Request, q.current = q.WithContext(ctx), current
	if session.HadDeadCookie(ctx) {
		q.server.Sessions.ClearCookie(ctx, q.w)
	}
	q.visit = q.server.visit(q.Request, current)
	if q.pending != nil {
		q.visit.Actor.SessionID = q.pending.Session.ID
	}
	q.fields, err = readForm(q.Request)
	return err
}

// render answers with a page, or the part of it that htmx wants.
func (q *request) render(status int, page templ.Component) error {
	q.w.WriteHeader(status)
	if q.fragment() {
		return templ.RenderFragments(q.Context(), q.w, page, views.Main)
	}
	return page.Render(q.Context(), q.w)
}

// page is render for what went well.
func (q *request) page(page templ.Component) error { return q.render(http.StatusOK, page) }

// seeOther sends the browser, or htmx within the page, to another address of the portal.
func (q *request) seeOther(path string) error {
	q.w.Header().Set("Location", path)
	q.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// goTo sends the browser to another page; htmx is told to load it as a whole.
func (q *request) goTo(path string) error {
	if !q.scripted() {
		return q.seeOther(path)
	}
	q.w.Header().Set("HX-Redirect", path)
	q.w.WriteHeader(http.StatusOK)
	return nil
}

// longestStream bounds how long an answer may be written, in all.
const longestStream = time.Hour

// stream answers with a body that is too long for memory, for as long as somebody takes it.
// It is written when all else has succeeded.
func (q *request) stream(write func(context.Context, io.Writer) error) error {
	connection, ok := q.Context().Value(keyConnection).(context.Context)
	if !ok {
		connection = q.Context()
	}
	log, id := q.server.Log, requestID(q.Context())
	q.w.stream = func(w io.Writer) error {
		ctx, done := context.WithTimeout(connection, longestStream)
		defer done()
		err := write(ctx, w)
		if err != nil {
			log.WarnContext(ctx, "a download was cut off", "request", id, "error", err)
		}
		return err
	}
	return nil
}

// status is an error that is answered with the page for it.
type status struct {
	code  int
	kind  views.ErrorKind
	wait  time.Duration // Retry-After, if any
	allow string        // the methods that would be, if that is it
}

func (e status) Error() string { return http.StatusText(e.code) }

var (
	errNotFound  = status{code: http.StatusNotFound, kind: views.ErrorNotFound}
	errCrossSite = status{code: http.StatusForbidden, kind: views.ErrorCrossSite}
)

// unavailableFor is when to try again while the database cannot serve.
const unavailableFor = 5 * time.Second

// statusOf says how an error is answered.
func statusOf(err error) status {
	if known, ok := errors.AsType[status](err); ok {
		return known
	}
	if held, ok := errors.AsType[*throttle.HeldError](err); ok {
		return status{code: http.StatusTooManyRequests, kind: views.ErrorTooOften, wait: held.Wait}
	}
	switch {
	case errors.Is(err, password.ErrBusy):
		return status{code: http.StatusServiceUnavailable, kind: views.ErrorBusy, wait: password.RetryAfter}
	case errors.Is(err, errTooLarge):
		return status{code: http.StatusRequestEntityTooLarge, kind: views.ErrorTooLarge}
	case errors.Is(err, errBadForm):
		return status{code: http.StatusBadRequest, kind: views.ErrorBadRequest}
	case errors.Is(err, db.ErrNotFound), errors.Is(err, account.ErrSwitchedOff):
		return errNotFound
	case db.Unavailable(err):
		return status{code: http.StatusServiceUnavailable, kind: views.ErrorUnavailable, wait: unavailableFor}
	}
	return status{code: http.StatusInternalServerError, kind: views.ErrorInternal}
}

// fail answers with the page for an error. What went wrong stands in the log under the id
// that the page shows.
func (s *Server) fail(q *request, err error) {
	known := statusOf(err)
	log := s.Log.InfoContext
	if known.code >= http.StatusInternalServerError {
		log = s.Log.ErrorContext
	}
	if !errors.Is(err, context.Canceled) {
		log(q.Context(), "request refused", "request", requestID(q.Context()), "status", known.code, "error", err)
	}
	frame := q.frame(views.ErrorTitle(known.kind))
	page := views.Error(views.ErrorPage{Frame: frame, Kind: known.kind, ErrorID: requestID(q.Context()),
		Wait: views.Duration(known.wait), Address: s.URL.String()})
	retryAfter(q.w, known.wait)
	if known.allow != "" {
		q.w.Header().Set("Allow", known.allow)
	}
	if err := q.render(known.code, page); err != nil {
		q.w.discard()
		s.Log.ErrorContext(q.Context(), "error page", "error", err)
		http.Error(q.w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}

// retryAfter says when to come back, in whole seconds, if there is a time.
func retryAfter(w http.ResponseWriter, wait time.Duration) {
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	}
}

// problems turns what is wrong with a form into the errors that the form shows again, and
// the status to answer with. ok is false for errors that have a page of their own.
func (q *request) problems(err error) (shown views.Errors, code int, ok bool) {
	if refused, isInput := errors.AsType[*input.Error](err); isInput {
		for _, field := range refused.Fields {
			shown = append(shown, views.FieldError{Field: field.Name,
				Text: views.ProblemText(string(field.Problem), field.Name, field.Limit, field.Choices)})
		}
		return shown, http.StatusUnprocessableEntity, true
	}
	known := statusOf(err)
	if known.code != http.StatusTooManyRequests && !errors.Is(err, password.ErrBusy) {
		return nil, 0, false
	}
	retryAfter(q.w, known.wait)
	return views.Errors{{Text: views.WaitText(known.kind, views.Duration(known.wait))}}, known.code, true
}

// noticeCookie takes the code of a success message to the next page.
const noticeCookie = "postern-notice"

// notify lets the next page show a success message. What was typed before proof was given is
// done with then: it must not stand in the form once more.
func (q *request) notify(notice views.Notice) {
	if strings.HasPrefix(q.URL.Path, "/admin/") && q.server.Sessions.Get(q.Context(), pendingForm) != "" {
		q.forgetTyped()
	}
	http.SetCookie(q.w, q.server.cookie(noticeCookie, string(notice), 0))
}

// notice takes the success message that the page before has left, if any.
func (q *request) notice() string {
	cookie, err := q.Cookie(q.server.cookieName(noticeCookie))
	if err != nil || q.fragment() || q.Method != http.MethodGet {
		return "" // it waits for a page that can show it
	}
	http.SetCookie(q.w, q.server.cookie(noticeCookie, "", -1))
	return views.NoticeText(views.Notice(cookie.Value))
}

// framed is frame with the success message that the page before has left.
func (q *request) framed(title string) views.Frame {
	f := q.frame(title)
	f.Notice = q.notice()
	return f
}

// failed is frame for a form that is shown again.
func (q *request) failed(title string, wrong views.Errors) views.Frame {
	f := q.frame(title)
	f.Failed = len(wrong) > 0
	return f
}

func (s *Server) cookieName(name string) string { return session.CookieName(name, s.Secure) }

// cookie makes a cookie of this host alone that no script can read. Age 0 is for as long
// as the browser runs, a negative one takes the cookie away.
func (s *Server) cookie(name, value string, age time.Duration) *http.Cookie {
	seconds := int(age / time.Second)
	if age < 0 {
		seconds = -1
	}
	return &http.Cookie{Name: s.cookieName(name), Value: url.QueryEscape(value), Path: "/", MaxAge: seconds,
		Secure: s.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}
