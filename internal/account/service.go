// Package account is what a person does with their own account: sign in, get back in,
// change it, and say "this was not me". Every exported method is a use case with one
// transaction, in which state, audit event and mail change together or not at all. It must
// never let a mail alone sign somebody in, nor tell a stranger whether an account exists.
package account

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"

	"postern/db"
	"postern/internal/input"
	"postern/internal/password"
	"postern/internal/seal"
	"postern/internal/settings"
	"postern/internal/throttle"
)

// ErrSwitchedOff is returned for what the settings do not allow.
var ErrSwitchedOff = errors.New("switched off by the settings")

// ErrDeadLink is returned for a link that is unknown, mangled, expired, used, revoked or
// meant for something else: nobody learns which.
var ErrDeadLink = errors.New("the link does not work")

// Service holds what the use cases need.
type Service struct {
	DB       *db.DB
	Settings *settings.Store
	Hasher   *password.Hasher
	Judge    *password.Judge
	Throttle *throttle.Throttle
	// Log hears of password hashes that cannot be used.
	Log *slog.Logger
	// Key seals the secrets of authenticators.
	Key seal.Key
	// Host is the portal's host name; its words are refused in passwords.
	Host string
	// MailQueued tells the outbox worker of this process that there is work.
	MailQueued func()

	owned atomic.Bool // there has been an owner
}

// Visit is what is known of a request.
type Visit struct {
	Actor   db.Actor
	Address netip.Addr
	Browser string // the browser's token; empty or mangled when it has none
}

// unnamed is the visit for what a mailed link allows: a link says whose it is, not who
// holds it, even where the browser is signed in.
func (v Visit) unnamed() Visit {
	v.Actor.Kind, v.Actor.UserID, v.Actor.SessionID = db.ActorVisitor, 0, 0
	return v
}

// update runs a use case's transaction and wakes the worker for the mail it queued.
func (s *Service) update(ctx context.Context, change func(*db.Tx) error) error {
	err := s.DB.Update(ctx, change)
	if err == nil {
		s.MailQueued()
	}
	return err
}

// NewPassword is a form in which somebody chooses a password.
type NewPassword struct{ Password, Confirm string }

// Choose judges a new password of the user and returns its hash; one that is refused is an
// *input.Error that names the rules it does not meet.
func (s *Service) Choose(ctx context.Context, lane password.Lane, u db.User, form NewPassword) (hash string, err error) {
	current, err := s.Settings.Current(ctx)
	if err != nil {
		return "", err
	}
	if form.Password == "" {
		return "", input.Refuse("password", input.Missing)
	}
	policy := current.PasswordPolicy(u.SecondFactor)
	report, err := s.Judge.Check(ctx, policy,
		password.Choice{Password: form.Password, Confirm: &form.Confirm, Words: current.ForbiddenWords(u, s.Host)})
	if err != nil {
		return "", err
	}
	if !report.Accepted() {
		return "", refused(report, policy)
	}
	return s.Hasher.Hash(ctx, lane, form.Password)
}

// refused turns a report into what is wrong with the two fields.
func refused(report password.Report, policy password.Policy) error {
	if report.TooLong {
		return &input.Error{Fields: []input.Field{{Name: "password", Problem: input.PasswordTooLong, Limit: password.MaxLength}}}
	}
	weak := input.Field{Name: "password", Problem: input.WeakPassword, Limit: policy.MinLength}
	differs := false
	for _, requirement := range report.Requirements {
		switch {
		case requirement.Met:
		case requirement.Rule == password.RuleMatch:
			differs = true
		default:
			weak.Choices = append(weak.Choices, string(requirement.Rule))
		}
	}
	var e input.Error
	if len(weak.Choices) > 0 {
		e.Fields = append(e.Fields, weak)
	}
	if differs {
		e.Fields = append(e.Fields, input.Field{Name: "confirm", Problem: input.PasswordsDiffer})
	}
	return &e
}

// Look judges what somebody types as a new password, by the rules that hold for them.
func (s *Service) Look(ctx context.Context, u db.User, typed string, confirm *string) (password.Policy, password.Report, error) {
	current, err := s.Settings.Current(ctx)
	if err != nil {
		return password.Policy{}, password.Report{}, err
	}
	policy := current.PasswordPolicy(u.SecondFactor)
	report, err := s.Judge.Look(ctx, policy, password.Choice{Password: typed, Confirm: confirm, Words: current.ForbiddenWords(u, s.Host)})
	return policy, report, err
}
