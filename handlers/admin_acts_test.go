package handlers_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/internal/directory"
	"postern/internal/portaltest"
)

// actLine is an act on a user: what it asks, says and does.
type actLine struct {
	asks, notice string
	fields       []string
	subject      string // of the mail to the user
	before       func(t *testing.T, p *portaltest.Portal, u db.User)
	done         func(u db.User) bool
}

var always = func(db.User) bool { return true }

// actLines are acts on a customer with an authenticator who is signed in, but for two on
// somebody who was invited.
var actLines = map[string]actLine{
	"send-reset":          {"Mail Carl Customer a link", "The reset link is on its way.", nil, "Password change request", nil, always},
	"resend-invitation":   {"Mail Carl Customer the invitation again", "The invitation is on its way.", nil, "You are invited", asInvited, always},
	"withdraw-invitation": {"Withdraw the invitation of Carl Customer?", "The invitation was withdrawn.", []string{"reason", "a slip"}, "Your invitation was withdrawn", asInvited, always},
	"reset-totp": {"Reset the authenticator of Carl Customer?", "The authenticator was reset, and the user is told.", []string{"reason", "lost it"},
		"Your second factor was changed", nil, func(u db.User) bool { return !u.SecondFactor }},
	"unlock": {"Unlock the account of Carl Customer?", "The account was unlocked, and the user is told.", []string{"reason", "called back"},
		"Your account was unlocked", asShut, func(u db.User) bool { return u.ClosedAt == 0 }},
	"end-sessions": {"Sign Carl Customer out of every browser?", "The user was signed out everywhere.", nil, "You were signed out everywhere", nil, always},
	"revoke-links": {"Revoke every open link of Carl Customer?", "All open links were revoked.", nil, "Links to your account were revoked", nil, always},
	"activate": {"Activate the account of Carl Customer?", "The account is active again, and the user is told.", nil, "Your account is active again",
		asInactive, func(u db.User) bool { return u.Active }},
	"deactivate": {"Deactivate the account of Carl Customer?", "The account was deactivated, and the user is told.", []string{"reason", "left"},
		"Your account was deactivated", nil, func(u db.User) bool { return !u.Active }},
	"delete": {"Delete Carl Customer?", "The user was deleted, and told so.", []string{"email", "CARL@umbra.example", "reason", "left"}, "Your account was deleted", nil, nil},
}

func asInvited(t *testing.T, p *portaltest.Portal, u db.User) {
	execute(t, database(t, p), fmt.Sprint(`UPDATE user_account SET password_set_at = 0, password_hash = '' WHERE id = `, u.ID))
}

func asShut(t *testing.T, p *portaltest.Portal, u db.User) {
	t.Helper()
	if err := p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.CloseUser(t.Context(), u.ID) }); err != nil {
		t.Fatal(err)
	}
}

func asInactive(t *testing.T, p *portaltest.Portal, u db.User) {
	t.Helper()
	if err := p.Directory.Deactivate(t.Context(), portaltest.Operator, u.ID, ""); err != nil {
		t.Fatal(err)
	}
}

