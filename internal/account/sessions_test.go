package account_test

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/internal/account"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/portaltest"
	"postern/internal/session"
	"postern/internal/totp"
)

// trusting signs a user in with a code, in a browser with that token, which is to be
// trusted.
func trusting(t *testing.T, p *portaltest.Portal, u db.User, secret totp.Secret, browser string) account.SignedIn {
	t.Helper()
	p.Clock.Advance(30 * time.Second) // no code works twice
	in, err := p.Account.VerifyCode(t.Context(), from("192.0.2.1", browser), halfway(t, p, u), code(t, p, secret, 0), true)
	must(t, err)
	return in
}

// wantCodeOwed fails the test unless a sign-in in that browser owes a code, or does not.
func wantCodeOwed(t *testing.T, p *portaltest.Portal, when string, u db.User, password, browser string, want bool) account.SignedIn {
	t.Helper()
	in := signIn(t, p, from("192.0.2.1", browser), u.Email, password)
	if in.CodeOwed != want {
		t.Errorf("%s a code is owed: %t", when, in.CodeOwed)
	}
	return in
}

// trusted are the browsers in which the user need not show a code.
func trusted(t *testing.T, p *portaltest.Portal, u db.User) []db.Browser {
	t.Helper()
	all, err := p.DB.Reader().TrustedBrowsers(t.Context(), p.Reload(t, u), p.DB.Now())
	must(t, err)
	return all
}

func TestATrustedBrowserShowsNoCodeForAsLongAsTheSettingSays(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		bob := person(t, p, directory.NewUser{Email: "bob@acme.example"})
		secret, ofBob := give(t, p, ann), give(t, p, bob)
		asked, err := verify(t.Context(), p.Account, halfway(t, p, ann), code(t, p, secret, 0))
		must(t, err)
		wantCodeOwed(t, p, "in a browser that is known alone", ann, portaltest.Password, asked.Browser, true)

		browser := trusting(t, p, ann, secret, asked.Browser).Browser
		began := p.DB.Now()
		in := wantCodeOwed(t, p, "trusted", ann, portaltest.Password, browser, false)
		browser = in.Browser // a new token at every sign-in
		if live(t, p, in.Session).Session.CodeOwed {
			t.Error("the session owes a code")
		}
		if done := events(t, p, "sign_in.succeeded"); !strings.Contains(done[len(done)-1].Detail, `"password"`) {
			t.Errorf("it was recorded as %+v", done[len(done)-1])
		}
		wantCodeOwed(t, p, "in the browser's old token", ann, portaltest.Password, asked.Browser, true)
		wantCodeOwed(t, p, "elsewhere", ann, portaltest.Password, "", true)
		wantCodeOwed(t, p, "of somebody else in the same browser", bob, portaltest.Password, browser, true)
		_, err = p.Account.SignIn(t.Context(), from("192.0.2.1", browser), ann.Email, wrong)
		wantProblem(t, err, "", input.WrongSignIn) // trust is no password

		// Whoever else signs in there takes nothing over, and takes nothing away.
		p.Clock.Advance(time.Minute)
		both, err := p.Account.VerifyCode(t.Context(), from("192.0.2.1", browser), halfway(t, p, bob), code(t, p, ofBob, 0), false)
		must(t, err)
		browser = wantCodeOwed(t, p, "of the first one", ann, portaltest.Password, both.Browser, false).Browser
		wantCodeOwed(t, p, "of the second one", bob, portaltest.Password, browser, true)

		p.Clock.Advance(began.Add(30*24*time.Hour).Sub(p.DB.Now()) - time.Second)
		browser = wantCodeOwed(t, p, "a second before its end", ann, portaltest.Password, browser, false).Browser
		p.Clock.Advance(time.Second) // signing in has not prolonged it
		wantCodeOwed(t, p, "after thirty days", ann, portaltest.Password, browser, true)

		browser = trusting(t, p, ann, secret, browser).Browser
		p.Set(t, "mfa.trust_device_days", "0")
		wantCodeOwed(t, p, "switched off", ann, portaltest.Password, browser, true)
		trusting(t, p, bob, ofBob, "")
		if all := trusted(t, p, bob); len(all) != 0 {
			t.Errorf("switched off, a browser is trusted: %+v", all)
		}
	})
}

