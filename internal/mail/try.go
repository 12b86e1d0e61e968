package mail

import (
	"context"
	"fmt"
	"net/textproto"
	"slices"
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

// sendTelling is Send with all that was said, step by step. The mail itself is no part of it.
func (s *SMTP) sendTelling(ctx context.Context, e Envelope) (steps []string, answer string, err error) {
	said := &dialogue{}
	answer, err = s.send(ctx, e, said)
	if err != nil {
		if len(said.steps()) == 0 {
			err = fmt.Errorf("%s:%d: %w", s.Server.Host, s.Server.Port, err)
		}
		said.afterText(err.Error())
		return said.steps(), "", err
	}
	said.afterText(answer)
	return said.steps(), answer, nil
}

// afterText puts the word that counts into its place: the library tells neither that the
// mail went over the line nor what the server said to it.
func (d *dialogue) afterText(answer string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, line := range d.lines {
		if strings.HasPrefix(line, "server: 354") {
			d.lines = slices.Insert(d.lines, i+1, "portal: the mail itself", "server: "+strings.Join(strings.Fields(answer), " "))
			return
		}
	}
}

// sendTelling keeps the mail; there is nobody to talk to.
func (l *Local) sendTelling(ctx context.Context, e Envelope) (steps []string, answer string, err error) {
	answer, err = l.Send(ctx, e)
	return nil, answer, err
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
	d.add(who + fmt.Sprintf(l.Format, l.Messages...))
}

func (d *dialogue) add(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, strings.Join(strings.Fields(strings.ToValidUTF8(line, "?")), " "))
}

// HandleError implements smtp.ResponseErrorHandler: it notes what the server refused, and
// leaves it refused.
func (d *dialogue) HandleError(_, _ string, _ *textproto.Conn, err error) error {
	d.add("server: " + err.Error())
	return err
}

// Debugf, Infof, Warnf and Errorf implement log.Logger.
func (d *dialogue) Debugf(l log.Log) { d.say(l) }
func (d *dialogue) Infof(l log.Log)  { d.say(l) }
func (d *dialogue) Warnf(l log.Log)  { d.say(l) }
func (d *dialogue) Errorf(l log.Log) { d.say(l) }
