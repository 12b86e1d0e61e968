package handlers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/db"
	"postern/internal/access"
	"postern/internal/audit"
	"postern/views"
)

const auditPath = "/admin/audit"

// auditFilters are the fields that narrow the audit trail.
var auditFilters = []string{"actor", "action", "since", "until"}

func (s *Server) showAudit(q *request) error {
	filter, wrong, err := s.auditFilter(q)
	if err != nil {
		return err
	}
	return s.renderAudit(q, filter, wrong)
}

// renderAudit shows the events that a filter leaves, or what is wrong with it.
func (s *Server) renderAudit(q *request, filter db.EventFilter, wrong views.Errors) error {
	page := views.AuditPage{Frame: q.inAdmin("Audit trail", auditPath), Actor: q.query("actor"), Action: q.query("action"), Since: q.query("since"),
		Until: q.query("until"), Actions: views.ActionOptions(), Filtered: filter != db.EventFilter{Over: filter.Over}, Errors: wrong,
		Nobody: filter.Actor == nobody}
	if !slices.ContainsFunc(page.Actions, func(o views.Option) bool { return o.Value == page.Action }) {
		page.Actions = append(page.Actions, views.Option{Value: page.Action, Label: page.Action})
	}
	if len(wrong) > 0 {
		page.Failed = true
		return q.render(http.StatusUnprocessableEntity, views.Audit(page))
	}
	after, err := q.after()
	if err != nil {
		return err
	}
	events, err := s.DB.Reader().Events(q.Context(), filter, after, listPage+1)
	if err != nil {
		return err
	}
	if len(events) > listPage {
		events = events[:listPage]
		page.Next = q.nextQuery(strconv.FormatInt(events[listPage-1].ID, 10))
	}
	query := url.Values{}
	for name, value := range q.auditQuery() {
		query.Set(name, value)
	}
	page.Query = query.Encode()
	people := newCast(q)
	for _, e := range events {
		row, err := people.row(e)
		if err != nil {
			return err
		}
		page.Rows = append(page.Rows, row)
	}
	return q.page(views.Audit(page))
}

// auditQuery is what the trail is narrowed to, as it was typed.
func (q *request) auditQuery() map[string]string {
	typed := map[string]string{}
	for _, name := range auditFilters {
		if value := q.query(name); value != "" {
			typed[name] = value
		}
	}
	return typed
}

// auditFilter reads what the trail is narrowed to, within what the actor may see, and what
// is wrong with it.
func (s *Server) auditFilter(q *request) (f db.EventFilter, wrong views.Errors, err error) {
	f = db.EventFilter{Over: q.holder().Over(), Action: q.query("action")}
	for _, name := range auditFilters {
		if len(q.query(name)) > maxSearch*4 {
			return f, nil, errBadForm
		}
	}
	var ok bool
	if f.Since, ok = q.moment("since", 0); !ok {
		wrong = append(wrong, views.FieldError{Field: "since", Text: views.DateText})
	}
	if f.Until, ok = q.moment("until", 1); !ok {
		wrong = append(wrong, views.FieldError{Field: "until", Text: views.DateText})
	}
	actor := strings.TrimSpace(q.query("actor"))
	switch kind := db.ActorKind(strings.TrimPrefix(strings.ToLower(actor), "the ")); kind { // as the page writes it
	case "":
	case db.ActorOperator, db.ActorSystem, db.ActorVisitor:
		f.ActorKind = kind
	default:
		f.Actor, err = s.auditActor(q, actor)
	}
	return f, wrong, err
}

// moment reads a time of the query, or a day in the user's time zone, to which that many
// days are added: the end of a day is the beginning of the next.
func (q *request) moment(name string, days int) (db.Time, bool) {
	text := strings.TrimSpace(q.query(name))
	if text == "" {
		return 0, true
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		if at, err = time.ParseInLocation(time.DateOnly, text, q.when(0).Zone); err != nil {
			return 0, false
		}
		at = at.AddDate(0, 0, days)
	}
	return max(1, db.TimeOf(at)), true // 0 would stand for no bound
}

// nobody is no user's id, so that a filter by it leaves nothing.
const nobody = -1

// auditActor finds who is meant by an address, a username or an id. Somebody whom the actor
// does not see has done nothing.
func (s *Server) auditActor(q *request, text string) (int64, error) {
	id, number := strconv.ParseInt(text, 10, 64)
	if number != nil {
		user, err := s.DB.Reader().UserByLogin(q.Context(), strings.ToLower(text))
		if errors.Is(err, db.ErrNotFound) {
			return nobody, nil
		}
		if err != nil {
			return 0, err
		}
		id = user.ID
	}
	h := q.holder()
	if id < 1 {
		return nobody, nil
	}
	if id == h.UserID || number == nil && h.Over() == 0 { // they are shown the ids of all
		return id, nil
	}
	_, err := s.Directory.Target(q.Context(), q.actor(), id, access.View)
	if err = notThere(err); err == errNotFound {
		return nobody, nil
	}
	return id, err
}

func (s *Server) exportAuditCSV(q *request) error {
	return s.exportAudit(q, "csv", "text/csv; charset=utf-8", audit.WriteCSV)
}

func (s *Server) exportAuditLines(q *request) error {
	return s.exportAudit(q, "ndjson", "application/x-ndjson", audit.WriteLines)
}

