package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"postern/internal/config"
	"postern/views"
)

// Sender hands a mail over.
type Sender interface {
	// Send returns the server's last word. An error is a *FailedError.
	Send(ctx context.Context, e Envelope) (answer string, err error)
}

// Envelope is a mail on its way to one bare address.
type Envelope struct {
	To   string
	ID   string // the same at every attempt, so that a copy can be told from another mail
	Mail views.Mail
}

// FailedError says why a mail was not handed over.
type FailedError struct {
	Answer    string // the server's, or what went wrong on the way
	Permanent bool   // the server will never take it
	Unknown   bool   // it may have been taken all the same
}

func (e *FailedError) Error() string { return e.Answer }

// Deadlines of a dialogue with the server.
const (
	dialTimeout     = 10 * time.Second
	dialogueTimeout = 60 * time.Second
)

// SMTP hands mails to a mail server, over TLS unless it is on this machine.
type SMTP struct {
	Server config.SMTP
	From   netmail.Address
	Host   string // of the portal, to introduce itself with
	// RootCAs replaces the system's in tests; nil means the system's.
	TLS *tls.Config
}

// Send implements Sender.
func (s *SMTP) Send(ctx context.Context, e Envelope) (string, error) {
	message, err := s.message(ctx, e)
	if err != nil {
		return "", &FailedError{Answer: err.Error(), Permanent: true}
	}
	client, err := s.client()
	if err != nil {
		return "", &FailedError{Answer: err.Error()}
	}
	dial, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := client.DialToSMTPClientWithContext(dial)
	if err != nil {
		return "", &FailedError{Answer: err.Error()}
	}
	defer client.CloseWithSMTPClient(conn) //nolint:errcheck // the mail's fate is known by then
	err = client.SendWithSMTPClient(conn, message)
	if err == nil || message.IsDelivered() {
		return strings.TrimSpace(message.ServerResponse()), nil
	}
	return "", failed(err)
}

// failed says what a broken dialogue means for the mail.
func failed(err error) *FailedError {
	f := &FailedError{Answer: err.Error()}
	e, ok := errors.AsType[*gomail.SendError](err)
	if !ok {
		return f
	}
	refused := e.ErrorCode() != 0
	f.Permanent = refused && !e.IsTemp()
	// After the text was on its way, silence may mean that it was taken.
	f.Unknown = !refused && (e.Reason == gomail.ErrWriteContent || e.Reason == gomail.ErrSMTPDataClose)
	return f
}

func (s *SMTP) client() (*gomail.Client, error) {
	options := []gomail.Option{gomail.WithPort(s.Server.Port), gomail.WithTimeout(dialogueTimeout), gomail.WithHELO(s.Host),
		gomail.WithoutNoop(), gomail.WithTLSConfig(s.tls())}
	switch s.Server.Security {
	case config.TLS:
		options = append(options, gomail.WithSSL())
	case config.StartTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case config.NoTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if s.Server.User != "" {
		auth := gomail.SMTPAuthAutoDiscover
		if s.Server.Security == config.NoTLS {
			auth = gomail.SMTPAuthPlainNoEnc // to this machine alone
		}
		options = append(options, gomail.WithSMTPAuth(auth), gomail.WithUsername(s.Server.User), gomail.WithPassword(s.Server.Password))
	}
	return gomail.NewClient(s.Server.Host, options...)
}

func (s *SMTP) tls() *tls.Config {
	cfg := &tls.Config{}
	if s.TLS != nil {
		cfg = s.TLS.Clone()
	}
	cfg.MinVersion, cfg.ServerName = tls.VersionTLS12, s.Server.Host
	return cfg
}

func (s *SMTP) message(ctx context.Context, e Envelope) (*gomail.Msg, error) {
	return message(ctx, s.From, e)
}

// message writes the mail with its headers, as plain text and as HTML.
func message(ctx context.Context, from netmail.Address, e Envelope) (*gomail.Msg, error) {
	m := gomail.NewMsg(gomail.WithEncoding(gomail.EncodingQP))
	if err := m.From(from.String()); err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	if err := m.To(e.To); err != nil {
		return nil, fmt.Errorf("recipient: %w", err)
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	m.SetMessageIDWithValue(e.ID + "@" + domain)
	m.SetDate()
	m.Subject(e.Mail.Subject)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no out-of-office replies
	m.SetGenHeader("X-Auto-Response-Suppress", "All")
	var html bytes.Buffer
	if err := views.MailHTML(e.Mail).Render(ctx, &html); err != nil {
		return nil, fmt.Errorf("render the mail: %w", err)
	}
	m.SetBodyString(gomail.TypeTextPlain, e.Mail.Text())
	m.AddAlternativeString(gomail.TypeTextHTML, html.String())
	return m, nil
}
