// Package static holds the style sheets, scripts and icons that pages load, each under a
// name that changes with its content. It must never serve a file that is not listed here.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"path"
	"strings"
	"sync"
)

//go:embed pico-2.1.1.min.css htmx-4.0.1.min.js postern.css postern.js icon.svg
var sources embed.FS

// File is a file as it is served.
type File struct {
	Type    string // media type
	Plain   []byte
	Gzipped []byte
}

// Prefix is where the files are served.
const Prefix = "/static/"

// Paths are the addresses that pages use.
type Paths struct {
	CSS, HTMX, Script, Icon string
}

var served = sync.OnceValues(func() (Paths, map[string]File) {
	files := map[string]File{}
	add := func(name, mediaType string, content []byte) string {
		sum := sha256.Sum256(content)
		ext := path.Ext(name)
		hashed := fmt.Sprintf("%s.%s%s", strings.TrimSuffix(name, ext), hex.EncodeToString(sum[:6]), ext)
		files[hashed] = File{mediaType, content, zip(content)}
		return Prefix + hashed
	}
	// In a layer of its own Pico never wins against our rules, whatever its selectors.
	css := bytes.Join([][]byte{[]byte("@layer pico {"), read("pico-2.1.1.min.css"), []byte("}\n"), read("postern.css")}, nil)
	return Paths{
		CSS:    add("postern.css", "text/css; charset=utf-8", bytes.Replace(css, []byte(`@charset "UTF-8";`), nil, 1)),
		HTMX:   add("htmx.js", "text/javascript; charset=utf-8", read("htmx-4.0.1.min.js")),
		Script: add("postern.js", "text/javascript; charset=utf-8", read("postern.js")),
		Icon:   add("icon.svg", "image/svg+xml", read("icon.svg")),
	}, files
})

func read(name string) []byte {
	content, err := sources.ReadFile(name)
	if err != nil {
		panic("static: " + err.Error()) // the build would have failed
	}
	return content
}

func zip(content []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(content)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic("static: " + err.Error()) // a buffer takes everything
	}
	return out.Bytes()
}

// Addresses returns the addresses that pages use.
func Addresses() Paths {
	paths, _ := served()
	return paths
}

// Named returns the file with that hashed name.
func Named(name string) (File, bool) {
	_, files := served()
	file, ok := files[name]
	return file, ok
}
