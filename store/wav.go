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
	"github.com/zaf/g711"
)

// wavRate is the rate of what is rendered, Hz.
const wavRate = 8000

var errTooLong = errors.New("the recording is too long for one WAV file")

// WAV renders a recording as stereo, 16 bit, 8 kHz: left the remote party, right
// the local one. Its length is that of the recording by the clock; what is
// missing is silence. A damaged recording is rendered up to the damage, which
// Reading tells.
//
// The file is read twice, for a WAV file begins with its length; memory is a few
// seconds of audio.
func (s *Store) WAV(ctx context.Context, id string, w io.Writer) (Reading, error) {
	first, err := s.read(ctx, id, func(content) error { return nil })
	if err != nil {
		return first, err
	}
	out := newRenderer(w, first.Length)
	if err := out.head(); err != nil {
		return first, err
	}
	reading, err := s.read(ctx, id, out.take)
	if err != nil {
		return reading, err
	}
	reading.Unheard = out.unheard
	return reading, out.end()
}

// renderer makes a WAV file of records in the order of arrival.
type renderer struct {
	w       *bufio.Writer
	length  int64 // in samples
	done    int64 // samples written
	tracks  [2]track
	unheard []string
}

func newRenderer(w io.Writer, length time.Duration) *renderer {
	return &renderer{w: bufio.NewWriter(w), length: int64(length) * wavRate / int64(time.Second)}
}

func (r *renderer) head() error {
	if r.length > (math.MaxUint32-64)/4 { // about 37 hours
		return errTooLong
	}
	data := uint32(r.length * 4)
	head := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00")
	binary.LittleEndian.PutUint32(head[4:], 36+data)
	head = binary.LittleEndian.AppendUint32(head, wavRate)
	head = binary.LittleEndian.AppendUint32(head, wavRate*4)
	head = append(head, 4, 0, 16, 0, 'd', 'a', 't', 'a')
	_, err := r.w.Write(binary.LittleEndian.AppendUint32(head, data))
	return err
}

// take places a packet, or learns a format. What is older than any packet still
// to come may be placed is written out.
func (r *renderer) take(c content) error {
	t := &r.tracks[c.party]
	switch c.kind {
	case recFormat:
		d := decoderOf(c.text, c.clockRate)
		t.decode[c.pt&0x7f] = d
		if d == nil && !slices.Contains(r.unheard, c.text) {
			r.unheard = append(r.unheard, c.text)
		}
	case recRTP:
		arrival := int64(c.at * wavRate / time.Second)
		t.packet(c.data, arrival, r.done)
		if to := min(arrival-2*slack, r.length); to-r.done >= wavRate { // a second at a time
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

func decoderOf(encoding string, rate int) func(byte) int16 {
	if rate != wavRate {
		return nil
	}
	switch encoding {
	case "PCMU":
		return g711.DecodeUlawFrame
	case "PCMA":
		return g711.DecodeAlawFrame
	}
	return nil
}

// track is one party's audio. Packets are placed by their RTP time, which the
// sender's clock made even; the first of a stream, or one whose RTP time
// disagrees with its arrival by more than the slack, is placed by its arrival.
type track struct {
	decode  [128]func(byte) int16
	samples []int16 // not yet written
	ssrc    uint32
	base    uint32 // RTP time of offset
	offset  int64  // in samples since the recording's start
	synced  bool
}

// slack is how far RTP time and arrival may part: more than any jitter buffer.
const slack = wavRate / 4

// packet places a packet that arrived at a sample; written is the first sample
// that can still be changed.
func (t *track) packet(data []byte, arrival, written int64) {
	var p rtp.Packet
	if p.Unmarshal(data) != nil {
		return
	}
	decode := t.decode[p.PayloadType&0x7f]
	if decode == nil {
		return
	}
	at := t.offset + int64(int32(p.Timestamp-t.base))
	if !t.synced || p.SSRC != t.ssrc || at < arrival-slack || at > arrival+slack {
		t.synced, t.ssrc, t.base, t.offset = true, p.SSRC, p.Timestamp, arrival
		at = arrival
	}
	at -= written
	if need := at + int64(len(p.Payload)); need > int64(len(t.samples)) {
		t.samples = append(t.samples, make([]int16, need-int64(len(t.samples)))...)
	}
	for i, b := range p.Payload {
		if at+int64(i) >= 0 {
			t.samples[at+int64(i)] = decode(b)
		}
	}
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
