package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/handlers"
	"postern/internal/account"
	"postern/internal/directory"
	"postern/internal/password"
	"postern/internal/portaltest"
)

func TestOneRequestNeverMailsTwoPeople(t *testing.T) { // A1, A2, G1, G2
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		person(t, p, directory.NewUser{Email: "kim@acme.example"})
		person(t, p, directory.NewUser{Email: "eve@evil.example"})
		const ann, eve = "ann%40acme.example", "eve%40evil.example"
		for name, c := range map[string]struct {
			kind, body string
			status     int
		}{
			"twice":              {"", "email=" + ann + "&email=" + eve, 400},
			"twice, the same":    {"", "email=" + ann + "&email=" + ann, 400},
			"an array":           {"", "email[]=" + ann + "&email[]=" + eve, 400},
			"an array of one":    {"", "email[]=" + ann, 422},
			"numbered":           {"", "email[0]=" + ann + "&email[1]=" + eve, 422},
			"JSON":               {"application/json", `{"email":["ann@acme.example","eve@evil.example"]}`, 400},
			"text":               {"text/plain", "email=" + ann, 400},
			"many parts":         {"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=email\r\n\r\nann@acme.example\r\n--x--", 400},
			"no type":            {"-", "email=" + ann, 422},
			"commas":             {"", "email=" + ann + "," + eve, 422},
			"semicolons":         {"", "email=" + ann + ";" + eve, 400},
			"a line":             {"", "email=" + ann + "%0d%0aBcc:" + eve, 422},
			"a tab":              {"", "email=" + ann + "%09" + eve, 422},
			"a name":             {"", "email=Ann+%3C" + ann + "%3E", 422},
			"a group":            {"", "email=group:" + ann + "%3B", 422},
			"quoted":             {"", "email=%22ann%22%40acme.example", 422},
			"a comment":          {"", "email=" + ann + "+(x)", 422},
			"a dotted capital I": {"", "email=k%C4%B0m%40acme.example", 422},
			"a Kelvin sign":      {"", "email=%E2%84%AAim%40acme.example", 422},
			"a dotless i":        {"", "email=k%C4%B1m%40acme.example", 422},
			"wide letters":       {"", "email=%EF%BD%81nn%40acme.example", 422},
			"a zero":             {"", "email=" + ann + "%00" + eve, 400},
			"not UTF-8":          {"", "email=" + ann + "%ff", 400},
			"not encoded":        {"", "email=%zz", 400},
			"a domain literal":   {"", "email=ann%40[127.0.0.1]", 422},
			"a long part":        {"", "email=" + strings.Repeat("a", 300) + "%40acme.example", 422},
		} {
			b := p.Browser(t, "192.0.2.1")
			request := b.Request(http.MethodPost, "/forgot-password", c.body)
			if c.kind == "-" {
				request.Header.Del("Content-Type")
			} else if c.kind != "" {
				request.Header.Set("Content-Type", c.kind)
			}
			if page := b.Do(request); page.Status != c.status {
				t.Errorf("%s: %s instead of %d", name, met(page), c.status)
			}
		}
		if mails := p.Mails(t); len(mails) > 0 {
			t.Errorf("%d mails were sent, the first to %s", len(mails), mails[0].To)
		}
		b := p.Browser(t, "192.0.2.1")
		b.Post("/forgot-password", "email", " KIM@Acme.Example ").WantTo("/forgot-password/sent")
		if m := p.Mail(t); m.To != "kim@acme.example" {
			t.Errorf("mailed is %s, not the stored address", m.To)
		}
	})
}

func TestALongPasswordIsRefusedBeforeItIsHashed(t *testing.T) { // B9
	t.Parallel()
	p := onSQLite(t)
	ann := newAnn(t, p)
	// This one cannot hash at all: whoever gets as far as hashing meets an error.
	handler := secondServer(p, func(s *handlers.Server) {
		s.Account = &account.Service{DB: p.DB, Settings: p.Settings, Hasher: new(password.Hasher), Judge: p.Account.Judge,
			Throttle: p.Account.Throttle, Host: p.Account.Host, Key: p.Account.Key, Log: p.Account.Log,
			MailQueued: p.Worker.Wake}
	})
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	v := newVisitor(t, p.URL, wire{handler, "192.0.2.1:1"})
	v.header.Set("Cookie", "postern="+b.Cookie("postern")+"; postern-link="+resetLink(t, p, ann))
	stranger := newVisitor(t, p.URL, wire{handler, "192.0.2.2:1"})
	for _, size := range []int{10 << 20, 1 << 20, 70 << 10, 30 << 10, 1025, 257, 20} {
		status, long := http.StatusUnprocessableEntity, "Aa1!"+strings.Repeat("x", size-4)
		switch {
		case size > 64<<10:
			status = http.StatusRequestEntityTooLarge
		case size == 20: // the only one that may be hashed
			status = http.StatusInternalServerError
			long = "Quiet-Harbour-42-Lan"
		}
		for name, page := range map[string]exchange{
			"sign-in":          stranger.post("/sign-in", "login", "ann", "password", long),
			"unknown sign-in":  stranger.post("/sign-in", "login", fmt.Sprint("nobody", size), "password", long),
			"proof":            v.post("/reauthenticate", "password", long),
			"present password": v.post("/account/password", "current_password", long, "password", portaltest.Another, "confirm", portaltest.Another),
			"reset":            v.post("/reset-password", "password", long, "confirm", long),
		} {
			if page.status != status && (page.status != http.StatusTooManyRequests || size == 20) {
				t.Errorf("%s with %d bytes: %d instead of %d", name, size, page.status, status)
			}
		}
		p.Clock.Advance(2 * time.Minute)
	}
}

