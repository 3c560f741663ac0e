package media

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics of all relays. No label holds a number, a name or a call id.
type Metrics struct {
	packets    packets
	dropped    [reasons]prometheus.Counter // resolved once: a drop costs no look-up
	tapped     prometheus.Counter
	tapDropped prometheus.Counter
	preconsent prometheus.Counter

	loss, jitter, trip, mos *prometheus.HistogramVec
}

// NewMetrics registers the metrics; pool may be nil.
func NewMetrics(reg prometheus.Registerer, pool *Pool) *Metrics {
	f := promauto.With(reg)
	if pool != nil {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: "consentgate_media_ports_in_use",
			Help: "Pairs of RTP and RTCP ports in use."}, func() float64 { return float64(pool.InUse()) })
		f.NewGauge(prometheus.GaugeOpts{Name: "consentgate_media_ports",
			Help: "Pairs of RTP and RTCP ports that there are. A pair that was used rests for ten seconds."}).Set(float64(pool.size))
	}
	m := &Metrics{
		packets: packets{CounterVec: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "consentgate_rtp_packets_total",
			Help: "RTP packets taken, by the side they came from."}, []string{"trunk", "side"}), legs: new(atomic.Pointer[Engine])},
		tapped: f.NewCounter(prometheus.CounterOpts{Name: "consentgate_tap_packets_total",
			Help: "Packets copied for recorders."}),
		tapDropped: f.NewCounter(prometheus.CounterOpts{Name: "consentgate_tap_dropped_total",
			Help: "Packets missing in recordings because the recorder was too slow."}),
		preconsent: f.NewCounter(prometheus.CounterOpts{Name: "consentgate_preconsent_packets_recorded_total",
			Help: "Packets from before their consent that came to a recorder. Always 0."}),
	}
	reg.MustRegister(m.packets)
	histogram := func(name, help string, buckets ...float64) *prometheus.HistogramVec {
		return f.NewHistogramVec(prometheus.HistogramOpts{Name: "consentgate_" + name, Help: help, Buckets: buckets}, []string{"trunk", "side"})
	}
	m.loss = histogram("rtp_loss_ratio", "Share of a call's RTP packets from that side that didn't come.", 0, .001, .003, .01, .02, .03, .05, .1, .3)
	m.jitter = histogram("rtp_jitter_seconds", "Interarrival jitter of a call's RTP from that side (RFC 3550), at its end.", .001, .003, .005, .01, .02, .03, .05, .1, .3)
	m.trip = histogram("rtp_round_trip_seconds", "Way to that side's peer and back, by RTCP, at a call's end.", .005, .01, .02, .05, .1, .15, .2, .3, .5, 1)
	m.mos = histogram("rtp_mos", "Estimated mean opinion score of a call's speech from that side (ITU-T G.107).", 1.5, 2, 2.5, 3, 3.3, 3.6, 3.8, 4, 4.2, 4.35)
	dropped := f.NewCounterVec(prometheus.CounterOpts{Name: "consentgate_rtp_dropped_total",
		Help: "RTP and RTCP packets not passed on."}, []string{"reason"})
	for r, name := range reasonNames {
		m.dropped[r] = dropped.WithLabelValues(name)
	}
	return m
}

// packets are counted by each leg for itself, and told when somebody asks: where all
// calls share a counter, two threads would wait for each other at each packet.
type packets struct {
	*prometheus.CounterVec
	legs *atomic.Pointer[Engine] // whose calls' packets are counted
}

// Collect is prometheus.Collector.
func (p packets) Collect(to chan<- prometheus.Metric) {
	if e := p.legs.Load(); e != nil {
		for _, r := range e.running() {
			r.count()
		}
	}
	p.CounterVec.Collect(to)
}

// of are a side's measures.
func (m *Metrics) of(trunk, side string) measures {
	return measures{loss: m.loss.WithLabelValues(trunk, side), jitter: m.jitter.WithLabelValues(trunk, side),
		trip: m.trip.WithLabelValues(trunk, side), mos: m.mos.WithLabelValues(trunk, side)}
}

// reason is why a packet is not passed on.
type reason uint8

const (
	stranger    reason = iota // not from where the peer said it sends from
	malformed                 // not RTP or RTCP of version 2
	gated                     // the parties are apart
	ourKey                    // of a key that was meant for us
	prompted                  // the receiver is being played something by us
	held                      // the receiver has no address now
	late                      // from before the stream it would join
	unsent                    // the system refused to send it
	unread                    // the system refused to receive
	unauthentic               // SRTP that isn't sealed with the peer's key
	replayed                  // SRTP that came before
	unsealed                  // SRTP that can't be sealed: its number was used before
	reasons
)

var reasonNames = [reasons]string{"stranger", "malformed", "gated", "key", "prompt", "held", "late", "send", "receive",
	"srtp_auth", "srtp_replay", "srtp_send"}
