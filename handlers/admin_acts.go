package handlers

import (
	"errors"
	"net/http"
	"net/url"

	"postern/db"
	"postern/internal/access"
	"postern/internal/directory"
	"postern/views"
)

// adminAct is something that staff do to a user: one form, one use case.
type adminAct struct {
	path     string // last part of the address
	act      access.Act
	needs    access.Permission
	proof    bool // fresh proof is needed
	reason   bool // a reason is asked for
	must     bool // and must be given
	email    bool // the address is typed again
	danger   bool
	notice   views.Notice
	to       func(db.User) bool // for whom it makes sense
	do       func(s *Server, q *request, u db.User) error
	leavesTo string // where to go afterwards; empty for the user's page
}

var (
	anyUser    = func(db.User) bool { return true }
	isActive   = func(u db.User) bool { return u.Active }
	isInactive = func(u db.User) bool { return !u.Active }
	isInvited  = func(u db.User) bool { return u.Active && u.PasswordSetAt == 0 }
	hasFactor  = func(u db.User) bool { return u.SecondFactor }
)

// adminActs are all of them, in the order of the buttons.
var adminActs = []adminAct{
	{path: "send-reset", act: access.ResetPassword, needs: access.UsersResetPassword, notice: views.NoticeResetSent, to: anyUser,
		do: func(s *Server, q *request, u db.User) error {
			return s.Directory.SendReset(q.Context(), q.actor(), u.ID)
		}},
	{path: "resend-invitation", act: access.Invite, needs: access.UsersEdit, notice: views.NoticeInvitationSent, to: isInvited,
		do: func(s *Server, q *request, u db.User) error {
			return s.Directory.ResendInvitation(q.Context(), q.actor(), u.ID)
		}},
	{path: "withdraw-invitation", act: access.Invite, needs: access.UsersEdit, reason: true, notice: views.NoticeInvitationWithdrawn, to: isInvited,
		do: func(s *Server, q *request, u db.User) error {
			return s.Directory.WithdrawInvitation(q.Context(), q.actor(), u.ID, q.field("reason"))
		}},
	{path: "reset-totp", act: access.ResetTOTP, needs: access.UsersResetTOTP, proof: true, reason: true, must: true, danger: true,
		notice: views.NoticeTOTPReset, to: hasFactor,
		do: func(s *Server, q *request, u db.User) error {
			return s.Directory.ResetTOTP(q.Context(), q.actor(), u.ID, q.field("reason"))
		}},
	{path: "unlock", act: access.Unlock, needs: access.UsersEdit, reason: true, notice: views.NoticeUnlocked, to: anyUser,
		do: func(s *Server, q *request, u db.User) error {
			return s.Directory.Unlock(q.Context(), q.actor(), u.ID, q.field("reason"))
		}},
	{path: "end-sessions", act: access.EndSessions, needs: access.UsersEdit, reason: true, notice: views.NoticeUserSignedOut, to: isActive,
		do: func(s *Server, q *request, u db.User) error {
			return s.Directory.EndSessions(q.Context(), q.actor(), u.ID, q.field("reason"))
		}},
	{path: "revoke-links", act: access.RevokeLinks, needs: access.UsersEdit, reason: true, notice: views.NoticeLinksRevoked, to: anyUser,
		do: func(s *Server, q *request, u db.User) error {
			return s.Directory.RevokeLinks(q.Context(), q.actor(), u.ID, q.field("reason"))
		}},
	{path: "activate", act: access.Activate, needs: access.UsersEdit, reason: true, notice: views.NoticeActivated, to: isInactive,
		do: func(s *Server, q *request, u db.User) error {
			return s.Directory.Activate(q.Context(), q.actor(), u.ID, q.field("reason"))
		}},
	{path: "deactivate", act: access.Deactivate, needs: access.UsersEdit, reason: true, danger: true, notice: views.NoticeDeactivated, to: isActive,
		do: func(s *Server, q *request, u db.User) error {
			return s.Directory.Deactivate(q.Context(), q.actor(), u.ID, q.field("reason"))
		}},
	{path: "delete", act: access.Delete, needs: access.UsersEdit, proof: true, reason: true, email: true, danger: true,
		notice: views.NoticeDeleted, to: anyUser, leavesTo: usersPath,
		do: func(s *Server, q *request, u db.User) error {
			return s.Directory.Delete(q.Context(), q.actor(), u.ID, q.field("email"), q.field("reason"))
		}},
}

