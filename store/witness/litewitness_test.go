package witness_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
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

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"consentgate/consent"
	"consentgate/store"
	"consentgate/store/witness"
)

// litewitness is Filippo Valsorda's witness (C2SP tlog-witness) as its own
// program: nothing of it is ours. It cosigns the log of a store.
type litewitness struct {
	url, vkey string
	db        string
}

func startLitewitness(t *testing.T) litewitness {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "litewitness")
	build := exec.Command("go", "build", "-mod=readonly", "-o", bin, "filippo.io/torchwood/cmd/litewitness")
	build.Dir = "testdata/litewitness"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building litewitness: %v\n%s", err, out)
	}
	socket, fingerprint := serveKey(t)
	l := litewitness{db: filepath.Join(dir, "litewitness.db")}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := free.Addr().String()
	must(t, free.Close())
	l.url = "http://" + addr
	c := exec.Command(bin, "-db", l.db, "-name", "witness.example/w1", "-key", fingerprint, "-ssh-agent", socket, "-listen", addr)
	errs, err := c.StderrPipe()
	must(t, err, c.Start())
	lines := bufio.NewScanner(errs)
	for l.vkey == "" && lines.Scan() {
		_, l.vkey, _ = strings.Cut(lines.Text(), "vkey=")
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines.Scan() { // so that it doesn't wait for us
		}
	})
	t.Cleanup(func() {
		must(t, c.Process.Signal(os.Interrupt))
		reading.Wait()
		must(t, c.Wait())
	})
	if l.vkey == "" {
		t.Fatal("litewitness doesn't start")
	}
	return l
}

// serveKey is an ssh-agent with a new key, where litewitness wants one.
func serveKey(t *testing.T) (socket, fingerprint string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	keys := agent.NewKeyring()
	must(t, keys.Add(agent.AddedKey{PrivateKey: private}))
	key, err := ssh.NewPublicKey(public)
	must(t, err)
	dir, err := os.MkdirTemp("", "agent") // a socket's name must be short
	must(t, err)
	socket = filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	must(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { _ = agent.ServeAgent(keys, conn) })
		}
	})
	t.Cleanup(func() { must(t, listener.Close(), os.RemoveAll(dir)); serving.Wait() })
	return socket, ssh.FingerprintSHA256(key)
}

// knows tells litewitness of a log, as its own witnessctl does.
func (l litewitness) knows(t *testing.T, vkey string) {
	t.Helper()
	origin, _, _ := strings.Cut(vkey, "+")
	const script = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=10)
db.execute("INSERT INTO log VALUES (?, 0, ?)", (sys.argv[2], "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="))
db.execute("INSERT INTO key VALUES (?, ?)", (sys.argv[2], sys.argv[3]))
db.commit()
`
	if out, err := exec.Command("python3", "-c", script, l.db, origin, strings.TrimSpace(vkey)).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
}

// opened is an open store with this witness, and a reader of its metrics.
func (l litewitness) opened(t *testing.T, dir string) (*store.Store, func(string) float64) {
	t.Helper()
	reg := prometheus.NewRegistry()
	s, err := store.Open(store.Options{Dir: dir, Registerer: reg, WitnessEvery: 10 * time.Millisecond,
		Witnesses: []witness.Config{{URL: l.url, VKey: l.vkey}}})
	must(t, err)
	return s, func(name string) float64 {
		families, err := reg.Gather()
		must(t, err)
		for _, f := range families {
			if f.GetName() == "consentgate_audit_"+name {
				return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
			}
		}
		return -1
	}
}

func logSome(t *testing.T, s *store.Store, n int) {
	t.Helper()
	for range n {
		_, err := s.Audit().Append(context.Background(), consent.Record{Kind: consent.Withdrawn})
		must(t, err)
	}
}

// TestARealWitnessCosigns what continues what it cosigned before, and the
// cosignature is kept, exported and found by a verifier that knows the witness.
// Another history it refuses, even where the gate's own note of the first is
// gone, and the gate says so.
func TestARealWitnessCosigns(t *testing.T) {
	l := startLitewitness(t)
	dir := filepath.Join(t.TempDir(), "data")
	must(t, storeOnce(dir))
	vkey, err := os.ReadFile(filepath.Join(dir, store.VerifierFile))
	must(t, err)

	s, metric := l.opened(t, dir)
	wait(t, "a refusal: it doesn't know the log yet", func() bool { return metric("witness_failures_total") >= 1 })
	l.knows(t, string(vkey))
	for n := range 3 {
		logSome(t, s, 5)
		wait(t, "the cosignature", func() bool { return metric("witnessed_size") == float64(3+5*(n+1)) })
	}
	must(t, s.Close())
	s, metric = l.opened(t, dir) // it goes on from what it has
	wait(t, "the cosignature", func() bool { return metric("witnessed_size") == 20 })
	must(t, s.Close())

	auditor := store.Auditor{VKey: string(vkey), Witnesses: []string{l.vkey}}
	r, err := auditor.Verify(context.Background(), dir, nil)
	must(t, err)
	if !r.OK() || len(r.Cosigned) != 1 || r.Cosigned[0].Size != 21 || r.Cosigned[0].Witness != "witness.example/w1" ||
		time.Since(r.Cosigned[0].At).Abs() > time.Hour {
		t.Errorf("%+v", r)
	}
	if r, err := (store.Auditor{Witnesses: []string{startLitewitness(t).vkey}}).Verify(context.Background(), dir, nil); err != nil || r.OK() {
		t.Errorf("control: a witness that never saw the log: %+v %v", r, err)
	}
	notes, err := witness.Notes(dir)
	must(t, err)
	must(t, os.Remove(filepath.Join(dir, "audit.db")), os.RemoveAll(filepath.Join(dir, "witnessed"))) // the insider is thorough
	must(t, storeOnce(dir))
	s, metric = l.opened(t, dir)
	logSome(t, s, 30)
	wait(t, "the alarm", func() bool { return metric("witness_conflict") == 1 })
	must(t, s.Close())
	if r, err := auditor.Verify(context.Background(), dir, nil); err != nil || r.OK() || !strings.Contains(r.Problem, "no checkpoint is cosigned") {
		t.Errorf("the other history passes: %+v %v", r, err)
	}
	auditor.Kept = notes
	if r, err := auditor.Verify(context.Background(), dir, nil); err != nil || r.OK() || !strings.Contains(r.Problem, "the checkpoint given") {
		t.Errorf("the other history passes: %+v %v", r, err)
	}
}

// storeOnce has a store opened and closed.
func storeOnce(dir string) error {
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	return s.Close()
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func wait(t *testing.T, what string, until func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !until(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
