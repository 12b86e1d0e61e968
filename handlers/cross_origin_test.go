package handlers_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/handlers"
	"postern/internal/directory"
	"postern/internal/portaltest"
)

// senders are where a form can come from, by the headers that tell.
func senders(p *portaltest.Portal) map[string]struct {
	site, origin string
	taken        bool
} {
	return map[string]struct {
		site, origin string
		taken        bool
	}{
		"same origin":                   {"same-origin", p.URL, true},
		"typed by the person":           {"none", "", true},
		"no browser":                    {"", "", true},
		"an old browser":                {"", p.URL, true},
		"a sibling":                     {"same-site", "https://evil.vendor.example", false},
		"a sibling that hides":          {"same-site", "", false},
		"another site":                  {"cross-site", "https://evil.example", false},
		"another site that hides":       {"cross-site", "null", false},
		"another site, without origin":  {"cross-site", "", false},
		"another site, old browser":     {"", "https://evil.example", false},
		"a sandbox, old browser":        {"", "null", false},
		"another port, old browser":     {"", "http://127.0.0.1:1", false},
		"a name that begins the same":   {"", p.URL + ".evil.example", false},
		"a file, old browser":           {"", "file://", false},
		"something that nobody defined": {"same-origin, cross-site", "https://evil.example", false},
	}
}

func TestAnotherSiteCannotSendAForm(t *testing.T) { // E1, B14
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	person(t, p, directory.NewUser{Email: "eve@evil.example", Username: "eve"})
	signedIn := p.Browser(t, "192.0.2.1")
	signedIn.SignIn("ann", portaltest.Password)
	stranger := p.Browser(t, "192.0.2.2")
	p.Mails(t)
	d := database(t, p)
	before := dump(t, d)
	form := url.Values{"login": {"eve"}, "email": {"ann@acme.example"}, "name": {"Eve"}, "phone": {""}, "time_zone": {"UTC"}, "username": {"evil"}}.Encode() +
		"&password=" + portaltest.Password
	for _, l := range routeLines(t) {
		if l.method != http.MethodPost {
			continue
		}
		for name, sender := range senders(p) {
			for _, b := range []*portaltest.Browser{signedIn, stranger} {
				if sender.taken {
					continue
				}
				page := send(b, l.path, form, sender.site, sender.origin)
				if page.Status != http.StatusForbidden || len(page.Header.Values("Set-Cookie")) > 0 {
					t.Errorf("%s from %s: %s, cookies %q", l.path, name, met(page), page.Header.Values("Set-Cookie"))
				}
				wantHeaders(t, page)
			}
		}
	}
	if tables := changed(before, dump(t, d)); len(tables) > 0 {
		t.Errorf("forms of other sites have changed %q", tables)
	}
	for name, sender := range senders(p) {
		if page := send(stranger, "/forgot-password", "email=nobody", sender.site, sender.origin); sender.taken && page.Status != http.StatusUnprocessableEntity {
			t.Errorf("from %s: %s", name, met(page))
		}
	}
}

