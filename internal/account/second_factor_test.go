package account_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/db"
	"postern/internal/account"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/password"
	"postern/internal/portaltest"
	"postern/internal/seal"
	"postern/internal/session"
	"postern/internal/throttle"
	"postern/internal/token"
	"postern/internal/totp"
)

const (
	factorMail   = "Your second factor was changed"
	recoveryMail = "A recovery code was used"
	wrongMail    = "Wrong codes were entered for your account"
)

// give gives a user an authenticator, without codes for recovery, and returns its secret.
func give(t *testing.T, p *portaltest.Portal, u db.User) totp.Secret {
	t.Helper()
	shown, err := p.Account.ShowEnrolment(t.Context(), p.Reload(t, u))
	must(t, err)
	sealed, err := p.DB.Reader().Enrolment(t.Context(), u.ID, p.DB.Now())
	must(t, err)
	must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error {
		return errors.Join(tx.SetAuthenticator(t.Context(), u.ID, sealed, 0), tx.DropEnrolment(t.Context(), u.ID))
	}))
	return shown.Secret
}

// enrol lets a user enrol an authenticator, and returns its secret, the recovery codes and
// the session they did it in.
func enrol(t *testing.T, p *portaltest.Portal, u db.User) (secret totp.Secret, codes []string, session string) {
	t.Helper()
	c := live(t, p, entered(t, p, u))
	shown, err := p.Account.ShowEnrolment(t.Context(), c.User)
	must(t, err)
	codes, session, err = p.Account.ConfirmEnrolment(t.Context(), as(c), c, code(t, p, shown.Secret, 0))
	must(t, err)
	p.Clock.Advance(time.Minute) // beyond that code
	return shown.Secret, codes, session
}

// code is what the app shows that many steps later than now.
func code(t *testing.T, p *portaltest.Portal, secret totp.Secret, steps int) string {
	t.Helper()
	text, err := secret.Code(p.DB.Now().Time().Add(time.Duration(steps) * 30 * time.Second))
	must(t, err)
	return text
}

// badCode is a code that the app does not show now, nor a step earlier or later.
func badCode(t *testing.T, p *portaltest.Portal, secret totp.Secret) string {
	t.Helper()
	for _, candidate := range []string{"000000", "111111", "222222", "333333"} {
		if _, right := secret.Match(candidate, p.DB.Now().Time()); !right {
			return candidate
		}
	}
	t.Fatal("every code is right")
	return ""
}

const noRecoveryCode = "aaaa-bbbb-cccc-dddd"

// halfway is a sign-in that owes its code.
func halfway(t *testing.T, p *portaltest.Portal, u db.User) *session.Current {
	t.Helper()
	plain, hash := token.New()
	must(t, p.DB.Update(t.Context(), func(tx *db.Tx) error {
		_, err := tx.AddSession(t.Context(), db.Session{UserID: u.ID, Epoch: p.Reload(t, u).Epoch, CodeOwed: true, Data: []byte{}}, hash)
		return err
	}))
	return live(t, p, plain)
}

// verify enters a code, in a browser that nobody knows.
func verify(ctx context.Context, s *account.Service, c *session.Current, typed string) (account.SignedIn, error) {
	return s.VerifyCode(ctx, home, c, typed, false)
}

// wantWrongCode fails the test unless the code was refused like any wrong one.
func wantWrongCode(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s works", what)
		return
	}
	wantProblem(t, err, "code", input.WrongCode)
}

func wantStartOver(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, account.ErrStartOver) {
		t.Errorf("%s: the sign-in need not begin again: %v", what, err)
	}
}

// node is the portal's service in another process: it shares the database and the keys.
func node(p *portaltest.Portal) *account.Service {
	return &account.Service{DB: p.DB, Settings: p.Settings, Hasher: p.Account.Hasher, Judge: p.Account.Judge, Throttle: throttle.New([]byte("a secret of the test")),
		Log: p.Account.Log, Key: p.Account.Key, Host: p.Account.Host, MailQueued: p.Account.MailQueued}
}

// D1, D2
func TestNoCodeWorksTwiceInWhateverOrder(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		secret := give(t, p, ann)
		in := signIn(t, p, home, ann.Email, portaltest.Password)
		if !in.CodeOwed || in.Browser != "" {
			t.Fatalf("with the password alone: %+v", in)
		}
		first := code(t, p, secret, 0)
		c := live(t, p, in.Session)
		in, err := verify(t.Context(), p.Account, c, first)
		must(t, err)
		if in.CodeOwed || in.Browser == "" || live(t, p, in.Session).Session.CodeOwed {
			t.Errorf("with the code: %+v", in)
		}
		if done := events(t, p, "sign_in.succeeded"); len(done) != 1 || done[0].User != ann.ID || done[0].ActorKind != "user" ||
			!strings.Contains(done[0].Detail, "password and totp") {
			t.Errorf("it was recorded as %+v", done)
		}
		for range 3 { // until it leaves the window, and after
			_, err := verify(t.Context(), node(p), halfway(t, p, ann), first)
			wantWrongCode(t, "the same code", err)
			p.Clock.Advance(30 * time.Second)
		}
		// An app that is ahead, and then one that is right, or behind.
		wantIn(t)(verify(t.Context(), p.Account, halfway(t, p, ann), code(t, p, secret, 1)))
		for _, step := range []int{0, -1, 1} {
			_, err := verify(t.Context(), p.Account, halfway(t, p, ann), code(t, p, secret, step))
			wantWrongCode(t, "an earlier code after a later one", err)
		}
		p.Clock.Advance(30 * time.Second)
		own := live(t, p, in.Session)
		for what, use := range map[string]func(typed string) error{
			"to prove it": func(typed string) error {
				_, err := p.Account.Reauthenticate(t.Context(), as(own), own, portaltest.Password, typed)
				return err
			},
			"to remove it": func(typed string) error {
				_, err := p.Account.RemoveAuthenticator(t.Context(), as(own), own, typed)
				return err
			},
		} {
			wantWrongCode(t, "a used code, "+what, use(code(t, p, secret, 0)))
		}
		if !p.Reload(t, ann).SecondFactor {
			t.Error("the authenticator is gone")
		}
	})
}

