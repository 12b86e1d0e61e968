package views_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"

	"postern/views"
)

// constants are the texts of all constants of that type in the file.
func constants(t *testing.T, path, of string) (texts []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != of {
			return true
		}
		for _, value := range spec.Values {
			text, err := strconv.Unquote(value.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, text)
		}
		return true
	})
	if len(texts) < 5 {
		t.Fatalf("only %d constants of type %s were found in %s", len(texts), of, path)
	}
	return texts
}

// sentence is what stands beside a field: it begins with a capital, ends with a full stop
// and has nothing left out.
var sentence = regexp.MustCompile(`^[A-Z][^\n]*[.]$`)

func wantSentence(t *testing.T, what, text string) {
	t.Helper()
	if !sentence.MatchString(text) || strings.Contains(text, "  ") || strings.Contains(text, " .") || strings.Contains(text, " ,") ||
		strings.Contains(text, "%!") || strings.Contains(text, "_") {
		t.Errorf("%s is put into words as %q", what, text)
	}
}

func TestEveryProblemHasWords(t *testing.T) {
	for _, problem := range constants(t, "../internal/input/input.go", "Problem") {
		for _, field := range []string{"password", "email", "username", "some_field"} {
			text := views.ProblemText(problem, field, 100, []string{"one", "two"})
			if problem == "weak_password" {
				text = views.ProblemText(problem, field, 8, []string{"length", "digit"})
			}
			wantSentence(t, problem, text)
		}
	}
}

func TestEveryRuleOfThePasswordPolicyHasWords(t *testing.T) {
	for _, rule := range constants(t, "../internal/password/policy.go", "Rule") {
		text := views.RequirementText(rule, 8)
		if text == rule || !regexp.MustCompile(`^[A-Z][a-z]* ?[^.]*$`).MatchString(text) {
			t.Errorf("the rule %s is put into words as %q", rule, text)
		}
		if rule == "match" {
			continue // said of the other field
		}
		wantSentence(t, "a password that fails "+rule, views.ProblemText("weak_password", "password", 8, []string{rule}))
	}
	all := views.ProblemText("weak_password", "password", 12, []string{"length", "upper", "digit", "strength", "common"})
	if all != "This password needs at least 12 characters, a capital letter and a digit. It is too easy to guess. It is a common password. Choose another one." {
		t.Errorf("what a password lacks is told as %q", all)
	}
}

func TestEveryAdviceHasWordsOfItsOwn(t *testing.T) {
	seen := map[string]string{}
	strong := shown(document(t, views.StrengthFragment(views.Strength{Typed: true, Score: 4})))
	for _, advice := range constants(t, "../internal/password/strength.go", "Advice") {
		text := shown(document(t, views.StrengthFragment(views.Strength{Typed: true, Score: 1, Advice: advice})))
		text = strings.TrimPrefix(text, "Weak ")
		wantSentence(t, "the advice "+advice, text)
		if other, twice := seen[text]; twice {
			t.Errorf("%s and %s are the same advice: %q", advice, other, text)
		}
		seen[text] = advice
		if advice != "" && strings.HasSuffix(strong, text) {
			t.Errorf("the advice %s praises the password: %q", advice, text)
		}
	}
}

func TestEveryEventHasWordsOfItsOwn(t *testing.T) {
	seen := map[string]string{}
	offered := map[string]string{}
	for _, option := range views.ActionOptions() {
		offered[option.Value] = option.Label
	}
	for _, action := range constants(t, "../internal/audit/audit.go", "Action") {
		text := views.EventText(action, false, nil)
		wantSentence(t, action, strings.TrimLeft(text, "“")+".")
		if text == action || offered[action] != text {
			t.Errorf("%s is put into words as %q and offered as %q", action, text, offered[action])
		}
		if other := seen[text]; other != "" {
			t.Errorf("%s and %s are told the same: %q", action, other, text)
		}
		seen[text] = action
		delete(offered, action)
	}
	if delete(offered, ""); len(offered) > 0 {
		t.Errorf("there are words for what never happens: %v", offered)
	}
}

func TestWhatElseIsKnownOfAnEventCanBeRead(t *testing.T) {
	for _, c := range []struct {
		action  string
		details map[string]string
		want    string
	}{
		{"sign_in.succeeded", map[string]string{"factor": "totp"}, ""},
		{"user.deactivated", map[string]string{"reason": "left"}, ""},
		{"email.changed", map[string]string{"old": "ann@acme.example", "new": "ann@new.example"}, "ann@acme.example → ann@new.example"},
		{"email.change_requested", map[string]string{"new": "ann@new.example"}, "ann@new.example"},
		{"username.changed", map[string]string{"old": "ann", "new": ""}, "ann → nothing"},
		{"setting.changed", map[string]string{"key": "password.min_length", "old": "8", "new": "12"}, "password.min_length: 8 → 12"},
		{"setting.changed", map[string]string{"key": "support.email", "old": "", "new": "a@b.example"}, "support.email: nothing → a@b.example"},
		{"user.role_changed", map[string]string{"role": "Auditor"}, "Role: Auditor"},
		{"organization.changed", map[string]string{"old": "Acme", "name": "Acme GmbH", "contact_owner": "Carla"}, "Name: Acme → Acme GmbH; Contact owner: Carla"},
		{"organization.changed", map[string]string{"old": "Acme", "name": "Acme", "contact_owner": "Carla"}, "Name: Acme; Contact owner: Carla"},
		{"role.created", map[string]string{"role": "role_x", "name": "Desk", "scope": "organization", "permissions": "users.view"},
			"Desk: May see users, in their own organization alone."},
		{"audit.trimmed", map[string]string{"events": "5", "position": "9", "code": "ab", "proof": "cd", "before": "2026-01-01T00:00:00Z"},
			"5 events from before 2026-01-01T00:00:00Z"},
		{"audit.exported", map[string]string{"format": "CSV", "actor": "ann@acme.example", "since": "2026-01-01"},
			"Format: CSV; Who did it: ann@acme.example; Since: 2026-01-01"},
	} {
		if got := views.DetailsText(c.action, c.details); got != c.want {
			t.Errorf("%s is told as %q instead of %q", c.action, got, c.want)
		}
	}
}

