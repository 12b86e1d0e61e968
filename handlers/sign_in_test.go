package handlers_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/internal/directory"
	"postern/internal/portaltest"
)

// logins are users in every state that nobody outside may tell from another (B1).
func logins(t *testing.T, p *portaltest.Portal) map[string]string {
	t.Helper()
	newAnn(t, p)
	off := person(t, p, directory.NewUser{Email: "off@acme.example", Username: "off-user"})
	shut := person(t, p, directory.NewUser{Email: "shut@acme.example", Username: "shut-user"})
	p.User(t, directory.NewUser{Email: "ida@acme.example", Username: "ida", Invite: true})
	gone := p.Organization(t, "Gone")
	person(t, p, directory.NewUser{Email: "gone@gone.example", Username: "gone", Organization: "Gone"})
	if err := p.Directory.Deactivate(t.Context(), portaltest.Operator, off.ID, ""); err != nil {
		t.Fatal(err)
	}
	if err := p.Directory.SetOrganizationActive(t.Context(), portaltest.Operator, gone, false); err != nil {
		t.Fatal(err)
	}
	if err := p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.CloseUser(t.Context(), shut.ID) }); err != nil {
		t.Fatal(err)
	}
	p.Mails(t)
	return map[string]string{"unknown": "nobody@acme.example", "unknown username": "nobody", "active": "ann@acme.example", "active username": "ann",
		"inactive": "off@acme.example", "inactive username": "off-user", "shut": "shut@acme.example", "shut username": "shut-user",
		"invited": "ida@acme.example", "organization inactive": "gone@gone.example"}
}

// looks is all that tells one answer from another: status, headers, cookies and text, but
// for what was typed and the date.
func looks(page portaltest.Page, typed string) string {
	var lines []string
	for name, values := range page.Header {
		if name != "Date" && name != "Content-Length" {
			lines = append(lines, fmt.Sprint(name, values))
		}
	}
	slices.Sort(lines)
	return fmt.Sprint(page.Status, lines) + strings.ReplaceAll(page.Body, `value="`+typed+`"`, `value="typed"`)
}

func TestNobodyLearnsWhoHasAnAccount(t *testing.T) { // B1, A19
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		var from addresses
		users := logins(t, p)
		for _, htmx := range []bool{false, true} {
			signIns, requests, sent := map[string][]string{}, map[string][]string{}, map[string][]string{}
			for state, login := range users {
				if htmx && !strings.HasSuffix(state, "active") && state != "unknown" {
					continue // the same page; a hash each
				}
				b := p.Browser(t, from.next())
				b.HTMX = htmx
				refused := looks(b.Post("/sign-in", "login", login, "password", "Wrong-Harbour-42-Lantern"), login)
				signIns[refused] = append(signIns[refused], state)
				if strings.Contains(login, "@") {
					page := b.Post("/forgot-password", "email", login)
					asked, after := looks(page, login), looks(b.Follow(page), login)
					requests[asked], sent[after] = append(requests[asked], state), append(sent[after], state)
				}
			}
			for name, answers := range map[string]map[string][]string{"sign-in": signIns, "forgot-password": requests, "the page after it": sent} {
				if len(answers) != 1 {
					t.Errorf("%s, htmx %v, tells apart %q", name, htmx, slices.Collect(maps.Values(answers)))
				}
			}
		}
		if n := len(p.Mails(t)); n != 5 {
			t.Errorf("%d mails for five users who exist", n)
		}
	})
}

func TestTheRightPasswordOfAClosedAccountSaysNothing(t *testing.T) { // B1, A19
	t.Parallel()
	p := onSQLite(t)
	answers := map[string][]string{}
	for state, login := range logins(t, p) {
		if strings.HasPrefix(state, "active") {
			continue
		}
		b := p.Browser(t, "192.0.2.1")
		answer := looks(b.Post("/sign-in", "login", login, "password", portaltest.Password), login)
		answers[answer] = append(answers[answer], state)
	}
	if len(answers) != 1 {
		t.Errorf("the answers tell apart %q", slices.Collect(maps.Values(answers)))
	}
}

