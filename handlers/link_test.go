package handlers_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/handlers"
	"postern/internal/directory"
	"postern/internal/portaltest"
)

// askForLink lets Ann ask for a reset link and returns its address.
func askForLink(t testing.TB, p *portaltest.Portal, b *portaltest.Browser) string {
	t.Helper()
	b.Post("/forgot-password", "email", "ann@acme.example").WantTo("/forgot-password/sent")
	return mailTo(t, p, "ann@acme.example").Link(t, "/reset-password/")
}

func TestNoPageIsEverShownAtAnAddressWithAToken(t *testing.T) { // A5, A6
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		b.Post("/account/email", "email", "ann.new@acme.example")
		mails := p.Mails(t)
		p.User(t, directory.NewUser{Email: "ida@acme.example", Invite: true})
		b = p.Browser(t, "192.0.2.1")
		paths := []string{pathOf(askForLink(t, p, b)), "/setup/" + setupToken(t, p)}
		for _, m := range mails {
			if m.To == "ann.new@acme.example" {
				paths = append(paths, pathOf(m.Link(t, "/verify-email/")))
			} else {
				paths = append(paths, pathOf(m.Link(t, "/not-me/")))
			}
		}
		for _, path := range slices.Concat(paths, []string{"/invitation/" + unknownToken, "/not-me/" + unknownToken}) {
			token := portaltest.Token(path)
			clean := strings.TrimSuffix(path, "/"+token)
			for _, htmx := range []bool{false, true} {
				b.HTMX = htmx
				page := b.Get(path)
				if met(page) != "303 "+clean || strings.Contains(page.Body, token) || page.Header.Get("Refresh") != "" {
					t.Errorf("%s, htmx %v: %s, with %q", clean, htmx, met(page), page.Body)
				}
				shown := b.Get(clean)
				if strings.Contains(shown.Body, token) || shown.Header.Get("Location") == path {
					t.Errorf("%s shows the token: %s", clean, shown.Body)
				}
			}
			if strings.Contains(p.Log.String(), token) {
				t.Errorf("the log has the token of %s", clean)
			}
		}
	})
}

func TestAMailScannerDoesNotUseTheLinkUp(t *testing.T) { // A7
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		human := p.Browser(t, "192.0.2.1")
		link := askForLink(t, p, human)
		d := database(t, p)
		before := dump(t, d, "rate.full_at", "rate.key")
		for i := range 3 {
			scanner := p.Browser(t, fmt.Sprintf("198.51.100.%d", i+1))
			head := scanner.Do(scanner.Request(http.MethodHead, link, ""))
			if head.WantTo("/reset-password"); head.Body != "" {
				t.Errorf("HEAD answers %q", head.Body)
			}
			scanner.Get(link).WantTo("/reset-password")
			scanner.Get("/reset-password").Want(http.StatusOK, "Choose a new password")
		}
		after := dump(t, d, "rate.full_at", "rate.key")
		before["rate"], after["rate"] = nil, nil // looks are counted
		if tables := changed(before, after); len(tables) > 0 {
			t.Errorf("the scanner has changed %q", tables)
		}
		human.Get(link).WantTo("/reset-password")
		human.Post("/reset-password", "password", portaltest.Another, "confirm", portaltest.Another).WantTo("/sign-in")
		human.SignIn("ann", portaltest.Another)
	})
}

func TestALinkWorksOnceAndTakesItsSiblingsAlong(t *testing.T) { // A9, A13, A20, A21
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		elsewhere := p.Browser(t, "192.0.2.9")
		elsewhere.SignIn("ann", portaltest.Password)
		b := p.Browser(t, "192.0.2.1")
		var links []string
		for range 3 {
			links = append(links, askForLink(t, p, b))
			p.Clock.Advance(19 * time.Minute)
			elsewhere.Get("/account").Want(http.StatusOK)
		}
		b.Get(links[1]).WantTo("/reset-password")
		b.Post("/reset-password", "password", "short", "confirm", "short").Want(http.StatusUnprocessableEntity) // A23
		b.Post("/reset-password", "password", portaltest.Another, "confirm", portaltest.Another).WantTo("/sign-in")
		b.Get("/account").WantTo("/sign-in")
		elsewhere.Get("/account").WantTo("/sign-in")
		for _, link := range links {
			b.Get(link).WantTo("/reset-password")
			b.Get("/reset-password").Want(http.StatusGone, "This link does not work any more", "Send a new link")
			b.Post("/reset-password", "password", portaltest.Password, "confirm", portaltest.Password).Want(http.StatusGone)
		}
		b.SignIn("ann", portaltest.Another)
	})
}

