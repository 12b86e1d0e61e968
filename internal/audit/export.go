package audit

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"postern/db"
)

// exactTime is RFC 3339 with milliseconds, so that texts sort as the times do.
const exactTime = "2006-01-02T15:04:05.000Z07:00"

// exportBatch is how many events an export reads at a time.
const exportBatch = 1000

// exported is an event as programs read it.
type exported struct {
	ID             int64             `json:"id"`
	At             string            `json:"at"`
	Action         string            `json:"action"`
	Outcome        string            `json:"outcome"`
	ActorKind      string            `json:"actor_kind"`
	ActorID        int64             `json:"actor_id,omitempty"`
	UserID         int64             `json:"user_id,omitempty"`
	OrganizationID int64             `json:"organization_id,omitempty"`
	Detail         map[string]string `json:"detail"`
	Address        string            `json:"address"`
	UserAgent      string            `json:"user_agent"`
	RequestID      string            `json:"request_id"`
}

func export(e db.StoredEvent) exported {
	return exported{ID: e.ID, At: e.At.Time().Format(exactTime), Action: e.Action, Outcome: e.Outcome, ActorKind: e.ActorKind,
		ActorID: e.ActorID, UserID: e.UserID, OrganizationID: e.OrganizationID, Detail: e.Details(), Address: e.Address,
		UserAgent: e.UserAgent, RequestID: e.RequestID}
}

// each hands every event that the filter leaves to a function, in the order in which they
// happened, without holding them all.
func each(ctx context.Context, r db.Reader, f db.EventFilter, use func(db.StoredEvent) error) error {
	for after := int64(0); ; {
		events, err := r.EventsAfter(ctx, f, after, exportBatch)
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := use(e); err != nil {
				return err
			}
			after = e.ID
		}
		if len(events) < exportBatch {
			return nil
		}
	}
}

// RecordExport notes, before the first event leaves, that somebody takes events out of the
// portal, and which. user is who that is; the zero User for the operator.
func RecordExport(ctx context.Context, d *db.DB, actor db.Actor, user db.User, which map[string]string) error {
	return d.Update(ctx, func(tx *db.Tx) error {
		return Record(ctx, tx, Event{Action: AuditExported, Actor: actor, User: user, Detail: which})
	})
}

// WriteLines writes events as JSON, one to a line.
func WriteLines(ctx context.Context, w io.Writer, r db.Reader, f db.EventFilter) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return each(ctx, r, f, func(e db.StoredEvent) error { return encoder.Encode(export(e)) })
}

// WriteCSV writes events as a table. Cells that a spreadsheet would take for a formula are
// quoted.
func WriteCSV(ctx context.Context, w io.Writer, r db.Reader, f db.EventFilter) error {
	table := csv.NewWriter(w)
	table.UseCRLF = true // RFC 4180
	if err := table.Write([]string{"id", "at", "action", "outcome", "actor_kind", "actor_id", "user_id", "organization_id", "detail",
		"address", "user_agent", "request_id"}); err != nil {
		return err
	}
	err := each(ctx, r, f, func(e db.StoredEvent) error {
		x := export(e)
		row := []string{number(x.ID), x.At, x.Action, x.Outcome, x.ActorKind, number(x.ActorID), number(x.UserID), number(x.OrganizationID),
			e.Detail, x.Address, x.UserAgent, x.RequestID}
		for i := range row {
			row[i] = harmless(row[i])
		}
		return table.Write(row)
	})
	table.Flush()
	if err == nil {
		err = table.Error()
	}
	return err
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// harmless puts an apostrophe before what a spreadsheet would calculate; some look past
// blanks, and some take the wide signs of East Asian keyboards for the plain ones.
func harmless(cell string) string {
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(cell, " "))
	if strings.ContainsRune("=+-@\t\r\n\x00＝＋－＠", first) {
		return "'" + cell
	}
	return cell
}
