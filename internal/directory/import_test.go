package directory_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/access"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/portaltest"
	"postern/internal/settings"
	"postern/internal/throttle"
)

// importAs imports a file, and closes the import in any case.
func importAs(t testing.TB, s *directory.Service, actor db.Actor, file string, invite, dryRun bool) (directory.ImportReport, error) {
	t.Helper()
	i, err := s.BeginImport(t.Context(), actor, directory.ImportOptions{})
	if err != nil {
		return directory.ImportReport{}, err
	}
	var report directory.ImportReport
	if err = i.Read(t.Context(), strings.NewReader(file)); err == nil {
		report, err = i.Finish(t.Context(), invite, dryRun)
	}
	if closed := i.Close(t.Context()); closed != nil {
		t.Fatal(closed)
	}
	return report, err
}

// imported imports a file that must be right.
func imported(t testing.TB, p *portaltest.Portal, file string, invite bool) directory.ImportReport {
	t.Helper()
	report, err := importAs(t, p.Directory, operator, file, invite, false)
	if err != nil || report.BadCount > 0 || report.Pending {
		t.Fatalf("%+v %v", report, err)
	}
	return report
}

// bad lists what is wrong as "line field problem limit".
func badRows(report directory.ImportReport) (lines []string) {
	for _, row := range report.Bad {
		for _, field := range row.Fields {
			line := strings.TrimSpace(fmt.Sprint(row.Line, " ", field.Name, " ", field.Problem, " ", strings.Join(field.Choices[:min(1, len(field.Choices))], "")))
			if field.Limit > 0 {
				line += " " + strconv.Itoa(field.Limit)
			}
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
	}
	return lines
}

// everybody is how many users and organizations there are, and that nothing of an import is
// left over.
func everybody(t testing.TB, p *portaltest.Portal) (users, organizations int) {
	t.Helper()
	all, err := p.DB.Reader().Users(t.Context(), 0, 10000)
	if err != nil {
		t.Fatal(err)
	}
	companies, err := p.DB.Reader().Organizations(t.Context(), 0, 10000)
	if err != nil {
		t.Fatal(err)
	}
	if _, n, err := p.DB.Reader().NextRows(t.Context(), 0, 10); err != nil || n != 0 {
		t.Errorf("%d rows are left over: %v", n, err)
	}
	if _, err := p.DB.Reader().Import(t.Context()); !errors.Is(err, db.ErrNotFound) {
		t.Errorf("an import is left over: %v", err)
	}
	return len(all), len(companies)
}

func userOf(t testing.TB, p *portaltest.Portal, email string) db.User {
	t.Helper()
	u, err := p.DB.Reader().UserByEmail(t.Context(), email)
	if err != nil {
		t.Fatalf("%s: %v", email, err)
	}
	return u
}

func eventsOf(t testing.TB, p *portaltest.Portal, action string) []db.StoredEvent {
	t.Helper()
	all, err := p.DB.Reader().Events(t.Context(), db.EventFilter{Action: action}, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func blowfish(t testing.TB, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func TestAFileBecomesUsersAndOrganizationsAsItSays(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		acme := p.Organization(t, "Acme GmbH")
		hash := blowfish(t, portaltest.Password)
		report := imported(t, p, "\ufeffName,Email , role,organization,username,password_hash\r\n"+
			"Ann  Smith,Ann@acme.example,,ACME gmbh,Ann.S,"+hash+"\r\n"+
			"\r\n"+
			"\"Bob\nMiller\",bob@bolt.example,portal_administrator,Bolt AG,,\r\n"+
			"=HYPERLINK(1),eve@bolt.example,customer,bolt ag,,\r\n"+
			"Sue Port,sue@vendor.example,support,,,", false)
		if report.Users != 4 || report.Organizations != 1 || report.Passwords != 1 || report.Invitations != 0 {
			t.Errorf("%+v", report)
		}
		if users, organizations := everybody(t, p); users != 4 || organizations != 2 {
			t.Errorf("there are %d users and %d organizations", users, organizations)
		}
		ann, bob, eve, sue := userOf(t, p, "ann@acme.example"), userOf(t, p, "bob@bolt.example"), userOf(t, p, "eve@bolt.example"), userOf(t, p, "sue@vendor.example")
		if ann.Name != "Ann Smith" || ann.Email != "Ann@acme.example" || ann.Username != "ann.s" || ann.OrganizationID != acme || ann.Status() != "active" ||
			ann.LastSignInAt != 0 || ann.InvitationAcceptedAt != 0 || ann.Role.ID != "customer" {
			t.Errorf("Ann is %+v", ann)
		}
		if bob.Name != "Bob Miller" || bob.Organization != "Bolt AG" || bob.Role.ID != "portal_administrator" || bob.Status() != "invited" || bob.Username != "" {
			t.Errorf("Bob is %+v", bob)
		}
		if eve.Name != "=HYPERLINK(1)" || eve.OrganizationID != bob.OrganizationID || sue.OrganizationID != 0 || sue.Role.ID != "support" {
			t.Errorf("Eve is %+v, Sue is %+v", eve, sue)
		}
		if mails := p.Mails(t); len(mails) != 0 {
			t.Errorf("%d mails came, though nobody was to be invited", len(mails))
		}
		done := eventsOf(t, p, "import.completed")
		if len(done) != 1 || done[0].Details()["users"] != "4" || done[0].Details()["organizations"] != "1" || done[0].ActorKind != "operator" {
			t.Errorf("the events are %+v", done)
		}
		for _, u := range []db.User{ann, bob, eve, sue} {
			one, err := p.DB.Reader().UserEvents(t.Context(), u.ID, 0, 10)
			if err != nil || len(one) != 1 || one[0].Action != "user.imported" || one[0].Details()["role"] != u.Role.ID || one[0].OrganizationID != u.OrganizationID {
				t.Errorf("of %s the trail says %+v %v", u.Email, one, err)
			}
		}
		if made := eventsOf(t, p, "organization.created"); len(made) != 2 || made[0].OrganizationID != bob.OrganizationID || made[0].Details()["name"] != "Bolt AG" {
			t.Errorf("the trail says %+v", made)
		}
	})
}

// An imported password lets its owner in, and is hashed anew; it does not count as signed in
// before.
func TestAnImportedPasswordOpensTheDoorAndIsHashedAnew(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		a, y := blowfish(t, portaltest.Password), strings.Replace(blowfish(t, portaltest.Password), "$2a$", "$2y$", 1)
		argon := "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$7h/0cbbB6OYN4pzqLpJPXKGZ5nsDR3pH0Ye4mN3FzVE" // of another password
		imported(t, p, "email,name,password_hash\nann@acme.example,Ann,"+a+"\nyves@acme.example,Yves,"+y+"\nzoe@acme.example,Zoe,\""+argon+"\"\n", false)
		for i, email := range []string{"ann@acme.example", "yves@acme.example"} {
			before := userOf(t, p, email)
			if reason, err := p.Directory.WhyNoReset(t.Context(), before); err != nil || reason != "" {
				t.Errorf("no reset link for %s: %s %v", email, reason, err)
			}
			p.Browser(t, "192.0.2."+strconv.Itoa(i+1)).SignIn(email, portaltest.Password)
			after := userOf(t, p, email)
			if !strings.HasPrefix(after.PasswordHash, "$argon2id$") || after.LastSignInAt == 0 {
				t.Errorf("%s has the hash %.12s after the sign-in", email, after.PasswordHash)
			}
		}
		p.Set(t, "recovery.require_prior_sign_in", "true")
		if reason, err := p.Directory.WhyNoReset(t.Context(), userOf(t, p, "zoe@acme.example")); err != nil || reason != directory.NoResetNever {
			t.Errorf("an imported password counts as signed in before: %q %v", reason, err)
		}
		p.Browser(t, "192.0.2.9").Post("/sign-in", "login", "zoe@acme.example", "password", portaltest.Password).Want(http.StatusUnprocessableEntity)
	})
}

