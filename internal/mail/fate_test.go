package mail_test

import (
	"io"
	"mime/quotedprintable"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"postern/db"
	"postern/internal/token"
)

var (
	tryLater = &smtp.SMTPError{Code: 451, Message: "try again later, says the server"}
	never    = &smtp.SMTPError{Code: 550, Message: "no such mailbox, says the server"}
)

var resetLink = regexp.MustCompile(`https://portal\.vendor\.example/reset-password/[A-Za-z0-9_-]{43}`)

// linkIn finds the reset link in a mail as it crossed the line.
func linkIn(t *testing.T, raw string) string {
	t.Helper()
	_, body, _ := strings.Cut(raw, "\r\n\r\n")
	text, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	link := resetLink.FindString(string(text))
	if link == "" {
		t.Fatalf("no link in %s", text)
	}
	return link
}

func TestAMailThatIsRefusedForNowComesLaterWithALinkOfItsOwn(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		w := o.work(t, sender(t, o.sink.Addr))
		for i, stage := range []string{"from", "to", "data"} {
			u := o.user(t, db.User{Email: stage + "@acme.example", Name: "User", PasswordHash: "set"})
			refusals := o.refuse(stage, tryLater)
			id := o.enqueue(t, recovery(u.Email))
			o.settle(t, w)
			o.want(t, id, db.MessageQueued, "451")
			o.want(t, id, db.MessageQueued, "try again later, says the server")
			if n := o.count(t, "link"); n != i {
				t.Errorf("refused at %s, the mail left a link that works", stage)
			}

			o.sink.Refuse(nil)
			o.settle(t, w)
			if n := len(o.sink.Mails()); n != i {
				t.Fatalf("refused at %s, the mail came again before it was time", stage)
			}
			o.clock.Advance(time.Minute)
			o.settle(t, w)
			o.want(t, id, db.MessageSent, "queued")
			fresh := o.sink.Mails()[i].Link(t, "/reset-password/")
			if !o.opens(t, db.PurposeReset, fresh) {
				t.Error("the link that came does not work")
			}
			for _, text := range refusals.texts {
				if old := linkIn(t, text); old == fresh || o.opens(t, db.PurposeReset, old) {
					t.Error("the link that was refused works")
				}
			}
		}
	})
}

func TestAServerThatIsDownIsAskedLessAndLessOften(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.refuse("to", tryLater)
		w := o.work(t, sender(t, o.sink.Addr))
		id := o.enqueue(t, note(o.ann(t)))
		spread := false
		for attempt, wait := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute,
			16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour, time.Hour} {
			o.settle(t, w)
			m := o.want(t, id, db.MessageQueued, "451")
			waits := m.DueAt.Sub(o.db.Now())
			if waits < wait || waits > wait+wait/5 || m.Attempts != int64(attempt+1) {
				t.Fatalf("after attempt %d of %d it waits %s instead of %s and up to a fifth more", m.Attempts, attempt+1, waits, wait)
			}
			spread = spread || waits > wait
			o.clock.Advance(waits)
		}
		if !spread {
			t.Error("all who wait come back at the same moment")
		}
	})
}

// G8
func TestAMailThatIsRefusedForGoodStopsNobodyElses(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		bob := o.user(t, db.User{Email: "bob@acme.example", Name: "Bob", PasswordHash: "set"})
		w := o.work(t, sender(t, o.sink.Addr))
		for i, stage := range []string{"from", "to", "data"} {
			u := o.user(t, db.User{Email: stage + "@acme.example", Name: "User", PasswordHash: "set"})
			refusals := o.refuse(stage, never)
			poison := o.enqueue(t, recovery(u.Email))
			o.settle(t, w)
			o.want(t, poison, db.MessageFailed, "550")
			failed := o.want(t, poison, db.MessageFailed, "no such mailbox, says the server")
			if failed.FinishedAt == 0 || failed.Attempts != 1 || o.count(t, "link") != 0 {
				t.Errorf("at %s it failed at %d after %d attempts with %d links left", stage, failed.FinishedAt, failed.Attempts, o.count(t, "link"))
			}
			for _, text := range refusals.texts {
				if o.opens(t, db.PurposeReset, linkIn(t, text)) {
					t.Error("the link that was refused works")
				}
			}

			o.sink.Refuse(nil)
			other := o.enqueue(t, note(bob))
			o.clock.Advance(6 * time.Hour)
			o.settle(t, w)
			o.want(t, other, db.MessageSent, "queued")
			o.want(t, poison, db.MessageFailed, "550")
			if mails := o.sink.Mails(); len(mails) != i+1 || mails[i].To != bob.Email {
				t.Errorf("%d mails came instead of Bob's alone", len(mails)-i)
			}
		}
	})
}