// wantIn fails the test unless a sign-in went through.
func wantIn(t *testing.T) func(account.SignedIn, error) {
	t.Helper()
	return func(_ account.SignedIn, err error) {
		t.Helper()
		must(t, err)
	}
}

// atOnce does it that often at the same moment.
func atOnce(n int, one func(i int) error) []error {
	errs, start := make([]error, n), make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			errs[i] = one(i)
		})
	}
	close(start)
	all.Wait()
	return errs
}

// won counts who got in; everybody else must have been refused as for a wrong code.
func won(t *testing.T, errs []error) (n int) {
	t.Helper()
	for _, err := range errs {
		_, wrong := errors.AsType[*input.Error](err)
		_, held := errors.AsType[*throttle.HeldError](err)
		switch {
		case err == nil:
			n++
		case !wrong && !held && !errors.Is(err, account.ErrStartOver):
			t.Errorf("refused with %v", err)
		}
	}
	return n
}

// D3, D5
func TestOfManyAtOnceWithTheSameCodeOneGetsIn(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		secret := give(t, p, ann)
		nodes := []*account.Service{p.Account, node(p)}
		var sessions [9]*session.Current
		for i := range sessions {
			sessions[i] = halfway(t, p, ann)
		}
		typed := code(t, p, secret, 0)
		if n := won(t, atOnce(len(sessions), func(i int) error {
			_, err := verify(t.Context(), nodes[i%2], sessions[i], typed)
			return err
		})); n != 1 {
			t.Errorf("%d of %d sign-ins got in with one code", n, len(sessions))
		}
		// The codes of three steps are right now; one sign-in is one session all the same.
		p.Clock.Advance(time.Hour)
		c, before := halfway(t, p, ann), len(events(t, p, "sign_in.succeeded"))
		typedNow := []string{code(t, p, secret, -1), code(t, p, secret, 0), code(t, p, secret, 1)}
		if n := won(t, atOnce(4, func(i int) error {
			_, err := verify(t.Context(), nodes[i%2], c, typedNow[i%3])
			return err
		})); n != 1 || len(events(t, p, "sign_in.succeeded")) != before+1 {
			t.Errorf("one sign-in became %d", n)
		}
	})
}

// D13
func TestARecoveryCodeStandsInForTheAuthenticatorOnce(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		bob := person(t, p, directory.NewUser{Email: "bob@acme.example"})
		_, codes, own := enrol(t, p, ann)
		give(t, p, bob)
		if len(codes) != 10 {
			t.Fatalf("%d codes", len(codes))
		}
		p.Mails(t)

		_, err := verify(t.Context(), p.Account, halfway(t, p, bob), codes[0])
		wantWrongCode(t, "somebody else's code", err)
		in, err := p.Account.VerifyCode(t.Context(), portaltest.Visit("203.0.113.5"), halfway(t, p, ann), " "+strings.ToUpper(strings.ReplaceAll(codes[0], "-", ""))+" ", false)
		must(t, err)
		live(t, p, in.Session)
		m := wantMails(t, p, recoveryMail+" > ann@acme.example", "New sign-in to your account > ann@acme.example")
		for _, one := range m {
			one.Link(t, "/not-me/")
			if one.Subject == recoveryMail && (!strings.Contains(one.Text, "9 codes left") || !strings.Contains(one.Text, "203.0.113.5")) {
				t.Errorf("the mail:\n%s", one.Text)
			}
		}
		if done := events(t, p, "recovery_code.used"); len(done) != 1 || done[0].User != ann.ID || done[0].Outcome != "done" {
			t.Errorf("it was recorded as %+v", done)
		}
		_, err = verify(t.Context(), p.Account, halfway(t, p, ann), codes[0])
		wantWrongCode(t, "a used code", err)

		var sessions [8]*session.Current
		for i := range sessions {
			sessions[i] = halfway(t, p, ann)
		}
		nodes := []*account.Service{p.Account, node(p)}
		if n := won(t, atOnce(len(sessions), func(i int) error {
			_, err := verify(t.Context(), nodes[i%2], sessions[i], codes[1])
			return err
		})); n != 1 {
			t.Errorf("%d of %d sign-ins got in with one recovery code", n, len(sessions))
		}

		c := live(t, p, own)
		_, err = p.Account.Reauthenticate(t.Context(), as(c), c, portaltest.Password, codes[2])
		must(t, err)
		if left, err := p.DB.Reader().RecoveryCodesLeft(t.Context(), ann.ID); left != 7 || err != nil {
			t.Errorf("%d codes are left (%v)", left, err)
		}
	})
}

