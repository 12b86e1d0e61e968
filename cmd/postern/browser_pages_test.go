package main_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	_ "modernc.org/sqlite"
)

var loaded = page.LoadEventFired

// staleProof makes every proof of identity older than it is, since the program has the
// machine's clock.
func (r *running) staleProof() {
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
	if _, err := database.Exec(`UPDATE session SET proven_at = 0`); err != nil {
		r.t.Fatal(err)
	}
}

// looks are how every page is looked at.
var looks = map[string]look{
	"phone light":   phone,
	"phone dark":    {width: 360, height: 740, dark: true},
	"narrow":        {width: 320, height: 640},
	"desktop light": desktop,
	"desktop dark":  {width: 1280, height: 800, dark: true},
	"zoomed":        {width: 640, height: 400}, // 1280 px at 200 %
}

func TestEveryPageCanBeUsedByEverybody(t *testing.T) {
	for name, l := range looks {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			w := open(t, l)
			w.expect("422", "410", "404", "421")
			r.signedOutPages(w)
			r.linkPages(w)
			r.accountPages(w)
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
