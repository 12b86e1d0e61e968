package mail_test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/config"
	"postern/internal/mail/mailtest"
)

// spellings are how a password could stand in a dialogue.
func spellings() []string {
	encode := base64.StdEncoding.EncodeToString
	return []string{mailPassword, encode([]byte(mailPassword)), encode([]byte("\x00" + mailUser + "\x00" + mailPassword)),
		hex.EncodeToString([]byte(mailPassword))}
}

func TestTheDoctorTellsTheDialogueWithoutThePassword(t *testing.T) {
	pair, trusted := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	offers := &tls.Config{Certificates: []tls.Certificate{pair}}
	right, wrong, clear := withPassword, withPassword, withPassword
	right.TLS, wrong.TLS, wrong.Password = offers, offers, "another"
	for name, test := range map[string]struct {
		options mailtest.Options
		how     config.Security
		refuse  error
		steps   []string
		fails   string
	}{
		"right password": {right, config.StartTLS, nil, []string{"portal: EHLO " + portalHost, "portal: STARTTLS", "portal: <SMTP auth data redacted>",
			"server: 235", "portal: MAIL FROM:<portal@vendor.example>"}, ""},
		"wrong password":            {wrong, config.StartTLS, nil, []string{"portal: STARTTLS", "server: 535"}, "535"},
		"no STARTTLS":               {clear, config.StartTLS, nil, []string{"portal: EHLO " + portalHost, "server: 250"}, "STARTTLS"},
		"on this machine, no TLS":   {clear, config.NoTLS, nil, []string{"portal: EHLO " + portalHost, "server: 235"}, ""},
		"TLS where there is no TLS": {clear, config.TLS, nil, nil, "TLS"},
		"a sender it does not take": {right, config.StartTLS, never, []string{"portal: MAIL FROM:"}, "550"},
	} {
		t.Run(name, func(t *testing.T) {
			sink := mailtest.New(t, test.options)
			sink.Refuse(func(string, string) error { return test.refuse })
			steps, err := secured(t, sink.Addr, test.how, trusted).Try(t.Context())
			told := strings.Join(steps, "\n")
			if err != nil {
				told += "\n" + err.Error()
			}
			for _, step := range test.steps {
				if !strings.Contains(told, step) {
					t.Errorf("%q is not told:\n%s", step, told)
				}
			}
			if test.fails == "" && err != nil || test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails)) {
				t.Errorf("the dialogue ended with %v", err)
			}
			if slices.ContainsFunc(steps, func(step string) bool { return strings.ContainsAny(step, "\r\n") }) {
				t.Errorf("a step takes more than a line: %q", steps)
			}
			for _, secret := range spellings() {
				if strings.Contains(told, secret) {
					t.Errorf("the password is told as %q:\n%s", secret, told)
				}
			}
			if len(sink.Mails()) != 0 {
				t.Error("a mail was sent")
			}
		})
	}
}

func TestTheDoctorNamesAServerThatCannotBeReached(t *testing.T) {
	s := sender(t, "127.0.0.1:1")
	if steps, err := s.Try(t.Context()); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("the dialogue with nobody ended with %v after %q", err, steps)
	}
}