// D13
func TestNewRecoveryCodesKillTheOldOnes(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		secret, old, own := enrol(t, p, ann)
		p.Mails(t)
		c := live(t, p, own)
		fresh, err := p.Account.RenewRecoveryCodes(t.Context(), as(c), c)
		must(t, err)
		wantMails(t, p, factorMail+" > ann@acme.example")[0].Link(t, "/not-me/")
		live(t, p, own)
		for _, plain := range old[:3] {
			_, err := verify(t.Context(), p.Account, halfway(t, p, ann), plain)
			wantWrongCode(t, "a code of the old set", err)
		}
		wantIn(t)(verify(t.Context(), p.Account, halfway(t, p, ann), fresh[9]))
		wantIn(t)(verify(t.Context(), p.Account, halfway(t, p, ann), code(t, p, secret, 0)))

		// The set goes with the authenticator.
		p.Clock.Advance(time.Minute)
		removed, err := p.Account.RemoveAuthenticator(t.Context(), as(c), live(t, p, own), fresh[0])
		must(t, err)
		c = live(t, p, removed)
		_, err = p.Account.RenewRecoveryCodes(t.Context(), as(c), c)
		if !errors.Is(err, db.ErrNotFound) {
			t.Errorf("codes for who has no authenticator: %v", err)
		}
		give(t, p, ann)
		_, err = verify(t.Context(), p.Account, halfway(t, p, ann), fresh[1])
		wantWrongCode(t, "a code of an authenticator that is gone", err)
	})
}

// D18, A18: whoever can write to the database must not get in by moving a secret.
func TestASecretThatCannotBeUnsealedRefusesAndLetsNobodyIn(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		eve := person(t, p, directory.NewUser{Email: "eve@evil.example"})
		secret, hers := give(t, p, ann), give(t, p, eve)
		held, err := p.DB.Reader().Authenticator(t.Context(), eve.ID)
		must(t, err)
		if strings.Contains(string(held.Sealed), string(hers)) {
			t.Error("the secret is not sealed")
		}

		another, err := seal.Create(filepath.Join(t.TempDir(), "postern.key"))
		must(t, err)
		other := node(p)
		other.Key = another
		_, err = verify(t.Context(), other, halfway(t, p, ann), code(t, p, secret, 0))
		wantUnsealed(t, "with another key", err)
		_, err = verify(t.Context(), other, halfway(t, p, ann), badCode(t, p, secret))
		wantUnsealed(t, "with another key and a wrong code", err)
		if in := signIn(t, p, home, ann.Email, portaltest.Password); !in.CodeOwed {
			t.Error("no code is owed any more")
		}

		_, err = open(t, p).ExecContext(t.Context(), `UPDATE authenticator SET secret = $1 WHERE user_id = $2`, held.Sealed, ann.ID)
		must(t, err)
		_, err = verify(t.Context(), p.Account, halfway(t, p, ann), code(t, p, hers, 0))
		wantUnsealed(t, "with the secret of somebody else", err)
		wantNoEvent(t, p, "sign_in.succeeded")

		// What is shown but not confirmed is bound to its user, too.
		shown, err := p.Account.ShowEnrolment(t.Context(), eve)
		must(t, err)
		_, err = open(t, p).ExecContext(t.Context(), `INSERT INTO enrolment (user_id, secret, expires_at) SELECT $1, secret, expires_at FROM enrolment`, ann.ID)
		must(t, err)
		c := live(t, p, entered(t, p, ann))
		_, err = p.Account.ShowEnrolment(t.Context(), c.User)
		wantUnsealed(t, "to show", err)
		_, _, err = p.Account.ConfirmEnrolment(t.Context(), as(c), c, code(t, p, shown.Secret, 0))
		wantUnsealed(t, "to confirm", err)
	})
}

func wantUnsealed(t *testing.T, what string, err error) {
	t.Helper()
	if _, wrong := errors.AsType[*input.Error](err); !errors.Is(err, seal.ErrSealed) || wrong {
		t.Errorf("%s: %v", what, err)
	}
}

func wantNoEvent(t *testing.T, p *portaltest.Portal, action string) {
	t.Helper()
	if all := events(t, p, action); len(all) != 0 {
		t.Errorf("it came to %s: %+v", action, all)
	}
}

// D17
func TestAnEnrolmentShowsTheSameSecretForTenMinutes(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		c := live(t, p, entered(t, p, ann))
		show := func() account.Enrolment {
			t.Helper()
			shown, err := p.Account.ShowEnrolment(t.Context(), c.User)
			must(t, err)
			return shown
		}
		first := show()
		if len(first.Secret) != 20 || !strings.Contains(first.Address, first.Secret.Text()) || first.Code.Path == "" {
			t.Errorf("shown: %d bytes, %s", len(first.Secret), first.Address)
		}
		p.Clock.Advance(10*time.Minute - time.Second)
		if again := show(); again.Address != first.Address {
			t.Error("another secret is shown while the first one may be confirmed")
		}
		p.Clock.Advance(time.Second)
		_, _, err := p.Account.ConfirmEnrolment(t.Context(), as(c), c, code(t, p, first.Secret, 0))
		if !errors.Is(err, account.ErrEnrolmentExpired) {
			t.Errorf("after ten minutes: %v", err)
		}
		if p.Reload(t, ann).SecondFactor {
			t.Error("it was enrolled all the same")
		}
		second := show()
		if second.Address == first.Address {
			t.Error("the same secret is shown again")
		}
		_, _, err = p.Account.ConfirmEnrolment(t.Context(), as(c), c, code(t, p, first.Secret, 0))
		wantWrongCode(t, "a code of the secret before", err)
		_, _, err = p.Account.ConfirmEnrolment(t.Context(), as(c), c, code(t, p, second.Secret, 0))
		must(t, err)
	})
}

