package handlers

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"postern/internal/directory"
	"postern/internal/input"
	"postern/internal/settings"
	"postern/views"
)

const settingsPath = "/admin/settings"

// settingGroups are the parts of the page; a setting belongs to the first whose prefix its
// key has.
var settingGroups = []struct {
	prefix string
	group  views.SettingGroup
}{
	{"portal.", views.SettingGroup{ID: "portal", Title: "Portal", Button: "Save name and colour"}},
	{"support.", views.SettingGroup{ID: "support", Title: "Support", Button: "Save support contact",
		Intro: "Every page and mail says whom to turn to. While all three are empty they say “the person who gave you access”."}},
	{"recovery.", views.SettingGroup{ID: "recovery", Title: "Forgot password", Button: "Save recovery", Weighed: true}},
	{"invitation.", views.SettingGroup{ID: "invitations", Title: "Invitations", Button: "Save invitations"}},
	{"password.", views.SettingGroup{ID: "passwords", Title: "Passwords", Button: "Save password rules", Weighed: true, Presets: true,
		Intro: "Rules count for every new password. Nobody knows the ones in use, so those go on working."}},
	{"mfa.", views.SettingGroup{ID: "second-factor", Title: "Second factor", Button: "Save second factor", Weighed: true}},
	{"session.", views.SettingGroup{ID: "sessions", Title: "Sessions", Button: "Save sessions", Weighed: true}},
	{"retention.", views.SettingGroup{ID: "retention", Title: "Retention", Button: "Save retention", Weighed: true}},
}

// passwordPresets are the presets as the page offers them.
var passwordPresets = []views.Preset{
	{Value: "classic", Label: "Use the classic rules", Text: "Classic, as customer portals ask: 8 characters with a capital letter, a digit and a special one."},
	{Value: "nist", Label: "Use the rules of NIST", Text: "NIST SP 800-63B: 15 characters, or 8 beside an authenticator, and no character classes."},
}

// shownSettings are the settings as the page shows them: those in force, and what was typed
// over them.
type shownSettings struct {
	typed   url.Values
	preview *settings.Settings // as they would be; nil where nothing is weighed
	wrong   views.Errors
}

func (s *Server) showSettings(q *request) error {
	typed := q.typedBefore()
	if len(typed) == 0 {
		return s.renderSettings(q, http.StatusOK, shownSettings{})
	}
	return s.previewSettings(q, typed)
}

// settingValues are the fields that were sent, but for the button.
func settingValues(typed url.Values) map[string]string {
	values := map[string]string{}
	for key := range typed {
		if key != "preview" {
			values[key] = typed.Get(key)
		}
	}
	return values
}

func (s *Server) changeSettings(q *request) error {
	if q.field("preview") == "true" {
		return s.previewSettings(q, q.fields)
	}
	if !q.proven() {
		return q.toReauthenticate()
	}
	if _, err := s.Directory.ChangeSettings(q.Context(), q.actor(), settingValues(q.fields)); err != nil {
		return s.settingsRefused(q, q.fields, err)
	}
	q.notify(views.NoticeSettingsSaved)
	return q.goTo(settingsPath)
}

// previewSettings shows whom what was typed would touch, and saves nothing.
func (s *Server) previewSettings(q *request, typed url.Values) error {
	after, err := q.settings.With(settingValues(typed))
	if err != nil {
		return s.settingsRefused(q, typed, err)
	}
	return s.renderSettings(q, http.StatusOK, shownSettings{typed: expanded(typed, after), preview: after})
}

// expanded is what was typed, with what a preset stands for in its place.
func expanded(typed url.Values, after *settings.Settings) url.Values {
	if !typed.Has(settings.PresetKey) {
		return typed
	}
	values := url.Values{}
	for _, key := range settings.Keys() {
		if value, _ := after.Get(key); typed.Has(key) || strings.HasPrefix(key, "password.") {
			values.Set(key, value)
		}
	}
	return values
}

func (s *Server) settingsRefused(q *request, typed url.Values, err error) error {
	wrong, code, ok := q.problems(err)
	if !ok {
		return notThere(err)
	}
	if refused, isInput := errors.AsType[*input.Error](err); isInput {
		for i, field := range refused.Fields {
			if field.Problem == input.NotSetting || field.Name == settings.PresetKey {
				wrong[i].Field = "" // there is no such field to go to
			}
			if field.Problem == input.NotSetting {
				wrong[i].Text = views.NoSettingText(field.Name)
			}
		}
	}
	return s.renderSettings(q, code, shownSettings{typed: typed, wrong: wrong})
}

