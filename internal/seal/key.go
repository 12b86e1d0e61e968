// Package seal keeps the key that protects secrets at rest. The key lies in a file outside
// the database and its backups; it must never be written anywhere else.
package seal

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	keySize   = 32
	keyPrefix = "postern-key-1:"
)

// Key is the secret that all others derive from.
type Key struct{ secret []byte }

// Load reads a key file. A missing one is fs.ErrNotExist.
func Load(path string) (Key, error) {
	file, err := os.Open(path)
	if err != nil {
		return Key{}, fmt.Errorf("read the key: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 1024))
	if err != nil {
		return Key{}, fmt.Errorf("read the key: %w", err)
	}
	encoded, ok := strings.CutPrefix(strings.TrimSpace(string(text)), keyPrefix)
	secret, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(secret) != keySize {
		return Key{}, fmt.Errorf("%s does not hold a Postern key", path)
	}
	return Key{secret}, nil
}

// Create makes a key and writes it to a new file that only its owner can read. An existing
// file is fs.ErrExist and stays as it is.
func Create(path string) (Key, error) {
	secret := make([]byte, keySize)
	rand.Read(secret)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return Key{}, fmt.Errorf("create the key: %w", err)
	}
	_, err = fmt.Fprintln(file, keyPrefix+base64.StdEncoding.EncodeToString(secret))
	err = errors.Join(err, file.Sync(), file.Close(), syncFolder(filepath.Dir(path)))
	if err != nil {
		return Key{}, errors.Join(fmt.Errorf("write the key: %w", err), os.Remove(path))
	}
	return Key{secret}, nil
}

// syncFolder makes the new file's name survive a power cut.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// Derive returns 32 bytes for one purpose, from which neither the key nor what is derived
// for another purpose can be found (HKDF-SHA-256, RFC 5869).
func (k Key) Derive(purpose string) []byte {
	derived, err := hkdf.Key(sha256.New, k.secret, nil, "postern "+purpose, keySize)
	if err != nil {
		panic("seal: " + err.Error()) // only for lengths that are never asked for
	}
	return derived
}

// Check returns a text by which a database recognises the key it was set up with; it tells
// nothing about the key.
func (k Key) Check() string { return hex.EncodeToString(k.Derive("key check")) }