// D8
func TestAnAuthenticatorIsEnrolledWithItsOwnCodeAlone(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		old := give(t, p, ann)
		own, other, reset := entered(t, p, ann), entered(t, p, ann), printed(t, p, ann)
		p.Mails(t)
		c := live(t, p, own)
		confirm := func(typed string) (codes []string, session string, err error) {
			return p.Account.ConfirmEnrolment(t.Context(), as(c), c, typed)
		}
		_, _, err := confirm(code(t, p, old, 0))
		if !errors.Is(err, account.ErrEnrolmentExpired) {
			t.Errorf("with nothing shown: %v", err)
		}
		shown, err := p.Account.ShowEnrolment(t.Context(), c.User)
		must(t, err)
		_, _, err = confirm("")
		wantProblem(t, err, "code", input.Missing)
		for what, typed := range map[string]string{"a wrong one": badCode(t, p, shown.Secret), "one of the old authenticator": code(t, p, old, 0),
			"one of two minutes ago": code(t, p, shown.Secret, -4), "letters": "abcdef", "a recovery code": noRecoveryCode} {
			_, _, err := confirm(typed)
			wantWrongCode(t, what, err)
		}
		live(t, p, own)
		live(t, p, other)
		wantMails(t, p)
		if held, err := p.DB.Reader().Authenticator(t.Context(), ann.ID); err != nil || held.LastStep != 0 {
			t.Errorf("the old one is %+v (%v)", held, err)
		}

		typed := code(t, p, shown.Secret, 0)
		type answer struct {
			codes   []string
			session string
		}
		answers := make([]answer, 4)
		if n := won(t, missing(atOnce(len(answers), func(i int) (err error) {
			answers[i].codes, answers[i].session, err = confirm(typed)
			return err
		}))); n != 1 {
			t.Fatalf("it was confirmed %d times", n)
		}
		done := answers[slices.IndexFunc(answers, func(a answer) bool { return a.session != "" })]
		wantEnded(t, p, own, other)
		if now := live(t, p, done.session); now.Session.ID != c.Session.ID || !now.User.SecondFactor || !now.Fresh(p.DB.Now()) {
			t.Errorf("the session became %+v", now.Session)
		}
		if isOpen(t, p, db.PurposeReset, reset) {
			t.Error("a reset link outlives it")
		}
		m := wantMails(t, p, factorMail+" > ann@acme.example")[0]
		if m.Link(t, "/not-me/"); !strings.Contains(m.Text, "replaced by another one") {
			t.Errorf("the mail:\n%s", m.Text)
		}
		if done := events(t, p, "authenticator.enrolled"); len(done) != 1 || done[0].User != ann.ID {
			t.Errorf("it was recorded as %+v", done)
		}
		for what, typed := range map[string]string{"the code that confirmed it": typed, "one of the old authenticator": code(t, p, old, 0)} {
			_, err := verify(t.Context(), p.Account, halfway(t, p, ann), typed)
			wantWrongCode(t, what, err)
		}
		wantIn(t)(verify(t.Context(), p.Account, halfway(t, p, ann), code(t, p, shown.Secret, 1)))
		wantIn(t)(verify(t.Context(), p.Account, halfway(t, p, ann), done.codes[0]))
	})
}

// An open session must not become a place to try codes at the gate that costs ten hashes.
func TestConfirmingAnEnrolmentCannotBeTriedWithoutEnd(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		c := live(t, p, entered(t, p, ann))
		shown, err := p.Account.ShowEnrolment(t.Context(), c.User)
		must(t, err)
		for range 10 {
			_, _, err := p.Account.ConfirmEnrolment(t.Context(), as(c), c, badCode(t, p, shown.Secret))
			wantWrongCode(t, "a wrong code", err)
		}
		_, _, err = p.Account.ConfirmEnrolment(t.Context(), as(c), c, code(t, p, shown.Secret, 0))
		wantHeld(t, err)
		p.Clock.Advance(30 * time.Second)
		_, _, err = p.Account.ConfirmEnrolment(t.Context(), as(c), c, code(t, p, shown.Secret, 0))
		must(t, err)
	})
}

// I26: two that touch the same rows in different orders would each wait for the other, until
// the database ends one with an error that nobody understands.
func TestWhoSignsInOrEnrolsWhileStaffActGetsAnAnswer(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		ctx, operator := t.Context(), portaltest.Operator
		for range 6 {
			secret := give(t, p, ann)
			p.Clock.Advance(time.Minute)
			half, c := halfway(t, p, ann), live(t, p, entered(t, p, ann))
			shown, err := p.Account.ShowEnrolment(ctx, c.User)
			must(t, err)
			errs := atOnce(4, func(i int) error {
				switch i {
				case 0:
					_, err := verify(ctx, p.Account, half, code(t, p, secret, 0))
					return err
				case 1:
					_, _, err := p.Account.ConfirmEnrolment(ctx, as(c), c, code(t, p, shown.Secret, 0))
					return err
				case 2:
					return p.Directory.ResetTOTP(ctx, operator, ann.ID, "lost")
				}
				return p.Directory.Deactivate(ctx, operator, ann.ID, "")
			})
			for i, err := range errs[2:] { // what staff do may have come second
				if errors.Is(err, directory.ErrNoAuthenticator) || errors.Is(err, db.ErrNotFound) {
					errs[2+i] = nil
				}
			}
			won(t, missing(errs))
			must(t, p.Directory.Activate(ctx, operator, ann.ID, ""))
		}
	})
}

