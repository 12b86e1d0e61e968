package handlers_test

import (
	"cmp"
	"context"
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
	"postern/handlers"
	"postern/internal/directory"
	"postern/internal/portaltest"
	"postern/internal/token"
)

// meets is what visitors meet at an address: a status, and where they are sent. In a path
// {session} and {browser} are the visitor's own, {user} is somebody new in Acme,
// {organization} and {role} are new, too.
type meets struct {
	path      string // asked for
	anonymous string // also with the cookie of a session that has ended
	fresh     string // a customer signed in, with fresh proof
	stale     string // signed in longer ago; empty for the same as fresh
}

// What is asked for before anything else.
const (
	signInFirst = "sign in, and come back"
	signInOnly  = "sign in"
	verifyFirst = "enter the code"
	proofFirst  = "prove it"
)

// guarded says whether the line is for people who have signed in.
func (m meets) guarded() bool { return m.anonymous == signInFirst || m.anonymous == signInOnly }

// routeTable says for every route what each visitor meets; a POST comes without fields.
var routeTable = map[string]meets{
	"GET /{$}":                         {"/", "303 /sign-in", "303 /account", ""},
	"GET /static/{name}":               {"/static/nothing.css", "404", "404", ""},
	"GET /support":                     {"/support", "200", "200", ""},
	"GET /.well-known/change-password": {"/.well-known/change-password", "303 /account/security", "303 /account/security", ""},

	"GET /setup/{token}": {"/setup/" + unknownToken, "404", "404", ""},
	"GET /setup":         {"/setup", "404", "404", ""},
	"POST /setup":        {"/setup", "404", "404", ""},

	"GET /sign-in":         {"/sign-in", "200", "303 /account", ""},
	"POST /sign-in":        {"/sign-in", "422", "303 /account", ""},
	"GET /sign-in/verify":  {"/sign-in/verify", signInOnly, "303 /account", ""},
	"POST /sign-in/verify": {"/sign-in/verify", signInOnly, "303 /account", ""},
	"POST /sign-out":       {"/sign-out", signInOnly, "303 /sign-in", ""},

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
	"GET /verify-email":         {"/verify-email", signInFirst, "410", ""},
	"POST /verify-email":        {"/verify-email", signInFirst, "410", ""},
	"GET /not-me/{token}":       {"/not-me/" + unknownToken, "303 /not-me", "303 /not-me", ""},
	"GET /not-me":               {"/not-me", "410", "410", ""},
	"POST /not-me":              {"/not-me", "410", "410", ""},

	"GET /reauthenticate":        {"/reauthenticate", signInOnly, "200", ""},
	"POST /reauthenticate":       {"/reauthenticate", signInOnly, "422", ""},
	"GET /account":               {"/account", signInFirst, "200", ""},
	"GET /account/profile":       {"/account/profile", signInFirst, "200", ""},
	"POST /account/profile":      {"/account/profile", signInFirst, "422", ""},
	"GET /account/security":      {"/account/security", signInFirst, "200", ""},
	"GET /account/password":      {"/account/password", signInFirst, "200", ""},
	"POST /account/password":     {"/account/password", signInFirst, "422", ""},
	"GET /account/email":         {"/account/email", signInFirst, "200", proofFirst},
	"POST /account/email":        {"/account/email", signInFirst, "422", proofFirst},
	"GET /account/email/cancel":  {"/account/email/cancel", signInFirst, "200", ""},
	"POST /account/email/cancel": {"/account/email/cancel", signInFirst, "303 /account/security", ""},
	"GET /account/username":      {"/account/username", signInFirst, "200", proofFirst},
	"POST /account/username":     {"/account/username", signInFirst, "303 /account/security", proofFirst},

	"GET /account/totp":                 {"/account/totp", signInFirst, "200", proofFirst},
	"POST /account/totp":                {"/account/totp", signInFirst, "422", proofFirst},
	"GET /account/totp/remove":          {"/account/totp/remove", signInFirst, "404", ""},
	"POST /account/totp/remove":         {"/account/totp/remove", signInFirst, "404", ""},
	"GET /account/recovery-codes":       {"/account/recovery-codes", signInFirst, "404", ""},
	"POST /account/recovery-codes":      {"/account/recovery-codes", signInFirst, "404", ""},
	"GET /account/sessions/{id}/end":    {"/account/sessions/{session}/end", signInFirst, "200", ""},
	"POST /account/sessions/{id}/end":   {"/account/sessions/{session}/end", signInFirst, "303 /account/security", ""},
	"GET /account/sessions/end-others":  {"/account/sessions/end-others", signInFirst, "200", ""},
	"POST /account/sessions/end-others": {"/account/sessions/end-others", signInFirst, "303 /account/security", ""},
	"GET /account/devices/{id}/forget":  {"/account/devices/{browser}/forget", signInFirst, "200", ""},
	"POST /account/devices/{id}/forget": {"/account/devices/{browser}/forget", signInFirst, "303 /account/security", ""},
	"GET /account/activity":             {"/account/activity", signInFirst, "200", ""},

	"GET /local-mail":      {"/local-mail", "404", "404", ""},
	"GET /local-mail/{id}": {"/local-mail/0000000000000-1.1", "404", "404", ""},
}

