package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"postern/db"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/seal"
)

type auditCommands struct {
	Verify auditVerify `cmd:"" help:"Check that no event was changed, removed or put in; the first that was is named."`
	Export auditExport `cmd:"" help:"Print all events as JSON, one to a line."`
}

type auditVerify struct{}

// Run checks the chain. It seals nothing, so that what it finds is what the portal left.
func (auditVerify) Run(ctx context.Context, p *program) error {
	portal, err := p.open(ctx, opening{})
	if err != nil {
		return err
	}
	report, kept, err := checkTrail(ctx, portal.cfg, portal.db, portal.key)
	if err == nil {
		p.println("The audit trail holds: " + trailText(report) + ".")
		if kept.Empty() {
			p.println("There is no " + headPath(portal.cfg) + " with the newest link, so a cut end would not show.")
		} else {
			p.println(fmt.Sprintf("The newest link that was kept is the one at position %d.", kept.Position))
		}
	}
	return errors.Join(err, portal.close())
}

// checkTrail checks the audit trail against the newest link that was kept, which it returns,
// too.
func checkTrail(ctx context.Context, cfg config.Config, d *db.DB, key seal.Key) (audit.Report, audit.Head, error) {
	kept, err := keptHead(cfg) // first, for the trail may grow meanwhile
	if err != nil {
		return audit.Report{}, kept, err
	}
	report, err := trailOf(key).Verify(ctx, d.Reader(), kept)
	return report, kept, err
}

// trailText says how much of the trail there is.
func trailText(r audit.Report) string {
	text := fmt.Sprintf("%d sealed events hold, %d wait to be sealed", r.Checked, r.Waiting)
	if r.Trimmed > 0 {
		text += fmt.Sprintf(", %d were removed by the retention setting", r.Trimmed)
	}
	return text
}

type auditExport struct{}

// Run writes every event to standard output.
func (auditExport) Run(ctx context.Context, p *program) error {
	portal, err := p.open(ctx, opening{})
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(p.stdout, 64<<10)
	err = audit.RecordExport(ctx, portal.db, operator, db.User{}, map[string]string{"format": "ndjson"})
	if err == nil {
		err = audit.WriteLines(ctx, out, portal.db.Reader(), db.EventFilter{})
	}
	if err == nil {
		err = out.Flush()
	}
	return errors.Join(err, portal.close())
}
