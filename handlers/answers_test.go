package handlers_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern/handlers"
	"postern/internal/portaltest"
)

// standard are the headers of every answer.
var standard = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
		"connect-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "accelerometer=(), camera=(), geolocation=(), gyroscope=(), microphone=(), payment=(), usb=()",
	"Cache-Control":                "no-store",
	"Vary":                         "Cookie, HX-Request, HX-Request-Type, HX-History-Restore-Request",
	"X-Frame-Options":              "DENY",
	"X-Robots-Tag":                 "noindex",
}

// besides are the headers that an answer may have, too: none tells what serves it, and
// none lets another site read it (E6).
var besides = []string{"Allow", "Clear-Site-Data", "Connection", "Content-Disposition", "Content-Length", "Content-Type", "Date", "Hx-Redirect", "Location",
	"Retry-After", "Set-Cookie"}

// wantHeaders fails the test unless the answer has the headers of every answer (E5, E6, E7).
func wantHeaders(t testing.TB, page portaltest.Page) { t.Helper(); wantHeadersOf(t, page, standard) }

func wantHeadersOf(t testing.TB, page portaltest.Page, wanted map[string]string) {
	t.Helper()
	for name, value := range wanted {
		if got := page.Header.Values(name); !slices.Equal(got, []string{value}) {
			t.Errorf("%s (%d): %s is %q", page.Path, page.Status, name, got)
		}
	}
	for name := range page.Header {
		if _, ok := wanted[name]; !ok && !slices.Contains(besides, name) {
			t.Errorf("%s (%d) has the header %s: %q", page.Path, page.Status, name, page.Header[name])
		}
	}
	if kind := page.Header.Get("Content-Type"); page.Body != "" && !strings.HasPrefix(kind, "image/") && kind != "application/x-ndjson" && !strings.HasSuffix(kind, "; charset=utf-8") {
		t.Errorf("%s (%d) has the type %q", page.Path, page.Status, kind)
	}
}

// asPage makes a page of an answer that came straight from a handler.
func asPage(t testing.TB, path string, response *http.Response) portaltest.Page {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return portaltest.Page{Status: response.StatusCode, Header: response.Header, Body: string(body), Path: path}
}

// broken are the ways in which an answer can go wrong before or around a handler, by the
// status that is due.
func broken(t *testing.T, p *portaltest.Portal) map[string]func(b *portaltest.Browser) (portaltest.Page, int) {
	ask := func(status int, change func(*http.Request), method, path, body string) func(*portaltest.Browser) (portaltest.Page, int) {
		return func(b *portaltest.Browser) (portaltest.Page, int) {
			request := b.Request(method, path, body)
			change(request)
			return b.Do(request), status
		}
	}
	direct := func(status int, change func(*handlers.Server), path string) func(*portaltest.Browser) (portaltest.Page, int) {
		return func(b *portaltest.Browser) (portaltest.Page, int) {
			request := httptest.NewRequest(http.MethodGet, p.URL+path, nil)
			request.Header = b.Request(http.MethodGet, path, "").Header
			return asPage(t, path, answerOf(secondServer(p, change), request)), status
		}
	}
	same := func(*http.Request) {}
	foreign := func(r *http.Request) {
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Origin", "https://evil.example")
	}
	const form = "/forgot-password"
	return map[string]func(b *portaltest.Browser) (portaltest.Page, int){
		"a field twice":     ask(400, same, http.MethodPost, form, "email=a%40acme.example&email=b%40acme.example"),
		"another site":      ask(403, foreign, http.MethodPost, form, "email=a%40acme.example"),
		"no such page":      ask(404, same, http.MethodGet, "/nothing", ""),
		"no such method":    ask(405, same, http.MethodDelete, "/account", ""),
		"a dead link":       ask(410, same, http.MethodGet, "/reset-password", ""),
		"too large":         ask(413, same, http.MethodPost, form, "email="+strings.Repeat("a", 70<<10)),
		"compressed":        ask(415, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, http.MethodPost, form, "x"),
		"another host":      ask(421, func(r *http.Request) { r.Host = "evil.example" }, http.MethodGet, "/sign-in", ""),
		"wrong in a form":   ask(422, same, http.MethodPost, form, "email=nobody"),
		"a panic":           direct(500, func(s *handlers.Server) { s.Account = nil }, "/sign-in"),
		"a panic elsewhere": direct(500, func(s *handlers.Server) { s.Ready = nil }, "/readyz"),
	}
}

