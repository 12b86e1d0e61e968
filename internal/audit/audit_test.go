package audit_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/audit"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// open opens a fresh database, and once more beside it: events can only be appended.
func open(t *testing.T, engine db.Engine) (*db.DB, *sql.DB) {
	t.Helper()
	cfg := db.Config{Path: filepath.Join(t.TempDir(), "postern.db"), Now: dbtest.NewClock().Now}
	driver, name := "sqlite", "file:"+cfg.Path
	if engine == db.PostgreSQL {
		cfg.URL = dbtest.NewPostgreSQL(t)
		driver, name = "pgx", cfg.URL
	}
	d, err := db.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	raw, opened := sql.Open(driver, name)
	t.Cleanup(func() {
		if err := errors.Join(raw.Close(), d.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(opened, d.Migrate(t.Context())); err != nil {
		t.Fatal(err)
	}
	return d, raw
}

func TestAnEventSaysWhoDidWhatToWhomAndWhere(t *testing.T) {
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) {
			d, raw := open(t, engine)
			hostile := "line\nbreak \"quote\" {\"outcome\":\"done\"} \u202e<b>"
			stop := errors.New("stop")
			record := func(e audit.Event, end error) {
				t.Helper()
				err := d.Update(t.Context(), func(tx *db.Tx) error { return errors.Join(audit.Record(t.Context(), tx, e), end) })
				if !errors.Is(err, end) {
					t.Fatal(err)
				}
			}
			actor := db.Actor{Kind: db.ActorUser, UserID: 7, SessionID: 8, Address: "192.0.2.1", UserAgent: "Test/1.0", RequestID: "REQUEST"}
			record(audit.Event{Action: audit.PasswordChanged, Actor: actor, Refused: true, User: db.User{ID: 9, OrganizationID: 4},
				OrganizationID: 5, Detail: map[string]string{"text": hostile}}, nil)
			record(audit.Event{Action: audit.OrganizationCreated, Actor: db.Actor{Kind: db.ActorOperator}, OrganizationID: 5}, nil)
			record(audit.Event{Action: audit.UserDeleted, Actor: actor}, stop) // nothing of it remains

			rows, err := raw.QueryContext(t.Context(), `SELECT action || ' ' || outcome || ' ' || actor_kind || ' ' || COALESCE(actor_id, 0) || ' ' ||
				COALESCE(user_id, 0) || ' ' || COALESCE(organization_id, 0) || ' ' || address || ' ' || user_agent || ' ' || request_id, detail
				FROM audit_event ORDER BY id`)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			var lines []string
			for rows.Next() {
				var line, detail string
				var values map[string]string
				if err := errors.Join(rows.Scan(&line, &detail), json.Unmarshal([]byte(detail), &values)); err != nil {
					t.Fatalf("%q: %v", detail, err)
				}
				if len(lines) == 0 && values["text"] != hostile || strings.Contains(detail, "\n") { // F8
					t.Errorf("the detail is %q", detail)
				}
				lines = append(lines, line)
			}
			want := "password.changed refused user 7 9 4 192.0.2.1 Test/1.0 REQUEST\norganization.created done operator 0 0 5   "
			if got := strings.Join(lines, "\n"); got != want || rows.Err() != nil {
				t.Errorf("the events are\n%s\ninstead of\n%s\n%v", got, want, rows.Err())
			}
		})
	}
}
