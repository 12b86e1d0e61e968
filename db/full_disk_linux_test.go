package db_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"postern/db"
)

// smallDisk is a disk of 2 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("only root can mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	})
	return folder
}

// fillDisk leaves no room, and returns the file that takes it.
func fillDisk(t *testing.T, folder string) string {
	t.Helper()
	path := filepath.Join(folder, "something big")
	err := os.WriteFile(path, make([]byte, 4<<20), 0o600)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk does not get full: %v", err)
	}
	return path
}

// I3, I4
func TestAFullDiskRefusesToWriteKeepsWhatIsThereAndRecovers(t *testing.T) {
	folder := smallDisk(t)
	d := sqliteAt(t, filepath.Join(folder, "postern.db"))
	defer closing(t, d)
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ann := newUser(t, d, "ann@acme.example")
	session := signIn(t, d, ann, "a")
	big := fillDisk(t, folder)

	acknowledged, err := writeUntilRefused(t.Context(), d)
	wantUnavailable(t, "a full disk", err)
	err = d.Update(t.Context(), func(tx *db.Tx) error { return tx.EndSession(t.Context(), session) })
	wantUnavailable(t, "signing out", err)
	if _, _, err := d.Reader().SessionByToken(t.Context(), hash("a")); err != nil {
		t.Errorf("reading: %v", err)
	}
	wantRows(t, d, "setting", acknowledged)

	if err := os.Remove(big); err != nil {
		t.Fatal(err)
	}
	update(t, d, func(tx *db.Tx) error { return tx.EndSession(t.Context(), session) })
	wantNoSession(t, d, "a")
	wantRows(t, d, "setting", acknowledged)
	if description, err := d.Check(t.Context()); err != nil {
		t.Errorf("%s: %v", description, err)
	}
}

// writeUntilRefused says how many writes were acknowledged before the error.
func writeUntilRefused(ctx context.Context, d *db.DB) (n int64, err error) {
	for ; n < 10_000 && err == nil; n++ {
		err = d.Update(ctx, func(tx *db.Tx) error { return tx.SetSetting(ctx, fmt.Sprint(n), strings.Repeat("x", 2000)) })
	}
	return n - 1, err
}
