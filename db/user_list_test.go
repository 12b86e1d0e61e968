package db_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern/db"
	"postern/db/dbtest"
)

// listed are the addresses that a filter leaves, in the order of the list. The count must
// say the same.
func listed(t testing.TB, d *db.DB, f db.UserFilter) (all []string) {
	t.Helper()
	users, err := d.Reader().FilteredUsers(t.Context(), f, db.UserKey{}, 1000)
	if err != nil {
		t.Fatalf("%+v: %v", f, err)
	}
	for _, u := range users {
		all = append(all, u.Email)
	}
	if n, err := d.Reader().CountUsers(t.Context(), f); err != nil || n != len(all) {
		t.Errorf("%+v: %d are counted and %d listed (%v)", f, n, len(all), err)
	}
	return all
}

// wantListed compares who is listed, in any order, by what stands before the "@".
func wantListed(t testing.TB, d *db.DB, f db.UserFilter, want string) {
	t.Helper()
	var got []string
	for _, address := range listed(t, d, f) {
		name, _, _ := strings.Cut(address, "@")
		got = append(got, name)
	}
	slices.Sort(got)
	if names := strings.Fields(want); !slices.Equal(got, names) {
		t.Errorf("%+v leaves %v instead of %v", f, got, names)
	}
}

func newOrganization(t testing.TB, d *db.DB, name string) int64 {
	t.Helper()
	return add(t, d, func(tx *db.Tx) (int64, error) { return tx.AddOrganization(t.Context(), name, db.FoldName(name)) })
}

