package db

import "context"

// Event is a fact in the audit trail.
type Event struct {
	Action         string // past tense: password_reset.requested
	Outcome        string // done, refused
	ActorKind      string // user, operator, system, visitor
	ActorID        int64  // 0 for none
	UserID         int64  // whom it concerns; 0 for none
	OrganizationID int64  // the one it concerned then; 0 for none
	Detail         string // JSON
	Address        string
	UserAgent      string
	RequestID      string
}

// AddEvent appends to the audit trail.
func (tx *Tx) AddEvent(ctx context.Context, e Event) error {
	_, err := tx.exec(ctx, `INSERT INTO audit_event (at, action, outcome, actor_kind, actor_id, user_id, organization_id,
			detail, address, user_agent, request_id)
		VALUES ($1, $2, $3, $4, NULLIF(CAST($5 AS BIGINT), 0), NULLIF(CAST($6 AS BIGINT), 0), NULLIF(CAST($7 AS BIGINT), 0),
			$8, $9, $10, $11)`,
		tx.Now, e.Action, e.Outcome, e.ActorKind, e.ActorID, e.UserID, e.OrganizationID, e.Detail, e.Address, e.UserAgent, e.RequestID)
	return err
}
