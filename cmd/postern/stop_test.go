package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/db"
)

// I19
func TestADrainingPortalServesOnAndThenEnds(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "")
	p := i.serve("POSTERN_DRAIN=4s")
	p.signal(syscall.SIGTERM)
	eventually(t, 3*time.Second, "it is still ready", func() bool { return p.status("/readyz") == http.StatusServiceUnavailable })
	if p.status("/sign-in") != http.StatusOK || p.status("/healthz") != http.StatusOK {
		t.Error("it does not serve while it drains")
	}
	if code := p.wait(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
	i.soundDatabase()
}

// I19
func TestASecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]func(p *process){
		"while it drains": func(p *process) {
			eventually(t, 5*time.Second, "it is still ready", func() bool { return p.status("/readyz") == http.StatusServiceUnavailable })
			p.signal(syscall.SIGTERM)
		},
		// Another signal than the first, because the kernel makes one of two that are the same.
		"right after the first": func(p *process) { p.signal(syscall.SIGINT) },
	} {
		t.Run(name, func(t *testing.T) {
			i := newInstallation(t, "")
			p := i.serve("POSTERN_DRAIN=5m")
			p.signal(syscall.SIGTERM)
			second(p)
			select {
			case <-p.exited:
				if p.cmd.ProcessState.Success() {
					t.Error("it ended as if all were well")
				}
			case <-time.After(10 * time.Second):
				t.Fatal("it goes on")
			}
			i.serve().stop()
		})
	}
}

// I19, G5: no mail is cut off, and none is sent twice.
func TestAMailOnItsWayIsFinishedBeforeTheEnd(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "")
	i.crowd(2)
	begun, goOn := make(chan struct{}), make(chan struct{})
	i.sink.Refuse(func(stage, _ string) error {
		if stage == "data" {
			begun <- struct{}{}
			<-goOn
		}
		return nil
	})
	p := i.serve()
	asked := &requests{}
	asked.send(p)
	<-begun
	p.signal(syscall.SIGTERM)
	eventually(t, 10*time.Second, "it still takes visitors", func() bool { return p.status("/healthz") == 0 })
	select {
	case <-p.exited:
		t.Error("it ended in the middle of a mail")
	default:
	}
	close(goOn)
	if code := p.wait(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
	i.sink.Refuse(nil)
	if n := len(i.sink.Mails()); n != 1 {
		t.Fatalf("%d mails came", n)
	}
	opened := i.open()
	if sent, err := opened.db.Reader().CountMessages(t.Context(), db.MessageSent); err != nil || sent != 1 {
		t.Errorf("%d mails are known to be sent: %v", sent, err)
	}
}

// I19: a form that was half sent when the program was told to stop is still answered.
func TestARequestOnItsWayIsAnsweredBeforeTheEnd(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "")
	i.create("ann@acme.example")
	p := i.serve()
	conn, err := net.Dial("tcp", i.env["POSTERN_LISTEN"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := "login=ann%40acme.example&password=Quiet-Harbour-42-Lantern"
	say := func(text string) {
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	say(fmt.Sprintf("POST /sign-in HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		strings.TrimPrefix(i.url, "http://"), i.url, len(body), body[:10]))
	// The server must have begun with it: it reads one request after the other from here.
	eventually(t, 5*time.Second, "it does not serve", func() bool { return p.status("/healthz") == http.StatusOK })
	p.signal(syscall.SIGTERM)
	eventually(t, 10*time.Second, "it still takes visitors", func() bool { return p.status("/healthz") == 0 })
	say(body[10:])
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("it hung up: %v", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusSeeOther {
		t.Errorf("it answered %d", answer.StatusCode)
	}
	if code := p.wait(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
}
