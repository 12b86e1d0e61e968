package account_test

import (
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
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
	"postern/internal/token"
)

const changedMail = "Your password was changed > ann@acme.example"

// A9, A20, A21
func TestAResetEndsEverythingAndSignsNobodyIn(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		bob := person(t, p, directory.NewUser{Email: "bob@acme.example"})
		a, b, ofBob := entered(t, p, ann), entered(t, p, ann), entered(t, p, bob)
		plain, sibling := askedLink(t, p, ann.Email), printed(t, p, ann) // A13
		p.Mails(t)
		sessions := count(t, p, `SELECT count(*) FROM session`)

		must(t, reset(t, p, plain, portaltest.Another))
		wantMails(t, p, changedMail)
		wantEnded(t, p, a, b)
		live(t, p, ofBob)
		if now := count(t, p, `SELECT count(*) FROM session`); now != sessions {
			t.Errorf("the reset made %d sessions", now-sessions)
		}
		for name, old := range map[string]string{"used": plain, "sibling": sibling} {
			wantDead(t, name, reset(t, p, old, "Third-Candle-58-Walnut"))
			if isOpen(t, p, db.PurposeReset, old) {
				t.Errorf("the %s link still opens", name)
			}
		}
		wantMails(t, p)
		_, err := p.Account.SignIn(t.Context(), home, "ann", portaltest.Password)
		wantProblem(t, err, "", input.WrongSignIn)
		signIn(t, p, home, "ann", portaltest.Another)
		for _, action := range []string{"password_reset.requested", "password_reset.completed"} {
			if done := events(t, p, action); len(done) != 1 || done[0].User != ann.ID || done[0].ActorKind != "visitor" || done[0].Address == "" {
				t.Errorf("%s was recorded as %+v", action, done)
			}
		}
	})
}

// count asks for a number.
func count(t *testing.T, p *portaltest.Portal, query string) (n int) {
	t.Helper()
	must(t, open(t, p).QueryRowContext(t.Context(), query).Scan(&n))
	return n
}

// A10
func TestOfFiftyResetsAtOnceOneSucceeds(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		plain := askedLink(t, p, ann.Email)
		const visitors = 50
		errs := make([]error, visitors)
		candidate := func(i int) string { return fmt.Sprintf("Candle-%d-Walnut-Orbit", 100+i) }
		var all sync.WaitGroup
		for i := range visitors {
			all.Go(func() {
				v := portaltest.Visit(fmt.Sprintf("198.51.100.%d", i))
				for {
					_, errs[i] = p.Account.ResetPassword(t.Context(), v, plain, "", chosen(candidate(i)))
					if !errors.Is(errs[i], password.ErrBusy) {
						return
					}
				}
			})
		}
		all.Wait()
		winner := slices.Index(errs, nil)
		for i, err := range errs {
			if i != winner {
				wantDead(t, candidate(i), err)
			}
		}
		if winner < 0 {
			t.Fatal("nobody succeeded")
		}
		wantMails(t, p, changedMail)
		for i, visitor := range []int{winner, (winner + 1) % visitors, (winner + 25) % visitors} {
			_, err := p.Account.SignIn(t.Context(), home, ann.Email, candidate(visitor))
			if (err == nil) != (i == 0) {
				t.Errorf("password %d (the winner's is %d): %v", visitor, winner, err)
			}
		}
	})
}

// A11, A12
func TestALinkLastsAnHourFromItsSending(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		release := holdMail(p)
		ask(t, p, ann.Email)
		wantMails(t, p)
		p.Clock.Advance(20 * time.Minute)
		release()
		late := portaltest.Token(p.Mail(t).Link(t, "/reset-password/"))
		p.Clock.Advance(time.Hour - time.Second)
		if !isOpen(t, p, db.PurposeReset, late) {
			t.Error("it is dead after 59:59")
		}
		p.Clock.Advance(time.Second)
		_, err := p.Account.ResetPassword(t.Context(), home, late, "", chosen(portaltest.Another))
		wantDead(t, "60:00", err)
		signIn(t, p, home, ann.Email, portaltest.Password)

		intime := askedLink(t, p, ann.Email)
		p.Clock.Advance(time.Hour - time.Second)
		if _, err := p.Account.ResetPassword(t.Context(), home, intime, "", chosen(portaltest.Another)); err != nil {
			t.Errorf("59:59: %v", err)
		}
	})
}

