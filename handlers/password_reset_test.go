package handlers_test

import (
	"net/http"
	"strings"
	"testing"

	"postern/db/dbtest"
	"postern/internal/portaltest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestWhoForgotThePasswordGetsBackInByMail(t *testing.T) {
	for name, htmx := range map[string]bool{"without scripts": false, "with htmx": true} {
		t.Run(name, func(t *testing.T) {
			portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
				ann := p.Ann(t)
				b := p.Browser(t, "192.0.2.1")
				b.HTMX = htmx
				b.Get("/sign-in").Want(http.StatusOK, "Forgot your password?")
				sent := b.Follow(b.Post("/forgot-password", "email", "Ann@ACME.example").WantTo("/forgot-password/sent"))
				sent.Want(http.StatusOK, "Check your inbox", "portal@vendor.example", "Password change request", "60 minutes", "spam or junk")

				m := p.Mail(t)
				if m.To != ann.Email || m.Subject != "Password change request" || !strings.Contains(m.Text, "Please confirm this was you.") {
					t.Fatalf("mail to %s: %q", m.To, m.Subject)
				}
				link := m.Link(t, "/reset-password/")
				b.Get(link).WantTo("/reset-password")
				b.Get("/reset-password").Want(http.StatusOK, "Choose a new password", "At least 8 characters")
				b.Post("/reset-password", "password", "password", "confirm", "passwort").
					Want(http.StatusUnprocessableEntity, "a capital letter", "It is a common password", "The two passwords are not the same")
				signIn := b.Follow(b.Post("/reset-password", "password", portaltest.Another, "confirm", portaltest.Another).WantTo("/sign-in"))
				signIn.Want(http.StatusOK, "Your password was changed. Sign in with the new one.")

				changed := p.Mail(t)
				if changed.To != ann.Email || changed.Subject != "Your password was changed" {
					t.Errorf("mail to %s: %q", changed.To, changed.Subject)
				}
				changed.Link(t, "/not-me/")
				b.Post("/sign-in", "login", ann.Email, "password", portaltest.Password).Want(http.StatusUnprocessableEntity)
				b.SignIn(ann.Email, portaltest.Another)
			})
		})
	}
}
