package handlers_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/internal/directory"
	"postern/internal/mail/mailtest"
	"postern/internal/portaltest"
)

// payloads are names that try to become more than text (F1, F2, F3).
var payloads = []string{
	`<script>alert('evil')</script><img src=x onerror=alert('evil')>`,
	`" hx-post="/evil/1/disable" hx-trigger="load" autofocus onfocus="evil`,
	`<div hx-swap-oob="true" id="user-menu">evil</div></title></style>`,
	`'><svg/onload=evil> {{evil}} ${evil} </textarea><!-- http://evil`,
}

// risky are elements that no page of the portal has.
var risky = []string{"iframe", "object", "embed", "base", "math", "style", "textarea", "img", "template", "frame"}

// wantInert fails the test if something of a payload became more than text.
func wantInert(t *testing.T, where, body string) {
	t.Helper()
	for _, e := range elements(t, body) {
		if slices.Contains(risky, e.name) || e.name == "script" && (!strings.HasPrefix(e.attributes["src"], "/static/") || e.text != "") {
			t.Errorf("%s has an element %s: %v", where, e.name, e.attributes)
		}
		for name, value := range e.attributes {
			if strings.HasPrefix(name, "on") || name == "hx-swap-oob" || name == "style" || name == "autofocus" || name == "srcdoc" ||
				strings.HasPrefix(name, "hx-") && strings.Contains(value, "evil") ||
				(name == "id" || name == "class") && (value == "user-menu" || strings.Contains(value, "evil")) ||
				(name == "href" || name == "src" || name == "action") && !harmlessAddress(value) {
				t.Errorf("%s: %s has %s=%q", where, e.name, name, value)
			}
		}
	}
}

var ownAddress = regexp.MustCompile(`^(/[A-Za-z0-9._/?=&%+-]*|#[a-z_-]+|otpauth://totp/[A-Za-z0-9._~:/?=&%@!$'()*+,;-]*|mailto:\S+|tel:[0-9+]+|https?://(127\.0\.0\.1|help\.vendor\.example)\S*)$`)

func harmlessAddress(address string) bool {
	return ownAddress.MatchString(address) && !strings.HasPrefix(address, "//")
}

func TestANameIsNeverMoreThanText(t *testing.T) { // F1, F2, F3
	t.Parallel()
	for i, payload := range payloads {
		p := onSQLite(t)
		p.Organization(t, payload)
		person(t, p, directory.NewUser{Email: "boss@acme.example", Name: payload, Organization: payload, Role: "portal_administrator"})
		ann := person(t, p, directory.NewUser{Email: "ann@acme.example", Username: "ann", Name: payload, Organization: payload})
		for key, value := range map[string]string{
			"portal.name": payload, "support.email": `help'onload@vendor.example`, "support.phone": "+49 (30) 1/2",
			"support.url":         `https://help.vendor.example/?q="><script>evil</script>#'onload='evil`,
			"recovery.link_label": payload, "recovery.mail_subject": payload, "recovery.mail_link_text": payload,
		} {
			p.Set(t, key, value)
		}
		b := p.Browser(t, "192.0.2.1")
		shown := 0
		for _, page := range everyPage(t, p, b) {
			wantInert(t, page.Path, page.Body)
			if strings.Contains(page.Text(), payload) {
				shown++
			}
		}
		for _, page := range everyAdminPage(t, p, payload) {
			wantInert(t, page.Path, page.Body)
			if !strings.Contains(page.Text(), payload) {
				t.Errorf("%s does not show payload %d: %s", page.Path, i, page.Text())
			}
		}
		if shown < 15 {
			t.Errorf("payload %d is shown on %d pages only", i, shown)
		}
		b.Get("/account").Want(http.StatusOK, payload)
		if got := p.Reload(t, ann).Name; got != payload {
			t.Errorf("the name is %q", got)
		}
		wantInertMails(t, p)
	}
}

