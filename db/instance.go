package db

import (
	"context"
	"fmt"
	"strconv"
)

// The facts about this installation that are kept by name.
const (
	FactInstanceID  = "instance_id"  // random, also kept in the data folder: tells an emptied database
	FactKeyCheck    = "key_check"    // tells whether the key file is the one this database was set up with
	FactURL         = "url"          // what serve was last started with, for commands
	FactSetupToken  = "setup_token"  // hash of the latest printed set-up token, hex
	FactSetupClosed = "setup_closed" // present as soon as there has been an owner
	FactForwarder   = "forwarder"    // a peer that sent X-Forwarded-For without being trusted
	FactProbe       = "probe"        // written and read to see whether that works
)

// Fact returns a fact about this installation, or ErrNotFound.
func (r Reader) Fact(ctx context.Context, name string) (string, error) {
	var value string
	err := r.q.QueryRowContext(ctx, `SELECT value FROM instance WHERE name = $1`, name).Scan(&value)
	return value, notFound(err)
}

// SetFact records a fact about this installation.
func (tx *Tx) SetFact(ctx context.Context, name, value string) error {
	_, err := tx.exec(ctx, `INSERT INTO instance (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	return err
}

// ClaimFact records a fact unless it is known already, and says whether it was this call
// that did: of two at once, one.
func (tx *Tx) ClaimFact(ctx context.Context, name, value string) (bool, error) {
	n, err := tx.exec(ctx, `INSERT INTO instance (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, value)
	return n == 1, err
}

func (r Reader) timeFact(ctx context.Context, name string) (Time, error) {
	value, err := r.Fact(ctx, name)
	if err != nil {
		return 0, err
	}
	t, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("fact %s: %w", name, err)
	}
	return Time(t), nil
}

func (tx *Tx) setTimeFact(ctx context.Context, name string, t Time) error {
	return tx.SetFact(ctx, name, strconv.FormatInt(int64(t), 10))
}
