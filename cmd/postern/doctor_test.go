package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"postern/db"
	"postern/internal/mail/mailtest"
)

// findings is what doctor says, and whether it failed.
func (c *console) findings() ([]finding, error) {
	c.t.Helper()
	out, err := c.try("", "doctor", "--json")
	var all []finding
	if wrong := json.Unmarshal([]byte(out), &all); wrong != nil {
		c.t.Fatalf("%v: %s", wrong, out)
	}
	return all, err
}

// found says whether there is such a finding with that in its detail.
func found(all []finding, check, result, detail string) bool {
	for _, f := range all {
		if f.Check == check && f.Result == result && strings.Contains(f.Detail, detail) {
			return true
		}
	}
	return false
}

func (c *console) wantFinding(check, result, detail string) {
	c.t.Helper()
	all, err := c.findings()
	if !found(all, check, result, detail) {
		c.t.Errorf("no %s about %s that says %q: %v", result, check, detail, all)
	}
	if failed := err != nil; failed != (result == broken) {
		c.t.Errorf("with an %s about %s doctor ends with: %v", result, check, err)
	}
}

func TestDoctorIsContentWithASoundPortal(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		sink := mailtest.New(t, mailtest.Options{})
		c.env["POSTERN_SMTP"] = "smtp://" + sink.Addr + "?tls=none"
		c.env["POSTERN_URL"], c.env["POSTERN_TRUSTED_PROXIES"] = "https://portal.example", "10.0.0.0/8"
		all, err := c.findings()
		if err != nil {
			t.Error(err)
		}
		for _, f := range all {
			if f.Result != fine {
				t.Errorf("%s: %s %s", f.Check, f.Result, f.Detail)
			}
		}
		for _, check := range []string{"configuration", "files", "database", "key", "clock", "address", "proxy", "mail queue", "audit trail", "mail server"} {
			if !found(all, check, fine, "") {
				t.Errorf("it does not look at the %s: %v", check, all)
			}
		}
		if text := c.do("doctor"); strings.Count(text, "\n") != len(all) || strings.Contains(text, "{") {
			t.Errorf("as text:\n%s", text)
		}
	})
}

func TestDoctorSaysWhatIsWrong(t *testing.T) {
	t.Run("the key of another portal", func(t *testing.T) {
		c, other := newConsole(t), newConsole(t)
		c.do("migrate")
		other.do("migrate")
		c.env["POSTERN_KEY_FILE"] = filepath.Join(other.data(), "postern.key")
		c.wantFinding("key", broken, "not the key this database was set up with")
		if text, err := c.try("", "doctor"); err == nil || !strings.Contains(text, "error") {
			t.Errorf("as text: %v\n%s", err, text)
		}
	})
	t.Run("files that others can read", func(t *testing.T) {
		for _, name := range []string{"", "postern.key", "postern.db"} {
			c := newConsole(t)
			c.do("migrate")
			if err := os.Chmod(filepath.Join(c.data(), name), 0o755); err != nil {
				t.Fatal(err)
			}
			c.wantFinding("files", warning, filepath.Join(c.data(), name)+" can be read by others")
		}
	})
	t.Run("a configuration that cannot be read", func(t *testing.T) {
		c := newConsole(t)
		c.env["POSTERN_URL"] = "http://portal.example"
		c.wantFinding("configuration", broken, "POSTERN_URL")
	})
	t.Run("no mail server for a public portal", func(t *testing.T) {
		c := newConsole(t)
		c.do("migrate")
		c.env["POSTERN_URL"] = "https://portal.example"
		c.wantFinding("mail server", broken, "POSTERN_SMTP")
	})
	t.Run("no mail server for the public portal that serve was started as", func(t *testing.T) {
		c := newConsole(t)
		c.fact(db.FactURL, "https://portal.example")
		c.wantFinding("mail server", broken, "POSTERN_SMTP")
	})
	t.Run("a proxy that is not trusted", func(t *testing.T) {
		c := newConsole(t)
		c.fact(db.FactForwarder, "10.1.2.3")
		c.wantFinding("proxy", warning, "10.1.2.3")
	})
	t.Run("a damaged database", func(t *testing.T) {
		c := newConsole(t)
		c.do("migrate")
		overwrite(t, filepath.Join(c.data(), "postern.db"), strings.Repeat("not a database ", 1000))
		c.wantFinding("database", broken, "")
	})
}