func TestTheWaitAfterWrongPasswordsIsTheSameForEverybody(t *testing.T) { // B1, B6
	t.Parallel()
	p := onSQLite(t)
	var from addresses
	logins(t, p)
	answers := map[string][]string{}
	for _, login := range []string{"nobody@acme.example", "ann@acme.example", "off@acme.example"} {
		var answer string
		for i := range 6 {
			b := p.Browser(t, from.next())
			page := b.Post("/sign-in", "login", login, "password", "Wrong-Harbour-42-Lantern")
			if want := map[bool]int{false: 422, true: 429}[i == 5]; page.Status != want {
				t.Fatalf("%s, attempt %d: %s", login, i+1, met(page))
			}
			answer += looks(page, login)
		}
		answers[answer] = append(answers[answer], login)
	}
	if len(answers) != 1 {
		t.Errorf("the answers tell apart %q", slices.Collect(maps.Values(answers)))
	}
}

func TestTooManyWrongPasswordsWaitAndTheOwnerIsNotKeptOut(t *testing.T) { // B6, B7
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		known := p.Browser(t, "192.0.2.9")
		known.SignIn("ann", portaltest.Password)
		known.Post("/sign-out").WantTo("/sign-in")
		b := p.Browser(t, "192.0.2.1")
		for range 5 {
			b.Post("/sign-in", "login", "ann", "password", "x").Want(http.StatusUnprocessableEntity)
		}
		held := b.Post("/sign-in", "login", " ANN ", "password", portaltest.Password, "next", "/account/security")
		held.Want(http.StatusTooManyRequests, "There were too many attempts. Wait 30 seconds, then try again.")
		if got := held.Header.Get("Retry-After"); got != "30" {
			t.Errorf("Retry-After is %q", got)
		}
		if login, next := input(t, held.Body, "login"), input(t, held.Body, "next"); login.attributes["value"] != " ANN " || next.attributes["value"] != "/account/security" {
			t.Errorf("login %q and next %q", login.attributes["value"], next.attributes["value"])
		}
		known.SignIn("ann", portaltest.Password)
		p.Clock.Advance(30 * time.Second)
		b.SignIn("ann", portaltest.Password)
	})
}

func TestAVisitorCanAskSixtyTimesAnHour(t *testing.T) { // G12
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "2001:db8::1")
	for i := range 61 {
		b.Address = "2001:db8::" + strconv.Itoa(i+1) // one network
		page := b.Post("/forgot-password", "email", fmt.Sprintf("user%d@acme.example", i))
		if (page.Status == http.StatusTooManyRequests) != (i == 60) {
			t.Fatalf("request %d: %s", i+1, met(page))
		}
		if i == 60 {
			page.Want(http.StatusTooManyRequests, "There were too many attempts.")
			if page.Header.Get("Retry-After") == "" || input(t, page.Body, "email").attributes["value"] != "user60@acme.example" {
				t.Errorf("Retry-After %q: %s", page.Header.Get("Retry-After"), page.Body)
			}
		}
	}
	other := p.Browser(t, "2001:db8:0:1::1")
	other.Post("/forgot-password", "email", "ann@acme.example").WantTo("/forgot-password/sent")
}

func TestOneAccountIsMailedOnceAMinuteAndNobodySeesIt(t *testing.T) { // G12
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		var from addresses
		answers, mails := map[string]bool{}, 0
		for _, wait := range []time.Duration{0, 0, 59 * time.Second, time.Second, time.Minute, time.Minute, 17 * time.Minute} {
			p.Clock.Advance(wait)
			b := p.Browser(t, from.next())
			page := b.Post("/forgot-password", "email", "Ann@acme.example")
			answers[looks(page, "")+looks(b.Follow(page), "")] = true
			mails += len(p.Mails(t))
		}
		if len(answers) != 1 || mails != 4 {
			t.Errorf("%d different answers, %d mails instead of 4", len(answers), mails)
		}
	})
}

