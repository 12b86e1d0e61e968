package handlers_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern/db"
	"postern/internal/portaltest"
)

func TestNoPasswordAndNoTokenIsKeptAnywhere(t *testing.T) { // A5, A6, C5, D17, I32
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		w := newWalk(t, p, p.URL, http.DefaultTransport)
		d := database(t, p)
		w.run()
		w.wantCookies("", false)
		secrets := w.secrets()
		if len(secrets) < 100 {
			t.Errorf("the walk met %d secrets only", len(secrets))
		}
		for _, name := range secretsIn(p.Log.String(), secrets) {
			t.Errorf("the log has %s", name)
		}
		for table, all := range dump(t, d) {
			for _, row := range all {
				for _, name := range secretsIn(row, secrets) {
					t.Errorf("the table %s has %s: %q", table, name, row)
				}
				if slices.ContainsFunc(w.raw, func(raw string) bool { return strings.Contains(row, raw) }) {
					t.Errorf("the table %s has an open secret: %q", table, row)
				}
			}
		}
		if p.DB.Engine() == db.SQLite {
			files := databaseFiles(t)
			for _, name := range secretsIn(files, secrets) {
				t.Errorf("the file of the database has %s", name)
			}
		}
		for _, e := range append(w.met, w.second.met...) {
			e.wantNone(t, secrets, w.shown)
		}
		for name, secret := range w.shown {
			n := 0
			for _, e := range append(w.met, w.second.met...) {
				if strings.Contains(e.body, ">"+secret+"<") {
					n++
				}
			}
			if strings.HasPrefix(name, "recovery code") && strings.Contains(secret, "-") && n != 1 {
				t.Errorf("%s was shown %d times", name, n)
			}
		}
	})
}

// secretsIn names the secrets that a text has. Six digits count where they stand alone: in
// longer numbers they come by chance.
func secretsIn(text string, secrets map[string]string) []string {
	text = strings.ToLower(text)
	var found []string
	for name, secret := range secrets {
		at := strings.Index(text, secret)
		if at < 0 || strings.HasPrefix(name, "the code ") && !regexp.MustCompile(`(^|\D)`+secret+`(\D|$)`).MatchString(text) {
			continue
		}
		found = append(found, name)
	}
	return found
}

// databaseFiles is what stands in the files of the test's SQLite database, also in what was
// deleted, in small letters.
func databaseFiles(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(filepath.Dir(t.TempDir()), "*", "postern.db*"))
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	var all strings.Builder
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(bytes.ToLower(content))
	}
	return all.String()
}

// secrets are all that the walk was handed or made up, in small letters, by what they are.
func (w *walk) secrets() map[string]string {
	secrets := map[string]string{"a password": strings.ToLower(canary)}
	for _, more := range []map[string]string{w.shown, w.typed} {
		for name, secret := range more {
			secrets[name] = strings.ToLower(secret)
		}
	}
	for i, e := range append(w.met, w.second.met...) {
		for _, c := range e.cookies {
			if c.Name != "postern-notice" && c.Value != "" {
				secrets[fmt.Sprintf("%s of answer %d, %s %s", c.Name, i, e.method, e.path)] = strings.ToLower(c.Value)
			}
		}
	}
	for _, path := range w.links() {
		secrets["the link "+path] = strings.ToLower(portaltest.Token(path))
	}
	return secrets
}

// wantNone fails the test if a page shows a secret, or is shown at an address that has one,
// or leads there. Secrets of an authenticator and recovery codes stand on the page that is
// there to show them.
func (e exchange) wantNone(t *testing.T, secrets, shown map[string]string) {
	t.Helper()
	place := strings.ToLower(e.header.Get("Location") + " " + e.header.Get("HX-Redirect"))
	if e.body != "" {
		place += strings.ToLower(e.path + e.body)
	}
	shows := e.path == "/account/totp" || e.path == "/account/recovery-codes" && e.method == http.MethodPost
	// What somebody typed into the field for the name comes back to them alone.
	for _, name := range secretsIn(strings.ReplaceAll(place, `value="`+weakOne+`"`, ""), secrets) {
		if _, ok := shown[name]; !ok || !shows {
			t.Errorf("%s %s (%d) shows %s", e.method, e.path, e.status, name)
		}
	}
}

func TestTheWalkSeesWhatItIsMeantToFind(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	d := database(t, p)
	execute(t, d, `INSERT INTO instance (name, value) VALUES ('leak', 'x`+canary+`x')`, `INSERT INTO rate (key, full_at) VALUES (CAST('`+unknownToken+`' AS BLOB), 1)`)
	all := dump(t, d)
	if !strings.Contains(strings.Join(all["instance"], ""), canary) || !strings.Contains(strings.Join(all["rate"], ""), unknownToken) {
		t.Errorf("a leak would not be seen: %v", all)
	}
}