func TestALinkIsJudgedWhenTheFormIsSent(t *testing.T) { // A11, A12
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		for _, c := range []struct {
			late   time.Duration
			status int
		}{{60 * time.Minute, http.StatusGone}, {60*time.Minute + time.Second, http.StatusGone}, {60*time.Minute - time.Second, http.StatusSeeOther}} {
			b := p.Browser(t, "192.0.2.1")
			b.Get(askForLink(t, p, b)).WantTo("/reset-password")
			p.Clock.Advance(c.late - time.Second)
			b.Get("/reset-password")
			p.Clock.Advance(time.Second)
			page := b.Post("/reset-password", "password", portaltest.Another, "confirm", portaltest.Another)
			if page.Status != c.status {
				t.Errorf("%s after the mail: %s", c.late, met(page))
			}
			if c.status == http.StatusGone && p.Reload(t, ann).PasswordHash != ann.PasswordHash {
				t.Errorf("%s after the mail the password was changed", c.late)
			}
			p.Clock.Advance(24 * time.Hour)
		}
	})
}

func TestADeadLinkOffersANewOneToItsOwnerAlone(t *testing.T) { // A12
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		ida := p.User(t, directory.NewUser{Email: "ida@acme.example", Invite: true})
		invitation := p.Mail(t).Link(t, "/invitation/")
		b := p.Browser(t, "192.0.2.1")
		reset := askForLink(t, p, b)
		p.Clock.Advance(8 * 24 * time.Hour)
		for link, kind := range map[string]string{reset: "/reset-password", invitation: "/invitation"} {
			b.Get(link).WantTo(kind)
			if dead := b.Get(kind).Want(http.StatusGone); !formFor(t, dead.Body, kind+"/renew") {
				t.Errorf("%s offers nothing new: %s", kind, dead.Text())
			}
			mine := b.Follow(b.Post(kind + "/renew").WantTo("/forgot-password/sent"))
			fresh := p.Mail(t)
			if fresh.Link(t, kind+"/") == link {
				t.Errorf("%s is mailed again", kind)
			}
			stranger := p.Browser(t, "192.0.2.2")
			stranger.Get(kind + "/" + unknownToken).WantTo(kind)
			theirs := stranger.Follow(stranger.Post(kind + "/renew").WantTo("/forgot-password/sent"))
			if mine.Body != theirs.Body || len(p.Mails(t)) > 0 {
				t.Errorf("%s tells a stranger whether the link was one of ours", kind)
			}
			if b.Cookie("postern-link") != "" {
				t.Errorf("%s leaves the dead token in the browser", kind)
			}
		}
		if got := p.Reload(t, ida).Status(); got != "invited" {
			t.Errorf("the invited user is %s", got)
		}
	})
}

func TestALinkWorksForItsPurposeAlone(t *testing.T) { // A16
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		p.User(t, directory.NewUser{Email: "ida@acme.example", Invite: true})
		invitation := portaltest.Token(p.Mail(t).Link(t, "/invitation/"))
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		b.Post("/account/email", "email", "ann.new@acme.example").WantTo("/account/security")
		tokens := map[string]string{"/invitation": invitation, "/setup": setupToken(t, p)}
		for _, m := range p.Mails(t) {
			if m.To == "ann.new@acme.example" {
				tokens["/verify-email"] = portaltest.Token(m.Link(t, "/verify-email/"))
			} else {
				tokens["/not-me"] = portaltest.Token(m.Link(t, "/not-me/"))
			}
		}
		tokens["/reset-password"] = portaltest.Token(askForLink(t, p, b))
		for kind, token := range tokens {
			for page := range tokens {
				b.Address = fmt.Sprintf("10.0.%d.1", len(kind)*16+len(page)) // looks are counted
				b.Get(page + "/" + token).WantTo(page)
				if got := b.Get(page).Status == http.StatusOK; got != (page == kind) {
					t.Errorf("a link to %s opens %s: %v", kind, page, got)
				}
				if page != kind {
					answer := b.Post(page, "password", portaltest.Another, "confirm", portaltest.Another, "name", "Eve", "email", "eve@evil.example",
						"portal_name", "Evil")
					if answer.Status != http.StatusGone {
						t.Errorf("a link to %s acts on %s: %s", kind, page, met(answer))
					}
				}
			}
		}
	})
}

