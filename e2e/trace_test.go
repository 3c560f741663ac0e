package e2e

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestAnOperatorGetsATraceOfACall: by the id in the log and as the latest, printed
// and as packets, with no number in it; and says what to do where there is none.
func TestAnOperatorGetsATraceOfACall(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp("", "trace-") // a socket's name is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l := newLine(t, setup{extra: "trace: {calls: 10}\n", dataDir: filepath.Join(dir, "data")})
	if got, code := l.run("trace", "--config", l.config); code != 1 || !strings.Contains(got, "no such call is kept") {
		t.Errorf("before the first call: exit %d, %s", code, got)
	}
	c, err := l.dial(ctx, "+493055512345")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Hangup(); err != nil {
		t.Fatal(err)
	}
	id := regexp.MustCompile(`call=(\S+)`).FindStringSubmatch(l.log.String())
	if id == nil {
		t.Fatalf("no call in the log\n%s", l.log)
	}
	var got string
	l.until("the BYE's answer is traced", func() bool {
		got, _ = l.run("trace", "--config", l.config, id[1])
		return strings.Count(got, " BYE\n") >= 4 // CSeq, in requests and answers of both sides
	})
	for _, want := range []string{" carrier in udp " + l.Carrier + " <- ", " pbx out udp " + l.PBX + " -> ", "\nINVITE sip:+n-", "\nm=audio "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q isn't in\n%s", want, got)
		}
	}
	for _, secret := range []string{"3055512345", "2079460123"} {
		if strings.Contains(got, secret) {
			t.Errorf("%s is in\n%s", secret, got)
		}
	}
	path := filepath.Join(dir, "call.pcap")
	if out, code := l.run("trace", "--config", l.config, "latest", "--pcap", path); code != 0 || out != "" {
		t.Errorf("exit %d, %s", code, out)
	}
	packets, err := os.ReadFile(path)
	if err != nil || bytes.Count(packets, []byte("\r\nCSeq: ")) != strings.Count(got, "\nCSeq: ") {
		t.Errorf("other messages in the packets: %v", err)
	}
	if _, code := l.run("trace", "--config", l.config, "latest", "more"); code != 2 {
		t.Errorf("a word too many: exit %d", code)
	}
	l.stop()
	if got, code := l.run("trace", "--config", l.config); code != 1 || !strings.Contains(got, "is it running") {
		t.Errorf("without a gate: exit %d, %s", code, got)
	}
}

// TestSngrepReadsWhatIsSentToHomer: a program that we didn't write gets a call by
// HEP3 and writes its messages to a file; they are all there, redacted.
func TestSngrepReadsWhatIsSentToHomer(t *testing.T) {
	t.Parallel()
	needs(t, "sngrep")
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	server, path := freePort(t), filepath.Join(t.TempDir(), "homer.pcap")
	sngrep := exec.CommandContext(ctx, "sngrep", "-F", "-N", "-q", "-L", "udp:"+server, "-O", path)
	if err := sngrep.Start(); err != nil {
		t.Fatal(err)
	}
	l := newLine(t, setup{extra: "hep: {server: \"" + server + "\"}\n"})
	l.until("sngrep listens", func() bool { // nobody else can, then
		s, err := net.ListenPacket("udp4", server)
		if err == nil {
			_ = s.Close()
		}
		return err != nil
	})
	c, err := l.dial(ctx, "+493055512345")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Hangup(); err != nil {
		t.Fatal(err)
	}
	l.stop()
	got := ""
	l.untilCtx(ctx, "the call is captured", func() bool {
		b, _ := os.ReadFile(path)
		got = string(b)
		return strings.Count(got, " BYE\r\n") >= 4
	})
	_ = sngrep.Process.Signal(syscall.SIGTERM)
	_ = sngrep.Wait()
	if !strings.Contains(got, "INVITE sip:+n-") || strings.Count(got, " BYE\r\n") < 4 || strings.Contains(got, "3055512345") {
		t.Errorf("sngrep got\n%s", got)
	}
}
