package handlers

import (
	"net/http"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"postern/db"
	"postern/internal/account"
	"postern/internal/session"
)

const browserCookie = "postern-browser"

// visit is what is known of a request, for use cases.
func (s *Server) visit(r *http.Request, current *session.Current) account.Visit {
	address := s.visitorAddress(r)
	v := account.Visit{Address: address, Actor: db.Actor{Kind: db.ActorVisitor, Address: address.String(),
		UserAgent: shortened(r.UserAgent()), RequestID: requestID(r.Context())}}
	if current != nil {
		v.Actor.Kind, v.Actor.UserID, v.Actor.SessionID = db.ActorUser, current.User.ID, current.Session.ID
	}
	if cookie, err := r.Cookie(s.cookieName(browserCookie)); err == nil {
		v.Browser = cookie.Value
	}
	return v
}

// visitorAddress is the network address of the visitor: of the connection, or what the
// last trusted proxy says. What anybody else says about it counts for nothing.
func (s *Server) visitorAddress(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.IPv4Unspecified()
	}
	address := peer.Addr().Unmap().WithZone("")
	if !s.trusted(address) {
		if r.Header.Get("X-Forwarded-For") != "" {
			s.noteForwarder(address)
		}
		return address
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break // beyond this point nothing can be believed
		}
		address = hop.Unmap().WithZone("")
		if !s.trusted(address) {
			break
		}
	}
	return address
}

// noteForwarder reports, once, that somebody speaks like a proxy who is not trusted as one:
// if it is the operator's, all visitors look like one.
func (s *Server) noteForwarder(peer netip.Addr) {
	s.forwarderOnce.Do(func() {
		s.Log.Warn("X-Forwarded-For from an address that is not in POSTERN_TRUSTED_PROXIES", "address", peer.String())
		if s.OnForwarder != nil {
			s.OnForwarder(peer)
		}
	})
}

func (s *Server) trusted(address netip.Addr) bool {
	for _, network := range s.TrustedProxies {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

// shortened is what a header said, fit for a log and a table.
func shortened(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, text)
	if len(text) > maxUserAgent {
		text = strings.ToValidUTF8(text[:maxUserAgent], "")
	}
	return text
}
