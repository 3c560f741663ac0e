package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"consentgate/proxy"
	"consentgate/store"
	"consentgate/store/rootcell"
)

// rootKit is a configuration whose root key is in a TPM, with a replica in a
// file, and the data directory that was made with it.
type rootKit struct {
	*testing.T
	dir    string
	config string
	tpm    *exec.Cmd
	public string // age key that backups are sealed for; the file identity has the secret one
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func newRootKit(t *testing.T) *rootKit {
	t.Helper()
	if _, err := exec.LookPath("swtpm"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("NOT TESTED: swtpm is missing, run 'make peers'")
	}
	dir, err := os.MkdirTemp("", "root") // the names of sockets are short
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	k := &rootKit{T: t, dir: dir, config: filepath.Join(dir, "gate.yaml")}
	must(t, os.Mkdir(k.path("stick"), 0o700), os.Mkdir(k.path("state"), 0o700))
	k.write("password", "0123456789abcdef\n")
	k.write("gate.yaml", fmt.Sprintf("data_dir: %[1]s/data\nroot:\n  driver: tpm\n  tpm: {device: %[1]s/tpm, password_file: %[1]s/password}\n"+
		"  replicas: [{driver: file, path: %[1]s/stick/root}]\n", dir)+minimal)
	id, err := age.GenerateX25519Identity()
	must(t, err)
	k.public = id.Recipient().String()
	k.write("identity", id.String()+"\n")
	k.startTPM()
	t.Cleanup(k.stopTPM)
	k.serveOnce()
	return k
}

func (k *rootKit) path(name string) string { return filepath.Join(k.dir, name) }

func (k *rootKit) write(name, text string) {
	k.Helper()
	must(k.T, os.WriteFile(k.path(name), []byte(text), 0o600))
}

func (k *rootKit) startTPM() {
	k.tpm = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+k.path("state"), "--server", "type=unixio,path="+k.path("tpm"),
		"--flags", "not-need-init,startup-clear", "--seccomp", "action=none")
	must(k.T, k.tpm.Start())
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("unix", k.path("tpm")); err == nil {
			must(k.T, c.Close())
			return
		} else if time.Now().After(deadline) {
			k.Fatal(err)
		}
	}
}

func (k *rootKit) stopTPM() {
	if k.tpm != nil {
		_ = k.tpm.Process.Kill()
		_ = k.tpm.Wait() // it was killed
		_ = os.Remove(k.path("tpm"))
		k.tpm = nil
	}
}

// serveOnce makes the data directory as 'serve' does.
func (k *rootKit) serveOnce() {
	k.Helper()
	root := k.cells()
	s, err := store.Open(store.Options{Dir: k.path("data"), Root: root})
	must(k.T, err)
	must(k.T, s.Close(), root.Close())
}

func (k *rootKit) cells() *rootcell.Group {
	k.Helper()
	c, problems := LoadConfig(k.config)
	if !problems.Sound() {
		k.Fatal(problems)
	}
	root, err := openRoot(c)
	must(k.T, err)
	return root
}

// run runs a subcommand; stdin is what is typed.
func (k *rootKit) run(stdin string, args ...string) (code int, said string) {
	k.Helper()
	k.write("stdin", stdin)
	in, err := os.Open(k.path("stdin"))
	must(k.T, err)
	defer in.Close()
	was := os.Stdin
	os.Stdin = in
	defer func() { os.Stdin = was }()
	var out bytes.Buffer
	code = run(context.Background(), append(args[:2:2], append([]string{"--config", k.config}, args[2:]...)...), &out, &out)
	return code, out.String()
}

// want runs a subcommand and wants an exit code and words.
func (k *rootKit) want(code int, words, stdin string, args ...string) {
	k.Helper()
	if got, said := k.run(stdin, args...); got != code || !strings.Contains(said, words) {
		k.Errorf("%s: exit %d, want %d and %q:\n%s", args, got, code, words, said)
	}
}

// backup makes one for the kit's key, and gives the flags that open it.
func (k *rootKit) backup() (open []string) {
	k.Helper()
	k.want(exitOK, "epoch 1, sealed", "", "root", "backup", "--to", k.path("backup"), "--recipient", k.public)
	return []string{"--from", k.path("backup"), "--identity", k.path("identity")}
}

// TestABackupOpensTheDataDirectoryAndRestoresTheRoot after the TPM and its
// replica are lost.
func TestABackupOpensTheDataDirectoryAndRestoresTheRoot(t *testing.T) {
	k := newRootKit(t)
	k.want(exitOK, "root keys of epochs: [1]", "", "root", "status")
	opened := k.backup()
	k.want(exitFail, "is there already", "", "root", "backup", "--to", k.path("backup"), "--recipient", k.public)
	k.want(exitOK, "opens all of", "", append([]string{"root", "drill"}, opened...)...)

	k.stopTPM() // the board is replaced, and the stick is lost
	must(t, os.RemoveAll(k.path("state")), os.Mkdir(k.path("state"), 0o700), os.Remove(k.path("stick/root")))
	k.startTPM()
	k.want(exitFail, "lacks the root key of epoch 1", "", "root", "status")
	k.want(exitOK, "has the root key of epoch 1 now", "", append([]string{"root", "restore"}, opened...)...)
	k.want(exitOK, "opens all of", "", "root", "status")
	k.want(exitOK, ": has it", "", append([]string{"root", "restore"}, opened...)...)
	k.serveOnce()
}

