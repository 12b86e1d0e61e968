package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
)

// csvFile writes a file to import.
func csvFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// list is a file of n users.
func list(n int) string {
	var file strings.Builder
	file.WriteString("email,name,username,organization\n")
	for k := range n {
		fmt.Fprintf(&file, "u%[1]d@acme.example,User %[1]d,user%[1]d,Organization %[2]d\n", k, k%40)
	}
	return file.String()
}

func TestTheOperatorImportsAFileAndReadsWhatWasMade(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		path := csvFile(t, "email,name,organization,role\nann@acme.example,Ann,Acme,\nbob@acme.example,Bob,Acme,portal_administrator\n")
		out := c.do("import", path, "--dry-run", "--invite")
		if !strings.Contains(out, "Nothing was changed. Would make 2 users and 1 organization;") || !strings.Contains(out, "2 with an invitation") {
			t.Errorf("the dry run says %s", out)
		}
		if users := c.do("user", "list"); strings.TrimSpace(users) != "[]" {
			t.Errorf("the dry run has made %s", users)
		}
		out = c.do("import", path)
		if !strings.Contains(out, "Made 2 users and 1 organization;") || !regexp.MustCompile(`Longest wait of another writer: \d+ ms`).MatchString(out) {
			t.Errorf("it says %s", out)
		}
		if users := c.do("user", "list"); !strings.Contains(users, `"role": "portal_administrator"`) || strings.Count(users, `"status": "invited"`) != 2 {
			t.Errorf("it has made %s", users)
		}
		out, err := c.try("", "import", path)
		if err == nil || out != "line 2: email: Another user has this address.\nline 3: email: Another user has this address.\n" {
			t.Errorf("once more: %v %s", err, out)
		}
		if _, err := c.try("", "import", path+".none"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("no file: %v", err)
		}
	})
}

func TestTheReportOnAVeryBadFileIsAThousandLinesAndACount(t *testing.T) {
	c := newConsole(t)
	c.do("migrate")
	out, err := c.try("", "import", csvFile(t, "email,name\n"+strings.Repeat("wrong,Ann\n", 1500)))
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err == nil || !strings.Contains(err.Error(), "1500 rows cannot be imported, so nothing was") || len(lines) != 1001 ||
		lines[1000] != "… and 500 more bad rows" || !strings.HasPrefix(lines[999], "line 1001: email: ") {
		t.Errorf("%d lines, the last %q: %v", len(lines), lines[len(lines)-1], err)
	}
}

// eachInstallation runs the test with the built program on each engine.
func eachInstallation(t *testing.T, test func(t *testing.T, i *installation)) {
	t.Helper()
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			database := ""
			if engine == db.PostgreSQL {
				database = dbtest.NewPostgreSQL(t)
			}
			i := newInstallation(t, database)
			i.do("migrate")
			test(t, i)
		})
	}
}

// Whatever moment an import is killed at: before its last step nobody sees anything of it,
// after it everybody sees everything, and the next import works.
func TestAKilledImportLeavesAllOrNothing(t *testing.T) {
	t.Parallel()
	eachInstallation(t, func(t *testing.T, i *installation) {
		const many = 20000
		path := csvFile(t, list(many))
		p := i.open()
		r := p.db.Reader()
		staged := func() bool { _, n, err := r.NextRows(t.Context(), 0, 1); return err == nil && n > 0 }
		making := func() bool { _, _, n, err := r.HiddenUsers(t.Context()); return err == nil && n > 3000 }
		shown := func() bool { i, err := r.Import(t.Context()); return err == nil && i.MadeAt != 0 }
		count := func() int {
			n, err := r.CountUsers(t.Context(), db.UserFilter{})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		for name, moment := range map[string]func() bool{"reading": staged, "making": making} {
			process := i.launch([]string{"import", path, "--invite"})
			eventually(t, 60*time.Second, "it never came to "+name, moment)
			process.kill()
			if shown() {
				t.Fatalf("%s: killed too late", name)
			}
			organizations, err := r.Organizations(t.Context(), 0, 10)
			if n := count(); err != nil || n != 0 || len(organizations) != 0 {
				t.Errorf("killed while %s: %d users and %d organizations are there, %v", name, n, len(organizations), err)
			}
		}
		// The next one takes back what is left. Its lock may outlive a killed one on a server
		// for a moment.
		small := csvFile(t, "email,name,organization\nu1@acme.example,Una,Organization 1\n")
		eventually(t, 30*time.Second, "no import works any more", func() bool { _, err := i.try("", "import", small); return err == nil })
		if n := count(); n != 1 {
			t.Errorf("%d users", n)
		}
		i.do("user", "delete", "u1@acme.example")

		process := i.launch([]string{"import", path, "--invite"})
		eventually(t, 60*time.Second, "its users never became real", shown)
		process.kill()
		if n := count(); n != many {
			t.Errorf("killed at the end: %d users are there", n)
		}
		// The portal completes it when it starts.
		serving := i.serve()
		eventually(t, 60*time.Second, "the rest of the import was not completed", func() bool {
			_, err := r.Import(t.Context())
			return errors.Is(err, db.ErrNotFound)
		})
		serving.stop()
		mails := 0
		for _, state := range []db.MessageState{db.MessageQueued, db.MessageSending, db.MessageSent} {
			n, err := r.CountMessages(t.Context(), state)
			if err != nil {
				t.Fatal(err)
			}
			mails += n
		}
		// Una's event, and the mail to her that she is deleted, are there, too.
		if events, err := r.EventsAfter(t.Context(), db.EventFilter{Action: "user.imported"}, 0, many+2); err != nil || mails != many+1 || len(events) != many+1 {
			t.Errorf("%d mails and %d events: %v", mails, len(events), err)
		}
		if p.db.Engine() == db.SQLite {
			i.soundDatabase()
		}
	})
}
