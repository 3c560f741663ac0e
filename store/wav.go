package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"time"

	"github.com/pion/rtp"

	"consentgate/consent"
	"consentgate/media/codec"
)

// narrow is the least rate of what is rendered, Hz.
const narrow = 8000

// mostSamples fit into one WAV file: about 37 hours, or half of that at 16 kHz.
const mostSamples = (math.MaxUint32 - 64) / 4

var errTooLong = errors.New("the recording is too long for one WAV file")

// WAV renders a recording as stereo, 16 bit: left the remote party, right the
// local one; at 16 kHz if either spoke in a codec that has more than a
// telephone's band, else at 8 kHz. Its length is that of the recording by the
// clock; what is missing is silence. A damaged recording is rendered up to the
// damage, which Reading tells.
//
// The file is read twice, for a WAV file begins with its length; memory is a few
// seconds of audio.
//
// ErrRestricted: it may be rendered by a Permit only (WAVBy).
func (s *Store) WAV(ctx context.Context, id string, w io.Writer) (Reading, error) {
	if err := s.mayUse(id); err != nil {
		return Reading{}, err
	}
	return s.render(ctx, id, w, nil)
}

// render is WAV of what may be used; where only isn't nil the other party is left out, and its side
// is silence.
func (s *Store) render(ctx context.Context, id string, w io.Writer, only *consent.Party) (Reading, error) {
	heard := func(take func(content) error) func(content) error {
		return func(c content) error {
			if only != nil && c.party != *only {
				return nil
			}
			return take(c)
		}
	}
	need := scout{rate: narrow}
	first, err := s.read(ctx, id, heard(need.take))
	if err != nil {
		return first, err
	}
	out := newRenderer(w, need.rate, first.Length)
	if err := out.head(); err != nil {
		return first, err
	}
	reading, err := s.read(ctx, id, heard(out.take))
	if err != nil {
		return reading, err
	}
	reading.Unheard = out.unheard
	return reading, out.end()
}

// formats are what payload types mean, by party; nil is what can't be rendered.
type formats [2][128]*codec.Codec

func (f *formats) learn(c content) *codec.Codec {
	found := codec.Lookup(c.text, c.clockRate)
	f[c.party][c.pt&0x7f] = found
	return found
}

// scout finds the rate that a recording needs.
type scout struct {
	formats formats
	rate    int64
}

func (s *scout) take(c content) error {
	switch {
	case c.kind == recFormat:
		s.formats.learn(c)
	case c.kind == recRTP && len(c.data) > 1:
		if spoken := s.formats[c.party][c.data[1]&0x7f]; spoken != nil {
			s.rate = max(s.rate, int64(spoken.Rate))
		}
	}
	return nil
}

// renderer makes a WAV file of records in the order of arrival.
type renderer struct {
	w       *bufio.Writer
	rate    int64 // Hz
	length  int64 // in samples
	done    int64 // samples written
	formats formats
	tracks  [2]track
	unheard []string
}

func newRenderer(w io.Writer, rate int64, length time.Duration) *renderer {
	r := &renderer{w: bufio.NewWriter(w), rate: rate, tracks: [2]track{{rate: rate}, {rate: rate}}}
	r.length = r.samples(length)
	return r
}

// samples are how many last so long; in a week of ns they would overflow.
func (r *renderer) samples(d time.Duration) int64 { return d.Microseconds() * r.rate / 1e6 }

func (r *renderer) head() error {
	if r.length > mostSamples {
		return errTooLong
	}
	data := uint32(r.length * 4)
	head := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00")
	binary.LittleEndian.PutUint32(head[4:], 36+data)
	head = binary.LittleEndian.AppendUint32(head, uint32(r.rate))
	head = binary.LittleEndian.AppendUint32(head, uint32(r.rate*4))
	head = append(head, 4, 0, 16, 0, 'd', 'a', 't', 'a')
	_, err := r.w.Write(binary.LittleEndian.AppendUint32(head, data))
	return err
}

