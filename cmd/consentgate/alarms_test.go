package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/breach"
	"consentgate/breach/alarm"
	"consentgate/store"
	"consentgate/store/rootcell"
)

// receiver is a webhook's other end. It takes alarms while it is willing.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	willing bool
	refused int
	got     []map[string]any
	raw     string
}

func newReceiver(t *testing.T, willing bool) *receiver {
	t.Helper()
	r := &receiver{willing: willing}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil || req.Method != http.MethodPost || req.Header.Get("Authorization") != "Bearer secret" || req.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v %s %q", err, req.Method, req.Header)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.willing {
			r.refused++
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var m map[string]any
		if err := json.Unmarshal(body, &m); err != nil || m["format"] != "consentgate-alarm-1" {
			t.Errorf("%v %s", err, body)
		}
		r.got, r.raw = append(r.got, m), r.raw+string(body)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) setWilling(willing bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.willing = willing
}

// entries are those that it was told of, by rule, without repetitions.
func (r *receiver) entries(rule breach.Rule) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := map[any]bool{}
	for _, m := range r.got {
		if m["rule"] == string(rule) && !ids[m["id"]] {
			ids[m["id"]] = true
			n++
		}
	}
	return n
}

func (r *receiver) refusals() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

// watched is a store that is watched, as App joins the two.
type watched struct {
	*opening
	t   *testing.T
	reg *prometheus.Registry
	log *strings.Builder
}

func openWatched(t *testing.T, dir, url string, rules breach.Settings) *watched {
	t.Helper()
	w := &watched{t: t, reg: prometheus.NewRegistry(), log: &strings.Builder{}}
	token := filepath.Join(t.TempDir(), "token")
	mustOK(t, os.WriteFile(token, []byte("secret\n"), 0o600))
	logger := slog.New(slog.NewTextHandler(w.log, nil))
	watch, err := alarm.New(alarm.Options{Dir: dir, Node: "test", Rules: rules, Hook: alarm.Hook{URL: url, TokenFile: token},
		Log: logger, Registerer: w.reg, Every: 5 * time.Millisecond, Retry: 5 * time.Millisecond})
	mustOK(t, err)
	w.opening = openLate(func() (*store.Store, rootcell.Cell, error) {
		root := rootcell.NewFile(store.DefaultRootFile(dir))
		s, err := store.Open(store.Options{Dir: dir, Root: root})
		return s, root, err
	}, 20*time.Second, 10*time.Millisecond, &alarms{Watch: watch}, logger)
	return w
}

