// Package config turns the environment and the flags into one validated Config. It must
// never be read from but by cmd, which passes down what is needed, nor hold what staff can
// change while the portal runs (internal/settings).
package config

import (
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Group is the name of the flags below among all flags of the program.
const Group = "config"

// Flags are the configuration as it is given: each as a flag or as the environment variable
// of that name, POSTERN_MAIL_FROM for --mail-from.
type Flags struct {
	Listen         string        `group:"config" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address to listen on."`
	URL            string        `group:"config" name:"url" placeholder:"URL" help:"Public base URL without a path; links and the host check come from it alone. Default: http://localhost:8080"`
	Data           string        `group:"config" default:"data" placeholder:"FOLDER" help:"Folder for the database, the key and local mail."`
	Database       string        `group:"config" placeholder:"URL" help:"postgres://…; empty means SQLite in the data folder."`
	DatabaseFile   string        `group:"config" placeholder:"FILE" help:"File to read the database URL from."`
	KeyFile        string        `group:"config" placeholder:"FILE" help:"The key that seals secrets at rest. Default: postern.key in the data folder"`
	SMTP           string        `group:"config" name:"smtp" placeholder:"URL" help:"smtp://user:password@host:587 (STARTTLS required) or smtps://…:465; ?tls=none for a loopback host only."`
	SMTPFile       string        `group:"config" name:"smtp-file" placeholder:"FILE" help:"File to read the SMTP URL from."`
	MailFrom       string        `group:"config" default:"Postern <postern@localhost>" placeholder:"ADDRESS" help:"Sender of all mail."`
	TrustedProxies []string      `group:"config" placeholder:"NETWORK" help:"Networks whose X-Forwarded-For is believed."`
	TLSCert        string        `group:"config" name:"tls-cert" placeholder:"FILE" help:"Serve HTTPS with this certificate, read again when it changes."`
	TLSKey         string        `group:"config" name:"tls-key" placeholder:"FILE" help:"Its key."`
	MetricsListen  string        `group:"config" placeholder:"HOST:PORT" help:"Separate address for Prometheus metrics."`
	BreachFile     string        `group:"config" placeholder:"FILE" help:"Sorted SHA-1 lines of breached passwords, for password.breach_check=local."`
	Drain          time.Duration `group:"config" default:"0s" placeholder:"TIME" help:"How long to go on serving, not ready, after SIGTERM."`
	LogFormat      string        `group:"config" enum:",text,json" default:"" placeholder:"FORMAT" help:"text or json. Default: text on a terminal"`
}

// Config is the configuration, checked.
type Config struct {
	Listen         string
	URL            *url.URL // scheme and host alone
	URLGiven       bool     // else it is the default
	Data           string
	Database       string // postgres URL; empty for SQLite
	KeyFile        string
	SMTP           SMTP // without a host: there is none
	MailFrom       netmail.Address
	TrustedProxies []netip.Prefix
	TLSCert        string
	TLSKey         string
	MetricsListen  string
	BreachFile     string
	Drain          time.Duration
	LogFormat      string // text, json, or empty: by terminal
}

// SMTP is the mail server.
type SMTP struct {
	Host           string
	Port           int
	Security       Security
	User, Password string
}

// Security says how the connection to the mail server is protected.
type Security int

const (
	StartTLS Security = iota // required, or nothing is sent
	TLS                      // from the first byte
	NoTLS                    // to this machine alone
)

const defaultURL = "http://localhost:8080"

// Read checks the configuration. Each error is one sentence that says what to change.
func (f Flags) Read() (c Config, err error) {
	c = Config{Listen: f.Listen, Data: f.Data, TLSCert: f.TLSCert, TLSKey: f.TLSKey, MetricsListen: f.MetricsListen,
		BreachFile: f.BreachFile, Drain: f.Drain, LogFormat: f.LogFormat, KeyFile: f.KeyFile, URLGiven: f.URL != ""}
	if _, _, err := net.SplitHostPort(f.Listen); err != nil {
		return c, fmt.Errorf("POSTERN_LISTEN is %q: give a host and a port, such as 127.0.0.1:8080", f.Listen)
	}
	if c.URL, err = ReadURL(or(f.URL, defaultURL)); err != nil {
		return c, err
	}
	if c.Data == "" {
		return c, errors.New("POSTERN_DATA is empty: name a folder")
	}
	if c.KeyFile == "" {
		c.KeyFile = filepath.Join(c.Data, "postern.key")
	}
	if c.Database, err = inlineOrFile("POSTERN_DATABASE", f.Database, f.DatabaseFile); err != nil {
		return c, err
	}
	if u, err := url.Parse(c.Database); c.Database != "" && (err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return c, errors.New("POSTERN_DATABASE is not a postgres:// URL: correct it, or leave it empty for SQLite")
	}
	smtp, err := inlineOrFile("POSTERN_SMTP", f.SMTP, f.SMTPFile)
	if err != nil {
		return c, err
	}
	if c.SMTP, err = readSMTP(smtp); err != nil {
		return c, err
	}
	from, err := netmail.ParseAddress(f.MailFrom)
	if err != nil {
		return c, fmt.Errorf("POSTERN_MAIL_FROM is %q: give an address such as Portal <portal@example.com>", f.MailFrom)
	}
	c.MailFrom = *from
	if c.TrustedProxies, err = readNetworks(f.TrustedProxies); err != nil {
		return c, err
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return c, errors.New("POSTERN_TLS_CERT and POSTERN_TLS_KEY belong together: set both or neither")
	}
	if c.TLSCert != "" && c.URL.Scheme != "https" {
		return c, errors.New("POSTERN_TLS_CERT is set but POSTERN_URL is not https: make it the https address of the portal")
	}
	if c.Drain < 0 || c.Drain > 10*time.Minute {
		return c, errors.New("POSTERN_DRAIN must be between 0s and 10m")
	}
	return c, nil
}

// ReadURL checks the public address of the portal. Errors do not repeat it: by mistake it
// may hold a password.
func ReadURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !validPort(u.Port()):
		return nil, errors.New("POSTERN_URL is not the address of a portal: give one such as https://portal.example.com")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, errors.New("POSTERN_URL holds too much: leave out everything but scheme, host and port")
	case u.Scheme == "http" && !loopbackHost(u.Hostname()):
		return nil, errors.New("POSTERN_URL is plain http, which is for this machine alone: use https")
	}
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":")
	if u.Scheme == "http" {
		host = strings.TrimSuffix(host, ":80")
	} else {
		host = strings.TrimSuffix(host, ":443")
	}
	return &url.URL{Scheme: u.Scheme, Host: host}, nil
}

