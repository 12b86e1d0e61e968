package handlers_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/internal/directory"
	"postern/internal/portaltest"
	"postern/internal/totp"
)

// marked are the texts of the elements with that attribute.
func marked(t testing.TB, body, attribute string) []string {
	t.Helper()
	var texts []string
	for _, e := range elements(t, body) {
		if _, ok := e.attributes[attribute]; ok {
			texts = append(texts, e.text)
		}
	}
	return texts
}

var (
	groupsOfFour = regexp.MustCompile(`^[A-Z2-7]{4}( [A-Z2-7]{4})*$`)
	recoveryCode = regexp.MustCompile(`^[a-z2-7]{4}(-[a-z2-7]{4}){3}$`)
)

// shownSecret is the secret that the page of an enrolment shows.
func shownSecret(t testing.TB, body string) totp.Secret {
	t.Helper()
	shown := marked(t, body, "data-totp-secret")
	if len(shown) != 1 || !groupsOfFour.MatchString(shown[0]) {
		t.Fatalf("the page shows the secrets %q: %s", shown, body)
	}
	secret, err := totp.ParseSecret(shown[0])
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// shownCodes are the ten recovery codes that the page shows.
func shownCodes(t testing.TB, body string) []string {
	t.Helper()
	codes := marked(t, body, "data-recovery-code")
	if len(codes) != 10 || slices.ContainsFunc(codes, func(c string) bool { return !recoveryCode.MatchString(c) }) ||
		len(slices.Compact(slices.Sorted(slices.Values(codes)))) != 10 {
		t.Fatalf("the page shows the codes %q: %s", codes, body)
	}
	return codes
}

// nextCode is a code of that authenticator which was not used yet; for it the clock goes on.
func nextCode(t testing.TB, p *portaltest.Portal, secret totp.Secret) string {
	t.Helper()
	p.Clock.Advance(30 * time.Second)
	code, err := secret.Code(p.DB.Now().Time())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// wrongCode is a code that is none of the present ones.
func wrongCode(t testing.TB, p *portaltest.Portal, secret totp.Secret) string {
	t.Helper()
	for i := range 10 {
		typed := fmt.Sprintf("%06d", 111111*i)
		if _, ok := secret.Match(typed, p.DB.Now().Time()); !ok {
			return typed
		}
	}
	t.Fatal("every code is right")
	return ""
}

// enrol lets the browser's user add an authenticator, as a person would.
func enrol(t testing.TB, p *portaltest.Portal, b *portaltest.Browser) (totp.Secret, []string) {
	t.Helper()
	secret := shownSecret(t, b.Get("/account/totp").Want(http.StatusOK).Body)
	return secret, shownCodes(t, b.Post("/account/totp", "code", nextCode(t, p, secret)).Want(http.StatusOK).Body)
}

// enrolled is Ann with an authenticator, and the browser in which she has added it.
func enrolled(t testing.TB, p *portaltest.Portal) (ann db.User, b *portaltest.Browser, secret totp.Secret, codes []string) {
	t.Helper()
	ann = newAnn(t, p)
	b = p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	secret, codes = enrol(t, p, b)
	return p.Reload(t, ann), b, secret, codes
}

// givePassword lets Ann give her password in that browser.
func givePassword(b *portaltest.Browser) {
	b.Post("/sign-in", "login", "ann", "password", portaltest.Password).WantTo("/sign-in/verify")
}

func TestASignInTakesTheCodeOfTheAuthenticatorOnce(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		_, _, secret, _ := enrolled(t, p)
		for _, htmx := range []bool{false, true} {
			b := p.Browser(t, "192.0.2.2")
			b.HTMX = htmx
			page := b.Post("/sign-in", "login", "ann", "password", portaltest.Password, "next", "/account/profile").WantTo("/sign-in/verify")
			if b.Cookie("postern-browser") != "" {
				t.Error("a browser becomes known by the password alone")
			}
			page = b.Follow(page).Want(http.StatusOK, "Enter the code")
			next := input(t, page.Body, "next").attributes["value"]
			halfIn := b.Cookie("postern")
			for _, path := range []string{"/account", "/account/security", "/account/totp", "/reauthenticate"} {
				b.Get(path).WantTo("/sign-in/verify")
			}
			b.Post("/account/profile", "name", "Eve", "phone", "", "time_zone", "UTC").WantTo("/sign-in/verify")
			code := nextCode(t, p, secret)
			page = b.Follow(b.Post("/sign-in/verify", "code", code[:3]+" "+code[3:], "next", next)).Want(http.StatusOK, "Profile")
			if page.Path != "/account/profile" || b.Cookie("postern") == halfIn {
				t.Errorf("after the code: %s, token renewed: %v", page.Path, b.Cookie("postern") != halfIn)
			}
			thief := p.Browser(t, "192.0.2.66")
			thief.SetCookie("postern", halfIn)
			thief.Get("/account").WantTo("/sign-in")
			thief.Post("/sign-in/verify", "code", nextCode(t, p, secret)).WantTo("/sign-in")
			second := p.Browser(t, "192.0.2.3")
			givePassword(second)
			second.Post("/sign-in/verify", "code", code).Want(http.StatusUnprocessableEntity)
		}
	})
}