func TestEveryErrorIsAPageWithAllHeadersAndAnIDThatIsLogged(t *testing.T) { // E5, E16, E19, C20, I25
	t.Parallel()
	p := onSQLite(t)
	id := regexp.MustCompile(`Error id: (\w{6,})`)
	for name, provoke := range broken(t, p) {
		for _, htmx := range []bool{false, true} {
			b := p.Browser(t, "192.0.2.1")
			b.HTMX = htmx
			page, status := provoke(b)
			if page.Status != status {
				t.Errorf("%s: %d instead of %d: %s", name, page.Status, status, page.Text())
				continue
			}
			wantHeaders(t, page)
			if page.Whole() == htmx || strings.Contains(page.Body, "<html") == htmx {
				t.Errorf("%s, htmx %v, is not the right piece: %s", name, htmx, page.Body)
			}
			all := elements(t, page.Body)
			if len(having(all, "role", "alert")) == 0 && status != http.StatusGone {
				t.Errorf("%s, htmx %v, alerts nobody: %s", name, htmx, page.Body)
			}
			if status == http.StatusUnprocessableEntity || status == http.StatusGone {
				continue // a form, or a page that says what to do next
			}
			if match := id.FindStringSubmatch(page.Text()); match == nil || !strings.Contains(p.Log.String(), `"`+match[1]+`"`) {
				t.Errorf("%s, htmx %v: the error id is not shown, or not logged: %s", name, htmx, page.Text())
			}
		}
	}
	if log := p.Log.String(); strings.Count(log, `"msg":"panic"`) != 4 {
		t.Errorf("the panics are not in the log: %s", log)
	}
}

func TestTheSameAddressServesThePageAndThePart(t *testing.T) { // E7
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	stranger := p.Browser(t, "192.0.2.2")
	for path, b := range map[string]*portaltest.Browser{"/sign-in": stranger, "/support": stranger, "/reset-password": stranger,
		"/nothing": b, "/account": b, "/account/security": b, "/account/password": b} {
		for name, c := range map[string]struct {
			header map[string]string
			part   bool
		}{
			"plain":              {nil, false},
			"htmx":               {map[string]string{"HX-Request": "true"}, true},
			"htmx, a part":       {map[string]string{"HX-Request": "true", "HX-Request-Type": "partial"}, true},
			"htmx, whole":        {map[string]string{"HX-Request": "true", "HX-Request-Type": "full"}, false},
			"htmx, from history": {map[string]string{"HX-Request": "true", "HX-Request-Type": "partial", "HX-History-Restore-Request": "true"}, false},
		} {
			request := b.Request(http.MethodGet, path, "")
			for header, value := range c.header {
				request.Header.Set(header, value)
			}
			page := b.Do(request)
			wantHeaders(t, page)
			if page.Whole() == c.part || strings.Contains(page.Body, "<main") == c.part || !strings.Contains(page.Body, "<h1") {
				t.Errorf("%s, %s: a part should be %v: %s", path, name, c.part, page.Body)
			}
		}
	}
}

func TestStaticFilesAreKeptForAYearAndTieNobodyToASession(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	page := b.Get("/sign-in")
	kept := map[string]string{}
	for name, value := range standard {
		kept[name] = value
	}
	kept["Cache-Control"], kept["Vary"] = "public, max-age=31536000, immutable", "Accept-Encoding"
	loaded := 0
	for _, e := range elements(t, page.Body) {
		address := e.attributes["href"] + e.attributes["src"]
		if !strings.HasPrefix(address, "/static/") {
			continue
		}
		loaded++
		b.SetCookie("postern", unknownToken)
		file := b.Get(address)
		if file.Status != http.StatusOK || file.Body == "" {
			t.Errorf("%s: %d", address, file.Status)
		}
		wantHeadersOf(t, file, kept)
		// What is kept by everybody on the way must not tell a browser to forget its session.
		if cookies := file.Header.Values("Set-Cookie"); len(cookies) > 0 {
			t.Errorf("%s sets %q", address, cookies)
		}
	}
	if loaded != 5 {
		t.Errorf("the page loads %d files instead of 5", loaded)
	}
	for _, path := range []string{"/static/", "/static/postern.css", "/static/..%2fembed.go", "/static/embed.go", "/static/accent-zzzzzz.css"} {
		b.Get(path).Want(http.StatusNotFound)
	}
}

