package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postern/db"
	"postern/internal/account"
	"postern/internal/config"
	"postern/internal/directory"
	"postern/internal/password"
	"postern/internal/seal"
	"postern/internal/settings"
	"postern/internal/throttle"
)

// portal is an installation, opened.
type portal struct {
	cfg       config.Config
	db        *db.DB
	key       seal.Key
	settings  *settings.Store
	account   *account.Service
	directory *directory.Service
	log       *slog.Logger
	unlock    func() // releases the lock of the data folder, if it is held
}

// opening says what a command needs of an installation.
type opening struct {
	create bool // makes one where there is none
	lock   bool // nobody else may serve or change the schema meanwhile
	serve  bool // it is serve itself, which tells the others the address
}

// operator is who acts at the command line.
var operator = db.Actor{Kind: db.ActorOperator}

// open reads the configuration and opens the installation. On SQLite the schema is brought
// up to date first; the lock of the data folder keeps two programs from doing so at once.
func (p *program) open(ctx context.Context, how opening) (*portal, error) {
	cfg, err := p.flags.Read()
	if err != nil {
		return nil, err
	}
	log := p.logger(cfg.LogFormat)
	if err := prepareFolder(cfg, how.create); err != nil {
		return nil, err
	}
	unlock := func() {}
	if how.lock {
		// A command beside the start holds it for a moment, while it brings the schema up to date.
		if unlock, err = lockFolder(ctx, cfg, 3*time.Second); err != nil {
			return nil, err
		}
	}
	d, key, err := openDatabase(ctx, cfg, how)
	if err != nil {
		unlock()
		return nil, err
	}
	if !how.serve {
		if err := useRecordedURL(ctx, &cfg, d); err != nil {
			unlock()
			return nil, errors.Join(err, d.Close())
		}
	}
	return assemble(cfg, d, key, log, unlock), nil
}

// useRecordedURL lets a command that was told no address take the one that serve was last
// started with.
func useRecordedURL(ctx context.Context, cfg *config.Config, d *db.DB) error {
	if cfg.URLGiven {
		return nil
	}
	recorded, err := d.Reader().Fact(ctx, db.FactURL)
	if errors.Is(err, db.ErrNotFound) {
		return nil
	}
	if err == nil {
		cfg.URL, err = config.ReadURL(recorded)
	}
	return err
}

// assemble puts the use cases together.
func assemble(cfg config.Config, d *db.DB, key seal.Key, log *slog.Logger, unlock func()) *portal {
	store := settings.NewStore(d)
	limits := throttle.New(key.Derive("throttle"))
	processors := runtime.GOMAXPROCS(0)
	accounts := &account.Service{
		DB: d, Settings: store, Throttle: limits, Key: key, Host: cfg.URL.Hostname(), Log: log, MailQueued: func() {},
		Hasher: password.NewHasher(password.NewGate(processors, memoryLimit())),
		Judge:  password.NewJudge(processors, password.Breaches{File: cfg.BreachFile, Log: log}),
	}
	users := &directory.Service{DB: d, Settings: store, Throttle: limits, MailQueued: func() {},
		ChoosePassword: func(ctx context.Context, u db.User, typed string) (string, error) {
			return accounts.Choose(ctx, password.SignedIn, u, account.NewPassword{Password: typed, Confirm: typed})
		}}
	return &portal{cfg: cfg, db: d, key: key, settings: store, account: accounts, directory: users, log: log, unlock: unlock}
}

func (p *portal) close() error {
	defer p.unlock()
	return p.db.Close()
}

func databasePath(cfg config.Config) string { return filepath.Join(cfg.Data, "postern.db") }

// markerPath is the file that tells an installation from a folder where there never was one.
func markerPath(cfg config.Config) string { return filepath.Join(cfg.Data, "postern.installed") }

// prepareFolder makes the data folder, if it may, and refuses one that belongs to somebody
// else: what root wrote there the portal could not read.
func prepareFolder(cfg config.Config, create bool) error {
	info, err := os.Stat(cfg.Data)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return fmt.Errorf("there is no portal in %s: set POSTERN_DATA to its data folder, or start one with: postern serve", cfg.Data)
		}
		if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
			return fmt.Errorf("the data folder cannot be made: %w", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("the data folder cannot be read: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder: set POSTERN_DATA to one", cfg.Data)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && cfg.Database == "" && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to another user: run this as the user with the number %d", cfg.Data, owner.Uid)
	}
	if err := unix.Access(cfg.Data, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("the data folder %s cannot be written to: give it to the user that runs postern, with chmod u+rwx", cfg.Data)
	}
	return nil
}

// openDatabase opens the database and the key, and makes both at a first start.
func openDatabase(ctx context.Context, cfg config.Config, how opening) (d *db.DB, key seal.Key, err error) {
	installed, err := exists(markerPath(cfg))
	if err != nil {
		return nil, key, err
	}
	if cfg.Database == "" {
		if err := refuseLostFile(cfg, installed, how); err != nil {
			return nil, key, err
		}
	}
	d, err = db.Open(ctx, db.Config{URL: cfg.Database, Path: databasePath(cfg)})
	if err != nil {
		return nil, key, openError(cfg, err)
	}
	key, err = prepareDatabase(ctx, cfg, d, how, installed)
	if err != nil {
		return nil, key, errors.Join(err, d.Close())
	}
	return d, key, nil
}

// openError says in one line why the database cannot be opened, without the password that
// its address holds.
func openError(cfg config.Config, err error) error {
	if cfg.Database == "" {
		return fmt.Errorf("the database in %s cannot be opened: %w", cfg.Data, err)
	}
	return fmt.Errorf("the database cannot be reached, so check POSTERN_DATABASE: %s", strings.Join(strings.Fields(err.Error()), " "))
}