func TestAUserIsFoundHoweverTheyAreSpelled(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		strasse := newOrganization(t, d, "Straße & Söhne")
		for _, u := range []db.User{
			{Email: "jorg@b.example", Name: "Jörg Müller"},
			{Email: "Ann.Smith@Acme.example", Name: "Ann Ünal", Username: "annie_1"},
			{Email: "percent@b.example", Name: "100% Sure"},
			{Email: "plain@b.example", Name: "1000 Sure", Username: "annie-1"},
			{Email: "bang@b.example", Name: "Wow! Really"},
			{Email: "back@b.example", Name: `A\B`},
			{Email: "inside@b.example", Name: "Zed", OrganizationID: strasse},
			{Email: "ΔΕΛΤΑ@b.example", Name: "ΔΕΛΤΑ Σίγμας"},
		} {
			u.TimeZone, u.Role.ID = "UTC", "customer"
			addUser(t, d, u)
		}
		for search, want := range map[string]string{
			"jörg":           "jorg",
			"JÖRG":           "jorg",
			"Jo\u0308rg":     "jorg", // the same letter, made of two characters
			"MÜLLER":         "jorg",
			"g mü":           "jorg",
			" jörg   mü ":    "jorg",
			"muller":         "",
			"ÜNAL":           "Ann.Smith",
			"ann.smith@ACME": "Ann.Smith",
			"ANNIE":          "Ann.Smith plain",
			"annie_1":        "Ann.Smith", // the stroke stands for itself and not for any character
			"_":              "Ann.Smith",
			"%":              "percent",
			"100%":           "percent",
			"%sure":          "",
			"!":              "bang",
			"!%":             "",
			`\`:              "back",
			`\%`:             "",
			"strasse":        "inside",
			"STRASSE & SÖ":   "inside",
			"δελτα":          "ΔΕΛΤΑ",
			"σίγμασ":         "ΔΕΛΤΑ",
			"':--\"; DROP":   "",
			"nobody":         "",
		} {
			wantListed(t, d, db.UserFilter{Search: search}, want)
		}
		if n := len(listed(t, d, db.UserFilter{})); n != 8 {
			t.Errorf("%d are there without a search", n)
		}
	})
}

func TestEveryFilterLeavesWhomItSays(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ctx := t.Context()
		acme, umbrella := newOrganization(t, d, "Acme"), newOrganization(t, d, "Umbrella")
		made := map[string]db.User{}
		for name, u := range map[string]db.User{
			"invited": {OrganizationID: acme}, "active": {OrganizationID: acme, PasswordHash: "x", PasswordSetAt: 1},
			"inactive": {OrganizationID: umbrella, PasswordHash: "x", PasswordSetAt: 1}, "shut": {PasswordHash: "x", PasswordSetAt: 1},
			"withdrawn": {OrganizationID: umbrella}, "owner": {PasswordHash: "x", PasswordSetAt: 1, Role: db.Role{ID: "owner"}},
			"gone": {OrganizationID: acme, PasswordHash: "x", PasswordSetAt: 1},
		} {
			if u.Email, u.Name, u.TimeZone = name+"@acme.example", "Acme "+name, "UTC"; u.Role.ID == "" {
				u.Role.ID = "customer"
			}
			made[name] = addUser(t, d, u)
		}
		update(t, d, func(tx *db.Tx) error {
			return firstOf(tx.SetActive(ctx, made["inactive"].ID, false), tx.SetActive(ctx, made["withdrawn"].ID, false),
				tx.CloseUser(ctx, made["shut"].ID), tx.RecordSignIn(ctx, made["active"].ID), tx.RecordSignIn(ctx, made["owner"].ID),
				tx.SetAuthenticator(ctx, made["owner"].ID, []byte("sealed"), 0), tx.SetAuthenticator(ctx, made["gone"].ID, []byte("sealed"), 0),
				tx.EmptyUser(ctx, made["gone"].ID))
		})
		for _, c := range []struct {
			filter db.UserFilter
			want   string
		}{
			{db.UserFilter{}, "active inactive invited owner shut withdrawn"},
			{db.UserFilter{Status: "invited"}, "invited"},
			{db.UserFilter{Status: "active"}, "active owner shut"},
			{db.UserFilter{Status: "inactive"}, "inactive withdrawn"},
			{db.UserFilter{Status: "shut"}, "shut"},
			{db.UserFilter{Status: "never"}, "inactive invited shut withdrawn"},
			{db.UserFilter{Status: "no such"}, ""},
			{db.UserFilter{Organization: acme}, "active invited"},
			{db.UserFilter{Organization: umbrella}, "inactive withdrawn"},
			{db.UserFilter{Organization: -1}, ""},
			{db.UserFilter{Role: "owner"}, "owner"},
			{db.UserFilter{Role: "customer"}, "active inactive invited shut withdrawn"},
			{db.UserFilter{Role: "no such"}, ""},
			{db.UserFilter{SecondFactor: "yes"}, "owner"},
			{db.UserFilter{SecondFactor: "no"}, "active inactive invited shut withdrawn"},
			{db.UserFilter{SecondFactor: "perhaps"}, ""},
			{db.UserFilter{Over: acme}, "active invited"},
			{db.UserFilter{Over: acme, Organization: umbrella}, ""},
			{db.UserFilter{Over: acme, Search: "inactive"}, ""},
			{db.UserFilter{Over: acme, Search: "umbrella"}, ""},
			{db.UserFilter{Over: -1}, ""},
			{db.UserFilter{Over: umbrella, Status: "inactive", Role: "customer", SecondFactor: "no", Search: "DRAWN", Organization: umbrella}, "withdrawn"},
		} {
			wantListed(t, d, c.filter, c.want)
		}
		for _, name := range []string{"invited", "active", "inactive"} { // the list says of nobody what the filter does not
			for _, u := range must(d.Reader().FilteredUsers(ctx, db.UserFilter{Status: name}, db.UserKey{}, 100))(t) {
				if u.Status() != name {
					t.Errorf("%s is %s, and listed as %s", u.Email, u.Status(), name)
				}
			}
		}
	})
}

// must returns the answer to a question that must have one.
func must[T any](answer T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
}

// Many people have the same name, and a page must not end between two of them for ever.
func TestPagesLoseNobodyAndShowNobodyTwice(t *testing.T) {
	const users, page = 307, 10
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		acme := newOrganization(t, d, "Acme")
		update(t, d, func(tx *db.Tx) error {
			for i := range users {
				u := db.User{Email: fmt.Sprintf("user%d@acme.example", i), Name: []string{"Ann Smith", "ANN SMITH", "Öznur", "Zoë", "öznur", "安"}[i%6],
					TimeZone: "UTC", Role: db.Role{ID: "customer"}}
				if i%2 == 0 {
					u.OrganizationID = acme
				}
				if _, err := tx.AddUser(t.Context(), u); err != nil {
					return err
				}
			}
			return nil
		})
		for name, f := range map[string]db.UserFilter{"all": {}, "organization": {Over: acme}, "search": {Search: "ANN smi"}} {
			want := must(d.Reader().CountUsers(t.Context(), f))(t)
			var seen []int64
			var key db.UserKey
			for pages := 0; ; pages++ {
				list := must(d.Reader().FilteredUsers(t.Context(), f, key, page))(t)
				for _, u := range list {
					if next := (db.UserKey{Name: u.NameFolded(), ID: u.ID}); next.Name < key.Name || next.Name == key.Name && next.ID <= key.ID {
						t.Fatalf("%s: %+v comes after %+v", name, next, key)
					} else {
						key = next
					}
					seen = append(seen, u.ID)
				}
				if len(list) < page {
					break
				}
				if pages > users {
					t.Fatalf("%s: it never ends", name)
				}
			}
			slices.Sort(seen)
			if len(slices.Compact(seen)) != want || want == 0 {
				t.Errorf("%s: the pages show %d users of %d", name, len(seen), want)
			}
		}
	})
}

func TestOrganizationsAreFoundAndPagedByName(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ctx := t.Context()
		ids := map[string]int64{}
		for _, name := range []string{"Zeta", "Acme", "Müller & Söhne", "50% Off", "acme Sub"} {
			ids[name] = newOrganization(t, d, name)
		}
		list := func(search string) (names []string) {
			after := ""
			for {
				page := must(d.Reader().ListOrganizations(ctx, search, after, 2))(t)
				for _, o := range page {
					names, after = append(names, o.Name), db.FoldName(o.Name)
				}
				if len(page) < 2 {
					return names
				}
			}
		}
		for search, want := range map[string]string{"": "50% Off|Acme|acme Sub|Müller & Söhne|Zeta", "ACME": "Acme|acme Sub",
			"MÜLLER": "Müller & Söhne", "%": "50% Off", "_": "", "sub ": "acme Sub"} {
			if got := strings.Join(list(search), "|"); got != want {
				t.Errorf("%q finds %s instead of %s", search, got, want)
			}
		}
		made := func(email, role string, organization int64) db.User {
			return addUser(t, d, db.User{Email: email, Name: "A", TimeZone: "UTC", Role: db.Role{ID: role}, OrganizationID: organization})
		}
		made("a@acme.example", "portal_administrator", ids["Acme"])
		off := made("b@acme.example", "portal_administrator", ids["Acme"])
		made("c@acme.example", "customer", ids["Acme"])
		gone := made("d@acme.example", "customer", ids["Acme"])
		made("e@acme.example", "owner", ids["Acme"]) // who is over everybody is none of the organization's own
		made("f@zeta.example", "customer", ids["Zeta"])
		update(t, d, func(tx *db.Tx) error {
			return firstOf(tx.SetActive(ctx, off.ID, false), tx.EmptyUser(ctx, gone.ID), tx.SetContactOwner(ctx, ids["Acme"], off.ID),
				tx.RenameOrganization(ctx, ids["Acme"], "ACME Corp", db.FoldName("ACME Corp")))
		})
		o := must(d.Reader().ListOrganizations(ctx, "acme corp", "", 10))(t)
		if len(o) != 1 || o[0].Users != 4 || o[0].Administrators != 1 || o[0].ContactOwnerID != off.ID || !o[0].Active || o[0].Name != "ACME Corp" {
			t.Errorf("the list shows %+v", o)
		}
		err := d.Update(ctx, func(tx *db.Tx) error {
			return tx.RenameOrganization(ctx, ids["Zeta"], "acme CORP", db.FoldName("acme CORP"))
		})
		wantErr(t, "a name in use", err, db.ErrTaken)
		err = d.Update(ctx, func(tx *db.Tx) error { return tx.RenameOrganization(ctx, 999, "New", "new") })
		wantErr(t, "no organization", err, db.ErrNotFound)
	})
}

func TestABuiltInRoleStaysAsItIs(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ctx := t.Context()
		own := db.Role{ID: "role_1", Name: "Helpers", Scope: "everybody", Permissions: []string{"users.view", "mail.view"}}
		update(t, d, func(tx *db.Tx) error { return tx.AddRole(ctx, own) })
		wantErr(t, "the same id", d.Update(ctx, func(tx *db.Tx) error { return tx.AddRole(ctx, own) }), db.ErrTaken)
		ann := addUser(t, d, db.User{Email: "ann@acme.example", Name: "Ann", TimeZone: "UTC", Role: db.Role{ID: "role_1"}})
		for _, id := range []string{"owner", "customer", "no_such"} {
			err := d.Update(ctx, func(tx *db.Tx) error { return tx.ChangeRole(ctx, db.Role{ID: id, Name: "Mine", Scope: "everybody"}) })
			wantErr(t, id, err, db.ErrNotFound)
		}
		own.Name, own.Scope, own.Permissions = "Few", "organization", []string{"users.view"}
		update(t, d, func(tx *db.Tx) error { return tx.ChangeRole(ctx, own) })
		if now := user(t, d, ann.ID).Role; now.Name != "Few" || now.Scope != "organization" || !slices.Equal(now.Permissions, own.Permissions) {
			t.Errorf("who has the role has %+v", now)
		}
		stored := must(d.Reader().StoredRole(ctx, "role_1"))(t)
		if stored.BuiltIn || stored.Holders != 1 {
			t.Errorf("stored: %+v", stored)
		}
		update(t, d, func(tx *db.Tx) error { return tx.EmptyUser(ctx, ann.ID) })
		roles := must(d.Reader().Roles(ctx))(t)
		if len(roles) != 6 || roles[5].ID != "role_1" || roles[5].Holders != 0 || !roles[0].BuiltIn || !roles[4].BuiltIn {
			t.Errorf("the list is %+v", roles)
		}
		if _, err := d.Reader().Role(ctx, "no_such"); err != db.ErrNotFound {
			t.Errorf("no such role: %v", err)
		}
	})
}

func wantErr(t *testing.T, when string, got, want error) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v instead of %v", when, got, want)
	}
}

// What a keystroke in the search of the user list costs: a page and the count.
// populate makes users in two hundred organizations.
func populate(b *testing.B, d *db.DB, users int) {
	b.Helper()
	ctx := context.Background()
	first := []string{"Ann", "Jörg", "Zoë", "Mehmet", "Olga", "Li", "Priya", "Søren", "Tomás", "Ivana"}
	last := []string{"Smith", "Müller", "Yılmaz", "Petrova", "Chen", "Nair", "Larsen", "García", "Horvat", "O'Neill", "Weiß"}
	update(b, d, func(tx *db.Tx) error {
		var organizations [200]int64
		for i := range organizations {
			name := fmt.Sprintf("Company %d", i)
			var err error
			if organizations[i], err = tx.AddOrganization(ctx, name, db.FoldName(name)); err != nil {
				return err
			}
		}
		for i := range users {
			u := db.User{Email: fmt.Sprintf("person%d@company%d.example", i, i%200), Name: first[i%10] + " " + last[i%11], Username: fmt.Sprintf("person-%d", i),
				TimeZone: "UTC", Role: db.Role{ID: "customer"}, OrganizationID: organizations[i%200], PasswordHash: "x", PasswordSetAt: 1}
			if _, err := tx.AddUser(ctx, u); err != nil {
				return err
			}
		}
		return nil
	})
}

func BenchmarkUserSearch(b *testing.B) {
	const users = 10_000
	eachBench(b, func(b *testing.B, d *db.DB) {
		ctx := context.Background()
		populate(b, d, users)
		for _, c := range []struct {
			name   string
			filter db.UserFilter
			after  db.UserKey
			want   int
		}{
			{"the first page", db.UserFilter{}, db.UserKey{}, 50},
			{"a page in the middle", db.UserFilter{}, db.UserKey{Name: "olga", ID: 0}, 50},
			{"one of them", db.UserFilter{Search: "person9876@"}, db.UserKey{}, 1},
			{"a name of many", db.UserFilter{Search: "MÜLLER"}, db.UserKey{}, 50},
			{"nobody", db.UserFilter{Search: "no such person"}, db.UserKey{}, 0},
			{"an organization", db.UserFilter{Over: 17, Search: "ann"}, db.UserKey{}, 0},
		} {
			b.Run(c.name, func(b *testing.B) {
				for b.Loop() {
					list, err := d.Reader().FilteredUsers(ctx, c.filter, c.after, 50)
					if err != nil || len(list) != c.want && c.filter.Over == 0 {
						b.Fatalf("%d users (%v)", len(list), err)
					}
					if _, err := d.Reader().CountUsers(ctx, c.filter); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}

func BenchmarkLonelyOrganizations(b *testing.B) {
	eachBench(b, func(b *testing.B, d *db.DB) {
		populate(b, d, 10_000)
		for b.Loop() {
			if _, none, _, err := d.Reader().LonelyOrganizations(context.Background(), 0, 3); err != nil || none != 200 {
				b.Fatal(none, err)
			}
		}
	})
}