func TestEveryShapeOfATokenGetsTheSameAnswer(t *testing.T) { // A17
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	handler := secondServer(p, func(*handlers.Server) {})
	shapes := map[string]string{
		"unknown": unknownToken, "short": "abc", "one more": unknownToken + "A", "padded": unknownToken[:42] + "=", "dots": "..%2f..", "NUL": "%00",
		"encoded": strings.Repeat("%41", 43), "a slash": unknownToken[:20] + "%2F" + unknownToken[:22], "not UTF-8": "%ff%fe", "a blank": "%20",
		"a megabyte": strings.Repeat("A", 1<<20), "a header": "%0d%0aSet-Cookie:%20postern=x", "markup": "%3Cscript%3E", "letters": "%D0%AF",
	}
	for _, kind := range []string{"/reset-password", "/invitation", "/not-me", "/setup"} {
		bodies := map[string]bool{}
		for name, shape := range shapes {
			v := newVisitor(t, p.URL, wire{handler, "203.0.113." + fmt.Sprint(len(name)+len(kind)) + ":1"})
			opened := v.get(kind + "/" + shape)
			if v.want(http.StatusSeeOther, opened) != kind || opened.body != "" {
				t.Errorf("%s with %s leads to %q", kind, name, opened.header.Get("Location"))
			}
			for _, cookie := range opened.cookies {
				if cookie.Name != "postern-link" || len(cookie.Value) > 43 {
					t.Errorf("%s with %s sets %s", kind, name, cookie)
				}
			}
			gone := v.get(kind)
			v.want(http.StatusGone, gone)
			bodies[gone.body] = true
		}
		if len(bodies) != 1 {
			t.Errorf("%s has %d pages for links that do not work", kind, len(bodies))
		}
	}
}

func TestNobodyCanTryManyLinks(t *testing.T) { // A17
	t.Parallel()
	for name, try := range map[string]func(b *portaltest.Browser, token string) portaltest.Page{
		"by opening": func(b *portaltest.Browser, token string) portaltest.Page { return b.Get("/reset-password/" + token) },
		"by sending": func(b *portaltest.Browser, token string) portaltest.Page {
			b.SetCookie("postern-link", token)
			return b.Post("/reset-password", "password", portaltest.Another, "confirm", portaltest.Another)
		},
		"by looking": func(b *portaltest.Browser, token string) portaltest.Page {
			b.SetCookie("postern-link", token)
			return b.Get("/reset-password")
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := onSQLite(t)
			b := p.Browser(t, "192.0.2.1")
			var held portaltest.Page
			for i := range 31 {
				held = try(b, fmt.Sprintf("%043d", i))
				if i < 30 && held.Status == http.StatusTooManyRequests {
					t.Fatalf("held after %d", i)
				}
			}
			if held.Status != http.StatusTooManyRequests || held.Header.Get("Retry-After") == "" {
				t.Errorf("the 31st in a minute: %s", met(held))
			}
			if other := try(p.Browser(t, "192.0.2.2"), unknownToken); other.Status == http.StatusTooManyRequests {
				t.Errorf("another address is held, too")
			}
			p.Clock.Advance(time.Minute)
			if later := try(b, unknownToken); later.Status == http.StatusTooManyRequests {
				t.Errorf("still held after a minute")
			}
		})
	}
}

