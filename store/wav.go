package store

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"time"

	"consentgate/consent"
	"consentgate/media/codec"
)

// narrow is the least rate of what is rendered, Hz.
const narrow = 8000

// mostSamples fit into one WAV file: about 37 hours, or half of that at 16 kHz.
const mostSamples = (math.MaxUint32 - 128) / 4

var errTooLong = errors.New("the recording is too long for one WAV file")

// ErrNotG711 means that a recording can't be given out as G.711 as it came.
var ErrNotG711 = errors.New("not all of it came in one of G.711's laws; take it as PCM")

// WAVOptions say how a recording is rendered.
type WAVOptions struct {
	Only *consent.Party // the one party that is heard, the other's side is silence; nil: both
	G711 bool           // the bytes of PCMU or PCMA as they came, instead of 16-bit PCM; else ErrNotG711
}

// WAV renders a recording as stereo, 16 bit: left the remote party, right the
// local one; at 16 kHz if either spoke in a codec that has more than a
// telephone's band, else at 8 kHz. Its length is that of the recording by the
// clock; what is missing is silence. A damaged recording is rendered up to the
// damage, which Reading tells.
//
// A WAV file begins with its length, so one that isn't sealed is read twice;
// memory is half a minute of audio.
//
// ErrRestricted: it may be rendered by a Permit only (WAVBy).
func (s *Store) WAV(ctx context.Context, id string, w io.Writer) (Reading, error) {
	return s.WAVOf(ctx, id, w, WAVOptions{})
}

// WAVOf is WAV with options.
func (s *Store) WAVOf(ctx context.Context, id string, w io.Writer, o WAVOptions) (Reading, error) {
	if err := s.mayUse(id); err != nil {
		return Reading{}, err
	}
	return s.render(ctx, id, w, o)
}

// render is WAVOf of what may be used.
func (s *Store) render(ctx context.Context, id string, w io.Writer, o WAVOptions) (_ Reading, err error) {
	sound, err := s.openWAV(ctx, id, o)
	if err != nil {
		return Reading{}, err
	}
	defer func() { err = errors.Join(err, sound.Close()) }()
	if _, err := io.Copy(w, sound); err != nil {
		return sound.reel.out, err
	}
	reading := sound.reel.out
	reading.Unheard = sound.plan.unheard(o.Only)
	return reading, nil
}

// scout finds what a recording needs to be rendered.
type scout struct {
	stage  stage
	rate   int64 // Hz
	spoken [2][]coding
}

func (s *scout) take(c content) error {
	if c.kind == recFormat {
		s.stage.learn(c)
	}
	if c.kind != recRTP {
		return nil
	}
	f := s.stage.form(c)
	if !slices.Contains(s.spoken[c.party], f.coding) {
		s.spoken[c.party] = append(s.spoken[c.party], f.coding)
	}
	if f.codec != nil {
		s.rate = max(s.rate, int64(f.codec.Rate))
	}
	return nil
}

// plan is how a recording is rendered.
type plan struct {
	spoken [2][]coding
	only   *consent.Party
	length time.Duration
	rate   int64
	law    *codec.Codec // nil: 16-bit PCM
}

func newPlan(spoken [2][]coding, length time.Duration, o WAVOptions) (plan, error) {
	p := plan{spoken: spoken, only: o.Only, length: length, rate: narrow}
	mixed := false
	for party := range spoken {
		if !p.hears(consent.Party(party)) {
			continue
		}
		for _, said := range spoken[party] {
			c := codec.Lookup(said.Encoding, said.Rate)
			if c == nil {
				continue
			}
			p.rate = max(p.rate, int64(c.Rate))
			mixed = mixed || p.law != nil && p.law != c || c.Name != "PCMU" && c.Name != "PCMA"
			p.law = c
		}
	}
	if !o.G711 {
		p.law = nil
	} else if mixed || p.law == nil {
		return p, ErrNotG711
	}
	if p.samples() > mostSamples {
		return p, errTooLong
	}
	return p, nil
}

func (p plan) hears(party consent.Party) bool { return p.only == nil || *p.only == party }

// comfortNoise stands for silence (RFC 3389), which it is rendered as.
const comfortNoise = "CN"

// unheard are the encodings that aren't rendered.
func (p plan) unheard(only *consent.Party) (out []string) {
	for party := range p.spoken {
		for _, said := range p.spoken[party] {
			if p.hears(consent.Party(party)) && codec.Lookup(said.Encoding, said.Rate) == nil && said.Encoding != comfortNoise &&
				!slices.Contains(out, said.Encoding) {
				out = append(out, said.Encoding)
			}
		}
	}
	return out
}

// samples are how many last so long; in a week of ns they would overflow.
func (p plan) samples() int64 { return p.length.Microseconds() * p.rate / 1e6 }

// width is how many bytes both sides' samples of one instant have.
func (p plan) width() int64 {
	if p.law != nil {
		return 2
	}
	return 4
}

// Formats of WAV files (RFC 2361).
const (
	wavPCM  = 1
	wavALaw = 6
	wavULaw = 7
)

