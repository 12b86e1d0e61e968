// Package handlers speaks HTTP and nothing else: it reads named fields, calls one use case,
// and answers with a page. It must never decide a rule, nor touch a table.
package handlers

import (
	"context"
	"log/slog"
	"net/http"
	netmail "net/mail"
	"net/netip"
	"net/url"
	"sync"

	"postern/db"
	"postern/internal/account"
	"postern/internal/directory"
	"postern/internal/mail"
	"postern/internal/session"
	"postern/internal/settings"
)

// Config is what the handlers are told by the operator.
type Config struct {
	URL            *url.URL // of the portal, without a path
	Secure         bool     // it is https
	TrustedProxies []netip.Prefix
	MailFrom       netmail.Address
}

// Server answers requests.
type Server struct {
	Config
	DB        *db.DB
	Account   *account.Service
	Directory *directory.Service
	Settings  *settings.Store
	Sessions  *session.Manager
	// Mail is the worker that sends what is in the outbox.
	Mail *mail.Worker
	// LocalMail is nil where mail is sent.
	LocalMail *mail.Local
	// Ready says why the program cannot serve, if so, and what else the operator should know.
	Ready func(context.Context) (details []string, err error)
	Log   *slog.Logger
	// Observe is told of every answer; it may be nil.
	Observe func(method, pattern string, status int, seconds float64)

	// OnForwarder is told, once, of a peer that sends X-Forwarded-For without being trusted;
	// it may be nil.
	OnForwarder func(netip.Addr)

	forwarderOnce sync.Once
	ownPagesOnce  sync.Once
	ownPages      *http.ServeMux // the pages that "next" may name
}

// Handler returns the whole portal.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range s.routes() {
		mux.Handle(route.pattern, s.serve(route))
	}
	crossOrigin := http.NewCrossOriginProtection()
	// A proxy that does not pass the Host on would make every form look foreign.
	if err := crossOrigin.AddTrustedOrigin(s.URL.String()); err != nil {
		panic("handlers: " + err.Error()) // the address has been checked
	}
	crossOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.refuse(w, r, errCrossSite) }))
	return s.observed(s.headers(s.health(s.ownHost(s.bounded(crossOrigin.Handler(s.replaceErrors(mux)))))))
}