func TestAWrongCodeIsSaidBesideItsField(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	_, signedIn, secret, _ := enrolled(t, p)
	b := p.Browser(t, "192.0.2.2")
	givePassword(b)
	p.Mails(t)
	for i, typed := range []string{wrongCode(t, p, secret), "", "aaaa-aaaa-aaaa-aaaa", "call me"} {
		b.HTMX = i%2 == 1
		page := b.Post("/sign-in/verify", "code", typed).Want(http.StatusUnprocessableEntity)
		all := elements(t, page.Body)
		wantTied(t, typed, all, []string{"code"})
		if len(having(all, "role", "alert")) != 1 || page.Whole() == b.HTMX || input(t, page.Body, "code").attributes["value"] != "" {
			t.Errorf("%q: %s", typed, page.Body)
		}
	}
	for _, path := range []string{"/account/totp", "/account/totp/remove"} {
		page := signedIn.Post(path, "code", wrongCode(t, p, secret)).Want(http.StatusUnprocessableEntity)
		wantTied(t, path, elements(t, page.Body), []string{"code"})
		if !strings.Contains(page.Body, "<title>Error: ") {
			t.Errorf("%s: the title does not say that there was an error", path)
		}
	}
}

func TestFiveWrongCodesStartOver(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		ann, _, secret, _ := enrolled(t, p)
		b := p.Browser(t, "192.0.2.2")
		givePassword(b)
		p.Mails(t)
		for range 4 {
			b.Post("/sign-in/verify", "code", wrongCode(t, p, secret)).Want(http.StatusUnprocessableEntity)
		}
		if m := p.Mail(t); m.To != ann.Email || !strings.Contains(m.Text, "192.0.2.2") {
			t.Errorf("%q went to %s: %s", m.Subject, m.To, m.Text)
		}
		token := b.Cookie("postern")
		page := b.Follow(b.Post("/sign-in/verify", "code", wrongCode(t, p, secret)).WantTo("/sign-in"))
		wantStatus(t, "five wrong codes", page, "That took too long, or too many codes were wrong. Sign in again.")
		if b.Cookie("postern") != "" {
			t.Error("the browser keeps the dead session")
		}
		b.SetCookie("postern", token)
		b.Post("/sign-in/verify", "code", nextCode(t, p, secret)).WantTo("/sign-in")
		givePassword(b)
		b.Follow(b.Post("/sign-in/verify", "code", nextCode(t, p, secret)).WantTo("/account")).Want(http.StatusOK, "Hello Ann Smith")
	})
}

func TestAPasswordWithoutItsCodeIsForgotten(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	_, _, secret, _ := enrolled(t, p)
	late, out := p.Browser(t, "192.0.2.2"), p.Browser(t, "192.0.2.3")
	givePassword(late)
	p.Clock.Advance(9 * time.Minute)
	late.Get("/sign-in/verify").Want(http.StatusOK)
	p.Clock.Advance(time.Minute)
	late.Get("/sign-in/verify").WantTo("/sign-in")
	givePassword(late)
	p.Clock.Advance(10 * time.Minute)
	late.Post("/sign-in/verify", "code", nextCode(t, p, secret)).WantTo("/sign-in")
	givePassword(out)
	token := out.Cookie("postern")
	out.Post("/sign-out").WantTo("/sign-in")
	out.SetCookie("postern", token)
	out.Get("/sign-in/verify").WantTo("/sign-in")
}

