package codec

import (
	"encoding/binary"

	"github.com/zaf/g711"
)

// Codec is one way to write mono audio into RTP payloads. All of them have a
// constant rate: a payload's length is its duration.
type Codec struct {
	Name  string // its encoding name in SDP, upper case
	Clock int    // of RTP timestamps, Hz
	Rate  int    // of the audio, Hz
	Width int    // bytes of payload in one tick of the clock

	encoder func() Encoder
	decoder func() Decoder
}

// Encoder appends the payload of audio. It keeps what its codec must remember
// between payloads, so it is for one stream. G.722's takes an even number of
// samples.
type Encoder interface {
	Encode(payload []byte, audio []int16) []byte
}

// Decoder appends the audio of a payload; it is for one stream, as an Encoder.
// Half a sample at a payload's end is left out.
type Decoder interface {
	Decode(audio []int16, payload []byte) []int16
}

// NewEncoder starts a stream.
func (c *Codec) NewEncoder() Encoder { return c.encoder() }

// NewDecoder starts a stream.
func (c *Codec) NewDecoder() Decoder { return c.decoder() }

// codecs are all that there are. G.722's clock runs at half the rate of its audio
// by an old mistake that RFC 3551 section 4.5.2 keeps.
var codecs = []*Codec{
	{"PCMU", 8000, 8000, 1, func() Encoder { return companded(g711.EncodeUlawFrame) }, func() Decoder { return fromULaw }},
	{"PCMA", 8000, 8000, 1, func() Encoder { return companded(g711.EncodeAlawFrame) }, func() Decoder { return fromALaw }},
	{"G722", 8000, 16000, 1, func() Encoder { return newG722Encoder() }, func() Decoder { return newG722Decoder() }},
	{"L16", 8000, 8000, 2, func() Encoder { return linear{} }, func() Decoder { return linear{} }},
	{"L16", 16000, 16000, 2, func() Encoder { return linear{} }, func() Decoder { return linear{} }},
}

// Lookup finds a mono codec by its name in upper case and the clock rate that SDP
// gives; nil if there is none.
func Lookup(name string, clock int) *Codec {
	for _, c := range codecs {
		if c.Name == name && c.Clock == clock {
			return c
		}
	}
	return nil
}

// companded and expanded are G.711.
type (
	companded func(int16) uint8
	expanded  [256]int16
)

var fromULaw, fromALaw = expand(g711.DecodeUlawFrame), expand(g711.DecodeAlawFrame)

// expand makes a table of it: each packet that may hold a key's tones is decoded.
func expand(one func(uint8) int16) *expanded {
	var all expanded
	for b := range all {
		all[b] = one(uint8(b))
	}
	return &all
}

func (one companded) Encode(payload []byte, audio []int16) []byte {
	for _, s := range audio {
		payload = append(payload, one(s))
	}
	return payload
}

func (all *expanded) Decode(audio []int16, payload []byte) []int16 {
	for _, b := range payload {
		audio = append(audio, all[b])
	}
	return audio
}

// linear is L16: samples in network byte order (RFC 3551 section 4.5.11).
type linear struct{}

func (linear) Encode(payload []byte, audio []int16) []byte {
	for _, s := range audio {
		payload = binary.BigEndian.AppendUint16(payload, uint16(s))
	}
	return payload
}

func (linear) Decode(audio []int16, payload []byte) []int16 {
	for ; len(payload) >= 2; payload = payload[2:] {
		audio = append(audio, int16(binary.BigEndian.Uint16(payload)))
	}
	return audio
}
