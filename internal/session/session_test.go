package session_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/session"
	"postern/internal/settings"
	"postern/internal/token"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// place is a database with sessions in it.
type place struct {
	*session.Manager
	db    *db.DB
	raw   *sql.DB // the same database, beside the portal
	clock *dbtest.Clock
	log   *bytes.Buffer
	t     *testing.T
}

func each(t *testing.T, test func(t *testing.T, p *place)) {
	t.Helper()
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) {
			p := &place{clock: dbtest.NewClock(), log: &bytes.Buffer{}, t: t}
			cfg := db.Config{Path: filepath.Join(t.TempDir(), "postern.db"), Now: p.clock.Now}
			driver, name := "sqlite", "file:"+cfg.Path+"?_pragma=busy_timeout(5000)"
			if engine == db.PostgreSQL {
				cfg.URL = dbtest.NewPostgreSQL(t)
				driver, name = "pgx", cfg.URL
			}
			var err error
			p.db, err = db.Open(t.Context(), cfg)
			p.must(err)
			t.Cleanup(func() { p.must(p.db.Close()) })
			p.must(p.db.Migrate(t.Context()))
			p.raw, err = sql.Open(driver, name)
			p.must(err)
			t.Cleanup(func() { p.must(p.raw.Close()) })
			p.Manager = session.NewManager(p.db, settings.NewStore(p.db).SessionLimits, slog.New(slog.NewTextHandler(p.log, nil)), false)
			test(t, p)
		})
	}
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) update(change func(tx *db.Tx) error) {
	p.t.Helper()
	p.must(p.db.Update(p.t.Context(), change))
}

// user makes one with that role.
func (p *place) user(email, role string) (u db.User) {
	p.t.Helper()
	p.update(func(tx *db.Tx) error {
		id, err := tx.AddUser(p.t.Context(), db.User{Email: email, Name: "Ann", TimeZone: "UTC", Role: db.Role{ID: role}, PasswordSetAt: tx.Now})
		if err != nil {
			return err
		}
		u, err = tx.User(p.t.Context(), id)
		return err
	})
	return u
}

// enter signs the user in and returns the token.
func (p *place) enter(u db.User) string {
	p.t.Helper()
	plain, hash := token.New()
	p.update(func(tx *db.Tx) error {
		_, err := tx.AddSession(p.t.Context(), db.Session{UserID: u.ID, Epoch: u.Epoch, Data: []byte{}}, hash)
		return err
	})
	return plain
}

// load is a request with these session cookies.
func (p *place) load(tokens ...string) (context.Context, *session.Current) {
	p.t.Helper()
	r := httptest.NewRequestWithContext(p.t.Context(), http.MethodGet, "/account", nil)
	for _, plain := range tokens {
		r.AddCookie(&http.Cookie{Name: "postern", Value: plain})
	}
	ctx, current, err := p.Load(r)
	p.must(err)
	return ctx, current
}

func (p *place) wantLive(what, plain string) *session.Current {
	p.t.Helper()
	_, current := p.load(plain)
	if current == nil {
		p.t.Fatalf("%s: the session is dead", what)
	}
	return current
}

func (p *place) wantDead(what, plain string) {
	p.t.Helper()
	ctx, current := p.load(plain)
	if current != nil || !session.HadDeadCookie(ctx) {
		p.t.Errorf("%s: the session lives", what)
	}
}

// C14
func TestASessionEndsIdleOrOld(t *testing.T) {
	for role, limit := range map[string]struct{ idle, most time.Duration }{
		"customer": {time.Hour, 24 * time.Hour}, "support": {15 * time.Minute, 12 * time.Hour},
	} {
		t.Run(role, func(t *testing.T) {
			each(t, func(t *testing.T, p *place) {
				u := p.user("ann@acme.example", role)
				used, left, late := p.enter(u), p.enter(u), p.enter(u)
				p.clock.Advance(limit.idle - time.Second)
				p.wantLive("a second before", used)
				p.wantLive("a second before", late)
				p.clock.Advance(time.Second)
				p.wantDead("left alone", left)
				p.clock.Advance(limit.idle - 2*time.Second)
				p.wantLive("used in between", used)
				p.clock.Advance(time.Second)
				p.wantDead("left alone later", late)
				p.wantDead("left alone", left)

				p.clock.Advance(-2*limit.idle + 2*time.Second) // back to the beginning
				old := p.enter(u)
				for range 2*limit.most/limit.idle - 1 {
					p.clock.Advance(limit.idle / 2)
					p.wantLive("in use", old)
				}
				p.clock.Advance(limit.idle/2 - time.Millisecond)
				p.wantLive("on the last moment", old)
				p.clock.Advance(time.Millisecond)
				p.wantDead("at its age", old)
			})
		})
	}
}

