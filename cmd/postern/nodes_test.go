package main

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/portaltest"
)

// at sends the browser's request to another node; the visitor sees one address.
func at(node *process, b *portaltest.Browser, method, path, body string) portaltest.Page {
	request := b.Request(method, path, body)
	request.Host = request.URL.Host
	request.URL.Host = strings.TrimPrefix(node.url, "http://")
	return b.Do(request)
}

// nodes starts two portals on one database, behind one address, with one key.
func nodes(t *testing.T) (i *installation, first, second *process) {
	t.Helper()
	i = newInstallation(t, dbtest.NewPostgreSQL(t))
	first = i.serve()
	address := portaltest.FreeAddress(t)
	second = i.launch([]string{"serve"}, "POSTERN_LISTEN="+address, "POSTERN_DATA="+filepath.Join(t.TempDir(), "second"),
		"POSTERN_KEY_FILE="+filepath.Join(i.data(), "postern.key"))
	second.url = "http://" + address
	second.awaitReady()
	return i, first, second
}

// A26, G11
func TestTwoNodesAreOnePortal(t *testing.T) {
	t.Parallel()
	i, first, second := nodes(t)
	i.create("own@acme.example", "--role", "owner")
	i.create("ann@acme.example")
	b := first.browser("192.0.2.1")
	b.SignIn("ann@acme.example", portaltest.Password)
	at(second, b, http.MethodGet, "/account", "").Want(http.StatusOK, "Zoë Tester")

	first.browser("192.0.2.2").Post("/forgot-password", "email", "ann@acme.example").WantTo("/forgot-password/sent")
	link := i.mail("ann@acme.example", "Password change request").Link(t, "/reset-password/")
	opened := first.browser("192.0.2.2")
	at(second, opened, http.MethodGet, link, "").WantTo("/reset-password")
	form := url.Values{"password": {portaltest.Another}, "confirm": {portaltest.Another}}
	at(second, opened, http.MethodPost, "/reset-password", form.Encode()).WantTo("/sign-in")
	b.Get("/account").WantTo("/sign-in")
	again := first.browser("192.0.2.3")
	again.Get(link).WantTo("/reset-password")
	again.Get("/reset-password").Want(http.StatusGone)

	i.do("settings", "set", "recovery.link_label", "Locked out?")
	for _, node := range []*process{first, second} {
		eventually(t, 2*time.Second, "a node does not follow the settings", func() bool {
			return strings.Contains(at(node, first.browser("192.0.2.4"), http.MethodGet, "/sign-in", "").Body, "Locked out?")
		})
	}
}

// G11
func TestTwoNodesSendAMailOnce(t *testing.T) {
	t.Parallel()
	i, first, second := nodes(t)
	i.crowd(60)
	asked := &requests{}
	parallel(6, func(int) {
		for range 5 {
			asked.send(first)
		}
	})
	got := i.copies(asked)
	opened := i.open()
	eventually(t, 30*time.Second, "mail is still waiting", func() bool { return settled(t, opened) })
	for to, n := range got {
		if n != 1 {
			t.Errorf("%d mails came to %s", n, to)
		}
	}
	if len(got) != 30 {
		t.Errorf("%d people were mailed: %v", len(got), asked.statuses)
	}
	first.stop()
	second.stop()
	for _, node := range []*process{first, second} {
		if !strings.Contains(node.log.String(), "mail sent") {
			t.Error("one node sent everything: the test shows nothing")
		}
	}
}

func TestANodeWithAnotherKeyIsKeptOut(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, dbtest.NewPostgreSQL(t))
	i.do("migrate")
	i.env["POSTERN_DATA"] = filepath.Join(t.TempDir(), "another")
	i.env["POSTERN_KEY_FILE"] = filepath.Join(t.TempDir(), "another.key")
	overwrite(t, i.env["POSTERN_KEY_FILE"], freshKey(t))
	said := i.fails("serve")
	if !strings.Contains(said, "POSTERN_KEY_FILE") || !strings.Contains(said, "not the one") {
		t.Errorf("it says %q", said)
	}
}

// line is a connection to PostgreSQL that can be cut.
type line struct {
	address string // where the program connects to
	server  string
	mu      sync.Mutex
	cut     bool
	conns   map[net.Conn]bool
}

