package handlers

import "postern/internal/access"

// who says who may use a route.
type who struct {
	kind       visitorKind
	permission access.Permission // needed for may
	owing      bool              // also while an enrolment is owed
	factor     bool              // there for those with an authenticator alone
}

type visitorKind int

const (
	anybody        visitorKind = iota
	anybodyUnread              // everybody, and nobody's session matters
	onThisMachine              // visitors from this machine, while mail is kept on it
	halfSignedIn               // the password was given, the code is owed
	withAnySession             // signed in, or half so
	isSignedIn
	isFreshlyProven
	holdsPermission
)

var (
	public      = who{kind: anybody}
	asset       = who{kind: anybodyUnread}
	thisMachine = who{kind: onThisMachine}
	codeOwed    = who{kind: halfSignedIn}
	anySession  = who{kind: withAnySession, owing: true}
	signedIn    = who{kind: isSignedIn}
	freshProof  = who{kind: isFreshlyProven}
	ownFactor   = who{kind: isFreshlyProven, factor: true}
)

// may is for holders of a permission. What they may see and do of it is decided by the use
// case; where fresh proof is needed the handler asks for it, after that.
func may(permission access.Permission) who { return who{kind: holdsPermission, permission: permission} }

// staff is for holders of any permission.
var staff = who{kind: holdsPermission}

// evenOwing lets somebody who must enrol an authenticator first use the route.
func evenOwing(w who) who {
	w.owing = true
	return w
}

// route is one line of the table.
type route struct {
	pattern string
	who     who
	handle  func(*request) error
}

