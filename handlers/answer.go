package handlers

import (
	"bytes"
	"net/http"
	"sync"
)

// answer keeps a response in memory until all that belongs to it has succeeded, so that
// what fails last can still replace it.
type answer struct {
	header http.Header
	status int
	body   *bytes.Buffer
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
	a.header, a.status = http.Header{}, http.StatusOK
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
}
