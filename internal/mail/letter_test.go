package mail_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/internal/mail/mailtest"
)

// kinds are all kinds of message that the database package knows.
func kinds(t *testing.T) (all []db.MessageKind) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../db/outbox.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "MessageKind" {
			return true
		}
		for _, value := range spec.Values {
			text, err := strconv.Unquote(value.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, db.MessageKind(text))
		}
		return true
	})
	if len(all) < 17 {
		t.Fatalf("only %d kinds were found", len(all))
	}
	return all
}

// family is an organization with a user, an administrator, a contact owner, somebody
// invited, and whoever pressed "this was not me".
type family struct{ ann, chief, invited, reporter db.User }

func (o *office) family(t *testing.T) family {
	t.Helper()
	owner := o.user(t, db.User{Email: "carla@vendor.example", Name: "Carla Contact", PasswordHash: "set", Role: db.Role{ID: "support"}})
	var acme int64
	o.update(t, func(tx *db.Tx) (err error) {
		if acme, err = tx.AddOrganization(t.Context(), "Acme", "acme"); err != nil {
			return err
		}
		return tx.SetContactOwner(t.Context(), acme, owner.ID)
	})
	member := func(u db.User) db.User {
		u.OrganizationID, u.TimeZone = acme, "Europe/Berlin"
		return o.user(t, u)
	}
	return family{
		ann:      member(db.User{Email: "Ann.Smith@Acme.Example", Name: "Ann Smith", Username: "ann", PasswordHash: "set"}),
		chief:    member(db.User{Email: "chief@acme.example", Name: "Chief Chen", PasswordHash: "set", Role: db.Role{ID: "portal_administrator"}}),
		invited:  member(db.User{Email: "new@acme.example", Name: "Newton New"}),
		reporter: member(db.User{Email: "rita@acme.example", Name: "Rita Reporter", PasswordHash: "set"}),
	}
}

// of is the message of that kind, and to whom it must go.
func (f family) of(kind db.MessageKind) (db.Message, db.User) {
	reader := f.ann
	m := db.Message{Kind: kind, Data: db.MessageData{Address: "192.0.2.7", NewEmail: "fresh@acme.example", AboutUserID: f.reporter.ID,
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"}}
	switch kind {
	case db.MessageRecovery:
		m.Data.Email = strings.ToLower(f.ann.Email)
		return m, reader
	case db.MessageDeleted:
		m.Recipient = f.ann.Email
		return m, db.User{Email: f.ann.Email} // nobody of that name any more
	case db.MessageFactorChanged:
		m.Data.By, m.Data.What = "user", "enrolled"
	case db.MessageInvitation:
		reader = f.invited
	case db.MessageNotMeToStaff:
		reader = f.chief
	case db.MessageVerifyEmail:
		reader.Email = "fresh@acme.example"
	}
	m.UserID, m.Recipient = reader.ID, reader.Email
	return m, reader
}

var (
	tag     = regexp.MustCompile(`(?s)<(script|style|head)\b.*?</(script|style|head)>|<[^>]*>`)
	href    = regexp.MustCompile(`href="([^"]*)"`)
	words   = regexp.MustCompile(`[\w-]+`)
	address = regexp.MustCompile(`[a-z]+://[^\s"<>]+`)
)

// read is what a person reads of a mail in HTML.
func read(document string) string {
	return strings.Join(strings.Fields(html.UnescapeString(tag.ReplaceAllString(document, " "))), " ")
}

var subjects = map[db.MessageKind]string{
	db.MessageRecovery: "Password change request", db.MessageReset: "Password change request", db.MessageInvitation: "You are invited",
	db.MessagePasswordChanged: "Your password was changed", db.MessageEmailChanged: "Your e-mail address was changed",
	db.MessageNewSignIn: "New sign-in to your account", db.MessageFactorChanged: "Your second factor was changed",
	db.MessageRecoveryUsed: "A recovery code was used",
}

// securityMails tell of what a thief may have done, so their readers must be able to object.
var securityMails = []db.MessageKind{db.MessageEmailAsked, db.MessageEmailChanged, db.MessagePasswordChanged, db.MessageUsernameChanged,
	db.MessageNewSignIn, db.MessageOperatorReset, db.MessageFactorChanged, db.MessageRecoveryUsed, db.MessageWrongCodes}

// G13
func TestEveryMailSaysWhyItCameAndWhomToAskAndLeadsToThePortalAlone(t *testing.T) {
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, o *office) {
		f := o.family(t)
		o.update(t, func(tx *db.Tx) error { return tx.SetPendingEmail(t.Context(), f.ann.ID, "fresh@acme.example") })
		w := o.work(t, sender(t, o.sink.Addr))
		for i, kind := range kinds(t) {
			message, reader := f.of(kind)
			id := o.enqueue(t, message)
			o.settle(t, w)
			o.want(t, id, db.MessageSent, "queued")
			mails := o.sink.Mails()
			if len(mails) != i+1 {
				t.Fatalf("after %s %d mails have come instead of %d", kind, len(mails), i+1)
			}
			m := mails[i]
			if m.To != reader.Email || m.From != from.Address {
				t.Errorf("%s went from %s to %s", kind, m.From, m.To)
			}
			if want, fixed := subjects[kind]; fixed && m.Subject != want || m.Subject == "" {
				t.Errorf("%s has the subject %q", kind, m.Subject)
			}
			wantText(t, kind, reader, m)
			wantLinks(t, kind, m)
			wantHead(t, kind, reader, m, machine)
			if objects := strings.Contains(m.Text, "/not-me/"); objects != slices.Contains(securityMails, kind) {
				t.Errorf("%s lets its reader say that it was not them: %t", kind, objects)
			} else if objects && !o.opens(t, db.PurposeNotMe, m.Link(t, "/not-me/")) {
				t.Errorf("%s has a dead link to say that it was not me", kind)
			}
		}
	})
}