func TestStaffShowACodeEveryTime(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		sam := person(t, p, directory.NewUser{Email: "sam@vendor.example", Role: "support"})
		secret := give(t, p, sam)
		browser := trusting(t, p, sam, secret, "").Browser
		if all := trusted(t, p, sam); len(all) != 0 {
			t.Errorf("staff have trusted a browser: %+v", all)
		}
		wantCodeOwed(t, p, "of staff", sam, portaltest.Password, browser, true)

		// Nor who was a customer when they trusted it.
		ann := newAnn(t, p)
		hers := give(t, p, ann)
		browser = trusting(t, p, ann, hers, "").Browser
		must(t, p.Directory.SetRole(t.Context(), portaltest.Operator, ann.ID, "auditor"))
		wantCodeOwed(t, p, "of a customer who has become staff", ann, portaltest.Password, browser, true)
	})
}

func TestTrustEndsWithEveryChangeOfWhatItRestsOn(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ctx, operator := t.Context(), portaltest.Operator
		fresh := "fresh@acme.example"
		for i, change := range []struct {
			name     string
			password string
			change   func(u db.User, c *session.Current, secret totp.Secret) error
		}{
			{"password", portaltest.Another, func(_ db.User, c *session.Current, _ totp.Secret) error {
				_, err := p.Account.ChangePassword(ctx, as(c), c, portaltest.Password, chosen(portaltest.Another))
				return err
			}},
			{"reset", portaltest.Another, func(u db.User, _ *session.Current, _ totp.Secret) error {
				return reset(t, p, printed(t, p, u), portaltest.Another)
			}},
			{"e-mail", portaltest.Password, func(u db.User, c *session.Current, _ totp.Secret) error {
				p.Mails(t)
				must(t, p.Account.RequestEmailChange(ctx, as(c), c, fresh))
				_, err := p.Account.ConfirmEmail(ctx, home, c, mailed(t, p.Mails(t), confirmMail, "/verify-email/"))
				return err
			}},
			{"another authenticator", portaltest.Password, func(_ db.User, c *session.Current, _ totp.Secret) error {
				shown, err := p.Account.ShowEnrolment(ctx, c.User)
				must(t, err)
				_, _, err = p.Account.ConfirmEnrolment(ctx, as(c), c, code(t, p, shown.Secret, 0))
				return err
			}},
			{"authenticator removed and enrolled again", portaltest.Password, func(u db.User, c *session.Current, secret totp.Secret) error {
				p.Clock.Advance(time.Minute)
				_, err := p.Account.RemoveAuthenticator(ctx, as(c), c, code(t, p, secret, 0))
				give(t, p, u)
				return err
			}},
			{"authenticator reset and enrolled again", portaltest.Password, func(u db.User, _ *session.Current, _ totp.Secret) error {
				err := p.Directory.ResetTOTP(ctx, operator, u.ID, "lost")
				give(t, p, u)
				return err
			}},
			{"deactivated and activated", portaltest.Password, func(u db.User, _ *session.Current, _ totp.Secret) error {
				return errors.Join(p.Directory.Deactivate(ctx, operator, u.ID, ""), p.Directory.Activate(ctx, operator, u.ID, ""))
			}},
		} {
			u := person(t, p, directory.NewUser{Email: "user" + strconv.Itoa(i) + "@acme.example"})
			secret := give(t, p, u)
			in := trusting(t, p, u, secret, "")
			if all := trusted(t, p, u); len(all) != 1 {
				t.Fatalf("%s: trusted before: %+v", change.name, all)
			}
			must(t, change.change(p.Reload(t, u), live(t, p, in.Session), secret))
			if all := trusted(t, p, u); len(all) != 0 {
				t.Errorf("%s: trusted afterwards: %+v", change.name, all)
			}
			wantCodeOwed(t, p, change.name, p.Reload(t, u), change.password, in.Browser, true)
		}
	})
}

