package directory

import (
	"context"
	"errors"

	"postern/db"
	"postern/internal/audit"
)

// TidyImport takes back what is left of an import that was cut off, or completes one whose
// users are real already. While one is under way it does nothing.
func (s *Service) TidyImport(ctx context.Context) error {
	if _, err := s.DB.Reader().Import(ctx); errors.Is(err, db.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	unlock, err := s.DB.LockImport(ctx)
	if errors.Is(err, db.ErrImporting) {
		return nil
	} else if err != nil {
		return err
	}
	defer unlock()
	_, err = s.tidyImport(ctx, func(ImportStep, int, int) {})
	s.MailQueued()
	return err
}

// tidyImport is TidyImport under the lock. It says whether something is left to complete.
func (s *Service) tidyImport(ctx context.Context, progress func(ImportStep, int, int)) (pending bool, err error) {
	left, err := s.DB.Reader().Import(ctx)
	if errors.Is(err, db.ErrNotFound) {
		return false, nil
	} else if err != nil {
		return true, err
	}
	if left.MadeAt != 0 {
		err = s.completeImport(ctx, left, progress)
	} else {
		err = s.takeBackImport(ctx)
	}
	if err != nil {
		return true, err
	}
	err = s.DB.Update(ctx, func(tx *db.Tx) error { return tx.DropImport(ctx) })
	return err != nil, err
}

// takeBackImport removes all that an import has made, which nobody has seen.
func (s *Service) takeBackImport(ctx context.Context) error {
	for {
		last, n, err := s.DB.Reader().NextRows(ctx, 0, importBatch)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if err := s.importBatch(ctx, func(tx *db.Tx) error {
			if err := tx.DropHiddenUsers(ctx, last); err != nil {
				return err
			}
			return tx.DropRows(ctx, last)
		}); err != nil {
			return err
		}
	}
	for {
		var n int64
		if err := s.importBatch(ctx, func(tx *db.Tx) (err error) {
			n, err = tx.DropHiddenOrganizations(ctx, importBatch)
			return err
		}); err != nil || n == 0 {
			return err
		}
	}
}

// completeImport writes the events and invitations of what an import made. Each batch
// forgets its rows, so that nothing is written twice.
func (s *Service) completeImport(ctx context.Context, left db.Import, progress func(ImportStep, int, int)) error {
	if err := s.recordOrganizations(ctx, left); err != nil {
		return err
	}
	_, _, total, err := s.DB.Reader().HiddenUsers(ctx)
	if err != nil {
		return err
	}
	for done := 0; ; {
		last, n, err := s.DB.Reader().NextRows(ctx, 0, importBatch)
		if err != nil || n == 0 {
			return err
		}
		if err := s.importBatch(ctx, func(tx *db.Tx) error { return recordRows(ctx, tx, left, last) }); err != nil {
			return err
		}
		done += n
		progress(ImportRecords, done, total)
	}
}

func (s *Service) recordOrganizations(ctx context.Context, left db.Import) error {
	for {
		some, err := s.DB.Reader().RecordableOrganizations(ctx, importBatch)
		if err != nil || len(some) == 0 {
			return err
		}
		if err := s.importBatch(ctx, func(tx *db.Tx) error {
			for _, o := range some {
				if err := tx.OrganizationRecorded(ctx, o.ID); err != nil {
					return err
				}
				if err := audit.Record(ctx, tx, audit.Event{Action: audit.OrganizationCreated, Actor: left.Actor, OrganizationID: o.ID,
					Detail: map[string]string{"name": o.Name}}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
}

// recordRows writes the events and invitations of the rows up to a line.
func recordRows(ctx context.Context, tx *db.Tx, left db.Import, last int) error {
	roles, err := tx.StagedRoles(ctx, last)
	if err != nil {
		return err
	}
	for _, role := range roles {
		e := audit.Event{Action: audit.UserImported, Actor: left.Actor, Detail: map[string]string{"role": role}}
		if err := audit.RecordImported(ctx, tx, e, role, false, last); err != nil {
			return err
		}
		if !left.Invite {
			continue
		}
		e = audit.Event{Action: audit.UserInvited, Actor: left.Actor}
		if err := audit.RecordImported(ctx, tx, e, role, true, last); err != nil {
			return err
		}
	}
	if left.Invite {
		if err := tx.EnqueueInvitations(ctx, last); err != nil {
			return err
		}
	}
	return tx.DropRows(ctx, last)
}
