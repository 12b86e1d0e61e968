package main

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateFiles serves a certificate from files and reads them again when they change.
type certificateFiles struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	held    *tls.Certificate
	changed [2]time.Time // of the files that held was read from
	looked  time.Time
}

// lookEvery is how often the files are looked at.
const lookEvery = 10 * time.Second

// get returns the certificate. New files that cannot be read are reported, and the old
// certificate goes on.
func (c *certificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != nil && time.Since(c.looked) < lookEvery {
		return c.held, nil
	}
	c.looked = time.Now()
	changed, err := c.modified()
	if err == nil && c.held != nil && changed == c.changed {
		return c.held, nil
	}
	var fresh tls.Certificate
	if err == nil {
		fresh, err = tls.LoadX509KeyPair(c.cert, c.key)
	}
	if err != nil {
		if c.held != nil {
			c.log.Error("the new certificate cannot be used; the old one goes on", "error", err)
			return c.held, nil
		}
		return nil, err
	}
	c.held, c.changed = &fresh, changed
	return c.held, nil
}

// modified is when the two files changed.
func (c *certificateFiles) modified() (changed [2]time.Time, err error) {
	for i, path := range []string{c.cert, c.key} {
		info, err := os.Stat(path)
		if err != nil {
			return changed, err
		}
		changed[i] = info.ModTime()
	}
	return changed, nil
}
