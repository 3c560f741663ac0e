package media

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics of all relays. No label holds a number, a name or a call id.
type Metrics struct {
	packets    *prometheus.CounterVec
	dropped    [reasons]prometheus.Counter // resolved once: a drop costs no look-up
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
		tapDropped: f.NewCounter(prometheus.CounterOpts{Name: "consentgate_tap_dropped_total",
			Help: "Packets missing in recordings because the recorder was too slow."}),
		preconsent: f.NewCounter(prometheus.CounterOpts{Name: "consentgate_preconsent_packets_recorded_total",
			Help: "Packets from before their consent that came to a recorder. Always 0."}),
	}
	dropped := f.NewCounterVec(prometheus.CounterOpts{Name: "consentgate_rtp_dropped_total",
		Help: "RTP and RTCP packets not passed on."}, []string{"reason"})
	for r, name := range reasonNames {
		m.dropped[r] = dropped.WithLabelValues(name)
	}
	return m
}

// reason is why a packet is not passed on.
type reason uint8

const (
	stranger  reason = iota // not from where the peer said it sends from
	malformed               // not RTP or RTCP of version 2
	gated                   // the parties are apart
	ourKey                  // of a key that was meant for us
	prompted                // the receiver is being played something by us
	held                    // the receiver has no address now
	late                    // from before the stream it would join
	unsent                  // the system refused to send it
	unread                  // the system refused to receive
	reasons
)

var reasonNames = [reasons]string{"stranger", "malformed", "gated", "key", "prompt", "held", "late", "send", "receive"}
