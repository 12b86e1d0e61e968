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

	"postern/db"
	"postern/internal/directory"
	"postern/internal/portaltest"
)

// staff makes a user with a role and an authenticator, and a browser in which they are
// signed in, without the time that hashing takes.
func staff(t testing.TB, p *portaltest.Portal, form directory.NewUser) (*portaltest.Browser, db.User) {
	t.Helper()
	u := person(t, p, form)
	p.Enrol(t, u)
	b := p.Browser(t, fmt.Sprint("192.0.2.", 100+u.ID%100))
	p.SignInWithCode(t, b, u)
	return b, p.Reload(t, u)
}

// office is a portal with two customers' companies.
type office struct {
	p           *portaltest.Portal
	owner, boss *portaltest.Browser // Olive, who may do everything, and Bea, the administrator of Acme
	olive, bea  db.User
	ann, uma    db.User // customers, of Acme and of Umbra
	acme, umbra int64
}

func newOffice(t testing.TB, p *portaltest.Portal) *office {
	t.Helper()
	o := &office{p: p, acme: p.Organization(t, "Acme"), umbra: p.Organization(t, "Umbra")}
	o.owner, o.olive = staff(t, p, directory.NewUser{Email: "olive@vendor.example", Name: "Olive Owner", Role: "owner"})
	o.ann = person(t, p, directory.NewUser{Email: "ann@acme.example", Username: "ann", Name: "Ann Smith", Organization: "Acme"})
	o.uma = person(t, p, directory.NewUser{Email: "uma@umbra.example", Username: "uma", Name: "Uma Quiet", Organization: "Umbra"})
	o.boss, o.bea = staff(t, p, directory.NewUser{Email: "bea@acme.example", Name: "Bea Boss", Role: "portal_administrator", Organization: "Acme"})
	p.Mails(t)
	return o
}

func userPage(u db.User) string { return "/admin/users/" + strconv.FormatInt(u.ID, 10) }

// listed are the names in a list, by the links to their pages.
func listed(t testing.TB, body, folder string) []string {
	t.Helper()
	var names []string
	for _, e := range elements(t, body) {
		if regexp.MustCompile(`^`+folder+`/[a-z0-9_]+$`).MatchString(e.attributes["href"]) && e.name == "a" && e.attributes["class"] == "" {
			names = append(names, e.text)
		}
	}
	return names
}

// nextPage is the address of the next page; empty at the end.
func nextPage(t testing.TB, body string) string {
	t.Helper()
	for _, e := range elements(t, body) {
		if strings.Contains(e.attributes["href"], "after=") {
			return e.attributes["href"]
		}
	}
	return ""
}

