package config_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/config"
)

// secret stands in every password below and must stand in no error.
const secret = "canary-Passw0rd"

// given is the environment with one change.
func given(change func(f *config.Flags)) config.Flags {
	f := config.Flags{Listen: "127.0.0.1:8080", Data: "data", MailFrom: "Postern <postern@localhost>"}
	if change != nil {
		change(&f)
	}
	return f
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, f config.Flags) config.Config {
	t.Helper()
	c, err := f.Read()
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	return c
}

func TestNothingNeedsToBeSet(t *testing.T) {
	c := read(t, given(nil))
	if c.URL.String() != "http://localhost:8080" || c.URLGiven || c.Secure() || !c.LocalMail() || c.Database != "" || c.SMTP.Host != "" ||
		c.KeyFile != filepath.Join("data", "postern.key") || c.MailFrom.Address != "postern@localhost" || len(c.TrustedProxies) != 0 {
		t.Errorf("the defaults are %+v", c)
	}
}

func TestAWrongValueIsNamedByItsVariableAndNoSecretIsRepeated(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for variable, changes := range map[string][]func(f *config.Flags){
		"POSTERN_LISTEN": {
			func(f *config.Flags) { f.Listen = "" }, func(f *config.Flags) { f.Listen = "8080" }, func(f *config.Flags) { f.Listen = "127.0.0.1" },
			func(f *config.Flags) { f.Listen = "::1:8080" },
		},
		"POSTERN_URL": urls("portal.example.com", "//portal.example.com", "ftp://portal.example.com", "https://", "https:///path", "https://:8443", "https:portal.example.com",
			"https://portal.example.com/path", "https://portal.example.com/?q=1", "https://portal.example.com#top", "http://portal.example.com",
			"http://192.0.2.1:8080", "http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://[2001:db8::1]", "https://portal.example.com:port",
			"https://portal.example.com:99999", "https://por tal.example.com", "javascript:alert(1)",
			"https://user:"+secret+"@portal.example.com", "http://user:"+secret+"@localhost:8080", "smtp://user:"+secret+"@portal.example.com:587"),
		"POSTERN_DATA": {func(f *config.Flags) { f.Data = "" }},
		"POSTERN_DATABASE": {
			func(f *config.Flags) { f.Database = "mysql://postern:" + secret + "@db/postern" },
			func(f *config.Flags) { f.Database = "host=db password=" + secret },
			func(f *config.Flags) { f.Database = "postgres://postern:" + secret + "%zz@db/postern" },
			func(f *config.Flags) { f.Database = "/var/lib/" + secret },
			func(f *config.Flags) {
				f.Database, f.DatabaseFile = "postgres://postern:"+secret+"@db/postern", file(t, "postgres://postern:"+secret+"@db/postern")
			},
			func(f *config.Flags) { f.DatabaseFile = file(t, "mysql://postern:"+secret+"@db/postern\n") },
		},
		"POSTERN_DATABASE_FILE": {
			func(f *config.Flags) { f.DatabaseFile = missing },
			// An empty file is a secret that did not arrive, not the wish for SQLite.
			func(f *config.Flags) { f.DatabaseFile = file(t, "\n") },
		},
		"POSTERN_SMTP": smtps("mail.example.com:587", "http://user:"+secret+"@mail.example.com", "smtp://", "smtp://user:"+secret+"@", "smtp://user:"+secret+"@mail.example.com:port",
			"smtp://user:"+secret+"@mail.example.com:0", "smtp://user:"+secret+"@mail.example.com:65536", "smtp://user:"+secret+"%zz@mail.example.com",
			"smtp://user:"+secret+"/@mail.example.com", "smtp://user:"+secret+"@mail.example.com?tls=none", "smtp://user:"+secret+"@mail.example.com?tls=off",
			"smtp://user:"+secret+"@localhost?tls=optional", "smtp://user:"+secret+"@localhost.evil.example?tls=none", "smtp://user:"+secret+"@10.0.0.1?tls=none",
			// Not percent-encoded, these would be sent to a host "user", a part of the password being its port.
			"smtp://user:12#"+secret+"@mail.example.com", "smtp://user:12/"+secret+"@mail.example.com:587", "smtp://user:12?"+secret+"@mail.example.com:587"),
		"POSTERN_SMTP_FILE": {
			func(f *config.Flags) { f.SMTPFile = missing },
			func(f *config.Flags) { f.SMTPFile = file(t, "  \n") },
			func(f *config.Flags) {
				f.SMTP, f.SMTPFile = "smtp://user:"+secret+"@mail.example.com", file(t, "smtp://user:"+secret+"@mail.example.com")
			},
		},
		"POSTERN_MAIL_FROM": {
			func(f *config.Flags) { f.MailFrom = "" }, func(f *config.Flags) { f.MailFrom = "Portal" }, func(f *config.Flags) { f.MailFrom = "a@b.example, c@d.example" },
			func(f *config.Flags) { f.MailFrom = "Portal <portal@vendor.example>\r\nBcc: eve@evil.example" },
		},
		"POSTERN_TRUSTED_PROXIES": {
			func(f *config.Flags) { f.TrustedProxies = []string{"10.0.0.0/8", "proxy.example.com"} },
			func(f *config.Flags) { f.TrustedProxies = []string{"10.0.0.0/33"} }, func(f *config.Flags) { f.TrustedProxies = []string{"*"} },
			func(f *config.Flags) { f.TrustedProxies = []string{"10.0.0.1:80"} },
		},
		"POSTERN_TLS_CERT": {
			func(f *config.Flags) { f.URL, f.TLSCert = "https://portal.example.com", "cert.pem" },
			func(f *config.Flags) { f.TLSCert, f.TLSKey = "cert.pem", "key.pem" },
		},
		"POSTERN_TLS_KEY": {func(f *config.Flags) { f.URL, f.TLSKey = "https://portal.example.com", "key.pem" }},
		"POSTERN_DRAIN":   {func(f *config.Flags) { f.Drain = -time.Second }, func(f *config.Flags) { f.Drain = time.Hour }},
	} {
		for _, change := range changes {
			f := given(change)
			_, err := f.Read()
			if err == nil {
				t.Errorf("%s is taken: %+v", variable, f)
				continue
			}
			if text := err.Error(); !regexp.MustCompile(`\b`+variable+`\b`).MatchString(text) || strings.Contains(text, "\n") {
				t.Errorf("%s: the error does not say in one line what to change: %v", variable, err)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: a secret is repeated: %v", variable, err)
			}
		}
	}
}