func TestATrustedBrowserIsListedAndForgottenByItsOwnUser(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		eve := person(t, p, directory.NewUser{Email: "eve@evil.example"})
		secret := give(t, p, ann)
		in := trusting(t, p, ann, secret, "")
		c, ofEve := live(t, p, in.Session), live(t, p, entered(t, p, eve))
		all := trusted(t, p, ann)
		if len(all) != 1 || all[0].UserAgent != "Test/1.0" || all[0].Address != "192.0.2.1" || all[0].TrustedUntil != p.DB.Now().Add(30*24*time.Hour) {
			t.Fatalf("listed: %+v", all)
		}
		for _, id := range []int64{all[0].ID, all[0].ID + 1, 0, -1} {
			if err := p.Account.ForgetBrowser(t.Context(), as(ofEve), ofEve, id); !errors.Is(err, db.ErrNotFound) {
				t.Errorf("somebody else's browser %d: %v", id, err)
			}
		}
		wantNoEvent(t, p, "browser.forgotten")
		browser := wantCodeOwed(t, p, "after that", ann, portaltest.Password, in.Browser, false).Browser
		must(t, p.Account.ForgetBrowser(t.Context(), as(c), c, all[0].ID))
		wantCodeOwed(t, p, "forgotten", ann, portaltest.Password, browser, true)
		if err := p.Account.ForgetBrowser(t.Context(), as(c), c, all[0].ID); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("forgotten twice: %v", err)
		}
		if done := events(t, p, "browser.forgotten"); len(done) != 1 || done[0].User != ann.ID {
			t.Errorf("it was recorded as %+v", done)
		}
		live(t, p, in.Session)
	})
}

// listed are the ids of the user's sessions, the latest used first.
func listed(t *testing.T, p *portaltest.Portal, u db.User) (ids []int64) {
	t.Helper()
	all, err := p.Account.Sessions(t.Context(), u)
	must(t, err)
	for _, s := range all {
		if s.UserID != u.ID {
			t.Errorf("somebody else's session is listed: %+v", s)
		}
		ids = append(ids, s.ID)
	}
	return ids
}

func TestSessionsAreEndedOneByOneOrAllByTheirOwnUserAlone(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		eve := person(t, p, directory.NewUser{Email: "eve@evil.example"})
		own, phone, work := entered(t, p, ann), entered(t, p, ann), entered(t, p, ann)
		evil := entered(t, p, eve)
		c, ofEve := live(t, p, own), live(t, p, evil)
		if ids := listed(t, p, ann); len(ids) != 3 {
			t.Fatalf("listed: %v", ids)
		}
		end := func(who *session.Current, id int64) error { return p.Account.EndSession(t.Context(), as(who), who, id) }

		onPhone := live(t, p, phone).Session.ID
		if err := end(ofEve, onPhone); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("somebody else's session: %v", err)
		}
		live(t, p, phone)
		wantNoEvent(t, p, "session.ended")
		must(t, end(c, onPhone))
		wantEnded(t, p, phone)
		live(t, p, work)
		if err := end(c, onPhone); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("ended twice: %v", err)
		}
		if done := events(t, p, "session.ended"); len(done) != 1 || done[0].User != ann.ID {
			t.Errorf("it was recorded as %+v", done)
		}

		before, err := p.Account.ShowEnrolment(t.Context(), c.User)
		must(t, err)
		half := halfway(t, p, ann) // a thief who knows the password, perhaps
		must(t, p.Account.EndOtherSessions(t.Context(), as(c), c))
		wantEnded(t, p, work)
		live(t, p, own)
		live(t, p, evil)
		if _, _, err := p.DB.Reader().SessionByToken(t.Context(), nil); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("no token at all: %v", err)
		}
		after, err := p.Account.ShowEnrolment(t.Context(), c.User)
		if must(t, err); bytes.Equal(before.Secret, after.Secret) {
			t.Error("a secret that was shown elsewhere is still to be confirmed")
		}
		_, err = verify(t.Context(), p.Account, half, "000000")
		if !errors.Is(err, account.ErrStartOver) {
			t.Errorf("a sign-in that owes its code goes on: %v", err)
		}
		if ids := listed(t, p, ann); len(ids) != 1 || ids[0] != c.Session.ID {
			t.Errorf("listed: %v", ids)
		}
		if done := events(t, p, "session.others_ended"); len(done) != 1 || done[0].User != ann.ID {
			t.Errorf("it was recorded as %+v", done)
		}
		must(t, end(c, c.Session.ID)) // also one's own
		wantEnded(t, p, own)
	})
}