func send(b *portaltest.Browser, path, form, site, origin string) portaltest.Page {
	request := b.Request(http.MethodPost, path, form)
	for name, value := range map[string]string{"Sec-Fetch-Site": site, "Origin": origin} {
		request.Header.Del(name)
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	return b.Do(request)
}

func TestLookingChangesNothing(t *testing.T) { // E2
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		p.User(t, directory.NewUser{Email: "ida@acme.example", Invite: true})
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		b.Post("/account/email", "email", "ann.new@acme.example").WantTo("/account/security")
		tokens := map[string]string{"/setup": setupToken(t, p)}
		for _, m := range p.Mails(t) {
			for _, kind := range []string{"/invitation", "/verify-email", "/not-me"} {
				if strings.Contains(m.Text, p.URL+kind+"/") {
					tokens[kind] = portaltest.Token(m.Link(t, kind+"/"))
				}
			}
		}
		owner, _ := p.Staff(t, directory.NewUser{Email: "olive@vendor.example", Role: "owner"})
		owner.Get("/account/totp").Want(http.StatusOK)
		b.Get("/account/totp").Want(http.StatusOK) // makes a secret, which is shown until it is confirmed or old
		tokens["/reset-password"] = portaltest.Token(askForLink(t, p, b))
		d := database(t, p)
		for _, wait := range []time.Duration{2 * time.Minute, 11 * time.Minute} {
			p.Clock.Advance(wait)
			before := dump(t, d, "session.last_seen_at")
			for _, path := range everyPath(t, tokens) {
				kind := strings.TrimSuffix(path, "/renew")
				if token, ok := tokens[kind]; ok {
					b.SetCookie("postern-link", token)
				}
				for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
					b.Do(b.Request(method, path, ""))
					owner.Do(owner.Request(method, path, ""))
				}
				after := dump(t, d, "session.last_seen_at")
				if token, ok := tokens[kind[:max(0, strings.LastIndexByte(kind, '/'))]]; ok && strings.HasSuffix(path, token) {
					before["rate"] = after["rate"] // looks at links are counted
				}
				if strings.HasPrefix(path, "/admin/audit.") {
					before["audit_event"] = after["audit_event"] // who takes the trail along is kept in it
				}
				if tables := changed(before, after); len(tables) > 0 {
					t.Errorf("after %s, looking at %s has changed %q", wait, path, tables)
				}
				before = after
			}
		}
		if n := len(p.Mails(t)); n > 0 {
			t.Errorf("looking has sent %d mails", n)
		}
		b.Get("/account").Want(http.StatusOK, "Ann Smith")
	})
}

