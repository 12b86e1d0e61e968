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
		return Key{}, fmt.Errorf("%s does not hold a Postern key: put the right file there", path)
	}
	return Key{secret}, nil
}

// Create makes a key and writes it to a new file that only its owner can read. An existing
// file is fs.ErrExist and stays as it is.
func Create(path string) (Key, error) {
	secret := make([]byte, keySize)
	rand.Read(secret)
	if err := write(path, keyPrefix+base64.StdEncoding.EncodeToString(secret)); err != nil {
		return Key{}, fmt.Errorf("create the key: %w", err)
	}
	return Key{secret}, nil
}

// write makes a file that is there whole or not at all, also after a kill or a power cut:
// it gets its name, by a link that replaces nothing, when it is on the disk.
func write(path, line string) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new*") // mode 0600
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, line)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Link(file.Name(), path)
	}
	return errors.Join(err, os.Remove(file.Name()), syncFolder(filepath.Dir(path)))
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