func TestWhatAPageSaysIsNeverCompressed(t *testing.T) { // E17
	t.Parallel()
	p := onSQLite(t)
	b := p.Browser(t, "192.0.2.1")
	request := b.Request(http.MethodGet, "/sign-in", "")
	request.Header.Set("Accept-Encoding", "gzip, br, zstd")
	page := b.Do(request)
	if encoding := page.Header.Get("Content-Encoding"); encoding != "" || !page.Whole() {
		t.Errorf("the page comes with the encoding %q", encoding)
	}
}

func TestProbesAnswerOnAnyHost(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	b := p.Browser(t, "192.0.2.1")
	for path, text := range map[string]string{"/healthz": "ok", "/readyz": "ready"} {
		for _, host := range []string{"", "10.0.0.7:8080", "evil.example"} {
			request := b.Request(http.MethodGet, path, "")
			request.Host = host
			page := b.Do(request)
			wantHeaders(t, page)
			page.Want(http.StatusOK)
			if strings.TrimSpace(page.Body) != text {
				t.Errorf("%s says %q", path, page.Body)
			}
		}
		page := b.Post(path)
		wantHeaders(t, page)
		if page.Want(http.StatusMethodNotAllowed).Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s allows %q", path, page.Header.Get("Allow"))
		}
	}
	unready := secondServer(p, func(s *handlers.Server) {
		s.Ready = func(context.Context) ([]string, error) {
			return []string{"a detail"}, errors.New("the key of 10.0.0.7 is missing")
		}
	})
	page := asPage(t, "/readyz", answerOf(unready, httptest.NewRequest(http.MethodGet, "/readyz", nil)))
	wantHeaders(t, page)
	if page.Status != http.StatusServiceUnavailable || strings.Contains(page.Body, "10.0.0.7") {
		t.Errorf("not ready: %d %q", page.Status, page.Body)
	}
}

func TestAnotherHostIsShownTheWayAndNothingElse(t *testing.T) { // A3
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	for _, host := range []string{"evil.example", "127.0.0.1", "127.0.0.1:1", strings.TrimPrefix(p.URL, "http://") + ".evil.example", "localhost"} {
		for _, path := range []string{"/sign-in", "/", "/nothing", "//sign-in", "/static/nothing.css", "/reset-password/" + unknownToken} {
			b := p.Browser(t, "192.0.2.1")
			request := b.Request(http.MethodGet, path, "")
			request.Host = host
			page := b.Do(request)
			if page.Status != http.StatusMisdirectedRequest {
				t.Errorf("%s of %s: %s instead of 421", path, host, met(page))
				continue
			}
			all := elements(t, page.Body)
			if len(having(all, "href", p.URL)) != 1 || strings.Contains(page.Body, "evil") {
				t.Errorf("%s of %s does not lead to the portal alone: %s", path, host, page.Body)
			}
			if cookies := page.Header.Values("Set-Cookie"); len(cookies) > 0 {
				t.Errorf("%s of %s sets %q", path, host, cookies)
			}
		}
	}
	if !strings.Contains(p.Log.String(), `"host":"evil.example"`) {
		t.Error("the log does not name the host that came")
	}
}

func TestThePortalsOwnHostIsKnownInEverySpelling(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	address, transport := overHTTPS(t, p)
	for host, status := range map[string]int{"portal.example": 200, "PORTAL.Example": 200, "portal.example:443": 200, "portal.example:80": 421,
		"portal.example:8443": 421, "portal.example.evil.example": 421, "evilportal.example": 421, "evil.example": 421} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/sign-in", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		response, err := transport.RoundTrip(request)
		if err != nil || response.StatusCode != status {
			t.Errorf("%s: %d instead of %d: %v", host, response.StatusCode, status, err)
		}
	}
}
