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

// health answers the two addresses that any host may ask for, and passes everything else
// on. It looks at the exact path: a router would tidy up others before their host is known.
func (s *Server) health(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := map[string]http.HandlerFunc{"/healthz": s.healthz, "/readyz": s.readyz}[r.URL.Path]
		switch {
		case answer == nil:
			next.ServeHTTP(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			plainText(w, http.StatusMethodNotAllowed, "method not allowed")
		default:
			answer(w, r)
		}
	})
}

func plainText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}
