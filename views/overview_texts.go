package views

// What needs attention, in words.
const (
	NeedSupport    = "Nobody can see whom to ask for help: no support contact is set."
	NeedMailServer = "No mail server is set, so all mail waits. The operator sets POSTERN_SMTP."

	NotReadyText = "the portal says that it is not ready"
)

// NeedOperator is what the program says of itself.
func NeedOperator(detail string) string {
	return "For the operator: " + detail + ". The command “postern doctor” says more."
}

// NeedForwarder tells of a peer that looks like a proxy.
func NeedForwarder(peer string) string {
	return "For the operator: " + peer + " sends X-Forwarded-For but is not in POSTERN_TRUSTED_PROXIES. If it is your proxy, all visitors look like one."
}

// NeedFailedMail tells of mails that were given up.
func NeedFailedMail(n, days int) string {
	return plural(n, "mail") + " could not be sent within the last " + plural(days, "day") + "."
}

// NeedWaitingMail tells of mails that do not get through.
func NeedWaitingMail(n int, since string) string {
	return verb(n, "mail", "has", "have") + " waited for more than " + since + "."
}

// NeedShut tells of accounts that their owners have shut.
func NeedShut(n int) string {
	return verb(n, "user", "has", "have") + " reported “this was not me”. The account is shut until somebody finds out what happened and unlocks it."
}

// NeedStaffFactor tells of staff who cannot do anything yet.
func NeedStaffFactor(n int) string {
	return verb(n, "staff user", "has", "have") + " no authenticator and will be asked to enrol before anything else."
}

// NeedFactor tells of users who must enrol.
func NeedFactor(n int) string {
	return verb(n, "user", "has", "have") + " no authenticator and will be asked to enrol at the next sign-in."
}

// NeedCodes tells of users whom a lost telephone would lock out.
func NeedCodes(n int) string {
	return verb(n, "user", "has", "have") + " an authenticator, but no recovery codes left. Losing the telephone would lock them out."
}

// NeedSecondAdministrator asks for another administrator of one organization.
func NeedSecondAdministrator(organization string, administrators int) string {
	if administrators == 0 {
		return organization + " has no administrator who can sign in."
	}
	return organization + " has a single administrator. If that person cannot sign in, nobody there can help."
}

// NeedAdministrators tells of organizations with a single administrator, or none.
func NeedAdministrators(none, one int, names []string) string {
	if none+one == 1 {
		return NeedSecondAdministrator(names[0], one)
	}
	var parts []string
	if one > 0 {
		parts = append(parts, verb(one, "organization", "has", "have")+" a single administrator")
	}
	if none > 0 {
		parts = append(parts, verb(none, "organization", "has", "have")+" none")
	}
	if len(names) < none+one {
		names = append(names, plural(none+one-len(names), "other"))
	}
	return list(parts) + " who can sign in: " + list(names) + "."
}

// NeedRefused tells of a rise, beside what is usual in a day.
func NeedRefused(today, usual int) string {
	return plural(today, "sign-in") + " refused within a day; " + digits(usual) + " is usual. Somebody may be guessing passwords."
}

// verb puts a number, what is counted and its verb together.
func verb(n int, one, does, do string) string {
	if n == 1 {
		return plural(n, one) + " " + does
	}
	return plural(n, one) + " " + do
}
