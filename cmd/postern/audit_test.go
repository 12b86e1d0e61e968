package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/audit"
	"postern/internal/portaltest"
)

// intruder is a connection to the database of an installation, past the portal.
func (c *console) intruder() *sql.DB {
	c.t.Helper()
	if url := c.env["POSTERN_DATABASE"]; url != "" {
		return admin(c.t, url)
	}
	pool, err := sql.Open("sqlite", "file:"+filepath.Join(c.data(), "postern.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = pool.Close() })
	return pool
}

func (c *console) tamper(statement string) {
	c.t.Helper()
	if _, err := c.intruder().ExecContext(c.t.Context(), statement); err != nil {
		c.t.Fatalf("%s: %v", statement, err)
	}
}

// seal does one round of the sealer.
func (c *console) seal() {
	c.t.Helper()
	p := c.open()
	if err := (&sealer{portal: p, chain: p.trail()}).round(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

func TestTheOperatorChecksAndExportsTheTrail(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		if said := c.do("audit", "verify"); !strings.Contains(said, "0 sealed events hold, 0 wait to be sealed.") || !strings.Contains(said, "There is no ") {
			t.Errorf("of an empty trail it says %q", said)
		}
		c.create("ann@acme.example")
		for range 2 { // it seals nothing itself
			if said := c.do("audit", "verify"); !strings.Contains(said, "0 sealed events hold, 1 wait to be sealed.") {
				t.Errorf("of an event that waits it says %q", said)
			}
		}
		c.seal()
		said := c.do("audit", "verify")
		if !strings.Contains(said, "1 sealed events hold, 0 wait") || !strings.Contains(said, "the one at position 1") {
			t.Errorf("of a sealed event it says %q", said)
		}
		var actions []string
		for line := range strings.Lines(c.do("audit", "export")) {
			var event map[string]any
			if err := json.Unmarshal([]byte(line), &event); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			actions = append(actions, fmt.Sprint(event["action"], " ", event["actor_kind"]))
		}
		if got := strings.Join(actions, ", "); got != "user.created operator, audit.exported operator" {
			t.Errorf("exported are %s", got)
		}
		c.wantFinding("audit trail", fine, "1 sealed events hold, 1 wait")
	})
}

func TestATrailThatWasTamperedWithFailsTheCheckAndSaysWhere(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		for k := range 5 {
			c.create(member(k))
		}
		c.seal()
		c.tamper(`CREATE TABLE original AS SELECT * FROM audit_event`)
		for statement, wants := range map[string][]string{
			`UPDATE audit_event SET outcome = 'refused' WHERE position = 3`: {"position 3", "(event 3)", "changed"},
			`DELETE FROM audit_event WHERE position = 2`:                    {"position 2", "removed"},
			`DELETE FROM audit_event WHERE position = 5`:                    {"position 5", "not any more"},
			`DELETE FROM audit_event`:                                       {"position 1", "not any more"},
		} {
			c.tamper(statement)
			c.refuse([]string{"audit", "verify"}, wants...)
			c.wantFinding("audit trail", broken, wants[0])
			c.tamper(`DELETE FROM audit_event`)
			c.tamper(`INSERT INTO audit_event SELECT * FROM original`)
		}
		c.do("audit", "verify")
		// Without the newest link a cut end does not show, and that is said.
		remove(t, filepath.Join(c.data(), "audit.head"))
		c.tamper(`DELETE FROM audit_event WHERE position = 5`)
		if said := c.do("audit", "verify"); !strings.Contains(said, "There is no ") {
			t.Errorf("it says %q", said)
		}
		overwrite(t, filepath.Join(c.data(), "audit.head"), "5 zz\n")
		c.refuse([]string{"audit", "verify"}, "audit.head")
	})
}

