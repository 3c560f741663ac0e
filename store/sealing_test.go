package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store"
)

// crashAt opens a data directory, ends a recording in it unless there is one
// already, and is killed at a point of its sealing.
func crashAt(dir, point string) {
	kill := func(p string) {
		if p == point {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	s, err := store.Open(store.StopAt(store.Options{Dir: dir}, kill))
	if err != nil {
		panic(err)
	}
	g, reason := tryGrant(s.Audit(), "c")
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
	start := time.Now()
	for i := range 100 {
		if err := r.WriteRTP(consent.Remote, start.Add(time.Duration(i)*20*time.Millisecond), packet(uint16(i), uint32(i*160), 1, byte(i))); err != nil {
			panic(err)
		}
	}
	_ = r.Seal(start.Add(2*time.Second), "hang-up")
	panic("nothing happened at point " + point)
}

// points are those of sealing where a crash may hit.
var points = []string{"synced", "written", "named", "kept", "logged"}

func killedAt(t *testing.T, dir, point string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=none")
	cmd.Env = append(os.Environ(), "STORE_CRASH_DIR="+dir, "STORE_CRASH_POINT="+point)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("%s: %v %s", point, err, out)
	}
}

// headers are what sealed files begin with: name, MAC and nonce, which are of one
// key alone.
func headers(t *testing.T, dir string) (out []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "recordings", "*.rec*"))
	must(t, err)
	for _, name := range names {
		raw, err := os.ReadFile(name)
		must(t, err)
		if at := bytes.Index(raw, []byte("\n---")); at > 0 {
			out = append(out, string(raw[at:at+66]))
		}
	}
	return out
}

