package password

import (
	"context"
	"crypto/rand"

	"golang.org/x/crypto/argon2"
)

// Hasher hashes and verifies through the one gate that all of them share.
type Hasher struct {
	gate  *Gate
	dummy stored
}

// NewHasher returns a hasher behind the gate.
func NewHasher(gate *Gate) *Hasher {
	return &Hasher{gate: gate, dummy: stored{memory: memory, passes: passes, threads: threads,
		salt: make([]byte, saltLen), key: make([]byte, keyLen)}}
}

// Hash returns the hash to keep of a password: ErrTooLong outside the bounds, ErrBusy when
// the gate is full.
func (h *Hasher) Hash(ctx context.Context, lane Lane, password string) (string, error) {
	normal, err := Normalize(password)
	if err != nil {
		return "", err
	}
	leave, err := h.gate.enter(ctx, lane, memory)
	if err != nil {
		return "", err
	}
	defer leave()
	return hash(normal), nil
}

// Digest hashes a random code under a salt that it shares with others, so that one hash
// compares it with all of them.
func (h *Hasher) Digest(ctx context.Context, lane Lane, salt []byte, code string) ([]byte, error) {
	leave, err := h.gate.enter(ctx, lane, memory)
	if err != nil {
		return nil, err
	}
	defer leave()
	return argon2.IDKey([]byte(code), salt, passes, memory, threads, keyLen), nil
}

// NewSalt returns a fresh salt for Digest.
func NewSalt() []byte {
	salt := make([]byte, saltLen)
	rand.Read(salt)
	return salt
}

// Verify says whether the password is the one of the stored hash, and whether that hash
// should be made anew. An empty hash stands for nobody's: it never matches, and costs the
// same as another. ErrUnusable hashes never match either, and cost the same.
func (h *Hasher) Verify(ctx context.Context, lane Lane, hashed, password string) (ok, outdated bool, err error) {
	normal, err := Normalize(password)
	if err != nil {
		return false, false, err
	}
	against, unusable := h.dummy, error(nil)
	if hashed != "" {
		if against, unusable = parse(hashed); unusable != nil {
			against = h.dummy
		}
	}
	leave, err := h.gate.enter(ctx, lane, against.memory)
	if err != nil {
		return false, false, err
	}
	defer leave()
	matches := against.matches(normal)
	if hashed == "" || unusable != nil {
		return false, false, unusable
	}
	return matches, matches && against.outdated(), nil
}
