package portaltest

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// Browser is a visitor over HTTP. It keeps cookies, follows no redirect by itself, and
// comes from an address of its own.
type Browser struct {
	URL string
	// Address is where it comes from, as a trusted proxy tells.
	Address string
	// HTMX lets it send what htmx sends for a part of a page.
	HTMX bool

	t      testing.TB
	client *http.Client
}

// Browser returns a fresh browser at that address.
func (p *Portal) Browser(t testing.TB, address string) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{URL: p.URL, Address: address, t: t, client: &http.Client{Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Page is an answer.
type Page struct {
	Status int
	Header http.Header
	Body   string
	// Path is what was asked for.
	Path string

	t testing.TB
}

// Get asks for a path, or a whole address of the portal.
func (b *Browser) Get(path string) Page {
	b.t.Helper()
	return b.Do(b.Request(http.MethodGet, path, ""))
}

// Post sends a form; fields alternate names and values.
func (b *Browser) Post(path string, fields ...string) Page {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return b.Do(b.Request(http.MethodPost, path, form.Encode()))
}

// Request makes a request as this browser would, to be changed before Do.
func (b *Browser) Request(method, path, body string) *http.Request {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, b.URL+strings.TrimPrefix(path, b.URL), strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Sec-Fetch-Site", "same-origin")
		request.Header.Set("Origin", b.URL)
	}
	request.Header.Set("X-Forwarded-For", b.Address)
	request.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0")
	if b.HTMX {
		request.Header.Set("HX-Request", "true")
		request.Header.Set("HX-Request-Type", "partial")
	}
	return request
}

// Do sends a request.
func (b *Browser) Do(request *http.Request) Page {
	b.t.Helper()
	response, err := b.client.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return Page{Status: response.StatusCode, Header: response.Header, Body: string(body), Path: request.URL.Path, t: b.t}
}

// Follow goes where the page sends the browser, until it arrives.
func (b *Browser) Follow(page Page) Page {
	b.t.Helper()
	for range 5 {
		next := page.Header.Get("Location")
		if next == "" {
			next = page.Header.Get("HX-Redirect")
		}
		if next == "" {
			return page
		}
		htmx := b.HTMX
		b.HTMX = htmx && page.Header.Get("HX-Redirect") == ""
		page = b.Get(next)
		b.HTMX = htmx
	}
	b.t.Fatalf("redirected in circles, last to %s", page.Path)
	return page
}

// SignIn signs in and arrives at the account.
func (b *Browser) SignIn(login, password string) {
	b.t.Helper()
	page := b.Post("/sign-in", "login", login, "password", password)
	if page.Status != http.StatusSeeOther && page.Header.Get("HX-Redirect") == "" {
		b.t.Fatalf("sign-in as %s: %d %s", login, page.Status, page.Text())
	}
	if page = b.Follow(page); page.Status != http.StatusOK || page.Path != "/account" {
		b.t.Fatalf("after the sign-in: %d at %s", page.Status, page.Path)
	}
}

// Cookie returns a cookie's value, empty when the browser has none of that name.
func (b *Browser) Cookie(name string) string {
	address, err := url.Parse(b.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, cookie := range b.client.Jar.Cookies(address) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}

// SetCookie gives the browser a cookie.
func (b *Browser) SetCookie(name, value string) {
	address, err := url.Parse(b.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	b.client.Jar.SetCookies(address, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

// Want fails the test unless the page has that status and all the texts.
func (p Page) Want(status int, texts ...string) Page {
	p.t.Helper()
	if p.Status != status {
		p.t.Fatalf("%s answers %d instead of %d: %s", p.Path, p.Status, status, p.Text())
	}
	for _, text := range texts {
		if !strings.Contains(p.Body, text) && !strings.Contains(p.Text(), text) {
			p.t.Fatalf("%s does not say %q: %s", p.Path, text, p.Text())
		}
	}
	return p
}

// Lacks fails the test if the page has one of the texts.
func (p Page) Lacks(texts ...string) Page {
	p.t.Helper()
	for _, text := range texts {
		if strings.Contains(p.Body, text) || strings.Contains(p.Text(), text) {
			p.t.Fatalf("%s says %q: %s", p.Path, text, p.Text())
		}
	}
	return p
}

// WantTo fails the test unless the page sends the browser to that path, by either way.
func (p Page) WantTo(path string) Page {
	p.t.Helper()
	to := p.Header.Get("Location")
	if redirect := p.Header.Get("HX-Redirect"); redirect != "" {
		to = redirect
	} else if p.Status != http.StatusSeeOther {
		p.t.Fatalf("%s answers %d instead of going to %s: %s", p.Path, p.Status, path, p.Text())
	}
	if bare, _, _ := strings.Cut(to, "?"); to != path && bare != path {
		p.t.Fatalf("%s goes to %q instead of %q", p.Path, to, path)
	}
	return p
}

// Whole says whether the page is a whole document and not a part of one.
func (p Page) Whole() bool {
	return strings.Contains(p.Body, "<!doctype html>") || strings.Contains(p.Body, "<!DOCTYPE html>")
}

var (
	invisible = regexp.MustCompile(`(?s)<(script|style|head)\b.*?</(script|style|head)>|<[^>]*>`)
	blanks    = regexp.MustCompile(`\s+`)
)

// Text is what a person reads of the page.
func (p Page) Text() string {
	return strings.TrimSpace(html.UnescapeString(blanks.ReplaceAllString(invisible.ReplaceAllString(p.Body, " "), " ")))
}