func TestARecoveryCodeLetsInOnce(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		ann, b, _, codes := enrolled(t, p)
		p.Mails(t)
		for i, typed := range []string{codes[0], strings.ReplaceAll(codes[1], "-", ""), " " + strings.ToUpper(strings.ReplaceAll(codes[2], "-", " "))} {
			other := p.Browser(t, fmt.Sprint("192.0.2.", i+2))
			givePassword(other)
			other.Follow(other.Post("/sign-in/verify", "code", typed).WantTo("/account")).Want(http.StatusOK, "Hello Ann Smith")
			var subjects []string
			for _, m := range p.Mails(t) {
				if m.To == ann.Email {
					subjects = append(subjects, m.Subject)
				}
			}
			if !slices.Contains(subjects, "A recovery code was used") {
				t.Errorf("the mails are %q", subjects)
			}
			other.Get("/account/security").Want(http.StatusOK, fmt.Sprint(9-i))
			other.Post("/sign-out").WantTo("/sign-in")
			givePassword(other)
			other.Post("/sign-in/verify", "code", typed).Want(http.StatusUnprocessableEntity)
		}
		// New codes are shown once more, and the old ones are dead.
		fresh := shownCodes(t, b.Post("/account/recovery-codes").Want(http.StatusOK).Body)
		if slices.ContainsFunc(fresh, func(c string) bool { return slices.Contains(codes, c) }) {
			t.Error("an old code is shown again")
		}
		other := p.Browser(t, "192.0.2.9")
		givePassword(other)
		other.Post("/sign-in/verify", "code", codes[5]).Want(http.StatusUnprocessableEntity)
		other.Follow(other.Post("/sign-in/verify", "code", fresh[5]).WantTo("/account")).Want(http.StatusOK)
	})
}

func TestWhoCannotGetACodeIsToldWhomToAsk(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	owner := person(t, p, directory.NewUser{Email: "sue@vendor.example", Name: "Sue Support", Role: "support"})
	acme := p.Organization(t, "Acme")
	person(t, p, directory.NewUser{Email: "boss@acme.example", Name: "Bea Boss", Organization: "Acme", Role: "portal_administrator"})
	ann := person(t, p, directory.NewUser{Email: "ann@acme.example", Username: "ann", Name: "Ann Smith", Organization: "Acme"})
	p.Enrol(t, ann)
	b := p.Browser(t, "192.0.2.2")
	givePassword(b)
	b.Get("/sign-in/verify").Want(http.StatusOK, "I cannot get a code", "Bea Boss", "mailto:boss@acme.example")
	p.Set(t, "support.email", "help@vendor.example")
	if err := p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.SetContactOwner(t.Context(), acme, owner.ID) }); err != nil {
		t.Fatal(err)
	}
	b.Get("/sign-in/verify").Want(http.StatusOK, "Bea Boss", "Sue Support", "help@vendor.example")
}

func TestATrustedBrowserNeedsNoCodeForAWhile(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		_, _, secret, _ := enrolled(t, p)
		trust := func() *portaltest.Browser {
			b := p.Browser(t, "192.0.2.2")
			givePassword(b)
			if page := b.Get("/sign-in/verify").Want(http.StatusOK, "Do not ask in this browser for 30 days"); input(t, page.Body, "trust_device").attributes["checked"] != "" {
				t.Error("trust is chosen beforehand")
			}
			b.Follow(b.Post("/sign-in/verify", "code", nextCode(t, p, secret), "trust_device", "true").WantTo("/account")).Want(http.StatusOK)
			b.Post("/sign-out").WantTo("/sign-in")
			return b
		}
		b := trust()
		b.SignIn("ann", portaltest.Password)
		other := p.Browser(t, "192.0.2.3")
		givePassword(other)
		p.Clock.Advance(30*24*time.Hour - time.Minute)
		b.SignIn("ann", portaltest.Password)
		b.Post("/sign-out").WantTo("/sign-in")
		p.Clock.Advance(time.Minute)
		givePassword(b)

		b = trust()
		p.Set(t, "mfa.trust_device_days", "0")
		givePassword(b)
		if page := b.Get("/sign-in/verify"); strings.Contains(page.Body, "trust_device") {
			t.Error("trust is offered although it is switched off")
		}
		p.Set(t, "mfa.trust_device_days", "30")
		b.SignIn("ann", portaltest.Password)
		form := regexp.MustCompile(`/account/devices/\d+/forget`).FindString(b.Get("/account/security").Want(http.StatusOK, "Trusted browsers").Body)
		b.Get(form).Want(http.StatusOK, "Forget")
		wantStatus(t, form, b.Follow(b.Post(form).WantTo("/account/security")), "The browser asks for a code again.")
		b.Post(form).Want(http.StatusNotFound)
		b.Get(form).Want(http.StatusNotFound)
		b.Post("/sign-out").WantTo("/sign-in")
		givePassword(b)

		b = trust()
		b.SignIn("ann", portaltest.Password)
		b.Post("/account/password", "current_password", portaltest.Password, "password", portaltest.Another, "confirm", portaltest.Another).WantTo("/account/security")
		b.Post("/sign-out").WantTo("/sign-in")
		b.Post("/sign-in", "login", "ann", "password", portaltest.Another).WantTo("/sign-in/verify")
	})
}

