package main_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"postern/internal/portaltest"
)

const (
	firstPassword  = "Quiet-Harbour-42-Lantern"
	secondPassword = "Amber-Violin-77-Meadow"
	thirdPassword  = "Cobalt-Kettle-19-Prairie"
)

// bothWays runs a flow with scripts and without.
func bothWays(t *testing.T, flow func(t *testing.T, l look)) {
	t.Run("with scripts", func(t *testing.T) { flow(t, desktop) })
	t.Run("without scripts", func(t *testing.T) {
		l := phone
		l.noScripts = true
		flow(t, l)
	})
}

// setUp makes the first owner in the browser, who must enrol an authenticator at once.
func (r *running) setUp(w *window) *portaltest.Phone {
	r.t.Helper()
	w.visit(r.setup)
	w.at("/setup")
	w.fill("portal_name", "Acme Service")
	w.fill("support_email", "help@acme.example")
	w.fill("name", "Olga Owner")
	w.fill("email", "olga@acme.example")
	w.fill("password", firstPassword)
	w.fill("confirm", firstPassword)
	w.press("button.primary")
	w.at("/account/totp")
	w.sees("Your portal is set up.", "Add an authenticator")
	w.visit(r.url + "/account") // there is nowhere else to go
	w.at("/account/totp")
	a, _ := w.enrol()
	w.press("a.primary")
	w.at("/account/security")
	w.sees("Olga Owner", "10 codes left")
	return a
}

// customer makes a customer by command.
func (r *running) customer() {
	r.t.Helper()
	r.command("", "organization", "create", "Borealis Ltd")
	r.command(firstPassword+"\n", "user", "create", "--email", "ann@borealis.example", "--name", "Ann Smith", "--username", "ann",
		"--organization", "Borealis Ltd", "--password-stdin")
}

// signIn signs in and arrives at the account.
func (w *window) signIn(url, login, password string) {
	w.t.Helper()
	w.visit(url + "/sign-in")
	w.fill("login", login)
	w.fill("password", password)
	w.press("button.primary")
	w.at("/account")
}

func TestAFirstOwnerSetsThePortalUpAndSignsInAgain(t *testing.T) {
	bothWays(t, func(t *testing.T, l look) {
		r := start(t)
		w := open(t, l)
		w.expect("410")
		phone := r.setUp(w)
		w.click("details.menu > summary")
		w.press(".menu-items button")
		w.at("/sign-in")
		w.sees("You are signed out.")
		w.signInWithCode(r.url, "OLGA@acme.example", firstPassword, phone.Code(t))

		w.expect("404")
		w.visit(r.setup)
		w.sees("Page not found")
	})
}

func TestSomebodyWhoForgotThePasswordGetsBackIn(t *testing.T) {
	bothWays(t, func(t *testing.T, l look) {
		r := start(t)
		r.customer()
		w := open(t, l)
		w.visit(r.url)
		w.at("/sign-in")
		w.press(`a[href="/forgot-password"]`)
		w.expect("422", "410")
		w.fill("email", "ann at borealis")
		w.press("button.primary")
		w.sees("Enter an e-mail address such as name@example.com.")
		w.fill("email", "ann@borealis.example")
		w.press("button.primary")
		w.at("/forgot-password/sent")
		w.sees("Check your inbox", "portal@acme.example", "Password change request")

		link := r.mail("ann@borealis.example", "Password change request", 1).Link(t, "/reset-password/")
		w.visit(link)
		w.at("/reset-password")
		w.fill("password", "short")
		w.fill("confirm", "other")
		w.press("button.primary")
		w.sees("at least 8 characters", "The two passwords are not the same.")
		w.fill("password", secondPassword)
		w.fill("confirm", secondPassword)
		w.press("button.primary")
		w.at("/sign-in")
		w.sees("Your password was changed. Sign in with the new one.")
		r.mail("ann@borealis.example", "Your password was changed", 1)

		w.visit(link)
		w.at("/reset-password")
		w.sees("This link does not work any more")
		w.press("button.primary")
		w.at("/forgot-password/sent")
		r.mail("ann@borealis.example", "Password change request", 2).Link(t, "/reset-password/")

		w.signIn(r.url, "ann", secondPassword)
		w.sees("Hello Ann Smith", "Borealis Ltd")
	})
}

