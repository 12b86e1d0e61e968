package db

import (
	"context"
	"database/sql"
	"sync"
)

// prepared keeps every statement that it has seen prepared on its pool. The texts are
// constants of this package, so there are only so many. SQLite answers three times as
// fast that way; pgx keeps its own.
type prepared struct {
	pool       *sql.DB
	statements sync.Map // text -> *sql.Stmt
}

func newPrepared(pool *sql.DB) *prepared { return &prepared{pool: pool} }

// statement returns nil where the text cannot be prepared (yet); the pool then says why.
func (p *prepared) statement(ctx context.Context, query string) *sql.Stmt {
	if known, ok := p.statements.Load(query); ok {
		return known.(*sql.Stmt)
	}
	statement, err := p.pool.PrepareContext(ctx, query)
	if err != nil {
		return nil
	}
	if known, raced := p.statements.LoadOrStore(query, statement); raced {
		_ = statement.Close() // the other one serves
		return known.(*sql.Stmt)
	}
	return statement
}

func (p *prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return p.pool.ExecContext(ctx, query, args...)
}

func (p *prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if statement := p.statement(ctx, query); statement != nil {
		return statement.QueryContext(ctx, args...)
	}
	return p.pool.QueryContext(ctx, query, args...)
}

func (p *prepared) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if statement := p.statement(ctx, query); statement != nil {
		return statement.QueryRowContext(ctx, args...)
	}
	return p.pool.QueryRowContext(ctx, query, args...)
}
