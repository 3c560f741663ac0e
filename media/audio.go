package media

import (
	"strconv"
	"sync"
	"time"

	"consentgate/consent"
	"consentgate/media/codec"
)

// sampleRate of prompts, Hz, and of the codecs' clocks where nothing is said.
const sampleRate = 8000

// Audio is a prompt: 8 kHz mono. It isn't changed nor copied once made.
type Audio struct {
	ID       string
	Language string
	Text     string       // what it says, where known
	SHA256   consent.Hash // of PCM as 16-bit little-endian
	PCM      []int16

	encodings sync.Map // by *codec.Codec: func() []byte, which encodes when it is first called
}

// quiet is what plays when there is nothing to say.
var quiet = new(Audio)

// Duration is the time it takes to play.
func (a *Audio) Duration() time.Duration { return samples(len(a.PCM)) }

// tail is the silence that each encoding has behind the audio, in samples: more
// than a packet, and enough for G.722 to come to rest.
const tail = sampleRate

// in is the audio in a codec, and silence behind it. It is encoded once, for all
// calls and whatever their packets' length: a second of prompt is 8 to 32 kB.
func (a *Audio) in(c *codec.Codec) []byte {
	encode, ok := a.encodings.Load(c)
	if !ok {
		encode, _ = a.encodings.LoadOrStore(c, sync.OnceValue(func() []byte { return encoded(a.PCM, c) }))
	}
	return encode.(func() []byte)()
}

func encoded(pcm []int16, c *codec.Codec) []byte {
	all := make([]int16, len(pcm)+tail)
	copy(all, pcm)
	if c.Rate != sampleRate {
		all = new(codec.Doubler).Double(make([]int16, 0, 2*len(all)), all)
	}
	return c.NewEncoder().Encode(make([]byte, 0, len(all)*c.Width*c.Clock/c.Rate), all)
}

// frame is the payload of n samples from a place in the audio on. What is beyond
// its end is silence.
func (a *Audio) frame(c *codec.Codec, from, n int) []byte {
	data := a.in(c)
	size := bytesOf(c, n)
	at := min(bytesOf(c, from), len(data)-size)
	return data[at : at+size]
}

// bytesOf is how long the payload of so many samples of a prompt is.
func bytesOf(c *codec.Codec, n int) int { return n * c.Clock / sampleRate * c.Width }

// Codec is one that a leg's peer takes, by its payload type (RFC 3551).
type Codec struct {
	Name        string // upper case
	PayloadType uint8
	ClockRate   int // Hz
	Channels    int // 0 is 1
}

// encoding is its name in a recording, with its channels if there are several.
func (c Codec) encoding() string {
	if c.Channels > 1 {
		return c.Name + "/" + strconv.Itoa(c.Channels)
	}
	return c.Name
}

// Playable reports whether prompts can be played in it.
func (c Codec) Playable() bool { return c.plays() != nil }

// plays is how prompts are encoded in it; nil if they can't be.
func (c Codec) plays() *codec.Codec {
	if c.Channels > 1 {
		return nil
	}
	return codec.Lookup(c.Name, c.ClockRate)
}