// C14, C15
func TestNewLimitsAndRolesCountAtOnce(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		u := p.user("ann@acme.example", "customer")
		plain := p.enter(u)
		p.clock.Advance(20 * time.Minute)
		if c := p.wantLive("a customer", plain); c.User.Staff() {
			t.Error("a customer counts as staff")
		}
		p.update(func(tx *db.Tx) error { return tx.SetRole(t.Context(), u.ID, "auditor") })
		if c := p.wantLive("promoted", plain); c.User.Role.ID != "auditor" {
			t.Errorf("the role is still %s", c.User.Role.ID)
		}
		p.clock.Advance(15 * time.Minute)
		p.wantDead("as staff", plain)
		p.update(func(tx *db.Tx) error { return tx.SetRole(t.Context(), u.ID, "customer") })
		if c := p.wantLive("demoted", plain); c.User.Role.ID != "customer" {
			t.Errorf("the role is still %s", c.User.Role.ID)
		}
	})
}

// C15
func TestWhoMayNotEnterIsOutWithTheNextRequest(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		ctx := t.Context()
		var organization int64
		p.update(func(tx *db.Tx) (err error) {
			organization, err = tx.AddOrganization(ctx, "Acme", "acme")
			return err
		})
		for name, change := range map[string]func(tx *db.Tx, id int64) error{
			"inactive": func(tx *db.Tx, id int64) error { return tx.SetActive(ctx, id, false) },
			"shut":     func(tx *db.Tx, id int64) error { return tx.CloseUser(ctx, id) },
			"deleted":  func(tx *db.Tx, id int64) error { return tx.EmptyUser(ctx, id) },
			"of an older epoch": func(tx *db.Tx, id int64) error {
				_, err := tx.EndAccess(ctx, id, 1, 0)
				return err
			},
		} {
			u := p.user(strings.ReplaceAll(name, " ", "-")+"@acme.example", "customer")
			plain := p.enter(u)
			p.wantLive(name, plain)
			p.update(func(tx *db.Tx) error { return change(tx, u.ID) })
			p.wantDead(name, plain)
			if name == "of an older epoch" {
				p.wantDead("signed in while the epoch changed", p.enter(u))
			}
		}
		u := p.user("of-acme@acme.example", "customer")
		_, err := p.raw.ExecContext(ctx, `UPDATE user_account SET organization_id = $1 WHERE id = $2`, organization, u.ID)
		p.must(err)
		plain := p.enter(u)
		p.wantLive("of an active organization", plain)
		p.update(func(tx *db.Tx) error { return tx.SetOrganizationActive(ctx, organization, false) })
		p.wantDead("of an inactive organization", plain)
	})
}

// C8
func TestTwoCookiesAreNobodys(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		ann, eve := p.enter(p.user("ann@acme.example", "customer")), p.enter(p.user("eve@evil.example", "customer"))
		for _, cookies := range [][]string{{ann, eve}, {eve, ann}, {ann, ann}, {ann, ""}, {"", ann}} {
			if _, current := p.load(cookies...); current != nil {
				t.Errorf("%d cookies are taken for %s", len(cookies), current.User.Email)
			}
		}
		p.wantLive("alone", ann)
	})
}

// C3, C18
func TestAnUnreadableSessionIsEndedAndHarmsNobody(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		u := p.user("ann@acme.example", "customer")
		good := p.enter(u)
		for _, data := range []string{"{", `{"a":`, "[]", `"text"`, "7", "\x00\xff\x0egob", `{"a":"b"} and more`} {
			bad := p.enter(u)
			p.update(func(tx *db.Tx) error { return tx.SetSessionData(t.Context(), token.Hash(bad), []byte(data)) })
			for range 2 { // not an error for ever
				p.wantDead(data, bad)
			}
			if _, _, err := p.db.Reader().SessionByToken(t.Context(), token.Hash(bad)); !errors.Is(err, db.ErrNotFound) {
				t.Errorf("%q: the row was not ended: %v", data, err)
			}
		}
		if n := strings.Count(p.log.String(), "unreadable session"); n != 7 {
			t.Errorf("%d of 7 were logged", n)
		}
		p.wantLive("the good one", good)
	})
}

// C3, C18: read as something, or not, but never fatal to the request.
func TestOddSessionDataIsNoFault(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		u := p.user("ann@acme.example", "customer")
		for _, data := range []string{"null", "{}", "", `{"notice":7}`, `{"notice":{"a":[1]},"x":null}`} {
			plain := p.enter(u)
			p.update(func(tx *db.Tx) error { return tx.SetSessionData(t.Context(), token.Hash(plain), []byte(data)) })
			func() {
				defer func() {
					if cause := recover(); cause != nil {
						t.Errorf("%q: %v", data, cause)
					}
				}()
				ctx, _ := p.load(plain)
				if got := p.Get(ctx, "notice"); got != "" {
					t.Errorf("%q: it holds %q", data, got)
				}
				p.Put(ctx, "notice", "hello")
				p.must(p.Save(ctx))
			}()
		}
	})
}

