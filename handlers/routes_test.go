package handlers_test

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/internal/portaltest"
)

// meets is what visitors meet at an address: a status, and where they are sent.
type meets struct {
	path      string // asked for
	anonymous string // also with the cookie of a session that has ended
	fresh     string // signed in, with fresh proof
	stale     string // signed in longer ago; empty for the same as fresh
}

const (
	toSignIn = "303 /sign-in?next="
	toProof  = "303 /reauthenticate?next="
)

// routeTable says for every route what each visitor meets; a POST comes without fields.
var routeTable = map[string]meets{
	"GET /{$}":                         {"/", "303 /sign-in", "303 /account", ""},
	"GET /static/{name}":               {"/static/nothing.css", "404", "404", ""},
	"GET /support":                     {"/support", "200", "200", ""},
	"GET /.well-known/change-password": {"/.well-known/change-password", "303 /account/security", "303 /account/security", ""},

	"GET /setup/{token}": {"/setup/" + unknownToken, "303 /setup", "303 /setup", ""},
	"GET /setup":         {"/setup", "410", "410", ""},
	"POST /setup":        {"/setup", "410", "410", ""},

	"GET /sign-in":   {"/sign-in", "200", "303 /account", ""},
	"POST /sign-in":  {"/sign-in", "422", "303 /account", ""},
	"POST /sign-out": {"/sign-out", "303 /sign-in", "303 /sign-in", ""},

	"GET /forgot-password":        {"/forgot-password", "200", "200", ""},
	"POST /forgot-password":       {"/forgot-password", "422", "422", ""},
	"GET /forgot-password/sent":   {"/forgot-password/sent", "200", "200", ""},
	"GET /reset-password/{token}": {"/reset-password/" + unknownToken, "303 /reset-password", "303 /reset-password", ""},
	"GET /reset-password":         {"/reset-password", "410", "410", ""},
	"POST /reset-password":        {"/reset-password", "410", "410", ""},
	"GET /reset-password/renew":   {"/reset-password/renew", "200", "200", ""},
	"POST /reset-password/renew":  {"/reset-password/renew", "303 /forgot-password/sent", "303 /forgot-password/sent", ""},
	"GET /invitation/{token}":     {"/invitation/" + unknownToken, "303 /invitation", "303 /invitation", ""},
	"GET /invitation":             {"/invitation", "410", "410", ""},
	"POST /invitation":            {"/invitation", "410", "410", ""},
	"GET /invitation/renew":       {"/invitation/renew", "200", "200", ""},
	"POST /invitation/renew":      {"/invitation/renew", "303 /forgot-password/sent", "303 /forgot-password/sent", ""},
	"POST /password/strength":     {"/password/strength", "404", "404", ""},

	"GET /verify-email/{token}": {"/verify-email/" + unknownToken, "303 /verify-email", "303 /verify-email", ""},
	"GET /verify-email":         {"/verify-email", toSignIn + "%2Fverify-email", "410", ""},
	"POST /verify-email":        {"/verify-email", toSignIn + "%2Fverify-email", "410", ""},
	"GET /not-me/{token}":       {"/not-me/" + unknownToken, "303 /not-me", "303 /not-me", ""},
	"GET /not-me":               {"/not-me", "410", "410", ""},
	"POST /not-me":              {"/not-me", "410", "410", ""},

	"GET /reauthenticate":        {"/reauthenticate", "303 /sign-in", "200", ""},
	"POST /reauthenticate":       {"/reauthenticate", "303 /sign-in", "422", ""},
	"GET /account":               {"/account", toSignIn + "%2Faccount", "200", ""},
	"GET /account/profile":       {"/account/profile", toSignIn + "%2Faccount%2Fprofile", "200", ""},
	"POST /account/profile":      {"/account/profile", toSignIn + "%2Faccount%2Fprofile", "422", ""},
	"GET /account/security":      {"/account/security", toSignIn + "%2Faccount%2Fsecurity", "200", ""},
	"GET /account/password":      {"/account/password", toSignIn + "%2Faccount%2Fpassword", "200", ""},
	"POST /account/password":     {"/account/password", toSignIn + "%2Faccount%2Fpassword", "422", ""},
	"GET /account/email":         {"/account/email", toSignIn + "%2Faccount%2Femail", "200", toProof + "%2Faccount%2Femail"},
	"POST /account/email":        {"/account/email", toSignIn + "%2Faccount%2Femail", "422", toProof + "%2Faccount%2Femail"},
	"GET /account/email/cancel":  {"/account/email/cancel", toSignIn + "%2Faccount%2Femail%2Fcancel", "200", ""},
	"POST /account/email/cancel": {"/account/email/cancel", toSignIn + "%2Faccount%2Femail%2Fcancel", "303 /account/security", ""},
	"GET /account/username":      {"/account/username", toSignIn + "%2Faccount%2Fusername", "200", toProof + "%2Faccount%2Fusername"},
	"POST /account/username":     {"/account/username", toSignIn + "%2Faccount%2Fusername", "303 /account/security", toProof + "%2Faccount%2Fusername"},

	"GET /local-mail":      {"/local-mail", "404", "404", ""},
	"GET /local-mail/{id}": {"/local-mail/0000000000000-1.1", "404", "404", ""},
}

