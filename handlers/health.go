package handlers

import (
	"fmt"
	"net/http"
	"strings"
)

// healthz says that the process is up.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	plainText(w, http.StatusOK, "ok")
}

// readyz says whether it can serve.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	details, err := s.Ready(r.Context())
	if err != nil {
		s.Log.WarnContext(r.Context(), "not ready", "error", err)
		plainText(w, http.StatusServiceUnavailable, "not ready")
		return
	}
	plainText(w, http.StatusOK, strings.Join(append([]string{"ready"}, details...), "\n"))
}

// onlyGet stands in for the router, which has a catch-all beside these two.
func onlyGet(handler http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			plainText(w, http.StatusMethodNotAllowed, "method not allowed")
			return
		}
		handler(w, r)
	})
}

func plainText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}
