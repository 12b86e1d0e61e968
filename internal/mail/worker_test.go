package mail_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"postern/db"
	"postern/internal/mail/mailtest"
	"postern/internal/portaltest"
)

// copies says how often each mail came.
func copies(mails []mailtest.Mail) map[string]int {
	n := map[string]int{}
	for _, m := range mails {
		n[m.Header.Get("Message-Id")]++
	}
	return n
}

// G11
func TestTwoWorkersSendEachMailOnce(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		var ids []int64
		for i := range 30 {
			ids = append(ids, o.enqueue(t, note(o.user(t, db.User{Email: fmt.Sprintf("u%d@acme.example", i), Name: "User", PasswordHash: "set"}))))
		}
		other := mailtest.New(t, mailtest.Options{})
		one, two := o.work(t, sender(t, o.sink.Addr)), o.workOn(t, o.open(t, o.clock.Now), sender(t, other.Addr))
		o.settle(t, one, two)
		mails := append(o.sink.Mails(), other.Mails()...)
		if n := len(copies(mails)); len(mails) != 30 || n != 30 {
			t.Errorf("%d mails came for 30 messages, %d of them different", len(mails), n)
		}
		for _, id := range ids {
			if m := o.want(t, id, db.MessageSent, "queued"); m.Attempts != 1 {
				t.Errorf("message %d took %d attempts", id, m.Attempts)
			}
		}
	})
}

// I19
func TestAStopLetsTheMailThatIsOnItsWayArrive(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ann := o.ann(t)
		speaking, release := holdUp(o.sink, nil)
		w := o.work(t, sender(t, o.sink.Addr))
		id := o.enqueue(t, recovery(ann.Email))
		<-speaking
		w.cancel()
		late := o.enqueue(t, note(ann))
		w.Wake()
		close(release)
		<-w.done
		o.want(t, id, db.MessageSent, "queued")
		mails := o.sink.Mails()
		if len(mails) != 1 || !o.opens(t, db.PurposeReset, mails[0].Link(t, "/reset-password/")) {
			t.Errorf("%d mails came, or a dead link", len(mails))
		}
		o.want(t, late, db.MessageQueued, "")
	})
}

// G4, G5
func TestAMailWhoseWorkerDiedGoesOutOnceMore(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ann := o.ann(t)
		lost := o.enqueue(t, recovery(ann.Email))
		o.update(t, func(tx *db.Tx) error {
			_, err := tx.ClaimMessage(t.Context(), 20*time.Second)
			return err
		})
		next := o.enqueue(t, note(ann))
		// Nobody wakes the worker, as nobody does after a command: it looks by itself.
		w := o.work(t, sender(t, o.sink.Addr))
		wait(t, "what another process has queued is not seen", func() bool { return o.message(t, next).State == db.MessageSent })
		o.want(t, lost, db.MessageSending, "")

		o.clock.Advance(21 * time.Second)
		o.settle(t, w)
		o.clock.Advance(24 * time.Hour)
		o.settle(t, w)
		mails := o.sink.Mails()
		if m := o.want(t, lost, db.MessageSent, "queued"); m.Attempts != 2 || len(mails) != 2 {
			t.Fatalf("%d attempts, and %d mails instead of two", m.Attempts, len(mails))
		}
		mails[1].Link(t, "/reset-password/")
	})
}

// G7
func TestAServerThatNeverAnswersHoldsUpNeitherThePortalNorOtherMail(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ann := o.ann(t)
		line := newWire(t, o.sink.Addr)
		line.swallowNext(1)
		w := o.work(t, sender(t, line.addr))
		t.Cleanup(line.hangUp) // before the worker waits for the end of its dialogues
		stuck := o.enqueue(t, recovery(ann.Email))
		<-line.held

		at, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := o.db.Update(at, func(tx *db.Tx) error { return tx.SetUsername(at, ann.ID, "annie") }); err != nil {
			t.Errorf("nobody can change anything while a mail is stuck: %v", err)
		}
		var others []int64
		for range 5 {
			others = append(others, o.enqueue(t, note(ann)))
		}
		wait(t, "one slow dialogue holds up all mail", func() bool { w.Wake(); return len(o.sink.Mails()) == len(others) })
		o.want(t, stuck, db.MessageSending, "")

		line.hangUp()
		o.settle(t, w)
		o.want(t, stuck, db.MessageQueued, "")
		if n := o.count(t, "link"); n != 0 {
			t.Errorf("%d links are open that nobody was sent", n)
		}
		o.clock.Advance(time.Minute)
		o.settle(t, w)
		o.want(t, stuck, db.MessageSent, "queued")
	})
}