// missing turns what came too late into what won counts.
func missing(errs []error) []error {
	for i, err := range errs {
		if errors.Is(err, db.ErrNotFound) || errors.Is(err, account.ErrEnrolmentExpired) {
			errs[i] = account.ErrStartOver
		}
	}
	return errs
}

// A20
func TestANewPasswordLeavesTheAuthenticatorAsItIs(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		secret, codes, _ := enrol(t, p, ann)
		before, err := p.DB.Reader().Authenticator(t.Context(), ann.ID)
		must(t, err)
		must(t, reset(t, p, printed(t, p, ann), portaltest.Another))
		after, err := p.DB.Reader().Authenticator(t.Context(), ann.ID)
		if err != nil || string(after.Sealed) != string(before.Sealed) || after.LastStep != before.LastStep {
			t.Errorf("it became another one (%v)", err)
		}
		in := signIn(t, p, home, ann.Email, portaltest.Another)
		if !in.CodeOwed {
			t.Fatal("the mailbox alone gets in")
		}
		wantIn(t)(verify(t.Context(), p.Account, live(t, p, in.Session), code(t, p, secret, 0)))
		wantIn(t)(verify(t.Context(), p.Account, halfway(t, p, ann), codes[0]))
	})
}

// D4, D5, D19
func TestAfterFiveWrongCodesTheSignInBeginsAgainAndAfterTenItWaits(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		bob := person(t, p, directory.NewUser{Email: "bob@acme.example"})
		secret, codes, _ := enrol(t, p, ann)
		ofBob := give(t, p, bob)
		p.Mails(t)
		v := portaltest.Visit("203.0.113.5")
		guess := func(in account.SignedIn, n int) (err error) {
			t.Helper()
			for i := range n {
				wantMails(t, p)
				_, err = p.Account.VerifyCode(t.Context(), v, live(t, p, in.Session), badCode(t, p, secret), false)
				wantWrongCode(t, "a wrong code", err)
				if again := errors.Is(err, account.ErrStartOver); again != (i == 4) {
					t.Errorf("wrong code %d begins again: %t", i+1, again)
				}
				if len(events(t, p, "sign_in.refused"))%10 == 3 {
					m := wantMails(t, p, wrongMail+" > ann@acme.example")[0]
					if m.Link(t, "/not-me/"); !strings.Contains(m.Text, "203.0.113.5") {
						t.Errorf("the mail:\n%s", m.Text)
					}
				}
			}
			return err
		}
		for range 2 {
			in := signIn(t, p, home, ann.Email, portaltest.Password)
			_, err := verify(t.Context(), p.Account, live(t, p, in.Session), "")
			wantProblem(t, err, "code", input.Missing) // nothing typed is no guess
			_ = guess(in, 5)
			wantEnded(t, p, in.Session)
		}
		refused := events(t, p, "sign_in.refused")
		if len(refused) != 10 || refused[9].User != ann.ID || refused[9].Address != "203.0.113.5" || !strings.Contains(refused[9].Detail, "totp") {
			t.Errorf("%d wrong codes were recorded: %+v", len(refused), refused)
		}

		in := signIn(t, p, home, ann.Email, portaltest.Password)
		c := live(t, p, in.Session)
		_, err := verify(t.Context(), node(p), c, code(t, p, secret, 0))
		wantHeld(t, err)
		wantIn(t)(verify(t.Context(), p.Account, halfway(t, p, bob), code(t, p, ofBob, 0)))
		wantIn(t)(verify(t.Context(), p.Account, c, codes[0])) // the way out
		p.Mails(t)
		_, err = verify(t.Context(), p.Account, halfway(t, p, ann), code(t, p, secret, 0))
		wantHeld(t, err) // a recovery code clears its own factor alone

		p.Clock.Advance(15*time.Minute - time.Second)
		_, err = verify(t.Context(), p.Account, halfway(t, p, ann), code(t, p, secret, 0))
		wantHeld(t, err)
		p.Clock.Advance(time.Second)
		wantIn(t)(verify(t.Context(), p.Account, halfway(t, p, ann), code(t, p, secret, 0)))
		p.Mails(t)
		_ = guess(signIn(t, p, home, ann.Email, portaltest.Password), 2) // counted anew
	})
}

// B6
func TestASignInHasFiveGuessesHoweverManyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		secret := give(t, p, ann)
		c := halfway(t, p, ann)
		bad := badCode(t, p, secret)
		wrong := 0
		for _, err := range atOnce(20, func(int) error {
			_, err := verify(t.Context(), p.Account, c, bad)
			return err
		}) {
			if _, judged := errors.AsType[*input.Error](err); judged {
				wrong++
			} else {
				wantStartOver(t, "the sixth at once", err)
			}
		}
		if wrong != 5 {
			t.Errorf("%d codes were judged instead of 5", wrong)
		}
		wantMails(t, p, wrongMail+" > ann@acme.example")
		_, err := verify(t.Context(), p.Account, c, code(t, p, secret, 0))
		wantStartOver(t, "the right one afterwards", err)
		wantNoEvent(t, p, "sign_in.succeeded")
	})
}