func TestStaffFindAUserAmongMany(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		o := newOffice(t, p)
		var acmes []string
		for i := range 103 {
			name := fmt.Sprintf("Colleague %03d", 102-i)
			acmes = append(acmes, name)
			if _, err := p.Directory.CreateUser(t.Context(), portaltest.Operator,
				directory.NewUser{Email: fmt.Sprintf("c%d@acme.example", i), Name: name, Organization: "Acme"}); err != nil {
				t.Fatal(err)
			}
		}
		off := person(t, p, directory.NewUser{Email: "off@umbra.example", Name: "Otto 100% _Off", Organization: "Umbra"})
		if err := p.Directory.Deactivate(t.Context(), portaltest.Operator, off.ID, ""); err != nil {
			t.Fatal(err)
		}
		shut := person(t, p, directory.NewUser{Email: "shut@umbra.example", Name: "Shirley Shut", Organization: "Umbra"})
		if err := p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.CloseUser(t.Context(), shut.ID) }); err != nil {
			t.Fatal(err)
		}
		acme := strconv.FormatInt(o.acme, 10)
		for query, want := range map[string][]string{
			"":                            append([]string{"Olive Owner", "Ann Smith", "Uma Quiet", "Bea Boss", off.Name, shut.Name}, acmes...),
			"organization=" + acme:        append([]string{"Ann Smith", "Bea Boss"}, acmes...),
			"organization=acme":           append([]string{"Ann Smith", "Bea Boss"}, acmes...),
			"organization=nobody":         nil,
			"organization=9999":           nil,
			"q=UMA+q":                     {"Uma Quiet"},
			"q=umbra":                     {"Uma Quiet", off.Name, shut.Name},
			"q=%25+_":                     {off.Name},
			"q=ann%40acme":                {"Ann Smith"},
			"q=%27+OR+1=1":                nil,
			"status=inactive":             {off.Name},
			"status=shut":                 {shut.Name},
			"status=invited":              acmes,
			"status=nothing":              nil,
			"role=owner":                  {"Olive Owner"},
			"mfa=yes":                     {"Olive Owner", "Bea Boss"},
			"status=never&q=umbra&mfa=no": {"Uma Quiet", off.Name, shut.Name},
			"q=&status=&organization=&role=&mfa=&after=&status2=": append([]string{"Olive Owner", "Ann Smith", "Uma Quiet", "Bea Boss", off.Name, shut.Name}, acmes...),
		} {
			var found []string
			for at := "/admin/users?" + query; at != ""; {
				page := o.owner.Get(at).Want(http.StatusOK, plural(len(want), "user"))
				names := listed(t, page.Body, "/admin/users")
				if len(names) > 50 {
					t.Errorf("%s: %d users on a page", at, len(names))
				}
				found, at = append(found, names...), nextPage(t, page.Body)
			}
			if !slices.IsSortedFunc(found, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }) {
				t.Errorf("%s is not in the order of names: %q", query, found)
			}
			slices.Sort(found)
			slices.Sort(want)
			if !slices.Equal(found, want) {
				t.Errorf("%s finds %d users instead of %d: %.300q", query, len(found), len(want), found)
			}
		}
		page := o.owner.Get("/admin/users?q=%22umbra%22&status=never&mfa=no")
		if input(t, page.Body, "q").attributes["value"] != `"umbra"` {
			t.Errorf("what was searched for is gone: %s", page.Body)
		}
		var chosen []string
		for _, e := range having(elements(t, page.Body), "selected", "selected") {
			chosen = append(chosen, e.attributes["value"])
		}
		if !slices.Equal(chosen, []string{"never", "", "", "no"}) {
			t.Errorf("chosen is %q", chosen)
		}
		for _, query := range []string{"after=x", "after=%00", "q=" + strings.Repeat("a", 500), "q=a&q=b"} {
			o.owner.Get("/admin/users?" + query).Want(http.StatusBadRequest)
		}
	})
}

// plural is a number with its word, as pages write it.
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", one, "s")
}

func TestAUserWhoIsMadeIsInvited(t *testing.T) {
	t.Parallel()
	for name, htmx := range map[string]bool{"without scripts": false, "with htmx": true} {
		t.Run(name, func(t *testing.T) {
			p := portaltest.New(t, map[bool]db.Engine{false: db.SQLite, true: db.PostgreSQL}[htmx])
			o := newOffice(t, p)
			if page := o.owner.Get("/admin/users/new").Want(http.StatusOK, "invitation"); !formFor(t, page.Body, "/admin/users") {
				t.Error("there is no form")
			}
			o.owner.HTMX = htmx
			// Proof is not needed, and what is no field of the form is not read.
			p.Clock.Advance(11 * time.Minute)
			page := o.owner.Post("/admin/users", "name", "Carl Customer", "email", "Carl@umbra.example", "username", "CARL", "organization", strconv.FormatInt(o.umbra, 10),
				"role", "auditor", "password", portaltest.Another, "active", "false", "id", "1")
			carl, err := p.DB.Reader().UserByEmail(t.Context(), "carl@umbra.example")
			if err != nil || carl.Name != "Carl Customer" || carl.Username != "carl" || carl.OrganizationID != o.umbra || carl.Role.ID != "auditor" ||
				carl.Status() != "invited" || carl.PasswordSetAt != 0 {
				t.Fatalf("made is %+v: %v, %s", carl, err, page.Text())
			}
			page = o.owner.Follow(page.WantTo(userPage(carl))).Want(http.StatusOK, "Carl Customer", "Invited", "Invitation")
			wantStatus(t, "the creation", page, "The user was made, and the invitation is on its way.")
			m := p.Mail(t)
			if m.Subject != "You are invited" || m.To != "Carl@umbra.example" {
				t.Errorf("%q to %s", m.Subject, m.To)
			}
			link := m.Link(t, "/invitation/")
			if page := o.owner.Get(userPage(carl)); strings.Contains(page.Body, portaltest.Token(link)) {
				t.Error("staff see the link")
			}
			b := p.Browser(t, "192.0.2.1")
			b.Get(link).WantTo("/invitation")
			b.Post("/invitation", "password", portaltest.Another, "confirm", portaltest.Another).WantTo("/sign-in")
			b.Follow(b.Post("/sign-in", "login", "carl", "password", portaltest.Another)).Want(http.StatusOK, "Add an authenticator")
		})
	}
}

