package handlers_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/handlers"
	"postern/internal/directory"
	"postern/internal/mail/mailtest"
	"postern/internal/portaltest"
	"postern/internal/session"
	"postern/internal/totp"
)

// canary is in every password of a walk, and in nothing else.
const canary = "Quokka"

// walk drives every flow of a fresh portal once, each with a password of its own, and
// gathers what came by.
type walk struct {
	t testing.TB
	p *portaltest.Portal
	*visitor
	second *visitor // another browser
	mails  []mailtest.Mail
	secret totp.Secret       // of Olive's authenticator
	shown  map[string]string // secrets and recovery codes that were shown, by what they are
	raw    []string          // secrets as they are computed with
	typed  map[string]string // codes that were entered
}

const (
	ownersPassword = canary + "-Harbour-42-Lantern"
	changed1       = canary + "-Violin-77-Meadow"
	changed2       = canary + "-Thistle-31-Copper"
	invitedOnes    = canary + "-Anchor-58-Velvet"
	weakOne        = "quokka1"
)

func newWalk(t testing.TB, p *portaltest.Portal, address string, transport http.RoundTripper) *walk {
	return &walk{t: t, p: p, shown: map[string]string{}, typed: map[string]string{}, visitor: newVisitor(t, address, transport), second: newVisitor(t, address, transport)}
}

// run goes all the way.
func (w *walk) run() {
	w.t.Helper()
	w.setUp()
	w.enrol("at first")
	w.profile()
	w.changeEmail()
	w.changeUsername()
	w.changePassword()
	w.signOutAndIn()
	w.secondFactor()
	w.reset()
	w.administration()
	w.invitation()
	w.notMe()
	w.strayRequests()
}

// mail returns the newest mail with that subject.
func (w *walk) mail(subject string) mailtest.Mail {
	w.t.Helper()
	w.mails = append(w.mails, w.p.Mails(w.t)...)
	for i := len(w.mails) - 1; i >= 0; i-- {
		if w.mails[i].Subject == subject {
			return w.mails[i]
		}
	}
	w.t.Fatalf("there is no mail %q", subject)
	return mailtest.Mail{}
}

// to fails the test unless the answer goes on to that path, and goes there.
func (w *walk) to(path string, e exchange) exchange {
	w.t.Helper()
	return goOn(w.visitor, path, e)
}

func goOn(v *visitor, path string, e exchange) exchange {
	v.t.Helper()
	location := v.want(http.StatusSeeOther, e)
	if bare, _, _ := strings.Cut(location, "?"); bare != path {
		v.t.Fatalf("%s %s leads to %s instead of %s", e.method, e.path, location, path)
	}
	next := v.get(location)
	if next.status == http.StatusSeeOther && strings.Contains(location, "?signed-in") {
		next = v.get(next.header.Get("Location"))
	}
	return next
}

func (w *walk) setUp() {
	w.to("/setup", w.get("/setup/"+setupToken(w.t, w.p)))
	form := []string{"name", "Olive Owner", "email", "olive@vendor.example", "username", "olive", "portal_name", "Northwind Desk", "support_email", ""}
	w.want(200, w.post("/password/strength", append(form, "for", "setup", "password", ownersPassword, "confirm", ownersPassword)...))
	w.want(422, w.post("/setup", append(form, "password", weakOne, "confirm", ownersPassword)...))
	w.want(200, w.to("/account/totp", w.post("/setup", append(form, "password", ownersPassword, "confirm", ownersPassword)...)))
}

func (w *walk) profile() {
	w.want(422, w.post("/account/profile", "name", "", "phone", "", "time_zone", "UTC"))
	w.want(200, w.to("/account/profile", w.post("/account/profile", "name", "Olive Owner", "phone", "+49 30 1", "time_zone", "UTC", "password", ownersPassword)))
}

func (w *walk) changeEmail() {
	w.p.Clock.Advance(11 * time.Minute)
	owed := w.to("/reauthenticate", w.post("/account/email", "email", "olive2@vendor.example", "password", changed1, "current_password", changed2))
	w.want(200, owed)
	w.want(422, w.post("/reauthenticate", "next", "/account/email", "password", weakOne, "code", weakOne))
	w.want(200, w.to("/account/email", w.post("/reauthenticate", "next", "/account/email", "password", ownersPassword, "code", w.code())))
	w.want(200, w.to("/account/security", w.post("/account/email", "email", "olive1@vendor.example")))
	w.want(200, w.to("/account/security", w.post("/account/email/cancel")))
	w.want(200, w.to("/account/security", w.post("/account/email", "email", "olive2@vendor.example")))
	link := w.mail("Confirm your new e-mail address").Link(w.t, "/verify-email/")
	w.want(200, w.to("/verify-email", w.get(pathOf(link))))
	w.want(200, w.to("/account/security", w.post("/verify-email")))
}

