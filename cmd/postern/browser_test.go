package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	postern "postern/cmd/postern"
	"postern/internal/mail/mailtest"

	"postern/internal/portaltest"
)

// running is the program, serving.
type running struct {
	url   string
	setup string // the set-up link that it printed
	sink  *mailtest.Sink
	env   []string
	t     *testing.T
}

// start runs the program on a fresh folder until the test ends, with a mail server.
func start(t *testing.T) *running {
	t.Helper()
	path, err := postern.Binary()
	if err != nil {
		t.Fatal(err)
	}
	address := portaltest.FreeAddress(t)
	r := &running{url: "http://" + address, sink: mailtest.New(t, mailtest.Options{}), t: t}
	r.env = []string{"POSTERN_LISTEN=" + address, "POSTERN_URL=" + r.url, "POSTERN_DATA=" + filepath.Join(t.TempDir(), "data"),
		"POSTERN_SMTP=smtp://" + r.sink.Addr + "?tls=none", "POSTERN_MAIL_FROM=Acme Portal <portal@acme.example>"}
	command := exec.Command(path, "serve")
	command.Env = r.env
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	command.Stderr = &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := command.Wait(); err != nil {
			t.Errorf("serve ended with %v", err)
		}
		if t.Failed() {
			t.Logf("log of the program:\n%s", log.String())
		}
	})
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), r.url+"/setup/") {
			r.setup = lines.Text()
			return r
		}
	}
	t.Fatalf("no set-up link was printed:\n%s", log.String())
	return nil
}

// command runs another command of the program beside it.
func (r *running) command(stdin string, args ...string) string {
	r.t.Helper()
	path, err := postern.Binary()
	if err != nil {
		r.t.Fatal(err)
	}
	command := exec.Command(path, args...)
	command.Env = r.env
	command.Stdin = strings.NewReader(stdin)
	output, err := command.CombinedOutput()
	if err != nil {
		r.t.Fatalf("postern %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return string(output)
}

// mail waits for a mail to that address with that subject; n tells which of them, from 1.
func (r *running) mail(to, subject string, n int) mailtest.Mail {
	r.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		found := 0
		for _, m := range r.sink.Mails() {
			if m.To == to && m.Subject == subject {
				if found++; found == n {
					return m
				}
			}
		}
	}
	r.t.Fatalf("no mail %q to %s came", subject, to)
	return mailtest.Mail{}
}

// chromium is the browser that all tests share; each uses windows of its own.
var chromium = sync.OnceValues(func() (context.Context, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	allocator, _ := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ := chromedp.NewContext(allocator)
	return ctx, chromedp.Do(ctx)
})

// window is a browser window with cookies of its own.
type window struct {
	ctx  context.Context
	t    *testing.T
	name string // of the screenshots
	look look

	mu       sync.Mutex
	console  []string
	expected []string // parts of messages that may stand in the console
}

// look is what a window looks like.
type look struct {
	width, height int64
	dark          bool
	noScripts     bool
	widthOnly     bool // accessible looks for what stands out of the window, and no more
}

var (
	desktop = look{width: 1280, height: 800}
	phone   = look{width: 360, height: 740}
)

// patience bounds every wait.
const patience = 20 * time.Second

// open opens a window. Without Chromium the test is skipped, or fails if POSTERN_TEST_ALL
// is set.
func open(t *testing.T, l look) *window {
	t.Helper()
	browser, err := chromium()
	if err != nil {
		if os.Getenv("POSTERN_TEST_ALL") == "" {
			t.Skip("Chromium is not installed, so no page was looked at: ", err)
		}
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	// The first call opens the window, which lives as long as the context of that call.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	w := &window{ctx: ctx, t: t, name: t.Name(), look: l}
	w.expect("Clear-Site-Data header on") // the browser notes what signing out has cleared
	w.do(chromedp.EmulateViewport(l.width, l.height), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		scheme := "light"
		if l.dark {
			scheme = "dark"
		}
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		if err == nil && l.noScripts {
			_, err = cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		}
		if err == nil {
			_, err = cdp.Call(ctx, target, cdplog.Enable, cdp.Empty{})
		}
		return err
	}))
	if err := chromedp.Listen(ctx, w.hear); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.silent)
	return w
}

// hear keeps what stands in the console: messages, script errors, and what the content
// security policy has blocked.
func (w *window) hear(event any) {
	text := ""
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		text = "console: " + string(e.Type)
		for _, argument := range e.Args {
			text += " " + string(argument.Value)
		}
	case *runtime.EventExceptionThrown:
		text = "script error: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
	case *cdplog.EventEntryAdded:
		text = "log: " + e.Entry.Text
	default:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.console = append(w.console, text)
}

// expect lets messages stand in the console: the browser notes every 4xx page there.
func (w *window) expect(parts ...string) { w.expected = append(w.expected, parts...) }

// silent fails the test if anything else stands there.
func (w *window) silent() {
	w.mu.Lock()
	defer w.mu.Unlock()
next:
	for _, text := range w.console {
		for _, part := range w.expected {
			if strings.Contains(text, part) {
				continue next
			}
		}
		w.t.Errorf("in the console: %s", text)
	}
}

