package handlers

import (
	"net/http"
	"regexp"
	"strings"
)

// plainPath are the paths that "next" can be at all: nothing that a browser could take for
// another host, a query or an encoded slash.
var plainPath = regexp.MustCompile(`^(/[a-z0-9_-]+)+$`)

// ownPage returns the path if it is one of the portal's pages for people who are signed
// in, else nothing. Only such a page is ever gone on to.
func (s *Server) ownPage(path string) string {
	if !plainPath.MatchString(path) {
		return ""
	}
	s.ownPagesOnce.Do(func() {
		s.ownPages = http.NewServeMux()
		for _, route := range s.routes() {
			pattern, isPage := strings.CutPrefix(route.pattern, "GET ")
			if isPage && route.who.kind >= isSignedIn && pattern != "/reauthenticate" {
				s.ownPages.HandleFunc(pattern, func(http.ResponseWriter, *http.Request) {})
			}
		}
	})
	request, err := http.NewRequest(http.MethodGet, path, nil)
	if err != nil {
		return ""
	}
	if _, pattern := s.ownPages.Handler(request); pattern == "" {
		return ""
	}
	return path
}
