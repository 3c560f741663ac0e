package e2e

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/internal/sipp"
	"consentgate/store"
)

// needs finds a program, or skips; in CI it must be there.
func needs(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing: run 'make peers'", program)
		}
		t.Skipf("NOT TESTED: %s is missing, run 'make peers'", program)
	}
	return path
}

// callers plays sipp against sipp through a gate and returns the evidence.
func callers(t *testing.T, inbound bool, key byte, calls int) (*gate, evidence) {
	t.Helper()
	needs(t, "sipp")
	dir := t.TempDir()
	say, answer := filepath.Join(dir, "say.pcap"), filepath.Join(dir, "answer.pcap")
	p := sipp.NewCapture()
	p.Tone(880, 900*time.Millisecond) // the prompt takes 400 ms
	if key != 0 {
		p.Key(key - '0')
	}
	p.Tone(880, 1500*time.Millisecond)
	p.Write(t, say)
	a := sipp.NewCapture()
	a.Tone(440, 2500*time.Millisecond)
	a.Write(t, answer)
	carrier, pbx := freePort(t), freePort(t)
	g := startGate(t, setup{carrierPeer: carrier, pbxPeer: pbx})
	number, calling, called, to := "100", carrier, pbx, g.Carrier
	callerSays, calledSays := say, answer
	if !inbound { // the remote party answers the prompt: here it is the called one
		number, calling, called, to = "+442079460123", pbx, carrier, g.PBX
		callerSays, calledSays = answer, say
	}
	server := sipp.Start(t, "called", sipp.Called(calledSays), called, "", calls)
	client := sipp.Start(t, "caller", sipp.Caller(number, callerSays, 2800*time.Millisecond), calling, to, calls, "-r", "5")
	client.Wait()
	server.Wait()
	g.stop()
	return g, g.evidence()
}

func TestSippInboundYes(t *testing.T) {
	t.Parallel()
	g, ev := callers(t, true, '1', 5)
	if got := ev.kinds(); got != strings.TrimSpace(strings.Repeat("granted ", 5)) {
		t.Errorf("the log says %q", got)
	}
	for _, r := range ev.records {
		a := r.Answers[0]
		if a.Press.Via != "rfc4733" || a.Press.SSRC != 42 || a.Press.RTPTime == 0 || a.Heard.Heard != 400*time.Millisecond || !a.Heard.Complete {
			t.Errorf("the evidence is %+v", a)
		}
	}
	s := g.open("")
	defer s.Close()
	found, _, err := s.Search(store.Query{Party: "00442079460123", Purpose: "training"})
	if err != nil || len(found) != 5 {
		t.Fatalf("%d found, %v", len(found), err)
	}
	var wav bytes.Buffer
	if _, err := s.WAV(t.Context(), found[0].ID, &wav); err != nil {
		t.Fatal(err)
	}
	remote, local := shares(wav.Bytes(), 880), shares(wav.Bytes(), 440)
	if remote[consent.Remote] < 0.5 || local[consent.Local] < 0.5 || remote[consent.Local] > 0.1 || local[consent.Remote] > 0.1 {
		t.Errorf("left has %.2f of the caller's tone and %.2f of the agent's, right %.2f and %.2f",
			remote[0], local[0], remote[1], local[1])
	}
}

// shares tells for each channel of a stereo WAV how much of its energy is at a
// frequency.
func shares(wav []byte, hz float64) (out [2]float64) {
	for ch := range out {
		var a, b, energy float64
		w := 2 * math.Cos(2*math.Pi*hz/8000)
		n := 0
		for i := 44 + 2*ch; i+1 < len(wav); i += 4 {
			v := float64(int16(binary.LittleEndian.Uint16(wav[i:])))
			a, b = v+w*a-b, a
			energy += v * v
			n++
		}
		if energy > 0 {
			out[ch] = 2 * (a*a + b*b - w*a*b) / (energy * float64(n))
		}
	}
	return out
}

func TestSippInboundNo(t *testing.T) {
	t.Parallel()
	_, ev := callers(t, true, '2', 3)
	if got := ev.kinds(); got != "declined declined declined" || ev.count(store.TypeStarted) != 0 {
		t.Errorf("the log says %q, %d recordings began", got, ev.count(store.TypeStarted))
	}
}

func TestSippInboundSilent(t *testing.T) {
	t.Parallel()
	_, ev := callers(t, true, 0, 3)
	if got := ev.kinds(); got != "silent silent silent" || ev.count(store.TypeStarted) != 0 {
		t.Errorf("the log says %q, %d recordings began", got, ev.count(store.TypeStarted))
	}
}

func TestSippOutboundYes(t *testing.T) {
	t.Parallel()
	_, ev := callers(t, false, '1', 3)
	if got := ev.kinds(); got != "granted granted granted" || ev.count(store.TypeSealed) != 3 {
		t.Errorf("the log says %q, %d recordings were sealed", got, ev.count(store.TypeSealed))
	}
}
