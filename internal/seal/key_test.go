package seal_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"postern/internal/seal"
)

func TestAKeySurvivesARestartAndIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.key")
	if _, err := seal.Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("load without a file: %v", err)
	}
	made, err := seal.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the key file has mode %o", info.Mode().Perm())
	}
	loaded, err := seal.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if made.Check() != loaded.Check() || !bytes.Equal(made.Derive("a"), loaded.Derive("a")) {
		t.Error("the key that was read is not the one that was written")
	}
	if bytes.Equal(made.Derive("a"), made.Derive("b")) {
		t.Error("two purposes share a secret")
	}
	if _, err := seal.Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an existing key was replaced: %v", err)
	}
}

func TestADamagedKeyIsRefused(t *testing.T) {
	for _, text := range []string{"", "\n", "postern-key-1:", "postern-key-1:c2hvcnQ=", "hunter2", "postern-key-1:!!!!"} {
		path := filepath.Join(t.TempDir(), "postern.key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.Load(path); err == nil {
			t.Errorf("%q was taken for a key", text)
		}
	}
}