func TestWhoBringsNoPasswordIsInvitedIfSoAsked(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		report := imported(t, p, "email,name,password_hash\nann@acme.example,Ann,"+blowfish(t, portaltest.Password)+"\nida@acme.example,Ida,\n", true)
		mail := p.Mail(t)
		if report.Invitations != 1 || mail.To != "ida@acme.example" || mail.Link(t, "/invitation/") == "" {
			t.Errorf("%+v, mail to %s", report, mail.To)
		}
		ida, invited := userOf(t, p, "ida@acme.example"), eventsOf(t, p, "user.invited")
		if len(invited) != 1 || invited[0].UserID != ida.ID {
			t.Errorf("the trail says %+v", invited)
		}
		if err := p.Directory.ResendInvitation(t.Context(), operator, ida.ID); err != nil {
			t.Errorf("it cannot be sent again: %v", err)
		}
	})
}

func TestEveryBadRowIsNamedByItsLineAndNothingIsMade(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		p.User(t, directory.NewUser{Email: "Taken@acme.example", Username: "taken", Invite: true})
		long := strings.Repeat("x", 101)
		rows := []struct{ row, want string }{
			{"good@acme.example,Good,good,Acme,,", ""},
			{",Nobody,,,,", "email missing"},
			{"ann@@acme,Ann,,,,", "email not_email"},
			{"a1@acme.example,,,,,", "name missing"},
			{"a2@acme.example," + long + ",,,,", "name too_long"},
			{"a3@acme.example,Ann\u202egnp,,,,", "name not_name"},
			{"a4@acme.example,Ann,A B,,,", "username not_username"},
			{"a5@acme.example,Ann,,,emperor,", "role no_such_role"},
			{"a6@acme.example,Ann,,,portal_administrator,", "organization needs_organization"},
			{"a7@acme.example,Ann,," + long + ",,", "organization too_long"},
			{"a8@acme.example,Ann,,,,secret", "password_hash not_hash"},
			{"b1@acme.example,Ann,,,,$2x$04$" + strings.Repeat("a", 53), "password_hash not_hash"},
			{"b2@acme.example,Ann,,,,$2a$31$" + strings.Repeat("a", 53), "password_hash not_hash"},
			{"b3@acme.example,Ann,,,,$2a$04$" + strings.Repeat("a", 54), "password_hash not_hash"},
			{`b4@acme.example,Ann,,,,"$argon2id$v=19$m=1048576,t=2,p=1$c29tZXNhbHRzb21l$AAAAAAAAAAAAAAAAAAAAAA"`, "password_hash not_hash"},
			{`b5@acme.example,Ann,,,,"$argon2id$v=19$m=19456,t=11,p=1$c29tZXNhbHRzb21l$AAAAAAAAAAAAAAAAAAAAAA"`, "password_hash not_hash"},
			{`b6@acme.example,Ann,,,,"$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21l$AAAAAAAAAAAAAAAAAAAAAA"`, "password_hash not_hash"},
			{"c1@acme.example,Ann", "wrong_count 6"},
			{"c2@acme.example,An\xffn,,,,", "not_text"},
			{"c3@acme.example,An\x00n,,,,", "not_text"},
			{`c4@acme.example,An"n,,,,`, "stray_quote"},
			{"GOOD@acme.example,Twice,,,,", "email email_twice 2"},
			{"d2@acme.example,Twice,Good,,,", "username username_twice 2"},
			{"taken@ACME.example,Taken,,,,", "email email_taken"},
			{"d4@acme.example,Taken,TAKEN,,,", "username username_taken"},
			{",,x,,,", "email missing"},
		}
		file, want := "email,name,username,organization,role,password_hash\n", []string{}
		for i, r := range rows {
			file += r.row + "\n"
			if r.want != "" {
				want = append(want, fmt.Sprint(i+2, " ", r.want))
			}
		}
		want = append(want, fmt.Sprint(len(rows)+1, " name missing"), fmt.Sprint(len(rows)+1, " username not_username"))
		slices.Sort(want)
		for _, dryRun := range []bool{true, false} {
			report, err := importAs(t, p.Directory, operator, file, true, dryRun)
			got := badRows(report)
			slices.Sort(got)
			if err != nil || report.BadCount != len(rows)-1 || !slices.Equal(got, want) {
				t.Errorf("%d bad rows, %v:\n%s\ninstead of\n%s", report.BadCount, err, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if !slices.IsSortedFunc(report.Bad, func(a, b directory.BadRow) int { return a.Line - b.Line }) {
				t.Error("they are not in the order of the file")
			}
			if users, organizations := everybody(t, p); users != 1 || organizations != 0 {
				t.Errorf("%d users and %d organizations were made", users-1, organizations)
			}
		}
	})
}

