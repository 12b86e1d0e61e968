package handlers_test

import (
	"fmt"
	"net/http"
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

func TestAnOrganizationIsMadeChangedAndSwitchedOff(t *testing.T) {
	t.Parallel()
	for name, htmx := range map[string]bool{"without scripts": false, "with htmx": true} {
		t.Run(name, func(t *testing.T) {
			p := portaltest.New(t, map[bool]db.Engine{false: db.SQLite, true: db.PostgreSQL}[htmx])
			o := newOffice(t, p)
			b := p.Browser(t, "192.0.2.1")
			b.SignIn("uma", portaltest.Password)
			p.Clock.Advance(10 * time.Minute) // nothing here takes fresh proof
			o.owner.HTMX = htmx
			page := o.owner.Post("/admin/organizations", "name", "  Nimbus   GmbH ", "contact_owner", strconv.FormatInt(o.olive.ID, 10))
			nimbus, err := p.DB.Reader().OrganizationByName(t.Context(), "nimbus gmbh")
			if err != nil || nimbus.Name != "Nimbus GmbH" || nimbus.ContactOwnerID != o.olive.ID || !nimbus.Active {
				t.Fatalf("made is %+v: %v, %s", nimbus, err, page.Text())
			}
			path := fmt.Sprint("/admin/organizations/", nimbus.ID)
			wantStatus(t, "the creation", o.owner.Follow(page.WantTo(path)), "The organization was saved.")
			o.owner.Get("/admin/organizations").Want(http.StatusOK, "Nimbus GmbH", "Olive Owner", "Acme", "Umbra")
			if names := listed(t, o.owner.Get("/admin/organizations?q=NIMB").Body, "/admin/organizations"); !slices.Equal(names, []string{"Nimbus GmbH"}) {
				t.Errorf("the search finds %q", names)
			}
			for name, form := range map[string]wrongForm{
				"no name": {path, []string{"name", " "}, []string{"name"}, []string{"Enter a name."}},
				"taken":   {"/admin/organizations/new", []string{"name", "UMBRA"}, []string{"name"}, []string{"This name is taken."}},
				"no staff": {path, []string{"name", "Nimbus", "contact_owner", strconv.FormatInt(o.bea.ID, 10)}, []string{"contact_owner"},
					[]string{"Choose somebody of your own staff"}},
				"nobody": {path, []string{"name", "Nimbus", "contact_owner", "9999"}, []string{"contact_owner"}, []string{"Choose somebody of your own staff"}},
			} {
				page := o.owner.Post(form.path, form.fields...).Want(http.StatusUnprocessableEntity, form.says...)
				wantTied(t, name, elements(t, page.Body), form.wrong)
				form.wantTyped(t, name, withoutChoices(elements(t, page.Body)))
			}
			o.owner.Post(path, "name", "Cumulus", "contact_owner", "").WantTo(path)
			umbra := fmt.Sprint("/admin/organizations/", o.umbra)
			o.owner.Get(umbra+"/deactivate").Want(http.StatusOK, "Deactivate Umbra", "signed out at once")
			b.Get("/account").Want(http.StatusOK)
			o.owner.Follow(o.owner.Post(umbra+"/deactivate").WantTo(umbra)).Want(http.StatusOK, "The organization was deactivated")
			b.Get("/account").WantTo("/sign-in")
			b.Post("/sign-in", "login", "uma", "password", portaltest.Password).Want(http.StatusUnprocessableEntity)
			o.owner.Get(userPage(o.uma)).Want(http.StatusOK, "The organization is inactive")
			o.owner.Get(umbra+"/activate").Want(http.StatusOK, "Activate Umbra")
			o.owner.Post(umbra + "/activate").WantTo(umbra)
			b.SignIn("uma", portaltest.Password)
			for _, act := range []string{"", "/activate", "/deactivate"} {
				o.owner.Get("/admin/organizations/9999" + act).Want(http.StatusNotFound)
				o.owner.Post("/admin/organizations/9999"+act, "name", "x").Want(http.StatusNotFound)
			}
		})
	}
}

func TestOrganizationsComeInPages(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b, _ := staff(t, p, directory.NewUser{Email: "olive@vendor.example", Role: "owner"})
		b.Get("/admin/organizations").Want(http.StatusOK, "There is none yet.")
		var want, found []string
		for i := range 60 {
			want = append(want, fmt.Sprintf("Customer %02d & Sons", i))
			p.Organization(t, want[i])
		}
		for at := "/admin/organizations?q=SONS"; at != ""; {
			page := b.Get(at).Want(http.StatusOK)
			found, at = append(found, listed(t, page.Body, "/admin/organizations")...), nextPage(t, page.Body)
		}
		if !slices.Equal(found, want) {
			t.Errorf("found are %q", found)
		}
		b.Get("/admin/organizations?q=100%25").Want(http.StatusOK, "No organization has such a name.")
	})
}

