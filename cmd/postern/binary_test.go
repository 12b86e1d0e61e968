package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postern/db/dbtest"
	"postern/internal/mail/mailtest"
	"postern/internal/portaltest"
	"postern/internal/totp"
)

func TestMain(m *testing.M) {
	dbtest.Main(m, func() error { return os.RemoveAll(binaryFolder) })
}

// binaryFolder holds the program that was built.
var binaryFolder string

// Binary builds the program once, for all tests of this folder.
var Binary = sync.OnceValues(func() (string, error) {
	var err error
	if binaryFolder, err = os.MkdirTemp("", "postern-built-"); err != nil {
		return "", err
	}
	if err := os.Chmod(binaryFolder, 0o755); err != nil { // some tests run it as somebody else
		return "", err
	}
	path := filepath.Join(binaryFolder, "postern")
	if output, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, output)
	}
	return path, nil
})

func built(t *testing.T) string {
	t.Helper()
	path, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// installation is a portal that the built program serves, with a mail server.
type installation struct {
	*console
	url  string
	sink *mailtest.Sink
}

// newInstallation prepares one; PostgreSQL when a database's URL is given.
func newInstallation(t *testing.T, database string) *installation {
	t.Helper()
	i := &installation{console: newConsole(t), sink: mailtest.New(t, mailtest.Options{})}
	address := portaltest.FreeAddress(t)
	i.url = "http://" + address
	for name, value := range map[string]string{"LISTEN": address, "URL": i.url, "DATABASE": database, "TRUSTED_PROXIES": "127.0.0.1/32",
		"SMTP": "smtp://" + i.sink.Addr + "?tls=none"} {
		i.env["POSTERN_"+name] = value
	}
	return i
}

// process is the built program, running.
type process struct {
	t      *testing.T
	url    string
	cmd    *exec.Cmd
	began  time.Time
	out    portaltest.Log
	log    portaltest.Log
	exited chan struct{}
	err    error // how it ended, after exited
}

// prepare makes the built program ready to run with a changed environment (name=value).
func (i *installation) prepare(args []string, env ...string) *process {
	i.t.Helper()
	p := &process{t: i.t, url: i.url, cmd: exec.Command(built(i.t), args...), exited: make(chan struct{})}
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	for name, value := range i.env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.log
	return p
}

// launch runs it.
func (i *installation) launch(args []string, env ...string) *process {
	i.t.Helper()
	return i.launchAs(&syscall.SysProcAttr{}, args, env...)
}

// launchAs runs it as somebody else.
func (i *installation) launchAs(attributes *syscall.SysProcAttr, args []string, env ...string) *process {
	i.t.Helper()
	p := i.prepare(args, env...)
	p.start(attributes)
	return p
}

func (p *process) start(attributes *syscall.SysProcAttr) {
	p.t.Helper()
	attributes.Pdeathsig = syscall.SIGKILL
	p.cmd.SysProcAttr = attributes
	p.began = time.Now()
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the signal at the parent's death is tied to this thread
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		p.kill()
		if p.t.Failed() {
			p.t.Logf("standard output:\n%s\nlog:\n%s", p.out.String(), tail(p.log.String()))
		}
	})
}

func tail(text string) string { return text[max(0, len(text)-4000):] }

// serve starts the portal and waits until it is ready.
func (i *installation) serve(env ...string) *process {
	i.t.Helper()
	p := i.launch([]string{"serve"}, env...)
	p.awaitReady()
	return p
}

// comesUp waits until it can serve, or has ended.
func (p *process) comesUp() bool {
	p.t.Helper()
	ended := false
	eventually(p.t, 20*time.Second, "the program neither serves nor ends", func() bool {
		select {
		case <-p.exited:
			ended = true
		default:
		}
		return ended || p.status("/readyz") == http.StatusOK
	})
	return !ended
}

// awaitReady waits until it can serve and returns how long that took from the start.
func (p *process) awaitReady() time.Duration {
	p.t.Helper()
	if !p.comesUp() {
		p.t.Fatalf("serve ended: %v\n%s", p.err, p.log.String())
	}
	return time.Since(p.began)
}

// eventually fails the test if it has not become true by the deadline.
func eventually(t *testing.T, deadline time.Duration, otherwise string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !happened(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(otherwise)
		}
	}
}

