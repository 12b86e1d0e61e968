package account_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"postern/db"
	"postern/internal/account"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/mail/mailtest"
	"postern/internal/portaltest"
	"postern/internal/throttle"
)

func TestAPersonSignsInWithEitherNameAndOutAgain(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		for _, login := range []string{"ann@acme.example", " ANN@Acme.Example ", "ann", " Ann\t"} {
			in := signIn(t, p, home, login, portaltest.Password)
			c := live(t, p, in.Session)
			if c.User.ID != ann.ID || !c.Fresh(p.DB.Now()) {
				t.Errorf("%q is signed in as %d, freshly: %v", login, c.User.ID, c.Fresh(p.DB.Now()))
			}
		}
		here, there := entered(t, p, ann), entered(t, p, ann)
		c := live(t, p, here)
		for range 2 { // signing out twice does no harm
			must(t, p.Account.SignOut(t.Context(), as(c), c.User))
		}
		wantEnded(t, p, here)
		live(t, p, there)
		if done := events(t, p, "sign_out.done"); len(done) == 0 || done[0].User != ann.ID {
			t.Errorf("the sign-out was recorded as %v", done)
		}
	})
}

// shut makes a user whose account "this was not me" has shut.
func shut(t *testing.T, p *portaltest.Portal, form directory.NewUser) db.User {
	t.Helper()
	u := p.User(t, form)
	printed(t, p, u)
	_, err := p.Account.ReportNotMe(t.Context(), home, portaltest.Token(p.Mail(t).Link(t, "/not-me/")))
	must(t, err)
	p.Mails(t)
	return u
}

// B1, B15
func TestNobodyLearnsWhyASignInWasRefused(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		gone := p.Organization(t, "Gone Ltd")
		ann := newAnn(t, p)
		inactive := person(t, p, directory.NewUser{Email: "inactive@acme.example"})
		must(t, p.Directory.Deactivate(t.Context(), portaltest.Operator, inactive.ID, ""))
		ofInactive := person(t, p, directory.NewUser{Email: "of-inactive@gone.example", Organization: "Gone Ltd"})
		must(t, p.Directory.SetOrganizationActive(t.Context(), portaltest.Operator, gone, false))
		deleted := person(t, p, directory.NewUser{Email: "deleted@acme.example", Username: "deleted"})
		must(t, p.Directory.Delete(t.Context(), portaltest.Operator, deleted.ID, deleted.Email, ""))
		p.Mails(t)
		noPassword, _ := invited(t, p, "invited@acme.example")
		closed := shut(t, p, directory.NewUser{Email: "shut@acme.example"})
		setOldHash(t, p, closed) // shut is shut, whatever the password

		type try struct {
			login, password string
			user            int64
		}
		tries := []try{
			{ann.Email, wrong, ann.ID}, {ann.Email, "", ann.ID}, {ann.Email, strings.Repeat("x", 5000), ann.ID},
			{"nobody@acme.example", portaltest.Password, 0}, {"nobody", portaltest.Password, 0}, {"", "", 0}, {"' OR 1=1 --", "' OR 1=1 --", 0},
			{"%", portaltest.Password, 0}, {inactive.Email, portaltest.Password, inactive.ID},
			{ofInactive.Email, portaltest.Password, ofInactive.ID}, {deleted.Email, portaltest.Password, 0}, {"deleted", portaltest.Password, 0},
			{noPassword.Email, "", noPassword.ID}, {noPassword.Email, "0", noPassword.ID}, {noPassword.Email, "NULL", noPassword.ID},
			{closed.Email, portaltest.Password, closed.ID}, {closed.Email, "", closed.ID},
		}
		var first error
		for i, try := range tries {
			in, err := p.Account.SignIn(t.Context(), portaltest.Visit(fmt.Sprintf("198.51.100.%d", i)), try.login, try.password)
			wantProblem(t, err, "", input.WrongSignIn)
			if first == nil {
				first = err
			}
			if err == nil || in != (account.SignedIn{}) || err.Error() != first.Error() {
				t.Errorf("%q with %.10q: %v, %v", try.login, try.password, in, err)
			}
		}
		refused := events(t, p, "sign_in.refused")
		if len(refused) != len(tries) {
			t.Fatalf("%d refusals were recorded instead of %d", len(refused), len(tries))
		}
		for i, e := range refused {
			if e.Outcome != "refused" || e.User != tries[i].user || e.ActorKind != "visitor" || e.Address != fmt.Sprintf("198.51.100.%d", i) {
				t.Errorf("%q was recorded as %+v", tries[i].login, e)
			}
		}
	})
}