func TestOnlySessionsThatStillWorkAreListed(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		p.Set(t, "session.max_hours", "2")
		ann := newAnn(t, p)
		old := live(t, p, entered(t, p, ann)).Session.ID
		p.Clock.Advance(30 * time.Minute)
		second := entered(t, p, ann)
		halfway(t, p, ann)
		if ids := listed(t, p, ann); len(ids) != 2 || ids[0] != live(t, p, second).Session.ID || ids[1] != old {
			t.Errorf("listed: %v", ids)
		}
		p.Clock.Advance(30 * time.Minute) // an hour idle
		if ids := listed(t, p, ann); len(ids) != 1 || ids[0] == old {
			t.Errorf("with one left idle: %v", ids)
		}
		for range 3 {
			live(t, p, second)
			p.Clock.Advance(29 * time.Minute)
		}
		if ids := listed(t, p, ann); len(ids) != 1 {
			t.Errorf("in use: %v", ids)
		}
		live(t, p, second)
		p.Clock.Advance(3 * time.Minute) // two hours old
		if ids := listed(t, p, ann); len(ids) != 0 {
			t.Errorf("too old: %v", ids)
		}
	})
}

// D10, H7: a stolen session, or a stolen password, is not enough by itself.
func TestFreshProofTakesThePasswordAndTheCode(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		secret := give(t, p, ann)
		own := entered(t, p, ann)
		p.Clock.Advance(10*time.Minute - time.Second)
		if !live(t, p, own).Fresh(p.DB.Now()) {
			t.Error("a full sign-in is no proof for ten minutes")
		}
		p.Clock.Advance(time.Second)
		c := live(t, p, own)
		if c.Fresh(p.DB.Now()) {
			t.Error("the proof outlives its ten minutes")
		}
		prove := func(password, code string) (string, error) {
			return p.Account.Reauthenticate(t.Context(), as(c), c, password, code)
		}
		_, err := prove(portaltest.Password, "")
		wantProblem(t, err, "code", input.Missing)
		_, err = prove("", code(t, p, secret, 0))
		wantProblem(t, err, "password", input.Missing)
		_, err = prove(wrong, code(t, p, secret, 0))
		wantProblem(t, err, "password", input.WrongPassword)
		_, err = prove(portaltest.Password, badCode(t, p, secret))
		wantProblem(t, err, "code", input.WrongCode)
		if live(t, p, own).Fresh(p.DB.Now()) {
			t.Error("half a proof counts")
		}
		if refused := events(t, p, "reauthentication.refused"); len(refused) != 2 || !strings.Contains(refused[1].Detail, "totp") || refused[1].User != ann.ID {
			t.Errorf("it was recorded as %+v", refused)
		}
		wantNoEvent(t, p, "sign_in.refused")
		renewed, err := prove(portaltest.Password, code(t, p, secret, 0)) // which the wrong password has not used up
		must(t, err)
		wantEnded(t, p, own)
		if !live(t, p, renewed).Fresh(p.DB.Now()) {
			t.Error("the proof does not count")
		}
		if done := events(t, p, "reauthentication.succeeded"); len(done) != 1 || !strings.Contains(done[0].Detail, "password and totp") {
			t.Errorf("it was recorded as %+v", done)
		}
	})
}

