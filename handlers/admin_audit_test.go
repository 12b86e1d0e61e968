package handlers_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/internal/account"
	"postern/internal/audit"
	"postern/internal/directory"
	"postern/internal/portaltest"
)

// firm is two organizations, each with an administrator and a user, and staff over both.
type firm struct {
	t                      *testing.T
	p                      *portaltest.Portal
	auditor, administrator *portaltest.Browser
	aud, adam, ann, eve    db.User // of the vendor, of Acme twice, of Globex
	acme, globex           int64
}

func newFirm(t *testing.T, p *portaltest.Portal) *firm {
	t.Helper()
	f := &firm{t: t, p: p, acme: p.Organization(t, "Acme"), globex: p.Organization(t, "Globex")}
	f.auditor, f.aud = p.Staff(t, directory.NewUser{Email: "aud@vendor.example", Name: "Aud Auditor", Role: "auditor"})
	f.administrator, f.adam = p.Staff(t, directory.NewUser{Email: "adam@acme.example", Name: "Adam Admin", Role: "portal_administrator", Organization: "Acme"})
	f.ann = person(t, p, directory.NewUser{Email: "ann@acme.example", Name: "Ann Smith", Username: "ann", Organization: "Acme"})
	f.eve = person(t, p, directory.NewUser{Email: "eve@globex.example", Name: "Eve Jones", Username: "eve", Organization: "Globex"})
	return f
}

// record writes an event a minute after the one before.
func (f *firm) record(e audit.Event) {
	f.t.Helper()
	f.p.Clock.Advance(time.Minute)
	if err := f.p.DB.Update(f.t.Context(), func(tx *db.Tx) error { return audit.Record(f.t.Context(), tx, e) }); err != nil {
		f.t.Fatal(err)
	}
}

