package mail_test

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/internal/config"
	"postern/internal/mail"
	"postern/internal/mail/mailtest"
)

// held puts a test mail to Ann into the outbox, held for whoever sends it now.
func (o *office) held(t *testing.T, u db.User) (m db.Message) {
	t.Helper()
	o.update(t, func(tx *db.Tx) (err error) {
		m, err = tx.EnqueueHeld(t.Context(), db.Message{Kind: db.MessageTest, UserID: u.ID, Recipient: u.Email}, time.Minute)
		return err
	})
	return m
}

func TestATestMailTellsTheDialogueWithoutThePasswordAndTheMail(t *testing.T) {
	pair, trusted := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	options := withPassword
	options.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	each(t, func(t *testing.T, o *office) {
		ann := o.ann(t)
		for name, c := range map[string]struct {
			stage    string
			password string
			says     []string
			fails    string
		}{
			"taken":          {"", mailPassword, []string{"portal: STARTTLS", "portal: RCPT TO:<" + ann.Email + ">", "portal: DATA", "server: 354", "portal: the mail itself", "queued"}, ""},
			"refused":        {"to", mailPassword, []string{"portal: RCPT TO:<" + ann.Email + ">", "server: 550"}, "no such mailbox"},
			"refused late":   {"data", mailPassword, []string{"portal: DATA", "server: 354"}, "no such mailbox"},
			"wrong password": {"", "another", []string{"portal: STARTTLS", "server: 535"}, "535"},
		} {
			sink := mailtest.New(t, options)
			sink.Refuse(func(stage, _ string) error {
				if stage == c.stage {
					return never
				}
				return nil
			})
			s := secured(t, sink.Addr, config.StartTLS, trusted)
			s.Server.Password = c.password
			w := o.work(t, s)
			m := o.held(t, ann)
			told, err := w.SendNow(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			w.stop()
			text := strings.Join(told.Steps, "\n")
			for _, says := range c.says {
				if !strings.Contains(text, says) {
					t.Errorf("%s: %q is not told:\n%s", name, says, text)
				}
			}
			want, came := db.MessageFailed, 0
			if c.fails == "" {
				want, came = db.MessageSent, 1
			}
			if (c.fails == "") != (told.Failed == "") || !strings.Contains(told.Failed, c.fails) || len(sink.Mails()) != came {
				t.Errorf("%s: it failed with %q, and %d mails came", name, told.Failed, len(sink.Mails()))
			}
			o.want(t, m.ID, want, c.fails)
			for _, secret := range append(spellings(), "Subject", "The mail server takes mail") {
				if strings.Contains(text+told.Failed, secret) {
					t.Errorf("%s: %q is told:\n%s", name, secret, text)
				}
			}
		}
	})
}

func TestATestMailWithoutAServerSaysSo(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		if _, err := o.work(t, nil).SendNow(t.Context(), o.held(t, o.ann(t))); !errors.Is(err, mail.ErrNoServer) {
			t.Errorf("it ended with %v", err)
		}
	})
}

func TestATestMailThatItsRequestDroppedIsSentByTheWorker(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		m := o.held(t, o.ann(t))
		w := o.work(t, sender(t, o.sink.Addr))
		time.Sleep(20 * time.Millisecond)
		w.Wake()
		if got := o.message(t, m.ID); got.State != db.MessageSending || got.Attempts != 1 {
			t.Fatalf("the worker has taken it away from its request: %s, attempt %d", got.State, got.Attempts)
		}
		o.clock.Advance(2 * time.Minute)
		o.settle(t, w)
		o.want(t, m.ID, db.MessageSent, "queued")
	})
}

func TestAServerThatIsSilentHoldsNobodyBeyondTheirTime(t *testing.T) {
	sink := mailtest.New(t, mailtest.Options{})
	line := newWire(t, sink.Addr)
	line.swallowNext(1)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := sender(t, line.addr).Send(ctx, letter()); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("it ended with %v after %s", err, time.Since(began))
	}
}