func TestALineBreakInAFieldDoesNotShiftTheLines(t *testing.T) {
	p := portaltest.New(t, db.SQLite)
	report, err := importAs(t, p.Directory, operator, "email,name\n\"a@acme.example\",\"Ann\n\nSmith\"\n\n\nwrong,Bob\n", false, false)
	if got := badRows(report); err != nil || !slices.Equal(got, []string{"7 email not_email"}) {
		t.Errorf("%q %v", got, err)
	}
}

func TestAFirstLineThatIsWrongIsRefusedWithTheReason(t *testing.T) {
	p := portaltest.New(t, db.SQLite)
	for file, want := range map[string][]string{
		"":                                   {"1 no_rows"},
		"email,name\n":                       {"1 no_rows"},
		"email\na@acme.example\n":            {"1 no_column name"},
		"name,email,Email\nx,y,z\n":          {"1 column_twice email"},
		"email,name,shoe size\n":             {"1 no_such_column shoe size"},
		"email;name\nann@acme.example;Ann\n": {"1 no_such_column email;name", "1 no_column email", "1 no_column name"},
		"\xff\xfee\x00m\x00":                 {"1 not_text"},
		"\"email,name\nann@acme.example,Ann": {"1 stray_quote"},
		strings.Repeat("email", 20000):       {"1 row_too_long"},
	} {
		report, err := importAs(t, p.Directory, operator, file, false, true)
		if got := badRows(report); err != nil || !slices.Equal(got, want) || report.BadCount != 1 {
			t.Errorf("%.30q: %q %v", file, got, err)
		}
	}
}

