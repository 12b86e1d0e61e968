package main

import (
	"bytes"
	"context"
	"database/sql"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/portaltest"
)

// refuseServe starts the portal in this process, which must refuse in one sentence that
// says all that.
func (c *console) refuseServe(wants ...string) {
	c.t.Helper()
	ctx, stop := context.WithTimeout(c.t.Context(), 5*time.Second)
	defer stop()
	var out, log portaltest.Log
	err := c.run(ctx, []string{"serve"}, strings.NewReader(""), &out, &log)
	if err == nil {
		c.t.Errorf("serve did not refuse:\n%s%s", out.String(), log.String())
		return
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			c.t.Errorf("it does not say %q: %v", want, err)
		}
	}
	if strings.Contains(strings.TrimSpace(err.Error()), "\n") {
		c.t.Errorf("it says more than a sentence: %v", err)
	}
	if said := err.Error() + out.String() + log.String(); strings.Contains(said, "canary") {
		c.t.Errorf("a secret is given away: %s", said)
	}
}

func TestAWrongConfigurationIsRefusedInASentence(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	empty := filepath.Join(t.TempDir(), "empty")
	overwrite(t, empty, "")
	for name, test := range map[string]struct {
		env   map[string]string
		wants []string
	}{
		"no address at all":            {map[string]string{"URL": "portal"}, []string{"POSTERN_URL"}},
		"another scheme":               {map[string]string{"URL": "ftp://portal.example"}, []string{"POSTERN_URL"}},
		"address with a path":          {map[string]string{"URL": "https://portal.example/help"}, []string{"POSTERN_URL", "leave out"}},
		"address with a password":      {map[string]string{"URL": "https://me:x@portal.example"}, []string{"POSTERN_URL", "leave out"}},
		"plain http on a public name":  {map[string]string{"URL": "http://portal.example"}, []string{"POSTERN_URL", "https"}},
		"a name that begins loopback":  {map[string]string{"URL": "http://localhost.portal.example"}, []string{"POSTERN_URL", "https"}},
		"plain http on a public host":  {map[string]string{"URL": "http://192.0.2.1"}, []string{"POSTERN_URL", "https"}},
		"nowhere to listen":            {map[string]string{"LISTEN": "8080"}, []string{"POSTERN_LISTEN"}},
		"a port in use":                {map[string]string{"LISTEN": busy.Addr().String()}, []string{"POSTERN_LISTEN"}},
		"a metrics port in use":        {map[string]string{"METRICS_LISTEN": busy.Addr().String()}, []string{"POSTERN_METRICS_LISTEN"}},
		"another database":             {map[string]string{"DATABASE": "mysql://u:canary@db/postern"}, []string{"POSTERN_DATABASE"}},
		"two databases":                {map[string]string{"DATABASE": "postgres://u:canary@db/p", "DATABASE_FILE": empty}, []string{"POSTERN_DATABASE"}},
		"a database file not there":    {map[string]string{"DATABASE_FILE": empty + "2"}, []string{"POSTERN_DATABASE_FILE"}},
		"a database that is away":      {map[string]string{"DATABASE": "postgres://u:canary@127.0.0.1:1/postern"}, []string{"POSTERN_DATABASE"}},
		"a database option unknown":    {map[string]string{"DATABASE": "postgres://u:canary@127.0.0.1/p?sslmode=mad"}, []string{"POSTERN_DATABASE"}},
		"a mail server without scheme": {map[string]string{"SMTP": "user:canary@mail.example:587"}, []string{"POSTERN_SMTP"}},
		"a mail server over http":      {map[string]string{"SMTP": "http://user:canary@mail.example"}, []string{"POSTERN_SMTP"}},
		"a mail server's odd port":     {map[string]string{"SMTP": "smtp://user:canary@mail.example:0"}, []string{"POSTERN_SMTP"}},
		"a mail server in clear":       {map[string]string{"SMTP": "smtp://user:canary@mail.example?tls=none"}, []string{"POSTERN_SMTP", "tls=none"}},
		"a mail option unknown":        {map[string]string{"SMTP": "smtp://user:canary@mail.example?tls=maybe"}, []string{"POSTERN_SMTP"}},
		"a mail file not there":        {map[string]string{"SMTP_FILE": empty + "2"}, []string{"POSTERN_SMTP_FILE"}},
		"a sender without address":     {map[string]string{"MAIL_FROM": "The Portal"}, []string{"POSTERN_MAIL_FROM"}},
		"a proxy that is no network":   {map[string]string{"TRUSTED_PROXIES": "10.0.0.0/8,nginx"}, []string{"POSTERN_TRUSTED_PROXIES", "nginx"}},
		"a certificate without key":    {map[string]string{"URL": "https://portal.example", "TLS_CERT": empty}, []string{"POSTERN_TLS_KEY"}},
		"a certificate for plain http": {map[string]string{"TLS_CERT": empty, "TLS_KEY": empty}, []string{"POSTERN_URL", "https"}},
		"a certificate not there":      {map[string]string{"URL": "https://portal.example", "TLS_CERT": empty + "2", "TLS_KEY": empty}, []string{"POSTERN_TLS_CERT"}},
		"a certificate that is none":   {map[string]string{"URL": "https://portal.example", "TLS_CERT": empty, "TLS_KEY": empty}, []string{"POSTERN_TLS_CERT"}},
		"a drain that is no time":      {map[string]string{"DRAIN": "soon"}, []string{"drain"}},
		"a drain of a day":             {map[string]string{"DRAIN": "24h"}, []string{"POSTERN_DRAIN"}},
		"a log format unknown":         {map[string]string{"LOG_FORMAT": "xml"}, []string{"log-format", "json"}},
		"a data folder that is a file": {map[string]string{"DATA": empty}, []string{"POSTERN_DATA"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newConsole(t)
			for key, value := range test.env {
				c.env["POSTERN_"+key] = value
			}
			c.t = t
			c.refuseServe(test.wants...)
		})
	}
}

