package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/portaltest"
)

// walk goes through what people do, and returns every secret that was said on the way.
func walk(i *installation, p *process) (secrets []string) {
	t := i.t
	t.Helper()
	b := p.browser("192.0.2.1")
	phone, codes := p.setUp(b, "own@acme.example")
	secrets = append(codes, phone.Secret.Text(), portaltest.Token(p.setupLinks()[0]), portaltest.Password, b.Cookie("postern"), b.Cookie("postern-browser"))
	b.Get("/account").Want(http.StatusOK, "Olga Owner", "Northwind Desk")
	b.Post("/sign-out").WantTo("/sign-in")
	p.signIn(b, "olga", portaltest.Password, phone)
	secrets = append(secrets, b.Cookie("postern"))

	lost := p.browser("192.0.2.2")
	lost.Post("/sign-in", "login", "olga", "password", "canary-wrong-password").Want(http.StatusUnprocessableEntity)
	lost.Post("/sign-in", "login", "canary-typed-into-the-wrong-field", "password", "").Want(http.StatusUnprocessableEntity)
	lost.Post("/forgot-password", "email", "own@acme.example").WantTo("/forgot-password/sent")
	link := i.mail("own@acme.example", "Password change request").Link(t, "/reset-password/")
	lost.Get(link).WantTo("/reset-password")
	lost.Post("/password/strength", "password", "canary-looked-at", "confirm", "", "for", "link").Want(http.StatusOK)
	lost.Post("/reset-password", "password", "canary-refused", "confirm", "canary-other").Want(http.StatusUnprocessableEntity)
	lost.Post("/reset-password", "password", portaltest.Another, "confirm", portaltest.Another).WantTo("/sign-in")
	p.signIn(lost, "own@acme.example", portaltest.Another, phone)
	secrets = append(secrets, portaltest.Token(link), portaltest.Another, lost.Cookie("postern"))
	notMe := i.mail("own@acme.example", "Your password was changed").Link(t, "/not-me/")
	secrets = append(secrets, portaltest.Token(notMe), "canary")

	b.Get("/account").WantTo("/sign-in") // the reset has ended the other session
	for _, path := range []string{"/setup/canary-token", "/reset-password/canary-token", "/not-me/canary", "/canary", "/static/canary",
		"/sign-in?next=/canary", "/reset-password?token=canary"} {
		b.Get(path)
	}
	b.Do(b.Request("BREW", "/canary", ""))
	elsewhere := b.Request(http.MethodGet, "/canary", "")
	elsewhere.Host = "other.example"
	b.Do(elsewhere).Want(http.StatusMisdirectedRequest)
	return secrets
}

// I32: nothing that opens a door is in the log or in the metrics.
func TestAWholeWalkLeavesNoSecretBehind(t *testing.T) {
	t.Parallel()
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			database := ""
			if engine == db.PostgreSQL {
				database = dbtest.NewPostgreSQL(t)
			}
			i := newInstallation(t, database)
			metrics := portaltest.FreeAddress(t)
			p := i.serve("POSTERN_METRICS_LISTEN="+metrics, "TZ=Asia/Tokyo")
			secrets := walk(i, p)
			counted := read(t, "http://"+metrics+"/metrics")
			if p.status("/metrics") != http.StatusNotFound {
				t.Error("the portal shows its metrics to visitors")
			}
			p.stop()
			wantMetrics(t, counted)
			wantLog(t, p.log.String())
			for _, secret := range secrets {
				if secret == "" {
					t.Error("a secret was not found on the way: the test shows nothing")
					continue
				}
				for where, text := range map[string]string{"log": p.log.String(), "metrics": counted} {
					if at := strings.Index(strings.ToLower(text), strings.ToLower(secret)); at >= 0 {
						t.Errorf("the %s holds a secret: %s", where, text[max(0, at-200):min(len(text), at+100)])
					}
				}
			}
		})
	}
}

func read(t *testing.T, address string) string {
	t.Helper()
	response, err := visitors.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s answers %d: %v", address, response.StatusCode, err)
	}
	return string(body)
}

func wantMetrics(t *testing.T, counted string) {
	t.Helper()
	for _, want := range []string{`postern_requests_total{method="GET",route="GET /reset-password/{token...}",status="303"}`,
		`postern_requests_total{method="POST",route="POST /sign-in",status="422"} 2`, `method="other"`, `postern_mails{state="sent"} `,
		"postern_request_seconds_bucket", "go_goroutines"} {
		if !strings.Contains(counted, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// wantLog checks that programs can read the log: one JSON object a line, times in UTC.
func wantLog(t *testing.T, log string) {
	t.Helper()
	requests := 0
	for lines := bufio.NewScanner(strings.NewReader(log)); lines.Scan(); {
		var entry struct{ Time, Level, Msg, Route, Address string }
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			t.Errorf("not JSON: %s", lines.Text())
			continue
		}
		if at, err := time.Parse(time.RFC3339Nano, entry.Time); err != nil || !strings.HasSuffix(entry.Time, "Z") || time.Since(at).Abs() > time.Hour {
			t.Errorf("a time is %s", entry.Time)
		}
		if entry.Msg == "request" && entry.Route == "POST /sign-in" && strings.HasPrefix(entry.Address, "192.0.2.") {
			requests++
		}
	}
	if requests < 4 {
		t.Errorf("%d sign-ins are in the log", requests)
	}
}

func TestTheLogIsTextWhereThatIsAskedFor(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "")
	p := i.serve("POSTERN_LOG_FORMAT=text")
	p.stop()
	if log := p.log.String(); !strings.Contains(log, "level=INFO msg=stopping") || strings.Contains(log, "{") {
		t.Errorf("the log is %s", log)
	}
}

// I20
func TestAFloodOfSignInsIsTurnedAwayWithoutHarm(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "")
	i.create("ann@acme.example")
	p := i.serve("GOMAXPROCS=2")
	ann := p.browser("192.0.2.1")
	ann.SignIn("ann@acme.example", portaltest.Password)
	statuses, done := make(chan string, 200), make(chan struct{})
	go func() {
		defer close(done)
		parallel(200, func(k int) {
			status, header, err := p.post("/sign-in", fmt.Sprintf("203.0.113.%d", k), map[string][]string{
				"login": {fmt.Sprintf("guess%d@acme.example", k)}, "password": {"Wrong-Password-4711"}})
			answer := fmt.Sprint(status)
			if err != nil {
				answer = err.Error()
			} else if status >= 429 && header.Get("Retry-After") == "" {
				answer += " without Retry-After"
			}
			statuses <- answer
		})
	}()
	for looking := true; looking; {
		if status := p.status("/healthz"); status != http.StatusOK {
			t.Errorf("it looks dead from outside: %d", status)
		}
		ann.Get("/account").Want(http.StatusOK)
		select {
		case <-done:
			looking = false
		default:
		}
	}
	close(statuses)
	got := map[string]int{}
	for status := range statuses {
		got[status]++
	}
	if got["422"] == 0 || got["503"] == 0 || got["422"]+got["503"] != 200 {
		t.Errorf("the visitors were answered %v", got)
	}
	if peak := peakMemory(t, p.cmd.Process.Pid); peak > 300<<10 {
		t.Errorf("it took %d MiB", peak>>10)
	}
	p.browser("192.0.2.77").SignIn("ann@acme.example", portaltest.Password)
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMemory is the most memory that the process has had, in KiB.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := highWater.FindSubmatch(status)
	if found == nil {
		t.Fatal("the kernel does not say")
	}
	kib, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib
}