func TestWithoutAMailServerMailWaits(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		id := o.enqueue(t, note(o.ann(t)))
		w := o.work(t, nil)
		w.Wake()
		w.stop()
		if m := o.want(t, id, db.MessageQueued, ""); m.Attempts != 0 {
			t.Errorf("%d attempts were made with no server to ask", m.Attempts)
		}
		o.settle(t, o.work(t, sender(t, o.sink.Addr)))
		o.want(t, id, db.MessageSent, "queued")
	})
}

// A2
func TestATwinAddressInAnotherScriptGetsNoMail(t *testing.T) {
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		for i, twin := range []string{"\u212aim@acme.example", "k\u0131m@acme.example", "k\u0130m@acme.example", "kim@acm\u0435.example", "kim@acme.example\u200b"} {
			v := portaltest.Visit(fmt.Sprintf("192.0.2.%d", i+1))
			if err := p.Account.RequestPasswordReset(t.Context(), v, twin, ""); err == nil {
				t.Errorf("%q was taken for an address", twin)
			}
		}
		if mails := p.Mails(t); len(mails) != 0 {
			t.Errorf("%d mails came", len(mails))
		}
	})
}

// A2
func TestAMailGoesToTheStoredAddressAndNoOther(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		kim := o.user(t, db.User{Email: "Kim.Lee@Acme.Example", Name: "Kim", PasswordHash: "set"})
		w := o.work(t, sender(t, o.sink.Addr))
		for _, asked := range []string{"kim.lee@acme.example", "KIM.LEE@ACME.EXAMPLE", "\u212aim.lee@acme.example", "kim.lee@acme.example, eve@evil.example",
			"kim.lee@acme.example\r\nBcc: eve@evil.example", "%@acme.example", "kim_lee@acme.example"} {
			o.enqueue(t, recovery(asked))
		}
		o.settle(t, w)
		mails := o.sink.Mails()
		if len(mails) < 2 || len(mails) > 3 {
			t.Errorf("%d mails came for two spellings of one address", len(mails))
		}
		for _, m := range mails {
			if m.To != kim.Email || m.Header.Get("To") != "<"+kim.Email+">" || len(m.Header["To"]) != 1 || m.Header.Get("Cc")+m.Header.Get("Bcc") != "" {
				t.Errorf("a mail went to %s, with the header %q", m.To, m.Header["To"])
			}
		}
	})
}

func TestAWorkerThatStoodStillDoesNotUndoWhatTheNextHasDone(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		id := o.enqueue(t, recovery(o.ann(t).Email))
		stopped := o.clock.Now()
		stuck := o.open(t, func() time.Time { return stopped })
		speaking, refuse := holdUp(o.sink, tryLater)
		slow := o.workOn(t, stuck, sender(t, o.sink.Addr))
		<-speaking
		o.clock.Advance(time.Minute)
		other := mailtest.New(t, mailtest.Options{})
		speaking, accept := holdUp(other, nil)
		quick := o.workOn(t, o.open(t, o.clock.Now), sender(t, other.Addr))
		<-speaking
		close(refuse)
		slow.stop()
		close(accept)
		wait(t, "the mail did not come", func() bool { return len(other.Mails()) == 1 })
		o.settle(t, quick)
		o.want(t, id, db.MessageSent, "queued")
		if !o.opens(t, db.PurposeReset, other.Mails()[0].Link(t, "/reset-password/")) {
			t.Error("the mail came with a dead link")
		}
		o.clock.Advance(5 * time.Minute)
		o.settle(t, quick)
		if n := len(other.Mails()); n != 1 {
			t.Errorf("the mail that was taken once came %d times", n)
		}
	})
}

// holdUp lets the server wait for a word before it answers to a mail as it is told to.
func holdUp(sink *mailtest.Sink, answer error) (speaking <-chan struct{}, release chan<- struct{}) {
	begun, end := make(chan struct{}, 10), make(chan struct{})
	sink.Refuse(func(stage, _ string) error {
		if stage != "data" {
			return nil
		}
		begun <- struct{}{}
		<-end
		return answer
	})
	return begun, end
}