func TestTheLastOwnersOrganizationKeepsItsContactOwner(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	o := newOffice(t, p)
	if err := p.DB.Update(t.Context(), func(tx *db.Tx) error {
		if err := tx.SetContactOwner(t.Context(), o.umbra, o.olive.ID); err != nil {
			return err
		}
		return tx.SetOrganization(t.Context(), o.olive.ID, o.umbra)
	}); err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprint("/admin/organizations/", o.umbra)
	o.owner.Get(path + "/deactivate").Want(http.StatusNotFound)
	o.owner.Post(path + "/deactivate").Want(http.StatusNotFound)
	page := o.owner.Get(path).Want(http.StatusOK)
	page.Lacks("Deactivat")
	chosen := having(elements(t, page.Body), "selected", "selected")
	if len(chosen) != 1 || chosen[0].attributes["value"] != strconv.FormatInt(o.olive.ID, 10) {
		t.Errorf("saving what is shown would change the contact owner to %v", chosen)
	}
}

// ownRole is the id of the portal's own role with that name.
func ownRole(t testing.TB, p *portaltest.Portal, name string) string {
	t.Helper()
	roles, err := p.DB.Reader().Roles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range roles {
		if r.Name == name && !r.BuiltIn {
			return r.ID
		}
	}
	t.Fatalf("there is no role %q", name)
	return ""
}

// chosen are the boxes that are ticked.
func chosen(t testing.TB, body string) []string {
	t.Helper()
	var values []string
	for _, e := range having(elements(t, body), "checked", "checked") {
		values = append(values, e.attributes["value"])
	}
	return values
}

func TestARoleIsSavedWithFreshProofAndCountsAtOnce(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		o := newOffice(t, p)
		form := []string{"name", "Helpers", "scope", "organization", "permissions", "users.view", "permissions", "users.reset_password audit.view"}
		p.Clock.Advance(10 * time.Minute)
		page := o.owner.Follow(o.owner.Post("/admin/roles", form...).WantTo("/reauthenticate"))
		next := input(t, page.Body, "next").attributes["value"]
		page = o.owner.Follow(o.owner.Post("/reauthenticate", "password", portaltest.Password, "code", p.Code(t, o.olive), "next", next).WantTo("/admin/roles/new"))
		if got := chosen(t, page.Body); !slices.Equal(got, []string{"organization", "users.view", "users.reset_password", "audit.view"}) ||
			input(t, page.Body, "name").attributes["value"] != "Helpers" {
			t.Errorf("what was chosen is %q: %s", got, page.Body)
		}
		wantStatus(t, "the creation", o.owner.Follow(o.owner.Post("/admin/roles", form...).WantTo("/admin/roles")), "The role was saved. It counts at once for everybody who has it.")
		id := ownRole(t, p, "Helpers")
		path := "/admin/roles/" + id
		b, _ := staff(t, p, directory.NewUser{Email: "hanna@acme.example", Name: "Hanna Helper", Organization: "Acme", Role: id})
		b.Get("/admin/users").Want(http.StatusOK, "3 users", "Acme only")
		b.Get(userPage(o.uma)).Want(http.StatusNotFound)
		b.Post(userPage(o.ann) + "/send-reset").WantTo(userPage(o.ann))
		b.Post(userPage(o.ann) + "/deactivate").Want(http.StatusNotFound)
		page = o.owner.Get(path).Want(http.StatusOK, "One user has it", "see users, send reset links and see the audit trail, over the users of their own organization")
		if got := chosen(t, page.Body); !slices.Equal(got, []string{"organization", "users.view", "users.reset_password", "audit.view"}) {
			t.Errorf("chosen are %q", got)
		}
		o.owner.Post(path, "name", "Watchers", "scope", "everybody", "permissions", "users.view").WantTo("/admin/roles")
		b.Get("/admin/users").Want(http.StatusOK, "5 users")
		b.Get(userPage(o.uma)).Want(http.StatusOK, "Uma Quiet")
		b.Post(userPage(o.ann) + "/send-reset").Want(http.StatusNotFound)
		p.Clock.Advance(10 * time.Minute)
		page = o.owner.Follow(o.owner.Post(path, "name", "Nobody", "scope", "organization").WantTo("/reauthenticate"))
		page = o.owner.Follow(o.owner.Post("/reauthenticate", "password", portaltest.Password, "code", p.Code(t, o.olive), "next", path).WantTo(path))
		if got := chosen(t, page.Body); !slices.Equal(got, []string{"organization"}) || input(t, page.Body, "name").attributes["value"] != "Nobody" {
			t.Errorf("what was chosen is %q: %s", got, page.Body)
		}
		o.owner.Post(path, "name", "Nobody", "scope", "organization").WantTo("/admin/roles")
		b.Get("/admin/users").Want(http.StatusNotFound)
		b.Get("/account").Want(http.StatusOK)
	})
}