func TestAnInvitedPersonChoosesThePasswordAndSignsIn(t *testing.T) {
	bothWays(t, func(t *testing.T, l look) {
		r := start(t)
		r.command("", "user", "create", "--email", "bea@borealis.example", "--name", "Bea", "--invite")
		w := open(t, l)
		w.visit(r.mail("bea@borealis.example", "You are invited", 1).Link(t, "/invitation/"))
		w.at("/invitation")
		w.sees("Welcome")
		w.fill("password", firstPassword)
		w.fill("confirm", firstPassword)
		w.press("button.primary")
		w.at("/sign-in")
		w.sees("Your password is set. Sign in with it.")
		w.signIn(r.url, "bea@borealis.example", firstPassword)
	})
}

func TestACustomerChangesPasswordUsernameAndAddress(t *testing.T) {
	bothWays(t, func(t *testing.T, l look) {
		r := start(t)
		r.customer()
		w := open(t, l)
		w.expect("422")
		w.signIn(r.url, "ann", firstPassword)

		changes := func(address, button string) {
			w.visit(r.url + "/account/security")
			if l.noScripts {
				w.press(`a[href="` + address + `"]`)
			} else {
				w.click(`a[href="` + address + `"]`)
			}
			w.sees(button)
		}
		changes("/account/password", "Afterwards every other browser")
		w.fill("current_password", firstPassword)
		w.fill("password", secondPassword)
		w.fill("confirm", secondPassword)
		w.press("form button.primary")
		w.at("/account/security")
		w.sees("Your password was changed. All other browsers were signed out.")

		changes("/account/username", "3 to 32")
		w.fill("username", "Ann.Smith")
		w.press("form button.primary")
		w.sees("Your username was changed.", "ann.smith")

		changes("/account/email", "New e-mail address")
		w.fill("email", "ann.smith@borealis.example")
		w.press("form button.primary")
		w.sees("We have mailed a link to the new address.", "waits for its confirmation")
		w.visit(r.mail("ann.smith@borealis.example", "Confirm your new e-mail address", 1).Link(t, "/verify-email/"))
		w.at("/verify-email")
		w.press("button.primary")
		w.at("/account/security")
		w.sees("Your e-mail address was changed.", "ann.smith@borealis.example")
		r.mail("ann@borealis.example", "Your e-mail address was changed", 1).Link(t, "/not-me/")

		w.visit(r.url + "/account/profile")
		w.fill("name", "Ann-Marie Smith")
		w.press("button.primary")
		w.sees("Your profile was saved.")
	})
}

func TestSomebodyWhoseAccountWasTakenOverShutsIt(t *testing.T) {
	bothWays(t, func(t *testing.T, l look) {
		r := start(t)
		r.customer()
		thief := open(t, l)
		thief.signIn(r.url, "ann", firstPassword)
		thief.visit(r.url + "/account/password")
		thief.fill("current_password", firstPassword)
		thief.fill("password", thirdPassword)
		thief.fill("confirm", thirdPassword)
		thief.press("form button.primary")

		ann := open(t, l)
		ann.visit(r.mail("ann@borealis.example", "Your password was changed", 1).Link(t, "/not-me/"))
		ann.at("/not-me")
		ann.sees("This was not you?")
		ann.press("button.danger")
		ann.sees("Your account is shut")

		thief.visit(r.url + "/account")
		thief.at("/sign-in?next=%2Faccount")
		thief.expect("422")
		thief.fill("login", "ann")
		thief.fill("password", thirdPassword)
		thief.press("button.primary")
		thief.sees("Name and password do not match")

		r.command("", "user", "unlock", "ann@borealis.example")
		ann.visit(r.url + "/forgot-password")
		ann.fill("email", "ann@borealis.example")
		ann.press("button.primary")
		ann.visit(r.mail("ann@borealis.example", "Password change request", 1).Link(t, "/reset-password/"))
		ann.fill("password", secondPassword)
		ann.fill("confirm", secondPassword)
		ann.press("button.primary")
		ann.signIn(r.url, "ann", secondPassword)
	})
}

func TestFreshProofIsAskedForAndNothingTypedIsLost(t *testing.T) {
	bothWays(t, func(t *testing.T, l look) {
		r := start(t)
		r.customer()
		w := open(t, l)
		w.signIn(r.url, "ann", firstPassword)
		r.staleProof()
		w.visit(r.url + "/account/security")
		if l.noScripts {
			w.press(`a[href="/account/email"]`)
			w.at("/reauthenticate?next=%2Faccount%2Femail")
			w.fill("password", firstPassword)
			w.press("form button.primary")
			w.at("/account/email")
			return
		}
		w.click(`a[href="/account/email"]`)
		w.sees("Is it you?")
		w.fill("password", firstPassword)
		w.click(".panel.open button.primary")
		w.sees("New e-mail address")
		w.at("/account/security")
	})
}

