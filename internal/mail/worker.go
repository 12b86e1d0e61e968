// Package mail turns the messages of the outbox into mails and sends them. The link of a
// mail is made at each attempt, so nothing usable waits anywhere and its time runs from
// the sending. A message is never lost, and sent at most once more for every time the
// program is killed. It must never send from a request, nor to an address that is not the
// stored one.
package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"postern/db"
	"postern/internal/settings"
)

const (
	senders     = 4                      // dialogues at once: one slow server must not hold up all mail
	pace        = 100 * time.Millisecond // between mails: ten a second
	poll        = time.Second            // for what another process has queued
	lease       = 20 * time.Second
	renewLease  = lease / 4
	firstRetry  = 30 * time.Second
	longestWait = time.Hour
	giveUpAfter = 5 * 24 * time.Hour // as RFC 5321 4.5.4.1 asks for
	answerLimit = 300                // characters of the server's last word
)

// Worker sends what is in the outbox.
type Worker struct {
	DB       *db.DB
	Settings *settings.Store
	Sender   Sender
	URL      string // of the portal, without a slash at the end
	Log      *slog.Logger

	wake chan struct{}
	pace *time.Ticker
}

// NewWorker returns a worker; Run starts it.
func NewWorker(d *db.DB, s *settings.Store, sender Sender, portalURL string, log *slog.Logger) *Worker {
	return &Worker{DB: d, Settings: s, Sender: sender, URL: strings.TrimSuffix(portalURL, "/"), Log: log, wake: make(chan struct{}, 1)}
}

// Wake tells the worker that something was queued.
func (w *Worker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default: // it is awake already
	}
}

// Run sends mail until the context ends, and then finishes the dialogues it is in. Without
// a sender all mail waits.
func (w *Worker) Run(ctx context.Context) {
	if w.Sender == nil {
		<-ctx.Done()
		return
	}
	w.pace = time.NewTicker(pace)
	defer w.pace.Stop()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	slots := make(chan struct{}, senders)
	var running sync.WaitGroup
	defer running.Wait()
	for {
		w.drain(ctx, slots, &running)
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-ticker.C:
		}
	}
}

// drain claims what is due, as fast as senders are free.
func (w *Worker) drain(ctx context.Context, slots chan struct{}, running *sync.WaitGroup) {
	for {
		due, err := w.DB.Reader().NextDue(ctx)
		if errors.Is(err, db.ErrNotFound) || err == nil && due > w.DB.Now() {
			return
		} else if err != nil {
			w.failed(ctx, "look for mail", err)
			return
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		// Not bound to ctx: what was begun is finished when the program stops.
		work := context.WithoutCancel(ctx)
		message, composed, err := w.claim(work)
		if err != nil {
			<-slots
			if errors.Is(err, errClaimed) {
				continue
			}
			w.failed(ctx, "claim a mail", err)
			return
		}
		if composed == nil {
			<-slots // dropped
			continue
		}
		select {
		case <-w.pace.C:
		case <-ctx.Done():
		}
		running.Go(func() {
			defer func() { <-slots }()
			w.send(work, message, *composed)
		})
	}
}

func (w *Worker) failed(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		w.Log.ErrorContext(ctx, "mail: could not "+what, "error", err)
	}
}

// errClaimed is returned when another node was quicker.
var errClaimed = errors.New("claimed by another node")

// claim takes a message and makes the mail, in one transaction; nil for a message that was
// dropped instead, or that cannot be made into a mail and waits, so that others get through.
func (w *Worker) claim(ctx context.Context) (message db.Message, composed *letter, err error) {
	current, err := w.Settings.Current(ctx)
	if err != nil {
		return message, nil, err
	}
	err = w.DB.Update(ctx, func(tx *db.Tx) error {
		message, err = tx.ClaimMessage(ctx, lease)
		if errors.Is(err, db.ErrNotFound) {
			return errClaimed
		} else if err != nil {
			return err
		}
		c := composer{url: w.URL, settings: current, tx: tx, message: message}
		made, err := c.compose(ctx)
		if drop, ok := errors.AsType[dropped](err); ok {
			return tx.FinishMessage(ctx, message, db.MessageDropped, drop.reason)
		}
		if errors.Is(err, errUnmakeable) {
			w.Log.ErrorContext(ctx, "mail: a message cannot be made into a mail", "message", message.ID, "kind", string(message.Kind), "error", err)
			if err := tx.TakeBackLink(ctx, c.linkID); err != nil {
				return err
			}
			return retryOrGiveUp(ctx, tx, message, err.Error(), false)
		}
		composed = &made
		return err
	})
	return message, composed, err
}

