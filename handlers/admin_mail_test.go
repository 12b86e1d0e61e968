package handlers_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"postern/db"
	"postern/handlers"
	"postern/internal/config"
	"postern/internal/directory"
	"postern/internal/mail"
	"postern/internal/portaltest"
)

const mailPage = "/admin/mail"

// noMailbox is what a server says for good, fullMailbox what it says for now.
var (
	noMailbox   = &smtp.SMTPError{Code: 550, Message: "no such mailbox, says the server"}
	fullMailbox = &smtp.SMTPError{Code: 452, Message: "mailbox full, says the server"}
)

// refuse lets the mail server refuse mail to that address; nil lets it take all again.
func refuse(p *portaltest.Portal, address string, with error) {
	p.Sink.Refuse(func(stage, value string) error {
		if stage == "to" && value == address {
			return with
		}
		return nil
	})
}

// newest returns the newest mail of that kind in the outbox.
func newest(t testing.TB, p *portaltest.Portal, kind db.MessageKind) db.Message {
	t.Helper()
	all, err := p.DB.Reader().Messages(t.Context(), "", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.Kind == kind {
			return m
		}
	}
	t.Fatalf("there is no mail of the kind %s", kind)
	return db.Message{}
}

func mailAt(m db.Message) string { return mailPage + "/" + strconv.FormatInt(m.ID, 10) }

// newSupport is somebody of support, signed in with a code.
func newSupport(t testing.TB, p *portaltest.Portal) *portaltest.Browser {
	t.Helper()
	b, _ := p.Staff(t, directory.NewUser{Email: "sam@vendor.example", Name: "Sam Support", Role: "support"})
	p.Mails(t)
	return b
}

func TestEveryMailIsListedWithItsFateAndNothingOfWhatStoodInIt(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b := newSupport(t, p)
		newAnn(t, p)
		bob := person(t, p, directory.NewUser{Email: "bob@acme.example", Name: "Bob Builder"})
		visitor := p.Browser(t, "192.0.2.9")
		link := askForLink(t, p, visitor)
		sent := newest(t, p, db.MessageRecovery)
		visitor.Post("/forgot-password", "email", "nobody@acme.example").WantTo("/forgot-password/sent")
		p.Mails(t)
		dropped := newest(t, p, db.MessageRecovery)
		refuse(p, bob.Email, noMailbox)
		visitor.Post("/forgot-password", "email", bob.Email).WantTo("/forgot-password/sent")
		p.Mails(t)
		failed := newest(t, p, db.MessageRecovery)
		refuse(p, bob.Email, fullMailbox)
		p.Clock.Advance(2 * time.Minute)
		visitor.Post("/forgot-password", "email", bob.Email).WantTo("/forgot-password/sent")
		p.Mails(t)
		queued := newest(t, p, db.MessageRecovery)

		page := b.Get(mailPage).Want(http.StatusOK, "ann@acme.example", "bob@acme.example", "no such mailbox, says the server",
			"mailbox full, says the server", "no user has this address")
		for state, m := range map[db.MessageState]db.Message{"sent": sent, "dropped": dropped, "failed": failed, "queued": queued} {
			if m.State != state {
				t.Fatalf("the mail is %s instead of %s", m.State, state)
			}
			narrowed := b.Get(mailPage + "?state=" + string(state)).Want(http.StatusOK)
			if n := strings.Count(narrowed.Body, `data-label="Mail"`); n != 1 || len(having(elements(t, narrowed.Body), "href", mailAt(m))) != 1 {
				t.Errorf("%s: %d mails are shown", state, n)
			}
			one := b.Get(mailAt(m)).Want(http.StatusOK, "Reset link, asked for", m.Answer)
			for what, secret := range map[string]string{"link": portaltest.Token(link), "address that nobody has": "nobody@acme.example", "visitor's address": "192.0.2.9"} {
				for _, body := range []string{one.Body, page.Body, narrowed.Body} {
					if strings.Contains(body, secret) {
						t.Errorf("%s: the page tells the %s", state, what)
					}
				}
			}
			if may := formFor(t, one.Body, mailAt(m)+"/retry"); may != (state == "failed" || state == "queued") {
				t.Errorf("%s: to try again is offered: %v", state, may)
			}
		}
		b.Get(mailPage+"?state=sending").Want(http.StatusOK, "No mail here.")
		b.Get(mailPage + "?state=lost").Want(http.StatusBadRequest)
		b.Get(mailPage + "/999999").Want(http.StatusNotFound)
		b.Get(mailPage + "/test/retry").Want(http.StatusNotFound)
	})
}