// withFactor is what those with an authenticator meet where customers without meet nothing.
var withFactor = map[string][2]string{ // fresh and stale
	"GET /account/totp/remove": {"200", proofFirst}, "POST /account/totp/remove": {"422", proofFirst},
	"GET /account/recovery-codes": {"200", proofFirst}, "POST /account/recovery-codes": {"200", proofFirst},
}

// half is what those meet who owe a code still, where it is not the page for the code.
var half = map[string]string{"GET /sign-in/verify": "200", "POST /sign-in/verify": "422", "POST /sign-out": "303 /sign-in"}

// owing is what those meet who owe an enrolment, where it is not the page for that.
var owing = map[string]string{"GET /account/totp": "200", "POST /account/totp": "422", "GET /reauthenticate": "200", "POST /reauthenticate": "422",
	"GET /sign-in/verify": "303 /account", "POST /sign-in/verify": "303 /account", "POST /sign-out": "303 /sign-in"}

// Who may use a page of the administration, by the roles that there are at first.
const (
	owners    = "owner"
	editors   = "owner portal_administrator"
	resetters = "owner support portal_administrator"
	viewers   = "owner support auditor portal_administrator"

	mailReaders  = "owner support"
	trailReaders = "owner auditor portal_administrator"
)

// staffMeets is what staff meet at an address of the administration. Everybody else who is
// signed in meets nothing there, fresh proof or not.
type staffMeets struct {
	path  string
	who   string // roles
	fresh string
	stale string // empty for the same as fresh
}

