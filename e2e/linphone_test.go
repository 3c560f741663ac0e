package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/store"
)

// softphone is a telephone that nobody here wrote, with a file for a microphone
// and another for a loudspeaker.
type softphone interface {
	dial(uri string)
	press(key string)
	hangUp()
	until(what string, ok func() bool)
	heard() []int16 // all that it has decoded
}

// linphone is Linphone's console phone, told what to do by its standard input.
type linphone struct {
	t   *testing.T
	dir string
	in  io.Writer
	out *syncBuffer
}

const linphoneConfig = `[sip]
sip_port=%[1]s
sip_tcp_port=0
sip_tls_port=0
contact=sip:%[2]s@127.0.0.1:%[1]s
guess_hostname=0
use_ipv6=0
ipv6_migration_done=1
bind_address=127.0.0.1
use_rfc2833=1
use_info=0
%[4]s
[rtp]
audio_rtp_port=%[3]d
bind_address=127.0.0.1
[sound]
echocancellation=0
[audio_codec_0]
mime=PCMU
rate=8000
channels=1
enabled=1
[video]
enabled=0
`

// startLinphone makes a phone at an address that speaks a tone; more are lines of
// its settings for SIP.
func startLinphone(t *testing.T, user, at string, hz float64, answers bool, more ...string) *linphone {
	t.Helper()
	path := needs(t, "linphonec")
	l := &linphone{t: t, dir: t.TempDir(), out: &syncBuffer{}}
	writeTone(t, filepath.Join(l.dir, "say.wav"), hz, time.Minute)
	_, port, err := net.SplitHostPort(at)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(l.dir, "linphonerc")
	if err := os.WriteFile(config, fmt.Appendf(nil, linphoneConfig, port, user, freePorts(t, 2), strings.Join(more, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(l.dir, ".local", "share", "linphone"), 0o700); err != nil { // it needs a database there
		t.Fatal(err)
	}
	args := []string{"-c", config}
	if answers {
		args = append(args, "-a")
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "HOME="+l.dir)
	cmd.Stdout, cmd.Stderr = l.out, l.out
	if l.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	l.do("soundcard use files")
	l.do("play " + filepath.Join(l.dir, "say.wav"))
	l.do("record " + filepath.Join(l.dir, "heard.wav"))
	l.until("it has a port", func() bool {
		c, err := net.ListenPacket("udp4", at)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	return l
}

// do gives a command.
func (l *linphone) do(command string) {
	l.t.Helper()
	if _, err := fmt.Fprintln(l.in, command); err != nil {
		l.t.Fatal(err)
	}
}

func (l *linphone) dial(uri string)  { l.do("call " + uri) }
func (l *linphone) press(key string) { l.do(key) }
func (l *linphone) hangUp()          { l.do("terminate") }

func (l *linphone) until(what string, ok func() bool) {
	l.t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("linphone never: %s\n%s", what, l.out)
		}
	}
}

func (l *linphone) heard() []int16 { return samples(filepath.Join(l.dir, "heard.wav")) }

// hears waits until a phone has heard 200 ms of a tone.
func hears(p softphone, hz float64) {
	p.until(fmt.Sprintf("hears %v Hz", hz), func() bool { return hasTone(p.heard(), hz) })
}

// TestInteropLinphoneAndBaresip: two makes of phones, each on each side and
// calling, and the one on the carrier's side says yes by a key.
func TestInteropLinphoneAndBaresip(t *testing.T) {
	needs(t, "linphonec")
	needs(t, "baresip")
	for _, inbound := range []bool{true, false} {
		for _, make := range []string{"linphone", "baresip"} {
			name := fmt.Sprintf("%s at the carrier, %s calls", make, map[bool]string{true: "it", false: "the other"}[inbound])
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ev := yesBetween(t, make, inbound)
				if ev.kinds() != "granted" || ev.count(store.TypeSealed) != 1 {
					t.Fatalf("%q, %d sealed", ev.kinds(), ev.count(store.TypeSealed))
				}
				if a := ev.records[0].Answers[0]; a.Press.Via != "rfc4733" || !a.Heard.Complete {
					t.Errorf("%+v", a)
				}
			})
		}
	}
}

// yesBetween is a call with a phone of that make at the carrier and of the other
// at the PBX.
func yesBetween(t *testing.T, make string, inbound bool) evidence {
	carrier, pbx := freePort(t), freePort(t)
	prompt := filepath.Join(t.TempDir(), "prompt.wav")
	writeTone(t, prompt, promptHz, 2*time.Second) // a phone drops what comes while it starts to listen
	g := startGate(t, setup{carrierPeer: carrier, pbxPeer: pbx, policy: []string{"purpose: training", "prompt: " + prompt, "timeout: 12s", "attempts: 1"}})
	var remote, local softphone
	answers := map[bool]string{true: ";answermode=auto"}
	if make == "linphone" {
		remote = startLinphone(t, "+442079460123", carrier, 880, !inbound)
		local = startBaresip(t, "agent", pbx, g.PBX, 440, answers[inbound])
	} else {
		remote = startBaresip(t, "+442079460123", carrier, g.Carrier, 880, answers[!inbound])
		local = startLinphone(t, "agent", pbx, 440, inbound)
	}
	caller := local
	if inbound {
		caller = remote
		caller.dial("sip:agent@" + g.Carrier)
	} else {
		caller.dial("sip:+442079460123@" + g.PBX)
	}
	hears(remote, promptHz)
	afterPrompt(g, remote)
	remote.press("1")
	hears(remote, 440)
	hears(local, 880)
	caller.hangUp()
	g.until("the call is over", func() bool { return g.metric("calls_active") == 0 })
	g.stop()
	return g.evidence()
}