func TestTheReachOfARoleIsToldBeforeItIsSaved(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	o := newOffice(t, p)
	p.Clock.Advance(10 * time.Minute) // no proof for looking
	form := []string{"name", "Helpers", "scope", "everybody", "permissions", "users.view", "permissions", "users.reset_totp"}
	said := "Holders of this role may see users and reset authenticators, over everybody. That is 4 people at the moment."
	page := o.owner.Post("/admin/roles", append(form, "preview", "true")...).Want(http.StatusOK)
	if !page.Whole() || !strings.Contains(strings.Join(strings.Fields(page.Text()), " "), said) || !slices.Equal(chosen(t, page.Body), []string{"everybody", "users.view", "users.reset_totp"}) {
		t.Errorf("the preview says %s", page.Text())
	}
	o.owner.HTMX = true
	page = o.owner.Post("/admin/roles/reach", form...).Want(http.StatusOK, "Nobody has it yet.")
	if !strings.Contains(page.Text(), said) || strings.Contains(page.Body, "<form") {
		t.Errorf("the part of the page says %s", page.Body)
	}
	page = o.owner.Post("/admin/roles/reach", "scope", "organization", "permissions", "users.view").Want(http.StatusOK, "over the users of their own organization")
	if strings.Contains(page.Text(), "at the moment") {
		t.Errorf("people of no organization are counted: %s", page.Text())
	}
	o.owner.Post("/admin/roles/reach", "permissions", "<b>evil").Want(http.StatusOK)
	roles, err := p.DB.Reader().Roles(t.Context())
	if err != nil || len(roles) != 5 {
		t.Errorf("%d roles: %v", len(roles), err)
	}
}

func TestARoleThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	o := newOffice(t, p)
	o.owner.Post("/admin/roles", "name", "Role makers", "scope", "everybody", "permissions", "users.view users.edit roles.edit").WantTo("/admin/roles")
	o.owner.Post("/admin/roles", "name", "Auditing", "scope", "everybody", "permissions", "audit.view").WantTo("/admin/roles")
	b, _ := staff(t, p, directory.NewUser{Email: "rob@vendor.example", Role: ownRole(t, p, "Role makers")})
	for name, c := range map[string]struct {
		b      *portaltest.Browser
		fields []string
		field  string
		says   string
	}{
		"no name":       {o.owner, []string{"name", "", "scope", "everybody"}, "name", "Enter a name."},
		"no scope":      {o.owner, []string{"name", "x"}, "scope", "This cannot be empty."},
		"wrong scope":   {o.owner, []string{"name", "x", "scope", "world"}, "scope", "This cannot be empty."},
		"everybody":     {o.owner, []string{"name", "x", "scope", "organization", "permissions", "users.view settings.edit"}, "permissions", "cannot be held over a single organization"},
		"no permission": {o.owner, []string{"name", "x", "scope", "everybody", "permissions", "users.fly"}, "permissions", "cannot be held"},
		"blind":         {o.owner, []string{"name", "x", "scope", "everybody", "permissions", "users.edit"}, "permissions", "must see them"},
		"beyond":        {b, []string{"name", "x", "scope", "everybody", "permissions", "users.view settings.edit"}, "permissions", "This gives more than you may do yourself"},
	} {
		page := c.b.Post("/admin/roles", c.fields...).Want(http.StatusUnprocessableEntity, c.says)
		all := elements(t, page.Body)
		tied := slices.ContainsFunc(all, func(e element) bool { return strings.Contains(e.attributes["aria-describedby"], c.field+"-error") })
		if len(having(all, "id", c.field+"-error")) != 1 || len(having(all, "id", c.field)) != 1 || !tied || len(having(all, "role", "alert")) != 1 {
			t.Errorf("%s: %s", name, page.Body)
		}
	}
	// What gives more than one's own role, is one's own, or came with the program, is shown
	// and cannot be changed.
	for id, who := range map[string]*portaltest.Browser{"owner": o.owner, "customer": o.owner, ownRole(t, p, "Role makers"): b, ownRole(t, p, "Auditing"): b} {
		page := who.Get("/admin/roles/"+id).Want(http.StatusOK, "This role is fixed.")
		if strings.Contains(page.Body, "Save role") || !strings.Contains(page.Body, "<fieldset disabled") {
			t.Errorf("%s looks as if it could be changed: %s", id, page.Body)
		}
		who.Post("/admin/roles/"+id, "name", "Mine", "scope", "everybody", "permissions", "users.view").Want(http.StatusNotFound)
		who.Post("/admin/roles/"+id, "name", "Mine", "scope", "everybody", "preview", "true").Want(http.StatusNotFound)
	}
	o.owner.Post("/admin/roles/"+ownRole(t, p, "Auditing"), "name", "Auditing all", "scope", "everybody", "permissions", "audit.view").WantTo("/admin/roles")
	if page := o.owner.Get("/admin/roles"); regexp.MustCompile(`>(x|Mine)<`).MatchString(page.Body) {
		t.Errorf("a role was made all the same: %s", page.Text())
	}
}