// A14
func TestALinkDiesWhenTheAccountChanges(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		ctx, d, operator := t.Context(), p.Directory, portaltest.Operator
		acme := p.Organization(t, "Acme")
		changes := []struct {
			name   string
			change func(u db.User) error
		}{
			{"password", func(u db.User) error {
				c := live(t, p, entered(t, p, u))
				_, err := p.Account.ChangePassword(ctx, as(c), c, portaltest.Password, chosen(portaltest.Another))
				return err
			}},
			{"e-mail", func(u db.User) error {
				c := live(t, p, entered(t, p, u))
				p.Mails(t)
				must(t, p.Account.RequestEmailChange(ctx, as(c), c, "new."+u.Email))
				plain := mailed(t, p.Mails(t), "Confirm your new e-mail address", "/verify-email/")
				_, err := p.Account.ConfirmEmail(ctx, home, live(t, p, entered(t, p, u)), plain)
				return err
			}},
			{"username", func(u db.User) error {
				c := live(t, p, entered(t, p, u))
				_, err := p.Account.ChangeUsername(ctx, as(c), c, "another")
				return err
			}},
			{"deactivation", func(u db.User) error { return d.Deactivate(ctx, operator, u.ID, "") }},
			{"deactivation and activation", func(u db.User) error {
				return errors.Join(d.Deactivate(ctx, operator, u.ID, ""), d.Activate(ctx, operator, u.ID, ""))
			}},
			{"not me and unlocking", func(u db.User) error {
				_, err := p.Account.ReportNotMe(ctx, home, mailed(t, p.Mails(t), "A reset link was made for your account", "/not-me/"))
				return errors.Join(err, d.Unlock(ctx, operator, u.ID, ""))
			}},
			{"deletion", func(u db.User) error {
				p.Mails(t)
				return d.Delete(ctx, operator, u.ID, u.Email, "")
			}},
			{"organization", func(u db.User) error {
				return errors.Join(d.SetOrganizationActive(ctx, operator, acme, false), d.SetOrganizationActive(ctx, operator, acme, true))
			}},
		}
		for i, change := range changes {
			u := person(t, p, directory.NewUser{Email: fmt.Sprintf("user%d@acme.example", i), Organization: "Acme"})
			p.Mails(t)
			plain := printed(t, p, u)
			if err := change.change(u); err != nil {
				t.Fatalf("%s: %v", change.name, err)
			}
			wantDead(t, change.name, reset(t, p, plain, "Third-Candle-58-Walnut"))
			p.Mails(t)
		}
	})
}

// A16
func TestALinkIsGoodForNothingElse(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		setup, err := p.Account.OfferSetup(t.Context())
		must(t, err)
		_, invitation := invited(t, p, "bob@acme.example")
		ann := newAnn(t, p)
		in := signIn(t, p, home, ann.Email, portaltest.Password)
		c := live(t, p, in.Session)
		must(t, p.Account.RequestEmailChange(t.Context(), as(c), c, "ann@new.example"))
		mails := p.Mails(t)
		links := map[db.Purpose]string{
			db.PurposeReset:       askedLink(t, p, ann.Email),
			db.PurposeInvitation:  invitation,
			db.PurposeVerifyEmail: mailed(t, mails, "Confirm your new e-mail address", "/verify-email/"),
			db.PurposeNotMe:       mailed(t, mails, "A new e-mail address was entered for your account", "/not-me/"),
			"set up":              setup, "session": in.Session, "browser": in.Browser,
		}
		use := map[db.Purpose]func(plain string) error{
			db.PurposeReset: func(plain string) error { return reset(t, p, plain, portaltest.Another) },
			db.PurposeInvitation: func(plain string) error {
				_, err := p.Account.AcceptInvitation(t.Context(), home, plain, chosen(portaltest.Another))
				return err
			},
			db.PurposeVerifyEmail: func(plain string) error {
				_, err := p.Account.ConfirmEmail(t.Context(), home, c, plain)
				return err
			},
			db.PurposeNotMe: func(plain string) error {
				_, err := p.Account.ReportNotMe(t.Context(), home, plain)
				return err
			},
			"set up": func(plain string) error { return p.Account.SetupOffered(t.Context(), plain) },
		}
		for made, plain := range links {
			for purpose, try := range use {
				if made == purpose {
					continue
				}
				p.Clock.Advance(2 * time.Second)
				wantDead(t, string(made)+" used as "+string(purpose), try(plain))
			}
			if made != "session" {
				wantEnded(t, p, plain)
			}
		}
		live(t, p, in.Session)
		for purpose, plain := range links {
			if use[purpose] != nil && purpose != "set up" && !isOpen(t, p, purpose, plain) {
				t.Errorf("the link for %s is dead from the tries", purpose)
			}
		}
	})
}

