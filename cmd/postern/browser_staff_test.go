package main_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"postern/internal/portaltest"
	"postern/internal/totp"
)

// enrol scans the secret that the page shows, confirms it, and returns the recovery codes.
func (w *window) enrol() (*portaltest.Phone, []string) {
	w.t.Helper()
	secret, err := totp.ParseSecret(get(w, chromedp.TextContent(chromedp.CSS("[data-totp-secret]"))))
	if err != nil {
		w.t.Fatal(err)
	}
	a := &portaltest.Phone{Secret: secret}
	w.fill("code", a.Code(w.t))
	w.click("main form button.primary")
	w.sees("Your recovery codes")
	codes := get(w, chromedp.Evaluate[[]string](`[...document.querySelectorAll("[data-recovery-code]")].map(c => c.textContent)`))
	if len(codes) != 10 {
		w.t.Fatalf("%d recovery codes are shown", len(codes))
	}
	return a, codes
}

// signInWithCode signs in with a code and arrives at the account.
func (w *window) signInWithCode(url, login, password, code string) {
	w.t.Helper()
	w.visit(url + "/sign-in")
	w.fill("login", login)
	w.fill("password", password)
	w.press("button.primary")
	w.at("/sign-in/verify")
	w.fill("code", code)
	w.press("button.primary")
	w.at("/account")
}

// staff makes somebody with a role by command, and a window in which they are signed in.
func (r *running) staff(l look, email, name, role string, more ...string) (*window, *portaltest.Phone) {
	r.t.Helper()
	args := append([]string{"user", "create", "--email", email, "--name", name, "--role", role, "--password-stdin"}, more...)
	r.command(firstPassword+"\n", args...)
	w := open(r.t, l)
	w.visit(r.url + "/sign-in")
	w.fill("login", email)
	w.fill("password", firstPassword)
	w.press("button.primary")
	w.at("/account/totp")
	w.sees("Add an authenticator")
	a, _ := w.enrol()
	w.press("a.primary")
	w.at("/account/security")
	return w, a
}

// openUser finds a user in the list, as one types, and opens their page.
func (w *window) openUser(url string, l look, name string) {
	w.t.Helper()
	w.visit(url + "/admin/users")
	w.do(chromedp.Click(chromedp.CSS(`input[name="q"]`)), chromedp.SendKeys(chromedp.CSS(`input[name="q"]`), name))
	if l.noScripts {
		get(w, chromedp.WaitEvent(loaded, nil, chromedp.KeyEvent(kb.Enter)))
	}
	w.sees("1 user")
	w.press(`td[data-label="Name"] a`)
	w.sees(name)
}

// act presses a button of the page of a user, answers what it asks, and confirms.
func (w *window) act(l look, act string, fields map[string]string) {
	w.t.Helper()
	selector := `a.button[href$="/` + act + `"]`
	if l.noScripts {
		w.press(selector)
	} else {
		w.click(selector)
		w.finds(".act form")
	}
	for name, text := range fields {
		w.fill(name, text)
	}
	w.press(`form[action$="/` + act + `"] button.primary`)
}

func TestAnAdministratorLetsAColleagueBackIn(t *testing.T) {
	bothWays(t, func(t *testing.T, l look) {
		r := start(t)
		owner, _ := r.staff(l, "olga@acme.example", "Olga Owner", "owner")
		colleague, lost := r.staff(l, "sue@acme.example", "Sue Support", "support")
		colleague.visit(r.url + "/admin/settings")
		colleague.expect("404")
		colleague.sees("Page not found")

		owner.openUser(r.url, l, "Sue Support")
		owner.act(l, "send-reset", nil)
		owner.sees("The reset link is on its way.")
		link := r.mail("sue@acme.example", "Password change request", 1).Link(t, "/reset-password/")
		colleague.visit(link)
		colleague.fill("password", secondPassword)
		colleague.fill("confirm", secondPassword)
		colleague.press("button.primary")
		colleague.at("/sign-in")
		// The second factor is as it was.
		colleague.signInWithCode(r.url, "sue@acme.example", secondPassword, lost.Code(t))

		owner.press(`a[href="/admin/users"]`)
		owner.openUser(r.url, l, "Sue Support")
		if !l.noScripts {
			owner.do(chromedp.Focus(chromedp.CSS(`a.button[href$="/deactivate"]`)), chromedp.KeyEvent(kb.Enter))
			owner.finds(".act h1:focus")
			owner.do(chromedp.KeyEvent(kb.Enter), chromedp.KeyEvent(kb.Escape))
			owner.finds(`a.button[href$="/deactivate"]:focus`)
		}

		r.staleProof()
		selector := `a.button[href$="/reset-totp"]`
		owner.openUser(r.url, l, "Sue Support")
		if l.noScripts {
			owner.press(selector)
			owner.sees("Is it you?")
		} else {
			owner.click(selector)
			owner.sees("Is it you?")
			owner.do(chromedp.KeyEvent(kb.Escape))
			owner.finds(selector + ":focus")
		}
		r.freshProof()
		owner.openUser(r.url, l, "Sue Support")
		owner.act(l, "reset-totp", map[string]string{"reason": "Lost the phone, called back"})
		owner.sees("The authenticator was reset, and the user is told.", "Lost the phone, called back")
		r.mail("sue@acme.example", "Your second factor was changed", 2).Link(t, "/not-me/")
		colleague.visit(r.url + "/account")
		colleague.at("/sign-in?next=%2Faccount")
		colleague.fill("login", "sue@acme.example")
		colleague.fill("password", secondPassword)
		colleague.press("button.primary")
		colleague.at("/account/totp")
	})
}

