package directory

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"postern/db"
	"postern/internal/access"
	"postern/internal/input"
	"postern/internal/password"
)

// Read reads the file: UTF-8, the columns named by its first line. What is wrong with rows
// comes with the report; errors are those of the reader and of the database.
func (i *Importing) Read(ctx context.Context, r io.Reader) error {
	file, problems, err := openImportFile(r)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		i.refuse(BadRow{1, problems})
		return nil
	}
	for {
		row, err := file.next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if i.rows++; i.options.MostRows > 0 && i.rows > i.options.MostRows {
			return ErrTooManyRows
		}
		if err := i.take(ctx, file, row); err != nil {
			return err
		}
	}
	if i.rows == 0 {
		i.refuse(BadRow{1, []input.Field{{Problem: input.NoRows}}})
	}
	return i.stage(ctx)
}

// take checks a row by itself, and stages it if it is right.
func (i *Importing) take(ctx context.Context, file *importFile, row fileRow) error {
	if len(row.problems) > 0 {
		i.refuse(BadRow{row.line, row.problems})
		return nil
	}
	staged, name, err := i.check(ctx, file, row)
	if refused, ok := errors.AsType[*input.Error](err); ok {
		i.refuse(BadRow{row.line, refused.Fields})
		return nil
	} else if err != nil {
		return err
	}
	i.good++
	if staged.PasswordHash != "" {
		i.report.Passwords++
	}
	if staged.Organization != "" && i.organizations[staged.Organization] == "" {
		i.organizations[staged.Organization] = strings.Clone(name)
	}
	if i.staged = append(i.staged, staged); len(i.staged) < importBatch {
		return nil
	}
	return i.stage(ctx)
}

// check reads the fields of a row by the rules that hold for every user; what does not pass
// is an *input.Error.
func (i *Importing) check(ctx context.Context, file *importFile, row fileRow) (r db.ImportRow, organization string, err error) {
	var checks input.Checks
	var problem input.Problem
	r.Line = row.line
	r.Email, problem = input.Email(file.field(row, "email"))
	checks.Add("email", problem)
	r.Name, problem = input.Name(file.field(row, "name"))
	checks.Add("name", problem)
	r.Username, problem = input.Username(file.field(row, "username"))
	checks.Add("username", problem)
	if text := strings.TrimSpace(file.field(row, "organization")); text != "" {
		organization, problem = input.Name(text)
		checks.Add("organization", problem)
		r.Organization = db.FoldName(organization)
	}
	if r.PasswordHash = strings.TrimSpace(file.field(row, "password_hash")); r.PasswordHash != "" && !password.Importable(r.PasswordHash) {
		checks.Add("password_hash", input.NotHash)
	}
	use, err := i.role(ctx, strings.TrimSpace(file.field(row, "role")), row.line)
	if err != nil {
		return r, "", err
	}
	r.Role = use.role.ID
	switch {
	case use.problem != "":
		checks.Add("role", use.problem)
	case r.Organization == "" && needsOrganization(use.role):
		checks.Add("organization", input.NeedsOrganization)
	case r.Organization == "" && use.without == 0:
		use.without = row.line
	}
	return r, organization, checks.Err()
}

// needsOrganization says whether a role is over an organization, and so needs one.
func needsOrganization(role db.Role) bool {
	return errors.Is(grantable(access.Operator, db.User{Role: role}), ErrNeedsOrganization)
}

// role finds a role, and whether the actor may give it; each is looked up once.
func (i *Importing) role(ctx context.Context, id string, line int) (*roleUse, error) {
	if id == "" {
		id = access.RoleCustomer
	}
	if use, ok := i.roles[id]; ok {
		return use, nil
	}
	use := &roleUse{first: line}
	var err error
	use.role, err = i.s.DB.Reader().Role(ctx, id)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return &roleUse{problem: input.NoSuchRole}, nil // there could be any number of them
	case err != nil:
		return nil, err
	case !access.MayGive(i.holder, use.role):
		use.problem = input.RoleBeyond
	}
	i.roles[use.role.ID] = use
	return use, nil
}

// refuse notes a bad row.
func (i *Importing) refuse(row BadRow) {
	if i.badCount++; len(i.bad) < MostBadRows {
		i.bad = append(i.bad, row)
	}
}

// importBatch runs a short transaction of an import, and then leaves the one writer of SQLite
// to others for half as long as it has had it: who waits for it there only looks now and then
// whether it is free.
func (s *Service) importBatch(ctx context.Context, change func(*db.Tx) error) error {
	began := time.Now()
	if err := s.DB.Update(ctx, change); err != nil {
		return err
	}
	if s.DB.Engine() != db.SQLite {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(time.Since(began)/2, 50*time.Millisecond)):
		return nil
	}
}

// stage keeps the rows that were read since the last time.
func (i *Importing) stage(ctx context.Context) error {
	rows := i.staged
	i.staged = nil
	if len(rows) > 0 {
		if err := i.s.importBatch(ctx, func(tx *db.Tx) error { return tx.StageRows(ctx, rows) }); err != nil {
			return err
		}
	}
	i.options.Progress(ImportReads, i.rows, 0)
	return nil
}