// G5
func TestAMailOfUnknownFateComesAgainAndBothLinksWork(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		line := newWire(t, o.sink.Addr)
		line.cutAt("OK: queued", false)
		w := o.work(t, sender(t, line.addr))
		id := o.enqueue(t, recovery(o.ann(t).Email))
		o.settle(t, w)
		if m := o.message(t, id); m.State != db.MessageQueued || m.Answer == "" || len(o.sink.Mails()) != 1 {
			t.Fatalf("the mail is %s with %q, and came %d times", m.State, m.Answer, len(o.sink.Mails()))
		}
		line.cutAt("", false)
		o.clock.Advance(time.Minute)
		o.settle(t, w)
		o.want(t, id, db.MessageSent, "queued")
		mails := o.sink.Mails()
		if len(mails) != 2 {
			t.Fatalf("the mail came %d times", len(mails))
		}
		first, second := mails[0].Link(t, "/reset-password/"), mails[1].Link(t, "/reset-password/")
		if first == second || !o.opens(t, db.PurposeReset, first) || !o.opens(t, db.PurposeReset, second) {
			t.Error("whoever opens one of the two mails finds a dead link, or both have the same")
		}
		if mails[0].Header.Get("Message-Id") != mails[1].Header.Get("Message-Id") {
			t.Error("mail programs cannot tell that the second is the first again")
		}
	})
}

func TestAResetLinkThatComesTooLateDoesNotCome(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ann, sent := o.ann(t), 0
		for _, test := range []struct {
			late  time.Duration
			state db.MessageState
			says  string
		}{
			{29 * time.Minute, db.MessageSent, "queued"},
			{30*time.Minute + time.Second, db.MessageDropped, "it could not be sent within 30 minutes"},
			{60 * time.Hour, db.MessageDropped, "it could not be sent within 30 minutes"},
		} {
			asked := o.enqueue(t, recovery(ann.Email))
			byStaff := o.enqueue(t, db.Message{Kind: db.MessageReset, UserID: ann.ID, Recipient: ann.Email})
			o.clock.Advance(test.late)
			w := o.work(t, sender(t, o.sink.Addr))
			o.settle(t, w)
			w.stop()
			o.want(t, asked, test.state, test.says)
			o.want(t, byStaff, test.state, test.says)
			if test.state == db.MessageSent {
				sent += 2
			}
			if len(o.sink.Mails()) != sent || o.count(t, "link") != sent {
				t.Errorf("after %s %d mails have come, and %d links were made", test.late, len(o.sink.Mails()), o.count(t, "link"))
			}
		}
	})
}

func TestAfterFiveDaysAMailIsGivenUpAndShown(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.refuse("from", tryLater)
		w := o.work(t, sender(t, o.sink.Addr))
		id := o.enqueue(t, note(o.ann(t)))
		o.clock.Advance(5*24*time.Hour - time.Minute)
		o.settle(t, w)
		o.want(t, id, db.MessageQueued, "451")
		o.clock.Advance(2 * time.Hour)
		o.settle(t, w)
		o.want(t, id, db.MessageFailed, "try again later, says the server")
	})
}

