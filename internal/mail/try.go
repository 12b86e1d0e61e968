package mail

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/wneessen/go-mail/log"
)

// Try goes through the dialogue with the server (connection, TLS, authentication, sender)
// without sending anything, and returns what was said, step by step, secrets left out.
func (s *SMTP) Try(ctx context.Context) (steps []string, err error) {
	said := &dialogue{}
	line, err := s.dial(ctx, said)
	if err != nil {
		return said.steps(), fmt.Errorf("%s:%d: %w", s.Server.Host, s.Server.Port, err)
	}
	err = line.dialogue.Mail("<" + s.From.Address + ">")
	if err == nil {
		err = line.dialogue.Reset()
	}
	line.close()
	return said.steps(), err
}

// dialogue keeps what client and server said to each other.
type dialogue struct {
	mu    sync.Mutex
	lines []string
}

func (d *dialogue) steps() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lines
}

func (d *dialogue) say(l log.Log) {
	who := "server: "
	if l.Direction == log.DirClientToServer {
		who = "portal: "
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, who+strings.Join(strings.Fields(fmt.Sprintf(l.Format, l.Messages...)), " "))
}

// Debugf, Infof, Warnf and Errorf implement log.Logger.
func (d *dialogue) Debugf(l log.Log) { d.say(l) }
func (d *dialogue) Infof(l log.Log)  { d.say(l) }
func (d *dialogue) Warnf(l log.Log)  { d.say(l) }
func (d *dialogue) Errorf(l log.Log) { d.say(l) }
