package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"postern/db"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/seal"
)

const (
	sealEvery   = 500 * time.Millisecond
	lastSealing = 3 * time.Second // for what is left at the end
	headLogged  = time.Hour
	troubleTold = time.Minute // between two lines about the same trouble
)

// trail is the chain over the audit trail of this installation.
func (p *portal) trail() audit.Chain { return trailOf(p.key) }

func trailOf(key seal.Key) audit.Chain { return audit.NewChain(key.Derive("audit")) }

// headPath is the file with the newest link of the audit trail, by which an end that was cut
// off shows. A restored database has another end: then it must be removed.
func headPath(cfg config.Config) string { return filepath.Join(cfg.Data, "audit.head") }

// keptHead reads the newest link that was kept; the zero Head when none was.
func keptHead(cfg config.Config) (audit.Head, error) {
	text, err := os.ReadFile(headPath(cfg))
	if errors.Is(err, fs.ErrNotExist) {
		return audit.Head{}, nil
	}
	if err != nil {
		return audit.Head{}, fmt.Errorf("the newest link of the audit trail cannot be read: %w", err)
	}
	head, err := audit.ParseHead(string(text))
	if err != nil {
		return head, fmt.Errorf("%s cannot be read: %w", headPath(cfg), err)
	}
	return head, nil
}

// keepHead writes it, whole or not at all, also when the power goes.
func keepHead(cfg config.Config, head audit.Head) error {
	path := headPath(cfg)
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("keep the newest link of the audit trail: %w", err)
	}
	_, err = fmt.Fprintln(file, head)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("keep the newest link of the audit trail: %w", err)
	}
	folder, err := os.Open(cfg.Data)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// sealer seals the audit trail as it grows, and keeps its newest link outside the database.
type sealer struct {
	portal *portal
	chain  audit.Chain
	kept   audit.Head
	read   bool      // kept was read from its file
	logged time.Time // when the newest link was last written to the log
	told   time.Time // when trouble was last
	what   string    // that trouble
}

// startSealing seals in the background until stop is called, which returns when all that was
// written before is sealed.
func (p *portal) startSealing(ctx context.Context) (stop func()) {
	s := &sealer{portal: p, chain: p.trail()}
	lasting := context.WithoutCancel(ctx)
	running, cancel := context.WithCancel(lasting)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(sealEvery)
		defer ticker.Stop()
		for running.Err() == nil {
			s.report(running, s.round(running))
			select {
			case <-running.Done():
			case <-ticker.C:
			}
		}
		last, end := context.WithTimeout(lasting, lastSealing)
		defer end()
		s.report(last, s.round(last))
	}()
	return func() {
		cancel()
		<-done
	}
}

// round seals what is waiting and keeps the newest link.
func (s *sealer) round(ctx context.Context) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	if err := s.chain.Seal(ctx, s.portal.db); err != nil {
		return err
	}
	return s.keep(ctx)
}

// keep writes the newest link down. Where the trail does not hold the one kept before any
// more, that one stays: it is what shows it.
func (s *sealer) keep(ctx context.Context) (err error) {
	if !s.read {
		if s.kept, err = keptHead(s.portal.cfg); err != nil {
			return err
		}
		s.read = true
	}
	newest, err := s.chain.Newest(ctx, s.portal.db.Reader(), s.kept)
	if err != nil || newest.Empty() {
		return err
	}
	if newest.Position != s.kept.Position {
		if err := keepHead(s.portal.cfg, newest); err != nil {
			return err
		}
		s.kept = newest
	}
	if s.portal.db.Engine() == db.PostgreSQL && time.Since(s.logged) > headLogged {
		s.portal.log.InfoContext(ctx, "newest link of the audit trail", "position", newest.Position, "code", fmt.Sprintf("%x", newest.Code))
		s.logged = time.Now()
	}
	return nil
}

// report logs trouble, but not twice a second.
func (s *sealer) report(ctx context.Context, err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	if err.Error() == s.what && time.Since(s.told) < troubleTold {
		return
	}
	s.portal.log.ErrorContext(ctx, "sealing the audit trail", "error", err)
	s.what, s.told = err.Error(), time.Now()
}