// exports counts how many exports are recorded.
func exports(t *testing.T, p *portaltest.Portal) int {
	t.Helper()
	events, err := p.DB.Reader().Events(t.Context(), db.EventFilter{Action: string(audit.AuditExported)}, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	return len(events)
}

// fillTrail writes many large events at once, together more than a connection holds.
func fillTrail(t *testing.T, p *portaltest.Portal, n int) {
	t.Helper()
	err := p.DB.Update(t.Context(), func(tx *db.Tx) error {
		for range n {
			e := audit.Event{Action: audit.SignInRefused, Actor: portaltest.Operator, Detail: map[string]string{"text": strings.Repeat("x", 2000)}}
			if err := audit.Record(t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// breakTrail takes the trail away from a portal on SQLite, past the portal.
func breakTrail(t *testing.T) {
	t.Helper()
	if _, err := rawDatabase(t).Exec(`ALTER TABLE audit_event RENAME TO lost_event`); err != nil {
		t.Fatal(err)
	}
}

// rawDatabase is the database file of the test's one portal.
func rawDatabase(t *testing.T) *sql.DB {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(filepath.Dir(t.TempDir()), "*", "postern.db"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v: %v", found, err)
	}
	raw, err := sql.Open("sqlite", "file:"+found[0]+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	return raw
}

// exported asks for an export as lines and returns the events, but for those that tell of
// exports.
func exported(t *testing.T, b *portaltest.Browser, query string) (events []map[string]any) {
	t.Helper()
	page := b.Get("/admin/audit.ndjson" + query).Want(http.StatusOK)
	for line := range strings.Lines(page.Body) {
		var event map[string]any
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if event["action"] != "audit.exported" {
			events = append(events, event)
		}
	}
	return events
}

// auditRow finds a row of the page by what it says.
func auditRow(t *testing.T, page portaltest.Page, says string) string {
	t.Helper()
	for _, row := range regexp.MustCompile(`(?s)<tr>.*?</tr>`).FindAllString(page.Body, -1) {
		if strings.Contains(portaltest.Page{Body: row}.Text(), says) {
			return row
		}
	}
	t.Fatalf("no row says %q: %s", says, page.Text())
	return ""
}

func TestTheAuditTrailSaysWhoDidWhatToWhomAndFromWhere(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		f := newFirm(t, p)
		if err := p.Directory.Deactivate(t.Context(), portaltest.Actor(f.aud), f.ann.ID, ""); err == nil {
			t.Fatal("an auditor may not do that")
		}
		owner, _ := p.Staff(t, directory.NewUser{Email: "olga@vendor.example", Name: "Olga Owner", Role: "owner"})
		owner.Post(fmt.Sprintf("/admin/users/%d/deactivate", f.ann.ID), "reason", "left <the> company").Want(http.StatusSeeOther)
		p.Browser(t, "192.0.2.7").Post("/sign-in", "login", "eve", "password", "wrong")
		p.Set(t, "password.min_length", "12")
		gone := person(t, p, directory.NewUser{Email: "gone@globex.example", Name: "Gone Person", Organization: "Globex"})
		if err := p.Directory.Delete(t.Context(), portaltest.Operator, gone.ID, "gone@globex.example", ""); err != nil {
			t.Fatal(err)
		}

		page := f.auditor.Get("/admin/audit").Want(http.StatusOK, "Audit trail")
		row := auditRow(t, page, "The account was deactivated (left <the> company)")
		for _, want := range []string{`<a href="/admin/users/` + strconv.FormatInt(f.ann.ID, 10) + `">Ann Smith</a>`, ">Olga Owner</a>", "Firefox on Linux",
			`data-label="When"`, `data-label="Who"`, "<time datetime="} {
			if !strings.Contains(row, want) {
				t.Errorf("the row does not hold %q: %s", want, row)
			}
		}
		row = auditRow(t, page, "A sign-in was refused: wrong password")
		for _, want := range []string{"refused</span>", "Somebody not signed in", "Eve Jones", "192.0.2.7"} {
			if !strings.Contains(row, want) {
				t.Errorf("the row does not hold %q: %s", want, row)
			}
		}
		row = auditRow(t, page, "password.min_length: 8 → 12")
		if !strings.Contains(row, "The operator") {
			t.Errorf("the operator did it: %s", row)
		}
		row = auditRow(t, page, "The account was deleted")
		if !strings.Contains(row, fmt.Sprintf("deleted user %d", gone.ID)) || strings.Contains(page.Body, "Gone Person") || strings.Contains(row, "/admin/users/") {
			t.Errorf("a deleted user is told as %s", row)
		}
		if row = auditRow(t, page, "Signed in: with password and code"); !strings.Contains(row, "Olga Owner") || strings.Contains(row, "not signed in") {
			t.Errorf("a sign-in is told as %s", row)
		}
		f.auditor.HTMX = true
		if part := f.auditor.Get("/admin/audit").Want(http.StatusOK, "The operator"); part.Whole() {
			t.Error("htmx gets the whole page")
		}
	})
}

func TestOnlyWhoMaySeeTheAuditTrailDoes(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		f := newFirm(t, p)
		support, _ := p.Staff(t, directory.NewUser{Email: "sue@vendor.example", Name: "Sue Support", Role: "support"})
		customer := p.Browser(t, "192.0.2.8")
		customer.SignIn("ann", portaltest.Password)
		for _, path := range []string{"/admin/audit", "/admin/audit.csv", "/admin/audit.ndjson"} {
			p.Browser(t, "192.0.2.9").Get(path).WantTo("/sign-in")
			support.Get(path).Want(http.StatusNotFound)
			customer.Get(path).Want(http.StatusNotFound)
			f.auditor.Get(path).Want(http.StatusOK)
			f.administrator.Get(path).Want(http.StatusOK)
		}
		if n := exports(t, p); n != 4 {
			t.Errorf("%d exports are recorded instead of 4", n)
		}
	})
}

func TestTheTrailIsNarrowedToWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		f := newFirm(t, p)
		if err := p.Account.ChangeProfile(t.Context(), portaltest.Actor(f.aud), f.aud, account.Profile{Name: f.aud.Name, TimeZone: "Pacific/Auckland"}); err != nil {
			t.Fatal(err)
		}
		// It is the night to 21 November in Auckland (UTC+13), and noon of the 20th in UTC.
		p.Clock.Advance(24 * time.Hour)
		f.record(audit.Event{Action: audit.ProfileChanged, Actor: portaltest.Actor(f.ann), User: f.ann})
		at := p.DB.Now().Time()
		f.record(audit.Event{Action: audit.UsernameChanged, Actor: portaltest.Actor(f.ann), User: f.ann, Detail: map[string]string{"old": "a", "new": "ann"}})
		p.Clock.Advance(24 * time.Hour)
		f.record(audit.Event{Action: audit.ProfileChanged, Actor: portaltest.Actor(f.eve), User: f.eve})
		f.auditor = p.Browser(t, "192.0.2.50")
		p.SignInWithCode(t, f.auditor, f.aud)
		zone, err := time.LoadLocation("Pacific/Auckland")
		if err != nil {
			t.Fatal(err)
		}
		day, next := at.In(zone).Format(time.DateOnly), at.In(zone).AddDate(0, 0, 1).Format(time.DateOnly)
		ann := "actor=" + url.QueryEscape("ANN@acme.example")
		for query, want := range map[string]int{
			ann: 2, "actor=ann": 2, fmt.Sprintf("actor=%d", f.ann.ID): 2, "actor=+ann+": 2,
			"actor=nobody%40acme.example": 0, "actor=0": 0, "actor=-1": 0, "actor=%25": 0, "actor=99999": 0,
			ann + "&action=profile.changed": 1, "action=profile.changed&since=" + day: 2, "action=no.such": 0,
			"since=" + day + "&until=" + day + "&" + ann:                                         2,
			"since=" + next + "&" + ann:                                                          0,
			"until=" + at.In(zone).AddDate(0, 0, -1).Format(time.DateOnly) + "&" + ann:           0,
			ann + "&since=" + url.QueryEscape(at.Format(time.RFC3339)):                           2,
			ann + "&until=" + url.QueryEscape(at.Format(time.RFC3339)):                           0,
			ann + "&since=" + url.QueryEscape(at.In(zone).Add(time.Second).Format(time.RFC3339)): 1,
			ann + "&until=1950-01-01":                                                            0, ann + "&since=1950-01-01": 2, ann + "&since=9999-12-31": 0,
		} {
			if got := exported(t, f.auditor, "?"+query); len(got) != want {
				t.Errorf("%s leaves %d events instead of %d: %v", query, len(got), want, got)
			}
			page := f.auditor.Get("/admin/audit?" + query).Want(http.StatusOK)
			if got := strings.Count(page.Body, "<tr>") - 1; max(got, 0) != want {
				t.Errorf("%s shows %d rows instead of %d", query, got, want)
			}
		}
		// The operator's are found by that word, and as the page writes it.
		for _, word := range []string{"operator", "The+operator"} {
			events := exported(t, f.auditor, "?actor="+word)
			if len(events) == 0 {
				t.Errorf("%s has done nothing", word)
			}
			for _, e := range events {
				if e["actor_kind"] != "operator" {
					t.Errorf("%v is not the operator's", e)
				}
			}
		}
		// A name finds nobody, which is not to be read as “did nothing”.
		f.auditor.Get("/admin/audit?actor=Ann+Archer").Want(http.StatusOK, "You see no user with this e-mail address or username.")
		if text := f.auditor.Get("/admin/audit?action=no.such").Text(); strings.Contains(text, "You see no user") {
			t.Error("nobody was asked for")
		}
		f.auditor.Get("/admin/audit?actor=operator&action=user.created").Want(http.StatusOK, "The operator", `value="operator"`,
			`<option value="user.created" selected>`, `href="/admin/audit.csv?action=user.created&amp;actor=operator"`)
	})
}