func TestAPortalAdministratorLooksAfterTheOwnOrganizationAlone(t *testing.T) {
	bothWays(t, func(t *testing.T, l look) {
		r := start(t)
		r.command("", "organization", "create", "Borealis Ltd")
		r.command("", "organization", "create", "Cirrus Inc")
		r.command(firstPassword+"\n", "user", "create", "--email", "carl@cirrus.example", "--name", "Carl Cirrus", "--organization", "Cirrus Inc", "--password-stdin")
		foreign := r.id("carl@cirrus.example")
		w, _ := r.staff(l, "petra@borealis.example", "Petra Admin", "portal_administrator", "--organization", "Borealis Ltd")
		w.visit(r.url + "/admin/users")
		w.sees("Borealis Ltd only", "1 user")
		w.visit(r.url + "/admin/users/new")
		w.expect("422", "404")
		w.fill("name", "Ann Smith")
		w.fill("email", "carl@cirrus.example")
		w.press("main form button.primary")
		w.sees("This address cannot be used here.")
		w.fill("email", "ann@borealis.example")
		w.press("main form button.primary")
		w.sees("The user was made, and the invitation is on its way.", "Ann Smith", "Invited")

		for _, address := range []string{"/admin/users/" + foreign, "/admin/users/" + foreign + "/send-reset", "/admin/organizations", "/admin/settings"} {
			w.visit(r.url + address)
			w.sees("Page not found")
		}
		w.visit(r.url + "/admin/users?q=cirrus")
		w.sees("0 users")

		ann := open(t, l)
		ann.visit(r.mail("ann@borealis.example", "You are invited", 1).Link(t, "/invitation/"))
		ann.fill("password", firstPassword)
		ann.fill("confirm", firstPassword)
		ann.press("button.primary")
		ann.signIn(r.url, "ann@borealis.example", firstPassword)
		ann.sees("Petra Admin")
	})
}

func TestACustomerWhoLosesThePhoneComesBackByRecoveryCode(t *testing.T) {
	bothWays(t, func(t *testing.T, l look) {
		r := start(t)
		r.customer()
		w := open(t, l)
		w.expect("422")
		w.signIn(r.url, "ann", firstPassword)
		w.visit(r.url + "/account/security")
		if l.noScripts {
			w.press(`a[href="/account/totp"]`)
		} else {
			w.click(`a[href="/account/totp"]`)
		}
		w.finds("[data-totp-secret]")
		phone, codes := w.enrol()
		r.mail("ann@borealis.example", "Your second factor was changed", 1).Link(t, "/not-me/")
		w.visit(r.url + "/account/security")
		w.sees("10 codes left")

		again := open(t, l)
		again.expect("422")
		again.signInWithCode(r.url, "ann", firstPassword, phone.Code(t))
		again.visit(r.url + "/account/activity")
		again.sees("Signed in: with password and code")

		lost := open(t, l)
		lost.expect("422")
		lost.visit(r.url + "/sign-in")
		lost.fill("login", "ann")
		lost.fill("password", firstPassword)
		lost.press("button.primary")
		lost.fill("code", "000000")
		lost.press("button.primary")
		lost.sees("This code is not right")
		lost.fill("code", strings.ToUpper(strings.ReplaceAll(codes[3], "-", " ")))
		lost.press("button.primary")
		lost.at("/account")
		r.mail("ann@borealis.example", "A recovery code was used", 1).Link(t, "/not-me/")
		lost.visit(r.url + "/account/security")
		lost.sees("9 codes left")

		// The other browsers are signed out from here.
		if l.noScripts {
			lost.visit(r.url + "/account/sessions/end-others")
			lost.press("main form button.primary")
		} else {
			lost.press(`form[action="/account/sessions/end-others"] button`)
		}
		lost.sees("All other browsers were signed out.")
		w.visit(r.url + "/account")
		w.at("/sign-in?next=%2Faccount")
	})
}

func TestASettingThatStaffChangeTakesEffectAtOnce(t *testing.T) {
	bothWays(t, func(t *testing.T, l look) {
		r := start(t)
		w, _ := r.staff(l, "olga@acme.example", "Olga Owner", "owner")
		w.visit(r.url + "/admin/settings")
		w.fill("recovery.link_label", "Having trouble signing in?")
		w.press(`form:has([name="recovery.link_label"]) button.primary`)
		w.sees("The settings were saved.")
		w.expect("422")
		w.fill("recovery.link_minutes", "3")
		w.press(`form:has([name="recovery.link_minutes"]) button.primary`)
		w.sees("Use a whole number from 5 to 1440.")

		visitor := open(t, l)
		visitor.visit(r.url + "/sign-in")
		visitor.sees("Having trouble signing in?")
	})
}
