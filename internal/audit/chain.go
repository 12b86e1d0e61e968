package audit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"postern/db"
)

// Chain seals the audit trail: each event gets a position and a code, made under a secret
// from the code before it and from every column, so that no event can be changed, removed
// or put in without breaking it. Events are sealed a moment after they are written, in
// order, so that writers never wait for one another.
type Chain struct {
	secret []byte
}

// NewChain returns the chain under a secret, which nobody must know who can write to the
// database.
func NewChain(secret []byte) Chain { return Chain{secret} }

// Head is the newest link of the chain. Kept elsewhere, it shows when the end was cut off.
type Head struct {
	Position int64
	Code     []byte
}

// String is the head as it is kept in a file.
func (h Head) String() string {
	return strconv.FormatInt(h.Position, 10) + " " + hex.EncodeToString(h.Code)
}

// ParseHead reads what String has written.
func ParseHead(text string) (h Head, err error) {
	var code string
	if _, err = fmt.Sscanf(text, "%d %s", &h.Position, &code); err == nil {
		h.Code, err = hex.DecodeString(code)
	}
	if err == nil && (h.Position < 1 || len(h.Code) != sha256.Size) {
		err = errors.New("it is not whole")
	}
	if err != nil {
		return Head{}, fmt.Errorf("head of the audit trail: %w", err)
	}
	return h, nil
}

// Empty says whether there is no link at all.
func (h Head) Empty() bool { return h.Position == 0 }

// sum makes a code from parts. The lengths keep the parts apart.
func (c Chain) sum(parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, c.secret)
	for _, part := range parts {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write(part)
	}
	return mac.Sum(nil)
}

func numeral(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// code links an event to the one before.
func (c Chain) code(previous []byte, position int64, e db.StoredEvent) []byte {
	return c.sum(previous, numeral(position), numeral(e.ID), numeral(int64(e.At)), numeral(e.ActorID), numeral(e.UserID), numeral(e.OrganizationID),
		[]byte(e.Action), []byte(e.Outcome), []byte(e.ActorKind), []byte(e.Detail), []byte(e.Address), []byte(e.UserAgent), []byte(e.RequestID))
}

// proof shows that it was retention that removed the links up to that one: whoever can
// write an event cannot make it.
func (c Chain) proof(last Head) []byte {
	return c.sum([]byte("trimmed"), numeral(last.Position), last.Code)
}

// batch is how many events are sealed or checked at a time.
const batch = 500

// Seal seals all events that are waiting, in short transactions, so that whoever writes an
// event waits for none of it. Several may run at once; each event is sealed by one.
func (c Chain) Seal(ctx context.Context, d *db.DB) error {
	for {
		waiting, err := d.Reader().UnsealedEvents(ctx, 1)
		if err != nil || len(waiting) == 0 {
			return err
		}
		if err := d.Update(ctx, func(tx *db.Tx) error { return c.sealBatch(ctx, tx) }); err != nil {
			return err
		}
	}
}

func (c Chain) sealBatch(ctx context.Context, tx *db.Tx) error {
	if err := tx.LockChain(ctx); err != nil {
		return err
	}
	last, err := tx.LastSealed(ctx)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return err
	}
	events, err := tx.UnsealedEvents(ctx, batch)
	if err != nil {
		return err
	}
	head := Head{last.Position, last.Code}
	for _, e := range events {
		head = Head{head.Position + 1, c.code(head.Code, head.Position+1, e)}
		if err := tx.SealEvent(ctx, e.ID, head.Position, head.Code); err != nil {
			return err
		}
	}
	return nil
}

// BrokenError names the first link that does not hold.
type BrokenError struct {
	Position int64
	EventID  int64 // 0 where there is none any more
	Why      string
}

func (e *BrokenError) Error() string {
	event := ""
	if e.EventID != 0 {
		event = fmt.Sprintf(" (event %d)", e.EventID)
	}
	return fmt.Sprintf("the audit trail is broken at position %d%s: %s", e.Position, event, e.Why)
}

const (
	removed   = "events were removed here"
	rewritten = "the trail was written anew from here or before"
)

func cutOff(newest, kept Head) error {
	return &BrokenError{newest.Position + 1, 0, fmt.Sprintf("events up to position %d were there and are not any more", kept.Position)}
}

// Newest returns the newest link, the zero Head when nothing is sealed. A trail that does
// not hold the link kept elsewhere any more is a *BrokenError. The links between are
// Verify's to check.
func (c Chain) Newest(ctx context.Context, r db.Reader, kept Head) (Head, error) {
	last, err := r.LastSealed(ctx)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return Head{}, err
	}
	newest := Head{last.Position, last.Code}
	switch {
	case newest.Position < kept.Position:
		return newest, cutOff(newest, kept)
	case kept.Empty():
		return newest, nil
	}
	code, err := r.CodeAt(ctx, kept.Position)
	if errors.Is(err, db.ErrNotFound) {
		first, err := r.FirstSealed(ctx)
		if err == nil && first < kept.Position {
			err = &BrokenError{kept.Position, 0, removed}
		}
		return newest, err // where retention has removed it there is nothing to compare
	}
	if err == nil && !hmac.Equal(code, kept.Code) {
		err = &BrokenError{kept.Position, 0, rewritten}
	}
	return newest, err
}

// Report is what Verify found.
type Report struct {
	Checked int64 // links that hold
	Trimmed int64 // links that retention has removed
	Waiting int64 // events that are not sealed yet
	Head    Head  // the newest link
}

