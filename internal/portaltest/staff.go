package portaltest

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"postern/db"
	"postern/internal/directory"
	"postern/internal/totp"
)

// Enrol gives a user an authenticator, whose codes Code tells.
func (p *Portal) Enrol(t testing.TB, u db.User) {
	t.Helper()
	secret := totp.NewSecret()
	sealed := p.Account.Key.Seal(secret, "authenticator "+strconv.FormatInt(u.ID, 10))
	if err := p.DB.Update(t.Context(), func(tx *db.Tx) error { return tx.SetAuthenticator(t.Context(), u.ID, sealed, 0) }); err != nil {
		t.Fatal(err)
	}
	p.secrets[u.ID] = secret
}

// Code is a code of the user's authenticator that was not used yet: the next one, for which
// the clock goes on.
func (p *Portal) Code(t testing.TB, u db.User) string {
	t.Helper()
	p.Clock.Advance(30 * time.Second)
	code, err := p.secrets[u.ID].Code(p.DB.Now().Time())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// Staff makes a user with a role and an authenticator, and a browser in which they are
// signed in.
func (p *Portal) Staff(t testing.TB, form directory.NewUser) (*Browser, db.User) {
	t.Helper()
	user := p.User(t, form)
	p.Enrol(t, user)
	b := p.Browser(t, "192.0.2."+strconv.FormatInt(100+user.ID%100, 10))
	p.SignInWithCode(t, b, user)
	return b, p.Reload(t, user)
}

// SignInWithCode signs a user of User in, with a code.
func (p *Portal) SignInWithCode(t testing.TB, b *Browser, u db.User) {
	t.Helper()
	b.Post("/sign-in", "login", u.Email, "password", Password).WantTo("/sign-in/verify")
	b.Follow(b.Post("/sign-in/verify", "code", p.Code(t, u)).WantTo("/account")).Want(http.StatusOK)
}

// Actor is a signed-in user who does something.
func Actor(u db.User) db.Actor {
	return db.Actor{Kind: db.ActorUser, UserID: u.ID, Address: "192.0.2.1", UserAgent: "Test/1.0", RequestID: "TEST"}
}