// wantText fails the test unless the mail says what every mail must, in both its forms.
func wantText(t *testing.T, kind db.MessageKind, reader db.User, m mailtest.Mail) {
	t.Helper()
	shown := read(m.HTML)
	greeting := "Hello " + reader.Name + ","
	if reader.Name == "" {
		greeting = "Hello,"
	}
	for _, part := range []string{greeting, "You get this mail because ", portalURL, "Questions? Ask the person who gave you access."} {
		if !strings.Contains(m.Text, part) || !strings.Contains(shown, part) {
			t.Errorf("%s does not say %q in both forms:\n%s\n%s", kind, part, m.Text, shown)
		}
	}
}

// wantLinks fails the test if a link leads away from the portal, or stands in one form alone.
func wantLinks(t *testing.T, kind db.MessageKind, m mailtest.Mail) {
	t.Helper()
	links := address.FindAllString(m.Text, -1)
	for _, found := range href.FindAllStringSubmatch(m.HTML, -1) {
		if !slices.Contains(links, found[1]) {
			t.Errorf("%s links to %s in HTML alone", kind, found[1])
		}
	}
	for _, link := range links {
		if link = strings.TrimRight(link, "."); link != portalURL && (!strings.HasPrefix(link, portalURL+"/") || !strings.Contains(m.HTML, link)) {
			t.Errorf("%s leads to %s, or in plain text alone", kind, link)
		}
	}
}

var messageID = regexp.MustCompile(`^<[0-9.]+@vendor\.example>$`)

// wantHead fails the test if the head of a mail tells more than it must, or less.
func wantHead(t *testing.T, kind db.MessageKind, reader db.User, m mailtest.Mail, machine string) {
	t.Helper()
	for name, values := range m.Header {
		if len(values) != 1 {
			t.Errorf("%s has %d headers %s", kind, len(values), name)
		}
		if slices.Contains(words.FindAllString(values[0], -1), machine) {
			t.Errorf("%s tells the name of this machine: %s: %s", kind, name, values[0])
		}
		if name != "To" && (reader.Name != "" && strings.Contains(values[0], reader.Name) || strings.Contains(values[0], "192.0.2.7")) {
			t.Errorf("%s tells in its head what belongs in its text: %s: %s", kind, name, values[0])
		}
	}
	if m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("To") != "<"+reader.Email+">" || m.Header.Get("From") != from.String() ||
		!messageID.MatchString(m.Header.Get("Message-Id")) {
		t.Errorf("%s has the headers %v", kind, m.Header)
	}
	if sent, err := m.Header.Date(); err != nil || time.Since(sent) > time.Hour {
		t.Errorf("%s is dated %v, %v", kind, sent, err)
	}
}

