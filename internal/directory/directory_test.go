package directory_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/password"
	"postern/internal/portaltest"
)

func TestMain(m *testing.M) {
	// More at once than there are processors: they wait for mail, which goes out at a pace.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	dbtest.Main(m)
}

var operator = portaltest.Operator

// each runs a test on a portal of each engine, beside other tests.
func each(t *testing.T, test func(t *testing.T, p *portaltest.Portal)) {
	t.Helper()
	t.Parallel()
	portaltest.Each(t, test)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
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
	u, err := p.Directory.CreateUser(t.Context(), operator, form)
	must(t, err)
	hash, err := hashed()
	must(t, err)
	must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.SetPassword(t.Context(), u.ID, hash) }))
	return p.Reload(t, u)
}

// problems are the fields of an *input.Error with what is wrong with each.
func problems(t *testing.T, err error) map[string]input.Problem {
	t.Helper()
	refused, ok := errors.AsType[*input.Error](err)
	if !ok {
		t.Fatalf("the answer is %v and no refusal of the input", err)
	}
	all := map[string]input.Problem{}
	for _, f := range refused.Fields {
		all[f.Name] = f.Problem
	}
	return all
}

// wantMails fails the test unless exactly these mails came, each "subject > address".
func wantMails(t *testing.T, p *portaltest.Portal, want ...string) {
	t.Helper()
	var got []string
	for _, m := range p.Mails(t) {
		got = append(got, m.Subject+" > "+m.To)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("the mails are\n%s\ninstead of\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// canSignIn says whether the user gets in with portaltest.Password.
func canSignIn(t *testing.T, p *portaltest.Portal, login string) bool {
	t.Helper()
	_, err := p.Account.SignIn(t.Context(), portaltest.Visit("192.0.2.1"), login, portaltest.Password)
	if _, refused := errors.AsType[*input.Error](err); err != nil && !refused {
		t.Fatal(err)
	}
	return err == nil
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
	User, Organization int64
	Detail             string
}

// events are those of that action, oldest first.
func events(t *testing.T, p *portaltest.Portal, action string) (all []event) {
	t.Helper()
	rows, err := open(t, p).QueryContext(t.Context(), `SELECT outcome, actor_kind, COALESCE(user_id, 0), COALESCE(organization_id, 0), detail
		FROM audit_event WHERE action = $1 ORDER BY id`, action)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var e event
		must(t, rows.Scan(&e.Outcome, &e.ActorKind, &e.User, &e.Organization, &e.Detail))
		all = append(all, e)
	}
	must(t, rows.Err())
	return all
}