// line is a line of the table of routes.
type line struct{ method, path, access string }

// routeLines reads the table from its source, so that no route can be left out here.
func routeLines(t testing.TB) []line {
	t.Helper()
	source, err := os.ReadFile("routes.go")
	if err != nil {
		t.Fatal(err)
	}
	var lines []line
	for _, match := range regexp.MustCompile(`\{"([A-Z]+) (/[^"]*)", (\w+), s\.\w+\},`).FindAllStringSubmatch(string(source), -1) {
		lines = append(lines, line{match[1], strings.Replace(match[2], "...}", "}", 1), match[3]})
	}
	if n := strings.Count(string(source), `{"`); n != len(lines) || n == 0 {
		t.Fatalf("%d of %d routes could be read", len(lines), n)
	}
	return lines
}

// inOrder are the routes in the order in which a visitor tries them: signing out is last.
func inOrder(t testing.TB) []line {
	t.Helper()
	lines := routeLines(t)
	out := slices.IndexFunc(lines, func(l line) bool { return l.path == "/sign-out" })
	return append(slices.Delete(slices.Clone(lines), out, out+1), lines[out])
}

func TestEveryRouteIsGuardedAsItsLineInThisTableSays(t *testing.T) {
	t.Parallel()
	lines := routeLines(t)
	for _, l := range lines {
		if _, ok := routeTable[l.method+" "+l.path]; !ok {
			t.Fatalf("%s %s has no line in the table of this test", l.method, l.path)
		}
	}
	if len(routeTable) != len(lines) {
		t.Fatalf("%d routes, but %d lines in the table of this test", len(lines), len(routeTable))
	}
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		anonymous := tour{p: p, b: p.Browser(t, "192.0.2.1"), meets: func(m meets) string { return m.anonymous }}
		anonymous.walk(t, "anonymous")

		signedIn := p.Browser(t, "192.0.2.2")
		signedIn.SignIn("ann", portaltest.Password)
		stale := p.Browser(t, "192.0.2.3")
		stale.SignIn("ann", portaltest.Password)
		fresh := tour{p: p, b: signedIn, meets: func(m meets) string { return m.fresh }}
		fresh.walk(t, "signed in with fresh proof")

		// Changing the username has ended it.
		stale.SignIn("ann@acme.example", portaltest.Password)
		dead := stale.Cookie("postern")
		p.Clock.Advance(11 * time.Minute)
		old := tour{p: p, b: stale, meets: func(m meets) string {
			if m.stale != "" {
				return m.stale
			}
			return m.fresh
		}}
		old.walk(t, "signed in with old proof")

		ended := tour{p: p, b: p.Browser(t, "192.0.2.4"), cookie: dead, meets: func(m meets) string { return m.anonymous }}
		ended.walk(t, "session ended")
	})
}

// tour is a visitor on the way through all routes.
type tour struct {
	p      *portaltest.Portal
	b      *portaltest.Browser
	from   addresses
	cookie string // of a session, given again before every request
	meets  func(meets) string
}

func (v *tour) walk(t *testing.T, who string) {
	t.Helper()
	for _, l := range inOrder(t) {
		row := routeTable[l.method+" "+l.path]
		guarded := l.access == "signedIn" || l.access == "freshProof"
		for _, htmx := range []bool{false, true} {
			if htmx && l.path == "/sign-out" && strings.HasPrefix(who, "signed in") {
				continue // signed out by now
			}
			page := v.ask(l.method, row.path, htmx)
			if got, want := met(page), forHTMX(v.meets(row), htmx, guarded); got != want {
				t.Errorf("%s, %s %s, htmx %v: %s instead of %s", who, l.method, l.path, htmx, got, want)
			}
			wantHeaders(t, page)
			if l.method == http.MethodGet {
				v.wantSameHead(t, who, row.path, htmx, page)
			}
		}
	}
}

// ask makes one request, from an address that was not used before.
func (v *tour) ask(method, path string, htmx bool) portaltest.Page {
	v.b.HTMX, v.b.Address = htmx, v.from.next()
	if v.cookie != "" {
		v.b.SetCookie("postern", v.cookie)
	}
	return v.b.Do(v.b.Request(method, path, ""))
}

func (v *tour) wantSameHead(t *testing.T, who, path string, htmx bool, page portaltest.Page) {
	t.Helper()
	head := v.ask(http.MethodHead, path, htmx)
	if met(head) != met(page) || head.Body != "" {
		t.Errorf("%s, HEAD %s: %s and %q, GET: %s", who, path, met(head), head.Body, met(page))
	}
}