func TestEveryLinkInAMailWorks(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		f := o.family(t)
		o.update(t, func(tx *db.Tx) error { return tx.SetPendingEmail(t.Context(), f.ann.ID, "fresh@acme.example") })
		w := o.work(t, sender(t, o.sink.Addr))
		for i, test := range []struct {
			kind    db.MessageKind
			path    string
			purpose db.Purpose
			says    string
		}{
			{db.MessageRecovery, "/reset-password/", db.PurposeReset, "The link works for 60 minutes, until 20 November 2026, 14:00 CET,"},
			{db.MessageReset, "/reset-password/", db.PurposeReset, "The link works for 60 minutes, until 20 November 2026, 14:00 CET,"},
			{db.MessageInvitation, "/invitation/", db.PurposeInvitation, "The link works for 7 days, until 27 November 2026, 13:00 CET."},
			{db.MessageVerifyEmail, "/verify-email/", db.PurposeVerifyEmail, "The link works for 1 day, until 21 November 2026, 13:00 CET."},
		} {
			message, _ := f.of(test.kind)
			o.enqueue(t, message)
			o.settle(t, w)
			m := o.sink.Mails()[i]
			link := m.Link(t, test.path)
			if !o.opens(t, test.purpose, link) || !strings.Contains(m.HTML, `href="`+link+`"`) {
				t.Errorf("the link of %s does not work, or stands in one form alone", test.kind)
			}
			if !strings.Contains(m.Text, test.says) || !strings.Contains(read(m.HTML), test.says) {
				t.Errorf("%s does not say %q:\n%s", test.kind, test.says, m.Text)
			}
			for _, other := range []db.Purpose{db.PurposeReset, db.PurposeInvitation, db.PurposeVerifyEmail, db.PurposeNotMe} {
				if other != test.purpose && o.opens(t, other, link) { // A16
					t.Errorf("the link of %s works for %s, too", test.kind, other)
				}
			}
		}
	})
}

func TestALinksLifetimeRunsFromItsSending(t *testing.T) { // A11
	each(t, func(t *testing.T, o *office) {
		o.set(t, "recovery.link_minutes", "5")
		o.enqueue(t, recovery(o.ann(t).Email))
		o.clock.Advance(20 * time.Minute)
		o.settle(t, o.work(t, sender(t, o.sink.Addr)))
		m := o.sink.Mails()[0]
		link := m.Link(t, "/reset-password/")
		if says := "The link works for 5 minutes, until 20 November 2026, 13:25 CET,"; !strings.Contains(m.Text, says) {
			t.Errorf("the mail does not say %q:\n%s", says, m.Text)
		}
		o.clock.Advance(5*time.Minute - time.Millisecond)
		if !o.opens(t, db.PurposeReset, link) {
			t.Error("the link is dead before its time")
		}
		o.clock.Advance(time.Millisecond)
		if o.opens(t, db.PurposeReset, link) {
			t.Error("the link works for longer than the mail says")
		}
	})
}

func TestWhoGetsNoLinkReadsWhyAndWhomToTurnTo(t *testing.T) { // A19
	each(t, func(t *testing.T, o *office) {
		f := o.family(t)
		o.set(t, "recovery.require_prior_sign_in", "true")
		o.set(t, "support.phone", "+49 30 1234567")
		o.update(t, func(tx *db.Tx) error {
			if err := tx.CloseUser(t.Context(), f.reporter.ID); err != nil {
				return err
			}
			if err := tx.RecordSignIn(t.Context(), f.chief.ID); err != nil {
				return err
			}
			return tx.SetActive(t.Context(), f.invited.ID, false)
		})
		w := o.work(t, sender(t, o.sink.Addr))
		for i, test := range []struct {
			user db.User
			says string
		}{
			{f.ann, "possible only for those who have signed in before"},
			{f.reporter, "your account is shut since somebody said “this was not me”"},
			{f.invited, "your access to the portal is switched off"},
		} {
			o.enqueue(t, recovery(test.user.Email))
			o.settle(t, w)
			m := o.sink.Mails()[i]
			for _, part := range []string{test.says, "Administrator: Chief Chen, chief@acme.example", "Your contact: Carla Contact, carla@vendor.example",
				"Support: +49 30 1234567"} {
				if !strings.Contains(m.Text, part) || !strings.Contains(read(m.HTML), part) {
					t.Errorf("%s does not read %q:\n%s", test.user.Name, part, m.Text)
				}
			}
			if m.To != test.user.Email || m.Subject != "Password change request" || strings.Contains(m.Text+m.HTML, portalURL+"/") {
				t.Errorf("%s was mailed %q at %s, with a link", test.user.Name, m.Subject, m.To)
			}
		}
		o.enqueue(t, recovery(f.chief.Email))
		o.settle(t, w)
		o.sink.Mails()[3].Link(t, "/reset-password/")
		if n := o.count(t, "link"); n != 1 {
			t.Errorf("%d links are open for the only one who got one", n)
		}
	})
}

