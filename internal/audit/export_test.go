package audit_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/db"
	"postern/internal/audit"
)

func TestAnExportHoldsEveryEventInBothForms(t *testing.T) {
	eachTrail(t, func(t *testing.T, w *trail) {
		w.clock.Advance(5 * time.Millisecond)
		w.record(2)
		err := w.d.Update(w.ctx(), func(tx *db.Tx) error {
			return audit.Record(w.ctx(), tx, audit.Event{Action: audit.RoleChanged, Actor: db.Actor{Kind: db.ActorOperator}, Refused: true,
				Detail: map[string]string{"name": "a \"quoted\"\r\nname, with <commas> & ümlauts"}})
		})
		if err != nil {
			t.Fatal(err)
		}
		var lines, table bytes.Buffer
		if err := audit.WriteLines(w.ctx(), &lines, w.d.Reader(), db.EventFilter{}); err != nil {
			t.Fatal(err)
		}
		if err := audit.WriteCSV(w.ctx(), &table, w.d.Reader(), db.EventFilter{}); err != nil {
			t.Fatal(err)
		}
		written := strings.Split(strings.TrimSuffix(lines.String(), "\n"), "\n")
		want := `{"id":1,"at":"2026-11-20T12:00:01.005Z","action":"password.changed","outcome":"done","actor_kind":"user","actor_id":7,"user_id":9,` +
			`"organization_id":4,"detail":{"k":"0"},"address":"192.0.2.1","user_agent":"Test/1.0","request_id":"REQUEST"}`
		if len(written) != 3 || written[0] != want {
			t.Fatalf("the lines are\n%s\ninstead of\n%s", lines.String(), want)
		}
		rows, err := csv.NewReader(&table).ReadAll()
		if err != nil || len(rows) != 4 {
			t.Fatalf("%d rows: %v", len(rows), err)
		}
		for i, line := range written {
			var event map[string]any
			if err := json.Unmarshal([]byte(line), &event); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			for column, name := range rows[0] {
				value, in := event[name], rows[i+1][column]
				switch name {
				case "id", "actor_id", "user_id", "organization_id":
					if number, _ := value.(float64); in != "" && in != strconv.FormatInt(int64(number), 10) || in == "" && number != 0 {
						t.Errorf("%s is %v in one form and %q in the other", name, value, in)
					}
				case "detail":
					var detail map[string]any
					if err := json.Unmarshal([]byte(in), &detail); err != nil || len(detail) != len(value.(map[string]any)) {
						t.Errorf("the detail is %q: %v", in, err)
					}
				default:
					if value != in {
						t.Errorf("%s is %v in one form and %q in the other", name, value, in)
					}
				}
			}
			at, err := time.Parse(time.RFC3339, event["at"].(string))
			if err != nil || at.Location() != time.UTC {
				t.Errorf("%v is no time in UTC: %v", event["at"], err)
			}
		}
	})
}

