package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"postern/db"
	"postern/internal/directory"
)

type importCommand struct {
	File   string `arg:"" placeholder:"FILE.csv" help:"UTF-8; its first line is email,name and any of username,organization,role,password_hash."`
	DryRun bool   `help:"Only check the file and say what would be made."`
	Invite bool   `help:"Mail an invitation to everybody without a password."`
}

func (c importCommand) Run(ctx context.Context, p *program) error {
	file, err := os.Open(c.File)
	if err != nil {
		return fmt.Errorf("the file cannot be read: %w", err)
	}
	defer file.Close()
	portal, err := p.open(ctx, opening{})
	if err != nil {
		return err
	}
	return errors.Join(c.run(ctx, p, portal, file), portal.close())
}

func (c importCommand) run(ctx context.Context, p *program, portal *portal, file io.Reader) error {
	probe, err := startProbe(ctx, portal)
	if err != nil {
		return err
	}
	began := time.Now()
	report, err := c.importFile(ctx, p, portal, file)
	took := time.Since(began)
	longest, writes, probed := probe.stop()
	if err = errors.Join(err, probed); err != nil {
		return err
	}
	if err := p.printBadRows(report); err != nil {
		return err
	}
	made := "Made"
	if c.DryRun {
		made = "All rows are right. Nothing was changed. Would make"
	}
	p.println(made, counted(report.Users, "user"), "and", counted(report.Organizations, "organization")+";", report.Passwords, "of the users with a password,",
		report.Invitations, "with an invitation.")
	if report.Pending {
		p.println("Some events of the audit trail, and invitations, are still to be written; a running portal, or the next import, does it.")
	}
	p.println(fmt.Sprintf("It took %.1f s. Longest wait of another writer: %d ms (of %d that wrote a row meanwhile, over a connection of their own).",
		took.Seconds(), longest.Milliseconds(), writes))
	return nil
}

func (c importCommand) importFile(ctx context.Context, p *program, portal *portal, file io.Reader) (report directory.ImportReport, err error) {
	importing, err := portal.directory.BeginImport(ctx, operator, directory.ImportOptions{Progress: p.progress()})
	if errors.Is(err, db.ErrImporting) {
		return report, errors.New("another import is under way: try again when it has ended")
	} else if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, importing.Close(ctx)) }()
	if err := importing.Read(ctx, file); err != nil {
		return report, err
	}
	return importing.Finish(ctx, c.Invite, c.DryRun)
}

// progress prints how far an import is, at most once a second.
func (p *program) progress() func(directory.ImportStep, int, int) {
	printed := time.Now()
	return func(step directory.ImportStep, done, total int) {
		if time.Since(printed) < time.Second {
			return
		}
		printed = time.Now()
		of := ""
		if total > 0 {
			of = fmt.Sprintf(" of %d", total)
		}
		fmt.Fprintf(p.stderr, "%d%s rows %s\n", done, of, step)
	}
}

// printBadRows names every bad row by its line, and returns an error if there is one.
func (p *program) printBadRows(report directory.ImportReport) error {
	if report.BadCount == 0 {
		return nil
	}
	for _, row := range report.Bad {
		p.println(badRowLine(row))
	}
	if more := report.BadCount - len(report.Bad); more > 0 {
		p.println("… and", counted(more, "more bad row"))
	}
	return fmt.Errorf("%s cannot be imported, so nothing was", counted(report.BadCount, "row"))
}

func badRowLine(row directory.BadRow) string {
	return fmt.Sprintf("line %d: %s", row.Line, strings.Join(problemLines(row.Fields), " "))
}

func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n) + " " + one + "s"
}

// probe is another writer, as a serving portal beside the import is one: it has a
// connection of its own, writes one small row again and again, and notes how long the
// slowest of these writes took, from asking for the database to having it on disk.
type probe struct {
	db      *db.DB
	end     context.CancelFunc
	ended   sync.WaitGroup
	longest time.Duration
	writes  int
	err     error
}

const writeEvery = 25 * time.Millisecond

func startProbe(ctx context.Context, portal *portal) (*probe, error) {
	d, err := db.Open(ctx, db.Config{URL: portal.cfg.Database, Path: databasePath(portal.cfg)})
	if err != nil {
		return nil, openError(portal.cfg, err)
	}
	ctx, end := context.WithCancel(ctx)
	w := &probe{db: d, end: end}
	w.ended.Go(func() { w.run(ctx) })
	return w, nil
}

func (w *probe) run(ctx context.Context) {
	for ticker := time.NewTicker(writeEvery); ; {
		began := time.Now()
		err := w.db.Update(ctx, func(tx *db.Tx) error { return tx.SetFact(ctx, db.FactProbe, fmt.Sprint(tx.Now)) })
		if ctx.Err() != nil {
			ticker.Stop()
			return
		}
		w.longest = max(w.longest, time.Since(began))
		w.writes++
		if err != nil && w.err == nil {
			w.err = fmt.Errorf("another writer could not write meanwhile: %w", err)
		}
		select {
		case <-ctx.Done():
			ticker.Stop()
			return
		case <-ticker.C:
		}
	}
}

// stop ends the writer and says how long its slowest write took, of how many.
func (w *probe) stop() (longest time.Duration, writes int, err error) {
	w.end()
	w.ended.Wait()
	return w.longest, w.writes, errors.Join(w.err, w.db.Close())
}