func TestWhatShouldNotBeSentIsNotAndSaysWhy(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ann := o.ann(t)
		gone := o.user(t, db.User{Email: "gone@acme.example", Name: "Gone", PasswordHash: "set"})
		off := o.user(t, db.User{Email: "off@acme.example", Name: "Off", PasswordHash: "set"})
		changed := o.user(t, db.User{Email: "changed@acme.example", Name: "Changed", PasswordHash: "set"})
		o.update(t, func(tx *db.Tx) error { return tx.SetActive(t.Context(), off.ID, false) })
		wants := map[int64]string{}
		add := func(m db.Message, why string) { wants[o.enqueue(t, m)] = why }

		add(recovery("nobody@acme.example"), "no user has this address")
		add(db.Message{Kind: db.MessageRecovery, Data: db.MessageData{Email: "ann.smith@acme.example", Username: "bob"}}, "do not belong together")
		add(db.Message{Kind: db.MessageRecovery, Data: db.MessageData{TokenHash: token.Hash("none of ours")}}, "not one of ours")
		add(db.Message{Kind: db.MessageReset, UserID: off.ID, Recipient: off.Email}, "inactive")
		add(db.Message{Kind: db.MessageInvitation, UserID: ann.ID, Recipient: ann.Email}, "has a password already")
		add(db.Message{Kind: db.MessageVerifyEmail, UserID: ann.ID, Recipient: "new@acme.example"}, "was cancelled")
		add(db.Message{Kind: db.MessageReset, UserID: changed.ID, Recipient: changed.Email}, "changed after it was asked for")
		o.clock.Advance(time.Second)
		o.update(t, func(tx *db.Tx) error {
			if err := tx.EmptyUser(t.Context(), gone.ID); err != nil {
				return err
			}
			_, err := tx.EndAccess(t.Context(), changed.ID, changed.Epoch, 0)
			return err
		})
		add(db.Message{Kind: db.MessagePasswordChanged, UserID: gone.ID, Recipient: gone.Email}, "was deleted")
		add(db.Message{Kind: db.MessageNotMeToStaff, UserID: ann.ID, Recipient: ann.Email, Data: db.MessageData{AboutUserID: gone.ID}}, "was deleted")

		o.settle(t, o.work(t, sender(t, o.sink.Addr)))
		for id, why := range wants {
			o.want(t, id, db.MessageDropped, why)
		}
		if len(o.sink.Mails()) != 0 || o.count(t, "link") != 0 {
			t.Errorf("%d mails came and %d links are open", len(o.sink.Mails()), o.count(t, "link"))
		}
	})
}

// An administrator corrects the address of somebody who was invited at a wrong one, while
// the mail server is down: whoever reads the wrong mailbox must not get in.
func TestAnInvitationIsNotMailedToAnAddressThatWasCorrected(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		zoe := o.user(t, db.User{Email: "zoe@wrong.example", Name: "Zoë"})
		o.refuse("to", tryLater)
		w := o.work(t, sender(t, o.sink.Addr))
		o.enqueue(t, db.Message{Kind: db.MessageInvitation, UserID: zoe.ID, Recipient: zoe.Email})
		o.enqueue(t, recovery(zoe.Email))
		o.settle(t, w)
		o.update(t, func(tx *db.Tx) error {
			if _, err := tx.EndAccess(t.Context(), zoe.ID, zoe.Epoch, 0); err != nil {
				return err
			}
			return tx.SetEmail(t.Context(), zoe.ID, "zoe@right.example")
		})
		o.sink.Refuse(nil)
		o.clock.Advance(time.Minute)
		o.settle(t, w)
		for _, m := range o.sink.Mails() {
			if m.To != "zoe@right.example" {
				t.Errorf("%q went to %s, and its link works: %t", m.Subject, m.To, o.opens(t, db.PurposeInvitation, m.Link(t, "/invitation/")))
			}
		}
	})
}

func TestAMessageThatCannotBeReadStopsNobodyElses(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ann := o.ann(t)
		var others []int64
		for _, damage := range []string{`data = '{"email":'`, `data = '{"about_user_id":"seven"}'`, `kind = 'from_the_future'`} {
			o.spoil(t, note(ann), damage)
			others = append(others, o.enqueue(t, note(ann)))
		}
		o.settle(t, o.work(t, sender(t, o.sink.Addr)))
		for _, id := range others {
			o.want(t, id, db.MessageSent, "queued")
		}
		if len(o.sink.Mails()) != len(others) || o.count(t, "link") != 0 {
			t.Errorf("%d mails came, and %d links are open", len(o.sink.Mails()), o.count(t, "link"))
		}
	})
}

// spoil queues a message that cannot become a mail.
func (o *office) spoil(t *testing.T, m db.Message, damage string) {
	t.Helper()
	if _, err := o.raw.ExecContext(t.Context(), "UPDATE outbox SET "+damage+" WHERE id = $1", o.enqueue(t, m)); err != nil {
		t.Fatal(err)
	}
}

// G8
func TestAMessageThatCannotBeReadIsGivenUpWhereStaffSeeIt(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.spoil(t, note(o.ann(t)), `data = '{"email":'`)
		w := o.work(t, sender(t, o.sink.Addr))
		o.settle(t, w)
		o.clock.Advance(time.Minute)
		o.settle(t, w)
		if o.count(t, "outbox WHERE attempts = 2 AND state = 'queued'") != 1 {
			t.Error("nobody counts how often it was tried, so it is tried twice a minute, and logged each time")
		}
		o.clock.Advance(6 * 24 * time.Hour)
		o.settle(t, w)
		if o.count(t, "outbox WHERE state = 'failed'") != 1 {
			t.Error("it is never given up")
		}
	})
}