// prepareDatabase brings the schema up to date and finds the key, and refuses what does not
// belong together.
func prepareDatabase(ctx context.Context, cfg config.Config, d *db.DB, how opening, installed bool) (key seal.Key, err error) {
	empty, err := d.Empty(ctx)
	switch {
	case err != nil:
		return key, openError(cfg, err)
	case empty && installed:
		return key, lostError(cfg)
	case empty && !how.create:
		return key, errors.New("the database is empty: start the portal once with: postern serve")
	}
	if err := migrate(ctx, cfg, d, how); err != nil {
		return key, err
	}
	if how.lock { // at a start, not at every command
		if _, err := d.Check(ctx); err != nil {
			return key, fmt.Errorf("%w: restore a backup", err)
		}
	}
	if key, err = installKey(ctx, cfg, d); err != nil {
		return key, err
	}
	return key, markInstalled(ctx, cfg, d, installed)
}

// markInstalled leaves the name of the database in the data folder, or compares it with
// the one that was left there.
func markInstalled(ctx context.Context, cfg config.Config, d *db.DB, installed bool) error {
	id, err := d.Reader().Fact(ctx, db.FactInstanceID)
	if err != nil {
		return err
	}
	if !installed {
		return os.WriteFile(markerPath(cfg), []byte(id+"\n"), 0o600)
	}
	marked, err := os.ReadFile(markerPath(cfg))
	if err == nil && strings.TrimSpace(string(marked)) != id {
		err = fmt.Errorf("this is not the database that %s was set up with: put that one back, or use another POSTERN_DATA", cfg.Data)
	}
	return err
}

// refuseLostFile looks before SQLite would make a file where one has been lost.
func refuseLostFile(cfg config.Config, installed bool, how opening) error {
	info, err := os.Stat(databasePath(cfg))
	switch {
	case err == nil && info.Size() > 0:
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the database cannot be read: %w", err)
	case installed:
		return lostError(cfg)
	case !how.create:
		return fmt.Errorf("there is no portal in %s: set POSTERN_DATA to its data folder, or start one with: postern serve", cfg.Data)
	}
	return nil
}

func lostError(cfg config.Config) error {
	return fmt.Errorf("the database is missing or empty, though a portal was set up with %s: put the database back, or use another POSTERN_DATA to start anew",
		cfg.Data)
}

// migrate brings the schema up to date, under the lock of the data folder.
func migrate(ctx context.Context, cfg config.Config, d *db.DB, how opening) error {
	current, err := d.Migrated(ctx)
	if errors.Is(err, db.ErrNewer) {
		return fmt.Errorf("%w: use the program that made it, or a newer one", err)
	}
	if err != nil || current {
		return err
	}
	if how.lock {
		return d.Migrate(ctx)
	}
	// Whoever holds the lock may be a start that is just migrating, and then keeps it.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		unlock, err := lockFolder(ctx, cfg, 0)
		if err == nil {
			defer unlock()
			return d.Migrate(ctx)
		}
		if current, checked := d.Migrated(ctx); checked == nil && current {
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// installKey loads the key that the database was set up with, or makes one for a database
// that has none yet.
func installKey(ctx context.Context, cfg config.Config, d *db.DB) (seal.Key, error) {
	expected, err := d.Reader().Fact(ctx, db.FactKeyCheck)
	first := errors.Is(err, db.ErrNotFound)
	if err != nil && !first {
		return seal.Key{}, err
	}
	key, err := seal.Load(cfg.KeyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) && first:
		key, err = seal.Create(cfg.KeyFile)
		if errors.Is(err, fs.ErrExist) { // another start was quicker
			key, err = seal.Load(cfg.KeyFile)
		}
	case errors.Is(err, fs.ErrNotExist):
		return key, fmt.Errorf("the key file %s is missing, though this database was set up with one: put it back, or set POSTERN_KEY_FILE", cfg.KeyFile)
	}
	if err != nil {
		return key, fmt.Errorf("the key cannot be used: %w", err)
	}
	if first {
		err := d.Update(ctx, func(tx *db.Tx) error {
			if _, err := tx.ClaimFact(ctx, db.FactInstanceID, rand.Text()); err != nil {
				return err
			}
			_, err := tx.ClaimFact(ctx, db.FactKeyCheck, key.Check())
			return err
		})
		if err != nil {
			return key, err
		}
		if expected, err = d.Reader().Fact(ctx, db.FactKeyCheck); err != nil {
			return key, err
		}
	}
	if expected != key.Check() {
		return key, fmt.Errorf("the key in %s is not the one this database was set up with: put the right file there, or set POSTERN_KEY_FILE", cfg.KeyFile)
	}
	return key, nil
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// lockFolder takes the lock of the data folder, or says after a while who has it.
func lockFolder(ctx context.Context, cfg config.Config, patience time.Duration) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(cfg.Data, "postern.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the data folder cannot be locked: %w", err)
	}
	deadline := time.Now().Add(patience)
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("the data folder cannot be locked: %w", err), file.Close())
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("another postern is using %s: stop it first, or set another POSTERN_DATA", cfg.Data), file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// firstLine reads a secret that was piped in.
func firstLine(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, 4096))
	if err != nil {
		return "", err
	}
	for i, b := range text {
		if b == '\n' {
			text = text[:i]
			break
		}
	}
	if n := len(text); n > 0 && text[n-1] == '\r' {
		text = text[:n-1]
	}
	return string(text), nil
}