func TestWhatIsWrongWithAUserIsSaidBesideIt(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		o := newOffice(t, p)
		acme, umbra := strconv.FormatInt(o.acme, 10), strconv.FormatInt(o.umbra, 10)
		both := []*portaltest.Browser{o.owner, o.boss}
		for name, c := range map[string]struct {
			who []*portaltest.Browser
			wrongForm
		}{
			"nothing": {both, wrongForm{"", []string{"name", "", "email", ""}, []string{"name", "email"}, []string{"Enter a name.", "Enter an e-mail address."}}},
			"no such": {both, wrongForm{"", []string{"name", "Carl", "email", "carl@acme.example", "organization", "9999", "role", "king"},
				[]string{"role"}, []string{"There is no such role.", "There is no such organization."}}},
			"taken": {both, wrongForm{"", []string{"name", "Carl", "email", "ANN@acme.example"}, []string{"email"}, []string{"Another user has this address."}}},
			// Whether somebody of another company exists is said of usernames alone.
			"taken name": {both, wrongForm{"", []string{"name", "Carl", "email", "carl@acme.example", "username", "UMA"}, []string{"username"},
				[]string{"This username is taken."}}},
			"taken elsewhere": {both[:1], wrongForm{"", []string{"name", "Carl", "email", "uma@umbra.example"}, []string{"email"},
				[]string{"Another user has this address."}}},
			"somebody unseen": {both[1:], wrongForm{"", []string{"name", "Carl", "email", "uma@umbra.example"}, []string{"email"},
				[]string{"This address cannot be used here. Ask"}}},
			"an unseen organization": {both[1:], wrongForm{"", []string{"name", "Carl", "email", "carl@acme.example", "organization", umbra}, nil,
				[]string{"There is no such organization."}}},
			"an unseen organization's name": {both[1:], wrongForm{"", []string{"name", "Carl", "email", "carl@acme.example", "organization", "Umbra"}, nil,
				[]string{"There is no such organization."}}},
			"beyond": {both[1:], wrongForm{"", []string{"name", "Carl", "email", "carl@acme.example", "role", "support"}, []string{"role"},
				[]string{"This gives more than you may do yourself"}}},
			"a role over nobody": {both[:1], wrongForm{"", []string{"name", "Carl", "email", "carl@vendor.example", "role", "portal_administrator", "organization", ""},
				[]string{"organization"}, []string{"choose the organization, too"}}},
		} {
			for _, b := range c.who {
				c.path = "/admin/users"
				for _, b.HTMX = range []bool{false, true} {
					page := b.Post(c.path, c.fields...).Want(http.StatusUnprocessableEntity, c.says...)
					all := elements(t, page.Body)
					c.wantTyped(t, name, withoutChoices(all))
					if len(having(all, "role", "alert")) != 1 || page.Whole() == b.HTMX {
						t.Errorf("%s: %s", name, page.Body)
					}
					if b == o.owner && name == "no such" {
						wantTied(t, name, all, []string{"organization", "role"})
					} else if len(c.wrong) > 0 && name != "no such" {
						wantTied(t, name, all, c.wrong)
					}
				}
				b.HTMX = false
			}
		}
		if n, err := p.DB.Reader().CountUsers(t.Context(), db.UserFilter{}); err != nil || n != 4 {
			t.Errorf("%d users: %v", n, err)
		}
		// Of a user who is there already the same is said.
		page := o.boss.Post(userPage(o.ann), "username", "uma", "name", "").Want(http.StatusUnprocessableEntity, "Enter a name.")
		wantTied(t, "change", elements(t, page.Body), []string{"name"})
		o.boss.Post(userPage(o.ann), "username", "uma").Want(http.StatusUnprocessableEntity, "This username is taken.")
		o.boss.Post(userPage(o.ann), "email", "uma@umbra.example").Want(http.StatusUnprocessableEntity, "This address cannot be used here.")
		o.boss.Post(userPage(o.ann), "email", "bea@acme.example").Want(http.StatusUnprocessableEntity, "Another user has this address.")
		o.boss.Post(userPage(o.ann), "organization", umbra).Want(http.StatusUnprocessableEntity, "There is no such organization.")
		o.boss.Post(userPage(o.ann), "role", "owner").Want(http.StatusUnprocessableEntity, "This gives more than you may do yourself")
		o.boss.Post(userPage(o.ann), "organization", acme, "role", "customer", "name", "Ann Smith").WantTo(userPage(o.ann))
		wantUnchanged(t, p, o.ann)
	})
}

