package directory

import (
	"context"

	"postern/db"
	"postern/internal/access"
	"postern/internal/audit"
	"postern/internal/settings"
)

// ChangeSettings stores settings by key, all or none, and returns what is different now.
// Values that do not pass are an *input.Error with the keys as names.
func (s *Service) ChangeSettings(ctx context.Context, actor db.Actor, values map[string]string) (changes []settings.Change, err error) {
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		if _, err := require(ctx, tx.Reader, actor, access.SettingsEdit); err != nil {
			return err
		}
		if changes, err = settings.Save(ctx, tx, values); err != nil {
			return err
		}
		for _, change := range changes {
			if err := audit.Record(ctx, tx, audit.Event{Action: audit.SettingChanged, Actor: actor,
				Detail: map[string]string{"key": change.Key, "old": change.Old, "new": change.New}}); err != nil {
				return err
			}
		}
		return nil
	})
	s.Settings.Forget()
	return changes, err
}