func TestCredentialsInTheAddressAreNotTaken(t *testing.T) { // B12
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	query := "?login=ann&password=" + portaltest.Password + "&email=ann%40acme.example"
	page := b.Do(b.Request(http.MethodPost, "/sign-in"+query, "")).Want(http.StatusUnprocessableEntity)
	if input(t, page.Body, "login").attributes["value"] != "" || b.Cookie("postern") != "" {
		t.Errorf("the address was read: %s", page.Body)
	}
	b.Do(b.Request(http.MethodPost, "/forgot-password"+query, "")).Want(http.StatusUnprocessableEntity)
	b.Do(b.Request(http.MethodPost, "/sign-in"+query, "login=ann&password=x")).Want(http.StatusBadRequest)
	b.Do(b.Request(http.MethodPost, "/sign-in?password=x", "login=ann&password="+portaltest.Password)).Want(http.StatusBadRequest)
	b.Get("/sign-in"+query).Want(http.StatusOK, "Sign in")
	b.Get("/sign-in?next=/account&next=/account/security").Want(http.StatusBadRequest)
	b.Get("/sign-in?a=%00").Want(http.StatusBadRequest)
	b.Get("/sign-in?a=%ff").Want(http.StatusBadRequest)
	if strings.Contains(p.Log.String(), portaltest.Password) || len(p.Mails(t)) > 0 {
		t.Error("the password is in the log, or a mail was sent")
	}
}