func TestAQuotationMarkThatIsNeverClosedDoesNotGatherTheWholeFile(t *testing.T) {
	p := portaltest.New(t, db.SQLite)
	file := "email,name\nann@acme.example,Ann\nbob@acme.example,\"Bob\n" + strings.Repeat("x@acme.example,Xaver\n", 10000)
	report, err := importAs(t, p.Directory, operator, file, false, true)
	if got := badRows(report); err != nil || !slices.Equal(got, []string{"3 row_too_long"}) {
		t.Errorf("%q %v", got, err)
	}
}

func TestADryRunTellsWhatWouldBeMadeAndMakesNothing(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		p.Organization(t, "Acme")
		file := "email,name,organization\nann@acme.example,Ann,acme\nbob@bolt.example,Bob,Bolt\neve@bolt.example,Eve,BOLT\n"
		report, err := importAs(t, p.Directory, operator, file, true, true)
		if err != nil || report.Users != 3 || report.Organizations != 1 || report.Invitations != 3 {
			t.Errorf("%+v %v", report, err)
		}
		if users, organizations := everybody(t, p); users != 0 || organizations != 1 || len(p.Mails(t)) != 0 || len(eventsOf(t, p, "import.completed")) != 0 {
			t.Errorf("%d users and %d organizations", users, organizations)
		}
		if real := imported(t, p, file, true); real.Users != report.Users || real.Organizations != report.Organizations || real.Invitations != report.Invitations {
			t.Errorf("%+v was promised, and %+v made", report, real)
		}
	})
}