func TestNoCellOfAnExportIsAFormula(t *testing.T) {
	w := newTrail(t, db.SQLite)
	hostile := []string{`=HYPERLINK("https://evil.example","Open")`, "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", "＝1+1", "＋1", "－1", "＠SUM(1)", " =1+1"}
	for _, text := range hostile {
		err := w.d.Update(w.ctx(), func(tx *db.Tx) error {
			return audit.Record(w.ctx(), tx, audit.Event{Action: audit.SignInRefused, Actor: db.Actor{Kind: db.ActorVisitor, UserAgent: text, Address: text, RequestID: text}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var table bytes.Buffer
	if err := audit.WriteCSV(w.ctx(), &table, w.d.Reader(), db.EventFilter{}); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil || len(rows) != len(hostile)+1 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	for i, row := range rows[1:] {
		for _, cell := range row {
			if trimmed := strings.TrimLeft(cell, " "); trimmed != "" && strings.ContainsAny(trimmed[:1], "=+-@\t\r") || strings.IndexAny(trimmed, "＝＋－＠") == 0 {
				t.Errorf("%q is calculated", cell)
			}
		}
		if row[10] != "'"+strings.ReplaceAll(hostile[i], "\r", "") {
			t.Errorf("%q became %q", hostile[i], row[10])
		}
	}
}

// memoryWatch is a writer that notes how much memory is in use while it is written to.
type memoryWatch struct {
	written, writes int
	most            uint64
}

func (m *memoryWatch) Write(b []byte) (int, error) {
	m.written += len(b)
	if m.writes++; m.writes%2000 == 0 {
		runtime.GC()
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		m.most = max(m.most, now.HeapAlloc)
	}
	return len(b), nil
}

func TestALongTrailIsExportedInLittleMemory(t *testing.T) {
	eachTrail(t, func(t *testing.T, w *trail) {
		w.fill(20_000)
		for name, write := range map[string]func(io.Writer) error{
			"lines": func(out io.Writer) error { return audit.WriteLines(w.ctx(), out, w.d.Reader(), db.EventFilter{}) },
			"CSV":   func(out io.Writer) error { return audit.WriteCSV(w.ctx(), out, w.d.Reader(), db.EventFilter{}) },
		} {
			runtime.GC()
			var before runtime.MemStats
			runtime.ReadMemStats(&before)
			watch := &memoryWatch{}
			// One write to a line, as the slowest reader would have it.
			if err := write(watch); err != nil {
				t.Fatal(err)
			}
			if grown := int64(watch.most) - int64(before.HeapAlloc); watch.written < 3_000_000 || grown > 4<<20 {
				t.Errorf("%s: %d bytes took %d bytes of memory", name, watch.written, grown)
			}
		}
	})
}

func TestAFilterLeavesWhatItSays(t *testing.T) {
	eachTrail(t, func(t *testing.T, w *trail) {
		began := w.d.Now()
		add := func(action audit.Action, actor db.Actor, organization int64) {
			w.clock.Advance(time.Minute)
			err := w.d.Update(w.ctx(), func(tx *db.Tx) error {
				return audit.Record(w.ctx(), tx, audit.Event{Action: action, Actor: actor, OrganizationID: organization})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		ann, operator := db.Actor{Kind: db.ActorUser, UserID: 7}, db.Actor{Kind: db.ActorOperator}
		add(audit.SignedIn, ann, 1)            // event 1
		add(audit.SignedIn, ann, 2)            // 2
		add(audit.OrganizationChanged, ann, 1) // 3
		add(audit.SettingChanged, operator, 0) // 4
		add(audit.OrganizationCreated, operator, 2)
		minute := func(n int) db.Time { return began.Add(time.Duration(n) * time.Minute) }
		for name, c := range map[string]struct {
			filter db.EventFilter
			want   []int64
		}{
			"everything":              {db.EventFilter{}, []int64{1, 2, 3, 4, 5}},
			"one organization":        {db.EventFilter{Over: 1}, []int64{1, 3}},
			"nobody's":                {db.EventFilter{Over: -1}, nil},
			"an actor":                {db.EventFilter{Actor: 7}, []int64{1, 2, 3}},
			"no such actor":           {db.EventFilter{Actor: -1}, nil},
			"an actor in one":         {db.EventFilter{Actor: 7, Over: 2}, []int64{2}},
			"the operator":            {db.EventFilter{ActorKind: db.ActorOperator}, []int64{4, 5}},
			"the operator in one":     {db.EventFilter{ActorKind: db.ActorOperator, Over: 2}, []int64{5}},
			"an action":               {db.EventFilter{Action: "sign_in.succeeded"}, []int64{1, 2}},
			"an action in one":        {db.EventFilter{Action: "sign_in.succeeded", Over: 2}, []int64{2}},
			"no such action":          {db.EventFilter{Action: "sign_in"}, nil},
			"since":                   {db.EventFilter{Since: minute(4)}, []int64{4, 5}},
			"until":                   {db.EventFilter{Until: minute(2)}, []int64{1}},
			"between":                 {db.EventFilter{Since: minute(2), Until: minute(4)}, []int64{2, 3}},
			"all at once":             {db.EventFilter{Over: 1, Actor: 7, ActorKind: db.ActorUser, Action: "organization.changed", Since: minute(3), Until: minute(4)}, []int64{3}},
			"all at once but in time": {db.EventFilter{Over: 1, Actor: 7, Action: "organization.changed", Since: minute(4), Until: minute(9)}, nil},
		} {
			up, err := w.d.Reader().EventsAfter(w.ctx(), c.filter, 0, 10)
			if err != nil || !same(up, c.want, false) {
				t.Errorf("%s: %+v, %v", name, up, err)
			}
			down, err := w.d.Reader().Events(w.ctx(), c.filter, 0, 10)
			if err != nil || !same(down, c.want, true) {
				t.Errorf("%s, backwards: %+v, %v", name, down, err)
			}
		}
		if older, err := w.d.Reader().Events(w.ctx(), db.EventFilter{Actor: 7}, 3, 1); err != nil || !same(older, []int64{2}, true) {
			t.Errorf("older than 3: %+v, %v", older, err)
		}
		if younger, err := w.d.Reader().EventsAfter(w.ctx(), db.EventFilter{Actor: 7}, 1, 1); err != nil || !same(younger, []int64{2}, false) {
			t.Errorf("after 1: %+v, %v", younger, err)
		}
	})
}

func same(events []db.StoredEvent, ids []int64, backwards bool) bool {
	if len(events) != len(ids) {
		return false
	}
	for i, e := range events {
		if backwards {
			i = len(ids) - 1 - i
		}
		if e.ID != ids[i] {
			return false
		}
	}
	return true
}
