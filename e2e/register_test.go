package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"consentgate/internal/sipp"
)

// kamailioConfig is what every Kamailio here has; its routes come behind it.
const kamailioConfig = `#!KAMAILIO
debug=0
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
listen=udp:%s
mpath="%s"
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "auth.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "textops.so"
loadmodule "siputils.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "default_expires", 300)
`

// registrar is a carrier's registrar: digest, bindings in memory, calls to an
// address of record go to what is registered for it.
const registrar = `
request_route {
	if (is_method("OPTIONS")) {
		sl_send_reply("200", "OK");
		exit;
	}
	if (is_method("REGISTER")) {
		if (!pv_www_authenticate("carrier.example", "secret", "0")) {
			www_challenge("carrier.example", "1");
			exit;
		}
		save("location");
		exit;
	}
	if (has_totag()) {
		if (loose_route() || is_method("ACK")) t_relay();
		exit;
	}
	if (is_method("CANCEL")) {
		t_relay();
		exit;
	}
	record_route();
	if (!lookup("location")) {
		sl_send_reply("404", "Not Found");
		exit;
	}
	t_relay();
}
`

// startKamailio runs a Kamailio with those routes at an address, and returns its
// process. more are arguments.
func startKamailio(t testing.TB, at, routes string, more ...string) (pid int) {
	t.Helper()
	path := needs(t, "kamailio")
	modules, err := filepath.Glob("/usr/lib/*/kamailio/modules")
	if err != nil || len(modules) == 0 {
		t.Fatal("kamailio's modules aren't where Debian puts them")
	}
	dir, out := t.TempDir(), &syncBuffer{}
	config := filepath.Join(dir, "kamailio.cfg")
	if err := os.WriteFile(config, fmt.Appendf(nil, kamailioConfig+"%s", at, modules[0], routes), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, append([]string{"-f", config, "-DD", "-E", "-m", "16", "-M", "4", "-Y", dir}, more...)...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it ends its children
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			t.Error("kamailio doesn't end")
		}
	})
	conn, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ping := strings.ReplaceAll(fmt.Sprintf("OPTIONS sip:%s SIP/2.0\nVia: SIP/2.0/UDP %s;branch=z9hG4bKping\nFrom: <sip:t@t>;tag=1\nTo: <sip:t@t>\nCall-ID: ping\n"+
		"CSeq: 1 OPTIONS\nMax-Forwards: 70\nContent-Length: 0\n\n", at, conn.LocalAddr()), "\n", "\r\n")
	for end := time.Now().Add(20 * time.Second); ; {
		_, _ = conn.Write([]byte(ping)) // refused until it listens
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if n, err := conn.Read(make([]byte, 4096)); err == nil && n > 0 {
			return cmd.Process.Pid
		}
		if time.Now().After(end) {
			t.Fatalf("kamailio doesn't answer\n%s", out)
		}
	}
}

// registration registers a phone at a registrar, answering its challenge, and
// checks what it gets back: its own Contact as it wrote it, or none.
func registration(user, registrar, contact, back string, expires int) string {
	request := func(cseq int, auth string) string {
		return fmt.Sprintf(`  <send retrans="500"><![CDATA[
      REGISTER sip:%[2]s SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: <sip:%[1]s@%[2]s>;tag=[pid]SIPpTag00[call_number]
      To: <sip:%[1]s@%[2]s>
      Call-ID: [call_id]
      CSeq: %[4]d REGISTER
      Contact: %[3]s
      Max-Forwards: 70
      Expires: %[5]d
%[6]s      Content-Length: 0

  ]]></send>
`, user, registrar, contact, cseq, expires, auth)
	}
	check := ""
	if back != "" {
		check = fmt.Sprintf(`<action><ereg regexp="%s" search_in="msg" check_it="true" assign_to="1"/></action>`, back)
	}
	scenario := `<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="registrant">
` + request(1, "") + `  <recv response="401" auth="true"/>
` + request(2, fmt.Sprintf("      [authentication username=%s password=secret]\n", user)) +
		`  <recv response="200">` + check + `</recv>
`
	if check != "" {
		scenario += `  <Reference variables="1"/>
`
	}
	return scenario + `</scenario>
`
}