func TestANewPasswordIsFreshProofOnlyWhereItIsTheOnlyProof(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		for name, want := range map[string]bool{"without": true, "with": false} {
			u := person(t, p, directory.NewUser{Email: name + "@acme.example"})
			if !want {
				give(t, p, u)
			}
			plain := entered(t, p, u)
			p.Clock.Advance(11 * time.Minute)
			c := live(t, p, plain)
			renewed, err := p.Account.ChangePassword(t.Context(), as(c), c, portaltest.Password, chosen(portaltest.Another))
			must(t, err)
			if got := live(t, p, renewed).Fresh(p.DB.Now()); got != want {
				t.Errorf("%s an authenticator a new password is fresh proof: %t", name, got)
			}
		}
	})
}

// Guessing at the code of an open session counts with those at the door.
func TestCodesCannotBeGuessedInAnOpenSession(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		secret := give(t, p, ann)
		c := live(t, p, entered(t, p, ann))
		bad := badCode(t, p, secret)
		for i := range 9 {
			var err error
			if i%2 == 0 {
				_, err = p.Account.RemoveAuthenticator(t.Context(), as(c), c, bad)
			} else {
				_, err = p.Account.Reauthenticate(t.Context(), as(c), c, portaltest.Password, bad)
			}
			wantWrongCode(t, "a wrong code", err)
		}
		live(t, p, entered(t, p, ann))
		_, err := verify(t.Context(), p.Account, halfway(t, p, ann), bad)
		wantWrongCode(t, "at the door", err)
		_, err = p.Account.RemoveAuthenticator(t.Context(), as(c), c, code(t, p, secret, 0))
		wantHeld(t, err)
		_, err = verify(t.Context(), p.Account, halfway(t, p, ann), code(t, p, secret, 0))
		wantHeld(t, err)
		wantMails(t, p, wrongMail+" > ann@acme.example")
	})
}

func TestNotMeEndsWhatTheSecondFactorHasLeftOpen(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		secret, codes, own := enrol(t, p, ann)
		notMe := mailed(t, wantMails(t, p, factorMail+" > ann@acme.example"), factorMail, "/not-me/")
		in := trusting(t, p, ann, secret, "")
		c, half := live(t, p, own), halfway(t, p, ann)
		shown, err := p.Account.ShowEnrolment(t.Context(), c.User)
		must(t, err)
		if len(trusted(t, p, ann)) != 1 {
			t.Fatal("no browser is trusted")
		}
		p.Mails(t)
		must(t, report(t, p, notMe))
		wantEnded(t, p, own, in.Session)
		if all := trusted(t, p, ann); len(all) != 0 {
			t.Errorf("still trusted: %+v", all)
		}
		p.Clock.Advance(time.Minute)
		for _, typed := range []string{code(t, p, secret, 0), codes[0]} {
			_, err := verify(t.Context(), p.Account, half, typed)
			wantStartOver(t, "a sign-in that was under way", err)
		}
		if _, _, err := p.Account.ConfirmEnrolment(t.Context(), as(c), c, code(t, p, shown.Secret, 0)); !errors.Is(err, account.ErrEnrolmentExpired) {
			t.Errorf("an enrolment that was under way: %v", err)
		}
		_, err = p.Account.SignIn(t.Context(), from("192.0.2.1", in.Browser), ann.Email, portaltest.Password)
		wantProblem(t, err, "", input.WrongSignIn)

		// Let in again, they still have the authenticator, and trust nothing.
		must(t, p.Directory.Unlock(t.Context(), portaltest.Operator, ann.ID, ""))
		must(t, reset(t, p, printed(t, p, ann), portaltest.Another))
		again := wantCodeOwed(t, p, "let in again", ann, portaltest.Another, in.Browser, true)
		p.Clock.Advance(time.Minute)
		wantIn(t)(verify(t.Context(), p.Account, live(t, p, again.Session), code(t, p, secret, 0)))
	})
}

