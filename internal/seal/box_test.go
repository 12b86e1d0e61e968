package seal_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"postern/internal/seal"
)

func newKey(t *testing.T) seal.Key {
	t.Helper()
	key, err := seal.Create(filepath.Join(t.TempDir(), "postern.key"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestASealedSecretOpensForItsOwnerAlone(t *testing.T) {
	key, secret := newKey(t), []byte("a secret of an authenticator")
	sealed := key.Seal(secret, "user 7")
	if bytes.Contains(sealed, secret) {
		t.Fatal("the secret can be read")
	}
	if plain, err := key.Open(sealed, "user 7"); err != nil || !bytes.Equal(plain, secret) {
		t.Fatalf("the owner gets %q (%v)", plain, err)
	}
	if bytes.Equal(key.Seal(secret, "user 7"), sealed) {
		t.Error("sealed twice it looks the same")
	}
	if _, err := key.Open(sealed, "user 8"); !errors.Is(err, seal.ErrSealed) {
		t.Error("another owner's row opens it")
	}
	if _, err := newKey(t).Open(sealed, "user 7"); !errors.Is(err, seal.ErrSealed) {
		t.Error("another key opens it")
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := key.Open(changed, "user 7"); !errors.Is(err, seal.ErrSealed) {
			t.Fatalf("with bit %d turned it opens", i*8)
		}
	}
	for _, short := range [][]byte{nil, {1}, sealed[:24], sealed[:40]} {
		if _, err := key.Open(short, "user 7"); !errors.Is(err, seal.ErrSealed) {
			t.Errorf("%d bytes open", len(short))
		}
	}
}
