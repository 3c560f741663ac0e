package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zaf/g711"

	"consentgate/consent"
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

// pcap is a capture file for sipp to play: RTP every 20 ms.
type pcap struct {
	b   bytes.Buffer
	n   int
	seq uint16
}

func newPcap() *pcap {
	p := &pcap{seq: 1}
	p.put(uint32(0xa1b2c3d4), uint16(2), uint16(4), uint32(0), uint32(0), uint32(65535), uint32(1)) // classic, Ethernet
	return p
}

func (p *pcap) put(vs ...any) {
	for _, v := range vs {
		_ = binary.Write(&p.b, binary.LittleEndian, v) // to memory: can't fail
	}
}

// packet adds one packet, 20 ms after the last.
func (p *pcap) packet(pt byte, marker bool, ts uint32, payload []byte) {
	rtp := []byte{0x80, pt, 0, 0, 0, 0, 0, 0, 0, 0, 0, 42}
	if marker {
		rtp[1] |= 0x80
	}
	binary.BigEndian.PutUint16(rtp[2:], p.seq)
	binary.BigEndian.PutUint32(rtp[4:], ts)
	rtp = append(rtp, payload...)
	udp := []byte{0x1f, 0x40, 0x1f, 0x42, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(rtp)))
	ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1}
	binary.BigEndian.PutUint16(ip[2:], uint16(20+8+len(rtp)))
	frame := append(append(append(make([]byte, 12), 0x08, 0x00), ip...), append(udp, rtp...)...)
	us := p.n * 20000
	p.put(uint32(us/1e6), uint32(us%1e6), uint32(len(frame)), uint32(len(frame)), frame)
	p.n++
	p.seq++
}

func (p *pcap) tone(hz float64, d time.Duration) {
	for range int(d / (20 * time.Millisecond)) {
		payload := make([]byte, 160)
		for i := range payload {
			payload[i] = g711.EncodeUlawFrame(int16(8000 * math.Sin(2*math.Pi*hz*float64(p.n*160+i)/8000)))
		}
		p.packet(0, false, uint32(p.n*160), payload)
	}
}

// key presses a key for 100 ms, with the end sent three times.
func (p *pcap) key(code byte) {
	ts := uint32(p.n * 160)
	for i := 1; i <= 8; i++ {
		end, long := byte(10), uint16(min(i, 5)*160)
		if i > 5 {
			end |= 0x80
		}
		p.packet(101, i == 1, ts, []byte{code, end, byte(long >> 8), byte(long)})
	}
}

func (p *pcap) write(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, p.b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

const sippSDP = `
      v=0
      o=sipp 1 1 IN IP4 [local_ip]
      s=-
      c=IN IP4 [local_ip]
      t=0 0
      m=audio [media_port] RTP/AVP 0 101
      a=rtpmap:0 PCMU/8000
      a=rtpmap:101 telephone-event/8000
      a=fmtp:101 0-15
`

// uac calls, plays a capture and hangs up.
func uac(number, file string, hold time.Duration) string {
	return fmt.Sprintf(`<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller">
  <send retrans="500"><![CDATA[
      INVITE sip:%[1]s@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: <sip:+442079460123@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
      To: <sip:%[1]s@[remote_ip]:[remote_port]>
      Call-ID: [call_id]
      CSeq: 1 INVITE
      Contact: <sip:sipp@[local_ip]:[local_port]>
      Max-Forwards: 70
      Content-Type: application/sdp
      Content-Length: [len]
%[2]s
  ]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="200" rtd="true" rrs="true"/>
  <send><![CDATA[
      ACK [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      [routes]
      From: <sip:+442079460123@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
      To: <sip:%[1]s@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 1 ACK
      Max-Forwards: 70
      Content-Length: 0

  ]]></send>
  <nop><action><exec play_pcap_audio="%[3]s"/></action></nop>
  <pause milliseconds="%[4]d"/>
  <send retrans="500"><![CDATA[
      BYE [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      [routes]
      From: <sip:+442079460123@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
      To: <sip:%[1]s@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 2 BYE
      Max-Forwards: 70
      Content-Length: 0

  ]]></send>
  <recv response="200"/>
</scenario>
`, number, sippSDP, file, hold.Milliseconds())
}

// uas answers, plays a capture and waits for the BYE.
func uas(file string) string {
	reply := func(status, rest string) string {
		return `  <send` + map[bool]string{true: ` retrans="500"`}[strings.HasPrefix(status, "200") && rest != ""] + `><![CDATA[
      SIP/2.0 ` + status + `
      [last_Via:]
      [last_From:]
      [last_To:];tag=[pid]SIPpTag01[call_number]
      [last_Call-ID:]
      [last_CSeq:]
      [last_Record-Route:]
      Contact: <sip:sipp@[local_ip]:[local_port]>
` + rest + `
  ]]></send>
`
	}
	return `<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="called">
  <recv request="INVITE" crlf="true" rrs="true"/>
` + reply("180 Ringing", "      Content-Length: 0\n") +
		reply("200 OK", "      Content-Type: application/sdp\n      Content-Length: [len]\n"+sippSDP) + `
  <recv request="ACK" rrs="true"/>
  <nop><action><exec play_pcap_audio="` + file + `"/></action></nop>
  <recv request="BYE"/>
  <send><![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:]
      [last_Call-ID:]
      [last_CSeq:]
      Content-Length: 0

  ]]></send>
</scenario>
`
}

// sipp is a running sipp.
type sipp struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	out  bytes.Buffer
	dir  string
}