// F1, G1
func TestANameIsNeverALinkNorAHeaderInAMail(t *testing.T) {
	o := newOffice(t, db.SQLite)
	w := o.work(t, sender(t, o.sink.Addr))
	for i, name := range []string{"Eve\r\nBcc: eve@evil.example\r\n\r\nhttp://evil.example/", `<a href="//evil.example">x</a>"><img src=//evil.example>`,
		"{{.}} www.evil.example ${x} %s", "." + strings.Repeat("ü", 98) + "."} {
		u := o.user(t, db.User{Email: "u" + strconv.Itoa(i) + "@acme.test", Name: name, PasswordHash: "set"})
		o.enqueue(t, recovery(u.Email))
		o.settle(t, w)
		m := o.sink.Mails()[i]
		if m.To != u.Email || m.Subject != "Password change request" || len(m.Header["Bcc"]) > 0 {
			t.Errorf("%q changed the head of the mail: %v", name, m.Header)
		}
		for _, form := range []string{m.Text, m.HTML} {
			if strings.Contains(form, "evil.example") || strings.Contains(form, "eve@") || strings.Contains(m.HTML, "<img") {
				t.Errorf("%q is live in the mail:\n%s", name, form)
			}
		}
		if !strings.HasPrefix(m.Text, "Hello ") || strings.Contains(m.HTML, "%!") {
			t.Errorf("%q spoils the mail:\n%s", name, m.Text)
		}
		m.Link(t, "/reset-password/")
	}
}

func TestTheWordsOfThePortalArriveAsTheyWereWritten(t *testing.T) {
	o := newOffice(t, db.SQLite)
	o.set(t, "portal.name", `<b>Müller & Söhne</b> "Portal" <script>alert(1)</script>`)
	o.set(t, "recovery.mail_subject", "Paßwort ändern – für Ihr Konto bei Müller & Söhne, einem Haus mit langem Namen 株式会社")
	o.set(t, "recovery.mail_link_text", "Ja, ich <war> es & will es so.")
	o.set(t, "support.email", "help@vendor.example")
	o.set(t, "support.url", "https://help.vendor.example/a?b=1&c=2")
	o.enqueue(t, recovery(o.ann(t).Email))
	o.settle(t, o.work(t, sender(t, o.sink.Addr)))
	m := o.sink.Mails()[0]
	if m.Subject != "Paßwort ändern – für Ihr Konto bei Müller & Söhne, einem Haus mit langem Namen 株式会社" {
		t.Errorf("the subject arrives as %q", m.Subject)
	}
	shown := read(m.HTML)
	for _, part := range []string{"Ja, ich <war> es & will es so.", "Questions? help@vendor.example, https://help.vendor.example/a?b=1&c=2"} {
		if !strings.Contains(shown, part) {
			t.Errorf("the mail does not show %q: %s", part, shown)
		}
	}
	if !strings.Contains(shown, `<b>Müller & Söhne</b> "Portal" <script>alert(1)</script>`) || strings.Contains(m.HTML, "<script") || strings.Contains(m.HTML, "<b>") {
		t.Errorf("the name of the portal is not shown as text: %s", shown)
	}
	if !strings.Contains(m.Text, "\n-- \nYou get this mail because ") {
		t.Errorf("mail programs do not see where the mail ends and its foot begins:\n%q", m.Text)
	}
}
