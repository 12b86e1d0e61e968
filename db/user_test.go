package db_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
)

// A2: the address stays as typed, and no second spelling of it can become another user.
func TestOneAddressIsOneUserHoweverItIsSpelled(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		kim := newUser(t, d, "Kim@ACME.example")
		bob := newUser(t, d, "bob@acme.example")
		if kim.Email != "Kim@ACME.example" {
			t.Errorf("kept as %q", kim.Email)
		}
		for _, spelling := range []string{"kim@acme.example", "KIM@ACME.EXAMPLE", "Kim@ACME.example"} {
			if got, err := d.Reader().UserByLogin(t.Context(), spelling); err != nil || got.ID != kim.ID {
				t.Errorf("%s finds user %d, %v", spelling, got.ID, err)
			}
			wantTaken(t, d, func(tx *db.Tx) error { return tx.SetEmail(t.Context(), bob.ID, spelling) })
			wantTaken(t, d, func(tx *db.Tx) error { return addOnly(t.Context(), tx, db.User{Email: spelling}) })
		}
		// U+212A is a K to whoever folds beyond ASCII.
		wantTaken(t, d, func(tx *db.Tx) error { return addOnly(t.Context(), tx, db.User{Email: "\u212aim@acme.example"}) })
		update(t, d, func(tx *db.Tx) error { return tx.SetEmail(t.Context(), kim.ID, "KIM@acme.example") })
		if got := user(t, d, kim.ID).Email; got != "KIM@acme.example" {
			t.Errorf("the own address in another case became %q", got)
		}
	})
}

// addOnly adds a customer whose id does not matter.
func addOnly(ctx context.Context, tx *db.Tx, u db.User) error {
	u.TimeZone, u.Role.ID = "UTC", "customer"
	_, err := tx.AddUser(ctx, u)
	return err
}

func wantTaken(t *testing.T, d *db.DB, change func(tx *db.Tx) error) {
	t.Helper()
	if err := d.Update(t.Context(), change); !errors.Is(err, db.ErrTaken) {
		t.Errorf("instead of being taken: %v", err)
	}
}

func TestAUsernameBelongsToOneAndNoneIsNotAName(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann := addUser(t, d, db.User{Email: "ann@acme.example", Username: "ann", TimeZone: "UTC", Role: db.Role{ID: "customer"}})
		bob, eve := newUser(t, d, "bob@acme.example"), newUser(t, d, "eve@acme.example")
		if bob.Username != "" || eve.Username != "" {
			t.Errorf("usernames %q and %q out of nothing", bob.Username, eve.Username)
		}
		wantTaken(t, d, func(tx *db.Tx) error { return tx.SetUsername(t.Context(), bob.ID, "ann") })
		wantTaken(t, d, func(tx *db.Tx) error {
			return addOnly(t.Context(), tx, db.User{Email: "x@acme.example", Username: "ann"})
		})
		if got, err := d.Reader().UserByLogin(t.Context(), "ann"); err != nil || got.ID != ann.ID {
			t.Errorf("ann finds user %d, %v", got.ID, err)
		}
		for _, u := range []db.User{ann, eve} {
			update(t, d, func(tx *db.Tx) error { return tx.SetUsername(t.Context(), u.ID, "") })
		}
		update(t, d, func(tx *db.Tx) error { return tx.SetUsername(t.Context(), bob.ID, "ann") })
		if got := user(t, d, bob.ID).Username; got != "ann" {
			t.Errorf("a username that was given up became %q", got)
		}
	})
}

