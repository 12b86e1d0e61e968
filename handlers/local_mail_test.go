package handlers_test

import (
	"net/http"
	"net/http/httptest"
	netmail "net/mail"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"postern/handlers"
	"postern/internal/mail"
	"postern/internal/portaltest"
	"postern/views"
)

func TestLocalMailIsForThisMachineAlone(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	local := &mail.Local{Folder: filepath.Join(t.TempDir(), "mail"), From: netmail.Address{Address: "portal@vendor.example"}}
	letter := views.Mail{Subject: "Your <new> key", Portal: "Harbour", Greeting: "Hello,", Before: []string{"Press <b>here</b>:"},
		Button: views.Button{Label: "Open", URL: p.URL + "/reset-password/" + unknownToken}, Why: "x"}
	if _, err := local.Send(t.Context(), mail.Envelope{To: "ann@acme.example", ID: "1.2", Mail: letter}); err != nil {
		t.Fatal(err)
	}
	kept := secondServer(p, func(s *handlers.Server) { s.LocalMail = local })
	list := localPage(t, kept, p, "/local-mail", "127.0.0.1:1", "")
	match := regexp.MustCompile(`/local-mail/[0-9a-z.-]+`).FindString(list.Body)
	if list.Status != http.StatusOK || match == "" || !strings.Contains(list.Text(), "Your <new> key") || !strings.Contains(list.Text(), "ann@acme.example") {
		t.Fatalf("%d: %s", list.Status, list.Body)
	}
	one := localPage(t, kept, p, match, "[::1]:1", "")
	if links := having(elements(t, one.Body), "href", p.URL+"/reset-password/"+unknownToken); len(links) != 1 || !strings.Contains(one.Text(), "Press <b>here</b>:") {
		t.Errorf("%d: %s", one.Status, one.Body)
	}
	wantHeaders(t, one)
	html := localPage(t, kept, p, match+"?view=html", "127.0.0.1:1", "")
	policy := html.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "sandbox "} {
		if !strings.Contains(policy, part) || strings.Contains(policy, "script") || strings.Contains(policy, "allow-same-origin") {
			t.Errorf("a mail may do more than be looked at: %q", policy)
		}
	}
	for _, path := range []string{"/local-mail/..%2f..%2fpostern.db", "/local-mail/0000000000000-1.1", "/local-mail/..", "/local-mail/%00"} {
		if page := localPage(t, kept, p, path, "127.0.0.1:1", ""); page.Status != http.StatusNotFound && page.Status != http.StatusTemporaryRedirect {
			t.Errorf("%s: %d", path, page.Status)
		}
	}
	for name, visitor := range map[string][2]string{"elsewhere": {"192.0.2.1:1", ""}, "elsewhere, says otherwise": {"192.0.2.1:1", "127.0.0.1"},
		"behind the proxy": {"127.0.0.1:1", "192.0.2.1"}, "behind the proxy, says otherwise": {"127.0.0.1:1", "127.0.0.1, 192.0.2.1"}, "no address": {"pipe", ""}} {
		for _, path := range []string{"/local-mail", match, match + "?view=html"} {
			if page := localPage(t, kept, p, path, visitor[0], visitor[1]); page.Status != http.StatusNotFound || strings.Contains(page.Body, "ann@acme") {
				t.Errorf("%s gets %d of %s", name, page.Status, path)
			}
		}
	}
	if page := localPage(t, secondServer(p, func(*handlers.Server) {}), p, "/local-mail", "127.0.0.1:1", ""); page.Status != http.StatusNotFound {
		t.Errorf("where mail is sent: %d", page.Status)
	}
}

func localPage(t *testing.T, handler http.Handler, p *portaltest.Portal, path, peer, forwarded string) portaltest.Page {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, p.URL+path, nil)
	request.RemoteAddr = peer
	if forwarded != "" {
		request.Header.Set("X-Forwarded-For", forwarded)
	}
	return asPage(t, path, answerOf(handler, request))
}
