package handlers_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/handlers"
	"postern/internal/directory"
	"postern/internal/portaltest"
	"postern/internal/settings"
)

const settingsPage = "/admin/settings"

// newOwner is an owner, signed in with a code.
func newOwner(t testing.TB, p *portaltest.Portal) (*portaltest.Browser, db.User) {
	t.Helper()
	return p.Staff(t, directory.NewUser{Email: "olive@vendor.example", Name: "Olive Owner", Username: "olive", Role: "owner"})
}

// shownValue is the value of a field as the browser would send it back.
func shownValue(t testing.TB, body, key string) string {
	t.Helper()
	all := elements(t, body)
	for i, e := range all {
		if e.attributes["name"] != key {
			continue
		}
		if e.name != "select" {
			return e.attributes["value"]
		}
		for _, option := range all[i+1:] {
			if option.depth <= e.depth {
				break
			}
			if _, ok := option.attributes["selected"]; ok {
				return option.attributes["value"]
			}
		}
		t.Fatalf("nothing of %s is selected", key)
	}
	t.Fatalf("there is no field %s", key)
	return ""
}

func inForce(t testing.TB, p *portaltest.Portal, key string) string {
	t.Helper()
	current, err := p.Settings.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	value, ok := current.Get(key)
	if !ok {
		t.Fatalf("there is no setting %s", key)
	}
	return value
}

// otherValues are, for every setting, a value that is not the default.
var otherValues = map[string]string{
	"portal.name": "Northwind Desk", "portal.accent": "#b91c1c", "support.email": "help@vendor.example", "support.phone": "+49 30 1",
	"support.url": "https://help.vendor.example/", "recovery.enabled": "false", "recovery.identify_by": "email_and_username",
	"recovery.confirm_username": "true", "recovery.require_prior_sign_in": "true", "recovery.link_minutes": "30",
	"recovery.link_label": "Locked out?", "recovery.mail_subject": "Your key", "recovery.mail_link_text": "Open", "invitation.days": "3",
	"password.change_enabled": "false", "password.min_length": "12", "password.min_length_without_mfa": "16", "password.require_upper": "false",
	"password.require_lower": "true", "password.require_digit": "false", "password.require_special": "false", "password.min_strength": "2",
	"password.breach_check": "online", "mfa.required_for": "everyone", "mfa.trust_device_days": "7", "session.idle_minutes": "30",
	"session.max_hours": "8", "session.staff_idle_minutes": "10", "session.staff_max_hours": "6", "retention.audit_days": "400",
	"retention.mail_days": "30",
}

func TestEverySettingHasAFieldThatShowsAndChangesIt(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b, _ := newOwner(t, p)
		for _, key := range settings.Keys() {
			page := b.Get(settingsPage).Want(http.StatusOK)
			before := shownValue(t, page.Body, key)
			if before != inForce(t, p, key) {
				t.Errorf("%s is shown as %q, but is %q", key, before, inForce(t, p, key))
			}
			labels := having(elements(t, page.Body), "for", key)
			if len(labels) != 1 || strings.TrimSpace(labels[0].text) == "" {
				t.Errorf("%s has no label: %v", key, labels)
			}
			want := otherValues[key]
			if want == "" || want == before {
				t.Fatalf("the test knows no other value for %s", key)
			}
			all := map[string]string{}
			for _, other := range settings.Keys() {
				all[other] = inForce(t, p, other)
			}
			b.Follow(b.Post(settingsPage, key, want).WantTo(settingsPage)).Want(http.StatusOK, "The settings were saved.")
			for _, other := range settings.Keys() {
				if got := inForce(t, p, other); other != key && got != all[other] {
					t.Errorf("saving %s has changed %s to %q", key, other, got)
				}
			}
			if got := inForce(t, p, key); got != want {
				t.Errorf("%s is %q instead of %q", key, got, want)
			}
			if got := shownValue(t, b.Get(settingsPage).Body, key); got != want {
				t.Errorf("%s is shown as %q instead of %q", key, got, want)
			}
		}
		if n := eventCount(t, p, "setting.changed"); n != len(settings.Keys()) {
			t.Errorf("%d events for %d changes", n, len(settings.Keys()))
		}
	})
}

