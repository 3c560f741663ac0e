package deploy

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
// telephone behind it is asked and recorded. Ours has no route sets, so a call from
// there isn't tried.
func TestKamailioIsThePBX(t *testing.T) {
	needs(t, "kamailio")
	t.Parallel()
	g := newGateBefore(t, nil)
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
	until(t, "Kamailio is there", func() bool { return answersOptions(t, g.pbx) })
	c := g.calls("100", '1')
	until(t, "the call to the telephone is recorded", func() bool { return g.metric("recordings_active") == 1 })
	if err := c.Hangup(); err != nil {
		t.Error(err)
	}
	until(t, "its recording is sealed", func() bool { return g.metric("recordings_total", `outcome="sealed"`) == 1 })
}