func TestStaffAreNeverTrustedWithoutACode(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	b, sue := p.Staff(t, directory.NewUser{Email: "sue@vendor.example", Role: "support"})
	b.Post("/sign-out").WantTo("/sign-in")
	b.Post("/sign-in", "login", sue.Email, "password", portaltest.Password).WantTo("/sign-in/verify")
	if page := b.Get("/sign-in/verify"); strings.Contains(page.Body, "trust_device") {
		t.Error("trust is offered to staff")
	}
	b.Post("/sign-in/verify", "code", p.Code(t, sue), "trust_device", "true").WantTo("/account")
	b.Post("/sign-out").WantTo("/sign-in")
	b.Post("/sign-in", "login", sue.Email, "password", portaltest.Password).WantTo("/sign-in/verify")
}

func TestAnEnrolmentShowsOneSecretUntilItIsConfirmed(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		b, other := p.Browser(t, "192.0.2.1"), p.Browser(t, "192.0.2.2")
		b.SignIn("ann", portaltest.Password)
		other.SignIn("ann", portaltest.Password)
		p.Mails(t)
		page := b.Get("/account/totp").Want(http.StatusOK, "Add an authenticator", "otpauth://totp/Customer%20Portal:ann@acme.example?secret=")
		first := shownSecret(t, page.Body)
		b.HTMX = true
		for range 2 {
			if again := shownSecret(t, b.Get("/account/totp").Body); again.Text() != first.Text() {
				t.Error("the secret changes when the page is loaded again")
			}
			p.Clock.Advance(4*time.Minute + 59*time.Second)
		}
		page = b.Post("/account/totp", "code", wrongCode(t, p, first)).Want(http.StatusUnprocessableEntity)
		if shownSecret(t, page.Body).Text() != first.Text() {
			t.Error("a wrong code changes the secret")
		}
		b.HTMX = false
		p.Clock.Advance(2 * time.Second)
		b.Post("/reauthenticate", "password", portaltest.Password, "next", "/account/totp").WantTo("/account/totp")
		page = b.Post("/account/totp", "code", nextCode(t, p, first)).Want(http.StatusUnprocessableEntity, "The time for this code has run out.")
		second := shownSecret(t, page.Body)
		if second.Text() == first.Text() || p.Reload(t, ann).SecondFactor {
			t.Error("a secret outlives its time")
		}
		if n := len(p.Mails(t)); n != 0 {
			t.Errorf("%d mails before anything has changed", n)
		}
		shownCodes(t, b.Post("/account/totp", "code", nextCode(t, p, second)).Want(http.StatusOK).Body)
		if m := p.Mail(t); m.Subject != "Your second factor was changed" || m.To != ann.Email || m.Link(t, "/not-me/") == "" {
			t.Errorf("%q to %s: %s", m.Subject, m.To, m.Text)
		}
		b.Get("/account").Want(http.StatusOK)
		other.Get("/account").WantTo("/sign-in")
	})
}

