package db

import (
	"context"
	"encoding/json"
)

// ActorKind says what kind of actor did something.
type ActorKind string

const (
	ActorUser     ActorKind = "user"     // signed in
	ActorVisitor  ActorKind = "visitor"  // not signed in
	ActorOperator ActorKind = "operator" // at the command line
	ActorSystem   ActorKind = "system"   // the portal by itself
)

// Actor is who does something, and from where. Every use case is handed one.
type Actor struct {
	Kind      ActorKind
	UserID    int64  // ActorUser only
	SessionID int64  // ActorUser only
	Address   string // of the visitor's network connection
	UserAgent string // what the browser calls itself, shortened
	RequestID string // the same as in the log
}

// Event is a fact in the audit trail.
type Event struct {
	Action         string // past tense: password_reset.requested
	Outcome        string // done, refused
	Actor          Actor
	UserID         int64  // whom it concerns; 0 for none
	OrganizationID int64  // the one it concerned then; 0 for none
	Detail         string // JSON
}

// AddEvent appends to the audit trail.
func (tx *Tx) AddEvent(ctx context.Context, e Event) error {
	_, err := tx.exec(ctx, `INSERT INTO audit_event (at, action, outcome, actor_kind, actor_id, user_id, organization_id,
			detail, address, user_agent, request_id)
		VALUES ($1, $2, $3, $4, NULLIF(CAST($5 AS BIGINT), 0), NULLIF(CAST($6 AS BIGINT), 0), NULLIF(CAST($7 AS BIGINT), 0),
			$8, $9, $10, $11)`,
		tx.Now, e.Action, e.Outcome, e.Actor.Kind, e.Actor.UserID, e.UserID, e.OrganizationID, e.Detail,
		e.Actor.Address, e.Actor.UserAgent, e.Actor.RequestID)
	return err
}

// StoredEvent is an event as it stands in the trail.
type StoredEvent struct {
	ID             int64
	At             Time
	Action         string
	Outcome        string
	ActorKind      string
	ActorID        int64
	UserID         int64
	OrganizationID int64
	Detail         string // JSON
	Address        string
	UserAgent      string
	RequestID      string
}

// Details are the particulars of an event by name.
func (e StoredEvent) Details() map[string]string {
	details := map[string]string{}
	if json.Unmarshal([]byte(e.Detail), &details) != nil {
		return nil // what cannot be read is shown as nothing
	}
	return details
}

const eventColumns = `id, at, action, outcome, actor_kind, COALESCE(actor_id, 0), COALESCE(user_id, 0),
	COALESCE(organization_id, 0), detail, address, user_agent, request_id`

func scanEvent(row rowScanner) (e StoredEvent, err error) {
	return e, row.Scan(&e.ID, &e.At, &e.Action, &e.Outcome, &e.ActorKind, &e.ActorID, &e.UserID, &e.OrganizationID, &e.Detail,
		&e.Address, &e.UserAgent, &e.RequestID)
}

// UserEvents returns the latest events about a user that are older than the one given (0
// for all).
func (r Reader) UserEvents(ctx context.Context, userID, olderThan int64, limit int) ([]StoredEvent, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+eventColumns+` FROM audit_event
		WHERE user_id = $1 AND (CAST($2 AS BIGINT) = 0 OR id < $2) ORDER BY id DESC LIMIT $3`, userID, olderThan, limit)
	return collect(rows, err, scanEvent)
}

// EventFilter narrows the audit trail; empty fields do not.
type EventFilter struct {
	Over      int64     // the organization whose events are seen at all; 0 for everybody's, -1 for nobody's
	Actor     int64     // the user who did it; -1 for nobody
	ActorKind ActorKind // what kind of actor did it
	Action    string
	Since     Time
	Until     Time // exclusive
}

const eventFilter = ` AND (CAST($1 AS BIGINT) = 0 OR organization_id = $1)
	AND (CAST($2 AS BIGINT) = 0 OR actor_id = $2)
	AND (CAST($3 AS TEXT) = '' OR actor_kind = $3)
	AND (CAST($4 AS TEXT) = '' OR action = $4)
	AND (CAST($5 AS BIGINT) = 0 OR at >= $5)
	AND (CAST($6 AS BIGINT) = 0 OR at < $6) `

// where says first what leaves the fewest events: a condition that may not apply, as those
// of eventFilter, no engine looks up in an index.
func (f EventFilter) where() string {
	switch {
	case f.Actor != 0:
		return ` WHERE actor_id = $2` + eventFilter
	case f.Over != 0:
		return ` WHERE organization_id = $1` + eventFilter
	case f.Action != "":
		return ` WHERE action = $4` + eventFilter
	}
	return ` WHERE TRUE` + eventFilter
}

func (f EventFilter) parameters() []any {
	return []any{f.Over, f.Actor, f.ActorKind, f.Action, f.Since, f.Until}
}