func TestADateThatIsNoneIsSaidBesideTheField(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	f := newFirm(t, p)
	for _, bad := range []string{"yesterday", "2026-02-30", "2026-1-1", "01/02/2026", "2026-01-01T25:00:00Z", `"><b>`} {
		for _, path := range []string{"/admin/audit", "/admin/audit.csv", "/admin/audit.ndjson"} {
			page := f.auditor.Get(path+"?actor=ann&since="+url.QueryEscape(bad)+"&until=2026-01-01").Want(http.StatusUnprocessableEntity,
				`role="alert"`, "Enter a date such as", `aria-describedby="since-error"`, `id="since-error"`, `value="ann"`, `value="2026-01-01"`)
			if !strings.Contains(page.Body, `name="since" type="text"`) || strings.Contains(page.Body, "<b>") || page.Header.Get("Content-Disposition") != "" {
				t.Errorf("%s with %q: %s", path, bad, page.Body)
			}
		}
	}
	f.auditor.Get("/admin/audit?until=never").Want(http.StatusUnprocessableEntity, `id="until-error"`)
	f.auditor.Get("/admin/audit?after=x").Want(http.StatusBadRequest)
	f.auditor.Get("/admin/audit?actor=" + strings.Repeat("a", 500)).Want(http.StatusBadRequest)
	if n := exports(t, p); n != 0 {
		t.Errorf("%d exports are recorded, though nothing left", n)
	}
}

