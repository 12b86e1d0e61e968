// Package session knows which browser is signed in as whom. It keeps scs's sessions in the
// database, with rules of our own: a session that was ended stays ended, whatever is
// committed late, and every request judges it by the user as they are now. It must never
// make a row for a visitor who is not signed in.
package session

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"postern/db"
	"postern/internal/token"
)

// Limits says how long sessions last unused, and at all.
type Limits func(ctx context.Context, staff bool) (idle, most time.Duration, err error)

// store is the scs.CtxStore over the table session.
type store struct {
	db     *db.DB
	limits Limits
	log    *slog.Logger
}

// found is where FindCtx leaves the session and its user for the rest of the request.
type found struct {
	Current
	dead bool // a token was given, but no live session has it
}

type foundKey struct{}

// FindCtx implements scs.CtxStore. Only a session that may still be used is found.
func (s *store) FindCtx(ctx context.Context, plain string) ([]byte, bool, error) {
	into, _ := ctx.Value(foundKey{}).(*found)
	into.dead = true
	if !token.WellFormed(plain) {
		return nil, false, nil
	}
	hash := token.Hash(plain)
	row, user, err := s.db.Reader().SessionByToken(ctx, hash)
	if errors.Is(err, db.ErrNotFound) {
		return nil, false, nil
	} else if err != nil {
		return nil, false, err
	}
	idle, most, err := s.limits(ctx, user.Staff())
	if err != nil || !usable(row, user, idle, most, s.db.Now()) {
		return nil, false, err
	}
	into.Current, into.dead = Current{Session: row, User: user, hash: hash}, false
	return row.Data, true, nil
}

// usable says whether a session may go on: not idle or old beyond the limits, and the
// user's epoch and status still as they were.
func usable(s db.Session, u db.User, idle, most time.Duration, now db.Time) bool {
	if s.CodeOwed && now >= s.CreatedAt.Add(CodeTime) {
		return false
	}
	// A customer whose browser was trusted in the place of a code may have become staff since.
	if s.ProvenAt == 0 && u.SecondFactor && u.Staff() {
		return false
	}
	return s.Epoch == u.Epoch && u.Enabled() && u.ClosedAt == 0 &&
		now < s.LastSeenAt.Add(idle) && now < s.CreatedAt.Add(most)
}

// CommitCtx implements scs.CtxStore. It changes a live session and never makes one.
func (s *store) CommitCtx(ctx context.Context, plain string, data []byte, _ time.Time) error {
	return s.db.Update(ctx, func(tx *db.Tx) error { return tx.SetSessionData(ctx, token.Hash(plain), data) })
}

// DeleteCtx implements scs.CtxStore.
func (s *store) DeleteCtx(ctx context.Context, plain string) error {
	return s.db.Update(ctx, func(tx *db.Tx) error { return tx.EndSessionByToken(ctx, token.Hash(plain)) })
}

// Find, Commit and Delete implement the part of scs.Store that scs never calls on a store
// that has the functions with a context.
func (s *store) Find(plain string) ([]byte, bool, error) {
	return s.FindCtx(context.WithValue(context.Background(), foundKey{}, &found{}), plain)
}

func (s *store) Commit(plain string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), plain, data, expiry)
}

func (s *store) Delete(plain string) error { return s.DeleteCtx(context.Background(), plain) }

// codec keeps the values of a session as JSON, which a later version can still read.
type codec struct{}

// Encode implements scs.Codec.
func (codec) Encode(_ time.Time, values map[string]any) ([]byte, error) { return json.Marshal(values) }

// Decode implements scs.Codec. No data stands for no values.
func (codec) Decode(data []byte) (deadline time.Time, values map[string]any, err error) {
	if len(data) > 0 {
		err = json.Unmarshal(data, &values)
	}
	if values == nil {
		values = map[string]any{}
	}
	return time.Time{}, values, err
}
