package handlers

import (
	"errors"
	"strconv"
	"time"

	"postern/db"
	"postern/internal/access"
	"postern/internal/audit"
	"postern/internal/settings"
	"postern/views"
)

const (
	overviewDays = 30
	oneDay       = 24 * time.Hour

	// mailFailedFor is how long a mail that was given up is worth a look.
	mailFailedFor = 7 * oneDay
	// mailWaitsLong is beyond the first few attempts after a passing trouble.
	mailWaitsLong = 15 * time.Minute
	// lonelyShown is how many organizations are named; the list of all has the rest.
	lonelyShown = 5
)

// Refused sign-ins rise when there were three times as many in a day as on an average day of
// the thirty before, which no Monday after a quiet weekend reaches, and no fewer than twenty,
// or ten within one organization: below that a handful of people mistyping would raise it.
const (
	risingTimes               = 3
	risingLeast               = 20
	risingLeastOfOrganization = 10
)

// overview gathers what the actor should look at, within what they may see.
type overview struct {
	s     *Server
	q     *request
	h     access.Holder
	now   db.Time
	needs []views.Need

	counts []views.Count
}

// need notes something that needs attention; without an address it leads nowhere.
func (o *overview) need(text, label, address string) {
	o.needs = append(o.needs, views.Need{Text: text, Label: label, Address: address})
}

// everywhere says whether the actor holds a permission over everybody.
func (o *overview) everywhere(p access.Permission) bool { return o.h.Over() == 0 && o.h.Has(p) }

func (s *Server) showOverview(q *request) error {
	o := overview{s: s, q: q, h: q.holder(), now: s.DB.Now()}
	for _, look := range []func() error{o.shut, o.portal, o.mail, o.users, o.organizations, o.events} {
		if err := look(); err != nil {
			return err
		}
	}
	return q.page(views.Overview(views.OverviewPage{Frame: q.inAdmin("Administration", "/admin"), Needs: o.needs, Counts: o.counts}))
}

// portal looks at what those who run the portal see to.
func (o *overview) portal() error {
	if !o.everywhere(access.SettingsEdit) {
		return nil
	}
	if !o.q.settings.SupportSet() {
		o.need(views.NeedSupport, "Set one", settingsPath+"#support")
	}
	details, err := o.s.Ready(o.q.Context())
	if err != nil {
		details = append(details, views.NotReadyText)
	}
	for _, detail := range details {
		o.need(views.NeedOperator(detail), "", "")
	}
	forwarder, err := o.s.DB.Reader().Fact(o.q.Context(), db.FactForwarder)
	if errors.Is(err, db.ErrNotFound) {
		return nil
	} else if err == nil {
		o.need(views.NeedForwarder(forwarder), "", "")
	}
	return err
}

func (o *overview) mail() error {
	if !o.everywhere(access.MailView) {
		return nil
	}
	if !o.s.Mail.Sends() {
		o.need(views.NeedMailServer, "See the mail that waits", mailPath+"?state=queued")
	}
	failed, err := o.s.DB.Reader().CountFailedMail(o.q.Context(), o.now.Add(-mailFailedFor))
	if err != nil {
		return err
	}
	if failed > 0 {
		o.need(views.NeedFailedMail(failed, int(mailFailedFor/oneDay)), "See failed mail", mailPath+"?state=failed")
	}
	waiting, err := o.s.DB.Reader().CountWaitingMail(o.q.Context(), o.now.Add(-mailWaitsLong))
	if waiting > 0 && o.s.Mail.Sends() {
		o.need(views.NeedWaitingMail(waiting, views.Duration(mailWaitsLong)), "See waiting mail", mailPath+"?state=queued")
	}
	return err
}

// shut looks at the accounts that somebody else may have been in: nothing is more urgent.
func (o *overview) shut() error {
	if !o.h.Has(access.UsersView) {
		return nil
	}
	return o.needUsers(db.UserFilter{Status: "shut"}, views.NeedShut, "status=shut")
}

// needUsers notes that there are users of a kind, if there are any.
func (o *overview) needUsers(filter db.UserFilter, text func(int) string, query string) error {
	filter.Over = o.h.Over()
	n, err := o.s.DB.Reader().CountUsers(o.q.Context(), filter)
	if err == nil && n > 0 {
		o.need(text(n), "See who", usersPath+"?"+query)
	}
	return err
}

