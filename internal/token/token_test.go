package token_test

import (
	"bytes"
	"strings"
	"testing"

	"postern/internal/token"
)

func TestTokensAreDistinctAndKnownByTheirHash(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		plain, hash := token.New()
		if seen[plain] {
			t.Fatal("the same token twice")
		}
		seen[plain] = true
		if !token.WellFormed(plain) {
			t.Fatalf("%q is not well-formed", plain)
		}
		if !bytes.Equal(hash, token.Hash(plain)) {
			t.Fatal("the hash handed out is not the token's")
		}
	}
}

func TestMangledTokensAreNotWellFormed(t *testing.T) {
	plain, _ := token.New()
	for _, mangled := range []string{"", plain[1:], plain + "A", plain[:42] + "=", plain[:42] + "\x00", strings.Repeat("A", 1<<20), plain[:42] + "é"} {
		if token.WellFormed(mangled) {
			t.Errorf("%.60q passes for a token", mangled)
		}
	}
}