func TestNextSurvivesAWrongPassword(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		page := b.Follow(b.Get("/account/profile").WantTo("/sign-in"))
		next := input(t, page.Body, "next").attributes["value"]
		page = b.Post("/sign-in", "login", "ann", "password", "x", "next", next).Want(http.StatusUnprocessableEntity)
		next = input(t, page.Body, "next").attributes["value"]
		page = b.Follow(b.Post("/sign-in", "login", "ANN@acme.example ", "password", portaltest.Password, "next", next))
		if page.Want(http.StatusOK, "Profile").Path != "/account/profile" {
			t.Errorf("arrived at %s", page.Path)
		}
		if strings.Contains(page.Header.Get("Location"), "signed-in") {
			t.Error("the marker stays in the address")
		}
		for path, to := range map[string]string{"/": "/account", "/sign-in": "/account", "/sign-in?next=/account/security": "/account"} {
			b.Get(path).WantTo(to)
		}
		b.Post("/sign-in", "login", "ann", "password", "x").WantTo("/account")
		b.Get("/account/security?signed-in").WantTo("/account/security")
	})
}

func TestABrowserWithoutCookiesIsToldSo(t *testing.T) { // E12
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	for _, next := range []string{"", "/account/security"} {
		answer := b.Post("/sign-in", "login", "ann", "password", portaltest.Password, "next", next)
		other := p.Browser(t, "192.0.2.1") // does not have the cookie
		other.Get(answer.Header.Get("Location")).Want(http.StatusOK, "Cookies are needed", "https", "Sign in again")
		b.Post("/sign-out")
	}
	for _, e := range rows(t, database(t, p), "session", nil) {
		if strings.Contains(e, "user_id=0") {
			t.Error("there is a session of nobody")
		}
	}
}

func TestASignInFromANewBrowserIsMailed(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password) // the first one ever
		b.Post("/sign-out")
		b.SignIn("ann", portaltest.Password)
		if n := len(p.Mails(t)); n != 0 {
			t.Errorf("%d mails about a known browser", n)
		}
		p.Browser(t, "198.51.100.77").SignIn("ann", portaltest.Password)
		m := p.Mail(t)
		if m.Subject != "New sign-in to your account" || m.To != ann.Email || !strings.Contains(m.Text, "Firefox on Linux") || !strings.Contains(m.Text, "198.51.100.77") {
			t.Errorf("%q to %s: %s", m.Subject, m.To, m.Text)
		}
		b.Post("/account/profile", "name", "Ann Smith", "phone", "", "time_zone", "UTC", "notify_sign_in", "false").WantTo("/account/profile")
		p.Browser(t, "198.51.100.78").SignIn("ann", portaltest.Password)
		if n := len(p.Mails(t)); n != 0 {
			t.Errorf("%d mails that nobody wants", n)
		}
	})
}

func TestASwitchedOffUserIsOutAtTheNextClick(t *testing.T) { // C15
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		acme := p.Organization(t, "Acme")
		ann := person(t, p, directory.NewUser{Email: "ann@acme.example", Username: "ann", Organization: "Acme"})
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		if err := p.Directory.SetOrganizationActive(t.Context(), portaltest.Operator, acme, false); err != nil {
			t.Fatal(err)
		}
		b.Get("/account").WantTo("/sign-in")
		if err := p.Directory.SetOrganizationActive(t.Context(), portaltest.Operator, acme, true); err != nil {
			t.Fatal(err)
		}
		b.Get("/account").WantTo("/sign-in")
		b.SignIn("ann", portaltest.Password)
		if err := p.Directory.Deactivate(t.Context(), portaltest.Operator, ann.ID, ""); err != nil {
			t.Fatal(err)
		}
		b.HTMX = true
		if got := met(b.Get("/account/security")); got != "401 "+strings.TrimPrefix(toSignIn, "303 ")+"%2Faccount%2Fsecurity" {
			t.Errorf("with htmx: %s", got)
		}
	})
}
