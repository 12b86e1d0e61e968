package mail_test

import (
	"context"
	"database/sql"
	"log/slog"
	"net"
	netmail "net/mail"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	_ "time/tzdata"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/account"
	"postern/internal/config"
	"postern/internal/mail"
	"postern/internal/mail/mailtest"
	"postern/internal/portaltest"
	"postern/internal/settings"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

const (
	portalURL  = "https://portal.vendor.example"
	portalHost = "portal.vendor.example"
)

var from = netmail.Address{Name: "Portal", Address: "portal@vendor.example"}

// office is an outbox, a mail server and workers between them, without any pages.
type office struct {
	db    *db.DB
	clock *dbtest.Clock
	sink  *mailtest.Sink
	log   *portaltest.Log
	cfg   db.Config
	// raw reaches the tables past the program, for what it never does by itself.
	raw *sql.DB
}

// each runs the test on an office over either engine.
func each(t *testing.T, test func(t *testing.T, o *office)) {
	t.Helper()
	t.Parallel() // they mostly wait for the pace of the mails
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			test(t, newOffice(t, engine))
		})
	}
}

// newOffice is for a test that has seen one engine when it has seen the other.
func newOffice(t *testing.T, engine db.Engine) *office {
	t.Helper()
	o := &office{clock: dbtest.NewClock(), sink: mailtest.New(t, mailtest.Options{}), log: &portaltest.Log{}}
	driver, name := "sqlite", filepath.Join(t.TempDir(), "postern.db")
	o.cfg = db.Config{Path: name}
	if engine == db.PostgreSQL {
		driver, name = "pgx", dbtest.NewPostgreSQL(t)
		o.cfg = db.Config{URL: name}
	}
	o.db = o.open(t, o.clock.Now)
	if err := o.db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	o.raw = raw
	return o
}

// open opens the database once more, as another node with that clock would.
func (o *office) open(t *testing.T, now func() time.Time) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), db.Config{URL: o.cfg.URL, Path: o.cfg.Path, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	return d
}

// server is where that address can be reached without TLS.
func server(t *testing.T, address string) config.SMTP {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return config.SMTP{Host: host, Port: number, Security: config.NoTLS}
}

func sender(t *testing.T, address string) *mail.SMTP {
	t.Helper()
	return &mail.SMTP{Server: server(t, address), From: from, Host: portalHost}
}

// running is a worker at work.
type running struct {
	*mail.Worker
	cancel context.CancelFunc
	done   chan struct{}
}

// stop lets the worker finish what it has begun.
func (r *running) stop() {
	r.cancel()
	<-r.done
}

// work starts a worker with that sender, on the office's own database.
func (o *office) work(t *testing.T, s mail.Sender) *running { return o.workOn(t, o.db, s) }

func (o *office) workOn(t *testing.T, d *db.DB, s mail.Sender) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{mail.NewWorker(d, settings.NewStore(d), s, portalURL+"/", slog.New(slog.NewJSONHandler(o.log, nil))), cancel, make(chan struct{})}
	go func() {
		defer close(r.done)
		r.Run(ctx)
	}()
	t.Cleanup(r.stop)
	return r
}

func (o *office) update(t *testing.T, change func(tx *db.Tx) error) {
	t.Helper()
	if err := o.db.Update(t.Context(), change); err != nil {
		t.Fatal(err)
	}
}

// set changes a setting for the workers that start from now on.
func (o *office) set(t *testing.T, key, value string) {
	t.Helper()
	o.update(t, func(tx *db.Tx) error {
		_, err := settings.Save(t.Context(), tx, map[string]string{key: value})
		return err
	})
}

// user makes a user, invited unless there is a password hash.
func (o *office) user(t *testing.T, u db.User) db.User {
	t.Helper()
	if u.Role.ID == "" {
		u.Role.ID = "customer"
	}
	if u.TimeZone == "" {
		u.TimeZone = "UTC"
	}
	o.update(t, func(tx *db.Tx) error {
		if u.PasswordHash != "" {
			u.PasswordSetAt = tx.Now
		}
		id, err := tx.AddUser(t.Context(), u)
		if err != nil {
			return err
		}
		u, err = tx.User(t.Context(), id)
		return err
	})
	return u
}

func (o *office) ann(t *testing.T) db.User {
	t.Helper()
	return o.user(t, db.User{Email: "Ann.Smith@Acme.Example", Name: "Ann Smith", Username: "ann", PasswordHash: "set", TimeZone: "Europe/Berlin"})
}

// enqueue puts a message into the outbox and returns its id.
func (o *office) enqueue(t *testing.T, m db.Message) int64 {
	t.Helper()
	o.update(t, func(tx *db.Tx) error { return tx.Enqueue(t.Context(), m) })
	newest, err := o.db.Reader().Messages(t.Context(), "", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	return newest[0].ID
}

// note is a message to a user that carries no link.
func note(u db.User) db.Message {
	return db.Message{Kind: db.MessageUnlocked, UserID: u.ID, Recipient: u.Email}
}

// recovery is what asking for a reset link at that address queues.
func recovery(address string) db.Message {
	return db.Message{Kind: db.MessageRecovery, Data: db.MessageData{Email: address, Address: "192.0.2.7"}}
}

func (o *office) message(t *testing.T, id int64) db.Message {
	t.Helper()
	m, err := o.db.Reader().Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// settle waits until nothing is due and nothing on its way.
func (o *office) settle(t *testing.T, workers ...*running) {
	t.Helper()
	wait(t, "mail is still waiting", func() bool {
		for _, w := range workers {
			w.Wake()
		}
		due, err := o.db.Reader().NextDue(t.Context())
		return (err != nil || due > o.db.Now()) && o.count(t, "outbox WHERE state = 'sending'") == 0
	})
}

// wait asks again and again until it is so.
func wait(t *testing.T, otherwise string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}

func (o *office) count(t *testing.T, from string) (n int) {
	t.Helper()
	if err := o.raw.QueryRowContext(t.Context(), "SELECT count(*) FROM "+from).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// opens says whether that link, or token, still lets its holder in.
func (o *office) opens(t *testing.T, purpose db.Purpose, link string) bool {
	t.Helper()
	_, _, err := (&account.Service{DB: o.db}).OpenLink(t.Context(), purpose, portaltest.Token(link))
	return err == nil
}

// want fails the test unless the message has that fate, and says so.
func (o *office) want(t *testing.T, id int64, state db.MessageState, answer string) db.Message {
	t.Helper()
	m := o.message(t, id)
	if m.State != state || !strings.Contains(m.Answer, answer) {
		t.Errorf("message %d (%s) is %s with %q instead of %s with %q", id, m.Kind, m.State, m.Answer, state, answer)
	}
	return m
}

// refusals is a mail server that says no for a while.
type refusals struct {
	mu    sync.Mutex
	stage string
	with  error
	texts []string // of the mails that were refused at the end
}

func (o *office) refuse(stage string, with error) *refusals {
	r := &refusals{stage: stage, with: with}
	o.sink.Refuse(func(stage, value string) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if stage != r.stage {
			return nil
		}
		if stage == "data" {
			r.texts = append(r.texts, value)
		}
		return r.with
	})
	return r
}
