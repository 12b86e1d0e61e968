package static_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"path"
	"strings"
	"testing"

	"postern/static"
)

// addresses are those that pages load.
func addresses() []string {
	p := static.Addresses()
	return []string{p.CSS, p.HTMX, p.Script, p.Icon}
}

// served is the file at that address.
func served(t *testing.T, address string) static.File {
	t.Helper()
	name, ours := strings.CutPrefix(address, static.Prefix)
	file, ok := static.Named(name)
	if !ours || !ok {
		t.Fatalf("pages load %q, which is not served", address)
	}
	return file
}

func TestEverythingThatPagesLoadIsServedAsWhatItIs(t *testing.T) {
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	for _, address := range addresses() {
		file := served(t, address)
		if file.Type != types[path.Ext(address)] || len(file.Plain) < 100 {
			t.Errorf("%s is %q and %d bytes long", address, file.Type, len(file.Plain))
		}
	}
}

// Browsers keep a file for a year, so another content needs another name.
func TestAFilesNameChangesWithItsContent(t *testing.T) {
	seen := map[string]bool{}
	for _, address := range addresses() {
		sum := sha256.Sum256(served(t, address).Plain)
		parts := strings.Split(path.Base(address), ".")
		if hash := parts[len(parts)-2]; len(hash) < 12 || !strings.HasPrefix(hex.EncodeToString(sum[:]), hash) {
			t.Errorf("%s does not follow from its content, %x", address, sum)
		}
		if seen[address] {
			t.Errorf("%s stands for two files", address)
		}
		seen[address] = true
	}
}

func TestTheCompressedFileIsTheSameFile(t *testing.T) {
	for _, address := range addresses() {
		file := served(t, address)
		reader, err := gzip.NewReader(bytes.NewReader(file.Gzipped))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(reader)
		if err != nil || !bytes.Equal(plain, file.Plain) || len(file.Gzipped) >= len(file.Plain) {
			t.Errorf("%s: %d bytes compressed hold %d of %d: %v", address, len(file.Gzipped), len(plain), len(file.Plain), err)
		}
	}
}

func TestOnlyWhatIsListedIsServed(t *testing.T) {
	known := path.Base(static.Addresses().CSS)
	for _, name := range []string{"", ".", "..", "postern.css", "embed.go", "../go.mod", "pico-2.1.1.min.css", strings.ToUpper(known), known + ".gz", "./" + known, "/" + known,
		static.Prefix + known, "postern.000000000000.css", known[:len(known)-1]} {
		if _, ok := static.Named(name); ok {
			t.Errorf("%q is served", name)
		}
	}
}

// A character set declared in the middle of a file is an error that ends the rule before it.
func TestTheStyleSheetIsOneWhole(t *testing.T) {
	css := string(served(t, static.Addresses().CSS).Plain)
	if strings.Contains(css, "@charset") || strings.Contains(css, "@import") || strings.Contains(css, "url(http") {
		t.Error("the style sheet holds what must not stand in it")
	}
	if opened, closed := strings.Count(css, "{"), strings.Count(css, "}"); opened != closed || !strings.HasPrefix(css, "@layer pico {") {
		t.Errorf("%d braces open and %d close", opened, closed)
	}
}
