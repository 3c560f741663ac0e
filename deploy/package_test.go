package deploy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"consentgate/internal/phone"
)

// TestTheUnitIsHardened: systemd takes the unit, and rates what it exposes with
// 1.6 of 10 at most.
func TestTheUnitIsHardened(t *testing.T) {
	needs(t, "systemd-analyze")
	t.Parallel()
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=16", "--no-pager", "systemd/consentgate.service").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// packages builds the Debian package in two versions.
func packages(t testing.TB) (paths []string) {
	t.Helper()
	if out, err := exec.Command("make", "-C", "..", "build").CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	arch, err := exec.Command("dpkg", "--print-architecture").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1", "2"} {
		path := filepath.Join(t.TempDir(), "consentgate.deb")
		cmd := exec.Command("debian/build.sh", version, strings.TrimSpace(string(arch)), path)
		cmd.Env = append(os.Environ(), "COMPRESSION=none")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building the package: %v\n%s", err, out)
		}
		paths = append(paths, path)
	}
	return paths
}

// machine is one with a systemd of its own and this one's files and network.
// What is changed there goes with it.
type machine struct {
	t    testing.TB
	init string
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	dir := t.TempDir()
	cmd, said := start(t, "unshare", "--mount", "sh", "testdata/machine.sh", dir)
	m := &machine{t: t}
	deadline := time.Now().Add(30 * time.Second)
	for ; ; time.Sleep(50 * time.Millisecond) {
		parent, _ := os.ReadFile(filepath.Join(dir, "unshare.pid")) // comes
		pid := strings.TrimSpace(string(parent))
		children, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
		m.init = strings.TrimSpace(string(children))
		if m.init != "" {
			if out, _ := m.try("", "systemctl", "is-system-running"); strings.TrimSpace(out) == "running" {
				return m
			}
		}
		if time.Now().After(deadline) || syscall.Kill(cmd.Process.Pid, 0) != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("no systemd can be started:\n%s", said)
			}
			t.Skipf("NOT TESTED: no systemd can be started:\n%s", said)
		}
	}
}

