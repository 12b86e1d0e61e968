package totp_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/internal/totp"
)

// The secret and the codes of RFC 6238, appendix B, cut to six digits.
var rfc = totp.Secret("12345678901234567890")

func TestCodesAreThoseOfTheStandard(t *testing.T) {
	for seconds, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924",
		2000000000: "279037", 20000000000: "353130"} {
		now := time.Unix(seconds, 0)
		if code, err := rfc.Code(now); err != nil || code != want {
			t.Errorf("at %d the code is %q (%v), want %q", seconds, code, err, want)
		}
		if step, ok := rfc.Match(want, now); !ok || step != seconds/30 {
			t.Errorf("at %d the code is of step %d (%v)", seconds, step, ok)
		}
	}
}

func TestACodeIsTakenOneStepEarlyOrLateAndNoMore(t *testing.T) {
	now := time.Unix(1234567890, 0)
	code, err := rfc.Code(now)
	if err != nil {
		t.Fatal(err)
	}
	for shift, want := range map[time.Duration]bool{0: true, 30 * time.Second: true, -30 * time.Second: true,
		60 * time.Second: false, -60 * time.Second: false} {
		if step, ok := rfc.Match(code, now.Add(shift)); ok != want || ok && step != totp.StepAt(now) {
			t.Errorf("%s later it is taken: %v, for step %d", shift, ok, step)
		}
	}
}

func TestCodesAreReadAsPeopleTypeThem(t *testing.T) {
	now := time.Unix(1234567890, 0) // 005924
	for typed, want := range map[string]bool{"005924": true, "005 924": true, " 005-924 ": true, "００５９２４": true, "5924": false,
		"0059240": false, "": false, "00592a": false, strings.Repeat("0", 1<<20): false, "005924\x00": false} {
		if _, ok := rfc.Match(typed, now); ok != want {
			t.Errorf("%.20q is taken: %v", typed, ok)
		}
	}
}

func TestAnAppCanReadTheAddress(t *testing.T) {
	secret := totp.NewSecret()
	text := secret.URL("Acme: Portal & Co", "ann@acme.example")
	address, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if address.Scheme != "otpauth" || address.Host != "totp" || address.Path != "/Acme Portal & Co:ann@acme.example" {
		t.Errorf("address %s", text)
	}
	query := address.Query()
	if query.Get("secret") != secret.Text() || query.Get("issuer") != "Acme Portal & Co" || strings.Contains(text, "+") {
		t.Errorf("address %s", text)
	}
	if parsed, err := totp.ParseSecret(strings.ToLower(secret.Text()[:4]) + " " + secret.Text()[4:]); err != nil || string(parsed) != string(secret) {
		t.Errorf("the typed secret is another one (%v)", err)
	}
	code, err := totp.NewQRCode(text)
	if err != nil || code.Size < 21+8 || !strings.HasPrefix(code.Path, "M4 4h7v1h-7z") {
		t.Errorf("QR code of %d units, beginning %.20q (%v)", code.Size, code.Path, err)
	}
}

func TestRecoveryCodesAreDistinctAndForgiving(t *testing.T) {
	shape := regexp.MustCompile(`^([a-z2-7]{4}-){3}[a-z2-7]{4}$`)
	seen := map[string]bool{}
	for range 50 {
		for _, code := range totp.NewRecoveryCodes() {
			if !shape.MatchString(code) || seen[code] {
				t.Fatalf("code %q, seen before: %v", code, seen[code])
			}
			seen[code] = true
			bare := strings.ReplaceAll(code, "-", "")
			for _, typed := range []string{code, bare, strings.ToUpper(code), " " + bare[:8] + " " + bare[8:] + " "} {
				if got, ok := totp.RecoveryCode(typed); !ok || got != bare {
					t.Fatalf("%q is read as %q (%v)", typed, got, ok)
				}
			}
		}
	}
	for _, typed := range []string{"", "123456", "abcd-efgh-ijkl-mnop-q", "abcd-efgh-ijkl-mno1", strings.Repeat("a", 1<<20)} {
		if _, ok := totp.RecoveryCode(typed); ok {
			t.Errorf("%.30q passes for a recovery code", typed)
		}
	}
}
