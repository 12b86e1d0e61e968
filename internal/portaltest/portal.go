// Package portaltest gives tests a whole portal: a real database of either engine, a clock
// set by hand, a worker that sends real mail to a server of its own, and the pages over
// HTTP. It must never be imported by the program.
package portaltest

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http/httptest"
	netmail "net/mail"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
	"postern/handlers"
	"postern/internal/account"
	"postern/internal/config"
	"postern/internal/directory"
	"postern/internal/mail"
	"postern/internal/mail/mailtest"
	"postern/internal/password"
	"postern/internal/seal"
	"postern/internal/session"
	"postern/internal/settings"
	"postern/internal/throttle"
	"postern/internal/totp"
)

// Password is what the users of User have. No rule of the default policy refuses it.
const Password = "Quiet-Harbour-42-Lantern"

// Another is a second password that is accepted.
const Another = "Amber-Violin-77-Meadow"

// Portal is a portal for one test.
type Portal struct {
	DB        *db.DB
	Clock     *dbtest.Clock
	Settings  *settings.Store
	Account   *account.Service
	Directory *directory.Service
	Server    *handlers.Server
	Worker    *mail.Worker
	Sink      *mailtest.Sink
	// URL is where it is served.
	URL string
	// Log is all that was logged.
	Log *Log

	seen    int                   // mails handed out by Mails
	secrets map[int64]totp.Secret // of authenticators, by user
}

// Each runs the test on a portal of each engine.
func Each(t *testing.T, test func(t *testing.T, p *Portal)) {
	t.Helper()
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) { test(t, New(t, engine)) })
	}
}

// New starts a portal that ends with the test.
func New(t testing.TB, engine db.Engine) *Portal {
	t.Helper()
	p := &Portal{Clock: dbtest.NewClock(), Sink: mailtest.New(t, mailtest.Options{}), Log: &Log{}, secrets: map[int64]totp.Secret{}}
	p.DB = dbtest.Open(t, engine, p.Clock.Now)
	log := slog.New(slog.NewJSONHandler(p.Log, nil))
	p.Settings = settings.NewStore(p.DB)
	limits := throttle.New([]byte("a secret of the test"))
	key, err := seal.Create(filepath.Join(t.TempDir(), "postern.key"))
	if err != nil {
		t.Fatal(err)
	}
	p.Account = &account.Service{DB: p.DB, Settings: p.Settings, Throttle: limits, Key: key, Host: "127.0.0.1", Log: log,
		Hasher: password.NewHasher(password.NewGate(2, 1<<30)), Judge: password.NewJudge(2, password.Breaches{Log: log})}
	p.Directory = &directory.Service{DB: p.DB, Settings: p.Settings, Throttle: limits,
		ChoosePassword: func(ctx context.Context, u db.User, typed string) (string, error) {
			return p.Account.Choose(ctx, password.SignedIn, u, account.NewPassword{Password: typed, Confirm: typed})
		}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.URL = "http://" + listener.Addr().String()
	p.startWorker(t, log)

	address, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	p.Server = &handlers.Server{
		Config: handlers.Config{URL: address, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
			MailFrom: netmail.Address{Name: "Portal", Address: "portal@vendor.example"}},
		DB: p.DB, Account: p.Account, Directory: p.Directory, Settings: p.Settings, Mail: p.Worker, Log: log,
		Sessions: session.NewManager(p.DB, p.Settings.SessionLimits, log, false),
		Ready:    func(context.Context) ([]string, error) { return nil, nil },
	}
	web := httptest.NewUnstartedServer(p.Server.Handler())
	if err := web.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	web.Listener = listener
	web.Start()
	t.Cleanup(web.Close)
	return p
}

func (p *Portal) startWorker(t testing.TB, log *slog.Logger) {
	host, port, err := net.SplitHostPort(p.Sink.Addr)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	sender := &mail.SMTP{Server: config.SMTP{Host: host, Port: number, Security: config.NoTLS},
		From: netmail.Address{Name: "Portal", Address: "portal@vendor.example"}, Host: "127.0.0.1"}
	p.Worker = mail.NewWorker(p.DB, p.Settings, sender, p.URL, log)
	p.Account.MailQueued, p.Directory.MailQueued = p.Worker.Wake, p.Worker.Wake
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.Worker.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
}

// Set changes a setting.
func (p *Portal) Set(t testing.TB, key, value string) {
	t.Helper()
	if _, err := p.Directory.ChangeSettings(t.Context(), Operator, map[string]string{key: value}); err != nil {
		t.Fatalf("set %s: %v", key, err)
	}
}

// Operator is who acts at the command line.
var Operator = db.Actor{Kind: db.ActorOperator}

// User makes a user with Password, or whatever the form says, and returns them.
func (p *Portal) User(t testing.TB, form directory.NewUser) db.User {
	t.Helper()
	if form.Password == nil && !form.Invite {
		chosen := Password
		form.Password = &chosen
	}
	if form.Name == "" {
		form.Name = "Zoë Tester"
	}
	user, err := p.Directory.CreateUser(t.Context(), Operator, form)
	if err != nil {
		t.Fatalf("make %s: %v", form.Email, err)
	}
	return user
}

// Ann makes the customer that most tests are about.
func (p *Portal) Ann(t testing.TB) db.User {
	t.Helper()
	return p.User(t, directory.NewUser{Email: "ann@acme.example", Name: "Ann Smith", Username: "ann"})
}

// Reload reads a user again.
func (p *Portal) Reload(t testing.TB, u db.User) db.User {
	t.Helper()
	fresh, err := p.DB.Reader().User(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

// Organization makes an organization.
func (p *Portal) Organization(t testing.TB, name string) int64 {
	t.Helper()
	id, err := p.Directory.CreateOrganization(t.Context(), Operator, directory.NewOrganization{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Visit is a request from that address, in a browser that nobody knows.
func Visit(address string) account.Visit {
	return account.Visit{Address: netip.MustParseAddr(address),
		Actor: db.Actor{Kind: db.ActorVisitor, Address: address, UserAgent: "Test/1.0", RequestID: "TEST"}}
}

// Mails waits until everything that is due was sent or dropped, and returns the mails that
// came since it was last asked.
func (p *Portal) Mails(t testing.TB) []mailtest.Mail {
	t.Helper()
	p.Worker.Wake()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		due, err := p.DB.Reader().NextDue(t.Context())
		if err == nil && due <= p.DB.Now() || p.sending(t) {
			if time.Now().After(deadline) {
				t.Fatal("mail is still waiting")
			}
			p.Worker.Wake()
			continue
		}
		break
	}
	all := p.Sink.Mails()
	fresh := all[p.seen:]
	p.seen = len(all)
	return fresh
}

func (p *Portal) sending(t testing.TB) bool {
	n, err := p.DB.Reader().CountMessages(t.Context(), db.MessageSending)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

// Mail is Mails when there must be exactly one.
func (p *Portal) Mail(t testing.TB) mailtest.Mail {
	t.Helper()
	mails := p.Mails(t)
	if len(mails) != 1 {
		var subjects []string
		for _, m := range mails {
			subjects = append(subjects, m.Subject+" to "+m.To)
		}
		t.Fatalf("%d mails came instead of one: %s", len(mails), strings.Join(subjects, "; "))
	}
	return mails[0]
}

// Token is the end of a mailed link.
func Token(link string) string { return link[strings.LastIndexByte(link, '/')+1:] }

// Log keeps what was logged.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// String returns all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
