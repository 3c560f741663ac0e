package deploy

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/internal/phone"
)

// settings are an indented block of the manual: the first under a heading that
// comes after a mention of a file.
func settings(t testing.TB, heading, file string) string {
	t.Helper()
	_, text, ok := strings.Cut(read(t, "../docs/operations.md"), "\n### "+heading+"\n")
	text, _, _ = strings.Cut(text, "\n### ")
	_, text, named := strings.Cut(text, "`"+file+"`")
	if !ok || !named {
		t.Fatalf("the manual has no settings for %s in %s", heading, file)
	}
	var block []string
	for _, line := range strings.Split(text, "\n") {
		inside, indented := strings.CutPrefix(line, "    ")
		switch {
		case indented, line == "" && len(block) > 0:
			block = append(block, inside)
		case len(block) > 0:
			return strings.Join(block, "\n") + "\n"
		}
	}
	return strings.Join(block, "\n") + "\n"
}

// behindGate is a gate whose PBX is somebody else's program.
type behindGate struct {
	*gate
	pbx, pbxSide netip.AddrPort // where the PBX listens, and where it reaches the gate
}

func newGateBefore(t testing.TB, callee func(*phone.Call)) *behindGate {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	g := &behindGate{&gate{t: t, carrier: freePort(t), ops: freePort(t).String()}, freePort(t), freePort(t)}
	if g.caller, err = phone.New(phone.Config{Name: "+442079460123", Listen: netip.MustParseAddrPort("127.0.0.1:0"), Incoming: callee}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.caller.Close() })
	dir := t.TempDir()
	writeTone(t, filepath.Join(dir, "prompt.wav"))
	g.serve(path, dir, fmt.Sprintf(behindYAML, g.carrier, g.caller.Addr(), g.pbxSide, g.pbx, g.ops))
	return g
}

const behindYAML = `data_dir: DIR/data
controller: {name: Example Ltd, contact: privacy@example.com}
trunks:
  - name: main
    options_ping: 1s
    carrier: {listen: ["udp://%s"], peers: ["sip:%s"]}
    pbx: {listen: ["udp://%s"], peers: ["sip:%s"]}
media: {ports: 39400-39599}
purposes: {training: {text: {en: "training"}, retention: 90d}}
policies: [{name: default, purpose: training, prompt: DIR/prompt.wav, timeout: 20s}]
disk: {low: 0, stop: 0}
ops: {listen: "%s"}
`

// TestAsteriskIsThePBX by the very settings that the manual has: a call to it and
// one from it are asked and recorded.
func TestAsteriskIsThePBX(t *testing.T) {
	root := os.Getenv("ASTERISK_ROOT")
	if root == "" {
		t.Skip("NOT TESTED: 'make asterisk' has an Asterisk to call")
	}
	called := make(chan error, 1)
	g := newGateBefore(t, func(c *phone.Call) { called <- saysYes(c) })
	own := strings.NewReplacer("0.0.0.0:5060", g.pbx.String(), "192.0.2.20:5060", g.pbxSide.String(), "192.0.2.20", "127.0.0.1")
	for name, text := range map[string]string{
		"pjsip.conf":      own.Replace(settings(t, "Asterisk and FreePBX", "pjsip.conf")),
		"extensions.conf": "[from-carrier]\nexten => 100,1,Answer()\n same => n,Playtones(440)\n same => n,Wait(60)\n",
	} {
		if err := os.WriteFile(filepath.Join(root, "etc/asterisk", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, said := start(t, "chroot", root, "asterisk", "-f", "-vvv")
	cli := func(command string) string {
		out, _ := exec.Command("chroot", root, "asterisk", "-rx", command).CombinedOutput() // it may not be up yet
		return string(out)
	}
	until(t, "Asterisk knows the gate as there: "+cli("pjsip show contacts"), func() bool { return strings.Contains(cli("pjsip show contacts"), "Avail") })
	until(t, "the gate knows Asterisk as there", func() bool { return g.metric("peer_up", `side="pbx"`) == 1 })

	c := g.calls("100", '1')
	until(t, "the call to Asterisk is recorded", func() bool { return g.metric("recordings_active") == 1 })
	if err := c.Hangup(); err != nil {
		t.Error(err)
	}
	until(t, "its recording is sealed", func() bool { return g.metric("recordings_total", `outcome="sealed"`) == 1 })

	cli("channel originate PJSIP/442079460123@carrier extension 100@from-carrier")
	select {
	case err := <-called:
		if err != nil {
			t.Errorf("%v\n%s", err, said)
		}
	case <-time.After(40 * time.Second):
		t.Fatalf("Asterisk calls nobody\n%s", said)
	}
	until(t, "both were recorded", func() bool { return g.metric("recordings_total", `outcome="sealed"`) == 2 })
}

// saysYes is somebody who is called, hears the prompt, says yes, hears the PBX
// and hangs up.
func saysYes(c *phone.Call) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c.Media.Tone(880)
	for _, step := range []func() error{
		func() error { return c.Answer(ctx) },
		func() error { return c.Media.WaitTone(ctx, promptHz) },
		func() error { return c.Media.WaitQuiet(ctx, 200*time.Millisecond) },
		func() error { return c.Press('1') },
		func() error { return c.Media.WaitTone(ctx, 440) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return c.Hangup()
}
