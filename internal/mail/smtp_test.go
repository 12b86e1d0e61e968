package mail_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"postern/db"
	"postern/internal/config"
	"postern/internal/mail"
	"postern/internal/mail/mailtest"
	"postern/views"
)

const (
	mailUser     = "postern-mailer"
	mailPassword = "canary-Smtp-Passw0rd"
	canary       = "canary-mail-text"
)

// withPassword is a server that asks who sends.
var withPassword = mailtest.Options{User: mailUser, Password: mailPassword}

// letter is a mail with a text that can be looked for.
func letter() mail.Envelope {
	return mail.Envelope{To: "ann@acme.example", ID: "1.1", Mail: views.Mail{Subject: "Hello", Greeting: "Hello Ann,",
		Before: []string{canary}, Why: "You get this mail because this is a test.", Accent: "#1d4ed8", OnAccent: "#ffffff"}}
}

// secured is a sender to that address over TLS, with name and password, that trusts the pool.
func secured(t *testing.T, address string, how config.Security, pool *x509.CertPool) *mail.SMTP {
	t.Helper()
	s := sender(t, address)
	s.Server.Security, s.Server.User, s.Server.Password = how, mailUser, mailPassword
	if pool != nil {
		s.TLS = &tls.Config{RootCAs: pool}
	}
	return s
}

// inTheClear names what of the mail or the password stands readable in what was said.
func inTheClear(said string) (found []string) {
	for _, secret := range []string{canary, "acme.example", "MAIL", "AUTH", mailUser, mailPassword,
		base64.StdEncoding.EncodeToString([]byte("\x00" + mailUser + "\x00" + mailPassword))} {
		if strings.Contains(said, secret) {
			found = append(found, secret)
		}
	}
	return found
}

func TestMailAndPasswordCrossTheNetworkEncrypted(t *testing.T) {
	pair, trusted := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	cfg := &tls.Config{Certificates: []tls.Certificate{pair}}
	startTLS, plain := withPassword, withPassword
	startTLS.TLS = cfg
	for _, test := range []struct {
		name string
		sink *mailtest.Sink
		how  config.Security
		via  func(address string) string
	}{
		{"STARTTLS", mailtest.New(t, startTLS), config.StartTLS, func(address string) string { return address }},
		{"TLS from the first byte", mailtest.New(t, plain), config.TLS, func(address string) string { return terminate(t, cfg, address) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWire(t, test.via(test.sink.Addr))
			answer, err := secured(t, w.addr, test.how, trusted).Send(t.Context(), letter())
			if err != nil || !strings.Contains(answer, "queued") {
				t.Fatalf("not sent: %q, %v", answer, err)
			}
			mails := test.sink.Mails()
			if len(mails) != 1 || !strings.Contains(mails[0].Text, canary) || !strings.Contains(mails[0].HTML, canary) {
				t.Fatalf("%d mails came: %+v", len(mails), mails)
			}
			if found := inTheClear(w.heard()); len(found) > 0 {
				t.Errorf("read on the line: %q", found)
			}
		})
	}
}

// G9
func TestNothingIsSaidToAServerThatIsNotWhoItShouldBe(t *testing.T) {
	good, trusted := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	elsewhere, trustedElsewhere := certificate(t, "mail.other.example", time.Now().Add(time.Hour))
	expired, trustedOnce := certificate(t, "127.0.0.1", time.Now().Add(-time.Hour))
	with := func(c tls.Certificate, most uint16) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS10, MaxVersion: most}
	}
	for name, test := range map[string]struct {
		offers  *tls.Config
		trusted *x509.CertPool
		says    string
	}{
		"no STARTTLS":              {nil, trusted, "STARTTLS"},
		"signed by itself":         {with(good, 0), nil, "certificate"},
		"signed by a stranger":     {with(good, 0), trustedElsewhere, "certificate"},
		"of another name":          {with(elsewhere, 0), trustedElsewhere, "127.0.0.1"},
		"expired":                  {with(expired, 0), trustedOnce, "expired"},
		"with an outdated TLS 1.1": {with(good, tls.VersionTLS11), trusted, "protocol version"},
	} {
		t.Run(name, func(t *testing.T) {
			options := withPassword
			options.TLS = test.offers
			sink := mailtest.New(t, options)
			w := newWire(t, sink.Addr)
			refused(t, sink, w, secured(t, w.addr, config.StartTLS, test.trusted), test.says)

			if test.offers == nil {
				return
			}
			plain := mailtest.New(t, withPassword)
			w = newWire(t, terminate(t, test.offers, plain.Addr))
			refused(t, plain, w, secured(t, w.addr, config.TLS, test.trusted), test.says)
		})
	}
}

// refused fails the test unless the sender gives up before it tells anything, for now.
func refused(t *testing.T, sink *mailtest.Sink, w *wire, s *mail.SMTP, says string) {
	t.Helper()
	_, err := s.Send(t.Context(), letter())
	failure, ok := errors.AsType[*mail.FailedError](err)
	if !ok || failure.Permanent || failure.Unknown || !strings.Contains(failure.Answer, says) {
		t.Errorf("the attempt ended with %+v, which does not speak of %q", err, says)
	}
	if found := inTheClear(w.heard()); len(found) > 0 || len(sink.Mails()) > 0 {
		t.Errorf("told the wrong server %q, and %d mails", found, len(sink.Mails()))
	}
}

