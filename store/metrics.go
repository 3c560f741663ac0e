package store

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics of the store. Its gauges ask the store when they are read.
type metrics struct {
	appendSeconds prometheus.Histogram
	recordings    *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, s *Store) *metrics {
	f := promauto.With(reg)
	gauge := func(name, help string, read func() float64) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: "consentgate_" + name, Help: help}, read)
	}
	gauge("recordings_active", "Recordings being written.", func() float64 { return float64(len(s.running())) })
	gauge("recordings_unaccounted", "Consents that ended neither in a recording nor in a reason. Always 0.",
		func() float64 { return float64(s.unaccounted()) })
	gauge("audit_size", "Entries of the audit log.", func() float64 { return float64(s.audit.Size()) })
	gauge("disk_free_bytes", "Free bytes on the data directory's file system.", func() float64 {
		n, err := freeBytes(s.dir)
		if err != nil {
			return math.NaN()
		}
		return n
	})
	return &metrics{
		appendSeconds: f.NewHistogram(prometheus.HistogramOpts{Name: "consentgate_audit_append_seconds",
			Help: "From an entry's arrival to its being on stable storage.", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16)}),
		recordings: f.NewCounterVec(prometheus.CounterOpts{Name: "consentgate_recordings_total",
			Help: "Recordings by how they ended."}, []string{"outcome"}),
	}
}
