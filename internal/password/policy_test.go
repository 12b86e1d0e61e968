package password_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/internal/password"
)

var classic = password.Policy{MinLength: 8, Upper: true, Digit: true, Special: true, MinStrength: 3, Breach: password.BreachOff}

func judge() *password.Judge {
	return password.NewJudge(2, password.Breaches{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
}

// unmet returns the rules that the choice does not meet.
func unmet(t *testing.T, p password.Policy, c password.Choice) []password.Rule {
	t.Helper()
	report, err := judge().Check(t.Context(), p, c)
	if err != nil {
		t.Fatal(err)
	}
	var rules []password.Rule
	for _, requirement := range report.Requirements {
		if !requirement.Met {
			rules = append(rules, requirement.Rule)
		}
	}
	if report.Accepted() != (len(rules) == 0 && !report.TooLong) {
		t.Errorf("%q: accepted is %v with %v unmet", c.Password, report.Accepted(), rules)
	}
	return rules
}

func TestAPersonReadsWhichRequirementIsMissing(t *testing.T) {
	loose := password.Policy{MinLength: 8}
	for _, test := range []struct {
		policy password.Policy
		typed  string
		want   []password.Rule
	}{
		{classic, "Quiet-Harbour-42-Lantern", nil},
		{classic, "Q-h4", []password.Rule{password.RuleLength, password.RuleStrength}},
		{classic, "quiet-harbour-42-lantern", []password.Rule{password.RuleUpper}},
		{classic, "Quiet-Harbour-Lantern", []password.Rule{password.RuleDigit}},
		{classic, "Quiet4HarbourLantern", []password.Rule{password.RuleSpecial}},
		{classic, "Password123!", []password.Rule{password.RuleStrength}},
		{classic, "Grün 7 Bäume am Fluß", nil}, // a blank is a special character
		{password.Policy{MinLength: 8, Lower: true}, "QUIET-HARBOUR-42", []password.Rule{password.RuleLower}},
		{loose, "password", []password.Rule{password.RuleCommon}},
		{loose, "PassWord", []password.Rule{password.RuleCommon}},
		{loose, "baseball", []password.Rule{password.RuleCommon}},
		{loose, "密碼密碼密碼密碼", nil}, // eight code points, whatever they take in bytes
		{loose, "", []password.Rule{password.RuleLength, password.RulePersonal, password.RuleCommon}},
	} {
		if got := unmet(t, test.policy, password.Choice{Password: test.typed}); !slices.Equal(got, test.want) {
			t.Errorf("%q misses %v, want %v", test.typed, got, test.want)
		}
	}
}

func TestAPasswordHoldingOnesOwnWordsIsRefused(t *testing.T) {
	words := slices.Concat(password.Words("Ann-Marie Öberg", "Acme & Co KG", "Customer Portal"),
		password.AddressWords("ann.oberg@mail.acme-group.example"), password.HostWords("help.acme.example"))
	for typed, refused := range map[string]bool{
		"xx-MARIE-77-quartz":       true,
		"xx-m.a.r.i.e-77-quartz":   true, // separators do not hide it
		"77-öberg-quartz":          true,
		"77-ÖBERG-quartz":          true,
		"annoberg-quartz-77":       true, // the parts of the address run together
		"quartz-portal-77":         true,
		"quartz-group-77":          true, // a label of the address
		"quartz-ann-77-violin":     false,
		"quartz-example-77-violin": false, // the last label says nothing about anybody
		"kg":                       true,  // a short word only when it is the whole
		"Co.":                      true,
		"quartz-77-violin":         false,
	} {
		got := slices.Contains(unmet(t, password.Policy{MinLength: 1}, password.Choice{Password: typed, Words: words}), password.RulePersonal)
		if got != refused {
			t.Errorf("%q refused for its words: %v, want %v", typed, got, refused)
		}
	}
}

func TestTheConfirmationMustBeTheSame(t *testing.T) {
	same, other, decomposed := "Quiet-Harbour-42é", "Quiet-Harbour-42e", "Quiet-Harbour-42e\u0301"
	for confirm, want := range map[string]bool{same: true, decomposed: true, other: false, "": false, same + " ": false} {
		got := unmet(t, classic, password.Choice{Password: same, Confirm: &confirm})
		if slices.Contains(got, password.RuleMatch) == want {
			t.Errorf("confirmation %q matches: %v, want %v", confirm, !want, want)
		}
	}
}

func TestAnEndlessPasswordIsRefusedAndNotCut(t *testing.T) {
	longest := strings.Repeat("Quiet 4 harbours! ", 15)[:256]
	for typed, want := range map[string]bool{longest: false, longest + "x": true, strings.Repeat("ü", 257): true, "\xff\xfe-Quiet-42": true} {
		report, err := judge().Check(t.Context(), classic, password.Choice{Password: typed})
		if err != nil {
			t.Fatal(err)
		}
		if report.TooLong != want || report.Accepted() == want {
			t.Errorf("%d bytes: too long is %v and accepted %v", len(typed), report.TooLong, report.Accepted())
		}
	}
}

func TestScoresEqualTheReferenceEstimator(t *testing.T) {
	text, err := os.ReadFile("testdata/zxcvbn-4.4.2-scores.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Password string `json:"p"`
		Score    int    `json:"score"`
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	equal := 0
	for _, c := range cases {
		report, err := judge().Look(t.Context(), classic, password.Choice{Password: c.Password})
		if err != nil {
			t.Fatal(err)
		}
		if report.Score == c.Score {
			equal++
		}
	}
	if len(cases) != 230 || equal < 220 {
		t.Errorf("%d of %d scores are equal", equal, len(cases))
	}
}

// breached is a small set, sorted as the published files are.
func breached(t *testing.T, passwords ...string) string {
	t.Helper()
	var lines []string
	for _, p := range passwords {
		lines = append(lines, fmt.Sprintf("%X:%d", sha1.Sum([]byte(p)), len(p)))
	}
	slices.Sort(lines)
	path := filepath.Join(t.TempDir(), "breached.txt")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\r\n")+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestABreachedPasswordIsFoundInTheLocalFile(t *testing.T) {
	var known []string
	for i := range 500 {
		known = append(known, fmt.Sprintf("Breached-%d-Lantern", i))
	}
	j := judge()
	j.Breaches.File = breached(t, known...)
	policy := password.Policy{MinLength: 8, Breach: password.BreachLocal}
	for _, typed := range known {
		if report, err := j.Look(t.Context(), policy, password.Choice{Password: typed}); err != nil || report.Accepted() {
			t.Fatalf("%q is accepted (%v)", typed, err)
		}
	}
	for i := range 500 {
		typed := fmt.Sprintf("Fresh-%d-Lantern", i)
		if report, err := j.Look(t.Context(), policy, password.Choice{Password: typed}); err != nil || !report.Accepted() {
			t.Fatalf("%q is refused (%v)", typed, err)
		}
	}
}

func TestABreachedPasswordIsFoundOnlineWithoutTellingIt(t *testing.T) {
	path := breached(t, "Breached-1-Lantern")
	var asked []string
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		if r.Header.Get("Add-Padding") != "true" {
			t.Error("no padding was asked for")
		}
		file, err := os.Open(path)
		if err != nil {
			t.Error(err)
			return
		}
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			fmt.Fprintf(w, "%s\r\n", lines.Text()[5:])
		}
		fmt.Fprintf(w, "%X:0\r\n", sha1.Sum([]byte("Fresh-1-Lantern")))
	}))
	defer service.Close()
	j := judge()
	j.Breaches.RangeURL = service.URL + "/range/"
	policy := password.Policy{MinLength: 8, Breach: password.BreachOnline}
	for typed, want := range map[string]bool{"Breached-1-Lantern": false, "Fresh-1-Lantern": true} {
		report, err := j.Check(t.Context(), policy, password.Choice{Password: typed})
		if err != nil || report.Accepted() != want {
			t.Errorf("%q accepted: %v (%v)", typed, report.Accepted(), err)
		}
	}
	for _, path := range asked {
		if len(path) != len("/range/12345") {
			t.Errorf("the service was told %s", path)
		}
	}
	before := len(asked)
	if _, err := j.Look(t.Context(), policy, password.Choice{Password: "Breached-1-Lantern"}); err != nil || len(asked) != before {
		t.Error("the service was asked while somebody typed")
	}
	service.Close()
	report, err := j.Check(t.Context(), policy, password.Choice{Password: "Breached-1-Lantern"})
	if err != nil || !report.Accepted() {
		t.Errorf("a service that is down keeps people out (%v)", err)
	}
}
