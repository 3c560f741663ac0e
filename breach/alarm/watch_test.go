package alarm_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/breach"
	"consentgate/breach/alarm"
)

// memory is a log in memory, whose disk may be full. A gate's real one is in the
// tests of cmd/consentgate.
type memory struct {
	mu      sync.Mutex
	entries []breach.Entry
	full    bool
	refused int
}

var errFull = errors.New("no space left on device")

// add is a write of the watch's.
func (m *memory) add(kind string, payload any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		m.refused++
		return errFull
	}
	text, err := json.Marshal(payload)
	m.entries = append(m.entries, breach.Entry{Seq: int64(len(m.entries)), At: time.Now(), Type: kind, Payload: text})
	return err
}

// happens is a write of somebody else's, from before the disk was full.
func (m *memory) happens(kind string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = append(m.entries, breach.Entry{Seq: int64(len(m.entries)), At: time.Now(), Type: kind, Payload: []byte("{}")})
}

func (m *memory) setFull(full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = full
}

func (m *memory) count(kind string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries {
		if e.Type == kind {
			n++
		}
	}
	return n
}

func (m *memory) Name() string { return "log/1" }

func (m *memory) Size() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.entries))
}

func (m *memory) Read(from int64, types map[string]bool, f func(breach.Entry) bool) (int64, error) {
	for ; from < m.Size(); from++ {
		m.mu.Lock()
		e := m.entries[from]
		m.mu.Unlock()
		if types[e.Type] && !f(e) {
			return from + 1, nil
		}
	}
	return from, nil
}

func (m *memory) Raise(_ context.Context, a breach.Alarm) error {
	return m.add("alarm.raised", map[string]any{"rule": a.Rule, "entry": a.Entry, "at": a.At, "by": a.By})
}

func (m *memory) Found(_ context.Context, recording, by string) error {
	return m.add("recording.found", map[string]any{"recording": recording, "by": by})
}

func (m *memory) Shortened(_ context.Context, seen int64) error {
	return m.add("witness.conflict", map[string]any{"size": seen})
}

// watching is a watch over a log, from Start to the test's end.
type watching struct {
	*alarm.Watch
	reg *prometheus.Registry
}

func watch(t *testing.T, dir string, log alarm.Log, url string) watching {
	t.Helper()
	w := watching{reg: prometheus.NewRegistry()}
	var err error
	w.Watch, err = alarm.New(alarm.Options{Dir: dir, Node: "test", Hook: alarm.Hook{URL: url}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Registerer: w.reg, Every: time.Millisecond, Retry: time.Millisecond,
		Rules: breach.Settings{Clock: true, LogHead: true, Honey: []string{"honey"}}})
	if err != nil {
		t.Fatal(err)
	}
	w.Start(log)
	return w
}

func (w watching) metric(t *testing.T, name string) (sum float64) {
	t.Helper()
	families, err := w.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "consentgate_"+name {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func eventually(t *testing.T, what string, until func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !until(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestAnAlarmThatIsRefusedIsToldAgain: whatever the answer but a 2xx, redirects
// included, which would carry the token elsewhere.
func TestAnAlarmThatIsRefusedIsToldAgain(t *testing.T) {
	answers := []int{http.StatusInternalServerError, http.StatusFound, http.StatusUnauthorized, http.StatusNoContent}
	var mu sync.Mutex
	var ids []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct{ ID string }
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(answers[min(len(ids), len(answers)-1)])
		ids = append(ids, m.ID)
	}))
	defer hook.Close()
	log := &memory{}
	w := watch(t, t.TempDir(), log, hook.URL)
	log.happens("clock.jumped")
	eventually(t, "the fourth answer", func() bool { mu.Lock(); defer mu.Unlock(); return len(ids) >= len(answers) })
	eventually(t, "an empty queue", func() bool { return w.metric(t, "alarm_webhook_waiting") == 0 })
	w.Close()
	if strings.Join(ids, " ") != "log/1/1 log/1/1 log/1/1 log/1/1" || w.metric(t, "alarm_webhook_failures_total") != 3 {
		t.Errorf("%q, %v failures", ids, w.metric(t, "alarm_webhook_failures_total"))
	}
}

// TestAnAlarmThatTheDiskCannotTakeIsSaidAtOnceAndLoggedLater, also if the watch is
// closed meanwhile.
func TestAnAlarmThatTheDiskCannotTakeIsSaidAtOnceAndLoggedLater(t *testing.T) {
	dir, log := t.TempDir(), &memory{}
	w := watch(t, dir, log, "")
	log.happens("clock.jumped")
	eventually(t, "the first alarm", func() bool { return log.count("alarm.raised") == 1 })
	log.setFull(true)
	log.happens("clock.jumped")
	eventually(t, "the metric", func() bool { return w.metric(t, "alarms_total") == 2 })
	w.Close()
	if log.count("alarm.raised") != 1 || log.refused == 0 {
		t.Errorf("control: %d entries, %d refused", log.count("alarm.raised"), log.refused)
	}
	log.setFull(false)
	w = watch(t, dir, log, "")
	eventually(t, "the entry", func() bool { return log.count("alarm.raised") == 2 })
	w.Close()
}

// TestHoneyIsLoggedBehindTheSearch, which waits for nothing; other recordings
// aren't.
func TestHoneyIsLoggedBehindTheSearch(t *testing.T) {
	log := &memory{}
	w := watch(t, t.TempDir(), log, "")
	log.setFull(true)
	for range 100 { // more than can wait: none of them does
		w.Touched("dana", "another", "honey")
	}
	log.setFull(false)
	eventually(t, "the entry", func() bool { return log.count("recording.found") > 0 })
	eventually(t, "the alarm", func() bool { return log.count("alarm.raised") > 0 })
	w.Close()
	if strings.Contains(string(log.entries[0].Payload), "another") {
		t.Errorf("%s", log.entries[0].Payload)
	}
}

// TestAWatchWithoutItsFilesBeginsWithThePresentStart: alarms of long ago aren't
// raised anew, those of this start are.
func TestAWatchWithoutItsFilesBeginsWithThePresentStart(t *testing.T) {
	log := &memory{}
	for _, kind := range []string{"node.start", "clock.jumped", "node.start", "clock.jumped"} {
		log.happens(kind)
	}
	w := watch(t, t.TempDir(), log, "")
	eventually(t, "the rules", func() bool { return w.metric(t, "alarms_judged_size") == float64(log.Size()) })
	w.Close()
	if log.count("alarm.raised") != 1 {
		t.Errorf("%d alarms", log.count("alarm.raised"))
	}
}