func TestActivityShowsWhatHappenedToOnesOwnAccountAlone(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		eve := person(t, p, directory.NewUser{Email: "eve@evil.example"})
		b := p.Browser(t, "203.0.113.44")
		b.SignIn(ann.Email, portaltest.Password)
		_, err := p.Account.SignIn(t.Context(), portaltest.Visit("203.0.113.45"), ann.Email, wrong)
		wantProblem(t, err, "", input.WrongSignIn)
		evil := p.Browser(t, "198.51.100.66")
		evil.SignIn(eve.Email, portaltest.Password)

		page := b.Get("/account/activity").Want(http.StatusOK, "203.0.113.44", "203.0.113.45")
		if strings.Contains(page.Body, "198.51.100.66") {
			t.Error("it shows what somebody else did")
		}
		page = evil.Get("/account/activity").Want(http.StatusOK, "198.51.100.66")
		if strings.Contains(page.Body, "203.0.113.4") || strings.Contains(page.Body, ann.Email) {
			t.Error("it shows what is somebody else's")
		}
		for _, u := range []db.User{ann, eve} {
			all, err := p.DB.Reader().UserEvents(t.Context(), u.ID, 0, 100)
			must(t, err)
			if len(all) < 2 {
				t.Errorf("%s has %d events", u.Email, len(all))
			}
			for _, e := range all {
				if e.UserID != u.ID {
					t.Errorf("among those of %s: %+v", u.Email, e)
				}
			}
		}

		// Older ones stand on the next page, and none on both or neither.
		for range 40 {
			c := live(t, p, entered(t, p, ann))
			must(t, p.Account.EndSession(t.Context(), as(c), c, c.Session.ID))
		}
		seen, after := map[int64]bool{}, int64(0)
		for {
			some, err := p.DB.Reader().UserEvents(t.Context(), ann.ID, after, 7)
			must(t, err)
			if len(some) == 0 {
				break
			}
			for _, e := range some {
				if seen[e.ID] || after != 0 && e.ID >= after {
					t.Errorf("event %d comes twice, or out of order", e.ID)
				}
				seen[e.ID], after = true, e.ID
			}
		}
		if len(seen) < 43 {
			t.Errorf("%d events are shown in all", len(seen))
		}
		first := b.Get("/account/activity").Want(http.StatusOK, "Older")
		_, rest, _ := strings.Cut(first.Body, `href="/account/activity?after=`)
		next, _, _ := strings.Cut(rest, `"`)
		if older := b.Get("/account/activity?after=" + next).Want(http.StatusOK); strings.Contains(older.Body, ">Older<") || !strings.Contains(older.Body, "203.0.113.45") {
			t.Error("the next page does not go on where the first one ends")
		}
		for _, hostile := range []string{"x", "-1", "0", "1e9", "99999999999999999999"} {
			b.Get("/account/activity?after=" + hostile).Want(http.StatusBadRequest)
		}
	})
}

// What the buttons do, they do for those who see them alone (H2).
func TestSomebodyElsesSessionAndBrowserAreNotThere(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		eve := person(t, p, directory.NewUser{Email: "eve@evil.example"})
		secret := give(t, p, ann)
		in := trusting(t, p, ann, secret, "")
		evil := p.Browser(t, "198.51.100.66")
		evil.SignIn(eve.Email, portaltest.Password)
		theirs := live(t, p, in.Session).Session.ID
		browser := trusted(t, p, ann)[0].ID
		for _, path := range []string{"/account/sessions/" + strconv.FormatInt(theirs, 10) + "/end", "/account/devices/" + strconv.FormatInt(browser, 10) + "/forget",
			"/account/sessions/0/end", "/account/sessions/x/end", "/account/devices/99999999999999999999/forget"} {
			evil.Post(path).Want(http.StatusNotFound)
		}
		live(t, p, in.Session)
		wantCodeOwed(t, p, "after that", ann, portaltest.Password, in.Browser, false)
	})
}