// B15, B16
func TestNoTrickFindsAUser(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		addUser(t, d, db.User{Email: "ann@acme.example", Username: "ann", TimeZone: "UTC", Role: db.Role{ID: "customer"}})
		gone := newUser(t, d, "gone@acme.example")
		update(t, d, func(tx *db.Tx) error { return tx.EmptyUser(t.Context(), gone.ID) })
		for _, login := range []string{"", " ", "%", "_nn", "%@%", "' OR 1=1--", `\`, "NULL", "0", "ann ", "@", "ann@acme.example%",
			fmt.Sprint("deleted ", gone.ID), "gone@acme.example", "ann\u0307@acme.example"} {
			if got, err := d.Reader().UserByLogin(t.Context(), login); !errors.Is(err, db.ErrNotFound) {
				t.Errorf("%q finds user %d, %v", login, got.ID, err)
			}
		}
	})
}

// I27: PostgreSQL has no room for some texts. A text is kept as it is, or refused.
func TestATextIsKeptAsItIsOrRefused(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		for _, text := range []string{"", " Zoë ", "Zoe\u0308", "日本語 🦊", "tab\tline\r\nend", `'; DROP TABLE session; --`, `\x00 %s {{id}} $1 ?`,
			"\u202eevil\u200b", strings.Repeat("ä", 10_000)} {
			update(t, d, func(tx *db.Tx) error { return tx.SetProfile(t.Context(), ann.ID, db.Profile{Name: text}) })
			if got := user(t, d, ann.ID).Name; got != text {
				t.Errorf("%.40q became %.40q", text, got)
			}
		}
		for _, text := range []string{"NUL \x00 inside", "\x00", "not UTF-8 \xff\xfe"} {
			before := user(t, d, ann.ID).Name
			err := d.Update(t.Context(), func(tx *db.Tx) error { return tx.SetProfile(t.Context(), ann.ID, db.Profile{Name: text}) })
			got := user(t, d, ann.ID).Name
			if err == nil && got != text || err != nil && got != before {
				t.Errorf("%q became %q (%v)", text, got, err)
			}
			if db.Unavailable(err) {
				t.Errorf("%q asks the visitor to try again for ever: %v", text, err)
			}
		}
	})
}

func TestAUserComesBackAsStored(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		alone := newUser(t, d, "ann@acme.example")
		if alone.OrganizationID != 0 || alone.Organization != "" || !alone.OrganizationActive || alone.ContactOwnerID != 0 {
			t.Errorf("an organization out of nothing: %+v", alone)
		}
		if !alone.Active || !alone.NotifySignIn || alone.Staff() || alone.Status() != "invited" || alone.Epoch != 1 || alone.CreatedAt != d.Now() {
			t.Errorf("a new user is %+v", alone)
		}
		if alone.PasswordSetAt != 0 || alone.InvitationAcceptedAt != 0 || alone.LastSignInAt != 0 || alone.ClosedAt != 0 || alone.WrongPasswords != 0 {
			t.Errorf("something has happened to a new user: %+v", alone)
		}
		acme := add(t, d, func(tx *db.Tx) (int64, error) { return tx.AddOrganization(t.Context(), "Acme Ltd", "acme ltd") })
		bob := addUser(t, d, db.User{Email: "bob@acme.example", Phone: "+49 30 1", TimeZone: "Europe/Berlin", OrganizationID: acme,
			Role: db.Role{ID: "portal_administrator"}, PasswordHash: "hash", PasswordSetAt: 5})
		if bob.OrganizationID != acme || bob.Organization != "Acme Ltd" || !bob.Enabled() || !bob.Staff() || bob.Status() != "active" ||
			bob.Phone != "+49 30 1" || bob.TimeZone != "Europe/Berlin" || bob.PasswordHash != "hash" || bob.PasswordSetAt != 5 {
			t.Errorf("stored: %+v", bob)
		}
		update(t, d, func(tx *db.Tx) error {
			_, wrong := tx.CountWrongPassword(t.Context(), bob.ID)
			return errors.Join(tx.SetOrganizationActive(t.Context(), acme, false), tx.SetContactOwner(t.Context(), acme, alone.ID),
				tx.SetProfile(t.Context(), bob.ID, db.Profile{Name: "Bob", TimeZone: "UTC"}), wrong)
		})
		bob = user(t, d, bob.ID)
		if bob.OrganizationActive || bob.Enabled() || bob.ContactOwnerID != alone.ID || bob.NotifySignIn || bob.Name != "Bob" || bob.WrongPasswords != 1 {
			t.Errorf("changed: %+v", bob)
		}
		update(t, d, func(tx *db.Tx) error { return tx.SetActive(t.Context(), alone.ID, false) })
		if got := user(t, d, alone.ID); got.Active || got.Enabled() || got.Status() != "inactive" {
			t.Errorf("deactivated: %+v", got)
		}
	})
}

