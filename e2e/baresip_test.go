package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"consentgate/media/prompt"
	"consentgate/store"
)

// baresip is a real telephone, without hands or ears: it speaks a file, keeps
// what it hears in another, and is told what to do over TCP.
type baresip struct {
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	out  *syncBuffer
	conn net.Conn
	rtp  int // its first media port, of baresipPorts

	mu     sync.Mutex
	events []string
}

// baresipPorts is how many media ports a phone may choose from.
const baresipPorts = 22

const baresipConfig = `poll_method epoll
net_interface 127.0.0.1
sip_listen %[1]s
audio_source aufile,%[2]s/say.wav
audio_player aubridge,nowhere
audio_alert aubridge,nowhere
rtp_ports %[3]d-%[4]d
module_path %[5]s
module g711.so
module g722.so
module l16.so
module aufile.so
module aubridge.so
module srtp.so
module sndfile.so
snd_path %[2]s/heard
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen %[6]s
`

// startBaresip makes a phone at an address that speaks a tone and reaches the
// world by way of the gate; in PCMU, unless more names audio_codecs.
func startBaresip(t *testing.T, user, at, gate string, hz float64, more string, config ...string) *baresip {
	t.Helper()
	path := needs(t, "baresip")
	modules, err := filepath.Glob("/usr/lib/baresip/modules")
	if err != nil || len(modules) == 0 {
		t.Fatal("baresip's modules aren't where Debian puts them")
	}
	b := &baresip{t: t, dir: t.TempDir(), out: &syncBuffer{}}
	writeTone(t, filepath.Join(b.dir, "say.wav"), hz, time.Minute)
	control := freePort(t)
	b.rtp = freePorts(t, baresipPorts)
	for name, text := range map[string]string{
		"config":   fmt.Sprintf(baresipConfig, at, b.dir, b.rtp, b.rtp+baresipPorts-2, modules[0], control) + strings.Join(config, ""),
		"accounts": fmt.Sprintf("<sip:%s@%s>;regint=0%s;outbound=\"sip:%s\"\n", user, at, speaking(more), gate),
		"contacts": "",
	} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(b.dir, "heard"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.cmd = exec.Command(path, "-4", "-f", b.dir)
	b.cmd.Stdout, b.cmd.Stderr = b.out, b.out
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.cmd.Process.Kill(); _ = b.cmd.Wait() })
	b.until("its control listens", func() bool {
		b.conn, err = net.Dial("tcp", control)
		return err == nil
	})
	t.Cleanup(func() { _ = b.conn.Close() })
	go b.listen()
	return b
}

// speaking are an account's parameters, the codec among them.
func speaking(more string) string {
	if strings.Contains(more, ";audio_codecs=") {
		return more
	}
	return ";audio_codecs=PCMU/8000/1" + more
}

func (b *baresip) until(what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.t.Fatalf("never: %s\n%s\n%s", what, b.out, strings.Join(b.events, "\n"))
		}
	}
}

// listen reads netstrings of JSON.
func (b *baresip) listen() {
	in := bufio.NewReader(b.conn)
	for {
		length, err := in.ReadString(':')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
		if err != nil || n > 1<<20 {
			return
		}
		text := make([]byte, n+1) // and the comma
		if _, err := io.ReadFull(in, text); err != nil {
			return
		}
		b.mu.Lock()
		b.events = append(b.events, string(text[:n]))
		b.mu.Unlock()
	}
}

// do gives a command.
func (b *baresip) do(command, params string) {
	b.t.Helper()
	text, err := json.Marshal(map[string]string{"command": command, "params": params, "token": command})
	if err == nil {
		_, err = fmt.Fprintf(b.conn, "%d:%s,", len(text), text)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *baresip) dial(uri string)  { b.do("dial", uri) }
func (b *baresip) press(key string) { b.do("sndcode", key) }
func (b *baresip) hangUp()          { b.do("hangup", "") }

func (b *baresip) heard() []int16 {
	files, _ := filepath.Glob(filepath.Join(b.dir, "heard", "*dec.wav"))
	var all []int16
	for _, f := range files {
		all = append(all, samples(f)...)
	}
	return all
}

// samples reads a WAV file of 16 bit that is still being written: its length
// isn't there yet, or nothing of its header.
func samples(file string) (all []int16) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	at := 44
	if i := bytes.Index(raw[:min(len(raw), 1024)], []byte("data")); i > 0 {
		at = i + 8
	}
	for ; at+1 < len(raw); at += 2 {
		all = append(all, int16(uint16(raw[at])|uint16(raw[at+1])<<8))
	}
	return all
}

// hasTone reports whether there are 200 ms of a tone.
func hasTone(pcm []int16, hz float64) bool {
	const window = prompt.Rate / 5
	for at := 0; at+window <= len(pcm); at += window / 2 {
		stereo := make([]byte, 44)
		for _, s := range pcm[at : at+window] {
			stereo = append(stereo, byte(s), byte(s>>8), byte(s), byte(s>>8))
		}
		if shares(stereo, hz)[0] > 0.8 {
			return true
		}
	}
	return false
}