func (p plan) head() []byte {
	data, width, format := uint32(p.samples()*p.width()), uint16(p.width()), uint16(wavPCM)
	extra := []byte(nil)
	if p.law != nil {
		format = wavULaw
		if p.law.Name == "PCMA" {
			format = wavALaw
		}
		extra = append([]byte{0, 0}, "fact\x04\x00\x00\x00"...) // no further format; how many samples
		extra = binary.LittleEndian.AppendUint32(extra, uint32(p.samples()))
	}
	head := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00")
	if extra != nil {
		head[16] = 18
	}
	head = binary.LittleEndian.AppendUint16(head, format)
	head = append(head, 2, 0)
	head = binary.LittleEndian.AppendUint32(head, uint32(p.rate))
	head = binary.LittleEndian.AppendUint32(head, uint32(p.rate*p.width()))
	head = binary.LittleEndian.AppendUint16(head, width)
	head = binary.LittleEndian.AppendUint16(head, width*4) // bits of one side's sample
	head = append(append(head, extra...), "data"...)
	head = binary.LittleEndian.AppendUint32(head, data)
	binary.LittleEndian.PutUint32(head[4:], uint32(len(head)-8)+data)
	return head
}

// renderer makes a WAV file's samples of records in the order of arrival.
type renderer struct {
	plan
	out    buffer
	length int64 // in samples
	done   int64 // samples written, or left out
	until  int64 // samples that can be written: nothing is placed before
	stage  stage
	tracks [2]track
}

func newRenderer(p plan) *renderer {
	t := track{rate: p.rate, raw: p.law != nil}
	if p.law != nil {
		t.silence = int16(p.law.NewEncoder().Encode(nil, []int16{0})[0])
	}
	return &renderer{plan: p, length: p.samples(), tracks: [2]track{t, t}}
}

// before finds what can be written before a record is taken: what is older than
// any packet from there on may be placed.
func (r *renderer) before(c content) {
	if c.kind == recRTP {
		at := ticksOf(c.at)
		r.stage.due(at, r.place)
		r.reach(r.sample(at-settledBy), r.rate)
	}
}

// take takes a record.
func (r *renderer) take(c content) { r.stage.take(c, r.place) }

// end lets all be written.
func (r *renderer) end() {
	r.stage.end(r.place)
	r.reach(r.length, 1)
}

// reach has samples written up to one, if they are at least so many.
func (r *renderer) reach(to, least int64) {
	if to = min(to, r.length); to-r.done >= least {
		r.until = to
	}
}

// sample is the one at a tick.
func (r *renderer) sample(at int64) int64 {
	if r.rate == ticks {
		return at
	}
	return at >> 1
}

func (r *renderer) place(p consent.Party, a arrived) {
	if a.codec != nil && r.hears(p) {
		r.tracks[p].put(a, r.sample(a.at)-r.done)
	}
}

// write writes some seconds of both tracks; more is false where all is written
// that can be.
func (r *renderer) write() (more bool) {
	n := min(r.until-r.done, 10*r.rate)
	if n <= 0 {
		return false
	}
	for i := range n {
		left, right := r.tracks[0].at(i), r.tracks[1].at(i)
		if r.law != nil {
			r.out.b = append(r.out.b, byte(left), byte(right))
		} else {
			r.out.b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(r.out.b, uint16(left)), uint16(right))
		}
	}
	for p := range r.tracks {
		r.tracks[p].drop(n)
	}
	r.done += n
	return true
}

// track is one party's audio that isn't written yet.
type track struct {
	rate    int64 // Hz
	raw     bool  // payloads are samples of a byte each
	silence int16
	samples []int16

	codec   *codec.Codec // of the stream; nil: nothing came yet
	ssrc    uint32
	decoder codec.Decoder
	doubler codec.Doubler

	payload, audio []int16 // of the packet in hand, as decoded and at the track's rate
}

// put puts a packet's audio at a sample of those not yet written. What would
// stand before them is left out.
func (t *track) put(a arrived, at int64) {
	if t.codec != a.codec || t.ssrc != a.ssrc {
		t.codec, t.ssrc, t.decoder, t.doubler = a.codec, a.ssrc, a.codec.NewDecoder(), codec.Doubler{}
	}
	if at < -int64(runUp/time.Second)*t.rate { // long before what is wanted: not even the decoder needs it
		return
	}
	audio := t.decode(a.payload)
	for need := at + int64(len(audio)); need > int64(len(t.samples)); {
		t.samples = append(t.samples, t.silence)
	}
	for i, s := range audio {
		if at+int64(i) >= 0 {
			t.samples[at+int64(i)] = s
		}
	}
}

// decode is a packet's audio at the track's rate.
func (t *track) decode(payload []byte) []int16 {
	if t.raw {
		t.payload = t.payload[:0]
		for _, b := range payload {
			t.payload = append(t.payload, int16(b))
		}
		return t.payload
	}
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
	return t.silence
}

// drop forgets what was written.
func (t *track) drop(n int64) {
	n = min(n, int64(len(t.samples)))
	t.samples = t.samples[:copy(t.samples, t.samples[n:])]
}