// met puts an answer into the words of the table.
func met(page portaltest.Page) string {
	to := page.Header.Get("Location")
	status := page.Status
	if redirect := page.Header.Get("HX-Redirect"); redirect != "" {
		to = redirect
		if status == http.StatusOK {
			status = http.StatusSeeOther // the same, for the whole page
		}
	}
	return strings.TrimSpace(strconv.Itoa(status) + " " + to)
}

// forHTMX is what the table says, for a request of htmx: C17, that a session has ended must
// not put a sign-in form into a part of a page.
func forHTMX(want string, htmx, guarded bool) string {
	if htmx && guarded && strings.HasPrefix(want, "303 /sign-in") {
		return "401" + strings.TrimPrefix(want, "303")
	}
	return want
}

func TestAWrongMethodIsNamedAndChangesNothing(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	signedIn := p.Browser(t, "192.0.2.2")
	signedIn.SignIn("ann", portaltest.Password)
	allowed := map[string][]string{}
	for _, l := range routeLines(t) {
		path := routeTable[l.method+" "+l.path].path
		allowed[path] = append(allowed[path], l.method)
		if l.method == http.MethodGet {
			allowed[path] = append(allowed[path], http.MethodHead)
		}
	}
	d := database(t, p)
	before := dump(t, d)
	for name, b := range map[string]*portaltest.Browser{"anonymous": p.Browser(t, "192.0.2.1"), "signed in": signedIn} {
		for path, methods := range allowed {
			slices.Sort(methods)
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
				if slices.Contains(methods, method) {
					continue
				}
				page := b.Do(b.Request(method, path, ""))
				if allow := page.Header.Get("Allow"); page.Status != http.StatusMethodNotAllowed || allow != strings.Join(methods, ", ") {
					t.Errorf("%s, %s %s: %d, allowed is %q instead of %q", name, method, path, page.Status, allow, methods)
				}
				wantHeaders(t, page)
			}
		}
	}
	if tables := changed(before, dump(t, d)); len(tables) > 0 {
		t.Errorf("a wrong method has changed %q", tables)
	}
}

func TestAMethodCannotBeSmuggledInAField(t *testing.T) { // E20
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	for _, header := range []string{"X-HTTP-Method-Override", "X-Http-Method", "X-Method-Override"} {
		request := b.Request(http.MethodGet, "/sign-out?_method=POST", "")
		request.Header.Set(header, "POST")
		b.Do(request).Want(http.StatusMethodNotAllowed)
		request = b.Request(http.MethodPost, "/account/profile", "_method=GET&name=&time_zone=UTC")
		request.Header.Set(header, "GET")
		b.Do(request).Want(http.StatusUnprocessableEntity)
	}
	b.Get("/account").Want(http.StatusOK, "Ann Smith")
}

func TestAnotherSpellingOfAnAddressOpensNothing(t *testing.T) { // E21
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	for _, path := range []string{"//account", "/./account", "/support/../account", "/%61ccount", "/account%2fsecurity", "/account%2Fsecurity",
		"/Account", "/account/", "/account//security", "/account;/security", "/account/..%2fsecurity", "/account%00", "/.%2faccount", "/account/%2e"} {
		page := b.Do(b.Request(http.MethodGet, path, ""))
		for range 3 { // a tidier spelling of the same path first
			if to := page.Header.Get("Location"); strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "/sign-in") {
				wantHeaders(t, page)
				page = b.Get(to)
			}
		}
		if got := met(page); got != "404" && !strings.HasPrefix(got, toSignIn+"%2Faccount") {
			t.Errorf("%s: a stranger gets %s", path, got)
		}
		if strings.Contains(page.Body, "Ann Smith") {
			t.Errorf("%s shows the account to a stranger", path)
		}
	}
}

func TestEveryActHasAPageOfItsOwnBehindTheSameGuard(t *testing.T) {
	t.Parallel()
	access := map[string]string{}
	for _, l := range routeLines(t) {
		access[l.method+" "+l.path] = l.access
	}
	for pattern, who := range access {
		path, isPost := strings.CutPrefix(pattern, "POST ")
		if isPost && path != "/sign-out" && path != "/password/strength" && access["GET "+path] != who {
			t.Errorf("POST %s is for %s, but GET for %q", path, who, access["GET "+path])
		}
	}
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	b.Post("/account/email", "email", "new@acme.example").WantTo("/account/security")
	for _, path := range []string{"/reauthenticate", "/account/profile", "/account/password", "/account/email", "/account/username",
		"/account/email/cancel", "/reset-password/renew", "/invitation/renew", "/forgot-password"} {
		if page := b.Get(path); page.Status != http.StatusOK || !formFor(t, page.Body, path) {
			t.Errorf("GET %s: %s, without the form", path, met(page))
		}
	}
}