func TestRecoveryCodesAreShownInOneAnswerAlone(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	first, codes := enrol(t, p, b)
	b.HTMX = true
	page := b.Post("/account/recovery-codes").Want(http.StatusOK, "They are shown only now.")
	if page.Whole() {
		t.Error("htmx gets a whole page")
	}
	codes = append(codes, shownCodes(t, page.Body)...)
	page = b.Get("/account/totp").Want(http.StatusOK, "Replace your authenticator")
	second := shownSecret(t, page.Body)
	if second.Text() == first.Text() {
		t.Error("the secret of the authenticator is shown again")
	}
	pages := []portaltest.Page{page, b.Post("/account/totp", "code", wrongCode(t, p, second))}
	for _, path := range []string{"/account", "/account/security", "/account/recovery-codes", "/account/activity", "/account/totp/remove"} {
		pages = append(pages, b.Get(path).Want(http.StatusOK))
	}
	replaced := b.Post("/account/totp", "code", nextCode(t, p, second)).Want(http.StatusOK)
	fresh := shownCodes(t, replaced.Body)
	for _, page := range append(pages, b.Get("/account/security"), b.Post("/account/totp", "code", nextCode(t, p, second))) {
		for _, code := range append(codes, fresh...) {
			if strings.Contains(page.Body, code) || strings.Contains(page.Body, strings.ReplaceAll(code, "-", "")) {
				t.Errorf("%s shows a recovery code", page.Path)
			}
		}
	}
	if slices.ContainsFunc(fresh, func(c string) bool { return slices.Contains(codes, c) }) {
		t.Error("another authenticator has the old codes")
	}
	other := p.Browser(t, "192.0.2.2")
	givePassword(other)
	other.Post("/sign-in/verify", "code", nextCode(t, p, first)).Want(http.StatusUnprocessableEntity)
	other.Post("/sign-in/verify", "code", codes[11]).Want(http.StatusUnprocessableEntity)
	other.Post("/sign-in/verify", "code", nextCode(t, p, second)).WantTo("/account")
}

func TestRemovingTheAuthenticatorTakesACode(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		ann, b, secret, codes := enrolled(t, p)
		other := p.Browser(t, "192.0.2.2")
		givePassword(other)
		other.Post("/sign-in/verify", "code", nextCode(t, p, secret)).WantTo("/account")
		p.Mails(t)
		b.Get("/account/totp/remove").Want(http.StatusOK, "your password alone signs you in")
		b.Post("/account/totp/remove").Want(http.StatusUnprocessableEntity)
		b.Post("/account/totp/remove", "code", wrongCode(t, p, secret)).Want(http.StatusUnprocessableEntity)
		other.Get("/account").Want(http.StatusOK)
		page := b.Follow(b.Post("/account/totp/remove", "code", nextCode(t, p, secret)).WantTo("/account/security"))
		wantStatus(t, "the removal", page, "The authenticator was removed. All other browsers were signed out.")
		if m := p.Mail(t); m.Subject != "Your second factor was changed" || m.To != ann.Email {
			t.Errorf("%q to %s", m.Subject, m.To)
		}
		other.Get("/account").WantTo("/sign-in")
		other.SignIn("ann", portaltest.Password)
		other.Get("/account/totp/remove").Want(http.StatusNotFound)
		_, fresh := enrol(t, p, b)
		b.Post("/account/totp/remove", "code", codes[0]).Want(http.StatusUnprocessableEntity)
		b.Post("/account/totp/remove", "code", fresh[0]).WantTo("/account/security")
	})
}

func TestTheCodeIsPartOfTheProof(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	_, b, secret, codes := enrolled(t, p)
	p.Clock.Advance(10 * time.Minute)
	next := "/account/email"
	page := b.Follow(b.Post("/account/email", "email", "ann.new@acme.example", "code", "654321").WantTo("/reauthenticate"))
	input(t, page.Body, "code")
	b.Post("/reauthenticate", "password", portaltest.Password, "next", next).Want(http.StatusUnprocessableEntity)
	page = b.Post("/reauthenticate", "password", portaltest.Password, "code", wrongCode(t, p, secret), "next", next).Want(http.StatusUnprocessableEntity)
	wantTied(t, "proof", elements(t, page.Body), []string{"code"})
	code := nextCode(t, p, secret)
	b.Post("/reauthenticate", "password", "wrong", "code", code, "next", next).Want(http.StatusUnprocessableEntity)
	b.Get(next).WantTo("/reauthenticate")
	page = b.Follow(b.Post("/reauthenticate", "password", portaltest.Password, "code", nextCode(t, p, secret), "next", next).WantTo(next))
	if got := input(t, page.Body, "email").attributes["value"]; got != "ann.new@acme.example" {
		t.Errorf("what was typed is %q", got)
	}
	p.Clock.Advance(10 * time.Minute)
	b.Post("/reauthenticate", "password", portaltest.Password, "code", codes[0], "next", next).WantTo(next)
}

