package seal

import (
	"crypto/rand"
	"errors"

	"golang.org/x/crypto/chacha20poly1305"
)

// ErrSealed is returned for what this key has not sealed, or not for that owner, or what
// was changed since.
var ErrSealed = errors.New("cannot be unsealed with this key")

// boxVersion names the way of sealing, so that another can be told from it later.
const boxVersion = 1

// Seal encrypts a secret for an owner, with XChaCha20-Poly1305 under a fresh nonce. Only
// the same owner (a table and an id) can have it unsealed, so rows cannot be swapped.
func (k Key) Seal(plain []byte, owner string) []byte {
	aead, err := chacha20poly1305.NewX(k.Derive("seal"))
	if err != nil {
		panic("seal: " + err.Error()) // only for keys of another length
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce)
	return append([]byte{boxVersion}, aead.Seal(nonce, nonce, plain, []byte(owner))...)
}

// Open decrypts what Seal has sealed for that owner; everything else is ErrSealed.
func (k Key) Open(sealed []byte, owner string) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(k.Derive("seal"))
	if err != nil {
		panic("seal: " + err.Error())
	}
	if len(sealed) < 1+aead.NonceSize() || sealed[0] != boxVersion {
		return nil, ErrSealed
	}
	nonce, box := sealed[1:1+aead.NonceSize()], sealed[1+aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, box, []byte(owner))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}
