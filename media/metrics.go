package media

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics of all relays. No label holds a number, a name or a call id.
type Metrics struct {
	packets    *prometheus.CounterVec
	dropped    *prometheus.CounterVec
	tapDropped prometheus.Counter
	preconsent prometheus.Counter
}

// NewMetrics registers the metrics; pool may be nil.
func NewMetrics(reg prometheus.Registerer, pool *Pool) *Metrics {
	f := promauto.With(reg)
	if pool != nil {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: "consentgate_media_ports_in_use",
			Help: "Pairs of RTP and RTCP ports in use."}, func() float64 { return float64(pool.InUse()) })
	}
	m := &Metrics{
		packets: f.NewCounterVec(prometheus.CounterOpts{Name: "consentgate_rtp_packets_total",
			Help: "RTP packets taken, by the side they came from."}, []string{"trunk", "side"}),
		dropped: f.NewCounterVec(prometheus.CounterOpts{Name: "consentgate_rtp_dropped_total",
			Help: "RTP and RTCP packets not passed on."}, []string{"reason"}),
		tapDropped: f.NewCounter(prometheus.CounterOpts{Name: "consentgate_tap_dropped_total",
			Help: "Packets missing in recordings because the recorder was too slow."}),
		preconsent: f.NewCounter(prometheus.CounterOpts{Name: "consentgate_preconsent_packets_recorded_total",
			Help: "Packets from before their consent that came to a recorder. Always 0."}),
	}
	for _, r := range dropReasons {
		m.dropped.WithLabelValues(r)
	}
	return m
}

// Why a packet is not passed on.
const (
	dropStranger  = "stranger"  // not from where the peer said it sends from
	dropMalformed = "malformed" // not RTP or RTCP of version 2
	dropGated     = "gated"     // the parties are apart
	dropKey       = "key"       // of a key that was meant for us
	dropHeld      = "held"      // the receiver has no address now
	dropLate      = "late"      // from before the stream it would join
	dropSend      = "send"      // the system refused to send it
)

var dropReasons = []string{dropStranger, dropMalformed, dropGated, dropKey, dropHeld, dropLate, dropSend}