// take places a packet, or learns a format. What is older than any packet still
// to come may be placed is written out.
func (r *renderer) take(c content) error {
	switch c.kind {
	case recFormat:
		if r.formats.learn(c) == nil && !slices.Contains(r.unheard, c.text) {
			r.unheard = append(r.unheard, c.text)
		}
	case recRTP:
		arrival := r.samples(c.at)
		t := &r.tracks[c.party]
		var p rtp.Packet
		if p.Unmarshal(c.data) == nil {
			if spoken := r.formats[c.party][p.PayloadType&0x7f]; spoken != nil {
				t.packet(&p, spoken, arrival, r.done)
			}
		}
		if to := min(arrival-2*t.slack(), r.length); to-r.done >= r.rate { // a second at a time
			return r.write(to)
		}
	}
	return nil
}

func (r *renderer) end() error {
	if err := r.write(r.length); err != nil {
		return err
	}
	return r.w.Flush()
}

// write writes both tracks up to a sample.
func (r *renderer) write(to int64) error {
	n := to - r.done
	if n <= 0 {
		return nil
	}
	var frame [4]byte
	for i := range n {
		for p := range r.tracks {
			binary.LittleEndian.PutUint16(frame[2*p:], uint16(r.tracks[p].at(i)))
		}
		if _, err := r.w.Write(frame[:]); err != nil {
			return err
		}
	}
	for p := range r.tracks {
		r.tracks[p].drop(n)
	}
	r.done = to
	return nil
}

// track is one party's audio. Packets are placed by their RTP time, which the
// sender's clock made even; the first of a stream, or one whose RTP time
// disagrees with its arrival by more than the slack, is placed by its arrival.
type track struct {
	rate    int64   // Hz
	samples []int16 // not yet written

	codec   *codec.Codec // of the stream; nil: nothing came yet
	ssrc    uint32
	decoder codec.Decoder
	doubler codec.Doubler
	base    uint32 // RTP time of offset
	offset  int64  // in samples since the recording's start

	payload, audio []int16 // of the packet in hand, as decoded and at the track's rate
}

// slack is how far RTP time and arrival may part, in samples: more than any
// jitter buffer.
func (t *track) slack() int64 { return t.rate / 4 }

// packet places a packet that arrived at a sample; written is the first sample
// that can still be changed.
func (t *track) packet(p *rtp.Packet, c *codec.Codec, arrival, written int64) {
	at := t.offset
	fresh := t.codec != c || t.ssrc != p.SSRC
	if fresh {
		t.codec, t.ssrc, t.decoder, t.doubler = c, p.SSRC, c.NewDecoder(), codec.Doubler{}
	} else {
		at += int64(int32(p.Timestamp-t.base)) * t.rate / int64(c.Clock)
	}
	if fresh || at < arrival-t.slack() || at > arrival+t.slack() {
		t.base, t.offset = p.Timestamp, arrival
		at = arrival
	}
	at -= written
	audio := t.decode(p.Payload)
	if need := at + int64(len(audio)); need > int64(len(t.samples)) {
		t.samples = append(t.samples, make([]int16, need-int64(len(t.samples)))...)
	}
	for i, s := range audio {
		if at+int64(i) >= 0 {
			t.samples[at+int64(i)] = s
		}
	}
}

// decode is a packet's audio at the track's rate.
func (t *track) decode(payload []byte) []int16 {
	t.payload = t.decoder.Decode(t.payload[:0], payload)
	if int64(t.codec.Rate) == t.rate {
		return t.payload
	}
	t.audio = t.doubler.Double(t.audio[:0], t.payload)
	return t.audio
}

func (t *track) at(i int64) int16 {
	if i < int64(len(t.samples)) {
		return t.samples[i]
	}
	return 0
}

// drop forgets what was written.
func (t *track) drop(n int64) {
	n = min(n, int64(len(t.samples)))
	t.samples = t.samples[:copy(t.samples, t.samples[n:])]
}
