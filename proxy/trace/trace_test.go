package trace

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"consentgate/proxy/trace/redact"
)

var (
	local4, remote4 = netip.MustParseAddrPort("192.0.2.1:5060"), netip.MustParseAddrPort("192.0.2.2:5062")
	local6, remote6 = netip.MustParseAddrPort("[2001:db8::1]:5060"), netip.MustParseAddrPort("[2001:db8::2]:5062")
	start           = time.Date(2026, 11, 25, 14, 59, 24, 123456000, time.UTC)
)

// said is a message as it came in.
func said(callID, method string, at time.Duration) Message {
	return Message{At: start.Add(at), Side: "carrier", Trunk: "main", Transport: "udp", Local: local4, Remote: remote4, CallID: callID,
		Data: fmt.Appendf(nil, "%s sip:+49301234567@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:5062;branch=z9hG4bK1\r\nFrom: <sip:miller@h>;tag=1\r\n"+
			"To: <sip:+49301234567@h>\r\nCall-ID: %s\r\nCSeq: 1 %s\r\nContent-Length: 0\r\n\r\n", method, callID, method)}
}

func newTracer(t *testing.T, c Config) *Tracer {
	t.Helper()
	c.Registerer, c.Log = prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	tr, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

func dropped(t *testing.T, tr *Tracer) float64 {
	t.Helper()
	var m dto.Metric
	if err := tr.dropped.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func socketIn(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl-") // a socket's name is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "control.sock")
}

// TestACallIsFoundByEitherOfItsIDs, and as the latest, in order of time, over the
// socket; no number and no name is in what is kept.
func TestACallIsFoundByEitherOfItsIDs(t *testing.T) {
	tr := newTracer(t, Config{Calls: 2})
	for _, m := range []Message{said("a@miller", "INVITE", 0), said("a@miller", "BYE", 2*time.Second), said("a@miller", "ACK", time.Second),
		said("r", "REGISTER", 3*time.Second)} {
		tr.Message(m)
	}
	tr.Call("ours", "a@miller")
	until(t, "the call's id is known", func() bool { _, _, ok := tr.Find("ours"); return ok })
	path := socketIn(t)
	c, err := Listen(path, tr, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, which := range []string{"ours", "a@miller", "latest"} {
		got, lost, err := Ask(context.Background(), path, which)
		if err != nil || lost != 0 || len(got) != 3 {
			t.Fatalf("%s: %d messages, %d lost, %v", which, len(got), lost, err)
		}
		for i, method := range []string{"INVITE", "ACK", "BYE"} {
			text := string(got[i].Text)
			if !strings.HasPrefix(text, method) || got[i].Local != local4 || got[i].Remote != remote4 || got[i].Side != "carrier" {
				t.Errorf("%s: message %d is %+v\n%s", which, i, got[i], text)
			}
			if strings.Contains(text, "1234567") || strings.Contains(text, "miller") {
				t.Errorf("not redacted: %s", text)
			}
		}
	}
	if _, _, err := Ask(context.Background(), path, "r"); err == nil || !strings.Contains(err.Error(), "no such call is kept") {
		t.Errorf("a registration: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Ask(context.Background(), path, "latest"); err == nil || !strings.Contains(err.Error(), "no gate answers") {
		t.Errorf("without a gate: %v", err)
	}
}

// TestOldCallsMakeRoom: by number, by size and by age; a long call keeps its first
// and its latest messages.
func TestOldCallsMakeRoom(t *testing.T) {
	c := newCalls(2)
	invite := Kept{At: start, Text: []byte("INVITE ")}
	has := func(want string) {
		t.Helper()
		got, bytes := "", 0
		for _, k := range c.order {
			got += k.key
			for _, m := range k.all {
				bytes += len(m.Text)
			}
		}
		if got != want || bytes != c.bytes || len(c.byKey) != len(c.order) {
			t.Fatalf("kept are %q of %d bytes, counted as %d; want %q", got, bytes, c.bytes, want)
		}
	}
	for _, key := range []string{"a", "b"} {
		c.add(key, invite)
		c.name("id-"+key, key)
	}
	c.add("c", invite)
	has("bc")
	if _, _, ok := c.find("id-a", ""); ok {
		t.Error("a call that is gone is found by its id")
	}
	c.add("b", Kept{At: start, Text: make([]byte, maxBytes)})
	has("c")
	for i := range 2 * maxMessages {
		c.add("c", Kept{At: start.Add(time.Duration(i+1) * time.Second), Text: []byte{byte(i)}})
	}
	has("c")
	got, lost, _ := c.find("latest", "")
	if len(got) != maxMessages || lost != maxMessages+1 || string(got[0].Text) != "INVITE " || got[firstMessages-1].Text[0] != firstMessages-2 || got[len(got)-1].Text[0] != 2*maxMessages-1 {
		t.Errorf("%d messages, %d lost", len(got), lost)
	}
	c.forget(start.Add(2 * maxMessages * time.Second))
	has("c")
	c.forget(start.Add(time.Hour))
	has("")
}

// TestTheSocketIsTheOwnersAndOutlivesACrash: mode 0600, an old file is replaced, a
// running gate's isn't, and nothing else than a trace can be asked for.
func TestTheSocketIsTheOwnersAndOutlivesACrash(t *testing.T) {
	path, log := socketIn(t), slog.New(slog.DiscardHandler)
	crashed, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	crashed.SetUnlinkOnClose(false)
	_ = crashed.Close()
	c, err := Listen(path, newTracer(t, Config{Calls: 1}), log)
	if err != nil {
		t.Fatalf("over an old file: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Listen(path, newTracer(t, Config{Calls: 1}), log); err == nil || !strings.Contains(err.Error(), "another gate") {
		t.Errorf("beside a running gate: %v", err)
	}
	long := "/tmp/" + strings.Repeat("x", 103)
	_, err = Listen(long, newTracer(t, Config{Calls: 1}), log)
	_, _, askErr := Ask(context.Background(), long, "latest")
	for _, err := range []error{err, askErr} {
		if err == nil || !strings.Contains(err.Error(), "choose a shorter data_dir") {
			t.Errorf("a path of %d bytes: %v", len(long), err)
		}
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	_, err = fmt.Fprintln(conn, "stop")
	_, readErr := b.ReadFrom(conn)
	if err != nil || readErr != nil || !strings.Contains(b.String(), "the only question is") {
		t.Errorf("another verb: %v, %v, %s", err, readErr, b.String())
	}
	_ = conn.Close()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("after the end: %v", err)
	}
}

// TestAFullQueueDropsAndCounts: the gate is never kept waiting.
func TestAFullQueueDropsAndCounts(t *testing.T) {
	tr := newTracer(t, Config{Calls: 1})
	tr.stop.Do(func() { close(tr.quit) })
	tr.done.Wait() // nobody takes anything off any more
	for range waiting + 3 {
		tr.Message(said("a", "INVITE", 0))
	}
	if got := dropped(t, tr); got != 3 {
		t.Errorf("%v are counted, not 3", got)
	}
}

// TestAFaultCostsOneMessage: the gate must not end with it (law 2).
func TestAFaultCostsOneMessage(t *testing.T) {
	tr := newTracer(t, Config{Calls: 1})
	tr.stop.Do(func() { close(tr.quit) })
	tr.done.Wait()
	whole := tr.redactor
	tr.redactor = nil
	tr.take(item{Message: said("a", "INVITE", 0)})
	tr.redactor = whole
	tr.take(item{Message: said("b", "INVITE", 0)})
	if _, _, ok := tr.Find("b"); !ok || dropped(t, tr) != 1 {
		t.Errorf("the next is kept: %v; %v are counted", ok, dropped(t, tr))
	}
}

// BenchmarkRedaction is what an INVITE costs beside the call's way.
func BenchmarkRedaction(b *testing.B) {
	tr, m := redact.New(), said("a@miller", "INVITE", 0)
	for b.Loop() {
		tr.Message(m.Data)
	}
}

// chunks takes a HEP3 packet apart, by the specification.
func chunks(t *testing.T, p []byte) map[uint16][]byte {
	t.Helper()
	if len(p) < 6 || string(p[:4]) != "HEP3" || int(binary.BigEndian.Uint16(p[4:])) != len(p) {
		t.Fatalf("not a HEP3 packet of %d bytes: %q", len(p), p)
	}
	out := map[uint16][]byte{}
	for p = p[6:]; len(p) > 0; {
		n := int(binary.BigEndian.Uint16(p[4:]))
		if binary.BigEndian.Uint16(p) != 0 || n < 6 || n > len(p) {
			t.Fatalf("a chunk that is none: %q", p)
		}
		out[binary.BigEndian.Uint16(p[2:])] = p[6:n]
		p = p[n:]
	}
	return out
}

// TestACaptureServerGetsRedactedMessages: a real socket, the chunks read back.
func TestACaptureServerGetsRedactedMessages(t *testing.T) {
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	tr := newTracer(t, Config{HEP: server.LocalAddr().(*net.UDPAddr).AddrPort(), HEPID: 2001})
	in, out := said("a@miller", "INVITE", 0), said("a@miller", "INVITE", 0)
	out.Sent, out.Transport, out.Local, out.Remote = true, "tcp", local6, remote6
	var ids []string
	for _, c := range []struct {
		m    Message
		want map[uint16]string
	}{
		{in, map[uint16]string{1: "\x02", 2: "\x11", 3: "\xc0\x00\x02\x02", 4: "\xc0\x00\x02\x01", 7: "\x13\xc6", 8: "\x13\xc4",
			9: string(binary.BigEndian.AppendUint32(nil, uint32(start.Unix()))), 10: "\x00\x01\xe2\x40", 11: "\x01", 12: "\x00\x00\x07\xd1"}},
		{out, map[uint16]string{1: "\x0a", 2: "\x06", 5: string(local6.Addr().AsSlice()), 6: string(remote6.Addr().AsSlice()), 7: "\x13\xc4", 8: "\x13\xc6"}},
	} {
		tr.Message(c.m)
		buf := make([]byte, 65535)
		if err := server.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := server.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got := chunks(t, buf[:n])
		for kind, want := range c.want {
			if string(got[kind]) != want {
				t.Errorf("chunk %d is %x, not %x", kind, got[kind], want)
			}
		}
		text := string(got[15])
		if !strings.HasPrefix(text, "INVITE sip:+n-") || strings.Contains(text, "1234567") || strings.Contains(text, "miller") {
			t.Errorf("not redacted, or not there:\n%s", text)
		}
		ids = append(ids, string(got[17]))
		if !strings.Contains(text, "\r\nCall-ID: "+string(got[17])+"\r\n") {
			t.Errorf("the correlation id %s isn't the Call-ID of\n%s", got[17], text)
		}
	}
	if ids[0] != ids[1] {
		t.Errorf("one call, two ids: %v", ids)
	}
}

// TestACaptureServerThatIsGoneIsCounted.
func TestACaptureServerThatIsGoneIsCounted(t *testing.T) {
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	tr := newTracer(t, Config{Calls: 1, HEP: server.LocalAddr().(*net.UDPAddr).AddrPort()})
	until(t, "a drop is counted", func() bool { tr.Message(said("a", "INVITE", 0)); return dropped(t, tr) > 0 })
	if _, _, ok := tr.Find("latest"); !ok {
		t.Error("the call isn't kept")
	}
}

// TestWiresharkReadsThePackets: tshark finds SIP by IPv4 and IPv6, and no wrong
// checksum.
func TestWiresharkReadsThePackets(t *testing.T) {
	needs(t, "tshark")
	tr := newTracer(t, Config{Calls: 1})
	out := said("a", "BYE", time.Second)
	out.Sent, out.Local, out.Remote = true, local6, remote6
	tr.Message(said("a", "INVITE", 0))
	tr.Message(out)
	until(t, "both are kept", func() bool { m, _, _ := tr.Find("a"); return len(m) == 2 })
	messages, _, _ := tr.Find("a")
	var b bytes.Buffer
	if err := WritePcap(&b, messages); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "trace.pcap")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := exec.Command("tshark", "-r", path, "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-T", "fields", "-E", "separator= ",
		"-e", "frame.time_epoch", "-e", "ip.src", "-e", "ipv6.src", "-e", "udp.srcport", "-e", "udp.dstport", "-e", "udp.checksum.status",
		"-e", "ip.checksum.status", "-e", "sip.Method").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(got)), "\n")
	for i, want := range []string{"192.0.2.2 5062 5060 1 1 INVITE", "2001:db8::1 5060 5062 1 BYE"} {
		if i >= len(lines) || !strings.HasSuffix(strings.Join(strings.Fields(lines[i]), " "), want) || !strings.HasPrefix(lines[i], fmt.Sprint(start.Unix()+int64(i))) {
			t.Errorf("packet %d: want %s in\n%s", i, want, got)
		}
	}
}

func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is needed: apt-get install %s", program, program)
		}
		t.Skipf("NOT TESTED: %s isn't installed", program)
	}
}
