package handlers

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"

	"postern/db"
	"postern/internal/session"
	"postern/views"
)

// markerSignedIn on a redirect tells that the browser should have a session by now.
const markerSignedIn = "signed-in"

// guard runs the handler for those who may use the route; others are sent where they can
// give what is missing.
func (s *Server) guard(q *request, route route) error {
	switch route.access {
	case public, asset:
		return route.handle(q)
	case thisMachine:
		if s.LocalMail == nil || !fromThisMachine(q) {
			return errNotFound
		}
		return route.handle(q)
	}
	came := q.URL.Query().Has(markerSignedIn)
	switch {
	case q.current == nil && came:
		return q.page(views.CookiesNeeded(views.CookiesNeededPage{Frame: q.frame("Cookies are needed")}))
	case q.current == nil:
		return q.toSignIn()
	case came:
		return q.seeOther(q.URL.Path) // the marker has done its work
	case route.access == freshProof && !q.current.Fresh(s.DB.Now()):
		return q.toReauthenticate()
	}
	return route.handle(q)
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
var keptFields = []string{"email", "username"}

// maxKept bounds what is kept of a field.
const maxKept = 1024

// toReauthenticate asks for proof, and keeps what was typed, but for passwords.
func (q *request) toReauthenticate() error {
	form := kept{Path: q.URL.Path, At: q.server.DB.Now(), Fields: map[string]string{}}
	for _, name := range keptFields {
		if q.fields.Has(name) && len(q.field(name)) <= maxKept {
			form.Fields[name] = q.field(name)
		}
	}
	if len(form.Fields) > 0 {
		text, err := json.Marshal(form)
		if err != nil {
			return err
		}
		q.server.Sessions.Put(q.Context(), pendingForm, string(text))
	}
	return q.seeOther("/reauthenticate?next=" + url.QueryEscape(q.URL.Path))
}

// typedBefore returns what was typed into this page's form before proof was asked for, as
// long as that proof lasts.
func (q *request) typedBefore() url.Values {
	values := url.Values{}
	var form kept
	text := q.server.Sessions.Get(q.Context(), pendingForm)
	if text == "" || json.Unmarshal([]byte(text), &form) != nil || form.Path != q.URL.Path ||
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
