package mail_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"postern/db"
	"postern/internal/mail"
	"postern/views"
)

func newLocal(t *testing.T) *mail.Local {
	t.Helper()
	return &mail.Local{Folder: filepath.Join(t.TempDir(), "data", "local-mail"), From: from}
}

func keep(t *testing.T, l *mail.Local, e mail.Envelope) {
	t.Helper()
	if _, err := l.Send(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, l *mail.Local) []mail.LocalMail {
	t.Helper()
	mails, err := l.List()
	if err != nil {
		t.Fatalf("no mail can be listed: %v", err)
	}
	return mails
}

func TestLocalMailIsForItsOwnerAlone(t *testing.T) {
	l := newLocal(t)
	if mails := list(t, l); len(mails) != 0 {
		t.Errorf("%d mails before the first", len(mails))
	}
	keep(t, l, letter())
	wants := map[string]fs.FileMode{l.Folder: fs.ModeDir | 0o700}
	files, err := filepath.Glob(filepath.Join(l.Folder, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q lie in the folder: %v", files, err)
	}
	wants[files[0]] = 0o600
	for path, want := range wants {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has the mode %s instead of %s", path, info.Mode(), want)
		}
	}
}

func TestLocalMailIsReadAsItWasWritten(t *testing.T) {
	l := newLocal(t)
	e := letter()
	e.Mail.Subject = "Paßwort ändern – jetzt: a rather long subject, so that it has to be folded, 株式会社"
	e.Mail.Before = []string{".begins with a dot", "= and =3D and a blank at the end ", "From here on", strings.Repeat("long ", 300), "<b>&amp; “quoted”", "."}
	e.Mail.Button = views.Button{Label: "Go on", URL: portalURL + "/reset-password/" + strings.Repeat("aB3-_", 9)}
	keep(t, l, e)
	listed := list(t, l)
	if len(listed) != 1 || listed[0].Subject != e.Mail.Subject || listed[0].To != e.To || listed[0].Sent.IsZero() || listed[0].Text+listed[0].HTML != "" {
		t.Fatalf("listed as %+v", listed)
	}
	m, err := l.Read(listed[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if m.Text != e.Mail.Text() {
		t.Errorf("the text came back as\n%s\ninstead of\n%s", m.Text, e.Mail.Text())
	}
	var document bytes.Buffer
	if err := views.MailHTML(e.Mail).Render(t.Context(), &document); err != nil {
		t.Fatal(err)
	}
	if got := strings.ReplaceAll(m.HTML, "\r\n", "\n"); got != document.String() {
		t.Errorf("the HTML came back as\n%s\ninstead of\n%s", got, document.String())
	}
	if m.Subject != e.Mail.Subject || m.To != e.To || !m.Sent.Equal(listed[0].Sent) {
		t.Errorf("read as %+v", m)
	}
}

func TestTheNewestTwoHundredLocalMailsAreKept(t *testing.T) {
	l := newLocal(t)
	for i := range 203 {
		e := letter()
		e.ID, e.Mail.Subject = fmt.Sprintf("%d.0", 100+i), fmt.Sprintf("mail %d", i)
		keep(t, l, e)
	}
	mails := list(t, l)
	if len(mails) != 200 || mails[0].Subject != "mail 202" || mails[199].Subject != "mail 3" {
		t.Fatalf("%d mails, from %q to %q", len(mails), mails[0].Subject, mails[len(mails)-1].Subject)
	}
	if _, err := l.Read(mails[199].ID); err != nil {
		t.Errorf("the oldest in the list cannot be read: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(l.Folder, "*"))
	if err != nil || len(files) != 200 {
		t.Errorf("%d files are kept: %v", len(files), err)
	}
}

func TestOnlyKeptMailsAreReadByAnAddress(t *testing.T) {
	l := newLocal(t)
	keep(t, l, letter())
	id := list(t, l)[0].ID
	text, err := os.ReadFile(filepath.Join(l.Folder, id+".eml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{filepath.Join(l.Folder, "..", "1700000000000-1.eml"), filepath.Join(l.Folder, "private.eml")} {
		if err := os.WriteFile(secret, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, odd := range []string{"", ".", "..", "../1700000000000-1", "..\\1700000000000-1", "private", "/etc/passwd", id + ".eml", id + "\x00", id + "\n",
		"x/../" + id, "1700000000000-1/../../1700000000000-1", "%2e%2e/1700000000000-1", strings.Repeat("1", 300), "1700000000000-" + strings.Repeat("1", 300),
		"1700000000000-1"} {
		if m, err := l.Read(odd); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%.40q is read as %q, %v", odd, m.Subject, err)
		}
	}
}

// What else lies in the folder, or was damaged, must not hide the mails beside it.
func TestAnOddFileHidesNoLocalMail(t *testing.T) {
	for name, content := range map[string]string{"notes.eml": "Subject: mine\r\n\r\n", "1700000000000-7.1.eml": "", "1700000000000-7.2.eml": "Subject: half a ma"} {
		t.Run(name, func(t *testing.T) {
			l := newLocal(t)
			keep(t, l, letter())
			if err := os.WriteFile(filepath.Join(l.Folder, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if mails := list(t, l); len(mails) == 0 || mails[0].Subject != letter().Mail.Subject {
				t.Errorf("listed %+v", mails)
			}
		})
	}
}

// Four senders work at once, while somebody looks at the list.
func TestLocalMailIsKeptAndReadByManyAtOnce(t *testing.T) {
	l := newLocal(t)
	for i := range 200 {
		e := letter()
		e.ID = fmt.Sprintf("%d.0", 100+i)
		keep(t, l, e)
	}
	var running sync.WaitGroup
	for worker := range 4 {
		running.Go(func() {
			for i := range 25 {
				e := letter()
				e.ID = fmt.Sprintf("%d.%d", 500+i, worker)
				if _, err := l.Send(t.Context(), e); err != nil {
					t.Errorf("a mail was kept, but counts as not sent: %v", err)
					return
				}
			}
		})
		running.Go(func() {
			for range 25 {
				if _, err := l.List(); err != nil {
					t.Errorf("the list cannot be read while mail comes in: %v", err)
					return
				}
			}
		})
	}
	running.Wait()
}

func TestLocalMailThatCannotBeKeptWaits(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := (&mail.Local{Folder: filepath.Join(file, "local-mail"), From: from}).Send(t.Context(), letter())
	if failure, ok := errors.AsType[*mail.FailedError](err); !ok || failure.Permanent || failure.Unknown || failure.Answer == "" {
		t.Errorf("the attempt ended with %+v", err)
	}
}

func TestLocalMailHoldsAWorkingLink(t *testing.T) {
	o := newOffice(t, db.SQLite)
	l := newLocal(t)
	id := o.enqueue(t, recovery(o.ann(t).Email))
	o.settle(t, o.work(t, l))
	o.want(t, id, db.MessageSent, "kept on this machine")
	m, err := l.Read(list(t, l)[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if link := resetLink.FindString(m.Text); !o.opens(t, db.PurposeReset, link) {
		t.Errorf("the link %q does not work", link)
	}
}
