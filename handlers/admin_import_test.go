package handlers_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/internal/access"
	"postern/internal/directory"
	"postern/internal/portaltest"
)

// sendFile sends the form of the import page; fields alternate names and values, and go
// before or after the file.
func sendFile(t testing.TB, b *portaltest.Browser, file string, before, after []string) portaltest.Page {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	fields := func(all []string) {
		for i := 0; i < len(all); i += 2 {
			if err := form.WriteField(all[i], all[i+1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	fields(before)
	part, err := form.CreateFormFile("file", "users.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write([]byte(file)); err != nil {
		t.Fatal(err)
	}
	fields(after)
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Do(uploadRequest(b, body.String(), form.FormDataContentType()))
}

func uploadRequest(b *portaltest.Browser, body, contentType string) *http.Request {
	request := b.Request(http.MethodPost, "/admin/import", body)
	request.Header.Set("Content-Type", contentType)
	return request
}

func owner(t testing.TB, p *portaltest.Portal) (*portaltest.Browser, db.User) {
	t.Helper()
	return p.Staff(t, directory.NewUser{Email: "olive@vendor.example", Name: "Olive Owner", Role: access.RoleOwner})
}

func count(t testing.TB, p *portaltest.Portal) int {
	t.Helper()
	n, err := p.DB.Reader().CountUsers(t.Context(), db.UserFilter{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAFileOnThePageIsCheckedFirstAndThenImported(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b, _ := owner(t, p)
		page := b.Get("/admin/import").Want(http.StatusOK, "Import users", "Up to 5000 rows", "It is all or nothing")
		if !strings.Contains(page.Body, `name="dry_run" value="true" checked`) || !strings.Contains(page.Body, `enctype="multipart/form-data"`) {
			t.Errorf("the form is %s", page.Body)
		}
		file := "email,name,organization\nann@acme.example,Ann,Acme\nbob@acme.example,=1+1,Acme\n"
		page = b.Follow(sendFile(t, b, file, nil, []string{"dry_run", "true", "invite", "true"}).WantTo("/admin/import")).
			Want(http.StatusOK, "All rows are right: 2 users and 1 new organization would be made, and 2 invitations mailed. Nothing was changed.", `role="status"`)
		if !strings.Contains(page.Body, `name="invite" value="true" checked`) {
			t.Error("checked with invitations, and about to be imported without")
		}
		if n := count(t, p); n != 1 || len(p.Mails(t)) != 0 {
			t.Errorf("%d users after a dry run", n)
		}
		if text := b.Get("/admin/import").Text(); strings.Contains(text, "All rows are right") {
			t.Error("the result stands there for ever")
		}
		b.Follow(sendFile(t, b, file, nil, []string{"invite", "true"}).WantTo("/admin/import")).
			Want(http.StatusOK, "2 users and 1 new organization were made. 2 invitations will be mailed")
		if n, mails := count(t, p), p.Mails(t); n != 3 || len(mails) != 2 {
			t.Errorf("%d users, %d mails", n, len(mails))
		}
		b.Get("/admin/users").Want(http.StatusOK, "=1+1")
		// The boxes count wherever they stand in the form.
		b.Follow(sendFile(t, b, "email,name\ncid@acme.example,Cid\n", []string{"dry_run", "true"}, nil)).Want(http.StatusOK, "Nothing was changed")
		if n := count(t, p); n != 3 {
			t.Errorf("%d users after a dry run", n)
		}
	})
}

func TestBadRowsStandOnThePageByTheirLines(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b, _ := owner(t, p)
		page := sendFile(t, b, "email,name,role\nann@@acme,Ann,\nOLIVE@vendor.example,Olive,\nx@acme.example,<b>X</b>,<i>emperor\n", nil, []string{"invite", "true"})
		page.Want(http.StatusUnprocessableEntity, "3 rows cannot be imported, so nothing was", "<title>Error: ", `role="alert"`,
			`<td data-label="Line">2</td>`, "email: Enter an e-mail address", "email: Another user has this address.", "role: There is no such role.",
			`name="invite" value="true" checked`)
		if strings.Contains(page.Body, "<i>") || strings.Contains(page.Body, `name="dry_run" value="true" checked`) {
			t.Errorf("the page is %s", page.Body)
		}
		many := sendFile(t, b, "email,name\n"+strings.Repeat("wrong,Ann\n", 1200), nil, nil)
		many.Want(http.StatusUnprocessableEntity, "1200 rows cannot be imported", "And 200 more rows.")
		if n := count(t, p); n != 1 {
			t.Errorf("%d users", n)
		}
	})
}

func TestAFileThatIsNoneIsRefusedBesideItsField(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	b, _ := owner(t, p)
	row := "ann@acme.example,Ann\n"
	for name, page := range map[string]portaltest.Page{
		"Choose a CSV file.":             b.Post("/admin/import", "dry_run", "true"),
		"The file has more than 5000":    sendFile(t, b, "email,name\n"+strings.Repeat(row, 5001), nil, nil),
		"Choose a CSV  file.":            b.Do(uploadRequest(b, "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\n\r\n\r\n--x--\r\n", "multipart/form-data; boundary=x")),
		"The file has more than 5000 ro": sendFile(t, b, "email,name\n"+strings.Repeat(row, 100000), nil, []string{"dry_run", "true"}),
	} {
		page.Want(http.StatusUnprocessableEntity, strings.ReplaceAll(name, "  ", " "), `aria-invalid="true"`, `id="file-error"`)
	}
	sendFile(t, b, "", nil, nil).Want(http.StatusUnprocessableEntity, "The file holds no users.")
	for name, want := range map[string]struct {
		page   portaltest.Page
		status int
	}{
		"over 16 MiB":          {sendFile(t, b, "email,name\nann@acme.example,"+strings.Repeat("\n", 17<<20), nil, nil), http.StatusRequestEntityTooLarge},
		"cut off":              {b.Do(uploadRequest(b, "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nemail,name\r\n"+row, "multipart/form-data; boundary=x")), http.StatusBadRequest},
		"a box twice":          {sendFile(t, b, "email,name\n"+row, []string{"invite", "true"}, []string{"invite", "true"}), http.StatusBadRequest},
		"a box of another":     {sendFile(t, b, "email,name\n"+row, []string{"dry_run", "maybe"}, nil), http.StatusBadRequest},
		"no boundary":          {b.Do(uploadRequest(b, "x", "multipart/form-data")), http.StatusBadRequest},
		"a long box":           {sendFile(t, b, "email,name\n"+row, []string{"invite", strings.Repeat("x", 70000)}, nil), http.StatusRequestEntityTooLarge},
		"a file fromElsewhere": {b.Do(fromElsewhere(b)), http.StatusBadRequest},
		"a big plain form":     {b.Post("/admin/import", "dry_run", strings.Repeat("x", 70000)), http.StatusRequestEntityTooLarge},
		"from another site":    {foreign(b, "email,name\n"+row), http.StatusForbidden},
	} {
		if want.page.Status != want.status {
			t.Errorf("%s: %d %s", name, want.page.Status, want.page.Text())
		}
	}
	if n := count(t, p); n != 1 {
		t.Errorf("%d users", n)
	}
	// Nothing is left that would stand in the way of the next one.
	sendFile(t, b, "email,name\n"+row, nil, nil).WantTo("/admin/import")
	if n := count(t, p); n != 2 {
		t.Errorf("%d users", n)
	}
}

func fromElsewhere(b *portaltest.Browser) *http.Request {
	request := b.Request(http.MethodPost, "/admin/users", "--x--\r\n")
	request.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	return request
}

func foreign(b *portaltest.Browser, file string) portaltest.Page {
	request := uploadRequest(b, "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n"+file+"\r\n--x--\r\n", "multipart/form-data; boundary=x")
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	request.Header.Set("Origin", "https://evil.example")
	return b.Do(request)
}

// The page takes a full file within the time that a browser waits.
func TestThePageTakesFiveThousandRows(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b, _ := owner(t, p)
		var file strings.Builder
		file.WriteString("email,name,organization\n")
		for k := range 5000 {
			fmt.Fprintf(&file, "u%d@acme.example,User %d,Org %d\n", k, k, k%50)
		}
		began := time.Now()
		b.Follow(sendFile(t, b, file.String(), nil, nil).WantTo("/admin/import")).Want(http.StatusOK, "5000 users and 50 new organizations were made.")
		if took := time.Since(began); took > 20*time.Second || count(t, p) != 5001 {
			t.Errorf("%d users after %v", count(t, p), took)
		}
	})
}

func TestOnlyWhoEditsEverybodyGetsToTheImport(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		p.Organization(t, "Acme")
		for _, form := range []directory.NewUser{{Email: "pa@acme.example", Organization: "Acme", Role: "portal_administrator"},
			{Email: "sup@vendor.example", Role: "support"}, {Email: "aud@vendor.example", Role: "auditor"}} {
			b, _ := p.Staff(t, form)
			p.Clock.Advance(11 * time.Minute) // not there, whatever proof could be given
			b.Get("/admin/import").Want(http.StatusNotFound)
			sendFile(t, b, "email,name\nx@acme.example,X\n", nil, nil).Want(http.StatusNotFound)
		}
		p.Browser(t, "192.0.2.1").Get("/admin/import").WantTo("/sign-in")
		sendFile(t, p.Browser(t, "192.0.2.1"), "email,name\nx@acme.example,X\n", nil, nil).WantTo("/sign-in")
	})
}