func TestALongListOfMailGoesOn(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b := newSupport(t, p)
		before := len(p.Sink.Mails())
		if err := p.DB.Update(t.Context(), func(tx *db.Tx) error {
			for range 120 {
				held, err := tx.EnqueueHeld(t.Context(), db.Message{Kind: db.MessageUnlocked, Recipient: "x@acme.example"}, time.Hour)
				if err != nil {
					return err
				}
				if err := tx.FinishMessage(t.Context(), held, db.MessageDropped, "by the test"); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		path, pages, seen := mailPage+"?state=dropped", 0, map[string]bool{}
		for path != "" {
			page := b.Get(path).Want(http.StatusOK)
			path, pages = "", pages+1
			for _, e := range elements(t, page.Body) {
				href := e.attributes["href"]
				if strings.HasPrefix(href, mailPage+"/") && href != mailPage+"/test" {
					seen[href] = true
				}
				if e.text == "Older" {
					path = href
				}
			}
		}
		if pages != 3 || len(seen) != 120 || len(p.Sink.Mails()) != before {
			t.Errorf("%d mails on %d pages", len(seen), pages)
		}
	})
}

func TestAMailThatFailedIsSentAgainWithALinkThatWorks(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b := newSupport(t, p)
		sam, err := p.DB.Reader().UserByLogin(t.Context(), "sam@vendor.example")
		if err != nil {
			t.Fatal(err)
		}
		ann := newAnn(t, p)
		visitor := p.Browser(t, "192.0.2.9")
		for name, late := range map[string]time.Duration{"at once": 0, "days later": 50 * time.Hour} {
			refuse(p, ann.Email, noMailbox)
			p.Clock.Advance(time.Hour)
			visitor.Post("/forgot-password", "email", ann.Email).WantTo("/forgot-password/sent")
			if n := len(p.Mails(t)); n != 0 {
				t.Fatalf("%d mails came", n)
			}
			m := newest(t, p, db.MessageRecovery)
			refuse(p, "", nil)
			p.Clock.Advance(late)
			p.SignInWithCode(t, b, sam) // signed out by now
			p.Mails(t)
			b.Get(mailAt(m)+"/retry").Want(http.StatusOK, "goes to ann@acme.example at once")
			b.Follow(b.Post(mailAt(m)+"/retry").WantTo(mailAt(m))).Want(http.StatusOK, "The mail is sent again.")
			mailed := p.Mail(t)
			visitor.Get(mailed.Link(t, "/reset-password/")).WantTo("/reset-password")
			visitor.Get("/reset-password").Want(http.StatusOK)
			b.Get(mailAt(m)).Want(http.StatusOK, "Sent")
			if after := newest(t, p, db.MessageRecovery); after.ID != m.ID || after.State != db.MessageSent || after.CreatedAt != m.CreatedAt {
				t.Errorf("%s: it is %s", name, after.State)
			}
			b.Post(mailAt(m)+"/retry").Want(http.StatusUnprocessableEntity, "The server has taken it, so it is not sent again.")
			if n := len(p.Mails(t)); n != 0 {
				t.Errorf("%s: a mail that was sent came again", name)
			}
		}
		if n := eventCount(t, p, "mail.retried"); n != 2 {
			t.Errorf("%d events", n)
		}
	})
}

func TestAMailThatWaitsIsSentAtOnceWhenAskedFor(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b := newSupport(t, p)
		ann := newAnn(t, p)
		refuse(p, ann.Email, fullMailbox)
		p.Browser(t, "192.0.2.9").Post("/forgot-password", "email", ann.Email).WantTo("/forgot-password/sent")
		p.Mails(t)
		m := newest(t, p, db.MessageRecovery)
		refuse(p, "", nil)
		if n := len(p.Mails(t)); n != 0 || m.State != db.MessageQueued {
			t.Fatalf("%d mails came, and it is %s", n, m.State)
		}
		b.Post(mailAt(m) + "/retry").WantTo(mailAt(m))
		p.Mail(t).Link(t, "/reset-password/")
	})
}

