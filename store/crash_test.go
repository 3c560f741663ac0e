package store_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store"
	"consentgate/store/rootcell/devicetest"
)

// TestMain lets the test binary be the gate that gets killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("STORE_CRASH_DIR"); dir != "" {
		if point := os.Getenv("STORE_CRASH_POINT"); point != "" {
			crashAt(dir, point)
		}
		crashChild(dir)
		return
	}
	if dir := os.Getenv("STORE_RIGHTS_DIR"); dir != "" {
		rightsChild(dir)
	}
	if dir := os.Getenv("STORE_COMPACT_DIR"); dir != "" {
		compactChild(dir, os.Getenv("STORE_COMPACT_UNTIL"))
		return
	}
	if dir := os.Getenv("STORE_ARCHIVE_DIR"); dir != "" {
		archiveChild(dir, os.Getenv("STORE_ARCHIVE_URL"), os.Getenv("STORE_ARCHIVE_DO"), os.Getenv("STORE_ARCHIVE_UNTIL"))
		return
	}
	if dir := os.Getenv("STORE_ERASE_DIR"); dir != "" {
		eraseChild(dir, os.Getenv("STORE_ERASE_GRANT"), os.Getenv("STORE_ERASE_UNTIL"))
		return
	}
	if dir := os.Getenv("STORE_OUTCOMES_DIR"); dir != "" {
		store.OutcomesChild(dir)
		return
	}
	if os.Getenv("VAULTSERVER") != "" { // then devices are tested with
		os.Exit(devicetest.Main(m))
	}
	os.Exit(m.Run())
}

// crashChild records three calls in real time and says what it has given to the
// recorder, until it is killed.
func crashChild(dir string) {
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	var rs []*store.Recording
	for i := range 3 {
		g, reason := tryGrant(s.Audit(), fmt.Sprint("call-", i))
		if reason != "" {
			panic(reason)
		}
		r, err := s.Create(context.Background(), g)
		if err != nil {
			panic(err)
		}
		if err := r.Format(consent.Remote, 0, "PCMU", 8000); err != nil {
			panic(err)
		}
		rs = append(rs, r)
	}
	tryGrant(s.Audit(), "granted, never opened")
	tick := time.NewTicker(20 * time.Millisecond)
	for i := 0; ; i++ {
		now := <-tick.C
		for _, r := range rs {
			if err := r.WriteRTP(consent.Remote, now, packet(uint16(i), uint32(i*160), 1, byte(i))); err != nil {
				panic(err)
			}
		}
		fmt.Println(i)
	}
}

// TestInvariant7_EveryConsentedCallIsAccounted: the process is killed in
// mid-call, at random times. At the next start each grant has one end, each
// recording is there but for its last second, and the log verifies.
func TestInvariant7_EveryConsentedCallIsAccounted(t *testing.T) {
	t.Parallel()
	for round := range 6 {
		dir := filepath.Join(t.TempDir(), "data")
		written := killed(t, dir, 900+rand.IntN(600))
		s := openStore(t, dir)
		got := types(t, s)
		if got[store.TypeSealed] != 3 || got[store.TypeFailed] != 1 {
			t.Fatalf("round %d: %v", round, got)
		}
		found, _, err := s.Search(store.Query{})
		must(t, err)
		if len(found) != 3 {
			t.Fatalf("round %d: %d recordings", round, len(found))
		}
		for _, sum := range found {
			var wav bytes.Buffer
			reading, err := s.WAV(context.Background(), sum.ID, &wav)
			must(t, err)
			if reading.Final || sum.State != store.StateTruncated {
				t.Errorf("round %d: state %s, final %v", round, sum.State, reading.Final)
			}
			lost := time.Duration(written)*20*time.Millisecond - reading.Length
			if lost > time.Second {
				t.Errorf("round %d: %s are lost of %d packets", round, lost, written)
			}
		}
		must(t, s.Close())
		verify(t, dir)
		// a second start finds nothing to do
		s = openStore(t, dir)
		if again := types(t, s); again[store.TypeSealed] != 3 || again[store.TypeFailed] != 1 {
			t.Errorf("round %d: after another start %v", round, again)
		}
		must(t, s.Close())
	}
}

