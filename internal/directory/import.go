package directory

import (
	"context"
	"errors"
	"time"

	"postern/db"
	"postern/internal/access"
	"postern/internal/input"
)

// An import goes like this, and nobody waits for it longer than a short batch takes:
//
//  1. Rows are read, checked one by one, and staged in short batches.
//  2. What clashes, with another row or with a user who is there, is looked for by reading.
//  3. Organizations and users are made in short batches, hidden: no question finds them,
//     but their addresses and names are taken from here on.
//  4. One transaction makes all of them real. It judges the actor once more, and changes
//     one number in each row and no index: for 100,000 users it takes a third of a second
//     on SQLite, where inserting them takes seven.
//  5. The event and the invitation of each user follow in short batches.
//
// There is one import at a time. What is cut off before 4 is taken back, what is cut off
// after it is completed: by the next import or by TidyImport.

// importBatch is how many rows a transaction of an import handles.
const importBatch = 1000

// MostBadRows is how many bad rows are told one by one.
const MostBadRows = 1000

// ErrTooManyRows is returned for a file with more rows than are allowed.
var ErrTooManyRows = errors.New("too many rows")

// ImportStep is what an import is doing.
type ImportStep string

const (
	ImportReads   ImportStep = "read"
	ImportMakes   ImportStep = "made"
	ImportRecords ImportStep = "recorded"
)

// ImportOptions are how an import is run.
type ImportOptions struct {
	// MostRows bounds the rows; 0 for no bound.
	MostRows int
	// Progress is told how many rows are done, of how many; 0 while that is not known.
	Progress func(step ImportStep, done, total int)
}

// BadRow is a row that cannot be imported.
type BadRow struct {
	Line   int           // of the file, whose first line is 1
	Fields []input.Field // what is wrong; a Field without a name is about the row
}

// ImportReport is what an import did, or would do.
type ImportReport struct {
	Users         int
	Organizations int // that were not there before
	Passwords     int // users who bring one
	Invitations   int
	Bad           []BadRow // the first MostBadRows of them; then nothing was imported
	BadCount      int
	// Pending says that events and invitations still have to follow, and will.
	Pending bool
}

// Importing is an import under way: Read, then Finish, and Close in any case.
type Importing struct {
	s       *Service
	actor   db.Actor
	holder  access.Holder
	options ImportOptions
	unlock  func()

	rows          int
	good          int
	staged        []db.ImportRow
	roles         map[string]*roleUse
	organizations map[string]string // folded name -> the name as it first stood
	bad           []BadRow
	badCount      int
	report        ImportReport
	shown         bool // the users are real
}

// roleUse is how a file uses a role.
type roleUse struct {
	role    db.Role
	problem input.Problem
	first   int // line
	// without is the first line that gives it to somebody without an organization; 0 for none.
	without int
}

// BeginImport begins an import; only who may edit users over everybody can. While another
// one is under way it is db.ErrImporting.
func (s *Service) BeginImport(ctx context.Context, actor db.Actor, options ImportOptions) (*Importing, error) {
	h, err := importer(ctx, s.DB.Reader(), actor)
	if err != nil {
		return nil, err
	}
	unlock, err := s.DB.LockImport(ctx)
	if err != nil {
		return nil, err
	}
	if options.Progress == nil {
		options.Progress = func(ImportStep, int, int) {}
	}
	if _, err := s.tidyImport(ctx, options.Progress); err != nil {
		unlock()
		return nil, err
	}
	if err := s.DB.Update(ctx, func(tx *db.Tx) error { return tx.AddImport(ctx, actor) }); err != nil {
		unlock()
		return nil, err
	}
	return &Importing{s: s, actor: actor, holder: h, options: options, unlock: unlock, roles: map[string]*roleUse{},
		organizations: map[string]string{}}, nil
}

// importer refuses an actor who may not import.
func importer(ctx context.Context, r db.Reader, actor db.Actor) (access.Holder, error) {
	h, err := require(ctx, r, actor, access.UsersEdit)
	if err == nil && h.Over() != 0 {
		err = ErrNotAllowed
	}
	return h, err
}

// Close ends the import. What is not finished is taken back.
func (i *Importing) Close(ctx context.Context) error {
	defer i.unlock()
	if i.shown && i.report.Pending {
		return nil // to be completed, not taken back
	}
	// Also when whoever asked for it has gone.
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer done()
	_, err := i.s.tidyImport(ctx, func(ImportStep, int, int) {})
	return err
}