// startSipp runs a scenario for so many calls. port is where it listens.
func startSipp(t testing.TB, name, scenario, port, to string, calls int, more ...string) *sipp {
	t.Helper()
	path := needs(t, "sipp")
	s := &sipp{t: t, name: name, dir: t.TempDir()}
	file := filepath.Join(s.dir, name+".xml")
	if err := os.WriteFile(file, []byte(scenario), 0o600); err != nil {
		t.Fatal(err)
	}
	_, p, err := net.SplitHostPort(port)
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-sf", file, "-i", "127.0.0.1", "-p", p, "-mi", "127.0.0.1", "-m", fmt.Sprint(calls),
		"-nostdin", "-trace_err", "-timeout", "120s", "-timeout_error"}, more...)
	if to != "" {
		args = append(args, to)
	}
	s.cmd = exec.Command(path, args...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, &s.out, &s.out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	return s
}

// wait returns when sipp is done; a failed call is an error of the test.
func (s *sipp) wait() {
	s.t.Helper()
	if err := s.ended(); err != nil {
		s.t.Error(err)
	}
}

// ended returns when sipp is done, with what it complained of.
func (s *sipp) ended() error {
	err := s.cmd.Wait()
	if err == nil {
		return nil
	}
	errs, _ := filepath.Glob(filepath.Join(s.dir, "*_errors.log"))
	said := s.out.String()
	for _, f := range errs {
		if raw, err := os.ReadFile(f); err == nil {
			said = string(raw)
		}
	}
	return fmt.Errorf("sipp as %s: %w\n%.4000s", s.name, err, said)
}

// callers plays sipp against sipp through a gate and returns the evidence.
func callers(t *testing.T, inbound bool, key byte, calls int) (*gate, evidence) {
	t.Helper()
	needs(t, "sipp")
	dir := t.TempDir()
	say, answer := filepath.Join(dir, "say.pcap"), filepath.Join(dir, "answer.pcap")
	p := newPcap()
	p.tone(880, 900*time.Millisecond) // the prompt takes 400 ms
	if key != 0 {
		p.key(key - '0')
	}
	p.tone(880, 1500*time.Millisecond)
	p.write(t, say)
	a := newPcap()
	a.tone(440, 2500*time.Millisecond)
	a.write(t, answer)
	carrier, pbx := freePort(t), freePort(t)
	g := startGate(t, setup{carrierPeer: carrier, pbxPeer: pbx})
	number, calling, called, to := "100", carrier, pbx, g.Carrier
	callerSays, calledSays := say, answer
	if !inbound { // the remote party answers the prompt: here it is the called one
		number, calling, called, to = "+442079460123", pbx, carrier, g.PBX
		callerSays, calledSays = answer, say
	}
	server := startSipp(t, "called", uas(calledSays), called, "", calls)
	client := startSipp(t, "caller", uac(number, callerSays, 2800*time.Millisecond), calling, to, calls, "-r", "5")
	client.wait()
	server.wait()
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