func TestARunningPortalSealsWithinASecondAndAtItsEnd(t *testing.T) {
	t.Parallel()
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			database := ""
			if engine == db.PostgreSQL {
				database = dbtest.NewPostgreSQL(t)
			}
			i := newInstallation(t, database)
			p := i.serve()
			i.create("ann@acme.example")
			eventually(t, 3*time.Second, "the event is not sealed", func() bool { return strings.Contains(i.do("audit", "verify"), " 0 wait to be sealed") })
			head := filepath.Join(i.data(), "audit.head")
			eventually(t, 3*time.Second, "the newest link is not kept", func() bool { _, err := os.Stat(head); return err == nil })
			if info, err := os.Stat(head); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the newest link is kept as %v: %v", info, err)
			}
			b := p.browser("192.0.2.1")
			b.SignIn("ann@acme.example", portaltest.Password)
			p.signal(syscall.SIGTERM) // at once
			if code := p.wait(); code != 0 {
				t.Errorf("it ended with %d", code)
			}
			said := i.do("audit", "verify")
			if !strings.Contains(said, "2 sealed events hold, 0 wait") || !strings.Contains(said, "at position 2.") {
				t.Errorf("after the end: %s", said)
			}
			if logged := strings.Contains(p.log.String(), "newest link of the audit trail"); logged != (engine == db.PostgreSQL) {
				t.Errorf("that the newest link is logged is %v", logged)
			}
			if database == "" { // the real program on a real file
				i.tamper(`UPDATE audit_event SET address = '192.0.2.66' WHERE position = 2`)
				if said := i.fails("audit", "verify"); !strings.Contains(said, "position 2 (event 2)") {
					t.Errorf("it says %s", said)
				}
			}
		})
	}
}

// G4, G5: whatever moment it is killed at, no link is missing or there twice.
func TestTheTrailHoldsAfterAKill(t *testing.T) {
	t.Parallel()
	for engine, kills := range map[db.Engine]int{db.SQLite: 4, db.PostgreSQL: 2} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			database := ""
			if engine == db.PostgreSQL {
				database = dbtest.NewPostgreSQL(t)
			}
			i := newInstallation(t, database)
			i.create("ann@acme.example")
			for range kills {
				p := i.serve()
				var visitors sync.WaitGroup
				for k := range 3 {
					visitors.Go(func() {
						for n := range 4 {
							_, _, _ = p.post("/sign-in", fmt.Sprintf("198.51.%d.%d", rand.IntN(250), 10*k+n), map[string][]string{"login": {"nobody"}, "password": {"wrong"}})
						}
					})
				}
				time.Sleep(rand.N(1200 * time.Millisecond))
				p.kill()
				visitors.Wait()
				i.do("audit", "verify")
			}
			p := i.serve()
			p.stop()
			if said := i.do("audit", "verify"); !strings.Contains(said, " 0 wait to be sealed") || strings.Contains(said, ": 0 sealed") {
				t.Errorf("in the end: %s", said)
			}
		})
	}
}

// Whoever cuts the end off while the portal runs must not have the evidence written over.
func TestTheNewestLinkIsKeptWhenTheEndIsCutOff(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "")
	i.create("ann@acme.example")
	i.create("eve@acme.example")
	p := i.serve()
	head := filepath.Join(i.data(), "audit.head")
	eventually(t, 5*time.Second, "the newest link is not kept", func() bool {
		text, err := os.ReadFile(head)
		return err == nil && strings.HasPrefix(string(text), "2 ")
	})
	i.tamper(`DELETE FROM audit_event WHERE position = 2`)
	for k := range 3 {
		i.create(member(k))
	}
	eventually(t, 5*time.Second, "nothing is logged", func() bool { return strings.Contains(p.log.String(), "audit trail is broken") })
	p.stop()
	i.serve().stop() // nor after the next start
	if text, err := os.ReadFile(head); err != nil || !strings.HasPrefix(string(text), "2 ") {
		t.Errorf("now %q is kept: %v", text, err)
	}
	if n := strings.Count(p.log.String(), "audit trail is broken"); n > 2 {
		t.Errorf("it is logged %d times", n)
	}
	i.refuse([]string{"audit", "verify"}, "position 2")
}