func (w *walk) changeUsername() {
	w.want(422, w.post("/account/username", "username", "!"))
	w.want(200, w.to("/account/security", w.post("/account/username", "username", "olive2")))
}

func (w *walk) changePassword() {
	w.want(200, w.post("/password/strength", "for", "account", "password", changed1, "confirm", weakOne, "current_password", ownersPassword))
	w.want(422, w.post("/account/password", "current_password", weakOne, "password", changed1, "confirm", changed1))
	w.want(422, w.post("/account/password", "current_password", ownersPassword, "password", weakOne, "confirm", changed1))
	w.want(200, w.to("/account/security", w.post("/account/password", "current_password", ownersPassword, "password", changed1, "confirm", changed1)))
}

func (w *walk) signOutAndIn() {
	w.want(200, w.to("/sign-in", w.post("/sign-out")))
	w.want(422, w.post("/sign-in", "login", "olive2", "password", ownersPassword, "next", "/account/security"))
	w.want(422, w.post("/sign-in", "login", weakOne, "password", "")) // typed into the wrong field
	w.want(200, goOn(w.visitor, "/sign-in/verify", w.post("/sign-in", "login", "olive2", "password", changed1, "next", "/account/security")))
	w.want(200, w.to("/account/security", w.post("/sign-in/verify", "code", w.code(), "next", "/account/security")))
	w.want(200, goOn(w.second, "/sign-in/verify", w.second.post("/sign-in", "login", "olive2@vendor.example", "password", changed1)))
	w.want(200, goOn(w.second, "/account", w.second.post("/sign-in/verify", "code", w.code())))
}

// code is the next code of Olive's authenticator.
func (w *walk) code() string {
	w.t.Helper()
	code := nextCode(w.t, w.p, w.secret)
	w.typed["the code "+code] = code
	return code
}

// enrol adds an authenticator, or another one.
func (w *walk) enrol(when string) {
	w.t.Helper()
	page := w.get("/account/totp")
	w.want(200, page)
	w.secret = shownSecret(w.t, page.body)
	w.shown["the secret "+when] = w.secret.Text()
	w.raw = append(w.raw, string(w.secret))
	w.shown["the secret in groups "+when] = marked(w.t, page.body, "data-totp-secret")[0]
	w.want(422, w.post("/account/totp", "code", weakOne))
	w.keepCodes(when, w.post("/account/totp", "code", w.code()))
}

func (w *walk) keepCodes(when string, e exchange) {
	w.t.Helper()
	w.want(200, e)
	for i, code := range shownCodes(w.t, e.body) {
		w.shown[fmt.Sprintf("recovery code %d %s", i, when)] = code
		w.shown[fmt.Sprintf("recovery code %d %s, without dashes", i, when)] = strings.ReplaceAll(code, "-", "")
	}
}

func (w *walk) secondFactor() {
	w.keepCodes("made anew", w.post("/account/recovery-codes"))
	w.want(200, w.to("/sign-in", w.post("/sign-out")))
	w.want(200, w.to("/sign-in/verify", w.post("/sign-in", "login", "olive2", "password", changed1)))
	w.want(422, w.post("/sign-in/verify", "code", weakOne))
	w.want(200, w.to("/account", w.post("/sign-in/verify", "code", w.shown["recovery code 3 made anew"], "trust_device", "true")))
	w.want(200, w.get("/account/activity"))
	w.want(422, w.post("/account/totp/remove", "code", weakOne))
	w.want(303, w.to("/account/security", w.post("/account/totp/remove", "code", w.shown["recovery code 4 made anew, without dashes"])))
	w.enrol("after the removal")
	w.want(200, w.to("/account/security", w.post("/account/sessions/end-others")))
	w.want(200, w.to("/sign-in", w.post("/sign-out")))
}

