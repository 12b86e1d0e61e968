package handlers_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern/internal/directory"
	"postern/internal/portaltest"
)

var endForm = regexp.MustCompile(`/account/sessions/\d+/end`)

func TestABrowserIsSignedOutFromAnother(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		person(t, p, directory.NewUser{Email: "bob@acme.example", Username: "bob"})
		var browsers []*portaltest.Browser
		for i := range 3 {
			b := p.Browser(t, fmt.Sprint("198.51.100.", i+1))
			b.SignIn("ann", portaltest.Password)
			browsers = append(browsers, b)
		}
		bob := p.Browser(t, "203.0.113.1")
		bob.SignIn("bob", portaltest.Password)
		here := browsers[0]
		page := here.Get("/account/security").Want(http.StatusOK, "this browser", "198.51.100.1", "198.51.100.2", "198.51.100.3")
		forms := endForm.FindAllString(page.Body, -1)
		if len(forms) != 2 || strings.Contains(page.Body, "203.0.113.1") {
			t.Fatalf("the list offers %q: %s", forms, page.Text())
		}
		for _, form := range append(forms, "/account/sessions/9999/end", "/account/sessions/0/end", "/account/sessions/x/end", "/account/devices/1/forget") {
			bob.Get(form).Want(http.StatusNotFound)
			bob.Post(form).Want(http.StatusNotFound)
		}
		for _, b := range browsers {
			b.Get("/account").Want(http.StatusOK)
		}
		here.HTMX = true
		here.Get(forms[0]).Want(http.StatusOK, "Sign out this browser")
		page = here.Post(forms[0]).WantTo("/account/security")
		here.HTMX = false
		wantStatus(t, forms[0], here.Follow(page), "The browser was signed out.")
		here.Get(forms[0]).Want(http.StatusNotFound)
		here.Post(forms[0]).Want(http.StatusNotFound)
		out := 0
		for _, b := range browsers {
			if b.Get("/account").Status != http.StatusOK {
				out++
			}
		}
		if out != 1 {
			t.Errorf("%d browsers were signed out", out)
		}
		browsers[1].SignIn("ann", portaltest.Password)
		wantStatus(t, "end-others", here.Follow(here.Post("/account/sessions/end-others").WantTo("/account/security")), "All other browsers were signed out.")
		for _, b := range browsers[1:] {
			b.Get("/account").WantTo("/sign-in")
		}
		bob.Get("/account").Want(http.StatusOK)
		if page := here.Get("/account/security"); len(endForm.FindAllString(page.Body, -1)) > 0 {
			t.Errorf("browsers are left over: %s", page.Text())
		}
	})
}

func TestEverybodySeesTheirOwnActivityAlone(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		person(t, p, directory.NewUser{Email: "bob@acme.example", Username: "bob"})
		bob, b := p.Browser(t, "203.0.113.1"), p.Browser(t, "198.51.100.1")
		bob.SignIn("bob", portaltest.Password)
		b.SignIn("ann", portaltest.Password)
		for i := range 66 {
			b.Post("/account/profile", "name", fmt.Sprint("Ann ", i), "phone", "", "time_zone", "UTC").WantTo("/account/profile")
		}
		times, changes := 0, 0
		for at := "/account/activity"; at != ""; times++ {
			page := b.Get(at).Want(http.StatusOK, "198.51.100.1", "Firefox on Linux")
			changes += strings.Count(page.Text(), "The profile was changed")
			if strings.Contains(page.Body, "203.0.113.1") || strings.Count(page.Body, "<li>") > 34 {
				t.Errorf("%s: %s", at, page.Text())
			}
			at = nextPage(t, page.Body)
		}
		if times != 3 || changes != 66 {
			t.Errorf("%d pages with %d changes", times, changes)
		}
		first := b.Get("/account/activity")
		if bobs := bob.Get(nextPage(t, first.Body)); strings.Contains(bobs.Body, "198.51.100.1") {
			t.Errorf("somebody else's events are shown: %s", bobs.Text())
		}
		for _, after := range []string{"x", "0", "-1", "1.5", "99999999999999999999", "%27"} {
			b.Get("/account/activity?after=" + after).Want(http.StatusBadRequest)
		}
	})
}

func TestNoSessionIsListedThatDoesNotLive(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	ann, b, _, _ := enrolled(t, p)
	other := p.Browser(t, "198.51.100.9")
	givePassword(other) // owes its code
	page := b.Get("/account/security").Want(http.StatusOK, "Signed in now")
	if strings.Contains(page.Body, "198.51.100.9") {
		t.Errorf("a sign-in without its code is listed: %s", page.Text())
	}
	owner, _ := staff(t, p, directory.NewUser{Email: "olive@vendor.example", Role: "owner"})
	if page := owner.Get(userPage(ann)); strings.Contains(page.Body, "198.51.100.9") {
		t.Errorf("staff see a sign-in without its code: %s", page.Text())
	}
	if all := rows(t, database(t, p), "session", nil); !slices.ContainsFunc(all, func(row string) bool { return strings.Contains(row, "198.51.100.9") }) {
		t.Error("there is none to be seen")
	}
}
