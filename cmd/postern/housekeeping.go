package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"postern/db"
)

const (
	clockEvery = 10 * time.Second
	purgeEvery = 10 * time.Minute
	probeEvery = time.Second
)

// housekeeping watches the clock and removes what nobody needs, until the context ends.
func (p *portal) housekeeping(ctx context.Context, ready *readiness) {
	ticker := time.NewTicker(clockEvery)
	defer ticker.Stop()
	var purged time.Time
	for {
		off, err := p.tidy(ctx, time.Since(purged) > purgeEvery)
		if err != nil && ctx.Err() == nil {
			p.log.ErrorContext(ctx, "housekeeping", "error", err)
		}
		if off == 0 && err == nil && time.Since(purged) > purgeEvery {
			purged = time.Now()
		}
		ready.setClock(off, p)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tidy does one round. Nothing is purged while the clock is off: it would be for good.
func (p *portal) tidy(ctx context.Context, purge bool) (off time.Duration, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	if purge {
		if err := p.directory.TidyImport(ctx); err != nil {
			return 0, err
		}
	}
	off, err = p.db.CheckClock(ctx)
	if err != nil || off != 0 || !purge {
		return off, err
	}
	current, err := p.settings.Current(ctx)
	if err != nil {
		return off, err
	}
	return off, errors.Join(p.db.Purge(ctx, time.Duration(current.RetentionMailDays)*24*time.Hour), p.trimTrail(ctx, current.RetentionAuditDays))
}

// trimTrail removes events that are older than so many days; 0 keeps all. It goes by whole
// days, so that what it leaves behind to tell of it is one event a day.
func (p *portal) trimTrail(ctx context.Context, days int) error {
	if days == 0 {
		return nil
	}
	return p.trail().Trim(ctx, p.db, db.TimeOf(p.db.Now().Time().Truncate(24*time.Hour).AddDate(0, 0, -days)))
}

// readiness answers whether the program can serve.
type readiness struct {
	portal *portal

	mu       sync.Mutex
	draining bool
	clockOff time.Duration
	probed   time.Time
	err      error
}

var errDraining = errors.New("the program is stopping")

// drain makes it not ready from now on.
func (r *readiness) drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining = true
}

// setClock notes how far the clock is off, and logs when that changes from or to nothing.
func (r *readiness) setClock(off time.Duration, p *portal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if was := r.clockOff; (was == 0) != (off == 0) {
		if off != 0 {
			p.log.Error("the clock is off: "+clockText(off), "off", off.String())
		} else {
			p.log.Info("the clock is right again")
		}
	}
	r.clockOff = off
}

// clockText says what is wrong with the clock and what to do.
func clockText(off time.Duration) string {
	if off < 0 {
		return "it is behind the newest time this portal has seen; set it right, or accept it with: postern doctor --accept-clock"
	}
	return "it is ahead of the newest time this portal has seen, so nothing is purged; after a long stop this passes by itself, else set it " +
		"right, or accept it with: postern doctor --accept-clock"
}

// check probes the database, at most once a second.
func (r *readiness) check(ctx context.Context) (details []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clockOff != 0 {
		details = append(details, "clock: off by "+r.clockOff.Round(time.Second).String())
	}
	if r.draining {
		return details, errDraining
	}
	if time.Since(r.probed) >= probeEvery {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		r.err, r.probed = r.portal.probe(ctx), time.Now()
	}
	return details, r.err
}

// probe writes and reads, and looks whether the key is still there.
func (p *portal) probe(ctx context.Context) error {
	if _, err := os.Stat(p.cfg.KeyFile); err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	now := fmt.Sprint(p.db.Now())
	if err := p.db.Update(ctx, func(tx *db.Tx) error { return tx.SetFact(ctx, db.FactProbe, now) }); err != nil {
		return fmt.Errorf("write to the database: %w", err)
	}
	if _, err := p.db.Reader().Fact(ctx, db.FactProbe); err != nil {
		return fmt.Errorf("read from the database: %w", err)
	}
	return nil
}