// eventCount counts the events with that action.
func eventCount(t testing.TB, p *portaltest.Portal, action string) int {
	t.Helper()
	events, err := p.DB.Reader().Events(t.Context(), db.EventFilter{Action: action}, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return len(events)
}

func TestAWrongValueSavesNothingAndKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	b, _ := newOwner(t, p)
	for _, wrong := range []struct{ key, value, says string }{
		{"recovery.link_minutes", "4", "A reset link works for: Use a whole number from 5 to 1440."}, {"recovery.link_minutes", "soon", "Use a whole number from 5 to 1440."},
		{"mfa.trust_device_days", "91", "Use a whole number from 0 to 90."}, {"portal.name", " ", "This cannot be empty."},
		{"portal.accent", "#ffffff", "too pale"}, {"portal.accent", "blue", "Use a colour such as"}, {"support.email", "help", "Enter an e-mail address"},
		{"support.url", "javascript:alert(1)", "Use a web address"}, {"password.min_length", "65", "from 8 to 64"},
		{"mfa.required_for", "nobody", "Use one of: staff, everyone."}, {"recovery.enabled", "yes", "Use true or false."},
	} {
		page := b.Post(settingsPage, wrong.key, wrong.value, "recovery.link_label", "Typed beside it").Want(http.StatusUnprocessableEntity, wrong.says)
		all := elements(t, page.Body)
		field := input(t, page.Body, wrong.key)
		if field.attributes["aria-invalid"] != "true" || !strings.Contains(field.attributes["aria-describedby"], wrong.key+"-error") ||
			len(having(all, "id", wrong.key+"-error")) != 1 || len(having(all, "href", "#"+wrong.key)) != 1 || len(having(all, "role", "alert")) != 1 {
			t.Errorf("%s=%s: the error is not tied to its field: %v", wrong.key, wrong.value, field)
		}
		if field.name == "input" && field.attributes["value"] != wrong.value {
			t.Errorf("%s: %q was typed, %q is shown", wrong.key, wrong.value, field.attributes["value"])
		}
		if got := input(t, page.Body, "recovery.link_label").attributes["value"]; got != "Typed beside it" {
			t.Errorf("what was typed beside it is %q", got)
		}
	}
	b.Post(settingsPage, "portal.colour", "#b91c1c", "recovery.link_label", "Typed").Want(http.StatusUnprocessableEntity, "There is no setting “portal.colour”.")
	b.Post(settingsPage, "password.preset", "none").Want(http.StatusUnprocessableEntity, "Use one of: classic, nist.")
	b.Post(settingsPage, "portal.name", "A", "portal.name", "B").Want(http.StatusBadRequest)
	if got := inForce(t, p, "recovery.link_label"); got != "Forgot your password?" || eventCount(t, p, "setting.changed") != 0 {
		t.Errorf("something was saved: %q", got)
	}
}

func TestAPresetChangesThePasswordRulesAlone(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b, _ := newOwner(t, p)
		p.Set(t, "password.breach_check", "online")
		b.Post(settingsPage, "password.preset", "nist").WantTo(settingsPage)
		for key, want := range map[string]string{"password.min_length": "8", "password.min_length_without_mfa": "15", "password.require_upper": "false",
			"password.require_digit": "false", "password.require_special": "false", "password.breach_check": "online"} {
			if got := inForce(t, p, key); got != want {
				t.Errorf("%s is %q instead of %q", key, got, want)
			}
		}
		if page := b.Get(settingsPage); len(having(elements(t, page.Body), "value", "classic")) != 1 {
			t.Error("there is no button back to the classic rules")
		}
		b.Post(settingsPage, "password.preset", "classic").WantTo(settingsPage)
		if got := inForce(t, p, "password.require_upper"); got != "true" {
			t.Errorf("after the classic preset capitals are asked for: %q", got)
		}
	})
}

func TestSettingsAreSavedOnFreshProofAndWhatWasTypedSurvivesIt(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b, owner := newOwner(t, p)
		prove := func() portaltest.Page {
			t.Helper()
			return b.Post("/reauthenticate", "password", portaltest.Password, "code", p.Code(t, owner), "next", settingsPage).WantTo(settingsPage)
		}
		p.Clock.Advance(11 * time.Minute)
		b.Get(settingsPage).Want(http.StatusOK)
		b.Post(settingsPage, "portal.name", "Northwind Desk", "recovery.link_minutes", "45").WantTo("/reauthenticate?next=%2Fadmin%2Fsettings")
		if inForce(t, p, "portal.name") != "Customer Portal" {
			t.Fatal("saved without proof")
		}
		page := b.Follow(prove()).Want(http.StatusOK, "Nothing has been saved yet.")
		if shownValue(t, page.Body, "portal.name") != "Northwind Desk" || shownValue(t, page.Body, "recovery.link_minutes") != "45" {
			t.Error("what was typed is lost")
		}
		if !strings.Contains(page.Body, `href="#portal"`) || !strings.Contains(page.Body, `href="#recovery"`) || strings.Contains(page.Body, `href="#sessions"`) {
			t.Error("on a long page nothing leads to what was typed")
		}
		b.Post(settingsPage, "portal.name", "Northwind Desk").WantTo(settingsPage)

		p.Clock.Advance(11 * time.Minute)
		b.Post(settingsPage, "password.preset", "nist").WantTo("/reauthenticate?next=%2Fadmin%2Fsettings")
		page = b.Follow(prove())
		if shownValue(t, page.Body, "password.min_length_without_mfa") != "15" || inForce(t, p, "password.min_length_without_mfa") != "8" {
			t.Error("the preset is lost, or was saved without another press")
		}
	})
}