// everyPage signs Ann in and looks at all there is, also at forms that do not pass and at
// errors, as pages and as parts.
func everyPage(t *testing.T, p *portaltest.Portal, b *portaltest.Browser) []portaltest.Page {
	t.Helper()
	var pages []portaltest.Page
	look := func(paths ...string) {
		for _, path := range paths {
			for _, htmx := range []bool{false, true} {
				b.HTMX = htmx
				pages = append(pages, b.Get(path))
			}
		}
		b.HTMX = false
	}
	look("/sign-in", "/support", "/forgot-password", "/forgot-password/sent", "/reset-password", "/not-me", "/nothing", "/invitation/renew")
	pages = append(pages, b.Post("/sign-in", "login", payloads[0], "password", payloads[1], "next", payloads[2]),
		b.Post("/forgot-password", "email", payloads[0]))
	b.Get(askForLink(t, p, b)).WantTo("/reset-password")
	look("/reset-password")
	b.SignIn("ann", portaltest.Password)
	pages = append(pages, b.Post("/account/email", "email", payloads[1]), b.Post("/account/username", "username", payloads[1]),
		b.Post("/account/profile", "name", payloads[0]+payloads[1]+payloads[2], "phone", payloads[1], "time_zone", payloads[2]))
	b.Post("/account/email", "email", "ann.new@acme.example").WantTo("/account/security")
	look("/account", "/account/profile", "/account/totp", "/account/activity", "/account/sessions/end-others", "/account/security", "/account/password", "/account/email", "/account/username", "/reauthenticate", "/nothing")
	b.Get(mailTo(t, p, "ann.new@acme.example").Link(t, "/verify-email/")).WantTo("/verify-email")
	look("/verify-email")
	p.Set(t, "password.change_enabled", "false")
	p.Set(t, "recovery.enabled", "false")
	look("/account/security", "/forgot-password")
	return pages
}

// everyAdminPage is every page of the administration that names somebody or something, as
// an owner with such a name sees it.
func everyAdminPage(t *testing.T, p *portaltest.Portal, payload string) []portaltest.Page {
	t.Helper()
	b, owner := staff(t, p, directory.NewUser{Email: "olive@vendor.example", Name: payload, Role: "owner"})
	b.Post("/admin/roles", "name", payload, "scope", "everybody", "permissions", "users.view").WantTo("/admin/roles")
	role := ownRole(t, p, payload)
	other := person(t, p, directory.NewUser{Email: "otto@acme.example", Name: payload, Organization: payload, Role: role})
	p.Enrol(t, other)
	acme := fmt.Sprint("/admin/organizations/", other.OrganizationID)
	b.Post(acme, "name", payload, "contact_owner", strconv.FormatInt(owner.ID, 10)).WantTo(acme)
	b.Post(userPage(other)+"/unlock", "reason", payload).WantTo(userPage(other))
	var pages []portaltest.Page
	search := "?" + url.Values{"q": {payload}}.Encode()
	for _, path := range []string{"/admin/users", "/admin/users" + search, "/admin/users?role=" + role, userPage(other), userPage(owner), "/admin/organizations",
		"/admin/organizations" + search, acme, acme + "/deactivate", acme + "/activate", "/admin/roles", "/admin/roles/" + role} {
		pages = append(pages, b.Get(path).Want(http.StatusOK))
	}
	for act := range actLines {
		pages = append(pages, b.Get(userPage(other)+"/"+act).Want(http.StatusOK))
	}
	for path, fields := range map[string][]string{
		"/admin/users":  {"name", payload, "email", payload, "username", payload, "organization", payload, "role", payload},
		userPage(other): {"username", payload, "role", payload}, userPage(other) + "/delete": {"email", payload, "reason", payload},
		acme: {"name", payload, "contact_owner", payload}, "/admin/roles": {"name", payload, "scope", payload, "permissions", payload},
	} {
		pages = append(pages, b.Post(path, fields...).Want(http.StatusUnprocessableEntity))
	}
	return pages
}