// withoutChoices leaves out the lists to choose from, whose value is none of their own.
func withoutChoices(all []element) []element {
	return slices.DeleteFunc(slices.Clone(all), func(e element) bool { return e.name == "select" })
}

func TestAnAddressAndARoleTakeFreshProof(t *testing.T) {
	t.Parallel()
	for name, htmx := range map[string]bool{"without scripts": false, "with htmx": true} {
		t.Run(name, func(t *testing.T) {
			p := portaltest.New(t, map[bool]db.Engine{false: db.SQLite, true: db.PostgreSQL}[htmx])
			o := newOffice(t, p)
			page := userPage(o.ann)
			o.owner.HTMX = htmx
			p.Clock.Advance(10 * time.Minute)
			o.owner.Post(page, "name", "Ann Smyth", "username", "ann.smyth", "email", "ann@acme.example", "role", "customer", "organization", "Umbra").WantTo(page)
			ann := p.Reload(t, o.ann)
			if ann.Name != "Ann Smyth" || ann.Username != "ann.smyth" || ann.OrganizationID != o.umbra {
				t.Errorf("without proof the user is %+v", ann)
			}
			p.Mails(t)
			answer := o.owner.Post(page, "name", "Ann Typed", "email", "ann.new@acme.example", "role", "auditor", "organization", "", "password", "typed-quokka")
			answer = o.owner.Follow(answer.WantTo("/reauthenticate"))
			next := input(t, answer.Body, "next").attributes["value"]
			wantUnchanged(t, p, ann)
			answer = o.owner.Post("/reauthenticate", "password", portaltest.Password, "code", p.Code(t, o.olive), "next", next).WantTo(page)
			shown := o.owner.Follow(answer).Want(http.StatusOK)
			if input(t, shown.Body, "name").attributes["value"] != "Ann Typed" || input(t, shown.Body, "email").attributes["value"] != "ann.new@acme.example" ||
				strings.Contains(shown.Body, "quokka") || len(having(elements(t, shown.Body), "open", "open")) == 0 {
				t.Errorf("what was typed is gone: %s", shown.Body)
			}
			var chosen []string
			for _, e := range having(elements(t, shown.Body), "selected", "selected") {
				chosen = append(chosen, e.attributes["value"])
			}
			if !slices.Equal(chosen, []string{"", "auditor"}) {
				t.Errorf("chosen are %q", chosen)
			}
			o.owner.Post(page, "name", "Ann Typed", "email", "ann.new@acme.example", "role", "auditor", "organization", "").WantTo(page)
			o.owner.HTMX = false
			saved := o.owner.Get(page)
			if len(having(elements(t, saved.Body), "open", "open")) != 0 {
				t.Error("what has been saved stands in the form once more, and would undo the next change")
			}
			wantStatus(t, "the change", saved, "Saved. The new address counts once it has been confirmed from there; the old one is told.")
			ann = p.Reload(t, o.ann)
			if ann.Email != "ann@acme.example" || ann.PendingEmail != "ann.new@acme.example" || ann.Role.ID != "auditor" || ann.OrganizationID != 0 {
				t.Errorf("the user is %+v", ann)
			}
			to := map[string]int{}
			var link string
			for _, m := range p.Mails(t) {
				to[m.To]++
				if m.To == "ann.new@acme.example" {
					link = m.Link(t, "/verify-email/")
				}
			}
			if to["ann.new@acme.example"] != 1 || to["ann@acme.example"] < 1 || len(to) != 2 {
				t.Errorf("the mails are %v", to)
			}
			b := p.Browser(t, "192.0.2.1")
			b.Post("/sign-in", "login", "ann@acme.example", "password", portaltest.Password).WantTo("/account")
			enrol(t, p, b) // an auditor must
			b.Get(link).WantTo("/verify-email")
			b.Post("/verify-email").Want(http.StatusGone) // the change of the authenticator has voided it
		})
	}
}