func TestOnlyWhoMaySeesTheSettings(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	support, _ := p.Staff(t, directory.NewUser{Email: "sam@vendor.example", Role: "support"})
	newAnn(t, p)
	ann := p.Browser(t, "192.0.2.9")
	ann.SignIn("ann", portaltest.Password)
	for name, b := range map[string]*portaltest.Browser{"support": support, "customer": ann} {
		if b.Get(settingsPage).Status != http.StatusNotFound || b.Post(settingsPage, "portal.name", "Mine").Status != http.StatusNotFound {
			t.Errorf("%s reaches the settings", name)
		}
	}
	p.Clock.Advance(11 * time.Minute) // not there, so no proof is asked for
	support.Post(settingsPage, "portal.name", "Mine").Want(http.StatusNotFound)
	if inForce(t, p, "portal.name") != "Customer Portal" {
		t.Error("it was saved all the same")
	}
}

// effectsOf is what the page says below a group of settings.
func effectsOf(t testing.TB, body, group string) string {
	t.Helper()
	found := having(elements(t, body), "id", "effects-"+group)
	if len(found) != 1 {
		t.Fatalf("%d elements tell the effects of %s", len(found), group)
	}
	return strings.Join(strings.Fields(found[0].text), " ")
}

func TestAStricterRuleSaysWhomItTouchesBeforeItIsSaved(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		b, _ := newOwner(t, p) // with an authenticator and a username
		newAnn(t, p)           // neither signed in, nor with an authenticator
		bob := person(t, p, directory.NewUser{Email: "bob@acme.example"})
		p.Enrol(t, bob)
		p.User(t, directory.NewUser{Email: "ida@acme.example", Invite: true})
		off := person(t, p, directory.NewUser{Email: "off@acme.example"})
		if err := p.Directory.Deactivate(t.Context(), portaltest.Operator, off.ID, ""); err != nil {
			t.Fatal(err)
		}
		visitor := p.Browser(t, "192.0.2.9")
		visitor.SignIn("ann", portaltest.Password)
		p.Mails(t)
		p.Clock.Advance(8 * time.Minute)

		for _, c := range []struct{ key, value, group, says string }{
			{"mfa.required_for", "everyone", "second-factor", "An authenticator is a must for: 1 user has no authenticator and will be asked to enrol one"},
			{"recovery.enabled", "false", "recovery", "3 users will have to ask somebody"},
			{"recovery.require_prior_sign_in", "true", "recovery", "1 user has never signed in"}, // Bob
			{"recovery.identify_by", "email_and_username", "recovery", "1 user has no username"},
			{"recovery.confirm_username", "true", "recovery", "1 user has no username"},
			{"password.min_length", "12", "passwords", "3 users must meet it when they next choose a password"},
			{"password.min_length_without_mfa", "15", "passwords", "1 user must meet it"},
			{"password.require_lower", "true", "passwords", "3 users must meet it"},
			{"password.min_strength", "4", "passwords", "3 users must meet it"},
			{"password.breach_check", "online", "passwords", "3 users must meet it"},
			{"password.change_enabled", "false", "passwords", "3 users will not be able"},
			{"session.idle_minutes", "5", "sessions", "Customers are signed out unused after: 1 browser will be signed out at once."},
			{"session.staff_idle_minutes", "5", "sessions", "This touches nobody at the moment."}, // the owner's was seen just now
			{"session.idle_minutes", "10", "sessions", "This touches nobody at the moment."},
			{"retention.mail_days", "0", "retention", "This touches nobody at the moment."},
			{"retention.mail_days", "1", "retention", "This touches nobody at the moment."},
			{"password.min_length", "8", "passwords", "This touches nobody at the moment."},
			{"portal.name", "Another", "portal", "This touches nobody at the moment."},
		} {
			page := b.Post(settingsPage, c.key, c.value, "preview", "true").Want(http.StatusOK, "Nothing has been saved yet.")
			if got := effectsOf(t, page.Body, c.group); !strings.Contains(got, c.says) {
				t.Errorf("%s=%s says %q instead of %q", c.key, c.value, got, c.says)
			}
			if shownValue(t, page.Body, c.key) != c.value {
				t.Errorf("%s=%s: what was typed is lost", c.key, c.value)
			}
		}
		page := b.Get(settingsPage).Want(http.StatusOK, "With “everybody”: 1 user has no authenticator", "With “no”: 3 users will have to ask somebody")
		if got := effectsOf(t, page.Body, "passwords"); got != "" {
			t.Errorf("before anything is typed the page says %q", got)
		}
		if eventCount(t, p, "setting.changed") != 0 {
			t.Error("looking has saved something")
		}
		b.Post(settingsPage, "recovery.link_minutes", "4", "preview", "true").Want(http.StatusUnprocessableEntity, "from 5 to 1440")
		b.HTMX = true
		part := b.Post(settingsPage, "mfa.required_for", "everyone", "preview", "true").Want(http.StatusOK)
		if part.Whole() || !strings.Contains(effectsOf(t, part.Body, "second-factor"), "1 user has no authenticator") {
			t.Error("while somebody chooses, the effects are not told")
		}
	})
}

