package handlers_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"

	"postern/db"
	"postern/db/dbtest"
	"postern/handlers"
	"postern/internal/directory"
	"postern/internal/mail/mailtest"
	"postern/internal/password"
	"postern/internal/portaltest"
)

// database opens what the portal keeps, to look at it from outside, or to break it.
func database(t testing.TB, p *portaltest.Portal) *sql.DB {
	t.Helper()
	if p.DB.Engine() == db.SQLite {
		files, err := filepath.Glob(filepath.Join(filepath.Dir(t.TempDir()), "*", "postern.db"))
		if err != nil || len(files) != 1 {
			t.Fatalf("the database is not the only one of the test: %q %v", files, err)
		}
		return open(t, "sqlite", "file:"+files[0]+"?_pragma=busy_timeout(5000)")
	}
	mark(t, p)
	newest := dbtest.NewPostgreSQL(t)
	digits := regexp.MustCompile(`\d+$`).FindString(newest)
	number, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatal(err)
	}
	for number--; number > 0; number-- {
		d := open(t, "pgx", strings.TrimSuffix(newest, digits)+strconv.Itoa(number))
		var whose string
		if d.QueryRow(`SELECT value FROM instance WHERE name = 'whose'`).Scan(&whose) == nil && whose == t.Name() {
			return d
		}
	}
	t.Fatal("the portal's database was not found")
	return nil
}

// mark lets the database of a portal be told from those of other tests.
func mark(t testing.TB, p *portaltest.Portal) {
	t.Helper()
	if err := p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.SetFact(t.Context(), "whose", t.Name()) }); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, driver, name string) *sql.DB {
	t.Helper()
	d, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// execute runs statements on the portal's database.
func execute(t testing.TB, d *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := d.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// dump is every row of every table as text, by table, but for the columns that are to be
// left out, written as table.column.
func dump(t testing.TB, d *sql.DB, without ...string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, table := range tables(t, d) {
		all[table] = rows(t, d, table, without)
	}
	return all
}

func tables(t testing.TB, d *sql.DB) []string {
	t.Helper()
	found, err := d.Query(`SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`)
	if err != nil {
		found, err = d.Query(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	var names []string
	for found.Next() {
		var name string
		if err := found.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}

func rows(t testing.TB, d *sql.DB, table string, without []string) []string {
	t.Helper()
	found, err := d.Query(`SELECT * FROM ` + table)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	columns, err := found.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for found.Next() {
		values, places := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		if err := found.Scan(places...); err != nil {
			t.Fatal(err)
		}
		all = append(all, rowText(table, columns, values, without))
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	sort.Strings(all)
	return all
}

func rowText(table string, columns []string, values []any, without []string) string {
	var text strings.Builder
	for i, column := range columns {
		if slices.Contains(without, table+"."+column) {
			continue
		}
		value := values[i]
		if b, ok := value.([]byte); ok {
			value = string(b)
		}
		fmt.Fprintf(&text, "%s=%v ", column, value)
	}
	return text.String()
}

// changed names the tables that are not the same in both dumps.
func changed(before, after map[string][]string) []string {
	var names []string
	for table := range after {
		if !slices.Equal(before[table], after[table]) {
			names = append(names, table)
		}
	}
	sort.Strings(names)
	return names
}

// element is an element of a page.
type element struct {
	name       string
	attributes map[string]string
	text       string // with that of the elements in it
	depth      int    // how many elements it stands in
}

// elements takes a page apart.
func elements(t testing.TB, body string) []element {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(body))
	decoder.Strict, decoder.AutoClose, decoder.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var all []element
	var within []int
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("the page is no HTML: %v\n%s", err, body)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, attributes: map[string]string{}, depth: len(within)}
			for _, a := range token.Attr {
				e.attributes[a.Name.Local] = a.Value
			}
			within = append(within, len(all))
			all = append(all, e)
		case xml.EndElement:
			within = within[:len(within)-1]
		case xml.CharData:
			for _, i := range within {
				all[i].text += string(token)
			}
		}
	}
}

// having returns the elements with that value of an attribute.
func having(all []element, attribute, value string) []element {
	var found []element
	for _, e := range all {
		if got, ok := e.attributes[attribute]; ok && got == value {
			found = append(found, e)
		}
	}
	return found
}

// input returns the field of that name, or fails the test.
func input(t testing.TB, body, name string) element {
	t.Helper()
	found := having(elements(t, body), "name", name)
	if len(found) == 0 {
		t.Fatalf("there is no field %q: %s", name, body)
	}
	return found[0]
}

// formFor says whether the page has a form that posts to that address.
func formFor(t testing.TB, body, address string) bool {
	t.Helper()
	return slices.ContainsFunc(having(elements(t, body), "action", address), func(e element) bool {
		return e.name == "form" && e.attributes["method"] == "post"
	})
}

// secondServer is another way into the portal, with something about it changed.
func secondServer(p *portaltest.Portal, change func(*handlers.Server)) http.Handler {
	s := &handlers.Server{Config: p.Server.Config, DB: p.DB, Account: p.Account, Directory: p.Directory, Settings: p.Settings,
		Sessions: p.Server.Sessions, Mail: p.Worker, Ready: p.Server.Ready, Log: p.Server.Log}
	change(s)
	return s.Handler()
}

// wire carries requests straight to a handler, as if they came from that peer.
type wire struct {
	handler http.Handler
	peer    string
}

// RoundTrip implements http.RoundTripper.
func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	body := io.Reader(http.NoBody)
	if r.Body != nil {
		body = r.Body
	}
	in := httptest.NewRequest(r.Method, r.URL.String(), body)
	in.Header, in.RemoteAddr = r.Header.Clone(), w.peer
	if r.Host != "" {
		in.Host = r.Host
	}
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, in)
	return recorder.Result(), nil
}