func TestNobodyIsAskedForProofOfWhatTheyMayNotDo(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	o := newOffice(t, p)
	p.Clock.Advance(10 * time.Minute)
	for _, path := range []string{userPage(o.uma), userPage(o.olive), "/admin/users/9999", "/admin/users/0", "/admin/users/01", "/admin/users/x", "/admin/users/-1",
		"/admin/users/99999999999999999999"} {
		for _, act := range []string{"", "/delete", "/reset-totp", "/send-reset", "/deactivate", "/nothing"} {
			o.boss.Post(path+act, "email", "new@acme.example", "role", "customer", "reason", "x").Want(http.StatusNotFound)
			o.boss.Get(path + act).Want(http.StatusNotFound)
		}
	}
	for _, role := range []string{"customer", "owner"} {
		o.boss.Post(userPage(o.bea), "role", role).Want(http.StatusNotFound)
	}
	o.boss.Get(userPage(o.bea) + "/delete").Want(http.StatusNotFound)
	o.boss.Post(userPage(o.bea)+"/reset-totp", "reason", "x").Want(http.StatusNotFound)
	o.owner.Post("/admin/roles/owner", "name", "x", "scope", "everybody").Want(http.StatusNotFound)
	o.owner.Post("/admin/roles/nothing", "name", "x", "scope", "everybody").Want(http.StatusNotFound)
	wantUnchanged(t, p, p.Reload(t, o.uma), p.Reload(t, o.bea))
}

func TestAPortalAdministratorSeesTheirOwnOrganizationAlone(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		o := newOffice(t, p)
		_, sue := staff(t, p, directory.NewUser{Email: "sue@vendor.example", Name: "Sue Secret", Role: "support"})
		if err := p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.SetContactOwner(t.Context(), o.umbra, sue.ID) }); err != nil {
			t.Fatal(err)
		}
		person(t, p, directory.NewUser{Email: "ulf@umbra.example", Name: "Ulf Quiet", Organization: "Umbra", Role: "portal_administrator"})
		invisible := []string{"Umbra", "umbra.example", "Uma", "Ulf", "Sue Secret", "vendor.example", "Olive"}
		umbra, uma := strconv.FormatInt(o.umbra, 10), strconv.FormatInt(o.uma.ID, 10)
		for path, count := range map[string]int{"/admin/users": 2, "/admin/users?q=quiet": 0, "/admin/users?q=example": 2, "/admin/users?organization=" + umbra: 0,
			"/admin/users?organization=umbra": 0, "/admin/users?role=owner": 0, "/admin/users?role=portal_administrator": 1, "/admin/users?mfa=no": 1,
			"/admin/users?status=never": 1, "/admin/users?after=": 2} {
			page := o.boss.Get(path).Want(http.StatusOK, plural(count, "user"), "Acme only")
			if names := listed(t, page.Body, "/admin/users"); len(names) != count {
				t.Errorf("%s lists %q", path, names)
			}
			for _, text := range invisible {
				if shown := strings.ReplaceAll(page.Body, "?organization=umbra", ""); strings.Contains(shown, text) {
					t.Errorf("%s shows %q: %s", path, text, page.Text())
				}
			}
			if len(having(elements(t, page.Body), "value", "auditor")) > 0 {
				t.Errorf("%s tells of the vendor's roles", path)
			}
			if len(having(elements(t, page.Body), "name", "organization")) > 0 {
				t.Errorf("%s lets them choose an organization", path)
			}
		}
		for _, path := range []string{userPage(o.ann), "/admin/users/new", "/account"} {
			page := o.boss.Get(path).Want(http.StatusOK)
			for _, text := range invisible {
				if strings.Contains(page.Body, text) {
					t.Errorf("%s shows %q: %s", path, text, page.Text())
				}
			}
		}
		before := p.Reload(t, o.uma)
		for _, act := range []string{"", "/send-reset", "/reset-totp", "/activate", "/deactivate", "/unlock", "/end-sessions", "/revoke-links", "/resend-invitation",
			"/withdraw-invitation", "/delete"} {
			path := "/admin/users/" + uma + act
			o.boss.Get(path).Want(http.StatusNotFound)
			o.boss.Post(path, "email", "uma@umbra.example", "reason", "x", "name", "Eve", "organization", strconv.FormatInt(o.acme, 10)).Want(http.StatusNotFound)
		}
		for _, path := range []string{"/admin/organizations", "/admin/organizations/" + umbra, "/admin/organizations/" + strconv.FormatInt(o.acme, 10), "/admin/roles", "/admin/roles/owner"} {
			o.boss.Get(path).Want(http.StatusNotFound)
		}
		wantUnchanged(t, p, before)
		o.boss.Post("/admin/users", "name", "Dora New", "email", "dora@acme.example", "role", "portal_administrator").Want(http.StatusSeeOther)
		dora, err := p.DB.Reader().UserByEmail(t.Context(), "dora@acme.example")
		if err != nil || dora.OrganizationID != o.acme {
			t.Errorf("made is %+v: %v", dora, err)
		}
		// Out of the organization is out of sight, at the next click.
		o.owner.Post(userPage(o.ann), "organization", umbra).WantTo(userPage(o.ann))
		o.boss.Get(userPage(o.ann)).Want(http.StatusNotFound)
	})
}