// staffTable says it for every route of the administration; a POST comes without fields.
var staffTable = map[string]staffMeets{
	"GET /admin/users":                           {"/admin/users", viewers, "200", ""},
	"POST /admin/users":                          {"/admin/users", editors, "422", ""},
	"GET /admin/users/new":                       {"/admin/users/new", editors, "200", ""},
	"GET /admin/users/{id}":                      {"/admin/users/{user}", viewers, "200", ""},
	"POST /admin/users/{id}":                     {"/admin/users/{user}", editors, "303 /admin/users/{user}", ""},
	"GET /admin/users/{id}/send-reset":           {"/admin/users/{user}/send-reset", resetters, "200", ""},
	"POST /admin/users/{id}/send-reset":          {"/admin/users/{user}/send-reset", resetters, "303 /admin/users/{user}", ""},
	"GET /admin/users/{id}/reset-totp":           {"/admin/users/{user}/reset-totp", resetters, "200", proofFirst},
	"POST /admin/users/{id}/reset-totp":          {"/admin/users/{user}/reset-totp", resetters, "422", proofFirst},
	"GET /admin/users/{id}/resend-invitation":    {"/admin/users/{user}/resend-invitation", editors, "200", ""},
	"POST /admin/users/{id}/resend-invitation":   {"/admin/users/{user}/resend-invitation", editors, "422", ""},
	"GET /admin/users/{id}/withdraw-invitation":  {"/admin/users/{user}/withdraw-invitation", editors, "200", ""},
	"POST /admin/users/{id}/withdraw-invitation": {"/admin/users/{user}/withdraw-invitation", editors, "422", ""},
	"GET /admin/users/{id}/unlock":               {"/admin/users/{user}/unlock", editors, "200", ""},
	"POST /admin/users/{id}/unlock":              {"/admin/users/{user}/unlock", editors, "303 /admin/users/{user}", ""},
	"GET /admin/users/{id}/end-sessions":         {"/admin/users/{user}/end-sessions", editors, "200", ""},
	"POST /admin/users/{id}/end-sessions":        {"/admin/users/{user}/end-sessions", editors, "303 /admin/users/{user}", ""},
	"GET /admin/users/{id}/revoke-links":         {"/admin/users/{user}/revoke-links", editors, "200", ""},
	"POST /admin/users/{id}/revoke-links":        {"/admin/users/{user}/revoke-links", editors, "303 /admin/users/{user}", ""},
	"GET /admin/users/{id}/activate":             {"/admin/users/{user}/activate", editors, "200", ""},
	"POST /admin/users/{id}/activate":            {"/admin/users/{user}/activate", editors, "303 /admin/users/{user}", ""},
	"GET /admin/users/{id}/deactivate":           {"/admin/users/{user}/deactivate", editors, "200", ""},
	"POST /admin/users/{id}/deactivate":          {"/admin/users/{user}/deactivate", editors, "303 /admin/users/{user}", ""},
	"GET /admin/users/{id}/delete":               {"/admin/users/{user}/delete", editors, "200", proofFirst},
	"POST /admin/users/{id}/delete":              {"/admin/users/{user}/delete", editors, "422", proofFirst},

	"GET /admin/organizations":                  {"/admin/organizations", owners, "200", ""},
	"POST /admin/organizations":                 {"/admin/organizations", owners, "422", ""},
	"GET /admin/organizations/new":              {"/admin/organizations/new", owners, "200", ""},
	"POST /admin/organizations/new":             {"/admin/organizations/new", owners, "422", ""},
	"GET /admin/organizations/{id}":             {"/admin/organizations/{organization}", owners, "200", ""},
	"POST /admin/organizations/{id}":            {"/admin/organizations/{organization}", owners, "422", ""},
	"GET /admin/organizations/{id}/activate":    {"/admin/organizations/{organization}/activate", owners, "200", ""},
	"POST /admin/organizations/{id}/activate":   {"/admin/organizations/{organization}/activate", owners, "303 /admin/organizations/{organization}", ""},
	"GET /admin/organizations/{id}/deactivate":  {"/admin/organizations/{organization}/deactivate", owners, "200", ""},
	"POST /admin/organizations/{id}/deactivate": {"/admin/organizations/{organization}/deactivate", owners, "303 /admin/organizations/{organization}", ""},

	"GET /admin":                  {"/admin", viewers, "200", ""},
	"GET /admin/settings":         {"/admin/settings", owners, "200", ""},
	"POST /admin/settings":        {"/admin/settings", owners, "303 /admin/settings", proofFirst},
	"GET /admin/mail":             {"/admin/mail", mailReaders, "200", ""},
	"GET /admin/mail/test":        {"/admin/mail/test", mailReaders, "200", ""},
	"POST /admin/mail/test":       {"/admin/mail/test", mailReaders, "303 /admin/mail/test", ""},
	"GET /admin/mail/{id}":        {"/admin/mail/{mail}", mailReaders, "200", ""},
	"GET /admin/mail/{id}/retry":  {"/admin/mail/{mail}/retry", mailReaders, "200", ""},
	"POST /admin/mail/{id}/retry": {"/admin/mail/{mail}/retry", mailReaders, "422", ""},
	"GET /admin/audit":            {"/admin/audit", trailReaders, "200", ""},
	"GET /admin/audit.csv":        {"/admin/audit.csv", trailReaders, "200", ""},
	"GET /admin/audit.ndjson":     {"/admin/audit.ndjson", trailReaders, "200", ""},
	"GET /admin/import":           {"/admin/import", owners, "200", proofFirst},
	"POST /admin/import":          {"/admin/import", owners, "422", proofFirst},

	"GET /admin/roles":        {"/admin/roles", owners, "200", ""},
	"POST /admin/roles":       {"/admin/roles", owners, "422", "303 /reauthenticate?next=%2Fadmin%2Froles%2Fnew"},
	"GET /admin/roles/new":    {"/admin/roles/new", owners, "200", ""},
	"POST /admin/roles/new":   {"/admin/roles/new", owners, "422", proofFirst},
	"POST /admin/roles/reach": {"/admin/roles/reach", owners, "200", ""},
	"GET /admin/roles/{id}":   {"/admin/roles/{role}", owners, "200", ""},
	"POST /admin/roles/{id}":  {"/admin/roles/{role}", owners, "422", proofFirst},
}

