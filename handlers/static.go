package handlers

import (
	"fmt"
	"regexp"
	"strings"

	"postern/internal/settings"
	"postern/static"
	"postern/views"
)

// staticFile serves a file whose name changes with its content, so it can be kept for ever.
func (s *Server) staticFile(q *request) error {
	name := q.PathValue("name")
	file, ok := static.Named(name)
	if !ok {
		if file, ok = accentFile(name); !ok {
			return errNotFound
		}
	}
	header := q.w.Header()
	header.Set("Cache-Control", "public, max-age=31536000, immutable")
	header.Set("Content-Type", file.Type)
	header.Set("Vary", "Accept-Encoding")
	body := file.Plain
	if file.Gzipped != nil && strings.Contains(q.Header.Get("Accept-Encoding"), "gzip") {
		header.Set("Content-Encoding", "gzip")
		body = file.Gzipped
	}
	_, err := q.w.Write(body)
	return err
}

var accentName = regexp.MustCompile(`^accent-([0-9a-f]{6})\.css$`)

// accentFile is the style sheet with the accent colour, which its name says.
func accentFile(name string) (static.File, bool) {
	match := accentName.FindStringSubmatch(name)
	if match == nil {
		return static.File{}, false
	}
	accent, ok := settings.AccentOf("#" + match[1])
	if !ok {
		return static.File{}, false
	}
	return static.File{Type: "text/css; charset=utf-8", Plain: fmt.Appendf(nil,
		":root { --accent: light-dark(%s, %s); --on-accent: light-dark(%s, %s); }\n", accent.Light, accent.Dark, accent.OnLight, accent.OnDark)}, true
}

// assets are the addresses that a page loads.
func assets(current *settings.Settings) views.Assets {
	paths := static.Addresses()
	return views.Assets{CSS: paths.CSS, HTMX: paths.HTMX, Script: paths.Script, Icon: paths.Icon,
		Accent: static.Prefix + "accent-" + strings.TrimPrefix(current.PortalAccent, "#") + ".css"}
}