// lately is the last 200 ms that a phone heard.
func lately(p softphone) []int16 {
	pcm := p.heard()
	return pcm[max(0, len(pcm)-prompt.Rate/5):]
}

// between puts a gate between two baresips; the caller's side is the carrier's
// if inbound. config is added to both phones'.
func between(t *testing.T, inbound bool, config ...string) (g *gate, caller, called *baresip) {
	t.Helper()
	needs(t, "baresip")
	carrier, pbx := freePort(t), freePort(t)
	g = startGate(t, setup{carrierPeer: carrier, pbxPeer: pbx, policy: []string{"purpose: training", "timeout: 12s", "attempts: 1"}, promptFile: true})
	if inbound {
		return g, startBaresip(t, "+442079460123", carrier, g.Carrier, 880, "", config...),
			startBaresip(t, "agent", pbx, g.PBX, 440, ";answermode=auto", config...)
	}
	return g, startBaresip(t, "agent", pbx, g.PBX, 440, "", config...),
		startBaresip(t, "+442079460123", carrier, g.Carrier, 880, ";answermode=auto", config...)
}

// talk is a whole call between real phones, in which the remote party presses a
// key after the prompt.
func talk(t *testing.T, inbound bool, key string) evidence {
	t.Helper()
	g, caller, called := between(t, inbound)
	number, remote, local := "agent", caller, called
	if !inbound {
		number, remote, local = "+442079460123", called, caller
	}
	caller.dial("sip:" + number + "@" + map[bool]string{true: g.Carrier, false: g.PBX}[inbound])
	hears(remote, promptHz)
	afterPrompt(g, remote)
	remote.press(key)
	hears(remote, 440)
	hears(local, 880)
	caller.hangUp()
	g.until("the call is over", func() bool { return g.metric("calls_active") == 0 })
	g.stop()
	return g.evidence()
}

// afterPrompt returns when a phone that heard the prompt hears it no more: what it
// keeps may end with it, so not much later than that anyway.
func afterPrompt(g *gate, p softphone) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	g.untilCtx(ctx, "the prompt is over", func() bool { return !hasTone(lately(p), promptHz) })
}

func TestBaresipInboundYes(t *testing.T) {
	t.Parallel()
	ev := talk(t, true, "1")
	if ev.kinds() != "granted" || ev.count(store.TypeSealed) != 1 {
		t.Fatalf("%q, %d sealed", ev.kinds(), ev.count(store.TypeSealed))
	}
	if a := ev.records[0].Answers[0]; a.Press.Via != "rfc4733" || !a.Heard.Complete {
		t.Errorf("%+v", a)
	}
}

func TestBaresipInboundNo(t *testing.T) {
	t.Parallel()
	if ev := talk(t, true, "2"); ev.kinds() != "declined" || ev.count(store.TypeStarted) != 0 {
		t.Errorf("%q, %d recordings began", ev.kinds(), ev.count(store.TypeStarted))
	}
}

func TestBaresipOutboundYes(t *testing.T) {
	t.Parallel()
	if ev := talk(t, false, "1"); ev.kinds() != "granted" || ev.count(store.TypeSealed) != 1 {
		t.Errorf("%q, %d sealed", ev.kinds(), ev.count(store.TypeSealed))
	}
}

// baresipVideo gives a phone a camera and a screen that aren't there.
const baresipVideo = `module vp8.so
module fakevideo.so
video_source fakevideo,nowhere
video_display fakevideo,nowhere
video_size 176x144
video_fps 10
`

var pictures = regexp.MustCompile(`vidisp: [^"]*? frames=(\d+)`)

// pictures are those that the phone has decoded so far.
func (b *baresip) pictures() int {
	b.t.Helper()
	b.mu.Lock()
	asked := len(b.events)
	b.mu.Unlock()
	b.do("video_debug", "")
	n := -1
	b.until("it says how many pictures came", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, ev := range b.events[asked:] {
			if m := pictures.FindStringSubmatch(ev); m != nil {
				n, _ = strconv.Atoi(m[1]) // digits
			}
		}
		return n >= 0
	})
	return n
}

// TestBaresipVideo: the picture passes both ways after the answer, not while it is
// being asked for.
func TestBaresipVideo(t *testing.T) {
	t.Parallel()
	g, caller, called := between(t, true, baresipVideo)
	caller.dial("sip:agent@" + g.Carrier)
	hears(caller, promptHz)
	afterPrompt(g, caller)
	if a, b := caller.pictures(), called.pictures(); a+b != 0 {
		t.Errorf("before the answer the caller saw %d pictures, the called %d", a, b)
	}
	caller.press("1")
	hears(caller, 440)
	for _, b := range []*baresip{caller, called} {
		b.until("it sees the other", func() bool { return b.pictures() > 0 })
	}
	caller.hangUp()
	g.until("the call is over", func() bool { return g.metric("calls_active") == 0 })
	g.stop()
	if ev := g.evidence(); ev.kinds() != "granted" || ev.count(store.TypeSealed) != 1 {
		t.Errorf("%q, %d sealed", ev.kinds(), ev.count(store.TypeSealed))
	}
}
