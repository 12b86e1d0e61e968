package handlers_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/internal/portaltest"
)

func TestEveryCookieOverHTTPSIsOfThisHostAlone(t *testing.T) { // C5
	t.Parallel()
	p := onSQLite(t)
	address, transport := overHTTPS(t, p)
	w := newWalk(t, p, address, transport)
	w.run()
	w.wantCookies("__Host-", true)
}

// wantCookies fails the test unless every cookie of the walk, also one that is taken away,
// is of this host alone and hidden from scripts.
func (w *walk) wantCookies(prefix string, secure bool) {
	w.t.Helper()
	given, taken := map[string]int{}, map[string]int{}
	for _, e := range append(w.met, w.second.met...) {
		for _, c := range e.cookies {
			name, ok := strings.CutPrefix(c.Name, prefix)
			if !ok || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Secure != secure {
				w.t.Errorf("%s %s sets %s", e.method, e.path, c)
			}
			if c.MaxAge < 0 {
				taken[name]++
			} else {
				given[name]++
			}
			wantLifetime(w.t, name, c)
		}
		if hsts := e.header.Get("Strict-Transport-Security"); (hsts == "max-age=31536000") != secure {
			w.t.Errorf("%s %s has HSTS %q", e.method, e.path, hsts)
		}
	}
	for _, name := range []string{"postern", "postern-browser", "postern-link", "postern-notice"} {
		if given[name] == 0 || taken[name] == 0 && name != "postern-browser" {
			w.t.Errorf("the walk was given %s %d times, and it was taken %d times", name, given[name], taken[name])
		}
	}
	if len(given) != 4 {
		w.t.Errorf("the cookies are %v", given)
	}
}

// wantLifetime fails the test unless the cookie lasts as long as what it is for.
func wantLifetime(t testing.TB, name string, c *http.Cookie) {
	t.Helper()
	if c.MaxAge < 0 {
		if c.Value != "" {
			t.Errorf("%s goes, with the value %q", name, c.Value)
		}
		return
	}
	age := time.Duration(c.MaxAge) * time.Second
	switch name {
	case "postern", "postern-notice":
		if c.MaxAge != 0 || !c.Expires.IsZero() {
			t.Errorf("%s outlives the browser: %s", name, c)
		}
	case "postern-browser":
		if age != 365*24*time.Hour {
			t.Errorf("%s lasts %s", name, age)
		}
	case "postern-link":
		if age > 14*24*time.Hour {
			t.Errorf("%s lasts %s", name, age)
		}
	}
}

func TestASessionPlantedBeforeTheSignInIsWorthNothing(t *testing.T) { // C4
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		b.SetCookie("postern", unknownToken)
		b.SignIn("ann", portaltest.Password)
		first := b.Cookie("postern")
		p.Clock.Advance(11 * time.Minute)
		b.Post("/reauthenticate", "password", portaltest.Password).WantTo("/account/security")
		second := b.Cookie("postern")
		b.Post("/account/password", "current_password", portaltest.Password, "password", portaltest.Another, "confirm", portaltest.Another).
			WantTo("/account/security")
		third := b.Cookie("postern")
		thief := p.Browser(t, "192.0.2.66")
		for name, token := range map[string]string{"planted": unknownToken, "before the proof": first, "before the new password": second} {
			thief.SetCookie("postern", token)
			if got := met(thief.Get("/account")); !strings.HasPrefix(got, toSignIn) {
				t.Errorf("the token %s opens the account: %s", name, got)
			}
		}
		if third == second || second == first || first == unknownToken {
			t.Error("a token was not renewed")
		}
		b.Get("/account").Want(http.StatusOK)
	})
}

func TestABrowserPlantedBeforeTheSignInStaysAStranger(t *testing.T) { // C4
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		p.Browser(t, "192.0.2.8").SignIn("ann", portaltest.Password)
		p.Mails(t)
		b := p.Browser(t, "192.0.2.1")
		b.SetCookie("postern-browser", unknownToken)
		b.SignIn("ann", portaltest.Password)
		p.Mails(t)
		thief := p.Browser(t, "192.0.2.66")
		thief.SetCookie("postern-browser", unknownToken)
		thief.SignIn("ann", portaltest.Password)
		if mails := p.Mails(t); len(mails) != 1 || mails[0].Subject != "New sign-in to your account" {
			t.Errorf("whoever planted a browser token signs in unseen: %d mails", len(mails))
		}
	})
}

