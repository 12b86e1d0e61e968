package totp

import (
	"crypto/rand"
	"encoding/base32"
	"regexp"
	"strings"
)

// RecoveryCodes is how many a set has.
const RecoveryCodes = 10

// recoveryAlphabet has no 0, 1, 8 and 9, which look like letters.
var recoveryAlphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewRecoveryCodes returns a set of fresh codes of 80 bits each, in four groups of four.
func NewRecoveryCodes() []string {
	codes := make([]string, RecoveryCodes)
	for i := range codes {
		secret := make([]byte, 10)
		rand.Read(secret)
		text := recoveryAlphabet.EncodeToString(secret)
		codes[i] = text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
	}
	return codes
}

var bareRecoveryCode = regexp.MustCompile(`^[a-z2-7]{16}$`)

// RecoveryCode reads a recovery code, with or without dashes and blanks, in capitals or
// not; false when the text can be none.
func RecoveryCode(typed string) (bare string, ok bool) {
	if len(typed) > 64 {
		return "", false
	}
	bare = strings.ToLower(plain(typed))
	return bare, bareRecoveryCode.MatchString(bare)
}
