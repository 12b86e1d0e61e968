package handlers_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"postern/handlers"
	"postern/internal/portaltest"
)

// bench is a portal on SQLite with Ann in it, reached without a network.
type bench struct {
	*portaltest.Portal
	handler http.Handler
	cookie  string // of Ann's session
	served  int
}

func newBench(b *testing.B) *bench {
	b.Helper()
	p := onSQLite(b)
	newAnn(b, p)
	browser := p.Browser(b, "192.0.2.1")
	browser.SignIn("ann", portaltest.Password)
	// Mails about new browsers are not what is measured.
	browser.Post("/account/profile", "name", "Ann", "phone", "", "time_zone", "UTC", "notify_sign_in", "false").WantTo("/account/profile")
	b.ReportAllocs()
	return &bench{Portal: p, handler: secondServer(p, func(*handlers.Server) {}), cookie: "postern=" + browser.Cookie("postern")}
}

// serve asks once, from a network address that changes, and wants that status.
func (s *bench) serve(b *testing.B, status int, method, path, cookie string, form url.Values) {
	s.served++
	request := httptest.NewRequest(method, s.URL+path, strings.NewReader(form.Encode()))
	request.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", s.served>>16&255, s.served>>8&255, s.served&255)
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if cookie != "" {
		request.Header.Set("Cookie", cookie)
	}
	recorder := httptest.NewRecorder()
	s.handler.ServeHTTP(recorder, request)
	if recorder.Code != status {
		b.Fatalf("%s %s: %d %s", method, path, recorder.Code, recorder.Body)
	}
}

func BenchmarkSignInPage(b *testing.B) {
	s := newBench(b)
	for b.Loop() {
		s.serve(b, http.StatusOK, http.MethodGet, "/sign-in", "", nil)
	}
}

func BenchmarkAccountPage(b *testing.B) {
	s := newBench(b)
	for b.Loop() {
		s.serve(b, http.StatusOK, http.MethodGet, "/account", s.cookie, nil)
	}
}

func BenchmarkSignIn(b *testing.B) {
	s := newBench(b)
	form := url.Values{"login": {"ann"}, "password": {portaltest.Password}}
	for b.Loop() {
		s.serve(b, http.StatusSeeOther, http.MethodPost, "/sign-in", "", form)
	}
}

func BenchmarkForgotPassword(b *testing.B) {
	s := newBench(b)
	for b.Loop() {
		form := url.Values{"email": {fmt.Sprintf("user%d@acme.example", s.served)}}
		s.serve(b, http.StatusSeeOther, http.MethodPost, "/forgot-password", "", form)
	}
}

func BenchmarkStrength(b *testing.B) {
	s := newBench(b)
	form := url.Values{"for": {"account"}, "password": {"Amber-Vi0lin-Thistle"}, "confirm": {""}}
	for b.Loop() {
		s.serve(b, http.StatusOK, http.MethodPost, "/password/strength", s.cookie, form)
	}
}
