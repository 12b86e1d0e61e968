package db_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"postern/db"
	"postern/db/dbtest"
)

// I7
func TestEveryConnectionToSQLiteKeepsTheRules(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, nil)
	common := map[string]string{"busy_timeout": "5000", "foreign_keys": "1", "synchronous": "2", "journal_mode": "wal"}
	for name, pool := range map[string]*sql.DB{"writer": d.Writer(), "reader": d.Readers()} {
		queryOnly := map[string]string{"writer": "0", "reader": "1"}[name]
		// The second round finds connections that the pool had to make anew.
		for _, round := range []string{"first", "replaced"} {
			for i, c := range allConnections(t, pool) {
				t.Run(fmt.Sprintf("%s %d %s", name, i, round), func(t *testing.T) {
					for pragma, want := range common {
						wantPragma(t, c, pragma, want)
					}
					wantPragma(t, c, "query_only", queryOnly)
					wantNoGuessing(t, c)
				})
				discard(t, c)
			}
		}
	}
	wantPragma(t, d.Writer(), "trusted_schema", "0")
	if n := d.Writer().Stats().MaxOpenConnections; n != 1 {
		t.Errorf("%d may write at once", n)
	}
	if n := d.Readers().Stats().MaxOpenConnections; n < 4 {
		t.Errorf("only %d may read at once", n)
	}
}

// allConnections opens as many connections at once as the pool allows.
func allConnections(t *testing.T, pool *sql.DB) (all []*sql.Conn) {
	t.Helper()
	for range pool.Stats().MaxOpenConnections {
		c, err := pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
				t.Error(err)
			}
		})
		all = append(all, c)
	}
	return all
}

// discard makes the pool drop a connection, as it does with one that is broken.
func discard(t *testing.T, c *sql.Conn) {
	t.Helper()
	if err := c.Raw(func(any) error { return driver.ErrBadConn }); !errors.Is(err, driver.ErrBadConn) {
		t.Fatal(err)
	}
}

// asked is a connection, or a pool that chooses one.
type asked interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func wantPragma(t *testing.T, c asked, pragma, want string) {
	t.Helper()
	var got string
	if err := c.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
		t.Errorf("%s is %q, want %q (%v)", pragma, got, want, err)
	}
}

// wantNoGuessing: SQLite would take a misspelled column in quotes for a text.
func wantNoGuessing(t *testing.T, c *sql.Conn) {
	t.Helper()
	var got string
	if err := c.QueryRowContext(t.Context(), `SELECT "no_such_column" FROM role`).Scan(&got); err == nil {
		t.Errorf("a misspelled column was read as the text %q", got)
	}
}

func TestAReaderCannotWrite(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, nil)
	for _, c := range allConnections(t, d.Readers()) {
		for _, statement := range []string{`INSERT INTO setting (key, value) VALUES ('a', 'b')`, `DELETE FROM role`, `CREATE TABLE x (y)`} {
			if _, err := c.ExecContext(t.Context(), statement); err == nil {
				t.Errorf("%s was carried out", statement)
			}
		}
	}
}

// I11
func TestNobodyElseOnTheMachineCanReadTheDatabase(t *testing.T) {
	for _, umask := range []int{0o022, 0} {
		t.Run(fmt.Sprintf("umask %03o", umask), func(t *testing.T) {
			before := syscall.Umask(umask)
			defer syscall.Umask(before)
			path := sqlitePath(t)
			d := sqliteAt(t, path)
			defer closing(t, d)
			if err := d.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, suffix := range []string{"", "-wal", "-shm"} {
				info, err := os.Stat(path + suffix)
				if err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("postern.db%s: %v, %v", suffix, info, err)
				}
			}
		})
	}
}

func TestADatabaseCanStandInAnyFolder(t *testing.T) {
	for _, name := range []string{"with space", "what?mode=memory", "number#1", "100%", "50%20off", "a&b=c;d+e", `Zoë's "portal"`, "file:x", ":memory:"} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), name)
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(folder, name+".db")
			d := sqliteAt(t, path)
			err := errors.Join(d.Migrate(t.Context()), d.Close())
			if err != nil {
				t.Fatal(err)
			}
			files, err := os.ReadDir(folder)
			if err != nil || len(files) != 1 || files[0].Name() != name+".db" {
				t.Fatalf("the folder holds %v, %v", files, err)
			}
			d = sqliteAt(t, path)
			defer closing(t, d)
			wantPragma(t, d.Readers(), "query_only", "1")
			if current, err := d.Migrated(t.Context()); !current {
				t.Errorf("what was written is not there: %v", err)
			}
		})
	}
}

// I18: older versions could damage the file when they restarted the WAL.
func TestSQLiteIsNotOneThatDamagesFiles(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, nil)
	description, err := d.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var a, b, c int
	if _, err := fmt.Sscanf(description, "SQLite %d.%d.%d", &a, &b, &c); err != nil {
		t.Fatalf("%q: %v", description, err)
	}
	if (a*1000+b)*1000+c < 3051003 {
		t.Errorf("%s is older than 3.51.3", description)
	}
}

func TestADamagedFileIsNoticed(t *testing.T) {
	path := sqlitePath(t)
	d := sqliteAt(t, path)
	err := d.Migrate(t.Context())
	if err == nil {
		err = d.Update(t.Context(), func(tx *db.Tx) error { return fill(t.Context(), tx) })
	}
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	damage(t, path)

	d = sqliteAt(t, path)
	defer closing(t, d)
	if description, err := d.Check(t.Context()); err == nil {
		t.Errorf("a damaged file is %s", description)
	}
}

func fill(ctx context.Context, tx *db.Tx) error {
	for i := range 500 {
		if err := tx.SetFact(ctx, fmt.Sprint("fact ", i), strings.Repeat("x", 200)); err != nil {
			return err
		}
	}
	return nil
}

// damage overwrites a page at the end of the file.
func damage(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt([]byte(strings.Repeat("damage! ", 512)), info.Size()-4096)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// I10, I14: whoever copies the file of a stopped portal has all of it.
func TestAClosedDatabaseIsOneFile(t *testing.T) {
	path := sqlitePath(t)
	d := sqliteAt(t, path)
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	closing(t, d)
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if _, err := os.Stat(path + suffix); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("postern.db%s is left: %v", suffix, err)
		}
	}
}
