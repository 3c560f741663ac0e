package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/pion/rtp"

	"consentgate/consent"
	"consentgate/media/codec"
	"consentgate/store"
)

// voice is one party's stream of a tone, in packets of 20 ms.
type voice struct {
	party consent.Party
	codec *codec.Codec
	enc   codec.Encoder
	hz    float64
	pt    uint8
	n     int // packets so far
}

func newVoice(t testing.TB, r *store.Recording, p consent.Party, name string, clock int, pt uint8, hz float64) *voice {
	t.Helper()
	c := codec.Lookup(name, clock)
	must(t, r.Format(p, pt, name, clock))
	return &voice{party: p, codec: c, enc: c.NewEncoder(), hz: hz, pt: pt}
}

// next is the next packet; its RTP time begins close to where it wraps.
func (v *voice) next() []byte {
	pcm := make([]int16, v.codec.Rate/50)
	for i := range pcm {
		pcm[i] = int16(8000 * math.Sin(2*math.Pi*v.hz*float64(v.n*len(pcm)+i)/float64(v.codec.Rate)))
	}
	p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(v.n), PayloadType: v.pt, SSRC: uint32(v.party),
		Timestamp: math.MaxUint32 - 1000 + uint32(v.n*v.codec.Clock/50)}, Payload: v.enc.Encode(nil, pcm)}
	v.n++
	raw, err := p.Marshal()
	if err != nil {
		panic(err)
	}
	return raw
}

// track is one side of a stereo WAV, and its rate.
func track(t testing.TB, wav []byte, p consent.Party) (pcm []int16, rate int) {
	t.Helper()
	if len(wav) < 44 || string(wav[:4]) != "RIFF" || int(binary.LittleEndian.Uint32(wav[40:])) != len(wav)-44 ||
		binary.LittleEndian.Uint32(wav[28:]) != 4*binary.LittleEndian.Uint32(wav[24:]) {
		t.Fatalf("%d bytes aren't a WAV file", len(wav))
	}
	for i := 44 + 2*int(p); i+1 < len(wav); i += 4 {
		pcm = append(pcm, int16(binary.LittleEndian.Uint16(wav[i:])))
	}
	return pcm, int(binary.LittleEndian.Uint32(wav[24:]))
}

// share is how much of the energy is at a frequency.
func share(pcm []int16, hz float64, rate int) float64 {
	var re, im, energy float64
	for i, s := range pcm {
		w := 2 * math.Pi * hz * float64(i) / float64(rate)
		re, im, energy = re+float64(s)*math.Cos(w), im+float64(s)*math.Sin(w), energy+float64(s)*float64(s)
	}
	return 2 * (re*re + im*im) / (energy*float64(len(pcm)) + 1)
}

func render(t testing.TB, s *store.Store, r *store.Recording) ([]byte, store.Reading) {
	t.Helper()
	var wav bytes.Buffer
	reading, err := s.WAV(context.Background(), r.ID(), &wav)
	must(t, err)
	return wav.Bytes(), reading
}

// TestEveryCodecIsRenderedAtTheRateThatOneOfTheSidesNeeds: 16 kHz for both where
// either has them, each side's tone on its side, at its pitch, and the length that
// of the clock.
func TestEveryCodecIsRenderedAtTheRateThatOneOfTheSidesNeeds(t *testing.T) {
	type spoken struct {
		name  string
		clock int
		hz    float64
	}
	s, _ := kit(t)
	for name, c := range map[string]struct {
		remote, local spoken
		rate          int
	}{
		"G.722 and PCMU":       {spoken{"G722", 8000, 5500}, spoken{"PCMU", 8000, 440}, 16000},
		"PCMA and L16 wide":    {spoken{"PCMA", 8000, 880}, spoken{"L16", 16000, 6000}, 16000},
		"G.722 on both sides":  {spoken{"G722", 8000, 880}, spoken{"G722", 8000, 440}, 16000},
		"PCMU and L16, narrow": {spoken{"PCMU", 8000, 880}, spoken{"L16", 8000, 440}, 8000},
	} {
		r, err := s.Create(context.Background(), grant(t, s.Audit(), name))
		must(t, err)
		start := time.Now()
		voices := []*voice{newVoice(t, r, consent.Remote, c.remote.name, c.remote.clock, 96, c.remote.hz),
			newVoice(t, r, consent.Local, c.local.name, c.local.clock, 97, c.local.hz)}
		for i := range 150 {
			for _, v := range voices {
				must(t, r.WriteRTP(v.party, start.Add(time.Duration(i)*20*time.Millisecond), v.next()))
			}
		}
		must(t, r.Seal(start.Add(3*time.Second), "hang-up"))
		wav, reading := render(t, s, r)
		for _, v := range voices {
			pcm, rate := track(t, wav, v.party)
			if rate != c.rate {
				t.Errorf("%s: at %d Hz", name, rate)
			}
			if want := int(reading.Length.Microseconds()) * rate / 1e6; len(pcm) != want || reading.Length < 3*time.Second {
				t.Errorf("%s: %d samples of %s, want %d", name, len(pcm), reading.Length, want)
			}
			if got := share(pcm[rate:2*rate], v.hz, rate); got < 0.97 {
				t.Errorf("%s: %.2f of %s is at %v Hz", name, got, v.party, v.hz)
			}
		}
		if len(reading.Unheard) != 0 {
			t.Errorf("%s: not rendered: %v", name, reading.Unheard)
		}
	}
}