// visitor is a browser that remembers every answer, on any way into the portal.
type visitor struct {
	url    string
	header http.Header // sent with every request
	met    []exchange

	t      testing.TB
	client *http.Client
}

// exchange is a request and its answer.
type exchange struct {
	method, path string // the path with its query
	status       int
	header       http.Header
	body         string
	cookies      []*http.Cookie // that were set
}

func newVisitor(t testing.TB, address string, transport http.RoundTripper) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{url: address, header: http.Header{}, t: t, client: &http.Client{Jar: jar, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// send makes a request; fields alternate names and values.
func (v *visitor) send(method, path string, fields ...string) exchange {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	request, err := http.NewRequestWithContext(v.t.Context(), method, v.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	for name, values := range v.header {
		request.Header[name] = values
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	response, err := v.client.Do(request)
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	e := exchange{method, path, response.StatusCode, response.Header, string(body), response.Cookies()}
	v.met = append(v.met, e)
	return e
}

// want fails the test unless the answer has that status, and returns where it leads.
func (v *visitor) want(status int, e exchange) string {
	v.t.Helper()
	if e.status != status {
		v.t.Fatalf("%s %s answers %d instead of %d: %s", e.method, e.path, e.status, status, e.body)
	}
	return e.header.Get("Location")
}

func (v *visitor) get(path string) exchange { v.t.Helper(); return v.send(http.MethodGet, path) }

func (v *visitor) post(path string, fields ...string) exchange {
	v.t.Helper()
	return v.send(http.MethodPost, path, fields...)
}

// addresses hands out network addresses of which none comes twice, for what is counted by
// address but is not what a test is about.
type addresses struct{ last netip.Addr }

func (a *addresses) next() string {
	if !a.last.IsValid() {
		a.last = netip.MustParseAddr("10.1.0.0")
	}
	a.last = a.last.Next()
	return a.last.String()
}

// answerOf asks a handler once.
func answerOf(handler http.Handler, request *http.Request) *http.Response {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder.Result()
}

// known is the hash of portaltest.Password, made once for all tests.
var known = sync.OnceValues(func() (string, error) {
	return password.NewHasher(password.NewGate(1, 1<<30)).Hash(context.Background(), password.SignedIn, portaltest.Password)
})

// person makes a user with portaltest.Password, without the time that hashing takes.
func person(t testing.TB, p *portaltest.Portal, form directory.NewUser) db.User {
	t.Helper()
	if form.Name == "" {
		form.Name = "Zoë Tester"
	}
	user, err := p.Directory.CreateUser(t.Context(), portaltest.Operator, form)
	if err != nil {
		t.Fatalf("make %s: %v", form.Email, err)
	}
	hash, err := known()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.SetPassword(t.Context(), user.ID, hash) }); err != nil {
		t.Fatal(err)
	}
	return p.Reload(t, user)
}

// newAnn makes the customer that most tests are about.
func newAnn(t testing.TB, p *portaltest.Portal) db.User {
	t.Helper()
	return person(t, p, directory.NewUser{Email: "ann@acme.example", Name: "Ann Smith", Username: "ann"})
}

// onSQLite is a portal for what no database makes a difference to.
func onSQLite(t testing.TB) *portaltest.Portal {
	t.Helper()
	return portaltest.New(t, db.SQLite)
}

// pathOf returns the path of a mailed link.
func pathOf(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return link
	}
	return u.Path
}

// unknownToken has the shape of a token and belongs to nobody.
var unknownToken = strings.Repeat("A", 43)

// mailTo returns the newest of the mails that came to that address; there must be one.
func mailTo(t testing.TB, p *portaltest.Portal, address string) mailtest.Mail {
	t.Helper()
	mails := p.Mails(t)
	for _, m := range slices.Backward(mails) {
		if m.To == address {
			return m
		}
	}
	t.Fatalf("of %d mails none came to %s", len(mails), address)
	return mailtest.Mail{}
}

// shapesOf are the ways to write a stored hash where a token belongs.
func shapesOf(hash []byte) []string {
	return []string{base64.RawURLEncoding.EncodeToString(hash), base64.StdEncoding.EncodeToString(hash), hex.EncodeToString(hash)}
}