func TestNobodyImportsWhatTheyMayNotMakeOneByOne(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		p.Organization(t, "Acme")
		role, err := p.Directory.CreateRole(t.Context(), operator, directory.NewRole{Name: "Editor", Scope: access.OverEverybody,
			Permissions: []string{"users.view", "users.edit"}})
		if err != nil {
			t.Fatal(err)
		}
		staff := func(form directory.NewUser) db.Actor {
			u := p.User(t, form)
			p.Enrol(t, u)
			return portaltest.Actor(u)
		}
		editor := staff(directory.NewUser{Email: "ed@vendor.example", Role: role})
		file := "email,name,organization,role\na@acme.example,A,Acme,owner\nb@acme.example,B,Acme,support\nc@acme.example,C,Bolt,\nd@acme.example,D,Acme," + role + "\n"
		report, err := importAs(t, p.Directory, editor, file, false, false)
		want := []string{"2 role role_beyond", "3 role role_beyond", "4 organization no_such_organization"}
		if got := badRows(report); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q %v", got, err)
		}
		if report, err := importAs(t, p.Directory, editor, "email,name,organization,role\nd@acme.example,D,Acme,"+role+"\n", false, false); err != nil || report.Users != 1 {
			t.Errorf("%+v %v", report, err)
		}
		if e := eventsOf(t, p, "user.imported"); len(e) != 1 || e[0].ActorID != editor.UserID || e[0].Address != editor.Address || e[0].RequestID != editor.RequestID {
			t.Errorf("the trail says %+v", e)
		}
		for _, actor := range []db.Actor{staff(directory.NewUser{Email: "pa@acme.example", Organization: "Acme", Role: "portal_administrator"}),
			staff(directory.NewUser{Email: "sup@vendor.example", Role: "support"}), staff(directory.NewUser{Email: "cus@acme.example"})} {
			if _, err := importAs(t, p.Directory, actor, "email,name\nx@acme.example,X\n", false, true); !errors.Is(err, directory.ErrNotAllowed) {
				t.Errorf("user %d: %v", actor.UserID, err)
			}
		}
	})
}

func TestAnImportedOwnerClosesTheSetUp(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		imported(t, p, "email,name,role,password_hash\nolive@vendor.example,Olive,owner,"+blowfish(t, portaltest.Password)+"\n", false)
		if _, err := p.DB.Reader().Fact(t.Context(), db.FactSetupClosed); err != nil {
			t.Errorf("the set-up is still open: %v", err)
		}
		if n, err := p.DB.Reader().ActiveOwners(t.Context()); err != nil || n != 1 {
			t.Errorf("%d owners %v", n, err)
		}
	})
}

// begun is an import that has read a file.
func begun(t testing.TB, p *portaltest.Portal, actor db.Actor, file string) *directory.Importing {
	t.Helper()
	i, err := p.Directory.BeginImport(t.Context(), actor, directory.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Read(t.Context(), strings.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	return i
}

func TestAUserMadeMeanwhileMakesTheImportFailWithTheLineNamed(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		file, made := "email,name,organization\n", 0
		for k := range 3000 {
			file += fmt.Sprintf("u%d@acme.example,User %d,Org %d\n", k, k, k%7)
		}
		// Made by somebody else while the rows of the first batches are users already.
		i, err := p.Directory.BeginImport(t.Context(), operator, directory.ImportOptions{
			Progress: func(step directory.ImportStep, done, _ int) {
				if step == directory.ImportMakes && done < 3000 && made == 0 {
					made = done
					p.User(t, directory.NewUser{Email: "U2999@acme.example", Invite: true})
				}
			}})
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Read(t.Context(), strings.NewReader(file)); err != nil {
			t.Fatal(err)
		}
		report, err := i.Finish(t.Context(), false, false)
		if got := badRows(report); err != nil || made == 0 || !slices.Equal(got, []string{"3001 email email_taken"}) {
			t.Errorf("after %d: %q %v", made, got, err)
		}
		if err := i.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if users, organizations := everybody(t, p); users != 1 || organizations != 0 {
			t.Errorf("%d users and %d organizations are left", users, organizations)
		}
	})
}