func urls(texts ...string) (changes []func(f *config.Flags)) {
	for _, text := range texts {
		changes = append(changes, func(f *config.Flags) { f.URL = text })
	}
	return changes
}

func smtps(texts ...string) (changes []func(f *config.Flags)) {
	for _, text := range texts {
		changes = append(changes, func(f *config.Flags) { f.SMTP = text })
	}
	return changes
}

// Links and the host check come from the address, so it must be what browsers send.
func TestTheAddressIsAsBrowsersSendIt(t *testing.T) {
	for text, want := range map[string]string{
		"https://portal.example.com":       "https://portal.example.com",
		"https://portal.example.com/":      "https://portal.example.com",
		"HTTPS://Portal.EXAMPLE.com":       "https://portal.example.com",
		"https://portal.example.com:443":   "https://portal.example.com",
		"https://portal.example.com:":      "https://portal.example.com",
		"https://portal.example.com:8443/": "https://portal.example.com:8443",
		"https://portal.example.com:80":    "https://portal.example.com:80",
		"http://localhost":                 "http://localhost",
		"http://localhost:80":              "http://localhost",
		"http://localhost:443":             "http://localhost:443",
		"http://LOCALHOST:8080":            "http://localhost:8080",
		"http://127.0.0.1:8080":            "http://127.0.0.1:8080",
		"http://127.8.9.10":                "http://127.8.9.10",
		"http://[::1]:8080":                "http://[::1]:8080",
		"http://[::1]:80":                  "http://[::1]",
		"https://[2001:DB8::80]:443":       "https://[2001:db8::80]",
	} {
		u, err := config.ReadURL(text)
		if err != nil {
			t.Errorf("%s is refused: %v", text, err)
		} else if u.String() != want {
			t.Errorf("%s became %s instead of %s", text, u, want)
		}
	}
}

