package media

import (
	"time"

	"consentgate/consent"
)

// Sink is a recorder for one grant. One goroutine at a time calls it, so it
// may wait for its disk; the packets of meanwhile are kept up to a bound and
// then dropped, which shows as a gap. After an error only Seal is called.
type Sink interface {
	// Format says what a payload type of a party means, before its first packet
	// and whenever a new description changes it. An unknown encoding is "", 0; one of
	// two channels has "/2" behind its name.
	Format(party consent.Party, pt uint8, encoding string, clockRate int) error
	// WriteRTP keeps an RTP packet as it came. It doesn't retain it.
	WriteRTP(party consent.Party, at time.Time, packet []byte) error
	// Gap says why a span of time holds no packets of a party.
	Gap(party consent.Party, cause string, from, to time.Time) error
	// Seal ends the recording. It is called once, and last.
	Seal(at time.Time, reason string) error
}