// retryOrGiveUp lets a message wait for its next attempt, or records that there is none.
func retryOrGiveUp(ctx context.Context, tx *db.Tx, m db.Message, answer string, permanent bool) error {
	if permanent || tx.Now.Sub(wanted(m)) > giveUpAfter {
		return tx.FinishMessage(ctx, m, db.MessageFailed, shorten(answer))
	}
	return tx.RequeueMessage(ctx, m, backOff(m.Attempts), shorten(answer))
}

// send hands the mail over and records its fate.
func (w *Worker) send(ctx context.Context, m db.Message, composed letter) {
	defer func() {
		if cause := recover(); cause != nil {
			w.Log.ErrorContext(ctx, "mail: panic", "message", m.ID, "cause", cause, "stack", string(debug.Stack()))
		}
	}()
	answer, err := w.handOver(ctx, m, composed)
	err = w.DB.Update(ctx, func(tx *db.Tx) error { return w.record(ctx, tx, m, composed, answer, err) })
	if err != nil {
		// The lease runs out and the mail goes out once more.
		w.Log.ErrorContext(ctx, "mail: the fate of a message could not be recorded", "message", m.ID, "error", err)
	}
}

// handOver sends the mail while it keeps the lease.
func (w *Worker) handOver(ctx context.Context, m db.Message, composed letter) (string, error) {
	ctx, done := context.WithCancel(ctx)
	defer done()
	go func() {
		ticker := time.NewTicker(renewLease)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				err := w.DB.Update(ctx, func(tx *db.Tx) error { return tx.ExtendLease(ctx, m, lease) })
				w.failedUnless(ctx, err, "keep a lease")
			}
		}
	}()
	return w.Sender.Send(ctx, envelope(m, composed))
}

func envelope(m db.Message, composed letter) Envelope {
	return Envelope{To: composed.to, ID: fmt.Sprintf("%d.%d", m.ID, m.CreatedAt), Mail: composed.mail}
}

func (w *Worker) failedUnless(ctx context.Context, err error, what string) {
	if err != nil {
		w.failed(ctx, what, err)
	}
}

func (w *Worker) record(ctx context.Context, tx *db.Tx, m db.Message, composed letter, answer string, sent error) error {
	if sent == nil {
		w.Log.InfoContext(ctx, "mail sent", "message", m.ID, "kind", string(m.Kind), "attempt", m.Attempts)
		return tx.FinishMessage(ctx, m, db.MessageSent, shorten(answer))
	}
	failure, ok := errors.AsType[*FailedError](sent)
	if !ok {
		failure = &FailedError{Answer: sent.Error()}
	}
	w.Log.WarnContext(ctx, "mail not sent", "message", m.ID, "kind", string(m.Kind), "attempt", m.Attempts,
		"permanent", failure.Permanent, "unknown", failure.Unknown, "answer", shorten(failure.Answer))
	if composed.linkID != 0 && !failure.Unknown {
		if err := tx.TakeBackLink(ctx, composed.linkID); err != nil {
			return err
		}
	}
	return retryOrGiveUp(ctx, tx, m, failure.Answer, failure.Permanent)
}

// backOff is how long a message waits after that many attempts: 30 s, doubled up to an
// hour, and up to a fifth more, so that not all come back at once.
func backOff(attempts int64) time.Duration {
	wait := longestWait
	if attempts < 8 {
		wait = min(longestWait, firstRetry<<max(0, attempts-1))
	}
	return wait + time.Duration(time.Now().UnixNano())%(wait/5)
}

func shorten(answer string) string {
	answer = strings.Join(strings.Fields(strings.ToValidUTF8(answer, "?")), " ")
	if runes := []rune(answer); len(runes) > answerLimit {
		return string(runes[:answerLimit]) + "…"
	}
	return answer
}
