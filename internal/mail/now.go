package mail

import (
	"context"
	"errors"
	"time"

	"postern/db"
)

// ErrNoServer is returned where no mail server is set, so that all mail waits.
var ErrNoServer = errors.New("no mail server is set")

// nowTimeout bounds a dialogue that somebody waits for, in all.
const nowTimeout = 15 * time.Second

// teller is a sender that can tell the dialogue.
type teller interface {
	sendTelling(ctx context.Context, e Envelope) (steps []string, answer string, err error)
}

// Told is a dialogue with the mail server, and how it ended.
type Told struct {
	Steps  []string // what was said, secrets and the mail itself left out
	Answer string   // the server's last word
	Failed string   // why the mail was not taken; empty when it was
}

// SendNow sends a message that was held for it (db.Tx.EnqueueHeld) while somebody waits, and
// tells the dialogue. Its fate is recorded like that of any other; it is not tried again.
func (w *Worker) SendNow(ctx context.Context, m db.Message) (Told, error) {
	sender, ok := w.Sender.(teller)
	if !ok {
		return Told{}, ErrNoServer
	}
	// What was begun is finished, and recorded, even if nobody waits any more.
	ctx = context.WithoutCancel(ctx)
	composed, err := w.composeHeld(ctx, m)
	if err != nil {
		return Told{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, nowTimeout)
	defer cancel()
	told := Told{}
	var failure error
	told.Steps, told.Answer, failure = sender.sendTelling(bounded, envelope(m, composed))
	state, answer := db.MessageSent, told.Answer
	if failure != nil {
		told.Failed = shorten(failure.Error())
		if bounded.Err() != nil {
			told.Failed = "the mail server took longer than " + nowTimeout.String()
		}
		state, answer = db.MessageFailed, told.Failed
	}
	return told, w.DB.Update(ctx, func(tx *db.Tx) error { return tx.FinishMessage(ctx, m, state, shorten(answer)) })
}

func (w *Worker) composeHeld(ctx context.Context, m db.Message) (composed letter, err error) {
	current, err := w.Settings.Current(ctx)
	if err != nil {
		return letter{}, err
	}
	err = w.DB.Update(ctx, func(tx *db.Tx) error {
		c := composer{url: w.URL, settings: current, tx: tx, message: m}
		composed, err = c.compose(ctx)
		return err
	})
	return composed, err
}

// Sends says whether mail leaves at all; else it waits for a mail server to be set.
func (w *Worker) Sends() bool { return w.Sender != nil }
