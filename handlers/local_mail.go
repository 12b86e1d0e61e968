package handlers

import (
	"errors"
	"io/fs"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/views"
)

func (s *Server) showLocalMails(q *request) error {
	mails, err := s.LocalMail.List()
	if err != nil {
		return err
	}
	page := views.LocalMailPage{Frame: q.frame("Local mail")}
	for _, m := range mails {
		page.Mails = append(page.Mails, s.localMail(m))
	}
	return q.page(views.LocalMails(page))
}

func (s *Server) showLocalMail(q *request) error {
	m, err := s.LocalMail.Read(q.PathValue("id"))
	if errors.Is(err, fs.ErrNotExist) {
		return errNotFound
	} else if err != nil {
		return err
	}
	if q.query("view") == "html" {
		return q.mailAsHTML(m)
	}
	return q.page(views.LocalMailMessage(views.LocalMailMessagePage{Frame: q.frame(m.Subject), Mail: s.localMail(m)}))
}

// mailAsHTML shows the mail's own document, which has its style sheet inside; in a sandbox,
// where it can do nothing but be looked at and followed.
func (q *request) mailAsHTML(m mail.LocalMail) error {
	q.w.Header().Set("Content-Security-Policy",
		"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; sandbox allow-top-navigation-by-user-activation")
	_, err := q.w.Write([]byte(m.HTML))
	return err
}

func (s *Server) localMail(m mail.LocalMail) views.LocalMail {
	view := views.LocalMail{ID: m.ID, To: m.To, Subject: m.Subject,
		Sent: views.Time{At: m.Sent, Now: s.DB.Now().Time(), Zone: time.Local}}
	for line := range strings.Lines(m.Text) {
		line = strings.TrimRight(line, "\n")
		shown := views.TextLine{Text: line}
		if strings.HasPrefix(line, s.URL.String()+"/") && !strings.Contains(line, " ") {
			shown.Link = line
		}
		view.Text = append(view.Text, shown)
	}
	return view
}
