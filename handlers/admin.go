package handlers

import (
	"errors"
	"net/url"
	"strconv"

	"postern/db"
	"postern/internal/access"
	"postern/internal/directory"
	"postern/views"
)

// adminSections are the pages of the administration, each for who may see it.
var adminSections = []struct {
	permission access.Permission // empty for any
	item       views.NavItem
}{
	{"", views.NavItem{Address: "/admin", Label: "Overview"}},
	{access.UsersView, views.NavItem{Address: "/admin/users", Label: "Users"}},
	{access.OrganizationsEdit, views.NavItem{Address: "/admin/organizations", Label: "Organizations"}},
	{access.RolesEdit, views.NavItem{Address: "/admin/roles", Label: "Roles"}},
	{access.MailView, views.NavItem{Address: "/admin/mail", Label: "Mail"}},
	{access.AuditView, views.NavItem{Address: "/admin/audit", Label: "Audit trail"}},
	{access.SettingsEdit, views.NavItem{Address: "/admin/settings", Label: "Settings"}},
}

// inAdmin is the frame of a page of the administration; section is the entry it belongs to.
func (q *request) inAdmin(title, section string) views.Frame {
	f := q.framed(title)
	f.Section = section
	f.Nav = views.Nav{Label: "Administration"}
	if q.holder().Over() != 0 {
		f.Nav.Scope = q.user().Organization + " only"
	}
	for _, s := range adminSections {
		if s.permission == "" || access.Holds(q.user(), s.permission) {
			f.Nav.Items = append(f.Nav.Items, s.item)
		}
	}
	return f
}

// holder is what the user may do, and over whom.
func (q *request) holder() access.Holder { return access.HolderOf(q.user()) }

// proven says whether fresh proof was given; asked for only after it is clear that the
// user may do the thing at all.
func (q *request) proven() bool { return q.current.Fresh(q.server.DB.Now()) }

// notThere turns what an actor may not do into what is not there.
func notThere(err error) error {
	if errors.Is(err, directory.ErrNotAllowed) || errors.Is(err, db.ErrNotFound) {
		return errNotFound
	}
	return err
}

// nextQuery is the query of the next page: the present one, but for where it goes on.
func (q *request) nextQuery(after string) string {
	values := url.Values{}
	for name, all := range q.URL.Query() {
		values.Set(name, all[0])
	}
	values.Set("after", after)
	return values.Encode()
}

// number reads a number of the query; what is none stands for nothing.
func (q *request) number(name string) int64 {
	n, err := strconv.ParseInt(q.query(name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// maxSearch bounds what is searched for.
const maxSearch = 100

// search reads what is searched for; more than the field takes is refused.
func (q *request) search() (string, error) {
	text := q.query("q")
	if len(text) > maxSearch*4 {
		return "", errBadForm
	}
	return text, nil
}