func TestTwoSessionCookiesAreNobodys(t *testing.T) { // C8
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	genuine := b.Cookie("postern")
	for name, cookies := range map[string]string{
		"planted first":    "postern=" + unknownToken + "; postern=" + genuine,
		"planted last":     "postern=" + genuine + "; postern=" + unknownToken,
		"the same twice":   "postern=" + genuine + "; postern=" + genuine,
		"an empty one":     "postern=; postern=" + genuine,
		"of another name":  "__Host-postern=" + genuine,
		"in capitals":      "POSTERN=" + genuine,
		"two link cookies": "postern-link=" + unknownToken + "; postern-link=" + genuine,
	} {
		v := newVisitor(t, p.URL, http.DefaultTransport)
		v.header.Set("Cookie", cookies)
		page := v.get("/account")
		if page.status != http.StatusSeeOther || !strings.HasPrefix(page.header.Get("Location"), "/sign-in") {
			t.Errorf("%s: %d %s", name, page.status, page.header.Get("Location"))
		}
		if page := v.post("/account/profile", "name", "Eve", "phone", "", "time_zone", "UTC"); page.status != http.StatusSeeOther {
			t.Errorf("%s: %d", name, page.status)
		}
	}
	b.Get("/account").Want(http.StatusOK, "Ann Smith")
}

func TestSigningOutTakesAButton(t *testing.T) { // C16
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		b, other := p.Browser(t, "192.0.2.1"), p.Browser(t, "192.0.2.2")
		b.SignIn("ann", portaltest.Password)
		other.SignIn("ann", portaltest.Password)
		token := b.Cookie("postern")
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete} {
			b.Do(b.Request(method, "/sign-out", "")).Want(http.StatusMethodNotAllowed)
		}
		b.Get("/account").Want(http.StatusOK)
		page := b.Post("/sign-out").WantTo("/sign-in")
		if got := page.Header.Get("Clear-Site-Data"); got != `"cache", "storage"` {
			t.Errorf("Clear-Site-Data is %q", got)
		}
		if b.Cookie("postern") != "" {
			t.Error("the browser has kept the session's cookie")
		}
		b.SetCookie("postern", token)
		b.Get("/account").WantTo("/sign-in")
		b.Post("/sign-out").WantTo("/sign-in") // twice is harmless
		other.Get("/account").Want(http.StatusOK)
	})
}

func TestAStoreThatFailsShowsNothingPrivate(t *testing.T) { // C9
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		d := database(t, p)
		execute(t, d, `ALTER TABLE session RENAME TO session_gone`)
		for _, path := range []string{"/account", "/account/profile", "/account/email", "/sign-in", "/account/security"} {
			page := b.Get(path)
			if page.Status < 500 || strings.Contains(page.Body, "Ann Smith") || strings.Contains(page.Body, "ann@acme") || strings.Contains(page.Body, "session_gone") ||
				strings.Contains(page.Body, "SELECT") || !strings.Contains(page.Body, "Error id") {
				t.Errorf("%s: %d %s", path, page.Status, page.Text())
			}
			wantHeaders(t, page)
		}
		execute(t, d, `ALTER TABLE session_gone RENAME TO session`)
		b.Get("/account").Want(http.StatusOK, "Ann Smith")
	})
}

func TestASessionThatCannotBeSavedShowsOnlyAnError(t *testing.T) { // C9
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	p.Clock.Advance(11 * time.Minute)
	d := database(t, p)
	execute(t, d, `CREATE TRIGGER full BEFORE UPDATE OF data ON session BEGIN SELECT RAISE(ABORT, 'no room'); END`)
	page := b.Post("/account/username", "username", "typed-before")
	if page.Status < 500 || strings.Contains(page.Body, "typed-before") || strings.Contains(page.Body, "<h1>Change username") || strings.Contains(page.Body, "no room") {
		t.Errorf("%d: %s", page.Status, page.Body)
	}
	wantHeaders(t, page)
	execute(t, d, `DROP TRIGGER full`)
	b.Post("/account/username", "username", "typed-before").WantTo("/reauthenticate")
	b.Post("/reauthenticate", "password", portaltest.Password).WantTo("/account/security")
	page = b.Get("/account/username").Want(http.StatusOK)
	if got := input(t, page.Body, "username").attributes["value"]; got != "typed-before" {
		t.Errorf("what was typed is lost: %q", got)
	}
}