func TestNoPatternMatchesAnAccount(t *testing.T) { // B15, B16
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		p.User(t, directory.NewUser{Email: "ida@acme.example", Username: "ida", Invite: true})
		p.Mails(t)
		var from addresses
		for i, login := range []string{"%", "_nn", "ann%", "' OR 1=1--", `ann\`, "ann'--", "ann@acme.example' OR 'a'='a", "*", "a?n", "ida", "ida@acme.example", "0", "",
			"ann\u200b", "\u0430nn", "ann@acme.example@acme.example", "ANN\u0301", strings.Repeat("ann", 1000)} {
			b := p.Browser(t, from.next())
			typed := portaltest.Password
			if strings.HasPrefix(login, "ida") {
				typed = "" // there is none
			}
			if page := b.Post("/sign-in", "login", login, "password", typed); page.Status != http.StatusUnprocessableEntity {
				t.Errorf("%d, login %.40q: %s", i, login, met(page))
			}
			if page := b.Post("/forgot-password", "email", login); page.Status != http.StatusUnprocessableEntity && login != "ida@acme.example" &&
				!(strings.Contains(login, "'") && page.Status == http.StatusSeeOther) {
				t.Errorf("%d, e-mail %.40q: %s", i, login, met(page))
			}
		}
		for _, m := range p.Mails(t) {
			if m.To != "ida@acme.example" {
				t.Errorf("%s got the mail %q", m.To, m.Subject)
			}
		}
	})
}

func TestTooManyFieldsAreRefused(t *testing.T) { // E15
	t.Parallel()
	p := onSQLite(t)
	b := p.Browser(t, "192.0.2.1")
	var many strings.Builder
	for i := range 10002 {
		fmt.Fprintf(&many, "a%d&", i)
	}
	b.Do(b.Request(http.MethodPost, "/forgot-password", many.String()+"email=ann%40acme.example")).Want(http.StatusBadRequest)
	b.Do(b.Request(http.MethodGet, "/sign-in?"+many.String(), "")).Want(http.StatusBadRequest)
	b.Do(b.Request(http.MethodGet, "/sign-in?"+strings.Repeat("a", 60<<10), "")).Want(http.StatusOK)
}

func TestACompressedFormIsNeverUnpacked(t *testing.T) { // E16
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	for _, encoding := range []string{"gzip", "deflate", "br", "zstd", "identity", "GZIP, gzip"} {
		request := b.Request(http.MethodPost, "/sign-in", "login=ann&password="+portaltest.Password)
		request.Header.Set("Content-Encoding", encoding)
		b.Do(request).Want(http.StatusUnsupportedMediaType)
	}
	if b.Cookie("postern") != "" {
		t.Error("it was read all the same")
	}
}

// columns are those of the users' table.
func columns(t *testing.T, p *portaltest.Portal) []string {
	t.Helper()
	found, err := database(t, p).Query(`SELECT * FROM user_account`)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	names, err := found.Columns()
	if err != nil || found.Err() != nil {
		t.Fatal(err, found.Err())
	}
	return names
}

func TestNobodyPromotesThemselvesWithAFormField(t *testing.T) { // F7
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		p.Organization(t, "Acme")
		ann := person(t, p, directory.NewUser{Email: "ann@acme.example", Username: "ann", Name: "Ann Smith", Organization: "Acme"})
		bob := person(t, p, directory.NewUser{Email: "bob@acme.example", Name: "Bob Jones"})
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		ann, bob = p.Reload(t, ann), p.Reload(t, bob)
		extra := []string{"role.id", "owner", "Role", "owner", "permissions", "users.edit", "is_admin", "true", "user", "2", "session_id", "1"}
		for _, column := range columns(t, p) {
			if !slices.Contains([]string{"name", "phone", "time_zone", "notify_sign_in", "email", "username"}, column) {
				extra = append(extra, column, map[string]string{"role": "owner", "id": fmt.Sprint(bob.ID), "email_folded": "eve@evil.example"}[column]+"1")
			}
		}
		b.Post("/account/profile", append(extra, "name", "Ann Smith", "phone", "", "time_zone", "UTC", "email", "eve@evil.example", "username", "eve")...).
			WantTo("/account/profile")
		wantUnchanged(t, p, ann, bob)
		b.Post("/account/email", append(extra, "email", "ann.new@acme.example", "name", "Eve", "username", "eve")...).WantTo("/account/security")
		ann.PendingEmail = "ann.new@acme.example"
		wantUnchanged(t, p, ann, bob)
		b.Post("/account/email/cancel", extra...).WantTo("/account/security")
		ann.PendingEmail = ""
		wantUnchanged(t, p, ann, bob)
	})
}

func TestNobodyIsPromotedWithAFormFieldOfTheAdministration(t *testing.T) { // F7
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		o := newOffice(t, p)
		ann, bea := p.Reload(t, o.ann), p.Reload(t, o.bea)
		extra := []string{"role.id", "owner", "Role", "owner", "permissions", "users.edit", "permissions", "settings.edit", "user", "2", "scope", "everybody"}
		for _, column := range columns(t, p) {
			if !slices.Contains([]string{"name", "email", "username", "role"}, column) {
				extra = append(extra, column, map[string]string{"organization_id": fmt.Sprint(o.umbra), "id": fmt.Sprint(bea.ID)}[column]+"1")
			}
		}
		o.boss.Post(userPage(ann), append(extra, "name", "Ann Smith")...).WantTo(userPage(ann))
		o.boss.Post(userPage(ann)+"/revoke-links", append(extra, "name", "Eve", "email", "eve@evil.example", "username", "eve", "role", "owner")...).WantTo(userPage(ann))
		wantUnchanged(t, p, ann, bea)
		for _, body := range []string{"name=a&name=b", "role=customer&role=owner", "name=a%00", "permissions=a&permissions=%ff", "name=%zz", "role=customer;role=owner"} {
			o.boss.Do(o.boss.Request(http.MethodPost, userPage(ann), body)).Want(http.StatusBadRequest)
		}
		o.boss.Do(o.boss.Request(http.MethodPost, userPage(ann)+"?name=Eve", "name=Eve")).Want(http.StatusBadRequest)
		o.boss.Do(o.boss.Request(http.MethodPost, userPage(ann)+"?role=owner&name=Eve", "")).WantTo(userPage(ann))
		wantUnchanged(t, p, ann, bea)
	})
}

func wantUnchanged(t *testing.T, p *portaltest.Portal, users ...db.User) {
	t.Helper()
	for _, u := range users {
		if now := p.Reload(t, u); fmt.Sprint(now) != fmt.Sprint(u) {
			t.Errorf("the user is\n%+v instead of\n%+v", now, u)
		}
	}
}

func TestALineOfTheLogIsOneObject(t *testing.T) { // F8
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	handler := secondServer(p, func(*handlers.Server) {})
	nasty := "x\"}\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\r\n\x1b[31m\x00\u2028\xff"
	for _, path := range []string{"/sign-in", "/forgot-password", "/reset-password/x"} {
		form := url.Values{"login": {nasty[:40]}, "email": {"a\nb@c.example"}, "password": {"x"}}.Encode()
		request := httptest.NewRequest(http.MethodPost, p.URL+path, strings.NewReader(form))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header["User-Agent"] = []string{nasty}
		request.Header["X-Forwarded-For"] = []string{nasty}
		request.Header["Referer"] = []string{nasty}
		answerOf(handler, request)
		request.Host = "evil\n{\"msg\":\"forged\"}\x1b[31m" + strings.Repeat("h", 5000)
		answerOf(handler, request)
	}
	b := p.Browser(t, "192.0.2.1")
	request := b.Request(http.MethodPost, "/sign-in", "login=ann&password="+portaltest.Password)
	request.Header.Set("User-Agent", strings.Repeat("ü", 3000)+"\xff")
	b.Do(request).WantTo("/account")
	for line := range strings.Lines(p.Log.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry["msg"] == "forged" || len(line) > 2000 {
			t.Errorf("a line of the log is %.300q: %v", line, err)
		}
		if strings.Contains(line, `\u001b`) {
			t.Errorf("a line of the log can paint the terminal: %.300q", line)
		}
	}
}

func TestADeceptiveNameIsRefused(t *testing.T) { // F9
	t.Parallel()
	p := onSQLite(t)
	ann := newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	for _, name := range []string{"Ann\u202eexe", "Ann\u2066x\u2069", "Ann\u200bSmith", "\u200b", "Ann\u2060", "Ann\ufeff", "Ann\u0007", "Ann\u200eSmith",
		"\u00a0", "\t"} {
		b.Post("/account/profile", "name", name, "phone", "", "time_zone", "UTC").Want(http.StatusUnprocessableEntity)
	}
	for _, name := range []string{"Zoë Müller-Lüdenscheidt", "李小龍", "Ольга", "O’Brien", "محمد", "Nguyễn Văn A"} {
		b.Post("/account/profile", "name", name, "phone", "", "time_zone", "UTC").WantTo("/account/profile")
		if got := p.Reload(t, ann).Name; got != name {
			t.Errorf("the name is %q instead of %q", got, name)
		}
	}
}

func TestHugeTextIsRefusedCheaply(t *testing.T) { // F10, D15
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		for name, text := range map[string]string{"marks": "a" + strings.Repeat("\u0301", 10000), "letters": strings.Repeat("a", 10<<10), "one too many": strings.Repeat("ü", 101)} {
			page := b.Post("/account/profile", "name", text, "phone", "", "time_zone", "UTC")
			if page.Status != http.StatusUnprocessableEntity || !strings.Contains(page.Text(), "Use 100 characters at most.") {
				t.Errorf("%s: %s", name, met(page))
			}
			for path, field := range map[string]string{"/account/email": "email", "/account/username": "username", "/account/profile": "phone"} {
				if page := b.Post(path, field, text, "name", "Ann"); page.Status != http.StatusUnprocessableEntity {
					t.Errorf("%s as %s: %s", name, field, met(page))
				}
			}
		}
		request := b.Request(http.MethodPost, "/account/profile", url.Values{"name": {strings.Repeat("a\u0301", 100000)}}.Encode())
		handler := secondServer(p, func(*handlers.Server) {})
		request.RemoteAddr = "192.0.2.1:1"
		if got := answerOf(handler, request).StatusCode; got != http.StatusRequestEntityTooLarge {
			t.Errorf("100,000 marks: %d", got)
		}
		if got := p.Reload(t, ann).Name; got != "Ann Smith" {
			t.Errorf("the name is %.40q", got)
		}
		b.Post("/account/profile", "name", strings.Repeat("ü", 100), "phone", "", "time_zone", "UTC").WantTo("/account/profile")
	})
}

func TestADifferentProgramReadsTheSameForm(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	for _, body := range []string{"name=a&name=b", "name=a&phone=1&phone=2", "name=%zz", "name=a;phone=1", "a%00b=1", "%ff=1"} {
		request := b.Request(http.MethodPost, "/account/profile", body)
		b.Do(request).Want(http.StatusBadRequest)
	}
	b.Do(b.Request(http.MethodPost, "/account/profile?name=Eve", "name=Eve&phone=&time_zone=UTC")).Want(http.StatusBadRequest)
	b.Get("/account").Want(http.StatusOK, "Ann Smith")
}
