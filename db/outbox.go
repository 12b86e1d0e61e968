package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// MessageKind says which mail a message becomes.
type MessageKind string

const (
	MessageRecovery            MessageKind = "recovery"         // what a visitor asked for: nobody knows yet whose it is
	MessageReset               MessageKind = "reset"            // a reset link that staff or the operator send
	MessageInvitation          MessageKind = "invitation"       // a link to set the first password
	MessageVerifyEmail         MessageKind = "verify_email"     // to a new address, to confirm it
	MessageEmailAsked          MessageKind = "email_asked"      // to the old address: a change was asked for
	MessageEmailChanged        MessageKind = "email_changed"    // to the old address: it was made
	MessagePasswordChanged     MessageKind = "password_changed" // also after a reset
	MessagePasswordStopped     MessageKind = "password_stopped" // too many wrong passwords
	MessageUsernameChanged     MessageKind = "username_changed" //
	MessageUnlocked            MessageKind = "unlocked"         //
	MessageNewSignIn           MessageKind = "new_sign_in"      // from a browser that was not known
	MessageFactorChanged       MessageKind = "factor_changed"   // authenticator enrolled, replaced, removed or reset; new codes
	MessageRecoveryUsed        MessageKind = "recovery_used"    // a recovery code stood in for the authenticator
	MessageWrongCodes          MessageKind = "wrong_codes"      // the password was right, the codes were not
	MessageNotMe               MessageKind = "not_me"           // to the user: what was shut, and whom to turn to
	MessageNotMeToStaff        MessageKind = "not_me_to_staff"  // to an administrator
	MessageActivated           MessageKind = "activated"        //
	MessageDeactivated         MessageKind = "deactivated"      //
	MessageRoleChanged         MessageKind = "role_changed"     //
	MessageSignedOut           MessageKind = "signed_out"       // everywhere, by staff
	MessageLinksRevoked        MessageKind = "links_revoked"    // by staff
	MessageInvitationWithdrawn MessageKind = "invitation_withdrawn"
	MessageDeleted             MessageKind = "deleted"        // to the address that was freed
	MessageTest                MessageKind = "test"           // staff try the mail server
	MessageOperatorReset       MessageKind = "operator_reset" // the operator printed a reset link
)

// MessageState is the fate of a message.
type MessageState string

const (
	MessageQueued  MessageState = "queued"
	MessageSending MessageState = "sending"
	MessageSent    MessageState = "sent"
	MessageFailed  MessageState = "failed"  // refused for good
	MessageDropped MessageState = "dropped" // on purpose: Answer says why
)

