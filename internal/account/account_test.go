package account_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/account"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/mail/mailtest"
	"postern/internal/password"
	"postern/internal/portaltest"
	"postern/internal/session"
	"postern/internal/throttle"
	"postern/internal/token"
)

func TestMain(m *testing.M) {
	// More at once than there are processors: they wait for mail, which goes out at a pace.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	dbtest.Main(m)
}

// each runs a test on a portal of each engine, beside other tests: most of the time they
// wait for mail.
func each(t *testing.T, test func(t *testing.T, p *portaltest.Portal)) {
	t.Helper()
	t.Parallel()
	portaltest.Each(t, test)
}

// once is each on SQLite alone, for rules whose questions to the database other tests ask
// of both: a portal on PostgreSQL takes half a second.
func once(t *testing.T, test func(t *testing.T, p *portaltest.Portal)) {
	t.Helper()
	t.Parallel()
	test(t, portaltest.New(t, db.SQLite))
}

const wrong = "Wrong-Wicket-31-Thimble"

var home = portaltest.Visit("192.0.2.1")

// from is a visit in a browser that has that token.
func from(address, browser string) account.Visit {
	v := portaltest.Visit(address)
	v.Browser = browser
	return v
}

// chosen is a password typed twice.
func chosen(password string) account.NewPassword {
	return account.NewPassword{Password: password, Confirm: password}
}

// hashed is the hash of portaltest.Password, made once: most users here never sign in.
var hashed = sync.OnceValues(func() (string, error) {
	return password.NewHasher(password.NewGate(1, 1<<30)).Hash(context.Background(), password.SignedIn, portaltest.Password)
})

// person makes a user with portaltest.Password.
func person(t *testing.T, p *portaltest.Portal, form directory.NewUser) db.User {
	t.Helper()
	if form.Name == "" {
		form.Name = "Zoë Tester"
	}
	u, err := p.Directory.CreateUser(t.Context(), portaltest.Operator, form)
	must(t, err)
	hash, err := hashed()
	must(t, err)
	must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.SetPassword(t.Context(), u.ID, hash) }))
	return p.Reload(t, u)
}

// newAnn makes the customer that most tests are about.
func newAnn(t *testing.T, p *portaltest.Portal) db.User {
	t.Helper()
	return person(t, p, directory.NewUser{Email: "ann@acme.example", Name: "Ann Smith", Username: "ann"})
}

// entered is the token of a session that the user got some time ago.
func entered(t *testing.T, p *portaltest.Portal, u db.User) string {
	t.Helper()
	plain, hash := token.New()
	must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error {
		_, err := tx.AddSession(t.Context(), db.Session{UserID: u.ID, Epoch: p.Reload(t, u).Epoch, Data: []byte{}}, hash)
		return errors.Join(err, tx.RecordSignIn(t.Context(), u.ID))
	}))
	return plain
}

// signIn must succeed.
func signIn(t *testing.T, p *portaltest.Portal, v account.Visit, login, password string) account.SignedIn {
	t.Helper()
	in, err := p.Account.SignIn(t.Context(), v, login, password)
	if err != nil {
		t.Fatalf("sign in as %q: %v", login, err)
	}
	return in
}

// loaded is the session that a browser with the token has now, nil for none.
func loaded(t *testing.T, p *portaltest.Portal, token string) *session.Current {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/account", nil)
	r.AddCookie(&http.Cookie{Name: "postern", Value: token})
	_, current, err := p.Server.Sessions.Load(r)
	if err != nil {
		t.Fatal(err)
	}
	return current
}

// live is a session that must be alive.
func live(t *testing.T, p *portaltest.Portal, token string) *session.Current {
	t.Helper()
	current := loaded(t, p, token)
	if current == nil {
		t.Fatal("the session is dead")
	}
	return current
}

// wantEnded fails the test where a session still lives.
func wantEnded(t *testing.T, p *portaltest.Portal, sessions ...string) {
	t.Helper()
	for i, token := range sessions {
		if loaded(t, p, token) != nil {
			t.Errorf("session %d still lives", i+1)
		}
	}
}

// as is the actor of a signed-in user.
func as(c *session.Current) db.Actor {
	return db.Actor{Kind: db.ActorUser, UserID: c.User.ID, SessionID: c.Session.ID, Address: "192.0.2.1", UserAgent: "Test/1.0"}
}

// wantProblem fails the test unless the input was refused for that problem of that field.
func wantProblem(t *testing.T, err error, field string, problem input.Problem) {
	t.Helper()
	refused, ok := errors.AsType[*input.Error](err)
	if !ok || !slices.ContainsFunc(refused.Fields, func(f input.Field) bool { return f.Name == field && f.Problem == problem }) {
		t.Errorf("the answer is %v instead of %s about %q", err, problem, field)
	}
}

func wantHeld(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*throttle.HeldError](err); !ok {
		t.Errorf("it is not held: %v", err)
	}
}

func wantDead(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, account.ErrDeadLink) {
		t.Errorf("%s: the link is not dead: %v", what, err)
	}
}

// subjects of mails, in a fixed order: several senders work at once.
func subjects(mails []mailtest.Mail) (all []string) {
	for _, m := range mails {
		all = append(all, m.Subject+" > "+m.To)
	}
	slices.Sort(all)
	return all
}