// A17
func TestGuessedAndMangledLinksAreDead(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		plain := printed(t, p, newAnn(t, p))
		random, _ := token.New()
		for _, bad := range []string{"", "x", random, strings.ToLower(plain), plain[:42], plain + "A", plain + "=", " " + plain, plain + "\x00",
			plain[:42] + "\x00", strings.Repeat("A", 1<<20), strings.ReplaceAll(plain, plain[:1], "%")} {
			wantDead(t, fmt.Sprintf("%.50q", bad), reset(t, p, bad, portaltest.Another))
		}
		// Looking is limited, too: thirty a minute for one visitor.
		var err error
		for range 31 {
			_, err = p.Account.ResetPassword(t.Context(), home, random, "", chosen(portaltest.Another))
		}
		wantHeld(t, err)
		must(t, reset(t, p, plain, portaltest.Another))
	})
}

// column is a column of the database that holds texts or bytes.
type column struct{ table, name string }

// columns are all of them.
func columns(t *testing.T, d *sql.DB, engine db.Engine) (all []column) {
	t.Helper()
	query := `SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.type IN ('TEXT', 'BLOB')`
	if engine == db.PostgreSQL {
		query = `SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' AND data_type IN ('text', 'bytea')`
	}
	rows, err := d.QueryContext(t.Context(), query)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var c column
		must(t, rows.Scan(&c.table, &c.name))
		all = append(all, c)
	}
	must(t, rows.Err())
	return all
}

// stored is every text and every string of bytes in the database.
func stored(t *testing.T, p *portaltest.Portal) (all []string) {
	t.Helper()
	d := open(t, p)
	for _, c := range columns(t, d, p.DB.Engine()) {
		rows, err := d.QueryContext(t.Context(), `SELECT DISTINCT `+c.name+` FROM `+c.table+` WHERE `+c.name+` IS NOT NULL`)
		must(t, err)
		for rows.Next() {
			var value sql.RawBytes
			must(t, rows.Scan(&value))
			all = append(all, string(value))
		}
		must(t, errors.Join(rows.Err(), rows.Close()))
	}
	return all
}

// A18
func TestAStolenDatabaseOpensNothing(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		setup, err := p.Account.OfferSetup(t.Context())
		must(t, err)
		_, invitation := invited(t, p, "bob@acme.example")
		ann := newAnn(t, p)
		in := signIn(t, p, home, ann.Email, portaltest.Password)
		c := live(t, p, in.Session)
		must(t, p.Account.RequestEmailChange(t.Context(), as(c), c, "ann@new.example"))
		mails := p.Mails(t)
		secrets := []string{setup, invitation, in.Session, in.Browser, askedLink(t, p, ann.Email), printed(t, p, ann), portaltest.Password,
			mailed(t, mails, "Confirm your new e-mail address", "/verify-email/"),
			mailed(t, mails, "A new e-mail address was entered for your account", "/not-me/")}
		release := holdMail(p) // something waits in the outbox, too
		p.Clock.Advance(time.Minute)
		ask(t, p, ann.Email)
		wantMails(t, p)
		defer release()

		values := stored(t, p)
		if len(values) < 50 {
			t.Fatalf("only %d values were found in the database", len(values))
		}
		for _, value := range values {
			for _, secret := range secrets {
				if strings.Contains(value, secret) || strings.Contains(p.Log.String(), secret) {
					t.Errorf("a secret is kept or logged: %.100q", value)
				}
			}
			sum := []byte(value)
			for _, try := range []string{value, hex.EncodeToString(sum), base64.RawURLEncoding.EncodeToString(sum), fromHex(value)} {
				if opens(t, p, ann, try) {
					t.Errorf("the stored value %.100q opens something", value)
				}
			}
		}
		_, err = p.Account.SignIn(t.Context(), portaltest.Visit("203.0.113.1"), ann.Email, p.Reload(t, ann).PasswordHash)
		wantProblem(t, err, "", input.WrongSignIn)
	})
}