// B6
func TestManyGuessesAtOnceAreNotAllTried(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		const guesses = 40
		errs := make([]error, guesses)
		var all sync.WaitGroup
		for i := range guesses {
			all.Go(func() {
				_, errs[i] = p.Account.SignIn(t.Context(), portaltest.Visit(fmt.Sprintf("198.51.100.%d", i)), "ann@acme.example", wrong)
			})
		}
		all.Wait()
		tried := 0
		for _, err := range errs {
			if _, held := errors.AsType[*throttle.HeldError](err); !held {
				wantProblem(t, err, "", input.WrongSignIn)
				tried++
			}
		}
		if tried != 5 {
			t.Errorf("%d of %d guesses at once were tried instead of 5", tried, guesses)
		}
		_, err := p.Account.SignIn(t.Context(), portaltest.Visit("198.51.100.200"), "ann@acme.example", portaltest.Password)
		wantHeld(t, err)
		p.Clock.Advance(30 * time.Second)
		signIn(t, p, portaltest.Visit("198.51.100.200"), "ann@acme.example", portaltest.Password)
	})
}

// guess lets strangers be wrong until the login is held.
func guess(t *testing.T, p *portaltest.Portal, login string) {
	t.Helper()
	for i := range 6 {
		_, err := p.Account.SignIn(t.Context(), portaltest.Visit(fmt.Sprintf("198.51.100.%d", i)), login, wrong)
		if i < 5 {
			wantProblem(t, err, "", input.WrongSignIn)
		} else {
			wantHeld(t, err)
		}
	}
}

// B7
func TestStrangersCannotKeepTheOwnerOut(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		known := signIn(t, p, home, ann.Email, portaltest.Password)
		guess(t, p, ann.Email)
		guess(t, p, "ann")
		wantMails(t, p)

		signIn(t, p, from("192.0.2.1", known.Browser), ann.Email, portaltest.Password)
		elsewhere := portaltest.Visit("203.0.113.9")
		_, err := p.Account.SignIn(t.Context(), elsewhere, ann.Email, portaltest.Password)
		wantHeld(t, err)

		browser, err := p.Account.ResetPassword(t.Context(), elsewhere, askedLink(t, p, ann.Email), "", chosen(portaltest.Another))
		must(t, err)
		signIn(t, p, portaltest.Visit("203.0.113.10"), ann.Email, portaltest.Another)
		guess(t, p, ann.Email)
		signIn(t, p, from("203.0.113.9", browser), ann.Email, portaltest.Another)
	})
}

// B7: who mistypes at home and then gets a mailed link has done all that can be asked.
func TestAMailedResetEndsTheWaitInTheOwnBrowser(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		own := from("192.0.2.1", signIn(t, p, home, ann.Email, portaltest.Password).Browser)
		for range 10 {
			_, err := p.Account.SignIn(t.Context(), own, ann.Email, wrong)
			wantProblem(t, err, "", input.WrongSignIn)
		}
		_, err := p.Account.SignIn(t.Context(), own, ann.Email, wrong)
		wantHeld(t, err)

		_, err = p.Account.ResetPassword(t.Context(), own, askedLink(t, p, ann.Email), "", chosen(portaltest.Another))
		must(t, err)
		if _, err := p.Account.SignIn(t.Context(), own, ann.Email, portaltest.Another); err != nil {
			t.Errorf("after a mailed reset the owner is still kept out: %v", err)
		}
	})
}

// wrongBefore counts wrong passwords that were tried before.
func wrongBefore(t *testing.T, p *portaltest.Portal, u db.User, n int) {
	t.Helper()
	must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error {
		for range n {
			if _, err := tx.CountWrongPassword(t.Context(), u.ID); err != nil {
				return err
			}
		}
		return nil
	}))
}

