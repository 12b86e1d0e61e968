package password_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"postern/internal/password"
)

func hasher() *password.Hasher { return password.NewHasher(password.NewGate(2, 1<<30)) }

func verify(t *testing.T, hashed, typed string) (ok, outdated bool) {
	t.Helper()
	ok, outdated, err := hasher().Verify(t.Context(), password.Visitors, hashed, typed)
	if err != nil && !errors.Is(err, password.ErrUnusable) {
		t.Fatal(err)
	}
	return ok, outdated
}

func TestAPasswordIsVerifiedExactlyAsTyped(t *testing.T) {
	long := strings.Repeat("0123456789", 10)
	for _, chosen := range []string{"Quiet-Harbour-42", " leading and trailing ", "密碼🔑", long, strings.Repeat("x", 256)} {
		hashed, err := hasher().Hash(t.Context(), password.Visitors, chosen)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(hashed, "$argon2id$v=19$m=19456,t=2,p=1$") {
			t.Errorf("hash %q", hashed)
		}
		if ok, outdated := verify(t, hashed, chosen); !ok || outdated {
			t.Errorf("%q: verified %v, outdated %v", chosen, ok, outdated)
		}
		runes := []rune(chosen)
		head, tail := string(runes[:len(runes)-1]), string(runes[1:])
		for _, other := range []string{"", head, tail, head + "\t", "\u00a0" + tail} {
			if ok, _ := verify(t, hashed, other); ok {
				t.Errorf("%q opens what %q was chosen for", other, chosen)
			}
		}
	}
}

func TestAnAccentTypedOnAnotherSystemWorks(t *testing.T) {
	hashed, err := hasher().Hash(t.Context(), password.Visitors, "Cafe\u0301-Harbour-42")
	if err != nil {
		t.Fatal(err)
	}
	if ok, _ := verify(t, hashed, "Caf\u00e9-Harbour-42"); !ok {
		t.Error("the composed form is refused")
	}
}

func TestImportedHashesWorkAndAreMarkedForRenewal(t *testing.T) {
	blowfish, err := bcrypt.GenerateFromPassword([]byte("Quiet-Harbour-42"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	salt := []byte("somesalt")
	older := fmt.Sprintf("$argon2id$v=19$m=1024,t=1,p=2$%s$%s", base64.RawStdEncoding.EncodeToString(salt),
		base64.RawStdEncoding.EncodeToString(argon2.IDKey([]byte("Quiet-Harbour-42"), salt, 1, 1024, 2, 24)))
	for _, hashed := range []string{string(blowfish), older} {
		if !password.Importable(hashed) {
			t.Fatalf("%s cannot be imported", hashed)
		}
		if ok, outdated := verify(t, hashed, "Quiet-Harbour-42"); !ok || !outdated {
			t.Errorf("%s: verified %v, outdated %v", hashed, ok, outdated)
		}
		if ok, _ := verify(t, hashed, "Quiet-Harbour-43"); ok {
			t.Errorf("%s opens with another password", hashed)
		}
	}
}

func TestALongPasswordNeverMatchesWhatBcryptWouldHaveCut(t *testing.T) {
	seventyTwo := strings.Repeat("0123456789ab", 6)
	hashed, err := bcrypt.GenerateFromPassword([]byte(seventyTwo), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _ := verify(t, string(hashed), seventyTwo); !ok {
		t.Error("72 bytes are refused")
	}
	if ok, _ := verify(t, string(hashed), seventyTwo+"c"); ok {
		t.Error("the 73rd byte is ignored")
	}
}

func TestUnusableHashesNeverOpen(t *testing.T) {
	for _, hashed := range []string{
		"", "plain", "NULL", "0", "$2a$31$" + strings.Repeat("a", 53), "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21l$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=19456,t=99,p=1$c29tZXNhbHRzb21l$AAAAAAAAAAAAAAAAAAAAAA", "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21l$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=19456,t=2,p=1$$", "$argon2id$v=19$m=19456,t=2,p=0$c29tZXNhbHRzb21l$AAAAAAAAAAAAAAAAAAAAAA",
	} {
		if hashed != "" && password.Importable(hashed) {
			t.Errorf("%q can be imported", hashed)
		}
		for _, typed := range []string{"", "plain", "NULL", "0"} {
			if ok, _ := verify(t, hashed, typed); ok {
				t.Errorf("%q opens %q", typed, hashed)
			}
		}
	}
}

func TestAnEndlessPasswordIsRefusedBeforeHashing(t *testing.T) {
	for _, typed := range []string{strings.Repeat("x", 257), strings.Repeat("x", 10<<20)} {
		if _, err := hasher().Hash(t.Context(), password.Visitors, typed); !errors.Is(err, password.ErrTooLong) {
			t.Errorf("%d bytes: %v", len(typed), err)
		}
	}
}

func TestAFloodOfSignInsIsTurnedAwayWhileSignedInPeopleGetThrough(t *testing.T) {
	h := hasher()
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	var busy atomic.Int64
	for range 200 {
		flood.Go(func() {
			if _, err := h.Hash(ctx, password.Visitors, "Quiet-Harbour-42"); errors.Is(err, password.ErrBusy) {
				busy.Add(1)
			}
		})
	}
	for busy.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	// Fifty wait in the visitors' queue by now; the signed-in lane takes turns with them.
	for range 5 {
		if _, err := h.Hash(ctx, password.SignedIn, "Quiet-Harbour-42"); err != nil {
			t.Errorf("a signed-in person is turned away: %v", err)
		}
	}
	stop()
	flood.Wait()
	if n := busy.Load(); n < 100 || n > 150 {
		t.Errorf("%d of 200 were turned away", n)
	}
	if _, err := h.Hash(t.Context(), password.Visitors, "Quiet-Harbour-42"); err != nil {
		t.Errorf("after the flood: %v", err)
	}
}
