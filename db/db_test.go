package db_test

import (
	"testing"

	"postern/db"
	"postern/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestX(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB, clock *dbtest.Clock) {
		ok, err := d.Migrated(t.Context())
		t.Log(ok, err)
	})
}