func TestAMailThatShouldNotComeDoesNotComeByTryingAgain(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b := newSupport(t, p)
		visitor := p.Browser(t, "192.0.2.9")
		askFailing := func(u db.User) db.Message {
			t.Helper()
			p.Clock.Advance(time.Minute)
			refuse(p, u.Email, noMailbox)
			visitor.Post("/forgot-password", "email", u.Email).WantTo("/forgot-password/sent")
			p.Mails(t)
			refuse(p, "", nil)
			return newest(t, p, db.MessageRecovery)
		}
		retry := func(m db.Message, status int, texts ...string) {
			t.Helper()
			b.Post(mailAt(m)+"/retry").Want(status, texts...)
			for _, came := range p.Mails(t) {
				if strings.Contains(came.Text, "/reset-password/") || strings.Contains(came.Text, "/invitation/") || strings.Contains(came.Text, "/not-me/") {
					t.Errorf("a mail with a link came: %s", came.Subject)
				}
			}
		}
		change := func(u db.User, form directory.UserChange) {
			t.Helper()
			if err := p.Directory.ChangeUser(t.Context(), portaltest.Operator, u.ID, form); err != nil {
				t.Fatal(err)
			}
			p.Mails(t)
		}

		visitor.Post("/forgot-password", "email", "nobody@acme.example").WantTo("/forgot-password/sent")
		p.Mails(t)
		retry(newest(t, p, db.MessageRecovery), http.StatusUnprocessableEntity, "nobody who could get it has the address")

		// The account has changed since: what comes is decided afresh.
		ann := newAnn(t, p)
		m := askFailing(ann)
		p.Clock.Advance(time.Minute)
		username := "annie"
		change(ann, directory.UserChange{Username: &username})
		retry(m, http.StatusSeeOther)
		if after := newest(t, p, db.MessageRecovery); after.State != db.MessageDropped {
			t.Errorf("a link from before the change is %s", after.State)
		}

		// The links were revoked since.
		bob := person(t, p, directory.NewUser{Email: "bob@acme.example"})
		m = askFailing(bob)
		if err := p.Directory.RevokeLinks(t.Context(), portaltest.Operator, bob.ID, ""); err != nil {
			t.Fatal(err)
		}
		p.Mails(t)
		retry(m, http.StatusUnprocessableEntity, "were revoked after it was asked for")

		// An invitation that was withdrawn.
		refuse(p, "ida@acme.example", noMailbox)
		ida := p.User(t, directory.NewUser{Email: "ida@acme.example", Invite: true})
		p.Mails(t)
		refuse(p, "", nil)
		m = newest(t, p, db.MessageInvitation)
		if err := p.Directory.WithdrawInvitation(t.Context(), portaltest.Operator, ida.ID, ""); err != nil {
			t.Fatal(err)
		}
		p.Mails(t)
		retry(m, http.StatusUnprocessableEntity, "were revoked after it was asked for")
		b.Get(mailAt(m)+"/retry").Want(http.StatusOK, "were revoked")

		// A security mail to an address that is somebody else's by now.
		eve := person(t, p, directory.NewUser{Email: "eve@acme.example"})
		refuse(p, eve.Email, noMailbox)
		if err := p.Directory.EndSessions(t.Context(), portaltest.Operator, eve.ID, ""); err != nil {
			t.Fatal(err)
		}
		p.Mails(t)
		refuse(p, "", nil)
		m = newest(t, p, db.MessageSignedOut)
		if err := p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.SetEmail(t.Context(), eve.ID, "eve2@acme.example") }); err != nil {
			t.Fatal(err)
		}
		retry(m, http.StatusUnprocessableEntity, "has another address by now")
	})
}