// C1
func TestAnEndedSessionDoesNotComeBack(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		u := p.user("ann@acme.example", "customer")
		byEpoch, bySignOut := p.enter(u), p.enter(u)
		slow, _ := p.load(byEpoch)
		slower, current := p.load(bySignOut)
		p.update(func(tx *db.Tx) error { return tx.EndSession(t.Context(), current.Session.ID) })
		p.update(func(tx *db.Tx) error {
			_, err := tx.EndAccess(t.Context(), u.ID, u.Epoch, 0)
			return err
		})
		p.clock.Advance(2 * time.Minute)
		for plain, ctx := range map[string]context.Context{byEpoch: slow, bySignOut: slower} {
			p.Put(ctx, "notice", "late")
			p.must(p.Save(ctx))
			p.wantDead("after a late save", plain)
		}
		var alive int
		p.must(p.raw.QueryRowContext(t.Context(), `SELECT count(*) FROM session WHERE ended_at = 0`).Scan(&alive))
		if alive != 0 {
			t.Errorf("%d sessions are alive", alive)
		}
	})
}

// C13
func TestVisitorsLeaveNoRow(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		unknown, _ := token.New()
		for _, cookie := range []string{"", unknown, "x", strings.Repeat("A", 5000), "a b"} {
			ctx, current := p.load(cookie)
			if current != nil {
				t.Errorf("%.20q is signed in", cookie)
			}
			p.Put(ctx, "notice", "hello")
			p.must(p.Save(ctx))
		}
		ctx, _ := p.load()
		p.Put(ctx, "notice", "hello")
		p.must(p.Save(ctx))
		if session.HadDeadCookie(ctx) {
			t.Error("no cookie counts as a dead one")
		}
		var rows int
		p.must(p.raw.QueryRowContext(t.Context(), `SELECT count(*) FROM session`).Scan(&rows))
		if rows != 0 {
			t.Errorf("%d rows", rows)
		}
	})
}

func TestWhatIsPutStaysWithItsSession(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		u := p.user("ann@acme.example", "customer")
		one, two := p.enter(u), p.enter(u)
		for _, text := range []string{"Grüße\n\"<&", "another", ""} {
			ctx, _ := p.load(one)
			p.Put(ctx, "form", text)
			p.must(p.Save(ctx))
			for range 2 {
				ctx, _ = p.load(one)
				if got := p.Get(ctx, "form"); got != text {
					t.Errorf("it is %q instead of %q", got, text)
				}
			}
			ctx, _ = p.load(two)
			if got := p.Get(ctx, "form"); got != "" {
				t.Errorf("another session has it: %q", got)
			}
		}
	})
}

// seen is when the session was last seen, by the database.
func (p *place) seen(plain string) db.Time {
	p.t.Helper()
	s, _, err := p.db.Reader().SessionByToken(p.t.Context(), token.Hash(plain))
	p.must(err)
	return s.LastSeenAt
}

// C11
func TestAPageIsServedAlthoughNothingCanBeWritten(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		plain := p.enter(p.user("ann@acme.example", "customer"))
		began := p.seen(plain)
		p.clock.Advance(59 * time.Second)
		current := p.wantLive("within the minute", plain)
		if p.seen(plain) != began {
			t.Error("it is noted more than once a minute")
		}
		p.clock.Advance(time.Second)
		p.update(func(tx *db.Tx) error {
			p.must(tx.TouchSession(t.Context(), current.Session.ID)) // nobody else can write now
			ctx, current := p.load(plain)
			if current == nil {
				t.Error("the page is not served")
			}
			return p.Save(ctx) // nothing was put, so there is nothing to write
		})
		p.clock.Advance(time.Second)
		p.wantLive("later", plain)
		if p.seen(plain) == began {
			t.Error("its use is never noted")
		}
	})
}

// C5
func TestTheSessionCookieIsBoundToTheHost(t *testing.T) {
	m := session.NewManager(nil, nil, nil, true)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	ctx, _, err := m.Load(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, clear := range []bool{false, true} {
		w := httptest.NewRecorder()
		w.Header().Set("Cache-Control", "no-store")
		if clear {
			m.ClearCookie(ctx, w)
		} else {
			m.WriteCookie(ctx, w, "value")
		}
		cookies := w.Result().Cookies()
		if len(cookies) != 1 {
			t.Fatalf("%d cookies", len(cookies))
		}
		c := cookies[0]
		if c.Name != "__Host-postern" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("the cookie is %s", c)
		}
		if persistent := c.MaxAge != 0 || !c.Expires.IsZero(); persistent != clear || clear && (c.MaxAge >= 0 || c.Value != "") {
			t.Errorf("cleared %v, it is %s", clear, c)
		}
	}
}