func TestOrganizationsComeBackAsStored(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		id := add(t, d, func(tx *db.Tx) (int64, error) { return tx.AddOrganization(t.Context(), "ÄCME", "äcme") })
		want := db.Organization{ID: id, Name: "ÄCME", Active: true, CreatedAt: d.Now()}
		if got, err := d.Reader().OrganizationByName(t.Context(), "äcme"); got != want || err != nil {
			t.Errorf("%+v, %v", got, err)
		}
		wantTaken(t, d, func(tx *db.Tx) error {
			_, err := tx.AddOrganization(t.Context(), "äcme", "äcme")
			return err
		})
		ann := newUser(t, d, "ann@acme.example")
		for _, owner := range []int64{ann.ID, 0} {
			update(t, d, func(tx *db.Tx) error { return tx.SetContactOwner(t.Context(), id, owner) })
			if got, err := d.Reader().Organization(t.Context(), id); got.ContactOwnerID != owner || err != nil {
				t.Errorf("contact owner %d, %v", got.ContactOwnerID, err)
			}
		}
	})
}

// Of the shape of the argument only the engines know; where a session carries nothing they
// must agree.
func TestWhatASessionCarriesComesBack(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		for i, data := range [][]byte{{0, 1, 0xff, '\'', 0}, []byte("{}"), {}} {
			token := hash(fmt.Sprint(i))
			id := add(t, d, func(tx *db.Tx) (int64, error) {
				return tx.AddSession(t.Context(), db.Session{UserID: ann.ID, Epoch: 1, Data: data, Address: "192.0.2.1", UserAgent: "Test/1.0"}, token)
			})
			s, u, err := d.Reader().SessionByToken(t.Context(), token)
			if err != nil || s.ID != id || u.ID != ann.ID || u.Email != ann.Email || !bytes.Equal(s.Data, data) || s.Address != "192.0.2.1" || s.UserAgent != "Test/1.0" {
				t.Errorf("%x became %+v of user %d, %v", data, s, u.ID, err)
			}
			if now := d.Now(); s.CreatedAt != now || s.LastSeenAt != now || s.ProvenAt != now || s.Epoch != 1 {
				t.Errorf("a session that begins now is %+v", s)
			}
		}
	})
}