// try runs a command in the machine.
func (m *machine) try(stdin string, args ...string) (string, error) {
	cmd := exec.Command("nsenter", append([]string{"-t", m.init, "--mount", "--pid", "--ipc", "--uts", "--cgroup", "--root", "--wd"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (m *machine) run(args ...string) string {
	m.t.Helper()
	out, err := m.try("", args...)
	if err != nil {
		journal, _ := m.try("", "journalctl", "-u", "consentgate", "-n", "20", "--no-pager")
		m.t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, out, journal)
	}
	return strings.TrimSpace(out)
}

// put copies a file in.
func (m *machine) put(path, text string) {
	m.t.Helper()
	if out, err := m.try(text, "sh", "-c", `cat > "$1"`, "sh", path); err != nil {
		m.t.Fatalf("writing %s: %v %s", path, err, out)
	}
}

func (m *machine) there(path string) bool {
	_, err := m.try("", "test", "-e", path)
	return err == nil
}

const installed = "/etc/consentgate/consentgate.yaml"

// TestThePackageIsInstalledUpgradedAndPurged on a machine with a systemd of its
// own: its configuration is sound from the start, the hardened unit records a call
// after a yes to a prompt that was rendered there, an upgrade neither restarts it
// nor touches the configuration, and what was recorded outlives a purge.
func TestThePackageIsInstalledUpgradedAndPurged(t *testing.T) {
	needs(t, "dpkg", "unshare", "nsenter", "espeak-ng")
	t.Parallel()
	debs := packages(t)
	m := newMachine(t)
	install := func(deb string) string {
		m.put("/run/consentgate.deb", read(t, deb))
		return m.run("dpkg", "-i", "/run/consentgate.deb")
	}
	install(debs[0])
	if out := m.run("consentgate", "check", "--config", installed); !strings.Contains(out, "is sound") {
		t.Error(out)
	}
	g := m.gate()
	live := m.yes(g)
	until(t, "the recording of a call that was consented to", func() bool { return g.metric("recordings_active") == 1 })
	m.isConfined()
	m.reloads()

	before, config := m.run("systemctl", "show", "-p", "MainPID", "consentgate"), m.run("cat", installed)
	if out := install(debs[1]); !strings.Contains(out, "earlier version goes on") {
		t.Error(out)
	}
	if after := m.run("systemctl", "show", "-p", "MainPID", "consentgate"); after != before || m.run("cat", installed) != config {
		t.Errorf("an upgrade made %s of %s, or changed the configuration", after, before)
	}
	if err := errors.Join(m.stillTalks(live), live.Hangup()); err != nil {
		t.Errorf("the call during an upgrade: %v", err)
	}
	until(t, "the recording is sealed", func() bool { return g.metric("recordings_total", `outcome="sealed"`) == 1 })
	m.run("systemctl", "restart", "consentgate")
	if out := m.run("runuser", "-u", "consentgate", "--", "consentgate", "verify", "--config", installed); !strings.HasSuffix(out, "\nok") {
		t.Error(out)
	}

	m.run("dpkg", "-r", "consentgate")
	if out, _ := m.try("", "systemctl", "is-active", "consentgate"); strings.TrimSpace(out) != "inactive" || !m.there(installed) {
		t.Errorf("removed, the gate is %s; its configuration is there: %v", out, m.there(installed))
	}
	out := m.run("dpkg", "-P", "consentgate")
	if m.there("/etc/consentgate") || !m.there("/var/lib/consentgate/audit.db") || !m.there("/var/lib/consentgate-root/root.key") || !strings.Contains(out, "stays") {
		t.Errorf("purged: %s", out)
	}
}

// gate configures the machine's gate, starts it, and gives it phones.
func (m *machine) gate() *gate {
	m.t.Helper()
	g := &gate{t: m.t, exchange: newPeer(m.t, false), carrier: freePort(m.t), ops: freePort(m.t).String(), said: &said{}}
	loopback := netip.MustParseAddrPort("127.0.0.1:0")
	var err1, err2 error
	g.caller, err1 = phone.New(phone.Config{Name: "caller", Listen: loopback})
	g.agent, err2 = phone.New(phone.Config{Name: "agent", Listen: loopback, Incoming: takes})
	if err := errors.Join(err1, err2); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _, _ = g.caller.Close(), g.agent.Close() })
	m.put(installed, fmt.Sprintf(machineYAML, g.carrier, g.caller.Addr(), freePort(m.t), g.agent.Addr(), freePort(m.t), g.ops))
	m.run("systemctl", "enable", "--now", "consentgate")
	until(m.t, "the gate serves", func() bool {
		out, _ := m.try("", "journalctl", "-u", "consentgate", "--no-pager")
		return strings.Contains(out, "msg=serving")
	})
	if g.metric("recording_possible") != 1 || !strings.Contains(g.metrics(), "\nprocess_start_time_seconds ") {
		m.t.Errorf("within the unit:\n%s", m.run("journalctl", "-u", "consentgate", "-n", "20", "--no-pager"))
	}
	return g
}

const machineYAML = `data_dir: /var/lib/consentgate
root_key: /var/lib/consentgate-root/root.key
controller: {name: Another Ltd, contact: privacy@example.com}
trunks:
  - name: main
    carrier: {listen: ["udp://%s"], peers: ["sip:%s"]}
    pbx: {listen: ["udp://%s"], peers: ["sip:%s"]}
media: {ports: 39200-39399}
purposes: {training: {text: {en: "training"}, retention: 90d}}
policies: [{name: default, purpose: training, timeout: 20s}]
disk: {low: 0, stop: 0}
console: {listen: "%s", users: [{name: dana, role: officer, token_sha256: "0000000000000000000000000000000000000000000000000000000000000000"}]}
ops: {listen: "%s"}
`

// reloads has the unit read the configuration again: its users are taken, and a file
// with a fault fails the reload and nothing else.
func (m *machine) reloads() {
	m.t.Helper()
	before, config := m.run("systemctl", "show", "-p", "MainPID", "consentgate"), m.run("cat", installed)
	m.put(installed, strings.Replace(config, "dana", "vera", 1))
	m.run("systemctl", "reload", "consentgate")
	until(m.t, "other users are in force", func() bool {
		return strings.Contains(m.run("journalctl", "-u", "consentgate", "--no-pager"), "its users are in force")
	})
	m.put(installed, strings.Replace(config, "officer", "boss", 1))
	if out, err := m.try("", "systemctl", "reload", "consentgate"); err == nil {
		m.t.Errorf("a file with a fault was reloaded: %s", out)
	}
	if out := m.run("journalctl", "-u", "consentgate", "--no-pager"); !strings.Contains(out, "console.users[0].role") {
		m.t.Errorf("the journal doesn't say what is wrong: %s", out)
	}
	if after := m.run("systemctl", "show", "-p", "MainPID", "consentgate"); after != before {
		m.t.Errorf("a reload made %s of %s", after, before)
	}
	m.put(installed, config)
}

// yes makes a call whose caller hears the prompt to its end and says yes.
func (m *machine) yes(g *gate) *phone.Call {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := g.caller.Dial(ctx, g.carrier, "100")
	if err != nil {
		m.t.Fatal(err)
	}
	c.Media.Tone(880)
	if err := errors.Join(c.Media.WaitSound(ctx), c.Media.WaitQuiet(ctx, 1200*time.Millisecond), c.Press('1'), c.Media.WaitTone(ctx, 440)); err != nil {
		m.t.Fatalf("%v\n%s", err, m.run("journalctl", "-u", "consentgate", "-n", "20", "--no-pager"))
	}
	return c
}

// stillTalks reports whether more of the agent is heard.
func (m *machine) stillTalks(c *phone.Call) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	n := len(c.Media.Received())
	return c.Media.WaitFor(ctx, func(ps []phone.Packet) bool { return len(ps) > n+25 && phone.Share(ps[len(ps)-5:], 440) > 0.5 })
}

// isConfined: no capability, filtered system calls, no new privileges, nobody's
// user but its own.
func (m *machine) isConfined() {
	m.t.Helper()
	pid := strings.TrimPrefix(m.run("systemctl", "show", "-p", "MainPID", "consentgate"), "MainPID=")
	status := m.run("cat", "/proc/"+pid+"/status")
	for _, want := range []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, want) {
			m.t.Errorf("the process isn't as %q:\n%s", want, status)
		}
	}
	if uid, err := strconv.Atoi(m.run("id", "-u", "consentgate")); err != nil || uid == 0 || !strings.Contains(status, fmt.Sprintf("Uid:\t%d\t%d", uid, uid)) {
		m.t.Errorf("the process isn't user %d's (%v):\n%s", uid, err, status)
	}
}
