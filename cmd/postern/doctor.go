package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"postern/db"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/mail"
	"postern/internal/seal"
)

type doctorCommand struct {
	JSON        bool `name:"json" help:"One JSON array."`
	AcceptClock bool `help:"Take the present time for right, whatever was seen before."`
}

// finding is the result of one check.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"` // ok, warning, error
	Detail string `json:"detail"`
}

const (
	fine    = "ok"
	warning = "warning"
	broken  = "error"
)

// doctor looks at one part after the other; what is broken does not keep it from the rest.
type doctor struct {
	cfg      config.Config
	findings []finding
}

func (d *doctor) note(check, result, detail string) {
	d.findings = append(d.findings, finding{check, result, detail})
}

// Run checks what can be checked from here and fails if anything is broken.
func (c doctorCommand) Run(ctx context.Context, p *program) error {
	d := &doctor{}
	cfg, err := p.flags.Read()
	if err != nil {
		d.note("configuration", broken, err.Error())
		return c.report(p, d)
	}
	d.cfg = cfg
	d.note("configuration", fine, "every value can be read")
	if err := prepareFolder(cfg, false); err != nil {
		d.note("files", broken, err.Error())
		return c.report(p, d)
	}
	d.files()
	d.database(ctx, c.AcceptClock)
	d.smtp(ctx)
	return c.report(p, d)
}

func (c doctorCommand) report(p *program, d *doctor) error {
	bad := 0
	for _, f := range d.findings {
		if f.Result == broken {
			bad++
		}
		if !c.JSON {
			fmt.Fprintf(p.stdout, "%-8s %-14s %s\n", f.Result, f.Check, f.Detail)
		}
	}
	if c.JSON {
		if err := p.printJSON(d.findings); err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d checks failed", bad, len(d.findings))
	}
	return nil
}

// address looks at the public URL and how visitors get there.
func (d *doctor) address(ctx context.Context, database *db.DB) {
	address := d.cfg.URL.String()
	switch {
	case strings.HasPrefix(address, "http://"):
		d.note("address", warning, address+" can be reached from this machine alone; set POSTERN_URL to the https address of the portal")
	case d.cfg.TLSCert == "" && len(d.cfg.TrustedProxies) == 0:
		d.note("address", warning, address+" is https, but there is neither a certificate nor a trusted proxy: set POSTERN_TLS_CERT or POSTERN_TRUSTED_PROXIES")
	default:
		d.note("address", fine, address)
	}
	forwarder, err := database.Reader().Fact(ctx, db.FactForwarder)
	switch {
	case errors.Is(err, db.ErrNotFound):
		d.note("proxy", fine, "nobody but trusted proxies has sent X-Forwarded-For")
	case err != nil:
		d.note("proxy", broken, err.Error())
	default:
		d.note("proxy", warning, forwarder+" sends X-Forwarded-For but is not in POSTERN_TRUSTED_PROXIES; if it is your proxy, all visitors look like one. "+
			"The proxy must pass the Host header on, too (nginx: proxy_set_header Host $host)")
	}
}

// files looks at who can read what.
func (d *doctor) files() {
	private := []string{d.cfg.Data, d.cfg.KeyFile}
	if d.cfg.Database == "" {
		private = append(private, databasePath(d.cfg), databasePath(d.cfg)+"-wal")
	}
	for _, path := range private {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(path, "-wal"):
		case err != nil:
			d.note("files", broken, err.Error())
		case info.Mode().Perm()&0o077 != 0:
			d.note("files", warning, fmt.Sprintf("%s can be read by others (mode %o): take that away with chmod go-rwx", path, info.Mode().Perm()))
		default:
			d.note("files", fine, fmt.Sprintf("%s is private", path))
		}
	}
}