func (s *Server) renderSettings(q *request, code int, shown shownSettings) error {
	page := views.SettingsPage{Frame: q.inAdmin("Settings", settingsPath), Preview: shown.preview != nil, Errors: shown.wrong}
	page.Frame.Failed = len(shown.wrong) > 0
	for _, wrong := range shown.wrong {
		if wrong.Field != "" {
			wrong.Text = views.SettingLabel(wrong.Field) + ": " + wrong.Text
		}
		page.Summary = append(page.Summary, wrong)
	}
	scale, err := s.Directory.Scale(q.Context(), q.settings)
	if err != nil {
		return err
	}
	would, err := wouldEffects(q.Context(), scale, q.settings)
	if err != nil {
		return err
	}
	var effects []directory.Effect
	if shown.preview != nil {
		if effects, err = scale.Weigh(q.Context(), shown.preview); err != nil {
			return err
		}
	}
	for _, g := range settingGroups {
		group := g.group
		for _, key := range settings.Keys() {
			if strings.HasPrefix(key, g.prefix) {
				group.Settings = append(group.Settings, q.settingView(key, shown.typed, would[key]))
				group.Typed = group.Typed || shown.preview != nil && shown.typed.Has(key)
			}
		}
		group.Effects = effectViews(effects, g.prefix)
		page.Groups = append(page.Groups, group)
	}
	if page.Presets, err = presetViews(q, scale); err != nil {
		return err
	}
	return q.render(code, views.Settings(page))
}

// hexColor is what a browser's colour field can show.
var hexColor = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

func (q *request) settingView(key string, typed url.Values, would []string) views.Setting {
	shape, _ := settings.ShapeOf(key)
	value, _ := q.settings.Get(key)
	if typed.Has(key) {
		value = typed.Get(key)
	}
	setting := views.Setting{Key: key, Label: views.SettingLabel(key), Meaning: views.SettingMeaning(key, shape.Least, shape.Most), Value: value,
		Number: shape.Kind == settings.Number, Color: key == "portal.accent" && hexColor.MatchString(value), Would: would}
	for _, choice := range shape.Choices {
		setting.Options = append(setting.Options, views.Option{Value: choice, Label: views.ChoiceLabel(choice)})
	}
	return setting
}

func effectViews(effects []directory.Effect, prefix string) []views.Effect {
	var shown []views.Effect
	for _, e := range effects {
		if strings.HasPrefix(e.Key, prefix) {
			shown = append(shown, views.Effect{Label: views.SettingLabel(e.Key), Text: views.EffectText(e.What, e.N)})
		}
	}
	return shown
}

// wouldEffects says, by setting, whom the choices would touch that are not in force. Of
// numbers there are too many: they are judged when one was typed.
func wouldEffects(ctx context.Context, scale directory.Scale, current *settings.Settings) (map[string][]string, error) {
	would := map[string][]string{}
	for _, key := range settings.Keys() {
		shape, _ := settings.ShapeOf(key)
		value, _ := current.Get(key)
		for _, choice := range shape.Choices {
			if choice == value {
				continue
			}
			after, err := current.With(map[string]string{key: choice})
			if err != nil {
				return nil, err
			}
			effects, err := scale.Weigh(ctx, after)
			if err != nil {
				return nil, err
			}
			for _, e := range effects {
				would[key] = append(would[key], views.WouldText(choice, views.EffectText(e.What, e.N)))
			}
		}
	}
	return would, nil
}

func presetViews(q *request, scale directory.Scale) ([]views.Preset, error) {
	var presets []views.Preset
	for _, preset := range passwordPresets {
		after, err := q.settings.With(map[string]string{settings.PresetKey: preset.Value})
		if err != nil {
			return nil, err
		}
		effects, err := scale.Weigh(q.Context(), after)
		if err != nil {
			return nil, err
		}
		preset.Effects = effectViews(effects, "password.")
		presets = append(presets, preset)
	}
	return presets, nil
}
