package handlers_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/directory"
	"postern/internal/portaltest"
)

// judgement is what the strength fragment says: every rule in its order, and whether it is
// met.
type judgement struct {
	rules []string
	met   map[string]bool
	score string
}

// judged reads the fragment, or fails the test if it is not one.
func judged(t testing.TB, page portaltest.Page) judgement {
	t.Helper()
	all := elements(t, page.Body)
	roots := slices.DeleteFunc(slices.Clone(all), func(e element) bool { return e.depth > 0 })
	if page.Status != http.StatusOK || len(roots) != 1 || page.Whole() {
		t.Fatalf("%d, %d elements instead of one: %q", page.Status, len(roots), page.Body)
	}
	j := judgement{met: map[string]bool{}}
	meters := 0
	for _, e := range all {
		if e.name == "meter" {
			meters++
			j.score = e.attributes["value"]
			if e.attributes["min"] != "0" || e.attributes["max"] != "4" || !strings.Contains("01234", j.score) || e.attributes["aria-label"] == "" {
				t.Errorf("the meter is %v", e.attributes)
			}
		}
		if rule, ok := e.attributes["data-rule"]; ok {
			if met := e.attributes["data-met"]; e.name != "li" || met != "true" && met != "false" || strings.TrimSpace(e.text) == "" {
				t.Errorf("the rule %s is %s %v: %q", rule, e.name, e.attributes, e.text)
			}
			j.rules = append(j.rules, rule)
			j.met[rule] = e.attributes["data-met"] == "true"
		}
	}
	if meters != 1 {
		t.Errorf("%d meters: %s", meters, page.Text())
	}
	return j
}

// unmet names the rules that are not met.
func (j judgement) unmet() []string {
	var rules []string
	for _, rule := range j.rules {
		if !j.met[rule] {
			rules = append(rules, rule)
		}
	}
	return rules
}

var classic = []string{"length", "upper", "digit", "special", "strength", "personal", "common"}

func TestThePasswordIsJudgedWhileItIsTyped(t *testing.T) {
	t.Parallel()
	for name, htmx := range map[string]bool{"without scripts": false, "with htmx": true} {
		t.Run(name, func(t *testing.T) {
			p := onSQLite(t)
			newAnn(t, p)
			b := p.Browser(t, "192.0.2.1")
			b.SignIn("ann", portaltest.Password)
			b.HTMX = htmx
			page := b.Post("/password/strength", "for", "account", "password", "abc123")
			wantHeaders(t, page)
			j := judged(t, page)
			if !slices.Equal(j.rules, classic) || !slices.Equal(j.unmet(), []string{"length", "upper", "special", "strength", "common"}) {
				t.Errorf("the rules are %q, not met are %q", j.rules, j.unmet())
			}
			page.Want(http.StatusOK, "At least 8 characters", "Very weak", "This is one of the first passwords anybody would try.")
			good := judged(t, b.Post("/password/strength", "for", "account", "password", portaltest.Another, "confirm", portaltest.Another))
			if !slices.Equal(good.rules, append(slices.Clone(classic), "match")) || len(good.unmet()) > 0 || good.score != "4" {
				t.Errorf("the rules are %q, not met are %q, the score %s", good.rules, good.unmet(), good.score)
			}
			differs := judged(t, b.Post("/password/strength", "for", "account", "password", portaltest.Another, "confirm", ""))
			if !slices.Equal(differs.unmet(), []string{"match"}) {
				t.Errorf("not met are %q", differs.unmet())
			}
			empty := judged(t, b.Post("/password/strength", "for", "account", "password", ""))
			if !slices.Equal(empty.unmet(), classic) {
				t.Errorf("of nothing not met are %q", empty.unmet())
			}
		})
	}
}

func TestTheListShowsThePolicyInForce(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	newAnn(t, p)
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("ann", portaltest.Password)
	for _, c := range []struct {
		key, value string
		rules      []string
		says       string
	}{
		{"password.min_length", "12", classic, "At least 12 characters"},
		{"password.min_length_without_mfa", "14", classic, "At least 14 characters"},
		{"password.require_lower", "true", []string{"length", "upper", "lower", "digit", "special", "strength", "personal", "common"}, "A lower-case letter"},
		{"password.require_upper", "false", []string{"length", "lower", "digit", "special", "strength", "personal", "common"}, "A digit"},
		{"password.min_strength", "0", []string{"length", "lower", "digit", "special", "personal", "common"}, "A special character"},
		{"password.preset", "nist", []string{"length", "strength", "personal", "common"}, "At least 15 characters"},
		{"password.preset", "classic", classic, "At least 8 characters"},
	} {
		p.Set(t, c.key, c.value)
		j := judged(t, b.Post("/password/strength", "for", "account", "password", "x"))
		if !slices.Equal(j.rules, c.rules) {
			t.Errorf("%s=%s: the rules are %q instead of %q", c.key, c.value, j.rules, c.rules)
		}
		page := b.Get("/account/password").Want(http.StatusOK, c.says)
		var listed []string
		for _, e := range elements(t, page.Body) {
			if rule := e.attributes["data-rule"]; rule != "" && rule != "match" {
				listed = append(listed, rule)
			}
		}
		if !slices.Equal(listed, c.rules) {
			t.Errorf("%s=%s: the form lists %q instead of %q", c.key, c.value, listed, c.rules)
		}
	}
}

// refusals are the words with which the form names each rule.
var refusals = map[string]string{
	"length": "at least 8 characters", "upper": "a capital letter", "lower": "a lower-case letter", "digit": "a digit", "special": "a special character",
	"strength": "It is too easy to guess.", "personal": "It holds your name", "common": "It is a common password.",
}