// lineOf is what the tables say of a route.
func lineOf(pattern string) (m meets, staff staffMeets, ok bool) {
	if m, ok = routeTable[pattern]; ok {
		return m, staff, true
	}
	staff, ok = staffTable[pattern]
	return meets{staff.path, signInFirst, "404", ""}, staff, ok
}

// line is a line of the table of routes.
type line struct{ method, path, access string }

func (l line) pattern() string { return l.method + " " + l.path }

var inBraces = regexp.MustCompile(`\{\w+\}`)

// matches says whether the path is one of the line's.
func (l line) matches(path string) bool {
	some := "[^/]+"
	if strings.HasSuffix(l.path, "{token}") {
		some = ".*"
	}
	return regexp.MustCompile("^" + inBraces.ReplaceAllLiteralString(strings.TrimSuffix(l.path, "{$}"), some) + "$").MatchString(path)
}

// routeLines is the table from which the portal is served, so that no route can be left out
// here.
func routeLines(t testing.TB) []line {
	t.Helper()
	var lines []line
	for _, l := range handlers.RouteLines() {
		lines = append(lines, line{l.Method, l.Path, l.Access})
	}
	if len(lines) < 50 {
		t.Fatalf("%d routes", len(lines))
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

func TestEveryRouteHasALineInTheTablesOfThisTest(t *testing.T) {
	t.Parallel()
	lines := routeLines(t)
	for _, l := range lines {
		if _, _, ok := lineOf(l.pattern()); !ok {
			t.Errorf("%s has no line", l.pattern())
		}
	}
	if n := len(routeTable) + len(staffTable); n != len(lines) {
		t.Errorf("%d routes, but %d lines", len(lines), n)
	}
}

func TestEveryRouteIsGuardedAsItsLineInThisTableSays(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		w := newWorld(t, p)
		ann := newAnn(t, p)
		hal := person(t, p, directory.NewUser{Email: "hal@acme.example", Role: "owner"}) // so there is nothing to set up
		p.Enrol(t, hal)
		walk := func(name string, u db.User, b *portaltest.Browser, meets func(string) string) *tour {
			v := &tour{world: w, who: name, user: u, b: b, meets: meets}
			v.walk(t)
			return v
		}
		anonymous := func(pattern string) string { m, _, _ := lineOf(pattern); return m.anonymous }
		fresh := func(pattern string) string { m, _, _ := lineOf(pattern); return m.fresh }
		stale := func(pattern string) string { m, _, _ := lineOf(pattern); return cmp.Or(m.stale, m.fresh) }
		walk("anonymous", db.User{}, p.Browser(t, "192.0.2.1"), anonymous)

		signedIn, later := p.Browser(t, "192.0.2.2"), p.Browser(t, "192.0.2.3")
		signedIn.SignIn("ann", portaltest.Password)
		walk("a customer with fresh proof", ann, signedIn, fresh)
		later.SignIn("ann@acme.example", portaltest.Password)
		dead := later.Cookie("postern")
		p.Clock.Advance(11 * time.Minute)
		walk("a customer with old proof", ann, later, stale)

		ended := &tour{world: w, who: "a session that has ended", b: p.Browser(t, "192.0.2.4"), cookie: dead, meets: anonymous}
		ended.walk(t)

		halfIn := p.Browser(t, "192.0.2.5")
		halfIn.Post("/sign-in", "login", hal.Email, "password", portaltest.Password).WantTo("/sign-in/verify")
		walk("an owner who owes the code", hal, halfIn, func(pattern string) string {
			m, _, _ := lineOf(pattern)
			if m.guarded() {
				return cmp.Or(half[pattern], verifyFirst)
			}
			return m.anonymous
		})
		w.owing(t, walk)
		w.staff(t, walk)
	})
}