func TestATestMailShowsWhatWasSaidAndCannotFlood(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b := newSupport(t, p)
		if page := b.Get(mailPage+"/test").Want(http.StatusOK, "sam@vendor.example"); !formFor(t, page.Body, mailPage+"/test") {
			t.Fatal("there is no button")
		}
		page := b.Follow(b.Post(mailPage+"/test").WantTo(mailPage+"/test")).Want(http.StatusOK, "The mail server has taken the mail to sam@vendor.example.",
			"portal: EHLO", "portal: MAIL FROM:<portal@vendor.example>", "portal: RCPT TO:<sam@vendor.example>", "portal: DATA", "server: 354", "queued")
		if m := p.Mail(t); m.Subject != "Test mail" || m.To != "sam@vendor.example" {
			t.Errorf("%q came to %s", m.Subject, m.To)
		}
		if strings.Contains(page.Body, "and pressed the button for it") {
			t.Error("the page shows what stood in the mail")
		}
		if m := newest(t, p, db.MessageTest); m.State != db.MessageSent || !strings.Contains(m.Answer, "queued") {
			t.Errorf("it is listed as %s with %q", m.State, m.Answer)
		}
		refuse(p, "sam@vendor.example", noMailbox)
		b.Follow(b.Post(mailPage+"/test").WantTo(mailPage+"/test")).Want(http.StatusOK, "The mail was not taken", "no such mailbox, says the server",
			"portal: RCPT TO:<sam@vendor.example>", "server: 550")
		if m := newest(t, p, db.MessageTest); m.State != db.MessageFailed || !strings.Contains(m.Answer, "550") {
			t.Errorf("it is listed as %s with %q", m.State, m.Answer)
		}
		refuse(p, "", nil)
		for range 3 {
			b.Post(mailPage + "/test").WantTo(mailPage + "/test")
		}
		held := b.Post(mailPage+"/test").Want(http.StatusTooManyRequests, "Wait")
		if held.Header.Get("Retry-After") == "" || len(p.Mails(t)) != 3 || eventCount(t, p, "mail.tested") != 5 {
			t.Errorf("held for %q, %d mails, %d events", held.Header.Get("Retry-After"), len(p.Mails(t)), eventCount(t, p, "mail.tested"))
		}
		p.Clock.Advance(time.Minute)
		b.Post(mailPage + "/test").WantTo(mailPage + "/test")
	})
}

func TestATestMailSaysWhereMailGoesWithoutAServer(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	newSupport(t, p)
	sam, err := p.DB.Reader().UserByLogin(t.Context(), "sam@vendor.example")
	if err != nil {
		t.Fatal(err)
	}
	local := &mail.Local{Folder: t.TempDir(), From: p.Server.MailFrom}
	address, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		sender mail.Sender
		local  *mail.Local
		status int
		says   string
	}{
		"local":       {local, local, http.StatusOK, "was kept on this machine."},
		"none":        {nil, nil, http.StatusUnprocessableEntity, "The operator sets POSTERN_SMTP"},
		"unreachable": {&mail.SMTP{Server: config.SMTP{Host: "127.0.0.1", Port: 1, Security: config.NoTLS}, From: p.Server.MailFrom, Host: "127.0.0.1"}, nil, http.StatusOK, "127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			handler := secondServer(p, func(s *handlers.Server) {
				s.URL, s.LocalMail = address, c.local
				s.Mail = mail.NewWorker(p.DB, p.Settings, c.sender, p.URL, s.Log)
			})
			v := newVisitor(t, p.URL, wire{handler, "127.0.0.1:4711"})
			v.header.Set("X-Forwarded-For", "192.0.2.30")
			v.want(http.StatusSeeOther, v.post("/sign-in", "login", sam.Email, "password", portaltest.Password))
			v.want(http.StatusSeeOther, v.post("/sign-in/verify", "code", p.Code(t, sam)))
			e := v.post(mailPage + "/test")
			if e.status == http.StatusSeeOther {
				e = v.get(mailPage + "/test")
			}
			if text := (portaltest.Page{Body: e.body}).Text(); e.status != c.status || !strings.Contains(text, c.says) {
				t.Errorf("%d: %s", e.status, text)
			}
			list := v.get(mailPage)
			if waits := strings.Contains(list.body, "No mail server is set, so mail waits."); waits != (c.sender == nil) {
				t.Errorf("the list says that mail waits: %v", waits)
			}
		})
	}
}

func TestOnlyWhoMaySeesWhatBecameOfMail(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	p.Organization(t, "Acme")
	admin, _ := p.Staff(t, directory.NewUser{Email: "bea@acme.example", Organization: "Acme", Role: "portal_administrator"})
	auditor, _ := p.Staff(t, directory.NewUser{Email: "axel@vendor.example", Role: "auditor"})
	ann := newAnn(t, p)
	p.Browser(t, "192.0.2.9").Post("/forgot-password", "email", ann.Email)
	p.Mails(t)
	m := newest(t, p, db.MessageRecovery)
	for name, b := range map[string]*portaltest.Browser{"portal administrator": admin, "auditor": auditor} {
		for _, path := range []string{mailPage, mailAt(m), mailAt(m) + "/retry", mailPage + "/test"} {
			if page := b.Get(path); page.Status != http.StatusNotFound {
				t.Errorf("%s: GET %s is %d", name, path, page.Status)
			}
		}
		for _, path := range []string{mailAt(m) + "/retry", mailPage + "/test"} {
			if page := b.Post(path); page.Status != http.StatusNotFound {
				t.Errorf("%s: POST %s is %d", name, path, page.Status)
			}
		}
	}
}
