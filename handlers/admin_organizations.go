package handlers

import (
	"errors"
	"net/http"
	"strconv"

	"postern/db"
	"postern/internal/access"
	"postern/internal/directory"
	"postern/views"
)

const organizationsPath = "/admin/organizations"

func (s *Server) showOrganizations(q *request) error {
	text, err := q.search()
	if err != nil {
		return err
	}
	organizations, err := s.DB.Reader().ListOrganizations(q.Context(), text, q.query("after"), listPage+1)
	if err != nil {
		return err
	}
	page := views.OrganizationsPage{Frame: q.inAdmin("Organizations", organizationsPath), Search: text}
	if len(organizations) > listPage {
		organizations = organizations[:listPage]
		page.Next = q.nextQuery(db.FoldName(organizations[listPage-1].Name))
	}
	names := nameCache{s: s, q: q}
	for _, o := range organizations {
		owner, err := names.of(o.ContactOwnerID)
		if err != nil {
			return err
		}
		page.Organizations = append(page.Organizations, views.OrganizationRow{ID: o.ID, Name: o.Name, ContactOwner: owner, Active: o.Active,
			Users: o.Users, Administrators: o.Administrators})
	}
	return q.page(views.Organizations(page))
}

func (s *Server) showNewOrganization(q *request) error {
	return s.renderOrganization(q, http.StatusOK, db.Organization{}, "", "", nil)
}

func (s *Server) renderOrganization(q *request, code int, o db.Organization, name, owner string, wrong views.Errors) error {
	title := "New organization"
	if o.ID != 0 {
		title = o.Name
	}
	page := views.OrganizationPage{Frame: q.inAdmin(title, organizationsPath), ID: o.ID, Name: name, ContactOwner: owner, Active: o.Active, Errors: wrong}
	page.Frame.Failed = len(wrong) > 0
	staff, err := s.DB.Reader().StaffOverEverybody(q.Context(), 0)
	if err != nil {
		return err
	}
	page.Staff = []views.Option{{Label: "Nobody"}}
	for _, u := range staff {
		page.Staff = append(page.Staff, views.Option{Value: strconv.FormatInt(u.ID, 10), Label: u.Name})
	}
	if o.ID != 0 {
		if page.Users, err = s.DB.Reader().CountUsers(q.Context(), db.UserFilter{Organization: o.ID}); err != nil {
			return err
		}
		if page.MaySwitch, err = s.Directory.MaySwitch(q.Context(), q.actor(), o.ID); err != nil {
			return err
		}
	}
	return q.render(code, views.Organization(page))
}

func (q *request) organizationForm() directory.NewOrganization {
	return directory.NewOrganization{Name: q.field("name"), ContactOwner: q.field("contact_owner")}
}

func (s *Server) createOrganization(q *request) error {
	id, err := s.Directory.CreateOrganization(q.Context(), q.actor(), q.organizationForm())
	if err != nil {
		wrong, code, ok := q.problems(err)
		if !ok {
			return notThere(err)
		}
		return s.renderOrganization(q, code, db.Organization{}, q.field("name"), q.field("contact_owner"), wrong)
	}
	q.notify(views.NoticeOrganizationSaved)
	return q.goTo(organizationPath(id))
}

// ownerID is the contact owner as the form holds it; empty for none.
func ownerID(o db.Organization) string {
	if o.ContactOwnerID == 0 {
		return ""
	}
	return strconv.FormatInt(o.ContactOwnerID, 10)
}

func organizationPath(id int64) string { return organizationsPath + "/" + strconv.FormatInt(id, 10) }

// organization finds the organization in the address.
func (s *Server) organization(q *request) (db.Organization, error) {
	id, err := q.id()
	if err != nil {
		return db.Organization{}, err
	}
	return s.DB.Reader().Organization(q.Context(), id)
}

func (s *Server) showOrganization(q *request) error {
	o, err := s.organization(q)
	if err != nil {
		return err
	}
	return s.renderOrganization(q, http.StatusOK, o, o.Name, ownerID(o), nil)
}

func (s *Server) changeOrganization(q *request) error {
	o, err := s.organization(q)
	if err != nil {
		return err
	}
	if err := s.Directory.ChangeOrganization(q.Context(), q.actor(), o.ID, q.organizationForm()); err != nil {
		wrong, code, ok := q.problems(err)
		if !ok {
			return notThere(err)
		}
		return s.renderOrganization(q, code, o, q.field("name"), q.field("contact_owner"), wrong)
	}
	q.notify(views.NoticeOrganizationSaved)
	return q.goTo(organizationPath(o.ID))
}

func (s *Server) showActivateOrganization(q *request) error {
	return s.confirmOrganization(q, "Activate", "Its users can sign in again.")
}

func (s *Server) showDeactivateOrganization(q *request) error {
	return s.confirmOrganization(q, "Deactivate", "Everybody of it is signed out at once, and nobody of it can sign in until it is active again.")
}

func (s *Server) confirmOrganization(q *request, button, effect string) error {
	o, err := s.organization(q)
	if err != nil {
		return err
	}
	if may, err := s.Directory.MaySwitch(q.Context(), q.actor(), o.ID); err != nil || !may {
		return errors.Join(err, errNotFound)
	}
	return q.page(views.Confirm(views.ConfirmPage{Frame: q.inAdmin(button+" "+o.Name, organizationsPath), Effect: effect, Button: button,
		Action: q.URL.Path, Back: organizationPath(o.ID)}))
}

func (s *Server) activateOrganization(q *request) error   { return s.setOrganizationActive(q, true) }
func (s *Server) deactivateOrganization(q *request) error { return s.setOrganizationActive(q, false) }

func (s *Server) setOrganizationActive(q *request, active bool) error {
	o, err := s.organization(q)
	if err != nil {
		return err
	}
	if err := s.Directory.SetOrganizationActive(q.Context(), q.actor(), o.ID, active); err != nil {
		wrong, code, ok := q.userProblems(err)
		if !ok {
			return notThere(err)
		}
		return s.renderOrganization(q, code, o, o.Name, ownerID(o), wrong)
	}
	if active {
		q.notify(views.NoticeOrganizationOn)
	} else {
		q.notify(views.NoticeOrganizationOff)
	}
	return q.goTo(organizationPath(o.ID))
}

// nameCache finds the names of users for a page, each once. Whom the actor does not see has
// none.
type nameCache struct {
	s     *Server
	q     *request
	known map[int64]string
}

func (c *nameCache) of(id int64) (string, error) {
	if id == 0 {
		return "", nil
	}
	if name, ok := c.known[id]; ok {
		return name, nil
	}
	if c.known == nil {
		c.known = map[int64]string{}
	}
	user, err := c.s.Directory.Target(c.q.Context(), c.q.actor(), id, access.View)
	if err = notThere(err); err == errNotFound {
		err = nil
	}
	c.known[id] = user.Name
	return user.Name, err
}