// world is a portal with what the paths of the tables name.
type world struct {
	p    *portaltest.Portal
	from addresses
	made int
}

func newWorld(t testing.TB, p *portaltest.Portal) *world {
	t.Helper()
	p.Organization(t, "Acme")
	return &world{p: p}
}

type walker func(name string, u db.User, b *portaltest.Browser, meets func(string) string) *tour

// owing walks as people who must enrol an authenticator first.
func (w *world) owing(t *testing.T, walk walker) {
	t.Helper()
	for _, role := range []string{"owner", "support", "customer"} {
		if role == "customer" {
			w.p.Set(t, "mfa.required_for", "everyone")
			defer w.p.Set(t, "mfa.required_for", "staff")
		}
		u := person(t, w.p, directory.NewUser{Email: "owing-" + role + "@acme.example", Role: role, Organization: "Acme"})
		b := w.p.Browser(t, "192.0.2.6")
		b.Post("/sign-in", "login", u.Email, "password", portaltest.Password).WantTo("/account")
		walk(role+" who owes an enrolment", u, b, func(pattern string) string {
			m, staff, _ := lineOf(pattern)
			switch {
			case staff.who != "" && !strings.Contains(staff.who, role):
				return "404"
			case m.guarded():
				return cmp.Or(owing[pattern], "303 /account/totp")
			}
			return m.fresh
		})
	}
}

// staff walks as people of every role, with fresh proof and later without.
func (w *world) staff(t *testing.T, walk walker) {
	t.Helper()
	for _, role := range []string{"owner", "support", "auditor", "portal_administrator"} {
		u := person(t, w.p, directory.NewUser{Email: role + "@acme.example", Role: role, Organization: "Acme"})
		w.p.Enrol(t, u)
		for i, age := range []string{"fresh", "old"} {
			if age == "old" && w.p.DB.Engine() == db.PostgreSQL {
				continue // it makes no difference to the database
			}
			b := w.p.Browser(t, "192.0.2.7")
			w.p.SignInWithCode(t, b, u)
			w.p.Clock.Advance(time.Duration(i) * 11 * time.Minute)
			walk(role+" with "+age+" proof", u, b, func(pattern string) string {
				m, staff, _ := lineOf(pattern)
				if staff.who == "" && role != "owner" {
					return "" // their own account is like the owner's
				}
				first, later := m.fresh, m.stale
				if pair, ok := withFactor[pattern]; ok {
					first, later = pair[0], pair[1]
				} else if strings.Contains(staff.who, role) {
					first, later = staff.fresh, staff.stale
				}
				return []string{first, cmp.Or(later, first)}[i]
			})
		}
	}
}