// MessageData is what a message needs to become a mail, apart from its user.
type MessageData struct {
	// What a visitor asked for: an address (and username), or a dead link's token, hashed.
	Email     string `json:"email,omitempty"`
	Username  string `json:"username,omitempty"`
	TokenHash []byte `json:"token_hash,omitempty"`

	NewEmail string `json:"new_email,omitempty"`
	// AboutUserID is whom a mail to somebody else is about.
	AboutUserID int64 `json:"about_user_id,omitempty"`
	// By says whose act it was: user, administrator, operator, reset.
	By string `json:"by,omitempty"`
	// What says which of several things has happened.
	What string `json:"what,omitempty"`

	// Where the request came from.
	Address   string `json:"address,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
	RequestID string `json:"request_id,omitempty"`

	// RetriedAt is when staff had it sent again. CreatedAt still says when it was asked for.
	RetriedAt Time `json:"retried_at,omitempty"`
}

// Message is a mail that waits in the outbox, or went through it.
type Message struct {
	ID         int64
	Kind       MessageKind
	UserID     int64  // 0 while it is not known
	Recipient  string // a bare address; empty while it is not known
	Data       MessageData
	State      MessageState
	Attempts   int64
	DueAt      Time // while sending: when the lease ends
	CreatedAt  Time
	FinishedAt Time
	Answer     string // the mail server's last word, or why it was dropped
	Unreadable bool   // Data could not be read
}

const messageColumns = `id, kind, COALESCE(user_id, 0), recipient, data, state, attempts, due_at, created_at, finished_at, answer`

func scanMessage(row rowScanner) (m Message, err error) {
	var data string
	err = row.Scan(&m.ID, &m.Kind, &m.UserID, &m.Recipient, &data, &m.State, &m.Attempts, &m.DueAt, &m.CreatedAt, &m.FinishedAt, &m.Answer)
	if err != nil {
		return m, notFound(err)
	}
	// What cannot be read is no reason to hide the message: Unreadable says so.
	m.Unreadable = json.Unmarshal([]byte(data), &m.Data) != nil
	return m, nil
}

// Enqueue puts a mail into the outbox, due at once.
func (tx *Tx) Enqueue(ctx context.Context, m Message) error {
	data, err := json.Marshal(m.Data)
	if err != nil {
		return fmt.Errorf("message: %w", err)
	}
	_, err = tx.exec(ctx, `INSERT INTO outbox (kind, user_id, recipient, data, state, attempts, due_at, created_at, finished_at, answer)
		VALUES ($1, NULLIF(CAST($2 AS BIGINT), 0), $3, $4, 'queued', 0, $5, $5, 0, '')`,
		m.Kind, m.UserID, m.Recipient, string(data), tx.Now)
	return err
}

// EnqueueHeld puts a mail into the outbox for a sender of its own. It falls due for the
// worker when the lease has run out.
func (tx *Tx) EnqueueHeld(ctx context.Context, m Message, lease time.Duration) (Message, error) {
	data, err := json.Marshal(m.Data)
	if err != nil {
		return m, fmt.Errorf("message: %w", err)
	}
	return scanMessage(tx.q.QueryRowContext(ctx, `INSERT INTO outbox (kind, user_id, recipient, data, state, attempts, due_at, created_at, finished_at, answer)
		VALUES ($1, NULLIF(CAST($2 AS BIGINT), 0), $3, $4, 'sending', 1, $5, $6, 0, '')
		RETURNING `+messageColumns, m.Kind, m.UserID, m.Recipient, string(data), tx.Now.Add(lease), tx.Now))
}

// RetryMessage makes a message that waits, has failed or was dropped due at once. One whose
// fate has changed meanwhile is ErrNotFound. How often it was tried stays, because the
// number of the attempt tells workers whose it is.
func (tx *Tx) RetryMessage(ctx context.Context, m Message) error {
	m.Data.RetriedAt = tx.Now
	data, err := json.Marshal(m.Data)
	if err != nil {
		return fmt.Errorf("message: %w", err)
	}
	return tx.one(ctx, `UPDATE outbox SET state = 'queued', due_at = $1, finished_at = 0, data = $2
		WHERE id = $3 AND state = $4 AND attempts = $5 AND state IN ('queued', 'failed', 'dropped')`, tx.Now, string(data), m.ID, m.State, m.Attempts)
}

// LinksRevokedSince says whether the message was to carry a link, and all links of its user
// were revoked after it was asked for.
func (r Reader) LinksRevokedSince(ctx context.Context, m Message) (revoked bool, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT count(*) > 0 FROM outbox
		WHERE user_id = $1 AND id > $2 AND kind IN ('links_revoked', 'invitation_withdrawn')
			AND CAST($3 AS TEXT) IN ('recovery', 'reset', 'invitation', 'verify_email')`, m.UserID, m.ID, m.Kind).Scan(&revoked)
	return revoked, err
}

// NextDue says when the next message falls due, or ErrNotFound.
func (r Reader) NextDue(ctx context.Context) (Time, error) {
	var due sql.Null[Time]
	err := r.q.QueryRowContext(ctx, `SELECT min(due_at) FROM outbox WHERE state IN ('queued', 'sending')`).Scan(&due)
	if err == nil && !due.Valid {
		err = ErrNotFound
	}
	return due.V, err
}

// ClaimMessage takes the message that has been due longest, for as long as the lease
// lasts, or returns ErrNotFound. A message whose lease has run out, because its worker was
// killed, falls due again. Of two workers at once one gets it: the condition is judged
// again when the row is locked.
func (tx *Tx) ClaimMessage(ctx context.Context, lease time.Duration) (Message, error) {
	return scanMessage(tx.q.QueryRowContext(ctx, `UPDATE outbox SET state = 'sending', attempts = attempts + 1, due_at = $1
		WHERE id = (SELECT id FROM outbox WHERE state IN ('queued', 'sending') AND due_at <= $2 ORDER BY due_at, id LIMIT 1)
			AND state IN ('queued', 'sending') AND due_at <= $2
		RETURNING `+messageColumns, tx.Now.Add(lease), tx.Now))
}

