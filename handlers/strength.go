package handlers

import (
	"errors"

	"postern/db"
	"postern/internal/account"
	"postern/internal/password"
	"postern/views"
)

// strength judges a password while it is typed, for whoever may set one right now. It is
// the judgement of the submit, but for an online check.
func (s *Server) strength(q *request) error {
	user, err := s.chooser(q)
	if err != nil {
		return err
	}
	var confirm *string
	if q.fields.Has("confirm") {
		typed := q.field("confirm")
		confirm = &typed
	}
	policy, report, err := s.Account.Look(q.Context(), user, q.field("password"), confirm)
	if err != nil {
		return err
	}
	// One element for everybody: there is no page around it.
	return views.StrengthFragment(strengthView(policy, report, q.field("password") != "")).Render(q.Context(), q.w)
}

// chooser is who may set a password now: who is signed in, who holds a link, or who sets
// the portal up. Everybody else finds nothing here.
func (s *Server) chooser(q *request) (db.User, error) {
	switch q.field("for") {
	case "account":
		if q.current != nil && !account.FactorOwed(q.current.User, q.settings) {
			return q.current.User, nil
		}
	case "link":
		_, user, err := s.Account.OpenLink(q.Context(), db.PurposeInvitation, q.link())
		if errors.Is(err, account.ErrDeadLink) {
			_, user, err = s.openLink(q, db.PurposeReset)
		}
		if !errors.Is(err, account.ErrDeadLink) {
			return user, err
		}
	case "setup":
		err := s.Account.SetupOffered(q.Context(), q.link())
		if !errors.Is(err, account.ErrDeadLink) {
			// The name that the portal is about to get is as little of a secret.
			return db.User{Name: q.field("name"), Email: q.field("email"), Username: q.field("username"), Organization: q.field("portal_name")}, err
		}
	}
	return db.User{}, errNotFound
}

// newPassword is the part of a form in which the user chooses a password.
func (s *Server) newPassword(q *request, user db.User, whose, label string, wrong views.Errors) (views.NewPassword, error) {
	none := ""
	policy, report, err := s.Account.Look(q.Context(), user, none, &none)
	return views.NewPassword{For: whose, Label: label, Errors: wrong, Strength: strengthView(policy, report, false)}, err
}

func strengthView(policy password.Policy, report password.Report, typed bool) views.Strength {
	view := views.Strength{Score: report.Score, Typed: typed, Advice: string(report.Advice), TooLong: report.TooLong}
	for _, requirement := range report.Requirements {
		line := views.Requirement{Rule: string(requirement.Rule), Met: requirement.Met}
		if requirement.Rule == password.RuleLength {
			line.Limit = policy.MinLength
		}
		view.Requirements = append(view.Requirements, line)
	}
	return view
}
