package witness

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct{ failures *prometheus.CounterVec }

func newMetrics() *metrics {
	return &metrics{prometheus.NewCounterVec(prometheus.CounterOpts{Name: "consentgate_audit_witness_failures_total",
		Help: "Tries to bring a checkpoint to a witness that failed."}, []string{"witness"})}
}

// register makes the metrics visible; the gauges ask the keepers.
func (m *metrics) register(reg prometheus.Registerer, all []*keeper) error {
	if reg == nil {
		return nil
	}
	err := reg.Register(m.failures)
	for _, k := range all {
		gauge := func(name, help string, read func(k *keeper) float64) {
			err = errors.Join(err, reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "consentgate_audit_" + name, Help: help,
				ConstLabels: prometheus.Labels{"witness": k.name}}, func() float64 {
				k.mu.Lock()
				defer k.mu.Unlock()
				return read(k)
			})))
		}
		gauge("witnessed_size", "Entries of the audit log that the witness knows of.", func(k *keeper) float64 { return float64(k.held) })
		gauge("witnessed_age_seconds", "How long ago the witness last had the log's newest checkpoint.",
			func(k *keeper) float64 { return time.Since(k.current).Seconds() })
		gauge("witness_conflict", "1 if the witness keeps another history than the log's: one of the two was rewritten or put back.",
			func(k *keeper) float64 {
				if k.conflict {
					return 1
				}
				return 0
			})
	}
	if err != nil {
		return fmt.Errorf("registering the witnesses' metrics: %w", err)
	}
	return nil
}
