package alarm

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/breach"
)

type metrics struct {
	total    *prometheus.CounterVec
	at       *prometheus.GaugeVec
	judged   prometheus.Gauge
	waiting  prometheus.Gauge
	failures prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "consentgate_alarms_total",
			Help: "What may be a breach of personal data, by the rule that found it."}, []string{"rule"}),
		at: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "consentgate_alarm_last_timestamp_seconds",
			Help: "When the rule found something last, before restarts as well, in Unix time; 0: never."}, []string{"rule"}),
		judged: prometheus.NewGauge(prometheus.GaugeOpts{Name: "consentgate_alarms_judged_size",
			Help: "Entries of the audit log that the alarms' rules were held to."}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "consentgate_alarm_webhook_waiting",
			Help: "Alarms that alarms.webhook hasn't taken yet."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "consentgate_alarm_webhook_failures_total",
			Help: "Tries to tell alarms.webhook that failed."}),
	}
	for _, r := range breach.Rules() { // so that a rate is there from the first alarm on
		m.total.WithLabelValues(string(r))
		m.at.WithLabelValues(string(r))
	}
	return m
}

func (m *metrics) register(reg prometheus.Registerer) (err error) {
	if reg == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.total, m.at, m.judged, m.waiting, m.failures} {
		err = errors.Join(err, reg.Register(c))
	}
	return err
}

func (m *metrics) count(r breach.Rule, at time.Time) {
	m.total.WithLabelValues(string(r)).Inc()
	m.last(r, at)
}

func (m *metrics) last(r breach.Rule, at time.Time) {
	m.at.WithLabelValues(string(r)).Set(float64(at.UnixMilli()) / 1000)
}