const stoppedMail = "Signing in with your password was stopped > ann@acme.example"

func TestAHundredWrongPasswordsStopStrangersUntilAReset(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		known := signIn(t, p, home, ann.Email, portaltest.Password)
		try := func(password string) error {
			p.Clock.Advance(time.Hour)
			_, err := p.Account.SignIn(t.Context(), portaltest.Visit("198.51.100.1"), ann.Email, password)
			return err
		}
		stop := func(before int) {
			t.Helper()
			wrongBefore(t, p, ann, before)
			p.Mails(t)
			var mails []mailtest.Mail
			for range 100 - before + 2 {
				wantProblem(t, try(wrong), "", input.WrongSignIn)
				mails = append(mails, p.Mails(t)...) // before the clock moves on: it ends leases, too
			}
			if got := subjects(mails); len(got) != 1 || got[0] != stoppedMail {
				t.Errorf("the mails are %q", got)
			}
			wantProblem(t, try(portaltest.Password), "", input.WrongSignIn)
		}
		// Only those in a row count.
		wrongBefore(t, p, ann, 99)
		must(t, try(portaltest.Password))
		p.Mails(t)
		stop(94)
		must(t, reset(t, p, printed(t, p, ann), portaltest.Password))
		must(t, try(portaltest.Password))

		stop(98)
		must(t, p.Directory.Unlock(t.Context(), portaltest.Operator, ann.ID, ""))
		wantMails(t, p, "Your account was unlocked > ann@acme.example")
		if err := try(portaltest.Password); err != nil {
			t.Errorf("after the unlocking: %v", err)
		}

		stop(98)
		signIn(t, p, from("192.0.2.1", known.Browser), ann.Email, portaltest.Password)
	})
}

func TestTheHundredthWrongPasswordIsToldHoweverTheyCome(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		wrongBefore(t, p, ann, 98)
		// Nobody gets on while the row is being changed, so both have looked before either
		// has counted.
		var both, started sync.WaitGroup
		must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error {
			must(t, tx.SetPendingEmail(t.Context(), ann.ID, ""))
			for i, login := range []string{"ann", ann.Email} {
				started.Add(1)
				both.Go(func() {
					started.Done()
					_, _ = p.Account.SignIn(t.Context(), portaltest.Visit(fmt.Sprintf("198.51.100.%d", i)), login, wrong)
				})
			}
			started.Wait()
			time.Sleep(50 * time.Millisecond) // if that is too short, the test proves nothing, but does not fail
			return nil
		}))
		both.Wait()
		_, err := p.Account.SignIn(t.Context(), portaltest.Visit("198.51.100.9"), ann.Email, portaltest.Password)
		wantProblem(t, err, "", input.WrongSignIn)
		wantMails(t, p, stoppedMail)
	})
}

// oldHash is the hash of portaltest.Password as another system has made it. Comparing it
// is slow, so that it still goes on when something else is done.
var oldHash = sync.OnceValues(func() ([]byte, error) { return bcrypt.GenerateFromPassword([]byte(portaltest.Password), 11) })

// setOldHash gives it to a user.
func setOldHash(t *testing.T, p *portaltest.Portal, u db.User) string {
	t.Helper()
	old, err := oldHash()
	must(t, err)
	must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.SetPassword(t.Context(), u.ID, string(old)) }))
	return string(old)
}

// B19
func TestAnOldHashIsRenewedOnce(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		old := setOldHash(t, p, ann)
		_, err := p.Account.SignIn(t.Context(), home, ann.Email, wrong)
		wantProblem(t, err, "", input.WrongSignIn)
		if p.Reload(t, ann).PasswordHash != old {
			t.Error("a wrong password renews the hash")
		}
		first := signIn(t, p, home, ann.Email, portaltest.Password)
		renewed := p.Reload(t, ann)
		if !strings.HasPrefix(renewed.PasswordHash, "$argon2id$") {
			t.Errorf("the hash is still %.7s", renewed.PasswordHash)
		}
		signIn(t, p, home, ann.Email, portaltest.Password)
		if p.Reload(t, ann).PasswordHash != renewed.PasswordHash {
			t.Error("it is renewed at every sign-in")
		}
		live(t, p, first.Session)
	})
}