// triedBefore counts wrong codes of the past.
func triedBefore(t *testing.T, p *portaltest.Portal, u db.User, factor throttle.Factor, n int) {
	t.Helper()
	for range n {
		err := p.DB.Update(t.Context(), func(tx *db.Tx) error {
			_, _, err := p.Account.Throttle.Code(t.Context(), tx, u.ID, factor)
			return err
		})
		if held, ok := errors.AsType[*throttle.HeldError](err); ok {
			p.Clock.Advance(held.Wait)
			err = p.DB.Update(t.Context(), func(tx *db.Tx) error {
				_, _, err := p.Account.Throttle.Code(t.Context(), tx, u.ID, factor)
				return err
			})
		}
		must(t, err)
	}
}

func TestAHundredWrongCodesStopTheAuthenticatorUntilARecoveryCodeOrStaffHelp(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		secret, codes, _ := enrol(t, p, ann)
		triedBefore(t, p, ann, throttle.FactorTOTP, 30)
		_, err := verify(t.Context(), p.Account, halfway(t, p, ann), code(t, p, secret, 0))
		wantHeld(t, err)
		p.Clock.Advance(23 * time.Hour)
		_, err = verify(t.Context(), p.Account, halfway(t, p, ann), code(t, p, secret, 0))
		wantHeld(t, err) // thirty are enough for a day
		triedBefore(t, p, ann, throttle.FactorTOTP, 70)
		p.Clock.Advance(1000 * time.Hour)
		must(t, p.DB.Purge(t.Context(), 0))
		_, err = verify(t.Context(), p.Account, halfway(t, p, ann), code(t, p, secret, 0))
		wantWrongCode(t, "after a hundred wrong ones the right one", err)

		in, err := verify(t.Context(), p.Account, halfway(t, p, ann), codes[0])
		must(t, err)
		c := live(t, p, in.Session)
		shown, err := p.Account.ShowEnrolment(t.Context(), c.User)
		must(t, err)
		_, _, err = p.Account.ConfirmEnrolment(t.Context(), as(c), c, code(t, p, shown.Secret, 0))
		must(t, err)
		wantIn(t)(verify(t.Context(), p.Account, halfway(t, p, ann), code(t, p, shown.Secret, 1)))

		// Both held: an administrator resets it, and what is enrolled then works at once.
		triedBefore(t, p, ann, throttle.FactorTOTP, 30)
		triedBefore(t, p, ann, throttle.FactorRecovery, 30)
		must(t, p.Directory.ResetTOTP(t.Context(), portaltest.Operator, ann.ID, "lost"))
		in = signIn(t, p, home, ann.Email, portaltest.Password)
		if in.CodeOwed {
			t.Fatal("a code is owed after the reset")
		}
		secret, codes, _ = enrol(t, p, ann)
		wantIn(t)(verify(t.Context(), p.Account, halfway(t, p, ann), code(t, p, secret, 0)))
		wantIn(t)(verify(t.Context(), p.Account, halfway(t, p, ann), codes[0]))
	})
}

// Whoever knows the password can use a day's guesses up in an hour; who then gets a new
// authenticator must not wait with it until the day is over.
func TestANewAuthenticatorDoesNotWaitForGuessesAtTheOldOne(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		give(t, p, ann)
		triedBefore(t, p, ann, throttle.FactorTOTP, 30)
		must(t, p.Directory.ResetTOTP(t.Context(), portaltest.Operator, ann.ID, "lost"))
		secret := give(t, p, ann)
		wantIn(t)(verify(t.Context(), p.Account, halfway(t, p, ann), code(t, p, secret, 0)))
	})
}

// D6, D7
func TestASignInThatOwesItsCodeEndsWithItsTimeAndWithEveryChange(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		secret := give(t, p, ann)
		in := signIn(t, p, home, ann.Email, portaltest.Password)
		p.Clock.Advance(10*time.Minute - time.Second)
		live(t, p, in.Session)
		p.Clock.Advance(time.Second)
		wantEnded(t, p, in.Session)

		ctx, operator := t.Context(), portaltest.Operator
		for what, change := range map[string]func() error{
			"deactivated": func() error {
				return errors.Join(p.Directory.Deactivate(ctx, operator, ann.ID, ""), p.Directory.Activate(ctx, operator, ann.ID, ""))
			},
			"signed out":   func() error { return p.Directory.EndSessions(ctx, operator, ann.ID, "") },
			"new password": func() error { return reset(t, p, printed(t, p, ann), portaltest.Password) },
			"factor reset": func() error {
				if err := p.Directory.ResetTOTP(ctx, operator, ann.ID, "lost"); err != nil {
					return err
				}
				secret = give(t, p, ann)
				return nil
			},
		} {
			in := signIn(t, p, home, ann.Email, portaltest.Password)
			late := live(t, p, in.Session)
			if !late.Session.CodeOwed {
				t.Fatalf("%s: no code is owed", what)
			}
			must(t, change())
			wantEnded(t, p, in.Session)
			p.Clock.Advance(time.Minute)
			_, err := verify(ctx, p.Account, late, code(t, p, secret, 0)) // the request was under way
			wantStartOver(t, what, err)
			p.Clock.Advance(time.Minute)
		}
		wantNoEvent(t, p, "sign_in.succeeded")
	})
}

