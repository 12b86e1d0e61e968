package handlers

import (
	"context"
	"crypto/rand"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"postern/db"
	"postern/internal/account"
	"postern/internal/session"
	"postern/internal/settings"
	"postern/views"
)

// request is one request on its way through a handler: what came, who sent it, and the
// answer so far.
type request struct {
	*http.Request
	server   *Server
	w        *answer
	fields   url.Values         // of the body; each name once
	current  *session.Current   // nil when nobody is signed in
	pending  *session.Current   // a sign-in that owes its code; then current is nil
	settings *settings.Settings // at this moment
	visit    account.Visit
	// wire is where the answer goes in the end; its deadlines can be moved.
	wire http.ResponseWriter
}

type contextKey int

const (
	keyRequestID contextKey = iota
	keyPattern
	keyConnection // the context that lasts as long as the visitor listens
)

// newRequestID returns the short id that is in the log and on error pages.
func newRequestID() string { return rand.Text()[:10] }

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(keyRequestID).(string)
	return id
}

const (
	maxBody      = 64 << 10
	maxUserAgent = 256
)

var (
	errBadForm  = errors.New("the form cannot be read")
	errTooLarge = errors.New("the body is too large")
)

// readForm reads the fields of the body. A field given twice, in the body or in the query
// as well, would be read differently by different programs, so it is refused; so is what
// no database can keep.
func readForm(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || !clean(query) {
		return nil, errBadForm
	}
	if r.Method != http.MethodPost {
		return url.Values{}, nil
	}
	if isUpload(r) {
		return url.Values{}, nil // the handler reads it, once it is clear who sends it
	}
	mediaType := r.Header.Get("Content-Type")
	if kind, _, err := mime.ParseMediaType(mediaType); mediaType != "" && (err != nil || kind != "application/x-www-form-urlencoded") {
		return nil, errBadForm
	}
	if err := r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, errTooLarge
		}
		return nil, errBadForm
	}
	if !clean(r.PostForm) {
		return nil, errBadForm
	}
	for name := range r.PostForm {
		if query.Has(name) {
			return nil, errBadForm
		}
	}
	return r.PostForm, nil
}

// manyValued is the one field that a form holds several times: the boxes of a role.
const manyValued = "permissions"

func clean(values url.Values) bool {
	for name, all := range values {
		if len(all) != 1 && name != manyValued || !cleanText(name) || slices.ContainsFunc(all, func(one string) bool { return !cleanText(one) }) {
			return false
		}
	}
	return true
}

func cleanText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// field returns what was typed into a field of the form.
func (q *request) field(name string) string { return q.fields.Get(name) }

// query returns a value of the query.
func (q *request) query(name string) string { return q.URL.Query().Get(name) }

// user is who is signed in; behind a guard there always is somebody.
func (q *request) user() db.User {
	if q.current == nil {
		return db.User{}
	}
	return q.current.User
}

// anyone is who is signed in, or half so.
func (q *request) anyone() db.User {
	if q.pending != nil {
		return q.pending.User
	}
	return q.user()
}

// actor is who does what is asked for.
func (q *request) actor() db.Actor { return q.visit.Actor }

// fragment says whether htmx wants a part of the page.
func (q *request) fragment() bool { return wantsFragment(q.Request) }

func wantsFragment(r *http.Request) bool {
	return r.Header.Get("HX-Request") == "true" && r.Header.Get("HX-Request-Type") != "full" &&
		r.Header.Get("HX-History-Restore-Request") == ""
}

// scripted says whether htmx sent the request at all.
func (q *request) scripted() bool { return q.Header.Get("HX-Request") == "true" }

// frame is what the page stands in.
func (q *request) frame(title string) views.Frame {
	f := views.Frame{Title: title, Portal: q.settings.PortalName, Nav: views.AccountNav, Assets: assets(q.settings), Section: q.URL.Path, Support: support(q.settings)}
	if q.pending != nil {
		f.HalfSignedIn = true
	}
	if q.current != nil {
		u := q.current.User
		f.Owing = account.FactorOwed(u, q.settings)
		f.Person = &views.Person{Name: u.Name, Email: u.Email, Organization: u.Organization, Staff: u.Staff()}
	}
	return f
}

func support(s *settings.Settings) views.Support {
	return views.Support{Email: s.SupportEmail, Phone: s.SupportPhone, URL: s.SupportURL}
}
