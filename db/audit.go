package db

import "context"

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