// Point 11 of the issue: an administrator of an organization learns nothing of another, by
// no way of asking.
func TestAPortalAdministratorSeesTheOwnOrganizationAlone(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		f := newFirm(t, p)
		f.record(audit.Event{Action: audit.ProfileChanged, Actor: portaltest.Actor(f.ann), User: f.ann})
		f.record(audit.Event{Action: audit.ProfileChanged, Actor: portaltest.Actor(f.eve), User: f.eve})
		f.record(audit.Event{Action: audit.SettingChanged, Actor: portaltest.Actor(f.aud)})
		staff := portaltest.Actor(f.aud) // acts on somebody of Acme
		staff.Address, staff.UserAgent = "198.51.100.77", "VendorBrowser/1.0"
		f.record(audit.Event{Action: audit.UserUnlocked, Actor: staff, User: f.ann})
		f.record(audit.Event{Action: audit.UserChanged, Actor: portaltest.Operator, User: f.ann,
			Detail: map[string]string{"organization": strconv.FormatInt(f.globex, 10)}})
		f.record(audit.Event{Action: audit.OrganizationChanged, Actor: portaltest.Operator, OrganizationID: f.acme,
			Detail: map[string]string{"old": "Acme", "name": "Acme", "contact_owner": strconv.FormatInt(f.aud.ID, 10)}})
		moved := person(t, p, directory.NewUser{Email: "mo@acme.example", Name: "Mo Mover", Organization: "Acme"})
		globex := strconv.FormatInt(f.globex, 10)
		if err := p.Directory.ChangeUser(t.Context(), portaltest.Operator, moved.ID, directory.UserChange{Organization: &globex}); err != nil {
			t.Fatal(err)
		}

		secrets := []string{"Eve Jones", "Aud Auditor", "Globex", "globex.example", "vendor.example", "Mo Mover", staff.Address, staff.UserAgent}
		page := f.administrator.Get("/admin/audit").Want(http.StatusOK, "Acme only", "Ann Smith", "Adam Admin", "another organization")
		if row := auditRow(t, page, "The account was unlocked"); !strings.Contains(row, "Somebody outside your organization") ||
			strings.Contains(row, fmt.Sprintf("/admin/users/%d\"", f.aud.ID)) {
			t.Errorf("staff is told as %s", row)
		}
		if row := auditRow(t, page, "The account was made"); strings.Contains(row, fmt.Sprintf("/admin/users/%d\"", moved.ID)) {
			t.Errorf("somebody who has moved is linked: %s", row)
		}
		for _, path := range []string{"/admin/audit", "/admin/audit.csv", "/admin/audit.ndjson"} {
			body := f.administrator.Get(path).Want(http.StatusOK).Body
			for _, secret := range secrets {
				if strings.Contains(body, secret) {
					t.Errorf("%s tells of %s", path, secret)
				}
			}
		}
		for _, e := range exported(t, f.administrator, "") {
			if e["organization_id"] != float64(f.acme) {
				t.Errorf("exported %v", e)
			}
		}
		for _, asked := range []string{"eve@globex.example", "eve", strconv.FormatInt(f.eve.ID, 10), "aud@vendor.example",
			strconv.FormatInt(f.aud.ID, 10), strconv.FormatInt(moved.ID, 10)} {
			if got := exported(t, f.administrator, "?actor="+url.QueryEscape(asked)); len(got) != 0 {
				t.Errorf("the actor %s is found: %v", asked, got)
			}
			f.administrator.Get("/admin/audit?actor="+url.QueryEscape(asked)).Want(http.StatusOK, "Nothing like that has happened")
		}
		if got := exported(t, f.administrator, "?actor=ann"); len(got) != 1 {
			t.Errorf("Ann has done %v", got)
		}
		if got := exported(t, f.administrator, "?actor=adam%40acme.example&action=sign_in.succeeded"); len(got) != 1 {
			t.Errorf("the administrator's own sign-in is %v", got)
		}
		// What the own organization is exported by is seen by it, too.
		f.administrator.Get("/admin/audit").Want(http.StatusOK, "The audit trail was exported", "Format: ndjson")
	})
}