// While an import makes its users nobody sees any of them, and nobody else can take their
// addresses and names.
func TestNobodySeesHalfAnImport(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		file := "email,name,username,organization,role,password_hash\n"
		for k := range 2500 {
			file += fmt.Sprintf("u%d@acme.example,User %d,user%d,Acme,,\n", k, k, k)
		}
		bob := p.User(t, directory.NewUser{Email: "bob@acme.example", Invite: true})
		looked := 0
		look := func(step directory.ImportStep, _, _ int) {
			if step != directory.ImportMakes {
				return
			}
			looked++
			r := p.DB.Reader()
			users, err := r.Users(t.Context(), 0, 10)
			_, byName := r.UserByLogin(t.Context(), "user1")
			_, byEmail := r.UserByEmail(t.Context(), "u1@acme.example")
			_, organization := r.OrganizationByName(t.Context(), "acme")
			listed, listErr := r.ListOrganizations(t.Context(), "", "", 10)
			filtered, filterErr := r.CountUsers(t.Context(), db.UserFilter{})
			if errors.Join(err, listErr, filterErr) != nil || len(users) != 1 || len(listed) != 0 || filtered != 1 ||
				!errors.Is(byName, db.ErrNotFound) || !errors.Is(byEmail, db.ErrNotFound) || !errors.Is(organization, db.ErrNotFound) {
				t.Errorf("%d users, %d organizations, %d listed, %v %v %v", len(users), len(listed), filtered, byName, byEmail, organization)
			}
			_, err = p.Directory.CreateUser(t.Context(), operator, directory.NewUser{Email: "u1@acme.example", Name: "Me"})
			wantProblem(t, "a user of the import made by hand", err, "email", input.EmailUnusable)
			taken := "user1"
			err = p.Directory.ChangeUser(t.Context(), operator, bob.ID, directory.UserChange{Username: &taken})
			wantProblem(t, "a username of the import", err, "username", input.UsernameTaken)
			address := "u1@acme.example"
			err = p.Directory.ChangeUser(t.Context(), operator, bob.ID, directory.UserChange{Email: &address})
			wantProblem(t, "an address of the import", err, "email", input.EmailUnusable)
			_, err = p.Directory.CreateOrganization(t.Context(), operator, directory.NewOrganization{Name: "ACME"})
			wantProblem(t, "an organization of the import", err, "name", input.NameTaken)
		}
		i, err := p.Directory.BeginImport(t.Context(), operator, directory.ImportOptions{Progress: look})
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Read(t.Context(), strings.NewReader(file)); err != nil {
			t.Fatal(err)
		}
		report, err := i.Finish(t.Context(), false, false)
		if err != nil || report.Users != 2500 || looked < 2 {
			t.Errorf("%+v %v, looked %d times", report, err, looked)
		}
		if err := i.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if users, organizations := everybody(t, p); users != 2501 || organizations != 1 {
			t.Errorf("%d users and %d organizations", users, organizations)
		}
	})
}

func wantProblem(t testing.TB, what string, err error, field string, problem input.Problem) {
	t.Helper()
	refused, ok := errors.AsType[*input.Error](err)
	if !ok || refused.Fields[0].Name != field || refused.Fields[0].Problem != problem {
		t.Errorf("%s: %v", what, err)
	}
}

func TestOfTwoImportsAtOnceOneIsAskedToWait(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		first := begun(t, p, operator, "email,name\nann@acme.example,Ann\n")
		if _, err := p.Directory.BeginImport(t.Context(), operator, directory.ImportOptions{}); !errors.Is(err, db.ErrImporting) {
			t.Fatalf("a second one: %v", err)
		}
		if err := p.Directory.TidyImport(t.Context()); err != nil {
			t.Fatal(err)
		}
		if report, err := first.Finish(t.Context(), false, false); err != nil || report.Users != 1 {
			t.Errorf("tidying up has taken the rows of one under way: %+v %v", report, err)
		}
		if err := first.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		imported(t, p, "email,name\nbob@acme.example,Bob\n", false)
		if users, _ := everybody(t, p); users != 2 {
			t.Errorf("%d users", users)
		}
	})
}

// What the actor may do is judged again when it all becomes real.
func TestWhoLosesTheRightMeanwhileImportsNothing(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		p.User(t, directory.NewUser{Email: "olive@vendor.example", Role: "owner"})
		boss := p.User(t, directory.NewUser{Email: "boss@vendor.example", Role: "owner"})
		p.Enrol(t, boss)
		i := begun(t, p, portaltest.Actor(boss), "email,name,role\nann@acme.example,Ann,owner\n")
		if err := p.Directory.SetRole(t.Context(), operator, boss.ID, "support"); err != nil {
			t.Fatal(err)
		}
		if report, err := i.Finish(t.Context(), false, false); !errors.Is(err, directory.ErrNotAllowed) {
			t.Errorf("%+v %v", report, err)
		}
		if err := i.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if users, _ := everybody(t, p); users != 2 {
			t.Errorf("%d users", users)
		}
	})
}

// errGone is what an import that is cut off meets.
var errGone = errors.New("gone")

