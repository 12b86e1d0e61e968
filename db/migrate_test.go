package db_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"postern/db"
	"postern/db/dbtest"
)

// eachConfig runs the test with an empty database of each engine that is still closed.
func eachConfig(t *testing.T, test func(t *testing.T, cfg db.Config)) {
	t.Helper()
	t.Run(string(db.SQLite), func(t *testing.T) { test(t, db.Config{Path: sqlitePath(t)}) })
	t.Run(string(db.PostgreSQL), func(t *testing.T) { test(t, db.Config{URL: dbtest.NewPostgreSQL(t)}) })
}

// eachEmpty runs the test on a database of each engine that was never migrated.
func eachEmpty(t *testing.T, test func(t *testing.T, d *db.DB)) {
	t.Helper()
	eachConfig(t, func(t *testing.T, cfg db.Config) { test(t, openEmpty(t, cfg)) })
}

func openEmpty(t testing.TB, cfg db.Config) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closing(t, d) })
	return d
}

func wantEmpty(t *testing.T, d *db.DB, want bool) {
	t.Helper()
	if empty, err := d.Empty(t.Context()); err != nil || empty != want {
		t.Errorf("empty: %t, %v", empty, err)
	}
}

func wantMigrated(t *testing.T, d *db.DB, want bool) {
	t.Helper()
	if current, err := d.Migrated(t.Context()); err != nil || current != want {
		t.Errorf("migrated: %t, %v", current, err)
	}
}

// An emptied database must be told from one that is in use, and looking at it must not
// make the difference go away.
func TestAnEmptyDatabaseIsToldFromOneInUse(t *testing.T) {
	eachEmpty(t, func(t *testing.T, d *db.DB) {
		wantEmpty(t, d, true)
		wantMigrated(t, d, false)
		wantEmpty(t, d, true)
		if err := d.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantEmpty(t, d, false)
		wantMigrated(t, d, true)
	})
}

func TestMigratingTwiceChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		if err := d.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := user(t, d, ann.ID); got.Email != ann.Email {
			t.Errorf("the user became %q", got.Email)
		}
		wantRows(t, d, "role", 5)
	})
}

// I15
func TestAnOlderProgramRefusesANewerDatabase(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		raw(t, d, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, TRUE)`)
		if err := d.Migrate(t.Context()); !errors.Is(err, db.ErrNewer) {
			t.Errorf("migrating: %v", err)
		}
		if current, err := d.Migrated(t.Context()); current || !errors.Is(err, db.ErrNewer) {
			t.Errorf("asking: %t, %v", current, err)
		}
	})
}

// I15: a table in the way stops the first step at its last statements, as a kill would.
func TestAMigrationCutOffHalfWayRunsAgain(t *testing.T) {
	eachEmpty(t, func(t *testing.T, d *db.DB) {
		raw(t, d, `CREATE TABLE audit_event (x BIGINT)`)
		if err := d.Migrate(t.Context()); err == nil {
			t.Fatal("nothing was in the way")
		}
		if _, err := d.Writer().ExecContext(t.Context(), `SELECT 1 FROM user_account`); err == nil {
			t.Error("half of it stayed")
		}
		wantMigrated(t, d, false)
		raw(t, d, `DROP TABLE audit_event`)
		if err := d.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantMigrated(t, d, true)
		newUser(t, d, "ann@acme.example")
	})
}

func TestNodesThatStartAtOnceAllStart(t *testing.T) {
	url := dbtest.NewPostgreSQL(t)
	var nodes []*db.DB
	for range 4 {
		nodes = append(nodes, openEmpty(t, db.Config{URL: url}))
	}
	migrateAtOnce(t, nodes)
	// Once more, as if the step had just come with an update: nothing is there but the
	// record of earlier ones. Two are enough, because whoever waits does so for seconds.
	raw(t, nodes[0], `DELETE FROM goose_db_version WHERE version_id > 0`)
	raw(t, nodes[0], `DO $$ DECLARE t text; BEGIN
		FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'goose_db_version' LOOP
			EXECUTE format('DROP TABLE %I CASCADE', t); END LOOP; END $$`)
	migrateAtOnce(t, nodes[:2])
}

func migrateAtOnce(t *testing.T, nodes []*db.DB) {
	t.Helper()
	for i, err := range atOnce(len(nodes), func(i int) error { return nodes[i].Migrate(t.Context()) }) {
		if err != nil {
			t.Errorf("node %d: %v", i, err)
		}
	}
	wantMigrated(t, nodes[0], true)
	wantRows(t, nodes[0], "role", 5)
}

func TestTheBuiltInRolesMayWhatWasPromised(t *testing.T) {
	const all = "users.view users.edit users.reset_password users.reset_totp organizations.edit roles.edit settings.edit mail.view audit.view"
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		for id, want := range map[string]struct{ scope, permissions string }{
			"owner":                {"everybody", all},
			"support":              {"everybody", "users.view users.reset_password users.reset_totp mail.view"},
			"auditor":              {"everybody", "users.view audit.view"},
			"portal_administrator": {"organization", "users.view users.edit users.reset_password users.reset_totp audit.view"},
			"customer":             {"organization", ""},
		} {
			role, err := d.Reader().Role(t.Context(), id)
			if err != nil || role.Scope != want.scope || !slices.Equal(role.Permissions, strings.Fields(want.permissions)) {
				t.Errorf("%s: %+v, %v", id, role, err)
			}
		}
	})
}
