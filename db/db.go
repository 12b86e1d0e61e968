// Package db keeps Postern's facts in SQLite or PostgreSQL, with one SQL text for both.
//
// It owns the nouns (User, Session, Link …) and a short method for every question and
// change. It must never decide anything: rules live in the packages above it.
package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Engine is the database system underneath.
type Engine string

const (
	SQLite     Engine = "SQLite"
	PostgreSQL Engine = "PostgreSQL"
)

// Config says where the database is.
type Config struct {
	// URL is a postgres:// address; empty means SQLite.
	URL string
	// Path is the SQLite file, made when it is missing. Its folder must exist.
	Path string
	// Now replaces the clock in tests. Nil means the machine's clock on SQLite and the
	// server's on PostgreSQL, so that all nodes agree on what has expired.
	Now func() time.Time
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	engine Engine
	path   string // of the SQLite file
	writer *sql.DB
	reader *sql.DB
	// queries is reader with its statements kept prepared.
	queries querier
	clock   *clock
}

// Open connects to the database, which Migrate may still have to bring up to date.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if cfg.URL != "" {
		return openPostgreSQL(ctx, cfg)
	}
	return openSQLite(ctx, cfg)
}

// Pragmas stand in the data source name, because one set with Exec would reach a single
// connection of the pool.
const (
	writerOptions = "_dqs=0&_defensive=1&_error_rc=1&_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)" +
		"&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=trusted_schema(0)"
	readerOptions = "_dqs=0&_defensive=1&_error_rc=1&_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)" +
		"&_pragma=query_only(1)&_pragma=mmap_size(268435456)"
)

func openSQLite(ctx context.Context, cfg Config) (*DB, error) {
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("database file: %w", err)
	}
	// The file is made here and not by SQLite, which would leave it readable by others.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the database file: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("close the database file: %w", err)
	}
	// Without "file:" the options would be dropped silently.
	name := (&url.URL{Scheme: "file", Path: path}).String()
	writer, err := sql.Open("sqlite", name+"?"+writerOptions)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	writer.SetMaxOpenConns(1)
	// The writer goes first: it is what makes the file a WAL database.
	if err := writer.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open the database: %w", err), writer.Close())
	}
	reader, err := sql.Open("sqlite", name+"?"+readerOptions)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the database: %w", err), writer.Close())
	}
	readers := max(4, runtime.NumCPU())
	reader.SetMaxOpenConns(readers)
	reader.SetMaxIdleConns(readers)
	return &DB{engine: SQLite, path: path, writer: writer, reader: reader, queries: newPrepared(reader), clock: newClock(cfg.Now)}, nil
}

func openPostgreSQL(ctx context.Context, cfg Config) (*DB, error) {
	pool, err := sql.Open("pgx", cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	pool.SetMaxOpenConns(16)
	pool.SetMaxIdleConns(16)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	d := &DB{engine: PostgreSQL, writer: pool, reader: pool, queries: pool, clock: newClock(cfg.Now)}
	if cfg.Now == nil {
		if err := d.followServerClock(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("open the database: %w", err), pool.Close())
		}
	}
	return d, nil
}

// Engine says which database system is underneath.
func (d *DB) Engine() Engine { return d.engine }

// Close writes what is pending and closes the database.
func (d *DB) Close() error {
	if d.engine == PostgreSQL {
		return d.writer.Close()
	}
	err := d.reader.Close()
	_, checkpoint := d.writer.Exec(`PRAGMA wal_checkpoint(TRUNCATE)`)
	return errors.Join(err, checkpoint, d.writer.Close())
}

// querier is what a pool and a transaction have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Reader holds the questions; it changes nothing.
type Reader struct {
	q querier
}

// Reader answers from the last committed state, each question on its own.
func (d *DB) Reader() Reader { return Reader{d.queries} }

// Tx is one write transaction: the questions of Reader, the changes, and one moment that
// everything in it is stamped with.
type Tx struct {
	Reader
	// Now is read once, when the transaction begins.
	Now Time
	tx  *sql.Tx
}

// Update runs change in a write transaction and commits it if change returns nil;
// otherwise nothing of it remains.
func (d *DB) Update(ctx context.Context, change func(*Tx) error) error {
	tx, err := d.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	// Also after a panic: there is one writer connection, and it must come back. After the
	// commit this does nothing.
	defer tx.Rollback() //nolint:errcheck // the first error is the one that counts
	if err := change(&Tx{Reader: Reader{tx}, Now: d.Now(), tx: tx}); err != nil {
		return err
	}
	err = tx.Commit()
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		err = ctx.Err() // what had it rolled back a moment before
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Time is a moment in milliseconds since 1970, UTC. Zero stands for never.
type Time int64

// TimeOf gives the moment t in milliseconds.
func TimeOf(t time.Time) Time { return Time(t.UnixMilli()) }

// Add gives the moment d later.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Milliseconds()) }

// Sub gives the time from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Millisecond }

// Time gives t as a time.Time in UTC.
func (t Time) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }

// exec runs a change and returns how many rows it touched.
func (tx *Tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := tx.q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// one runs a change that must touch a row: none is ErrNotFound.
func (tx *Tx) one(ctx context.Context, query string, args ...any) error {
	n, err := tx.exec(ctx, query, args...)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

// collect reads all rows of a question with scan.
func collect[T any](rows *sql.Rows, err error, scan func(rowScanner) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

type rowScanner interface{ Scan(dest ...any) error }

// FoldName gives the form in which two spellings of a name are the same. It is made here
// and kept in a column, because the engines fold differently.
func FoldName(name string) string {
	return cases.Fold().String(norm.NFC.String(strings.Join(strings.Fields(name), " ")))
}

// FoldEmail gives the form in which two spellings of an address are the same. Addresses
// are ASCII, so that database and program cannot disagree about it.
func FoldEmail(address string) string { return strings.ToLower(address) }