// registers runs such a registration by way of a gate.
func registers(t *testing.T, g *gate, at, user, registrar, contact, back string, expires int) {
	t.Helper()
	sipp.Start(t, "registrant", registration(user, registrar, contact, back, expires), at, g.PBX, 1).Wait()
}

// rings calls an address of record at the registrar; the phone there answers and
// must see its own Contact called.
func rings(t *testing.T, at, user, registrar, file string) {
	t.Helper()
	called := strings.Replace(sipp.Called(file), `<recv request="INVITE" crlf="true" rrs="true"/>`,
		fmt.Sprintf(`<recv request="INVITE" crlf="true" rrs="true"><action><ereg regexp="^INVITE sip:100@%s;line=x SIP/2.0" search_in="msg" check_it="true" assign_to="1"/></action></recv>
  <Reference variables="1"/>`, at), 1)
	server := sipp.Start(t, "called", called, at, "", 1)
	client := sipp.Start(t, "caller", sipp.Caller(user, file, 300*time.Millisecond), freePort(t), registrar, 1)
	client.Wait()
	server.Wait()
}

const bypassAll = "  - {name: all, numbers: [\"*\"], action: bypass}\n"

// TestARegisteredTrunk with a real registrar: two phones of one user part register
// through the gate with digest, at ports that no configuration names; the
// registrar leads calls to each; they still come after the gate was killed and
// started again; and none after the phone has unregistered.
func TestARegisteredTrunk(t *testing.T) {
	t.Parallel()
	needs(t, "sipp")
	carrier := freePort(t)
	startKamailio(t, carrier, registrar)
	g := startGate(t, setup{carrierPeer: carrier, pbxPeer: freePort(t), policies: bypassAll})
	file := filepath.Join(t.TempDir(), "say.pcap")
	p := sipp.NewCapture()
	p.Tone(440, 200*time.Millisecond)
	p.Write(t, file)
	one, two := freePort(t), freePort(t)
	for user, at := range map[string]string{"100": one, "200": two} {
		contact := fmt.Sprintf("<sip:100@%s;line=x>;+sip.instance=\"[$urn]\"", at)
		contact = strings.Replace(contact, `[$urn]`, "urn:uuid:"+user, 1)
		registers(t, g, at, user, carrier, contact, fmt.Sprintf("Contact: .sip:100@%s;line=x.;expires=300", at), 300)
	}
	if n := g.metric("registrations"); n != 2 {
		t.Errorf("%v are registered", n)
	}
	rings(t, one, "100", carrier, file)
	rings(t, two, "200", carrier, file)
	g.until("it is kept", func() bool { return g.metric("registrations_unsaved") == 0 })
	g.again()
	if n := g.metric("registrations"); n != 2 {
		t.Errorf("after kill -9 %v are registered", n)
	}
	rings(t, two, "200", carrier, file)
	rings(t, one, "100", carrier, file)
	registers(t, g, one, "100", carrier, fmt.Sprintf("<sip:100@%s;line=x>", one), "", 0)
	if n := g.metric("registrations"); n != 1 {
		t.Errorf("%v are registered after one has left", n)
	}
	g.stop()
	if log := g.log.String(); strings.Contains(log, "sip:100") || strings.Contains(log, one) {
		t.Errorf("the log names a registrant:\n%s", log)
	}
	files, err := filepath.Glob(filepath.Join(g.dir, "data", "*.db"))
	if err != nil || len(files) < 3 {
		t.Fatalf("the data directory has %v, %v", files, err)
	}
	for _, f := range files {
		if raw, err := os.ReadFile(f); err != nil || bytes.Contains(raw, []byte("sip:")) || bytes.Contains(raw, []byte(two)) {
			t.Errorf("%s has a registrant in the clear (%v)", filepath.Base(f), err)
		}
	}
}

// again kills the gate outright, unless it has ended, and starts it with the same
// configuration.
func (g *gate) again() {
	g.t.Helper()
	if err := g.kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		g.t.Fatal(err)
	}
	g.stopOnce, g.stopErr = sync.Once{}, nil
	g.cmd, g.exited, g.log = exec.Command(g.cmd.Path, g.cmd.Args[1:]...), make(chan error, 1), &syncBuffer{}
	g.cmd.Stderr = g.log
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	cmd, exited := g.cmd, g.exited
	go func() { exited <- cmd.Wait() }()
	g.until("serving", func() bool { return strings.Contains(g.log.String(), "msg=serving") })
}
