package proxy

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/consent"
	"consentgate/media"
	"consentgate/proxy/locate"
)

// Config is what a Gate needs. All of it is set before New and not changed
// afterwards.
type Config struct {
	Node       string
	Controller consent.Controller
	Trunks     []Trunk
	Policies   consent.Policies
	// Playable narrows the offers of calls that are asked to codecs that a
	// prompt can be played in. Other calls' offers are left alone.
	Playable bool

	Media    *media.Engine
	Ledger   consent.Ledger // nil: nothing is recorded
	Recorder Recorder       // nil: nothing is recorded
	Prompts  Prompts
	Bindings Bindings      // nil: registrations are forgotten at a restart
	DNS      locate.Lookup // tells where peers are that are named by a domain
	Trace    Trace         // nil: nobody looks at messages

	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Trunk is a PBX and the carrier that it has a trunk to.
type Trunk struct {
	Name        string
	PBX         Side
	Carrier     Side
	OptionsPing time.Duration // between OPTIONS to each peer; 0: none are sent
	// FailOver is how long a peer may say nothing to an INVITE before the next
	// is tried; 0 is 3 s.
	FailOver time.Duration
	// MaxCalls at a time, and MaxCallRate of new ones a second, are what is
	// taken; more are refused with 503. 0 is no limit. Requests within a dialog
	// and calls of bypass policies are always taken.
	MaxCalls    int
	MaxCallRate float64
	// MaxDuration is how long a call may last from its answer; 0: for ever.
	MaxDuration time.Duration
}

func (t *Trunk) patience() time.Duration {
	if t.FailOver <= 0 {
		return 3 * time.Second
	}
	return t.FailOver
}

// Side is how the gate talks to one of the two.
type Side struct {
	Listen     []Listen       // requests leave from the first of their transport and family
	TLS        *TLS           // needed to listen with TLS
	Peers      []locate.Peer  // where calls to this side go, in order
	AcceptFrom []netip.Prefix // who may send to us; none: the peers' addresses, as DNS has them now and had them a while ago
	Advertise  string         // host[:port] for Via and Contact; "": the listening address
	SRTP       SRTP           // of media towards this side
	NAT        bool           // its peers are behind a NAT: they are where their messages and media come from
	Media      netip.Addr     // in SDP towards this side; invalid: the first listening address
}

// Listen is where a side is listened to.
type Listen struct {
	Transport string // udp, tcp or tls
	Addr      netip.AddrPort
}

// Recorder makes recordings. Create and Erase are called off the call's
// goroutine and may wait for a disk.
type Recorder interface {
	// Ready says why nothing of that trunk could be recorded now, or nil. It
	// answers at once: calls wait for it.
	Ready(trunk string) error
	// Create readies a recorder for a grant. From then on the recorder
	// accounts for the grant's end in the log.
	Create(ctx context.Context, g consent.Grant) (media.Sink, error)
	// Erase removes what the grant of that record recorded, now or by itself when it
	// can be: an error means that it may stay.
	Erase(ctx context.Context, grant consent.Hash, reason string) error
}

// Prompts holds the audio that parties hear. Its methods don't block.
type Prompts interface {
	// Consent is the prompt of a policy; nil if there is none to play, and then
	// nobody is asked and nothing recorded.
	Consent(policy *consent.Policy) *media.Audio
	// Notice asks the party that waits to hold the line; nil plays silence.
	Notice(language string) *media.Audio
	// Ringing is what a caller hears while the called party's phone rings, where
	// the gate has answered the caller itself; it is repeated.
	Ringing() *media.Audio
	// Stopped tells a party that its withdrawal took effect; nil plays nothing.
	Stopped(language string) *media.Audio
}
