package directory

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"

	"postern/db"
	"postern/internal/access"
	"postern/internal/audit"
	"postern/internal/input"
)

// Finish makes what was read real, all or nothing: with any bad row the report names them
// and nothing is made. Whoever brings no password is invited, if so asked. A dry run only
// says what would be made.
func (i *Importing) Finish(ctx context.Context, invite, dryRun bool) (ImportReport, error) {
	if err := i.clash(ctx); err != nil || i.badCount > 0 {
		return i.refused(), err
	}
	i.report.Users = i.good
	if invite {
		i.report.Invitations = i.good - i.report.Passwords
	}
	if dryRun {
		return i.report, i.countOrganizations(ctx)
	}
	err := i.make(ctx)
	if errors.Is(err, db.ErrTaken) { // by somebody who was made since the look
		err = i.clash(ctx)
		if err == nil && i.badCount == 0 {
			err = db.ErrTaken
		}
	}
	if err != nil || i.badCount > 0 {
		return i.refused(), err
	}
	if err := i.show(ctx, invite); err != nil || i.badCount > 0 {
		return i.refused(), err
	}
	// From here on it is done. What keeps the rest from following is no error of the import:
	// the rest is completed later.
	i.report.Pending, _ = i.s.tidyImport(context.WithoutCancel(ctx), i.options.Progress)
	i.s.MailQueued()
	return i.report, nil
}

// refused is the report on what could not be imported.
func (i *Importing) refused() ImportReport {
	slices.SortFunc(i.bad, func(a, b BadRow) int { return cmp.Compare(a.Line, b.Line) })
	return ImportReport{Bad: i.bad[:min(len(i.bad), MostBadRows)], BadCount: i.badCount}
}

// clash notes the rows that cannot be because of others, or of users who are there.
func (i *Importing) clash(ctx context.Context) error {
	known := !i.holder.Has(access.OrganizationsEdit) // they may make none
	clashes, err := i.s.DB.Reader().Clashes(ctx, known, MostBadRows*2)
	if err != nil || len(clashes) == 0 {
		return err
	}
	rows := map[int]*BadRow{}
	for _, c := range clashes {
		if rows[c.Line] == nil {
			rows[c.Line] = &BadRow{Line: c.Line}
		}
		rows[c.Line].Fields = append(rows[c.Line].Fields, i.clashField(c))
	}
	for _, row := range rows {
		i.bad = append(i.bad, *row)
	}
	count := len(rows)
	if len(clashes) == MostBadRows*2 {
		if count, err = i.s.DB.Reader().CountClashes(ctx, known); err != nil {
			return err
		}
	}
	i.badCount += count
	return nil
}

func (i *Importing) clashField(c db.Clash) input.Field {
	switch c.Kind {
	case db.ClashEmailTwice:
		return input.Field{Name: "email", Problem: input.EmailTwice, Limit: c.Other}
	case db.ClashUsernameTwice:
		return input.Field{Name: "username", Problem: input.UsernameTwice, Limit: c.Other}
	case db.ClashUsernameTaken:
		return input.Field{Name: "username", Problem: input.UsernameTaken}
	case db.ClashNoSuchName:
		return input.Field{Name: "organization", Problem: input.NoSuchOrganization}
	}
	// That an address is taken is said to those alone who see whose it is; here over everybody.
	if i.holder.Has(access.UsersView) {
		return input.Field{Name: "email", Problem: input.EmailTaken}
	}
	return input.Field{Name: "email", Problem: input.EmailUnusable}
}

// countOrganizations counts the organizations that would be made.
func (i *Importing) countOrganizations(ctx context.Context) error {
	for folded := range i.organizations {
		_, err := i.s.DB.Reader().OrganizationByName(ctx, folded)
		if errors.Is(err, db.ErrNotFound) {
			i.report.Organizations++
		} else if err != nil {
			return err
		}
	}
	return nil
}

// make makes all users and their organizations, hidden.
func (i *Importing) make(ctx context.Context) error {
	names := make([]string, 0, len(i.organizations))
	for folded := range i.organizations {
		names = append(names, folded)
	}
	slices.Sort(names)
	for some := range slices.Chunk(names, importBatch) {
		made := 0
		if err := i.s.importBatch(ctx, func(tx *db.Tx) error {
			for _, folded := range some {
				fresh, err := tx.AddHiddenOrganization(ctx, i.organizations[folded], folded)
				if err != nil {
					return err
				}
				if fresh {
					made++
				}
			}
			return nil
		}); err != nil {
			return err
		}
		i.report.Organizations += made
	}
	for after, done := 0, 0; ; {
		last, n, err := i.s.DB.Reader().NextRows(ctx, after, importBatch)
		if err != nil || n == 0 {
			return err
		}
		if err := i.s.importBatch(ctx, func(tx *db.Tx) error { return tx.AddHiddenUsers(ctx, after, last) }); err != nil {
			return err
		}
		after, done = last, done+n
		i.options.Progress(ImportMakes, done, i.good)
	}
}

// errHidden is returned where the hidden users are not those of the file.
var errHidden = errors.New("the users that the import has made are not those of the file")

// show is the one short transaction that makes all of it real. Rows whose role may not be
// given any more come as bad ones.
func (i *Importing) show(ctx context.Context, invite bool) error {
	first, last, n, err := i.s.DB.Reader().HiddenUsers(ctx)
	if err != nil {
		return err
	}
	if n != i.good {
		return errHidden
	}
	err = i.s.DB.Update(ctx, func(tx *db.Tx) error {
		h, err := importer(ctx, tx.Reader, i.actor)
		if err != nil {
			return err
		}
		if err := i.judgeRoles(ctx, tx.Reader, h); err != nil {
			return err
		}
		users, err := tx.ShowImport(ctx, invite, first, last)
		if err != nil {
			return err
		}
		if users != int64(n) {
			return errHidden
		}
		for role := range i.roles {
			if err := closeSetup(ctx, tx, role); err != nil {
				return err
			}
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.UsersImported, Actor: i.actor, Detail: map[string]string{
			"users": strconv.Itoa(i.report.Users), "organizations": strconv.Itoa(i.report.Organizations),
			"passwords": strconv.Itoa(i.report.Passwords), "invitations": strconv.Itoa(i.report.Invitations)}})
	})
	if refused, ok := errors.AsType[*badRowError](err); ok {
		i.refuse(refused.row)
		return nil
	}
	i.shown = err == nil
	i.report.Pending = i.shown
	return err
}

// badRowError carries a bad row out of a transaction.
type badRowError struct{ row BadRow }

func (e *badRowError) Error() string { return "bad row in line " + strconv.Itoa(e.row.Line) }

// judgeRoles looks whether the roles of the file are still what they were, and the actor's
// to give.
func (i *Importing) judgeRoles(ctx context.Context, r db.Reader, h access.Holder) error {
	for id, use := range i.roles {
		if use.problem != "" {
			continue // no good row has it
		}
		role, err := r.Role(ctx, id)
		switch {
		case err != nil:
			return err
		case !access.MayGive(h, role):
			return &badRowError{BadRow{use.first, []input.Field{{Name: "role", Problem: input.RoleBeyond}}}}
		case use.without != 0 && needsOrganization(role):
			return &badRowError{BadRow{use.without, []input.Field{{Name: "organization", Problem: input.NeedsOrganization}}}}
		}
	}
	return nil
}