func TestWhatOldRecordsWouldBeLostIsSaid(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		newAnn(t, p)
		visitor := p.Browser(t, "192.0.2.9")
		askForLink(t, p, visitor)
		p.Clock.Advance(40 * 24 * time.Hour)
		b, _ := newOwner(t, p)
		old, err := p.DB.Reader().CountOldEvents(t.Context(), p.DB.Now().Add(-30*24*time.Hour))
		if err != nil || old == 0 {
			t.Fatalf("%d old events: %v", old, err)
		}
		page := b.Post(settingsPage, "retention.mail_days", "30", "retention.audit_days", "30", "preview", "true").Want(http.StatusOK)
		got := effectsOf(t, page.Body, "retention")
		if !strings.Contains(got, "1 mail will be removed") || !strings.Contains(got, "events of the audit trail will be removed for good.") {
			t.Errorf("it says %q", got)
		}
	})
}

func TestALoweredTrustSaysTheTruthAboutTrustedBrowsers(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	b, _ := newOwner(t, p)
	bob := person(t, p, directory.NewUser{Email: "bob@acme.example", Username: "bob"})
	p.Enrol(t, bob)
	visitor := p.Browser(t, "192.0.2.9")
	visitor.Post("/sign-in", "login", "bob", "password", portaltest.Password).WantTo("/sign-in/verify")
	visitor.Post("/sign-in/verify", "code", p.Code(t, bob), "trust_device", "true").WantTo("/account")
	for value, says := range map[string]string{"7": "1 browser is trusted already, and will be until the day they were given.", "0": "1 trusted browser will ask for a code again."} {
		page := b.Post(settingsPage, "mfa.trust_device_days", value, "preview", "true").Want(http.StatusOK)
		if got := effectsOf(t, page.Body, "second-factor"); !strings.Contains(got, says) {
			t.Errorf("%s days: it says %q", value, got)
		}
	}
	b.Post(settingsPage, "mfa.trust_device_days", "0").WantTo(settingsPage)
	again := p.Browser(t, "192.0.2.9")
	again.SetCookie("postern-browser", visitor.Cookie("postern-browser"))
	again.Post("/sign-in", "login", "bob", "password", portaltest.Password).WantTo("/sign-in/verify")
}

func TestASavedSettingIsInForceOnEveryNodeWithinASecond(t *testing.T) {
	t.Parallel()
	portaltest.Each(t, func(t *testing.T, p *portaltest.Portal) {
		other := secondServer(p, func(s *handlers.Server) { s.Settings = settings.NewStore(p.DB) })
		visitor := newVisitor(t, p.URL, wire{other, "203.0.113.5:4711"})
		name := func() string { return visitor.get("/support").body }
		if !strings.Contains(name(), "Customer Portal") {
			t.Fatal("the other node does not answer")
		}
		b, _ := newOwner(t, p)
		b.Post(settingsPage, "portal.name", "Northwind Desk").WantTo(settingsPage)
		saved := time.Now()
		b.Get("/support").Want(http.StatusOK, "Northwind Desk")
		for !strings.Contains(name(), "Northwind Desk") {
			if time.Since(saved) > time.Second {
				t.Fatal("after a second the other node has the old name")
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

func TestSettingsAreGroupedEachWithAButtonOfItsOwn(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	b, _ := newOwner(t, p)
	page := b.Get(settingsPage).Want(http.StatusOK)
	var buttons []string
	for _, e := range elements(t, page.Body) {
		if e.name == "button" && e.attributes["class"] == "primary" {
			buttons = append(buttons, e.text)
		}
	}
	slices.Sort(buttons)
	want := []string{"Save invitations", "Save name and colour", "Save password rules", "Save recovery", "Save retention", "Save second factor",
		"Save sessions", "Save support contact"}
	if !slices.Equal(buttons, want) {
		t.Errorf("the buttons are %q", buttons)
	}
	wantInert(t, settingsPage, page.Body)
}