// B19
func TestASignInGoesOnWhenAnotherRenewsTheHash(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		renewed := ann.PasswordHash
		old := setOldHash(t, p, ann)
		done := make(chan error)
		go func() {
			_, err := p.Account.SignIn(t.Context(), home, ann.Email, portaltest.Password)
			done <- err
		}()
		for p.Reload(t, ann).WrongPasswords == 0 { // until the attempt is claimed
			time.Sleep(time.Millisecond)
		}
		must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.Rehash(t.Context(), ann.ID, old, renewed) }))
		if err := <-done; err != nil {
			t.Errorf("the right password is refused: %v", err)
		}
	})
}

func TestABrowserIsKnownToItsUserAlone(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		bob := person(t, p, directory.NewUser{Email: "bob@acme.example", Name: "Bob"})
		shared := signIn(t, p, home, ann.Email, portaltest.Password).Browser
		signIn(t, p, portaltest.Visit("192.0.2.2"), bob.Email, portaltest.Password)
		guess(t, p, bob.Email)

		_, err := p.Account.SignIn(t.Context(), from("192.0.2.1", shared), bob.Email, portaltest.Password)
		wantHeld(t, err) // the browser is Ann's, and a stranger to Bob
		p.Clock.Advance(time.Hour)
		renewed := signIn(t, p, from("192.0.2.1", shared), bob.Email, portaltest.Password).Browser
		wantMails(t, p, "New sign-in to your account > bob@acme.example")
		guess(t, p, bob.Email)
		guess(t, p, ann.Email)
		for _, u := range []db.User{ann, bob} {
			// Whoever had planted the token before has nothing of it now.
			_, err := p.Account.SignIn(t.Context(), from("192.0.2.1", shared), u.Email, portaltest.Password)
			wantHeld(t, err)
			renewed = signIn(t, p, from("192.0.2.1", renewed), u.Email, portaltest.Password).Browser
		}
		wantMails(t, p)
	})
}

func TestTheOwnerHearsOfASignInFromAnUnknownBrowser(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		known := signIn(t, p, home, ann.Email, portaltest.Password)
		known = signIn(t, p, from("192.0.2.1", known.Browser), ann.Email, portaltest.Password)
		wantMails(t, p) // neither at the first one nor from a known browser

		p.Clock.Advance(time.Hour)
		v := portaltest.Visit("203.0.113.5")
		v.Actor.UserAgent = "Mozilla/5.0 (Windows NT 10.0) Gecko/20100101 Firefox/150.0"
		thief := signIn(t, p, v, "ann", portaltest.Password)
		m := wantMails(t, p, "New sign-in to your account > ann@acme.example")[0]
		for _, part := range []string{"203.0.113.5", "Firefox on Windows"} {
			if !strings.Contains(m.Text, part) {
				t.Errorf("the mail does not say %q:\n%s", part, m.Text)
			}
		}
		_, err := p.Account.ReportNotMe(t.Context(), home, portaltest.Token(m.Link(t, "/not-me/")))
		must(t, err)
		wantEnded(t, p, known.Session, thief.Session)
	})
}

func TestNobodyIsToldOfSignInsAgainstTheirWill(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		in := signIn(t, p, home, ann.Email, portaltest.Password)
		c := live(t, p, in.Session)
		must(t, p.Account.ChangeProfile(t.Context(), as(c), c.User, account.Profile{Name: "Ann Smith", TimeZone: "UTC", NotifySignIn: "false"}))
		signIn(t, p, portaltest.Visit("203.0.113.5"), ann.Email, portaltest.Password)
		wantMails(t, p)

		// A browser is forgotten after a year.
		must(t, p.Account.ChangeProfile(t.Context(), as(c), c.User, account.Profile{Name: "Ann Smith", TimeZone: "UTC", NotifySignIn: "true"}))
		p.Clock.Advance(365*24*time.Hour + time.Minute)
		signIn(t, p, from("192.0.2.1", in.Browser), ann.Email, portaltest.Password)
		wantMails(t, p, "New sign-in to your account > ann@acme.example")
	})
}