// G11
func TestTwoNodesSealOneTrail(t *testing.T) {
	t.Parallel()
	i, first, second := nodes(t)
	parallel(4, func(k int) {
		for n := range 6 {
			node := []*process{first, second}[n%2]
			_, _, _ = node.post("/sign-in", fmt.Sprintf("198.51.%d.%d", k, n), map[string][]string{"login": {"nobody"}, "password": {"wrong"}})
		}
	})
	i.create("ann@acme.example")
	eventually(t, 5*time.Second, "events are not sealed", func() bool { return strings.Contains(i.do("audit", "verify"), " 0 wait to be sealed") })
	kept := func(node *process) string {
		data := ""
		for _, variable := range node.cmd.Env { // the last one counts
			if value, ok := strings.CutPrefix(variable, "POSTERN_DATA="); ok {
				data = value
			}
		}
		text, err := os.ReadFile(filepath.Join(data, "audit.head"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		return string(text)
	}
	eventually(t, 5*time.Second, "the nodes keep different links", func() bool { return kept(first) != "" && kept(first) == kept(second) })
	first.stop()
	second.stop()
	i.do("audit", "verify")
}

func TestOnlyTheRetentionSettingRemovesEvents(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		c.create("ann@acme.example")
		c.create("eve@acme.example")
		c.tamper(fmt.Sprintf(`UPDATE audit_event SET at = %d`, time.Now().Add(-72*time.Hour).UnixMilli())) // before they are sealed
		c.seal()
		tidy := func() (said string) {
			t.Helper()
			if _, err := c.open().tidy(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			return c.do("audit", "verify")
		}
		if said := tidy(); !strings.Contains(said, "2 sealed events hold") {
			t.Errorf("without the setting: %s", said)
		}
		c.do("settings", "set", "retention.audit_days", "5")
		if said := tidy(); !strings.Contains(said, "3 sealed events hold, 0 wait to be sealed") {
			t.Errorf("before it is time: %s", said)
		}
		c.do("settings", "set", "retention.audit_days", "2")
		c.fact("newest_time", fmtTime(db.TimeOf(time.Now().Add(5*time.Hour))))
		if off, err := c.open().tidy(t.Context(), true); err != nil || off == 0 {
			t.Fatalf("the clock is off by %v: %v", off, err)
		}
		if n := c.count(`SELECT count(*) FROM audit_event`); n != 4 {
			t.Errorf("with a clock that is off %d events are left", n)
		}
		c.do("doctor", "--accept-clock")
		if said := tidy(); !strings.Contains(said, "2 were removed by the retention setting") || !strings.Contains(said, "0 wait") {
			t.Errorf("when it is time: %s", said)
		}
		if n := c.count(`SELECT count(*) FROM audit_event WHERE action = 'audit.trimmed' AND position IS NOT NULL AND actor_kind = 'system'`); n != 1 {
			t.Errorf("%d events tell of it", n)
		}
		before := c.do("audit", "verify")
		if said := tidy(); said != before {
			t.Errorf("once more: %s", said)
		}
		if c.count(`SELECT count(*) FROM audit_event WHERE action = 'user.created'`) != 0 {
			t.Error("the old events are still there")
		}
	})
}

func (c *console) count(question string) (n int) {
	c.t.Helper()
	if err := c.intruder().QueryRowContext(c.t.Context(), question).Scan(&n); err != nil {
		c.t.Fatal(err)
	}
	return n
}

func TestAHeadThatCannotBeKeptIsSaidAndTheTrailSealedAllTheSame(t *testing.T) {
	c := newConsole(t)
	c.create("ann@acme.example")
	p := c.open()
	if err := os.Mkdir(filepath.Join(c.data(), "audit.head"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := (&sealer{portal: p, chain: p.trail()}).round(t.Context()); err == nil {
		t.Error("nothing is said of it")
	}
	if head, err := p.trail().Newest(t.Context(), p.db.Reader(), audit.Head{}); err != nil || head.Position != 1 {
		t.Errorf("the newest link is %s: %v", head, err)
	}
}
