package scenario

import (
	"errors"
	"net/netip"
	"time"
)

// Settings are what a scenario's gate differs in.
type Settings struct {
	Peers  map[string]netip.AddrPort // of "carrier" and "pbx"
	Policy []string                  // lines of the policy that asks
	Config []string                  // more top-level lines of the configuration
	Prompt time.Duration             // length of the prompt, a tone of PromptHz
	Ports  int                       // for media; 0: plenty
	Codecs string                    // "playable" or "any"; "": the default
	Quota  string                    // of the trunk; "": none
	Disk   bool                      // the data directory is on a small disk of its own
}

// PromptHz is the tone that the gate must play for a prompt.
const PromptHz = 1000

// Gate is what a scenario is played against. The player calls it from one
// goroutine at a time.
type Gate interface {
	// Addr is where "carrier" or "pbx" reach it, by SIP over UDP.
	Addr(side string) netip.AddrPort
	// Metric sums the samples whose name and labels begin so, without the
	// metrics' prefix.
	Metric(series string) float64
	// Disk makes the small disk full or free again, has it hang (whoever writes
	// waits) or answer again, or die, until the gate is started anew.
	Disk(state string) error
	// Finish stops the gate, if it runs, and says what it left behind.
	Finish() (*Evidence, error)
}

// Start starts a gate. Where the machine can't do what the settings want, the
// error wraps ErrNotTested.
type Start func(Settings) (Gate, error)

// ErrNotTested says that a scenario couldn't be played on this machine.
var ErrNotTested = errors.New("not tested here")

// Evidence is what a gate left behind.
type Evidence struct {
	Records    []string    // kinds of the consent records, in order
	Ways       []string    // how the answers in them came: rfc4733, info, inband
	Seals      []string    // reasons for which recordings ended, in order
	Recordings []Recording // those that are left
	Log        string      // what the program said
	DataDir    string      // to look for what must not lie there in the clear; "": nowhere
}

// Recording is one that can be listened to, at 8 kHz.
type Recording struct{ Left, Right []int16 }