// validPort says whether a text is a port, or nothing.
func validPort(text string) bool {
	port, err := strconv.Atoi(text)
	return text == "" || err == nil && port > 0 && port <= 65535
}

// Secure says whether the portal's address is https.
func (c Config) Secure() bool { return c.URL.Scheme == "https" }

// LocalMail says whether mail is kept on this machine and shown there: without a mail
// server, for a portal that only this machine can reach.
func (c Config) LocalMail() bool { return c.SMTP.Host == "" && loopbackHost(c.URL.Hostname()) }

func loopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// inlineOrFile reads a value that may hold a secret and so may stand in a file.
func inlineOrFile(name, value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	if value != "" {
		return "", fmt.Errorf("%s and %s_FILE are both set: keep one", name, name)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s_FILE cannot be read: %w", name, err)
	}
	if value = strings.TrimSpace(string(text)); value == "" {
		return "", fmt.Errorf("%s_FILE names an empty file: put the value there, or do not set it", name)
	}
	return value, nil
}

// readSMTP never repeats the URL in an error: it holds a password.
func readSMTP(text string) (s SMTP, err error) {
	if text == "" {
		return s, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.Fragment != "" || !validPort(u.Port()) {
		return s, errors.New("POSTERN_SMTP cannot be read: give smtp://user:password@host:587 with special characters percent-encoded")
	}
	s = SMTP{Host: u.Hostname(), User: u.User.Username()}
	s.Password, _ = u.User.Password()
	switch u.Scheme {
	case "smtp":
		s.Port = 587
	case "smtps":
		s.Port, s.Security = 465, TLS
	default:
		return s, errors.New("POSTERN_SMTP must begin with smtp:// or smtps://")
	}
	if port, err := strconv.Atoi(u.Port()); err == nil {
		s.Port = port
	}
	switch {
	case u.RawQuery == "":
	case u.RawQuery != "tls=none" || u.Scheme != "smtp":
		return s, errors.New("POSTERN_SMTP has an option that is not known: the only one is ?tls=none, for an smtp:// server on this machine")
	case !loopbackHost(s.Host):
		return s, errors.New("POSTERN_SMTP says tls=none, which is for a server on this machine alone: leave it out")
	default:
		s.Security = NoTLS
	}
	return s, nil
}

func readNetworks(texts []string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, text := range texts {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if address, alone := netip.ParseAddr(text); err != nil && alone == nil {
			prefix, err = address.Unmap().Prefix(address.Unmap().BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("POSTERN_TRUSTED_PROXIES holds %q: give networks such as 10.0.0.0/8, separated by commas", text)
		}
		networks = append(networks, prefix.Masked())
	}
	return networks, nil
}
