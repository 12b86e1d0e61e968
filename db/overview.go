package db

import "context"

// ActionCount is how often something happened.
type ActionCount struct {
	Action  string
	Outcome string // done, refused
	N       int
}

// CountActions counts the events of a span by action and outcome, within an organization (0
// for all, -1 for nobody's).
func (r Reader) CountActions(ctx context.Context, over int64, since, until Time) ([]ActionCount, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT action, outcome, count(*) FROM audit_event
		WHERE at >= $1 AND at < $2 AND (CAST($3 AS BIGINT) = 0 OR organization_id = $3) GROUP BY action, outcome`, since, until, over)
	return collect(rows, err, func(row rowScanner) (c ActionCount, err error) { return c, row.Scan(&c.Action, &c.Outcome, &c.N) })
}

// CountFailedMail counts the mails that were given up since then.
func (r Reader) CountFailedMail(ctx context.Context, since Time) (n int, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT count(*) FROM outbox WHERE state = 'failed' AND finished_at >= $1`, since).Scan(&n)
	return n, err
}

// CountWaitingMail counts the mails that have waited since before then.
func (r Reader) CountWaitingMail(ctx context.Context, before Time) (n int, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT count(*) FROM outbox WHERE state IN ('queued', 'sending') AND created_at < $1`, before).Scan(&n)
	return n, err
}

// Lonely is an organization that one administrator looks after, or none.
type Lonely struct {
	ID             int64
	Name           string
	Administrators int // who can sign in
}

// lonely are the active organizations with users and fewer than two administrators who can
// sign in, within an organization ($1). It goes through the users once: to count for each
// organization by itself takes minutes where there are many of both.
const lonely = ` FROM (SELECT o.id, o.name, o.name_folded,
			sum(CASE WHEN ` + canSignIn + ` AND r.scope = 'organization'
				AND ' ' || r.permissions || ' ' LIKE '% users.edit %' THEN 1 ELSE 0 END) AS administrators
		FROM user_account u JOIN role r ON r.id = u.role JOIN organization o ON o.id = u.organization_id
		WHERE o.active AND u.active AND u.deleted_at = 0 AND (CAST($1 AS BIGINT) = 0 OR o.id = $1)
		GROUP BY o.id, o.name, o.name_folded) l
	WHERE administrators < 2 `

// LonelyOrganizations returns the first of them, those without any administrator before the
// others, and how many there are of both kinds.
func (r Reader) LonelyOrganizations(ctx context.Context, over int64, limit int) (first []Lonely, none, one int, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT COALESCE(sum(1 - administrators), 0), COALESCE(sum(administrators), 0)`+lonely, over).Scan(&none, &one)
	if err != nil || none+one == 0 {
		return nil, 0, 0, err
	}
	rows, err := r.q.QueryContext(ctx, `SELECT id, name, administrators`+lonely+`ORDER BY administrators, name_folded LIMIT $2`, over, limit)
	first, err = collect(rows, err, func(row rowScanner) (l Lonely, err error) { return l, row.Scan(&l.ID, &l.Name, &l.Administrators) })
	return first, none, one, err
}
