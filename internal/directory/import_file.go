package directory

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"postern/internal/input"
)

// importColumns are what the first line of a file can name; the first two must be there.
var importColumns = []string{"email", "name", "username", "organization", "role", "password_hash"}

const neededColumns = 2

// maxRowBytes bounds what a row can take, so that a quotation mark that is never closed
// does not gather a whole file.
const maxRowBytes = 64 << 10

// errRowTooLong ends a file: where the next row begins cannot be known.
var errRowTooLong = errors.New("a row is too long")

// importFile reads the rows of a CSV file one by one. It never holds more than one.
type importFile struct {
	csv   *csv.Reader
	bytes *boundedRow
	// at is where each column stands.
	at    map[string]int
	ended int // the last line that was read
}

// boundedRow lets only so many bytes through before it is told that a row has ended.
type boundedRow struct {
	r    io.Reader
	left int
}

// Read implements io.Reader.
func (b *boundedRow) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errRowTooLong
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// openImportFile reads the first line, which names the columns in any order. What is wrong
// with it is returned as problems of line 1.
func openImportFile(r io.Reader) (*importFile, []input.Field, error) {
	buffered := bufio.NewReader(r)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
		_, _ = buffered.Discard(3) // they are there
	}
	f := &importFile{bytes: &boundedRow{r: buffered}, at: map[string]int{}}
	f.csv = csv.NewReader(f.bytes)
	f.csv.ReuseRecord = true
	row, err := f.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, []input.Field{{Problem: input.NoRows}}, nil
	case err != nil:
		return nil, nil, err
	case len(row.problems) > 0:
		return nil, row.problems, nil
	}
	var problems []input.Field
	for i, name := range row.fields {
		name = strings.ToLower(strings.TrimSpace(name))
		_, twice := f.at[name]
		switch {
		case twice:
			problems = append(problems, input.Field{Problem: input.ColumnTwice, Choices: []string{name}})
		case !slices.Contains(importColumns, name):
			problems = append(problems, input.Field{Problem: input.NoSuchColumn, Choices: append([]string{shown(name)}, importColumns...)})
		}
		f.at[name] = i
	}
	for _, name := range importColumns[:neededColumns] {
		if _, ok := f.at[name]; !ok {
			problems = append(problems, input.Field{Problem: input.NoColumn, Choices: []string{name}})
		}
	}
	return f, problems, nil
}

// shown is a piece of a file as a report can hold it.
func shown(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > 40 {
		text = string(runes[:40]) + "…"
	}
	return text
}

// fileRow is a row as it stands in the file.
type fileRow struct {
	line     int // its first one
	fields   []string
	problems []input.Field // why it cannot be read
}

// next reads a row; io.EOF is the end. After errRowTooLong, which comes as a problem, there
// is nothing more to read. Other errors are the reader's own.
func (f *importFile) next() (row fileRow, err error) {
	if f.bytes.left < 0 {
		return row, io.EOF
	}
	f.bytes.left = maxRowBytes
	fields, err := f.csv.Read()
	row = fileRow{line: f.ended + 1, fields: fields}
	parse, isParse := errors.AsType[*csv.ParseError](err)
	switch {
	case errors.Is(err, errRowTooLong):
		f.bytes.left = -1
		row.problems = []input.Field{{Problem: input.RowTooLong}}
		return row, nil
	case isParse && errors.Is(err, csv.ErrFieldCount):
		row.problems = []input.Field{{Problem: input.WrongCount, Limit: f.csv.FieldsPerRecord}}
	case isParse:
		row.line, f.ended = parse.StartLine, max(parse.Line, parse.StartLine)
		row.problems = []input.Field{{Problem: input.StrayQuote}}
		return row, nil
	case err != nil:
		return row, err
	}
	row.line, _ = f.csv.FieldPos(0)
	last, _ := f.csv.FieldPos(len(fields) - 1)
	f.ended = last + strings.Count(fields[len(fields)-1], "\n")
	if slices.ContainsFunc(fields, func(field string) bool { return !utf8.ValidString(field) || strings.ContainsRune(field, 0) }) {
		row.problems = append(row.problems, input.Field{Problem: input.NotText})
	}
	return row, nil
}

// field returns a column of a row; empty where the file has no such column.
func (f *importFile) field(row fileRow, name string) string {
	i, ok := f.at[name]
	if !ok {
		return ""
	}
	return row.fields[i]
}
