package session

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"

	"postern/db"
)

const (
	cookieName = "postern"
	// ProofLifetime is how long a proof of identity counts as fresh.
	ProofLifetime = 10 * time.Minute

	// CodeTime is how long a sign-in waits for its code.
	CodeTime = 10 * time.Minute

	touchEvery   = time.Minute
	touchPatient = time.Second // how long a page waits for the touch
)

// Current is the session of a request, and its user as they are now.
type Current struct {
	Session db.Session
	User    db.User
	hash    []byte
}

// Fresh says whether the user has proven who they are within the last ten minutes.
func (c *Current) Fresh(now db.Time) bool { return now < c.Session.ProvenAt.Add(ProofLifetime) }

// Manager loads and saves the sessions of requests.
type Manager struct {
	scs   *scs.SessionManager
	store *store
}

// NewManager returns a manager. Secure cookies are sent over HTTPS alone; only a portal on
// a loopback address does without.
func NewManager(d *db.DB, limits Limits, log *slog.Logger, secure bool) *Manager {
	s := &store{db: d, limits: limits, log: log}
	m := scs.New()
	m.Store = s
	m.Codec = codec{}
	// Idle time is judged by the store: scs would write at every request, and bring back
	// what was ended meanwhile.
	m.IdleTimeout = 0
	m.Cookie = scs.SessionCookie{Name: CookieName(cookieName, secure), Path: "/", HttpOnly: true, Secure: secure,
		SameSite: http.SameSiteLaxMode}
	return &Manager{scs: m, store: s}
}

// CookieName gives a cookie the prefix that binds it to this host and to HTTPS.
func CookieName(name string, secure bool) string {
	if secure {
		return "__Host-" + name
	}
	return name
}

// Load returns the request's context with its session, and the session itself, nil for a
// visitor who is not signed in.
func (m *Manager) Load(r *http.Request) (context.Context, *Current, error) {
	var plain string
	// Two cookies of the name mean that one was planted; nobody can say which.
	if cookies := r.CookiesNamed(m.scs.Cookie.Name); len(cookies) == 1 {
		plain = cookies[0].Value
	}
	into := &found{}
	ctx := context.WithValue(r.Context(), foundKey{}, into)
	loaded, err := m.scs.Load(ctx, plain)
	if err != nil && into.hash != nil {
		// The row was found but cannot be read: end it, and take the visitor as signed out.
		m.store.log.ErrorContext(ctx, "an unreadable session was ended", "session", into.Session.ID, "error", err)
		if err := m.store.DeleteCtx(ctx, plain); err != nil {
			return nil, nil, fmt.Errorf("end an unreadable session: %w", err)
		}
		*into = found{dead: true}
		loaded, err = m.scs.Load(ctx, "")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("load the session: %w", err)
	}
	if into.hash == nil {
		return loaded, nil, nil
	}
	m.touch(ctx, into.Session)
	return loaded, &into.Current, nil
}

// touch notes, once a minute at most, that the session is in use. Where that cannot be
// written the page is served all the same.
func (m *Manager) touch(ctx context.Context, s db.Session) {
	if m.store.db.Now() < s.LastSeenAt.Add(touchEvery) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, touchPatient)
	defer cancel()
	if err := m.store.db.Update(ctx, func(tx *db.Tx) error { return tx.TouchSession(ctx, s.ID) }); err != nil {
		m.store.log.WarnContext(ctx, "a session's last use was not noted", "error", err)
	}
}

// Save stores what the request has put into its session. It comes before the response is
// written, which an error replaces.
func (m *Manager) Save(ctx context.Context) error {
	if m.scs.Status(ctx) != scs.Modified || m.scs.Token(ctx) == "" {
		return nil
	}
	if _, _, err := m.scs.Commit(ctx); err != nil {
		return fmt.Errorf("save the session: %w", err)
	}
	return nil
}

// Put keeps a value in the session of a signed-in user.
func (m *Manager) Put(ctx context.Context, key, value string) { m.scs.Put(ctx, key, value) }

// Get returns a value of the session; empty when it is not there.
func (m *Manager) Get(ctx context.Context, key string) string { return m.scs.GetString(ctx, key) }

// WriteCookie hands the browser the token of its new or renewed session.
func (m *Manager) WriteCookie(ctx context.Context, w http.ResponseWriter, plain string) {
	m.scs.WriteSessionCookie(ctx, w, plain, time.Unix(1<<40, 0)) // any time: the cookie does not persist
	w.Header().Del("Cache-Control")                              // scs sets a weaker one than every page has
}

// ClearCookie takes the token from the browser.
func (m *Manager) ClearCookie(ctx context.Context, w http.ResponseWriter) {
	m.scs.WriteSessionCookie(ctx, w, "", time.Time{})
	w.Header().Del("Cache-Control")
}

// HadDeadCookie says whether the browser sent a token that no live session has.
func HadDeadCookie(ctx context.Context) bool {
	into, ok := ctx.Value(foundKey{}).(*found)
	return ok && into.dead
}