// An import that was cut off after its users became real is completed by the next who looks:
// every event and every invitation once.
func TestEventsAndInvitationsFollowWhenTheImportIsCutOffBehindTheLastStep(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		const many = 2300
		file := "email,name,organization\n"
		for k := range many {
			file += fmt.Sprintf("u%d@acme.example,User %d,Org %d\n", k, k, k%3)
		}
		i, err := p.Directory.BeginImport(t.Context(), operator, directory.ImportOptions{
			Progress: func(step directory.ImportStep, done, _ int) {
				if step == directory.ImportRecords {
					panic(errGone) // the nearest thing to a kill within a process
				}
			}})
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Read(t.Context(), strings.NewReader(file)); err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("it was not cut off")
				}
			}()
			_, _ = i.Finish(t.Context(), true, false)
		}()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if len(eventsOf(t, p, "import.completed")) != 1 {
			t.Fatal("the users are not real yet")
		}
		if err := p.Directory.TidyImport(ctx); err == nil {
			t.Error("it could be tidied without a database")
		}
		if err := i.Close(t.Context()); err != nil { // gives the lock back, and leaves the rest
			t.Fatal(err)
		}
		if err := p.Directory.TidyImport(t.Context()); err != nil {
			t.Fatal(err)
		}
		if users, organizations := everybody(t, p); users != many || organizations != 3 {
			t.Errorf("%d users and %d organizations", users, organizations)
		}
		queued := 0
		for _, state := range []db.MessageState{db.MessageQueued, db.MessageSending, db.MessageSent} {
			n, err := p.DB.Reader().CountMessages(t.Context(), state)
			if err != nil {
				t.Fatal(err)
			}
			queued += n
		}
		count := func(action string) int {
			events, err := p.DB.Reader().EventsAfter(t.Context(), db.EventFilter{Action: action}, 0, many+1)
			if err != nil {
				t.Fatal(err)
			}
			return len(events)
		}
		if queued != many || count("user.imported") != many || count("user.invited") != many || count("organization.created") != 3 {
			t.Errorf("%d mails, %d %d %d events", queued, count("user.imported"), count("user.invited"), count("organization.created"))
		}
	})
}

func TestMoreRowsThanAllowedAreRefused(t *testing.T) {
	p := portaltest.New(t, db.SQLite)
	for rows, want := range map[int]error{3: nil, 4: directory.ErrTooManyRows} {
		i, err := p.Directory.BeginImport(t.Context(), operator, directory.ImportOptions{MostRows: 3})
		if err != nil {
			t.Fatal(err)
		}
		file := "email,name\n" + strings.Repeat("wrong,Ann\n", rows)
		if err := i.Read(t.Context(), strings.NewReader(file)); !errors.Is(err, want) {
			t.Errorf("%d rows: %v", rows, err)
		}
		if err := i.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAReportOnAVeryBadFileStaysShort(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		file := "email,name\n" + strings.Repeat("wrong,Ann\n", 800) + strings.Repeat("same@acme.example,Sam\n", 2500)
		report, err := importAs(t, p.Directory, operator, file, false, true)
		if err != nil || len(report.Bad) != directory.MostBadRows || report.BadCount != 800+2499 || report.Bad[999].Line != 1001+1 {
			t.Errorf("%d of %d bad rows, %v", len(report.Bad), report.BadCount, err)
		}
	})
}

// BenchmarkImport imports 100,000 users on a fresh database while another writer writes.
func BenchmarkImport(b *testing.B) {
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		b.Run(string(engine), func(b *testing.B) {
			file := strings.Builder{}
			file.WriteString("email,name,username,organization\n")
			for k := range 100000 {
				fmt.Fprintf(&file, "person%[1]d@acme.example,Person %[1]d,user%[1]d,Organization %[2]d\n", (k*7919)%100000, k%1000)
			}
			for b.Loop() {
				b.StopTimer()
				d := dbtest.Open(b, engine, nil)
				s := &directory.Service{DB: d, Settings: settings.NewStore(d), Throttle: throttle.New([]byte("bench")), MailQueued: func() {}}
				b.StartTimer()
				began := time.Now()
				if report, err := importAs(b, s, operator, file.String(), true, false); err != nil || report.Users != 100000 {
					b.Fatalf("%+v %v", report, err)
				}
				b.ReportMetric(100000/time.Since(began).Seconds(), "rows/s")
			}
		})
	}
}
