package main_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"postern/internal/totp"
)

// ownerIn sets the portal up and enrols the owner, who is signed in then with fresh proof.
func (r *running) ownerIn(w *window) {
	r.t.Helper()
	w.visit(r.setup)
	for name, text := range map[string]string{"portal_name": "Acme Service", "support_email": "help@acme.example", "name": "Olga Owner",
		"email": "olga@acme.example", "password": firstPassword, "confirm": firstPassword} {
		w.fill(name, text)
	}
	w.press("button.primary")
	w.at("/account/totp")
	shown := get(w, chromedp.Evaluate[string](`document.querySelector("[data-totp-secret]").textContent`))
	secret, err := totp.ParseSecret(strings.Join(strings.Fields(shown), ""))
	if err != nil {
		r.t.Fatal(err)
	}
	code, err := secret.Code(time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	w.fill("code", code)
	w.click("form[action='/account/totp'] button.primary")
	w.finds("[data-recovery-code]")
}

// choose picks a value from a list.
func (w *window) choose(id, value string) {
	w.t.Helper()
	w.do(chromedp.Evaluate[chromedp.Void](`{ const list = document.getElementById("` + id + `"); list.value = "` + value +
		`"; list.dispatchEvent(new Event("change", { bubbles: true })); }`))
}

func TestWhomAStricterRuleTouchesIsToldWhileSomebodyChooses(t *testing.T) {
	r := start(t)
	w := open(t, desktop)
	r.ownerIn(w)
	r.customer()
	w.visit(r.url + "/admin/settings")
	w.choose("mfa.required_for", "everyone")
	w.sees("An authenticator is a must for: 1 user has no authenticator and will be asked to enrol one with the next click.")
	w.fill("password.min_length", "12")
	w.sees("Shortest password: 2 users must meet it when they next choose a password.")
	w.choose("mfa.required_for", "staff")
	w.sees("This touches nobody at the moment.")
	w.press("#passwords form:not(.presets form) button.primary")
	w.at("/admin/settings")
	w.sees("The settings were saved. They count at once.")
	if got := strings.TrimSpace(r.command("", "settings", "get", "password.min_length")); got != "12" {
		t.Errorf("the command says %q", got)
	}
}

func TestSettingsMailAndOverviewCanBeReadByEverybody(t *testing.T) {
	r := start(t)
	first := open(t, desktop)
	r.ownerIn(first)
	first.visit(r.url + "/admin/mail/test")
	first.press("main button.primary")
	first.sees("The mail server has taken the mail to olga@acme.example.", "portal: DATA")
	narrow := phone
	narrow.width = 320
	for name, l := range map[string]look{"desktop": desktop, "phone": narrow, "dark": {width: 1280, height: 800, dark: true}} {
		first.do(chromedp.EmulateViewport(l.width, l.height))
		for _, path := range []string{"/admin", "/admin/settings", "/admin/mail", "/admin/mail/1", "/admin/mail/test"} {
			first.visit(r.url + path)
			first.accessible(name + path)
		}
	}
}
