package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/netip"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

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
	// TLS holds whom to trust in tests; nil means whom the system trusts.
	TLS *tls.Config
}

// Send implements Sender.
func (s *SMTP) Send(ctx context.Context, e Envelope) (string, error) { return s.send(ctx, e, nil) }

// send is Send; the dialogue, if any, keeps what is said.
func (s *SMTP) send(ctx context.Context, e Envelope, said *dialogue) (string, error) {
	message, err := message(ctx, s.From, e)
	if err != nil {
		return "", &FailedError{Answer: err.Error(), Permanent: true}
	}
	line, err := s.dial(ctx, said)
	if err != nil {
		return "", &FailedError{Answer: err.Error()}
	}
	defer line.close()
	err = line.client.SendWithSMTPClient(line.dialogue, message)
	if err == nil || message.IsDelivered() {
		return strings.TrimSpace(message.ServerResponse()), nil
	}
	return "", failed(err)
}

// line is a dialogue with the server that has got as far as a sender can be named.
type line struct {
	client   *gomail.Client
	dialogue *smtp.Client
	conn     net.Conn
	unbind   func() bool // from the context
}

// close ends the dialogue, and the connection however the dialogue ended.
func (l *line) close() {
	_ = l.client.CloseWithSMTPClient(l.dialogue) // the mail's fate is known by now
	l.unbind()
	_ = l.conn.Close()
}

// dial connects, over TLS where it must be, and signs in. The end of the context ends the
// dialogue, too: the library looks at none once it is connected. The dialogue, if any, keeps what
// is said.
func (s *SMTP) dial(ctx context.Context, said *dialogue) (*line, error) {
	l := &line{}
	whole := ctx
	client, err := s.client(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := s.connect(ctx, network, address)
		if err == nil {
			l.conn, l.unbind = conn, context.AfterFunc(whole, func() { _ = conn.Close() })
		}
		return conn, err
	})
	if err != nil {
		return nil, err
	}
	if said != nil {
		client.SetLogger(said)
		client.SetDebugLog(true)
		client.ErrorHandlerRegistry.SetDefaultHandler(said) // what is refused does not reach the log
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	l.client = client
	if l.dialogue, err = client.DialToSMTPClientWithContext(ctx); err != nil {
		if l.conn != nil { // the library leaves it open
			l.unbind()
			err = errors.Join(err, l.conn.Close())
		}
		return nil, err
	}
	return l, nil
}

// connect opens the connection, with TLS from the first byte for smtps.
func (s *SMTP) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if s.Server.Security == config.TLS {
		return (&tls.Dialer{Config: s.tls()}).DialContext(ctx, network, address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// failed says what a broken dialogue means for the mail.
func failed(err error) *FailedError {
	// The library adds whom it was for and its number, which stand beside it anyway.
	answer, _, _ := strings.Cut(err.Error(), ", affected ")
	f := &FailedError{Answer: answer}
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

// The ways to sign in, the best first. Those that show the password ask for TLS by
// themselves, but for a server on this machine.
var (
	overTLS    = []gomail.SMTPAuthType{gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin}
	withoutTLS = []gomail.SMTPAuthType{gomail.SMTPAuthPlainNoEnc, gomail.SMTPAuthLoginNoEnc}
)

func (s *SMTP) client(dial gomail.DialContextFunc) (*gomail.Client, error) {
	options := []gomail.Option{gomail.WithPort(s.Server.Port), gomail.WithTimeout(dialogueTimeout), gomail.WithHELO(introduction(s.Host)),
		gomail.WithoutNoop(), gomail.WithTLSConfig(s.tls()), gomail.WithDialContextFunc(dial)}
	ways := overTLS
	switch s.Server.Security {
	case config.TLS:
		options = append(options, gomail.WithSSL())
	case config.StartTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case config.NoTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
		ways = withoutTLS
	}
	if s.Server.User != "" {
		options = append(options, gomail.WithOpportunisticSMTPAuth(ways...), gomail.WithUsername(s.Server.User), gomail.WithPassword(s.Server.Password))
	}
	return gomail.NewClient(s.Server.Host, options...)
}

// introduction is a host as it is said in EHLO: addresses stand in brackets (RFC 5321 4.1.3).
func introduction(host string) string {
	address, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return host
	case address.Is6():
		return "[IPv6:" + host + "]"
	}
	return "[" + host + "]"
}

func (s *SMTP) tls() *tls.Config {
	cfg := &tls.Config{}
	if s.TLS != nil {
		cfg = s.TLS.Clone()
	}
	cfg.MinVersion, cfg.ServerName = tls.VersionTLS12, s.Server.Host
	return cfg
}

// message writes the mail with its headers, as plain text and as HTML.
func message(ctx context.Context, from netmail.Address, e Envelope) (*gomail.Msg, error) {
	m := gomail.NewMsg(gomail.WithEncoding(gomail.EncodingQP), gomail.WithNoDefaultUserAgent())
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