func (c *console) fact(name, value string) {
	c.t.Helper()
	err := c.open().db.Update(c.t.Context(), func(tx *db.Tx) error { return tx.SetFact(c.t.Context(), name, value) })
	if err != nil {
		c.t.Fatal(err)
	}
}

func overwrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDoctorTellsTheDialogueWithTheMailServer(t *testing.T) {
	c := newConsole(t)
	c.do("migrate")
	sink := mailtest.New(t, mailtest.Options{User: "portal", Password: "canary-of-the-mailbox"})
	c.env["POSTERN_SMTP"] = "smtp://portal:canary-of-the-mailbox@" + sink.Addr + "?tls=none"
	for _, step := range []string{"EHLO", "AUTH PLAIN", "235"} {
		c.wantFinding("mail server", fine, step)
	}
	if out := c.do("doctor"); strings.Contains(out, "canary") || strings.Contains(out, "AHBvcnRhbABjYW5hcnk") {
		t.Errorf("doctor gives the password away:\n%s", out)
	}
	if len(sink.Mails()) != 0 {
		t.Error("doctor sent a mail")
	}
	c.env["POSTERN_SMTP"] = "smtp://portal:wrong@" + sink.Addr + "?tls=none"
	c.wantFinding("mail server", broken, "535")
	c.env["POSTERN_SMTP"] = "smtp://" + sink.Addr
	c.wantFinding("mail server", broken, "STARTTLS")
	c.env["POSTERN_SMTP"] = "smtp://127.0.0.1:1?tls=none"
	c.wantFinding("mail server", broken, "127.0.0.1:1")
}

func TestDoctorDoesNotVouchForASenderThatTheServerRefuses(t *testing.T) {
	c := newConsole(t)
	c.do("migrate")
	sink := mailtest.New(t, mailtest.Options{})
	sink.Refuse(func(stage, _ string) error {
		if stage == "from" {
			return &smtp.SMTPError{Code: 550, Message: "sender not allowed"}
		}
		return nil
	})
	c.env["POSTERN_SMTP"] = "smtp://" + sink.Addr + "?tls=none"
	all, _ := c.findings()
	if found(all, "mail server", fine, "it would take mail from") {
		t.Errorf("the server refuses the sender, and doctor says: %v", all)
	}
}

func TestAClockThatWasTurnedBackIsSeenUntilItIsAccepted(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		newest := db.TimeOf(time.Now().Add(5 * time.Hour))
		c.fact("newest_time", fmtTime(newest))
		c.wantFinding("clock", warning, "behind")
		c.do("doctor", "--accept-clock")
		c.wantFinding("clock", fine, "")
	})
}

func TestAClockThatIsOffIsShownToWhoWatchesThePortal(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "")
	i.fact("newest_time", fmtTime(db.TimeOf(time.Now().Add(5*time.Hour))))
	p := i.serve()
	eventually(t, 5*time.Second, "readyz says nothing of the clock", func() bool { return strings.Contains(read(t, p.url+"/readyz"), "clock: off by") })
	i.do("doctor", "--accept-clock")
	p.stop()
	if log := p.log.String(); !strings.Contains(log, "the clock is off") {
		t.Errorf("the log says nothing of the clock:\n%s", log)
	}
	p = i.serve()
	if said := read(t, p.url+"/readyz"); said != "ready\n" {
		t.Errorf("readyz says %q", said)
	}
}

func fmtTime(t db.Time) string { return strconv.FormatInt(int64(t), 10) }
