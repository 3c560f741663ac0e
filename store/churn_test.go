package store_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"

	"consentgate/consent"
	"consentgate/store"
)

// churnDir, in the environment, makes TestChurnProcess the process that is killed.
const churnDir = "CONSENTGATE_TEST_CHURN_DIR"

// TestChurnProcess is no test: TestCrashesAtAnyPointLeaveNothingUnaccounted runs
// it as a process of its own.
func TestChurnProcess(t *testing.T) {
	if dir := os.Getenv(churnDir); dir != "" {
		recordUntilKilled(dir)
	}
}

// recordUntilKilled records eight calls at a time, each for a while, and says of
// every packet that WriteRTP took: "recording number unix-nanoseconds". Sometimes it
// compacts first, and may be killed over that.
func recordUntilKilled(dir string) {
	if _, err := os.Stat(filepath.Join(dir, store.VerifierFile)); err == nil && rand.IntN(3) == 0 {
		fmt.Println("compacting", dir, 0)
		if _, err := store.Compact(context.Background(), store.Options{Dir: dir, Node: "crash"}); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("compacted", dir, 0)
	}
	s, err := store.Open(store.Options{Dir: dir, Node: "crash"})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var mu sync.Mutex // a line is written whole
	var calls sync.WaitGroup
	for c := range 8 {
		calls.Go(func() {
			for n := 0; ; n++ {
				if err := recordOne(s, fmt.Sprintf("%d-%d-%d", os.Getpid(), c, n), &mu); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
			}
		})
	}
	calls.Wait()
}

func recordOne(s *store.Store, call string, mu *sync.Mutex) error {
	g, problem := tryGrant(s.Audit(), call)
	if problem != "" {
		return fmt.Errorf("no grant: %s", problem)
	}
	r, err := s.Create(context.Background(), g)
	if err != nil {
		return err
	}
	if err := r.Format(consent.Remote, 0, "PCMU", 8000); err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Millisecond) // four times a call's rate
	defer tick.Stop()
	say := func(words ...any) {
		mu.Lock()
		fmt.Println(words...)
		mu.Unlock()
	}
	n := uint64(rand.IntN(150))
	for i := range n {
		now := <-tick.C
		p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i)}, Payload: binary.BigEndian.AppendUint64(nil, i)}
		raw, err := p.Marshal()
		if err != nil {
			return err
		}
		if err := r.WriteRTP(consent.Remote, now, raw); err != nil {
			return err
		}
		say(r.ID(), i, now.UnixNano())
	}
	if err := r.Seal(time.Now(), "hang-up"); err != nil {
		return err
	}
	say("sealed", r.ID(), n)
	if rand.IntN(4) > 0 {
		return nil
	}
	say("erasing", r.ID(), 0)
	if err := s.Erase(context.Background(), g.Hash(), "asked for"); err != nil {
		return err
	}
	say("erased", r.ID(), 0)
	return nil
}

// acked is what killed processes said: when each packet was taken, what they were
// told is sealed, with how many packets, and what they began to erase, and did.
type acked struct {
	packets         map[string][]time.Time
	sealed          map[string]int
	erasing, erased map[string]bool
	compactions     map[string]int // by how far they came: compacting, compacted
}

// crash runs the process, kills it after a while and notes what it said.
func (said acked) crash(t *testing.T, dir string, after time.Duration) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self, "-test.run=^TestChurnProcess$")
	cmd.Env = append(os.Environ(), churnDir+"="+dir)
	out, err := cmd.StdoutPipe()
	must(t, err, cmd.Start())
	kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // SIGKILL; it may have ended by itself
	defer kill.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		said.note(t, lines.Text())
		if strings.HasPrefix(lines.Text(), "compacting") && rand.IntN(2) == 0 { // which is over soon
			kill.Reset(time.Duration(rand.IntN(80)) * time.Millisecond)
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process ended before it was killed")
	}
}

func (said acked) note(t *testing.T, line string) {
	t.Helper()
	word, rest, _ := strings.Cut(line, " ")
	var id string
	var n int
	var at int64
	switch k, _ := fmt.Sscan(rest, &id, &n); {
	case word == "error":
		t.Errorf("the recording process: %s", rest)
	case word == "sealed" && k == 2:
		said.sealed[id] = n
	case word == "erasing" && k == 2:
		said.erasing[id] = true
	case word == "erased" && k == 2:
		said.erased[id] = true
	case word == "compacting", word == "compacted":
		said.compactions[word]++
	default:
		if k, _ := fmt.Sscan(line, &id, &n, &at); k == 3 && n == len(said.packets[id]) {
			said.packets[id] = append(said.packets[id], time.Unix(0, at))
		}
	}
}

// kills, in the environment, is how many kills there are: 10 if it isn't set.
const kills = "CONSENTGATE_TEST_KILLS"

