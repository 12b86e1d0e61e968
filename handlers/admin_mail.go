package handlers

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"postern/db"
	"postern/internal/access"
	"postern/internal/directory"
	"postern/views"
)

const mailPath = "/admin/mail"

// mailStates are what a list of mails can be narrowed to.
var mailStates = []db.MessageState{"", db.MessageQueued, db.MessageSending, db.MessageSent, db.MessageFailed, db.MessageDropped}

// mailRow is a mail as lists show it; neither what stood in it nor its link.
func (q *request) mailRow(m db.Message) views.MailRow {
	return views.MailRow{ID: m.ID, Kind: string(m.Kind), To: m.Recipient, State: string(m.State), Answer: m.Answer, Attempts: m.Attempts,
		Created: q.when(m.CreatedAt), Finished: q.when(m.FinishedAt), Next: q.when(m.DueAt)}
}

func (s *Server) showMails(q *request) error {
	state := db.MessageState(q.query("state"))
	if !slices.Contains(mailStates, state) {
		return errBadForm
	}
	mails, err := s.DB.Reader().Messages(q.Context(), state, q.number("after"), listPage+1)
	if err != nil {
		return err
	}
	page := views.MailsPage{Frame: q.inAdmin("Mail", mailPath), State: string(state), NoSMTP: !s.Mail.Sends()}
	if len(mails) > listPage {
		mails = mails[:listPage]
		page.Next = q.nextQuery(strconv.FormatInt(mails[listPage-1].ID, 10))
	}
	for _, m := range mails {
		page.Mails = append(page.Mails, q.mailRow(m))
	}
	return q.page(views.Mails(page))
}

// message finds the mail in the address.
func (s *Server) message(q *request) (db.Message, error) {
	id, err := q.id()
	if err != nil {
		return db.Message{}, err
	}
	return s.DB.Reader().Message(q.Context(), id)
}

func mailAddress(id int64) string { return mailPath + "/" + strconv.FormatInt(id, 10) }

func (s *Server) showMail(q *request) error {
	m, err := s.message(q)
	if err != nil {
		return err
	}
	return s.renderMail(q, http.StatusOK, m, false)
}

func (s *Server) renderMail(q *request, code int, m db.Message, refused bool) error {
	why, err := s.Directory.WhyNoRetry(q.Context(), m)
	if err != nil {
		return err
	}
	page := views.MailPage{Frame: q.inAdmin(views.MailKindText(string(m.Kind)), mailPath), Mail: q.mailRow(m), Why: string(why),
		Refused: refused, Local: s.LocalMail != nil}
	page.Frame.Failed = refused
	if _, err := s.Directory.Target(q.Context(), q.actor(), m.UserID, access.View); err == nil {
		page.UserID = m.UserID
	} else if err := notThere(err); !errors.Is(err, errNotFound) {
		return err
	}
	return q.render(code, views.MailDetail(page))
}

func (s *Server) showRetryMail(q *request) error {
	m, err := s.message(q)
	if err != nil {
		return err
	}
	why, err := s.Directory.WhyNoRetry(q.Context(), m)
	if err != nil {
		return err
	}
	if why != "" {
		return s.renderMail(q, http.StatusOK, m, false)
	}
	return q.page(views.Confirm(views.ConfirmPage{Frame: q.inAdmin("Send this mail again?", mailPath), Effect: views.RetryQuestion(string(m.Kind), m.Recipient),
		Button: "Try again now", Action: q.URL.Path, Back: mailAddress(m.ID)}))
}

func (s *Server) retryMail(q *request) error {
	m, err := s.message(q)
	if err != nil {
		return err
	}
	err = s.Directory.RetryMail(q.Context(), q.actor(), m.ID)
	if _, ok := errors.AsType[*directory.NoRetryError](err); ok {
		if m, err = s.message(q); err != nil { // as it is by now
			return err
		}
		return s.renderMail(q, http.StatusUnprocessableEntity, m, true)
	} else if err != nil {
		return notThere(err)
	}
	q.notify(views.NoticeMailQueued)
	return q.goTo(mailAddress(m.ID))
}

// toldKey is the session's key for the dialogue of the last test mail, which the page after
// it shows; toldFor is how long.
const (
	toldKey = "test mail"
	toldFor = 10 * time.Minute
)

// toldTest is what is kept of it.
type toldTest struct {
	At     db.Time  `json:"at"`
	To     string   `json:"to"`
	Steps  []string `json:"steps"`
	Failed string   `json:"failed"`
}

func (s *Server) testMailPage(q *request) views.TestMailPage {
	return views.TestMailPage{Frame: q.inAdmin("Send a test mail", mailPath), To: q.user().Email, NoServer: !s.Mail.Sends(), Local: s.LocalMail != nil}
}

func (s *Server) showTestMail(q *request) error {
	page := s.testMailPage(q)
	var told toldTest
	text := s.Sessions.Get(q.Context(), toldKey)
	if text != "" && json.Unmarshal([]byte(text), &told) == nil && s.DB.Now() < told.At.Add(toldFor) {
		page.Done, page.To, page.Steps, page.Failed, page.At = true, told.To, told.Steps, told.Failed, q.when(told.At)
		page.Frame.Failed = told.Failed != ""
	}
	return q.page(views.TestMailForm(page))
}

func (s *Server) testMail(q *request) error {
	page := s.testMailPage(q)
	if page.NoServer {
		return q.render(http.StatusUnprocessableEntity, views.TestMailForm(page))
	}
	held, err := s.Directory.TestMail(q.Context(), q.actor())
	if err != nil {
		wrong, code, ok := q.problems(err)
		if !ok {
			return notThere(err)
		}
		page.Errors, page.Frame.Failed = wrong, true
		return q.render(code, views.TestMailForm(page))
	}
	told, err := s.Mail.SendNow(q.Context(), held)
	if err != nil {
		return err
	}
	text, err := json.Marshal(toldTest{At: s.DB.Now(), To: held.Recipient, Steps: told.Steps, Failed: told.Failed})
	if err != nil {
		return err
	}
	s.Sessions.Put(q.Context(), toldKey, string(text))
	return q.goTo(mailPath + "/test")
}