// administration makes a user, helps them, and deletes them; and makes a role.
func (w *walk) administration() {
	w.want(200, w.to("/sign-in/verify", w.post("/sign-in", "login", "olive2", "password", changed2)))
	w.want(200, w.to("/account", w.post("/sign-in/verify", "code", w.code())))
	w.want(422, w.post("/admin/users", "name", "", "email", "carl@acme.example", "password", changed1))
	location := w.want(303, w.post("/admin/users", "name", "Carl Customer", "email", "carl@acme.example", "role", "customer", "password", changed1))
	w.want(200, w.get(location))
	link := pathOf(w.mail("You are invited").Link(w.t, "/invitation/"))
	w.want(200, w.to(location, w.post(location, "name", "Carl Changed", "password", changed1)))
	w.want(200, w.to(location, w.post(location+"/resend-invitation")))
	w.mails = append(w.mails, w.p.Mails(w.t)...)
	w.want(200, w.get("/admin/users?q=carl"))
	w.p.Clock.Advance(11 * time.Minute)
	w.want(200, w.to("/reauthenticate", w.post(location+"/delete", "email", "carl@acme.example", "reason", "left", "password", changed1)))
	w.want(422, w.post("/reauthenticate", "next", location+"/delete", "password", changed2, "code", weakOne))
	w.want(200, w.to(location+"/delete", w.post("/reauthenticate", "next", location+"/delete", "password", changed2, "code", w.code())))
	w.want(200, w.to("/admin/roles", w.post("/admin/roles", "name", "Readers", "scope", "everybody", "permissions", "users.view")))
	w.want(200, w.to("/admin/users", w.post(location+"/delete", "email", "carl@acme.example", "reason", "left")))
	w.want(410, w.to("/invitation", w.get(link)))
	w.want(200, w.to("/sign-in", w.post("/sign-out")))
}

func (w *walk) reset() {
	w.want(422, w.post("/forgot-password", "email", "nobody"))
	w.want(200, w.to("/forgot-password/sent", w.post("/forgot-password", "email", "olive2@vendor.example", "password", changed1)))
	link := pathOf(w.mail("Password change request").Link(w.t, "/reset-password/"))
	w.send(http.MethodHead, link)
	w.want(200, w.to("/reset-password", w.get(link)))
	w.want(200, w.post("/password/strength", "for", "link", "password", changed2, "confirm", changed2))
	w.want(422, w.post("/reset-password", "password", weakOne, "confirm", weakOne))
	w.want(200, w.to("/sign-in", w.post("/reset-password", "password", changed2, "confirm", changed2)))
	w.want(410, w.to("/reset-password", w.get(link)))
	w.want(410, w.post("/reset-password", "password", changed1, "confirm", changed1))
	w.want(200, w.to("/forgot-password/sent", w.post("/reset-password/renew")))
	w.want(200, w.to("/reset-password", w.get(pathOf(w.mail("Password change request").Link(w.t, "/reset-password/")))))
}

func (w *walk) invitation() {
	w.p.User(w.t, directory.NewUser{Email: "ida@acme.example", Name: "Ida Invited", Invite: true})
	link := pathOf(w.mail("You are invited").Link(w.t, "/invitation/"))
	w.want(200, w.to("/invitation", w.get(link)))
	w.want(422, w.post("/invitation", "password", weakOne, "confirm", weakOne))
	w.want(200, w.to("/sign-in", w.post("/invitation", "password", invitedOnes, "confirm", invitedOnes)))
	w.want(200, w.to("/account", w.post("/sign-in", "login", "ida@acme.example", "password", invitedOnes)))
	w.want(200, w.to("/sign-in", w.post("/sign-out")))
}

func (w *walk) notMe() {
	w.want(200, w.to("/sign-in/verify", w.post("/sign-in", "login", "olive2", "password", changed2)))
	w.want(200, w.to("/account", w.post("/sign-in/verify", "code", w.code())))
	link := pathOf(w.mail("Your password was changed").Link(w.t, "/not-me/"))
	w.want(200, w.to("/not-me", w.get(link)))
	w.want(200, w.post("/not-me"))
	w.want(410, w.post("/not-me"))
	w.mails = append(w.mails, w.p.Mails(w.t)...)
}

// strayRequests are what goes wrong elsewhere.
func (w *walk) strayRequests() {
	w.want(404, w.get("/nothing"))
	w.want(405, w.send(http.MethodDelete, "/account"))
	w.want(400, w.post("/sign-in", "password", changed2, "password", changed1))
	w.want(404, w.post("/password/strength", "for", "account", "password", changed2))
	w.want(422, w.post("/sign-in", "login", "olive2", "password", changed2))
}

// links are the paths of all links that were mailed.
func (w *walk) links() []string {
	var all []string
	for _, m := range w.mails {
		for word := range strings.FieldsSeq(m.Text) {
			if u, err := url.Parse(word); err == nil && u.Host != "" && strings.Count(u.Path, "/") == 2 {
				all = append(all, u.Path)
			}
		}
	}
	return all
}

// overHTTPS is the portal under a public name.
func overHTTPS(t testing.TB, p *portaltest.Portal) (address string, transport http.RoundTripper) {
	t.Helper()
	address = "https://portal.example"
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	handler := secondServer(p, func(s *handlers.Server) {
		s.URL, s.Secure = at, true
		s.Sessions = session.NewManager(p.DB, p.Settings.SessionLimits, s.Log, true)
	})
	return address, wire{handler, "203.0.113.5:4711"}
}
