package locate

import (
	"net/netip"
	"os"
	"strings"
)

// hostsFile are the addresses that a file in the form of hosts(5) gives a name,
// compared without regard to case; none if it can't be read. It is small and is
// read anew each time, so that a change counts.
func hostsFile(path, name string) (out []netip.Addr) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(raw)) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		a, err := netip.ParseAddr(f[0])
		if err != nil || a.Zone() != "" {
			continue
		}
		for _, n := range f[1:] {
			if strings.EqualFold(n, name) {
				out = append(out, a.Unmap())
				break
			}
		}
	}
	return out
}