func TestEveryActAsksFirstAndSaysWhatItDid(t *testing.T) {
	t.Parallel()
	for _, l := range routeLines(t) {
		if act, ok := strings.CutPrefix(l.path, "/admin/users/{id}/"); ok && actLines[act].asks == "" {
			t.Errorf("%s is not tried", act)
		}
	}
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		o := newOffice(t, p)
		for act, line := range actLines {
			carl := person(t, p, directory.NewUser{Email: "carl@umbra.example", Name: "Carl Customer", Organization: "Umbra"})
			p.Enrol(t, carl)
			carl = p.Reload(t, carl)
			if line.before != nil {
				line.before(t, p, carl)
			}
			p.Mails(t)
			path := userPage(carl) + "/" + act
			page := o.owner.Get(userPage(carl)).Want(http.StatusOK)
			if len(having(elements(t, page.Body), "href", path)) == 0 {
				t.Errorf("%s has no button", act)
			}
			for _, o.owner.HTMX = range []bool{true, false} {
				page = o.owner.Get(path).Want(http.StatusOK, line.asks)
				if !formFor(t, page.Body, path) || page.Whole() == o.owner.HTMX {
					t.Errorf("%s asks with %s", act, page.Body)
				}
			}
			o.owner.HTMX = act == "unlock" || act == "delete"
			page = o.owner.Post(path, line.fields...)
			o.owner.HTMX = false
			to := userPage(carl)
			if act == "delete" {
				to = "/admin/users"
			}
			wantStatus(t, act, o.owner.Follow(page.WantTo(to)), line.notice)
			if m := mailTo(t, p, carl.Email); m.Subject != line.subject {
				t.Errorf("%s mails %q", act, m.Subject)
			}
			if act == "delete" {
				o.owner.Get(userPage(carl)).Want(http.StatusNotFound)
				o.owner.Post(path, line.fields...).Want(http.StatusNotFound)
				continue
			}
			if !line.done(p.Reload(t, carl)) {
				t.Errorf("%s has not been done: %+v", act, p.Reload(t, carl))
			}
			if i := slices.Index(line.fields, "reason"); i >= 0 && !strings.Contains(fmt.Sprint(rows(t, database(t, p), "audit_event", nil)), line.fields[i+1]) {
				t.Errorf("%s: the reason is in no audit event", act)
			}
			if err := p.Directory.Delete(t.Context(), portaltest.Operator, carl.ID, carl.Email, ""); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestWhatHappensToAUserHappensAtOnce(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		o := newOffice(t, p)
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		secret, _ := enrol(t, p, b)
		p.Mails(t)
		o.owner.Post(userPage(o.ann) + "/send-reset").WantTo(userPage(o.ann))
		link := mailTo(t, p, o.ann.Email).Link(t, "/reset-password/")
		o.owner.Get(userPage(o.ann)).Want(http.StatusOK, "Open links", "Reset link", "10 recovery codes left", "Signed in now", "Firefox on Linux")
		o.owner.Post(userPage(o.ann) + "/revoke-links").WantTo(userPage(o.ann))
		b.Get(link).WantTo("/reset-password")
		b.Get("/reset-password").Want(http.StatusGone)
		b.Get("/account").Want(http.StatusOK)
		o.owner.Post(userPage(o.ann) + "/end-sessions").WantTo(userPage(o.ann))
		b.Get("/account").WantTo("/sign-in")
		givePassword(b)
		b.Post("/sign-in/verify", "code", nextCode(t, p, secret)).WantTo("/account")
		o.owner.Post(userPage(o.ann)+"/reset-totp", "reason", "a new phone").WantTo(userPage(o.ann))
		b.Get("/account").WantTo("/sign-in")
		b.SignIn("ann", portaltest.Password)
		b.Get("/account/activity").Want(http.StatusOK, "The authenticator was reset", "by staff").Lacks("a new phone")
		o.owner.Post(userPage(o.ann) + "/deactivate").WantTo(userPage(o.ann))
		b.Get("/account").WantTo("/sign-in")
		b.Post("/sign-in", "login", "ann", "password", portaltest.Password).Want(http.StatusUnprocessableEntity)
		o.owner.Post(userPage(o.ann) + "/activate").WantTo(userPage(o.ann))
		b.SignIn("ann", portaltest.Password)
	})
}

func TestStaffAreToldWhyNoResetLinkCanBeSent(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		o := newOffice(t, p)
		for name, c := range map[string]struct {
			before func(t *testing.T, p *portaltest.Portal, u db.User)
			says   string
		}{
			"inactive": {asInactive, "Activate it first."}, "shut": {asShut, "then unlock it."}, "invited": {asInvited, "Send the invitation again instead."},
		} {
			u := person(t, p, directory.NewUser{Email: name + "@umbra.example", Organization: "Umbra"})
			c.before(t, p, u)
			p.Mails(t)
			page := o.owner.Get(userPage(u)).Want(http.StatusOK, "No reset link can be sent: ", c.says)
			if strings.Contains(page.Body, userPage(u)+"/send-reset") {
				t.Errorf("%s: there is a button all the same", name)
			}
			page = o.owner.Post(userPage(u)+"/send-reset").Want(http.StatusUnprocessableEntity, "No reset link can be sent: ", c.says)
			if len(having(elements(t, page.Body), "role", "alert")) != 1 || len(p.Mails(t)) > 0 {
				t.Errorf("%s: %s", name, page.Body)
			}
		}
		p.Set(t, "recovery.require_prior_sign_in", "true")
		o.owner.Post(userPage(o.uma)+"/send-reset").Want(http.StatusUnprocessableEntity, "has never signed in")
		p.Set(t, "recovery.require_prior_sign_in", "false")
		o.owner.Post(userPage(o.uma) + "/send-reset").WantTo(userPage(o.uma))
		held := o.owner.Post(userPage(o.uma)+"/send-reset").Want(http.StatusTooManyRequests, "There were too many attempts. Wait 1 minute")
		if held.Header.Get("Retry-After") != "60" {
			t.Errorf("Retry-After is %q", held.Header.Get("Retry-After"))
		}
		p.Mail(t)
		p.Clock.Advance(time.Minute)
		p.Set(t, "recovery.enabled", "false") // staff send links all the same
		o.owner.Post(userPage(o.uma) + "/send-reset").WantTo(userPage(o.uma))
		p.Mail(t)
	})
}