func TestAForgedHostNeverGetsIntoAMail(t *testing.T) { // A3
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	for _, header := range []string{"X-Forwarded-Host", "Forwarded", "X-Original-Host", "X-Host", "X-Forwarded-Server", "X-Original-URL", "X-Rewrite-URL"} {
		request := b.Request(http.MethodPost, "/forgot-password", "email=ann%40acme.example")
		request.Header.Set(header, map[string]string{"Forwarded": "for=1.2.3.4;host=evil.example;proto=https"}[header]+"evil.example")
		request.Header.Set("X-Forwarded-Proto", "https")
		b.Do(request).WantTo("/forgot-password/sent")
		m := p.Mail(t)
		if !strings.HasPrefix(m.Link(t, "/reset-password/"), p.URL+"/reset-password/") || strings.Contains(m.Text+m.HTML, "evil") {
			t.Errorf("%s gets into the mail: %s", header, m.Text)
		}
		p.Clock.Advance(24 * time.Hour)
	}
	request := b.Request(http.MethodPost, "/forgot-password", "email=ann%40acme.example")
	request.Host = "evil.example"
	b.Do(request).Want(http.StatusMisdirectedRequest)
	if n := len(p.Mails(t)); n > 0 {
		t.Errorf("%d mails for another host", n)
	}
}

func TestAResetTellsTheBrowserOfSomebodyElseNothing(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	person(t, p, directory.NewUser{Email: "bob@acme.example", Username: "bob", Name: "Bob Jones"})
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("bob", portaltest.Password)
	p.Mails(t)
	b.Get(askForLink(t, p, b)).WantTo("/reset-password")
	b.Post("/reset-password", "password", portaltest.Another, "confirm", portaltest.Another).WantTo("/sign-in")
	b.Get("/account").Want(http.StatusOK, "Bob Jones") // whose session it is has not changed
}

func TestAnInvitedUserChoosesAPasswordAndSignsIn(t *testing.T) {
	t.Parallel()
	for name, htmx := range map[string]bool{"without scripts": false, "with htmx": true} {
		t.Run(name, func(t *testing.T) {
			portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
				ida := p.User(t, directory.NewUser{Email: "ida@acme.example", Name: "Ida Invited", Invite: true})
				m := p.Mail(t)
				if m.Subject != "You are invited" || m.To != ida.Email {
					t.Fatalf("%q to %s", m.Subject, m.To)
				}
				b := p.Browser(t, "192.0.2.1")
				b.HTMX = htmx
				b.Post("/sign-in", "login", ida.Email, "password", "").Want(http.StatusUnprocessableEntity) // B15
				b.Get(m.Link(t, "/invitation/")).WantTo("/invitation")
				page := b.Get("/invitation").Want(http.StatusOK, "Welcome", "sign in with ida@acme.example", "At least 8 characters")
				if !formFor(t, page.Body, "/invitation") {
					t.Error("there is no form")
				}
				b.Follow(b.Post("/invitation", "password", portaltest.Password, "confirm", portaltest.Password).WantTo("/sign-in")).
					Want(http.StatusOK, "Your password is set. Sign in with it.")
				b.Get("/invitation").Want(http.StatusGone)
				b.SignIn(ida.Email, portaltest.Password)
				if got := p.Reload(t, ida); got.InvitationAcceptedAt == 0 || got.Status() != "active" {
					t.Errorf("the user is %s", got.Status())
				}
			})
		})
	}
}

func TestAStolenDatabaseOpensNothing(t *testing.T) { // A18
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		askForLink(t, p, b)
		d := database(t, p)
		for _, query := range []string{`SELECT token_hash FROM session`, `SELECT token_hash FROM link`, `SELECT token_hash FROM browser`} {
			var hash []byte
			if err := d.QueryRow(query).Scan(&hash); err != nil {
				t.Fatal(err)
			}
			for _, shape := range shapesOf(hash) {
				thief := p.Browser(t, "192.0.2.66")
				thief.SetCookie("postern", shape)
				thief.SetCookie("postern-link", shape)
				if got := met(thief.Get("/account")); !strings.HasPrefix(got, toSignIn) {
					t.Errorf("%s signs in: %s", query, got)
				}
				if got := met(thief.Get("/reset-password")); got != "410" {
					t.Errorf("%s resets: %s", query, got)
				}
			}
		}
	})
}
