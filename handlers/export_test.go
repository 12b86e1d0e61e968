package handlers

import "strings"

// RouteLine is a line of the table of routes, for tests.
type RouteLine struct {
	Method, Path string
	Access       string // who may, in words
}

// RouteLines are all lines of the table, as the portal is served from it.
func RouteLines() []RouteLine {
	var lines []RouteLine
	for _, r := range new(Server).routes() {
		method, path, _ := strings.Cut(r.pattern, " ")
		lines = append(lines, RouteLine{method, strings.Replace(path, "...}", "}", 1), r.who.text()})
	}
	return lines
}

func (w who) text() string {
	text := map[visitorKind]string{anybody: "anybody", anybodyUnread: "anybody, unread", onThisMachine: "this machine", halfSignedIn: "half signed in",
		withAnySession: "any session", isSignedIn: "signed in", isFreshlyProven: "freshly proven", holdsPermission: "staff"}[w.kind]
	if w.permission != "" {
		text = string(w.permission)
	}
	if w.owing {
		text += ", even owing"
	}
	if w.factor {
		text += ", with an authenticator"
	}
	return text
}