// TestACrashWhileARecordingIsSealedLosesNothing: killed at each point, and in the
// start after it again. There is one end, all packets, one file, and no key was
// used for two.
func TestACrashWhileARecordingIsSealedLosesNothing(t *testing.T) {
	t.Parallel()
	for _, first := range points {
		for _, second := range []string{"", "written", "kept", "logged"} {
			dir := filepath.Join(t.TempDir(), "data")
			killedAt(t, dir, first)
			before := headers(t, dir)
			kept := first == "logged"
			if second != "" && !kept {
				killedAt(t, dir, second)
				before, kept = append(before, headers(t, dir)...), second == "logged"
			}
			s := openStore(t, dir)
			name := first + ", " + second
			if n := types(t, s)[store.TypeSealed]; n != 1 {
				t.Errorf("%s: %d ends", name, n)
			}
			found, _, err := s.Search(store.Query{})
			must(t, err)
			if len(found) != 1 || found[0].State != store.StateSealed || found[0].Reason != "hang-up" {
				t.Fatalf("%s: %+v", name, found)
			}
			got, err := s.Check(context.Background(), found[0].ID)
			if packets, err := s.Packets(found[0].ID); err != nil || len(packets) != 100 {
				t.Errorf("%s: %d packets, %v", name, len(packets), err)
			}
			if err != nil || !got.Final {
				t.Errorf("%s: %+v %v", name, got, err)
			}
			left, err := filepath.Glob(filepath.Join(dir, "recordings", "*"))
			if must(t, err); len(left) != 1 || filepath.Ext(left[0]) != ".rec" {
				t.Errorf("%s: %v", name, left)
			}
			now := headers(t, dir)
			if len(now) != 1 {
				t.Fatalf("%s: %d headers", name, len(now))
			}
			if again := contains(before, now[0]); again != kept {
				t.Errorf("%s: the file is the one from before: %v, want %v", name, again, kept)
			}
			must(t, s.Close())
			verify(t, dir)
		}
	}
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

// TestManyRecordingsThatEndTogetherAreSealedInTurn: no more at once than there are
// turns, and all of them.
func TestManyRecordingsThatEndTogetherAreSealedInTurn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var mu sync.Mutex
	busy, most := 0, 0
	s, err := store.Open(store.StopAt(store.Options{Dir: dir}, func(p string) {
		mu.Lock()
		defer mu.Unlock()
		switch p {
		case "synced":
			busy++
			most = max(most, busy)
		case "logged":
			busy--
		}
	}))
	must(t, err)
	var all sync.WaitGroup
	for i := range 100 {
		r, err := s.Create(context.Background(), grant(t, s.Audit(), fmt.Sprint("c", i)))
		must(t, err)
		speak(t, r, time.Now(), 10)
		all.Go(func() {
			if err := r.Seal(time.Now().Add(time.Second), "hang-up"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most != store.SealAtOnce() {
		t.Errorf("%d at once", most)
	}
	if n := types(t, s)[store.TypeSealed]; n != 100 || s.Unaccounted() != 0 {
		t.Errorf("%d ends, %d unaccounted", n, s.Unaccounted())
	}
	must(t, s.Close())
	verify(t, dir)
}

// TestARecordingThatCantBeSealedIsPlayedAndSealedLater: the disk is full when its
// call is over. Nothing of it is lost, it can be heard meanwhile, and has one end.
func TestARecordingThatCantBeSealedIsPlayedAndSealedLater(t *testing.T) {
	disk := tinyDisk(t, "12m")
	dir := filepath.Join(disk, "data")
	free := func() {}
	once := sync.Once{}
	s, err := store.Open(store.StopAt(store.Options{Dir: dir}, func(p string) {
		if p == "ended" { // its live file is whole, and now there is no room for another
			once.Do(func() { free = fill(t, disk) })
		}
	}))
	must(t, err)
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err)
	start := time.Now()
	speak(t, r, start, 500)
	must(t, r.Seal(start.Add(10*time.Second), "hang-up"))
	if n := types(t, s)[store.TypeSealed]; n != 0 {
		t.Fatalf("%d ends on a full disk", n)
	}
	for range 2 { // and once more in vain
		if packets, err := s.Packets(r.ID()); err != nil || len(packets) != 1000 {
			t.Errorf("meanwhile: %d packets, %v", len(packets), err)
		}
		if s.Unaccounted() != 0 || s.Unsealed() != 1 {
			t.Errorf("a recording that waits for room: %d unaccounted, %d unsealed", s.Unaccounted(), s.Unsealed())
		}
		s.RunTasks()
	}
	if err := s.Erase(context.Background(), consent.Hash{}, "x"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	free()
	s.RunTasks()
	if got, err := s.Check(context.Background(), r.ID()); err != nil || !got.Final || types(t, s)[store.TypeSealed] != 1 {
		t.Errorf("%+v %v", got, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "recordings", "*"))
	if must(t, err); len(left) != 1 {
		t.Errorf("%v", left)
	}
	must(t, s.Close())
	verify(t, dir)
}

// TestAnErasureOfWhatCantBeSealedNeedsNoRoom for a file that would go at once.
func TestAnErasureOfWhatCantBeSealedNeedsNoRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var s *store.Store
	var g consent.Grant
	asked := false
	s, err := store.Open(store.StopAt(store.Options{Dir: dir}, func(p string) {
		switch p {
		case "ended":
			if asked {
				return
			}
			asked = true
			if err := s.Erase(context.Background(), g.Hash(), "withdrawn"); err != nil {
				t.Errorf("while it waits: %v", err)
			}
		case "synced":
			t.Error("a file was sealed that is to be erased")
		}
	}))
	must(t, err)
	g = grant(t, s.Audit(), "c")
	r, err := s.Create(context.Background(), g)
	must(t, err)
	speak(t, r, time.Now(), 10)
	must(t, r.Seal(time.Now().Add(time.Second), "hang-up"))
	got := types(t, s)
	left, err := filepath.Glob(filepath.Join(dir, "recordings", "*"))
	must(t, err)
	if !asked || got[store.TypeSealed] != 1 || got[store.TypeErased] != 1 || len(left) != 0 {
		t.Errorf("%v, files %v", got, left)
	}
	if _, err := s.Get(r.ID()); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	must(t, s.Close())
	verify(t, dir)
}

// TestASealedFileCarriesNoKey: its header names the recording, and has nothing
// else; and the log has the file's hash and size.
func TestASealedFileCarriesNoKey(t *testing.T) {
	s, dir := kit(t)
	id := record(t, s, "c", 50)
	raw, err := os.ReadFile(filepath.Join(dir, "recordings", id+".rec"))
	must(t, err)
	header, _, ok := strings.Cut(string(raw), "\n---")
	if want := "age-encryption.org/v1\n-> consentgate-recording " + id + "\n"; !ok || header != want {
		t.Errorf("the header is %q", header)
	}
	var end struct {
		Size int
		File string
	}
	must(t, s.Entries(0, func(e store.Entry) bool {
		if e.Type == store.TypeSealed {
			must(t, json.Unmarshal(e.Payload, &end))
		}
		return true
	}))
	if end.Size != len(raw) || len(end.File) != 64 {
		t.Errorf("the log has %+v of %d bytes", end, len(raw))
	}
	if sum, err := s.Get(id); err != nil || sum.Bytes != int64(len(raw)) {
		t.Errorf("%+v %v", sum, err)
	}
}

// TestARecordingIsReadWhileItIsSealed: at every point it is there, whole.
func TestARecordingIsReadWhileItIsSealed(t *testing.T) {
	var s *store.Store
	var r *store.Recording
	seen := map[string]bool{}
	s, err := store.Open(store.StopAt(store.Options{Dir: filepath.Join(t.TempDir(), "data")}, func(p string) {
		packets, err := s.Packets(r.ID())
		if err != nil || len(packets) != 20 {
			t.Errorf("at %s: %d packets, %v", p, len(packets), err)
		}
		seen[p] = true
	}))
	must(t, err)
	r, err = s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err)
	speak(t, r, time.Now(), 10)
	must(t, r.Seal(time.Now().Add(time.Second), "hang-up"), s.Close())
	for _, p := range points {
		if !seen[p] {
			t.Errorf("never at %s", p)
		}
	}
}
