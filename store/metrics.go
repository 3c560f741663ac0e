package store

import (
	"errors"
	"fmt"
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the store. Its gauges ask the store when they are read.
type metrics struct {
	appendSeconds prometheus.Histogram
	recordings    *prometheus.CounterVec
}

func newMetrics() *metrics {
	return &metrics{
		appendSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "consentgate_audit_append_seconds",
			Help: "From an entry's arrival to its being on stable storage.", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16)}),
		recordings: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "consentgate_recordings_total",
			Help: "Consents to record by how they ended: sealed, truncated, failed; and erased, which comes after."}, []string{"outcome"}),
	}
}

// register makes the metrics visible. It comes last in Open, for a scrape asks
// the store.
func (m *metrics) register(reg prometheus.Registerer, s *Store) error {
	if reg == nil {
		return nil
	}
	gauge := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "consentgate_" + name, Help: help}, read)
	}
	var err error
	for _, c := range []prometheus.Collector{m.appendSeconds, m.recordings,
		gauge("recordings_active", "Recordings being written.", func() float64 { return float64(len(s.running())) }),
		gauge("recordings_unaccounted", "Consents that ended neither in a recording nor in a reason. Always 0.",
			func() float64 { return float64(s.unaccounted()) }),
		gauge("audit_size", "Entries of the audit log.", func() float64 { return float64(s.audit.Size()) }),
		keptCollector{s},
		gauge("disk_free_bytes", "Free bytes on the data directory's file system.", s.free),
	} {
		err = errors.Join(err, reg.Register(c))
	}
	if err != nil {
		return fmt.Errorf("registering the store's metrics: %w", err)
	}
	return nil
}

func (s *Store) free() float64 {
	n, err := freeBytes(s.dir)
	if err != nil {
		return math.NaN()
	}
	return n
}

// keptCollector tells how many recordings there are.
type keptCollector struct{ s *Store }

var keptDesc = prometheus.NewDesc("consentgate_recordings_kept", "Recordings that there are, by purpose and state.", []string{"purpose", "state"}, nil)

func (k keptCollector) Describe(to chan<- *prometheus.Desc) { to <- keptDesc }

func (k keptCollector) Collect(to chan<- prometheus.Metric) {
	counts, err := k.s.Counts()
	if err != nil {
		k.s.log.Error("the numbers of recordings can't be told", "error", err)
		return // the others still can
	}
	for _, c := range counts {
		to <- prometheus.MustNewConstMetric(keptDesc, prometheus.GaugeValue, float64(c.N), c.Purpose, c.State)
	}
}