func TestEveryNoticeHasWords(t *testing.T) {
	for _, notice := range constants(t, "notices.go", "Notice") {
		wantSentence(t, notice, views.NoticeText(views.Notice(notice)))
	}
	for _, odd := range []string{"", "nothing", "<b>"} { // it comes from a cookie
		if text := views.NoticeText(views.Notice(odd)); text != "" {
			t.Errorf("%q is told as %q", odd, text)
		}
	}
}

func TestDurationsAreToldAsPeopleSayThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "1 second", 0: "1 second", time.Millisecond: "1 second", time.Second: "1 second", 1001 * time.Millisecond: "2 seconds", 59 * time.Second: "59 seconds",
		time.Minute: "1 minute", 61 * time.Second: "2 minutes", 5 * time.Minute: "5 minutes", time.Hour: "60 minutes", 90 * time.Minute: "90 minutes",
		2 * time.Hour: "2 hours", 2*time.Hour + time.Minute: "121 minutes", 23 * time.Hour: "23 hours", 24 * time.Hour: "1 day", 25 * time.Hour: "25 hours",
		48 * time.Hour: "2 days", 7 * 24 * time.Hour: "7 days", 30 * 24 * time.Hour: "30 days",
	} {
		if got := views.Duration(d); got != want {
			t.Errorf("%s is told as %q instead of %q", d, got, want)
		}
	}
}

func document(t *testing.T, component templ.Component) string {
	t.Helper()
	var out strings.Builder
	if err := component.Render(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

var moment = regexp.MustCompile(`<time datetime="([^"]*)" title="([^"]*)">([^<]*)</time>`)

// told is how a page tells a time: for machines, in full, and as people say it.
func told(t *testing.T, at views.Time) (machine, exact, words string) {
	t.Helper()
	page := document(t, views.LocalMails(views.LocalMailPage{Mails: []views.LocalMail{{ID: "1", Sent: at}}}))
	found := moment.FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("no time in %s", page)
	}
	return found[1], found[2], found[3]
}

func TestTimesAreToldAsPeopleSayThemAndExactly(t *testing.T) {
	now := time.Date(2026, time.July, 10, 12, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		-time.Hour: "just now", 0: "just now", 59 * time.Second: "just now", time.Minute: "1 minute ago", 2*time.Minute - time.Second: "1 minute ago", 59 * time.Minute: "59 minutes ago",
		time.Hour: "1 hour ago", 2 * time.Hour: "2 hours ago", 24*time.Hour - time.Second: "23 hours ago", 24 * time.Hour: "1 day ago",
		7*24*time.Hour - time.Second: "6 days ago", 7 * 24 * time.Hour: "3 July 2026",
	} {
		if _, _, words := told(t, views.Time{At: now.Add(-ago), Now: now, Zone: time.UTC}); words != want {
			t.Errorf("%s ago is told as %q instead of %q", ago, words, want)
		}
	}
	machine, exact, words := told(t, views.Time{At: time.Date(2026, time.June, 30, 22, 30, 0, 0, time.UTC), Now: now, Zone: berlin})
	if machine != "2026-06-30T22:30:00Z" || exact != "1 July 2026, 00:30 CEST" || words != "1 July 2026" {
		t.Errorf("told as %q, %q and %q", machine, exact, words)
	}
	if _, _, words := told(t, views.Time{At: time.UnixMilli(0), Now: now, Zone: berlin}); words != "never" {
		t.Errorf("what never was is told as %q", words)
	}
}

func TestOneThingIsToldAsOne(t *testing.T) {
	for score, want := range map[int]string{0: "Very weak", 1: "Weak", 2: "Fair", 3: "Good", 4: "Strong"} {
		for open, rest := range map[int]string{0: "All requirements are met.", 1: "1 requirement not met yet.", 2: "2 requirements not met yet."} {
			s := views.Strength{Typed: true, Score: score}
			for i := range 2 {
				s.Requirements = append(s.Requirements, views.Requirement{Rule: "digit", Met: i >= open})
			}
			if page := document(t, views.StrengthFragment(s)); !strings.Contains(page, `data-announce="`+want+`. `+rest+`"`) {
				t.Errorf("%d open of score %d is spoken as %.80s", open, score, page)
			}
		}
	}
	if text := views.RequirementText("length", 1); text != "At least 1 character" {
		t.Errorf("told as %q", text)
	}
	if text := views.WaitText(views.ErrorTooOften, views.Duration(time.Minute)); text != "There were too many attempts. Wait 1 minute, then try again." {
		t.Errorf("told as %q", text)
	}
}

var (
	literal  = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`")
	scolding = regexp.MustCompile(`(?i)(^|[^a-z-])(invalid|please|illegal|oops|something went wrong)\b`)
)

func TestNobodyIsScoldedOrBegged(t *testing.T) {
	files, err := filepath.Glob("*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "_templ.go") {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(content)
		if strings.HasSuffix(path, ".go") {
			text = strings.Join(literal.FindAllString(text, -1), "\n")
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(strings.TrimSpace(line), "//") {
				continue
			}
			if found := scolding.FindString(line); found != "" {
				t.Errorf("%s says %q: %s", path, strings.TrimSpace(found), strings.TrimSpace(line))
			}
		}
	}
}