// exportAudit answers with all events that a filter leaves, in the order in which they
// happened.
func (s *Server) exportAudit(q *request, form, contentType string,
	write func(context.Context, io.Writer, db.Reader, db.EventFilter) error) error {
	if q.scripted() {
		return q.goTo(q.URL.RequestURI()) // a file is for the browser, not for a part of a page
	}
	filter, wrong, err := s.auditFilter(q)
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		return s.renderAudit(q, filter, wrong)
	}
	q.w.Header().Set("Content-Type", contentType)
	q.w.Header().Set("Content-Disposition", `attachment; filename="audit-`+s.DB.Now().Time().Format(time.DateOnly)+`.`+form+`"`)
	if q.Method == http.MethodHead {
		return nil // nothing leaves
	}
	which := q.auditQuery()
	which["format"] = form
	if err := audit.RecordExport(q.Context(), s.DB, q.actor(), q.user(), which); err != nil {
		return err
	}
	return q.stream(func(ctx context.Context, w io.Writer) error { return write(ctx, w, s.DB.Reader(), filter) })
}

// cast puts the people and things of events into words, as far as the actor may see them.
// Each is looked up once.
type cast struct {
	q             *request
	users         map[int64]views.Named
	organizations map[int64]views.Named
	roles         map[string]string
}

func newCast(q *request) *cast {
	return &cast{q: q, users: map[int64]views.Named{}, organizations: map[int64]views.Named{}}
}

func (c *cast) row(e db.StoredEvent) (row views.AuditRow, err error) {
	refused := e.Outcome == "refused"
	details := e.Details()
	row = views.AuditRow{At: c.q.when(e.At), Text: views.EventText(e.Action, refused, details), Action: e.Action, Refused: refused,
		Device: views.Device(e.UserAgent), Address: e.Address}
	switch db.ActorKind(e.ActorKind) {
	case db.ActorOperator:
		row.Actor.Label = views.ActorOperatorText
	case db.ActorSystem:
		row.Actor.Label = views.ActorSystemText
	case db.ActorVisitor:
		row.Actor.Label = views.ActorVisitorText
	default:
		if row.Actor, err = c.user(e.ActorID); err != nil {
			return row, err
		}
	}
	if e.UserID != 0 {
		row.About, err = c.user(e.UserID)
	} else {
		row.About, err = c.organization(e.OrganizationID)
	}
	if err == nil {
		err = c.name(details)
	}
	row.Details = views.DetailsText(e.Action, details)
	return row, err
}

// user names a user, with the address of their page if the actor sees them.
func (c *cast) user(id int64) (n views.Named, err error) {
	if known, ok := c.users[id]; ok || id == 0 {
		return known, nil
	}
	h := c.q.holder()
	user, err := c.q.server.Directory.Target(c.q.Context(), c.q.actor(), id, access.View)
	switch seen := notThere(err); {
	case seen == nil:
		n = views.Named{Label: user.Name, Address: userPath(id)}
	case seen != errNotFound:
		return n, err
	case id == h.UserID:
		n.Label = c.q.user().Name
	default:
		n.Label, err = c.unseen(id)
		if err != nil {
			return n, err
		}
	}
	c.users[id] = n
	return n, nil
}

// unseen names somebody whom the actor does not see, or who is no more.
func (c *cast) unseen(id int64) (string, error) {
	h := c.q.holder()
	_, err := c.q.server.DB.Reader().User(c.q.Context(), id)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return views.DeletedUserText(id), nil
	case err != nil:
		return "", err
	case h.Has(access.UsersView) && h.Over() != 0:
		return views.OutsiderText, nil
	}
	return views.UnknownUserText(id), nil
}

// organization names an organization; a reader of one alone learns of no other.
func (c *cast) organization(id int64) (n views.Named, err error) {
	if known, ok := c.organizations[id]; ok || id == 0 {
		return known, nil
	}
	h := c.q.holder()
	switch {
	case id == c.q.user().OrganizationID:
		n.Label = c.q.user().Organization
	case h.Over() != 0:
		n.Label = views.OtherOrganizationText
	default:
		o, err := c.q.server.DB.Reader().Organization(c.q.Context(), id)
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return n, err
		}
		n.Label = o.Name
	}
	if h.Has(access.OrganizationsEdit) && n.Label != "" {
		n.Address = organizationPath(id)
	}
	c.organizations[id] = n
	return n, nil
}

// name puts names for the ids among the details of an event.
func (c *cast) name(details map[string]string) error {
	if id, err := strconv.ParseInt(details["organization"], 10, 64); err == nil {
		n, err := c.organization(id)
		if err != nil {
			return err
		}
		details["organization"] = n.Label
		if id == 0 {
			details["organization"] = views.NoOrganizationText
		}
	}
	if id, err := strconv.ParseInt(details["contact_owner"], 10, 64); err == nil {
		n, err := c.user(id)
		if err != nil {
			return err
		}
		details["contact_owner"] = n.Label
	}
	if details["role"] == "" {
		return nil
	}
	if c.roles == nil {
		roles, err := c.q.server.DB.Reader().Roles(c.q.Context())
		if err != nil {
			return err
		}
		c.roles = map[string]string{}
		for _, r := range roles {
			c.roles[r.ID] = r.Name
		}
	}
	if name := c.roles[details["role"]]; name != "" {
		details["role"] = name
	}
	return nil
}