// wantInertMails looks at every mail: markup is text, and nothing of a user's is what a mail
// program would turn into a link.
func wantInertMails(t *testing.T, p *portaltest.Portal) {
	t.Helper()
	p.Mails(t)
	mails := p.Sink.Mails()
	if len(mails) < 3 {
		t.Errorf("%d mails", len(mails))
	}
	for _, m := range mails {
		if m.HTML == "" || m.Text == "" {
			t.Errorf("the mail %q lacks a part", m.Subject)
		}
		body := regexp.MustCompile(`(?s)<style[^>]*>[^<]*</style>`).ReplaceAllString(m.HTML, "")
		for _, e := range elements(t, body) {
			if slices.Contains(risky, e.name) && e.name != "style" || e.name == "script" || e.attributes["id"] == "user-menu" {
				t.Errorf("the mail %q has an element %s", m.Subject, e.name)
			}
			for name, value := range e.attributes {
				if strings.HasPrefix(name, "on") || strings.HasPrefix(name, "hx-") || name == "href" && !harmlessAddress(value) {
					t.Errorf("the mail %q: %s has %s=%q", m.Subject, e.name, name, value)
				}
			}
		}
	}
}

func TestANameInAMailIsNoLink(t *testing.T) { // F1
	t.Parallel()
	p := onSQLite(t)
	const name = "Click www.evil.example or https://evil.example/now now, a@evil.example"
	p.Organization(t, "Acme")
	person(t, p, directory.NewUser{Email: "boss@acme.example", Name: name, Organization: "Acme", Role: "portal_administrator"})
	ann := person(t, p, directory.NewUser{Email: "ann@acme.example", Username: "ann", Name: name, Organization: "Acme"})
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	b.Post("/account/username", "username", "ann.two").WantTo("/account/security")
	p.Browser(t, "192.0.2.2").SignIn("ann@acme.example", portaltest.Password)
	b.Get(mailTo(t, p, ann.Email).Link(t, "/not-me/")).WantTo("/not-me")
	b.Post("/not-me").Want(http.StatusOK, "Your account is shut")
	p.Mails(t)
	mails := p.Sink.Mails()
	if len(mails) != 4 {
		t.Errorf("%d mails", len(mails))
	}
	for _, m := range mails {
		wantNoForeignLink(t, m)
	}
}

func wantNoForeignLink(t *testing.T, m mailtest.Mail) {
	t.Helper()
	if regexp.MustCompile(`evil\.|://evil|@evil|www\.`).MatchString(m.Text + m.HTML + m.Subject) {
		t.Errorf("the mail %q can lead somewhere else:\n%s", m.Subject, m.Text)
	}
	if strings.Contains(m.Subject, "Click") {
		t.Errorf("the subject %q has a user's words", m.Subject)
	}
}

func TestASupportAddressLeadsOnlyToTheWeb(t *testing.T) { // F4
	t.Parallel()
	p := onSQLite(t)
	b := p.Browser(t, "192.0.2.1")
	for _, address := range []string{"javascript:alert(1)", "//evil.example", `/\evil.example`, "/help", "data:text/html,x", "https:evil.example", "http:///evil.example",
		"https://user:pass@evil.example/", " javascript:alert(1)", "JAVASCRIPT:alert(1)", "https://", "vbscript:x", "https://good.example\r\nX: y"} {
		if _, err := p.Directory.ChangeSettings(t.Context(), portaltest.Operator, map[string]string{"support.url": address}); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
	b.Get("/support").Want(http.StatusOK, "Ask the person who gave you access.")
	p.Set(t, "support.url", "https://help.vendor.example/a b?x=1")
	page := b.Get("/support")
	if len(having(elements(t, page.Body), "href", "https://help.vendor.example/a%20b?x=1")) == 0 {
		t.Errorf("the support address is not on its page: %s", page.Body)
	}
}

func TestWhatIsTypedInAForeignFieldStaysOut(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	p.Clock.Advance(11 * time.Minute)
	b.Post("/account/email", "email", "ann.new@acme.example", "password", "one-quokka", "new_password", "two-quokka", "Password", "three-quokka", "junk", "four-quokka").
		WantTo("/reauthenticate")
	for table, all := range dump(t, database(t, p)) {
		for _, row := range all {
			if strings.Contains(row, "quokka") {
				t.Errorf("%s keeps what was typed: %q", table, row)
			}
		}
	}
}