// seenColumns are eventColumns as those over one organization see them: where their own
// people are is theirs to know, where the vendor's staff sit is not.
const seenColumns = `id, at, action, outcome, actor_kind, COALESCE(actor_id, 0), COALESCE(user_id, 0), COALESCE(organization_id, 0), detail,
	CASE WHEN ` + actorSeen + ` THEN address ELSE '' END, CASE WHEN ` + actorSeen + ` THEN user_agent ELSE '' END, request_id`

const actorSeen = `CAST($1 AS BIGINT) = 0 OR actor_id IS NULL
	OR EXISTS (SELECT 1 FROM user_account u WHERE u.id = actor_id AND u.organization_id = $1)`

// Events returns the latest events that a filter leaves, older than the one given (0 for
// all).
func (r Reader) Events(ctx context.Context, f EventFilter, olderThan int64, limit int) ([]StoredEvent, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+seenColumns+` FROM audit_event`+f.where()+`
		AND (CAST($7 AS BIGINT) = 0 OR id < $7) ORDER BY id DESC LIMIT $8`, append(f.parameters(), olderThan, limit)...)
	return collect(rows, err, scanEvent)
}

// EventsAfter returns events that a filter leaves in the order in which they happened,
// after the one given; for exports, a batch at a time.
func (r Reader) EventsAfter(ctx context.Context, f EventFilter, after int64, limit int) ([]StoredEvent, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+seenColumns+` FROM audit_event`+f.where()+`
		AND id > $7 ORDER BY id LIMIT $8`, append(f.parameters(), after, limit)...)
	return collect(rows, err, scanEvent)
}

// SealedEvent is an event with its place in the chain.
type SealedEvent struct {
	StoredEvent
	Position int64
	Code     []byte
}

func scanSealed(row rowScanner) (e SealedEvent, err error) {
	return e, notFound(row.Scan(&e.ID, &e.At, &e.Action, &e.Outcome, &e.ActorKind, &e.ActorID, &e.UserID, &e.OrganizationID, &e.Detail,
		&e.Address, &e.UserAgent, &e.RequestID, &e.Position, &e.Code))
}

// LockChain makes every other transaction that calls it wait for the end of this one.
func (tx *Tx) LockChain(ctx context.Context) error {
	if _, err := tx.ClaimFact(ctx, factAuditChain, "1"); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `UPDATE instance SET value = value WHERE name = $1`, factAuditChain)
	return err
}

const factAuditChain = "audit_chain"

// LastSealed returns the newest link of the chain, or ErrNotFound.
func (r Reader) LastSealed(ctx context.Context) (SealedEvent, error) {
	return scanSealed(r.q.QueryRowContext(ctx, `SELECT `+eventColumns+`, position, code FROM audit_event
		WHERE position IS NOT NULL ORDER BY position DESC LIMIT 1`))
}

// UnsealedEvents returns events that have no place in the chain yet, in their order.
func (r Reader) UnsealedEvents(ctx context.Context, limit int) ([]StoredEvent, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+eventColumns+` FROM audit_event WHERE position IS NULL ORDER BY id LIMIT $1`, limit)
	return collect(rows, err, scanEvent)
}

// CountUnsealed counts the events that have no place in the chain yet.
func (r Reader) CountUnsealed(ctx context.Context) (n int64, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT count(*) FROM audit_event WHERE position IS NULL`).Scan(&n)
	return n, err
}

// SealEvent gives an event its place in the chain; one that has a place is ErrNotFound.
func (tx *Tx) SealEvent(ctx context.Context, id, position int64, code []byte) error {
	return tx.one(ctx, `UPDATE audit_event SET position = $1, code = $2 WHERE id = $3 AND position IS NULL`, position, code, id)
}

// SealedEvents returns links of the chain after a position, in their order.
func (r Reader) SealedEvents(ctx context.Context, after int64, limit int) ([]SealedEvent, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+eventColumns+`, position, code FROM audit_event
		WHERE position > $1 ORDER BY position LIMIT $2`, after, limit)
	return collect(rows, err, scanSealed)
}

// FirstKept returns the position of the first link at or after a moment; ErrNotFound when
// all are older.
func (r Reader) FirstKept(ctx context.Context, since Time) (position int64, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT position FROM audit_event WHERE position IS NOT NULL AND at >= $1 ORDER BY position LIMIT 1`, since).
		Scan(&position)
	return position, notFound(err)
}

// FirstSealed returns the position of the oldest link, or ErrNotFound.
func (r Reader) FirstSealed(ctx context.Context) (position int64, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT position FROM audit_event WHERE position IS NOT NULL ORDER BY position LIMIT 1`).Scan(&position)
	return position, notFound(err)
}

// CodeAt returns the code of the link at a position, or ErrNotFound.
func (r Reader) CodeAt(ctx context.Context, position int64) (code []byte, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT code FROM audit_event WHERE position = $1`, position).Scan(&code)
	return code, notFound(err)
}

// TrimEvents removes the links up to a position. The caller leaves an event that tells of
// it.
func (tx *Tx) TrimEvents(ctx context.Context, position int64) (int64, error) {
	return tx.exec(ctx, `DELETE FROM audit_event WHERE position <= $1`, position)
}