// wantMails fails the test unless exactly these mails came, each "subject > address".
func wantMails(t *testing.T, p *portaltest.Portal, want ...string) []mailtest.Mail {
	t.Helper()
	mails := p.Mails(t)
	slices.Sort(want)
	if got := subjects(mails); !slices.Equal(got, want) {
		t.Fatalf("the mails are\n%s\ninstead of\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	return mails
}

// mailed finds the link in the mail with that subject.
func mailed(t *testing.T, mails []mailtest.Mail, subject, path string) string {
	t.Helper()
	for _, m := range mails {
		if m.Subject == subject {
			return portaltest.Token(m.Link(t, path))
		}
	}
	t.Fatalf("no mail %q among %q", subject, subjects(mails))
	return ""
}

// ask asks for a reset link.
func ask(t *testing.T, p *portaltest.Portal, email string) {
	t.Helper()
	if err := p.Account.RequestPasswordReset(t.Context(), home, email, ""); err != nil {
		t.Fatal(err)
	}
}

// askedLink asks for a reset link and reads it from the mail.
func askedLink(t *testing.T, p *portaltest.Portal, email string) string {
	t.Helper()
	ask(t, p, email)
	return portaltest.Token(p.Mail(t).Link(t, "/reset-password/"))
}

// printed is a reset link as the operator gets it, which saves the test a mail.
func printed(t *testing.T, p *portaltest.Portal, u db.User) string {
	t.Helper()
	plain, err := p.Directory.PrintResetLink(t.Context(), portaltest.Operator, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// reset tries to set the password with a link, from an address that is not throttled.
func reset(t *testing.T, p *portaltest.Portal, plain, password string) error {
	t.Helper()
	p.Clock.Advance(2 * time.Second) // link checks are thirty a minute
	_, err := p.Account.ResetPassword(t.Context(), portaltest.Visit("192.0.2.77"), plain, "", chosen(password))
	return err
}

// isOpen says whether a link works for that purpose.
func isOpen(t *testing.T, p *portaltest.Portal, purpose db.Purpose, plain string) bool {
	t.Helper()
	_, _, err := p.Account.OpenLink(t.Context(), purpose, plain)
	if err != nil && !errors.Is(err, account.ErrDeadLink) {
		t.Fatal(err)
	}
	return err == nil
}

// holdMail lets the mail server refuse for now; the returned function ends that and lets
// the time pass until the mail is tried again.
func holdMail(p *portaltest.Portal) (release func()) {
	p.Sink.Refuse(func(string, string) error { return &smtp.SMTPError{Code: 451, Message: "come back later"} })
	return func() {
		p.Sink.Refuse(nil)
		p.Clock.Advance(2 * time.Minute)
	}
}

// must fails the test on an error of a step that is not what it is about.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// invited makes a user who has an invitation, and returns its token.
func invited(t *testing.T, p *portaltest.Portal, email string) (db.User, string) {
	t.Helper()
	u := p.User(t, directory.NewUser{Email: email, Invite: true})
	return u, portaltest.Token(p.Mail(t).Link(t, "/invitation/"))
}

// beside are connections to the databases of portals, for what the portal has no question
// for; address is that of the PostgreSQL server, without the name of a database.
var beside = struct {
	sync.Mutex
	address string
	server  *sql.DB
	opened  map[*portaltest.Portal]*sql.DB
}{opened: map[*portaltest.Portal]*sql.DB{}}

// open opens the portal's database beside the portal.
func open(t *testing.T, p *portaltest.Portal) *sql.DB {
	t.Helper()
	beside.Lock()
	defer beside.Unlock()
	if d := beside.opened[p]; d != nil {
		return d
	}
	d := find(t, p)
	beside.opened[p] = d
	t.Cleanup(func() {
		beside.Lock()
		defer beside.Unlock()
		delete(beside.opened, p)
		must(t, d.Close())
	})
	return d
}

// find looks for the database that the portal writes to.
func find(t *testing.T, p *portaltest.Portal) *sql.DB {
	t.Helper()
	if p.DB.Engine() == db.SQLite {
		files, err := filepath.Glob(filepath.Join(filepath.Dir(t.TempDir()), "*", "postern.db"))
		if err != nil || len(files) != 1 {
			t.Fatalf("database files: %v (%v)", files, err)
		}
		return connect(t, "sqlite", "file:"+files[0]+"?_pragma=busy_timeout(5000)")
	}
	if beside.server == nil {
		address := dbtest.NewPostgreSQL(t)
		beside.address = address[:strings.LastIndexByte(address, '/')+1]
		beside.server = connect(t, "pgx", beside.address+"postgres")
	}
	must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.SetFact(t.Context(), "test", t.Name()) }))
	var newest int
	must(t, beside.server.QueryRowContext(t.Context(),
		`SELECT max(CAST(substr(datname, 5) AS INT)) FROM pg_database WHERE datname LIKE 'test%'`).Scan(&newest))
	for ; newest > 0; newest-- { // other tests may have made some since
		d := connect(t, "pgx", beside.address+"test"+strconv.Itoa(newest))
		var name string
		if d.QueryRowContext(t.Context(), `SELECT value FROM instance WHERE name = 'test'`).Scan(&name) == nil && name == t.Name() {
			return d
		}
		must(t, d.Close())
	}
	t.Fatal("the portal's database was not found")
	return nil
}

func connect(t *testing.T, driver, name string) *sql.DB {
	t.Helper()
	d, err := sql.Open(driver, name)
	must(t, err)
	return d
}

// event is a line of the audit trail.
type event struct {
	Outcome, ActorKind string
	User               int64
	Detail, Address    string
}

// events are those of that action, oldest first.
func events(t *testing.T, p *portaltest.Portal, action string) (all []event) {
	t.Helper()
	rows, err := open(t, p).QueryContext(t.Context(),
		`SELECT outcome, actor_kind, COALESCE(user_id, 0), detail, address FROM audit_event WHERE action = $1 ORDER BY id`, action)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var e event
		must(t, rows.Scan(&e.Outcome, &e.ActorKind, &e.User, &e.Detail, &e.Address))
		all = append(all, e)
	}
	must(t, rows.Err())
	return all
}