// TestABackupIsForOneOfThoseWhoMustHaveOne.
func TestABackupIsForOneOfThoseWhoMustHaveOne(t *testing.T) {
	k := newRootKit(t)
	make := func(code int, words string, more ...string) {
		t.Helper()
		k.want(code, words, "", append([]string{"root", "backup", "--to", k.path("for" + strings.Join(more, "")), "--recipient", k.public}, more...)...)
	}
	make(exitFail, "one of erasure.backups, []", "--holder", "safe")
	config, err := os.ReadFile(k.config)
	must(t, err, os.WriteFile(k.config, append(config, "\nerasure: {require_backup: true, backups: [safe, bank]}\n"...), 0o600))
	make(exitFail, `one of erasure.backups, ["safe" "bank"]`)
	make(exitFail, "one of erasure.backups", "--holder", "dana")
	make(exitOK, "epoch 1, sealed", "--holder", "safe")
	if note := k.read("data/root-backup.json"); !strings.Contains(note, `"holders":{"safe":`) {
		t.Errorf("%s", note)
	}
}

// TestABackupUnderAPassphraseOpensWithItAlone.
func TestABackupUnderAPassphraseOpensWithItAlone(t *testing.T) {
	const typed = "correct horse battery\n"
	k := newRootKit(t)
	k.want(exitFail, "at least 12 characters", "short\n", "root", "backup", "--to", k.path("backup"))
	k.want(exitOK, "epoch 1, sealed", typed, "root", "backup", "--to", k.path("backup"))
	k.want(exitOK, "opens all of", typed, "root", "drill", "--from", k.path("backup"))
	k.want(exitFail, "opening the backup", "wrong passphrase\n", "root", "drill", "--from", k.path("backup"))
}

// TestABackupForAKeyOpensWithItAlone: who makes it can't read it.
func TestABackupForAKeyOpensWithItAlone(t *testing.T) {
	k := newRootKit(t)
	k.want(exitFail, "--recipient", "", "root", "backup", "--to", k.path("backup"), "--recipient", "nobody")
	k.backup()
	other, err := age.GenerateX25519Identity()
	must(t, err)
	k.write("other", other.String()+"\n")
	k.want(exitFail, "opening the backup", "", "root", "drill", "--from", k.path("backup"), "--identity", k.path("other"))
	if sealed := k.read("backup"); !strings.HasPrefix(sealed, "-----BEGIN AGE ENCRYPTED FILE-----") {
		t.Errorf("it can't be printed: %q", sealed)
	}
}

// TestABackupFromBeforeAnErasureIsRefused: it would bring back what was erased.
func TestABackupFromBeforeAnErasureIsRefused(t *testing.T) {
	k := newRootKit(t)
	opened := k.backup()
	root := k.cells()
	_, err := root.Make(context.Background(), 2)
	must(t, err, root.Destroy(context.Background(), 1), root.Close(), os.RemoveAll(k.path("data")))
	k.serveOnce() // a directory of epoch 2, as a rotation leaves it
	for _, verb := range []string{"drill", "restore"} {
		k.want(exitFail, "Destroy this backup", "", append([]string{"root", verb}, opened...)...)
	}
	if got := k.epochs(0); got != "[2]" {
		t.Errorf("the TPM has %s", got)
	}
}

func (k *rootKit) epochs(cell int) string {
	k.Helper()
	root := k.cells()
	defer func() { must(k.T, root.Close()) }()
	got, err := root.Cells()[cell].Epochs(context.Background())
	must(k.T, err)
	return fmt.Sprint(got)
}

// TestAReplicaThatLacksTheRootGetsIt, and one that holds an old root is told of.
func TestAReplicaThatLacksTheRootGetsIt(t *testing.T) {
	k := newRootKit(t)
	must(t, os.Remove(k.path("stick/root")))
	k.want(exitFail, "lacks the root key of epoch 1: 'consentgate root replicate'", "", "root", "status")
	k.want(exitOK, "has the root key of epoch 1 now", "", "root", "replicate")
	k.want(exitOK, "opens all of", "", "root", "status")

	root := k.cells()
	_, err := root.Make(context.Background(), 2)
	must(t, err, root.Cells()[0].Destroy(context.Background(), 1), root.Close(), os.RemoveAll(k.path("data")))
	k.serveOnce()
	k.want(exitFail, "still holds the root key of epoch 1, which an erasure is to destroy", "", "root", "status")
}