// fromHex is what a thief would make of a hash that is kept as hexadecimal digits.
func fromHex(value string) string {
	sum, err := hex.DecodeString(value)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// opens says whether a string works as any credential.
func opens(t *testing.T, p *portaltest.Portal, u db.User, try string) bool {
	t.Helper()
	if !token.WellFormed(try) {
		return false // what the tokens of this portal do not look like is refused unseen: A17
	}
	for _, purpose := range []db.Purpose{db.PurposeReset, db.PurposeInvitation, db.PurposeVerifyEmail, db.PurposeNotMe} {
		if isOpen(t, p, purpose, try) {
			return true
		}
	}
	known, err := p.DB.Reader().BrowserKnown(t.Context(), token.Hash(try), u.ID, p.DB.Now())
	must(t, err)
	err = p.Account.SetupOffered(t.Context(), try)
	if err != nil && !errors.Is(err, account.ErrDeadLink) {
		t.Fatal(err)
	}
	return known || err == nil || loaded(t, p, try) != nil
}

// A23
func TestAPasswordThatIsRefusedDoesNotUseTheLinkUp(t *testing.T) {
	once(t, func(t *testing.T, p *portaltest.Portal) {
		p.Organization(t, "Northwind Traders")
		u := person(t, p, directory.NewUser{Email: "ann.smithson@acme.example", Name: "Ann Smithson", Username: "annie.s", Organization: "Northwind Traders"})
		plain := printed(t, p, u)
		for typed, rule := range map[string]string{
			"Ab1!xyz": "length", "quiet-harbour-42-lantern": "upper", "Quiet-Harbour-Lantern": "digit", "QuietHarbour42Lantern": "special",
			"password": "common", "Xx-annie.s-77-Walnut": "personal", "Xx-smithson-77-Walnut": "personal", "Northwind-77-Walnut-Orbit": "personal",
			"Customer-77-Walnut-Orbit": "personal",
		} {
			err := reset(t, p, plain, typed)
			wantProblem(t, err, "password", input.WeakPassword)
			if refused, ok := errors.AsType[*input.Error](err); ok && !slices.Contains(refused.Fields[0].Choices, rule) {
				t.Errorf("%q is refused for %v and not for %q", typed, refused.Fields[0].Choices, rule)
			}
		}
		wantProblem(t, reset(t, p, plain, ""), "password", input.Missing)
		wantProblem(t, reset(t, p, plain, strings.Repeat("Aa1!", 257)), "password", input.PasswordTooLong)
		_, err := p.Account.ResetPassword(t.Context(), home, plain, "", account.NewPassword{Password: portaltest.Another, Confirm: portaltest.Password})
		wantProblem(t, err, "confirm", input.PasswordsDiffer)
		signIn(t, p, home, u.Email, portaltest.Password)
		must(t, reset(t, p, plain, portaltest.Another))
	})
}

func TestFiveWrongUsernamesKillTheLink(t *testing.T) {
	each(t, func(t *testing.T, p *portaltest.Portal) {
		p.Set(t, "recovery.confirm_username", "true")
		ann := newAnn(t, p)
		bob := person(t, p, directory.NewUser{Email: "bob@acme.example"})
		try := func(plain, username string) error {
			_, err := p.Account.ResetPassword(t.Context(), home, plain, username, chosen(portaltest.Another))
			return err
		}
		plain := printed(t, p, ann)
		for range 4 {
			wantProblem(t, try(plain, "bob"), "username", input.WrongUsername)
			wantProblem(t, try(plain, ""), "username", input.Missing) // counts for nothing
		}
		wantDead(t, "the fifth", try(plain, ann.Email)) // who has a username gives that
		wantDead(t, "the right one", try(plain, "ann"))
		signIn(t, p, portaltest.Visit("192.0.2.9"), ann.Email, portaltest.Password)
		if refused := events(t, p, "password_reset.refused"); len(refused) != 5 || refused[4].Outcome != "refused" || refused[4].User != ann.ID {
			t.Errorf("it was recorded as %+v", refused)
		}

		must(t, try(printed(t, p, ann), " Ann "))
		must(t, try(printed(t, p, bob), "BOB@acme.example"))

		// Guessed all at once, there are no more of them.
		plain = printed(t, p, bob)
		var all sync.WaitGroup
		errs := make([]error, 12)
		for i := range errs {
			all.Go(func() {
				_, errs[i] = p.Account.ResetPassword(t.Context(), portaltest.Visit(fmt.Sprintf("198.51.100.%d", i)), plain, "x", chosen(portaltest.Another))
			})
		}
		all.Wait()
		alive := 0
		for _, err := range errs {
			if !errors.Is(err, account.ErrDeadLink) {
				alive++
			}
		}
		if alive != 4 {
			t.Errorf("%d wrong usernames at once were told from a dead link instead of 4", alive)
		}
	})
}