// users looks at the other users in sight. What is counted is what the list behind the link shows.
func (o *overview) users() error {
	if !o.h.Has(access.UsersView) {
		return nil
	}
	for _, look := range []struct {
		filter db.UserFilter
		text   func(int) string
		query  string
		skip   bool
	}{
		{db.UserFilter{Status: "active", SecondFactor: "owed"}, views.NeedStaffFactor, "status=active&mfa=owed", false},
		{db.UserFilter{Status: "active", SecondFactor: "no"}, views.NeedFactor, "status=active&mfa=no",
			o.q.settings.MFARequiredFor != settings.RequiredForEveryone},
		{db.UserFilter{Status: "active", SecondFactor: "no_codes"}, views.NeedCodes, "status=active&mfa=no_codes", false},
	} {
		if look.skip {
			continue
		}
		if err := o.needUsers(look.filter, look.text, look.query); err != nil {
			return err
		}
	}
	return nil
}

func (o *overview) organizations() error {
	if !o.h.Has(access.UsersView) && !o.h.Has(access.OrganizationsEdit) {
		return nil
	}
	first, none, one, err := o.s.DB.Reader().LonelyOrganizations(o.q.Context(), o.h.Over(), lonelyShown)
	if err != nil || len(first) == 0 {
		return err
	}
	if o.h.Over() != 0 {
		o.need(views.NeedSecondAdministrator(first[0].Name, first[0].Administrators), "", "")
		return nil
	}
	address, label := "", ""
	if o.h.Has(access.OrganizationsEdit) {
		address, label = organizationsPath, "See organizations"
		if len(first) == 1 {
			address, label = organizationsPath+"/"+strconv.FormatInt(first[0].ID, 10), "See it"
		}
	}
	var names []string
	for _, organization := range first {
		names = append(names, organization.Name)
	}
	o.need(views.NeedAdministrators(none, one, names), label, address)
	return nil
}

// happened is how often something was done or refused, by action.
type happened map[audit.Action]int

// history counts the last day, the days before it that belong to the last thirty, and the
// one day more that makes them thirty without the last.
func (o *overview) history() (today, month, more happened, err error) {
	ends := []db.Time{o.now + 1, o.now.Add(-oneDay), o.now.Add(-overviewDays * oneDay), o.now.Add(-(overviewDays + 1) * oneDay)}
	spans := []happened{{}, {}, {}}
	for i, span := range spans {
		counts, err := o.s.DB.Reader().CountActions(o.q.Context(), o.h.Over(), ends[i+1], ends[i])
		if err != nil {
			return nil, nil, nil, err
		}
		for _, c := range counts {
			span[audit.Action(c.Action)] += c.N
		}
	}
	return spans[0], spans[1], spans[2], nil
}

// events counts what happened in the last thirty days, and compares the refused sign-ins of
// a day with those of the days before it.
func (o *overview) events() error {
	if !o.h.Has(access.UsersView) && !o.h.Has(access.AuditView) {
		return nil
	}
	today, month, more, err := o.history()
	if err != nil {
		return err
	}
	for _, line := range countedActions {
		count := views.Count{Label: line.label}
		for _, action := range line.actions {
			count.N += today[action] + month[action]
		}
		o.counts = append(o.counts, count)
	}
	o.signIns(today[audit.SignInRefused], month[audit.SignInRefused]+more[audit.SignInRefused])
	return nil
}

func (o *overview) signIns(today, before int) {
	least := risingLeast
	if o.h.Over() != 0 {
		least = risingLeastOfOrganization
	}
	if today < least || today*overviewDays <= risingTimes*before {
		return
	}
	label, address := "", ""
	if o.h.Has(access.AuditView) {
		label, address = "See them", "/admin/audit?action="+string(audit.SignInRefused)
	}
	o.need(views.NeedRefused(today, (before+overviewDays/2)/overviewDays), label, address)
}

// countedActions are what is counted, each line over several actions.
var countedActions = []struct {
	label   string
	actions []audit.Action
}{
	{"Sign-ins", []audit.Action{audit.SignedIn}},
	{"Sign-ins refused", []audit.Action{audit.SignInRefused}},
	{"Reset links asked for", []audit.Action{audit.RecoveryRequested}},
	{"Reset links sent by staff", []audit.Action{audit.ResetLinkIssued}},
	{"Passwords reset", []audit.Action{audit.PasswordReset}},
	{"Users made", []audit.Action{audit.UserCreated, audit.UserImported}},
	{"Invitations sent", []audit.Action{audit.UserInvited}},
	{"Invitations accepted", []audit.Action{audit.InvitationAccepted}},
	{"Authenticators enrolled", []audit.Action{audit.AuthenticatorEnrolled}},
	{"Authenticators reset by staff", []audit.Action{audit.AuthenticatorReset}},
	{"“This was not me”", []audit.Action{audit.NotMeReported}},
}
