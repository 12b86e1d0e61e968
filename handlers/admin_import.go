package handlers

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"time"

	"postern/db"
	"postern/internal/directory"
	"postern/internal/input"
	"postern/views"
)

const (
	importPath = "/admin/import"
	// importRows is how many rows the page takes; the command takes any number.
	importRows = 5000

	maxUpload = 16 << 20
	// uploadTimeout bounds reading a file and importing it.
	uploadTimeout = 3 * time.Minute
	// readUpload bounds reading it: slow lines carry 16 MiB in that time.
	readUpload = 2 * time.Minute

	// fileChosen is kept in place of the file when proof is asked for.
	fileChosen = "file_chosen"
	// importDone is the session's key for what an import did, for the next page.
	importDone = "import done"
)

// isUpload says whether the request brings a file, which one route alone takes: it has
// limits of its own, and is not read before the guard.
func isUpload(r *http.Request) bool {
	if r.Method != http.MethodPost || r.URL.Path != importPath {
		return false
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "multipart/form-data"
}

// importer refuses whoever may not import: an administrator of one organization alone.
func (q *request) importer() error {
	if q.holder().Over() != 0 {
		return errNotFound
	}
	return nil
}

// showImport asks for proof before a file is chosen, which would not survive being asked
// later.
func (s *Server) showImport(q *request) error {
	if err := q.importer(); err != nil {
		return err
	}
	if !q.proven() {
		return q.toReauthenticate()
	}
	page := views.ImportPage{DryRun: true}
	if text := s.Sessions.Get(q.Context(), importDone); text != "" {
		s.Sessions.Put(q.Context(), importDone, "")
		page.Done = &views.ImportDone{}
		if err := json.Unmarshal([]byte(text), page.Done); err != nil {
			return err
		}
		// What was checked with invitations is meant to be imported with them.
		page.Invite = page.Done.DryRun && page.Done.Invitations > 0
	} else if q.typedBefore().Has(fileChosen) {
		q.forgetTyped()
		page.ChooseAgain = true
	}
	return q.renderImport(http.StatusOK, page)
}

func (q *request) renderImport(code int, page views.ImportPage) error {
	page.Frame = q.inAdmin("Import users", usersPath)
	page.Frame.Failed = code != http.StatusOK
	page.MostRows = importRows
	return q.render(code, views.Import(page))
}

func (s *Server) runImport(q *request) error {
	if err := q.importer(); err != nil {
		return err
	}
	if err := q.moreTime(); err != nil {
		return err
	}
	if !q.proven() {
		q.drain()
		q.fields = url.Values{fileChosen: {"yes"}}
		return q.toReauthenticate()
	}
	u := upload{s: s, q: q, fields: url.Values{}}
	report, err := u.run()
	page := views.ImportPage{DryRun: u.box("dry_run"), Invite: u.box("invite")}
	if err != nil {
		q.drain()
		wrong, code, ok := q.importProblems(err)
		if !ok {
			return notThere(err)
		}
		page.Errors = wrong
		return q.renderImport(code, page)
	}
	if report.BadCount > 0 {
		page.BadCount = report.BadCount
		for _, row := range report.Bad {
			page.Bad = append(page.Bad, views.BadRow{Line: row.Line, Text: badRowText(row)})
		}
		return q.renderImport(http.StatusUnprocessableEntity, page)
	}
	done, err := json.Marshal(views.ImportDone{DryRun: page.DryRun, Users: report.Users, Organizations: report.Organizations,
		Invitations: report.Invitations})
	if err != nil {
		return err
	}
	s.Sessions.Put(q.Context(), importDone, string(done))
	return q.goTo(importPath)
}

// moreTime moves the deadlines of the connection, which are meant for forms without a file.
func (q *request) moreTime() error {
	if !isUpload(q.Request) {
		return nil
	}
	connection := http.NewResponseController(q.wire)
	err := errors.Join(connection.SetReadDeadline(time.Now().Add(readUpload)), connection.SetWriteDeadline(time.Now().Add(uploadTimeout)))
	if errors.Is(err, http.ErrNotSupported) {
		return nil // there are none to move
	}
	return err
}

// drain reads what is left of the body, or a browser that is still sending would not get to
// see the answer.
func (q *request) drain() { _, _ = io.Copy(io.Discard, q.Body) }

// importProblems is problems, with what can be wrong with a file as a whole.
func (q *request) importProblems(err error) (views.Errors, int, bool) {
	switch {
	case errors.Is(err, directory.ErrTooManyRows):
		err = &input.Error{Fields: []input.Field{{Name: "file", Problem: input.TooManyRows, Limit: importRows}}}
	case errors.Is(err, db.ErrImporting):
		err = input.Refuse("", input.Importing)
	}
	return q.problems(err)
}

// badRowText says what is wrong with a row.
func badRowText(row directory.BadRow) string {
	text := ""
	for _, field := range row.Fields {
		if text != "" {
			text += " "
		}
		text += views.FieldText(field.Name, string(field.Problem), field.Limit, field.Choices)
	}
	return text
}

// upload is a form with a file, read as it comes.
type upload struct {
	s         *Server
	q         *request
	fields    url.Values
	importing *directory.Importing
}

// box says whether a box of the form is ticked.
func (u *upload) box(name string) bool { return u.fields.Get(name) == "true" }

// run reads the form to its end and imports its file.
func (u *upload) run() (report directory.ImportReport, err error) {
	defer func() {
		if u.importing != nil {
			err = errors.Join(err, u.importing.Close(u.q.Context()))
		}
	}()
	if !isUpload(u.q.Request) {
		return report, input.Refuse("file", input.NoFile)
	}
	parts, err := u.q.MultipartReader()
	if err != nil {
		return report, errBadForm
	}
	for {
		part, err := parts.NextPart()
		if err == io.EOF { //nolint:errorlint // wrapped, it means a form that was cut off
			break
		} else if err != nil {
			return report, uploadError(err)
		}
		if err := u.read(part); err != nil {
			return report, err
		}
	}
	for _, name := range []string{"dry_run", "invite"} {
		if value := u.fields.Get(name); value != "" && value != "true" && value != "false" {
			return report, errBadForm
		}
	}
	if u.importing == nil {
		return report, input.Refuse("file", input.NoFile)
	}
	return u.importing.Finish(u.q.Context(), u.box("invite"), u.box("dry_run"))
}

// read takes a part of the form: the file, or a field.
func (u *upload) read(part *multipart.Part) (err error) {
	name := part.FormName()
	if !cleanText(name) || u.fields.Has(name) || u.q.URL.Query().Has(name) {
		return errBadForm
	}
	// A browser sends an empty file without a name when none was chosen.
	content := bufio.NewReader(part)
	if _, empty := content.Peek(1); name == "file" && (part.FileName() != "" || empty == nil) {
		u.fields.Set(name, "chosen")
		u.importing, err = u.s.Directory.BeginImport(u.q.Context(), u.q.actor(), directory.ImportOptions{MostRows: importRows})
		if err != nil {
			return err
		}
		return u.importing.Read(u.q.Context(), uploaded{content})
	}
	value, err := io.ReadAll(io.LimitReader(content, maxBody+1))
	switch {
	case err != nil:
		return uploadError(err)
	case len(value) > maxBody:
		return errTooLarge
	case !cleanText(string(value)):
		return errBadForm
	}
	u.fields.Set(name, string(value))
	return nil
}

// uploaded reads a file as it comes; what goes wrong is the sender's.
type uploaded struct{ file io.Reader }

// Read implements io.Reader.
func (u uploaded) Read(p []byte) (int, error) {
	n, err := u.file.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // readers return it bare
		err = uploadError(err)
	}
	return n, err
}

func uploadError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return errTooLarge
	}
	return fmt.Errorf("%w: %v", errBadForm, err) //nolint:errorlint // its cause must not count as the database's
}
