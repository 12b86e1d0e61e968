package handlers

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"postern/db"
	"postern/internal/access"
	"postern/internal/account"
	"postern/internal/session"
	"postern/internal/settings"
	"postern/views"
)

// markerSignedIn on a redirect tells that the browser should have a session by now.
const markerSignedIn = "signed-in"

// guard runs the handler for those who may use the route; others are sent where they can
// give what is missing. What somebody may not do is not there for them, whatever proof
// they could give.
func (s *Server) guard(q *request, route route) error {
	switch route.who.kind {
	case anybody, anybodyUnread:
		return route.handle(q)
	case onThisMachine:
		if s.LocalMail == nil || !fromThisMachine(q) {
			return errNotFound
		}
		return route.handle(q)
	case halfSignedIn:
		return s.guardCode(q, route)
	case withAnySession:
		if q.pending != nil {
			return route.handle(q)
		}
	}
	came := q.URL.Query().Has(markerSignedIn)
	switch {
	case q.pending != nil:
		return q.toVerify("")
	case q.current == nil && came:
		return q.page(views.CookiesNeeded(views.CookiesNeededPage{Frame: q.frame("Cookies are needed")}))
	case q.current == nil:
		return q.toSignIn()
	case !q.holds(route.who):
		return errNotFound
	case !route.who.owing && account.FactorOwed(q.current.User, q.settings):
		return q.goTo("/account/totp")
	case came:
		return q.seeOther(q.URL.Path) // the marker has done its work
	case route.who.factor && !q.current.User.SecondFactor:
		return errNotFound
	case route.who.kind == isFreshlyProven && !q.current.Fresh(s.DB.Now()):
		return q.toReauthenticate()
	}
	return route.handle(q)
}

// guardCode is for the page of the code: whoever owes none is sent on.
func (s *Server) guardCode(q *request, route route) error {
	came := q.URL.Query().Has(markerSignedIn)
	switch {
	case q.current != nil:
		return q.goTo("/account")
	case q.pending == nil && came:
		return q.page(views.CookiesNeeded(views.CookiesNeededPage{Frame: q.frame("Cookies are needed")}))
	case q.pending == nil:
		return q.toSignIn()
	case came: // the marker has done its work
		return q.toVerify(s.ownPage(q.query("next")))
	}
	return route.handle(q)
}

// holds says whether the user holds the permission that the route asks for, if any.
func (q *request) holds(w who) bool {
	switch {
	case w.kind != holdsPermission:
		return true
	case w.permission == "":
		return q.current.User.Staff()
	}
	return access.Holds(q.current.User, w.permission)
}

// toVerify asks for the code that is owed, and goes on to that page afterwards.
func (q *request) toVerify(next string) error {
	address := "/sign-in/verify"
	if next != "" {
		address += "?next=" + url.QueryEscape(next)
	}
	if q.scripted() {
		q.w.Header().Set("HX-Redirect", address)
		q.w.WriteHeader(http.StatusUnauthorized)
		return nil
	}
	return q.seeOther(address)
}

// toSignIn asks for a sign-in, and comes back here afterwards.
func (q *request) toSignIn() error {
	address := "/sign-in"
	if next := q.server.ownPage(q.URL.Path); next != "" {
		address += "?next=" + url.QueryEscape(next)
	}
	if q.scripted() {
		q.w.Header().Set("HX-Redirect", address)
		q.w.WriteHeader(http.StatusUnauthorized)
		return nil
	}
	return q.seeOther(address)
}

// pendingForm is the session's key for what was typed before proof was asked for.
const pendingForm = "pending form"

// kept is what is kept of a form while proof is given.
type kept struct {
	Path   string            `json:"path"`
	At     db.Time           `json:"at"`
	Fields map[string]string `json:"fields"`
}

// keptFields are the fields that are kept: those of forms that ask for proof, and no
// secrets.
var keptFields = append(settings.Keys(), settings.PresetKey, "email", "username", "name", "organization", "role", "reason", "scope", manyValued, fileChosen)

// maxKept bounds what is kept of a field.
const maxKept = 1024

// toReauthenticate asks for proof, and keeps what was typed, but for passwords.
func (q *request) toReauthenticate() error { return q.toReauthenticateFor(q.URL.Path) }

// toReauthenticateFor is toReauthenticate where the form stands at another address.
func (q *request) toReauthenticateFor(path string) error {
	form := kept{Path: path, At: q.server.DB.Now(), Fields: map[string]string{}}
	for _, name := range keptFields {
		if typed := strings.Join(q.fields[name], " "); q.fields.Has(name) && len(typed) <= maxKept {
			form.Fields[name] = typed
		}
	}
	if len(form.Fields) > 0 {
		text, err := json.Marshal(form)
		if err != nil {
			return err
		}
		q.server.Sessions.Put(q.Context(), pendingForm, string(text))
	}
	return q.seeOther("/reauthenticate?next=" + url.QueryEscape(path))
}

// forgetTyped ends what toReauthenticate has kept.
func (q *request) forgetTyped() { q.server.Sessions.Put(q.Context(), pendingForm, "") }

// hasTyped says whether something was typed into the form of that page before proof was
// asked for. A file that was chosen has to be chosen again, which its page says itself.
func (q *request) hasTyped(path string) bool {
	typed := q.typedAt(path)
	typed.Del(fileChosen)
	return len(typed) > 0
}

// typedBefore returns what was typed into this page's form before proof was asked for, as
// long as that proof lasts.
func (q *request) typedBefore() url.Values { return q.typedAt(q.URL.Path) }

func (q *request) typedAt(path string) url.Values {
	values := url.Values{}
	var form kept
	text := q.server.Sessions.Get(q.Context(), pendingForm)
	if text == "" || json.Unmarshal([]byte(text), &form) != nil || form.Path != path ||
		q.server.DB.Now() > form.At.Add(session.ProofLifetime) {
		return values
	}
	for name, value := range form.Fields {
		values.Set(name, value)
	}
	return values
}

func fromThisMachine(q *request) bool {
	address, err := netip.ParseAddr(q.visit.Actor.Address)
	return err == nil && address.IsLoopback()
}
