package deploy

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/internal/phone"
)

const kamailioHead = `#!KAMAILIO
listen=udp:%s
mpath="%s"
children=2
auto_aliases=no
log_stderror=yes
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
`

// TestKamailioIsThePBX by the very routes that the manual has: a call to a
// telephone behind it and one from there are asked and recorded.
func TestKamailioIsThePBX(t *testing.T) {
	needs(t, "kamailio")
	t.Parallel()
	called := make(chan error, 1)
	g := newGateBefore(t, func(c *phone.Call) { called <- saysYes(c) })
	telephone, err := phone.New(phone.Config{Name: "telephone", Listen: netip.MustParseAddrPort("127.0.0.5:0"), Incoming: takes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = telephone.Close() })
	modules, err := filepath.Glob("/usr/lib/*/kamailio/modules")
	if err != nil || len(modules) == 0 {
		t.Fatal("kamailio's modules aren't where Debian puts them")
	}
	own := strings.NewReplacer("192.0.2.10:5080", telephone.Addr().String(), "192.0.2.20:5060", g.pbxSide.String(), "192.0.2.20", "127.0.0.1")
	dir := t.TempDir()
	config := filepath.Join(dir, "kamailio.cfg")
	text := fmt.Sprintf(kamailioHead, g.pbx, modules[0]) + own.Replace(settings(t, "Kamailio", "kamailio.cfg"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, said := start(t, "kamailio", "-f", config, "-DD", "-E", "-m", "16", "-M", "4", "-Y", dir)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(said)
		}
	})
	until(t, "the gate knows Kamailio as there", func() bool { return g.metric("peer_up", `side="pbx"`) == 1 && strings.Contains(said.String(), "init") })
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	c := g.calls("100", '1')
	until(t, "the call to the telephone is recorded", func() bool { return g.metric("recordings_active") == 1 })
	if err := c.Hangup(); err != nil {
		t.Error(err)
	}
	until(t, "its recording is sealed", func() bool { return g.metric("recordings_total", `outcome="sealed"`) == 1 })
	out, err := telephone.Dial(ctx, g.pbx, "442079460123")
	if err != nil {
		t.Fatal(err)
	}
	out.Media.Tone(440)
	if err := <-called; err != nil {
		t.Error(err)
	}
	until(t, "both were recorded", func() bool { return g.metric("recordings_total", `outcome="sealed"`) == 2 })
}
