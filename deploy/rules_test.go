package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// alert is one of the rules.
type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

var ruleFiles = []string{"prometheus/invariants.yaml", "prometheus/capacity.yaml"}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func alerts(t testing.TB) (all []alert) {
	t.Helper()
	for _, f := range ruleFiles {
		var rules struct {
			Groups []struct {
				Rules []alert `yaml:"rules"`
			} `yaml:"groups"`
		}
		if err := yaml.Unmarshal([]byte(read(t, f)), &rules); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		for _, g := range rules.Groups {
			all = append(all, g.Rules...)
		}
	}
	if len(all) < 40 {
		t.Fatalf("%d alerts", len(all))
	}
	return all
}

// TestEachAlertSaysWhatItMeans: a summary, a description, how bad it is, and the
// chapter of the manual that says what to do. No chapter is left over.
func TestEachAlertSaysWhatItMeans(t *testing.T) {
	headings := map[string]int{}
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(read(t, "../docs/operations.md"), -1) {
		headings[anchor(h[1])]++
	}
	known := map[string]bool{}
	for _, a := range alerts(t) {
		known[strings.ToLower(a.Alert)] = true
		for _, want := range []string{"summary", "description"} {
			if a.Annotations[want] == "" {
				t.Errorf("%s has no %s", a.Alert, want)
			}
		}
		if !strings.Contains("critical warning info", a.Labels["severity"]) || a.Labels["severity"] == "" {
			t.Errorf("%s is of severity %q", a.Alert, a.Labels["severity"])
		}
		at, ok := strings.CutPrefix(a.Annotations["runbook"], "docs/operations.md#")
		if !ok || at != strings.ToLower(a.Alert) || headings[at] != 1 {
			t.Errorf("%s: the chapter %q is %d times in the manual", a.Alert, a.Annotations["runbook"], headings[at])
		}
	}
	for h := range headings {
		if strings.HasPrefix(h, "consentgate") && !known[h] {
			t.Errorf("the manual has a chapter %q, and there is no such alert", h)
		}
	}
}

// anchor is what a heading is linked to by.
func anchor(heading string) string {
	return regexp.MustCompile(`[^a-z0-9_-]`).ReplaceAllString(strings.ReplaceAll(strings.ToLower(heading), " ", "-"), "")
}

// TestLinksWithinTheManualLeadSomewhere.
func TestLinksWithinTheManualLeadSomewhere(t *testing.T) {
	text := read(t, "../docs/operations.md")
	known := map[string]bool{}
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		known[anchor(h[1])] = true
	}
	for _, l := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(text, -1) {
		if !known[l[1]] {
			t.Errorf("a link leads to #%s", l[1])
		}
	}
}

// TestPrometheusTakesTheRules and the configuration beside them, and each rule
// does what its unit tests say.
func TestPrometheusTakesTheRules(t *testing.T) {
	needs(t, "promtool")
	t.Parallel()
	tests, err := filepath.Glob("prometheus/tests/*.yaml")
	if err != nil || len(tests) != 3 {
		t.Fatalf("%v %v", tests, err)
	}
	for _, args := range [][]string{append([]string{"check", "rules"}, ruleFiles...),
		{"check", "config", "--syntax-only", "prometheus/prometheus.yml"}, append([]string{"test", "rules"}, tests...)} {
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestEachAlertHasAUnitTest in which it fires at one time and not at another.
func TestEachAlertHasAUnitTest(t *testing.T) {
	fires := map[string]bool{}
	for _, name := range []string{"invariants", "capacity", "days"} {
		var f struct {
			Tests []struct {
				Name   string
				Series []any `yaml:"input_series"`
				At     []struct {
					Expr    string
					Samples []struct{ Labels string } `yaml:"exp_samples"`
				} `yaml:"promql_expr_test"`
			}
		}
		if err := yaml.Unmarshal([]byte(read(t, "prometheus/tests/"+name+".yaml")), &f); err != nil {
			t.Fatal(err)
		}
		for _, test := range f.Tests {
			seen := map[string]int{}
			for _, at := range test.At {
				if at.Expr != `count by (alertname) (ALERTS{alertstate="firing"})` {
					t.Errorf("%s asks %s, which isn't all alerts", test.Name, at.Expr)
				}
				for _, s := range at.Samples {
					seen[s.Labels]++
				}
			}
			for labels, n := range seen {
				if n < len(test.At) {
					fires[labels] = true
				}
			}
		}
	}
	for _, a := range alerts(t) {
		if !fires[`{alertname="`+a.Alert+`"}`] {
			t.Errorf("%s has no unit test in which it fires and doesn't fire", a.Alert)
		}
	}
}