func mustOK(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, until func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !until(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (w *watched) note(events ...store.Event) {
	w.t.Helper()
	for _, e := range events {
		mustOK(w.t, w.store.Load().Audit().Note(context.Background(), e))
	}
}

// metric reads one, of a rule where rule isn't "".
func (w *watched) metric(name string, rule breach.Rule) float64 {
	w.t.Helper()
	families, err := w.reg.Gather()
	mustOK(w.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "consentgate_"+name && (rule == "" || m.GetLabel()[0].GetValue() == string(rule)) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	w.t.Fatalf("there is no metric %s", name)
	return 0
}

// logged are the alarms in the audit log, by rule.
func (w *watched) logged() map[string]int {
	w.t.Helper()
	out := map[string]int{}
	_, err := w.store.Load().EntriesOf(0, map[string]bool{store.TypeAlarm: true}, func(e store.Entry) bool {
		var a store.AlarmRaised
		mustOK(w.t, json.Unmarshal(e.Payload, &a))
		out[a.Rule]++
		return true
	})
	mustOK(w.t, err)
	return out
}

// judgedAll waits until the rules have seen all that is in the log.
func (w *watched) judgedAll() {
	w.t.Helper()
	eventually(w.t, "the rules", func() bool { return w.metric("alarms_judged_size", "") == float64(w.store.Load().Audit().Size()) })
}

func threeFailures() []store.Event {
	return []store.Event{store.LoginFailed{As: "dana"}, store.LoginFailed{As: "dana"}, store.LoginFailed{As: "dana"}}
}

var twoLogins = breach.Settings{Logins: breach.Limit{Most: 2, Within: time.Hour}, Clock: true, Config: true}

// TestAnAlarmIsAMetricAnEntryALineAndAPost, all of one thing, and only the sealed
// entry names whom it is about.
func TestAnAlarmIsAMetricAnEntryALineAndAPost(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	r := newReceiver(t, true)
	w := openWatched(t, dir, r.URL, twoLogins)
	w.note(threeFailures()[:2]...)
	w.judgedAll()
	if w.metric("alarms_total", breach.LoginFailures) != 0 || r.entries(breach.LoginFailures) != 0 {
		t.Error("two failures are allowed")
	}
	w.note(threeFailures()[2])
	eventually(t, "the post", func() bool { return r.entries(breach.LoginFailures) == 1 })
	if w.metric("alarms_total", breach.LoginFailures) != 1 || w.logged()["login_failures"] != 1 ||
		time.Since(time.Unix(int64(w.metric("alarm_last_timestamp_seconds", breach.LoginFailures)), 0)).Abs() > time.Hour {
		t.Errorf("metric %v, log %v", w.metric("alarms_total", breach.LoginFailures), w.logged())
	}
	mustOK(t, w.stop())
	if !strings.Contains(w.log.String(), "rule=login_failures") {
		t.Errorf("no line in\n%s", w.log)
	}
	if all := r.raw + w.log.String(); strings.Contains(all, "dana") {
		t.Errorf("a name in\n%s", all)
	}
	report, err := store.Verify(dir, store.DefaultRootFile(dir))
	mustOK(t, err)
	if !report.OK() {
		t.Errorf("%+v", report)
	}
}

// TestAnAlarmIsToldUntilItIsTaken, through failures and over a restart, and those
// that were taken aren't told again.
func TestAnAlarmIsToldUntilItIsTaken(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	r := newReceiver(t, false)
	w := openWatched(t, dir, r.URL, twoLogins)
	w.note(store.ClockJumped{Seen: "running", Seconds: 1})
	eventually(t, "three failures", func() bool { return r.refusals() >= 3 })
	if w.metric("alarm_webhook_waiting", "") != 1 || w.metric("alarm_webhook_failures_total", "") < 2 {
		t.Errorf("%v waiting", w.metric("alarm_webhook_waiting", ""))
	}
	w.note(store.ClockJumped{Seen: "running", Seconds: 2}) // others queue behind it
	w.judgedAll()
	mustOK(t, w.stop())
	r.setWilling(true)
	w = openWatched(t, dir, r.URL, twoLogins)
	eventually(t, "both", func() bool { return r.entries(breach.ClockJump) == 2 })
	eventually(t, "an empty queue", func() bool { return w.metric("alarm_webhook_waiting", "") == 0 })
	mustOK(t, w.stop())
	w = openWatched(t, dir, r.URL, twoLogins)
	w.note(store.ClockJumped{Seen: "running", Seconds: 3})
	eventually(t, "the third", func() bool { return r.entries(breach.ClockJump) == 3 })
	mustOK(t, w.stop())
	if len(r.got) != 3 {
		t.Errorf("%d posts of 3 alarms", len(r.got))
	}
}

// TestWhatWasLoggedWhileNobodyWatchedIsJudgedAtTheNextStart, by what was counted
// before; and what was judged isn't judged again.
func TestWhatWasLoggedWhileNobodyWatchedIsJudgedAtTheNextStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	w := openWatched(t, dir, "", twoLogins)
	w.note(threeFailures()[:2]...)
	w.judgedAll()
	mustOK(t, w.stop())
	s, err := store.Open(store.Options{Dir: dir})
	mustOK(t, err, s.Audit().Note(context.Background(), threeFailures()[2]), s.Close())
	for range 2 {
		w = openWatched(t, dir, "", twoLogins)
		eventually(t, "the alarm", func() bool { return w.logged()["login_failures"] > 0 })
		w.judgedAll()
		if n := w.logged()["login_failures"]; n != 1 || w.metric("alarm_last_timestamp_seconds", breach.LoginFailures) == 0 {
			t.Errorf("%d alarms", n)
		}
		mustOK(t, w.stop())
	}
	if strings.Contains(w.log.String(), "ALARM") {
		t.Errorf("it was raised again:\n%s", w.log)
	}
}

// TestALogThatIsShorterThanWhatWasJudgedIsAnAlarm: who puts audit.db back without
// thinking of the rest is found without any witness.
func TestALogThatIsShorterThanWhatWasJudgedIsAnAlarm(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	w := openWatched(t, dir, "", breach.Settings{LogHead: true})
	mustOK(t, w.stop())
	old, err := os.ReadFile(filepath.Join(dir, "audit.db"))
	mustOK(t, err)
	w = openWatched(t, dir, "", breach.Settings{LogHead: true})
	for range 20 {
		w.note(store.Login{By: "dana"})
	}
	w.judgedAll()
	if len(w.logged()) != 0 {
		t.Errorf("control: %v", w.logged())
	}
	mustOK(t, w.stop(), os.WriteFile(filepath.Join(dir, "audit.db"), old, 0o600))
	w = openWatched(t, dir, "", breach.Settings{LogHead: true})
	eventually(t, "the alarm", func() bool { return w.logged()["log_head"] == 1 })
	mustOK(t, w.stop())
}

// TestARootThatRefusesIsAnAlarmBeforeThereIsALog, and one in the log when there is.
func TestARootThatRefusesIsAnAlarmBeforeThereIsALog(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	rules := breach.Settings{Unwraps: breach.Limit{Within: time.Hour}}
	mustOK(t, openWatched(t, dir, "", rules).stop())
	root := store.DefaultRootFile(dir)
	kept, err := os.ReadFile(root)
	mustOK(t, err, os.Remove(root))
	r := newReceiver(t, true)
	w := openWatched(t, dir, r.URL, rules)
	eventually(t, "the post", func() bool { return r.entries(breach.UnwrapFailed) == 1 })
	if w.store.Load() != nil || w.metric("alarms_total", breach.UnwrapFailed) != 1 {
		t.Error("there is a log, or no metric")
	}
	mustOK(t, os.WriteFile(root, kept, 0o600))
	eventually(t, "the store", func() bool { return w.store.Load() != nil })
	eventually(t, "the alarm in the log", func() bool { return w.logged()["unwrap_failed"] == 1 })
	eventually(t, "its post", func() bool { return r.entries(breach.UnwrapFailed) == 2 })
	mustOK(t, w.stop())
}
