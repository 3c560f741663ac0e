package store

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the store. Its gauges ask the store when they are read.
type metrics struct {
	appendSeconds prometheus.Histogram
	recordings    *prometheus.CounterVec
	orphans       *prometheus.GaugeVec
	scanned       prometheus.Gauge
	swept         prometheus.Gauge
	archive       *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		appendSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "consentgate_audit_append_seconds",
			Help: "From an entry's arrival to its being on stable storage.", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16)}),
		recordings: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "consentgate_recordings_total",
			Help: "Consents to record by how they ended: sealed, truncated, failed; and erased, which comes after."}, []string{"outcome"}),
		orphans: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "consentgate_orphans",
			Help: "What the last scan found without its other half: files, objects of the archive, and recordings without theirs."}, []string{"kind"}),
		scanned: prometheus.NewGauge(prometheus.GaugeOpts{Name: "consentgate_last_scan_timestamp_seconds",
			Help: "When files and entries were last compared, in Unix time."}),
		swept: prometheus.NewGauge(prometheus.GaugeOpts{Name: "consentgate_archive_last_scan_timestamp_seconds",
			Help: "When the archive's objects were last compared with what is noted of them, in Unix time; 0: never since the start."}),
		archive: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "consentgate_archive_failures_total",
			Help: "What the archive didn't do at the first try, or the next: copy, delete, read, scan."}, []string{"act"}),
	}
	for _, act := range []string{"copy", "delete", "read", "scan"} {
		m.archive.WithLabelValues(act)
	}
	for _, outcome := range []string{StateSealed, StateTruncated, "failed", "erased"} {
		m.recordings.WithLabelValues(outcome) // there from the start, at 0: an increase to 1 is seen
	}
	return m
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
	for _, c := range []prometheus.Collector{m.appendSeconds, m.recordings, m.orphans, m.scanned, m.swept, m.archive, newTrunkBytes(s), databaseRoom{s},
		gauge("recordings_active", "Recordings being written.", func() float64 { return float64(len(s.running())) }),
		gauge("recordings_unsealed", "Recordings that have ended and aren't sealed yet: they wait for their turn, or for room on the disk.",
			func() float64 { return float64(len(s.unsealed())) }),
		gauge("recordings_unaccounted", "Consents that ended neither in a recording nor in a reason. Always 0.",
			func() float64 { return float64(s.unaccounted()) }),
		gauge("audit_size", "Entries of the audit log.", func() float64 { return float64(s.audit.Size()) }),
		keptCollector{s},
		gauge("disk_free_bytes", "Free bytes on the data directory's file system, ten seconds ago at most.", s.disk.free),
		gauge("disk_level", "0: there is room; 1: below disk.low; 2: below disk.stop, no recording begins; 3: the disk doesn't say, likewise.",
			func() float64 { return float64(s.disk.level()) }),
		gauge("disk_failed", "1: a write to a database failed in a way that only a restart mends; nothing is recorded.", s.brokenDisk),
		rightsMetrics{s},
		gauge("root_backup_missing", "1: no backup of the present root key was made with 'consentgate root backup', ten seconds ago at most.",
			func() float64 {
				if s.unbacked.Load() {
					return 1
				}
				return 0
			}),
		gauge("erasures_pending", "Erasures that aren't final: the root key that they hang under isn't destroyed yet.",
			func() float64 { n, _ := s.waiting(); return float64(n) }),
		gauge("archive_waiting", "Sealed recordings that the archive has no copy of yet.",
			func() float64 { n, _ := s.uncopied(); return float64(n) }),
		gauge("archive_waiting_oldest_seconds", "For how long the oldest of them has waited; 0: none does.",
			func() float64 { _, d := s.uncopied(); return d.Seconds() }),
		gauge("archive_copied_timestamp_seconds", "When a recording was last copied to the archive, in Unix time; 0: none was since the start.",
			func() float64 {
				if s.archiver == nil {
					return 0
				}
				return float64(s.archiver.last.Load())
			}),
		gauge("archive_owed", "Objects of erased recordings that aren't deleted in the archive with all their versions yet.",
			func() float64 { n, _, _ := s.owedObjects(); return float64(n) }),
		gauge("archive_owed_oldest_seconds", "For how long the oldest of them has been owed; 0: none is.",
			func() float64 { _, _, d := s.owedObjects(); return d.Seconds() }),
		gauge("erasure_oldest_seconds", "How long ago the oldest erasure was made that isn't final; 0: all are.",
			func() float64 { _, d := s.waiting(); return d.Seconds() }),
	} {
		err = errors.Join(err, reg.Register(c))
	}
	if err != nil {
		return fmt.Errorf("registering the store's metrics: %w", err)
	}
	return nil
}

func (s *Store) brokenDisk() float64 {
	if s.keys.failure() != nil || s.audit.failure() != nil {
		return 1
	}
	return 0
}

// trunkBytes are, for each trunk with a quota, the bytes of its recordings and
// the quota.
type trunkBytes struct {
	store      *Store
	used, most *prometheus.Desc
}

func newTrunkBytes(s *Store) trunkBytes {
	return trunkBytes{s, prometheus.NewDesc("consentgate_trunk_recorded_bytes",
		"Bytes of a trunk's recordings, where it has a quota.", []string{"trunk"}, nil),
		prometheus.NewDesc("consentgate_trunk_quota_bytes", "Bytes that a trunk's recordings may take.", []string{"trunk"}, nil)}
}

// Describe and Collect are prometheus.Collector.
func (t trunkBytes) Describe(to chan<- *prometheus.Desc) { to <- t.used; to <- t.most }

func (t trunkBytes) Collect(to chan<- prometheus.Metric) {
	running := t.store.running()
	for trunk, most := range t.store.usage.quotas {
		to <- prometheus.MustNewConstMetric(t.used, prometheus.GaugeValue, float64(t.store.usage.of(trunk, running)), trunk)
		to <- prometheus.MustNewConstMetric(t.most, prometheus.GaugeValue, float64(most), trunk)
	}
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
