// Package totp makes and checks the codes of authenticator apps (RFC 6238) and the recovery
// codes that stand in for them. It must never say that a code is right without saying for
// which time step, because each step may be used once.
package totp

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

const (
	secretSize = 20 // bytes: the 160 bits that RFC 4226 recommends
	period     = 30 * time.Second
	digits     = 6
	skew       = 1 // steps either way
)

// base32NoPadding is how secrets are shown and shared with apps.
var base32NoPadding = base32.StdEncoding.WithPadding(base32.NoPadding)

// Secret is what an authenticator and the portal share.
type Secret []byte

// NewSecret returns a fresh secret.
func NewSecret() Secret {
	s := make(Secret, secretSize)
	rand.Read(s)
	return s
}

// Text is the secret as it is typed into an app.
func (s Secret) Text() string { return base32NoPadding.EncodeToString(s) }

// URL is the secret as an app reads it from a QR code or a link. Neither name may hold a
// colon there, so it is left out.
func (s Secret) URL(issuer, account string) string {
	issuer, account = strings.ReplaceAll(issuer, ":", ""), strings.ReplaceAll(account, ":", "")
	// Apps take a plus sign for what it is and not for a blank.
	escaped := strings.ReplaceAll(url.QueryEscape(issuer), "+", "%20")
	query := "secret=" + s.Text() + "&issuer=" + escaped + "&algorithm=SHA1&digits=6&period=30"
	return (&url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + issuer + ":" + account, RawQuery: query}).String()
}

// StepAt is the time step of a moment.
func StepAt(now time.Time) int64 { return now.Unix() / int64(period/time.Second) }

// Match returns the time step that a code belongs to, among the present one and one to
// either side. Whether that step may still be used is decided where the last one is kept.
func (s Secret) Match(typed string, now time.Time) (step int64, ok bool) {
	code := plain(typed)
	if len(code) != digits {
		return 0, false
	}
	present := StepAt(now)
	for candidate := present - skew; candidate <= present+skew; candidate++ {
		right, err := hotp.GenerateCodeCustom(s.Text(), uint64(candidate), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && subtle.ConstantTimeCompare([]byte(right), []byte(code)) == 1 {
			step, ok = candidate, true
		}
	}
	return step, ok
}

// Code is what the app shows at a moment; tests stand in for the app with it.
func (s Secret) Code(now time.Time) (string, error) {
	return hotp.GenerateCodeCustom(s.Text(), uint64(StepAt(now)), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
}

// ParseSecret reads the text of a secret, with or without blanks.
func ParseSecret(text string) (Secret, error) {
	return base32NoPadding.DecodeString(strings.ToUpper(strings.Join(strings.Fields(text), "")))
}

// plain takes blanks and dashes out of a code, and makes full-width digits plain ones.
func plain(typed string) string {
	if len(typed) > 64 {
		return ""
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '-' || r == '\t' || r == '\u00a0':
			return -1
		case '０' <= r && r <= '９':
			return r - '０' + '0'
		}
		return r
	}, typed)
}
