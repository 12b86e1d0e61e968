package handlers

// access says who may use a route.
type access int

const (
	public      access = iota // everybody
	asset                     // everybody, and nobody's session matters
	signedIn                  // whoever is signed in
	freshProof                // whoever is signed in and has proven it within ten minutes
	thisMachine               // visitors from this machine, while mail is kept on it
)

// route is one line of the table.
type route struct {
	pattern string
	access  access
	handle  func(*request) error
}

// routes is every address of the portal, and who may use it. A GET on an act shows its form
// or confirmation, behind the same guard.
func (s *Server) routes() []route {
	return []route{
		{"GET /{$}", public, s.home},
		{"GET /static/{name}", asset, s.staticFile},
		{"GET /support", public, s.showSupport},
		{"GET /.well-known/change-password", public, s.changePasswordAddress},

		{"GET /setup/{token...}", public, s.openSetup},
		{"GET /setup", public, s.showSetup},
		{"POST /setup", public, s.setUp},

		{"GET /sign-in", public, s.showSignIn},
		{"POST /sign-in", public, s.signIn},
		{"POST /sign-out", signedIn, s.signOut},

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

		{"GET /reauthenticate", signedIn, s.showReauthenticate},
		{"POST /reauthenticate", signedIn, s.reauthenticate},
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

		{"GET /local-mail", thisMachine, s.showLocalMails},
		{"GET /local-mail/{id}", thisMachine, s.showLocalMail},
	}
}