// killed runs the child for some milliseconds after its first packet and kills
// it; it returns how many packets each call had.
func killed(t *testing.T, dir string, ms int) int {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=none")
	cmd.Env = append(os.Environ(), "STORE_CRASH_DIR="+dir)
	out, err := cmd.StdoutPipe()
	must(t, err, cmd.Start())
	n := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if n == 0 {
			time.AfterFunc(time.Duration(ms)*time.Millisecond, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
		}
		n++
	}
	if err := cmd.Wait(); err == nil || n == 0 {
		t.Fatalf("the child wasn't killed: %v after %d packets", err, n)
	}
	return n
}

// TestARecordingCutShortIsFound: the log had seen more frames than are left.
func TestARecordingCutShortIsFound(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	killed(t, dir, 11_000) // past the first anchor
	files, err := filepath.Glob(filepath.Join(dir, "recordings", "*.live"))
	must(t, err)
	must(t, os.Truncate(files[0], 3000))
	s := openStore(t, dir)
	defer s.Close()
	short := 0
	must(t, s.Entries(0, func(e store.Entry) bool {
		if e.Type == store.TypeSealed && bytes.Contains(e.Payload, []byte("the log had seen")) {
			short++
		}
		return true
	}))
	if short != 1 {
		t.Errorf("%d recordings are known to be cut short", short)
	}
}

// tinyDisk is a file system of its own that can fill up.
func tinyDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("NOT TESTED: a real full disk needs the right to mount (%v)", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all the room that is left, and returns how to give it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	must(t, err)
	for _, n := range []int{1 << 16, 1 << 12, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, n))
		}
	}
	must(t, f.Close())
	return func() { must(t, os.Remove(path)) }
}

// TestFullDiskAtGrantMeansNoGrant: a real file system with no byte left. When
// there is room again, the log goes on and verifies.
func TestFullDiskAtGrantMeansNoGrant(t *testing.T) {
	disk := tinyDisk(t, "12m")
	dir := filepath.Join(disk, "data")
	s := openStore(t, dir)
	record(t, s, "before", 10)
	free := fill(t, disk)
	refused := 0
	for range 200 { // bbolt may have a few free pages left
		if g, _ := tryGrant(s.Audit(), "full"); !g.Valid() {
			refused++
		} else if _, err := s.Create(context.Background(), g); err == nil {
			t.Log("there was room for another recording")
		}
	}
	if refused == 0 {
		t.Error("no grant was refused on a full disk")
	}
	free()
	record(t, s, "after", 10)
	must(t, s.Close())
	verify(t, dir)
}

// TestFullDiskInMidRecordingKeepsWhatIsThere.
func TestFullDiskInMidRecordingKeepsWhatIsThere(t *testing.T) {
	disk := tinyDisk(t, "12m")
	s := openStore(t, filepath.Join(disk, "data"))
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err)
	start := time.Now()
	must(t, r.Format(consent.Remote, 0, "PCMU", 8000))
	i := 0
	write := func() error {
		i++
		return r.WriteRTP(consent.Remote, start.Add(time.Duration(i)*20*time.Millisecond), packet(uint16(i), uint32(i*160), 1, byte(i)))
	}
	for range 100 {
		must(t, write())
	}
	free := fill(t, disk)
	for deadline := time.Now().Add(20 * time.Second); err == nil; {
		if err = write(); time.Now().After(deadline) {
			t.Fatal("a full disk was never noticed")
		}
	}
	free()
	if err := r.Seal(time.Now(), "hang-up"); err == nil {
		t.Error("an incomplete recording was sealed as if it were whole")
	}
	sum, err := s.Get(r.ID())
	must(t, err)
	reading, err := s.Check(context.Background(), r.ID())
	must(t, err)
	if sum.State != store.StateTruncated || reading.Frames == 0 {
		t.Errorf("%+v, %d frames", sum, reading.Frames)
	}
	must(t, s.Close())
	verify(t, filepath.Join(disk, "data"))
}

func TestEndsAreJSONThatOthersCanRead(t *testing.T) {
	s, _ := kit(t)
	id := record(t, s, "c", 3)
	seen := false
	must(t, s.Entries(0, func(e store.Entry) bool {
		var v map[string]any
		if e.Type == store.TypeSealed && json.Unmarshal(e.Payload, &v) == nil {
			seen = v["recording"] == id && v["reason"] == "hang-up" && v["frames"].(float64) >= 2 && len(v["hash"].(string)) == 64
		}
		return true
	}))
	if !seen {
		t.Error("the end isn't as documented")
	}
}
