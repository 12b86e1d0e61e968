package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/portaltest"
)

// certify makes a certificate with that number for this machine, in two files.
func certify(t *testing.T, folder string, number int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(number), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		overwrite(t, filepath.Join(folder, name), string(pem.EncodeToMemory(block)))
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// secured starts a portal with a certificate of its own.
func secured(t *testing.T) (p *process, folder string, roots *x509.CertPool) {
	t.Helper()
	i := newInstallation(t, "")
	i.create("ann@acme.example")
	folder, roots = t.TempDir(), x509.NewCertPool()
	roots.AddCert(certify(t, folder, 1))
	i.url = strings.Replace(i.url, "http:", "https:", 1)
	i.env["POSTERN_URL"] = i.url
	i.env["POSTERN_TLS_CERT"], i.env["POSTERN_TLS_KEY"] = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	p = i.launch([]string{"serve"})
	eventually(t, 20*time.Second, "it does not listen", func() bool {
		_, err := handshake(p, &tls.Config{RootCAs: roots})
		return err == nil
	})
	return p, folder, roots
}

// handshake returns the number of the certificate that is served.
func handshake(p *process, config *tls.Config) (int64, error) {
	conn, err := tls.Dial("tcp", strings.TrimPrefix(p.url, "https://"), config)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

func TestOverHTTPSCookiesAndHeadersHoldTheBrowserToIt(t *testing.T) {
	t.Parallel()
	p, _, roots := secured(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	form := url.Values{"login": {"ann@acme.example"}, "password": {portaltest.Password}}
	request, err := http.NewRequest(http.MethodPost, p.url+"/sign-in", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	names := map[string]bool{}
	for _, c := range answer.Cookies() {
		names[c.Name] = true
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("a cookie is %s", c.Raw)
		}
	}
	if answer.StatusCode != http.StatusSeeOther || !names["__Host-postern"] || !names["__Host-postern-browser"] {
		t.Fatalf("the sign-in answers %d with the cookies %v", answer.StatusCode, names)
	}
	for path, status := range map[string]int{"/account": http.StatusOK, "/nowhere": http.StatusNotFound, "/": http.StatusSeeOther} {
		answer, err := client.Get(p.url + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != status || answer.Header.Get("Strict-Transport-Security") != "max-age=31536000" {
			t.Errorf("%s answers %d with %q", path, answer.StatusCode, answer.Header.Get("Strict-Transport-Security"))
		}
	}
}

func TestOldVersionsOfTLSAreRefused(t *testing.T) {
	t.Parallel()
	p, _, roots := secured(t)
	for version, allowed := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		_, err := handshake(p, &tls.Config{RootCAs: roots, MinVersion: version, MaxVersion: version})
		if (err == nil) != allowed {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

// I31: a program that renews writes one file after the other, and until both fit the old
// ones go on.
func TestARenewedCertificateIsServedWithoutARestart(t *testing.T) {
	t.Parallel()
	half, halfFolder, halfRoots := secured(t)
	whole, wholeFolder, wholeRoots := secured(t)
	key, err := os.ReadFile(filepath.Join(halfFolder, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	certify(t, halfFolder, 2)
	overwrite(t, filepath.Join(halfFolder, "key.pem"), string(key))
	wholeRoots.AddCert(certify(t, wholeFolder, 2))
	served := func(p *process, roots *x509.CertPool) int64 {
		number, err := handshake(p, &tls.Config{RootCAs: roots})
		if err != nil {
			t.Fatalf("nothing is served: %v", err)
		}
		return number
	}
	eventually(t, 14*time.Second, "the new certificate is not served", func() bool {
		if number := served(half, halfRoots); number != 1 {
			t.Fatalf("the certificate %d is served", number)
		}
		return served(whole, wholeRoots) == 2
	})
	eventually(t, 5*time.Second, "nobody is told of the certificate that fits no key", func() bool {
		return served(half, halfRoots) == 1 && strings.Contains(half.log.String(), "the old one goes on")
	})
}
