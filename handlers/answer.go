package handlers

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// answer keeps a response in memory until all that belongs to it has succeeded, so that
// what fails last can still replace it.
type answer struct {
	header http.Header
	status int
	body   *bytes.Buffer
	// stream writes what is too long for memory, when all else has succeeded; nil for nothing.
	stream func(io.Writer) error
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func newAnswer() *answer {
	body := buffers.Get().(*bytes.Buffer)
	body.Reset()
	return &answer{header: http.Header{}, status: http.StatusOK, body: body}
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) { a.status = status }

func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// discard forgets all that was answered so far.
func (a *answer) discard() {
	a.header, a.status, a.stream = http.Header{}, http.StatusOK, nil
	a.body.Reset()
}

// send writes the answer and gives its memory back.
func (a *answer) send(w http.ResponseWriter) {
	for name, values := range a.header {
		if name == "Set-Cookie" {
			w.Header()[name] = append(w.Header()[name], values...)
			continue
		}
		w.Header()[name] = values
	}
	if a.body.Len() > 0 && w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // nobody is left to tell
	if a.body.Cap() <= 1<<20 {
		buffers.Put(a.body)
	}
	if a.stream != nil {
		sendStream(w, a.stream)
	}
}

const (
	streamPatience = 30 * time.Second // for a part of a stream to be taken
	streamPart     = 64 << 10
)

// sendStream writes a body as it is made. What cannot be finished cuts the connection, so
// that nobody takes a part for the whole.
func sendStream(w http.ResponseWriter, stream func(io.Writer) error) {
	out := bufio.NewWriterSize(&patientWriter{w, http.NewResponseController(w)}, streamPart)
	err := stream(out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// patientWriter gives every part a deadline of its own: a long answer may take its time as
// long as somebody is taking it.
type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (w *patientWriter) Write(b []byte) (int, error) {
	if err := w.control.SetWriteDeadline(time.Now().Add(streamPatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return w.ResponseWriter.Write(b)
}