func TestASignInThatOwesItsCodeOpensNothing(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		secret := give(t, p, ann)
		b := p.Browser(t, "192.0.2.1")
		b.Post("/sign-in", "login", ann.Email, "password", portaltest.Password).WantTo("/sign-in/verify")
		half := b.Cookie("postern")
		for _, path := range []string{"/account", "/account/security", "/account/profile", "/account/totp", "/account/activity", "/account/password",
			"/reauthenticate"} {
			b.Get(path).WantTo("/sign-in/verify")
		}
		for path, fields := range map[string][]string{
			"/account/profile": {"name", "Eve"}, "/account/totp": {"code", "000000"}, "/account/totp/remove": {"code", "000000"}, "/account/recovery-codes": nil,
			"/account/email": {"email", "eve@evil.example"}, "/reauthenticate": {"password", portaltest.Password}, "/account/sessions/end-others": nil,
		} {
			b.Post(path, fields...).WantTo("/sign-in/verify")
		}
		if all, err := p.Account.Sessions(t.Context(), ann); err != nil || len(all) != 0 {
			t.Errorf("it is listed as a session: %+v (%v)", all, err)
		}
		b.Get("/sign-in/verify").Want(200)
		b.Follow(b.Post("/sign-in/verify", "code", code(t, p, secret, 0)).WantTo("/account")).Want(200)
		if whole := b.Cookie("postern"); whole == half || loaded(t, p, half) != nil {
			t.Error("the token from before the code still works")
		}
		wantMails(t, p)
	})
}

// D15
func TestCodesAreForgivingAboutShapeAndNothingElse(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		secret := give(t, p, ann)
		for _, typed := range []string{"12345", "1234567", strings.Repeat("7", 1<<16), "000000\x00", "-1", "٠٠٠٠٠٠", "  ", strings.Repeat("a", 16) + "=", "' OR 1=1"} {
			_, err := verify(t.Context(), p.Account, halfway(t, p, ann), typed)
			wantWrongCode(t, typed[:min(len(typed), 20)], err)
		}
		plain := code(t, p, secret, 0)
		wantIn(t)(verify(t.Context(), p.Account, halfway(t, p, ann), " "+plain[:3]+" "+plain[3:]))
		p.Clock.Advance(time.Minute)
		full := strings.Map(func(r rune) rune { return r - '0' + '０' }, code(t, p, secret, 0))
		wantIn(t)(verify(t.Context(), p.Account, halfway(t, p, ann), full))
	})
}

// D10
func TestAnAuthenticatorIsRemovedWithACodeAlone(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		without := live(t, p, entered(t, p, ann))
		_, err := p.Account.RemoveAuthenticator(t.Context(), as(without), without, "000000")
		if !errors.Is(err, db.ErrNotFound) {
			t.Errorf("without one: %v", err)
		}
		secret, codes, own := enrol(t, p, ann)
		other := entered(t, p, ann)
		p.Mails(t)
		c := live(t, p, own)
		for _, typed := range []string{badCode(t, p, secret), noRecoveryCode} {
			_, err := p.Account.RemoveAuthenticator(t.Context(), as(c), c, typed)
			wantWrongCode(t, typed, err)
		}
		if refused := events(t, p, "reauthentication.refused"); len(refused) != 2 || refused[0].User != ann.ID {
			t.Errorf("it was recorded as %+v", refused)
		}
		wantNoEvent(t, p, "sign_in.refused")
		live(t, p, other)
		p.Clock.Advance(11 * time.Minute)
		renewed, err := p.Account.RemoveAuthenticator(t.Context(), as(c), live(t, p, own), code(t, p, secret, 0))
		must(t, err)
		wantEnded(t, p, own, other)
		if now := live(t, p, renewed); now.User.SecondFactor || now.Fresh(p.DB.Now()) {
			t.Errorf("afterwards: a second factor: %t, fresh: %t", now.User.SecondFactor, now.Fresh(p.DB.Now()))
		}
		m := wantMails(t, p, factorMail+" > ann@acme.example")[0]
		if m.Link(t, "/not-me/"); !strings.Contains(m.Text, "was removed") {
			t.Errorf("the mail:\n%s", m.Text)
		}
		if in := signIn(t, p, home, ann.Email, portaltest.Password); in.CodeOwed {
			t.Error("a code is owed")
		}
		if _, err := verify(t.Context(), p.Account, halfway(t, p, ann), codes[0]); err == nil {
			t.Error("a recovery code outlives it")
		}
	})
}