func TestTheStrengthOfAPasswordIsToldWhileTyping(t *testing.T) {
	r := start(t)
	r.customer()
	w := open(t, phone)
	w.signIn(r.url, "ann", firstPassword)
	w.visit(r.url + "/account/password")
	met := func(rules ...string) {
		t.Helper()
		for _, rule := range rules {
			w.finds(`li[data-rule="` + rule + `"][data-met="true"]`)
		}
	}
	height := func() float64 {
		return get(w, chromedp.Evaluate[float64](`document.querySelector(".strength").offsetHeight`))
	}

	before := height()
	w.fill("password", "Password1!")
	met("length", "upper", "digit", "special")
	w.sees("This is close to a common password")
	w.fill("password", "Ann-Quiet-Harbour-42")
	met("strength")
	w.fill("password", "Borealis-Harbour-42")
	w.finds(`li[data-rule="personal"][data-met="false"]`)
	w.fill("password", secondPassword)
	w.fill("confirm", secondPassword)
	met("length", "upper", "digit", "special", "strength", "personal", "common", "match")
	w.sees("Strong")
	if after := height(); after != before {
		t.Errorf("the list has jumped from %v to %v px", before, after)
	}
	if said := get(w, chromedp.TextContent(chromedp.CSS("#announcer"))); said != "Strong. All requirements are met." {
		t.Errorf("a screen reader is told %q", said)
	}
	w.screenshot("met")
}

func TestAPasswordCanBeShownAndHidden(t *testing.T) {
	r := start(t)
	w := open(t, desktop)
	w.visit(r.url + "/sign-in")
	kind := func() string {
		return get(w, chromedp.JavascriptAttribute[string](chromedp.CSS("#password"), "type"))
	}
	w.fill("password", "secret")
	w.click(".show")
	if kind() != "text" {
		t.Error("the password is not shown")
	}
	w.click(".show")
	if kind() != "password" {
		t.Error("the password is not hidden again")
	}
}

func TestEverythingIsReachedWithTheKeyboardAlone(t *testing.T) {
	r := start(t)
	r.customer()
	w := open(t, desktop)
	w.visit(r.url + "/sign-in")
	// The first field has the focus; Tab goes on past the button that shows the password.
	w.do(chromedp.KeyEvent("ann"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(firstPassword))
	get(w, chromedp.WaitEvent(loaded, nil, chromedp.KeyEvent(kb.Enter)))
	w.at("/account")
	focused := func() string {
		return get(w, chromedp.Evaluate[string](`document.activeElement.textContent.trim()`))
	}
	w.do(chromedp.KeyEvent(kb.Tab))
	if focused() != "Skip to the content" {
		t.Errorf("the first stop is %q", focused())
	}

	w.visit(r.url + "/account/security")
	for range 30 {
		if focused() == "Change password" {
			break
		}
		w.do(chromedp.KeyEvent(kb.Tab))
		if outline := get(w, chromedp.Evaluate[string](`getComputedStyle(document.activeElement).boxShadow`)); outline == "none" {
			t.Errorf("the focus cannot be seen on %q", focused())
		}
	}
	w.do(chromedp.KeyEvent(kb.Enter))
	w.sees("Current password")
	w.finds("#current_password:focus")
	w.do(chromedp.KeyEvent(kb.Escape))
	w.finds(`a[href="/account/password"]:focus`)
}

func TestThePrivatePageDoesNotComeBackAfterSigningOut(t *testing.T) {
	r := start(t)
	r.customer()
	w := open(t, desktop)
	w.signIn(r.url, "ann", firstPassword)
	w.visit(r.url + "/account/security")
	w.click("details.menu > summary")
	w.press(".menu-items button")
	w.sees("You are signed out.")
	w.do(chromedp.NavigateBack())
	w.sees("Sign in")
	kept := get(w, chromedp.Evaluate[int](`localStorage.length + sessionStorage.length`))
	if kept != 0 {
		t.Errorf("%d entries are left in the browser's storage", kept)
	}
}
