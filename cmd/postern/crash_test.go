package main

import (
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/access"
)

// crowd makes n users who have a password, without hashing as many.
func (c *console) crowd(n int) {
	c.t.Helper()
	p := c.open()
	err := p.db.Update(c.t.Context(), func(tx *db.Tx) error {
		for k := range n {
			_, err := tx.AddUser(c.t.Context(), db.User{Email: member(k), Name: "Member", TimeZone: "UTC", Role: db.Role{ID: access.RoleCustomer},
				PasswordHash: "unusable", PasswordSetAt: tx.Now})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

func member(k int) string { return fmt.Sprintf("member%d@acme.example", k) }

// requests are reset requests of different people from different places.
type requests struct {
	mu           sync.Mutex
	next         int
	acknowledged []string
	statuses     map[int]int
}

// send asks for one more reset link, and notes it when the portal has taken note of it.
func (r *requests) send(p *process) {
	r.mu.Lock()
	k := r.next
	r.next++
	r.mu.Unlock()
	status, _, err := p.post("/forgot-password", fmt.Sprintf("198.51.%d.%d", k/250, k%250), url.Values{"email": {member(k)}})
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.statuses == nil {
		r.statuses = map[int]int{}
	}
	r.statuses[status]++
	if status == http.StatusSeeOther {
		r.acknowledged = append(r.acknowledged, member(k))
	}
}

// copies counts the copies of each acknowledged request's mail, once all have come.
func (i *installation) copies(r *requests) map[string]int {
	i.t.Helper()
	got := map[string]int{}
	eventually(i.t, 60*time.Second, "an acknowledged mail is lost", func() bool {
		clear(got)
		for _, m := range i.sink.Mails() {
			if m.Subject == "Password change request" {
				got[m.To]++
			}
		}
		return !slices.ContainsFunc(r.acknowledged, func(to string) bool { return got[to] == 0 })
	})
	return got
}

// I1, G4, G5: what was acknowledged is kept and mailed, whatever moment the program is
// killed at.
func TestNoAcknowledgedRequestIsLostToAKill(t *testing.T) {
	t.Parallel()
	for engine, kills := range map[db.Engine]int{db.SQLite: 8, db.PostgreSQL: 3} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			database := ""
			if engine == db.PostgreSQL {
				database = dbtest.NewPostgreSQL(t)
			}
			i := newInstallation(t, database)
			i.crowd(400)
			asked, ready := &requests{}, []time.Duration{}
			for range kills {
				p := i.launch([]string{"serve"})
				ready = append(ready, p.awaitReady())
				before := asked.next
				var visitors sync.WaitGroup
				for range 3 {
					visitors.Go(func() {
						for range 4 {
							asked.send(p)
						}
					})
				}
				time.Sleep(rand.N(350 * time.Millisecond)) // any moment of the load
				p.kill()
				visitors.Wait()
				if asked.next == before {
					t.Fatal("nobody asked for anything")
				}
			}
			p := i.launch([]string{"serve"})
			ready = append(ready, p.awaitReady())
			if slices.Sort(ready); ready[len(ready)/2] > 2*time.Second {
				t.Errorf("it was ready after %v", ready)
			}
			if len(asked.acknowledged) < 3*kills {
				t.Fatalf("only %d requests were acknowledged: %v", len(asked.acknowledged), asked.statuses)
			}
			got := i.copies(asked)
			if most := slices.Max(slices.Collect(maps.Values(got))); most > 1+kills {
				t.Errorf("a mail came %d times after %d kills", most, kills)
			}
			i.sameIDs()
			p.stop()
			if engine == db.SQLite {
				i.soundDatabase()
			}
		})
	}
}

// sameIDs checks that every copy of a mail can be told to be one.
func (i *installation) sameIDs() {
	i.t.Helper()
	ids := map[string]string{}
	for _, m := range i.sink.Mails() {
		id := m.Header.Get("Message-Id")
		if known, ok := ids[m.To]; ok && known != id {
			i.t.Errorf("copies of the mail to %s have the ids %s and %s", m.To, known, id)
		}
		ids[m.To] = id
	}
}

// settled says whether every mail has found its fate.
func settled(t *testing.T, p *portal) bool {
	t.Helper()
	for _, state := range []db.MessageState{db.MessageQueued, db.MessageSending} {
		if n, err := p.db.Reader().CountMessages(t.Context(), state); err != nil || n > 0 {
			return false
		}
	}
	return true
}

// admin is a connection to the server of a PostgreSQL database, past the portal.
func admin(t *testing.T, database string) *sql.DB {
	t.Helper()
	pool, err := sql.Open("pgx", database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}