func (w *window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		w.t.Fatalf("at %s: %v", w.where(), err)
	}
}

func get[T any](w *window, action chromedp.Action[T]) T {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		w.t.Fatal(err)
	}
	return value
}

// where is the address that the window shows, for messages.
func (w *window) where() string {
	ctx, cancel := context.WithTimeout(w.ctx, 2*time.Second)
	defer cancel()
	address, err := chromedp.Run(ctx, chromedp.Location())
	if err != nil {
		return "an unknown address"
	}
	return address
}

// visit opens an address.
func (w *window) visit(address string) {
	w.t.Helper()
	w.do(chromedp.Navigate(address))
}

// fill types into a field, as a person would.
func (w *window) fill(name, text string) {
	w.t.Helper()
	field := chromedp.CSS(`input[name="` + name + `"]:not([type="hidden"]):not([hidden])`)
	w.do(chromedp.Focus(field), chromedp.KeyEvent("a", chromedp.KeyModifiers(chromedp.ModifierCtrl)), chromedp.KeyEvent(kb.Delete),
		chromedp.SendKeys(field, text))
}

// press clicks what the selector finds and waits for the page that follows.
func (w *window) press(selector string) {
	w.t.Helper()
	get(w, chromedp.WaitEvent(page.LoadEventFired, nil, chromedp.Click(chromedp.CSS(selector))))
}

// click clicks something that opens in place.
func (w *window) click(selector string) {
	w.t.Helper()
	w.do(chromedp.Click(chromedp.CSS(selector)))
}

// sees waits until the text stands on the page.
func (w *window) sees(texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		deadline := time.Now().Add(patience)
		for !strings.Contains(w.text(), text) {
			if time.Now().After(deadline) {
				w.t.Fatalf("%s does not say %q:\n%s", w.where(), text, w.text())
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// finds waits until the page holds what the selector says.
func (w *window) finds(selector string) {
	w.t.Helper()
	script := fmt.Sprintf("document.querySelector(%q) !== null", selector)
	for deadline := time.Now().Add(patience); !get(w, chromedp.Evaluate[bool](script)); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s has no %s:\n%s", w.where(), selector, w.text())
		}
	}
}

// text is what a person can read. A page that is just being replaced has none.
func (w *window) text() string {
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`))
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(text, "\u00a0", " ")
}

// at fails the test unless the window shows that path.
func (w *window) at(path string) {
	w.t.Helper()
	address := w.where()
	_, rest, _ := strings.Cut(address, "://")
	if _, shown, _ := strings.Cut(rest, "/"); "/"+shown != path {
		w.t.Fatalf("the window shows %s instead of %s:\n%s", address, path, w.text())
	}
}

// axe is the accessibility checker.
var axe = sync.OnceValues(func() (string, error) {
	text, err := os.ReadFile("testdata/axe-4.14.1.min.js")
	return string(text), err
})

// violation is a rule that a page breaks.
type violation struct {
	ID    string `json:"id"`
	Help  string `json:"help"`
	Nodes []struct {
		HTML           string `json:"html"`
		FailureSummary string `json:"failureSummary"`
	} `json:"nodes"`
}

// accessible fails the test for every accessibility rule that the page breaks, and where
// something stands out of the window at the side. It keeps a screenshot if asked to.
func (w *window) accessible(name string) {
	w.t.Helper()
	w.screenshot(name)
	if wide := get(w, chromedp.Evaluate[float64](`document.documentElement.scrollWidth - document.documentElement.clientWidth`)); wide > 0 {
		w.t.Errorf("%s: %s is %v px too wide", name, w.where(), wide)
	}
	if w.look.widthOnly {
		return
	}
	script, err := axe()
	if err != nil {
		w.t.Fatal(err)
	}
	w.do(chromedp.Evaluate[chromedp.Void](script))
	result := get(w, chromedp.Evaluate[string](`axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations))`,
		func(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }))
	var violations []violation
	if err := json.Unmarshal([]byte(result), &violations); err != nil {
		w.t.Fatal(err)
	}
	for _, v := range violations {
		for _, node := range v.Nodes {
			w.t.Errorf("%s: %s breaks %s (%s)\n%s\n%s", name, w.where(), v.ID, v.Help, node.HTML, node.FailureSummary)
		}
	}
}

// screenshot writes a picture of the whole page into the folder that POSTERN_TEST_SHOTS
// names, if it does.
func (w *window) screenshot(name string) {
	w.t.Helper()
	folder := os.Getenv("POSTERN_TEST_SHOTS")
	if folder == "" {
		return
	}
	picture := get(w, chromedp.FullScreenshot(100))
	file := strings.NewReplacer("/", "-", " ", "-").Replace(w.name + "-" + name + ".png")
	if err := os.WriteFile(filepath.Join(folder, file), picture, 0o644); err != nil {
		w.t.Fatal(err)
	}
}
