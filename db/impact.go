package db

import (
	"context"
	"time"
)

// People counts active users by what stricter settings would ask of them.
type People struct {
	Customers              int // with a password; no permission
	Staff                  int // with a password
	CustomersWithoutFactor int
	StaffWithoutFactor     int
	NeverSignedIn          int // with a password, but neither signed in nor invited
	WithoutUsername        int
}

// People counts those who can sign in.
func (r Reader) People(ctx context.Context) (p People, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT
			COALESCE(sum(CASE WHEN r.permissions = '' THEN 1 ELSE 0 END), 0),
			COALESCE(sum(CASE WHEN r.permissions <> '' THEN 1 ELSE 0 END), 0),
			COALESCE(sum(CASE WHEN r.permissions = '' AND a.user_id IS NULL THEN 1 ELSE 0 END), 0),
			COALESCE(sum(CASE WHEN r.permissions <> '' AND a.user_id IS NULL THEN 1 ELSE 0 END), 0),
			COALESCE(sum(CASE WHEN u.last_sign_in_at = 0 AND u.invitation_accepted_at = 0 THEN 1 ELSE 0 END), 0),
			COALESCE(sum(CASE WHEN u.username IS NULL THEN 1 ELSE 0 END), 0)`+userTables+`
		WHERE `+canSignIn).
		Scan(&p.Customers, &p.Staff, &p.CustomersWithoutFactor, &p.StaffWithoutFactor, &p.NeverSignedIn, &p.WithoutUsername)
	return p, err
}

// CountSessions counts the sessions of staff, or of everybody else, that live within these
// limits.
func (r Reader) CountSessions(ctx context.Context, staff bool, now Time, idle, most time.Duration) (n int, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT count(*) FROM session s JOIN user_account u ON u.id = s.user_id JOIN role r ON r.id = u.role
		WHERE s.last_seen_at > $1 AND s.created_at > $2 AND s.ended_at = 0 AND NOT s.code_owed AND s.epoch = u.epoch
			AND (r.permissions <> '') = $3`, now.Add(-idle), now.Add(-most), staff).Scan(&n)
	return n, err
}

// CountTrusted counts the browsers that need show no code.
func (r Reader) CountTrusted(ctx context.Context, now Time) (n int, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT count(*) FROM browser b JOIN user_account u ON u.id = b.user_id JOIN role r ON r.id = u.role
		WHERE b.trusted_until > $1 AND b.trusted_epoch = u.epoch AND r.permissions = ''`, now).Scan(&n)
	return n, err
}

// CountFinishedMail counts the mails whose fate was settled before then.
func (r Reader) CountFinishedMail(ctx context.Context, before Time) (n int, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT count(*) FROM outbox WHERE state IN ('sent', 'failed', 'dropped') AND finished_at < $1`, before).Scan(&n)
	return n, err
}

// CountOldEvents counts the events of the audit trail from before then.
func (r Reader) CountOldEvents(ctx context.Context, before Time) (n int, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT count(*) FROM audit_event WHERE at < $1`, before).Scan(&n)
	return n, err
}