func TestWhoOutranksIsSeenAndNotTouched(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	o := newOffice(t, p)
	// In Acme, but over everybody: more than its administrator.
	top := person(t, p, directory.NewUser{Email: "top@acme.example", Name: "Theo Top", Organization: "Acme", Role: "support"})
	p.Enrol(t, top)
	page := o.boss.Get(userPage(top)).Want(http.StatusOK, "Theo Top", "This person may do more than you, so you cannot change anything here.")
	for _, e := range elements(t, page.Body) {
		if to := e.attributes["href"] + e.attributes["action"]; strings.HasPrefix(to, userPage(top)) {
			t.Errorf("there is a way to %s", to)
		}
	}
	top = p.Reload(t, top)
	for _, act := range []string{"", "/send-reset", "/reset-totp", "/deactivate", "/unlock", "/end-sessions", "/revoke-links", "/delete"} {
		if act != "" {
			o.boss.Get(userPage(top) + act).Want(http.StatusNotFound)
		}
		o.boss.Post(userPage(top)+act, "email", top.Email, "reason", "x", "name", "Eve").Want(http.StatusNotFound)
	}
	wantUnchanged(t, p, top)
	support, _ := staff(t, p, directory.NewUser{Email: "sue@vendor.example", Role: "support"})
	page = support.Get(userPage(o.ann)).Want(http.StatusOK, "Ann Smith", "Send reset link")
	if formFor(t, page.Body, userPage(o.ann)) || strings.Contains(page.Body, "/deactivate") {
		t.Errorf("support can change a user: %s", page.Body)
	}
	if page := support.Get("/admin/users"); strings.Contains(page.Body, "/admin/users/new") || strings.Contains(page.Body, "/admin/import") {
		t.Error("support can make users")
	}
	support.Post(userPage(o.olive) + "/send-reset").Want(http.StatusNotFound)
	support.Post(userPage(top) + "/send-reset").WantTo(userPage(top)) // their like
}

func TestNobodyChangesTheirOwnStanding(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	o := newOffice(t, p)
	for b, u := range map[*portaltest.Browser]db.User{o.owner: o.olive, o.boss: o.bea} {
		u = p.Reload(t, u)
		page := b.Get(userPage(u)).Want(http.StatusOK, "Your own role and organization are somebody else's to change.")
		for _, name := range []string{"role", "organization"} {
			if len(having(elements(t, page.Body), "name", name)) > 0 {
				t.Errorf("%s can choose their own %s", u.Name, name)
			}
		}
		for _, act := range []string{"activate", "deactivate", "unlock", "delete", "reset-totp"} {
			if strings.Contains(page.Body, userPage(u)+"/"+act) {
				t.Errorf("%s has a button to %s themselves", u.Name, act)
			}
			b.Get(userPage(u) + "/" + act).Want(http.StatusNotFound)
			b.Post(userPage(u)+"/"+act, "email", u.Email, "reason", "x").Want(http.StatusNotFound)
		}
		b.Post(userPage(u), "role", "customer").Want(http.StatusNotFound)
		b.Post(userPage(u), "organization", "Umbra").Want(map[bool]int{true: http.StatusNotFound, false: http.StatusUnprocessableEntity}[b == o.owner])
		b.Post(userPage(u), "name", u.Name, "role", u.Role.ID).WantTo(userPage(u))
		wantUnchanged(t, p, u)
	}
}

