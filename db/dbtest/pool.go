package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"postern/db"
)

// used are the migrated PostgreSQL databases that earlier tests are done with. To empty one
// takes milliseconds, to make one half a second.
var used struct {
	mu   sync.Mutex
	free []string
}

// openPostgreSQL opens a migrated database with nothing in it, and gives it back after the
// test, unless the test has changed more than its rows.
func openPostgreSQL(t testing.TB, now func() time.Time) *db.DB {
	t.Helper()
	url := takeUsed()
	if url == "" {
		url = NewPostgreSQL(t)
	}
	var schema string
	t.Cleanup(func() {
		if err := giveBack(url, schema); err != nil {
			t.Errorf("empty the database: %v", err)
		}
	})
	d := open(t, db.Config{URL: url, Now: now})
	if err := beside(url, func(one *sql.Conn) error {
		return one.QueryRowContext(context.Background(), schemaOf).Scan(&schema)
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

func takeUsed() (url string) {
	used.mu.Lock()
	defer used.mu.Unlock()
	if last := len(used.free) - 1; last >= 0 {
		url, used.free = used.free[last], used.free[:last]
	}
	return url
}

// schemaOf is all that could be different about a database but for its rows.
const schemaOf = `SELECT md5(string_agg(line, ' ' ORDER BY line)) FROM (
	SELECT format('%s.%s %s %s', attrelid::regclass, attname, atttypid, attnotnull) AS line FROM pg_attribute
		JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'public'::regnamespace
	UNION ALL SELECT format('%s %s', tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
	UNION ALL SELECT format('%s %s', conname, conrelid::regclass) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
	UNION ALL SELECT format('version %s', version_id) FROM goose_db_version
	UNION ALL SELECT format('role %s %s %s', id, name, permissions) FROM role WHERE built_in
) AS lines`

// beside does something on a connection of its own.
func beside(url string, do func(*sql.Conn) error) error {
	pool, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	defer pool.Close()
	one, err := pool.Conn(context.Background())
	if err != nil {
		return err
	}
	defer one.Close()
	return do(one)
}

// giveBack empties the database, begins its ids anew, and keeps it for the next test. One
// whose schema the test has changed, or broken, is not used again.
func giveBack(url, schema string) error {
	return beside(url, func(one *sql.Conn) error {
		var now string
		if err := one.QueryRowContext(context.Background(), schemaOf).Scan(&now); err != nil || now != schema {
			return nil //nolint:nilerr // it is left alone
		}
		if err := empty(context.Background(), one); err != nil {
			return err
		}
		used.mu.Lock()
		defer used.mu.Unlock()
		used.free = append(used.free, url)
		return nil
	})
}

// empty deletes all rows but the built-in roles.
func empty(ctx context.Context, one *sql.Conn) error {
	rows, err := one.QueryContext(ctx, `SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
		AND relname NOT IN ('role', 'goose_db_version')`)
	if err != nil {
		return err
	}
	defer rows.Close()
	// Without the triggers that check references the order does not matter.
	all := `SET session_replication_role = replica; DELETE FROM role WHERE NOT built_in;`
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			return err
		}
		all += fmt.Sprintf(" DELETE FROM %q;", table)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	all += ` SELECT setval(format('%I', sequencename)::regclass, start_value, false) FROM pg_sequences
		WHERE schemaname = 'public' AND sequencename NOT LIKE 'goose%';`
	_, err = one.ExecContext(ctx, all)
	return err
}
