package deploy

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// server is a real Prometheus.
type server struct {
	t    testing.TB
	url  string
	said *said
}

// newPrometheus starts one that scrapes those gates with the settings and rules of
// this folder, but five times a second and without waiting minutes or days for an alert to last.
func newPrometheus(t testing.TB, gates ...*gate) *server {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range ruleFiles {
		write("consentgate/"+filepath.Base(f), regexp.MustCompile(`(?m)^ +for: \d+[md]\n`).ReplaceAllString(read(t, f), ""))
	}
	var targets []string
	for _, g := range gates {
		targets = append(targets, g.ops)
	}
	write("prometheus.yml", strings.NewReplacer("15s", "200ms", "127.0.0.1:9090", strings.Join(targets, ", ")).Replace(read(t, "prometheus/prometheus.yml")))
	at := freePort(t).String()
	s := &server{t: t, url: "http://" + at}
	_, s.said = start(t, "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+at, "--log.level=warn")
	until(t, "Prometheus is ready", func() bool {
		res, err := http.Get(s.url + "/-/ready")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return s
}

// sample is one of an answer's.
type sample struct {
	Metric map[string]string
	Value  [2]any // time and number
}

// query asks for an expression's value now.
func (s *server) query(expr string) ([]sample, error) {
	var answer struct {
		Status, Error string
		Data          struct{ Result []sample }
	}
	if err := json.Unmarshal([]byte(httpGet(s.t, s.url+"/api/v1/query?query="+url.QueryEscape(expr))), &answer); err != nil {
		return nil, err
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s", expr, answer.Error)
	}
	return answer.Data.Result, nil
}

// firing are the alerts that fire for a gate.
func (s *server) firing(g *gate) map[string]bool {
	s.t.Helper()
	got, err := s.query(`ALERTS{alertstate="firing"}`)
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]bool{}
	for _, a := range got {
		if a.Metric["instance"] == g.ops {
			out[strings.TrimPrefix(a.Metric["alertname"], "Consentgate")] = true
		}
	}
	return out
}

func (s *server) untilFiring(g *gate, want ...string) {
	s.t.Helper()
	slices.Sort(want)
	var got []string
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("of that gate fired last: %v", got)
		}
	})
	until(s.t, "of that gate exactly "+strings.Join(want, ", ")+" fire", func() bool {
		got = slices.Sorted(maps.Keys(s.firing(g)))
		return slices.Equal(got, want)
	})
}

// TestARealPrometheusAnswersTheDashboard while a gate has calls: each expression
// has data, but for those that show what isn't there, and each rule can be
// evaluated.
func TestARealPrometheusAnswersTheDashboard(t *testing.T) {
	needs(t, "prometheus")
	t.Parallel()
	g := newGate(t)
	p := newPrometheus(t, g)
	until(t, "a scrape before the first call", func() bool {
		got, err := p.query(`consentgate_calls_active`)
		return err == nil && len(got) == 1
	})
	for _, c := range []struct {
		number string
		key    byte
	}{{"100", '1'}, {"491", '2'}, {"100", 0}, {"112", 0}} {
		if err := g.calls(c.number, c.key).Hangup(); err != nil {
			t.Fatal(err)
		}
	}
	live := g.calls("492", '1')
	until(t, "a recording runs", func() bool { return g.metric("recordings_active") == 1 })
	d := theDashboard(t)
	empty := map[string]bool{}
	for title, exprs := range d.expressions() {
		for _, e := range exprs {
			until(t, "an answer to "+title+": "+e+" that isn't empty, or needn't be", func() bool {
				got, err := p.query(e)
				if err != nil {
					t.Fatalf("%s: %v", title, err)
				}
				empty[title] = empty[title] || len(got) == 0 && mayBeEmpty[title]
				return len(got) > 0 || mayBeEmpty[title]
			})
		}
	}
	funnel, err := p.query(`sum by (language, outcome) (consentgate_consent_answers_total)`)
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]any{}
	for _, s := range funnel {
		counted[s.Metric["language"]+" "+s.Metric["outcome"]] = s.Value[1]
	}
	if want := map[string]any{"en granted": "1", "en silent": "1", "de declined": "1", "de granted": "1"}; !maps.Equal(counted, want) {
		t.Errorf("the funnel has %v, not %v", counted, want)
	}
	if err := live.Hangup(); err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	if err := json.Unmarshal([]byte(httpGet(t, p.url+"/api/v1/rules")), &rules); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, group := range rules.Data.Groups {
		for _, r := range group.Rules {
			if n++; r.Health != "ok" {
				t.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if want := len(alerts(t)); n != want {
		t.Errorf("Prometheus has %d of %d rules", n, want)
	}
}

// mayBeEmpty are the panels that show what isn't there in those calls.
var mayBeEmpty = map[string]bool{"SIP not taken": true, "RTP not passed on": true, "Starts": true}

// TestFaultsSoundTheirAlarms at a real Prometheus, and those alone: a peer that
// takes no calls, a certificate about to end, a root without a backup; then all
// peers of a side for a while, then the gate. Another gate has no data directory.
func TestFaultsSoundTheirAlarms(t *testing.T) {
	needs(t, "prometheus")
	t.Parallel()
	g := newGate(t)
	broken := &gate{t: t, agent: g.agent, exchange: newPeer(t, false), carrier: freePort(t), ops: freePort(t).String()}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "data"), []byte("no folder"), 0o600); err != nil {
		t.Fatal(err)
	}
	writeTone(t, filepath.Join(dir, "prompt.wav"))
	writeCertificate(t, dir)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	broken.run(path, dir)
	p := newPrometheus(t, g, broken)
	p.untilFiring(g, "PeerDown", "CertificateEnds", "RootBackupMissing")
	p.untilFiring(broken, "PeerDown", "CertificateEnds", "RecordingImpossible")
	g.exchange.down.Store(true)
	p.untilFiring(g, "PeerDown", "SideDown", "CertificateEnds", "RootBackupMissing")
	g.exchange.down.Store(false)
	p.untilFiring(g, "PeerDown", "CertificateEnds", "RootBackupMissing")
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, "the gate that is gone is told of", func() bool { return p.firing(g)["Down"] })
}