// A portal that then refuses its configuration must not have shown a link that works.
func TestNoSetUpLinkIsPrintedByAStartThatFails(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "")
	i.env["POSTERN_URL"] = "https://portal.example"
	p := i.launch([]string{"serve"}, "POSTERN_TLS_CERT=/nowhere.pem", "POSTERN_TLS_KEY=/nowhere.pem")
	if code := p.wait(); code == 0 {
		t.Error("serve without a certificate ended well")
	}
	if out := p.out.String(); out != "" {
		t.Errorf("before it failed it printed:\n%s", out)
	}
}

func TestAKeyThatDoesNotFitIsRefused(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		key := filepath.Join(c.data(), "postern.key")
		text, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		for name, damaged := range map[string]string{"empty": "", "cut short": string(text[:40]), "something else": "-----BEGIN KEY-----\n"} {
			overwrite(t, key, damaged)
			t.Run(name, func(t *testing.T) {
				c.t = t
				c.refuseServe(key)
				c.refuse([]string{"user", "list"}, key)
			})
		}
		c.t = t
		if err := os.Remove(key); err != nil {
			t.Fatal(err)
		}
		c.refuseServe(key, "missing", "POSTERN_KEY_FILE")
		if made, _ := exists(key); made {
			t.Error("a new key was made in place of the missing one")
		}
		other := newConsole(t)
		other.do("migrate")
		c.env["POSTERN_KEY_FILE"] = filepath.Join(other.data(), "postern.key")
		c.refuseServe(c.env["POSTERN_KEY_FILE"], "POSTERN_KEY_FILE", "not the one")
		overwrite(t, key, string(text))
		delete(c.env, "POSTERN_KEY_FILE")
		c.do("user", "list")
	})
}

