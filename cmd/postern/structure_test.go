package main_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// floors are the packages from the bottom up. A package may import only from floors below
// its own: nothing walks up the stairs, and nothing walks across.
var floors = [][]string{
	{"db", "views", "static", "internal/password", "internal/token", "internal/seal", "internal/totp", "internal/config"},
	{"internal/input"},
	{"internal/access", "internal/audit", "internal/settings", "internal/throttle", "internal/session"},
	{"internal/account", "internal/directory", "internal/mail"},
	{"handlers"},
	{"cmd/postern"},
}

// forTests may import everything, and only tests may import them.
var forTests = []string{"db/dbtest", "internal/mail/mailtest", "internal/portaltest"}

// viewers are the packages that may put what people read into words.
var viewers = []string{"handlers", "internal/mail", "cmd/postern"}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	command.Dir = "../.."
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func floorOf(name string) int {
	return slices.IndexFunc(floors, func(floor []string) bool { return slices.Contains(floor, name) })
}

func TestNothingWalksUpTheStairsOrAcross(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, "postern/")
		if slices.Contains(forTests, name) {
			continue
		}
		if floorOf(name) < 0 {
			t.Errorf("%s stands on no floor: add it to the list above", name)
		}
		for _, path := range p.Imports {
			imported, ours := strings.CutPrefix(path, "postern/")
			if !ours {
				continue
			}
			if floorOf(imported) < 0 || floorOf(imported) >= floorOf(name) {
				t.Errorf("%s imports %s, which is not below it", name, imported)
			}
			if imported == "views" && !slices.Contains(viewers, name) {
				t.Errorf("%s imports views", name)
			}
		}
	}
}

func TestTheProgramStartsNoOtherProgramAndDrawsNoWeakNumbers(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(forTests, strings.TrimPrefix(p.ImportPath, "postern/")) {
			continue
		}
		for _, banned := range []string{"os/exec", "math/rand", "math/rand/v2", "unsafe", "C", "crypto/md5", "crypto/rc4", "crypto/des"} {
			if slices.Contains(p.Imports, banned) {
				t.Errorf("%s imports %s", p.ImportPath, banned)
			}
		}
	}
}

func TestTheGeneratedPagesAreUpToDate(t *testing.T) {
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS("../../views")); err != nil {
		t.Fatal(err)
	}
	generate := exec.Command("go", "tool", "-modfile=tools.mod", "templ", "generate", "-path", folder)
	generate.Dir = "../.."
	if output, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("generate: %v\n%s", err, output)
	}
	generated, err := filepath.Glob(folder + "/*_templ.go")
	if err != nil || len(generated) == 0 {
		t.Fatalf("nothing was generated: %v", err)
	}
	for _, path := range generated {
		fresh, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		committed, err := os.ReadFile("../../views/" + filepath.Base(path))
		if err != nil || string(committed) != string(fresh) {
			t.Errorf("%s is not what its templ file generates: run make generate", filepath.Base(path))
		}
	}
}

func TestTheSQLiteLibraryRunsOnTheLibcItWasBuiltFor(t *testing.T) {
	version := func(module, in string) string {
		command := exec.Command("go", "list", "-m", "-f", "{{.Version}}", module)
		if in != "" {
			command = exec.Command("go", "mod", "edit", "-json", in)
		}
		command.Dir = "../.."
		output, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		if in == "" {
			return strings.TrimSpace(string(output))
		}
		var mod struct {
			Require []struct{ Path, Version string }
		}
		if err := json.Unmarshal(output, &mod); err != nil {
			t.Fatal(err)
		}
		for _, r := range mod.Require {
			if r.Path == module {
				return r.Version
			}
		}
		return ""
	}
	command := exec.Command("go", "list", "-m", "-f", "{{.GoMod}}", "modernc.org/sqlite")
	command.Dir = "../.."
	file, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := version("modernc.org/libc", ""), version("modernc.org/libc", strings.TrimSpace(string(file)))
	if ours != theirs || ours == "" {
		t.Errorf("modernc.org/libc is %s here, but %s in sqlite's own go.mod", ours, theirs)
	}
}

func TestNoPageHoldsAnInlineStyleOrScript(t *testing.T) {
	files, err := filepath.Glob("../../views/*.templ")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if filepath.Base(file) == "mail.templ" {
			continue // mail programs know no other styles
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, banned := range []string{"style=", "<style", "onclick", "hx-on", "js:", "templ.Raw", "javascript:"} {
			if strings.Contains(string(text), banned) {
				t.Errorf("%s holds %s, which the content security policy blocks", filepath.Base(file), banned)
			}
		}
	}
}
