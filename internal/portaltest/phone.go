package portaltest

import (
	"testing"
	"time"

	"postern/internal/totp"
)

// Phone stands for the authenticator app of somebody at a portal with the machine's clock.
type Phone struct {
	Secret totp.Secret
	last   int64 // time step of the last code
}

// Code is a code that was not used yet. That of the next time step is accepted, too, so it
// rarely waits.
func (p *Phone) Code(t testing.TB) string {
	t.Helper()
	for totp.StepAt(time.Now())+1 <= p.last {
		time.Sleep(time.Second)
	}
	p.last = max(p.last+1, totp.StepAt(time.Now()))
	code, err := p.Secret.Code(time.Unix(p.last*30, 0))
	if err != nil {
		t.Fatal(err)
	}
	return code
}