// routes is every address of the portal, and who may use it. A GET on an act shows its form
// or confirmation, behind the same guard.
func (s *Server) routes() []route {
	return append(s.actRoutes(), []route{
		{"GET /{$}", public, s.home},
		{"GET /static/{name}", asset, s.staticFile},
		{"GET /support", public, s.showSupport},
		{"GET /.well-known/change-password", public, s.changePasswordAddress},

		{"GET /setup/{token...}", public, s.openSetup},
		{"GET /setup", public, s.showSetup},
		{"POST /setup", public, s.setUp},

		{"GET /sign-in", public, s.showSignIn},
		{"POST /sign-in", public, s.signIn},
		{"GET /sign-in/verify", codeOwed, s.showVerify},
		{"POST /sign-in/verify", codeOwed, s.verify},
		{"POST /sign-out", anySession, s.signOut},

		{"GET /forgot-password", public, s.showForgotPassword},
		{"POST /forgot-password", public, s.forgotPassword},
		{"GET /forgot-password/sent", public, s.showCheckInbox},
		{"GET /reset-password/{token...}", public, s.openReset},
		{"GET /reset-password", public, s.showReset},
		{"POST /reset-password", public, s.resetPassword},
		{"GET /reset-password/renew", public, s.showRenewReset},
		{"POST /reset-password/renew", public, s.renewReset},
		{"GET /invitation/{token...}", public, s.openInvitation},
		{"GET /invitation", public, s.showInvitation},
		{"POST /invitation", public, s.acceptInvitation},
		{"GET /invitation/renew", public, s.showRenewInvitation},
		{"POST /invitation/renew", public, s.renewInvitation},
		{"POST /password/strength", public, s.strength},

		{"GET /verify-email/{token...}", public, s.openVerifyEmail},
		{"GET /verify-email", signedIn, s.showVerifyEmail},
		{"POST /verify-email", signedIn, s.verifyEmail},
		{"GET /not-me/{token...}", public, s.openNotMe},
		{"GET /not-me", public, s.showNotMe},
		{"POST /not-me", public, s.notMe},

		{"GET /reauthenticate", evenOwing(signedIn), s.showReauthenticate},
		{"POST /reauthenticate", evenOwing(signedIn), s.reauthenticate},
		{"GET /account", signedIn, s.showAccount},
		{"GET /account/profile", signedIn, s.showProfile},
		{"POST /account/profile", signedIn, s.changeProfile},
		{"GET /account/security", signedIn, s.showSecurity},
		{"GET /account/password", signedIn, s.showChangePassword},
		{"POST /account/password", signedIn, s.changePassword},
		{"GET /account/email", freshProof, s.showChangeEmail},
		{"POST /account/email", freshProof, s.changeEmail},
		{"GET /account/email/cancel", signedIn, s.showCancelEmail},
		{"POST /account/email/cancel", signedIn, s.cancelEmail},
		{"GET /account/username", freshProof, s.showChangeUsername},
		{"POST /account/username", freshProof, s.changeUsername},

		{"GET /account/totp", evenOwing(freshProof), s.showEnrolment},
		{"POST /account/totp", evenOwing(freshProof), s.confirmEnrolment},
		{"GET /account/totp/remove", ownFactor, s.showRemoveAuthenticator},
		{"POST /account/totp/remove", ownFactor, s.removeAuthenticator},
		{"GET /account/recovery-codes", ownFactor, s.showRenewCodes},
		{"POST /account/recovery-codes", ownFactor, s.renewCodes},
		{"GET /account/sessions/{id}/end", signedIn, s.showEndSession},
		{"POST /account/sessions/{id}/end", signedIn, s.endSession},
		{"GET /account/sessions/end-others", signedIn, s.showEndOtherSessions},
		{"POST /account/sessions/end-others", signedIn, s.endOtherSessions},
		{"GET /account/devices/{id}/forget", signedIn, s.showForgetBrowser},
		{"POST /account/devices/{id}/forget", signedIn, s.forgetBrowser},
		{"GET /account/activity", signedIn, s.showActivity},

		{"GET /admin/users", may(access.UsersView), s.showUsers},
		{"POST /admin/users", may(access.UsersEdit), s.createUser},
		{"GET /admin/users/new", may(access.UsersEdit), s.showNewUser},
		{"GET /admin/users/{id}", may(access.UsersView), s.showUser},
		{"POST /admin/users/{id}", may(access.UsersEdit), s.changeUser},
		{"GET /admin/import", may(access.UsersEdit), s.showImport},
		{"POST /admin/import", may(access.UsersEdit), s.runImport},
		{"GET /admin/organizations", may(access.OrganizationsEdit), s.showOrganizations},
		{"POST /admin/organizations", may(access.OrganizationsEdit), s.createOrganization},
		{"GET /admin/organizations/new", may(access.OrganizationsEdit), s.showNewOrganization},
		{"POST /admin/organizations/new", may(access.OrganizationsEdit), s.createOrganization},
		{"GET /admin/organizations/{id}", may(access.OrganizationsEdit), s.showOrganization},
		{"POST /admin/organizations/{id}", may(access.OrganizationsEdit), s.changeOrganization},
		{"GET /admin/organizations/{id}/activate", may(access.OrganizationsEdit), s.showActivateOrganization},
		{"POST /admin/organizations/{id}/activate", may(access.OrganizationsEdit), s.activateOrganization},
		{"GET /admin/organizations/{id}/deactivate", may(access.OrganizationsEdit), s.showDeactivateOrganization},
		{"POST /admin/organizations/{id}/deactivate", may(access.OrganizationsEdit), s.deactivateOrganization},
		{"GET /admin/roles", may(access.RolesEdit), s.showRoles},
		{"POST /admin/roles", may(access.RolesEdit), s.createRole},
		{"GET /admin/roles/new", may(access.RolesEdit), s.showNewRole},
		{"POST /admin/roles/new", may(access.RolesEdit), s.createRole},
		{"POST /admin/roles/reach", may(access.RolesEdit), s.showReach},
		{"GET /admin/roles/{id}", may(access.RolesEdit), s.showRole},
		{"POST /admin/roles/{id}", may(access.RolesEdit), s.changeRole},
		{"GET /admin/audit", may(access.AuditView), s.showAudit},
		{"GET /admin/audit.csv", may(access.AuditView), s.exportAuditCSV},
		{"GET /admin/audit.ndjson", may(access.AuditView), s.exportAuditLines},

		{"GET /admin", staff, s.showOverview},
		{"GET /admin/settings", may(access.SettingsEdit), s.showSettings},
		{"POST /admin/settings", may(access.SettingsEdit), s.changeSettings},
		{"GET /admin/mail", may(access.MailView), s.showMails},
		{"GET /admin/mail/test", may(access.MailView), s.showTestMail},
		{"POST /admin/mail/test", may(access.MailView), s.testMail},
		{"GET /admin/mail/{id}", may(access.MailView), s.showMail},
		{"GET /admin/mail/{id}/retry", may(access.MailView), s.showRetryMail},
		{"POST /admin/mail/{id}/retry", may(access.MailView), s.retryMail},

		{"GET /local-mail", thisMachine, s.showLocalMails},
		{"GET /local-mail/{id}", thisMachine, s.showLocalMail},
	}...)
}