func TestTheLastOwnerStays(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		o := newOffice(t, p)
		// Somebody with as much as an owner, in another role.
		form := []string{"name", "Deputy", "scope", "everybody", "permissions", "users.view users.edit users.reset_password users.reset_totp organizations.edit roles.edit",
			"permissions", "settings.edit", "permissions", "mail.view", "permissions", "audit.view"}
		o.owner.Post("/admin/roles", form...).WantTo("/admin/roles")
		deputies := listed(t, o.owner.Get("/admin/roles").Body, "/admin/roles")
		id := regexp.MustCompile(`/admin/roles/(role_[a-z0-9]+)`).FindStringSubmatch(o.owner.Get("/admin/roles").Body)
		if len(id) != 2 || !slices.Contains(deputies, "Deputy") {
			t.Fatalf("the roles are %q", deputies)
		}
		b, _ := staff(t, p, directory.NewUser{Email: "dan@vendor.example", Name: "Dan Deputy", Role: id[1]})
		execute(t, database(t, p), `UPDATE user_account SET organization_id = `+strconv.FormatInt(o.umbra, 10)+` WHERE id = `+strconv.FormatInt(o.olive.ID, 10))
		before := p.Reload(t, o.olive)
		for path, fields := range map[string][]string{
			userPage(o.olive) + "/deactivate":                           nil,
			userPage(o.olive) + "/delete":                               {"email", o.olive.Email},
			userPage(o.olive):                                           {"role", "customer"},
			fmt.Sprint("/admin/organizations/", o.umbra, "/deactivate"): nil,
		} {
			page := b.Post(path, fields...).Want(http.StatusUnprocessableEntity, "This would leave the portal without an active owner.")
			if len(having(elements(t, page.Body), "role", "alert")) != 1 {
				t.Errorf("%s: no alert: %s", path, page.Body)
			}
			wantUnchanged(t, p, before)
		}
		person(t, p, directory.NewUser{Email: "second@vendor.example", Role: "owner"})
		b.Post(userPage(o.olive) + "/deactivate").WantTo(userPage(o.olive))
	})
}

func TestAListIsNarrowedAsAPartOfThePage(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	o := newOffice(t, p)
	o.owner.HTMX = true
	page := o.owner.Get("/admin/users?"+url.Values{"q": {"uma"}}.Encode()).Want(http.StatusOK, "1 user", "Uma Quiet")
	if page.Whole() || len(having(elements(t, page.Body), "id", "results")) != 1 {
		t.Errorf("htmx gets %s", page.Body)
	}
	o.owner.Get("/admin/users?q=nobody").Want(http.StatusOK, "0 users", "No user matches.")
}

func TestWhatIsKeptOfAFormIsShort(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	o := newOffice(t, p)
	p.Clock.Advance(11 * time.Minute)
	form := []string{"name", "Helpers", "scope", "organization"}
	for range 4000 {
		form = append(form, "permissions", "x")
	}
	o.owner.Post("/admin/roles", form...).WantTo("/reauthenticate")
	page := o.owner.Follow(o.owner.Post("/reauthenticate", "password", portaltest.Password, "code", p.Code(t, o.olive), "next", "/admin/roles/new").WantTo("/admin/roles/new"))
	if got := input(t, page.Body, "name").attributes["value"]; got != "Helpers" {
		t.Errorf("the name was typed for nothing: %q", got)
	}
	var longest int
	if err := rawDatabase(t).QueryRow(`SELECT max(length(data)) FROM session`).Scan(&longest); err != nil || longest > 1000 {
		t.Errorf("a session holds %d bytes: %v", longest, err)
	}
}
