package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"postern/internal/settings"
	"postern/views"
)

// requestTimeout bounds what a request may wait for, in all.
const requestTimeout = 20 * time.Second

// observed gives every request an id, logs it without its path, which may hold a token,
// and keeps a panic from ending more than this request.
func (s *Server) observed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, pattern := time.Now(), ""
		timeout := requestTimeout
		if isUpload(r) {
			timeout = uploadTimeout
		}
		ctx, done := context.WithTimeout(context.WithValue(r.Context(), keyConnection, r.Context()), timeout)
		defer done()
		ctx = context.WithValue(ctx, keyRequestID, newRequestID())
		r = r.WithContext(context.WithValue(ctx, keyPattern, &pattern))
		recorded := &statusRecorder{ResponseWriter: w}
		defer func() {
			cause := recover()
			aborted := cause == http.ErrAbortHandler //nolint:errorlint // the value that net/http documents
			if cause != nil && !aborted {
				s.Log.ErrorContext(r.Context(), "panic", "request", requestID(r.Context()), "cause", cause, "stack", string(debug.Stack()))
				if recorded.status == 0 {
					s.refuse(recorded, r, status{code: http.StatusInternalServerError, kind: views.ErrorInternal})
				} else {
					cause, aborted = http.ErrAbortHandler, true // what has begun must not look whole
				}
			}
			took := time.Since(began)
			s.Log.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("request", requestID(r.Context())),
				slog.String("method", r.Method), slog.String("route", pattern), slog.Int("status", recorded.status),
				slog.Float64("ms", float64(took.Microseconds())/1000), slog.String("address", s.visitorAddress(r).String()))
			if s.Observe != nil {
				s.Observe(r.Method, pattern, recorded.status, took.Seconds())
			}
			if aborted {
				panic(cause) // has net/http cut the connection
			}
		}()
		next.ServeHTTP(recorded, r)
	})
}

// statusRecorder remembers what was answered.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (w *statusRecorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusRecorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController through.
func (w *statusRecorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// standardHeaders stand on every answer, errors and redirects included. Referrer-Policy is
// not no-referrer, which makes browsers hide the origin of forms, too.
var standardHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
		"connect-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "accelerometer=(), camera=(), geolocation=(), gyroscope=(), microphone=(), payment=(), usb=()",
	"Cache-Control":                "no-store",
	"Vary":                         "Cookie, HX-Request, HX-Request-Type, HX-History-Restore-Request",
	"X-Frame-Options":              "DENY",
	"X-Robots-Tag":                 "noindex",
}

func (s *Server) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range standardHeaders {
			w.Header()[name] = []string{value}
		}
		if s.Secure {
			w.Header()["Strict-Transport-Security"] = []string{"max-age=31536000"}
		}
		next.ServeHTTP(w, r)
	})
}

// ownHost refuses requests for another host than the portal's: links and cookies are for
// that one alone, and a page of another name could be read by whoever owns it.
func (s *Server) ownHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := strings.ToLower(r.Host)
		if s.Secure {
			host = strings.TrimSuffix(host, ":443")
		} else {
			host = strings.TrimSuffix(host, ":80")
		}
		if host != s.URL.Host {
			s.Log.WarnContext(r.Context(), "unknown host: does the proxy pass the Host header on?", "request", requestID(r.Context()),
				"host", shortened(r.Host), "expected", s.URL.Host)
			s.refuse(w, r, status{code: http.StatusMisdirectedRequest, kind: views.ErrorWrongHost})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// bounded refuses what is compressed, and bounds the body.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Encoding") != "" {
			s.refuse(w, r, status{code: http.StatusUnsupportedMediaType, kind: views.ErrorEncoding})
			return
		}
		limit := int64(maxBody)
		if isUpload(r) {
			limit = maxUpload
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}

// replaceErrors gives the router's own "not found" and "method not allowed" our pages.
func (s *Server) replaceErrors(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		probe := newAnswer()
		mux.ServeHTTP(probe, r)
		refused := errNotFound
		switch probe.status {
		case http.StatusNotFound:
		case http.StatusMethodNotAllowed:
			refused = status{code: http.StatusMethodNotAllowed, kind: views.ErrorMethod, allow: probe.header.Get("Allow")}
		default: // a redirect to the same path, tidied up
			probe.send(w)
			return
		}
		s.serve(route{who: public, handle: func(*request) error { return refused }}).ServeHTTP(w, r)
	})
}

// refuse answers before anything of the request was looked at.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, refused status) {
	q := &request{Request: r, server: s, w: newAnswer(), settings: settings.Defaults()}
	if current, err := s.Settings.Current(r.Context()); err == nil {
		q.settings = current
	}
	s.fail(q, refused)
	q.w.send(w)
}