// TestAnotherRootOfTheSameEpochStays: a restore replaces nothing.
func TestAnotherRootOfTheSameEpochStays(t *testing.T) {
	k := newRootKit(t)
	other := "consentgate root 1 " + strings.Repeat("5a", 32) + "\n"
	k.write("stick/root", other)
	k.want(exitFail, "which isn't replaced", "", "root", "replicate")
	if got, err := os.ReadFile(k.path("stick/root")); err != nil || string(got) != other {
		t.Errorf("%v", err)
	}
}

// TestVerifyReadsTheRootFromTheDevice, and from a replica where that is away.
func TestVerifyReadsTheRootFromTheDevice(t *testing.T) {
	k := newRootKit(t)
	var out bytes.Buffer
	verify := func() (int, string) {
		out.Reset()
		return run(context.Background(), []string{"verify", "--config", k.config}, &out, &out), out.String()
	}
	if code, said := verify(); code != exitOK || strings.Contains(said, "stay sealed") {
		t.Errorf("%d: %s", code, said)
	}
	k.stopTPM()
	if code, said := verify(); code != exitOK || strings.Contains(said, "stay sealed") {
		t.Errorf("with the TPM away: %d: %s", code, said)
	}
	must(t, os.Remove(k.path("stick/root")))
	if code, said := verify(); code != exitFail || !strings.Contains(said, "turned on in the firmware") {
		t.Errorf("with both away: %d: %s", code, said)
	}
}

// TestTheConfigurationsInTheManualAreSound: each "root:" of docs/operations.md.
func TestTheConfigurationsInTheManualAreSound(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	must(t, err)
	drivers := map[string]int{}
	for _, block := range strings.Split(string(text), "\n    root:")[1:] {
		lines := strings.Split("    root:"+block, "\n")
		n := 1
		for n < len(lines) && strings.HasPrefix(lines[n], "      ") {
			n++
		}
		c, problems := ParseConfig("manual", []byte(strings.ReplaceAll("\n"+strings.Join(lines[:n], "\n"), "\n    ", "\n")+minimal))
		if !problems.Sound() {
			t.Errorf("%s\n%s", strings.Join(lines[:n], "\n"), problems)
			continue
		}
		drivers[c.Root.Driver]++
		drivers["replica"] += len(c.Root.Replicas)
	}
	if drivers["file"] == 0 || drivers["tpm"] < 2 || drivers["pkcs11"] == 0 || drivers["vault"] == 0 || drivers["replica"] == 0 {
		t.Errorf("found %v", drivers)
	}
}

// TestAGateWhoseRootKeyIsAwayTakesCallsUnrecorded: the device isn't needed to
// carry calls, only to record them.
func TestAGateWhoseRootKeyIsAwayTakesCallsUnrecorded(t *testing.T) {
	k := newRootKit(t)
	if got := k.recordingPossible(); got != "1" {
		t.Errorf("with the TPM there: %s", got)
	}
	k.stopTPM()
	if got := k.recordingPossible(); got != "1" {
		t.Errorf("with its replica: %s", got)
	}
	must(t, os.Rename(k.path("stick"), k.path("away")))
	if got := k.recordingPossible(); got != "0" {
		t.Errorf("with both away: %s", got)
	}
	must(t, os.Rename(k.path("away"), k.path("stick")))
	k.write("gate.yaml", strings.Replace(k.read("gate.yaml"), "driver: tpm", "driver: pkcs11\n  pkcs11: {module: m, token: t, pin_file: p}", 1))
	if got := k.recordingPossible(); got != "0" { // there is no consentgate-pkcs11 beside the test
		t.Errorf("with a cell that can't be opened: %s", got)
	}
}

func (k *rootKit) read(name string) string {
	k.Helper()
	text, err := os.ReadFile(k.path(name))
	must(k.T, err)
	return string(text)
}

// recordingPossible starts a gate, which must serve, and reads the metric.
func (k *rootKit) recordingPossible() string {
	k.Helper()
	c, problems := LoadConfig(k.config)
	if !problems.Sound() {
		k.Fatal(problems)
	}
	anyPort := []proxy.Listen{{Transport: "udp", Addr: netip.MustParseAddrPort("127.0.0.1:0")}}
	c.Ops, c.Trunks[0].PBX.Listen, c.Trunks[0].Carrier.Listen = "127.0.0.1:0", anyPort, anyPort
	app, err := NewApp(context.Background(), c, slog.New(slog.DiscardHandler))
	must(k.T, err)
	app.Start()
	defer func() { must(k.T, app.Stop()) }()
	got, err := http.Get("http://" + app.opsAddr().String() + "/metrics")
	must(k.T, err)
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	must(k.T, err)
	_, rest, _ := strings.Cut(string(text), "\nconsentgate_recording_possible ")
	value, _, _ := strings.Cut(rest, "\n")
	return value
}