// AddressMessage fills in whose mail it turned out to be.
func (tx *Tx) AddressMessage(ctx context.Context, id, userID int64, recipient string) error {
	return tx.one(ctx, `UPDATE outbox SET user_id = $1, recipient = $2 WHERE id = $3`, userID, recipient, id)
}

// ExtendLease keeps a message that is still being sent. Like the two below it does nothing
// for a worker whose lease has run out and whose message another one has taken: the number
// of attempts tells whose it is.
func (tx *Tx) ExtendLease(ctx context.Context, m Message, lease time.Duration) error {
	_, err := tx.exec(ctx, `UPDATE outbox SET due_at = $1 WHERE id = $2 AND state = 'sending' AND attempts = $3`,
		tx.Now.Add(lease), m.ID, m.Attempts)
	return err
}

// FinishMessage records the fate of a message that was being sent.
func (tx *Tx) FinishMessage(ctx context.Context, m Message, state MessageState, answer string) error {
	_, err := tx.exec(ctx, `UPDATE outbox SET state = $1, answer = $2, finished_at = $3
		WHERE id = $4 AND state = 'sending' AND attempts = $5`, state, answer, tx.Now, m.ID, m.Attempts)
	return err
}

// RequeueMessage lets a message that could not be sent wait.
func (tx *Tx) RequeueMessage(ctx context.Context, m Message, wait time.Duration, answer string) error {
	_, err := tx.exec(ctx, `UPDATE outbox SET state = 'queued', due_at = $1, answer = $2
		WHERE id = $3 AND state = 'sending' AND attempts = $4`, tx.Now.Add(wait), answer, m.ID, m.Attempts)
	return err
}

// DropQueuedLinks drops what waits to mail a link to a user. What is being sent is dropped,
// too: should it fail, no later attempt may make a new link.
func (tx *Tx) DropQueuedLinks(ctx context.Context, userID int64) error {
	_, err := tx.exec(ctx, `UPDATE outbox SET state = 'dropped', answer = 'the link was revoked', finished_at = $1
		WHERE user_id = $2 AND state IN ('queued', 'sending') AND kind IN ('recovery', 'reset', 'invitation', 'verify_email')`, tx.Now, userID)
	return err
}

// ReleaseMessages makes every message that was being sent due at once. Only the one
// process that may send can call it, before it begins.
func (tx *Tx) ReleaseMessages(ctx context.Context) error {
	_, err := tx.exec(ctx, `UPDATE outbox SET due_at = $1 WHERE state = 'sending'`, tx.Now)
	return err
}

// Message returns a message by id, or ErrNotFound.
func (r Reader) Message(ctx context.Context, id int64) (Message, error) {
	return scanMessage(r.q.QueryRowContext(ctx, `SELECT `+messageColumns+` FROM outbox WHERE id = $1`, id))
}

// Messages returns the newest messages in that state (all of them when it is empty) that
// are older than the one given (0 for all).
func (r Reader) Messages(ctx context.Context, state MessageState, olderThan int64, limit int) ([]Message, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+messageColumns+` FROM outbox
		WHERE (CAST($1 AS TEXT) = '' OR state = $1) AND (CAST($2 AS BIGINT) = 0 OR id < $2) ORDER BY id DESC LIMIT $3`, state, olderThan, limit)
	return collect(rows, err, scanMessage)
}

// CountMessages counts the messages in that state.
func (r Reader) CountMessages(ctx context.Context, state MessageState) (n int, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT count(*) FROM outbox WHERE state = $1`, state).Scan(&n)
	return n, err
}

// UserMessages returns the newest messages to a user.
func (r Reader) UserMessages(ctx context.Context, userID int64, limit int) ([]Message, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+messageColumns+` FROM outbox WHERE user_id = $1 ORDER BY id DESC LIMIT $2`, userID, limit)
	return collect(rows, err, scanMessage)
}