// tour is a visitor on the way through all routes.
type tour struct {
	*world
	who    string
	user   db.User // nobody for an anonymous one
	b      *portaltest.Browser
	cookie string                      // of a session, given again before every request
	meets  func(pattern string) string // empty for what is not tried
}

func (v *tour) walk(t *testing.T) {
	t.Helper()
	for _, l := range inOrder(t) {
		m, _, ok := lineOf(l.pattern())
		if !ok {
			continue // said elsewhere
		}
		for _, htmx := range []bool{false, true} {
			want := v.meets(l.pattern())
			if want == "" {
				continue
			}
			if htmx && want == "200" && strings.HasPrefix(l.path, "/admin/audit.") {
				want = "303 " + l.path // a file is loaded by the browser itself
			}
			if l.path == "/sign-in" {
				v.p.Clock.Advance(31 * time.Second) // so that nobody has to wait for having tried too often
			}
			if htmx && l.path == "/sign-out" && want == "303 /sign-in" {
				continue // signed out by now
			}
			named := v.names(t, m.path)
			path := named.Replace(m.path)
			page := v.ask(l.method, path, htmx)
			if got, want := met(page), resolve(named.Replace(want), path, htmx); got != want {
				t.Errorf("%s, %s %s, htmx %v: %s instead of %s", v.who, l.method, path, htmx, got, want)
			}
			wantHeaders(t, page)
			if l.method == http.MethodGet {
				v.wantSameHead(t, path, htmx, page)
			}
		}
	}
}

// names makes what the path names.
// mail is the id of a mail that was sent.
func (v *tour) mail(t *testing.T) int64 {
	t.Helper()
	u := v.owner(t)
	if err := v.p.DB.Update(t.Context(), func(tx *db.Tx) error {
		return tx.Enqueue(t.Context(), db.Message{Kind: db.MessageUnlocked, UserID: u.ID, Recipient: u.Email})
	}); err != nil {
		t.Fatal(err)
	}
	v.p.Mails(t)
	newest, err := v.p.DB.Reader().Messages(t.Context(), db.MessageSent, 0, 1)
	if err != nil || len(newest) != 1 {
		t.Fatal(newest, err)
	}
	return newest[0].ID
}