func TestATypedReasonSurvivesTheProof(t *testing.T) {
	t.Parallel()
	for name, htmx := range map[string]bool{"without scripts": false, "with htmx": true} {
		t.Run(name, func(t *testing.T) {
			p := onSQLite(t)
			o := newOffice(t, p)
			p.Enrol(t, o.ann)
			for _, act := range []string{"reset-totp", "delete"} {
				path := userPage(o.ann) + "/" + act
				p.Clock.Advance(10 * time.Minute)
				o.owner.HTMX = htmx
				page := o.owner.Follow(o.owner.Post(path, "email", "ann@acme.example", "reason", `said "so" <on> the telephone`, "password", "typed-quokka").WantTo("/reauthenticate"))
				next := input(t, page.Body, "next").attributes["value"]
				if next != path {
					t.Errorf("%s comes back to %q", act, next)
				}
				o.owner.Post("/reauthenticate", "password", portaltest.Password, "code", "000000", "next", next).Want(http.StatusUnprocessableEntity)
				page = o.owner.Follow(o.owner.Post("/reauthenticate", "password", portaltest.Password, "code", p.Code(t, o.olive), "next", next).WantTo(path))
				page.Want(http.StatusOK, "Ann Smith")
				if got := input(t, page.Body, "reason").attributes["value"]; got != `said "so" <on> the telephone` || strings.Contains(page.Body, "quokka") {
					t.Errorf("%s: the reason is %q: %s", act, got, page.Body)
				}
				if act == "delete" && input(t, page.Body, "email").attributes["value"] != "ann@acme.example" {
					t.Errorf("the address is gone: %s", page.Body)
				}
				o.owner.HTMX = false
				// What belongs to one form is in no other.
				if page := o.owner.Get(userPage(o.uma) + "/delete"); input(t, page.Body, "reason").attributes["value"] != "" {
					t.Error("the reason stands in the form of somebody else")
				}
			}
		})
	}
}

func TestAnActThatIsNotDoneSaysWhy(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	o := newOffice(t, p)
	p.Enrol(t, o.uma)
	for name, form := range map[string]wrongForm{
		"no reason":        {userPage(o.uma) + "/reset-totp", []string{"reason", ""}, []string{"reason"}, []string{"Enter a reason."}},
		"a blank reason":   {userPage(o.uma) + "/reset-totp", []string{"reason", "  "}, []string{"reason"}, []string{"Enter a reason."}},
		"a long reason":    {userPage(o.uma) + "/deactivate", []string{"reason", strings.Repeat("ü", 201)}, []string{"reason"}, []string{"Use 200 characters at most."}},
		"a hidden reason":  {userPage(o.uma) + "/unlock", []string{"reason", "x\u202ey"}, []string{"reason"}, []string{"marks that cannot be seen"}},
		"another address":  {userPage(o.uma) + "/delete", []string{"email", "ann@acme.example", "reason", "left"}, []string{"email"}, []string{"This is not the address of this user."}},
		"no address":       {userPage(o.uma) + "/delete", []string{"email", "", "reason", ""}, []string{"email"}, []string{"This is not the address of this user."}},
		"no authenticator": {userPage(o.ann) + "/reset-totp", []string{"reason", "lost it"}, nil, []string{"This person has no authenticator."}},
		"not invited":      {userPage(o.ann) + "/resend-invitation", nil, nil, []string{"This person has chosen a password already."}},
		"not to withdraw":  {userPage(o.ann) + "/withdraw-invitation", []string{"reason", "x"}, nil, []string{"This person has chosen a password already."}},
	} {
		for _, o.owner.HTMX = range []bool{false, true} {
			form.try(t, name, o.owner)
		}
	}
	o.owner.HTMX = false
	if got := p.Reload(t, o.uma); !got.Active || !got.SecondFactor {
		t.Errorf("it was done all the same: %+v", got)
	}
	if n := len(p.Mails(t)); n > 0 {
		t.Errorf("%d mails", n)
	}
	asInvited(t, p, o.ann)
	asInactive(t, p, o.ann)
	o.owner.Post(userPage(o.ann)+"/resend-invitation").Want(http.StatusUnprocessableEntity, "No invitation can be sent: ", "Activate it first.")
}