// rawSQL does what no part of the program would do to the database.
func (c *console) rawSQL(statements ...string) {
	c.t.Helper()
	driver, source := "sqlite", filepath.Join(c.data(), "postern.db")
	if c.env["POSTERN_DATABASE"] != "" {
		driver, source = "pgx", c.env["POSTERN_DATABASE"]
	}
	database, err := sql.Open(driver, source)
	if err != nil {
		c.t.Fatal(err)
	}
	defer database.Close()
	for _, statement := range statements {
		if _, err := database.Exec(statement); err != nil {
			c.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// I15: an older program must leave a newer database alone.
func TestADatabaseNewerThanTheProgramIsRefused(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		c.rawSQL(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, TRUE)`)
		c.refuseServe("newer", "use the program that made it")
		for _, args := range [][]string{{"migrate"}, {"user", "list"}, {"settings", "set", "portal.name", "x"}} {
			c.refuse(args, "newer")
		}
		c.wantFinding("database", broken, "newer")
	})
}

// lose are the ways in which a database gets lost.
var lose = map[string]func(c *console){
	"file removed": func(c *console) {
		c.removeDatabase()
	},
	"file emptied": func(c *console) {
		c.removeDatabase()
		overwrite(c.t, filepath.Join(c.data(), "postern.db"), "")
	},
	"tables gone": func(c *console) {
		if c.env["POSTERN_DATABASE"] != "" {
			c.rawSQL(`DROP SCHEMA public CASCADE`, `CREATE SCHEMA public`)
			return
		}
		c.removeDatabase()
		c.rawSQL(`CREATE TABLE x (y)`, `DROP TABLE x`)
	},
}

func (c *console) removeDatabase() {
	c.t.Helper()
	files, err := filepath.Glob(filepath.Join(c.data(), "postern.db*"))
	if err != nil || len(files) == 0 {
		c.t.Fatalf("no database: %v", err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			c.t.Fatal(err)
		}
	}
}

func TestALostDatabaseIsNeverAFirstStart(t *testing.T) {
	for way, happen := range lose {
		t.Run(way, func(t *testing.T) {
			eachConsole(t, func(t *testing.T, c *console) {
				if c.env["POSTERN_DATABASE"] != "" && way != "tables gone" {
					t.Skip("there is no file")
				}
				happen(c)
				c.refuseServe("missing or empty", "POSTERN_DATA")
				for _, args := range [][]string{{"user", "create", "--email", "a@b.example", "--name", "A"}, {"organization", "create", "Acme"},
					{"settings", "set", "portal.name", "x"}, {"migrate"}, {"user", "list"}} {
					c.refuse(args, "missing or empty")
				}
				c.refuse([]string{"doctor"})
				c.refuse([]string{"migrate"}, "missing or empty") // whatever was tried meanwhile
			})
		})
	}
}

func TestAFileThatIsNoDatabaseIsRefused(t *testing.T) {
	c := newConsole(t)
	c.do("migrate")
	c.removeDatabase()
	overwrite(t, filepath.Join(c.data(), "postern.db"), strings.Repeat("this is a shopping list ", 400))
	c.refuseServe("database")
}

func TestNobodyButTheFoldersOwnerMayRunCommands(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder away")
	}
	c := newConsole(t)
	c.do("migrate")
	if err := os.Chown(c.data(), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadDir(c.data())
	if err != nil {
		t.Fatal(err)
	}
	c.refuseServe("belongs to another user", "65534")
	for _, args := range [][]string{{"user", "list"}, {"user", "create", "--email", "a@b.example", "--name", "A"}, {"settings", "set", "portal.name", "x"},
		{"migrate"}} {
		c.refuse(args, "belongs to another user", "65534")
	}
	c.wantFinding("files", broken, "belongs to another user")
	if after, err := os.ReadDir(c.data()); err != nil || len(after) != len(before) {
		t.Errorf("the folder holds %v, before it held %v: %v", after, before, err)
	}
}

// asNobody runs the portal as a user for whom file modes count.
func (i *installation) asNobody() *process {
	i.t.Helper()
	folder, err := os.MkdirTemp("", "postern-nobody-")
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			i.t.Error(err)
		}
	})
	data := filepath.Join(folder, "data")
	if err := os.Rename(i.data(), data); err != nil {
		i.t.Fatal(err)
	}
	i.env["POSTERN_DATA"] = data
	attributes := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		attributes.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		if err := os.Chmod(folder, 0o755); err != nil {
			i.t.Fatal(err)
		}
		err = filepath.WalkDir(data, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chown(path, 65534, 65534)
		})
		if err != nil {
			i.t.Fatal(err)
		}
	}
	return i.launchAs(attributes, []string{"serve"})
}

// I5: a folder that cannot be written is refused at the start, not at the first visitor.
func TestWhatCannotBeWrittenOrReadIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		path string
		mode os.FileMode
	}{"folder": {"", 0o500}, "database": {"postern.db", 0o400}, "key": {"postern.key", 0o000}, "folder that was never used": {"new", 0o500}} {
		t.Run(name, func(t *testing.T) {
			i := newInstallation(t, "")
			if test.path == "new" {
				if err := os.Mkdir(i.data(), 0o700); err != nil {
					t.Fatal(err)
				}
				test.path = ""
			} else {
				i.do("migrate")
			}
			if err := os.Chmod(filepath.Join(i.data(), test.path), test.mode); err != nil {
				t.Fatal(err)
			}
			p := i.asNobody()
			code := p.wait()
			if err := os.Chmod(i.data(), 0o700); err != nil { // so that it can be removed
				t.Fatal(err)
			}
			said := p.log.String()
			if code != 1 || !strings.Contains(said, filepath.Join(i.data(), test.path)) || strings.Count(said, "\n") != 1 || p.out.String() != "" {
				t.Errorf("serve ended with %d and said %q %q", code, said, p.out.String())
			}
		})
	}
}

// I11
func TestAFirstStartKeepsEverythingToItsOwner(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "")
	delete(i.env, "POSTERN_SMTP") // so that mail is kept here, too
	p := i.serve()
	p.setUp(p.browser("127.0.0.1"), "own@acme.example")
	b := p.browser("127.0.0.1")
	b.Post("/forgot-password", "email", "own@acme.example").WantTo("/forgot-password/sent")
	eventually(t, 20*time.Second, "no mail was kept", func() bool { return strings.Contains(b.Get("/local-mail").Body, "Password change request") })
	count := 0
	err := filepath.WalkDir(i.data(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		count++
		want := os.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has the mode %o", path, info.Mode().Perm())
		}
		return nil
	})
	if err != nil || count < 7 {
		t.Errorf("%d files were looked at: %v", count, err)
	}
	if out := p.out.String(); !strings.Contains(out, i.env["POSTERN_LISTEN"]) || !strings.Contains(out, i.url+"/local-mail") {
		t.Errorf("it prints:\n%s", out)
	}
	p.stop()
}

// B18
func TestTheSetUpLinkWorksOnceAndOnlyTheNewestDoes(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "")
	first := i.serve()
	old := first.setupLinks()
	first.stop()
	p := i.serve()
	fresh := p.setupLinks()
	if len(old) != 1 || len(fresh) != 1 || old[0] == fresh[0] {
		t.Fatalf("the links are %v and %v", old, fresh)
	}
	late := p.browser("192.0.2.2")
	late.Get(old[0]).WantTo("/setup")
	late.Get("/setup").Want(http.StatusGone)
	late.Get(fresh[0]).WantTo("/setup")
	late.Get("/setup").Want(http.StatusOK)

	b := p.browser("192.0.2.1")
	p.setUp(b, "own@acme.example")
	b.Get("/account").Want(http.StatusOK, "Olga Owner")
	for _, path := range []string{fresh[0], old[0], "/setup"} {
		p.browser("192.0.2.3").Get(path).Want(http.StatusNotFound)
	}
	// Neither does a form that was opened before make a second owner.
	late.Post("/setup", "name", "Mallory", "email", "mallory@evil.example", "password", portaltest.Another, "confirm", portaltest.Another,
		"portal_name", "Mine").Want(http.StatusNotFound)
	if users := i.list("user", "list"); len(users) != 1 || users[0]["email"] != "own@acme.example" || users[0]["role"] != "owner" {
		t.Errorf("the users are %v", users)
	}
	p.stop()
	third := i.serve()
	if strings.Contains(third.out.String(), "/setup") {
		t.Errorf("with an owner it prints:\n%s", third.out.String())
	}
	third.browser("192.0.2.1").Get("/setup").Want(http.StatusNotFound)
}

func TestAnOwnerMadeByCommandClosesTheSetUpOfARunningPortal(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "")
	p := i.serve()
	link := p.setupLinks()[0]
	b := p.browser("192.0.2.1")
	b.Get(link).WantTo("/setup")
	b.Get("/setup").Want(http.StatusOK)
	i.create("own@acme.example", "--role", "owner")
	b.Get("/setup").Want(http.StatusNotFound)
	b.Get(link).Want(http.StatusNotFound)
	b.Post("/sign-in", "login", "own@acme.example", "password", portaltest.Password).WantTo("/account")
}

// I16
func TestASecondServeAndAMigrationAreKeptOut(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "")
	p := i.serve()
	for _, args := range [][]string{{"serve"}, {"migrate"}} {
		if said := i.fails(args...); !strings.Contains(said, i.data()) || !strings.Contains(said, "another postern") {
			t.Errorf("%v says %q", args, said)
		}
	}
	if p.status("/sign-in") != http.StatusOK {
		t.Error("the first one was disturbed")
	}
	p.kill()
	i.serve().stop() // the lock of a killed one holds nobody up
}

func TestOfFourFirstStartsAtOnceOneServes(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "")
	var starts []*process
	for range 4 {
		address := portaltest.FreeAddress(t)
		p := i.launch([]string{"serve"}, "POSTERN_LISTEN="+address, "POSTERN_URL=http://"+address)
		p.url = "http://" + address
		starts = append(starts, p)
	}
	serving := 0
	for _, p := range starts {
		if p.comesUp() {
			serving++
			p.setUp(p.browser("192.0.2.1"), "own@acme.example")
		} else if code := p.wait(); code != 1 || !strings.Contains(p.log.String(), "another postern is using") {
			t.Errorf("a start that came too late ends with %d and says %q", code, p.log.String())
		}
	}
	if serving != 1 {
		t.Fatalf("%d of four serve", serving)
	}
	for _, p := range starts {
		p.signal(syscall.SIGTERM)
		p.wait()
	}
	i.soundDatabase()
}

// soundDatabase asks SQLite whether the file of a stopped portal is whole.
func (i *installation) soundDatabase() {
	i.t.Helper()
	database, err := sql.Open("sqlite", filepath.Join(i.data(), "postern.db"))
	if err != nil {
		i.t.Fatal(err)
	}
	defer database.Close()
	var result string
	if err := database.QueryRow(`PRAGMA integrity_check`).Scan(&result); err != nil || result != "ok" {
		i.t.Errorf("integrity_check says %q: %v", result, err)
	}
}

// A script may start the portal and make its first users at the same time.
func TestACommandBesideAFirstStartWaitsForIt(t *testing.T) {
	t.Parallel()
	for range 6 {
		i := newInstallation(t, "")
		p := i.launch([]string{"serve"})
		time.Sleep(rand.N(60 * time.Millisecond)) // any moment of the start
		command := i.launch([]string{"user", "create", "--email", "own@acme.example", "--name", "Olga", "--role", "owner"})
		if !p.comesUp() {
			t.Errorf("the start gave up: %s", p.log.String())
			continue
		}
		if code := command.wait(); code != 0 {
			t.Errorf("the command ends with %d: %s", code, command.log.String())
			continue
		}
		if users := i.list("user", "list"); len(users) != 1 {
			t.Errorf("the users are %v", users)
		}
		p.stop()
	}
}

// I15, I1: whatever moment the power went at, the next start works.
func TestAFirstStartThatWasKilledLeavesNothingInTheWay(t *testing.T) {
	t.Parallel()
	for range 15 {
		i := newInstallation(t, "")
		p := i.launch([]string{"serve"})
		time.Sleep(rand.N(300 * time.Millisecond)) // any moment of the start
		p.kill()
		again := i.serve()
		again.setUp(again.browser("192.0.2.1"), "own@acme.example")
		again.stop()
		i.soundDatabase()
	}
}

// I15: the moments of a first start that a random kill hardly ever meets.
func TestAFirstStartCutOffBetweenTwoStepsIsTakenUp(t *testing.T) {
	for name, left := range map[string]func(c *console){
		"folder made":             func(*console) {},
		"database file made":      func(c *console) { overwrite(c.t, filepath.Join(c.data(), "postern.db"), "") },
		"key made":                func(c *console) { overwrite(c.t, filepath.Join(c.data(), "postern.key"), freshKey(c.t)) },
		"all but the marker made": func(c *console) { c.do("migrate"); remove(c.t, filepath.Join(c.data(), "postern.installed")) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newConsole(t)
			if err := os.Mkdir(c.data(), 0o700); err != nil {
				t.Fatal(err)
			}
			left(c)
			if out, err := c.try("", "migrate"); err != nil {
				t.Errorf("the next start refuses: %v %s", err, out)
			}
		})
	}
}

// I15: a kill between making the key file and writing it would leave a key that no later
// start can use.
func TestTheKeyIsNeverThereHalfWritten(t *testing.T) {
	c := newConsole(t)
	if err := os.Mkdir(c.data(), 0o700); err != nil {
		t.Fatal(err)
	}
	watch, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(watch) //nolint:errcheck // it was only read from
	if _, err := syscall.InotifyAddWatch(watch, c.data(), syscall.IN_MODIFY); err != nil {
		t.Fatal(err)
	}
	c.do("migrate")
	events := make([]byte, 1<<20)
	n, err := syscall.Read(watch, events)
	if err != nil || !bytes.Contains(events[:n], []byte("postern.db")) {
		t.Fatalf("nothing was seen of the start: %v", err)
	}
	if bytes.Contains(events[:n], []byte("postern.key\x00")) {
		t.Error("the key was written after its file had its name")
	}
}

func freshKey(t *testing.T) string {
	t.Helper()
	c := newConsole(t)
	c.do("migrate")
	text, err := os.ReadFile(filepath.Join(c.data(), "postern.key"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// Every command that the contract does not except works beside a running portal, and what
// it changes is seen there.
func TestEveryCommandWorksBesideARunningPortal(t *testing.T) {
	t.Parallel()
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) {
			database := ""
			if engine == db.PostgreSQL {
				database = dbtest.NewPostgreSQL(t)
			}
			i := newInstallation(t, database)
			p := i.serve()
			delete(i.env, "POSTERN_URL") // serve has recorded it
			i.create("own@acme.example", "--role", "owner")
			i.do("organization", "create", "Acme GmbH")
			i.create("ann@acme.example", "--organization", "Acme GmbH")
			ann := p.browser("192.0.2.1")
			ann.SignIn("ann@acme.example", portaltest.Password)

			i.do("user", "create", "--email", "bob@acme.example", "--name", "Bob", "--invite")
			p.browser("192.0.2.9").Get(i.mail("bob@acme.example", "You are invited").Link(t, "/invitation/")).WantTo("/invitation")
			i.do("user", "deactivate", "ann@acme.example")
			ann.Get("/account").WantTo("/sign-in")
			i.do("user", "activate", "ann@acme.example")

			link := strings.TrimSpace(i.do("user", "reset-password", "ann@acme.example"))
			ann.Get(link).WantTo("/reset-password")
			ann.Post("/reset-password", "password", portaltest.Another, "confirm", portaltest.Another).WantTo("/sign-in")
			ann.SignIn("ann@acme.example", portaltest.Another)
			ann.Get(link).WantTo("/reset-password")
			ann.Get("/reset-password").Want(http.StatusGone)
			i.do("organization", "deactivate", "Acme GmbH")
			ann.Get("/account").WantTo("/sign-in")
			i.do("organization", "activate", "Acme GmbH")

			i.do("settings", "set", "recovery.link_label", "Locked out?")
			eventually(t, 2*time.Second, "the new setting is not in force", func() bool {
				return strings.Contains(p.browser("192.0.2.8").Get("/sign-in").Body, "Locked out?")
			})
			i.wantFinding("database", fine, string(engine))
			i.wantFinding("address", warning, i.url)
			p.stop()
		})
	}
}