func (v *tour) names(t *testing.T, path string) *strings.Replacer {
	t.Helper()
	var id string
	change := func(do func(ctx context.Context, tx *db.Tx) (int64, error)) {
		if err := v.p.DB.Update(t.Context(), func(tx *db.Tx) error {
			n, err := do(t.Context(), tx)
			id = strconv.FormatInt(n, 10)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	v.made++
	name := path[strings.IndexByte(path, '{')+1:]
	name, _, _ = strings.Cut(name, "}")
	_, hash := token.New()
	switch name {
	case "user":
		u := person(t, v.p, directory.NewUser{Email: fmt.Sprintf("user%d@acme.example", v.made), Organization: "Acme"})
		v.p.Enrol(t, u)
		id = strconv.FormatInt(u.ID, 10)
	case "mail": // one that was sent
		id = strconv.FormatInt(v.mail(t), 10)
	case "organization":
		id = strconv.FormatInt(v.p.Organization(t, fmt.Sprint("Organization ", v.made)), 10)
	case "role":
		id = fmt.Sprint("role_", v.made)
		change(func(ctx context.Context, tx *db.Tx) (int64, error) {
			return 0, tx.AddRole(ctx, db.Role{ID: fmt.Sprint("role_", v.made), Name: fmt.Sprint("Role ", v.made), Scope: "everybody", Permissions: []string{"users.view"}})
		})
		id = fmt.Sprint("role_", v.made)
	case "session":
		u := v.owner(t)
		change(func(ctx context.Context, tx *db.Tx) (int64, error) {
			return tx.AddSession(ctx, db.Session{UserID: u.ID, Epoch: u.Epoch, Data: []byte{}}, hash)
		})
	case "browser":
		u := v.owner(t)
		change(func(ctx context.Context, tx *db.Tx) (int64, error) {
			if err := tx.RememberBrowser(ctx, hash, u.ID, "Test/1.0", "192.0.2.1"); err != nil {
				return 0, err
			}
			return 0, tx.TrustBrowser(ctx, hash, u, tx.Now.Add(time.Hour))
		})
		trusted, err := v.p.DB.Reader().TrustedBrowsers(t.Context(), u, v.p.DB.Now())
		if err != nil || len(trusted) == 0 {
			t.Fatal(trusted, err)
		}
		id = strconv.FormatInt(trusted[0].ID, 10)
	}
	return strings.NewReplacer("{"+name+"}", id)
}

// owner is whose browsers the visitor tries to get at: their own, or else anybody's.
func (v *tour) owner(t *testing.T) db.User {
	t.Helper()
	if v.user.ID == 0 {
		v.user = person(t, v.p, directory.NewUser{Email: fmt.Sprintf("somebody%d@acme.example", v.made)})
	}
	return v.p.Reload(t, v.user)
}

// ask makes one request, from an address that was not used before.
func (v *tour) ask(method, path string, htmx bool) portaltest.Page {
	v.b.HTMX, v.b.Address = htmx, v.from.next()
	if v.cookie != "" {
		v.b.SetCookie("postern", v.cookie)
	}
	return v.b.Do(v.b.Request(method, path, ""))
}

func (v *tour) wantSameHead(t *testing.T, path string, htmx bool, page portaltest.Page) {
	t.Helper()
	head := v.ask(http.MethodHead, path, htmx)
	if met(head) != met(page) || head.Body != "" {
		t.Errorf("%s, HEAD %s: %s and %q, GET: %s", v.who, path, met(head), head.Body, met(page))
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

// plain are the paths that somebody can come back to after a sign-in.
var plain = regexp.MustCompile(`^(/[a-z0-9_-]+)+$`)

// resolve puts the words of the table into an answer to a request for that path. C17, that
// a session has ended must not put a sign-in form into a part of a page.
func resolve(want, path string, htmx bool) string {
	status := "303"
	if htmx {
		status = "401"
	}
	switch {
	case want == proofFirst:
		return "303 /reauthenticate?next=" + url.QueryEscape(path)
	case want == signInFirst && plain.MatchString(path):
		return status + " /sign-in?next=" + url.QueryEscape(path)
	case want == signInFirst || want == signInOnly:
		return status + " /sign-in"
	case want == verifyFirst:
		return status + " /sign-in/verify"
	}
	return want
}

// toSignIn is how a stranger is answered where people must be signed in.
const toSignIn = "303 /sign-in?next="

func TestAWrongMethodIsNamedAndChangesNothing(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	signedIn := p.Browser(t, "192.0.2.2")
	signedIn.SignIn("ann", portaltest.Password)
	allowed := map[string][]string{}
	for _, l := range routeLines(t) {
		m, _, _ := lineOf(l.pattern())
		allowed[strings.NewReplacer("{", "", "}", "").Replace(m.path)] = nil
	}
	for path := range allowed {
		for _, l := range routeLines(t) {
			if !l.matches(path) || slices.Contains(allowed[path], l.method) {
				continue
			}
			allowed[path] = append(allowed[path], l.method)
			if l.method == http.MethodGet {
				allowed[path] = append(allowed[path], http.MethodHead)
			}
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
		access[l.pattern()] = l.access
	}
	// What answers with a part of a page alone has no page of its own; who may look at users
	// sees where others can change them.
	alone := []string{"/sign-out", "/password/strength", "/admin/roles/reach"}
	seen := []string{"/admin/users", "/admin/users/{id}"}
	for pattern, who := range access {
		path, isPost := strings.CutPrefix(pattern, "POST ")
		if slices.Contains(seen, path) && who == "users.edit" {
			who = "users.view"
		}
		if isPost && !slices.Contains(alone, path) && access["GET "+path] != who {
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