func TestWhatTheListPromisesIsWhatTheFormTakes(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	p.Organization(t, "Meadow Works")
	person(t, p, directory.NewUser{Email: "ann.smith@acme-corp.example", Name: "Ann Smith", Username: "annie", Organization: "Meadow Works"})
	p.Set(t, "password.require_lower", "true")
	b := p.Browser(t, "192.0.2.1")
	b.SignIn("annie", portaltest.Password)
	present, taken := portaltest.Password, 0
	for _, typed := range []string{
		"p", "password", "Password1!", "aaaaaaaa", "QWERTY12345!", "annie", "Annie-2026-Lamp!", "SMITH lamp 77 Copper", "Acme-Corp-77-Thistle", "meadow works 77 COPPER!",
		"Customer.Portal.77", "correct horse battery staple", "Correct horse battery staple 9", "CORRECT HORSE 77 !", "        ", "Пароль-Длинный-77", "ÄÖÜäöü-77-Thistle",
		"Tr0ub4dor&3", "Amber-Vi0lin-Thistle", "Amber\u0301-Violin-77", "Aa1!" + strings.Repeat("x", 252), "Aa1!" + strings.Repeat("x", 253), strings.Repeat("Thistle-77 ", 23),
	} {
		j := judged(t, b.Post("/password/strength", "for", "account", "password", typed, "confirm", typed))
		page := b.Post("/account/password", "current_password", present, "password", typed, "confirm", typed)
		accepted := page.Status == http.StatusSeeOther
		if accepted != (len(j.unmet()) == 0) || !accepted && page.Status != http.StatusUnprocessableEntity {
			t.Errorf("%.30q: not met are %q, but the form answers %s", typed, j.unmet(), met(page))
		}
		if accepted {
			present = typed
			taken++
			continue
		}
		if len([]rune(typed)) > 256 {
			page.Want(http.StatusUnprocessableEntity, "Use 256 characters at most.")
			continue
		}
		refused := having(elements(t, page.Body), "id", "password-error")
		for rule, words := range refusals {
			if said := len(refused) == 1 && strings.Contains(refused[0].text, words); said == j.met[rule] {
				t.Errorf("%.30q: %s is met: %v, but the form says %v", typed, rule, j.met[rule], refused)
			}
		}
	}
	if taken < 3 {
		t.Errorf("only %d were taken", taken)
	}
}

func TestNamesOfThePersonAreRefusedWhereverAPasswordIsChosen(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		p.Organization(t, "Meadow Works")
		p.Set(t, "portal.name", "Lighthouse Desk")
		ann := person(t, p, directory.NewUser{Email: "ann@acme-corp.example", Name: "Annabel Thistle", Username: "bluebird", Organization: "Meadow Works"})
		signedIn, holder, invited := p.Browser(t, "192.0.2.1"), p.Browser(t, "192.0.2.2"), p.Browser(t, "192.0.2.4")
		signedIn.SignIn("bluebird", portaltest.Password)
		holder.Get("/reset-password/" + resetLink(t, p, ann)).WantTo("/reset-password")
		p.User(t, directory.NewUser{Email: "ida@acme-corp.example", Name: "Annabel Thistle", Username: "blue-bird", Organization: "Meadow Works", Invite: true})
		invited.Get(mailTo(t, p, "ida@acme-corp.example").Link(t, "/invitation/")).WantTo("/invitation")
		for _, word := range []string{"Annabel", "tHiStLe", "Blue-Bird", "Acme.Corp", "MEADOW", "Works", "light house", "Desk"} {
			typed := word + "-Velvet-77-Anchor-Quartz!"
			for name, j := range map[string]judgement{
				"signed in": judged(t, signedIn.Post("/password/strength", "for", "account", "password", typed)),
				"by link":   judged(t, holder.Post("/password/strength", "for", "link", "password", typed)),
				"invited":   judged(t, invited.Post("/password/strength", "for", "link", "password", typed)),
			} {
				if !slices.Equal(j.unmet(), []string{"personal"}) {
					t.Errorf("%s, %q: not met are %q", name, typed, j.unmet())
				}
			}
			holder.Post("/reset-password", "password", typed, "confirm", typed).Want(http.StatusUnprocessableEntity, "It holds your name")
			p.Clock.Advance(10 * time.Second)
		}
	})
}

func TestNobodyElseGetsAJudgement(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		ann := newAnn(t, p)
		b := p.Browser(t, "192.0.2.1")
		b.SignIn("ann", portaltest.Password)
		b.Post("/account/username", "username", "ann2").WantTo("/account/security")
		notMe := portaltest.Token(p.Mail(t).Link(t, "/not-me/"))
		used := resetLink(t, p, ann)
		setup := setupToken(t, p)
		for _, htmx := range []bool{false, true} {
			for link, purposes := range map[string][]string{"": nil, unknownToken: nil, "x": nil, notMe: nil, used: {"link"}, setup: {"setup"}} {
				stranger := p.Browser(t, "192.0.2.2")
				stranger.HTMX = htmx
				if link != "" {
					stranger.SetCookie("postern-link", link)
				}
				for _, whose := range []string{"", "account", "link", "setup", "owner", "Account"} {
					page := stranger.Post("/password/strength", "for", whose, "password", portaltest.Another)
					want := http.StatusNotFound
					if slices.Contains(purposes, whose) {
						want = http.StatusOK
					}
					if page.Status != want {
						t.Errorf("for %q with the link %q: %s instead of %d", whose, link, met(page), want)
					}
				}
			}
		}
		if strings.Contains(p.Log.String(), portaltest.Another) {
			t.Error("what was typed is in the log")
		}
	})
}