// Questions about what is not there, and changes to it.
func TestWhatIsNotThereIsSaidSo(t *testing.T) {
	ctx, none := context.Background(), hash("none")
	questions := map[string]func(r db.Reader) error{
		"user":         func(r db.Reader) error { return second(r.User(ctx, 99)) },
		"email":        func(r db.Reader) error { return second(r.UserByEmail(ctx, "no@acme.example")) },
		"organization": func(r db.Reader) error { return second(r.Organization(ctx, 99)) },
		"its name":     func(r db.Reader) error { return second(r.OrganizationByName(ctx, "none")) },
		"role":         func(r db.Reader) error { return second(r.Role(ctx, "none")) },
		"link":         func(r db.Reader) error { return second(r.LinkByToken(ctx, none)) },
		"fact":         func(r db.Reader) error { return second(r.Fact(ctx, "none")) },
		"message":      func(r db.Reader) error { return second(r.Message(ctx, 99)) },
		"next due":     func(r db.Reader) error { return second(r.NextDue(ctx)) },
		"session": func(r db.Reader) error {
			_, _, err := r.SessionByToken(ctx, none)
			return err
		},
	}
	changes := map[string]func(tx *db.Tx) error{
		"SetPassword":           func(tx *db.Tx) error { return tx.SetPassword(ctx, 99, "hash") },
		"SetEmail":              func(tx *db.Tx) error { return tx.SetEmail(ctx, 99, "no@acme.example") },
		"SetPendingEmail":       func(tx *db.Tx) error { return tx.SetPendingEmail(ctx, 99, "no@acme.example") },
		"SetUsername":           func(tx *db.Tx) error { return tx.SetUsername(ctx, 99, "none") },
		"SetProfile":            func(tx *db.Tx) error { return tx.SetProfile(ctx, 99, db.Profile{}) },
		"SetRole":               func(tx *db.Tx) error { return tx.SetRole(ctx, 99, "owner") },
		"SetActive":             func(tx *db.Tx) error { return tx.SetActive(ctx, 99, false) },
		"CloseUser":             func(tx *db.Tx) error { return tx.CloseUser(ctx, 99) },
		"UnlockUser":            func(tx *db.Tx) error { return tx.UnlockUser(ctx, 99) },
		"RecordSignIn":          func(tx *db.Tx) error { return tx.RecordSignIn(ctx, 99) },
		"RecordAcceptance":      func(tx *db.Tx) error { return tx.RecordAcceptance(ctx, 99) },
		"EndAccess":             func(tx *db.Tx) error { return second(tx.EndAccess(ctx, 99, 1, 0)) },
		"EmptyUser":             func(tx *db.Tx) error { return tx.EmptyUser(ctx, 99) },
		"UseLink":               func(tx *db.Tx) error { return tx.UseLink(ctx, 99) },
		"CountLinkFailure":      func(tx *db.Tx) error { return second(tx.CountLinkFailure(ctx, 99, 5)) },
		"RenewSession":          func(tx *db.Tx) error { return tx.RenewSession(ctx, 99, none, true) },
		"ClaimMessage":          func(tx *db.Tx) error { return second(tx.ClaimMessage(ctx, time.Minute)) },
		"AddressMessage":        func(tx *db.Tx) error { return tx.AddressMessage(ctx, 99, 1, "no@acme.example") },
		"SetOrganizationActive": func(tx *db.Tx) error { return tx.SetOrganizationActive(ctx, 99, false) },
		"SetContactOwner":       func(tx *db.Tx) error { return tx.SetContactOwner(ctx, 99, 0) },
		"Hold":                  func(tx *db.Tx) error { return tx.Hold(ctx, none, time.Minute) },
	}
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		for name, ask := range questions {
			if err := ask(d.Reader()); !errors.Is(err, db.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, change := range changes {
			if err := d.Update(ctx, change); !errors.Is(err, db.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// second is the error of two results.
func second[T any](_ T, err error) error { return err }

func TestNothingCanBelongToNobody(t *testing.T) {
	ctx := context.Background()
	changes := map[string]func(tx *db.Tx) error{
		"session": func(tx *db.Tx) error {
			return second(tx.AddSession(ctx, db.Session{UserID: 99, Data: []byte{}}, hash("s")))
		},
		"link":    func(tx *db.Tx) error { return second(tx.AddLink(ctx, db.Link{UserID: 99}, hash("l"))) },
		"browser": func(tx *db.Tx) error { return tx.RememberBrowser(ctx, hash("b"), 99, "", "") },
		"role": func(tx *db.Tx) error {
			return second(tx.AddUser(ctx, db.User{Email: "x@x", Role: db.Role{ID: "none"}}))
		},
		"organization": func(tx *db.Tx) error {
			return second(tx.AddUser(ctx, db.User{Email: "x@x", Role: db.Role{ID: "customer"}, OrganizationID: 99}))
		},
	}
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		for name, change := range changes {
			if err := d.Update(ctx, change); err == nil || errors.Is(err, db.ErrTaken) || db.Unavailable(err) {
				t.Errorf("a %s for nobody: %v", name, err)
			}
		}
	})
}

// An id of the past in a link, a session or the audit trail must never come to mean
// somebody else.
func TestAnIDIsNeverUsedTwice(t *testing.T) {
	ctx := context.Background()
	newest := map[string]func(tx *db.Tx, userID int64, i int) error{
		"organization": func(tx *db.Tx, _ int64, i int) error { return second(tx.AddOrganization(ctx, "Acme", fmt.Sprint(i))) },
		"link": func(tx *db.Tx, userID int64, i int) error {
			return second(tx.AddLink(ctx, db.Link{UserID: userID}, hash(fmt.Sprint(i))))
		},
		"session": func(tx *db.Tx, userID int64, i int) error {
			return second(tx.AddSession(ctx, db.Session{UserID: userID, Data: []byte{}}, hash(fmt.Sprint(i))))
		},
		"browser": func(tx *db.Tx, userID int64, i int) error {
			return tx.RememberBrowser(ctx, hash(fmt.Sprint(i)), userID, "", "")
		},
		"recovery_code": func(tx *db.Tx, userID int64, i int) error {
			return tx.SetRecoveryCodes(ctx, userID, []byte{}, [][]byte{hash(fmt.Sprint(i))})
		},
		"outbox":      func(tx *db.Tx, _ int64, _ int) error { return tx.Enqueue(ctx, db.Message{}) },
		"audit_event": func(tx *db.Tx, _ int64, _ int) error { return tx.AddEvent(ctx, db.Event{}) },
		"user_account": func(tx *db.Tx, _ int64, i int) error {
			return addOnly(ctx, tx, db.User{Email: fmt.Sprint(i, "@acme.example")})
		},
	}
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann := newUser(t, d, "ann@acme.example")
		for table, addOne := range newest {
			update(t, d, func(tx *db.Tx) error { return addOne(tx, ann.ID, 1) })
			old := number(t, d, `SELECT max(id) FROM `+table)
			raw(t, d, `DELETE FROM `+table+` WHERE id = $1`, old)
			update(t, d, func(tx *db.Tx) error { return addOne(tx, ann.ID, 2) })
			if id := number(t, d, `SELECT max(id) FROM `+table); id <= old {
				t.Errorf("%s %d was deleted, and the next one is %d", table, old, id)
			}
		}
	})
}

func TestADeletedUserLeavesNothingButTheID(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *dbtest.Clock) {
		ann := addUser(t, d, db.User{Email: "ann@acme.example", Username: "ann", Name: "Ann", Phone: "1", TimeZone: "UTC",
			Role: db.Role{ID: "owner"}, PasswordHash: "hash", PasswordSetAt: 1})
		bob := newUser(t, d, "bob@acme.example")
		acme := add(t, d, func(tx *db.Tx) (int64, error) { return tx.AddOrganization(t.Context(), "Acme", "acme") })
		for _, u := range []db.User{ann, bob} {
			giveAccess(t, d, u)
			enrol(t, d, u, "a")
			show(t, d, u, "next")
		}
		update(t, d, func(tx *db.Tx) error {
			return errors.Join(tx.SetContactOwner(t.Context(), acme, ann.ID), tx.AddEvent(t.Context(), db.Event{UserID: ann.ID}))
		})
		update(t, d, func(tx *db.Tx) error { return tx.EmptyUser(t.Context(), ann.ID) })

		for _, table := range []string{"session", "link", "browser", "outbox", "authenticator", "enrolment", "recovery_code"} {
			if n := number(t, d, fmt.Sprint(`SELECT count(*) FROM `, table, ` WHERE user_id = `, ann.ID)); n != 0 {
				t.Errorf("%s keeps %d", table, n)
			}
			if n := number(t, d, fmt.Sprint(`SELECT count(*) FROM `, table, ` WHERE user_id = `, bob.ID)); n == 0 {
				t.Errorf("%s lost what was somebody else's", table)
			}
		}
		if n := number(t, d, fmt.Sprint(`SELECT count(*) FROM audit_event WHERE user_id = `, ann.ID)); n != 1 {
			t.Errorf("the audit trail knows %d events", n)
		}
		if n := number(t, d, `SELECT count(*) FROM organization WHERE contact_owner_id IS NOT NULL`); n != 0 {
			t.Error("still somebody's contact owner")
		}
		if err := d.Update(t.Context(), func(tx *db.Tx) error { return tx.EmptyUser(t.Context(), ann.ID) }); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("deleted twice: %v", err)
		}
		again := addUser(t, d, db.User{Email: "ann@acme.example", Username: "ann", TimeZone: "UTC", Role: db.Role{ID: "customer"}})
		if again.ID == ann.ID || again.PasswordHash != "" {
			t.Errorf("whoever comes next is %+v", again)
		}
	})
}