// database looks at the database, the key and the clock.
func (d *doctor) database(ctx context.Context, acceptClock bool) {
	if d.cfg.Database == "" {
		if _, err := os.Stat(databasePath(d.cfg)); err != nil {
			d.note("database", broken, "there is no database yet: start the portal once with: postern serve")
			return
		}
	}
	database, err := db.Open(ctx, db.Config{URL: d.cfg.Database, Path: databasePath(d.cfg)})
	if err != nil {
		d.note("database", broken, err.Error())
		return
	}
	defer database.Close() //nolint:errcheck // nothing was written
	// Asked first: to ask for the version would make a table, and hide that all is lost.
	if empty, err := database.Empty(ctx); err != nil {
		d.note("database", broken, err.Error())
		return
	} else if empty {
		d.note("database", broken, "it is empty: put the database back, or start the portal for the first time with: postern serve")
		return
	}
	if current, err := database.Migrated(ctx); err != nil {
		d.note("database", broken, err.Error())
		return
	} else if !current {
		d.note("database", warning, "the database is older than this program: the next start brings it up to date")
		return
	}
	if err := useRecordedURL(ctx, &d.cfg, database); err != nil {
		d.note("address", broken, err.Error())
	}
	description, err := database.Check(ctx)
	if err != nil {
		d.note("database", broken, err.Error())
	} else {
		d.note("database", fine, description)
	}
	d.key(ctx, database)
	d.clock(ctx, database, acceptClock)
	d.address(ctx, database)
	d.mailQueue(ctx, database)
	d.trail(ctx, database)
}

func (d *doctor) key(ctx context.Context, database *db.DB) {
	key, err := seal.Load(d.cfg.KeyFile)
	if err != nil {
		d.note("key", broken, err.Error())
		return
	}
	expected, err := database.Reader().Fact(ctx, db.FactKeyCheck)
	switch {
	case err != nil:
		d.note("key", broken, err.Error())
	case expected != key.Check():
		d.note("key", broken, d.cfg.KeyFile+" is not the key this database was set up with")
	default:
		d.note("key", fine, "it is the one this database was set up with; keep a copy outside the backups of the database")
	}
}

func (d *doctor) clock(ctx context.Context, database *db.DB, accept bool) {
	if accept {
		err := database.AcceptClock(ctx)
		if err == nil {
			err = database.Update(ctx, func(tx *db.Tx) error {
				return audit.Record(ctx, tx, audit.Event{Action: audit.ClockAccepted, Actor: operator})
			})
		}
		if err != nil {
			d.note("clock", broken, err.Error())
			return
		}
	}
	off, err := database.ClockOff(ctx)
	switch {
	case err != nil:
		d.note("clock", broken, err.Error())
	case off != 0:
		d.note("clock", warning, fmt.Sprintf("off by %s: %s", off.Round(time.Second), clockText(off)))
	default:
		d.note("clock", fine, database.Now().Time().Format(time.RFC3339))
	}
}

func (d *doctor) mailQueue(ctx context.Context, database *db.DB) {
	waiting, err := database.Reader().CountMessages(ctx, db.MessageQueued)
	if err != nil {
		d.note("mail queue", broken, err.Error())
		return
	}
	failed, err := database.Reader().CountMessages(ctx, db.MessageFailed)
	if err != nil {
		d.note("mail queue", broken, err.Error())
		return
	}
	result := fine
	if failed > 0 {
		result = warning
	}
	d.note("mail queue", result, fmt.Sprintf("%d waiting, %d refused for good", waiting, failed))
}

// trail checks the chain over the audit trail.
func (d *doctor) trail(ctx context.Context, database *db.DB) {
	key, err := seal.Load(d.cfg.KeyFile)
	if err != nil {
		return // it is told already
	}
	report, kept, err := checkTrail(ctx, d.cfg, database, key)
	switch {
	case err != nil:
		d.note("audit trail", broken, err.Error())
	case kept.Empty() && report.Checked > 0:
		d.note("audit trail", warning, trailText(report)+"; there is no "+headPath(d.cfg)+", so a cut end would not show")
	default:
		d.note("audit trail", fine, trailText(report))
	}
}

// smtp goes through the dialogue with the mail server up to where a mail would follow.
func (d *doctor) smtp(ctx context.Context) {
	if d.cfg.SMTP.Host == "" {
		if d.cfg.LocalMail() {
			d.note("mail server", warning, "none is set: mail is kept on this machine and shown at /local-mail")
		} else {
			d.note("mail server", broken, "none is set, so mail waits in the queue: set POSTERN_SMTP")
		}
		return
	}
	sender := &mail.SMTP{Server: d.cfg.SMTP, From: d.cfg.MailFrom, Host: d.cfg.URL.Hostname()}
	steps, err := sender.Try(ctx)
	for _, step := range steps {
		d.note("mail server", fine, step)
	}
	if err != nil {
		d.note("mail server", broken, err.Error())
	} else {
		d.note("mail server", fine, "it takes mail from "+d.cfg.MailFrom.Address)
	}
}