func TestWhoMustHaveAnAuthenticatorOwesItUntilItIsEnrolled(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		for role, want := range map[string][2]bool{"customer": {false, true}, "support": {true, true}, "auditor": {true, true}, "owner": {true, true}} {
			u := person(t, p, directory.NewUser{Email: role + "@vendor.example", Role: role})
			for i, setting := range []string{"staff", "everyone"} {
				p.Set(t, "mfa.required_for", setting)
				current, err := p.Settings.Current(t.Context())
				must(t, err)
				if got := account.FactorOwed(u, current); got != want[i] {
					t.Errorf("mfa.required_for=%s: a %s owes one: %t", setting, role, got)
				}
				enrolled := u
				enrolled.SecondFactor = true
				if account.FactorOwed(enrolled, current) {
					t.Errorf("a %s who has one owes one", role)
				}
			}
		}
		// D12: until then nothing opens but what enrols it, whatever was open before.
		p.Set(t, "mfa.required_for", "staff")
		ann := newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		b.SignIn(ann.Email, portaltest.Password)
		p.Set(t, "mfa.required_for", "everyone")
		for _, path := range []string{"/account", "/account/security", "/account/profile", "/account/activity"} {
			b.Get(path).WantTo("/account/totp")
		}
		page := b.Get("/account/totp").Want(200, "data-totp-secret")
		shown, err := p.Account.ShowEnrolment(t.Context(), ann)
		must(t, err)
		if !strings.Contains(strings.ReplaceAll(page.Body, " ", ""), shown.Secret.Text()) {
			t.Error("the page shows another secret")
		}
		codes := b.Post("/account/totp", "code", code(t, p, shown.Secret, 0)).Want(200)
		if n := strings.Count(codes.Body, "<code data-recovery-code>"); n != 10 {
			t.Errorf("%d recovery codes are shown", n)
		}
		b.Get("/account").Want(200)
	})
}

// D17, I32: neither the database nor the log is a place to steal codes from.
func TestSecretsAndRecoveryCodesStandNowhereInPlain(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		b.SignIn(ann.Email, portaltest.Password)
		b.Get("/account/totp").Want(200)
		shown, err := p.Account.ShowEnrolment(t.Context(), ann)
		must(t, err)
		secrets := []string{string(shown.Secret), shown.Secret.Text(), strings.ToLower(shown.Secret.Text())}
		used := code(t, p, shown.Secret, 0)
		wantNowhere(t, p, secrets) // while it is shown
		page := b.Post("/account/totp", "code", used).Want(200)
		for _, part := range strings.Split(page.Body, "<code data-recovery-code>")[1:] {
			plain, _, _ := strings.Cut(part, "<")
			secrets = append(secrets, plain, strings.ReplaceAll(plain, "-", ""))
		}
		if len(secrets) != 3+20 {
			t.Fatalf("%d secrets were shown", len(secrets))
		}
		p.Clock.Advance(time.Minute)
		second := p.Browser(t, "192.0.2.2")
		second.Post("/sign-in", "login", ann.Email, "password", portaltest.Password).WantTo("/sign-in/verify")
		second.Post("/sign-in/verify", "code", noRecoveryCode).Want(422)
		second.Post("/sign-in/verify", "code", secrets[3], "trust_device", "true").WantTo("/account")
		second.Get("/account/security").Want(200)
		b.Get("/account/activity").Want(200)
		p.Clock.Advance(11 * time.Minute)
		b.Post("/account/totp/remove", "code", secrets[5]).WantTo("/reauthenticate")
		b.Post("/reauthenticate", "password", portaltest.Password, "code", secrets[5]).WantTo("/account/security")
		for _, m := range p.Mails(t) {
			for _, secret := range secrets {
				if strings.Contains(m.Text, secret) || strings.Contains(m.HTML, secret) {
					t.Errorf("the mail %q holds a secret", m.Subject)
				}
			}
		}
		wantNowhere(t, p, append(secrets, noRecoveryCode))
	})
}

// wantNowhere fails the test if a text stands in the log or in any column of any table.
func wantNowhere(t *testing.T, p *portaltest.Portal, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(p.Log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
	d, looked := open(t, p), 0
	for _, table := range tables(t, p) {
		rows, err := d.QueryContext(t.Context(), `SELECT * FROM `+table)
		must(t, err)
		names, err := rows.Columns()
		must(t, err)
		for rows.Next() {
			values, into := make([][]byte, len(names)), make([]any, len(names))
			for i := range values {
				into[i] = &values[i]
			}
			must(t, rows.Scan(into...))
			for i, value := range values {
				looked++
				for _, secret := range secrets {
					if strings.Contains(string(value), secret) {
						t.Errorf("%s.%s holds %q", table, names[i], secret)
					}
				}
			}
		}
		must(t, errors.Join(rows.Err(), rows.Close()))
	}
	if looked < 100 {
		t.Errorf("only %d values were looked at", looked)
	}
}

// tables are all of the portal's database.
func tables(t *testing.T, p *portaltest.Portal) (all []string) {
	t.Helper()
	question := `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`
	if p.DB.Engine() == db.PostgreSQL {
		question = `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`
	}
	rows, err := open(t, p).QueryContext(t.Context(), question)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		must(t, rows.Scan(&name))
		all = append(all, name)
	}
	must(t, rows.Err())
	if !slices.Contains(all, "authenticator") {
		t.Fatalf("the tables are %q", all)
	}
	return all
}

// I20, I21: an attempt at a recovery code costs a hash, so it waits at the same gate.
func TestARecoveryCodeWaitsForItsTurn(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		_, codes, _ := enrol(t, p, ann)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		busy := node(p)
		busy.Hasher = password.NewHasher(password.NewGate(1, 1<<30))
		if _, err := verify(ctx, busy, halfway(t, p, ann), codes[0]); err == nil {
			t.Error("who has gone gets in")
		}
		wantIn(t)(verify(t.Context(), p.Account, halfway(t, p, ann), codes[0])) // and has not used it up
	})
}
