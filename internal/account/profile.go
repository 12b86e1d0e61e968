package account

import (
	"context"

	"postern/db"
	"postern/internal/audit"
	"postern/internal/input"
)

// Profile is the form in which a user tells about themselves.
type Profile struct {
	Name, Phone, TimeZone string
	NotifySignIn          string // true, false, or empty to leave it
}

// ChangeProfile stores name, telephone and time zone. What does not pass is an *input.Error.
func (s *Service) ChangeProfile(ctx context.Context, actor db.Actor, user db.User, form Profile) error {
	var checks input.Checks
	name, problem := input.Name(form.Name)
	checks.Add("name", problem)
	phone, problem := input.Phone(form.Phone)
	checks.Add("phone", problem)
	zone, problem := input.TimeZone(form.TimeZone)
	checks.Add("time_zone", problem)
	notify := user.NotifySignIn
	switch form.NotifySignIn {
	case "":
	case "true", "false":
		notify = form.NotifySignIn == "true"
	default:
		checks.Add("notify_sign_in", input.NotBoolean)
	}
	if err := checks.Err(); err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		profile := db.Profile{Name: name, Phone: phone, TimeZone: zone, NotifySignIn: notify}
		if err := tx.SetProfile(ctx, user.ID, profile); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.ProfileChanged, Actor: actor, User: user})
	})
}
