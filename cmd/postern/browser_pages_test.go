package main_test

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	_ "modernc.org/sqlite"
)

var loaded = page.LoadEventFired

// staleProof makes every proof of identity older than it is, since the program has the
// machine's clock.
func (r *running) staleProof() { r.setProof(1) } // 0 would say that there was none

// freshProof makes every proof of identity fresh.
func (r *running) freshProof() { r.setProof(time.Now().UnixMilli()) }

func (r *running) setProof(at int64) {
	r.t.Helper()
	data := ""
	for _, variable := range r.env {
		if value, ok := strings.CutPrefix(variable, "POSTERN_DATA="); ok {
			data = value
		}
	}
	database, err := sql.Open("sqlite", "file:"+filepath.Join(data, "postern.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		r.t.Fatal(err)
	}
	defer database.Close()
	if _, err := database.Exec(`UPDATE session SET proven_at = $1`, at); err != nil {
		r.t.Fatal(err)
	}
}

// looks are how every page is looked at.
var looks = map[string]look{
	"phone light":   phone,
	"phone dark":    {width: 360, height: 740, dark: true},
	"narrow":        {width: 320, height: 640, widthOnly: true},
	"desktop light": desktop,
	"desktop dark":  {width: 1280, height: 800, dark: true},
	"zoomed":        {width: 640, height: 400, widthOnly: true}, // 1280 px at 200 %
}

func TestEveryPageCanBeUsedByEverybody(t *testing.T) {
	for name, l := range looks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			w := open(t, l)
			w.expect("422", "410", "404", "421")
			r.signedOutPages(w)
			r.linkPages(w)
			r.accountPages(w)
			r.secondFactorPages(l)
			r.staffPages(l)
		})
	}
}

// signedOutPages are what a visitor meets.
func (r *running) signedOutPages(w *window) {
	w.visit(r.url + "/sign-in")
	w.accessible("sign-in-before-setup")
	w.visit(r.setup)
	w.accessible("setup")
	w.fill("email", "olga")
	w.press("button.primary")
	w.accessible("setup-wrong")
	r.command(firstPassword+"\n", "user", "create", "--email", "olga@acme.example", "--name", "Olga Owner", "--role", "owner", "--password-stdin")

	for _, path := range []string{"/sign-in", "/forgot-password", "/forgot-password/sent", "/support", "/reset-password", "/invitation",
		"/not-me", "/reset-password/renew", "/nothing-here"} {
		w.visit(r.url + path)
		w.accessible(strings.Trim(path, "/"))
	}
	w.visit(r.url + "/sign-in")
	w.fill("login", "olga@acme.example")
	w.fill("password", "wrong")
	w.press("button.primary")
	w.accessible("sign-in-wrong")

	r.command("", "settings", "set", "recovery.identify_by", "email_and_username")
	r.command("", "settings", "set", "recovery.confirm_username", "true")
	r.command("", "settings", "set", "portal.name", "The very long name of a portal that a company may well have chosen GmbH & Co. KG")
	r.command("", "settings", "set", "portal.accent", "#c2410c")
	r.command("", "settings", "set", "support.email", "support.of.the.customer.portal@service.acme-corporation.example")
	r.command("", "settings", "set", "support.phone", "+49 30 1234567-89")
	r.command("", "settings", "set", "support.url", "https://help.acme.example/portal")
	w.waits(r.url+"/forgot-password", "Username")
	w.press("button.primary")
	w.accessible("forgot-password-wrong")
	w.visit(r.url + "/forgot-password/sent")
	w.accessible("sent-with-support")
	r.command("", "settings", "set", "recovery.enabled", "false")
	w.waits(r.url+"/forgot-password", "Trouble signing in?")
	w.accessible("recovery-off")
	r.command("", "settings", "set", "recovery.enabled", "true")
}

// waits opens the address until it says the text: a setting made by command counts within
// a second.
func (w *window) waits(address, text string) {
	w.t.Helper()
	w.visit(address)
	for range 40 {
		if strings.Contains(w.text(), text) {
			return
		}
		w.visit(address)
	}
	w.t.Fatalf("%s does not say %q", address, text)
}

// linkPages are where mailed links lead.
func (r *running) linkPages(w *window) {
	r.customer()
	w.visit(strings.TrimSpace(r.command("", "user", "reset-password", "ann@borealis.example")))
	w.accessible("reset-password-with-username")
	w.fill("username", "bob")
	w.fill("password", "x")
	w.press("button.primary")
	w.accessible("reset-password-wrong")
	r.command("", "settings", "set", "recovery.confirm_username", "false")
	w.waits(r.url+"/reset-password", "New password")
	w.accessible("reset-password")
	w.visit(r.mail("ann@borealis.example", "A reset link was made for your account", 1).Link(w.t, "/not-me/"))
	w.accessible("not-me-open")
	r.command("", "user", "create", "--email", "bea@borealis.example", "--name", "Bea", "--invite")
	w.visit(r.mail("bea@borealis.example", "You are invited", 1).Link(w.t, "/invitation/"))
	w.accessible("invitation")
}

