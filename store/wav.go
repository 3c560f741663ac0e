package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/pion/rtp"
	"github.com/zaf/g711"

	"consentgate/consent"
)

// wavRate is the rate of what is rendered, Hz.
const wavRate = 8000

// Reading is what a recording's file told while it was read.
type Reading struct {
	Record  consent.Record // the consent it was made under
	Started time.Time
	Length  time.Duration
	Gaps    []Gap
	Reason  string   // why it ended
	Final   bool     // it was ended in order
	Unheard []string // encodings that can't be rendered
	Frames  uint64
	Hash    [32]byte
}

// Gap is a span in which a party wasn't recorded, and why.
type Gap struct {
	Party    consent.Party
	Cause    string
	From, To time.Duration // since Started
}

// read goes through a recording's file; f gets every packet.
func (s *Store) read(ctx context.Context, id string, f func(content)) (out Reading, err error) {
	r, ok, err := s.row(id)
	if err != nil {
		return out, err
	}
	if !ok {
		return out, ErrNotFound
	}
	k, err := s.keys.recordingKey(id, r)
	if err != nil {
		return out, err
	}
	file, err := os.Open(sealedPath(s.livePath(id)))
	if errors.Is(err, os.ErrNotExist) {
		file, err = os.Open(s.livePath(id))
	}
	if err != nil {
		return out, fmt.Errorf("opening a recording: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	fr, err := openFrames(file, k)
	if err != nil {
		return out, err
	}
	for ctx.Err() == nil {
		plain, err := fr.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return out, fmt.Errorf("recording %s, frame %d: %w", id, fr.count, err)
		}
		if err := out.take(plain, f); err != nil {
			return out, fmt.Errorf("recording %s, frame %d: %w", id, fr.count-1, err)
		}
	}
	out.Final, out.Frames, out.Hash = fr.final, fr.count, fr.hash
	return out, ctx.Err()
}

// take reads a frame's content.
func (out *Reading) take(plain []byte, f func(content)) error {
	d := decoder{b: plain}
	for c, ok := d.next(); ok; c, ok = d.next() {
		out.Length = max(out.Length, c.at, c.to)
		switch c.kind {
		case recMeta:
			var m meta
			if err := json.Unmarshal(c.data, &m); err != nil {
				return fmt.Errorf("its first record: %w", err)
			}
			out.Record, out.Started = m.Record, m.Started
		case recGap:
			out.Gaps = append(out.Gaps, Gap{c.party, c.text, c.at, c.to})
		case recEnd:
			out.Reason = c.text
		default:
			f(c)
		}
	}
	return d.err()
}

// Check reads a recording to its end: that every frame opens, in order, and that
// it is as long as the log says, is for the caller to compare with Reading.
func (s *Store) Check(ctx context.Context, id string) (Reading, error) {
	return s.read(ctx, id, func(content) {})
}

// WAV renders a recording as stereo, 16 bit, 8 kHz: left the remote party, right
// the local one. Its length is that of the call's recorded part by the clock;
// what is missing is silence.
func (s *Store) WAV(ctx context.Context, id string, w io.Writer) (Reading, error) {
	var tracks [2]track
	unheard := map[string]bool{}
	reading, err := s.read(ctx, id, func(c content) {
		t := &tracks[c.party]
		if c.kind == recFormat {
			t.decode[c.pt&0x7f] = decoderOf(c.text, c.clockRate)
			if t.decode[c.pt&0x7f] == nil {
				unheard[c.text] = true
			}
			return
		}
		t.packet(c)
	})
	if err != nil {
		return reading, err
	}
	for name := range unheard {
		reading.Unheard = append(reading.Unheard, name)
	}
	return reading, writeWAV(w, reading.Length, &tracks)
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
// sender's clock made even; a talkspurt's first packet, or one whose RTP time
// disagrees with the clock by more than the slack, is placed by its arrival.
type track struct {
	decode  [128]func(byte) int16
	samples []int16
	ssrc    uint32
	base    uint32 // RTP time of offset
	offset  int64  // in samples since the recording's start
	synced  bool
}

// slack is how far RTP time and arrival may part: more than any jitter buffer.
const slack = wavRate / 4

func (t *track) packet(c content) {
	var p rtp.Packet
	if p.Unmarshal(c.data) != nil {
		return
	}
	decode := t.decode[p.PayloadType&0x7f]
	if decode == nil {
		return
	}
	arrival := int64(c.at * wavRate / time.Second)
	at := t.offset + int64(int32(p.Timestamp-t.base))
	if !t.synced || p.SSRC != t.ssrc || at < arrival-slack || at > arrival+slack {
		t.synced, t.ssrc, t.base, t.offset = true, p.SSRC, p.Timestamp, arrival
		at = arrival
	}
	if need := at + int64(len(p.Payload)); need > int64(len(t.samples)) {
		t.samples = append(t.samples, make([]int16, need-int64(len(t.samples)))...)
	}
	for i, b := range p.Payload {
		if at+int64(i) >= 0 {
			t.samples[at+int64(i)] = decode(b)
		}
	}
}

func writeWAV(w io.Writer, length time.Duration, tracks *[2]track) error {
	n := int(length * wavRate / time.Second)
	out := bufio.NewWriter(w)
	data := uint32(n * 4)
	head := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00")
	binary.LittleEndian.PutUint32(head[4:], 36+data)
	head = binary.LittleEndian.AppendUint32(head, wavRate)
	head = binary.LittleEndian.AppendUint32(head, wavRate*4)
	head = append(head, 4, 0, 16, 0, 'd', 'a', 't', 'a')
	head = binary.LittleEndian.AppendUint32(head, data)
	if _, err := out.Write(head); err != nil {
		return err
	}
	var frame [4]byte
	for i := range n {
		for p, t := range tracks {
			var v int16
			if i < len(t.samples) {
				v = t.samples[i]
			}
			binary.LittleEndian.PutUint16(frame[2*p:], uint16(v))
		}
		if _, err := out.Write(frame[:]); err != nil {
			return err
		}
	}
	return out.Flush()
}