// actRoutes are the routes of all acts: the form, and the act itself.
func (s *Server) actRoutes() []route {
	var routes []route
	for _, a := range adminActs {
		routes = append(routes,
			route{pattern: "GET /admin/users/{id}/" + a.path, who: may(a.needs), handle: func(q *request) error { return s.showAct(q, a) }},
			route{pattern: "POST /admin/users/{id}/" + a.path, who: may(a.needs), handle: func(q *request) error { return s.runAct(q, a) }})
	}
	return routes
}

// actButtons are what the actor can do to the user, and why no reset link can be sent.
func (s *Server) actButtons(q *request, h access.Holder, u db.User) (buttons []views.ActButton, noReset string, err error) {
	for _, a := range adminActs {
		if access.Decide(h, a.act, u) != access.Allowed || !a.to(u) {
			continue
		}
		if a.act == access.ResetPassword {
			reason, err := s.Directory.WhyNoReset(q.Context(), u)
			if err != nil {
				return nil, "", err
			}
			if reason != "" {
				noReset = views.NoResetText(string(reason))
				continue
			}
		}
		buttons = append(buttons, views.ActButton{Act: a.path, Label: views.ActLabel(a.path), Danger: a.danger})
	}
	return buttons, noReset, nil
}

func (s *Server) showAct(q *request, a adminAct) error {
	user, err := s.target(q, a.act)
	if err != nil {
		return err
	}
	if a.proof && !q.proven() {
		return q.toReauthenticate()
	}
	return s.renderAct(q, http.StatusOK, a, user, q.typedBefore(), nil)
}

func (s *Server) renderAct(q *request, code int, a adminAct, u db.User, typed url.Values, wrong views.Errors) error {
	frame := q.inAdmin(views.ActLabel(a.path), usersPath)
	frame.Failed = len(wrong) > 0
	return q.render(code, views.Act(views.ActPage{Frame: frame, ID: u.ID, Act: a.path, Question: views.ActQuestion(a.path, u.Name),
		Button: views.ActLabel(a.path), Danger: a.danger, AskReason: a.reason, ReasonOptional: !a.must, AskEmail: a.email,
		Reason: typed.Get("reason"), Email: typed.Get("email"), Errors: wrong}))
}

func (s *Server) runAct(q *request, a adminAct) error {
	user, err := s.target(q, a.act)
	if err != nil {
		return err
	}
	if a.proof && !q.proven() {
		return q.toReauthenticate()
	}
	if err := a.do(s, q, user); err != nil {
		wrong, code, ok := q.actProblems(a, err)
		if !ok {
			return notThere(err)
		}
		return s.renderAct(q, code, a, user, q.fields, wrong)
	}
	q.notify(a.notice)
	if a.leavesTo != "" {
		return q.goTo(a.leavesTo)
	}
	return q.goTo(userPath(user.ID))
}

// actProblems is userProblems, with what can keep an act from being done.
func (q *request) actProblems(a adminAct, err error) (views.Errors, int, bool) {
	refused := func(text string) (views.Errors, int, bool) {
		return views.Errors{{Text: text}}, http.StatusUnprocessableEntity, true
	}
	if no, ok := errors.AsType[*directory.NoResetError](err); ok {
		if a.path == "resend-invitation" {
			return refused(views.NoInvitationText(string(no.Reason)))
		}
		return refused(views.NoResetText(string(no.Reason)))
	}
	switch {
	case errors.Is(err, directory.ErrNotInvited):
		return refused(views.NotInvitedText)
	case errors.Is(err, directory.ErrNoAuthenticator):
		return refused(views.NoAuthenticatorText)
	}
	return q.userProblems(err)
}
