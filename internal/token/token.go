// Package token makes the random strings that Postern hands out once and keeps as hashes.
// It must never return a hash where the string is meant, or the other way round.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// size is 256 bits, twice what ASVS 11.5.1 asks for, so that a plain hash protects it.
const size = 32

// length is what a token takes in base64url without padding.
const length = 43

// New returns a fresh token, to be handed out once, and the hash to keep.
func New() (plain string, hash []byte) {
	secret := make([]byte, size)
	rand.Read(secret) // never fails: the program ends if the system has no randomness
	plain = base64.RawURLEncoding.EncodeToString(secret)
	return plain, Hash(plain)
}

// Hash returns what is kept of a token.
func Hash(plain string) []byte {
	sum := sha256.Sum256([]byte(plain))
	return sum[:]
}

// WellFormed says whether a string could be a token at all.
func WellFormed(s string) bool {
	if len(s) != length {
		return false
	}
	_, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil
}