// TestACodecThatChangesInMidCallIsRendered: each part in its own, in its place,
// with what was lost as silence.
func TestACodecThatChangesInMidCallIsRendered(t *testing.T) {
	s, _ := kit(t)
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err)
	start := time.Now()
	parts := []*voice{newVoice(t, r, consent.Remote, "PCMU", 8000, 0, 440), newVoice(t, r, consent.Remote, "L16", 16000, 98, 880),
		newVoice(t, r, consent.Remote, "G722", 8000, 9, 1200)}
	for i := range 150 {
		if raw := parts[i/50].next(); i%50 < 40 {
			must(t, r.WriteRTP(consent.Remote, start.Add(time.Duration(i)*20*time.Millisecond), raw))
		}
	}
	must(t, r.Seal(start.Add(3*time.Second), "hang-up"))
	wav, reading := render(t, s, r)
	pcm, rate := track(t, wav, consent.Remote)
	lead := len(pcm) - 3*rate
	if rate != 16000 || lead < 0 || lead > rate {
		t.Fatalf("%d samples at %d Hz of %s", len(pcm), rate, reading.Length)
	}
	for i, v := range parts {
		part := pcm[lead+i*rate : lead+(i+1)*rate]
		if got := share(part[rate/10:rate*7/10], v.hz, rate); got < 0.97 {
			t.Errorf("%s: %.2f of it is at %v Hz", v.codec.Name, got, v.hz)
		}
		for j, sample := range part[rate*17/20 : rate*19/20] {
			if sample != 0 {
				t.Fatalf("%s: sample %d of what was lost is %d", v.codec.Name, j, sample)
			}
		}
	}
}

// TestStereoIsNotRenderedAsMono, at half the pitch.
func TestStereoIsNotRenderedAsMono(t *testing.T) {
	s, _ := kit(t)
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err)
	start := time.Now()
	v := newVoice(t, r, consent.Remote, "L16", 16000, 98, 440)
	must(t, r.Format(consent.Remote, 98, "L16/2", 16000), r.WriteRTP(consent.Remote, start, v.next()), r.Seal(start.Add(time.Second), "hang-up"))
	wav, reading := render(t, s, r)
	pcm, rate := track(t, wav, consent.Remote)
	for _, sample := range pcm {
		if sample != 0 {
			t.Fatal("something is heard")
		}
	}
	if rate != 8000 || len(reading.Unheard) != 1 || reading.Unheard[0] != "L16/2" {
		t.Errorf("%d Hz, not rendered: %v", rate, reading.Unheard)
	}
}

// TestComfortNoiseIsNoSpeechThatIsMissing: it stands for silence, and that it is.
func TestComfortNoiseIsNoSpeechThatIsMissing(t *testing.T) {
	s, _ := kit(t)
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err)
	start := time.Now()
	v := newVoice(t, r, consent.Remote, "PCMU", 8000, 0, 440)
	must(t, r.WriteRTP(consent.Remote, start, v.next()), r.Format(consent.Remote, 13, "CN", 8000))
	noise := v.next()
	noise[1] = 13
	must(t, r.WriteRTP(consent.Remote, start.Add(20*time.Millisecond), noise[:13]), r.Seal(start.Add(time.Second), "hang-up"))
	if _, reading := render(t, s, r); len(reading.Unheard) != 0 {
		t.Errorf("not rendered: %v", reading.Unheard)
	}
}