// visitors share no connections with anybody, which a killed server would have cut.
var visitors = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// status asks for a path; 0 means that nobody answered.
func (p *process) status(path string) int {
	response, err := visitors.Get(p.url + path)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// post sends a form from that address. Unlike a Browser's it may run beside the test.
func (p *process) post(path, from string, fields url.Values) (status int, header http.Header, err error) {
	request, err := http.NewRequest(http.MethodPost, p.url+path, strings.NewReader(fields.Encode()))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Origin", p.url)
	request.Header.Set("X-Forwarded-For", from)
	response, err := visitors.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, response.Header, err
}

func (p *process) browser(from string) *portaltest.Browser {
	p.t.Helper()
	return (&portaltest.Portal{URL: p.url}).Browser(p.t, from)
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
}

// wait waits for the end and returns the exit code, -1 for a signal.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(40 * time.Second):
		p.t.Fatal("the program does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// stop ends it in peace.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		p.t.Errorf("serve ended with %d", code)
	}
}

var setupLine = regexp.MustCompile(`(?m)^https?://\S+/setup/[A-Za-z0-9_-]{43}$`)

// setupLinks are the set-up links that were printed, each on a line of its own.
func (p *process) setupLinks() []string { return setupLine.FindAllString(p.out.String(), -1) }

// setUp makes the first owner with the printed link, who enrols an authenticator.
func (p *process) setUp(b *portaltest.Browser, email string) (phone *portaltest.Phone, codes []string) {
	p.t.Helper()
	links := p.setupLinks()
	if len(links) != 1 {
		p.t.Fatalf("%d set-up links were printed:\n%s", len(links), p.out.String())
	}
	b.Get(links[0]).WantTo("/setup")
	b.Post("/setup", "name", "Olga Owner", "email", email, "username", "olga", "password", portaltest.Password,
		"confirm", portaltest.Password, "portal_name", "Northwind Desk").WantTo("/account/totp")
	return p.enrol(b)
}

var (
	shownSecret = regexp.MustCompile(`<code[^>]*data-totp-secret[^>]*>([A-Z2-7 ]+)</code>`)
	shownCode   = regexp.MustCompile(`<code[^>]*data-recovery-code[^>]*>([a-z2-7-]+)</code>`)
)

// enrol scans the secret that the page shows and confirms it.
func (p *process) enrol(b *portaltest.Browser) (phone *portaltest.Phone, codes []string) {
	p.t.Helper()
	match := shownSecret.FindStringSubmatch(b.Get("/account/totp").Want(http.StatusOK).Body)
	if match == nil {
		p.t.Fatal("no secret is shown")
	}
	secret, err := totp.ParseSecret(match[1])
	if err != nil {
		p.t.Fatal(err)
	}
	phone = &portaltest.Phone{Secret: secret}
	for _, found := range shownCode.FindAllStringSubmatch(b.Post("/account/totp", "code", phone.Code(p.t)).Want(http.StatusOK).Body, -1) {
		codes = append(codes, found[1])
	}
	return phone, codes
}

// signIn signs somebody with an authenticator in.
func (p *process) signIn(b *portaltest.Browser, login, password string, phone *portaltest.Phone) {
	p.t.Helper()
	b.Post("/sign-in", "login", login, "password", password).WantTo("/sign-in/verify")
	b.Follow(b.Post("/sign-in/verify", "code", phone.Code(p.t)).WantTo("/account")).Want(http.StatusOK)
}

// mail waits for a mail to that address with that subject.
func (i *installation) mail(to, subject string) mailtest.Mail {
	i.t.Helper()
	var mail mailtest.Mail
	eventually(i.t, 30*time.Second, "no mail \""+subject+"\" came to "+to, func() bool {
		for _, m := range i.sink.Mails() {
			if m.To == to && m.Subject == subject {
				mail = m
				return true
			}
		}
		return false
	})
	return mail
}

// fails runs the program, which must end with an error in a sentence on standard error.
func (i *installation) fails(args ...string) string {
	i.t.Helper()
	p := i.launch(args)
	if code := p.wait(); code != 1 {
		i.t.Errorf("postern %s ends with %d", strings.Join(args, " "), code)
	}
	said := p.log.String()
	if !strings.HasPrefix(said, "postern: ") || strings.Contains(p.out.String(), "postern: ") {
		i.t.Errorf("postern %s says %q on standard error", strings.Join(args, " "), said)
	}
	return said
}

func TestTheProgramTellsShellsWhetherItWorked(t *testing.T) {
	i := newInstallation(t, "")
	for _, args := range [][]string{{}, {"--help"}, {"version"}} {
		p := i.launch(args)
		if code := p.wait(); code != 0 || p.log.String() != "" || p.out.String() == "" {
			t.Errorf("postern %v ends with %d and says %q", args, code, p.log.String())
		}
	}
	for _, args := range [][]string{{"frobnicate"}, {"serve", "--bogus"}, {"user", "show", "ghost@acme.example"}} {
		i.fails(args...)
	}
}

// parallel does it n times at once.
func parallel(n int, do func(k int)) {
	var all sync.WaitGroup
	for k := range n {
		all.Go(func() { do(k) })
	}
	all.Wait()
}