// G9
func TestMailWaitsForAServerThatEncryptsAndSaysWhy(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ann := o.ann(t)
		w := o.work(t, secured(t, o.sink.Addr, config.StartTLS, nil))
		id := o.enqueue(t, recovery(ann.Email))
		o.settle(t, w)
		o.want(t, id, db.MessageQueued, "STARTTLS")
		if n := o.count(t, "link"); n != 0 {
			t.Errorf("%d links are open that nobody was sent", n)
		}
		w.stop()

		pair, trusted := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
		options := withPassword
		options.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		mended := mailtest.New(t, options)
		o.clock.Advance(time.Minute)
		o.settle(t, o.work(t, secured(t, mended.Addr, config.StartTLS, trusted)))
		o.want(t, id, db.MessageSent, "queued")
		if mails := mended.Mails(); len(mails) != 1 || !o.opens(t, db.PurposeReset, mails[0].Link(t, "/reset-password/")) {
			t.Errorf("%d mails came after all", len(mails))
		}
	})
}

func TestAWrongMailPasswordIsToldButNotSpelled(t *testing.T) {
	pair, trusted := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	options := withPassword
	options.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	options.Password = "another"
	sink := mailtest.New(t, options)
	_, err := secured(t, sink.Addr, config.StartTLS, trusted).Send(t.Context(), letter())
	failure, ok := errors.AsType[*mail.FailedError](err)
	if !ok || failure.Permanent || !strings.Contains(failure.Answer, "535") {
		t.Fatalf("the attempt ended with %v", err)
	}
	if strings.Contains(failure.Answer, mailPassword) || strings.Contains(failure.Answer, base64.StdEncoding.EncodeToString([]byte(mailPassword))) {
		t.Errorf("the password stands in %q", failure.Answer)
	}
	if len(sink.Mails()) != 0 {
		t.Error("the mail came all the same")
	}
}

func TestAServerOnThisMachineNeedsNoCertificate(t *testing.T) {
	self, _ := certificate(t, "mail.other.example", time.Now().Add(time.Hour))
	for name, options := range map[string]mailtest.Options{
		"that knows no TLS":            {},
		"that offers it":               {TLS: &tls.Config{Certificates: []tls.Certificate{self}}},
		"that asks for a password":     withPassword,
		"that asks for it and has TLS": {User: mailUser, Password: mailPassword, TLS: &tls.Config{Certificates: []tls.Certificate{self}}},
	} {
		t.Run(name, func(t *testing.T) {
			sink := mailtest.New(t, options)
			w := newWire(t, sink.Addr)
			s := sender(t, w.addr)
			s.Server.User, s.Server.Password = options.User, options.Password
			if _, err := s.Send(t.Context(), letter()); err != nil || len(sink.Mails()) != 1 {
				t.Fatalf("%d mails came: %v", len(sink.Mails()), err)
			}
			if strings.Contains(w.heard(), "STARTTLS") {
				t.Error("it asked for TLS")
			}
			if !strings.Contains(w.heard(), "EHLO "+portalHost+"\r\n") {
				t.Errorf("it introduced itself as something else: %.40q", w.heard())
			}
		})
	}
}

func TestAServerThatIsTurnedDownIsNotLeftOnTheLine(t *testing.T) {
	w := newWire(t, mailtest.New(t, withPassword).Addr)
	if _, err := secured(t, w.addr, config.StartTLS, nil).Send(t.Context(), letter()); err == nil {
		t.Fatal("it was not turned down")
	}
	select {
	case <-w.hungUp:
	case <-time.After(2 * time.Second):
		t.Error("the connection stays open: the server counts it against us, and each attempt adds one")
	}
}

// G8
func TestOnlyTheServersOwnNoIsForGood(t *testing.T) {
	for _, test := range []struct {
		stage, words string
		code         int
	}{
		{"from", "try later", 451}, {"to", "greylisted", 450}, {"data", "disk full", 452},
		{"from", "not you", 550}, {"to", "no such mailbox", 550}, {"data", "looks like spam", 554},
	} {
		t.Run(test.stage+" "+test.words, func(t *testing.T) {
			sink := mailtest.New(t, mailtest.Options{})
			sink.Refuse(func(stage, _ string) error {
				if stage == test.stage {
					return &smtp.SMTPError{Code: test.code, Message: test.words}
				}
				return nil
			})
			_, err := sender(t, sink.Addr).Send(t.Context(), letter())
			failure, ok := errors.AsType[*mail.FailedError](err)
			if !ok || failure.Permanent != (test.code >= 500) || failure.Unknown {
				t.Fatalf("the attempt ended with %+v", err)
			}
			if !strings.Contains(failure.Answer, strconv.Itoa(test.code)) || !strings.Contains(failure.Answer, test.words) {
				t.Errorf("the server's answer is lost in %q", failure.Answer)
			}
		})
	}
}

func TestSilenceIsDoubtOnlyOnceTheTextWasOnItsWay(t *testing.T) {
	for word, unknown := range map[string]bool{"220 ": false, "Hello": false, "Roger": false, "make sure": false, "354 ": false, "OK: queued": true} {
		sink := mailtest.New(t, mailtest.Options{})
		w := newWire(t, sink.Addr)
		w.cutAt(word, false)
		_, err := sender(t, w.addr).Send(t.Context(), letter())
		failure, ok := errors.AsType[*mail.FailedError](err)
		if !ok || failure.Permanent || failure.Unknown != unknown || failure.Answer == "" {
			t.Errorf("cut at %q the attempt ended with %+v", word, err)
		}
		if taken := len(sink.Mails()) == 1; taken != unknown {
			t.Errorf("cut at %q the server has it: %t", word, taken)
		}
	}
}

func TestAMailThatWasTakenCountsAsSentWhateverFollows(t *testing.T) {
	sink := mailtest.New(t, mailtest.Options{})
	w := newWire(t, sink.Addr)
	w.cutAt("OK: queued", true)
	answer, err := sender(t, w.addr).Send(t.Context(), letter())
	if err != nil || !strings.Contains(answer, "queued") {
		t.Errorf("a mail that the server took ended with %q, %v and would be sent again", answer, err)
	}
}