// Verify checks the whole chain. kept is the newest link known from elsewhere, read before;
// the zero Head when none is. The first link that does not hold is a *BrokenError.
func (c Chain) Verify(ctx context.Context, r db.Reader, kept Head) (Report, error) {
	for {
		first, err := r.FirstSealed(ctx)
		if errors.Is(err, db.ErrNotFound) {
			first, err = 1, nil
		}
		if err != nil {
			return Report{}, err
		}
		report, err := c.verify(ctx, r, first, kept)
		if _, broken := errors.AsType[*BrokenError](err); !broken {
			return report, err
		}
		// Retention may have removed the beginning meanwhile.
		now, again := r.FirstSealed(ctx)
		if again != nil || now <= first {
			return report, err
		}
	}
}

// verify checks the chain from its first link.
func (c Chain) verify(ctx context.Context, r db.Reader, first int64, kept Head) (report Report, err error) {
	if first < 1 {
		return report, &BrokenError{first, 0, "no event is ever sealed at such a position"}
	}
	before, err := c.trimmed(ctx, r, first-1)
	if err != nil {
		return report, err
	}
	report.Trimmed = before.Position
	if report.Head, err = c.follow(ctx, r, before, math.MaxInt64, kept); err != nil {
		return report, err
	}
	report.Checked = report.Head.Position - report.Trimmed
	if kept.Position > report.Head.Position {
		return report, cutOff(report.Head, kept)
	}
	report.Waiting, err = r.CountUnsealed(ctx)
	return report, err
}

// follow checks every link after head up to a position and returns the last one.
func (c Chain) follow(ctx context.Context, r db.Reader, head Head, upTo int64, kept Head) (Head, error) {
	for {
		links, err := r.SealedEvents(ctx, head.Position, batch)
		if err != nil {
			return head, err
		}
		for _, link := range links {
			if head.Position == upTo {
				return head, nil
			}
			if err := c.check(head, link, kept); err != nil {
				return head, err
			}
			head = Head{link.Position, link.Code}
		}
		if len(links) < batch {
			return head, nil
		}
	}
}

func (c Chain) check(previous Head, link db.SealedEvent, kept Head) error {
	switch {
	case link.Position != previous.Position+1:
		return &BrokenError{previous.Position + 1, 0, removed}
	case !hmac.Equal(link.Code, c.code(previous.Code, link.Position, link.StoredEvent)):
		return &BrokenError{link.Position, link.ID, "this event was changed or put in, or sealed under another key"}
	case link.Position == kept.Position && !hmac.Equal(link.Code, kept.Code):
		return &BrokenError{link.Position, link.ID, rewritten}
	}
	return nil
}

// trimmed returns the last link that retention has removed, as the event tells that it
// left; the zero Head for position 0.
func (c Chain) trimmed(ctx context.Context, r db.Reader, position int64) (Head, error) {
	if position == 0 {
		return Head{}, nil
	}
	tellers, err := r.Events(ctx, db.EventFilter{Action: string(AuditTrimmed)}, 0, batch)
	if err != nil {
		return Head{}, err
	}
	for _, e := range tellers {
		details := e.Details()
		code, codeErr := hex.DecodeString(details["code"])
		proof, proofErr := hex.DecodeString(details["proof"])
		last := Head{position, code}
		if details["position"] == strconv.FormatInt(position, 10) && codeErr == nil && proofErr == nil && hmac.Equal(proof, c.proof(last)) {
			return last, nil
		}
	}
	return Head{}, &BrokenError{position, 0, "the events up to here were removed, and not by the retention setting"}
}

// trimAtOnce bounds how many events one transaction removes.
const trimAtOnce = 5000

// Trim removes the oldest stretch of events from before a moment, but never the newest, and
// leaves sealed events with the last code removed. What it removes it checks first, so that
// nobody gets rid of an event by making it look old: that is a *BrokenError.
func (c Chain) Trim(ctx context.Context, d *db.DB, before db.Time) error {
	for {
		if err := c.Seal(ctx, d); err != nil {
			return err
		}
		var n int64
		err := d.Update(ctx, func(tx *db.Tx) (err error) {
			n, err = c.trimBatch(ctx, tx, before)
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

func (c Chain) trimBatch(ctx context.Context, tx *db.Tx, before db.Time) (int64, error) {
	if err := tx.LockChain(ctx); err != nil {
		return 0, err
	}
	first, err := tx.FirstSealed(ctx)
	if errors.Is(err, db.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	kept, err := tx.FirstKept(ctx, before)
	if errors.Is(err, db.ErrNotFound) { // all are older
		newest, lastErr := tx.LastSealed(ctx)
		kept, err = newest.Position, lastErr
	}
	upTo := min(kept, first+trimAtOnce) - 1
	if err != nil || upTo < first {
		return 0, err
	}
	last, err := c.trimmed(ctx, tx.Reader, first-1)
	if err != nil {
		return 0, err
	}
	if last, err = c.follow(ctx, tx.Reader, last, upTo, Head{}); err != nil {
		return 0, err
	}
	n, err := tx.TrimEvents(ctx, last.Position)
	if err != nil {
		return 0, err
	}
	return n, Record(ctx, tx, Event{Action: AuditTrimmed, Actor: db.Actor{Kind: db.ActorSystem}, Detail: map[string]string{
		"position": strconv.FormatInt(last.Position, 10), "code": hex.EncodeToString(last.Code), "proof": hex.EncodeToString(c.proof(last)),
		"events": strconv.FormatInt(n, 10), "before": before.Time().Format(time.RFC3339)}})
}