// TestCrashesAtAnyPointLeaveNothingUnaccounted kills a process in which calls
// begin and end and recordings are erased all the time, and the directory is
// compacted now and then, so that some are between two steps, and looks at what the next start makes of it: each grant has one
// end, no recording lost more than a second, none that was sealed lost anything,
// none that was erased comes back, and the log verifies. One directory goes
// through all of it.
func TestCrashesAtAnyPointLeaveNothingUnaccounted(t *testing.T) {
	t.Parallel()
	dir, rounds := filepath.Join(t.TempDir(), "data"), killsWanted(t)
	recordings, cutOff, halfErased := 0, 0, 0
	erased, whole, compactions := map[string]bool{}, map[string]int{}, map[string]int{} // in any round
	for range rounds {
		said := acked{map[string][]time.Time{}, map[string]int{}, map[string]bool{}, map[string]bool{}, compactions}
		said.crash(t, dir, time.Duration(150+rand.IntN(900))*time.Millisecond)
		s := openStore(t, dir)
		for id := range said.erasing {
			_, err := s.Get(id)
			if gone := errors.Is(err, store.ErrNotFound); gone || said.erased[id] {
				erased[id] = true
			} else if err == nil {
				halfErased++ // it was asked for, and the kill came before the key went
			}
		}
		for id, times := range said.packets {
			if recordings++; !erased[id] {
				cutOff += survived(t, s, id, times, said.sealed)
			}
		}
		maps.Copy(whole, said.sealed)
		noneOf(t, s, dir, erased)
		nothingLeft(t, dir)
		inOrder(t, s, dir)
	}
	s := openStore(t, dir)
	for id, n := range whole { // of the first round as of the last
		if !erased[id] {
			survived(t, s, id, nil, whole)
			kept(t, s, id, n, store.StateSealed)
		}
	}
	must(t, s.Close())
	t.Logf("%d kills, %d recordings, %d of them cut off, %d erased, %d not yet; %d compactions, %d of them killed", rounds, recordings, cutOff,
		len(erased), halfErased, compactions["compacting"], compactions["compacting"]-compactions["compacted"])
	if cutOff == 0 || len(erased) == 0 {
		t.Error("no recording was cut off, or none was erased: nothing was tried")
	}
}

func killsWanted(t *testing.T) int {
	t.Helper()
	if v := os.Getenv(kills); v != "" {
		n, err := strconv.Atoi(v)
		must(t, err)
		return n
	}
	if testing.Short() {
		return 2
	}
	return 10
}

// inOrder closes a store that a start has put in order, and looks whether it is.
func inOrder(t *testing.T, s *store.Store, dir string) {
	t.Helper()
	if n := s.Unaccounted(); n != 0 {
		t.Errorf("%d grants unaccounted after recovery", n)
	}
	oneEndEach(t, s)
	if found, err := s.Scan(); err != nil || len(found) != 0 {
		t.Errorf("files and entries: %v %v", found, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "recordings", "*.live"))
	must(t, err, s.Close())
	if len(left) != 0 {
		t.Errorf("still live: %v", left)
	}
	if r := verify(t, dir); r.Unaccounted != 0 {
		t.Errorf("%d grants have no end in the log", r.Unaccounted)
	}
}

// noneOf looks for what was erased: there is no row, no file, and the log says so.
func noneOf(t *testing.T, s *store.Store, dir string, erased map[string]bool) {
	t.Helper()
	logged := map[string]bool{}
	must(t, s.Entries(0, func(e store.Entry) bool {
		var p struct{ Recording string }
		if e.Type == store.TypeErased && json.Unmarshal(e.Payload, &p) == nil {
			logged[p.Recording] = true
		}
		return true
	}))
	for id := range erased {
		_, err := s.Get(id)
		files, globErr := filepath.Glob(filepath.Join(dir, "recordings", id+".*"))
		must(t, globErr)
		if !errors.Is(err, store.ErrNotFound) || len(files) != 0 || !logged[id] {
			t.Errorf("recording %s was erased: %v, files %v, logged %v", id, err, files, logged[id])
		}
	}
}

// survived compares a recording with what its writer was told; it returns 1 for
// one that was cut off.
func survived(t *testing.T, s *store.Store, id string, times []time.Time, sealed map[string]int) int {
	t.Helper()
	sum, err := s.Get(id)
	must(t, err)
	if _, err := s.Check(context.Background(), id); err != nil {
		t.Errorf("recording %s: %v", id, err)
	}
	packets, err := s.Packets(id)
	must(t, err)
	for i, raw := range packets {
		var p rtp.Packet
		if err := p.Unmarshal(raw); err != nil || binary.BigEndian.Uint64(p.Payload) != uint64(i) {
			t.Errorf("recording %s: packet %d is another: %v", id, i, err)
		}
	}
	if n, ok := sealed[id]; ok && (sum.State != store.StateSealed || len(packets) != n) {
		t.Errorf("recording %s was sealed with %d packets and is %s with %d", id, n, sum.State, len(packets))
	}
	if len(packets) < len(times) {
		lost := times[len(times)-1].Sub(times[len(packets)])
		if lost > time.Second {
			t.Errorf("recording %s lost %s: %d of %d packets are there", id, lost, len(packets), len(times))
		}
	}
	if sum.State == store.StateTruncated {
		return 1
	}
	return 0
}

// oneEndEach counts the ends of every grant in the log.
func oneEndEach(t *testing.T, s *store.Store) {
	t.Helper()
	ends := map[string]int{}
	must(t, s.Entries(0, func(e store.Entry) bool {
		var p struct {
			Kind  consent.Kind `json:"kind"`
			Grant string       `json:"grant"`
		}
		if len(e.Payload) == 0 {
			return true // erased; that it may lack is the verifier's to say
		}
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			t.Errorf("entry %d: %v", e.Seq, err)
		}
		switch {
		case e.Type == store.TypeConsent && p.Kind == consent.Granted:
			var r consent.Record
			must(t, json.Unmarshal(e.Payload, &r))
			ends[r.Hash().String()] += 0
		case e.Type == store.TypeSealed, e.Type == store.TypeFailed, e.Type == store.TypeConsent && p.Kind == consent.Failed:
			ends[p.Grant]++
		}
		return true
	}))
	for g, n := range ends {
		if n != 1 {
			t.Errorf("grant %s has %d ends", g, n)
		}
	}
}
