// Package password judges, hashes and verifies passwords. It must never log one, keep one
// longer than a call lasts, or change one beyond Unicode normalisation.
package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/text/unicode/norm"
)

// Bounds on what is hashed at all, so that a long password costs no more than a short one
// (NIST SP 800-63B-4 asks for at least 64 characters).
const (
	MaxLength = 256  // code points
	maxBytes  = 1024 // of UTF-8
)

// ErrTooLong is returned for a password outside the bounds.
var ErrTooLong = errors.New("password too long")

// ErrUnusable is returned for a stored hash that cannot be read or asks for too much.
var ErrUnusable = errors.New("stored password hash is not usable")

// The parameters of new hashes: argon2id as in the OWASP Password Storage Cheat Sheet.
const (
	memory  = 19 * 1024 // KiB
	passes  = 2
	threads = 1
	saltLen = 16
	keyLen  = 32
)

// The most a stored hash may ask for, so that an imported row cannot stop the portal.
const (
	maxMemory  = 256 * 1024 // KiB
	maxPasses  = 10
	maxThreads = 8
	maxKeyLen  = 64
	maxCost    = 14   // bcrypt: 2^14 rounds
	bcryptMax  = 72   // bytes that bcrypt looks at
	bcryptCost = 1024 // KiB charged to the gate; it needs 4
)

// Normalize returns the password in the form that is hashed and judged: NFC, so that an
// accent typed on one system works on another. It is ErrTooLong outside the bounds.
func Normalize(password string) (string, error) {
	if len(password) > maxBytes || !utf8.ValidString(password) {
		return "", ErrTooLong
	}
	normal := norm.NFC.String(password)
	if utf8.RuneCountInString(normal) > MaxLength || len(normal) > maxBytes {
		return "", ErrTooLong
	}
	return normal, nil
}

// hash returns the PHC string of a normalized password under a new salt.
func hash(password string) string {
	salt := make([]byte, saltLen)
	rand.Read(salt)
	key := argon2.IDKey([]byte(password), salt, passes, memory, threads, keyLen)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, threads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

// stored is a hash as read from the database.
type stored struct {
	bcrypt    []byte // set for bcrypt, else the fields below
	memory    uint32 // KiB
	passes    uint32
	threads   uint8
	salt, key []byte
}

var bcryptPattern = regexp.MustCompile(`^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)

// parse reads a stored hash; what cannot be read or exceeds the bounds is ErrUnusable.
func parse(text string) (s stored, err error) {
	if strings.HasPrefix(text, "$2") {
		cost, err := bcrypt.Cost([]byte(text))
		// The library reads other versions and lengths, too, which then match nothing.
		if err != nil || cost > maxCost || !bcryptPattern.MatchString(text) {
			return s, ErrUnusable
		}
		return stored{bcrypt: []byte(text), memory: bcryptCost}, nil
	}
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v=19" {
		return s, ErrUnusable
	}
	m, t, p, ok := parameters(parts[3])
	if !ok || m < 8 || m > maxMemory || t < 1 || t > maxPasses || p < 1 || p > maxThreads {
		return s, ErrUnusable
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	key, keyErr := base64.RawStdEncoding.DecodeString(parts[5])
	if saltErr != nil || keyErr != nil || len(salt) < 8 || len(salt) > maxKeyLen || len(key) < 16 || len(key) > maxKeyLen {
		return s, ErrUnusable
	}
	return stored{memory: uint32(m), passes: uint32(t), threads: uint8(p), salt: salt, key: key}, nil
}

// parameters reads "m=19456,t=2,p=1".
func parameters(text string) (m, t, p uint64, ok bool) {
	fields := strings.Split(text, ",")
	if len(fields) != 3 {
		return 0, 0, 0, false
	}
	var values [3]uint64
	for i, name := range []string{"m=", "t=", "p="} {
		digits, found := strings.CutPrefix(fields[i], name)
		value, err := strconv.ParseUint(digits, 10, 32)
		if !found || err != nil {
			return 0, 0, 0, false
		}
		values[i] = value
	}
	return values[0], values[1], values[2], true
}

// Importable says whether a hash made elsewhere can be used here.
func Importable(text string) bool {
	_, err := parse(text)
	return err == nil
}

// outdated says whether new hashes are made differently.
func (s stored) outdated() bool {
	return s.bcrypt != nil || s.memory != memory || s.passes != passes || s.threads != threads ||
		len(s.salt) != saltLen || len(s.key) != keyLen
}

func (s stored) matches(password string) bool {
	if s.bcrypt != nil {
		// Go's comparison takes longer passwords and ignores the rest of them.
		return len(password) <= bcryptMax && bcrypt.CompareHashAndPassword(s.bcrypt, []byte(password)) == nil
	}
	key := argon2.IDKey([]byte(password), s.salt, s.passes, s.memory, s.threads, uint32(len(s.key)))
	return subtle.ConstantTimeCompare(key, s.key) == 1
}