// accountPages are what a customer meets.
func (r *running) accountPages(w *window) {
	w.visit(r.url + "/sign-in")
	w.fill("login", "ann")
	w.fill("password", firstPassword)
	w.press("button.primary")
	w.accessible("account")
	for _, path := range []string{"/account/profile", "/account/security", "/account/password", "/account/email", "/account/username",
		"/reauthenticate", "/verify-email", "/not-there"} {
		w.visit(r.url + path)
		w.accessible(strings.Trim(path, "/"))
	}
	w.visit(r.url + "/account/profile")
	w.fill("name", " ")
	w.fill("phone", "call me")
	w.press("button.primary")
	w.accessible("profile-wrong")
	w.visit(r.url + "/account/email")
	w.fill("email", "ann.smith.with.a.very.long.address@subsidiary.borealis-international.example")
	w.press("button.primary")
	w.click("details.menu > summary")
	w.accessible("security-pending-and-menu")
	w.visit(r.url + "/account/security")
	w.click(`a[href="/account/password"]`)
	w.sees("Current password")
	w.fill("current_password", "wrong")
	w.fill("password", "weak")
	w.click(".panel.open button.primary")
	w.sees("This is not your current password.")
	w.accessible("password-wrong-in-place")
	r.command("", "settings", "set", "password.change_enabled", "false")
	w.waits(r.url+"/account/security", "Passwords are not changed here.")
	w.accessible("password-change-off")
}

// secondFactorPages are what somebody with an authenticator meets.
func (r *running) secondFactorPages(l look) {
	r.command(firstPassword+"\n", "user", "create", "--email", "tom@borealis.example", "--name", "Tom", "--password-stdin")
	w := open(r.t, l)
	w.expect("422")
	w.signIn(r.url, "tom@borealis.example", firstPassword)
	w.visit(r.url + "/account/totp")
	w.accessible("enrolment")
	w.fill("code", "000000")
	w.click("main form button.primary")
	w.sees("This code is not right")
	w.accessible("enrolment-wrong")
	phone, _ := w.enrol()
	w.accessible("recovery-codes")
	for _, path := range []string{"/account/security", "/account/totp/remove", "/account/recovery-codes", "/account/sessions/end-others",
		"/account/activity", "/reauthenticate"} {
		w.visit(r.url + path)
		w.accessible(strings.Trim(path, "/") + "-with-authenticator")
	}
	w.click("details.menu > summary")
	w.press(".menu-items button")
	w.fill("login", "tom@borealis.example")
	w.fill("password", firstPassword)
	w.press("button.primary")
	w.accessible("verify")
	w.fill("code", "000000")
	w.press("button.primary")
	w.click("details > summary")
	w.accessible("verify-wrong-with-help")
	w.fill("code", phone.Code(r.t))
	w.click(`[name="trust_device"]`)
	w.press("button.primary")
	w.visit(r.url + "/account/security")
	w.sees("Trusted browsers")
	w.accessible("security-with-trusted-browser")
}

// staffPages are those of the administration, as the owner sees them, and two as the
// administrator of a customer does.
func (r *running) staffPages(l look) {
	w, _ := r.staff(l, "nora@vendor.example", "Nora Owner", "owner")
	w.expect("422", "404")
	ann, shut := r.id("ann@borealis.example"), r.id("tom@borealis.example")
	w.visit(r.mail("tom@borealis.example", "Your second factor was changed", 1).Link(w.t, "/not-me/"))
	w.press("button.danger")
	for _, path := range []string{"/admin", "/admin/users", "/admin/users?q=nobody-like-that", "/admin/users/new", "/admin/users/" + ann,
		"/admin/users/" + shut, "/admin/users/" + ann + "/deactivate", "/admin/users/" + ann + "/delete", "/admin/organizations",
		"/admin/organizations?q=none-like-that", "/admin/organizations/new", "/admin/organizations/1", "/admin/organizations/1/deactivate",
		"/admin/roles", "/admin/roles/new", "/admin/roles/support", "/admin/settings", "/admin/mail", "/admin/mail?state=failed", "/admin/mail/1",
		"/admin/mail/test", "/admin/audit", "/admin/audit?actor=nobody@vendor.example", "/admin/import"} {
		w.visit(r.url + path)
		w.accessible(strings.NewReplacer("/", "-", "?", "-", "=", "-").Replace(strings.Trim(path, "/")))
	}
	w.visit(r.url + "/admin/users/new")
	w.fill("email", "nobody")
	w.press("main form button.primary")
	w.accessible("admin-users-new-wrong")
	w.visit(r.url + "/admin/users/" + ann)
	w.click("details.card > summary")
	w.click(`a.button[href$="/delete"]`)
	w.finds(".act form")
	w.accessible("admin-user-open")

	p, _ := r.staff(l, "petra@borealis.example", "Petra Admin", "portal_administrator", "--organization", "Borealis Ltd")
	for _, path := range []string{"/admin", "/admin/users", "/admin/audit"} {
		p.visit(r.url + path)
		p.sees("Borealis Ltd only")
		p.accessible("portal-administrator-" + strings.NewReplacer("/", "-").Replace(strings.Trim(path, "/")))
	}
}

// id is the id of a user in addresses.
func (r *running) id(email string) string {
	r.t.Helper()
	var user struct {
		ID int64 `json:"id"`
	}
	if err := json.Unmarshal([]byte(r.command("", "user", "show", email)), &user); err != nil {
		r.t.Fatal(err)
	}
	return strconv.FormatInt(user.ID, 10)
}