// everyPath is every address of the portal, with these tokens in the places for them.
func everyPath(t testing.TB, tokens map[string]string) []string {
	t.Helper()
	var paths []string
	for _, l := range routeLines(t) {
		token := tokens[strings.TrimSuffix(l.path, "/{token}")]
		path := strings.NewReplacer("{token}", token, "{$}", "", "{name}", "x", "{id}", "1").Replace(l.path)
		if !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return append(paths, "/healthz", "/readyz", "/nothing")
}

// elsewhere is where "next" must not lead.
var elsewhere = []string{
	"//evil.example", "///evil.example", "////evil.example", `/\evil.example`, `\\evil.example`, `/\/evil.example`, "/%5Cevil.example", "/%5cevil.example",
	"/%09/evil.example", "/\t/evil.example", "/\n/evil.example", "/\r\n/evil.example", "\t//evil.example", " //evil.example", "http:///evil.example",
	"https:evil.example", "https:/evil.example", "https://evil.example", "HTTPS://evil.example/account", "javascript:alert(1)", "JavaScript:alert(1)//account",
	"data:text/html,x", "/@evil.example", "@evil.example", "evil.example", "/account@evil.example", "/account\r\nSet-Cookie: postern=x", "/account%0d%0aX: y",
	"/account?next=//evil.example", "/account#//evil.example", "/account/../../evil.example", "/account//evil.example", "/.evil.example", "/account/",
	"https://evil.example/account", "//evil.example/account", "/sign-out", "/sign-in", "/local-mail", "/static/x.css", "/healthz", "/reset-password", "/setup",
	"/not-me", "/reauthenticate", "/support", "/", "/ACCOUNT", "/account/nothing", "/accоunt", strings.Repeat("/account", 2000),
}

// ownPages are where it may.
var ownPages = []string{"/account", "/account/profile", "/account/security", "/account/email", "/account/username", "/account/password", "/verify-email"}

func TestASignInNeverLeadsToAnotherSite(t *testing.T) { // E3, E4
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	for i, next := range append(elsewhere, ownPages...) {
		want := ""
		if i >= len(elsewhere) {
			want = next
		}
		b.SetCookie("postern", "")
		page := b.Get("/sign-in?next=" + url.QueryEscape(next)).Want(http.StatusOK)
		if got := input(t, page.Body, "next").attributes["value"]; got != want {
			t.Errorf("next=%q: the form goes on to %q", next, got)
		}
		if want == "" && i%6 > 0 {
			continue // the same rule, and a hash each
		} else if want == "" {
			want = "/account"
		}
		b.HTMX = i%2 == 0
		answer := b.Post("/sign-in", "login", "ann", "password", portaltest.Password, "next", next)
		if got := met(answer); got != "303 "+want+"?signed-in" {
			t.Errorf("next=%q: the sign-in goes on to %s", next, got)
		}
		b.HTMX = false
	}
}

func TestAProofNeverLeadsToAnotherSite(t *testing.T) { // E3, E4
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	for i, next := range append(elsewhere, ownPages...) {
		want := ""
		if i >= len(elsewhere) {
			want = next
		}
		page := b.Get("/reauthenticate?next=" + url.QueryEscape(next)).Want(http.StatusOK)
		if got := input(t, page.Body, "next").attributes["value"]; got != want {
			t.Errorf("next=%q: the form goes on to %q", next, got)
		}
		page = b.Post("/reauthenticate", "password", "", "next", next).Want(http.StatusUnprocessableEntity)
		if got := input(t, page.Body, "next").attributes["value"]; got != want {
			t.Errorf("next=%q: the form that came back goes on to %q", next, got)
		}
		if want == "" && i%6 > 0 {
			continue // the same rule, and a hash each
		} else if want == "" {
			want = "/account/security"
		}
		b.HTMX = i%2 == 0
		if got := met(b.Post("/reauthenticate", "password", portaltest.Password, "next", next)); got != "303 "+want {
			t.Errorf("next=%q: the proof goes on to %s", next, got)
		}
		b.HTMX = false
	}
}

func TestNobodyCanComeFromAnAddressThatIsNotTheirs(t *testing.T) { // E8
	t.Parallel()
	forged := []string{"a", "", "127.0.0.1", "::1", "fe80::1%eth0", "[::1]:80", "1.2.3.4:5678", "unknown, unknown", "1.2.3.4,,", "999.1.1.1", "::ffff:10.0.0.1",
		strings.Repeat("1.2.3.4, ", 10000) + "1.2.3.4", "127.0.0.1, 127.0.0.1", "\"1.2.3.4\"", "0.0.0.0", strings.Repeat("a", 20000)}
	t.Run("from anybody", func(t *testing.T) {
		p := onSQLite(t)
		told := 0
		handler := secondServer(p, withoutProxies(&told))
		for i := range 31 {
			v := newVisitor(t, p.URL, wire{handler, "198.51.100.7:4711"})
			v.header.Set("X-Forwarded-For", forged[i%len(forged)])
			if page := v.get("/reset-password/" + unknownToken); (page.status == http.StatusTooManyRequests) != (i == 30) {
				t.Fatalf("look %d, as %.20q: %d", i, forged[i%len(forged)], page.status)
			}
		}
		if log := p.Log.String(); strings.Count(log, `"address":"198.51.100.7"`) != 32 || told != 1 {
			t.Errorf("told %d times, log: %s", told, log)
		}
	})
	t.Run("from a proxy", func(t *testing.T) {
		p := onSQLite(t)
		told := 0
		handler := secondServer(p, withForwarder(&told))
		for _, line := range forged {
			v := newVisitor(t, p.URL, wire{handler, "127.0.0.1:4711"})
			v.header.Set("X-Forwarded-For", line)
			if page := v.get("/sign-in"); page.status != http.StatusOK {
				t.Errorf("%.20q: %d", line, page.status)
			}
			v.header.Set("X-Forwarded-For", line+", 203.0.113.9")
			v.get("/support")
		}
		if log := p.Log.String(); strings.Count(log, `"address":"203.0.113.9"`) != len(forged) || told != 0 {
			t.Errorf("told %d times, what the proxy said was not believed: %s", told, log)
		}
	})
}

// withForwarder counts how often somebody was reported who speaks like a proxy.
func withForwarder(told *int) func(*handlers.Server) {
	return func(s *handlers.Server) { s.OnForwarder = func(netip.Addr) { *told++ } }
}

// withoutProxies trusts nobody besides.
func withoutProxies(told *int) func(*handlers.Server) {
	return func(s *handlers.Server) {
		withForwarder(told)(s)
		s.TrustedProxies = nil
	}
}