func TestSigningOutThatHalfWorkedIsSaid(t *testing.T) {
	t.Parallel()
	for name, htmx := range map[string]bool{"without scripts": false, "with htmx": true} {
		t.Run(name, func(t *testing.T) {
			p := onSQLite(t)
			newAnn(t, p)
			b := p.Browser(t, "192.0.2.1")
			b.SignIn("ann", portaltest.Password)
			execute(t, database(t, p), `CREATE TRIGGER full BEFORE UPDATE OF ended_at ON session BEGIN SELECT RAISE(ABORT, 'no room'); END`)
			b.HTMX = htmx
			page := b.Post("/sign-out").Want(http.StatusServiceUnavailable, "Signing out has only half worked", "Error id")
			wantHeaders(t, page)
			if b.Cookie("postern") != "" || strings.Contains(page.Body, "Ann Smith") || page.Whole() == htmx {
				t.Errorf("the cookie is %q: %s", b.Cookie("postern"), page.Text())
			}
			if !strings.Contains(p.Log.String(), `"level":"ERROR","msg":"a session was not ended"`) {
				t.Error("nobody is alarmed")
			}
		})
	}
}

func TestABrowserFullOfCookiesCanStillSignIn(t *testing.T) { // C19
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	for i := range 100 {
		b.SetCookie("bomb-"+strings.Repeat("x", i%7)+strings.Repeat("y", i), strings.Repeat("z", 150))
	}
	b.SetCookie("postern", strings.Repeat("A", 3000))
	b.SetCookie("postern-browser", strings.Repeat("B", 3000))
	b.SetCookie("postern-link", strings.Repeat("C", 3000))
	b.SetCookie("postern-notice", strings.Repeat("D", 3000))
	b.Get("/").WantTo("/sign-in")
	b.Get("/sign-in").Want(http.StatusOK)
	b.Get("/reset-password").Want(http.StatusGone)
	b.SignIn("ann", portaltest.Password)
	b.Post("/sign-out").WantTo("/sign-in")
}

func TestAnUnreadableSessionEndsAndHarmsNobodyElse(t *testing.T) { // C3
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		b, other := p.Browser(t, "192.0.2.1"), p.Browser(t, "192.0.2.2")
		b.SignIn("ann", portaltest.Password)
		d := database(t, p)
		garbage := `x'ff00'`
		if p.DB.Engine() == db.PostgreSQL {
			garbage = `'\xff00'`
		}
		execute(t, d, `UPDATE session SET data = `+garbage)
		other.SignIn("ann", portaltest.Password)
		b.Get("/account").WantTo("/sign-in")
		other.Get("/account").Want(http.StatusOK)
		b.SignIn("ann", portaltest.Password)
	})
}

func TestASessionEndsByItself(t *testing.T) { // C14
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		b, busy := p.Browser(t, "192.0.2.1"), p.Browser(t, "192.0.2.2")
		b.SignIn("ann", portaltest.Password)
		busy.SignIn("ann", portaltest.Password)
		for range 24 * 3 {
			p.Clock.Advance(19*time.Minute + 59*time.Second)
			busy.Get("/account").Want(http.StatusOK)
		}
		b.Get("/account").WantTo("/sign-in")
		p.Clock.Advance(2 * time.Minute)
		busy.Get("/account").WantTo("/sign-in")
	})
}

func TestASessionIsJudgedByTheUserAsTheyAreNow(t *testing.T) { // C15
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		d := database(t, p)
		for change, back := range map[string]string{"epoch = epoch + 1": "epoch = epoch - 1", "active = FALSE": "active = TRUE",
			"closed_at = 1": "closed_at = 0", "deleted_at = 1": "deleted_at = 0"} {
			token := b.Cookie("postern")
			execute(t, d, `UPDATE user_account SET `+change)
			if got := met(b.Get("/account")); !strings.HasPrefix(got, toSignIn) {
				t.Errorf("after %s the session opens the account: %s", change, got)
			}
			execute(t, d, `UPDATE user_account SET `+back)
			b.SetCookie("postern", token) // the answer has taken it away
			b.Get("/account").Want(http.StatusOK)
		}
	})
}

func TestAVisitorLeavesNoRow(t *testing.T) { // C13
	t.Parallel()
	p := onSQLite(t)
	d := database(t, p)
	before := dump(t, d)
	for _, path := range []string{"/", "/sign-in", "/forgot-password", "/support", "/account", "/nothing", "/reset-password"} {
		b := p.Browser(t, "192.0.2.1")
		b.SetCookie("postern", unknownToken)
		b.Get(path)
	}
	if tables := changed(before, dump(t, d)); len(tables) > 0 {
		t.Errorf("a visitor leaves something in %q", tables)
	}
}
