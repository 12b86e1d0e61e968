// Package mailtest is a mail server for tests: it takes real SMTP dialogues on a loopback
// address and keeps what it was sent. It must never be imported by the program.
package mailtest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Mail is a mail that the server has taken.
type Mail struct {
	From, To string // of the envelope
	Header   netmail.Header
	Subject  string
	Text     string
	HTML     string
}

var address = regexp.MustCompile(`https?://\S+`)

// Link returns the first address in the mail whose path begins so, or fails the test.
func (m Mail) Link(t testing.TB, path string) string {
	t.Helper()
	for _, link := range address.FindAllString(m.Text, -1) {
		if i := strings.Index(link, "://"); strings.HasPrefix(link[i+3+strings.IndexByte(link[i+3:]+"/", '/'):], path) {
			return link
		}
	}
	t.Fatalf("no link to %s in the mail %q:\n%s", path, m.Subject, m.Text)
	return ""
}

// Sink is the server.
type Sink struct {
	// Addr is where it listens.
	Addr string

	mu     sync.Mutex
	mails  []Mail
	refuse func(stage, value string) error
	server *smtp.Server
}

// Options change how the server behaves.
type Options struct {
	// TLS lets it offer STARTTLS with this certificate.
	TLS *tls.Config
	// User and Password are asked for, if set.
	User, Password string
}

// New starts a server that ends with the test.
func New(t testing.TB, options Options) *Sink {
	t.Helper()
	sink := &Sink{}
	sink.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{sink: sink, options: options}, nil
	}))
	sink.server.Domain = "mail.test"
	sink.server.TLSConfig = options.TLS
	sink.server.AllowInsecureAuth = true
	sink.server.ErrorLog = discard{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sink.Addr = listener.Addr().String()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = sink.server.Serve(listener) // ends with Close
	}()
	t.Cleanup(func() {
		if err := sink.server.Close(); err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			t.Errorf("stop the mail server: %v", err)
		}
		<-served
	})
	return sink
}

type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}

// Refuse lets the server answer with what the function returns: stage is "from", "to" or
// "data", value the address or the text. Nil takes everything again.
func (s *Sink) Refuse(refuse func(stage, value string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refuse
}

// Mails returns what was taken so far, oldest first.
func (s *Sink) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

func (s *Sink) ask(stage, value string) error {
	s.mu.Lock()
	refuse := s.refuse
	s.mu.Unlock()
	if refuse == nil {
		return nil
	}
	return refuse(stage, value)
}

type session struct {
	sink     *Sink
	options  Options
	known    bool
	from, to string
}

func (s *session) AuthMechanisms() []string {
	if s.options.User == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.options.User || password != s.options.Password {
			return smtp.ErrAuthFailed
		}
		s.known = true
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.options.User != "" && !s.known {
		return smtp.ErrAuthRequired
	}
	s.from = from
	return s.sink.ask("from", from)
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.to != "" {
		return &smtp.SMTPError{Code: 452, Message: "one recipient at a time"}
	}
	s.to = to
	return s.sink.ask("to", to)
}

func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.sink.ask("data", string(text)); err != nil {
		return err
	}
	m, err := parse(text)
	if err != nil {
		return &smtp.SMTPError{Code: 554, Message: err.Error()}
	}
	m.From, m.To = s.from, s.to
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.mails = append(s.sink.mails, m)
	return nil
}

func (s *session) Reset()        { s.from, s.to = "", "" }
func (s *session) Logout() error { return nil }

func parse(text []byte) (m Mail, err error) {
	message, err := netmail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return m, err
	}
	m.Header = message.Header
	if m.Subject, err = new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject")); err != nil {
		return m, err
	}
	_, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return m, err
	}
	parts := multipart.NewReader(message.Body, parameters["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return m, nil
		} else if err != nil {
			return m, err
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			return m, err
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			m.HTML = string(body)
		} else {
			m.Text = strings.ReplaceAll(string(body), "\r\n", "\n")
		}
	}
}
