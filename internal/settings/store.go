package settings

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"postern/db"
	"postern/internal/input"
)

// pollEvery is how old the settings in memory may be before the database is asked whether
// another process has changed them.
const pollEvery = 500 * time.Millisecond

// Store hands out the settings in force. It is safe for concurrent use.
type Store struct {
	db   *db.DB
	held atomic.Pointer[snapshot]
}

type snapshot struct {
	settings *Settings // nil for none yet
	version  string
	checked  time.Time // by the monotonic clock
}

// NewStore returns a store over the database, which is asked when settings are needed.
func NewStore(d *db.DB) *Store {
	s := &Store{db: d}
	s.Forget()
	return s
}

// Current returns the settings: as saved at once in this process, within a second when
// another one saved them. It fails when the database does.
func (s *Store) Current(ctx context.Context) (*Settings, error) {
	held := s.held.Load()
	if held.settings != nil && time.Since(held.checked) < pollEvery {
		return held.settings, nil
	}
	// The version is read before the values: a change in between is seen next time.
	asked := time.Now()
	version, err := s.db.Reader().Fact(ctx, db.FactSettingsVersion)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return nil, err
	}
	next := &snapshot{version: version, checked: asked}
	if held.settings != nil && held.version == version {
		next.settings = held.settings
	} else {
		stored, err := s.db.Reader().Settings(ctx)
		if err != nil {
			return nil, err
		}
		next.settings = from(stored)
	}
	s.held.CompareAndSwap(held, next) // not what was read before a Forget
	return next.settings, nil
}

// SessionLimits are how long sessions last unused, and at all, at this moment.
func (s *Store) SessionLimits(ctx context.Context, staff bool) (idle, most time.Duration, err error) {
	current, err := s.Current(ctx)
	if err != nil {
		return 0, 0, err
	}
	idle, most = current.SessionLimits(staff)
	return idle, most, nil
}

// Forget makes the next Current ask the database, because something was just saved.
func (s *Store) Forget() { s.held.Store(&snapshot{}) }

// Change is a setting that got another value.
type Change struct{ Key, Old, New string }

// Save stores values by key, all or none, and returns what is different now. Values that
// do not pass are an *input.Error with the keys as names. After the commit the caller says
// Forget.
func Save(ctx context.Context, tx *db.Tx, values map[string]string) ([]Change, error) {
	stored, err := tx.Settings(ctx)
	if err != nil {
		return nil, err
	}
	before := from(stored)
	after, err := before.With(values)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, d := range definitions {
		was, is := d.show(before), d.show(after)
		if was == is {
			continue
		}
		if err := tx.SetSetting(ctx, d.key, is); err != nil {
			return nil, err
		}
		changes = append(changes, Change{d.key, was, is})
	}
	if len(changes) == 0 {
		return nil, nil
	}
	return changes, tx.SettingsChanged(ctx)
}

// With returns the settings as they would be with these values. Those that do not pass are
// an *input.Error with the keys as names, and leave the settings as they are.
func (s *Settings) With(values map[string]string) (*Settings, error) {
	wanted, err := expand(values)
	if err != nil {
		return nil, err
	}
	after := *s
	var problems []input.Field
	for _, d := range definitions {
		if value, ok := wanted[d.key]; ok {
			if field := d.read(&after, value); field.Problem != "" {
				field.Name = d.key
				problems = append(problems, field)
			}
		}
	}
	if len(problems) > 0 {
		return nil, &input.Error{Fields: problems}
	}
	return &after, nil
}

// expand replaces a preset by what it stands for and refuses unknown keys.
func expand(values map[string]string) (map[string]string, error) {
	known := map[string]bool{}
	for _, d := range definitions {
		known[d.key] = true
	}
	expanded := map[string]string{}
	for key, value := range values {
		if key == PresetKey {
			preset, ok := presets[value]
			if !ok {
				return nil, &input.Error{Fields: []input.Field{{Name: key, Problem: input.NotChoice, Choices: []string{"classic", "nist"}}}}
			}
			for k, v := range preset {
				expanded[k] = v
			}
			continue
		}
		if !known[key] {
			return nil, input.Refuse(key, input.NotSetting)
		}
	}
	for key, value := range values { // what is said by itself goes before the preset
		if key != PresetKey {
			expanded[key] = value
		}
	}
	return expanded, nil
}