func TestStaffEnrolBeforeAnythingElse(t *testing.T) {
	t.Parallel()
	for name, htmx := range map[string]bool{"without scripts": false, "with htmx": true} {
		t.Run(name, func(t *testing.T) {
			p := onSQLite(t)
			sue := person(t, p, directory.NewUser{Email: "sue@vendor.example", Name: "Sue Support", Role: "support"})
			b := p.Browser(t, "192.0.2.1")
			b.HTMX = htmx
			page := b.Follow(b.Post("/sign-in", "login", sue.Email, "password", portaltest.Password, "next", "/admin/users"))
			if page.Path != "/account/totp" {
				t.Fatalf("the sign-in arrives at %s", page.Path)
			}
			for _, path := range []string{"/", "/account", "/account/security", "/admin/users", "/account/activity", "/account/password"} {
				if page := b.Follow(b.Get(path)); page.Path != "/account/totp" {
					t.Errorf("%s arrives at %s", path, page.Path)
				}
			}
			b.Post("/account/profile", "name", "Sue Changed", "phone", "", "time_zone", "UTC").WantTo("/account/totp")
			b.Post("/account/email", "email", "sue.new@vendor.example").WantTo("/account/totp")
			b.Post("/password/strength", "for", "account", "password", "x").Want(http.StatusNotFound)
			if got := p.Reload(t, sue); got.Name != "Sue Support" || got.PendingEmail != "" {
				t.Errorf("the user is %+v", got)
			}
			b.Get("/support").Want(http.StatusOK)
			p.Clock.Advance(10 * time.Minute)
			b.Get("/account/totp").WantTo("/reauthenticate")
			b.Post("/reauthenticate", "password", portaltest.Password, "next", "/account/totp").WantTo("/account/totp")
			secret, _ := enrol(t, p, b)
			b.HTMX = false
			b.Get("/admin/users").Want(http.StatusOK, "Sue Support")
			// Without it again, the enrolment is owed again.
			b.Get("/account/totp/remove").Want(http.StatusOK, "you are asked to add another one at once")
			b.Post("/account/totp/remove", "code", nextCode(t, p, secret)).WantTo("/account/security")
			b.Get("/account/security").WantTo("/account/totp")
			b.Get("/admin/users").WantTo("/account/totp")
		})
	}
}

func TestEverybodyEnrolsWhereTheSettingsSaySo(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b, other := p.Browser(t, "192.0.2.1"), p.Browser(t, "192.0.2.2")
	b.SignIn("ann", portaltest.Password)
	p.Set(t, "mfa.required_for", "everyone")
	b.Get("/account").WantTo("/account/totp") // at the next click
	other.Follow(other.Post("/sign-in", "login", "ann", "password", portaltest.Password)).Want(http.StatusOK, "Your account needs a second factor")
	enrol(t, p, b)
	b.Get("/account").Want(http.StatusOK, "Hello Ann Smith")
	b.Get("/admin/users").Want(http.StatusNotFound)
	p.Set(t, "mfa.required_for", "staff")
	ida := person(t, p, directory.NewUser{Email: "ida@acme.example"})
	other.SignIn(ida.Email, portaltest.Password)
}

func TestAResetLeavesTheAuthenticator(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	_, _, secret, _ := enrolled(t, p)
	b := p.Browser(t, "192.0.2.2")
	b.Get(askForLink(t, p, b)).WantTo("/reset-password")
	b.Post("/reset-password", "password", portaltest.Another, "confirm", portaltest.Another).WantTo("/sign-in")
	b.Post("/sign-in", "login", "ann", "password", portaltest.Another).WantTo("/sign-in/verify")
	b.Get("/account").WantTo("/sign-in/verify")
	b.Follow(b.Post("/sign-in/verify", "code", nextCode(t, p, secret)).WantTo("/account")).Want(http.StatusOK, "Hello Ann Smith")
}