func TestMailStaysOnThisMachineOnlyForAPortalThatDoes(t *testing.T) {
	for _, test := range []struct {
		url, smtp string
		local     bool
	}{
		{"", "", true}, {"http://localhost:8080", "", true}, {"https://localhost", "", true}, {"https://LOCALHOST", "", true}, {"http://[::1]", "", true},
		{"http://127.0.0.1", "", true}, {"https://portal.example.com", "", false}, {"https://localhost.example.com", "", false}, {"https://192.0.2.1", "", false},
		{"https://127.0.0.1.example.com", "", false}, {"", "smtp://mail.example.com", false},
	} {
		if c := read(t, given(func(f *config.Flags) { f.URL, f.SMTP = test.url, test.smtp })); c.LocalMail() != test.local {
			t.Errorf("with %q and %q mail is kept on this machine: %t", test.url, test.smtp, c.LocalMail())
		}
	}
}

func TestTheMailServerIsReadAsWritten(t *testing.T) {
	for text, want := range map[string]config.SMTP{
		"":                                      {},
		"smtp://mail.example.com":               {Host: "mail.example.com", Port: 587},
		"smtps://mail.example.com":              {Host: "mail.example.com", Port: 465, Security: config.TLS},
		"smtp://user:p%40ss%2F%23@mail.test:25": {Host: "mail.test", Port: 25, User: "user", Password: "p@ss/#"},
		"smtps://u%40x:pass@mail.test:2465/":    {Host: "mail.test", Port: 2465, Security: config.TLS, User: "u@x", Password: "pass"},
		"smtp://localhost:1025?tls=none":        {Host: "localhost", Port: 1025, Security: config.NoTLS},
		"smtp://[::1]:25?tls=none":              {Host: "::1", Port: 25, Security: config.NoTLS},
		"smtp://user:pass@127.0.0.1?tls=none":   {Host: "127.0.0.1", Port: 587, Security: config.NoTLS, User: "user", Password: "pass"},
	} {
		c, err := given(func(f *config.Flags) { f.SMTP = text }).Read()
		if err != nil {
			t.Errorf("%s is refused: %v", text, err)
		} else if c.SMTP != want {
			t.Errorf("%s became %+v", text, c.SMTP)
		}
	}
}

func TestSecretsMayStandInFiles(t *testing.T) {
	c := read(t, given(func(f *config.Flags) {
		f.DatabaseFile, f.SMTPFile = file(t, "postgres://postern:"+secret+"@db/postern\n"), file(t, "\n smtp://user:"+secret+"@mail.example.com \r\n")
	}))
	if c.Database != "postgres://postern:"+secret+"@db/postern" || c.SMTP.Password != secret {
		t.Errorf("read %q and %+v", c.Database, c.SMTP)
	}
}

func TestOnlyTheNamedProxiesAreTrusted(t *testing.T) {
	c := read(t, given(func(f *config.Flags) {
		f.TrustedProxies = []string{" 10.1.2.3/8 ", "", "192.0.2.7", "::1", "::ffff:198.51.100.9", "2001:db8::1/32"}
	}))
	want := []string{"10.0.0.0/8", "192.0.2.7/32", "::1/128", "198.51.100.9/32", "2001:db8::/32"}
	var got []string
	for _, network := range c.TrustedProxies {
		got = append(got, network.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("trusted are %v instead of %v", got, want)
	}
	for _, stranger := range []string{"192.0.2.8", "11.0.0.1", "::2", "198.51.100.8"} {
		for _, network := range c.TrustedProxies {
			if network.Contains(netip.MustParseAddr(stranger)) {
				t.Errorf("%s is trusted by %s", stranger, network)
			}
		}
	}
}

func TestAValueThatIsGivenIsKept(t *testing.T) {
	f := config.Flags{Listen: ":8443", URL: "https://portal.example.com", Data: "/srv/postern", KeyFile: "/etc/postern.key", MailFrom: "Ümläut Portal <portal@vendor.example>",
		Database: "postgresql://postern@db/postern", TLSCert: "cert.pem", TLSKey: "key.pem", MetricsListen: "127.0.0.1:9090", BreachFile: "breached.txt",
		Drain: 10 * time.Minute, LogFormat: "json"}
	c := read(t, f)
	if c.Listen != f.Listen || !c.URLGiven || !c.Secure() || c.Data != f.Data || c.KeyFile != f.KeyFile || c.Database != f.Database || c.TLSCert != f.TLSCert ||
		c.TLSKey != f.TLSKey || c.MetricsListen != f.MetricsListen || c.BreachFile != f.BreachFile || c.Drain != f.Drain || c.LogFormat != f.LogFormat ||
		c.MailFrom.Name != "Ümläut Portal" || c.MailFrom.Address != "portal@vendor.example" {
		t.Errorf("%+v became %+v", f, c)
	}
}
