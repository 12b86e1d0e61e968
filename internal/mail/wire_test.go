package mail_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// wire lies between the portal and the mail server. It keeps what passes, and can end the
// call at a word of the server's, or never let it come through.
type wire struct {
	addr string

	mu      sync.Mutex
	said    bytes.Buffer // by the portal
	open    []net.Conn
	cut     string // of what the server says; empty for never
	passing bool   // lets that word through before it hangs up
	swallow int    // calls still to be taken and never answered
	held    chan struct{}
	hungUp  chan struct{} // the portal has ended a call
}

func newWire(t *testing.T, server string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: listener.Addr().String(), held: make(chan struct{}, 10), hungUp: make(chan struct{}, 100)}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			portal, err := listener.Accept()
			if err != nil {
				return
			}
			w.keep(portal)
			running.Go(func() { w.carry(portal, server) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		w.hangUp()
		running.Wait()
	})
	return w
}

func (w *wire) keep(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = append(w.open, c)
}

// hangUp ends every call.
func (w *wire) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		c.Close()
	}
}

func (w *wire) carry(portal net.Conn, address string) {
	defer portal.Close()
	w.mu.Lock()
	swallowed := w.swallow > 0
	if swallowed {
		w.swallow--
	}
	w.mu.Unlock()
	if swallowed {
		w.held <- struct{}{}
		_, _ = io.Copy(io.Discard, portal)
		return
	}
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	w.keep(server)
	defer server.Close()
	go func() {
		_, err := io.Copy(server, io.TeeReader(portal, w))
		server.Close()
		if err == nil {
			w.hungUp <- struct{}{}
		}
	}()
	w.answer(portal, server)
}

// answer carries what the server says.
func (w *wire) answer(portal, server net.Conn) {
	chunk := make([]byte, 8192)
	for {
		n, err := server.Read(chunk)
		w.mu.Lock()
		ends := w.cut != "" && strings.Contains(string(chunk[:n]), w.cut)
		passes := !ends || w.passing
		w.mu.Unlock()
		if passes {
			_, _ = portal.Write(chunk[:n])
		}
		if err != nil || ends {
			return
		}
	}
}

// Write keeps what the portal says.
func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.Write(b)
}

func (w *wire) heard() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.String()
}

// cutAt lets the line go dead where the server says the word.
func (w *wire) cutAt(word string, passing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.passing = word, passing
}

// swallowNext takes that many calls and never answers them.
func (w *wire) swallowNext(calls int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.swallow = calls
}

// certificate is one for that name or address, signed by itself, that ends then, with the
// pool of those who trust it.
func certificate(t *testing.T, name string, until time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// terminate listens with TLS from the first byte and hands on what is inside.
func terminate(t *testing.T, cfg *tls.Config, server string) (address string) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			outer, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { join(outer, server) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		running.Wait()
	})
	return listener.Addr().String()
}

func join(outer net.Conn, address string) {
	defer outer.Close()
	inner, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer inner.Close()
	go func() {
		_, _ = io.Copy(inner, outer)
		inner.Close()
	}()
	_, _ = io.Copy(outer, inner)
}
