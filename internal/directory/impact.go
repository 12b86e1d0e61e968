package directory

import (
	"context"
	"time"

	"postern/db"
	"postern/internal/password"
	"postern/internal/settings"
)

// Effect is what happens to whom when a setting is saved. Its words are found by the key
// and What.
type Effect struct {
	Key  string
	What string
	N    int
}

// What happens to them.
const (
	EffectEnrol         = "enrol"          // must enrol an authenticator with the next click
	EffectNextChange    = "next_change"    // must meet it when they choose their next password
	EffectSignedOut     = "signed_out"     // browsers, at once
	EffectCodeAgain     = "code_again"     // trusted browsers, at once
	EffectTrustKept     = "trust_kept"     // trusted browsers keep what they were given
	EffectNoRecovery    = "no_recovery"    // cannot ask for a reset link themselves
	EffectNoLink        = "no_link"        // are told whom to ask instead
	EffectNoUsername    = "no_username"    // give their address instead
	EffectNoChange      = "no_change"      // cannot change their password themselves
	EffectEventsRemoved = "events_removed" //
	EffectMailsRemoved  = "mails_removed"  //
)

// Scale weighs settings that are stricter than those in force.
type Scale struct {
	r      db.Reader
	now    db.Time
	before *settings.Settings
	people db.People
}

// Scale returns a scale for the settings in force. It counts people once, however much is
// weighed on it.
func (s *Service) Scale(ctx context.Context, before *settings.Settings) (Scale, error) {
	people, err := s.DB.Reader().People(ctx)
	return Scale{r: s.DB.Reader(), now: s.DB.Now(), before: before, people: people}, err
}

// Weigh says whom the settings would touch.
func (s Scale) Weigh(ctx context.Context, after *settings.Settings) ([]Effect, error) {
	i := impact{Scale: s, ctx: ctx, after: after}
	i.recovery()
	i.passwords()
	for _, judge := range []func() error{i.secondFactor, i.sessions, i.retention} {
		if err := judge(); err != nil {
			return nil, err
		}
	}
	return i.effects, nil
}

// impact is one weighing.
type impact struct {
	Scale
	ctx     context.Context
	after   *settings.Settings
	effects []Effect
}

// add notes an effect; one on nobody is none.
func (i *impact) add(key, what string, n int) {
	if n > 0 {
		i.effects = append(i.effects, Effect{Key: key, What: what, N: n})
	}
}

func (i *impact) everybody() int { return i.people.Customers + i.people.Staff }

func (i *impact) recovery() {
	b, a := i.before, i.after
	if b.RecoveryEnabled && !a.RecoveryEnabled {
		i.add("recovery.enabled", EffectNoRecovery, i.everybody())
	}
	if b.RecoveryIdentifyBy != a.RecoveryIdentifyBy && a.RecoveryIdentifyBy == settings.ByEmailAndUsername {
		i.add("recovery.identify_by", EffectNoUsername, i.people.WithoutUsername)
	}
	if !b.RecoveryConfirmUsername && a.RecoveryConfirmUsername {
		i.add("recovery.confirm_username", EffectNoUsername, i.people.WithoutUsername)
	}
	if !b.RecoveryRequirePriorSignIn && a.RecoveryRequirePriorSignIn {
		i.add("recovery.require_prior_sign_in", EffectNoLink, i.people.NeverSignedIn)
	}
}

// passwords touch nobody who has one already: nobody knows what it is.
func (i *impact) passwords() {
	b, a := i.before, i.after
	if b.PasswordChangeEnabled && !a.PasswordChangeEnabled {
		i.add("password.change_enabled", EffectNoChange, i.everybody())
	}
	without := i.people.CustomersWithoutFactor + i.people.StaffWithoutFactor
	for _, rule := range []struct {
		key      string
		stricter bool
		n        int
	}{
		{"password.min_length", a.PasswordMinLength > b.PasswordMinLength, i.everybody()},
		{"password.min_length_without_mfa", a.PasswordPolicy(false).MinLength > b.PasswordPolicy(false).MinLength, without},
		{"password.require_upper", a.PasswordRequireUpper && !b.PasswordRequireUpper, i.everybody()},
		{"password.require_lower", a.PasswordRequireLower && !b.PasswordRequireLower, i.everybody()},
		{"password.require_digit", a.PasswordRequireDigit && !b.PasswordRequireDigit, i.everybody()},
		{"password.require_special", a.PasswordRequireSpecial && !b.PasswordRequireSpecial, i.everybody()},
		{"password.min_strength", a.PasswordMinStrength > b.PasswordMinStrength, i.everybody()},
		{"password.breach_check", b.PasswordBreachCheck == string(password.BreachOff) && a.PasswordBreachCheck != b.PasswordBreachCheck, i.everybody()},
	} {
		if rule.stricter {
			i.add(rule.key, EffectNextChange, rule.n)
		}
	}
}

func (i *impact) secondFactor() error {
	if i.before.MFARequiredFor != i.after.MFARequiredFor && i.after.MFARequiredFor == settings.RequiredForEveryone {
		i.add("mfa.required_for", EffectEnrol, i.people.CustomersWithoutFactor)
	}
	if i.after.MFATrustDeviceDays >= i.before.MFATrustDeviceDays {
		return nil
	}
	trusted, err := i.r.CountTrusted(i.ctx, i.now)
	what := EffectTrustKept
	if i.after.MFATrustDeviceDays == 0 {
		what = EffectCodeAgain
	}
	i.add("mfa.trust_device_days", what, trusted)
	return err
}

// sessions that are older than the new limits end with the next click.
func (i *impact) sessions() error {
	for _, limit := range []struct {
		staff          bool
		idleKey, mxKey string
	}{{false, "session.idle_minutes", "session.max_hours"}, {true, "session.staff_idle_minutes", "session.staff_max_hours"}} {
		idle, most := i.before.SessionLimits(limit.staff)
		newIdle, newMost := i.after.SessionLimits(limit.staff)
		for _, one := range []struct {
			key        string
			idle, most time.Duration
		}{{limit.idleKey, min(idle, newIdle), most}, {limit.mxKey, idle, min(most, newMost)}} {
			if one.idle == idle && one.most == most {
				continue
			}
			live, err := i.r.CountSessions(i.ctx, limit.staff, i.now, idle, most)
			if err != nil {
				return err
			}
			left, err := i.r.CountSessions(i.ctx, limit.staff, i.now, one.idle, one.most)
			if err != nil {
				return err
			}
			i.add(one.key, EffectSignedOut, live-left)
		}
	}
	return nil
}

func (i *impact) retention() error {
	for _, kept := range []struct {
		key           string
		before, after int
		what          string
		count         func(context.Context, db.Time) (int, error)
	}{
		{"retention.audit_days", i.before.RetentionAuditDays, i.after.RetentionAuditDays, EffectEventsRemoved, i.r.CountOldEvents},
		{"retention.mail_days", i.before.RetentionMailDays, i.after.RetentionMailDays, EffectMailsRemoved, i.r.CountFinishedMail},
	} {
		if kept.after == 0 || kept.before != 0 && kept.after >= kept.before {
			continue
		}
		n, err := kept.count(i.ctx, i.now.Add(-time.Duration(kept.after)*24*time.Hour))
		if err != nil {
			return err
		}
		i.add(kept.key, kept.what, n)
	}
	return nil
}
