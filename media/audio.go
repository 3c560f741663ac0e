package media

import (
	"time"

	"github.com/zaf/g711"

	"consentgate/consent"
)

// sampleRate of prompts and of the codecs they are played in, Hz.
const sampleRate = 8000

// Audio is a prompt: 8 kHz mono. It isn't changed once made.
type Audio struct {
	ID       string
	Language string
	Text     string       // what it says, where known
	SHA256   consent.Hash // of PCM as 16-bit little-endian
	PCM      []int16
}

// Duration is the time it takes to play.
func (a *Audio) Duration() time.Duration {
	return time.Duration(len(a.PCM)) * time.Second / sampleRate
}

// Codec is one that a leg's peer takes, by its payload type (RFC 3551).
type Codec struct {
	Name        string // upper case
	PayloadType uint8
	ClockRate   int // Hz
}

// encoder returns the function that makes one payload byte of a sample, or nil
// for a codec that prompts can't be played in.
func (c Codec) encoder() func(int16) uint8 {
	if c.ClockRate != sampleRate {
		return nil
	}
	switch c.Name {
	case "PCMU":
		return g711.EncodeUlawFrame
	case "PCMA":
		return g711.EncodeAlawFrame
	}
	return nil
}
