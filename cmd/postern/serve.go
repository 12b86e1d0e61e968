package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"postern/db"
	"postern/handlers"
	"postern/internal/account"
	"postern/internal/mail"
	"postern/internal/session"
)

type serveCommand struct{}

const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 32 << 10
	shutdownTimeout   = 25 * time.Second
)

// Run serves the portal until it is told to stop.
func (serveCommand) Run(ctx context.Context, p *program) error {
	portal, err := p.open(ctx, opening{create: true, lock: true, serve: true})
	if err != nil {
		return err
	}
	return errors.Join(portal.serve(ctx, p), portal.close())
}

func (p *portal) serve(ctx context.Context, out *program) error {
	if err := p.remember(ctx); err != nil {
		return err
	}
	sender, local := p.sender()
	worker := mail.NewWorker(p.db, p.settings, sender, p.cfg.URL.String(), p.log)
	p.account.MailQueued, p.directory.MailQueued = worker.Wake, worker.Wake
	ready := &readiness{portal: p}
	measured := newMetrics(p.db)
	server := &handlers.Server{
		Config: handlers.Config{URL: p.cfg.URL, Secure: p.cfg.Secure(), TrustedProxies: p.cfg.TrustedProxies, MailFrom: p.cfg.MailFrom},
		DB:     p.db, Account: p.account, Directory: p.directory, Settings: p.settings, Mail: worker, LocalMail: local, Log: p.log, Ready: ready.check, Observe: measured.observe,
		Sessions:    session.NewManager(p.db, p.settings.SessionLimits, p.log, p.cfg.Secure()),
		OnForwarder: func(peer netip.Addr) { p.noteForwarder(peer) },
	}
	listener, err := net.Listen("tcp", p.cfg.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w; set POSTERN_LISTEN to a free address", p.cfg.Listen, err)
	}
	metricsListener, err := measured.listen(p.cfg.MetricsListen)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	certificate, err := p.certificate()
	if err == nil {
		err = p.greet(ctx, out, listener.Addr())
	}
	if err != nil {
		return errors.Join(err, listener.Close())
	}

	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	var tasks sync.WaitGroup
	tasks.Go(func() { worker.Run(background) })
	tasks.Go(func() { p.housekeeping(background, ready) })
	measured.serve(background, metricsListener, &tasks)
	stopSealing := p.startSealing(ctx)
	defer stopSealing() // after all that there is to seal

	web := newServer(server.Handler(), p.log)
	failed := make(chan error, 1)
	go func() { failed <- serveOn(web, listener, certificate) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ready.drain()
	p.log.Info("stopping", "drain", p.cfg.Drain.String())
	select {
	case <-time.After(p.cfg.Drain):
	case err := <-failed:
		return err
	}
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err = web.Shutdown(shutdown); err != nil {
		err = errors.Join(err, web.Close()) // a download that takes too long is cut
	}
	stopBackground()
	if !finished(shutdown, &tasks) {
		p.log.Warn("a mail was still being sent: it goes out again at the next start")
	}
	return err
}

// finished waits for what runs in the background, as long as the context lasts.
func finished(ctx context.Context, tasks *sync.WaitGroup) bool {
	done := make(chan struct{})
	go func() {
		tasks.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelInfo)}
}

// certificate reads the operator's certificate; nil when there is none.
func (p *portal) certificate() (*certificateFiles, error) {
	if p.cfg.TLSCert == "" {
		return nil, nil //nolint:nilnil // plain HTTP
	}
	files := &certificateFiles{cert: p.cfg.TLSCert, key: p.cfg.TLSKey, log: p.log}
	if _, err := files.get(nil); err != nil {
		return nil, fmt.Errorf("the certificate cannot be used: %w; check POSTERN_TLS_CERT and POSTERN_TLS_KEY", err)
	}
	return files, nil
}

// serveOn serves plain HTTP, or HTTPS with a certificate.
func serveOn(web *http.Server, listener net.Listener, certificate *certificateFiles) error {
	var err error
	if certificate == nil {
		err = web.Serve(listener)
	} else {
		web.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.get}
		err = web.ServeTLS(listener, "", "")
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// remember keeps the address for commands, and lets go of what a killed process held.
func (p *portal) remember(ctx context.Context) error {
	return p.db.Update(ctx, func(tx *db.Tx) error {
		if err := tx.SetFact(ctx, db.FactURL, p.cfg.URL.String()); err != nil {
			return err
		}
		if p.db.Engine() != db.SQLite {
			return nil // other nodes may be sending
		}
		return tx.ReleaseMessages(ctx)
	})
}

// sender is how mail leaves: to the server, or into a folder of this machine. Without
// either it waits.
func (p *portal) sender() (mail.Sender, *mail.Local) {
	if p.cfg.LocalMail() {
		local := &mail.Local{Folder: filepath.Join(p.cfg.Data, "local-mail"), From: p.cfg.MailFrom}
		return local, local
	}
	if p.cfg.SMTP.Host == "" {
		return nil, nil
	}
	return &mail.SMTP{Server: p.cfg.SMTP, From: p.cfg.MailFrom, Host: p.cfg.URL.Hostname()}, nil
}

// greet tells the operator where the portal is, and what is missing.
func (p *portal) greet(ctx context.Context, out *program, address net.Addr) error {
	out.println("Postern listens on " + address.String() + ". Its address is " + p.cfg.URL.String())
	switch {
	case p.cfg.LocalMail():
		out.println("No mail server is set, so mail is kept on this machine: " + p.cfg.URL.String() + "/local-mail")
	case p.cfg.SMTP.Host == "":
		out.println("No mail server is set, so mail waits in the queue: set POSTERN_SMTP")
	}
	if p.cfg.Secure() && p.cfg.TLSCert == "" && len(p.cfg.TrustedProxies) == 0 {
		out.println("The address is https, but there is neither a certificate nor a trusted proxy: set POSTERN_TLS_CERT or POSTERN_TRUSTED_PROXIES")
	}
	if port := p.cfg.URL.Port(); p.cfg.URL.Scheme == "http" && port != "" {
		if _, listens, err := net.SplitHostPort(address.String()); err == nil && listens != port {
			out.println("It listens on another port than its address says: set POSTERN_URL to what visitors type")
		}
	}
	plain, err := p.account.OfferSetup(ctx)
	if errors.Is(err, account.ErrSwitchedOff) {
		return nil
	} else if err != nil {
		return err
	}
	out.println("Nobody owns this portal yet. Open this link once to set it up:")
	out.println(p.cfg.URL.String() + "/setup/" + plain)
	return nil
}

// noteForwarder keeps, for doctor, that somebody looks like a proxy who is not trusted.
func (p *portal) noteForwarder(peer netip.Addr) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := p.db.Update(ctx, func(tx *db.Tx) error { return tx.SetFact(ctx, db.FactForwarder, peer.String()) }); err != nil {
		p.log.Warn("an untrusted proxy was not noted", "error", err)
	}
}
