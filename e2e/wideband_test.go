package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store"
)

// asHeard is a tone at 16 kHz to ears that are made for 8 kHz, as those of these
// tests are: an octave lower.
func asHeard(hz float64) float64 { return hz / 2 }

// speakWide gives a phone a tone at 16 kHz to speak, in place of its file at 8.
func (b *baresip) speakWide(hz float64) {
	b.t.Helper()
	const rate = 16000
	out := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	out = binary.LittleEndian.AppendUint32(out, rate)
	out = binary.LittleEndian.AppendUint32(out, 2*rate)
	out = append(out, 2, 0, 16, 0, 'd', 'a', 't', 'a')
	out = binary.LittleEndian.AppendUint32(out, 20*2*rate)
	for i := range 20 * rate {
		out = binary.LittleEndian.AppendUint16(out, uint16(int16(8000*math.Sin(2*math.Pi*hz*float64(i)/rate))))
	}
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	if err := os.WriteFile(filepath.Join(b.dir, "say.wav"), out, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// TestBaresipInWidebandCodecs: telephones that have nothing but G.722, or L16 at
// 16 kHz, hear the prompt and each other, and their recording has what they said.
// 5 kHz is above what a telephone's band holds.
func TestBaresipInWidebandCodecs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ codec, when string }{"G722": {"G722/16000/1", "answer"}, "L16": {"L16/16000/1", "answer"},
		"G722, ring": {"G722/16000/1", "ring"}, "L16, ring": {"L16/16000/1", "ring"}} {
		t.Run(name, func(t *testing.T) {
			needs(t, "baresip")
			carrier, pbx := freePort(t), freePort(t)
			g := startGate(t, setup{carrierPeer: carrier, pbxPeer: pbx, policy: []string{"purpose: training", "timeout: 12s", "attempts: 1", "when: " + c.when}, promptFile: true})
			caller := startBaresip(t, "+442079460123", carrier, g.Carrier, 0, ";audio_codecs="+c.codec)
			called := startBaresip(t, "agent", pbx, g.PBX, 0, ";answermode=auto;audio_codecs="+c.codec)
			caller.speakWide(5000)
			called.speakWide(880)
			caller.dial("sip:agent@" + g.Carrier)
			hears(caller, asHeard(promptHz))
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			g.untilCtx(ctx, "the prompt is over", func() bool { return !hasTone(lately(caller), asHeard(promptHz)) })
			caller.press("1")
			hears(caller, asHeard(880))
			hears(called, asHeard(5000))
			g.until("it is being recorded", func() bool { return g.metric("recordings_active") == 1 })
			more := len(caller.heard()) + 2*16000
			caller.until("two seconds more are heard", func() bool { return len(caller.heard()) >= more })
			caller.hangUp()
			g.until("the call is over", func() bool { return g.metric("calls_active") == 0 })
			g.stop()
			if ev := g.evidence(); ev.kinds() != "granted" || ev.count(store.TypeSealed) != 1 {
				t.Fatalf("%q, %d sealed", ev.kinds(), ev.count(store.TypeSealed))
			}
			heardWide(t, g)
		})
	}
}

// heardWide reads the one recording.
func heardWide(t *testing.T, g *gate) {
	t.Helper()
	s := g.open("")
	defer s.Close()
	found, _, err := s.Search(store.Query{})
	if err != nil || len(found) != 1 {
		t.Fatalf("%d found, %v", len(found), err)
	}
	var out bytes.Buffer
	reading, err := s.WAV(t.Context(), found[0].ID, &out)
	if err != nil || len(reading.Unheard) != 0 {
		t.Fatalf("%v, not rendered: %v", err, reading.Unheard)
	}
	wav := out.Bytes()
	if rate := binary.LittleEndian.Uint32(wav[24:]); rate != 16000 {
		t.Errorf("the WAV is at %d Hz", rate)
	}
	for party, hz := range map[consent.Party]float64{consent.Remote: 5000, consent.Local: 880} {
		if own, other := inHowMuch(wav, hz, party), inHowMuch(wav, hz, party.Other()); own < 0.5 || other > 0 {
			t.Errorf("the %s party's tone is heard in %.2f of its track, and in %.2f of the other", party, own, other)
		}
	}
}

// inHowMuch is in how much of a track a tone is nearly all that is heard: by tenths of
// a second, for a telephone on a busy machine doesn't keep step.
func inHowMuch(wav []byte, hz float64, p consent.Party) float64 {
	const tenth = 4 * 1600
	heard, all := 0.0, 0.0
	for at := 44; at+tenth <= len(wav); at += tenth {
		if all++; shares(wav[at-44:at+tenth], asHeard(hz))[p] > 0.8 {
			heard++
		}
	}
	return heard / all
}