// newLine puts itself between the program and the server of that URL, and returns the URL
// through it.
func newLine(t *testing.T, database string) (*line, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{address: listener.Addr().String(), server: u.Host, conns: map[net.Conn]bool{}}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go l.carry(conn)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		l.set(true)
	})
	u.Host = l.address
	return l, u.String()
}

func (l *line) carry(conn net.Conn) {
	defer conn.Close()
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		return
	}
	defer server.Close()
	l.mu.Lock()
	cut := l.cut
	l.conns[conn], l.conns[server] = true, true
	l.mu.Unlock()
	if cut {
		return
	}
	go func() {
		_, _ = io.Copy(server, conn)
		_ = server.Close()
	}()
	_, _ = io.Copy(conn, server)
}

// set cuts every connection and lets no new one through, or does again.
func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	if cut {
		for conn := range l.conns {
			_ = conn.Close()
		}
		clear(l.conns)
	}
}

// I26
func TestAPortalThatLostItsDatabaseSaysSoAndComesBackByItself(t *testing.T) {
	t.Parallel()
	l, database := newLine(t, dbtest.NewPostgreSQL(t))
	i := newInstallation(t, database)
	i.crowd(400)
	i.create("ann@acme.example")
	p := i.serve()
	ann := p.browser("192.0.2.1")
	ann.SignIn("ann@acme.example", portaltest.Password)
	asked := &requests{}
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for range 12 {
				asked.send(p)
			}
		})
	}
	eventually(t, 20*time.Second, "nothing is acknowledged", func() bool {
		asked.mu.Lock()
		defer asked.mu.Unlock()
		return len(asked.acknowledged) >= 8
	})
	l.set(true)
	load.Wait()
	page := ann.Get("/account").Want(http.StatusServiceUnavailable)
	if page.Header.Get("Retry-After") == "" {
		t.Error("nobody is told when to come back")
	}
	p.browser("192.0.2.2").Post("/sign-in", "login", "ann@acme.example", "password", portaltest.Password).Want(http.StatusServiceUnavailable)
	eventually(t, 5*time.Second, "it says that it is ready", func() bool { return p.status("/readyz") == http.StatusServiceUnavailable })
	if p.status("/healthz") != http.StatusOK {
		t.Error("it says that it is not up")
	}
	l.set(false)
	eventually(t, 10*time.Second, "it does not come back", func() bool { return p.status("/readyz") == http.StatusOK })
	ann.Get("/account").Want(http.StatusOK)
	for range 3 {
		asked.send(p)
	}
	for status, n := range asked.statuses {
		if status != http.StatusSeeOther && status != http.StatusServiceUnavailable {
			t.Errorf("%d visitors were answered %d", n, status)
		}
	}
	for to, n := range i.copies(asked) {
		if n > 2 {
			t.Errorf("%d mails came to %s", n, to)
		}
	}
	p.stop()
}

// I26: connections die one by one, as at a fail-over or when an administrator ends them.
func TestVisitorsHardlyNoticeThatConnectionsToTheDatabaseDie(t *testing.T) {
	t.Parallel()
	database := dbtest.NewPostgreSQL(t)
	i := newInstallation(t, database)
	i.crowd(400)
	p := i.serve()
	pool := admin(t, database)
	asked := &requests{}
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for range 10 {
				asked.send(p)
			}
		})
	}
	done, ended := make(chan struct{}), 0
	go func() {
		load.Wait()
		close(done)
	}()
	for running := true; running; {
		var n int
		err := pool.QueryRow(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid % 2 = $1`, ended%2).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		ended += n
		select {
		case <-done:
			running = false
		case <-time.After(5 * time.Millisecond):
		}
	}
	if ended == 0 {
		t.Error("no connection was ended: the test shows nothing")
	}
	asked.send(p)
	if asked.statuses[http.StatusSeeOther]+asked.statuses[http.StatusServiceUnavailable] != 41 || asked.statuses[http.StatusSeeOther] == 0 {
		t.Errorf("visitors were answered %v", asked.statuses)
	}
	if p.status("/readyz") != http.StatusOK {
		t.Error("it is not ready")
	}
	kept := 0
	for _, state := range []db.MessageState{db.MessageQueued, db.MessageSending, db.MessageSent} {
		n, err := i.open().db.Reader().CountMessages(t.Context(), state)
		if err != nil {
			t.Fatal(err)
		}
		kept += n
	}
	if kept < len(asked.acknowledged) {
		t.Errorf("%d of %d acknowledged requests are kept", kept, len(asked.acknowledged))
	}
}