func TestTheTrailIsPagedThroughToItsBeginning(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		f := newFirm(t, p)
		for range 120 {
			f.record(audit.Event{Action: audit.ProfileChanged, Actor: portaltest.Actor(f.ann), User: f.ann})
		}
		address, seen, pages := "/admin/audit?actor=ann&action=profile.changed", 0, 0
		f.auditor = p.Browser(t, "192.0.2.50")
		p.SignInWithCode(t, f.auditor, f.aud)
		for address != "" {
			page := f.auditor.Get(address).Want(http.StatusOK)
			seen += strings.Count(page.Body, "<tr>") - 1
			if pages++; pages > 5 {
				t.Fatal("it goes on for ever")
			}
			address = ""
			if next := regexp.MustCompile(`href="(/admin/audit\?[^"]*after=[^"]*)"`).FindStringSubmatch(page.Body); next != nil {
				address = strings.ReplaceAll(next[1], "&amp;", "&")
			}
		}
		if seen != 120 || pages != 3 {
			t.Errorf("%d events on %d pages", seen, pages)
		}
	})
}

func TestAnExportIsAFileOfEverythingThatTheFiltersLeave(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		f := newFirm(t, p)
		for range 2500 / 50 { // more than is read at a time
			if err := p.DB.Update(t.Context(), func(tx *db.Tx) error {
				for range 50 {
					e := audit.Event{Action: audit.ProfileChanged, Actor: portaltest.Actor(f.ann), User: f.ann}
					e.Actor.UserAgent = "=cmd|' /C calc'!A0"
					if err := audit.Record(t.Context(), tx, e); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		page := f.auditor.Get("/admin/audit.csv?actor=ann").Want(http.StatusOK)
		rows, err := csv.NewReader(strings.NewReader(page.Body)).ReadAll()
		if err != nil || len(rows) != 2501 || rows[1][10] != "'=cmd|' /C calc'!A0" {
			t.Errorf("%d rows: %v", len(rows), err)
		}
		for name, want := range map[string]string{"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": `attachment; filename="audit-2026-11-20.csv"`,
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"} {
			if got := page.Header.Get(name); got != want {
				t.Errorf("%s is %q instead of %q", name, got, want)
			}
		}
		page = f.auditor.Get("/admin/audit.ndjson?actor=ann").Want(http.StatusOK)
		if n := strings.Count(page.Body, "\n"); n != 2500 || page.Header.Get("Content-Type") != "application/x-ndjson" ||
			page.Header.Get("Content-Disposition") != `attachment; filename="audit-2026-11-20.ndjson"` {
			t.Errorf("%d lines, %v", n, page.Header)
		}
		f.auditor.Get("/admin/audit").Want(http.StatusOK, "The audit trail was exported", "Format: csv; Who did it: ann")
		// To look what it would be is no export; nor does htmx get a file into a page.
		head := f.auditor.Do(f.auditor.Request(http.MethodHead, "/admin/audit.csv", ""))
		if head.Want(http.StatusOK); head.Header.Get("Content-Type") != "text/csv; charset=utf-8" {
			t.Errorf("HEAD is answered with %v", head.Header)
		}
		f.auditor.HTMX = true
		if to := f.auditor.Get("/admin/audit.csv?actor=ann").Want(http.StatusOK).Header.Get("HX-Redirect"); to != "/admin/audit.csv?actor=ann" {
			t.Errorf("htmx is sent to %q", to)
		}
		if n := exports(t, p); n != 2 {
			t.Errorf("%d exports are recorded instead of 2", n)
		}
	})
}

// A part of the trail must not be taken for the whole.
func TestAnExportThatBreaksOffIsCutAndNotEnded(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	f := newFirm(t, p)
	fillTrail(t, p, 10_000)
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /admin/audit.ndjson HTTP/1.1\r\nHost: %s\r\nCookie: postern=%s\r\n\r\n", strings.TrimPrefix(p.URL, "http://"), f.auditor.Cookie("postern"))
	answer, err := http.ReadResponse(bufio.NewReaderSize(conn, 1024), nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%v: %v", answer, err)
	}
	defer answer.Body.Close()
	if _, err := io.CopyN(io.Discard, answer.Body, 100_000); err != nil {
		t.Fatal(err)
	}
	breakTrail(t)
	rest, err := io.ReadAll(answer.Body)
	if err == nil {
		t.Errorf("it ended as if it were whole, after %d bytes more", len(rest))
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(p.Log.String(), "a download was cut off"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing is logged: %s", p.Log.String())
		}
	}
	if strings.Contains(p.Log.String(), "panic") {
		t.Error("it is logged as a panic")
	}
	f.auditor.Get("/support").Want(http.StatusOK) // the portal goes on
}

func TestNobodyHoldsAnExportOpenForEver(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	f := newFirm(t, p)
	fillTrail(t, p, 10_000)
	ctx, leave := context.WithCancel(t.Context())
	request := f.auditor.Request(http.MethodGet, "/admin/audit.csv", "").WithContext(ctx)
	request.AddCookie(&http.Cookie{Name: "postern", Value: f.auditor.Cookie("postern")})
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	leave() // without having read a byte
	_ = response.Body.Close()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(p.Log.String(), "a download was cut off"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it goes on, though nobody listens")
		}
	}
}

func TestWhatTheFirstOwnerChoosesAndWhomABrowserIsTrustedForIsRecorded(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		link, err := p.Account.OfferSetup(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b := p.Browser(t, "192.0.2.1")
		b.Get("/setup/" + link).WantTo("/setup")
		b.Post("/setup", "name", "Olga Owner", "email", "olga@vendor.example", "username", "olga", "password", portaltest.Password,
			"confirm", portaltest.Password, "portal_name", "Northwind Desk", "support_email", "help@vendor.example").Want(http.StatusSeeOther)
		ann := person(t, p, directory.NewUser{Email: "ann@acme.example", Name: "Ann Smith", Username: "ann"})
		p.Enrol(t, ann)
		known := p.Browser(t, "192.0.2.2")
		known.Post("/sign-in", "login", "ann", "password", portaltest.Password).WantTo("/sign-in/verify")
		known.Post("/sign-in/verify", "code", p.Code(t, ann), "trust_device", "true").WantTo("/account")

		auditor, _ := p.Staff(t, directory.NewUser{Email: "aud@vendor.example", Name: "Aud Auditor", Role: "auditor"})
		page := auditor.Get("/admin/audit").Want(http.StatusOK)
		for _, says := range []string{"The portal was set up", "portal.name: Customer Portal → Northwind Desk", "support.email: nothing → help@vendor.example"} {
			if row := auditRow(t, page, says); !strings.Contains(row, "Olga Owner") {
				t.Errorf("%s", row)
			}
		}
		if row := auditRow(t, page, "A browser was trusted"); strings.Count(row, "Ann Smith") != 2 || !strings.Contains(row, "192.0.2.2") {
			t.Errorf("%s", row)
		}
	})
}

// An export lasts as long as it is taken, not as long as a page.
func TestWhoReadsSlowlyGetsTheWholeExport(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	f := newFirm(t, p)
	fillTrail(t, p, 10_000)
	web := httptest.NewUnstartedServer(p.Server.Handler())
	web.Config.WriteTimeout = time.Second
	web.Start()
	t.Cleanup(web.Close)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL+"/admin/audit.ndjson", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = strings.TrimPrefix(p.URL, "http://")
	request.AddCookie(&http.Cookie{Name: "postern", Value: f.auditor.Cookie("postern")})
	response, err := web.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines, part := 0, make([]byte, 512<<10)
	for began := time.Now(); ; {
		n, err := response.Body.Read(part)
		lines += strings.Count(string(part[:n]), "\n")
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("after %d lines and %v: %v", lines, time.Since(began), err)
		}
		if time.Since(began) < 3*time.Second {
			time.Sleep(100 * time.Millisecond)
		}
	}
	if lines < 10_000 {
		t.Errorf("%d lines came", lines)
	}
}