// A file does not survive being asked for proof, so it is asked before; and when that was
// too long ago, the page says what to do.
func TestProofIsAskedBeforeAFileIsChosen(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b, olive := owner(t, p)
		prove := func() portaltest.Page {
			return b.Follow(b.Post("/reauthenticate", "password", portaltest.Password, "code", p.Code(t, olive), "next", "/admin/import").WantTo("/admin/import"))
		}
		p.Clock.Advance(11 * time.Minute)
		b.Get("/admin/import").WantTo("/reauthenticate")
		if page := prove().Want(http.StatusOK, "Import users"); strings.Contains(page.Text(), "choose the file again") {
			t.Errorf("no file was chosen: %s", page.Text())
		}
		p.Clock.Advance(11 * time.Minute)
		// Larger than what a server reads of itself before it answers.
		sendFile(t, b, "email,name\nann@acme.example,Ann\n"+strings.Repeat("\n", 1<<20), nil, nil).WantTo("/reauthenticate")
		prove().Want(http.StatusOK, "choose the file again")
		if strings.Contains(b.Get("/admin/import").Text(), "choose the file again") {
			t.Error("it says so for ever")
		}
		if n := count(t, p); n != 1 {
			t.Errorf("%d users without proof", n)
		}
	})
}

func TestASecondImportAtTheSameTimeIsAskedToWait(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b, _ := owner(t, p)
		other, err := p.Directory.BeginImport(t.Context(), portaltest.Operator, directory.ImportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		sendFile(t, b, "email,name\nann@acme.example,Ann\n", nil, nil).Want(http.StatusUnprocessableEntity, "Another import is under way.")
		if err := other.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		sendFile(t, b, "email,name\nann@acme.example,Ann\n", nil, nil).WantTo("/admin/import")
	})
}
