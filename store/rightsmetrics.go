package store

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/store/rights"
)

// rightsMetrics tells, when it is read, what subjects wait for and what is kept
// for whom. Its labels are kinds of requests.
type rightsMetrics struct{ store *Store }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("consentgate_"+name, help, labels, nil)
}

var (
	descDue = describe("subject_requests_due_seconds",
		"Until the end of the last day for an answer to the open request that is due next; negative when it is overdue. Absent without one.", "kind")
	descOverdue    = describe("subject_requests_overdue", "Requests whose last day for an answer is over.", "kind")
	descHeld       = describe("recordings_held", "Recordings under a legal hold.")
	descRestricted = describe("recordings_restricted", "Recordings that a subject had restricted, or whose erasure waits.")
	descErased     = describe("retention_erased_total", "Recordings erased because their time was over.")
	descKept       = describe("retention_kept", "Recordings that are kept beyond their time by a hold or a restriction, at the last run.")
	descBraked     = describe("retention_braked", "1 while retention is stopped until an officer confirms it.")
	descLastRun    = describe("retention_last_run_timestamp_seconds", "When the last run of the retention ended, in Unix time; 0 before the first.")
)

// Describe is a prometheus.Collector's.
func (m rightsMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descDue, descOverdue, descHeld, descRestricted, descErased, descKept, descBraked, descLastRun} {
		out <- d
	}
}

// Collect is a prometheus.Collector's.
func (m rightsMetrics) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	s := m.store
	now := s.clock.Now()
	due, overdue := s.owed(now)
	for _, k := range rights.Kinds {
		if at, ok := due[k]; ok {
			gauge(descDue, at.Sub(now).Seconds(), string(k))
		}
		gauge(descOverdue, float64(overdue[k]), string(k))
	}
	held, restricted := s.desk.counts()
	gauge(descHeld, float64(held))
	gauge(descRestricted, float64(restricted))
	t := s.retainer
	t.mu.Lock()
	defer t.mu.Unlock()
	out <- prometheus.MustNewConstMetric(descErased, prometheus.CounterValue, float64(t.erased))
	gauge(descKept, float64(t.kept))
	braked, last := 0.0, 0.0
	if t.braked {
		braked = 1
	}
	if !t.last.IsZero() {
		last = float64(t.last.UnixMilli()) / 1000
	}
	gauge(descBraked, braked)
	gauge(descLastRun, last)
}

// owed is, by kind, when the next answer is due, and how many are overdue.
func (s *Store) owed(now time.Time) (due map[rights.Kind]time.Time, overdue map[rights.Kind]int) {
	due, overdue = map[rights.Kind]time.Time{}, map[rights.Kind]int{}
	for _, r := range s.Requests(true) {
		if !r.Owed() {
			continue
		}
		end := r.Due.End(s.place)
		if at, ok := due[r.Kind]; !ok || end.Before(at) {
			due[r.Kind] = end
		}
		if r.Overdue(now, s.place) {
			overdue[r.Kind]++
		}
	}
	return due, overdue
}

func (d *desk) counts() (held, restricted int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.files {
		if len(f.Holds) > 0 {
			held++
		}
		if f.Decide(false).Restricted {
			restricted++
		}
	}
	return held, restricted
}
