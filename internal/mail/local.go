package mail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Local keeps mails in a folder instead of sending them, so that a portal on one's own
// machine can be tried without a mail server.
type Local struct {
	Folder string
	From   netmail.Address

	mu sync.Mutex // a mail that is listed is not pruned meanwhile
}

// localKept is how many mails the folder keeps.
const localKept = 200

// Send implements Sender.
func (l *Local) Send(ctx context.Context, e Envelope) (string, error) {
	if err := l.keep(ctx, e); err != nil {
		return "", &FailedError{Answer: err.Error()}
	}
	return "kept on this machine", nil
}

func (l *Local) keep(ctx context.Context, e Envelope) error {
	m, err := message(ctx, l.From, e)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := os.MkdirAll(l.Folder, 0o700); err != nil {
		return err
	}
	name := filepath.Join(l.Folder, fmt.Sprintf("%013d-%s.eml", time.Now().UnixMilli(), e.ID))
	file, err := os.OpenFile(name+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = m.WriteTo(file)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	return l.prune()
}

// prune removes the oldest mails beyond those that are kept.
func (l *Local) prune() error {
	names, err := l.names()
	if err != nil {
		return err
	}
	for _, name := range names[:max(0, len(names)-localKept)] {
		if err := os.Remove(filepath.Join(l.Folder, name+".eml")); err != nil {
			return err
		}
	}
	return nil
}

// names are the ids of the mails that are kept, oldest first.
func (l *Local) names() ([]string, error) {
	entries, err := os.ReadDir(l.Folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), ".eml"); ok && localID.MatchString(name) {
			names = append(names, name)
		}
	}
	return names, err
}

// LocalMail is a mail that was kept.
type LocalMail struct {
	ID, To, Subject string
	Sent            time.Time
	Text, HTML      string // empty in a list
}

// List returns the mails that are kept, newest first, but for those that cannot be read.
func (l *Local) List() ([]LocalMail, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	names, err := l.names()
	if err != nil {
		return nil, err
	}
	slices.Reverse(names)
	mails := make([]LocalMail, 0, len(names))
	for _, name := range names {
		if m, err := l.Read(name); err == nil {
			m.Text, m.HTML = "", ""
			mails = append(mails, m)
		}
	}
	return mails, nil
}

var localID = regexp.MustCompile(`^[0-9]{13}-[0-9a-z.]{1,40}$`)

// Read returns one mail; fs.ErrNotExist when there is none with that id.
func (l *Local) Read(id string) (LocalMail, error) {
	if !localID.MatchString(id) {
		return LocalMail{}, fs.ErrNotExist
	}
	file, err := os.Open(filepath.Join(l.Folder, id+".eml"))
	if err != nil {
		return LocalMail{}, err
	}
	defer file.Close()
	parsed, err := netmail.ReadMessage(file)
	if err != nil {
		return LocalMail{}, err
	}
	m := LocalMail{ID: id}
	decoder := new(mime.WordDecoder)
	if m.Subject, err = decoder.DecodeHeader(parsed.Header.Get("Subject")); err != nil {
		return LocalMail{}, err
	}
	if to, err := parsed.Header.AddressList("To"); err == nil && len(to) == 1 {
		m.To = to[0].Address
	}
	if m.Sent, err = parsed.Header.Date(); err != nil {
		return LocalMail{}, err
	}
	return m, m.readParts(parsed)
}

func (m *LocalMail) readParts(parsed *netmail.Message) error {
	_, parameters, err := mime.ParseMediaType(parsed.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	parts := multipart.NewReader(parsed.Body, parameters["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			return err
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			m.HTML = string(body)
		} else {
			m.Text = strings.ReplaceAll(string(body), "\r\n", "\n")
		}
	}
}
