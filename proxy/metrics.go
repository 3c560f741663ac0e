package proxy

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"consentgate/consent"
)

// metrics of the gate's signalling and consent. No label holds a number, a name
// or a call id.
type metrics struct {
	active       *prometheus.GaugeVec
	calls        *prometheus.CounterVec
	consent      *prometheus.CounterVec
	answers      *prometheus.CounterVec
	rejected     *prometheus.CounterVec
	unexpected   *prometheus.CounterVec
	peerUp       *prometheus.GaugeVec
	failovers    *prometheus.CounterVec
	dnsFailures  *prometheus.CounterVec
	unanchored   prometheus.Counter
	audioMissing *prometheus.CounterVec
	evidenceLost prometheus.Counter
	faults       prometheus.Counter
	mutated      prometheus.Counter
	// sectionsRefused are m-sections, not calls.
	sectionsRefused prometheus.Counter
}

// outcomes are what becomes of calls, as calls_total has it.
var outcomes = []string{"answered", "cancelled", "challenged", "expired", "failed", "media_lost", "redirected", "refused",
	"refused_recording", "timeout"}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	name := func(s string) string { return "consentgate_" + s }
	m := &metrics{
		active: f.NewGaugeVec(prometheus.GaugeOpts{Name: name("calls_active"),
			Help: "Calls from the first INVITE to their end."}, []string{"trunk"}),
		calls: f.NewCounterVec(prometheus.CounterOpts{Name: name("calls_total"),
			Help: "Calls that ended, by what became of them."}, []string{"trunk", "direction", "outcome"}),
		consent: f.NewCounterVec(prometheus.CounterOpts{Name: name("consent_total"),
			Help: "Answers of parties that were asked, and withdrawals."}, []string{"trunk", "outcome"}),
		answers: f.NewCounterVec(prometheus.CounterOpts{Name: name("consent_answers_total"),
			Help: "What consent_total counts, by the language that was asked in. Calls that could not be asked are only there."},
			[]string{"trunk", "language", "outcome"}),
		rejected: f.NewCounterVec(prometheus.CounterOpts{Name: name("sip_rejected_total"),
			Help: "SIP messages that were dropped or refused."}, []string{"reason"}),
		unexpected: f.NewCounterVec(prometheus.CounterOpts{Name: name("sip_unexpected_total"),
			Help: "Events that a call's state had no use for."}, []string{"state", "event"}),
		peerUp: f.NewGaugeVec(prometheus.GaugeOpts{Name: name("peer_up"),
			Help: "1 if the peer answered its last OPTIONS."}, []string{"trunk", "side", "peer"}),
		failovers: f.NewCounterVec(prometheus.CounterOpts{Name: name("failovers_total"),
			Help: "Calls that were given to another peer, for the one before didn't answer or refused with 503."},
			[]string{"trunk", "side"}),
		dnsFailures: f.NewCounterVec(prometheus.CounterOpts{Name: name("dns_failures_total"),
			Help: "Times that DNS didn't say where a peer is. Calls go to where it was last."}, []string{"trunk", "side"}),
		audioMissing: f.NewCounterVec(prometheus.CounterOpts{Name: name("audio_missing_total"),
			Help: "Times that no audio came from a side for ten seconds, though nobody was on hold."}, []string{"trunk", "side"}),
		unanchored: f.NewCounter(prometheus.CounterOpts{Name: name("calls_unanchored_total"),
			Help: "Calls whose media went directly for want of ports."}),
		evidenceLost: f.NewCounter(prometheus.CounterOpts{Name: name("evidence_lost_total"),
			Help: "Records or erasures that could not be written. Anything but 0 needs a person."}),
	}
	m.faults = f.NewCounter(prometheus.CounterOpts{Name: name("call_faults_total"),
		Help: "Calls that a fault of the gate ended. Anything but 0 is a bug."})
	m.mutated = f.NewCounter(prometheus.CounterOpts{Name: name("sip_unexpected_mutations_total"),
		Help: "Parts of messages that were changed on their way and shouldn't have been. Anything but 0 is a bug."})
	m.sectionsRefused = f.NewCounter(prometheus.CounterOpts{Name: name("media_sections_refused_total"),
		Help: "Sections of video, fax and the like that were refused for want of ports, or as one too many."})
	for _, reason := range []string{"not_a_peer", "oversize", "malformed", "version", "max_forwards", "draining", "socket_error",
		"framing", "slow", "fault", "no_transaction", "tls_handshake", "connections", "too_many_calls", "call_rate", "subscriptions"} {
		m.rejected.WithLabelValues(reason) // there from the start, at 0
	}
	return m
}

// watch makes the gauges of what must come back to 0 when no call is there.
func (m *metrics) watch(reg prometheus.Registerer, g *Gate) {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "consentgate_dialogs",
		Help: "SIP dialogs of calls, by the tags that their peers use."}, func() float64 {
		g.mu.Lock()
		defer g.mu.Unlock()
		return float64(len(g.dialogs))
	})
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "consentgate_sip_transactions",
		Help: "SIP transactions: those under way, and those kept for repetitions, up to 32 s."}, func() float64 {
		n := 0
		for _, s := range g.sides {
			for _, t := range s.endpoints {
				n += t.tx.size()
			}
		}
		return float64(n)
	})
	for _, s := range g.sides {
		if s.certs == nil {
			continue
		}
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: "consentgate_tls_certificate_expiry_timestamp_seconds",
			Help:        "When the certificate ends that a side's peers are shown now, in Unix time.",
			ConstLabels: prometheus.Labels{"trunk": s.trunk.Name, "side": s.name()}}, func() float64 {
			cert, _ := s.certs.current()
			return float64(cert.Leaf.NotAfter.Unix())
		})
	}
}

// trunk makes a trunk's series, at 0: a rate can't tell of what makes a series begin.
func (m *metrics) trunk(name string) {
	m.active.WithLabelValues(name)
	m.audioMissing.WithLabelValues(name, "carrier")
	m.audioMissing.WithLabelValues(name, "pbx")
	for _, dir := range []consent.Direction{consent.Inbound, consent.Outbound} {
		for _, o := range outcomes {
			m.calls.WithLabelValues(name, string(dir), o)
		}
	}
	for _, k := range []consent.Kind{consent.Granted, consent.Declined, consent.Silent, consent.WrongKey, consent.HungUp,
		consent.Withdrawn, consent.Bypassed, consent.Failed} {
		m.consent.WithLabelValues(name, string(k))
	}
	for _, side := range []string{"carrier", "pbx"} {
		m.dnsFailures.WithLabelValues(name, side)
		m.failovers.WithLabelValues(name, side)
	}
}
