package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

const dashboardFile = "grafana/consentgate.json"

// dashboard is what the tests need to know of it.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Panels        []dashPanel
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
	Annotations struct {
		List []struct{ Name, Expr string }
	}
}

type dashPanel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []struct {
		RefID, Expr string
		Datasource  struct{ Type, UID string }
	}
}

func theDashboard(t testing.TB) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	if d.UID != "consentgate" || len(d.Panels) < 40 {
		t.Fatalf("%q with %d panels", d.UID, len(d.Panels))
	}
	return d
}

// TestTheDashboardIsSound: ids are used once, panels lie side by side within
// Grafana's 24 columns, each says what it shows and asks the chosen data source.
func TestTheDashboardIsSound(t *testing.T) {
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range theDashboard(t).Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %d, %q: no id or title of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W < 1 || p.GridPos.H < 1 {
			t.Errorf("%s lies at %+v", p.Title, p.GridPos)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies on %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("%s says or asks nothing", p.Title)
		}
		refs := map[string]bool{}
		for _, q := range p.Targets {
			if refs[q.RefID] || q.RefID == "" || q.Datasource.UID != "${datasource}" || q.Datasource.Type != "prometheus" {
				t.Errorf("%s: query %q of %+v", p.Title, q.RefID, q.Datasource)
			}
			refs[q.RefID] = true
		}
	}
}

// TestGrafanasOwnModelTakesTheDashboard: every field is one that it knows, and
// none that it wants is missing.
func TestGrafanasOwnModelTakesTheDashboard(t *testing.T) {
	if os.Getenv("GRAFANA_SCHEMA") == "" {
		t.Skip("NOT TESTED: GRAFANA_SCHEMA=1 builds Grafana's model first, a minute")
	}
	t.Parallel()
	cmd := exec.Command("go", "run", ".", "../../deploy/"+dashboardFile)
	cmd.Dir = "../internal/grafanaschema"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// expressions are what the dashboard asks, by panel, with its variables set.
func (d *dashboard) expressions() map[string][]string {
	set := strings.NewReplacer("$__rate_interval", "10s", "$__range", "1m", "$instance|", ".*", "$instance", ".*", "$trunk", ".*")
	out := map[string][]string{}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			out[p.Title] = append(out[p.Title], set.Replace(q.Expr))
		}
	}
	for _, a := range d.Annotations.List {
		out[a.Name] = append(out[a.Name], set.Replace(a.Expr))
	}
	return out
}

// TestEachMetricNamedIsOneThatAGateHas: rules and dashboard name none that a
// running gate doesn't show.
func TestEachMetricNamedIsOneThatAGateHas(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	if err := g.calls("100", '1').Hangup(); err != nil {
		t.Fatal(err)
	}
	until(t, "the call is over", func() bool { return g.metric("calls_total") == 1 })
	until(t, "the witness has been told", func() bool { return g.metric("audit_witnessed_size") > 0 })
	until(t, "files were scanned", func() bool { return g.metric("last_scan_timestamp_seconds") > 0 })
	shown := g.metrics()
	named := map[string]string{}
	text := read(t, dashboardFile)
	for _, f := range ruleFiles {
		text += read(t, f)
	}
	for _, name := range regexp.MustCompile(`\b(?:consentgate|process|go)_[a-z0-9_]+`).FindAllString(text, -1) {
		named[name] = name
	}
	if len(named) < 50 {
		t.Errorf("only %d metrics are named", len(named))
	}
	for name := range named {
		if !regexp.MustCompile(`(?m)^` + name + `[{ ]`).MatchString(shown) {
			t.Errorf("%s is named, and a gate has none", name)
		}
	}
}
